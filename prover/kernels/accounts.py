"""Trace cells of whole accounts: open, entries, close. One pass per account, in exact 64-bit integers.

Canonical words throughout: these cells are the edge where plain numbers enter.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from prover.kernels.registry import compiled

Int64 = npt.NDArray[np.int64]
U32 = npt.NDArray[np.uint32]

LIMBS_CARRIES = 13
_P = 2**31 - 2**24 + 1
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
    """Write the cells of accounts start .. stop-1 and their liabilities; all but the chaining values and the permutation.

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
    b, is_open, is_entry, is_close, count = at[0], at[1], at[2], at[3], at[4]
    y, u, total_id, cap, d = at[5], at[6], at[7], at[8], at[9]
    a = np.zeros(14, np.int64)
    limbs = np.zeros(7, np.int64)
    for i in range(start, stop):
        row = rows[i]
        a[:] = 0
        trace[is_open, row] = 1
        for k in range(8):
            trace[b + k, row] = identities[i, k]
        previous = np.int64(-1)
        for e in range(offsets[i], offsets[i + 1]):
            r = row + 1 + e - offsets[i]
            leg = np.int64(legs[e])
            amount = amounts[e]
            if amount > caps[leg]:
                return ABOVE_CAP, i
            slack = caps[leg] - amount
            trace[is_entry, r] = 1
            trace[b, r] = leg
            trace[count, r] = e - offsets[i] + 1
            trace[total_id, r] = total_ids[leg]
            for k in range(4):
                shift = np.uint64(16 * k)
                trace[b + 1 + k, r] = (amount >> shift) & np.uint64(0xFFFF)
                trace[u + k, r] = (slack >> shift) & np.uint64(0xFFFF)
                trace[cap + k, r] = (caps[leg] >> shift) & np.uint64(0xFFFF)
            trace[u + 4, r] = leg - previous - 1 if previous >= 0 else 0
            trace[u + 5, r] = 16 * (e - offsets[i] + 1)
            for k in range(7):
                digit = digits[leg, k]
                trace[d + k, r] = digit if digit >= 0 else digit + _P
            for k in range(8):
                byte = np.int64((amount >> np.uint64(8 * k)) & np.uint64(255))
                trace[y + k, r] = byte
                for j in range(7):
                    a[k + j] += byte * digits[leg, j]
            previous = leg
        sign = signed_value(a, limbs)
        if sign < 0:
            return TOO_LARGE, i
        r = row + 1 + offsets[i + 1] - offsets[i]
        trace[is_close, r] = 1
        trace[b, r] = 5
        trace[b + 1, r] = offsets[i + 1] - offsets[i]
        trace[count, r] = offsets[i + 1] - offsets[i]
        for k in range(6):
            trace[b + 2 + k, r] = blindings[i, k]
        trace[cap, r] = sign
        for k in range(7):
            trace[u + k, r] = limbs[k]
            liability = 0 if sign else limbs[k]
            trace[d + k, r] = liability
            liabilities[i, k] = liability
        carry = np.int64(0)
        for k in range(LIMBS_CARRIES):
            value = np.int64(0)
            if k % 2 == 0:
                value = -limbs[k // 2] if sign else limbs[k // 2]
            carry = (a[k] - value + carry) >> np.int64(8)
            low, high = encode_carry(carry)
            if k < 10:
                trace[u + k, row] = low
            else:
                trace[u + 7 + k - 10, r] = low
            if k < 5:
                trace[y + k, row] = high
            else:
                trace[y + k - 5, r] = high
    return OK, 0


@compiled
def sum_bytes(
    total_ids: Int64, legs: npt.NDArray[np.uint16], amounts: npt.NDArray[np.uint64], out: Int64
) -> None:
    """Add the bytes of every amount to `out` (total ids, 8): exact while fewer than 2^55 entries."""
    for e in range(len(legs)):
        t = total_ids[legs[e]]
        for k in range(8):
            out[t, k] += np.int64((amounts[e] >> np.uint64(8 * k)) & np.uint64(255))
