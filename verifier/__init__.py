"""What strangers run: checks proofs and inclusion bundles with the standard library and nothing else.

Importing this package costs next to nothing; the work is imported by the call that needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from verifier.params import ProofParams
    from verifier.proofs import Progress
    from verifier.quotes import Source
    from verifier.report import Report


def verify_directory(
    path: Path,
    *,
    profile: str | None = None,
    circuit: str | None = None,
    reserves: Path | None = None,
    price_sources: Mapping[str, Source] | None = None,
    params: ProofParams | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """Verify a publication; see `verifier.report.verify_directory`."""
    from verifier import report

    return report.verify_directory(
        path,
        profile=profile,
        circuit=circuit,
        reserves=reserves,
        price_sources=price_sources,
        params=params,
        workers=workers,
        progress=progress,
    )


__all__ = ["verify_directory"]
