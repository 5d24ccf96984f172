"""One market's order book: price first, then time. It holds no money and knows no rule."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Iterator


class Order:
    """A resting order: `lots` when it entered the book, of which `rest` are left. `side` is +1 or -1."""

    __slots__ = ("account", "flags", "id", "lots", "market", "price", "rest", "side")

    def __init__(self, id: int, account: int, market: int, side: int, price: int, lots: int, flags: int) -> None:
        self.id = id
        self.account = account
        self.market = market
        self.side = side
        self.price = price
        self.lots = lots
        self.rest = lots
        self.flags = flags


class BookSide:
    """One side: per price its orders by number, oldest first.

    `keys` holds side * price in rising order: the best price is the last key. Levels are OrderedDicts: a plain dict
    looks at all that was removed before it finds its first entry.
    """

    __slots__ = ("keys", "levels", "side")

    def __init__(self, side: int) -> None:
        self.side = side
        self.keys: list[int] = []
        self.levels: dict[int, OrderedDict[int, Order]] = {}

    def best(self) -> int | None:
        """The best price, or None when this side is empty."""
        return self.keys[-1] * self.side if self.keys else None

    def __iter__(self) -> Iterator[Order]:
        """Orders in the order in which they would trade."""
        for key in reversed(self.keys):
            yield from self.levels[key * self.side].values()


class Book:
    """Both sides. Time priority is the order in which orders are added."""

    __slots__ = ("asks", "bids")

    def __init__(self) -> None:
        self.bids = BookSide(1)
        self.asks = BookSide(-1)

    def add(self, order: Order) -> None:
        """Puts `order` behind all others of its price."""
        side = self.bids if order.side > 0 else self.asks
        level = side.levels.get(order.price)
        if level is None:
            level = side.levels[order.price] = OrderedDict()
            insort(side.keys, order.price * order.side)
        level[order.id] = order

    def remove(self, order: Order) -> None:
        """Takes `order` out; the others keep their order."""
        side = self.bids if order.side > 0 else self.asks
        level = side.levels[order.price]
        del level[order.id]
        if not level:
            del side.levels[order.price]
            key = order.price * order.side
            if side.keys[-1] == key:
                side.keys.pop()
            else:
                del side.keys[bisect_left(side.keys, key)]

    def fill(self, order: Order, lots: int) -> None:
        """Takes `lots` off a resting order; the order leaves when nothing is left."""
        if lots == order.rest:
            self.remove(order)
            order.rest = 0
        else:
            order.rest -= lots
