"""`solvent bench --sweep`: the same measurement at many sizes, each in a process of its own.

A new process per point makes the peak memory that of the point, and keeps what one leaves behind (memory, caches of the
allocator) out of the next.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from api.cli.bench import Case, measure
from api.cli.bench_circuits import accounts_that_fit
from api.cli.bench_result import ACCOUNTS, Point, check_place, document, write_result
from api.cli.output import ACCEPTED, REJECTED, Output
from prover.errors import InputError

ACCOUNT_SIZES: Final = (10**3, 10**4, 10**5, 10**6)
FULL_SIZE: Final = 10**7
ENTRY_SIZES: Final = (1, 3, 10, 50, 483)


def run_sweep(kind: str, full: bool, case: Case, output: Output, out: Path | None = None) -> int:
    """`solvent bench --sweep`; the result is written after each point, so that a long run can be stopped.

    Args:
        kind: `bench_result.ACCOUNTS`, with the entries of `case`, or ENTRIES: as many accounts as 2^18 rows hold.
        full: ten million accounts as well.
    """
    if full and kind != ACCOUNTS:
        raise InputError(field="--full", expected="--sweep accounts with it")
    check_place(out)
    parameters = {
        "profile": case.profile, "runs": case.runs, "seed": case.seed, "circuit": case.circuit,
        "scenarios": case.scenarios,
    }  # fmt: skip
    cases, points = list(_cases(kind, full, case)), []
    result: dict[str, Any] = {}
    with output.progress() as progress:
        for each in cases:
            name = f"{each.accounts} x {each.entries}"
            progress(name, 0.0)
            points.append(in_a_new_process(measure, each))
            progress(name, 1.0)
            result = document(kind, parameters, points)
            write_result(out, result)
    output.json(result)
    _print(points, output)
    return ACCEPTED if result["verdict"] == "verified" else REJECTED


def in_a_new_process(function: Callable[[Case], Point], case: Case) -> Point:
    """`function(case)` in a process that starts afresh and ends with it. What it raises is raised here."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(function, case).result()
        except BrokenProcessPool:
            got = f"a process that was killed at {case.accounts} accounts"
            raise InputError(field="--sweep", got=got, expected="a machine with enough memory for it") from None


def _cases(kind: str, full: bool, case: Case) -> Iterator[Case]:
    if kind == ACCOUNTS:
        for accounts in (*ACCOUNT_SIZES, *((FULL_SIZE,) if full else ())):
            yield replace(case, accounts=accounts)
    else:
        for entries in ENTRY_SIZES:
            yield replace(case, accounts=accounts_that_fit(entries), entries=entries)


def _print(points: list[Point], output: Output) -> None:
    columns = ("accounts", "entries", "seconds", "us/account", "cpu us/account", "MiB", "proof bytes", "verified in")
    rows = [
        (
            str(point["accounts"]),
            str(point["entries_per_account"]),
            f"{point['prove_seconds']:.2f}",
            f"{1e6 * point['prove_seconds'] / point['accounts']:.1f}",
            f"{1e6 * point['prove_cpu_seconds'] / point['accounts']:.1f}",
            f"{point['peak_memory_bytes'] / 2**20:.0f}",
            str(point["proof_bytes"]),
            f"{point['verify_seconds']:.2f} s" if point["verified"] else "REJECTED",
        )
        for point in points
    ]
    output.table(columns, rows, right=columns)
