"""The columns of value records in a trace: what each account is worth under every lens, and what is lost in total."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

import numpy as np
import numpy.typing as npt

from circuits.gadgets.records import RecordLayout
from circuits.solvency import COLUMNS
from prover.kernels.accounts import OK, encode_carry
from prover.kernels.records import fill_records
from prover.kernels.threads import run_ranges
from verifier.solvency import LENS_POSITIONS

Words = npt.NDArray[np.uint32]
Int64 = npt.NDArray[np.int64]
NO_CARRY_HIGH = 128
"""A carry of 0 is low 0 and high 128."""


@dataclass(frozen=True)
class RecordValues:
    """What the records of a trace say.

    Args:
        losses: per lens, the exact sum of max(0, -value) over all accounts, in value units.
        negative: (n, K) whether the account's value is below zero.
        at_fault: first account with a value of 2^112 or more under some lens, or None.
    """

    losses: tuple[int, ...]
    negative: npt.NDArray[np.bool_]
    at_fault: int | None


def fill_record_columns(
    trace: Words,
    layout: RecordLayout,
    active: int,
    open_rows: Int64,
    offsets: Int64,
    legs: npt.NDArray[np.uint16],
    amounts: npt.NDArray[np.uint64],
    lens_digits: Int64,
) -> RecordValues:
    """Write digits, signs, bytes and carries. Args as for `prover.kernels.records.fill_records`."""
    accounts, lenses = len(open_rows), layout.lenses
    first = len(COLUMNS)
    first_high = first + len(layout.columns) - len(layout.cells("high"))
    trace[first_high : first + len(layout.columns), :active] = NO_CARRY_HIGH
    negative = np.zeros((accounts, lenses), np.bool_)
    sums = np.zeros((lenses, LENS_POSITIONS), np.int64)
    failures: list[int] = []
    lock = Lock()

    def fill(start: int, stop: int) -> None:
        own = np.zeros_like(sums)
        status, index = fill_records(
            trace, first, layout.rows, active, open_rows, offsets, legs, amounts, lens_digits, negative, own, start,
            stop,
        )  # fmt: skip
        with lock:
            np.add(sums, own, out=sums)
            if status != OK:
                failures.append(index)

    run_ranges(fill, accounts)
    _totals_record(trace, layout, sums)
    losses = tuple(sum(int(part) << (8 * k) for k, part in enumerate(row)) for row in sums)
    return RecordValues(losses, negative, min(failures, default=None))


def _totals_record(trace: Words, layout: RecordLayout, sums: Int64) -> None:
    """Rows 0 .. R-1: carries from the byte sums to words of 16 bits at even positions, the limbs of the loss rows."""
    low, high = (len(COLUMNS) + layout.columns.index(f"lens0_{kind}0") for kind in ("low", "high"))
    for lens in range(layout.lenses):
        loss = sum(int(part) << (8 * k) for k, part in enumerate(sums[lens]))
        carry = 0
        for k in range(LENS_POSITIONS):
            word = 0 if k % 2 else loss >> (8 * k) & 0xFFFF
            carry = (int(sums[lens, k]) - word + carry) >> 8
            at, row = lens * layout.window + k % layout.window, layout.rows - 1 - k // layout.window
            trace[low + at, row], trace[high + at, row] = encode_carry(np.int64(carry))
