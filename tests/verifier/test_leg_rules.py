"""Leg tables that break a rule, each refused in its own words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.verifier.small_tree import (
    EQUITY,
    INSTRUMENTS,
    RISK_INSTRUMENTS,
    SCENARIOS,
    STRESS,
    VALUE_DECIMALS,
)
from verifier.errors import BadStatement, Reason
from verifier.instruments import LEGS_MAX, PRICE_END
from verifier.legs import (
    AMOUNT_CAP,
    Leg,
    balanced_digits,
    check_legs,
    derive_legs,
)

# ---------------------------------------------------------------------------------- tables that are refused

BROKEN: list[tuple[str, int, dict[str, Any], str]] = [
    ("number", 0, {"index": 1}, "number 1"),
    ("cap too large", 0, {"cap": AMOUNT_CAP + 1}, "cap"),
    ("cap zero", 0, {"cap": 0}, "cap"),
    ("side", 0, {"side": "both"}, "neither long nor short"),
    ("wrong sign", 4, {"side": "short"}, "does not suit side short"),
    ("price 2^54", 4, {"price_coefficient": PRICE_END}, "does not suit side long"),
    ("digits of another price", 0, {"digits": (0,) * 7}, "digits are not those of the price"),
    ("digits of another health", 0, {"lens_digits": ((0,) * 7,) * 7}, "digits are not those of the coefficients"),
    ("two prices, one total", 0, {"total": 5}, "total 5 has two price coefficients"),
    ("a lens less", 1, {"lens_coefficients": (0,) * 6, "lens_digits": ((0,) * 7,) * 6}, "another number of lenses"),
]


def stress_legs() -> list[Leg]:
    return list(derive_legs(STRESS, VALUE_DECIMALS, RISK_INSTRUMENTS, SCENARIOS))


def with_lens(leg: Leg, lens: int, value: int) -> Leg:
    coefficients = (*leg.lens_coefficients[:lens], value, *leg.lens_coefficients[lens + 1 :])
    return replace(leg, lens_coefficients=coefficients, lens_digits=tuple(map(balanced_digits, coefficients)))


def refused_legs(legs: Sequence[Leg], words: str) -> None:
    with pytest.raises(BadStatement, match=words) as caught:
        check_legs(legs)
    assert caught.value.reason is Reason.INSTRUMENT_TABLE


@pytest.mark.negative
@pytest.mark.parametrize(("at", "change", "words"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN])
def test_a_leg_table_that_breaks_a_rule(at: int, change: dict[str, Any], words: str) -> None:
    legs = stress_legs()
    check_legs(legs)
    legs[at] = replace(legs[at], **change)
    refused_legs(legs, words)


@pytest.mark.negative
@pytest.mark.parametrize("lens", [0, 2, 4, 6])
@pytest.mark.parametrize(("at", "what"), [(0, "collateral"), (8, "position"), (5, "debt")])
def test_health_above_equity(lens: int, at: int, what: str) -> None:
    """06 attack 9: an account could be healthy and under water. In a curve's first tier no other rule sees it."""
    legs = stress_legs()
    equity = legs[at].price_coefficient if lens == 0 else legs[at].lens_coefficients[lens - 1]
    legs[at] = with_lens(legs[at], lens, equity + 1)
    refused_legs(legs, "is above .* that of equity")
    legs[at] = with_lens(legs[at], lens, equity)
    check_legs(legs)


@pytest.mark.negative
@pytest.mark.parametrize("lens", [0, 2, 4])
@pytest.mark.parametrize("at", [2, 6, 9, 12])
def test_a_tier_that_counts_for_more_than_the_one_before(lens: int, at: int) -> None:
    """06 attack 10: then the split that the prover chooses would matter."""
    legs = stress_legs()
    before = legs[at - 1].lens_coefficients[lens]
    if before == legs[at].price_coefficient:  # nothing to gain there
        pytest.skip("the tier before counts in full")
    legs[at] = with_lens(legs[at], lens, before + 1)
    refused_legs(legs, "more than in the tier before" if before + 1 <= equity_of(legs[at], lens) else "above")
    legs[at] = with_lens(legs[at], lens, before)
    check_legs(legs)


def equity_of(leg: Leg, lens: int) -> int:
    return leg.price_coefficient if lens == 0 else leg.lens_coefficients[lens - 1]


@pytest.mark.negative
def test_tiers_are_compared_also_where_other_legs_stand_between() -> None:
    legs = stress_legs()
    moved = [legs[1], legs[4], replace(legs[0], total=9)]
    refused_legs([replace(leg, index=i) for i, leg in enumerate(moved)], "more than in the tier before")


@pytest.mark.negative
def test_legs_of_one_total_differ_in_a_scenario() -> None:
    """Otherwise a scenario's shortfall would depend on the leg that a holding is booked under."""
    legs = stress_legs()
    legs[1] = with_lens(legs[1], 1, legs[1].lens_coefficients[1] + 1)
    refused_legs(legs, "total 0 has two price coefficients")


@pytest.mark.negative
def test_coefficients_of_a_scenario_out_of_range() -> None:
    for at, lens, value, words in (
        (4, 1, -1, "value -1 in scenario 0 does not suit side long"),
        (4, 1, PRICE_END, "in scenario 0 does not suit"),
        (15, 3, 1, "value 1 in scenario 1 does not suit side short"),
        (4, 0, -1, "health coefficient -1 does not suit side long"),
        (4, 2, -1, "health coefficient -1 does not suit side long"),
    ):
        legs = stress_legs()
        legs[at] = with_lens(legs[at], lens, value)
        refused_legs(legs, words)


@pytest.mark.negative
def test_more_legs_than_numbers() -> None:
    leg = derive_legs(EQUITY, 16, INSTRUMENTS, ())[0]
    refused_legs([replace(leg, index=i) for i in range(LEGS_MAX + 1)], f"at most {LEGS_MAX} legs")
    check_legs([replace(leg, index=i) for i in range(LEGS_MAX)])
