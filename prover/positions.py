"""Positions: what an account holds and owes by total id, split into the entries of a proof, and valued exactly.

A snapshot says how much of each (instrument, bucket) an account holds, or owes. A proof counts in legs, of which a
position with haircut tiers has several. Nothing here rounds: values are sums of whole products, kept in limbs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from verifier.instruments import SPOT, Instrument
from verifier.legs import LONG, SHORT, Leg, derive_legs
from verifier.tree import VALUE_BITS

Flags = npt.NDArray[np.bool_]
Int64 = npt.NDArray[np.int64]
UInt16 = npt.NDArray[np.uint16]
UInt64 = npt.NDArray[np.uint64]

RISK_CIRCUIT = "solvency_risk_v1"
"""Any circuit with margins gives the legs of equity and health without scenarios."""
BLOCK_ENTRIES = 1 << 20
_LIMB_BITS = 21
_FACTOR_LIMBS = 3
_LIMBS = 2 * _FACTOR_LIMBS - 1
_MASK = (1 << _LIMB_BITS) - 1
_TOP_END = 1 << (VALUE_BITS - _LIMB_BITS * (_LIMBS - 1))
_NEVER = np.uint64(2**64 - 1)


@dataclass(frozen=True, slots=True)
class Side:
    """What a position id means. `bucket`: number within the instrument, or None where there are no buckets."""

    instrument: int
    side: str
    bucket: int | None


def position_sides(instruments: Sequence[Instrument]) -> tuple[Side, ...]:
    """By position id: per instrument its buckets (or one long side), then its short side."""
    sides: list[Side] = []
    for j, instrument in enumerate(instruments):
        buckets: Iterator[int | None] = iter(range(len(instrument.buckets)))
        sides.extend(Side(j, LONG, bucket) for bucket in (buckets if instrument.buckets else (None,)))
        sides.append(Side(j, SHORT, None))
    return tuple(sides)


def first_positions(instruments: Sequence[Instrument]) -> Int64:
    """Per instrument the id of its first long side; one more item: how many ids there are."""
    sizes = [max(1, len(instrument.buckets)) + 1 for instrument in instruments]
    return np.cumsum([0, *sizes], dtype=np.int64)


def is_plain(instruments: Sequence[Instrument]) -> bool:
    """Whether the equity circuit proves all of the table: spot only, no buckets, no margins."""
    return all(i.kind == SPOT and not i.buckets and not i.margin for i in instruments)


def split_positions(
    offsets: Int64, positions: UInt16, amounts: UInt64, legs: Sequence[Leg]
) -> tuple[Int64, UInt16, UInt64]:
    """Entries of a proof: each amount fills the legs of its total in order, the lowest tier first.

    Args:
        offsets: (n + 1,). positions: (m,) total ids, strictly increasing in an account. amounts: (m,) 1 to 2^63 - 1.
        legs: the leg table; legs of a total follow each other, and the last one has room for any amount.

    Returns:
        Offsets (n + 1,), legs (k,) strictly increasing in an account, amounts (k,); k >= m.
    """
    first, lower, caps = _tiers(legs)
    used = _legs_used(positions, amounts, lower)
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(used)])
    if int(ends[-1]) == len(positions):
        return offsets, first[positions].astype(np.uint16), amounts
    position = np.repeat(np.arange(len(positions)), used)
    tier_of = np.arange(len(position)) - ends[position]
    total = positions[position]
    pieces = np.minimum(amounts[position] - lower[total, tier_of], caps[total, tier_of])
    return ends[offsets], (first[total] + tier_of).astype(np.uint16), pieces


def count_entries(offsets: Int64, positions: UInt16, amounts: UInt64, legs: Sequence[Leg]) -> Int64:
    """(n,) how many entries of a proof each account has: what `split_positions` makes, without making it."""
    _, lower, _ = _tiers(legs)
    counts = np.zeros(len(offsets) - 1, np.int64)
    for start, stop in account_blocks(offsets):
        first, last = int(offsets[start]), int(offsets[stop])
        ends = np.zeros(last - first + 1, np.int64)
        np.cumsum(_legs_used(positions[first:last], amounts[first:last], lower), out=ends[1:])
        counts[start:stop] = np.diff(ends[offsets[start : stop + 1] - first])
    return counts


def account_blocks(offsets: Int64) -> Iterator[tuple[int, int]]:
    """Accounts start .. stop - 1 in pieces of some 2^20 entries: work on one piece at a time needs little memory."""
    start, accounts = 0, len(offsets) - 1
    while start < accounts:
        whole = int(np.searchsorted(offsets, offsets[start] + BLOCK_ENTRIES, side="right")) - 1
        stop = min(max(whole, start + 1), start + BLOCK_ENTRIES, accounts)
        yield start, stop
        start = stop


def _legs_used(positions: UInt16, amounts: UInt64, lower: UInt64) -> Int64:
    """Per amount, in how many tiers of its total there is some of it."""
    used = np.ones(len(positions), np.int64)
    live = np.arange(len(positions))
    for tier in range(1, lower.shape[1]):
        live = live[amounts[live] > lower[positions[live], tier]]
        if not len(live):
            break
        used[live] += 1
    return used


def _tiers(legs: Sequence[Leg]) -> tuple[Int64, UInt64, UInt64]:
    """By total: first leg (t,), lower edges (t, most tiers) in atoms with 2^64 - 1 after the last, caps likewise."""
    by_total: dict[int, list[Leg]] = {}
    for leg in legs:
        by_total.setdefault(leg.total, []).append(leg)
    shape = (len(by_total), max(map(len, by_total.values())))
    first = np.zeros(len(by_total), np.int64)
    lower, caps = np.full(shape, _NEVER), np.zeros(shape, np.uint64)
    for total, its_legs in by_total.items():
        first[total] = its_legs[0].index
        edge = 0
        for tier, leg in enumerate(its_legs):
            lower[total, tier], caps[total, tier] = edge, leg.cap
            edge += leg.cap
    return first, lower, caps


@dataclass(frozen=True)
class Values:
    """One exact value per account: sum of limbs[k, i] * 2^(21 k), all limbs but the last in [0, 2^21).

    Args:
        limbs: int64 (5, n).
    """

    limbs: Int64

    def of(self, account: int) -> int:
        """The value of one account, in value units."""
        return sum(int(limb) << (_LIMB_BITS * k) for k, limb in enumerate(self.limbs[:, account].tolist()))

    @property
    def negative(self) -> Flags:
        """(n,) which values are below zero."""
        flags: Flags = self.limbs[-1] < 0
        return flags

    @property
    def too_large(self) -> Flags:
        """(n,) which values are 2^112 or more in magnitude."""
        top = self.limbs[-1]
        is_round = (top == -_TOP_END) & ~self.limbs[:-1].any(axis=0)
        flags: Flags = (top >= _TOP_END) | (top < -_TOP_END) | is_round
        return flags

    def sums(self) -> tuple[int, int]:
        """Sum of the values above zero, and of the magnitudes of those below; no value may be too large."""
        negative = self.negative
        parts = [
            sum(int(limb) << (_LIMB_BITS * k) for k, limb in enumerate(self.limbs[:, chosen].sum(axis=1).tolist()))
            for chosen in (~negative, negative)
        ]
        return parts[0], -parts[1]


def account_values(offsets: Int64, entries: UInt16, amounts: UInt64, coefficients: Sequence[int]) -> Values:
    """Per account the sum of amount * coefficient, exact.

    Args:
        entries: (m,) index into `coefficients` (by position or by leg). amounts: (m,) below 2^63.
        coefficients: value units per atom, each below 2^56 in magnitude.
    """
    table = np.array([_limbs(value) for value in coefficients], np.int64).reshape(-1, _FACTOR_LIMBS)
    pieces = [
        ((amounts >> np.uint64(_LIMB_BITS * k)) & np.uint64(_MASK)).astype(np.int64) for k in range(_FACTOR_LIMBS)
    ]
    factors = [table[entries, k] for k in range(_FACTOR_LIMBS)]
    sums = np.zeros((_LIMBS, len(offsets) - 1), np.int64)
    carry = np.zeros(len(offsets) - 1, np.int64)
    running = np.zeros(len(entries) + 1, np.int64)
    for k in range(_LIMBS):
        # At most 3 products of 42 bits and 4,095 entries: below 2^56. The running sum may wrap, differences do not.
        terms = sum(pieces[i] * factors[k - i] for i in range(_FACTOR_LIMBS) if 0 <= k - i < _FACTOR_LIMBS)
        np.cumsum(terms, out=running[1:])
        sums[k] = running[offsets[1:]] - running[offsets[:-1]] + carry
        if k < _LIMBS - 1:
            carry = sums[k] >> _LIMB_BITS
            sums[k] &= _MASK
    return Values(sums)


def _limbs(value: int) -> tuple[int, ...]:
    """Three limbs of 21 bits, the last signed."""
    return value & _MASK, value >> _LIMB_BITS & _MASK, value >> (2 * _LIMB_BITS)


def equity_of(offsets: Int64, positions: UInt16, amounts: UInt64, instruments: Sequence[Instrument]) -> Values:
    """What each account holds less what it owes, at the prices of the table."""
    prices = [(1 if s.side == LONG else -1) * instruments[s.instrument].price for s in position_sides(instruments)]
    return account_values(offsets, positions, amounts, prices)


def health_of(offsets: Int64, positions: UInt16, amounts: UInt64, legs: Sequence[Leg], lens: int = 0) -> Values:
    """Each account under one lens of the leg table: 0 = health, haircut collateral less debts with margin."""
    split = split_positions(offsets, positions, amounts, legs)
    return account_values(*split, [leg.lens_coefficients[lens] for leg in legs])


def risk_legs(instruments: Sequence[Instrument], value_decimals: int) -> tuple[Leg, ...]:
    """The leg table of equity and health."""
    return derive_legs(RISK_CIRCUIT, value_decimals, tuple(instruments), ())


def find_overflow(
    offsets: Int64, positions: UInt16, amounts: UInt64, instruments: Sequence[Instrument], value_decimals: int
) -> tuple[int | None, str] | None:
    """The first account (or, with None, the total) that reaches 2^112 value units, and a phrase that says so."""

    def blocks() -> Iterator[tuple[int, tuple[Int64, UInt16, UInt64]]]:
        for start, stop in account_blocks(offsets):
            first, last = int(offsets[start]), int(offsets[stop])
            yield start, (offsets[start : stop + 1] - first, positions[first:last], amounts[first:last])

    equities = ((start, equity_of(*block, instruments)) for start, block in blocks())
    found = _overflow(equities, "worth", ("liability", "shortfall"))
    if found is None and not is_plain(instruments):
        legs = risk_legs(instruments, value_decimals)
        healths = ((start, health_of(*block, legs)) for start, block in blocks())
        found = _overflow(healths, "with a health of", ("health", "margin deficit"))
    return found


def _overflow(blocks: Iterable[tuple[int, Values]], verb: str, names: tuple[str, str]) -> tuple[int | None, str] | None:
    above = below = 0
    for start, values in blocks:
        too_large = values.too_large
        if too_large.any():
            index = int(too_large.argmax())
            return start + index, f"an account {verb} {values.of(index)} value units"
        sums = values.sums()
        above, below = above + sums[0], below + sums[1]
    for name, total in zip(names, (above, below), strict=True):
        if total >= 1 << VALUE_BITS:
            return None, f"a total {name} of {total} value units"
    return None
