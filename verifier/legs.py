"""The public leg table: what an entry of an account may refer to, derived from the instrument table.

A leg is one side of an instrument; in circuits that prove margins, one tier of one bucket of it. Its coefficients say
what an atom adds to an account's equity and, per **lens**, to its value under that lens. Lens 0 is health; scenario s
has lens 1 + 2s, equity at the scenario's values, and lens 2 + 2s, health at them. All rounding is against the account.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

from verifier.errors import BadStatement, Reason
from verifier.instruments import COST_BASIS, LEGS_MAX, PRICE_END, RATIO_ONE, SPOT, Instrument, Scenario, Tier
from verifier.solvency import CIRCUITS

AMOUNT_CAP = 2**63 - 1
"""Largest amount of one entry, in atoms."""
DIGITS = 7
LONG, SHORT = "long", "short"
SIDES = (LONG, SHORT)

_DIGITS_OFFSET = sum(128 * 256**i for i in range(DIGITS))


@dataclass(frozen=True)
class Leg:
    """One row of the leg table.

    Args:
        index: the leg's number, as entries name it.
        instrument: position in the instrument table.
        side: "long" or "short".
        bucket: position in the instrument's buckets, for the long side of an instrument that has some.
        tier: position in the curve; None where there is no curve, and for what is above the last bound.
        total: id of the published total that entries of this leg count towards.
        cap: largest amount of one entry, in atoms.
        price_coefficient: value units per atom, signed: what one atom adds to an account's equity.
        digits: the coefficient as sum of digits[i] * 256^i, each in [-128, 127], lowest first.
        lens_coefficients: the same per lens of the circuit, zero for lenses without a scenario.
        lens_digits: their digits.
    """

    index: int
    instrument: int
    side: str
    bucket: int | None
    tier: int | None
    total: int
    cap: int
    price_coefficient: int
    digits: tuple[int, ...]
    lens_coefficients: tuple[int, ...] = ()
    lens_digits: tuple[tuple[int, ...], ...] = ()


def balanced_digits(value: int) -> tuple[int, ...]:
    """Seven digits in [-128, 127] with sum of digit * 256^i = value.

    Raises:
        BadStatement: INSTRUMENT_TABLE where seven digits do not suffice.
    """
    shifted = value + _DIGITS_OFFSET
    if not 0 <= shifted < 256**DIGITS:
        raise BadStatement(Reason.INSTRUMENT_TABLE, f"coefficient {value} needs more than {DIGITS} digits")
    return tuple(byte - 128 for byte in shifted.to_bytes(DIGITS, "little"))


def edge(tier: Tier, price: int, value_decimals: int) -> int | None:
    """The most atoms whose value is within a tier's bound; None where any number is.

    Edges are those at the statement's price, in every scenario too: a holding is split over tiers once.
    """
    if tier.to is None or price == 0:
        return None
    one: int = 10**value_decimals
    return tier.to * one // price


def tier_caps(tiers: Sequence[Tier], price: int, value_decimals: int) -> tuple[tuple[int | None, int], ...]:
    """(tier, cap in atoms) for each leg of a curve, in order; the tier is None for what is above the last bound.

    Caps add up to the bounds. A tier that is narrower than an atom has no leg. At price 0 no bound is ever reached, and
    only the last and worst part is left: what has no value fills no tier.
    """
    caps: list[tuple[int | None, int]] = []
    below = 0
    for number, tier in enumerate(tiers):
        if tier.to is None:
            caps.append((number, AMOUNT_CAP))
            continue
        above = edge(tier, price, value_decimals)
        if above is None:  # the price is 0
            continue
        reached = min(AMOUNT_CAP, above)
        if reached > below:
            caps.append((number, reached - below))
        below = reached
    if not tiers or tiers[-1].to is not None:
        caps.append((None, AMOUNT_CAP))
    return tuple(caps)


def with_haircut(value: int, ratio: int) -> int:
    """Health per atom held as collateral: the share of the value that counts, rounded down."""
    return value * ratio // RATIO_ONE


def with_margin(value: int, ratio: int) -> int:
    """Margin per atom: the share of the value that is asked for on top, rounded up."""
    return -(-value * ratio // RATIO_ONE)


def split(amount: int, legs: Sequence[Leg]) -> Iterator[tuple[Leg, int]]:
    """An amount over the legs of one `group_legs` group, best tiers first: (leg, atoms) without zeros.

    Raises:
        BadStatement: never for an amount of at most `AMOUNT_CAP`, which the last leg alone can hold.
    """
    for leg in legs:
        taken = min(amount, leg.cap)
        if taken:
            yield leg, taken
        amount -= taken
    if amount:
        _refuse(legs[-1].index, f"{amount} atoms are above its cap")


def group_legs(legs: Sequence[Leg]) -> dict[tuple[int, str, int | None], tuple[Leg, ...]]:
    """The legs of each (instrument, side, bucket), in order: over them one amount is split."""
    groups: dict[tuple[int, str, int | None], list[Leg]] = {}
    for leg in legs:
        groups.setdefault((leg.instrument, leg.side, leg.bucket), []).append(leg)
    return {key: tuple(members) for key, members in groups.items()}


def derive_legs(
    circuit: str, value_decimals: int, instruments: Sequence[Instrument], scenarios: Sequence[Scenario]
) -> tuple[Leg, ...]:
    """The leg table of a registered circuit.

    Instrument by instrument: the buckets in order (or one long side), then the short side; on each the tiers of the
    curve in order. Each bucket and each side has a total of its own, numbered in the same order.
    """
    lenses = CIRCUITS[circuit].lenses
    legs: list[Leg] = []
    total = 0
    for j, instrument in enumerate(instruments):
        values = [scenario.values[j] for scenario in scenarios]
        for side, bucket, tiers in _curves(instrument):
            for tier, cap in tier_caps(tiers, instrument.price, value_decimals):
                ratio = None if tier is None else tiers[tier].ratio
                equity = instrument.price if side == LONG else -instrument.price
                coefficients: list[int] = []
                if lenses:
                    coefficients.append(_health(instrument, side, ratio, instrument.price))
                    for value in values:
                        coefficients += (value if side == LONG else -value, _health(instrument, side, ratio, value))
                    coefficients += [0] * (lenses - len(coefficients))
                legs.append(
                    Leg(
                        index=len(legs),
                        instrument=j,
                        side=side,
                        bucket=bucket,
                        tier=tier,
                        total=total,
                        cap=cap,
                        price_coefficient=equity,
                        digits=balanced_digits(equity),
                        lens_coefficients=tuple(coefficients),
                        lens_digits=tuple(map(balanced_digits, coefficients)),
                    )
                )
            total += 1
    return tuple(legs)


def _curves(instrument: Instrument) -> Iterator[tuple[str, int | None, tuple[Tier, ...]]]:
    """(side, bucket, tiers) of everything that has a total of its own."""
    if instrument.buckets:
        for bucket, part in enumerate(instrument.buckets):
            yield LONG, bucket, part.tiers
    else:
        yield LONG, None, instrument.margin if instrument.kind != SPOT else ()
    yield SHORT, None, instrument.margin


def _health(instrument: Instrument, side: str, ratio: int | None, value: int) -> int:
    """What one atom adds to health where it is worth `value`."""
    if instrument.kind == SPOT and side == LONG:
        return with_haircut(value, ratio or 0)
    margin = 0 if instrument.kind == COST_BASIS else with_margin(value, ratio or 0)
    return (value if side == LONG else -value) - margin


def check_legs(legs: Sequence[Leg]) -> None:
    """Refuse a leg table on which the circuit's arguments do not hold, wherever it came from.

    Raises:
        BadStatement: INSTRUMENT_TABLE, naming the leg: numbers have to run from 0, to at most 2^16 - 2; caps be in
            range; coefficients be in range, suit the side and equal their digits. Health must not exceed equity, at the
            statement's prices and in each scenario: an account could be healthy and under water. Legs that share a
            total share equity coefficients: else the shortfall would not be public arithmetic (02b R2). Within a curve
            no coefficient may exceed one before it: else a wrong split over tiers would gain health.
    """
    if len(legs) > LEGS_MAX:
        _refuse(LEGS_MAX, f"a table has at most {LEGS_MAX} legs")
    equities: dict[int, tuple[int, ...]] = {}
    before: dict[tuple[int, str, int | None], Leg] = {}
    for i, leg in enumerate(legs):
        if leg.index != i:
            _refuse(i, f"it has number {leg.index}")
        if not 1 <= leg.cap <= AMOUNT_CAP:
            _refuse(i, f"cap {leg.cap} is outside 1 .. {AMOUNT_CAP}")
        if len(leg.lens_coefficients) != len(legs[0].lens_coefficients):
            _refuse(i, "it has another number of lenses than the legs before")
        _check_coefficients(leg)
        shared = (leg.price_coefficient, *leg.lens_coefficients[1::2])
        if equities.setdefault(leg.total, shared) != shared:
            _refuse(i, f"total {leg.total} has two price coefficients")
        better = before.setdefault((leg.instrument, leg.side, leg.bucket), leg).lens_coefficients
        if any(after > one for one, after in zip(better, leg.lens_coefficients, strict=True)):
            _refuse(i, "an atom counts for more than in the tier before")
        before[leg.instrument, leg.side, leg.bucket] = leg


def _check_coefficients(leg: Leg) -> None:
    sign = {LONG: 1, SHORT: -1}.get(leg.side)
    if sign is None:
        _refuse(leg.index, f"the side is neither {LONG} nor {SHORT}")
    if not 0 <= sign * leg.price_coefficient < PRICE_END:
        _refuse(leg.index, f"price coefficient {leg.price_coefficient} does not suit side {leg.side}")
    if leg.digits != balanced_digits(leg.price_coefficient):
        _refuse(leg.index, "the digits are not those of the price coefficient")
    if leg.lens_digits != tuple(map(balanced_digits, leg.lens_coefficients)):
        _refuse(leg.index, "the digits are not those of the coefficients under the lenses")
    # Lens 0 is health at the statement's prices; then come pairs of equity and health, one per scenario.
    equities = (leg.price_coefficient, *leg.lens_coefficients[1::2])
    for lens, (equity, health) in enumerate(zip(equities, leg.lens_coefficients[0::2], strict=False)):
        if not 0 <= sign * equity < PRICE_END:
            _refuse(leg.index, f"value {equity} in scenario {lens - 1} does not suit side {leg.side}")
        if health > equity:
            _refuse(leg.index, f"health coefficient {health} is above {equity}, that of equity")
        if leg.side == LONG and health < 0:
            _refuse(leg.index, f"health coefficient {health} does not suit side {leg.side}")


def _refuse(index: int, what: str) -> NoReturn:
    raise BadStatement(Reason.INSTRUMENT_TABLE, f"leg {index}: {what}", leg=index)
