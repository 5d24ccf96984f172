"""A publication in a folder with the store of its users' bundles."""

from __future__ import annotations

from pathlib import Path

from prover.bundle_writer import write_store
from tests.api.web.publications import write
from tests.prover.test_fund_bundle import store as private_store
from tests.verifier.small_tree import Publication


def stored(of: Publication, folder: Path) -> tuple[Path, Path]:
    """The publication's folder and its bundles'."""
    public = write(folder / "public", of)
    (folder / "public.private").mkdir()
    private_store(of, folder / "public.private")
    write_store(public, folder / "public.private", folder / "bundles")
    return public, folder / "bundles"
