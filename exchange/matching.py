"""What an incoming order would trade with, found on the real book without touching it."""

from __future__ import annotations

from typing import Final

from exchange.book import Order
from exchange.commands import Flag
from exchange.events import Closed, Event, OrderClosed, Traded
from exchange.rules.rounding import PPM
from exchange.state import Ledger

_new = tuple.__new__
_CANCEL_RESTING: Final = int(Flag.CANCEL_RESTING)
_REDUCE_ONLY: Final = int(Flag.REDUCE_ONLY)


class Match:
    """The outcome of a walk through the book.

    Attributes:
        events: trades and closed resting orders, in order.
        rest: lots that found nobody.
        traded: sum of lots * price over the trades.
        fees: quote atoms that the taker pays.
        self_trade: the walk ended at the account's own order; the rest must expire.
        forced: of a liquidation: the taker pays the fund instead of a fee, and nobody gets a rebate.
    """

    __slots__ = ("events", "fees", "forced", "rest", "self_trade", "traded")

    def __init__(self, rest: int, forced: bool = False) -> None:
        self.forced = forced
        self.events: list[Event] = []
        self.rest = rest
        self.traded = 0
        self.fees = 0
        self.self_trade = False


def match(
    ledger: Ledger, number: int, account: int, side: int, limit: int, lots: int, flags: int, forced: bool = False
) -> Match:
    """Walks the other side, best price first, oldest first, while prices are at `limit` or better."""
    result = Match(lots, forced)
    book = ledger.books[number]
    opposite = book.asks if side > 0 else book.bids
    end = -side * limit
    # keys are (opposite side) * price in rising order: a level crosses while its key is at least -side * limit.
    for at in range(len(opposite.keys) - 1, -1, -1):
        key = opposite.keys[at]
        if key < end or not result.rest:
            break
        for order in opposite.levels[-side * key].values():
            if not result.rest:
                break
            if order.account == account:
                if not flags & _CANCEL_RESTING:
                    result.self_trade = True
                    return result
                result.events.append(OrderClosed(order.id, account, number, order.rest, Closed.SELF_TRADE))
            elif order.flags & _REDUCE_ONLY:
                _trade_reducing(ledger, result, order, account)
            else:
                trade(ledger, result, order, account, min(order.rest, result.rest))
    return result


def trade(ledger: Ledger, result: Match, order: Order, taker: int, lots: int) -> None:
    """Adds a trade of `lots` with a resting order."""
    market = ledger.venue.markets[order.market]
    price = order.price
    per_lot = price * market.tick_lot_atoms
    rate, taker_rate = market.maker_fee_ppm, market.taker_fee_ppm
    if result.forced:
        rate, taker_rate = max(rate, 0), 0
    filled = order.lots - order.rest
    # Telescoped: all fills of an order pay what one fill of the whole would.
    maker_fee = -(-(filled + lots) * per_lot * rate // PPM) + (-filled * per_lot * rate // PPM)
    taker_fee = -(-lots * per_lot * taker_rate // PPM)
    result.rest -= lots
    result.traded += lots * price
    result.fees += taker_fee
    event = (order.market, order.id, order.account, taker, -order.side, price, lots, maker_fee, taker_fee)
    result.events.append(_new(Traded, event))


def _trade_reducing(ledger: Ledger, result: Match, order: Order, taker: int) -> None:
    """Trades with a reduce-only order: no more than its account's position as it is after the trades so far."""
    position = ledger.size[order.market][order.account]
    for event in result.events:
        if type(event) is Traded and event.maker == order.account:
            position -= event.side * event.lots
    capacity = max(0, -order.side * position)
    lots = min(order.rest, result.rest, capacity)
    if lots:
        trade(ledger, result, order, taker, lots)
    if lots == capacity < order.rest:
        closed = OrderClosed(order.id, order.account, order.market, order.rest - lots, Closed.REDUCE_ONLY)
        result.events.append(closed)
