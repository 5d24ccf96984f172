"""The short way of most commands, plain orders with margin to spare and cancels: decided, applied, packed in one go.

Whatever these functions accept, `decide` accepts with the same events, and `evolve` leaves the same state; what they do
not accept they leave alone, and answer None: repeats, and all that is refused. Tests run both ways side by side.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from exchange.book import BookSide, Order
from exchange.commands import CLIENT_ID_MAX, TIME_MS_END, CancelOrder, Command, Flag, PlaceOrder
from exchange.events import (
    FRAME,
    PACKERS,
    Closed,
    Event,
    OrderClosed,
    OrderExpired,
    OrderOpened,
    Traded,
    packer_alone,
)
from exchange.evolve import EVOLVERS, begin_frame
from exchange.locks import spot_lock
from exchange.rules.rounding import PPM
from exchange.state import FIRST_USER, OWN_ORDERS_SLACK, QUOTE, Gate, Ledger

Add: TypeAlias = Callable[[bytes], None]
"""Takes the next bytes of the block."""
_new, _blank = tuple.__new__, object.__new__
# Plain ints and local names: each look-up costs more than what it is for.
_CANCELLED: Final = int(Closed.CANCELLED)
_EXPIRED: Final = int(Closed.IMMEDIATE)
_IMMEDIATE: Final = int(Flag.IMMEDIATE)
_REDUCE_ONLY: Final = int(Flag.REDUCE_ONLY)
HANDLERS: Final = {kind: (*PACKERS[kind], EVOLVERS[kind]) for kind in EVOLVERS}
"""Per event type: what packs it, its number, and what applies it."""
_pack_opened, _OPENED = packer_alone(OrderOpened)
_pack_closed, _CLOSED = packer_alone(OrderClosed)


def place_plain(ledger: Ledger, command: PlaceOrder, add: Add) -> tuple[Event, ...] | None:
    """A limit order in normal mode, at most IMMEDIATE, within limits by a bound that needs no risk."""
    time_ms, account, client_id, number, side, price, lots, flags = command
    key = account << 64 | client_id if client_id else 0
    gate, spares = ledger.gates.get((number, side)), ledger.spare
    if (
        gate is None
        or flags > _IMMEDIATE
        or flags < 0
        or account < FIRST_USER
        or account >= len(spares)
        or key in ledger.answered
        or not ledger.time_ms <= time_ms < TIME_MS_END
        or not 0 <= client_id <= CLIENT_ID_MAX
        or (account in ledger.risk.isolated and ledger.risk.isolated[account][1] != number)
    ):
        return None
    low, high, lots_max, position_max, lot_margin, _, keys, promised, sizes, _ = gate
    if not (low <= price <= high and 0 < lots <= lots_max):
        return None
    before = promised[account]
    if sizes is None:
        return None if flags else _rest_spot(ledger, command, gate, key, add)
    if before + side * sizes[account] + lots > position_max:
        return None
    own_key = side * price
    if keys and own_key + keys[-1] >= 0:
        return _take(ledger, command, gate, key, add)
    left = spares[account] - lots * lot_margin
    if flags or left < 0 or ledger.open_orders[account] >= ledger.venue.open_orders_max:
        return None
    spares[account] = left
    promised[account] = before + lots
    return _rest(ledger, add, gate[5], key, time_ms, account, client_id, number, side, price, lots)


def _rest(
    ledger: Ledger, add: Add, own: BookSide, key: int,
    time_ms: int, account: int, client_id: int, number: int, side: int, price: int, lots: int,
) -> tuple[Event, ...]:  # fmt: skip
    """The order goes to the book; margin or locks are taken care of."""
    id = ledger.next_order
    ledger.next_order = id + 1
    ledger.open_orders[account] += 1
    order = ledger.orders[id] = _blank(Order)  # and not by __init__, which is a call
    order.id, order.account, order.market, order.side = id, account, number, side
    order.price, order.lots, order.rest, order.flags = price, lots, lots, 0
    level = own.levels.get(price)
    if level is None:
        level = own.levels[price] = OrderedDict()
        insort(own.keys, price * side)
    level[id] = order
    numbers = ledger.own_orders[account]
    numbers.append(id)
    if len(numbers) > OWN_ORDERS_SLACK:
        ledger.forget_gone(account)
    begin_frame(ledger, time_ms, key)
    add(_pack_opened(1, time_ms, account, client_id, _OPENED, id, account, number, side, price, lots, 0))
    return (_new(OrderOpened, (id, account, number, side, price, lots, 0)),)


def _rest_spot(ledger: Ledger, command: PlaceOrder, gate: Gate, key: int, add: Add) -> tuple[Event, ...] | None:
    """An order of a spot market that meets nobody: what it locks is free, and margin is left by the bound."""
    time_ms, account, client_id, number, side, price, lots, _ = command
    _, _, _, _, lot_margin, own, keys, promised, _, _ = gate
    if (keys and side * price + keys[-1] >= 0) or ledger.open_orders[account] >= ledger.venue.open_orders_max:
        return None
    asset, amount = spot_lock(ledger.venue.markets[number], side, price, lots, lots)
    locked = ledger.locked[asset]
    left = ledger.spare[account] - (amount if asset == QUOTE else lots * lot_margin)
    if left < 0 or locked[account] + amount > ledger.balance[asset][account]:
        return None
    ledger.spare[account] = left
    locked[account] += amount
    promised[account] += lots
    return _rest(ledger, add, own, key, time_ms, account, client_id, number, side, price, lots)


def _take(ledger: Ledger, command: PlaceOrder, gate: Gate, key: int, add: Add) -> tuple[Event, ...] | None:
    """An order for a perpetual that meets others: neither the account's own nor reduce-only ones."""
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
            # Telescoped, as in `matching.trade`.
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
    apply(ledger, command, key, events, add)
    return tuple(events)


def apply(ledger: Ledger, command: Command, key: int, events: Sequence[Event], add: Add) -> None:
    """Applies and packs the frame of a command, whose `state.client_key` is `key`."""
    time_ms, account, client_id = command[0], command[1], command[2]
    begin_frame(ledger, time_ms, key)
    add(FRAME.pack(len(events), time_ms, account, client_id))
    for event in events:
        pack, kind, evolve = HANDLERS[type(event)]
        add(pack(kind, *event))
        evolve(ledger, event)


def cancel(ledger: Ledger, command: CancelOrder, add: Add) -> tuple[Event, ...] | None:
    """The cancel of an own order."""
    time_ms, account, client_id, id = command
    key = account << 64 | client_id if client_id else 0
    orders = ledger.orders
    order = orders.get(id)
    if (
        order is None
        or order.account != account
        or key in ledger.answered
        or not ledger.time_ms <= time_ms < TIME_MS_END
        or not 0 <= client_id <= CLIENT_ID_MAX
    ):
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
    begin_frame(ledger, time_ms, key)
    add(_pack_closed(1, time_ms, account, client_id, _CLOSED, id, account, number, rest, _CANCELLED))
    return (_new(OrderClosed, (id, account, number, rest, _CANCELLED)),)
