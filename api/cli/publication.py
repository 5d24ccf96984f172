"""`solvent prove`, `verify` and `inspect`: a publication is made, judged, and looked at."""

from __future__ import annotations

import time
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from api.cli.executors import Cluster, Log2Rows, Restart, Scheduler, Shards, Tls, Workers, choose_executor
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
from api.cli.report import print_report
from prover.errors import InputError

if TYPE_CHECKING:
    from prover.publication import ProveReport
    from prover.snapshot import Snapshot
    from verifier.instruments import Scenario
    from verifier.quotes import Source
    from verifier.report import Against
    from verifier.statement import Statement

PUBLIC_FILES: Final = frozenset({"statement.json", "shards", "reserves.csv", "prices.json", "fund.json"})
PRIVATE_FILE: Final = "private.json"


class Circuit(StrEnum):
    """The circuits that are registered with the verifier."""

    EQUITY = "solvency_equity_v1"
    EQUITY_POSEIDON2 = "solvency_equity_v1_poseidon2"
    RISK = "solvency_risk_v1"
    STRESS_1 = "solvency_stress_v1_1"
    STRESS_3 = "solvency_stress_v1_3"
    STRESS_10 = "solvency_stress_v1_10"


AcceptedCircuit = Annotated[
    Circuit | None, typer.Option(help="Accept only this circuit; default: any over the default tree hash.")
]
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
PriceSources = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Accept only prices signed by these: lines of name, public key, weight."),
]
StatementOnly = Annotated[
    bool, typer.Option("--statement-only", help="Do not verify the publication's proof here; the verdict says so.")
]
LogPolicy = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="DIR has to be in the transparency log, by this policy of whom you believe."),
]
Reserves = Annotated[Path | None, typer.Option(metavar="CSV", help="asset,amount: what the exchange holds, in units.")]


def prove(
    snapshot: Annotated[Path, typer.Argument(metavar="SNAP", help="A snapshot: what `solvent import` wrote.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Publication directory to make.")],
    profile: ProofProfile = Profile.FAST,
    reserves: Reserves = None,
    policy: Annotated[
        Policy,
        typer.Option(
            help="strict: no account is below zero, after haircuts and margins where the snapshot has them; disclosed: "
            "what they lack in all is published, and the insurance fund has to cover it."
        ),
    ] = Policy.STRICT,
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
    cluster: Cluster = False,
    scheduler: Scheduler = None,
    tls: Tls = None,
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
    for path, what in ((reserves, "a reserves file"), (prices, "a price file")):
        if path is not None:
            require_file(path, what)
    check_free(out, secrets, force)
    executor = choose_executor(workers, cluster, scheduler, tls)
    started, loaded = time.perf_counter(), Snapshot.load(snapshot)
    stress = () if scenarios is None else _scenarios(scenarios, loaded)
    with output.progress() as progress:
        report = prove_directory(
            loaded, out, profile=profile.value, policy=policy.value,
            circuit=None if circuit is None else circuit.value, scenarios=stress, prices=prices, reserves=reserves,
            private=secrets, previous=previous, shards=shards, log2_rows=log2_rows, executor=executor,
            restart=restart, force=force, progress=progress,
        )  # fmt: skip
    seconds = time.perf_counter() - started
    chosen = {"profile": profile.value, "policy": policy.value, "scenarios": [scenario.name for scenario in stress]}
    places = {"publication": str(out), "private": str(secrets)}
    output.json({"verdict": "proved", **places, **chosen, **prove_figures(report), "seconds": seconds})
    _print_proved(output, report, seconds)
    output.line(f"Publish {out}, keep {secrets} secret. Next: solvent verify {out}")
    return ACCEPTED


def _print_proved(output: Output, report: ProveReport, seconds: float) -> None:
    output.line(f"Statement {report.statement_digest}")
    output.line(
        f"{_proofs(report.shards)} of {report.rows} rows ({report.used_rows} in use), {report.proof_bytes} bytes, "
        f"in {seconds:.1f} s, memory at most {report.peak_memory_bytes / 2**20:.0f} MiB"
    )
    if report.resumed:
        output.line(f"{report.resumed} shards were there from an earlier run")


def verify(
    publication: Publication,
    profile: Annotated[Profile | None, typer.Option(help="Accept only this profile; default: any of them.")] = None,
    circuit: AcceptedCircuit = None,
    reserves: Reserves = None,
    price_sources: PriceSources = None,
    workers: Workers = None,
    json: Json = False,
) -> int:
    """Is the exchange solvent? Checks statement, proof, reserves, prices and insurance fund; trusts none of them.

    Profile and circuit are the verifier's choice, never the proof's. Reserves are taken from DIR/reserves.csv unless
    given here; without any, the proof shows what is owed, and whether it is covered stays open.
    """
    from verifier import verify_directory

    output = Output(json)
    require_directory(publication, "a publication directory")
    if reserves is not None:
        require_file(reserves, "a reserves file")
    sources = None if price_sources is None else _sources(price_sources)
    with output.progress() as progress:
        report = verify_directory(
            publication,
            profile=None if profile is None else profile.value,
            circuit=None if circuit is None else circuit.value,
            reserves=reserves,
            price_sources=sources,
            workers=workers,
            progress=lambda done, of: progress("verify", done / of) if of > 1 else None,
        )
    output.json(report.to_json())
    print_report(report, output)
    return ACCEPTED if report.accepted else REJECTED


def inspect(publication: Publication, json: Json = False) -> int:
    """Show what a publication claims and how strong its proof system is. Nothing is verified."""
    from verifier.report import read_statement

    output = Output(json)
    require_directory(publication, "a publication directory")
    statement = read_statement(publication)
    data = _described(publication, statement)
    output.json(data)
    _print_description(data, output)
    return ACCEPTED


def read_against(
    against: Path, circuit: Circuit | None, statement_only: bool, log_policy: Path | None = None
) -> Against:
    """The publication that a user's or an auditor's file is compared with, verified unless the caller waives that.

    Raises:
        InputError: there is no such directory, or no such policy file.
        VerificationError: it is refused.
    """
    from verifier.report import Against

    require_directory(against, "a publication directory")
    if log_policy is not None:
        require_file(log_policy, "a policy file")
    name = None if circuit is None else circuit.value
    return Against.read(against, circuit=name, statement_only=statement_only, log_policy=log_policy)


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


def _sources(path: Path) -> Mapping[str, Source]:
    from verifier.files import read_file
    from verifier.quotes import SOURCES_BYTES_MAX, read_sources

    require_file(path, "a list of sources")
    return read_sources(read_file(path, SOURCES_BYTES_MAX))


def _is_publication(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and {part.name for part in path.iterdir()} <= PUBLIC_FILES


def _is_private(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and (path / PRIVATE_FILE).is_file()


def _described(publication: Path, statement: Statement) -> dict[str, Any]:
    from verifier.params import accepted_profile
    from verifier.solvency import constraint_system
    from verifier.soundness import ACCOUNT_TREE_BITS, Shape, rounds, soundness_bits
    from verifier.statement import units

    params = accepted_profile(statement.profile)
    shape = Shape.of(constraint_system(statement.circuit))
    files = sorted(part for part in publication.rglob("*") if part.is_file())
    return {
        "verdict": "not verified",
        "exchange": statement.exchange,
        "sequence": statement.sequence,
        "time": statement.time,
        "policy": statement.policy,
        "statement_digest": statement.digest.hex(),
        "previous": statement.previous.hex(),
        "ledger_state": statement.ledger_state.hex(),
        "oracle_evidence": statement.oracle_evidence.hex(),
        "circuit": statement.circuit,
        "circuit_digest": statement.circuit_digest.hex(),
        "tree_hash": statement.tree_hash,
        "profile": statement.profile,
        "parameters_digest": statement.parameters_digest.hex(),
        "log2_rows": statement.log2_rows,
        "levels": statement.levels,
        "shards": statement.shards,
        "root": statement.root.hex(),
        "value": {"quote": statement.quote, "decimals": statement.value_decimals},
        "total_liability": units(statement.total_liability, statement.value_decimals),
        "total_shortfall": units(statement.total_shortfall, statement.value_decimals),
        "total_margin_deficit": _units(statement.total_margin_deficit, statement.value_decimals),
        "scenarios": [
            {
                "name": scenario.name,
                "shortfall": units(losses.shortfall, statement.value_decimals),
                "margin_deficit": units(losses.margin_deficit, statement.value_decimals),
            }
            for scenario, losses in zip(statement.scenarios, statement.losses, strict=True)
        ],
        "totals": _described_totals(statement),
        "file_bytes": {str(part.relative_to(publication)): part.stat().st_size for part in files},
        "queries": params.queries,
        "blowup": params.blowup,
        "soundness_bits": soundness_bits(shape, params, statement.log2_rows),
        "account_tree_bits": ACCOUNT_TREE_BITS,
        "rounds": [
            {"name": each.name, "bits": round(each.bits, 1), "grinding_bits": each.grinding_bits}
            for each in rounds(shape, params, statement.log2_rows)
        ],
    }


def _units(amount: int | None, decimals: int) -> str | None:
    from verifier.statement import units

    return None if amount is None else units(amount, decimals)


def _described_totals(statement: Statement) -> list[dict[str, Any]]:
    from verifier.statement import units

    return [
        {
            "symbol": instrument.symbol,
            "kind": instrument.kind,
            "price": units(instrument.price * 10**instrument.decimals, statement.value_decimals),
            "long": units(totals.long, instrument.decimals),
            "short": units(totals.short, instrument.decimals),
            "buckets": {
                bucket.name: units(part, instrument.decimals)
                for bucket, part in zip(instrument.buckets, totals.buckets, strict=True)
            },
        }
        for instrument, totals in zip(statement.instruments, statement.totals, strict=True)
    ]


def _print_description(data: dict[str, Any], output: Output) -> None:
    output.line(f"{data['exchange']}, sequence {data['sequence']}, {data['time']}, policy {data['policy']}")
    for name in ("statement_digest", "previous", "ledger_state", "oracle_evidence", "root"):
        output.line(f"  {name.replace('_', ' '):17} {data[name]}")
    output.line(f"  circuit           {data['circuit']} {data['circuit_digest']}")
    capacity = f"2^{data['log2_rows']} rows, {data['levels']} levels, from a policy and not from the number of users"
    output.line(f"  capacity          {capacity}")
    sizes = ", ".join(f"{name} {size} bytes" for name, size in data["file_bytes"].items())
    output.line(f"  files             {sizes}")
    columns = ("asset", "price", "held by users", "owed by users")
    rows = [(t["symbol"], t["price"], t["long"], t["short"]) for t in data["totals"]]
    output.table(columns, rows, right=columns[1:])
    quote = data["value"]["quote"]
    output.line(f"Total liability {data['total_liability']} {quote}, total shortfall {data['total_shortfall']} {quote}")
    if data["total_margin_deficit"] is not None:
        output.line(f"Total margin deficit {data['total_margin_deficit']} {quote}")
    if data["scenarios"]:
        losses = [(s["name"], s["shortfall"], s["margin_deficit"]) for s in data["scenarios"]]
        heads = ("scenario", f"shortfall, {quote}", f"margin deficit, {quote}")
        output.table(heads, losses, right=heads[1:])
    output.line()
    output.line(
        f"Profile {data['profile']}: rate 1/{data['blowup']}, {data['queries']} queries, "
        f"{data['soundness_bits']} provable bits"
    )
    rounds = [(each["name"], f"{each['bits']:.1f}", str(each["grinding_bits"])) for each in data["rounds"]]
    output.table(("round", "bits", "of these proof of work"), rounds, right=("bits", "of these proof of work"))
    output.line(
        f"Account tree {data['tree_hash']}: {data['account_tree_bits']} bits against collisions, the most that any "
        "inclusion or opening can claim"
    )
    output.line(f"Nothing was verified here: solvent verify does that. Digest {data['statement_digest']}")
