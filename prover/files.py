"""Files that are there whole or not at all, and are what their digest says."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from prover.errors import InputError
from verifier.errors import InvariantBroken

Bytes = bytes | bytearray | memoryview
NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
PRIVATE_MODE: Final = 0o600
PUBLIC_MODE: Final = 0o644
Step = Callable[[str], None]
"""Called before and after each change of what is on disk, with its name: tests stop the process there."""


def no_step(_name: str) -> None:
    """What is called outside tests."""


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


def make_folder(folder: Path) -> None:
    """The folder is there, and its name, and those of folders above it that were made, are on disk."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync(folder.parent)


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


def write_whole(path: Path, data: Bytes, mode: int = PRIVATE_MODE, step: Step = no_step) -> None:
    """`path` holds `data` and is on disk, or is what it was before. Its folder is made where there is none.

    Args:
        mode: who may read it: the owner alone, unless said otherwise.

    Raises:
        InputError: full disk, or no place to write.
    """
    with told_plainly(path):
        make_folder(path.parent)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        fresh = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fchmod(descriptor, mode)
                step(f"{path.name}: written")
                os.fsync(descriptor)
            step(f"{path.name}: synced")
            fresh.replace(path)
            step(f"{path.name}: in place")
            sync(path.parent)
        finally:
            fresh.unlink(missing_ok=True)


def write_once(path: Path, data: bytes, step: Step = no_step) -> None:
    """Write a file for all to read that never changes.

    Raises:
        InputError: full disk, or no place to write.
        InvariantBroken: there is one of this name with other contents.
    """
    if path.exists():
        if path.read_bytes() != data:
            raise InvariantBroken(f"{path}: would be overwritten with other contents, but never changes")
        return
    write_whole(path, data, PUBLIC_MODE, step)


def adopt(source: Path, path: Path, step: Step = no_step) -> None:
    """Move a finished file to its place; on return it is there on disk."""
    make_folder(path.parent)
    sync(source)
    step(f"{path.name}: synced")
    source.replace(path)
    step(f"{path.name}: in place")
    sync(path.parent)
