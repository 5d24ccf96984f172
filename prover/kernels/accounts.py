"""Trace cells of whole accounts: open, entries, close. One pass per account, in exact 64-bit integers.

Canonical words throughout: these cells are the edge where plain numbers enter.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from circuits.gadgets.values import CARRIES
from prover.kernels.registry import compiled
from verifier.field import P
from verifier.tree import TAG_END

Int64 = npt.NDArray[np.int64]
U32 = npt.NDArray[np.uint32]

_P = P
_TAG_END = TAG_END
OK, TOO_LARGE, ABOVE_CAP = 0, 1, 2


@compiled
def signed_value(coefficients: Int64, limbs: Int64) -> int:
    """Sign (0 or 1) of A(256) and its magnitude in 7 limbs of 16 bits; -1 when it does not fit in 112 bits.

    `coefficients` (14,) with |A_k| < 2^40, so partial sums stay far below 2^63. Overwrites `limbs` (7,).
    """
    for sign in range(2):
        carry = np.int64(0)
        for k in range(14):
            t = carry + (-coefficients[k] if sign else coefficients[k])
            digit = t & np.int64(255)
            carry = t >> np.int64(8)
            if k % 2 == 0:
                limbs[k // 2] = digit
            else:
                limbs[k // 2] += digit << np.int64(8)
        if carry == 0:
            return sign
    return -1


@compiled
def encode_carry(carry: np.int64) -> tuple[np.int64, np.int64]:
    """(u16, byte) with carry = u16 + 2^15 * byte - 2^22."""
    shifted = carry + np.int64(1 << 22)
    high = min(shifted >> np.int64(15), np.int64(255))
    return shifted - (high << np.int64(15)), high


@compiled
def _fill_entry(
    trace: U32,
    at: Int64,
    r: int,
    number: int,
    leg: int,
    gap: int,
    amount: np.uint64,
    cap: np.uint64,
    digits: Int64,
    coefficients: Int64,
) -> None:
    """Cells of one entry row; adds amount(X) * digits(X) to the 14 `coefficients`."""
    b, y, u, first_cap, d = at[0], at[5], at[6], at[8], at[9]
    slack = cap - amount
    trace[at[2], r] = 1
    trace[b, r] = leg
    trace[at[4], r] = number
    for k in range(4):
        shift = np.uint64(16 * k)
        trace[b + 1 + k, r] = (amount >> shift) & np.uint64(0xFFFF)
        trace[u + k, r] = (slack >> shift) & np.uint64(0xFFFF)
        trace[first_cap + k, r] = (cap >> shift) & np.uint64(0xFFFF)
    trace[u + 4, r] = gap
    trace[u + 5, r] = 16 * number
    for k in range(7):
        trace[d + k, r] = digits[k] if digits[k] >= 0 else digits[k] + _P
    for k in range(8):
        byte = np.int64((amount >> np.uint64(8 * k)) & np.uint64(255))
        trace[y + k, r] = byte
        for j in range(7):
            coefficients[k + j] += byte * digits[j]


@compiled
def _fill_value(
    trace: U32, at: Int64, open_row: int, close_row: int, coefficients: Int64, limbs: Int64, sign: int, liability: U32
) -> None:
    """Sign, magnitude and liability on the close row; carries on both. `liability` (7,) is overwritten."""
    y, u, d = at[5], at[6], at[9]
    trace[at[8], close_row] = sign
    for k in range(7):
        trace[u + k, close_row] = limbs[k]
        liability[k] = 0 if sign else limbs[k]
        trace[d + k, close_row] = liability[k]
    carry = np.int64(0)
    for k in range(CARRIES):
        value = np.int64(0)
        if k % 2 == 0:
            value = -limbs[k // 2] if sign else limbs[k // 2]
        carry = (coefficients[k] - value + carry) >> np.int64(8)
        low, high = encode_carry(carry)
        trace[u + (k if k < 10 else k - 3), open_row if k < 10 else close_row] = low
        trace[y + (k if k < 5 else k - 5), open_row if k < 5 else close_row] = high


@compiled
def fill_accounts(
    trace: U32,
    at: Int64,
    rows: Int64,
    identities: U32,
    blindings: U32,
    offsets: Int64,
    legs: npt.NDArray[np.uint16],
    amounts: npt.NDArray[np.uint64],
    digits: Int64,
    caps: npt.NDArray[np.uint64],
    total_ids: Int64,
    liabilities: U32,
    start: int,
    stop: int,
) -> tuple[int, int]:
    """Write the cells of accounts start .. stop-1, all but chaining values and permutations, and their liabilities.

    Args:
        trace: (columns, N) canonical, zero where this writes; `at` gives the first column of b, is_open, is_entry,
            is_close, count, y, u, total_id, cap, d (in this order).
        rows: (n,) row of each account's open row. identities (n, 8), blindings (n, 6) canonical words.
        offsets (n + 1,), legs (m,), amounts (m,): entries, legs ascending in an account, amounts < 2^63.
        digits (legs, 7) balanced in [-128, 127], caps (legs,), total_ids (legs,): the leg table.
        liabilities: (n, 7) overwritten with 16-bit limbs of max(0, equity).

    Returns:
        (status, account): OK, or TOO_LARGE / ABOVE_CAP with the first account at fault.
    """
    b, count = at[0], at[4]
    coefficients = np.zeros(14, np.int64)
    limbs = np.zeros(7, np.int64)
    for i in range(start, stop):
        row = rows[i]
        coefficients[:] = 0
        trace[at[1], row] = 1
        for k in range(8):
            trace[b + k, row] = identities[i, k]
        entries = offsets[i + 1] - offsets[i]
        for e in range(entries):
            leg = int(legs[offsets[i] + e])
            gap = leg - int(legs[offsets[i] + e - 1]) - 1 if e else 0
            amount = amounts[offsets[i] + e]
            if amount > caps[leg]:
                return ABOVE_CAP, i
            trace[at[7], row + 1 + e] = total_ids[leg]
            _fill_entry(trace, at, row + 1 + e, e + 1, leg, gap, amount, caps[leg], digits[leg], coefficients)
        sign = signed_value(coefficients, limbs)
        if sign < 0:
            return TOO_LARGE, i
        close = row + 1 + entries
        trace[at[3], close] = 1
        trace[b, close] = _TAG_END
        trace[b + 1, close] = entries
        trace[count, close] = entries
        for k in range(6):
            trace[b + 2 + k, close] = blindings[i, k]
        _fill_value(trace, at, row, close, coefficients, limbs, sign, liabilities[i])
    return OK, 0


@compiled
def sum_bytes(total_ids: Int64, legs: npt.NDArray[np.uint16], amounts: npt.NDArray[np.uint64], out: Int64) -> None:
    """Add the bytes of every amount to `out` (total ids, 8): exact while fewer than 2^55 entries."""
    for e in range(len(legs)):
        t = total_ids[legs[e]]
        for k in range(8):
            out[t, k] += np.int64((amounts[e] >> np.uint64(8 * k)) & np.uint64(255))
