"""`solvent bench --ledger`: commands a second through engine and journal, on commands that were made beforehand."""

from __future__ import annotations

import gc
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, NamedTuple

from api.cli.output import ACCEPTED, REJECTED, Output
from exchange.audit import Auditor
from exchange.commands import CancelOrder, Command, Deposit, Flag, OpenAccount, PlaceOrder, SetPrices
from exchange.engine import Done, Engine, Sink
from exchange.events import OrderOpened, unpack_frames
from exchange.journal import Journal, journal_url
from exchange.recovery import recover
from exchange.state import FIRST_USER, Ledger
from exchange.statehash import state_hash
from exchange.venue import PERPETUAL, SPOT, Asset, HaircutTier, MarginTier, Market, Venue

BATCH: Final = 1_000
"""Commands per group commit: about 7 ms of them."""
COMMANDS_PER_MS: Final = 150
UNIT: Final = 10**6
PRICES: Final = (UNIT, 60_000 * UNIT, 3_000 * UNIT)
MARKS: Final = (600_000, 30_000, 600_000)
MARKETS: Final = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2)
"""Half of the orders go to the first perpetual, a third to the second, the rest to the spot market."""
CANCELS, CROSSING = 0.40, 0.15
FIRST_ORDERS: Final = 3_000
"""Per market and side, before the clock runs."""
DEPTH_TICKS: Final = 60
"""Orders stand this far from the mark on average."""


class Flow(NamedTuple):
    """Commands that open and fund the venue, and those that are timed, in batches."""

    opening: list[Command]
    batches: list[list[Command]]


def bench_venue() -> Venue:
    """Two perpetuals with two margin tiers, one spot market; USDT, BTC, ETH."""
    tiers = (MarginTier(10**12, 50_000, 25_000), MarginTier(None, 100_000, 50_000))
    limits = (10**5, 100, 2 * 10**6, 10**5, 10**6)
    assets = (
        Asset("usdt", 6),
        Asset("btc", 8, (HaircutTier(10**12, 950_000), HaircutTier(None, 900_000))),
        Asset("eth", 8, (HaircutTier(10**12, 900_000),)),
    )
    markets = (
        Market("BTC-PERP", PERPETUAL, 1, *limits, -50, 450, 50_000, tiers),
        Market("ETH-PERP", PERPETUAL, 2, *limits, -50, 450, 50_000, tiers),
        Market("BTC-USDT", SPOT, 1, *limits, 100, 450, 50_000),
    )
    return Venue("bench", assets, markets).check()


def mixed_flow(commands: int, accounts: int, seed: int) -> Flow:
    """40 % cancels of orders that rest or just traded, 15 % orders that cross, 45 % that rest; every one with an id.

    A ledger works through them on the way, so that cancels name orders that were there.
    """
    chance = random.Random(seed)
    engine = Engine(Ledger(bench_venue()), Sink())
    opening: list[Command] = [SetPrices(1, 0, 0, PRICES, MARKS)]
    opening += [OpenAccount(1, 0, 0, f"user-{number}") for number in range(accounts)]
    for account in range(FIRST_USER, FIRST_USER + accounts):
        opening += [Deposit(1, account, 0, 0, 10**12), Deposit(1, account, 0, 1, 10**8)]
    for _ in range(FIRST_ORDERS):
        opening += [_resting(chance, accounts, (1, 0), number, side) for number in range(3) for side in (1, -1)]
    resting = _opened(engine, opening)
    batches: list[list[Command]] = []
    for start in range(0, commands, BATCH):
        batch: list[Command] = []
        for number in range(start + 1, min(start + BATCH, commands) + 1):
            header = 2 + number // COMMANDS_PER_MS, number
            pick = chance.random()
            if pick < CANCELS and resting:
                at = chance.randrange(len(resting))
                resting[at], resting[-1] = resting[-1], resting[at]
                order, account = resting.pop()
                batch.append(CancelOrder(header[0], account, number, order))
                continue
            market, side = chance.choice(MARKETS), chance.choice((1, -1))
            if pick < CANCELS + CROSSING:
                batch.append(_crossing(chance, accounts, header, market, side))
            else:
                batch.append(_resting(chance, accounts, header, market, side))
        resting += _opened(engine, batch)
        if len(resting) > 2 * len(engine.ledger.orders):
            resting = [one for one in resting if one[0] in engine.ledger.orders]
        batches.append(batch)
    return Flow(opening, batches)


def _resting(chance: random.Random, accounts: int, header: tuple[int, int], market: int, side: int) -> PlaceOrder:
    price = MARKS[market] - side * (1 + int(chance.expovariate(1 / DEPTH_TICKS)))
    account = FIRST_USER + chance.randrange(accounts)
    return PlaceOrder(header[0], account, header[1], market, side, price, chance.randrange(2, 12), 0)


def _crossing(chance: random.Random, accounts: int, header: tuple[int, int], market: int, side: int) -> PlaceOrder:
    price = MARKS[market] + side * MARKS[market] // 200
    account, flags = FIRST_USER + chance.randrange(accounts), chance.choice((0, int(Flag.IMMEDIATE)))
    return PlaceOrder(header[0], account, header[1], market, side, price, chance.randrange(1, 4), flags)


def _opened(engine: Engine, commands: Sequence[Command]) -> list[tuple[int, int]]:
    return [
        (event.order, event.account)
        for answer in engine.submit(commands)
        if isinstance(answer, Done)
        for event in answer.events
        if type(event) is OrderOpened
    ]


def run_ledger_bench(commands: int, accounts: int, runs: int, seed: int, output: Output) -> int:
    """`solvent bench --ledger`; see there."""
    flow = mixed_flow(commands, accounts, seed)
    plain = Engine(Ledger(bench_venue()), Sink(), short_ways=False)
    for batch in (flow.opening, *flow.batches):
        plain.submit(batch)
    expected = state_hash(plain.ledger)
    measured: list[dict[str, float]] = []
    same = audited = True
    with tempfile.TemporaryDirectory(prefix="solvent-bench-") as folder, output.progress() as progress:
        for run in range(runs):
            progress("ledger", run / runs)
            # In a process of its own, as an engine has one: the memory of this one is full of what made the commands.
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                figures, hashes, audit = pool.submit(_run, flow, Path(folder) / f"{run}.db").result()
            measured.append(figures)
            same, audited = same and hashes == {expected}, audited and audit
        progress("ledger", 1.0)
    good = same and audited
    data: dict[str, Any] = {
        "verdict": "same state" if good else "rejected",
        "state_hash": expected.hex(),
        "same_state": same,
        "audit": audited,
        "commands": commands,
        "accounts": accounts,
        "batch": BATCH,
        "runs": runs,
        "frames": plain.ledger.sequence,
        "open_orders": len(plain.ledger.orders),
        **{name: statistics.median(each[name] for each in measured) for name in measured[0]},
    }
    output.json(data)
    _print(data, output)
    return ACCEPTED if good else REJECTED


def _run(flow: Flow, path: Path) -> tuple[dict[str, float], set[bytes], bool]:
    """Figures; state hashes of the engine's ledger, of a replay and of a recovery; whether the audit adds up."""
    journal = Journal(journal_url(path), bench_venue())
    engine = Engine(Ledger(bench_venue()), journal)
    engine.submit(flow.opening)
    count = sum(map(len, flow.batches))
    with no_cycle_collector():
        cpu, wall = time.process_time(), time.perf_counter()
        for batch in flow.batches:
            engine.submit(batch)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    hashes = {state_hash(engine.ledger)}
    started = time.perf_counter()
    replayed = recover(journal, from_start=True).ledger
    replay_seconds = time.perf_counter() - started
    journal.add_checkpoint(engine.ledger)
    started = time.perf_counter()
    recovered = recover(journal).ledger
    checkpoint_seconds = time.perf_counter() - started
    hashes |= {state_hash(replayed), state_hash(recovered)}
    auditor = Auditor(journal.venue)
    for block in journal.blocks():
        auditor.read(unpack_frames(block.payload))
    audit = all(check.ok for check in auditor.compare(engine.ledger))
    size = path.stat().st_size
    journal.close()
    return (
        {
            "commands_per_second": count / cpu,
            "commands_per_second_wall": count / wall,
            "replay_seconds": replay_seconds,
            "checkpoint_seconds": checkpoint_seconds,
            "journal_bytes": size,
        },
        hashes,
        audit,
    )


@contextmanager
def no_cycle_collector() -> Iterator[None]:
    """As a process runs that only serves an engine: nothing in the ledger is cyclic, counting references is enough."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def _print(data: dict[str, Any], output: Output) -> None:
    output.line(
        f"{data['commands']} commands of {data['accounts']} accounts, {data['batch']} per commit, {data['runs']} run(s)"
    )
    output.line(
        f"{data['commands_per_second']:.0f} commands/s of CPU time on one core, "
        f"{data['commands_per_second_wall']:.0f} commands/s by the clock, each batch on disk"
    )
    output.line(
        f"Replay of {data['frames']} frames {data['replay_seconds']:.2f} s, "
        f"from the checkpoint {data['checkpoint_seconds']:.2f} s"
    )
    good = data["same_state"] and data["audit"]
    text = f"State {data['state_hash']}: {'the same' if data['same_state'] else 'NOT the same'} by the plain path"
    output.line(f"{text}; audit {'passed' if data['audit'] else 'FAILED'}", mood="good" if good else "bad")
