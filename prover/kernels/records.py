"""Trace cells of value records: digits on the entry rows; signs, bytes and carries on the record rows.

Canonical words, exact 64-bit integers. Layout: `circuits.gadgets.records`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from prover.kernels.accounts import OK, TOO_LARGE, encode_carry
from prover.kernels.registry import compiled
from verifier.field import P
from verifier.solvency import LENS_POSITIONS

Int64 = npt.NDArray[np.int64]
U32 = npt.NDArray[np.uint32]

_P = P
_POSITIONS = LENS_POSITIONS
_VALUE_BYTES = 14


@compiled
def signed_bytes(coefficients: Int64, out: Int64) -> int:
    """Sign (0 or 1) of A(256) and its magnitude in bytes; -1 when it does not fit in 14 bytes.

    `coefficients` (16,) with |A_k| < 2^40. Overwrites `out` (16,).
    """
    for sign in range(2):
        carry = np.int64(0)
        for k in range(_POSITIONS):
            t = carry + (-coefficients[k] if sign else coefficients[k])
            out[k] = t & np.int64(255)
            carry = t >> np.int64(8)
        if carry == 0:
            return sign if out[_VALUE_BYTES] == 0 and out[_VALUE_BYTES + 1] == 0 else -1
    return -1


@compiled
def _fill_record(
    trace: U32, first: int, lens: int, lenses: int, rows: int, row: int, coefficients: Int64, digits: Int64, sign: int
) -> None:
    """Cells of one lens in the record whose first row is `row`; column `first` is the sign of lens 0."""
    window = _POSITIONS // rows
    for m in range(rows):
        trace[first + lens, row + m] = sign
    carry = np.int64(0)
    for k in range(_POSITIONS):
        at, r = lens * window + k % window, row + rows - 1 - k // window
        carry = (coefficients[k] - (-digits[k] if sign else digits[k]) + carry) >> np.int64(8)
        low, high = encode_carry(carry)
        byte_column = first + lenses + at
        trace[byte_column, r] = digits[k]
        trace[byte_column + lenses * window, r] = low
        trace[byte_column + 2 * lenses * window, r] = high


@compiled
def fill_records(
    trace: U32,
    first: int,
    record_rows: int,
    end: int,
    open_rows: Int64,
    offsets: Int64,
    legs: npt.NDArray[np.uint16],
    amounts: npt.NDArray[np.uint64],
    lens_digits: Int64,
    negative: npt.NDArray[np.bool_],
    losses: Int64,
    start: int,
    stop: int,
) -> tuple[int, int]:
    """Write the digits and records of accounts start .. stop-1.

    Args:
        trace: (columns, N) canonical; column `first` is digit 0 of lens 0, and all columns of records follow.
        end: row after the last record; the record of account i of n is on the rows end - record_rows (n - i) ...
        open_rows: (n,) row of each account's open row. offsets (n + 1,), legs (m,), amounts (m,): entries.
        lens_digits: (legs, K, 7), balanced.
        negative: (n, K), overwritten: whether the account's value is below zero.
        losses: (K, 16), increased by the bytes of the values below zero.

    Returns:
        (OK, 0), or (TOO_LARGE, the first account with a value of 2^112 or more).
    """
    lenses, accounts = lens_digits.shape[1], len(open_rows)
    coefficients = np.zeros((lenses, _POSITIONS), np.int64)
    digits = np.zeros(_POSITIONS, np.int64)
    for i in range(start, stop):
        coefficients[:] = 0
        for e in range(offsets[i], offsets[i + 1]):
            leg, row = int(legs[e]), open_rows[i] + 1 + e - offsets[i]
            for s in range(lenses):
                for j in range(7):
                    digit = lens_digits[leg, s, j]
                    trace[first + 7 * s + j, row] = digit if digit >= 0 else digit + _P
                    for k in range(8):
                        byte = np.int64((amounts[e] >> np.uint64(8 * k)) & np.uint64(255))
                        coefficients[s, k + j] += byte * digit
        record = end - record_rows * (accounts - i)
        for s in range(lenses):
            sign = signed_bytes(coefficients[s], digits)
            if sign < 0:
                return TOO_LARGE, i
            negative[i, s] = sign == 1
            _fill_record(trace, first + 7 * lenses, s, lenses, record_rows, record, coefficients[s], digits, sign)
            if sign:
                for k in range(_POSITIONS):
                    losses[s, k] += digits[k]
    return OK, 0


@compiled
def count_words(column: U32, counts: Int64) -> None:
    """Add to counts (65536,) how often each word of a column (n,) occurs; words below 2^16."""
    for i in range(len(column)):
        counts[column[i]] += 1


@compiled
def count_pairs(low: U32, high: U32, counts: Int64) -> None:
    """Add to counts (65536,) how often each (low, high) of two columns of bytes occurs, at low + 256 high."""
    for i in range(len(low)):
        counts[low[i] + 256 * high[i]] += 1
