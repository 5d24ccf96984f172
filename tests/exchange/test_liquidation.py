"""Liquidation step by step, each layer of the waterfall on its own, with numbers worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from exchange.codes import Reject
from exchange.commands import Command, Deposit, Liquidate, OpenAccount, SetPrices, Signal
from exchange.engine import Done, Engine, Sink
from exchange.events import Closed, Deleveraged, FundReason, FundSettled, ModeSet, OrderClosed, SignSeen, Traded
from exchange.liquidator import due, set_prices, work_off
from exchange.risk import account_risk
from exchange.rules.modes import Mode, Trigger
from exchange.state import FEES, FUND, QUOTE, Ledger
from tests.exchange.venues import (
    ALICE,
    BOB,
    BTC_SPOT,
    BUY,
    CAROL,
    ETH_PERP,
    MARKS,
    PERP,
    SELL,
    UNIT,
    Desk,
    check_invariants,
    marked,
    venue,
)

P = MARKS[PERP]


def prices(desk: Desk, btc: int) -> SetPrices:
    return marked(next(desk.time), btc)


def leveraged(side: int = BUY, **changes: Any) -> Desk:
    """Alice is long 10 lots (600 USDT), Bob short; Alice has 33 USDT and half the fees, Bob and Carol are rich."""
    desk = Desk(3, 0, definition=venue(**changes))
    desk.deposit(33 * UNIT, 10**12, 10**12)
    desk.accept(desk.order(ALICE, side, P, 10))
    desk.accept(desk.order(BOB, -side, P, 10))
    return desk


def liquidate(desk: Desk) -> Liquidate:
    return Liquidate(next(desk.time), FUND, 0, ALICE)


def test_a_fill_above_the_bankruptcy_price_pays_the_fund_at_most_the_fee() -> None:
    desk = leveraged()
    desk.accept(desk.order(ALICE, SELL, P + 90, 1))
    mark = P - P * 34 // 1000  # -3.4 %: 33.03 - 20.4 = 12.63 of equity, 14.49 of maintenance
    desk.accept(prices(desk, mark))
    desk.accept(desk.order(CAROL, BUY, mark - 10, 50))
    events = desk.accept(liquidate(desk))
    # No rebate for the maker, no fee for the taker: 1.5 % of the fill for the fund, if it is above bankruptcy.
    fee = -(-10 * (mark - 10) * 100 * 15_000 // 10**6)
    assert events == (
        OrderClosed(2, ALICE, PERP, 1, Closed.LIQUIDATED),
        Traded(PERP, 3, CAROL, ALICE, SELL, mark - 10, 10, 0, 0),
        FundSettled(ALICE, fee, FundReason.FEE),
    )
    assert desk.ledger.balance[QUOTE][FUND] == fee
    assert desk.equity(ALICE) == 33 * UNIT + 30_000 - 10 * (P - mark + 10) * 100 - fee


def test_the_fund_takes_no_more_than_what_is_above_bankruptcy() -> None:
    desk = leveraged()
    mark = P - P * 5 // 100
    desk.accept(prices(desk, mark))  # equity 33.03 - 30
    desk.accept(desk.order(CAROL, BUY, mark, 50))
    events = desk.accept(liquidate(desk))
    assert events[1] == FundSettled(ALICE, 3 * UNIT + 30_000, FundReason.FEE)
    assert desk.equity(ALICE) == 0 == desk.ledger.size[PERP][ALICE]


@pytest.mark.parametrize("fund", [3 * UNIT - 30_000, 100 * UNIT])
def test_the_fund_pays_what_a_fill_is_below_bankruptcy(fund: int) -> None:
    desk = leveraged()
    desk.accept(Deposit(next(desk.time), FUND, 0, 0, fund))
    mark = P - P * 6 // 100
    desk.accept(prices(desk, mark))  # equity 33.03 - 36
    desk.accept(desk.order(CAROL, BUY, mark, 50))
    events = desk.accept(liquidate(desk))
    assert events[1] == FundSettled(ALICE, -(3 * UNIT - 30_000), FundReason.FEE)
    assert desk.equity(ALICE) == 0
    assert desk.ledger.balance[QUOTE][FUND] == fund - 3 * UNIT + 30_000


def test_without_fund_and_buyers_the_best_ranked_winner_takes_over_at_bankruptcy() -> None:
    desk = leveraged()
    mark = P - P * 6 // 100
    desk.accept(prices(desk, mark))
    desk.accept(desk.order(CAROL, BUY, mark, 50))  # too low: it would need the fund
    (taken, *modes) = desk.accept(liquidate(desk))
    # Bankruptcy: 600 - 33.03 USDT for the ten lots.
    assert taken == Deleveraged(PERP, ALICE, BOB, -10, 600 * UNIT - 33 * UNIT - 30_000)
    assert modes == [SignSeen(PERP, Trigger.DELEVERAGED, 1), ModeSet(PERP, Mode.REDUCE_ONLY)]
    assert desk.equity(ALICE) == 0 == desk.ledger.size[PERP][BOB]
    assert desk.ledger.balance[QUOTE][FUND] == 0


@pytest.mark.parametrize("side", [BUY, SELL])
def test_without_a_fund_the_book_takes_what_it_pays_the_bankruptcy_price_for(side: int) -> None:
    desk = leveraged(side)
    desk.accept(prices(desk, P - side * P * 6 // 100))
    bankruptcy = P - side * 33_030
    desk.accept(desk.order(CAROL, side, bankruptcy, 5))
    desk.accept(desk.order(CAROL, side, bankruptcy - side, 5))
    sold, taken, *_ = desk.accept(liquidate(desk))
    assert sold == Traded(PERP, 2, CAROL, ALICE, -side, bankruptcy, 5, 0, 0)
    assert taken == Deleveraged(PERP, ALICE, BOB, -side * 5, side * 5 * bankruptcy * 100)


@pytest.mark.parametrize("side", [BUY, SELL])
def test_winners_without_equity_take_nothing_over(side: int) -> None:
    desk = leveraged(side)
    desk.accept(desk.order(CAROL, -side, P, 4))
    desk.accept(desk.order(BOB, side, P, 4))  # Bob has 6 of the 10 against Alice, Carol 4
    desk.accept(prices(desk, P - side * P * 6 // 100))
    lost = desk.equity(CAROL)
    desk.ledger.balance[QUOTE][CAROL] -= lost
    desk.ledger.balance[QUOTE][BOB] += lost
    taken, *modes = desk.accept(liquidate(desk))
    assert taken == Deleveraged(PERP, ALICE, BOB, -side * 6, side * 6 * (P - side * 33_030) * 100)
    assert not any(type(event) is Deleveraged for event in modes)
    assert (desk.ledger.size[PERP][ALICE], desk.ledger.size[PERP][BOB]) == (side * 4, 0)


def test_where_no_winner_has_equity_nothing_is_done() -> None:
    desk = leveraged()
    desk.accept(prices(desk, P - P * 6 // 100))
    lost = desk.equity(BOB)
    desk.ledger.balance[QUOTE][BOB] -= lost
    desk.ledger.balance[QUOTE][CAROL] += lost
    assert desk.refuse(liquidate(desk)) is Reject.NOTHING_TO_LIQUIDATE


@pytest.mark.parametrize("fund", [2 * UNIT, 100 * UNIT])
def test_the_fund_goes_first_and_spares_the_winners(fund: int) -> None:
    desk = leveraged()
    desk.accept(Deposit(next(desk.time), FUND, 0, 0, fund))
    desk.accept(prices(desk, P - P * 6 // 100))
    paid = min(fund, 3 * UNIT - 30_000)
    covered, taken, *_ = desk.accept(liquidate(desk))
    assert covered == FundSettled(ALICE, -paid, FundReason.LOSS)
    assert taken == Deleveraged(PERP, ALICE, BOB, -10, 600 * UNIT - 33 * UNIT - 30_000 - paid)
    assert desk.ledger.balance[QUOTE][FUND] == fund - paid and desk.equity(ALICE) == 0


def test_with_no_backstop_an_account_is_taken_over_when_nothing_is_left() -> None:
    desk = leveraged(backstop_ppm=0)
    desk.accept(prices(desk, P - 33_029))
    desk.ledger.balance[QUOTE][ALICE] -= 999
    desk.ledger.balance[QUOTE][BOB] += 999
    assert desk.equity(ALICE) == 1 and desk.refuse(liquidate(desk)) is Reject.NOTHING_TO_LIQUIDATE
    desk.ledger.balance[QUOTE][ALICE] += 999
    desk.ledger.balance[QUOTE][BOB] -= 999
    desk.accept(prices(desk, P - 33_030))
    assert desk.equity(ALICE) == 0 and type(desk.accept(liquidate(desk))[0]) is Deleveraged


def test_the_fund_does_not_pay_ahead_while_the_book_takes_the_whole_step() -> None:
    desk = Desk(3, 10**12, clip_notional=0, liquidation_fee_ppm=0)
    desk.accept(Deposit(next(desk.time), FUND, 0, 0, 10**12))
    desk.trade(ALICE, BOB, P, 50_000)  # 3 M USDT: the higher margin tier goes first
    lost = desk.equity(ALICE) + UNIT
    desk.ledger.balance[QUOTE][ALICE] -= lost
    desk.ledger.balance[QUOTE][CAROL] += lost
    desk.accept(prices(desk, P))
    desk.accept(desk.order(CAROL, BUY, P, 50_000))
    sold, paid = desk.accept(liquidate(desk))
    assert type(sold) is Traded and sold.lots < 50_000 and type(paid) is FundSettled
    assert paid.reason == FundReason.FEE and -UNIT < desk.equity(ALICE) < 0


def test_while_there_is_equity_the_position_waits_for_the_book() -> None:
    desk = leveraged()
    desk.accept(prices(desk, P - P * 34 // 1000))
    assert desk.refuse(liquidate(desk)) is Reject.NOTHING_TO_LIQUIDATE


def test_a_large_position_is_closed_in_parts() -> None:
    desk = leveraged(clip_notional=100 * UNIT)
    mark = P - P * 306 // 10_000  # equity 14.67, maintenance 14.541 : healthy; a bit lower and not
    desk.accept(prices(desk, mark))
    assert desk.refuse(liquidate(desk)) is Reject.NOT_LIQUIDATABLE
    mark = P - P * 31 // 1000
    desk.accept(prices(desk, mark))
    desk.accept(desk.order(CAROL, BUY, mark, 50))
    events = desk.accept(liquidate(desk))
    assert type(events[0]) is Traded and 2 <= events[0].lots < 10
    risk = account_risk(desk.ledger, ALICE)
    assert risk.equity >= risk.maintenance and desk.ledger.size[PERP][ALICE] > 0


def test_a_halted_market_is_left_alone_where_another_position_can_be_closed() -> None:
    desk = leveraged()
    desk.trade(ALICE, BOB, MARKS[ETH_PERP], 10, ETH_PERP)  # 30 USDT beside 600
    desk.accept(prices(desk, P - P * 36 // 1000))
    desk.ledger.set_mode(PERP, Mode.CANCEL_ONLY)
    desk.accept(desk.order(CAROL, BUY, MARKS[ETH_PERP], 10, ETH_PERP))
    desk.accept(liquidate(desk))
    assert desk.ledger.size[ETH_PERP][ALICE] == 0 and desk.ledger.size[PERP][ALICE] == 10


def test_the_fund_pays_for_book_and_rest_together_no_more_than_it_has() -> None:
    desk = leveraged()
    desk.accept(Deposit(next(desk.time), FUND, 0, 0, 2 * UNIT))
    mark = P - P * 6 // 100  # 3 USDT below nothing
    desk.accept(prices(desk, mark))
    desk.accept(desk.order(CAROL, BUY, mark, 5))
    sold, paid, covered, *taken = desk.accept(liquidate(desk))
    assert type(sold) is Traded and type(paid) is FundSettled and type(covered) is FundSettled
    assert (paid.reason, covered.reason) == (FundReason.FEE, FundReason.LOSS)
    assert paid.amount < 0 > covered.amount and paid.amount + covered.amount == -2 * UNIT
    assert type(taken[0]) is Deleveraged and desk.ledger.balance[QUOTE][FUND] == 0 == desk.equity(ALICE)


def test_collateral_is_sold_for_what_is_owed_when_the_positions_are_gone() -> None:
    desk = Desk(cash=0)
    desk.accept(Deposit(next(desk.time), ALICE, 0, 1, 10**5))  # a lot of BTC, 60 USDT, counted with 57
    for account in (BOB, CAROL):
        desk.accept(Deposit(next(desk.time), account, 0, 0, 10**12))
    desk.accept(desk.order(ALICE, BUY, P, 10))
    desk.accept(desk.order(BOB, SELL, P, 10))
    mark = P - P * 9 // 100
    desk.accept(prices(desk, mark))  # 54.6 of BTC, counted with 51.87; owed 54
    desk.accept(desk.order(CAROL, BUY, mark, 50))
    desk.accept(desk.order(CAROL, BUY, mark, 50, BTC_SPOT))
    desk.accept(liquidate(desk))
    assert desk.ledger.size[PERP][ALICE] == 0 and desk.ledger.balance[QUOTE][ALICE] < 0
    answer = desk.ask(liquidate(desk))
    if isinstance(answer, Done):
        assert desk.ledger.balance[1][ALICE] == 0
    assert account_risk(desk.ledger, ALICE).equity >= 0


REFUSALS: list[tuple[dict[str, int], Reject]] = [
    ({"account": ALICE}, Reject.ACCOUNT_RESERVED),
    ({"target": FUND}, Reject.ACCOUNT_RESERVED),
    ({"target": 9}, Reject.ACCOUNT_UNKNOWN),
    ({"time_ms": 100_000}, Reject.PRICE_STALE),
    ({"target": BOB}, Reject.NOT_LIQUIDATABLE),
]


@pytest.mark.parametrize(("changes", "code"), REFUSALS)
def test_the_first_reason_wins(changes: dict[str, int], code: Reject) -> None:
    desk = leveraged()
    desk.accept(prices(desk, P - P * 6 // 100))
    assert desk.refuse(liquidate(desk)._replace(**changes)) is code


def test_before_there_are_prices_nobody_is_liquidated() -> None:
    engine = Engine(Ledger(venue()), Sink())
    liquidation = Liquidate(1, FUND, 0, ALICE)
    first, opened, missing = engine.submit([liquidation, OpenAccount(1, 0, 0, "user"), liquidation])
    assert (first, missing) == (Reject.ACCOUNT_UNKNOWN, Reject.PRICE_MISSING) and isinstance(opened, Done)


def test_an_account_that_has_exactly_its_maintenance_margin_is_left_alone() -> None:
    desk = leveraged()
    desk.accept(prices(desk, P - P * 34 // 1000))
    risk = account_risk(desk.ledger, ALICE)
    desk.ledger.balance[QUOTE][ALICE] += risk.maintenance - risk.equity
    desk.ledger.balance[QUOTE][BOB] -= risk.maintenance - risk.equity
    desk.accept(desk.order(CAROL, BUY, desk.ledger.marks[PERP], 50))
    assert desk.refuse(liquidate(desk)) is Reject.NOT_LIQUIDATABLE and due(desk.ledger) == []
    desk.ledger.balance[QUOTE][ALICE] -= 1
    desk.ledger.balance[QUOTE][BOB] += 1
    assert due(desk.ledger) == [ALICE] and type(desk.accept(liquidate(desk))[0]) is Traded


def test_an_own_order_in_the_way_is_closed_once() -> None:
    desk = leveraged()
    mark = P - P * 34 // 1000
    desk.accept(desk.order(ALICE, BUY, mark, 1))
    desk.accept(prices(desk, mark))
    desk.accept(desk.order(CAROL, BUY, mark - 1, 50))
    events = desk.accept(liquidate(desk))
    assert [event.reason for event in events if type(event) is OrderClosed] == [Closed.SELF_TRADE]


def test_the_position_that_is_worth_most_goes_first() -> None:
    desk = leveraged()
    desk.accept(Deposit(next(desk.time), ALICE, 0, QUOTE, 40 * UNIT))
    desk.trade(ALICE, BOB, MARKS[ETH_PERP], 240, ETH_PERP)  # 720 USDT beside 600
    desk.accept(prices(desk, P - P * 7 // 100))
    assert due(desk.ledger) == [ALICE]
    desk.accept(desk.order(CAROL, BUY, MARKS[ETH_PERP], 300, ETH_PERP))
    desk.accept(liquidate(desk))
    assert desk.ledger.size[ETH_PERP][ALICE] == 0 and desk.ledger.size[PERP][ALICE] == 10


@pytest.mark.parametrize("fee", [25_000, 30_000])
def test_a_fee_that_is_not_below_the_maintenance_rate_closes_all_at_once(fee: int) -> None:
    desk = leveraged(liquidation_fee_ppm=fee, clip_notional=0)
    mark = P - P * 34 // 1000
    desk.accept(prices(desk, mark))
    desk.accept(desk.order(CAROL, BUY, mark, 50))
    assert desk.accept(liquidate(desk))[0] == Traded(PERP, 2, CAROL, ALICE, SELL, mark, 10, 0, 0)


def test_the_fund_pays_a_single_atom() -> None:
    desk = leveraged()
    desk.accept(Deposit(next(desk.time), FUND, 0, 0, UNIT))
    desk.accept(prices(desk, P - 33_030))
    desk.ledger.balance[QUOTE][ALICE] -= 1
    desk.ledger.balance[QUOTE][BOB] += 1
    assert desk.accept(liquidate(desk))[0] == FundSettled(ALICE, -1, FundReason.LOSS)


def test_who_owes_a_single_atom_without_a_position_is_due_and_the_venues_own_accounts_never_are() -> None:
    desk = Desk()
    desk.ledger.balance[QUOTE][ALICE] = desk.ledger.balance[QUOTE][FEES] = -1
    assert due(desk.ledger) == [ALICE]


def test_a_debt_of_atoms_without_a_position_is_far_below_seven_times_the_margin() -> None:
    desk = leveraged()
    risk = account_risk(desk.ledger, ALICE)
    for account, change in ((ALICE, -7 * risk.maintenance - risk.equity), (CAROL, -10 - desk.equity(CAROL))):
        desk.ledger.balance[QUOTE][account] += change
        desk.ledger.balance[QUOTE][BOB] -= change
    assert due(desk.ledger) == [CAROL, ALICE]


def test_the_oldest_price_that_liquidates() -> None:
    desk = leveraged()
    desk.accept(prices(desk, P - P * 6 // 100)._replace(time_ms=1_000))
    oldest = 1_000 + desk.ledger.venue.price_age_ms_max
    assert desk.refuse(liquidate(desk)._replace(time_ms=oldest + 1)) is Reject.PRICE_STALE
    assert type(desk.accept(liquidate(desk)._replace(time_ms=oldest))[0]) is Deleveraged


def test_a_liquidation_alone_ends_no_mode() -> None:
    desk = leveraged()
    mark = P - P * 34 // 1000
    desk.accept(desk.order(CAROL, BUY, mark, 50))
    desk.accept(Signal(1_000, FUND, 0, PERP, Trigger.ORACLE_UNCERTAIN, 1))
    desk.accept(prices(desk, mark)._replace(time_ms=30_000))
    sold, fee = desk.accept(liquidate(desk)._replace(time_ms=62_000))
    assert (type(sold), type(fee)) == (Traded, FundSettled)
    assert any(type(event) is ModeSet for event in desk.accept(prices(desk, mark)._replace(time_ms=62_000)))


def test_prices_that_are_refused_liquidate_nobody() -> None:
    desk = leveraged()
    desk.accept(prices(desk, P - P * 6 // 100))
    assert due(desk.ledger) == [ALICE]
    assert set_prices(desk.engine, prices(desk, P)._replace(account=ALICE)) == [Reject.ACCOUNT_RESERVED]


def test_the_first_round_in_which_nothing_can_be_done_is_the_last() -> None:
    desk = leveraged()
    answers = set_prices(desk.engine, prices(desk, P - P * 34 // 1000))
    assert due(desk.ledger) == [ALICE] and answers[1:] == [Reject.NOTHING_TO_LIQUIDATE]


def test_while_something_can_be_done_for_one_there_is_another_round() -> None:
    desk = Desk(4, 0, definition=venue(clip_notional=0))
    desk.deposit(33 * UNIT, 10**12, 10**12, 2_200_000)
    desk.trade(ALICE, BOB, P, 10)
    desk.trade(5, BOB, MARKS[ETH_PERP], 10, ETH_PERP)  # 30 USDT, and nobody will bid
    desk.accept(desk.order(CAROL, BUY, P - P * 36 // 1000, 50))
    fall = SetPrices(next(desk.time), 0, 0, (UNIT, 57_900 * UNIT, 2_838 * UNIT), (579_000, 28_380, 579_000))
    kinds = [type(answer) for answer in set_prices(desk.engine, fall)]
    assert due(desk.ledger) == [5]
    # The prices; a round for two, the least healthy first; one for who is still due, with nothing done.
    assert kinds == [Done, Reject, Done, Reject]


def test_a_price_is_worked_off_in_eight_rounds_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    desk, sent = Desk(), list[Command]()

    def submit(commands: list[Command]) -> list[Done]:
        sent.extend(commands)
        return [Done(1, ())]

    monkeypatch.setattr("exchange.liquidator.due", lambda _: [ALICE])
    monkeypatch.setattr(desk.engine, "submit", submit)
    work_off(desk.engine, 5)
    assert sent == [Liquidate(5, FUND, 0, ALICE)] * 8


def test_a_crash_is_worked_off_until_nobody_is_due() -> None:
    desk = Desk(users=30, cash=0)
    desk.accept(Deposit(next(desk.time), ALICE, 0, 0, 10**12))
    desk.accept(Deposit(next(desk.time), FUND, 0, 0, 5 * UNIT))
    for account in range(3, 32):
        desk.accept(Deposit(next(desk.time), account, 0, 0, (30 + account) * UNIT))
        desk.trade(account, ALICE, P, 10)
    desk.accept(desk.order(ALICE, BUY, P - P // 25, 60))
    mark = P - P * 85 // 1000
    answers = set_prices(desk.engine, prices(desk, mark))
    check_invariants(desk.ledger)
    assert sum(isinstance(answer, Done) for answer in answers) > 10
    for account in due(desk.ledger):  # nobody bids, but these have enough left to wait
        risk = account_risk(desk.ledger, account)
        assert risk.equity * 3 >= risk.maintenance * 2
    assert all(desk.equity(account) >= 0 for account in range(2, 32))
