"""`solvent demo`, `bench` and `version`: commands that need no files of yours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.cli.options import Json, Profile, ProofProfile
from api.cli.output import ACCEPTED, Output


def demo(
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep the publication here (and DIR.private, DIR.bundle.json beside it)."),
    ] = None,
    profile: ProofProfile = Profile.FAST,
    json: Json = False,
) -> int:
    """See everything once: a real account file becomes a proof and a verdict, and two forgeries are refused."""
    from api.cli.demo import run_demo

    return run_demo(out, profile, Output(json))


def bench(
    accounts: Annotated[int, typer.Option(metavar="N", min=1, help="Synthetic accounts.")] = 20_000,
    entries: Annotated[int, typer.Option(metavar="K", min=1, max=1000, help="Entries of each account.")] = 3,
    profile: ProofProfile = Profile.FAST,
    runs: Annotated[int, typer.Option(metavar="R", min=1, max=100, help="Proofs; figures are medians.")] = 1,
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="Seed of the synthetic accounts, not of proofs.")] = 1,
    json: Json = False,
) -> int:
    """Measure this machine: prove synthetic accounts, verify each proof, print the figures.

    Compilation is not counted in accounts_per_second.
    """
    from api.cli.bench import run_bench

    return run_bench(accounts, entries, profile, runs, seed, Output(json))


def version(json: Json = False) -> int:
    """Print the versions of this program and of the protocol that it speaks."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    from verifier.statement import FORMAT, PROTOCOL

    output = Output(json)
    try:
        number = installed("solvent")
    except PackageNotFoundError:
        number = "not installed"
    output.json({"verdict": "version", "version": number, "protocol": PROTOCOL, "statement": FORMAT})
    output.line(f"solvent {number}, protocol {PROTOCOL}, statement {FORMAT}")
    return ACCEPTED
