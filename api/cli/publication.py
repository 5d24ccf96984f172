"""`solvent prove`, `verify` and `inspect`: a publication is made, judged, and looked at."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.options import (
    Force,
    Json,
    Policy,
    Private,
    Profile,
    ProofProfile,
    Publication,
    private_directory,
    require_directory,
    require_file,
)
from api.cli.output import ACCEPTED, REJECTED, Output
from prover.errors import InputError
from verifier.errors import VerificationError

if TYPE_CHECKING:
    from prover.publication import ProveReport
    from verifier.report import Report

NUMBERS = ("seconds", "bytes")


def prove(
    snapshot: Annotated[Path, typer.Argument(metavar="SNAP", help="A snapshot: what `solvent import` wrote.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Publication directory to make.")],
    profile: ProofProfile = Profile.FAST,
    reserves: Annotated[
        Path | None, typer.Option(metavar="CSV", help="asset,amount: what the exchange holds. Published beside the proof.")
    ] = None,
    policy: Annotated[
        Policy, typer.Option(help="strict: no account is under water; disclosed: what they lack is published.")
    ] = Policy.STRICT,
    private: Private = None,
    force: Force = False,
    json: Json = False,
) -> int:
    """Prove a snapshot: statement, proof and reserves in DIR, secrets for the users' bundles in DIR.private.

    Publish DIR and nothing else.
    """
    output = Output(json)
    require_directory(snapshot, "a snapshot directory")
    if reserves is not None:
        require_file(reserves, "a reserves file")
    secrets = private_directory(out, private)
    started = time.perf_counter()
    with output.progress() as progress:
        report = prove_into(out, secrets, force, lambda o, p: run_prover(snapshot, o, p, profile, policy, reserves, progress))
    seconds = time.perf_counter() - started
    output.json(
        {
            "verdict": "proved",
            "publication": str(out),
            "private": str(secrets),
            "profile": profile.value,
            "policy": policy.value,
            **prove_figures(report),
            "seconds": seconds,
        }
    )
    output.table(("phase", "seconds"), [(name, f"{value:.2f}") for name, value in report.phase_seconds.items()], NUMBERS)
    output.line(f"Statement {report.statement_digest}")
    output.line(
        f"Proof of {report.proof_bytes} bytes over {report.rows} rows ({report.used_rows} used) in {seconds:.1f} s, "
        f"at most {report.peak_memory_bytes / 2**20:.0f} MiB of memory"
    )
    output.line(f"Publish {out}, keep {secrets} secret. Next: solvent verify {out}")
    return ACCEPTED
