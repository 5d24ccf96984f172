"""Applies events. No checks and no choices: the same events give the same bytes on every machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from exchange.book import Order
from exchange.events import (
    AccountOpened,
    AuctionTraded,
    Deleveraged,
    Deposited,
    Event,
    Frame,
    FundingPaid,
    FundSettled,
    FundTransferred,
    IsolatedOpened,
    LiquidationCounted,
    LossShared,
    MarginMoved,
    ModeSet,
    OrderClosed,
    OrderExpired,
    OrderOpened,
    PricesSet,
    QuotesTaken,
    Settled,
    SignSeen,
    Traded,
    Withdrawn,
)
from exchange.locks import spot_lock
from exchange.oracle import remember
from exchange.rules.breakers import observed
from exchange.rules.funding import payment
from exchange.state import FEES, FUND, ISOLATED_MARK, QUOTE, UNKNOWN, Ledger, client_key
from exchange.venue import PERPETUAL, Market


def evolve_frame(ledger: Ledger, frame: Frame) -> None:
    """Applies one accepted command."""
    begin_frame(ledger, frame.time_ms, client_key(frame.command_account, frame.client_id))
    for event in frame.events:
        evolve(ledger, event)


def begin_frame(ledger: Ledger, time_ms: int, key: int) -> None:
    """What every frame does before its events: the next sequence number, the time, the client's key (0: none)."""
    ledger.sequence = sequence = ledger.sequence + 1
    ledger.time_ms = time_ms
    if key:
        answered, order = ledger.answered, ledger.answered_order
        answered[key] = sequence
        order.append(key)
        if len(order) > ledger.venue.client_ids_kept:
            del answered[order.popleft()]


def evolve(ledger: Ledger, event: Event) -> None:
    """Applies one event, in place."""
    EVOLVERS[type(event)](ledger, event)


def _account_opened(ledger: Ledger, event: AccountOpened) -> None:
    ledger.add_account(event.user_id)


def _deposited(ledger: Ledger, event: Deposited) -> None:
    ledger.balance[event.asset][event.account] += event.amount
    ledger.deposited[event.asset] += event.amount


def _withdrawn(ledger: Ledger, event: Withdrawn) -> None:
    ledger.balance[event.asset][event.account] -= event.amount
    ledger.withdrawn[event.asset] += event.amount
    ledger.spare[event.account] = UNKNOWN


def _moved(ledger: Ledger, giver: int, receiver: int, amount: int) -> None:
    ledger.balance[QUOTE][giver] -= amount
    ledger.balance[QUOTE][receiver] += amount
    ledger.spare[giver] = ledger.spare[receiver] = UNKNOWN


def _to_fund(ledger: Ledger, event: FundTransferred | FundSettled) -> None:
    _moved(ledger, event.account, FUND, event.amount)


def _traded(ledger: Ledger, event: Traded) -> None:
    number, maker_order, maker, taker, side, price, lots, maker_fee, taker_fee = event
    market = ledger.venue.markets[number]
    order = ledger.orders[maker_order]
    promised = ledger.sells[number] if side > 0 else ledger.buys[number]
    promised[maker] -= lots
    if lots < order.rest:
        order.rest -= lots
    else:
        ledger.books[number].remove(order)
        order.rest = 0
        del ledger.orders[maker_order]
        ledger.open_orders[maker] -= 1
    quote = ledger.balance[QUOTE]
    notional = lots * price * market.tick_lot_atoms
    if market.kind == PERPETUAL:
        change_position(ledger, number, taker, side * lots, side * notional)
        change_position(ledger, number, maker, -side * lots, -side * notional)
        # What the price was worse than the mark, fees, and at most this much more margin; the maker's was reserved.
        worse = side * (notional - lots * ledger.lot_values[number])
        spare = ledger.spare
        spare[taker] -= lots * ledger.lot_margins[number] + taker_fee + (worse if worse > 0 else 0)
        spare[maker] -= (maker_fee if maker_fee > 0 else 0) - (worse if worse < 0 else 0)
    else:
        _exchange(ledger, market, event, notional)
    quote[maker] -= maker_fee
    quote[taker] -= taker_fee
    quote[FEES] += maker_fee + taker_fee


def _exchange(ledger: Ledger, market: Market, event: Traded, notional: int) -> None:
    quote, base = ledger.balance[QUOTE], ledger.balance[market.asset]
    atoms = event.lots * market.lot_atoms
    if event.side > 0:
        buyer, seller = event.taker, event.maker
        ledger.locked[market.asset][seller] -= atoms
        ledger.spare[buyer] -= notional + event.taker_fee
    else:
        buyer, seller = event.maker, event.taker
        ledger.spare[seller] += notional - event.taker_fee - event.lots * ledger.lot_margins[event.market]
        ledger.locked[QUOTE][buyer] -= notional + max(event.maker_fee, 0)
    quote[buyer] -= notional
    quote[seller] += notional
    base[buyer] += atoms
    base[seller] -= atoms


def change_position(ledger: Ledger, number: int, account: int, lots: int, flow: int) -> None:
    """Adds `lots` (signed) bought for `flow` quote atoms (signed like `lots`) to a position.

    balance - cost changes by exactly -flow. What is closed takes its share of the cost with it, rounded up, so that
    realised profit is rounded down; the rest of the cost stays with the rest of the position.
    """
    sizes, costs = ledger.size[number], ledger.cost[number]
    old = sizes[account]
    new = old + lots
    if old >= 0 <= lots or old <= 0 >= lots:
        costs[account] += flow
    else:
        cost = costs[account]
        closes_only = new == 0 or (new > 0) == (old > 0)
        # cost - ceil(cost * |lots| / |old|), or a new position at this trade's price: flow / lots is a whole number.
        kept = cost + (-cost * abs(lots)) // abs(old) if closes_only else new * (flow // lots)
        costs[account] = kept
        ledger.balance[QUOTE][account] += kept - cost - flow
    sizes[account] = new
    ledger.open_interest[number] += (new if new > 0 else 0) - (old if old > 0 else 0)


def _auction_traded(ledger: Ledger, event: AuctionTraded) -> None:
    number, buy, sell, buyer, seller, price, lots, *fees = event
    market = ledger.venue.markets[number]
    notional = lots * price * market.tick_lot_atoms
    quote = ledger.balance[QUOTE]
    for id, account, side, fee in ((buy, buyer, 1, fees[0]), (sell, seller, -1, fees[1])):
        order = ledger.orders[id]
        if market.kind != PERPETUAL:
            asset, before = spot_lock(market, side, order.price, order.lots, order.rest)
            after = spot_lock(market, side, order.price, order.lots, order.rest - lots)[1]
            ledger.locked[asset][account] -= before - after
            ledger.balance[market.asset][account] += side * lots * market.lot_atoms
            quote[account] -= side * notional
        else:
            change_position(ledger, number, account, side * lots, side * notional)
        promised = ledger.buys[number] if side > 0 else ledger.sells[number]
        promised[account] -= lots
        ledger.books[number].fill(order, lots)
        if not order.rest:
            del ledger.orders[id]
            ledger.open_orders[account] -= 1
        quote[account] -= fee
        quote[FEES] += fee
        ledger.spare[account] = UNKNOWN


def _order_opened(ledger: Ledger, event: OrderOpened) -> None:
    id, account, number, side, price, lots, flags = event
    ledger.add_order(Order(id, account, number, side, price, lots, flags))
    ledger.next_order = id + 1
    ledger.open_orders[account] += 1
    promised = ledger.buys[number] if side > 0 else ledger.sells[number]
    promised[account] += lots
    market = ledger.venue.markets[number]
    if market.kind == PERPETUAL:
        ledger.spare[account] -= lots * ledger.lot_margins[number]
    else:
        asset, amount = spot_lock(market, side, price, lots, lots)
        ledger.locked[asset][account] += amount
        ledger.spare[account] -= amount if side > 0 else lots * ledger.lot_margins[number]


def _order_closed(ledger: Ledger, event: OrderClosed) -> None:
    id, account, number, lots, _ = event
    order = ledger.orders.pop(id)
    ledger.books[number].remove(order)
    ledger.open_orders[account] -= 1
    promised = ledger.buys[number] if order.side > 0 else ledger.sells[number]
    promised[account] -= lots
    market = ledger.venue.markets[number]
    if market.kind != PERPETUAL:
        asset, amount = spot_lock(market, order.side, order.price, order.lots, lots)
        ledger.locked[asset][account] -= amount


def _order_expired(ledger: Ledger, event: OrderExpired) -> None:
    """Nothing: the order was never in the book. The event tells the client."""


def _prices_set(ledger: Ledger, event: PricesSet) -> None:
    ledger.price_time_ms = ledger.time_ms
    ledger.risk.new_prices()
    for number, market in enumerate(ledger.venue.markets):
        if market.volatility is not None:
            mark, interval = event.marks[number], ledger.venue.volatility_ms
            ledger.risk.observe(number, market.volatility, mark, ledger.time_ms, interval)
    ledger.set_prices(event.assets, event.marks)
    for number, mark in enumerate(event.marks):
        ledger.windows[number] = observed(ledger.windows[number], ledger.time_ms, mark)


def _funding_paid(ledger: Ledger, event: FundingPaid) -> None:
    quote = ledger.balance[QUOTE]
    lot_value = event.mark * ledger.venue.markets[event.market].tick_lot_atoms
    rounded = 0
    for account, size in enumerate(ledger.size[event.market]):
        if size:
            paid = payment(size * lot_value, event.rate_ppm)
            quote[account] -= paid
            rounded += paid
            ledger.spare[account] = UNKNOWN
    quote[FUND] += rounded


def _deleveraged(ledger: Ledger, event: Deleveraged) -> None:
    number, account, counterparty, lots, cash = event
    change_position(ledger, number, account, lots, -cash)
    change_position(ledger, number, counterparty, -lots, cash)
    ledger.spare[account] = ledger.spare[counterparty] = UNKNOWN


def _isolated_opened(ledger: Ledger, event: IsolatedOpened) -> None:
    account, parent, market = event
    ledger.add_account(f"{ledger.user_ids[parent]}{ISOLATED_MARK}{ledger.venue.markets[market].symbol}")
    ledger.risk.add_isolated(account, parent, market)


def _margin_moved(ledger: Ledger, event: MarginMoved) -> None:
    _moved(ledger, event.account, event.receiver, event.amount)


def _loss_shared(ledger: Ledger, event: LossShared) -> None:
    _moved(ledger, event.payer, event.account, event.amount)


def _liquidation_counted(ledger: Ledger, event: LiquidationCounted) -> None:
    risk = ledger.risk
    risk.closed[event.market] += event.notional
    risk.lost[event.market] += event.fund_paid
    risk.closed_of[event.account] = risk.closed_of.get(event.account, 0) + event.notional


def _settled(ledger: Ledger, event: Settled) -> None:
    sizes, costs, quote = ledger.size[event.market], ledger.cost[event.market], ledger.balance[QUOTE]
    lot_value = event.price * ledger.venue.markets[event.market].tick_lot_atoms
    for account, size in enumerate(sizes):
        if size:
            quote[account] += size * lot_value - costs[account]
            sizes[account] = costs[account] = 0
            ledger.spare[account] = UNKNOWN
    ledger.open_interest[event.market] = 0


def _sign_seen(ledger: Ledger, event: SignSeen) -> None:
    if event.seen:
        ledger.signs[event.market, event.trigger] = ledger.time_ms
    else:
        ledger.signs.pop((event.market, event.trigger), None)


def _mode_set(ledger: Ledger, event: ModeSet) -> None:
    ledger.set_mode(event.market, event.mode)


EVOLVERS: Final[dict[object, Callable[[Ledger, Any], None]]] = {
    AccountOpened: _account_opened,
    Deposited: _deposited,
    Withdrawn: _withdrawn,
    FundTransferred: _to_fund,
    Traded: _traded,
    OrderOpened: _order_opened,
    OrderClosed: _order_closed,
    OrderExpired: _order_expired,
    PricesSet: _prices_set,
    QuotesTaken: remember,
    FundingPaid: _funding_paid,
    FundSettled: _to_fund,
    Deleveraged: _deleveraged,
    SignSeen: _sign_seen,
    ModeSet: _mode_set,
    IsolatedOpened: _isolated_opened,
    MarginMoved: _margin_moved,
    LiquidationCounted: _liquidation_counted,
    LossShared: _loss_shared,
    AuctionTraded: _auction_traded,
    Settled: _settled,
}
"""Per event type, what applies it."""
