"""A desk whose journal is audited after every command."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from exchange.audit import Auditor
from exchange.commands import Command, Deposit, Flag, Liquidate, OpenAccount, PlaceOrder
from exchange.engine import Answer, Done
from exchange.invariants import broken
from exchange.liquidator import due, set_prices
from exchange.state import FUND, QUOTE
from exchange.venue import Venue
from tests.exchange.venues import BUY, MARKS, PERP, SELL, UNIT, Desk, Tape, btc_at, venue

P = MARKS[PERP]
MINUTE = 60_000


class Journalled(Desk):
    """A desk at any venue, whose frames are kept and audited after every command."""

    def __init__(self, definition: Venue, users: int = 3, cash: int = 0) -> None:
        tape = Tape()
        self.frames, self.auditor = tape.frames, Auditor(definition)
        super().__init__(users, cash, tape, definition.check())

    def ask(self, command: Command) -> Answer:
        answer = super().ask(command)
        self.check()
        return answer

    def check(self) -> None:
        """The audit agrees, and every invariant holds."""
        self.auditor.read(self.frames[self.auditor.sequence :])
        assert [check for check in self.auditor.compare(self.ledger) if not check.ok] == []
        assert broken(self.ledger) == []

    def fall(self, ppm: int, at_ms: int | None = None) -> list[Answer]:
        """BTC at its first price less `ppm`, and the liquidations that follow."""
        answers = set_prices(self.engine, btc_at(next(self.time) if at_ms is None else at_ms, -ppm))
        self.check()
        return answers


def with_market(number: int = PERP, **changes: Any) -> Venue:
    base = venue()
    markets = list(base.markets)
    markets[number] = replace(markets[number], **changes)
    return replace(base, markets=tuple(markets))


def events_of(answers: list[Answer]) -> list[Any]:
    return [event for answer in answers if isinstance(answer, Done) for event in answer.events]


def crashed(path_ppm: list[int], step_ms: int, **changes: Any) -> tuple[Journalled, list[Any]]:
    """100 accounts of 3 to 30 times leverage go down a path, a thin book bids on the way."""
    desk = Journalled(replace(venue(), breaker_ppm=1_000_000, venue_breaker_ppm=1_000_000, **changes), 2, 10**13)
    commands: list[Command] = []
    for user in range(100):
        commands.append(OpenAccount(200, 0, 0, f"trader-{user}"))
    desk.engine.submit(commands)
    for user in range(100):
        account, leverage = 4 + user, 3 + user % 28
        value = 600 * UNIT
        orders: list[Command] = [
            Deposit(300, account, 0, QUOTE, value * 107 // (100 * min(leverage, 19)) + UNIT),
            PlaceOrder(300, 2, 0, PERP, SELL if user % 7 else BUY, P, 10, 0),
            PlaceOrder(300, account, 0, PERP, BUY if user % 7 else SELL, P, 10, int(Flag.IMMEDIATE)),
        ]
        assert all(isinstance(answer, Done) for answer in desk.engine.submit(orders))
    desk.check()
    found = []
    for step, ppm in enumerate(path_ppm):
        time_ms = 1_000 + step * step_ms
        mark = P - P * ppm // 1_000_000
        bids = [PlaceOrder(time_ms, 3, 0, PERP, BUY, mark - 9 - n, 8, 0) for n in range(5)]
        desk.engine.submit(bids)
        found.extend(events_of(desk.fall(ppm, time_ms)))
        desk.engine.submit([Liquidate(time_ms, FUND, 0, account) for account in due(desk.ledger)])
        desk.check()
    return desk, found
