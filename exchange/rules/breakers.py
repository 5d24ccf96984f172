"""Price bands, rolling windows and halts: how far a price may go before the venue stops and asks again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exchange.rules.errors import RuleInputError
from exchange.rules.rounding import PPM, ceil_div, floor_to


@dataclass(frozen=True, slots=True)
class Band:
    """Prices low..high, both allowed."""

    low: int
    high: int


def band(reference: int, width_ppm: int) -> Band:
    """reference +- width, rounded inwards: the narrower band. Source: Deribit, trading bandwidth (1.5 %)."""
    return Band(ceil_div(reference * (PPM - width_ppm), PPM), reference * (PPM + width_ppm) // PPM)


def in_band(price: int, allowed: Band) -> bool:
    """Whether orders and liquidations may trade at a price: outside nobody is liquidated either."""
    return allowed.low <= price <= allowed.high


def may_liquidate_at(price: int, is_sale: bool, allowed: Band) -> bool:
    """Whether a forced fill may take a price: no sale below the band and no purchase above it."""
    return price >= allowed.low if is_sale else price <= allowed.high


def breaker_variant(settlement: int, width_ppm: int, tick: int) -> int:
    """How far a price may move within the window, in whole ticks, rounded down. Source: CME dynamic circuit breaker."""
    return floor_to(settlement * width_ppm // PPM, tick)


def breaker_limits(window_high: int, window_low: int, variant: int) -> Band:
    """Lowest offer and highest bid before the breaker trips: high - variant .. low + variant. Source: CME."""
    return Band(window_high - variant, window_low + variant)


@dataclass(frozen=True, slots=True)
class Window:
    """Highest and lowest price of a rolling window, in slots of equal length; make it with `new_window`.

    Args:
        slot_ms: length of a slot; the window spans all of them.
        last_slot: number of the newest slot, time // slot_ms; -1 before the first price.
        highs, lows: per slot, at its number modulo their count; 0 where there was no price.
    """

    slot_ms: int
    last_slot: int
    highs: tuple[int, ...]
    lows: tuple[int, ...]


def new_window(span_ms: int, slots: int) -> Window:
    """An empty window.

    Raises:
        RuleInputError: a span that is no positive multiple of the number of slots.
    """
    if slots < 1 or span_ms < slots or span_ms % slots:
        raise RuleInputError(f"a window of {span_ms} ms in {slots} slots: expected a multiple of the slots")
    return Window(span_ms // slots, -1, (0,) * slots, (0,) * slots)


def observed(window: Window, time_ms: int, price: int) -> Window:
    """The window after a price > 0. Slots that have left it are emptied; an older time counts to the newest slot."""
    count = len(window.highs)
    slot = max(time_ms // window.slot_ms, window.last_slot)
    highs, lows = list(window.highs), list(window.lows)
    for passed in range(max(window.last_slot + 1, slot - count + 1), slot + 1):
        highs[passed % count] = lows[passed % count] = 0
    at = slot % count
    highs[at] = max(highs[at], price)
    lows[at] = min(lows[at], price) if lows[at] else price
    return Window(window.slot_ms, slot, tuple(highs), tuple(lows))


def _priced(window: Window, time_ms: int) -> list[int]:
    """Places of the slots with a price, of the window that ends at a time."""
    count = len(window.highs)
    oldest = max(0, time_ms // window.slot_ms - count + 1)
    return [slot % count for slot in range(oldest, window.last_slot + 1) if window.highs[slot % count]]


def extremes(window: Window, time_ms: int) -> Band | None:
    """Lowest and highest price of the window that ends at a time; None if there was none."""
    live = _priced(window, time_ms)
    if not live:
        return None
    return Band(min(window.lows[at] for at in live), max(window.highs[at] for at in live))


def mean_price(window: Window, time_ms: int) -> int | None:
    """Mean of the slots' middles over the window that ends at a time, rounded down; None if it has no price.

    A price that nobody chooses and one print hardly moves. Source: Deribit's delivery price, the mean of an index over
    the last half hour.
    """
    live = _priced(window, time_ms)
    return sum(window.highs[at] + window.lows[at] for at in live) // (2 * len(live)) if live else None


def trips(window: Window, time_ms: int, price: int, variant: int) -> bool:
    """Whether a price is further than the variant from the window's other extreme: then the market halts."""
    seen = extremes(window, time_ms)
    return seen is not None and not in_band(price, breaker_limits(seen.high, seen.low, variant))


@dataclass(frozen=True, slots=True)
class HaltPolicy:
    """Length of the first halt of a day, of each further one, and of the auction's extension, in ms."""

    first_ms: int
    further_ms: int
    extension_ms: int


def halt_until(now_ms: int, halts_before: int, policy: HaltPolicy) -> int:
    """When a halt ends in a call auction. Source: CME (2 minutes), then longer as in LULD halts."""
    return now_ms + (policy.first_ms if halts_before == 0 else policy.further_ms)


def reopens(uncross_price: int | None, reference: int, width_ppm: int) -> bool:
    """Whether an auction's price reopens the market: there is one, within the band; else the halt is extended."""
    return uncross_price is not None and in_band(uncross_price, band(reference, width_ppm))


def venue_trips(moves: Sequence[tuple[int, int]], threshold_ppm: int, halted_interest_ppm: int) -> bool:
    """The venue-wide breaker, from (move of the index in ppm within the window, open interest) per market.

    It trips when markets that moved by at least the threshold carry at least the given share of all open interest.
    Source: US market-wide breakers (7 %, 13 %, 20 %), weighted by what is at risk here.
    """
    whole = sum(interest for _, interest in moves)
    moved = sum(interest for move, interest in moves if abs(move) >= threshold_ppm)
    return whole > 0 and moved * PPM >= whole * halted_interest_ppm
