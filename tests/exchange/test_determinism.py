"""What may not matter does not: restarts, caches, short cuts."""

from __future__ import annotations

import gc
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from exchange.codes import Reject
from exchange.commands import (
    TIME_MS_END,
    CancelOrder,
    Command,
    Deposit,
    Liquidate,
    OpenAccount,
    PlaceOrder,
    SetPrices,
    SubmitQuotes,
)
from exchange.engine import Answer, Done, Engine, Sink
from exchange.events import OrderOpened
from exchange.liquidator import due
from exchange.locks import spot_lock
from exchange.risk import initial_excess
from exchange.state import Ledger
from exchange.statehash import ledger_from_bytes, state_bytes, state_hash
from exchange.venue import HaircutTier
from tests.exchange.flow import batches
from tests.exchange.oracles import oracle_venue, quotes
from tests.exchange.venues import ALICE, BOB, MARKS, PRICES, RICH, UNIT, Desk, Tape, venue


def final_hash(seed: int, *, restart: bool = False) -> bytes:
    engine = Engine(Ledger(venue()), Sink())
    for batch in batches(1_200, seed, 40):
        engine.submit(batch)
        if restart:
            engine = Engine(ledger_from_bytes(venue(), state_bytes(engine.ledger)), Sink())
    assert len(engine.ledger.orders) > 10
    return state_hash(engine.ledger)


def rough(seed: int) -> Iterator[Command]:
    """Orders at every edge that short ways look at: bands, sizes, position limits, margin, numbers, own orders."""
    chance = random.Random(seed)
    for user in range(6):
        yield OpenAccount(0, 0, 0, f"user-{user}")
        yield Deposit(0, user + 2, 0, 0, chance.choice((50, 2_000, 10**7)) * UNIT)
        yield Deposit(0, user + 2, 0, 1, chance.choice((1, 3 * 10**6)))
    for time in range(1_500):
        account, pick = chance.randrange(-1, 9) if chance.random() < 0.1 else 2 + chance.randrange(6), chance.random()
        if pick < 0.25:
            yield CancelOrder(time, account, 0, 1 + chance.randrange(1 + time // 2))
        elif pick < 0.27 or time == 20:
            ppm = chance.randrange(970_000, 1_030_000)
            yield SetPrices(time, 0, 0, PRICES, tuple(mark * ppm // 10**6 for mark in MARKS))
        else:
            market = chance.choice((0, 0, 0, 1, 2, 3))
            mark = MARKS[market % 3]
            away = chance.choice((mark // 1000, mark // 1000, mark // 1000, mark // 12))
            price, lots = mark + chance.randrange(-away, away + 1), chance.choice((1, 3, 9, 30, 80, 10**5 + 1))
            yield PlaceOrder(
                time, account, 0, market, chance.choice((1, -1)), price, lots, chance.choice((0,) * 9 + (1, 8))
            )


def journalled(seed: int, *, short_ways: bool) -> tuple[bytes, list[Answer], bytes]:
    """Bytes of all frames, all answers, and the state at the end."""
    tape, definition = Tape(), venue(open_orders_max=12)
    tight = tuple(replace(market, order_lots_max=90, position_lots_max=200) for market in definition.markets)
    desk = Engine(Ledger(replace(definition, markets=tight)), tape, short_ways=short_ways)
    answers = desk.submit(rough(seed))
    return tape.payload, answers, state_hash(desk.ledger)


def quoted_hash(seed: int) -> bytes:
    """The final state of a venue with an oracle, orders and prices that move."""
    chance = random.Random(seed)
    engine = Engine(Ledger(oracle_venue()), Sink())
    engine.submit([SubmitQuotes(10**6, 0, 0, quotes(10**6, {1: [PRICES[1]] * 5, 2: [PRICES[2]] * 5}), b"")])
    for name in range(9):
        engine.submit([OpenAccount(10**6, 0, 0, f"user {name}"), Deposit(10**6, 2 + name, 0, 0, 10**9)])
    for step in range(60):
        now = 10**6 + 5_000 * step
        row = [PRICES[1] + chance.randrange(-(10**9), 10**9) for _ in range(5)]
        engine.submit([SubmitQuotes(now, 0, 0, quotes(now, {1: row, 2: [PRICES[2]] * 5}), bytes([step]))])
        for _ in range(20):
            market, side = chance.randrange(2), chance.choice((1, -1))
            price = engine.ledger.marks[market] + chance.randrange(-300, 300)
            engine.submit([PlaceOrder(now, 2 + chance.randrange(9), 0, market, side, price, chance.randrange(1, 9), 0)])
        engine.submit([Liquidate(now, 0, 0, account) for account in due(engine.ledger)])
    assert sum(engine.ledger.open_interest) > 0
    return state_hash(engine.ledger)


@pytest.mark.parametrize("hash_seed", ["0", "1", "4242"])
def test_another_process_with_another_hash_seed_comes_to_the_same_state(hash_seed: str) -> None:
    program = "from tests.exchange.test_determinism import quoted_hash; print(quoted_hash(7).hex())"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    found = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == quoted_hash(7).hex()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_restart_after_every_batch_changes_nothing(seed: int) -> None:
    assert final_hash(seed) == final_hash(seed, restart=True)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_short_ways_journal_and_do_the_same_as_the_long_ones(seed: int) -> None:
    assert journalled(seed, short_ways=True) == journalled(seed, short_ways=False)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_bound_of_the_margin_decides_like_the_exact_figure(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    bounded = final_hash(seed)
    real = Ledger.set_prices

    def set_prices(self: Ledger, *arguments: object) -> None:
        # With margins of the bound far too high nothing passes by it.
        real(self, *arguments)  # type: ignore[arg-type]
        self.lot_margins[:] = [1 << 60] * len(self.lot_margins)
        self.gates.clear()

    monkeypatch.setattr(Ledger, "set_prices", set_prices)
    assert final_hash(seed) == bounded


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("away", [0, 20_000])
def test_the_short_way_stops_at_the_same_lot(away: int, side: int) -> None:
    """At the mark the fee alone, beyond it the loss as well, makes the last lot one too many."""
    price = MARKS[0] + side * away

    def largest(short_ways: bool) -> int:
        for lots in range(1, 100):
            desk = Desk(2, 0)
            desk.engine = Engine(desk.ledger, Sink(), short_ways=short_ways)
            desk.ledger.lot_margins[0] //= 2  # of the first tier, which nobody leaves here
            desk.ledger.set_mode(0, 0)
            desk.accept(Deposit(9, ALICE, 0, 0, 99 * UNIT))
            desk.accept(Deposit(9, BOB, 0, 0, RICH))
            # Her bound is exact from here on.
            desk.refuse(PlaceOrder(9, ALICE, 0, 0, -side, MARKS[0] + side * 30_000, 900, 0))
            desk.accept(PlaceOrder(9, BOB, 0, 0, -side, price, 99, 0))
            if not isinstance(desk.ask(PlaceOrder(9, ALICE, 0, 0, side, price, lots, 0)), Done):
                return lots
        return 100

    assert largest(True) == largest(False) < 40


@pytest.mark.parametrize("short_ways", [True, False])
@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("trades", [True, False])
def test_what_an_order_needs_may_be_the_last_atom_of_margin_and_not_one_more(
    trades: bool, side: int, short_ways: bool
) -> None:
    desk, lots, away = Desk(2, 0), 3, 7 * trades
    desk.engine = Engine(desk.ledger, Sink(), short_ways=short_ways)
    desk.ledger.lot_margins[0] //= 2  # of the first tier
    desk.ledger.set_mode(0, 0)
    price = MARKS[0] + side * away
    fee = -(-lots * price * 100 * 450 // 10**6) if trades else 0
    desk.deposit(fee + lots * (100 * away + 100 * MARKS[0] // 20) - 1, RICH)
    if trades:
        desk.accept(desk.order(BOB, -side, price, lots))
    initial_excess(desk.ledger, ALICE)  # the bound is exact from here on
    assert desk.refuse(desk.order(ALICE, side, price, lots)) is Reject.MARGIN_TOO_LOW
    desk.deposit(1)
    initial_excess(desk.ledger, ALICE)
    desk.accept(desk.order(ALICE, side, price, lots))


@pytest.mark.parametrize("short_ways", [True, False])
@pytest.mark.parametrize(("takes", "fee"), [(True, 0), (False, 0), (False, 1)])
@pytest.mark.parametrize("side", [1, -1])
def test_the_bound_of_the_margin_knows_of_a_single_atom_lost(
    side: int, takes: bool, fee: int, short_ways: bool
) -> None:
    """Desks look after every command that no bound is above the exact figure; here it is exact before."""
    first, *others = venue().markets
    tiny = replace(first, lot_atoms=1_000, tick_lot_atoms=1, maker_fee_ppm=fee)  # a rebate is left out of the bound
    fine = replace(venue(), markets=(tiny, *others)).check()
    desk = Desk(2, UNIT, definition=fine)
    desk.engine = Engine(desk.ledger, Sink(), short_ways=short_ways)
    desk.ledger.lot_margins[0] //= 2  # of the first tier
    desk.ledger.set_mode(0, 0)
    hers, his = (desk.order(account, way, MARKS[0] + side, 1) for account, way in ((ALICE, side), (BOB, -side)))
    first_order, second = (his, hers) if takes else (hers, his)
    desk.accept(first_order._replace(time_ms=99))
    initial_excess(desk.ledger, ALICE)
    desk.accept(second._replace(time_ms=99))


@pytest.mark.parametrize("short_ways", [True, False])
@pytest.mark.parametrize("takes", [True, False])
@pytest.mark.parametrize(("side", "haircut"), [(1, ()), (-1, (HaircutTier(None, 10**6),))])
def test_the_bound_of_the_margin_knows_of_the_fee_of_a_spot_trade(
    side: int, haircut: tuple[HaircutTier, ...], takes: bool, short_ways: bool
) -> None:
    """What is bought counts for nothing, what is sold has counted in full: the bound stays exact but for the fee."""
    quote, btc, eth = venue().assets
    desk = Desk(
        2, 1_000 * UNIT, definition=replace(venue(), assets=(quote, replace(btc, haircut=haircut), eth)).check()
    )
    desk.engine = Engine(desk.ledger, Sink(), short_ways=short_ways)
    for account in (ALICE, BOB):
        desk.accept(Deposit(next(desk.time), account, 0, 1, 10**5))
    hers, his = (desk.order(account, way, MARKS[2], 1, 2) for account, way in ((ALICE, side), (BOB, -side)))
    first, second = (his, hers) if takes else (hers, his)
    desk.accept(first._replace(time_ms=99))
    initial_excess(desk.ledger, ALICE)
    desk.accept(second._replace(time_ms=99))


@pytest.mark.parametrize("lots", [0, -1])
def test_the_short_ways_take_no_order_for_nothing(lots: int) -> None:
    desk = Desk()
    initial_excess(desk.ledger, ALICE)  # the bound would let it through
    assert desk.refuse(desk.order(ALICE, 1, MARKS[0] - 9, lots)) is Reject.LOTS_OUT_OF_RANGE


@pytest.mark.parametrize("fee", [-50, 0])
def test_a_spot_purchase_without_a_fee_unlocks_what_it_locked(fee: int) -> None:
    perpetual, other, spot = venue().markets
    free = replace(venue(), markets=(perpetual, other, replace(spot, maker_fee_ppm=fee))).check()
    desk = Desk(2, 1_000 * UNIT, definition=free)
    desk.accept(Deposit(next(desk.time), BOB, 0, 1, 10**6))
    desk.trade(ALICE, BOB, MARKS[2], 3, 2)
    assert not any(desk.ledger.locked[0]) and not any(desk.ledger.locked[1])


def test_the_short_ways_know_when_time_ends() -> None:
    desk = Desk()
    initial_excess(desk.ledger, ALICE)
    order = PlaceOrder(TIME_MS_END - 1, ALICE, 0, 0, 1, MARKS[0] - 9, 1, 0)
    assert desk.refuse(order._replace(time_ms=TIME_MS_END)) is Reject.HEADER_OUT_OF_RANGE
    (opened,) = desk.accept(order)
    assert isinstance(opened, OrderOpened)
    cancel = CancelOrder(TIME_MS_END - 1, ALICE, 0, opened.order)
    assert desk.refuse(cancel._replace(time_ms=TIME_MS_END)) is Reject.HEADER_OUT_OF_RANGE
    desk.accept(cancel)


@pytest.mark.parametrize("short_ways", [True, False])
def test_what_a_spot_order_locks_may_be_the_last_atom_of_margin_and_not_one_more(short_ways: bool) -> None:
    desk = Desk(2, 1_000 * UNIT)
    desk.engine = Engine(desk.ledger, Sink(), short_ways=short_ways)
    desk.trade(ALICE, BOB, MARKS[0], 10)
    lock = spot_lock(desk.ledger.venue.markets[2], 1, MARKS[2], 1, 1)[1]
    surplus = initial_excess(desk.ledger, ALICE) - (lock - 1)
    assert 0 < surplus < 1_000 * UNIT - lock  # there is cash enough: it is margin that decides
    for account, change in ((ALICE, -surplus), (BOB, surplus)):
        desk.ledger.balance[0][account] += change
        initial_excess(desk.ledger, account)
    assert desk.refuse(desk.order(ALICE, 1, MARKS[2], 1, 2)) is Reject.MARGIN_TOO_LOW
    desk.deposit(1)
    desk.accept(desk.order(ALICE, 1, MARKS[2], 1, 2))


def test_nothing_in_the_ledger_is_cyclic() -> None:
    """An engine's process may turn the cycle collector off."""
    gc.collect()
    gc.disable()
    try:
        engine = Engine(Ledger(venue()), Sink())
        for batch in batches(1_200, 4, 40):
            engine.submit(batch)
        del engine, batch
        assert gc.collect() == 0
    finally:
        gc.enable()
