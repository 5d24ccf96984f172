"""The index price: a weighted median of signed sources, what it is worth, and what may be done with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from exchange.rules.errors import RuleInputError
from exchange.rules.rounding import PPM, ceil_div, clamp


class Quality(IntEnum):
    """What is known about a price, best first; the worst that applies counts."""

    VALID = 0
    UNCERTAIN = 1
    """The sources disagree, or name wide confidence intervals."""
    JUMPED = 2
    """Further from the price before than one step may go."""
    DIVERGENT = 3
    """Far from its own slow average."""
    STALE = 4
    """Too little weight of sources is recent."""
    MISSING = 5
    """No usable source at all."""


class Use(IntEnum):
    """What a price is needed for."""

    MARK_TO_MARKET = 0
    REDUCE = 1
    INCREASE = 2
    WITHDRAW = 3
    LIQUIDATE = 4
    DELEVERAGE = 5
    FUNDING = 6
    SETTLE = 7


_YES, _NO = True, False
VALIDITY: tuple[tuple[bool, ...], ...] = (
    # MARK  REDUCE INCREASE WITHDRAW LIQUIDATE DELEVERAGE FUNDING SETTLE
    (_YES, _YES, _YES, _YES, _YES, _YES, _YES, _YES),  # VALID
    (_YES, _YES, _NO, _NO, _YES, _NO, _YES, _NO),  # UNCERTAIN
    (_YES, _YES, _NO, _NO, _NO, _NO, _NO, _NO),  # JUMPED
    (_YES, _YES, _NO, _NO, _NO, _NO, _NO, _NO),  # DIVERGENT
    (_NO, _YES, _NO, _NO, _NO, _NO, _NO, _NO),  # STALE
    (_NO, _NO, _NO, _NO, _NO, _NO, _NO, _NO),  # MISSING
)
"""VALIDITY[quality][use]. Who doubts a price may still leave, but nobody is liquidated and nothing is paid out on it.
Only an uncertain price liquidates: waiting would cost the fund, and half the weight has to lie to move it.
Source: the idea of Drift v2, `is_oracle_valid_for_action`; Mango's and Deribit's incidents."""


def permits(quality: Quality, use: Use) -> bool:
    """Whether a price of this quality may be used so."""
    return VALIDITY[quality][use]


@dataclass(frozen=True, slots=True)
class Quote:
    """One source's price.

    Args:
        source: its number.
        price: ticks, above 0 if it means anything.
        confidence: half width of the interval it vouches for, in ticks.
        time_ms: when it was made.
        weight: what its vote counts.
    """

    source: int
    price: int
    confidence: int
    time_ms: int
    weight: int


@dataclass(frozen=True, slots=True)
class OraclePolicy:
    """Bounds of a market's oracle.

    Args:
        stale_ms: older quotes are left out.
        future_ms: quotes further ahead of the venue's time are left out.
        weight_total: weight of all sources, whether they answer or not.
        quorum_ppm: share of that weight that has to be recent. Sources below half of the quorum cannot move the price
            outside the others' range.
        confidence_ppm: widest confidence, and widest distance of the quartiles, of the price.
        step_ppm: furthest that a price moves from the one before.
        deviation_ppm: furthest from the slow average.
    """

    stale_ms: int
    future_ms: int
    weight_total: int
    quorum_ppm: int
    confidence_ppm: int
    step_ppm: int
    deviation_ppm: int


@dataclass(frozen=True, slots=True)
class Index:
    """A price with its quality and the weight that stands behind it; price 0 where it is MISSING."""

    price: int
    quality: Quality
    confidence: int
    weight: int


def usable(quotes: Sequence[Quote], now_ms: int, policy: OraclePolicy) -> list[Quote]:
    """The quotes that count: above 0, with weight, made within the time bounds, one per source (its latest)."""
    latest: dict[int, Quote] = {}
    for quote in quotes:
        if quote.price > 0 and quote.weight > 0 and -policy.future_ms <= now_ms - quote.time_ms <= policy.stale_ms:
            known = latest.get(quote.source)
            if known is None or (quote.time_ms, quote.price) > (known.time_ms, known.price):
                latest[quote.source] = quote
    return [latest[source] for source in sorted(latest)]


def weighted_quantile(points: Sequence[tuple[int, int]], numerator: int, denominator: int) -> int:
    """The smallest price up to which at least numerator / denominator of the weight lies, from (price, weight).

    Raises:
        RuleInputError: no weight.
    """
    total = sum(weight for _, weight in points)
    if total <= 0:
        raise RuleInputError("a quantile of no weight: expected at least one source")
    running = 0
    last = 0
    for price, weight in sorted(points):
        running += weight
        last = price
        if running * denominator >= total * numerator:
            break
    return last


def weighted_median(points: Sequence[tuple[int, int]]) -> int:
    """Lower weighted median of (price, weight): with liars below half the weight it lies within the honest range.

    Source: Hyperliquid's oracle (weights 3, 2, 2, 1, 1, 1, 1, 1).
    """
    return weighted_quantile(points, 1, 2)


def capped_to_median(points: Sequence[tuple[int, int]], band_ppm: int) -> list[int]:
    """Each price moved into median +- band, rounded inwards, in the given order.

    The weighted mean of these moves by at most band * weight of the liars. Source: Deribit's index since December 2019.
    """
    median = weighted_median(points)
    low, high = ceil_div(median * (PPM - band_ppm), PPM), median * (PPM + band_ppm) // PPM
    return [clamp(price, low, high) for price, _ in points]


def capped_mean(points: Sequence[tuple[int, int]], band_ppm: int) -> int:
    """Weighted mean of `capped_to_median`, rounded down. Source: Deribit's index."""
    total = sum(weight for _, weight in points)
    capped = capped_to_median(points, band_ppm)
    return sum(price * weight for price, (_, weight) in zip(capped, points, strict=True)) // total


def distance_ppm(price: int, reference: int) -> int:
    """|price - reference| / reference in ppm, rounded up; for a reference above 0."""
    return ceil_div(abs(price - reference) * PPM, reference)


def aggregate(quotes: Sequence[Quote], now_ms: int, policy: OraclePolicy, before: int, average: int) -> Index:
    """The index price of a market and its quality.

    The confidence is the largest of the weighted median of the sources' own and the price's distance to the quartiles.
    Zero, negative, late and repeated quotes have no vote; a price never moves because a source went silent, except
    within the range of the others.

    Args:
        before: the price before this one, 0 if there is none.
        average: its slow time-weighted average, 0 if there is none.
    """
    voters = usable(quotes, now_ms, policy)
    if not voters:
        return Index(0, Quality.MISSING, 0, 0)
    points = [(quote.price, quote.weight) for quote in voters]
    price = weighted_median(points)
    spread = max(price - weighted_quantile(points, 1, 4), weighted_quantile(points, 3, 4) - price)
    confidence = max(spread, weighted_median([(quote.confidence, quote.weight) for quote in voters]))
    weight = sum(quote.weight for quote in voters)
    quality = Quality.VALID
    if confidence * PPM > price * policy.confidence_ppm:
        quality = Quality.UNCERTAIN
    if before and distance_ppm(price, before) > policy.step_ppm:
        quality = Quality.JUMPED
    if average and distance_ppm(price, average) > policy.deviation_ppm:
        quality = Quality.DIVERGENT
    if weight * PPM < policy.weight_total * policy.quorum_ppm:
        quality = Quality.STALE
    return Index(price, quality, confidence, weight)


def step_towards(before: int, price: int, step_ppm: int) -> int:
    """A price moved from the one before by at most `step_ppm`: rounded to move less. Source: Mango's lesson."""
    if not before:
        return price
    step = before * step_ppm // PPM
    return clamp(price, before - step, before + step)


def time_weighted_average(samples: Sequence[tuple[int, int]], start_ms: int, end_ms: int) -> int:
    """Average of a price that holds from each (time_ms, price) to the next, over start..end, rounded down.

    Also the settlement price of a market that is closed: by rule, nobody chooses it.

    Raises:
        RuleInputError: an empty window, times that fall, or no sample at or before the window's start.
    """
    if end_ms <= start_ms or not samples or samples[0][0] > start_ms:
        raise RuleInputError(f"no average over {start_ms} .. {end_ms} ms: expected a window with a price at its start")
    total = 0
    until = end_ms
    previous = max(end_ms, samples[-1][0])
    for time_ms, price in reversed(samples):
        if time_ms > previous:
            raise RuleInputError(f"samples at {time_ms} and {previous} ms: expected times that do not fall")
        previous = time_ms
        if time_ms < until:
            begin = max(time_ms, start_ms)
            total += price * (until - begin)
            until = begin
        if until == start_ms:
            break
    return total // (end_ms - start_ms)
