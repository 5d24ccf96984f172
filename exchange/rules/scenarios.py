"""Scenario margin: losses over a grid of price and volatility moves, and their slope and curvature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exchange.rules.errors import RuleInputError
from exchange.rules.rounding import PPM, ceil_div


@dataclass(frozen=True, slots=True)
class Scenario:
    """One cell of the grid.

    Args:
        price_thirds: price move in thirds of the market's scan range.
        volatility: volatility move in volatility scan ranges: +1, -1 or 0.
        covered_ppm: share of the loss that margin has to cover.
    """

    price_thirds: int
    volatility: int
    covered_ppm: int


SCENARIOS = (
    *(Scenario(thirds, volatility, PPM) for thirds in (0, 1, -1, 2, -2, 3, -3) for volatility in (1, -1)),
    Scenario(6, 0, 350_000),
    Scenario(-6, 0, 350_000),
)
"""The 16 scenarios of SPAN risk arrays: moves of 0, 1/3, 2/3 and all of the scan range, volatility up and down, and two
extreme moves of twice the range of which 35 % is covered. Source: CME SPAN."""


def shocked_price(price: int, range_ppm: int, thirds: int) -> int:
    """A price after a move of some thirds of a scan range, at least 0, rounded towards where it came from."""
    move = price * range_ppm * abs(thirds) // (3 * PPM)
    return max(0, price + move if thirds >= 0 else price - move)


def covered_loss(gain: int, scenario: Scenario) -> int:
    """Covered part of the loss -gain in a scenario (negative: a gain), rounded up. Quote atoms."""
    return ceil_div(-gain * scenario.covered_ppm, PPM)


def linear_risk_array(signed_notional: int, range_ppm: int) -> list[int]:
    """Loss of a linear position in each scenario, rounded up; a gain is below 0. Volatility does not matter to it.

    Args:
        signed_notional: size * mark in quote atoms.
        range_ppm: the market's price scan range.
    """
    return [
        ceil_div(-signed_notional * range_ppm * one.price_thirds * one.covered_ppm, 3 * PPM * PPM) for one in SCENARIOS
    ]


def risk_array(value_now: int, values: Sequence[int]) -> list[int]:
    """Loss of any position from its value now and in each scenario, rounded up.

    Raises:
        RuleInputError: another number of values than there are scenarios.
    """
    if len(values) != len(SCENARIOS):
        raise RuleInputError(f"{len(values)} values: expected one for each of the {len(SCENARIOS)} scenarios")
    return [covered_loss(after - value_now, one) for after, one in zip(values, SCENARIOS, strict=True)]


def netted(arrays: Sequence[Sequence[int]]) -> list[int]:
    """Losses of all positions in one underlying, scenario by scenario."""
    return [sum(column) for column in zip(*arrays, strict=True)]


def scan_loss(array: Sequence[int]) -> int:
    """Scenario margin of one underlying: the worst scenario, at least 0. Source: SPAN, scan risk."""
    return max(0, *array)


def scenario_margin(underlyings: Sequence[Sequence[Sequence[int]]]) -> int:
    """Scenario margin of an account: the sum over underlyings of the scan loss of their netted positions.

    No credit between underlyings: on 12 March and 10 October everything fell together.
    """
    return sum(scan_loss(netted(arrays)) for arrays in underlyings if arrays)


def delta_and_gamma(value_down: int, value_now: int, value_up: int) -> tuple[int, int]:
    """Central differences over one move down and up: (change per move, change of that per move), in quote atoms.

    Delta is half the difference, rounded towards zero. Sums over accounts give those of the venue or its vault.
    """
    difference = value_up - value_down
    delta = difference // 2 if difference >= 0 else -(-difference // 2)
    return delta, value_up - 2 * value_now + value_down
