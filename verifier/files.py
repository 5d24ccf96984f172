"""Reading files that somebody else wrote: regular ones only, and never more bytes than expected."""

from __future__ import annotations

import stat
from pathlib import Path

from verifier.errors import MalformedProof, Reason


def read_file(path: Path, limit_bytes: int) -> bytes:
    """Contents of a regular file.

    Raises:
        MalformedProof: FILE_MISSING (also: not a regular file, not readable) or FILE_TOO_LARGE.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise MalformedProof(Reason.FILE_MISSING, f"{path.name}: not a regular file", field=path.name)
        with path.open("rb") as file:
            data = file.read(limit_bytes + 1)
    except (OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or "not a path"
        raise MalformedProof(Reason.FILE_MISSING, f"{path.name}: {what}", field=path.name) from None
    if len(data) > limit_bytes:
        message = f"{path.name}: expected at most {limit_bytes} bytes"
        raise MalformedProof(Reason.FILE_TOO_LARGE, message, field=path.name)
    return data
