"""Where the time of one proof goes, against what its operations and its bytes take at least on this machine."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

from api.cli.bench import INSTRUMENTS_MIN, synthetic_snapshot
from api.cli.options import Profile
from api.cli.output import ACCEPTED, REJECTED, Output
from prover.floors import Shape, phase_work
from prover.kernels.rates import Rates, hashing_seconds, measure_rates
from prover.kernels.threads import limited_to, thread_count
from prover.progress import PHASES, Progress
from prover.publication import ProveReport, prove_directory
from prover.snapshot import Snapshot
from verifier import verify_directory
from verifier.params import accepted_profile
from verifier.solvency import constraint_system

CIRCUIT = "solvency_equity_v1"
HASHING_TARGET = 40
"""Proving takes at most this many times as long as hashing the accounts and their tree with the same kernels."""


def run_floors(accounts: int, entries: int, profile: Profile, runs: int, seed: int, output: Output) -> int:
    """`solvent bench --floors`: one shard, by one thread and by all."""
    snapshot = synthetic_snapshot(accounts, entries, max(INSTRUMENTS_MIN, entries), seed)
    everything, tables, accepted = thread_count(), [], True
    with output.progress() as progress:
        for threads in sorted({1, everything}):
            with limited_to(threads):
                proved, verified = _prove(snapshot, profile, runs, progress)
                tables.append(_figures(proved, profile, threads))
            accepted &= verified
    data = {
        "verdict": "verified" if accepted else "rejected",
        "accounts": accounts,
        "entries_per_account": entries,
        "profile": profile.value,
        "circuit": CIRCUIT,
        "runs": runs,
        "tables": tables,
    }
    output.json(data)
    for table in tables:
        _print(table, output)
    return ACCEPTED if accepted else REJECTED


def _prove(snapshot: Snapshot, profile: Profile, runs: int, progress: Progress) -> tuple[list[ProveReport], bool]:
    """One proof to warm up and `runs` more; whether the verifier accepts all of these."""
    reports, accepted = [], True
    with tempfile.TemporaryDirectory(prefix="solvent-bench-") as folder:
        for run in range(runs + 1):
            out = Path(folder) / f"run{run}"
            report = prove_directory(snapshot, out, profile=profile.value, circuit=CIRCUIT, progress=progress)
            if run:
                reports.append(report)
                accepted &= verify_directory(out, profile=profile.value, circuit=CIRCUIT).accepted
    return reports, accepted


def _figures(reports: list[ProveReport], profile: Profile, threads: int) -> dict[str, Any]:
    """Medians by phase with their floors. One thread is timed by its processor time, several by the clock."""
    rates = measure_rates()
    timed = [report.phase_cpu_seconds if threads == 1 else report.phase_seconds for report in reports]
    first = reports[0]
    shape = Shape(
        constraint_system(CIRCUIT), accepted_profile(profile.value), first.rows.bit_length() - 1, first.used_rows
    )
    work = phase_work(shape)
    phases = []
    for name in PHASES[1:]:
        seconds = statistics.median(each.get(name, 0.0) for each in timed)
        phases.append({"phase": name, "seconds": seconds, **_floor(work.get(name), seconds, rates, threads)})
    total = statistics.median(sum(each.get(name, 0.0) for name in PHASES[1:]) for each in timed)
    floor = sum(each["floor_seconds"] for each in phases)
    hashing = hashing_seconds(first.used_rows)
    return {
        "threads": threads,
        "clock": "processor" if threads == 1 else "wall",
        "rows": first.rows,
        "rates": vars(rates),
        "phases": phases,
        "seconds": total,
        "floor_seconds": floor,
        "ratio": total / floor,
        "tree_hashing_seconds": hashing,
        "tree_hashing_ratio": total / hashing,
        "tree_hashing_target": HASHING_TARGET,
    }


def _floor(work: Any, seconds: float, rates: Rates, threads: int) -> dict[str, Any]:
    if work is None:
        return {"compute_seconds": 0.0, "memory_seconds": 0.0, "floor_seconds": 0.0, "ratio": None}
    compute, memory = work.compute_seconds(rates, threads), work.memory_seconds(rates)
    floor = max(compute, memory)
    return {"compute_seconds": compute, "memory_seconds": memory, "floor_seconds": floor, "ratio": seconds / floor}


def _print(table: dict[str, Any], output: Output) -> None:
    rates = table["rates"]
    output.line(
        f"{table['threads']} thread(s), {table['rows']} rows, {table['clock']} time. Rates of one thread: "
        f"{rates['products'] / 1e9:.1f} G products/s, {rates['multiply_adds'] / 1e9:.1f} G multiply-adds/s, "
        f"{1e9 / rates['butterflies']:.2f} ns a butterfly, {rates['permutations'] / 1e6:.1f} M permutations/s, "
        f"{rates['blocks'] / 1e6:.0f} M hash blocks/s; memory {rates['bytes'] / 1e9:.0f} GB/s"
    )
    numbers = ("seconds", "operations", "bytes", "floor", "ratio")
    rows = [
        (
            each["phase"],
            f"{each['seconds']:.3f}",
            *(f"{each[key]:.3f}" if each["ratio"] else "" for key in _FLOORS),
            f"{each['ratio']:.1f}" if each["ratio"] else "",
        )
        for each in [*table["phases"], _total(table)]
    ]
    output.table(("phase", *numbers), rows, right=numbers)
    output.line(
        f"Hashing the same accounts and tree takes {table['tree_hashing_seconds']:.3f} s: proving takes "
        f"{table['tree_hashing_ratio']:.0f} times as long (target: at most {HASHING_TARGET})"
    )


_FLOORS = ("compute_seconds", "memory_seconds", "floor_seconds")


def _total(table: dict[str, Any]) -> dict[str, Any]:
    sums = {key: sum(each[key] for each in table["phases"]) for key in _FLOORS}
    return {"phase": "all", "seconds": table["seconds"], "ratio": table["ratio"], **sums}
