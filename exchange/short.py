"""The short way of most commands: plain orders with margin to spare, and cancels, decided and applied in one go.

Whatever these functions accept, `decide` accepts with the same events, and `evolve` leaves the same state; what they do
not accept they leave alone, and answer None. Tests run both ways side by side.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from typing import Final

from exchange.book import Order
from exchange.commands import CancelOrder, Flag, PlaceOrder
from exchange.events import Closed, Event, OrderClosed, OrderExpired, OrderOpened, Traded
from exchange.evolve import EVOLVERS
from exchange.locks import spot_lock
from exchange.rules.rounding import PPM
from exchange.state import FIRST_USER, OWN_ORDERS_SLACK, Gate, Ledger

_new = tuple.__new__
_CANCELLED: Final = int(Closed.CANCELLED)
_EXPIRED: Final = int(Closed.IMMEDIATE)
_IMMEDIATE: Final = int(Flag.IMMEDIATE)
_REDUCE_ONLY: Final = int(Flag.REDUCE_ONLY)


def place_plain(ledger: Ledger, command: PlaceOrder) -> tuple[Event, ...] | None:
    """A limit order for a perpetual in normal mode, at most IMMEDIATE, within limits by a bound that needs no risk."""
    _, account, _, number, side, price, lots, flags = command
    gate = ledger.gates.get((number, side))
    spares = ledger.spare
    if gate is None or flags > _IMMEDIATE or flags < 0 or not FIRST_USER <= account < len(spares):
        return None
    if account in ledger.risk.isolated and ledger.risk.isolated[account][1] != number:
        return None
    low, high, lots_max, position_max, lot_margin, own, keys, promised, sizes, _ = gate
    if not (low <= price <= high and 0 < lots <= lots_max) or ledger.spare_version[account] != ledger.price_version:
        return None
    before = promised[account]
    if before + side * sizes[account] + lots > position_max:
        return None
    key = side * price
    if keys and key + keys[-1] >= 0:
        return _take(ledger, command, gate)
    left = spares[account] - lots * lot_margin
    open_orders = ledger.open_orders[account]
    if flags or left < 0 or open_orders >= ledger.venue.open_orders_max:
        return None
    id = ledger.next_order
    ledger.next_order = id + 1
    spares[account] = left
    promised[account] = before + lots
    ledger.open_orders[account] = open_orders + 1
    order = ledger.orders[id] = Order(id, account, number, side, price, lots, 0)
    level = own.levels.get(price)
    if level is None:
        level = own.levels[price] = OrderedDict()
        insort(own.keys, key)
    level[id] = order
    numbers = ledger.own_orders[account]
    numbers.append(id)
    if len(numbers) > OWN_ORDERS_SLACK:
        ledger.forget_gone(account)
    return (_new(OrderOpened, (id, account, number, side, price, lots, 0)),)


def _take(ledger: Ledger, command: PlaceOrder, gate: Gate) -> tuple[Event, ...] | None:
    """Such an order when it meets others: neither the account's own nor reduce-only ones."""
    _, account, _, number, side, price, lots, flags = command
    _, _, _, _, lot_margin, _, keys, _, _, levels = gate
    market = ledger.venue.markets[number]
    tick_lot, rate, taker_rate = market.tick_lot_atoms, market.maker_fee_ppm, market.taker_fee_ppm
    events: list[Event] = []
    rest, traded, fees, end = lots, 0, 0, -side * price
    for at in range(len(keys) - 1, -1, -1):
        if keys[at] < end or not rest:
            break
        price_here = -side * keys[at]
        per_lot = price_here * tick_lot
        for id, order in levels[price_here].items():
            if order.account == account or order.flags & _REDUCE_ONLY:
                return None
            fill = order.rest if order.rest < rest else rest
            filled = order.lots - order.rest
            maker_fee = -(-(filled + fill) * per_lot * rate // PPM) + (-filled * per_lot * rate // PPM)
            fee = -(-fill * per_lot * taker_rate // PPM)
            rest -= fill
            traded += fill * price_here
            fees += fee
            events.append(_new(Traded, (number, id, order.account, account, side, price_here, fill, maker_fee, fee)))
            if not rest:
                break
    resting = 0 if flags else rest
    worse = traded * tick_lot - (lots - rest) * ledger.lot_values[number]
    left = ledger.spare[account] - side * worse - fees - (lots - rest + resting) * lot_margin
    if left < 0 or (resting and ledger.open_orders[account] >= ledger.venue.open_orders_max):
        return None
    if resting:
        events.append(_new(OrderOpened, (ledger.next_order, account, number, side, price, resting, 0)))
    elif rest:
        events.append(_new(OrderExpired, (account, number, rest, _EXPIRED)))
    return _apply(ledger, events)


def _apply(ledger: Ledger, events: list[Event]) -> tuple[Event, ...]:
    for event in events:
        EVOLVERS[type(event)](ledger, event)
    return tuple(events)


def cancel(ledger: Ledger, command: CancelOrder) -> tuple[Event, ...] | None:
    """The cancel of an own order."""
    _, account, _, id = command
    orders = ledger.orders
    order = orders.get(id)
    if order is None or order.account != account:
        return None
    number, side, price, rest = order.market, order.side, order.price, order.rest
    del orders[id]
    book = ledger.books[number]
    if side > 0:
        own, promised = book.bids, ledger.buys[number]
    else:
        own, promised = book.asks, ledger.sells[number]
    level = own.levels[price]
    del level[id]
    if not level:
        del own.levels[price]
        del own.keys[bisect_left(own.keys, price * side)]
    promised[account] -= rest
    ledger.open_orders[account] -= 1
    market = ledger.venue.markets[number]
    if not market.margin:
        asset, amount = spot_lock(market, side, price, order.lots, rest)
        ledger.locked[asset][account] -= amount
    return (_new(OrderClosed, (id, account, number, rest, _CANCELLED)),)
