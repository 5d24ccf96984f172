"""Clocks that jump, stand still or are set back: of witness, publisher, rate limit, venue and its sources."""

from __future__ import annotations

import math
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final
from unittest import mock

from api.limits import BURST_SECONDS, RateLimit
from exchange.codes import Reject
from exchange.commands import TIME_MS_END, Command, Liquidate
from exchange.engine import Done, Engine, Sink
from exchange.intake import Intake
from exchange.state import FUND, Ledger
from exchange.statehash import state_hash
from tests.adversary.faults_sweep import Counts
from tests.adversary.score import Score
from tests.api.publishing.made_up import new_store, published, write_publication
from tests.api.publishing.test_crash import checkpoints
from tests.api.publishing.test_witness import NOW, line_of, new_witness, request, tiles
from tests.exchange.flow import commands
from tests.exchange.oracles import BTC, OracleDesk
from tests.exchange.venues import ALICE, BOB, MARKS, PERP, PRICES, UNIT, venue
from tests.verifier.log.signers import signed

READINGS: Final = {"short": 60, "nightly": 2_000}
YEAR: Final = 365 * 86_400
JUMPS: Final = (0, 0, 1, -1, 59, -59, 3_600, -3_600, 86_400, -86_400, YEAR, -YEAR, 20 * YEAR, -20 * YEAR)
"""Seconds: standing still, leap seconds, summer time and its end, a wrong date, a dead battery."""
RATE: Final = 2.0


def readings(count: int, chance: random.Random, start: float = NOW) -> Iterator[float]:
    """What a clock says, one time after the other, never below 0."""
    says = start
    for _ in range(count):
        yield says
        says = max(0.0, says + chance.choice(JUMPS) + chance.choice((0.0, 0.5, 3.0)))


def witness(counts: Counts, folder: Path, count: int, chance: random.Random) -> None:
    """Cosignatures never grow older, sizes never smaller, and each is right."""
    times = readings(count, chance)
    newest, size = 0, 0
    with closing(new_witness(folder, clock=lambda: next(times))) as made:
        for _ in range(count):
            target = min(size + chance.randrange(2), 300) or 1
            line = made.add_checkpoint(request(size, target))
            moment, size = line_of(made, line, signed(target, tiles(target).root())), target
            counts.notes["witness"] += 1
            counts.judge(f"witness: cosigned at {moment} after {newest}", partial(_not_before, moment, newest))
            newest = moment


def _not_before(moment: int, newest: int) -> None:
    assert moment >= max(newest, 1), "an older cosignature than the last one"


def publisher(counts: Counts, folder: Path, chance: random.Random) -> None:
    """Log and store know no time: the same bytes under any clock."""
    kept = []
    for name in ("usual", "jumping"):
        place = folder / name
        place.mkdir()
        clock = readings(10**6, chance).__next__ if name == "jumping" else time.time
        patched = mock.patch.object(time, "time", clock)
        with patched, closing(new_store(place / "store")) as store:
            for sequence in (1, 2, 3):
                published(store, write_publication(place / f"p{sequence}", sequence))
        kept.append(checkpoints(place / "store"))

    def same() -> None:
        assert kept[0] == kept[1], "a clock shows in the log"

    counts.notes["publisher"] += 1
    counts.judge("publisher", same)


def limit(counts: Counts, folder: Path, count: int, chance: random.Random) -> None:
    """Nobody is locked out for longer than the limit means, and a jump is worth one burst at most."""
    RateLimit.make(folder / "limit")
    with closing(RateLimit(folder / "limit", RATE)) as made:
        for now in readings(count, chance, 1_000.0):
            waits = [made.wait_seconds("a", now) for _ in range(3 * BURST_SECONDS)]
            again = made.wait_seconds("a", now + max(waits))

            def bounded(waits: list[float] = waits, again: float = again) -> None:
                assert all(0 <= wait <= BURST_SECONDS + 1 / RATE and math.isfinite(wait) for wait in waits), max(waits)
                assert waits.count(0.0) <= BURST_SECONDS * RATE + 1, "more than a burst at one time"
                assert again == 0.0, "whoever waited as long as was said is refused"

            counts.notes["rate limit"] += 1
            counts.judge(f"rate limit at {now}", bounded)


def venue_clock(counts: Counts, count: int, chance: random.Random) -> None:
    """The intake under a jumping clock: all is decided, time never goes back, and a replay comes to the same state."""
    flow = [command for command in commands(5 * count, chance.randrange(2**32)) if type(command) is not Liquidate]
    engine = Engine(Ledger(venue()), Sink())
    intake = Intake(engine, orders_max=10**6, urgent_max=10**6, account_max=10**6, batch=10)
    taken: list[Command] = []
    for says in readings(len(flow) // 10 + 1, chance, 1_000.0):
        asked = {intake.offer(command): command for command in flow[:10]}
        flow = flow[10:]
        before = engine.ledger.time_ms
        for ticket, answer in intake.work(int(says * 1000)):
            counts.notes["intake"] += 1
            command = asked[ticket]
            if isinstance(answer, Done):
                taken.append(command._replace(time_ms=engine.ledger.time_ms))

            def decided(answer: object = answer, before: int = before) -> None:
                assert answer is not Reject.TIME_GOES_BACK, "refused because of the venue's own clock"
                assert engine.ledger.time_ms >= before, "time went back"

            counts.judge(f"intake at {says}: {command}", decided)

    def same() -> None:
        plain = Engine(Ledger(venue()), Sink())
        plain.submit(taken)
        assert state_hash(plain.ledger) == state_hash(engine.ledger)

    counts.judge("intake: the state", same)


def stamped(counts: Counts, count: int, chance: random.Random) -> None:
    """Commands whose own time is anything at all: accepted, or refused by name."""
    engine, newest = Engine(Ledger(venue()), Sink()), 0
    flow = list(commands(count, chance.randrange(2**32)))
    for command in flow:
        time_ms = newest + chance.choice((0, 1, 1_000))
        if chance.random() < 0.4:
            time_ms = chance.choice((newest - 1, -1, -(2**63), TIME_MS_END, 2**63, 0, newest + 1_000 * YEAR // 20))
        (answer,) = engine.submit([command._replace(time_ms=time_ms)])
        counts.notes[f"stamped: {answer.name if isinstance(answer, Reject) else type(answer).__name__}"] += 1

        def named(answer: object = answer, time_ms: int = time_ms, newest: int = newest) -> None:
            assert not isinstance(answer, Done) or newest <= time_ms < TIME_MS_END, "applied at an impossible time"
            assert engine.ledger.time_ms >= newest

        counts.judge(f"{command} at {time_ms}", named)
        newest = engine.ledger.time_ms


def sources(counts: Counts, count: int, chance: random.Random) -> None:
    """Sources whose clocks are wrong: the price stays within those whose clocks are right, or it liquidates nobody."""
    for _ in range(max(4, count // 10)):
        desk = OracleDesk(2, 33 * UNIT)
        desk.trade(ALICE, BOB, MARKS[PERP], 10)
        desk.wait(chance.randrange(1, 100_000))
        ages = {number: 1_000 * chance.choice(JUMPS) for number in range(desk.sources) if chance.random() < 0.6}
        row = [PRICES[BTC] * chance.randrange(960, 1_001) // 1_000 for _ in range(desk.sources)]
        before = desk.btc
        answer = desk.ask(desk.command(btc=row, ages_ms=ages))
        after, refusal = desk.btc, desk.ask(Liquidate(next(desk.time), FUND, 0, ALICE))

        def bounded(
            answer: object = answer, row: list[int] = row, before: int = before,
            after: int = after, refusal: object = refusal, desk: OracleDesk = desk, ages: dict[int, int] = ages,
        ) -> None:  # fmt: skip
            assert isinstance(answer, Done | Reject)
            policy = desk.ledger.venue.oracle
            recent = [
                price for number, price in enumerate(row)
                if -policy.future_ms <= ages.get(number, 0) <= policy.stale_ms
            ]  # fmt: skip
            if after != before:
                assert min(recent) <= after <= max(recent), "a price that no clock near the venue's stands behind"
            elif not isinstance(refusal, Done):
                assert refusal in (Reject.PRICE_STALE, Reject.PRICE_UNRELIABLE, Reject.NOT_LIQUIDATABLE), refusal

        counts.notes["sources"] += 1
        counts.judge(f"sources {ages}", bounded)


def run(size: str, seed: int) -> list[Score]:
    counts, chance, count = Counts("faults: clocks", seed), random.Random(seed), READINGS[size]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        witness(counts, folder, min(count, 300), chance)
        publisher(counts, folder, chance)
        limit(counts, folder, count, chance)
    venue_clock(counts, count, chance)
    stamped(counts, 4 * count, chance)
    sources(counts, count, chance)
    return [counts.score()]
