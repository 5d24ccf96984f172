"""How a halted market comes back: it collects orders for a while, and one price for all of them opens it.

During the call nothing trades: limit orders rest, even across each other, and may be cancelled; nobody is liquidated.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import takewhile
from typing import Final

from exchange.book import Order
from exchange.codes import Reject
from exchange.commands import Flag, PlaceOrder, Uncross
from exchange.events import AuctionTraded, Closed, Event, OrderClosed
from exchange.rules.auction import Bid, uncross
from exchange.rules.auction import Uncross as Outcome
from exchange.rules.breakers import reopens
from exchange.rules.fees import fee, telescoped
from exchange.rules.modes import Action, Trigger
from exchange.state import Ledger
from exchange.venue import Market
from exchange.watch import market_refusal, sign_events

_REDUCE_ONLY: Final = int(Flag.REDUCE_ONLY)
_ACCOUNT_SHIFT: Final = 64


def decide_uncross(ledger: Ledger, command: Uncross) -> tuple[Event, ...] | Reject:
    """Trades at one price if that is within the band around the mark; else the call goes on for as long again."""
    number, now = command.market, command.time_ms
    refused = market_refusal(ledger, command.account, number, Action.AUCTION)
    if refused is not None:
        return refused
    sign = (number, int(Trigger.REOPENING))
    if sign not in ledger.signs or now < ledger.signs[sign] + ledger.venue.auction_ms:
        return Reject.NO_AUCTION_DUE
    buys, sells = _crossing(ledger, number)
    capacity = _capacities(ledger, number, [*buys, *sells])
    mark, width = ledger.marks[number], ledger.venue.markets[number].band_ppm
    found = uncross(_bids(buys, capacity), _bids(sells, capacity), mark)
    filled: dict[int, int] = defaultdict(int)
    trades: list[Event] = []
    closed: list[Event] = []
    if found is None:  # nobody crosses, or only those who have nothing left to reduce
        for side in filter(None, (buys, sells)):
            closed += _closed(ledger, number, side, filled, capacity, side[-1].price)
    elif not reopens(found.price, mark, width):
        return tuple(sign_events(ledger, [sign], now))
    else:
        trades = _trades(ledger, number, found, filled)
        closed = _closed(ledger, number, [*buys, *sells], filled, capacity, found.price)
    return (*trades, *closed, *sign_events(ledger, (), now, [sign]))


def crosses_own(ledger: Ledger, command: PlaceOrder) -> bool:
    """Whether an order of a call would trade with one of the account's own."""
    orders = (ledger.orders.get(id) for id in ledger.own_orders[command.account])
    return any(
        order is not None
        and order.market == command.market
        and order.side == -command.side
        and (command.price - order.price) * command.side >= 0
        for order in orders
    )


def _crossing(ledger: Ledger, number: int) -> tuple[list[Order], list[Order]]:
    """Orders of each side that the best of the other side reaches: nobody else can trade."""
    book = ledger.books[number]
    bid, ask = book.bids.best(), book.asks.best()
    if bid is None or ask is None:
        return [], []
    buys = takewhile(lambda order: order.price >= ask, book.bids)
    sells = takewhile(lambda order: order.price <= bid, book.asks)
    return list(buys), list(sells)


def _capacities(ledger: Ledger, number: int, orders: Sequence[Order]) -> dict[int, int]:
    """Order -> lots that it may trade: a reduce-only one what its account's other orders leave of the position."""
    left: dict[tuple[int, int], int] = {}
    for order in orders:
        key = (order.account, order.side)
        if key not in left:
            left[key] = max(0, -order.side * ledger.size[number][order.account])
        if not order.flags & _REDUCE_ONLY:
            left[key] = max(0, left[key] - order.rest)
    found = {}
    for order in orders:
        found[order.id] = order.rest
        if order.flags & _REDUCE_ONLY:
            key = (order.account, order.side)
            found[order.id] = min(order.rest, left[key])
            left[key] -= found[order.id]
    return found


def _bids(orders: Sequence[Order], capacity: dict[int, int]) -> list[Bid]:
    # Numbered by account first: who came first must not matter for odd lots.
    return [
        Bid(order.account << _ACCOUNT_SHIFT | order.id, order.price, capacity[order.id])
        for order in orders
        if capacity[order.id]
    ]


def _trades(ledger: Ledger, number: int, found: Outcome, filled: dict[int, int]) -> list[Event]:
    """Buyers and sellers in pairs, by account and number; `filled` gets the lots of each order."""
    market, events = ledger.venue.markets[number], list[Event]()
    sold = list(found.sold)
    at, left = 0, sold[0][1]
    for key, lots in found.bought:
        buy = ledger.orders[key % (1 << _ACCOUNT_SHIFT)]
        while lots:
            sell = ledger.orders[sold[at][0] % (1 << _ACCOUNT_SHIFT)]
            part = min(lots, left)
            fees = [_fee(market, order, filled[order.id], part, found.price) for order in (buy, sell)]
            events.append(AuctionTraded(number, buy.id, sell.id, buy.account, sell.account, found.price, part, *fees))
            for order in (buy, sell):
                filled[order.id] += part
            lots, left = lots - part, left - part
            if not left and at + 1 < len(sold):
                at += 1
                left = sold[at][1]
    return events


def _fee(market: Market, order: Order, filled: int, lots: int, price: int) -> int:
    """The maker's fee at the auction's price, no rebate; for a buyer at most what is locked for it."""
    rate = max(market.maker_fee_ppm, 0)
    due = fee(lots * price * market.tick_lot_atoms, rate)
    if order.side < 0:
        return due
    per_lot = order.price * market.tick_lot_atoms
    return min(due, telescoped((order.lots - order.rest + filled) * per_lot, lots * per_lot, rate))


def _closed(
    ledger: Ledger, number: int, orders: Sequence[Order], filled: dict[int, int], capacity: dict[int, int], price: int
) -> list[Event]:
    """Reduce-only orders that could still cross `price`, and have nothing left to reduce."""
    return [
        OrderClosed(order.id, order.account, number, order.rest - done, Closed.REDUCE_ONLY)
        for order in orders
        if (done := filled.get(order.id, 0)) == capacity[order.id] < order.rest
        and (order.price - price) * order.side >= 0
    ]
