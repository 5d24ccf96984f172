"""A small venue, short commands and the invariants that hold after every event, for the tests of the ledger."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from exchange.codes import Reject
from exchange.commands import Command, Deposit, OpenAccount, PlaceOrder, SetPrices
from exchange.engine import Answer, Done, Engine, Sink
from exchange.events import Event, Frame, unpack_frames
from exchange.locks import spot_lock
from exchange.risk import exposure, initial_excess
from exchange.rules.modes import Trigger
from exchange.state import FIRST_USER, QUOTE, Ledger
from exchange.venue import PERPETUAL, SPOT, Asset, HaircutTier, MarginTier, Market, Venue

PERP, ETH_PERP, BTC_SPOT = 0, 1, 2
BUY, SELL = 1, -1
ALICE, BOB, CAROL = 2, 3, 4
UNIT = 10**6
RICH = 10**13
PRICES = (UNIT, 60_000 * UNIT, 3_000 * UNIT)
MARKS = (600_000, 30_000, 600_000)


def perpetual(symbol: str, asset: int, lot_atoms: int) -> Market:
    """Ticks of 0.1, two margin tiers, maker rebate."""
    tiers = (MarginTier(10**12, 50_000, 25_000), MarginTier(None, 100_000, 50_000))
    return Market(symbol, PERPETUAL, asset, lot_atoms, 100, 2 * 10**6, 10**5, 10**6, -50, 450, 50_000, tiers)


def venue(**changes: Any) -> Venue:
    """USDT, BTC, ETH; two perpetual markets and a spot one."""
    assets = (
        Asset("usdt", 6),
        Asset("btc", 8, (HaircutTier(10**12, 950_000), HaircutTier(None, 900_000))),
        Asset("eth", 8, (HaircutTier(10**12, 900_000),)),
    )
    spot = Market("BTC-USDT", SPOT, 1, 10**5, 100, 2 * 10**6, 10**5, 10**6, 100, 450, 50_000)
    markets = (perpetual("BTC-PERP", 1, 10**5), perpetual("ETH-PERP", 2, 10**5), spot)
    return Venue("test", assets, markets, **changes).check()


class Tape(Sink):
    """Keeps what is journalled, as bytes and as frames."""

    def __init__(self) -> None:
        self.payload = b""
        self.frames: list[Frame] = []

    def append(self, first_sequence: int, frames: int, time_ms: int, payload: bytes) -> None:
        self.payload += payload
        self.frames.extend(unpack_frames(payload))


def btc_at(time_ms: int, ppm: int) -> SetPrices:
    """BTC, and what is traded on it, at its first price plus `ppm`."""
    return marked(time_ms, MARKS[PERP] + MARKS[PERP] * ppm // 10**6)


def marked(time_ms: int, mark: int) -> SetPrices:
    """The same, in ticks."""
    return SetPrices(time_ms, 0, 0, (UNIT, mark * 100_000, PRICES[2]), (mark, MARKS[1], mark))


class Desk:
    """An engine with accounts and prices, spoken to in short."""

    first_ms = 1

    def __init__(
        self,
        users: int = 3,
        cash: int = RICH,
        sink: Sink | None = None,
        definition: Venue | None = None,
        **changes: int,
    ) -> None:
        """Opens accounts with so much each, at `definition` or at the small venue with these changes."""
        self.engine = Engine(Ledger(definition or venue(**changes)), sink or Sink())
        self.time = itertools.count(self.first_ms)
        self.set_first_prices()
        for user in range(users):
            self.accept(OpenAccount(next(self.time), 0, 0, f"user-{user}"))
        if cash:
            self.deposit(*[cash] * users)

    def set_first_prices(self) -> None:
        self.accept(btc_at(next(self.time), 0))

    def deposit(self, *amounts: int) -> None:
        """Quote atoms for the first users, in their order."""
        for user, amount in enumerate(amounts):
            self.accept(Deposit(next(self.time), FIRST_USER + user, 0, QUOTE, amount))

    @property
    def ledger(self) -> Ledger:
        return self.engine.ledger

    def ask(self, command: Command) -> Answer:
        """The answer, after which all invariants hold."""
        (answer,) = self.engine.submit([command])
        check_invariants(self.ledger)
        return answer

    def accept(self, command: Command) -> Sequence[Event]:
        answer = self.ask(command)
        assert isinstance(answer, Done), answer
        return answer.events

    def refuse(self, command: Command) -> Reject:
        answer = self.ask(command)
        assert isinstance(answer, Reject), answer
        return answer

    def order(self, account: int, side: int, price: int, lots: int, market: int = PERP, flags: int = 0) -> PlaceOrder:
        return PlaceOrder(next(self.time), account, 0, market, side, price, lots, flags)

    def trade(self, buyer: int, seller: int, price: int, lots: int, market: int = PERP) -> None:
        """`buyer` rests, `seller` takes."""
        self.accept(self.order(buyer, BUY, price, lots, market))
        self.accept(self.order(seller, SELL, price, lots, market))

    def equity(self, account: int) -> int:
        ledger = self.ledger
        total = ledger.balance[QUOTE][account]
        for market in ledger.tables.perpetuals:
            lot_value = ledger.marks[market] * ledger.venue.markets[market].tick_lot_atoms
            total += ledger.size[market][account] * lot_value - ledger.cost[market][account]
        return total


def check_invariants(ledger: Ledger) -> None:
    """All that must hold after any command."""
    check_money(ledger)
    check_books(ledger)


def check_money(ledger: Ledger) -> None:
    """Money in = money out + money here; positions cancel; locks and promises are those of the open orders."""
    for asset in range(len(ledger.venue.assets)):
        held = sum(ledger.balance[asset]) - (sum(map(sum, ledger.cost)) if asset == QUOTE else 0)
        assert held == ledger.deposited[asset] - ledger.withdrawn[asset]
    for market, size in enumerate(ledger.size):
        assert sum(size) == 0
        assert ledger.open_interest[market] == sum(lots for lots in size if lots > 0)
        # A flat account carries no cost: all of its profit or loss is realised.
        assert all(cost == 0 for lots, cost in zip(size, ledger.cost[market], strict=True) if lots == 0)
    accounts = len(ledger.user_ids)
    locked = [[0] * accounts for _ in ledger.venue.assets]
    promised = {side: [[0] * accounts for _ in ledger.venue.markets] for side in (BUY, SELL)}
    for order in ledger.orders.values():
        promised[order.side][order.market][order.account] += order.rest
        market_of = ledger.venue.markets[order.market]
        if market_of.kind == SPOT:
            asset, amount = spot_lock(market_of, order.side, order.price, order.lots, order.rest)
            locked[asset][order.account] += amount
    assert [list(column) for column in ledger.locked] == locked
    assert [list(column) for column in ledger.buys] == promised[BUY]
    assert [list(column) for column in ledger.sells] == promised[SELL]
    assert sum(ledger.open_orders) == len(ledger.orders)
    for account, own in enumerate(ledger.own_orders):
        mine = [order.id for order in ledger.orders.values() if order.account == account]
        assert [id for id in own if id in ledger.orders] == sorted(mine)
    for asset in range(1, len(locked)):
        for account in range(accounts):
            assert ledger.balance[asset][account] >= locked[asset][account] >= 0
    for account in range(accounts):
        bound = ledger.spare[account]
        assert bound <= initial_excess(ledger, account)
        ledger.spare[account] = bound
        for number in ledger.tables.perpetuals:
            row = [column[number][account] for column in (ledger.size, ledger.buys, ledger.sells)]
            assert exposure(*row) <= ledger.venue.markets[number].position_lots_max


def check_books(ledger: Ledger) -> None:
    """Books are crossed only while a call for an auction is on, or halted again; levels are those of their orders."""
    in_books = [order for book in ledger.books for side in (book.bids, book.asks) for order in side]
    assert sorted(order.id for order in in_books) == sorted(ledger.orders)
    for number, book in enumerate(ledger.books):
        assert (
            (number, int(Trigger.REOPENING)) in ledger.signs
            or not book.bids.keys
            or not book.asks.keys
            or book.bids.keys[-1] < -book.asks.keys[-1]
        )
        for side in (book.bids, book.asks):
            assert side.keys == sorted(side.keys)
            assert set(side.levels) == {key * side.side for key in side.keys}
            for level in side.levels.values():
                assert level
