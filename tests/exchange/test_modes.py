"""Modes: the whole matrix of modes and commands, and every automatic way in and out."""

from __future__ import annotations

import pytest

from exchange.codes import Reject
from exchange.commands import (
    CancelOrder,
    Command,
    Deposit,
    Flag,
    FundTransfer,
    Liquidate,
    MoveMargin,
    OpenAccount,
    OpenIsolated,
    PayFunding,
    SetPrices,
    Settle,
    Signal,
    SubmitQuotes,
    Uncross,
    Withdraw,
)
from exchange.decide import DECIDERS
from exchange.engine import Done
from exchange.events import ModeSet
from exchange.rules.modes import Action, Mode, Permission, Trigger, allowed
from exchange.state import FUND, VENUE_WIDE
from exchange.statehash import ledger_from_bytes, state_bytes
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
    btc_at,
    venue,
)

P = MARKS[PERP]
MINUTE = 60_000


def desk_with_everything() -> Desk:
    """Alice is long and due for liquidation, Bob short with an order of his own, Carol bids."""
    desk = Desk(3, 0, None)
    desk.deposit(33 * UNIT, 10**12, 10**12)
    desk.trade(ALICE, BOB, P, 10)
    desk.accept(desk.order(BOB, BUY, P - 60_000, 1))
    desk.accept(btc_at(next(desk.time), -34_000))
    desk.accept(desk.order(CAROL, BUY, desk.ledger.marks[PERP] - 1, 20))
    desk.accept(OpenIsolated(next(desk.time), CAROL, 0, PERP))
    desk.accept(MoveMargin(next(desk.time), CAROL, 0, 5, UNIT))
    desk.accept(desk.order(CAROL, BUY, MARKS[ETH_PERP] - 9, 1, ETH_PERP))
    # The other market has been delisted, or calls for an auction, for as long as it takes.
    desk.ledger.signs[ETH_PERP, Trigger.REOPENING] = desk.ledger.signs[ETH_PERP, Trigger.DELISTED] = -MINUTE * 10
    return desk


def commands(desk: Desk) -> list[tuple[Action, Command, bool]]:
    """Each action as a command that works in normal mode, and whether it reduces a position."""
    mark, time = desk.ledger.marks[PERP], next(desk.time)
    return [
        (Action.TAKE, desk.order(CAROL, SELL, mark + 9, 1), False),
        (Action.TAKE, desk.order(BOB, BUY, mark - 9, 9), True),
        (Action.TAKE, desk.order(BOB, BUY, 0, 9), True),
        (Action.TAKE, desk.order(BOB, BUY, mark - 9, 9, flags=Flag.IMMEDIATE), True),
        (Action.TAKE, desk.order(BOB, BUY, mark - 9, 10), False),  # with the order that he has: more than his position
        (Action.TAKE, desk.order(CAROL, BUY, mark - 9, 1, BTC_SPOT), False),
        (Action.POST, desk.order(CAROL, SELL, mark + 9, 1, flags=Flag.POST_ONLY), False),
        (Action.POST, desk.order(BOB, BUY, mark - 9, 2, flags=Flag.POST_ONLY), True),
        (Action.REDUCE, desk.order(BOB, BUY, mark - 9, 50, flags=Flag.REDUCE_ONLY), True),
        (Action.CANCEL, CancelOrder(time, BOB, 0, 2), False),
        (Action.DEPOSIT, Deposit(time, CAROL, 0, 0, 1), False),
        (Action.WITHDRAW, Withdraw(time, CAROL, 0, 0, 1), False),
        (Action.TRANSFER, FundTransfer(time, CAROL, 0, 1), False),
        (Action.LIQUIDATE, Liquidate(time, FUND, 0, ALICE), False),
        (Action.FUNDING, PayFunding(time, FUND, 0, PERP, 100), False),
        (Action.PRICE, SetPrices(time, FUND, 0, tuple(desk.ledger.prices), tuple(desk.ledger.marks)), False),
        (Action.OPEN_ACCOUNT, OpenAccount(time, FUND, 0, "new"), False),
        (Action.OPEN_ACCOUNT, OpenIsolated(time, CAROL, 0, ETH_PERP), False),
        (Action.TRANSFER, MoveMargin(time, CAROL, 0, 5, 1), False),
        (Action.TRANSFER, MoveMargin(time, CAROL, 0, 5, -1), False),
        (Action.SETTLE, Settle(time, FUND, 0, ETH_PERP), False),
        (Action.AUCTION, Uncross(time, FUND, 0, ETH_PERP), False),
    ]


CASES = len(commands(desk_with_everything()))


def test_the_table_is_whole() -> None:
    """Every action is some command; but deleveraging is part of a liquidation, and a venue lists nothing new."""
    tried = commands(desk_with_everything())
    assert set(Action) - {action for action, _, _ in tried} == {Action.DELEVERAGE, Action.LIST}
    assert {type(command) for _, command, _ in tried} == DECIDERS.keys() - {
        SubmitQuotes,
        Signal,
    }


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("case", range(CASES))
def test_the_matrix(mode: Mode, case: int) -> None:
    desk = desk_with_everything()
    desk.ledger.set_mode(VENUE_WIDE, mode)
    action, command, reduces = commands(desk)[case]
    permitted = allowed(mode, action)
    answer = desk.ask(command)
    if permitted is Permission.YES or (permitted is Permission.REDUCING and reduces):
        assert isinstance(answer, Done)
    else:
        assert answer is Reject.MODE_FORBIDS


def test_a_mode_of_one_market_leaves_the_others_alone() -> None:
    desk = Desk()
    desk.ledger.set_mode(PERP, Mode.CANCEL_ONLY)
    assert desk.refuse(desk.order(ALICE, BUY, P, 1)) is Reject.MODE_FORBIDS
    desk.accept(desk.order(ALICE, BUY, MARKS[ETH_PERP], 1, ETH_PERP))
    desk.accept(Withdraw(next(desk.time), ALICE, 0, 0, 1))


def test_isolated_margin_moves_as_its_market_says() -> None:
    desk = desk_with_everything()
    desk.ledger.set_mode(PERP, Mode.CANCEL_ONLY)
    for amount in (1, -1):
        assert desk.refuse(MoveMargin(next(desk.time), CAROL, 0, 5, amount)) is Reject.MODE_FORBIDS


def moved(desk: Desk, time_ms: int, ppm: int, only_mark: bool = False) -> list[ModeSet]:
    """Modes that change when BTC stands at its first price plus `ppm`."""
    prices = btc_at(time_ms, ppm)
    events = desk.accept(prices._replace(assets=PRICES) if only_mark else prices)
    return [event for event in events if type(event) is ModeSet]


def test_ten_percent_within_five_minutes_halts_the_market_and_time_ends_the_halt() -> None:
    desk = Desk()
    assert moved(desk, MINUTE, -60_000) == []
    # The spot market of the same asset falls with it.
    halted = moved(desk, 4 * MINUTE, -101_000)
    assert halted == [ModeSet(PERP, Mode.CANCEL_ONLY), ModeSet(BTC_SPOT, Mode.CANCEL_ONLY)]
    assert moved(desk, 6 * MINUTE - 1, -101_000) == []
    called = moved(desk, 6 * MINUTE, -101_000)  # for the auctions of test_reopening
    assert called == [ModeSet(PERP, Mode.POST_ONLY), ModeSet(BTC_SPOT, Mode.POST_ONLY)]


def test_the_same_fall_over_ten_minutes_halts_nothing() -> None:
    desk = Desk()
    for minute in range(1, 11):
        assert moved(desk, minute * MINUTE, -12_000 * minute) == []


def test_a_mark_away_from_its_index_is_post_only_for_a_minute() -> None:
    desk = Desk()
    assert moved(desk, MINUTE, 51_000, only_mark=True) == [
        ModeSet(PERP, Mode.POST_ONLY),
        ModeSet(BTC_SPOT, Mode.POST_ONLY),
    ]
    assert moved(desk, 2 * MINUTE, 51_000) == [ModeSet(PERP, Mode.NORMAL), ModeSet(BTC_SPOT, Mode.NORMAL)]


def test_a_fall_of_most_of_the_venue_halts_the_venue() -> None:
    desk = Desk()
    desk.trade(ALICE, BOB, P, 10)
    assert ModeSet(VENUE_WIDE, Mode.CANCEL_ONLY) in moved(desk, MINUTE, -201_000)
    assert desk.refuse(desk.order(ALICE, BUY, MARKS[1], 1, ETH_PERP)) is Reject.TIME_GOES_BACK
    order = desk.order(ALICE, BUY, MARKS[1], 1, ETH_PERP)._replace(time_ms=MINUTE)
    assert desk.refuse(order) is Reject.MODE_FORBIDS
    assert ModeSet(VENUE_WIDE, Mode.NORMAL) in moved(desk, 6 * MINUTE, -201_000)
    desk.accept(order._replace(time_ms=6 * MINUTE))


def test_a_low_fund_lets_nobody_grow() -> None:
    desk = Desk(3, 10**12, None, fund_low_ppm=10_000)
    assert moved(desk, MINUTE, 0) == []
    desk.accept(desk.order(ALICE, BUY, P, 10)._replace(time_ms=MINUTE))
    desk.accept(desk.order(BOB, SELL, P, 10)._replace(time_ms=MINUTE))
    assert moved(desk, MINUTE, 0) == [ModeSet(VENUE_WIDE, Mode.REDUCE_ONLY)]
    desk.accept(Deposit(MINUTE, FUND, 0, 0, 6 * UNIT))
    assert moved(desk, 11 * MINUTE, 0) == [ModeSet(VENUE_WIDE, Mode.NORMAL)]


def test_signals_from_outside_and_what_only_they_take_back() -> None:
    desk = Desk()
    assert desk.refuse(Signal(9, 0, 0, VENUE_WIDE, 99, 1)) is Reject.TRIGGER_UNKNOWN
    assert desk.refuse(Signal(9, 0, 0, VENUE_WIDE, Trigger.RESTARTED, 2)) is Reject.TRIGGER_UNKNOWN
    assert desk.refuse(Signal(9, ALICE, 0, VENUE_WIDE, Trigger.RESTARTED, 1)) is Reject.ACCOUNT_RESERVED
    assert desk.refuse(Signal(9, 0, 0, PERP, Trigger.RESTARTED, 1)) is Reject.MARKET_UNKNOWN
    assert desk.refuse(Signal(9, 0, 0, VENUE_WIDE, Trigger.ORACLE_STALE, 1)) is Reject.MARKET_UNKNOWN
    events = desk.accept(Signal(9, 0, 0, VENUE_WIDE, Trigger.AUDIT_MISMATCH, 1))
    assert events[1] == ModeSet(VENUE_WIDE, Mode.WITHDRAW_GATED)
    assert desk.refuse(Withdraw(9, ALICE, 0, 0, 1)) is Reject.MODE_FORBIDS
    assert moved(desk, 10**9, 0) == []  # never by time
    copy = ledger_from_bytes(venue(), state_bytes(desk.ledger))
    assert copy.venue_mode == Mode.WITHDRAW_GATED and copy.signs == desk.ledger.signs
    assert copy.windows == desk.ledger.windows
    events = desk.accept(Signal(10**9, 0, 0, VENUE_WIDE, Trigger.AUDIT_MISMATCH, 0))
    assert ModeSet(VENUE_WIDE, Mode.NORMAL) in events and ModeSet(PERP, Mode.POST_ONLY) in events
