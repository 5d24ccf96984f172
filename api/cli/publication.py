"""`solvent prove`, `verify` and `inspect`: a publication is made, judged, and looked at."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

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

if TYPE_CHECKING:
    from prover.publication import ProveReport
    from verifier.report import Against, Report
    from verifier.statement import Statement

PUBLIC_FILES: Final = frozenset({"statement.json", "proof.bin", "reserves.csv"})
PRIVATE_FILE: Final = "private.json"


class Circuit(StrEnum):
    """The circuits that are registered with the verifier."""

    EQUITY = "solvency_equity_v1"
    EQUITY_POSEIDON2 = "solvency_equity_v1_poseidon2"


AcceptedCircuit = Annotated[
    Circuit | None, typer.Option(help=f"Accept this circuit and its tree hash, not {Circuit.EQUITY.value}.")
]
StatementOnly = Annotated[
    bool, typer.Option("--statement-only", help="Do not verify the publication's proof here; the verdict says so.")
]
Reserves = Annotated[Path | None, typer.Option(metavar="CSV", help="asset,amount: what the exchange holds, in units.")]


def prove(
    snapshot: Annotated[Path, typer.Argument(metavar="SNAP", help="A snapshot: what `solvent import` wrote.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Publication directory to make.")],
    profile: ProofProfile = Profile.FAST,
    reserves: Reserves = None,
    policy: Annotated[
        Policy, typer.Option(help="strict: no account is under water; disclosed: what they lack is published.")
    ] = Policy.STRICT,
    circuit: Annotated[
        Circuit, typer.Option(help="The second one uses Poseidon2; a verifier has to ask for it by name.")
    ] = Circuit.EQUITY,
    previous: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The publication before: its trace size is kept if it can be.")
    ] = None,
    private: Private = None,
    force: Force = False,
    json: Json = False,
) -> int:
    """Prove a snapshot: statement, proof and reserves into DIR, secrets into DIR.private.

    Publish DIR and nothing else. The first run compiles for about a minute; later ones load the result.
    """
    from prover.publication import prove_directory
    from prover.snapshot import Snapshot

    output = Output(json)
    require_directory(snapshot, "a snapshot directory")
    if reserves is not None:
        require_file(reserves, "a reserves file")
    secrets = private_directory(out, private)
    check_free(out, secrets, force)
    started = time.perf_counter()
    with output.progress() as progress:
        report = prove_directory(
            Snapshot.load(snapshot),
            out,
            profile=profile.value,
            policy=policy.value,
            circuit=circuit.value,
            reserves=reserves,
            private=secrets,
            previous=previous,
            force=force,
            progress=progress,
        )
    seconds = time.perf_counter() - started
    figures = prove_figures(report) | {"profile": profile.value, "policy": policy.value, "seconds": seconds}
    output.json({"verdict": "proved", "publication": str(out), "private": str(secrets), **figures})
    output.line(f"Statement {report.statement_digest}")
    output.line(
        f"Proof of {report.proof_bytes} bytes over {report.rows} rows ({report.used_rows} in use) in {seconds:.1f} s, "
        f"memory at most {report.peak_memory_bytes / 2**20:.0f} MiB"
    )
    output.line(f"Publish {out}, keep {secrets} secret. Next: solvent verify {out}")
    return ACCEPTED


def verify(
    publication: Publication,
    profile: Annotated[Profile | None, typer.Option(help="Accept only this profile; default: any of them.")] = None,
    circuit: AcceptedCircuit = None,
    reserves: Reserves = None,
    json: Json = False,
) -> int:
    """Is the exchange solvent? Checks statement, proof and reserves; trusts none of them.

    Profile and circuit are the verifier's choice, never the proof's. Reserves are taken from DIR/reserves.csv unless
    given here; without any, the proof shows what is owed, and whether it is covered stays open.
    """
    from verifier import verify_directory

    output = Output(json)
    require_directory(publication, "a publication directory")
    if reserves is not None:
        require_file(reserves, "a reserves file")
    report = verify_directory(
        publication,
        profile=None if profile is None else profile.value,
        circuit=None if circuit is None else circuit.value,
        reserves=reserves,
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


def read_against(against: Path, circuit: Circuit | None, statement_only: bool) -> Against:
    """The publication that a user's or an auditor's file is compared with, verified unless the caller waives that.

    Raises:
        InputError: there is no such directory.
        VerificationError: it is refused.
    """
    from verifier.report import Against

    require_directory(against, "a publication directory")
    return Against.read(against, circuit=None if circuit is None else circuit.value, statement_only=statement_only)


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
        "used_rows": report.used_rows,
        "proof_bytes": report.proof_bytes,
        "peak_memory_bytes": report.peak_memory_bytes,
        "phase_seconds": report.phase_seconds,
    }


def print_report(report: Report, output: Output) -> None:
    """Each check with both sides, the verdict, and what it leaves open."""
    statement = report.statement
    output.line(f"{statement.exchange}, sequence {statement.sequence}, {statement.time}, policy {statement.policy}")
    output.line(f"Statement {report.statement_digest}")
    output.line(
        f"Proof accepted: profile {report.profile}, {report.soundness_bits} provable bits, "
        f"{report.proof_bytes} bytes, checked in {report.seconds:.1f} s"
    )
    output.line(f"Circuit {statement.circuit}, tree hash {statement.tree_hash}")
    output.line(f"Reserves {'sha256 ' + report.reserves_sha256 if report.reserves_sha256 else 'none'}")
    rows = [
        ("ok" if c.ok else "FAIL", c.name, f"{c.left} {c.relation} {c.right} {c.unit}", c.note) for c in report.checks
    ]
    output.table(("", "check", "left and right side", "note"), rows)
    output.line(f"Verdict: {report.spoken}", mood="good" if report.accepted else "bad")
    for caveat in report.caveats:
        output.line(f"  caveat: {caveat}")


def _is_publication(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and {part.name for part in path.iterdir()} <= PUBLIC_FILES


def _is_private(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and (path / PRIVATE_FILE).is_file()


def _described(publication: Path, statement: Statement) -> dict[str, Any]:
    from verifier.canonical import hex_words
    from verifier.params import accepted_profile
    from verifier.solvency import constraint_system
    from verifier.soundness import ACCOUNT_TREE_BITS, Shape, rounds, soundness_bits
    from verifier.statement import units

    params = accepted_profile(statement.profile)
    shape = Shape.of(constraint_system(statement.circuit))
    files = sorted(part for part in publication.iterdir() if part.name in PUBLIC_FILES and part.is_file())
    table = zip(statement.instruments, statement.totals, strict=True)
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
        "root": hex_words(statement.root),
        "value": {"quote": statement.quote, "decimals": statement.value_decimals},
        "total_liability": units(statement.total_liability, statement.value_decimals),
        "total_shortfall": units(statement.total_shortfall, statement.value_decimals),
        "totals": [
            {
                "symbol": instrument.symbol,
                "kind": instrument.kind,
                "price": units(instrument.price * 10**instrument.decimals, statement.value_decimals),
                "long": units(totals.long, instrument.decimals),
                "short": units(totals.short, instrument.decimals),
            }
            for instrument, totals in table
        ],
        "file_bytes": {part.name: part.stat().st_size for part in files},
        "queries": params.queries,
        "blowup": params.blowup,
        "soundness_bits": soundness_bits(shape, params, statement.log2_rows),
        "account_tree_bits": ACCOUNT_TREE_BITS,
        "rounds": [
            {"name": each.name, "bits": round(each.bits, 1), "grinding_bits": each.grinding_bits}
            for each in rounds(shape, params, statement.log2_rows)
        ],
    }


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
