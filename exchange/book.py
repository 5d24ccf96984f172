"""One market's order book: price first, then time. It holds no money and knows no rule."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator


class Level:
    """All orders of one price, oldest first, as a linked list."""

    __slots__ = ("head", "price", "tail")

    def __init__(self, price: int) -> None:
        self.price = price
        self.head: Order | None = None
        self.tail: Order | None = None


class Order:
    """A resting order: `lots` when it entered the book, of which `rest` are left. `side` is +1 or -1."""

    __slots__ = ("account", "after", "before", "flags", "id", "level", "lots", "market", "price", "rest", "side")

    def __init__(self, id: int, account: int, market: int, side: int, price: int, lots: int, flags: int) -> None:
        self.id = id
        self.account = account
        self.market = market
        self.side = side
        self.price = price
        self.lots = lots
        self.rest = lots
        self.flags = flags
        self.before: Order | None = None
        self.after: Order | None = None
        self.level: Level | None = None


class BookSide:
    """The levels of one side. `keys` holds side * price in rising order: the best price is the last key."""

    __slots__ = ("keys", "levels", "side")

    def __init__(self, side: int) -> None:
        self.side = side
        self.keys: list[int] = []
        self.levels: dict[int, Level] = {}

    def best(self) -> int | None:
        """The best price, or None when this side is empty."""
        return self.keys[-1] * self.side if self.keys else None

    def __iter__(self) -> Iterator[Order]:
        """Orders in the order in which they would trade."""
        for key in reversed(self.keys):
            order = self.levels[key * self.side].head
            while order is not None:
                yield order
                order = order.after


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
            level = side.levels[order.price] = Level(order.price)
            insort(side.keys, order.price * order.side)
            level.head = order
        else:
            last = level.tail
            if last is not None:
                last.after = order
            order.before = last
        level.tail = order
        order.level = level

    def remove(self, order: Order) -> None:
        """Takes `order` out; its neighbours keep their order."""
        level, before, after = order.level, order.before, order.after
        if level is None:
            return
        if before is None:
            level.head = after
        else:
            before.after = after
        if after is None:
            level.tail = before
        else:
            after.before = before
        order.level = order.before = order.after = None
        if level.head is None:
            side = self.bids if order.side > 0 else self.asks
            del side.levels[level.price]
            key = level.price * order.side
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
