"""The public leg table, derived from the instrument table: what an entry of an account may refer to.

Circuit `solvency_equity_v1`: leg 2 j is the long side of instrument j and leg 2 j + 1 its short side, both
with the cap 2^63 - 1. Every leg has a total of its own, with the leg's number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from verifier.errors import BadStatement, Reason
from verifier.statement import PRICE_END, Instrument

AMOUNT_CAP = 2**63 - 1
"""Largest amount of one entry, in atoms."""
DIGITS = 7
LONG, SHORT = "long", "short"
SIDES = (LONG, SHORT)


@dataclass(frozen=True)
class Leg:
    """One row of the leg table.

    Args:
        index: the leg's number, as entries name it.
        instrument: position in the instrument table.
        side: "long" or "short".
        total: id of the published total that entries of this leg count towards.
        cap: largest amount of one entry, in atoms.
        price_coefficient: value units per atom, signed: what one atom adds to an account's equity.
        digits: the coefficient as sum of digits[i] * 256^i, each in [-128, 127], lowest first.
    """

    index: int
    instrument: int
    side: str
    total: int
    cap: int
    price_coefficient: int
    digits: tuple[int, ...]


def balanced_digits(value: int) -> tuple[int, ...]:
    """Seven digits in [-128, 127] with sum of digit * 256^i = value.

    Raises:
        BadStatement: INSTRUMENT_TABLE where seven digits do not suffice.
    """
    digits, rest = [], value
    for _ in range(DIGITS):
        digit = (rest + 128) % 256 - 128
        digits.append(digit)
        rest = (rest - digit) // 256
    if rest:
        raise BadStatement(Reason.INSTRUMENT_TABLE, f"price coefficient {value} needs more than {DIGITS} digits")
    return tuple(digits)


def derive_legs(instruments: Sequence[Instrument]) -> tuple[Leg, ...]:
    """Leg table of `solvency_equity_v1`."""
    legs = []
    for j, instrument in enumerate(instruments):
        for k, coefficient in enumerate((instrument.price, -instrument.price)):
            index = 2 * j + k
            digits = balanced_digits(coefficient)
            legs.append(Leg(index, j, SIDES[k], index, AMOUNT_CAP, coefficient, digits))
    return tuple(legs)


def check_legs(legs: Sequence[Leg]) -> None:
    """Refuse a leg table on which the circuit's arguments do not hold, wherever it came from.

    Raises:
        BadStatement: INSTRUMENT_TABLE, naming the leg: numbers have to run from 0, caps be in range, a coefficient
            have the side's sign, equal its digits and be below 2^54 in magnitude, and legs that share a total
            share one coefficient (otherwise the shortfall would not be public arithmetic: 02b R2).
    """
    coefficients: dict[int, int] = {}
    for i, leg in enumerate(legs):
        if leg.index != i:
            _refuse(i, f"it has number {leg.index}")
        if not 1 <= leg.cap <= AMOUNT_CAP:
            _refuse(i, f"cap {leg.cap} is outside 1 .. {AMOUNT_CAP}")
        sign = {LONG: 1, SHORT: -1}.get(leg.side)
        if sign is None:
            _refuse(i, f"the side is neither {LONG} nor {SHORT}")
        if not 0 <= sign * leg.price_coefficient < PRICE_END:
            _refuse(i, f"price coefficient {leg.price_coefficient} does not suit side {leg.side}")
        if leg.digits != balanced_digits(leg.price_coefficient):
            _refuse(i, "the digits are not those of the price coefficient")
        if coefficients.setdefault(leg.total, leg.price_coefficient) != leg.price_coefficient:
            _refuse(i, f"total {leg.total} has two price coefficients")


def _refuse(index: int, what: str) -> NoReturn:
    raise BadStatement(Reason.INSTRUMENT_TABLE, f"leg {index}: {what}", leg=index)
