"""Rates that rise with size: what is asked for is convex and continuous in the notional.

Each rate applies to the part of the notional above its bound, as at Binance ("maintenance amount") and Hyperliquid
("maintenance deduction"): requirement = notional * rate_n - deduction_n with
deduction_n = deduction_(n-1) + bound_n * (rate_n - rate_(n-1)).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from exchange.rules.errors import RuleInputError
from exchange.rules.rounding import PPM, ceil_div


@dataclass(frozen=True, slots=True)
class RateTiers:
    """Rates by notional; make it with `rate_tiers`.

    Args:
        lower: where each tier begins, in quote atoms; the first is 0.
        rate_ppm: the tier's rate.
        deduction: what the lower rates of the tiers below save, in quote atoms * PPM.
    """

    lower: tuple[int, ...]
    rate_ppm: tuple[int, ...]
    deduction: tuple[int, ...]


def deduction_of_next_tier(deduction: int, lower: int, rate: int, rate_before: int) -> int:
    """deduction_n from deduction_(n-1); exact, in the unit of `deduction` = that of lower * rate."""
    return deduction + lower * (rate - rate_before)


def rate_tiers(tiers: Iterable[tuple[int, int]]) -> RateTiers:
    """Tiers from (lower bound in quote atoms, rate in ppm).

    Raises:
        RuleInputError: no tier, a first bound other than 0, bounds that do not rise, or rates that fall or leave
            0 .. PPM. A falling rate would make one large position cheaper than two small ones.
    """
    lower: list[int] = []
    rates: list[int] = []
    deductions: list[int] = []
    for bound, rate in tiers:
        at = f"tier {len(lower)}"
        if bound != 0 if not lower else bound <= lower[-1]:
            raise RuleInputError(f"{at}: lower bound {bound}, expected 0 for the first and rising ones after it")
        if not (rates[-1] if rates else 0) <= rate <= PPM:
            raise RuleInputError(f"{at}: rate {rate} ppm, expected at least the one before and at most {PPM}")
        deductions.append(deduction_of_next_tier(deductions[-1], bound, rate, rates[-1]) if rates else 0)
        lower.append(bound)
        rates.append(rate)
    if not lower:
        raise RuleInputError("a table of rates without tiers: expected at least one")
    return RateTiers(tuple(lower), tuple(rates), tuple(deductions))


NO_REQUIREMENT = rate_tiers([(0, 0)])
"""Asks for nothing at any size."""


def tier_of(notional: int, tiers: RateTiers) -> int:
    """Number of the tier that a notional >= 0 ends in."""
    return bisect_right(tiers.lower, notional) - 1


def requirement(notional: int, tiers: RateTiers) -> int:
    """Quote atoms asked for on a notional >= 0: rounded up once, after all tiers."""
    n = bisect_right(tiers.lower, notional) - 1
    return ceil_div(notional * tiers.rate_ppm[n] - tiers.deduction[n], PPM)
