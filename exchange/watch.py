"""What the venue notices by itself, and the modes that follow. Modes change by events: a replay sees the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from exchange.codes import Reject
from exchange.events import Event, ModeSet, SignSeen
from exchange.rules.breakers import band, breaker_variant, extremes, in_band, trips, venue_trips
from exchange.rules.modes import Action, Mode, Permission, Scope, Trigger, allowed, mode_of
from exchange.rules.rounding import PPM
from exchange.state import FUND, QUOTE, VENUE_WIDE, Ledger


def is_calling(ledger: Ledger, market: int) -> bool:
    """Whether a market collects orders for the auction that reopens it."""
    return (market, int(Trigger.REOPENING)) in ledger.signs and ledger.effective_modes[market] < Mode.CANCEL_ONLY


def permission(ledger: Ledger, market: int, action: Action) -> Permission:
    """What the stricter of the market's and the venue's mode says; `market` VENUE_WIDE: the venue's alone.

    While a market calls for its auction nothing trades there, so nobody is liquidated; orders only rest.
    """
    if action is Action.LIQUIDATE and is_calling(ledger, market):
        return Permission.NO
    mode = ledger.venue_mode if market == VENUE_WIDE else ledger.effective_modes[market]
    return allowed(Mode(mode), action)


def market_refusal(ledger: Ledger, account: int, market: int, action: Action) -> Reject | None:
    """Why `account` may not do that to a market: it is no user's business, and the market's mode has to allow it."""
    if account != FUND:
        return Reject.ACCOUNT_RESERVED
    if not 0 <= market < len(ledger.marks):
        return Reject.MARKET_UNKNOWN
    return None if permission(ledger, market, action) else Reject.MODE_FORBIDS


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
    modes = _modes(ledger, signs, time_ms)
    reopening = _reopening(ledger, modes) if ledger.venue.auction_ms else []
    if reopening:
        signs.update(dict.fromkeys(reopening, time_ms))
        modes = _modes(ledger, signs, time_ms)
    events: list[Event] = [SignSeen(*key, 1) for key in (*seen, *reopening)]
    events.extend(SignSeen(*key, 0) for key in gone)
    for market, mode in enumerate(modes, VENUE_WIDE):
        if mode != (ledger.venue_mode if market == VENUE_WIDE else ledger.modes[market]):
            events.append(ModeSet(market, mode))
    return events


def _modes(ledger: Ledger, signs: Mapping[tuple[int, int], int], time_ms: int) -> list[Mode]:
    """Of the venue, then of each market."""
    modes = []
    for market in range(VENUE_WIDE, len(ledger.modes)):
        scope = Scope.VENUE if market == VENUE_WIDE else Scope.MARKET
        own = [(Trigger(trigger), when) for (where, trigger), when in signs.items() if where == market]
        modes.append(mode_of(own, time_ms, scope))
    return modes


def _reopening(ledger: Ledger, modes: Sequence[Mode]) -> list[tuple[int, int]]:
    """Signs of markets that trade again with these modes after a halt: by a call auction."""
    return [
        (market, int(Trigger.REOPENING))
        for market, mode in enumerate(modes[1:])
        if Mode.CANCEL_ONLY <= ledger.effective_modes[market] < Mode.SETTLEMENT
        and max(mode, modes[0]) < Mode.CANCEL_ONLY
    ]
