"""`solvent simulate` and `solvent replay`: a venue in real markets, and its journal read again."""

from __future__ import annotations

import json as json_module
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from api.cli.options import Json, require_directory, require_file
from api.cli.output import ACCEPTED, REJECTED, Output
from prover.errors import InputError
from verifier.errors import VerificationError

if TYPE_CHECKING:
    from exchange.audit import Check
    from exchange.events import QuotesTaken
    from exchange.journal import Journal
    from exchange.population import Depth
    from exchange.simulate import Bars, Simulation
    from exchange.state import Ledger

JOURNAL: Final = "journal.db"
REPORT: Final = "report.json"
PAGE: Final = "report.html"
SNAPSHOTS: Final = "snapshots"


def simulate(
    market: Annotated[
        list[Path], typer.Option(metavar="FILE", help="Bars of one market, CSV or gzip; once per market.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to make: journal, report.html, report.json.")],
    accounts: Annotated[int, typer.Option(metavar="N", min=5, help="Accounts, four market makers included.")] = 10_000,
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="Same seed, same bars: same journal.")] = 1,
    depth: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Depth of a real book over time, which the makers follow.")
    ] = None,
    snapshot_every: Annotated[
        int, typer.Option(metavar="D", min=0, help="A snapshot for `solvent prove` after every D bars; 0: none.")
    ] = 0,
    json: Json = False,
) -> int:
    """Run the venue through real bars: a seeded population trades, crashes liquidate, every event is journalled.

    Ends with the audit of the journal. Exit code 1: a figure of it differs from the ledger's, or an invariant of the
    ledger did not hold at some price.
    """
    from api.importers.bars import read_markets
    from api.importers.depth import read_depth

    output = Output(json)
    bars, times = read_markets(market)
    book = None if depth is None else read_depth(depth)
    if out.exists():
        raise InputError(field="--out", got=str(out), expected="a path that does not exist yet")
    out.mkdir(parents=True)
    try:
        simulation, figures = run_simulation(Plan(bars, times, book, accounts, seed, snapshot_every, out), output)
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)  # nothing half-written
        raise
    return _finish(simulation, {"accounts": accounts, "seed": seed, **figures}, out, output)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for."""

    bars: list[Bars]
    times: list[int]
    depth: Depth | None
    accounts: int
    seed: int
    snapshot_every: int
    out: Path


def run_simulation(plan: Plan, output: Output) -> tuple[Simulation, dict[str, Any]]:
    """Runs it into the folder, which is there: the journal, and snapshots; then audits the journal.

    Returns:
        The simulation, and for the report: seconds, frame, state hash, broken invariants, the audit's figures.
    """
    from api.ledger_snapshots import write_ledger_snapshot
    from api.simulated_sources import SimulatedSources, simulated_sources
    from exchange.engine import Engine, GroupedSink
    from exchange.journal import Journal, journal_url
    from exchange.population import Population
    from exchange.simulate import Simulation, venue_for
    from exchange.state import Ledger

    started = time.perf_counter()
    journal = Journal(journal_url(plan.out / JOURNAL), venue_for(plan.bars, simulated_sources()))
    bar_commit = GroupedSink(journal)
    engine = Engine(Ledger(journal.venue), bar_commit)
    ledger = engine.ledger
    sources = SimulatedSources(journal.venue, plan.bars, plan.seed)
    population = Population(ledger, plan.accounts, plan.seed, plan.depth)
    simulation = Simulation(engine, population, plan.bars, plan.times, sources.command)
    with output.progress() as progress:

        def after_bar(number: int) -> None:
            bar_commit.flush()
            progress("simulate", (number + 1) / len(plan.times))
            if plan.snapshot_every and (number + 1) % plan.snapshot_every == 0:
                write_ledger_snapshot(ledger, plan.out / SNAPSHOTS / f"{ledger.sequence:012d}")

        simulation.after_bar = after_bar
        simulation.run()
        seconds = time.perf_counter() - started
        state_hash = journal.add_checkpoint(ledger).hex()
        progress("audit", 0.0)
        checks = _audit(journal, ledger)
        progress("audit", 1.0)
    journal.close()
    return simulation, {
        "seconds": round(seconds, 3),
        "sequence": ledger.sequence,
        "state_hash": state_hash,
        "invariants_broken": simulation.broken,
        "audit": [_check_data(check) for check in checks],
    }


def _finish(simulation: Simulation, extra: dict[str, Any], out: Path, output: Output) -> int:
    from api.cli.simulation_report import report_data, report_html

    data = report_data(simulation, extra)
    (out / REPORT).write_text(json_module.dumps(data) + "\n")
    (out / PAGE).write_text(report_html(simulation, data))
    good = all(check["ok"] for check in extra["audit"]) and not extra["invariants_broken"]
    totals = data["totals"]
    output.json({"verdict": "audit passed" if good else "audit failed", "out": str(out), **extra, "totals": totals})
    _print_audit(extra["audit"], output)
    for message in extra["invariants_broken"]:
        output.line(f"Broken: {message}", mood="bad")
    output.line(
        f"{totals['bars']} bars, {totals['commands']} commands, {totals['trades']} trades in {extra['seconds']:.1f} s"
    )
    output.line(
        f"{totals['liquidations']} liquidations: {totals['liquidated']:.0f} through the book, "
        f"{totals['deleveraged']:.0f} deleveraged, {totals['fund_paid']:.0f} paid by the fund (quote units)"
    )
    output.line(f"Fund {totals['fund_at_end']:.0f}, bad debt {totals['bad_debt_at_end']:.0f} at the end")
    output.line(f"State {extra['state_hash']} at frame {extra['sequence']}; report: {out / PAGE}")
    output.line("Audit passed" if good else "Audit FAILED", mood="good" if good else "bad")
    return ACCEPTED if good else REJECTED


def replay(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="What `solvent simulate` wrote.")],
    json: Json = False,
) -> int:
    """Recompute the state from the journal alone, every link checked, and compare its hash with the report's."""
    from exchange.errors import LedgerError
    from exchange.journal import Journal, journal_url
    from exchange.recovery import recover

    output = Output(json)
    require_directory(directory, "the folder of a simulation")
    require_file(directory / JOURNAL, "a journal")
    require_file(directory / REPORT, "a report")
    try:
        report = json_module.loads((directory / REPORT).read_text())
        expected, sequence = str(report["state_hash"]), int(report["sequence"])
    except (ValueError, KeyError, TypeError):
        raise InputError(file=directory / REPORT, got="something else", expected="a report of a simulation") from None
    started = time.perf_counter()
    try:
        journal = Journal(journal_url(directory / JOURNAL))
        found = recover(journal, from_start=True)
        checks = _audit(journal, found.ledger, signatures=True)
    except LedgerError as error:
        output.json({"verdict": "rejected", "message": str(error)})
        output.line(f"Journal broken: {error}", mood="bad")
        return REJECTED
    from exchange.statehash import state_hash

    state, seconds = state_hash(found.ledger).hex(), time.perf_counter() - started
    good = state == expected and found.ledger.sequence == sequence and all(check.ok for check in checks)
    output.json(
        {
            "verdict": "same state" if good else "rejected",
            "state_hash": state,
            "expected": expected,
            "sequence": found.ledger.sequence,
            "seconds": round(seconds, 3),
            "audit": [_check_data(check) for check in checks],
        }
    )
    _print_audit([_check_data(check) for check in checks], output)
    output.line(f"State {state} at frame {found.ledger.sequence}, replayed in {seconds:.1f} s")
    if state != expected or found.ledger.sequence != sequence:
        output.line(f"The report says {expected} at frame {sequence}")
    output.line("Same state" if good else "Verdict: rejected", mood="good" if good else "bad")
    journal.close()
    return ACCEPTED if good else REJECTED


def _audit(journal: Journal, ledger: Ledger, *, signatures: bool = False) -> list[Check]:
    """With `signatures` also whether every price rests on signed documents that say so: 1 ms per document."""
    from exchange.audit import Auditor, Check
    from exchange.events import QuotesTaken, unpack_frames

    auditor = Auditor(journal.venue)
    taken = signed = 0
    for block in journal.blocks():
        for frame in unpack_frames(block.payload):
            auditor.read((frame,))
            for event in frame.events if signatures else ():
                if type(event) is QuotesTaken:
                    taken += 1
                    signed += _is_signed(journal, event, frame.time_ms)
    checks = auditor.compare(ledger)
    return [*checks, Check("quotes that signed documents support", taken, signed)] if signatures else checks


def _is_signed(journal: Journal, event: QuotesTaken, time_ms: int) -> bool:
    from api.feed import check_taken

    try:
        check_taken(journal.venue, event, time_ms)
    except (InputError, VerificationError):
        return False
    return True


def _check_data(check: Check) -> dict[str, Any]:
    return {
        "name": check.name,
        "left": str(check.left),
        "right": str(check.right),
        "ok": check.ok,
        "detail": check.detail,
    }


def _print_audit(checks: list[dict[str, Any]], output: Output) -> None:
    rows = [
        (
            "ok" if check["ok"] else "FAIL",
            " ".join(filter(None, (check["name"], check["detail"]))),
            check["left"],
            check["right"],
        )
        for check in checks
    ]
    output.table(("", "check", "audit", "ledger"), rows, right=("audit", "ledger"))
