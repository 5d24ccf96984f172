"""`solvent demo`, `bench`, `generate` and `version`: commands that need no files of yours."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from api.cli.options import Json, Profile, ProofProfile
from api.cli.output import ACCEPTED, Output
from api.cli.publication import Circuit


def demo(
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep the publication here, and DIR.private, .bundle.json, .receipt.json."),
    ] = None,
    profile: ProofProfile = Profile.FAST,
    serve: Annotated[
        bool, typer.Option("--serve", help="At the end leave the page of what was published open, until Ctrl-C.")
    ] = False,
    json: Json = False,
) -> int:
    """See everything once: proofs of real and made-up accounts, a venue in a crash, publication, checks, forgeries.

    An exchange's sample file and a venue with margin are proved and verified. Then a venue goes through the crash of
    March 2020; its snapshot is proved, published into a witnessed log and served; an auditor verifies it over HTTP, a
    user checks their receipt; and what was forged at each stage is refused.
    """
    from api.cli.demo import run_demo

    return run_demo(out, profile, serve, Output(json))


class Sweep(StrEnum):
    """The same as the kinds of `api.cli.bench_sweep`, which takes long to import."""

    ACCOUNTS = "accounts"
    ENTRIES = "entries"


Results = Annotated[
    list[Path] | None, typer.Argument(metavar="[RESULT]...", help="With --plots: results of --sweep and --out.")
]
BenchCircuit = Annotated[
    Circuit | None, typer.Option(help="Default: equity without scenarios, the smallest stress circuit with some.")
]
StressCount = Annotated[
    int, typer.Option(metavar="S", min=0, max=10, help="Stress scenarios to prove; accounts then have collateral.")
]
Compare = Annotated[
    bool, typer.Option("--compare", help="Instead: all circuits on the same accounts of 1 to 483 entries.")
]
Floors = Annotated[
    bool,
    typer.Option("--floors", help="Instead: each phase against its floor in operations and bytes, equity circuit."),
]
SweepOver = Annotated[
    Sweep | None, typer.Option(help="Instead: 10^3 to 10^6 accounts, or 1 to 483 entries each; a new process per size.")
]
ResultFile = Annotated[Path | None, typer.Option(metavar="FILE", help="Write figures, machine and versions as JSON.")]
Plots = Annotated[Path | None, typer.Option(metavar="DIR", help="Instead: draw the RESULTs as SVG into this folder.")]
Ledger = Annotated[bool, typer.Option("--ledger", help="Instead: commands through the exchange's engine and journal.")]


def bench(
    results: Results = None,
    accounts: Annotated[int, typer.Option(metavar="N", min=1, help="Synthetic accounts.")] = 20_000,
    entries: Annotated[int, typer.Option(metavar="K", min=1, max=1000, help="Entries of each account.")] = 3,
    profile: ProofProfile = Profile.FAST,
    runs: Annotated[int, typer.Option(metavar="R", min=1, max=100, help="Proofs; figures are medians.")] = 3,
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="Seed of the synthetic accounts, not of proofs.")] = 1,
    circuit: BenchCircuit = None,
    scenarios: StressCount = 0,
    compare: Compare = False,
    floors: Floors = False,
    sweep: SweepOver = None,
    full: Annotated[bool, typer.Option("--full", help="With --sweep accounts: 10^7 as well, once.")] = False,
    out: ResultFile = None,
    plots: Plots = None,
    ledger: Ledger = False,
    service: Annotated[
        bool, typer.Option("--service", help="Instead: requests a second to `solvent serve`, every answer compared.")
    ] = False,
    workers: Annotated[int, typer.Option(metavar="W", min=1, help="With --service: the server's processes.")] = 1,
    commands: Annotated[int, typer.Option(metavar="N", min=1, help="With --ledger: commands timed.")] = 300_000,
    json: Json = False,
) -> int:
    """Measure this machine: prove synthetic accounts, verify each proof, print medians over the runs.

    Compilation is not counted.
    """
    output = Output(json)
    if ledger:
        from api.cli.bench_ledger import run_ledger_bench

        return run_ledger_bench(commands, accounts, runs, seed, output)
    if service:
        from api.cli.bench_service import run_service_bench

        return run_service_bench(runs, workers, output)
    if plots is not None or results:
        from api.cli.bench_plots import run_plots

        return run_plots(plots, results or [], output)
    if compare:
        from api.cli.bench_circuits import run_comparison

        return run_comparison(profile.value, runs, seed, output, out)
    if floors:
        from api.cli.bench_floors import run_floors

        return run_floors(accounts, entries, profile, runs, seed, output)
    from api.cli.bench import Case, run_bench

    case = Case(accounts, entries, profile.value, runs, seed, None if circuit is None else circuit.value, scenarios)
    if sweep is not None:
        from api.cli.bench_sweep import run_sweep

        return run_sweep(sweep.value, full, case, output, out)
    return run_bench(case, output, out)


class FileFormat(StrEnum):
    """The same as `api.cli.generate.Format`, which takes long to import."""

    BINANCE = "binance"
    TABLE = "table"


class InvalidUser(StrEnum):
    """The same as `api.cli.generate.Invalid`."""

    MARGIN_DEFICIT = "margin-deficit"
    NEGATIVE_EQUITY = "negative-equity"
    BUCKETS_ABOVE_EQUITY = "buckets-above-equity"


def generate(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to make.")],
    accounts: Annotated[int, typer.Option(metavar="N", min=1, help="Users.")] = 10_000,
    format_: Annotated[
        FileFormat, typer.Option("--format", help="binance: equity, debts and collateral; table: perpetuals as well.")
    ] = FileFormat.BINANCE,
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="Same seed, same users.")] = 1,
    invalid: Annotated[InvalidUser | None, typer.Option(help="Make one user invalid: they should be refused.")] = None,
    json: Json = False,
) -> int:
    """Make account files of made-up users: over Binance's 483 tokens, 1 to 50 each and a few up to all, with debts.

    All are healthy, unless you ask for one who is not. Then import, prove and verify them as you would real ones.
    """
    from api.cli.generate import Format, Invalid, run_generate

    kind = None if invalid is None else Invalid(invalid.value)
    return run_generate(out, accounts, Format(format_.value), seed, kind, Output(json))


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
