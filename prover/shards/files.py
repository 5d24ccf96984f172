"""The files of a finished shard: put in place together, and checked against their digests."""

from __future__ import annotations

import errno
import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from prover.files import Bytes, sha256_of_file, sync, told_plainly

PLACE_ATTEMPTS: Final = 10


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
