"""Reading files that somebody else wrote: regular ones only, and never more bytes than expected."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from verifier.errors import MalformedProof, Reason


@contextmanager
def opened(path: Path, name: str) -> Iterator[BinaryIO]:
    """A regular file, open for reading; `name` is what a refusal calls it.

    Raises:
        MalformedProof: FILE_MISSING (also: not a regular file, not readable).
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise MalformedProof(Reason.FILE_MISSING, f"{name}: not a regular file", field=name)
        with path.open("rb") as file:
            yield file
    except (OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or "not a path"
        raise MalformedProof(Reason.FILE_MISSING, f"{name}: {what}", field=name) from None


def read_file(path: Path, limit_bytes: int) -> bytes:
    """Contents of a regular file.

    Raises:
        MalformedProof: as `opened`; FILE_TOO_LARGE.
    """
    with opened(path, path.name) as file:
        data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        message = f"{path.name}: expected at most {limit_bytes} bytes"
        raise MalformedProof(Reason.FILE_TOO_LARGE, message, field=path.name)
    return data
