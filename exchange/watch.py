"""What the venue notices by itself, and the modes that follow. Modes change by events: a replay sees the same."""

from __future__ import annotations

from collections.abc import Sequence

from exchange.events import Event, ModeSet, SignSeen
from exchange.rules.breakers import band, breaker_variant, extremes, in_band, trips, venue_trips
from exchange.rules.modes import Action, Mode, Permission, Scope, Trigger, allowed, mode_of
from exchange.rules.rounding import PPM
from exchange.state import FUND, QUOTE, VENUE_WIDE, Ledger


def permission(ledger: Ledger, market: int, action: Action) -> Permission:
    """What the stricter of the market's and the venue's mode says; `market` VENUE_WIDE: the venue's alone."""
    mode = ledger.venue_mode if market == VENUE_WIDE else ledger.effective_modes[market]
    return allowed(Mode(mode), action)


def signs_of_prices(ledger: Ledger, prices: Sequence[int], marks: Sequence[int], time_ms: int) -> list[tuple[int, int]]:
    """(market or VENUE_WIDE, trigger) of everything that new prices set off, in a fixed order."""
    venue = ledger.venue
    signs: list[tuple[int, int]] = []
    moves: list[tuple[int, int]] = []
    for number, market in enumerate(venue.markets):
        lot_value = marks[number] * market.tick_lot_atoms
        index_value = market.lot_atoms * prices[market.asset] // ledger.tables.units[market.asset]
        if not in_band(lot_value, band(index_value, market.band_ppm)):
            signs.append((number, Trigger.BAND_BREACH))
        old = ledger.marks[number]
        if old and trips(ledger.windows[number], time_ms, marks[number], breaker_variant(old, venue.breaker_ppm, 1)):
            signs.append((number, Trigger.WINDOW_BREACH))
        seen = extremes(ledger.windows[number], time_ms)
        if seen is not None:
            fall, rise = marks[number] - seen.high, marks[number] - seen.low
            move = max(-fall * PPM // seen.high, rise * PPM // seen.low)
            moves.append((move, ledger.open_interest[number] * lot_value))
    if venue_trips(moves, venue.venue_breaker_ppm, venue.venue_breaker_interest_ppm):
        signs.append((VENUE_WIDE, Trigger.VENUE_BREACH))
    interest = sum(ledger.open_interest[n] * ledger.lot_values[n] for n in ledger.tables.perpetuals)
    if ledger.balance[QUOTE][FUND] * PPM < interest * venue.fund_low_ppm:
        signs.append((VENUE_WIDE, Trigger.FUND_LOW))
    return signs


def sign_events(
    ledger: Ledger, seen: Sequence[tuple[int, int]], time_ms: int, gone: Sequence[tuple[int, int]] = ()
) -> list[Event]:
    """Events of new signs and of signs taken back, and of every mode that is another at `time_ms`."""
    signs = {**ledger.signs, **dict.fromkeys(seen, time_ms)}
    for key in gone:
        signs.pop(key, None)
    events: list[Event] = [SignSeen(*key, 1) for key in seen]
    events.extend(SignSeen(*key, 0) for key in gone)
    for market in range(VENUE_WIDE, len(ledger.modes)):
        scope = Scope.VENUE if market == VENUE_WIDE else Scope.MARKET
        own = [(Trigger(trigger), when) for (where, trigger), when in sorted(signs.items()) if where == market]
        mode = mode_of(own, time_ms, scope)
        if mode != (ledger.venue_mode if market == VENUE_WIDE else ledger.modes[market]):
            events.append(ModeSet(market, mode))
    return events
