"""How fast this machine proves: synthetic accounts, real proofs, each of them verified."""

from __future__ import annotations

import resource
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from api.cli.bench_result import RUN, Point, check_place, document, write_result
from api.cli.output import ACCEPTED, REJECTED, Output, Progress
from prover.kernels.threads import thread_count
from prover.publication import ProveReport, prove_directory
from prover.snapshot import Snapshot, seal
from prover.snapshot_meta import ZERO_DIGEST, SnapshotMeta
from prover.terms import choose_circuit
from prover.warm import compile_kernels
from verifier import verify_directory
from verifier.instruments import SPOT, Bucket, Instrument, Scenario, Tier
from verifier.report import Report
from verifier.solvency import CIRCUITS

COMPILE_PHASE: Final = "compile"
INSTRUMENTS_MIN: Final = 100
LONG_ATOMS: Final = (10**6, 10**12)
SHORT_ATOMS: Final = (1, 1_000)
PRICES: Final = (10**3, 10**4)
"""Any long position outweighs the one short position of its account, so that policy strict holds."""
BUCKETS: Final = (
    Bucket("free", ()),
    Bucket("margin", (Tier(10**9, 9_500), Tier(10**10, 8_000), Tier(10**11, 5_000))),
)
MARGIN: Final = (Tier(None, 500),)
"""Collateral rules of the synthetic instruments. Nobody holds more than the first tier: entries are as asked."""
IDS_AT_ONCE: Final = 1 << 17
MOVES: Final = (-10, -20, -30, -50, 20, 50, -5, -15, -40, -60)
"""Percent, scenario by scenario."""


@dataclass(frozen=True)
class Case:
    """What is measured at one point.

    Args:
        circuit: None takes equity without scenarios, the smallest stress circuit with some.
    """

    accounts: int
    entries: int
    profile: str
    runs: int
    seed: int
    circuit: str | None = None
    scenarios: int = 0


def run_bench(case: Case, output: Output, out: Path | None = None) -> int:
    """`solvent bench`; see there."""
    check_place(out)
    with output.progress() as progress:
        point = measure(case, progress)
    result = document(RUN, {"profile": case.profile, "runs": case.runs, "seed": case.seed}, [point])
    write_result(out, result)
    output.json(result)
    _print(point, output)
    return ACCEPTED if point["verified"] else REJECTED


def measure(case: Case, progress: Progress = lambda phase, fraction: None) -> Point:
    """Prove the case's accounts `runs` times, verify each proof, and give medians."""
    instruments = max(INSTRUMENTS_MIN, case.entries)
    margins = case.scenarios > 0 or (case.circuit is not None and CIRCUITS[case.circuit].lenses > 0)
    snapshot = synthetic_snapshot(case.accounts, case.entries, instruments, case.seed, margins=margins)
    circuit = choose_circuit(snapshot.meta.instruments, case.scenarios, case.circuit)
    stress = stress_scenarios(snapshot.meta.instruments, case.scenarios)
    compile_kernels(lambda fraction: progress(COMPILE_PHASE, fraction))
    proved: list[tuple[float, float, ProveReport]] = []
    reports: list[Report] = []
    for _ in range(case.runs):
        with tempfile.TemporaryDirectory(prefix="solvent-bench-") as folder:
            out = Path(folder) / "out"
            started, before = time.perf_counter(), cpu_seconds()
            report = prove_directory(
                snapshot, out, profile=case.profile, circuit=circuit, scenarios=stress, progress=progress
            )
            seconds = time.perf_counter() - started - report.phase_seconds.get(COMPILE_PHASE, 0.0)
            proved.append((seconds, cpu_seconds() - before, report))
            progress("verify", 0.0)
            reports.append(verify_directory(out, profile=case.profile, circuit=circuit))
            progress("verify", 1.0)
    return _figures(replace(case, circuit=circuit), proved, reports)


def cpu_seconds() -> float:
    """Processor time of this process and of those it has waited for, so far."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def synthetic_snapshot(accounts: int, entries: int, instruments: int, seed: int, *, margins: bool = False) -> Snapshot:
    """Accounts with exactly `entries` entries on distinct legs: one small debt (from two entries on), else holdings.

    With `margins` instruments have haircuts and margins, and all that is held is collateral. The same arguments give
    the same accounts.
    """
    random = np.random.default_rng(seed)
    # A walk with steps of at least one: sorted, distinct, and never beyond the table.
    steps = random.integers(1, instruments // entries + 1, (accounts, entries))
    sides = len(BUCKETS) + 1 if margins else 2
    positions = sides * np.cumsum(steps, axis=1) - 2  # the last side on which something is held
    amounts = random.integers(*LONG_ATOMS, (accounts, entries))
    if entries > 1:
        owed = random.integers(0, entries, accounts)
        rows = np.arange(accounts)
        positions[rows, owed] += 1
        amounts[rows, owed] = random.integers(*SHORT_ATOMS, accounts)
    prices = random.integers(*PRICES, instruments).tolist()
    meta = SnapshotMeta(
        exchange="bench",
        sequence=0,
        time="2026-01-01T00:00:00Z",
        ledger_state=ZERO_DIGEST,
        ledger_salt=ZERO_DIGEST,
        previous=ZERO_DIGEST,
        oracle_evidence=ZERO_DIGEST,
        quote="USDT",
        value_decimals=8,
        instruments=tuple(
            Instrument(f"asset{i:04d}", SPOT, 8, price, BUCKETS if margins else (), MARGIN if margins else ())
            for i, price in enumerate(prices)
        ),
        accounts=0,
        entries=0,
        source=(),
    )
    snapshot = Snapshot(
        meta=meta,
        user_ids=_user_ids(accounts),
        nonces=np.zeros((accounts, 32), np.uint8),
        has_nonce=np.zeros(accounts, bool),
        lines=np.arange(1, accounts + 1, dtype=np.uint32),
        offsets=np.arange(accounts + 1, dtype=np.int64) * entries,
        positions=positions.reshape(-1).astype(np.uint16),
        amounts=amounts.reshape(-1).astype(np.uint64),
    )
    return seal(snapshot, f"{seed + 1:064x}")


def _user_ids(count: int) -> pa.ChunkedArray:
    """user00000000 and so on, in pieces, so that ten million take little more memory than their text."""
    starts = range(0, count, IDS_AT_ONCE)
    pieces = ([f"user{i:08d}" for i in range(start, min(start + IDS_AT_ONCE, count))] for start in starts)
    return pa.chunked_array([pa.array(piece) for piece in pieces])


def stress_scenarios(instruments: Sequence[Instrument], count: int) -> tuple[Scenario, ...]:
    """The first `count` scenarios, in each of which all prices move alike."""
    return tuple(
        Scenario(f"All assets {move:+} %", tuple(i.price * (100 + move) // 100 for i in instruments))
        for move in MOVES[:count]
    )


def _figures(case: Case, proved: Sequence[tuple[float, float, ProveReport]], reports: Sequence[Report]) -> Point:
    seconds = [each for each, _, _ in proved]
    median, cores = statistics.median(seconds), thread_count()
    phases = [report.phase_seconds for _, _, report in proved]
    first, verified = proved[0][2], reports[0]
    return {
        "accounts": case.accounts,
        "entries_per_account": case.entries,
        "circuit": case.circuit,
        "scenarios": case.scenarios,
        "profile": case.profile,
        "runs": len(proved),
        "cores": cores,
        "verified": all(report.accepted for report in reports),
        "prove_seconds": median,
        "prove_seconds_runs": seconds,
        "prove_cpu_seconds": statistics.median(cpu for _, cpu, _ in proved),
        "accounts_per_second": case.accounts / median,
        "accounts_per_second_per_core": case.accounts / median / cores,
        "phase_seconds": {name: statistics.median(each[name] for each in phases) for name in phases[0]},
        "peak_memory_bytes": max(report.peak_memory_bytes for _, _, report in proved),
        "proof_bytes": int(statistics.median(report.proof_bytes for _, _, report in proved)),
        "verify_seconds": statistics.median(report.seconds for report in reports),
        "rows": first.rows,
        "shards": first.shards,
        "used_rows": first.used_rows,
        "soundness_bits": verified.soundness_bits,
    }


def _print(figures: Point, output: Output) -> None:
    output.line(
        f"{figures['circuit']}, {figures['scenarios']} scenarios, profile {figures['profile']}: "
        f"{figures['accounts']} accounts with {figures['entries_per_account']} entries, "
        f"{figures['rows']} rows ({figures['used_rows']} in use), {figures['cores']} cores, {figures['runs']} run(s)"
    )
    rows = [(name, f"{seconds:.2f}") for name, seconds in figures["phase_seconds"].items()]
    output.table(("phase", "seconds"), rows, right=("seconds",))
    rate, per_core = figures["accounts_per_second"], figures["accounts_per_second_per_core"]
    low, high = min(figures["prove_seconds_runs"]), max(figures["prove_seconds_runs"])
    output.line(
        f"Proved in {figures['prove_seconds']:.2f} s ({low:.2f} to {high:.2f}), compilation aside: "
        f"{rate:.0f} accounts/s, {per_core:.0f} per core; {figures['prove_cpu_seconds']:.2f} s of processor time"
    )
    output.line(
        f"Memory at most {figures['peak_memory_bytes'] / 2**20:.0f} MiB, proof {figures['proof_bytes']} bytes, "
        f"verified in {figures['verify_seconds']:.2f} s, {figures['soundness_bits']} provable bits"
    )
