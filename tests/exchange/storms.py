"""Markets that crash: a seeded stream of commands that looks at its ledger, so that it gets into every corner of it."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from exchange.codes import Reject
from exchange.commands import (
    CancelOrder,
    Command,
    Deposit,
    FundTransfer,
    Liquidate,
    MoveMargin,
    OpenAccount,
    OpenIsolated,
    PayFunding,
    PlaceOrder,
    SetPrices,
    Settle,
    Signal,
    Uncross,
    Withdraw,
)
from exchange.engine import Done, Engine, Sink
from exchange.liquidator import due
from exchange.risk import account_risk, left_after_leaving
from exchange.rules.dynamic_margin import VolatilityPolicy
from exchange.rules.modes import Trigger
from exchange.state import FIRST_USER, FUND, QUOTE, VENUE_WIDE, Ledger
from exchange.statehash import state_hash
from exchange.venue import MarginTier, Market, Venue
from tests.exchange.venues import MARKS, PRICES, UNIT, venue

USERS = 8
MARKETS = (0, 0, 0, 0, 1, 1, 2, 2)
FLAGS = (0, 0, 0, 0, 0, 0, 1, 2, 4, 8, 8 | 1, 16)
TIERS = (MarginTier(2_000 * UNIT, 50_000, 25_000), MarginTier(9_000 * UNIT, 100_000, 50_000),
         MarginTier(None, 250_000, 125_000))  # fmt: skip
POLICY = VolatilityPolicy(900_000, 12, 3_000_000, 2_000, 250_000, 30_000, 250_000, 20_000, 5_000, 500_000)
CALM, WILD = (3_000, 8_000, 20_000, 32_000), (3_000, 20_000, 60_000, 60_000, 140_000)
"""By how much prices move at most, in millionths."""
SIGNALS = (Trigger.ORACLE_UNCERTAIN, Trigger.AUDIT_MISMATCH, Trigger.REPLICA_DIVERGED, Trigger.DELISTED)


def definition(seed: int) -> Venue:
    """Small tiers and limits; by seed, caps on liquidations, maker fees for rebates, auctions, margins that move."""

    def market(number: int, plain: Market) -> Market:
        if not plain.margin:
            return replace(plain, order_lots_max=60, position_lots_max=60)
        caps = {"liquidation_notional_max": 3_000 * UNIT, "fund_loss_max": 30 * UNIT} if seed % 2 and not number else {}
        fees = {"maker_fee_ppm": 130} if seed % 3 == 1 else {}
        growing = {"interest_lower": 15_000 * UNIT, "interest_upper": 90_000 * UNIT} if seed % 4 == 2 else {}
        moving = {"volatility": POLICY} if seed % 4 == 3 else {}
        changes: dict[str, Any] = {**caps, **fees, **growing, **moving}
        return replace(plain, margin=TIERS, order_lots_max=90, position_lots_max=240, **changes)

    plain = venue(
        open_orders_max=7,
        client_ids_kept=9,
        clip_notional=900 * UNIT,
        breaker_ppm=(60_000, 900_000)[seed % 3 > 0],
        venue_breaker_ppm=900_000,
        auction_ms=(0, 20_000)[seed % 2],
        settlement_ms=30_000,
        liquidation_fee_ppm=(500, 15_000)[seed % 2],  # with hardly a fee the fund stays poor
        account_liquidation_max=(0, 2_000 * UNIT)[seed % 5 == 1],
        fund_low_ppm=(0, 300)[seed % 5 == 2],
    )
    return replace(plain, markets=tuple(market(number, each) for number, each in enumerate(plain.markets))).check()


class _Digest(Sink):
    """What is journalled, hashed."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()

    def append(self, first_sequence: int, frames: int, time_ms: int, payload: bytes) -> None:
        self.hash.update(payload)


class Storm:
    """One run. Every command follows from the seed and from what the ledger answered before."""

    def __init__(self, seed: int, *, short_ways: bool = True) -> None:
        self._chance = random.Random(seed)
        self._journal = _Digest()
        self._engine = Engine(Ledger(definition(seed)), self._journal, short_ways=short_ways)
        self._engine._shorts = {kind: self._counted(short) for kind, short in self._engine._shorts.items()}
        self.seen, self.short = Counter[str](), 0
        self._time, self._number, self._level = 0, 0, 10**6
        self._is_calm = definition(seed).breaker_ppm < 10**5
        self.watch: Callable[[Ledger], None] = lambda _: None
        self._send(SetPrices(0, FUND, 0, PRICES, MARKS))
        self._send(Deposit(0, FUND, 0, QUOTE, (3, 60)[seed % 2] * UNIT))
        for user in range(USERS):
            self._send(OpenAccount(0, FUND, 0, f"user-{user}"))
            # The last two are the market's makers.
            money = 10**6 if user >= USERS - 2 else self._chance.choice((150, 300, 1_000, 4_000))
            self._send(Deposit(0, FIRST_USER + user, 0, QUOTE, money * UNIT))
            self._send(Deposit(0, FIRST_USER + user, 0, 1, self._chance.choice((1, 10**5, 7 * 10**6, 10**8))))

    @property
    def ledger(self) -> Ledger:
        return self._engine.ledger

    def run(self, steps: int) -> str:
        """SHA-256 of all that was journalled and answered, and of the state at the end."""
        for _ in range(steps):
            self._time += self._chance.choice((0, 200, 200, 900, 6_000))
            kind = self._chance.random()
            if kind < 0.56:
                self._order()
            elif kind < 0.66:
                self._quotes()
            elif kind < 0.72:
                self._cancel()
            elif kind < 0.86:
                self._prices()
            elif kind < 0.95:
                self._money()
            else:
                self._venue()
        self._journal.hash.update(state_hash(self.ledger))
        return self._journal.hash.hexdigest()

    def _counted(self, short: Callable[..., Any]) -> Callable[..., Any]:
        """The same, and `self.short` counts what it accepts: a short way that is never taken gives no other result."""

        def counted(*arguments: object) -> object:
            events = short(*arguments)
            self.short += events is not None
            return events

        return counted

    def _send(self, command: Command) -> None:
        (answer,) = self._engine.submit([command])
        said = answer.name if isinstance(answer, Reject) else f"{type(answer).__name__} {answer.sequence}"
        self._journal.hash.update(said.encode())
        if isinstance(answer, Done):
            self.seen.update(type(event).__name__ for event in answer.events)
        self.watch(self.ledger)

    def _client(self) -> int:
        """Mostly none, else a new one or, now and then, one that was used."""
        self._number += 1
        return self._chance.choice((0, 0, self._number, 1 + self._number // 2, 1))

    def _account(self) -> int:
        return self._chance.randrange(FIRST_USER, len(self.ledger.user_ids)) if self._chance.random() < 0.97 else (
            self._chance.choice((-1, 0, 1, len(self.ledger.user_ids))))  # fmt: skip

    def _order(self) -> None:
        """Of anybody, about as large as the account can afford, or what closes its position."""
        chance, ledger = self._chance, self.ledger
        account, market, side = self._account(), chance.choice(MARKETS), chance.choice((1, -1))
        if account in ledger.risk.isolated and chance.random() < 0.9:
            market = ledger.risk.isolated[account][1]
        mark, (low, high) = ledger.marks[market], ledger.bands[market]
        away = chance.choice((0, 1, mark // 5_000, mark // 500, mark // 100))
        price = chance.choice((mark - side * away, mark + side * away, mark + side * away, low, high, 0))
        if chance.random() < 0.01:
            price = chance.choice((low - 1, high + 1, -1))
        lots = chance.choice((1, 2, 5, chance.randrange(1, 40)))
        if FIRST_USER <= account < len(ledger.user_ids):
            size, risk = ledger.size[market][account], account_risk(ledger, account)
            most = (risk.equity - risk.initial) * 20 // ledger.lot_values[market]
            if chance.random() < 0.7:
                lots = max(1, min(90, most + chance.randrange(-2, 3)))
            elif size and chance.random() < 0.3:
                side, lots = (-1 if size > 0 else 1), min(90, abs(size) + chance.choice((0, 0, 0, 1, -1))) or 1
        flags = chance.choice(FLAGS) if chance.random() < 0.98 else chance.choice((3, 5, 32, -1))
        self._send(PlaceOrder(self._time, account, self._client(), market, side, price, lots, flags))

    def _quotes(self) -> None:
        """One of the makers takes its orders back and lays out new ones, thin or thick, near or far."""
        chance, ledger = self._chance, self.ledger
        account, market = FIRST_USER + USERS - chance.choice((1, 2)), chance.choice(MARKETS)
        for number in sorted(ledger.orders):
            if ledger.orders[number].account == account:
                self._send(CancelOrder(self._time, account, 0, number))
        mark, step = ledger.marks[market], chance.choice((500, 5_000, 15_000))
        for level in range(1, 4):
            for side in (1, -1) if chance.random() < 0.7 else (chance.choice((1, -1)),):
                price = mark - side * mark * level * step // 10**6
                lots = chance.choice((1, 4, 15, 60))
                self._send(PlaceOrder(self._time, account, self._client(), market, side, price, lots, 0))

    def _cancel(self) -> None:
        orders = sorted(self.ledger.orders)
        if orders:
            number = self._chance.choice(orders)
            owner = self.ledger.orders[number].account
            account = owner if self._chance.random() < 0.9 else self._account()
            self._send(CancelOrder(self._time, account, self._client(), number))

    def _prices(self) -> None:
        """A walk that comes back to where it began; then those who are due, for a round or several."""
        chance = self._chance
        width = chance.choice(CALM if self._is_calm else WILD)
        self._level += chance.randrange(-width, width + 1) + (10**6 - self._level) // 9
        self._time += chance.choice((0, 1_000, 15_000, 61_000))
        eth = self._level + chance.randrange(-width // 2, width // 2 + 1)
        assets = (UNIT, PRICES[1] * self._level // 10**6, PRICES[2] * eth // 10**6)
        marks = tuple(mark * ppm // 10**6 for mark, ppm in zip(MARKS, (self._level, eth, self._level), strict=True))
        self._send(SetPrices(self._time, FUND, 0, assets, marks))
        for _ in range(chance.randrange(1, 5)):
            if chance.random() < 0.5:
                self._order()
            for account in due(self.ledger):
                self._send(Liquidate(self._time, FUND, 0, account))

    def _money(self) -> None:
        chance, ledger = self._chance, self.ledger
        time, account, amount = self._time, self._account(), chance.choice((1, UNIT, 40 * UNIT, 200 * UNIT))
        isolated = sorted(ledger.risk.isolated)
        kind = chance.randrange(9)
        if kind == 0:
            if chance.random() < 0.7:  # who has lost everything comes back
                account = min(range(FIRST_USER, FIRST_USER + USERS), key=lambda each: account_risk(ledger, each).equity)
            self._send(Deposit(time, account, self._client(), chance.randrange(2), amount))
        elif kind < 4:
            asset = chance.choice((0, 0, 0, 1, 2))
            if FIRST_USER <= account < len(ledger.user_ids):  # all that may go, or an atom more
                left, free = left_after_leaving(ledger, account, QUOTE, 0), ledger.balance[asset][account]
                amount = chance.choice((free, left, left, left + 1)) if asset == QUOTE else free
            self._send(Withdraw(time, account, self._client(), asset, amount))
        elif kind == 4:
            self._send(FundTransfer(time, account, self._client(), chance.choice((1, UNIT, 9 * UNIT))))
        elif kind == 5:
            if chance.random() < 0.3:
                self._send(OpenIsolated(time, account, 0, chance.randrange(3)))
        elif isolated:
            child = chance.choice(isolated)
            parent = ledger.risk.isolated[child][0] if chance.random() < 0.9 else account
            self._send(MoveMargin(time, parent, self._client(), child, chance.choice((amount, amount, -amount))))

    def _venue(self) -> None:
        chance, time = self._chance, self._time
        late = self.ledger.sequence > 3_000
        kind = chance.randrange(8)
        if kind < 3:
            self._send(PayFunding(time, FUND, 0, chance.randrange(2), chance.randrange(-3_000, 3_001)))
        elif kind < 5:
            self._send(Uncross(time, FUND, 0, chance.choice((0, 1))))
        elif kind == 5:
            trigger = chance.choice(SIGNALS[: 4 if late else 3])
            everywhere = trigger in (Trigger.AUDIT_MISMATCH, Trigger.REPLICA_DIVERGED)
            market = VENUE_WIDE if everywhere else 1 if trigger is Trigger.DELISTED else chance.randrange(3)
            seen = 0 if everywhere or chance.random() < 0.5 else 1
            self._send(Signal(time, FUND, 0, market, int(trigger), seen))
        elif kind == 6:
            self._send(Settle(time, FUND, 0, 1))
        else:
            self._send(Liquidate(time, FUND, 0, self._account()))
