"""The read side as a folder of files, for a CDN or a disk: the same paths, the same bytes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from api.reading import ReadSide, Resource
from api.store import Store
from prover.errors import InputError
from prover.files import PUBLIC_MODE, Step, no_step, write_whole
from verifier.log.tiles import CHECKPOINT_FILE

COPIED_BYTES_MIN: Final = 2**20


def export(store: Store, out: Path, step: Step = no_step) -> int:
    """Write the read side of a store to a folder, or bring an earlier export up to date.

    What never changes is written first, the checkpoint last: readers see an older state or the new one.

    Returns:
        Number of files.

    Raises:
        InputError: something else is in the folder, or the store shows nothing yet.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / "tile").is_dir())):
        raise InputError(file=out, got="something else", expected="a new folder, or an earlier export")
    side = ReadSide(store)
    if side.get(CHECKPOINT_FILE) is None:
        raise InputError(file=store.files, got="a store that shows nothing", expected="at least one publication")
    out.mkdir(parents=True, exist_ok=True)
    count = 0
    for path in side.paths():
        resource = side.get(path)
        if resource is not None:
            _put(out, path, resource, step)
            count += 1
    return count


def _put(out: Path, path: str, resource: Resource, step: Step) -> None:
    target = out / path
    if resource.is_immutable and target.exists():
        return
    by_digest = out / "artefacts" / resource.sha256 if resource.sha256 else None
    if by_digest is not None and by_digest != target and by_digest.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(by_digest, target)
        except OSError:  # a file system without links
            _copy(by_digest, target, step)
        return
    if isinstance(resource.content, Path):
        _copy(resource.content, target, step)
    else:
        write_whole(target, resource.content, PUBLIC_MODE, step)


def _copy(source: Path, target: Path, step: Step) -> None:
    if source.stat().st_size < COPIED_BYTES_MIN:
        write_whole(target, source.read_bytes(), PUBLIC_MODE, step)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".tmp-{target.name}")
    shutil.copyfile(source, part)
    step(f"{target.name}: copied")
    part.replace(target)
