"""Decides one step of a liquidation: orders out, then the book, then the fund, then auto-deleveraging.

Waterfall, and what each layer guarantees:
1. the book, within the price band: the account gets the bankruptcy price or better; the fund takes a part of what is
   better and pays what is worse, as far as it can;
2. the fund fills an account without equity up to nothing;
3. what nobody bought goes to ranked counterparties at the bankruptcy price;
4. what an account still owes when all of that is over is shared by those in profit (`socialise`).
Caps bound what a price's liquidations trade in the book, and what the fund pays for them, until the next prices.
The bankruptcy price keeps equity per maintenance margin as it is, so no step makes an account less healthy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from exchange.codes import Reject
from exchange.commands import Flag, Liquidate
from exchange.events import (
    Closed,
    Deleveraged,
    Event,
    FundReason,
    FundSettled,
    LiquidationCounted,
    LossShared,
    OrderClosed,
)
from exchange.matching import Match, match
from exchange.oracle import doubt, price_refusal
from exchange.risk import account_risk
from exchange.rules.adl import allocate, closing_cash, rank
from exchange.rules.fund import fund_capacity
from exchange.rules.liquidation import (
    bankruptcy_price,
    bankruptcy_quote,
    clip_size,
    fund_delta,
    is_for_backstop,
    size_to_restore,
    within_block_caps,
)
from exchange.rules.margin import Risk
from exchange.rules.modes import Action, Trigger
from exchange.rules.oracle import Use
from exchange.rules.rounding import ceil_div
from exchange.rules.tiers import requirement, tier_of
from exchange.state import FIRST_USER, FUND, QUOTE, VENUE_WIDE, Ledger
from exchange.venue import SPOT
from exchange.watch import permission, sign_events

_CANCEL_RESTING = int(Flag.CANCEL_RESTING)


def decide_liquidate(ledger: Ledger, command: Liquidate) -> tuple[Event, ...] | Reject:
    """Refuses with fresh prices only for accounts that are healthy, or from whom nothing is left to take."""
    account = command.target
    if command.account != FUND:
        return Reject.ACCOUNT_RESERVED
    if not FIRST_USER <= account < len(ledger.user_ids):
        return Reject.ACCOUNT_RESERVED if 0 <= account < FIRST_USER else Reject.ACCOUNT_UNKNOWN
    if not ledger.price_time_ms:
        return Reject.PRICE_MISSING
    number = largest_position(ledger, account, command.time_ms)
    if not permission(ledger, VENUE_WIDE if number is None else number, Action.LIQUIDATE):
        return Reject.MODE_FORBIDS
    if command.time_ms - ledger.price_time_ms > ledger.venue.price_age_ms_max:
        return Reject.PRICE_STALE
    risk = account_risk(ledger, account)
    if risk.equity >= risk.maintenance:
        return Reject.NOT_LIQUIDATABLE
    benefit, reason = doubt(ledger, account, command.time_ms)
    if risk.equity + benefit >= risk.maintenance:
        return reason
    if number is None:
        events = _spot_sale(ledger, account, risk, command.time_ms)
    elif (doubtful := price_refusal(ledger, number, Use.LIQUIDATE, command.time_ms)) is not None:
        return doubtful
    else:
        events = _close_position(ledger, account, number, risk, command.time_ms)
    gone = {event.order for event in events if type(event) is OrderClosed}
    own = [ledger.orders[id] for id in ledger.own_orders[account] if id in ledger.orders and id not in gone]
    events[:0] = [OrderClosed(order.id, account, order.market, order.rest, Closed.LIQUIDATED) for order in own]
    taken_over = sorted({(event.market, int(Trigger.DELEVERAGED)) for event in events if type(event) is Deleveraged})
    if any(type(event) is LossShared for event in events):
        taken_over.append((VENUE_WIDE, int(Trigger.FUND_LOW)))
    if taken_over:
        events.extend(sign_events(ledger, taken_over, command.time_ms))
    if events:
        return tuple(events)
    capped = number is not None and not _within_caps(ledger, account, number, _clip(ledger, account, number, risk))
    return Reject.BLOCK_CAP_REACHED if capped else Reject.NOTHING_TO_LIQUIDATE


def largest_position(ledger: Ledger, account: int, now_ms: int) -> int | None:
    """The market in which the account's position is worth most, of those whose mode and price let it be liquidated.

    Of all markets if there is none such; the lowest number among equals.
    """
    worth = [
        (_may_liquidate(ledger, number, now_ms), abs(size) * ledger.lot_values[number], -number)
        for number in ledger.tables.perpetuals
        if (size := ledger.size[number][account])
    ]
    return -max(worth)[2] if worth else None


def _may_liquidate(ledger: Ledger, number: int, now_ms: int) -> bool:
    permitted = bool(permission(ledger, number, Action.LIQUIDATE))
    return permitted and price_refusal(ledger, number, Use.LIQUIDATE, now_ms) is None


def _close_position(ledger: Ledger, account: int, number: int, risk: Risk, now_ms: int) -> list[Event]:
    size = ledger.size[number][account]
    side = -1 if size > 0 else 1
    lots = _clip(ledger, account, number, risk)
    room = _within_caps(ledger, account, number, lots)
    found = _sweep(ledger, account, number, risk, room)
    events = found.events
    filled = room - found.rest
    if filled:
        cash = -side * found.traded * ledger.venue.markets[number].tick_lot_atoms
        bankrupt = _bankruptcy(ledger, number, size, side * filled, risk)
        delta = fund_delta(cash, bankrupt, ledger.venue.liquidation_fee_ppm)
        if delta:
            events.append(FundSettled(account, delta, FundReason.FEE))
        change = _maintenance(ledger, number, size + side * filled) - _maintenance(ledger, number, size)
        equity = risk.equity + cash - delta + side * filled * ledger.lot_values[number]
        risk = replace(risk, equity=equity, maintenance=risk.maintenance + change)
    beyond = risk.equity <= 0 or is_for_backstop(risk.equity, risk.maintenance, ledger.venue.backstop_ppm)
    if lots > filled and beyond and price_refusal(ledger, number, Use.DELEVERAGE, now_ms) is None:
        cover = min(-risk.equity, _fund_room(ledger, number, events))
        if cover > 0:
            events.append(FundSettled(account, -cover, FundReason.LOSS))
            risk = replace(risk, equity=risk.equity + cover)
        events.extend(_deleverage(ledger, account, number, size + side * filled, side * (lots - filled), risk))
    if _is_capped(ledger, number):
        paid = sum(max(0, -event.amount) for event in events if type(event) is FundSettled)
        notional = found.traded * ledger.venue.markets[number].tick_lot_atoms
        if paid or notional:
            events.append(LiquidationCounted(number, account, notional, paid))
    return events


def _is_capped(ledger: Ledger, number: int) -> bool:
    market = ledger.venue.markets[number]
    return bool(market.liquidation_notional_max or market.fund_loss_max or ledger.venue.account_liquidation_max)


def _within_caps(ledger: Ledger, account: int, number: int, lots: int) -> int:
    """The part of a step that may press the book before the next prices. Auto-deleveraging does not, and has no cap."""
    if not _is_capped(ledger, number):
        return lots
    memory = ledger.risk
    used = (memory.closed_of.get(account, 0), memory.closed[number])
    return within_block_caps(lots, lots * ledger.lot_values[number], *used, ledger.tables.liquidation[number])


def _fund_room(ledger: Ledger, number: int, events: Sequence[Event] = ()) -> int:
    """What the fund may still pay in a market before the next prices, after what `events` have moved."""
    moved = [event.amount for event in events if type(event) is FundSettled]
    lost = ledger.risk.lost[number] - sum(min(0, amount) for amount in moved)
    balance = ledger.balance[QUOTE][FUND] + sum(moved)
    return fund_capacity(balance, lost, ledger.tables.liquidation[number].market_loss_per_block)


def _clip(ledger: Ledger, account: int, number: int, risk: Risk) -> int:
    """Lots that this step closes: all of a small position, else a share or what restores the margin."""
    venue, size, lot_value = ledger.venue, ledger.size[number][account], ledger.lot_values[number]
    tiers = ledger.tables.maintenance[number]
    notional = abs(size) * lot_value
    rate = tiers.rate_ppm[tier_of(notional, tiers)]
    restore = abs(size)
    if rate > venue.liquidation_fee_ppm:
        shortage = risk.maintenance - risk.equity
        restore = size_to_restore(shortage, lot_value, 1, rate, venue.liquidation_fee_ppm)
    return clip_size(size, notional, restore, ledger.tables.liquidation[number])


def _sweep(ledger: Ledger, account: int, number: int, risk: Risk, lots: int) -> Match:
    """Trades down to the edge of the price band; only at the bankruptcy price or better if the fund cannot pay more."""
    size = ledger.size[number][account]
    side = -1 if size > 0 else 1
    low, high = ledger.bands[number]
    edge = high if side > 0 else low
    tick_lot = ledger.venue.markets[number].tick_lot_atoms
    found = match(ledger, number, account, side, edge, lots, _CANCEL_RESTING, forced=True)
    filled = lots - found.rest
    if not filled:
        return found
    shortfall = _bankruptcy(ledger, number, size, side * filled, risk) + side * found.traded * tick_lot
    if shortfall <= _fund_room(ledger, number):
        return found
    limit = bankruptcy_price(_bankruptcy(ledger, number, size, side * lots, risk), -side * lots, tick_lot)
    limit = min(limit, edge) if side > 0 else max(limit, edge)
    found = match(ledger, number, account, side, limit, lots, _CANCEL_RESTING, forced=True)
    filled = lots - found.rest
    if filled:
        # With margin tiers a part has another bankruptcy price than the whole: then nothing trades in the book.
        shortfall = _bankruptcy(ledger, number, size, side * filled, risk) + side * found.traded * tick_lot
        if shortfall > _fund_room(ledger, number):
            return Match(lots, True)
    return found


def _bankruptcy(ledger: Ledger, number: int, size: int, change: int, risk: Risk) -> int:
    """Cash, signed, of changing a position of `size` by `change` lots at the bankruptcy price."""
    lot_value = ledger.lot_values[number]
    before, after = _maintenance(ledger, number, size), _maintenance(ledger, number, size + change)
    return bankruptcy_quote(risk.equity, risk.maintenance, size * lot_value, (size + change) * lot_value, before, after)


def _maintenance(ledger: Ledger, number: int, size: int) -> int:
    return requirement(abs(size) * ledger.lot_values[number], ledger.tables.maintenance[number])


def _deleverage(ledger: Ledger, account: int, number: int, size: int, change: int, risk: Risk) -> list[Event]:
    """`change` lots of a position of `size` go to counterparties by rank, at one price: that of bankruptcy."""
    # Imported here: compiled code, which nothing else of the decisions needs.
    from exchange.scanning import candidates

    parts, left = allocate(rank(candidates(ledger, number, size, abs(change))), -change)
    closed = change + left if change < 0 else change - left
    if not closed:
        return []
    cash = _bankruptcy(ledger, number, size, closed, risk)
    sign = 1 if change > 0 else -1
    shares = closing_cash(cash, parts)
    return [
        Deleveraged(number, account, part.account, sign * part.closed, -share)
        for part, share in zip(parts, shares, strict=True)
    ]


def _spot_sale(ledger: Ledger, account: int, risk: Risk, now_ms: int) -> list[Event]:
    """Without positions: collateral is sold for what is owed, in the order of markets; then the fund pays, then all."""
    owed = -ledger.balance[QUOTE][account]
    events: list[Event] = []
    left = False
    for number, market in enumerate(ledger.venue.markets):
        held = ledger.balance[market.asset][account] // market.lot_atoms if market.kind == SPOT else 0
        if not held or owed <= 0 or not _may_liquidate(ledger, number, now_ms):
            continue
        lots = min(held, ceil_div(owed, ledger.bands[number][0] * market.tick_lot_atoms))
        found = match(ledger, number, account, -1, ledger.bands[number][0], lots, _CANCEL_RESTING, forced=True)
        events.extend(found.events)
        owed -= found.traded * market.tick_lot_atoms
        left |= held > lots - found.rest
    if left:
        return events
    cover = max(0, min(owed, ledger.balance[QUOTE][FUND]))
    if cover:
        events.append(FundSettled(account, -cover, FundReason.LOSS))
    # What it still holds, and cannot be sold here, is worth something: only what is lost for good is shared.
    loss = min(owed, -risk.equity) - cover
    if loss > 0:
        from exchange.socialise import shared

        events.extend(shared(ledger, account, loss))
    return events
