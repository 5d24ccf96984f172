"""New folders appear whole or not at all: checked first, filled under another name beside their place, then renamed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prover.errors import InputError


def require_apart(out: Path, private: Path) -> None:
    """Neither folder inside the other: replacing one would delete the other, and publishing one reveal it."""
    one, two = out.resolve(), private.resolve()
    if one == two or one in two.parents or two in one.parents:
        raise InputError(file=private, got="a folder inside the other, or the same", expected=f"one apart from {out}")


def require_place(folder: Path, marker: str, force: bool) -> None:
    """Nothing may stand where we write, unless `force` is given and it is what we wrote before."""
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
