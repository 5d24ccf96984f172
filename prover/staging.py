"""Folders that appear whole: made beside their place, on disk, then renamed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prover.errors import InputError
from prover.files import sync


def require_apart(*folders: Path) -> None:
    """None inside another: replacing one would delete the other, and publishing one reveal it.

    Raises:
        InputError: naming the second of the two.
    """
    places = [(folder, folder.resolve()) for folder in folders]
    for i, (folder, place) in enumerate(places):
        for other, before in places[:i]:
            if place == before or place in before.parents or before in place.parents:
                got = "a folder inside the other, or the same"
                raise InputError(file=folder, got=got, expected=f"one apart from {other}")


def require_place(folder: Path, marker: str, force: bool) -> None:
    """Nothing may stand where we write, unless `force` is given and it is what we wrote before.

    Raises:
        InputError: it does.
    """
    if not folder.exists():
        return
    if not force:
        raise InputError(file=folder, got="an existing path", expected="a new one (or --force to replace it)")
    if not folder.is_dir() or (any(folder.iterdir()) and not (folder / marker).is_file()):
        raise InputError(
            file=folder, got="something else", expected=f"a folder with {marker}: --force replaces no other"
        )


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """A new folder (mode 700) beside `target`; gone afterwards if it was not moved."""
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield fresh
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def put_in_place(fresh: Path, target: Path) -> Path | None:
    """Rename `fresh` to `target`; what stood there moves aside and is returned."""
    aside = None
    if target.exists():
        aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
        target.rename(aside / target.name)
    fresh.rename(target)
    return aside


def bring(source: Path, target: Path) -> None:
    """The same file under another name: a link where the file system allows it, otherwise a copy. On disk."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
        sync(target)


def sync_tree(folder: Path) -> None:
    """`sync` for a folder and all below it."""
    for path in (*folder.rglob("*"), folder):
        sync(path)
