"""Files that are there whole or not at all, whenever the process or the machine stops."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from prover.files import sync
from verifier.errors import InvariantBroken

Step = Callable[[str], None]
"""Called before and after each change of what is on disk, with its name: tests stop the process there."""


def no_step(_name: str) -> None:
    """What is called outside tests."""


def write_file(path: Path, data: bytes, step: Step = no_step) -> None:
    """Write or replace a file; on return it is on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".tmp-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            step(f"{path.name}: written")
            os.fsync(stream.fileno())
        os.chmod(name, 0o644)
        step(f"{path.name}: synced")
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    step(f"{path.name}: in place")
    sync(path.parent)


def write_once(path: Path, data: bytes, step: Step = no_step) -> None:
    """Write a file that never changes.

    Raises:
        InvariantBroken: there is one of this name with other contents.
    """
    if path.exists():
        if path.read_bytes() != data:
            raise InvariantBroken(f"{path}: would be overwritten with other contents, but never changes")
        return
    write_file(path, data, step)


def adopt(source: Path, path: Path, step: Step = no_step) -> None:
    """Move a finished file to its place; on return it is there on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as stream:
        os.fsync(stream.fileno())
    step(f"{path.name}: synced")
    source.replace(path)
    step(f"{path.name}: in place")
    sync(path.parent)
