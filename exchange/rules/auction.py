"""A call auction: one price for all, whatever order the orders came in.

Used to reopen after a halt and for liquidations in batches: permuting the orders of a batch changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exchange.rules.errors import RuleInputError
from exchange.rules.rounding import pro_rata


@dataclass(frozen=True, slots=True)
class Bid:
    """An order of an auction, also used for offers: it trades up to `size` > 0 at its limit or better.

    Its number must not tell when it came, else arrival decided who gets odd lots: the account's number serves.
    """

    order: int
    price: int
    size: int


@dataclass(frozen=True, slots=True)
class Uncross:
    """The auction's price and volume, and the fill of each order that gets one, by rising order number."""

    price: int
    volume: int
    bought: tuple[tuple[int, int], ...]
    sold: tuple[tuple[int, int], ...]


def uncross(bids: Sequence[Bid], offers: Sequence[Bid], reference: int, lot: int = 1) -> Uncross | None:
    """The price with the largest volume, then the smallest surplus, then nearest to the reference, then the lowest.

    None if nothing crosses. At that price the better-priced orders of the longer side fill first; those at the last
    price share in proportion to size, in whole lots (odd lots by order number). Who came first does not matter.
    Source: the usual opening auction of stock exchanges (Xetra, CME pre-open), with sharing instead of time priority.

    Raises:
        RuleInputError: two orders with one number, which would make the result depend on their order.
    """
    for side in (bids, offers):
        if len({one.order for one in side}) != len(side):
            raise RuleInputError("an auction with two orders of one number: expected each once per side")
    best: tuple[int, int, int, int] | None = None
    for price in sorted({one.price for one in bids} | {one.price for one in offers}):
        demand = sum(one.size for one in bids if one.price >= price)
        supply = sum(one.size for one in offers if one.price <= price)
        key = (-min(demand, supply), abs(demand - supply), abs(price - reference), price)
        best = key if best is None else min(best, key)
    if best is None or best[0] == 0:
        return None
    price, volume = best[3], -best[0]
    bought = _fill(sorted((-one.price, one.order, one.size) for one in bids if one.price >= price), volume, lot)
    sold = _fill(sorted((one.price, one.order, one.size) for one in offers if one.price <= price), volume, lot)
    return Uncross(price, volume, bought, sold)


def _fill(side: Sequence[tuple[int, int, int]], volume: int, lot: int) -> tuple[tuple[int, int], ...]:
    """Fills of (price key, order, size), best first: whole price levels while the volume lasts, the last in shares."""
    fills: list[tuple[int, int]] = []
    at = 0
    while at < len(side) and volume:
        end = at
        while end < len(side) and side[end][0] == side[at][0]:
            end += 1
        level = side[at:end]
        size = sum(one[2] for one in level)
        taken = min(size, volume)
        parts = pro_rata(taken // lot, [one[2] for one in level])
        fills += [(order, part * lot) for (_, order, _), part in zip(level, parts, strict=True) if part]
        volume -= taken
        at = end
    return tuple(sorted(fills))
