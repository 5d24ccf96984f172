"""Files that are there whole or not at all, and are what their digest says."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from prover.errors import InputError

Bytes = bytes | bytearray | memoryview
NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
PLACE_ATTEMPTS: Final = 10


def sha256_of_file(path: Path) -> str:
    """Hex.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InputError(file=path, got=error.strerror or "no file", expected="a file that can be read") from None


def sync(path: Path) -> None:
    """A file's bytes, or a folder's names, are on disk when this returns."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def told_plainly(path: Path) -> Iterator[None]:
    """A full disk, or a folder that cannot be written, becomes one line that names `path`.

    Raises:
        InputError: for any OSError.
    """
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise InputError(file=path, got="a full disk", expected="room; what is finished is kept") from None
        raise InputError(file=path, got=error.strerror or str(error), expected="a place to write") from None


def write_whole(path: Path, data: Bytes) -> None:
    """`path` holds `data` and is on disk, or is what it was before.

    Raises:
        InputError: full disk, or no place to write.
    """
    with told_plainly(path):
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        fresh = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            fresh.replace(path)
            sync(path.parent)
        finally:
            fresh.unlink(missing_ok=True)


def put_outputs(folder: Path, files: Mapping[str, Bytes]) -> dict[str, str]:
    """All files of a shard appear together as `folder`, on disk, in the place of any that were there.

    Args:
        files: contents by name, without folders.

    Returns:
        SHA-256 (hex) by name.

    Raises:
        InputError: full disk, or no place to write; nothing is left behind.
    """
    with told_plainly(folder):
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            fresh = work / "new"
            fresh.mkdir(mode=0o700)
            for name, data in files.items():
                (fresh / name).write_bytes(data)
            for name in files:  # all written first: the disk takes them together
                sync(fresh / name)
            sync(fresh)
            _place(fresh, folder, work)
            sync(folder.parent)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}


def outputs_wrong(folder: Path, files: Mapping[str, str]) -> str | None:
    """What is wrong with a shard's files (missing, other bytes), in words; None where they are as `files` says."""
    for name, digest in sorted(files.items()):
        path = folder / name
        if not path.is_file():
            return f"{path} is missing"
        if sha256_of_file(path) != digest:
            return f"{path} has changed"
    return None


def _place(fresh: Path, folder: Path, work: Path) -> None:
    """Renames; a folder in the way moves aside first. Another process may be placing the same bytes just now."""
    for attempt in range(PLACE_ATTEMPTS):
        try:
            fresh.rename(folder)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or attempt == PLACE_ATTEMPTS - 1:
                raise
        try:
            folder.rename(work / f"old{attempt}")
        except FileNotFoundError:
            continue
