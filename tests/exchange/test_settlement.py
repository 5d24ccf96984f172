"""The orderly end of a market: a price that nobody chooses, everything closed, and money still adds up."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from exchange.audit import Auditor
from exchange.codes import Reject
from exchange.commands import CancelOrder, Command, Deposit, FundTransfer, Liquidate, Settle, Signal, Withdraw
from exchange.engine import Engine, Sink
from exchange.events import Closed, ModeSet, OrderClosed, Settled
from exchange.liquidator import due_of_markets, set_prices
from exchange.rules.breakers import mean_price, new_window, observed
from exchange.rules.modes import Mode, Trigger
from exchange.settlement import is_open
from exchange.state import FUND, QUOTE, Ledger
from exchange.statehash import ledger_from_bytes, state_bytes
from tests.exchange.oracles import BTC, OracleDesk
from tests.exchange.venues import (
    ALICE,
    BOB,
    BTC_SPOT,
    BUY,
    CAROL,
    ETH_PERP,
    MARKS,
    PERP,
    PRICES,
    SELL,
    UNIT,
    Desk,
    Tape,
    btc_at,
)

P = MARKS[PERP]
MINUTE = 60_000
DELISTED, DUE = 2 * MINUTE, 7 * MINUTE


def delisted(tape: Sink | None = None, marks: int = 5) -> Desk:
    """Alice long 10, Bob short 10, orders of Carol; BTC-PERP is delisted at DELISTED, then prices move."""
    desk = Desk(3, 0, tape)
    desk.deposit(33 * UNIT, 10**12, 10**12)
    desk.trade(ALICE, BOB, P, 10)
    desk.accept(desk.order(CAROL, BUY, P - 900, 3))
    desk.accept(desk.order(CAROL, SELL, P + 900, 3))
    events = desk.accept(Signal(DELISTED, FUND, 0, PERP, Trigger.DELISTED, 1))
    assert ModeSet(PERP, Mode.SETTLEMENT) in events
    for number, ppm in enumerate((0, 10_000, 20_000, 10_000, 0)[:marks]):
        desk.accept(btc_at(DELISTED + (number + 1) * MINUTE, ppm))
    return desk


def adds_up(tape: Tape, ledger: Ledger) -> None:
    auditor = Auditor(ledger.venue)
    auditor.read(tape.frames)
    assert [check for check in auditor.compare(ledger) if not check.ok] == []


def settle(time_ms: int = DUE) -> Settle:
    return Settle(time_ms, FUND, 0, PERP)


def test_everything_is_closed_at_the_mean_of_the_window() -> None:
    tape = Tape()
    desk = delisted(tape)
    before = desk.ledger.balance[QUOTE][ALICE] - desk.ledger.cost[PERP][ALICE]
    expected = P + P * 8_000 // 10**6  # the mean of five marks, a minute apart: 0, 1, 2, 1, 0 per cent
    events = desk.accept(settle())
    assert events == (
        OrderClosed(2, CAROL, PERP, 3, Closed.SETTLED),
        OrderClosed(3, CAROL, PERP, 3, Closed.SETTLED),
        Settled(PERP, expected),
    )
    ledger = desk.ledger
    assert ledger.open_interest[PERP] == 0 and not any(ledger.size[PERP]) and not any(ledger.cost[PERP])
    assert ledger.balance[QUOTE][ALICE] == before + 10 * expected * 100
    adds_up(tape, ledger)
    assert desk.refuse(settle()) is Reject.NO_SETTLEMENT_DUE and due_of_markets(ledger, DUE) == []
    desk.accept(Withdraw(DUE, ALICE, 0, 0, ledger.balance[QUOTE][ALICE]))
    assert desk.refuse(desk.order(BOB, BUY, P, 1)._replace(time_ms=DUE)) is Reject.MODE_FORBIDS


def test_it_waits_for_its_time_and_for_fresh_prices() -> None:
    desk = delisted()
    assert desk.refuse(settle(DUE - 1)._replace(account=ALICE)) is Reject.ACCOUNT_RESERVED
    assert desk.refuse(settle()._replace(market=9)) is Reject.MARKET_UNKNOWN
    assert desk.refuse(settle()._replace(market=BTC_SPOT)) is Reject.MODE_FORBIDS
    assert delisted(marks=4).refuse(settle(DUE - 1)) is Reject.NO_SETTLEMENT_DUE
    assert desk.refuse(settle(DUE + 2 * MINUTE)) is Reject.PRICE_STALE
    assert desk.refuse(settle(DUE + 20 * MINUTE)) is Reject.PRICE_STALE
    assert due_of_markets(desk.ledger, DUE - 1) == []
    desk.ledger.signs[BTC_SPOT, Trigger.ORACLE_STALE] = 0  # no reason to settle a market
    desk.accept(desk.order(CAROL, BUY, P - 900, 3, BTC_SPOT)._replace(time_ms=DUE))
    copy = ledger_from_bytes(desk.ledger.venue, state_bytes(desk.ledger))
    assert due_of_markets(copy, DUE) == [settle()]


def test_a_doubtful_price_settles_nothing() -> None:
    desk = OracleDesk(2)
    desk.trade(ALICE, BOB, P, 10)
    desk.accept(Signal(next(desk.time), FUND, 0, PERP, Trigger.DELISTED, 1))
    desk.wait(5 * MINUTE)
    desk.submit(confidence=PRICES[BTC] // 10)
    assert desk.refuse(settle(desk.ledger.time_ms)) is Reject.PRICE_UNRELIABLE
    desk.submit()
    desk.accept(settle(desk.ledger.time_ms))


def test_a_window_that_has_passed_settles_nothing() -> None:
    desk = Desk(2, breaker_span_ms=1_000, settlement_ms=1)
    desk.trade(ALICE, BOB, P, 10)
    desk.accept(Signal(DELISTED - 1, FUND, 0, PERP, Trigger.DELISTED, 1))
    desk.accept(btc_at(DELISTED, 0))
    assert desk.refuse(settle(DELISTED + 1_000)) is Reject.PRICE_STALE
    desk.accept(settle(DELISTED + 999))


def test_nothing_trades_and_nobody_is_liquidated_in_between() -> None:
    desk = delisted()
    commands: Sequence[Command] = (
        desk.order(BOB, BUY, P, 1)._replace(time_ms=DUE),
        Liquidate(DUE, FUND, 0, ALICE),
    )
    assert [desk.refuse(command) for command in commands] == [Reject.MODE_FORBIDS] * 2
    desk.accept(CancelOrder(DUE, CAROL, 0, 2))
    desk.accept(FundTransfer(DUE, CAROL, 0, 1))  # money moves as the venue's mode says


def test_the_driver_settles_and_what_somebody_owes_goes_down_the_waterfall() -> None:
    tape = Tape()
    desk = delisted(tape)
    for number in range(6):
        desk.accept(btc_at(DUE + (number + 1) * MINUTE, -80_000))  # Alice loses 48 USDT of 33
    now = DUE + 7 * MINUTE
    desk.accept(desk.order(CAROL, BUY, MARKS[1], 100, 1)._replace(time_ms=now))
    desk.accept(desk.order(BOB, SELL, MARKS[1], 100, 1)._replace(time_ms=now))
    prices = btc_at(now, -80_000)
    eth = MARKS[1] + 300  # Carol is 30 USDT in profit elsewhere
    set_prices(desk.engine, prices._replace(marks=(prices.marks[0], eth, prices.marks[2])))
    ledger = desk.ledger
    assert not any(ledger.size[PERP]) and desk.equity(ALICE) == 0
    assert desk.equity(CAROL) < 10**12 + 30 * UNIT and desk.equity(BOB) > 10**12
    assert sum(map(desk.equity, range(5))) == 2 * 10**12 + 33 * UNIT
    adds_up(tape, ledger)


def test_a_spot_market_ends_as_well() -> None:
    desk = Desk(2)
    desk.accept(Deposit(next(desk.time), ALICE, 0, 1, 10**8))
    desk.accept(desk.order(ALICE, SELL, P + 10, 3, BTC_SPOT))
    desk.accept(desk.order(BOB, BUY, P - 10, 3, BTC_SPOT))
    desk.accept(Signal(DELISTED, FUND, 0, BTC_SPOT, Trigger.DELISTED, 1))
    desk.accept(btc_at(DUE, 0))
    assert len(desk.accept(Settle(DUE, FUND, 0, BTC_SPOT))) == 3
    assert not any(desk.ledger.locked[0]) and not any(desk.ledger.locked[1])


@pytest.mark.parametrize("side", [BUY, SELL])
def test_one_order_is_something_to_settle(side: int) -> None:
    desk = Desk(1)
    desk.accept(desk.order(ALICE, side, P, 1))
    desk.accept(Signal(DELISTED, FUND, 0, PERP, Trigger.DELISTED, 1))
    desk.accept(btc_at(DUE, 0))
    assert [type(event) for event in desk.accept(settle())] == [OrderClosed, Settled]


def test_the_mean_is_of_the_window_only() -> None:
    window = new_window(100, 10)
    assert mean_price(window, 5) is None
    for time_ms, mark in ((0, 1_000), (101, 10), (105, 20), (150, 31)):
        window = observed(window, time_ms, mark)
    assert mean_price(window, 150) == (15 + 31) // 2
    assert mean_price(window, 100 + 250) is None


def test_a_replay_settles_the_same() -> None:
    desk = delisted()
    copy = Engine(ledger_from_bytes(desk.ledger.venue, state_bytes(desk.ledger)), Sink())
    desk.engine.submit([settle()])
    copy.submit([settle()])
    assert state_bytes(copy.ledger) == state_bytes(desk.ledger)


def test_a_single_lot_is_something_left_to_settle() -> None:
    desk = Desk()
    desk.trade(ALICE, BOB, P, 1)
    assert is_open(desk.ledger, PERP) and not is_open(desk.ledger, ETH_PERP)
