"""Hypothesis drives the ledger with anything it can think of; the invariants hold after every command."""

from __future__ import annotations

import itertools
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from exchange.audit import Auditor
from exchange.codes import Reject
from exchange.commands import (
    CancelOrder,
    Command,
    Deposit,
    FundTransfer,
    Liquidate,
    MoveMargin,
    OpenIsolated,
    PayFunding,
    PlaceOrder,
    SetPrices,
    Settle,
    Signal,
    SubmitQuotes,
    Uncross,
    Withdraw,
)
from exchange.engine import Done, Engine, Sink
from exchange.events import Frame, pack_frame, unpack_frames
from exchange.evolve import evolve_frame
from exchange.invariants import broken
from exchange.liquidator import due
from exchange.risk import account_risk, initial_excess
from exchange.rules.margin import Risk
from exchange.rules.modes import Trigger
from exchange.scanning import scan_accounts
from exchange.state import Ledger
from exchange.statehash import ledger_from_bytes, state_bytes
from tests.exchange.oracles import oracle_venue, quotes
from tests.exchange.venues import MARKS, PRICES, UNIT, check_invariants, venue

ACCOUNTS = st.integers(2, 5)
AMOUNTS = st.sampled_from([1, 7, 59 * UNIT, 10**9 + 1, 10**11])


SIGNS = [trigger for trigger in Trigger if trigger is not Trigger.DELISTED]


class LedgerMachine(RuleBasedStateMachine):
    """A twin ledger and the audit see only the journalled bytes; the twin stays the same, the audit agrees."""

    definition = venue(open_orders_max=6, client_ids_kept=4, breaker_ppm=150_000)

    def __init__(self) -> None:
        super().__init__()
        self.engine = Engine(Ledger(self.definition), Sink())
        self.twin = Ledger(self.definition)
        self.auditor = Auditor(self.definition)
        self.time = itertools.count(10)
        self.send(self.priced(1, PRICES, MARKS))
        for user in range(4):
            self.send(_opened(user))
        self.send(Deposit(9, 2, 0, 0, 10**10))
        self.send(Deposit(9, 3, 0, 0, 10**9))
        self.send(Deposit(9, 4, 0, 1, 10**8))
        self.send(Deposit(9, 5, 0, 0, 10**9))
        for account, side in ((2, 1), (3, -1), (5, 1), (4, -1)):
            self.send(PlaceOrder(9, account, 0, 0, side, MARKS[0], 250, 0))

    @property
    def ledger(self) -> Ledger:
        return self.engine.ledger

    def send(self, command: Command) -> Done | None:
        before = state_bytes(self.ledger)
        (answer,) = self.engine.submit([command])
        if not isinstance(answer, Done):
            assert isinstance(answer, Reject) and state_bytes(self.ledger) == before
            return None
        frame = Frame(command.time_ms, command.account, command.client_id, answer.events)
        (read,) = unpack_frames(pack_frame(frame))
        assert read == frame
        evolve_frame(self.twin, read)
        self.auditor.read([read])
        return answer

    def now(self) -> int:
        return next(self.time) * 9_000  # halts of two minutes pass

    def priced(self, time_ms: int, assets: tuple[int, ...], marks: tuple[int, ...]) -> Command:
        """A command that brings these prices."""
        return SetPrices(time_ms, 0, 0, assets, marks)

    @rule(account=ACCOUNTS, asset=st.integers(0, 2), amount=AMOUNTS)
    def deposit(self, account: int, asset: int, amount: int) -> None:
        self.send(Deposit(self.now(), account, 0, asset, amount))

    @rule(account=ACCOUNTS, asset=st.integers(0, 2), amount=AMOUNTS, to_fund=st.booleans())
    def leave(self, account: int, asset: int, amount: int, to_fund: bool) -> None:
        command = FundTransfer(self.now(), account, 0, amount) if to_fund else Withdraw(
            self.now(), account, 0, asset, amount)  # fmt: skip
        if self.send(command):
            # What has left was free: the account still has its initial margin, unrealised profit left aside.
            assert initial_excess(self.ledger, account) >= 0

    @rule(
        account=st.integers(2, 9),
        market=st.integers(0, 2),
        side=st.sampled_from([1, -1]),
        away_ppm=st.integers(-60_000, 60_000) | st.integers(-20, 20) | st.just(10**9),
        lots=st.integers(1, 12) | st.integers(1, 2_000),
        flags=st.sampled_from([0, 0, 0, 1, 2, 4, 8, 9, 16]),
    )
    def place(self, account: int, market: int, side: int, away_ppm: int, lots: int, flags: int) -> None:
        account = min(account, len(self.ledger.user_ids) - 1)
        mark = self.ledger.marks[market]
        price = 0 if away_ppm == 10**9 else mark + mark * away_ppm // 10**6
        before = account_risk(self.ledger, account)
        if self.send(PlaceOrder(self.now(), account, 0, market, side, price, lots, flags)):
            check_not_riskier(before, account_risk(self.ledger, account), initial_excess(self.ledger, account))

    @rule(pick=st.integers(0, 100), own=st.integers(0, 9))
    def cancel(self, pick: int, own: int) -> None:
        orders = sorted(self.ledger.orders)
        if orders:
            number = orders[pick % len(orders)]
            self.send(CancelOrder(self.now(), self.ledger.orders[number].account if own else 2, 0, number))

    @rule(moves=st.tuples(*[st.integers(-60_000, 60_000)] * 2), fast=st.booleans())
    def prices(self, moves: tuple[int, int], fast: bool) -> None:
        btc, eth = (mark + mark * ppm // 10**6 for mark, ppm in zip(MARKS[:2], moves, strict=True))
        assets = (UNIT, *(max(1, price + price * ppm // 10**6) for price, ppm in zip(PRICES[1:], moves, strict=True)))
        self.send(self.priced(self.now(), assets, (btc, eth, btc)))
        if fast:
            for account, side in ((4, 1), (3, -1), (3, 1)):
                away = btc // 500
                self.send(PlaceOrder(self.now(), account, 0, 0, side, btc - side * away, 40, 0))
            for account in range(2, len(self.ledger.user_ids)):
                self.liquidate(account)

    @rule(ppm=st.integers(40_000, 120_000), up=st.booleans(), bids=st.integers(0, 300), rounds=st.integers(1, 3))
    def crash(self, ppm: int, up: bool, bids: int, rounds: int) -> None:
        """Both markets move for good, somebody offers the other side of what is liquidated, or nobody does."""
        for part in (2, 1):
            move = (ppm if up else -ppm) // part
            btc, eth = (mark + mark * move // 10**6 for mark in MARKS[:2])
            assets = (UNIT, *(price + price * move // 10**6 for price in PRICES[1:]))
            self.send(self.priced(self.now(), assets, (btc, eth, btc)))
        if bids:
            self.send(PlaceOrder(self.now(), 2, 0, 0, -1 if up else 1, self.ledger.marks[0], bids, 0))
        for _ in range(rounds):
            for account in due(self.ledger):
                self.liquidate(account)

    @rule(market=st.integers(0, 2), rate=st.integers(-500, 500))
    def funding(self, market: int, rate: int) -> None:
        self.send(PayFunding(self.now(), 0, 0, market, rate))

    @rule(account=ACCOUNTS)
    def liquidated(self, account: int) -> None:
        self.liquidate(account)

    def liquidate(self, account: int) -> None:
        ledger = self.ledger
        before = account_risk(ledger, account)
        flat = [a for a in range(len(ledger.user_ids)) if a != account and not any(size[a] for size in ledger.size)]
        held = [[column[a] for column in ledger.balance] for a in flat]
        makers = {order.account for order in ledger.orders.values()}
        due = before.equity < before.maintenance
        done = self.send(Liquidate(self.now(), 0, 0, account))
        assert due or done is None
        if done:
            after = account_risk(ledger, account)
            if before.maintenance:
                # Health never worsens; for an account without positions collateral is sold, at worst at the band.
                assert after.equity * before.maintenance >= before.equity * after.maintenance
            assert not ledger.open_orders[account]
            for a, columns in zip(flat, held, strict=True):
                if a >= 2 and a not in makers:
                    assert [column[a] for column in ledger.balance] == columns

    @rule(account=ACCOUNTS, market=st.integers(0, 2))
    def isolated(self, account: int, market: int) -> None:
        self.send(OpenIsolated(self.now(), account, 0, market))

    @rule(pick=st.integers(0, 9), amount=AMOUNTS, back=st.booleans(), stranger=st.booleans())
    def margin(self, pick: int, amount: int, back: bool, stranger: bool) -> None:
        pairs = sorted(self.ledger.risk.isolated.items())
        if pairs:
            account, (parent, _) = pairs[pick % len(pairs)]
            sender = 2 + (parent - 1) % 4 if stranger else parent
            done = self.send(MoveMargin(self.now(), sender, 0, account, -amount if back else amount))
            assert not (done and stranger)
            if done:
                giver = account if back else parent
                assert initial_excess(self.ledger, giver) >= 0

    @rule(market=st.integers(-1, 2), trigger=st.sampled_from(SIGNS), seen=st.integers(0, 1))
    def signal(self, market: int, trigger: Trigger, seen: int) -> None:
        self.send(Signal(self.now(), 0, 0, market, int(trigger), seen))

    @rule(market=st.integers(0, 2))
    def auction(self, market: int) -> None:
        if self.send(Uncross(self.now(), 0, 0, market)) and market != 2:
            book = self.ledger.books[market]
            assert not book.bids.keys or not book.asks.keys or book.bids.keys[-1] < -book.asks.keys[-1] or (
                (market, Trigger.REOPENING) in self.ledger.signs)  # fmt: skip

    @rule(market=st.integers(0, 2), really=st.integers(0, 19))
    def delisted(self, market: int, really: int) -> None:
        """Seldom: a market does not come back."""
        if not really:
            self.send(Signal(self.now(), 0, 0, market, int(Trigger.DELISTED), 1))
            for _ in range(40):
                next(self.time)
            self.send(self.priced(self.now(), tuple(self.ledger.prices), tuple(self.ledger.marks)))
        if self.send(Settle(self.now(), 0, 0, market)):
            assert not any(self.ledger.size[market]) and not any(self.ledger.cost[market])
            assert not any(order.market == market for order in self.ledger.orders.values())

    @rule()
    def scan_agrees(self) -> None:
        found = scan_accounts(self.ledger)
        for account in range(len(self.ledger.user_ids)):
            risk = account_risk(self.ledger, account)
            assert int(found.equity[account] - found.required[account]) == risk.equity - risk.maintenance

    @rule()
    def restart(self) -> None:
        state = state_bytes(self.ledger)
        self.engine.ledger = ledger_from_bytes(self.ledger.venue, state)
        assert state_bytes(self.ledger) == state

    @invariant()
    def books_add_up(self) -> None:
        check_invariants(self.ledger)
        assert broken(self.ledger) == []

    @invariant()
    def the_audit_agrees(self) -> None:
        assert [check for check in self.auditor.compare(self.ledger) if not check.ok] == []

    @invariant()
    def the_journal_tells_it_all(self) -> None:
        assert state_bytes(self.twin) == state_bytes(self.ledger)


def check_not_riskier(before: Risk, after: Risk, excess: int) -> None:
    """After an accepted order there is initial margin, or the account has become no riskier."""
    assert excess >= 0 or (after.maintenance <= before.maintenance and after.initial <= before.initial) or (
        after.equity >= before.equity)  # fmt: skip


def _opened(user: int) -> Command:
    from exchange.commands import OpenAccount

    return OpenAccount(2 + user, 0, 0, f"user-{user}")


PPM_MOVES = st.integers(-60_000, 60_000)
LIES = st.sampled_from([0, 1, 30_000 * UNIT, 10**18]) | st.integers(0, 10**12)


class QuotesMachine(LedgerMachine):
    """The same venue with prices from five sources, some of which lie, keep silent or are late."""

    definition = replace(oracle_venue(), open_orders_max=6, client_ids_kept=4, breaker_ppm=1_000_000)

    def priced(self, time_ms: int, assets: tuple[int, ...], marks: tuple[int, ...]) -> Command:
        return self.quoted(time_ms, [assets[1]] * 5, assets[2])

    def quoted(self, time_ms: int, btc: list[int], eth: int, late: int = 0) -> SubmitQuotes:
        ages = dict.fromkeys(range(late), 10**6)
        return SubmitQuotes(time_ms, 0, 0, quotes(time_ms, {1: btc, 2: [eth] * 5}, ages), b"evidence")

    @rule(move=PPM_MOVES, spread=st.integers(0, 10**8), lies=st.tuples(LIES, LIES), liars=st.integers(0, 3))
    def lied_to(self, move: int, spread: int, lies: tuple[int, int], liars: int) -> None:
        """Sources 0 (weight 3) and 3 (weight 1) may lie; the others stay within `spread`."""
        honest = PRICES[1] + PRICES[1] * move // 10**6
        row = [honest - spread, honest, honest + spread, honest, honest + spread // 2]
        for bit, (source, lie) in enumerate(zip((0, 3), lies, strict=True)):
            if liars >> bit & 1:
                row[source] = lie
        before = self.ledger.prices[1]
        if self.send(self.quoted(self.now(), row, PRICES[2])):
            assert honest - spread <= self.ledger.prices[1] <= honest + spread or self.ledger.prices[1] == before
            for account in range(2, 6):
                self.liquidate(account)

    @rule(late=st.integers(1, 5), price=LIES)
    def silence(self, late: int, price: int) -> None:
        """Without two thirds of the weight the price stays, and on an old price nobody is liquidated."""
        before = list(self.ledger.prices)
        self.send(self.quoted(self.now(), [price] * 5, PRICES[2], late))
        if late >= 2:
            assert self.ledger.prices == before
            sizes = [list(size) for size in self.ledger.size]
            for account in range(2, 6):
                self.liquidate(account)
            assert [list(size) for size in self.ledger.size] == sizes


QuotesMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40)
test_machine_with_an_oracle = QuotesMachine.TestCase
LedgerMachine.TestCase.settings = settings(max_examples=50, stateful_step_count=40)
test_machine = LedgerMachine.TestCase
