"""How fast this machine proves: synthetic accounts, real proofs, each of them verified."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from api.cli.options import Profile
from api.cli.output import ACCEPTED, REJECTED, Output
from prover.capacity import choose_log2_rows
from prover.errors import InputError
from prover.publication import ProveReport, prove_directory
from prover.snapshot import Snapshot, seal
from prover.snapshot_meta import ZERO_DIGEST, SnapshotMeta
from prover.terms import choose_circuit
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
MOVES: Final = (-10, -20, -30, -50, 20, 50, -5, -15, -40, -60)
"""Percent, scenario by scenario."""


def run_bench(
    accounts: int,
    entries: int,
    profile: Profile,
    runs: int,
    seed: int,
    output: Output,
    circuit: str | None = None,
    scenarios: int = 0,
) -> int:
    """`solvent bench`; see there."""
    instruments = max(INSTRUMENTS_MIN, entries)
    margins = scenarios > 0 or (circuit is not None and CIRCUITS[circuit].lenses > 0)
    snapshot = synthetic_snapshot(1, entries, instruments, seed, margins=margins)
    circuit = choose_circuit(snapshot.meta.instruments, scenarios, circuit)
    size = entries, (len(BUCKETS) + 1 if margins else 2) * instruments, CIRCUITS[circuit].record_rows
    if not _fits(accounts, *size):
        expected = f"at most {_most_accounts(*size)} accounts with {entries} entries: one proof holds 2^21 rows"
        raise InputError(field="--accounts", got=str(accounts), expected=expected)
    snapshot = synthetic_snapshot(accounts, entries, instruments, seed, margins=margins)
    stress = stress_scenarios(snapshot.meta.instruments, scenarios)
    proved: list[tuple[float, ProveReport]] = []
    reports: list[Report] = []
    with tempfile.TemporaryDirectory(prefix="solvent-bench-") as folder, output.progress() as progress:
        for run in range(runs):
            out = Path(folder) / f"run{run}"
            started = time.perf_counter()
            report = prove_directory(
                snapshot, out, profile=profile.value, circuit=circuit, scenarios=stress, progress=progress
            )
            proved.append((time.perf_counter() - started - report.phase_seconds.get(COMPILE_PHASE, 0.0), report))
            progress("verify", 0.0)
            reports.append(verify_directory(out, profile=profile.value, circuit=circuit))
            progress("verify", 1.0)
    figures = _figures(accounts, entries, profile, proved, reports) | {"circuit": circuit, "scenarios": scenarios}
    output.json(figures)
    _print(figures, output)
    return ACCEPTED if all(report.accepted for report in reports) else REJECTED


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
        user_ids=pa.chunked_array([pa.array([f"user{i:08d}" for i in range(accounts)])]),
        nonces=np.zeros((accounts, 32), np.uint8),
        has_nonce=np.zeros(accounts, bool),
        lines=np.arange(1, accounts + 1, dtype=np.uint32),
        offsets=np.arange(accounts + 1, dtype=np.int64) * entries,
        positions=positions.reshape(-1).astype(np.uint16),
        amounts=amounts.reshape(-1).astype(np.uint64),
    )
    return seal(snapshot, f"{seed + 1:064x}")


def stress_scenarios(instruments: Sequence[Instrument], count: int) -> tuple[Scenario, ...]:
    """The first `count` scenarios, in each of which all prices move alike."""
    return tuple(
        Scenario(f"All assets {move:+} %", tuple(i.price * (100 + move) // 100 for i in instruments))
        for move in MOVES[:count]
    )


def _fits(accounts: int, entries: int, totals: int, record_rows: int) -> bool:
    try:
        choose_log2_rows(accounts, accounts * entries, totals, record_rows=record_rows)
    except InputError:
        return False
    return True


def _most_accounts(entries: int, totals: int, record_rows: int) -> int:
    low, high = 0, 1 << 21
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _fits(middle, entries, totals, record_rows) else (low, middle - 1)
    return low


def _figures(
    accounts: int,
    entries: int,
    profile: Profile,
    proved: Sequence[tuple[float, ProveReport]],
    reports: Sequence[Report],
) -> dict[str, Any]:
    seconds = statistics.median(each for each, _ in proved)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    phases = [report.phase_seconds for _, report in proved]
    first, verified = proved[0][1], reports[0]
    return {
        "verdict": "verified" if all(report.accepted for report in reports) else "rejected",
        "accounts": accounts,
        "entries_per_account": entries,
        "profile": profile.value,
        "runs": len(proved),
        "cores": cores,
        "prove_seconds": seconds,
        "accounts_per_second": accounts / seconds,
        "accounts_per_second_per_core": accounts / seconds / cores,
        "phase_seconds": {name: statistics.median(each[name] for each in phases) for name in phases[0]},
        "peak_memory_bytes": max(report.peak_memory_bytes for _, report in proved),
        "proof_bytes": int(statistics.median(report.proof_bytes for _, report in proved)),
        "verify_seconds": statistics.median(report.seconds for report in reports),
        "rows": first.rows,
        "used_rows": first.used_rows,
        "soundness_bits": verified.soundness_bits,
    }


def _print(figures: dict[str, Any], output: Output) -> None:
    output.line(
        f"{figures['circuit']}, {figures['scenarios']} scenarios, profile {figures['profile']}: "
        f"{figures['accounts']} accounts with {figures['entries_per_account']} entries, "
        f"{figures['rows']} rows ({figures['used_rows']} in use), {figures['cores']} cores, {figures['runs']} run(s)"
    )
    rows = [(name, f"{seconds:.2f}") for name, seconds in figures["phase_seconds"].items()]
    output.table(("phase", "seconds"), rows, right=("seconds",))
    rate, per_core = figures["accounts_per_second"], figures["accounts_per_second_per_core"]
    output.line(
        f"Proved in {figures['prove_seconds']:.2f} s, compilation aside: {rate:.0f} accounts/s, {per_core:.0f} per core"
    )
    output.line(
        f"Memory at most {figures['peak_memory_bytes'] / 2**20:.0f} MiB, proof {figures['proof_bytes']} bytes, "
        f"verified in {figures['verify_seconds']:.2f} s, {figures['soundness_bits']} provable bits"
    )
