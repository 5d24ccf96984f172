"""What margins and scenarios cost: the same accounts under every circuit, at several numbers of entries."""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from api.cli.bench import COMPILE_PHASE, stress_scenarios, synthetic_snapshot
from api.cli.bench_result import CIRCUITS_COMPARED, Point, check_place, document, write_result
from api.cli.output import ACCEPTED, REJECTED, Output
from prover.capacity import GROW_SLACK, rows_needed
from prover.publication import prove_directory
from verifier import verify_directory
from verifier.params import HIDDEN_ROWS
from verifier.solvency import CIRCUITS
from verifier.statement import levels_for

EQUITY: Final = "solvency_equity_v1"
LOG2_ROWS: Final = 18
RECORD_ROWS: Final = max(known.record_rows for known in CIRCUITS.values())
INSTRUMENTS_MIN: Final = 100


@dataclass(frozen=True)
class Case:
    """One row of the table. `target`: largest cost relative to `against`, per scenario where there are some."""

    entries: int
    circuit: str
    scenarios: int = 0
    target: float | None = None


CASES: Final = (
    *(Case(k, EQUITY) for k in (1, 3, 10, 50, 483)),
    Case(1, "solvency_risk_v1"),
    Case(3, "solvency_risk_v1", 0, 1.7),
    Case(10, "solvency_risk_v1"),
    Case(50, "solvency_risk_v1", 0, 1.2),
    Case(483, "solvency_risk_v1"),
    Case(3, "solvency_stress_v1_1", 1, 0.25),
    Case(3, "solvency_stress_v1_3", 3, 0.25),
    Case(3, "solvency_stress_v1_10", 10, 0.25),
    *(Case(k, "solvency_stress_v1_10", 10) for k in (1, 10, 50, 483)),
)


def accounts_that_fit(entries: int) -> int:
    """The most accounts that 2^18 rows hold under every circuit, in hundreds or tens."""
    capacity = (1 << LOG2_ROWS) - HIDDEN_ROWS
    capacity -= capacity // GROW_SLACK
    totals = 3 * max(INSTRUMENTS_MIN, entries)
    accounts = capacity // 8
    while rows_needed(accounts, entries * accounts, totals, levels_for(LOG2_ROWS), RECORD_ROWS) > capacity:
        accounts -= max(1, accounts // 200)
    return accounts // 10 * 10


def run_comparison(profile: str, runs: int, seed: int, output: Output, out: Path | None = None) -> int:
    """`solvent bench --compare`: each case `runs` times, one round after the other, so that noise meets all alike."""
    check_place(out)
    seconds: dict[Case, list[float]] = {case: [] for case in CASES}
    verified = dict.fromkeys(CASES, True)
    with output.progress() as progress:
        for run in range(runs):
            for number, case in enumerate(CASES):
                progress(f"round {run + 1} of {runs}", number / len(CASES))
                taken, good = _prove(case, profile, seed)
                seconds[case].append(taken)
                verified[case] &= good
            progress(f"round {run + 1} of {runs}", 1.0)
    points = _points(seconds, verified)
    result = document(CIRCUITS_COMPARED, {"profile": profile, "runs": runs, "seed": seed}, points)
    write_result(out, result)
    output.json(result)
    _print(points, output)
    return ACCEPTED if all(verified.values()) else REJECTED


def _prove(case: Case, profile: str, seed: int) -> tuple[float, bool]:
    margins = CIRCUITS[case.circuit].lenses > 0
    instruments = max(INSTRUMENTS_MIN, case.entries)
    snapshot = synthetic_snapshot(accounts_that_fit(case.entries), case.entries, instruments, seed, margins=margins)
    stress = stress_scenarios(snapshot.meta.instruments, case.scenarios)
    with tempfile.TemporaryDirectory(prefix="solvent-bench-") as folder:
        out = Path(folder) / "out"
        started = time.perf_counter()
        report = prove_directory(snapshot, out, profile=profile, circuit=case.circuit, scenarios=stress)
        taken = time.perf_counter() - started - report.phase_seconds.get(COMPILE_PHASE, 0.0)
        return taken, verify_directory(out, profile=profile, circuit=case.circuit).accepted


def _points(seconds: dict[Case, list[float]], verified: dict[Case, bool]) -> list[Point]:
    medians = {case: statistics.median(taken) for case, taken in seconds.items()}
    risk = {case.entries: taken for case, taken in medians.items() if case.circuit == "solvency_risk_v1"}
    equity = {case.entries: taken for case, taken in medians.items() if case.circuit == EQUITY}
    return [
        {
            "accounts": accounts_that_fit(case.entries),
            "entries_per_account": case.entries,
            "circuit": case.circuit,
            "scenarios": case.scenarios,
            "runs": len(seconds[case]),
            "verified": verified[case],
            "prove_seconds": medians[case],
            "prove_seconds_runs": seconds[case],
            "times_equity": medians[case] / equity[case.entries],
            "added_per_scenario": (medians[case] / risk[case.entries] - 1) / case.scenarios if case.scenarios else None,
            "target": case.target,
        }
        for case in sorted(medians, key=lambda case: case.entries)
    ]


def _print(points: list[Point], output: Output) -> None:
    columns = ("entries", "circuit", "accounts", "us/account", "x equity", "per scenario", "target")
    rows = [
        (
            str(point["entries_per_account"]),
            point["circuit"],
            str(point["accounts"]),
            f"{1e6 * point['prove_seconds'] / point['accounts']:.1f}",
            f"{point['times_equity']:.2f}",
            f"{100 * point['added_per_scenario']:+.1f} %" if point["scenarios"] else "",
            "" if point["target"] is None else str(point["target"]),
        )
        for point in points
    ]
    output.table(columns, rows, right=[name for name in columns if name != "circuit"])
