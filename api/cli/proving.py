"""`solvent prove`: a publication is made."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from api.cli.executors import (
    Executor,
    Log2Rows,
    OnlyInputs,
    Restart,
    Scheduler,
    Shards,
    TlsAuthority,
    TlsCertificate,
    TlsKey,
    Workers,
    choose_executor,
)
from api.cli.options import (
    Force,
    Json,
    Policy,
    Private,
    Profile,
    ProofProfile,
    private_directory,
    require_directory,
    require_file,
)
from api.cli.output import ACCEPTED, Output
from api.cli.publication import Circuit, Reserves
from api.quorum import QUORUM_FILE
from prover.errors import InputError

if TYPE_CHECKING:
    from prover.publication import ProveReport
    from prover.snapshot import Snapshot
    from verifier.instruments import Scenario

PUBLIC_FILES: Final = frozenset(
    {"statement.json", "shards", "reserves.csv", "reserves-evidence.json", "prices.json", "fund.json", QUORUM_FILE}
)
PRIVATE_FILE: Final = "private.json"


ProvedCircuit = Annotated[
    Circuit | None,
    typer.Option(
        help="Default: the smallest that proves all of the snapshot. equity: what each holds less what they owe; risk: "
        "also collateral after haircuts less debts with margins; stress_1, _3, _10: both, in that many scenarios too. "
        "A verifier has to ask for Poseidon2 by name."
    ),
]
Scenarios = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Stress test: prove what all accounts together would lack if prices moved, nobody's position revealed. "
        "A scenarios.json (docs/formats.md), or default: -10 to -50 %, +20, +50 %, stablecoins, two real crashes.",
    ),
]
Prices = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Signed quotes (`solvent prices assemble`) that the snapshot's prices follow from; published.",
    ),
]
SignedReserves = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The addresses behind the reserves (`solvent reserves verify`); published."),
]


ProofPolicy = Annotated[
    Policy,
    typer.Option(
        help="strict: no account is below zero, after haircuts and margins where the snapshot has them; disclosed: "
        "what they lack in all is published, and the insurance fund has to cover it."
    ),
]


def prove(
    snapshot: Annotated[Path, typer.Argument(metavar="SNAP", help="A snapshot: what `solvent import` wrote.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Publication directory to make.")],
    profile: ProofProfile = Profile.FAST,
    reserves: Reserves = None,
    reserves_evidence: SignedReserves = None,
    policy: ProofPolicy = Policy.STRICT,
    scenarios: Scenarios = None,
    prices: Prices = None,
    circuit: ProvedCircuit = None,
    previous: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The publication before: its trace size is kept if it can be.")
    ] = None,
    private: Private = None,
    shards: Shards = None,
    log2_rows: Log2Rows = None,
    workers: Workers = None,
    executor: Executor = None,
    scheduler: Scheduler = None,
    tls_ca: TlsAuthority = None,
    tls_cert: TlsCertificate = None,
    tls_key: TlsKey = None,
    only_inputs: OnlyInputs = False,
    restart: Restart = False,
    force: Force = False,
    json: Json = False,
) -> int:
    """Prove a snapshot: statement, proofs, reserves and signed prices into DIR, secrets into DIR.private.

    Publish DIR and nothing else. The account of a user called insurance-fund is opened there, for all to see. Large
    snapshots are proved in shards; interrupted or killed, the same command goes on where it was (DIR.work, secret).
    """
    from prover.publication import prove_directory
    from prover.snapshot import Snapshot

    output, secrets = Output(json), private_directory(out, private)
    require_directory(snapshot, "a snapshot directory")
    for path, what in (
        (reserves, "a reserves file"), (reserves_evidence, "reserves with signatures"), (prices, "a price file")
    ):  # fmt: skip
        if path is not None:
            require_file(path, what)
    check_free(out, secrets, force)
    chosen = choose_executor(executor, workers, scheduler, (tls_ca, tls_cert, tls_key))
    started, loaded = time.perf_counter(), Snapshot.load(snapshot)
    stress = () if scenarios is None else _scenarios(scenarios, loaded)
    with _resumable(output, out), output.progress() as progress:
        report = prove_directory(
            loaded, out, profile=profile.value, policy=policy.value,
            circuit=None if circuit is None else circuit.value, scenarios=stress, prices=prices, reserves=reserves,
            reserves_evidence=reserves_evidence, private=secrets, previous=previous, shards=shards, log2_rows=log2_rows,
            executor=chosen, only_inputs=only_inputs, restart=restart, force=force, progress=progress,
        )  # fmt: skip
    seconds = time.perf_counter() - started
    figures = {"profile": profile.value, "policy": policy.value, **prove_figures(report), "seconds": seconds}
    figures |= {"publication": str(out), "private": str(secrets), "scenarios": [scenario.name for scenario in stress]}
    _print_proved(output, report, figures)
    return ACCEPTED


@contextmanager
def _resumable(output: Output, out: Path) -> Iterator[None]:
    """Says what an interrupt left behind."""
    try:
        yield
    except KeyboardInterrupt:
        from prover.publication import work_folder

        if work_folder(out).exists():
            output.note(f"Finished shards are kept in {work_folder(out)}, secret: the same command goes on with them.")
        raise


def _print_proved(output: Output, report: ProveReport, figures: dict[str, Any]) -> None:
    for repair in report.repairs:
        output.note(f"Repaired in the run folder: {repair}")
    if report.statement_digest is None:
        output.json({"verdict": "inputs written", **figures})
        output.line(
            f"Inputs of {report.shards} shards are in {report.work}. Next: solvent shard {report.work} --index I"
        )
        output.line("When all are proved, or some: this command again, without --only-inputs.")
        return
    output.json({"verdict": "proved", **figures})
    output.line(f"Statement {report.statement_digest}")
    output.line(
        f"{_proofs(report.shards)} of {report.rows} rows ({report.used_rows} in use), {report.proof_bytes} bytes, "
        f"in {figures['seconds']:.1f} s, memory at most {report.peak_memory_bytes / 2**20:.0f} MiB"
    )
    if report.resumed:
        were = "1 shard was" if report.resumed == 1 else f"{report.resumed} shards were"
        output.line(f"{were} there from an earlier run")
    out, secrets = figures["publication"], figures["private"]
    output.line(f"Publish {out}, keep {secrets} secret. Next: solvent verify {out}")


def check_free(out: Path, secrets: Path, force: bool) -> None:
    """Whether `prove` may write there; even --force replaces nothing but what `prove` writes.

    Raises:
        InputError: it may not.
    """
    for folder, owned in ((out, _is_publication), (secrets, _is_private)):
        if (folder.exists() or folder.is_symlink()) and not (force and owned(folder)):
            expected = "a path that does not exist yet (or an older publication and --force)"
            raise InputError(file=folder, got="something that exists", expected=expected)


def prove_figures(report: ProveReport) -> dict[str, Any]:
    """The part of a `ProveReport` that goes into JSON."""
    return {
        "statement_digest": report.statement_digest,
        "rows": report.rows,
        "shards": report.shards,
        "resumed": report.resumed,
        "used_rows": report.used_rows,
        "proof_bytes": report.proof_bytes,
        "peak_memory_bytes": report.peak_memory_bytes,
        "phase_seconds": report.phase_seconds,
    }


def _proofs(shards: int) -> str:
    return "1 proof" if shards == 1 else f"{shards} proofs"


def _scenarios(name: str, snapshot: Snapshot) -> tuple[Scenario, ...]:
    from api.importers.scenarios import DEFAULT, default_file, read_scenarios

    path = default_file() if name == DEFAULT else Path(name)
    if name != DEFAULT:
        require_file(path, f'a scenarios file, or the word "{DEFAULT}"')
    meta = snapshot.meta
    return read_scenarios(path, meta.instruments, meta.value_decimals, meta.quote)


def _is_publication(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and {part.name for part in path.iterdir()} <= PUBLIC_FILES


def _is_private(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and (path / PRIVATE_FILE).is_file()
