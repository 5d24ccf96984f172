"""Files that are there whole or not at all, and are what their digest says."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from prover.errors import InputError

Bytes = bytes | bytearray | memoryview
NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


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
