"""The ledger under pressure: every command delivered several times, late and in another order; ten times too many."""

from __future__ import annotations

import math
import random
import tempfile
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final

from exchange.codes import Reject
from exchange.commands import CancelOrder, Command, Deposit, Flag, FundTransfer, Liquidate, PlaceOrder, SetPrices
from exchange.engine import Answer, Done, Engine, Repeated, Sink
from exchange.intake import URGENT, Intake
from exchange.journal import Journal, journal_url
from exchange.liquidator import due
from exchange.recovery import recover
from exchange.state import FIRST_USER, FUND, QUOTE, Ledger
from exchange.statehash import ledger_from_bytes, state_bytes, state_hash
from tests.adversary.faults_sweep import Counts
from tests.adversary.score import SLOWEST, Score
from tests.exchange.flow import commands
from tests.exchange.venues import BUY, MARKS, PERP, RICH, SELL, Desk, btc_at, check_invariants, venue

FLOW: Final = {"short": 250, "nightly": 20_000}
ROUNDS: Final = {"short": 25, "nightly": 1_500}
WIDE: Final = 10**6
"""Places of a queue that is never full."""
LATE_MAX: Final = 400
BATCH, ORDERS_MAX, URGENT_MAX, ACCOUNT_MAX = 50, 400, 200, 40
USERS: Final = 60
OVERLOAD: Final = 10
MAKER: Final = FIRST_USER + USERS
LEVER_EVERY: Final = 12
LOT: Final = MARKS[PERP] * 100
"""Quote atoms."""


def deliveries(flow: list[Command], chance: random.Random) -> list[Command]:
    """Each command one to three times: at once, later, and some of them only after others that were sent after them."""
    placed: list[tuple[float, int, Command]] = []
    for number, command in enumerate(flow):
        late = chance.randrange(LATE_MAX) if chance.random() < 0.05 else 0
        placed.append((number + late, len(placed), command))
        for _ in range(chance.choice((0, 1, 1, 2))):
            again = chance.choice((0.5, chance.randrange(1, LATE_MAX)))
            placed.append((number + late + again, len(placed), command))
    return [command for _, _, command in sorted(placed)]


def duplicates(size: str, seed: int) -> Score:
    """Through the intake, with a restart from time to time: applied once, whatever the number of deliveries."""
    chance, counts = random.Random(seed), Counts("faults: duplicate delivery", seed)
    flow = list(commands(FLOW[size], seed))
    engine = Engine(Ledger(venue()), Sink())
    accepted: list[Command] = []
    sequence_of: dict[tuple[int, int], int] = {}
    sent, time_ms = deliveries(flow, chance), 0
    while sent:
        count = chance.randrange(1, 60)
        batch, sent = sent[:count], sent[count:]
        intake = Intake(engine, orders_max=WIDE, urgent_max=WIDE, account_max=WIDE, batch=WIDE)
        asked = {intake.offer(command): command for command in batch}
        time_ms += 1_000
        for ticket, answer in intake.work(time_ms):
            command = asked[ticket]
            counts.notes[type(answer).__name__] += 1
            counts.judge(f"{command}", partial(_once, answer, command, sequence_of))
            if isinstance(answer, Done):
                accepted.append(command._replace(time_ms=time_ms))
        if chance.random() < 0.02:
            engine = Engine(ledger_from_bytes(venue(), state_bytes(engine.ledger)), Sink())

    def same() -> None:
        plain = Engine(Ledger(venue()), Sink())
        assert all(isinstance(answer, Done) for answer in plain.submit(accepted)), (
            "another order than it was applied in"
        )
        assert state_hash(plain.ledger) == state_hash(engine.ledger), "another state than that of one delivery each"
        assert len(sequence_of) == engine.ledger.sequence
        check_invariants(engine.ledger)

    counts.judge("the state", same)
    return counts.score()


def _once(answer: Answer, command: Command, sequence_of: dict[tuple[int, int], int]) -> None:
    key = command.account, command.client_id
    if isinstance(answer, Done):
        assert key not in sequence_of, "applied twice"
        sequence_of[key] = answer.sequence
    elif isinstance(answer, Repeated):
        assert sequence_of[key] == answer.sequence, "said to be another frame"
    else:
        assert key not in sequence_of, "what was applied is said to be refused"


class _Overload:
    """Ten times as many commands as batches hold, from users who send orders, users who only cancel, and the venue."""

    def __init__(self, folder: Path, seed: int, counts: Counts) -> None:
        self.chance, self.counts = random.Random(seed), counts
        calm = venue(breaker_ppm=10**6, venue_breaker_ppm=10**6)  # no halt: there is to be something to do
        self.journal = Journal(journal_url(folder / "journal.db"), calm)
        self.desk = Desk(USERS + 1, 0, self.journal, calm)
        self.intake = Intake(
            self.desk.engine, orders_max=ORDERS_MAX, urgent_max=URGENT_MAX, account_max=ACCOUNT_MAX, batch=BATCH
        )
        self.bound = math.ceil(URGENT_MAX / BATCH)
        self.now = 10_000
        self.desk.accept(Deposit(self.now, MAKER, 0, QUOTE, RICH))
        self.desk.accept(FundTransfer(self.now, MAKER, 0, RICH // 2))
        self.client_id = 0
        self.waiting: dict[int, tuple[Command, int]] = {}
        self.last: dict[bool, int] = {True: 0, False: 0}
        self.batches_max = 0
        self.seconds_max = 0.0
        self.began: dict[int, float] = {}

    def header(self, account: int) -> tuple[int, int, int]:
        self.client_id += 1
        return 0, account, self.client_id

    def lever(self) -> None:
        """Neighbours trade with each other for sixteen times what they pay in: 4 % against one of them is too much.
        A maker stands ready for those who are liquidated."""
        engine, ledger = self.desk.engine, self.desk.ledger
        engine.submit([CancelOrder(self.now, MAKER, 0, order) for order in list(ledger.own_orders[MAKER])])
        engine.submit([btc_at(self.now, 0)])
        price = ledger.marks[PERP]
        for user in range(0, USERS, 2):
            lots = 8 * (1 + user % 7)
            steps: list[Command] = [
                Deposit(self.now, 2 + user + side, 0, QUOTE, lots * LOT * (16 + side) // 256) for side in (0, 1)
            ]
            steps.append(PlaceOrder(self.now, 2 + user, 0, PERP, BUY, price, lots, 0))
            steps.append(PlaceOrder(self.now, 3 + user, 0, PERP, SELL, price, lots, int(Flag.IMMEDIATE)))
            engine.submit(steps)
        quotes = [(side, away) for side in (BUY, SELL) for away in range(4_000, 60_000, 4_000)]
        engine.submit([PlaceOrder(self.now, MAKER, 0, PERP, s, price - s * away, 400, 0) for s, away in quotes])

    def offered(self, number: int) -> list[Command]:
        """Of one batch's time, shuffled: orders, a flood of cancels, a price, and who is to be liquidated by it."""
        chance, ledger = self.chance, self.desk.ledger
        flood = number % 3 == 0
        found: list[Command] = []
        for _ in range(OVERLOAD * BATCH):
            account = 2 + chance.randrange(USERS)
            if chance.random() < (0.8 if flood else 0.05):
                own = [order for order in ledger.own_orders[account] if order in ledger.orders]
                found.append(CancelOrder(*self.header(account), chance.choice(own) if own else 1))
            else:
                side = chance.choice((BUY, SELL))
                price = ledger.marks[PERP] - side * chance.randrange(-900, 3_000)
                found.append(PlaceOrder(*self.header(account), PERP, side, price, chance.randrange(1, 40), 0))
        chance.shuffle(found)
        if number % 4 == 1:
            price_of = btc_at(0, chance.choice((-1, 1)) * chance.randrange(30_000, 80_000))
            found.insert(chance.randrange(len(found)), price_of)
        asked = {command.target for command, _ in self.waiting.values() if isinstance(command, Liquidate)}
        found.extend(Liquidate(0, FUND, 0, account) for account in due(ledger) if account not in asked)
        return found

    def round(self, number: int) -> None:
        """Everything is offered, one batch is worked off."""
        if number % LEVER_EVERY == 0:
            self.lever()
        for command in self.offered(number):
            is_urgent = type(command) in URGENT
            kind = type(command).__name__
            ticket = self.intake.offer(command)
            if isinstance(ticket, Reject):
                self.counts.notes[f"{kind} turned away"] += 1
                self.counts.judge(f"{command} turned away", partial(_may_be_turned_away, command, ticket))
            else:
                self.counts.notes[f"{kind} let in"] += 1
                self.waiting[ticket] = command, number
                if is_urgent:
                    self.began[ticket] = time.perf_counter()
        self.work(number)

    def work(self, number: int) -> None:
        self.now += 50
        for ticket, answer in self.intake.work(self.now):
            command, came = self.waiting.pop(ticket)
            is_urgent = type(command) in URGENT
            if is_urgent:
                self.batches_max = max(self.batches_max, number - came + 1)
                self.seconds_max = max(self.seconds_max, time.perf_counter() - self.began.pop(ticket))
            outcome = answer.name if isinstance(answer, Reject) else type(answer).__name__
            self.counts.notes[f"{type(command).__name__}: {outcome}"] += 1
            self.counts.judge(f"{command}: {answer}", partial(self.in_order, ticket, is_urgent, number - came + 1))

    def in_order(self, ticket: int, is_urgent: bool, batches: int) -> None:
        assert ticket > self.last[is_urgent], "overtaken within its queue"
        self.last[is_urgent] = ticket
        assert not is_urgent or batches <= self.bound, f"an urgent command waited {batches} batches, bound {self.bound}"

    def ends(self) -> None:
        """Nothing waits, and the journal says the same."""
        assert not self.waiting and not len(self.intake), "something was lost"
        check_invariants(self.desk.ledger)
        whole = recover(self.journal, from_start=True).ledger
        assert state_hash(whole) == state_hash(self.desk.ledger), "the replay comes to another state"


def _may_be_turned_away(command: Command, reason: Reject) -> None:
    assert reason is Reject.OVERLOADED
    assert not isinstance(command, Liquidate | SetPrices), "the venue's own command was turned away by its users' flood"


def overload(size: str, seed: int) -> Score:
    """Ten times what is worked off; every third round most of it are cancels."""
    counts = Counts("faults: overload", seed)
    with tempfile.TemporaryDirectory() as name:
        rush = _Overload(Path(name), seed, counts)
        with closing(rush.journal):
            rounds = ROUNDS[size]
            for number in range(rounds):
                rush.round(number)
            while len(rush.intake):
                rush.work(rounds)
                rounds += 1
            counts.judge("afterwards", rush.ends)
    counts.notes["urgent: batches at most"] = rush.batches_max
    counts.notes["urgent: batches promised"] = rush.bound
    counts.notes[SLOWEST] = round(1000 * rush.seconds_max)
    return counts.score()


def run(size: str, seed: int) -> list[Score]:
    return [duplicates(size, seed), overload(size, seed)]
