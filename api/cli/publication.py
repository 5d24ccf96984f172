"""`solvent verify` and `inspect`: a publication is judged, and looked at."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.executors import Workers
from api.cli.options import (
    Json,
    Profile,
    Publication,
    PublicationOrUrl,
    require_directory,
    require_file,
    require_free,
)
from api.cli.output import ACCEPTED, REJECTED, Output
from api.cli.places import publication_at
from api.cli.report import print_report, print_steps

if TYPE_CHECKING:
    from api.quorum import Quorum
    from verifier.quotes import Source
    from verifier.report import Against
    from verifier.statement import Statement


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


def verify(
    publication: PublicationOrUrl,
    profile: Annotated[Profile | None, typer.Option(help="Accept only this profile; default: any of them.")] = None,
    circuit: AcceptedCircuit = None,
    reserves: Reserves = None,
    price_sources: PriceSources = None,
    workers: Workers = None,
    report_file: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="Write an auditor's report, one HTML page to print.")
    ] = None,
    validators: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Demand a certificate of these validators in DIR/quorum.json."),
    ] = None,
    log_policy: LogPolicy = None,
    json: Json = False,
) -> int:
    """Is the exchange solvent? Checks statement, proof, reserves, prices and insurance fund; trusts none of them.

    Profile and circuit are the verifier's choice, never the proof's. Reserves are taken from DIR/reserves.csv unless
    given here; without any, the proof shows what is owed, and whether it is covered stays open. From a URL the newest
    publication is downloaded first, to a folder that goes away; `solvent fetch` keeps it.
    """
    from api.auditors_report import report_html
    from prover.files import write_whole
    from verifier import verify_directory
    from verifier.log.check import check_logged
    from verifier.log.policy import read_policy

    output = Output(json)
    if log_policy is not None:
        require_file(log_policy, "a policy file")
    if report_file is not None:
        require_free(report_file)
    if reserves is not None:
        require_file(reserves, "a reserves file")
    sources = None if price_sources is None else _sources(price_sources)
    with publication_at(publication, output) as directory:
        with output.progress() as progress:
            report = verify_directory(
                directory,
                profile=None if profile is None else profile.value,
                circuit=None if circuit is None else circuit.value,
                reserves=reserves,
                price_sources=sources,
                workers=workers,
                progress=lambda done, of: progress("verify", done / of) if of > 1 else None,
            )
        logged = None if log_policy is None else check_logged(directory, report.statement, read_policy(log_policy))
        quorum = None if validators is None else read_quorum(directory, validators, report.statement)
        page = None if report_file is None else report_html(report, directory, quorum.summary if quorum else None)
    data = {"quorum": quorum.to_json() if quorum else None, "logged": logged.to_json() if logged else None}
    output.json(report.to_json() | data)
    print_report(report, output, quorum.summary if quorum else None)
    print_steps(logged.steps if logged else (), output)
    if page is not None and report_file is not None:
        write_whole(report_file, page)
        output.note(f"Report written to {report_file}")
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


def read_quorum(publication: Path, validators: Path, statement: Statement) -> Quorum:
    """The certificate in a publication, which has to be by these validators. Raises VerificationError, InputError."""
    from api.cli.validator import read_validators
    from api.quorum import require_certificate

    return require_certificate(publication, read_validators(validators), statement)


def _sources(path: Path) -> Mapping[str, Source]:
    from verifier.files import read_file
    from verifier.quotes import SOURCES_BYTES_MAX, read_sources

    require_file(path, "a list of sources")
    return read_sources(read_file(path, SOURCES_BYTES_MAX))


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
