"""The mark price: what positions are valued at. Prices are ticks, or any finer fixed unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exchange.rules.oracle import weighted_median
from exchange.rules.rounding import PPM, ceil_div, clamp, median_of_three

DECAY_BITS = 96
"""Fixed point of `decay`: 2^-96 is far below a tick after any number of steps that matters."""
_ONE = 1 << DECAY_BITS


@dataclass(frozen=True, slots=True)
class Average:
    """Exponentially weighted sums; the average is numerator / denominator. Start with Average(0, 0)."""

    numerator: int
    denominator: int


def decay(elapsed: int, half_life_scale: int) -> int:
    """exp(-elapsed / scale) in units of 2^-DECAY_BITS, rounded down in each step; the same on every machine.

    A Taylor series at a reduced argument: exp(-x) = (exp(-x / 2^k))^(2^k) with x / 2^k < 1/2.
    """
    argument = elapsed * _ONE // half_life_scale
    halvings = max(0, argument.bit_length() - DECAY_BITS + 1)
    if halvings > DECAY_BITS:
        return 0
    small = argument >> halvings
    # All terms of exp(+small) are positive, so that rounding does not cancel; its reciprocal is exp(-small).
    term = total = _ONE
    n = 1
    while term:
        term = term * small // (n * _ONE)
        total += term
        n += 1
    result = _ONE * _ONE // total
    for _ in range(halvings):
        result = result * result >> DECAY_BITS
    return result


def averaged(average: Average, sample: int, elapsed: int, scale: int) -> Average:
    """The average after a sample that stood for `elapsed`: sums decay by exp(-elapsed / scale), then it is added.

    Source: Hyperliquid, robust price indices (scale 150 s).
    """
    kept = decay(elapsed, scale)
    weight = elapsed << DECAY_BITS
    return Average(
        (average.numerator * kept >> DECAY_BITS) + sample * weight, (average.denominator * kept >> DECAY_BITS) + weight
    )


def average_of(average: Average) -> int:
    """The average's value, rounded down; 0 before the first sample."""
    return average.numerator // average.denominator if average.denominator else 0


def fair_price(index: int, rate: int, time_left: int, interval: int, scale: int = PPM) -> int:
    """Index * (1 + rate * time to funding / interval), rounded down. Source: BitMEX fair price; Binance's "price 1"."""
    return index + index * rate * time_left // (interval * scale)


def book_price(bid: int, ask: int, last: int) -> int:
    """The own book's price: the last trade moved between bid and ask. Source: Deribit, Hyperliquid (their median)."""
    return median_of_three(bid, ask, last)


def within_band(price: int, index: int, band_ppm: int) -> int:
    """A price moved into index +- band, the band rounded inwards. Source: Deribit's cap on the mark."""
    return clamp(price, ceil_div(index * (PPM - band_ppm), PPM), index * (PPM + band_ppm) // PPM)


def own_weight(weight: int, others: Sequence[tuple[int, int]]) -> int:
    """The own book's weight, capped below the other sources' sum: alone it never decides the median.

    The cap is (sum of the others - 1), at least 0: then the lower and the upper median both lie among the others or
    between them. Source: Binance's index after 10 October 2025, Hyperliquid's weight 1 of 12.
    """
    return max(0, min(weight, sum(weight for _, weight in others) - 1))


def mark_price(
    index: int, premium_average: int, own: int | None, own_book_weight: int, others: Sequence[tuple[int, int]],
    premium_weight: int, band_ppm: int,
) -> int:  # fmt: skip
    """Weighted median of index + premium average, other venues' perpetuals and the own book, within index +- band.

    Source: Hyperliquid (median of oracle + average premium, own bid/ask/last, other venues), Binance (median of three).

    Args:
        index: the oracle's price.
        premium_average: average of (own mid - index), already slow; moved into the band before it votes.
        own: the own book's price, None where the book is empty or halted.
        own_book_weight: weight of the own book, capped by `own_weight`.
        others: (price, weight) of other venues' perpetuals.
        premium_weight: weight of index + premium average.
        band_ppm: furthest that the mark lies from the index.
    """
    points = [(within_band(index + premium_average, index, band_ppm), premium_weight), *others]
    if own is not None:
        weight = own_weight(own_book_weight, points)
        if weight:
            points.append((own, weight))
    return within_band(weighted_median(points), index, band_ppm)
