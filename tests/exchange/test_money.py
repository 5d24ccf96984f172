"""Deposits, withdrawals, the fund, funding, prices, accounts, repeated commands."""

from __future__ import annotations

import pytest

from exchange.codes import Reject
from exchange.commands import Command, Deposit, FundTransfer, OpenAccount, PayFunding, SetPrices, Withdraw
from exchange.engine import Done, Repeated
from exchange.events import AccountOpened
from exchange.risk import left_after_leaving
from exchange.rules.rounding import ceil_div
from exchange.state import FEES, FUND, QUOTE, Ledger
from exchange.statehash import ledger_from_bytes, state_bytes, state_hash
from tests.exchange.venues import ALICE, BOB, BTC_SPOT, BUY, CAROL, MARKS, PERP, PRICES, SELL, UNIT, Desk, venue

P = MARKS[PERP]


def lots_at(mark: int) -> tuple[int, ...]:
    return (mark, *MARKS[1:])


def test_unrealised_profit_does_not_leave_and_unrealised_loss_stays_behind() -> None:
    desk = Desk(cash=100 * UNIT)
    desk.trade(ALICE, BOB, P, 10)
    cash = desk.ledger.balance[QUOTE]
    desk.accept(SetPrices(next(desk.time), 0, 0, PRICES, lots_at(P + P // 50)))  # 12 USDT for Alice, from Bob
    margin = 30 * UNIT + 600_000
    assert desk.refuse(Withdraw(next(desk.time), ALICE, 0, 0, cash[ALICE] - margin + 1)) is Reject.MARGIN_TOO_LOW
    desk.accept(Withdraw(next(desk.time), ALICE, 0, 0, cash[ALICE] - margin))
    left = cash[BOB] - 12 * UNIT - margin
    assert desk.refuse(Withdraw(next(desk.time), BOB, 0, 0, left + 1)) is Reject.MARGIN_TOO_LOW
    desk.accept(FundTransfer(next(desk.time), BOB, 0, left))
    assert cash[FUND] == left


def test_collateral_may_leave_as_long_as_its_haircut_value_is_not_needed() -> None:
    desk = Desk(cash=0)
    desk.accept(Deposit(next(desk.time), ALICE, 0, 1, 10**5))  # 60 USDT, counted with 57
    desk.accept(Deposit(next(desk.time), BOB, 0, 0, 10**9))
    desk.accept(desk.order(ALICE, BUY, P, 10))  # needs 30
    assert desk.refuse(desk.order(ALICE, BUY, P, 10)) is Reject.MARGIN_TOO_LOW
    assert desk.refuse(Withdraw(next(desk.time), ALICE, 0, 1, 50_000)) is Reject.MARGIN_TOO_LOW
    desk.accept(Withdraw(next(desk.time), ALICE, 0, 1, 47_000))
    assert desk.refuse(Withdraw(next(desk.time), ALICE, 0, 0, 1)) is Reject.BALANCE_TOO_LOW


def test_what_a_spot_order_locks_cannot_leave() -> None:
    desk = Desk(cash=100 * UNIT)
    desk.accept(desk.order(ALICE, BUY, P, 1, BTC_SPOT))
    assert desk.refuse(Withdraw(next(desk.time), ALICE, 0, 0, 40 * UNIT)) is Reject.BALANCE_TOO_LOW
    desk.accept(Withdraw(next(desk.time), ALICE, 0, 0, 40 * UNIT - 6_000))


@pytest.mark.parametrize("rate", [100, -100, 333, 1, -1])
def test_funding_sums_to_zero_with_the_rounding_in_the_fund(rate: int) -> None:
    desk = Desk(cash=10**9 + 7)
    desk.trade(ALICE, BOB, P + 3, 7)
    desk.trade(ALICE, CAROL, P + 3, 4)
    desk.accept(SetPrices(next(desk.time), 0, 0, PRICES, lots_at(P + 7)))
    before = list(desk.ledger.balance[QUOTE])
    desk.accept(PayFunding(next(desk.time), 0, 0, PERP, rate))
    change = [now - then for now, then in zip(desk.ledger.balance[QUOTE], before, strict=True)]
    value = (P + 7) * 100
    assert change[ALICE] == -ceil_div(11 * value * rate, 10**6)
    assert change[BOB] == -ceil_div(-7 * value * rate, 10**6)
    assert sum(change) == 0 and 0 <= change[FUND] <= 3


def test_the_venue_may_take_its_fees_and_not_the_fund() -> None:
    desk = Desk()
    desk.trade(ALICE, BOB, P, 10)
    fees = desk.ledger.balance[QUOTE][FEES]
    desk.accept(Withdraw(next(desk.time), FEES, 0, 0, fees))
    desk.accept(Deposit(next(desk.time), FUND, 0, 0, 1000))
    assert desk.refuse(Withdraw(next(desk.time), FUND, 0, 0, 1)) is Reject.ACCOUNT_RESERVED


def test_the_venue_takes_all_that_it_may_hold() -> None:
    desk = Desk(2, 0, supply_max=UNIT)
    desk.deposit(UNIT - 2, 2)
    assert desk.refuse(Deposit(next(desk.time), ALICE, 0, QUOTE, 1)) is Reject.SUPPLY_TOO_LARGE
    desk.accept(Withdraw(next(desk.time), ALICE, 0, QUOTE, 1))
    desk.accept(Deposit(next(desk.time), BOB, 0, QUOTE, 1))


def test_what_leaves_is_worth_what_it_counts_for_beside_the_rest_that_is_free() -> None:
    """The first million of BTC counts with 95 %, what is above with 90 %; what is locked for a sale with nothing."""
    desk = Desk()
    desk.accept(Deposit(next(desk.time), ALICE, 0, 1, 20 * 10**8))  # 1.2 million
    desk.accept(desk.order(ALICE, SELL, P + 9, 5_000, BTC_SPOT))  # 5 of 20
    whole = left_after_leaving(desk.ledger, ALICE, 1, 0)
    assert left_after_leaving(desk.ledger, ALICE, 1, 10**8) == whole - 57_000 * UNIT


REFUSALS: list[tuple[Command, Reject]] = [
    (Deposit(9, ALICE, 0, 0, 0), Reject.AMOUNT_NOT_POSITIVE),
    (Deposit(9, 99, 0, 7, 1 << 62), Reject.AMOUNT_TOO_LARGE),
    (Deposit(9, 3, 0, 7, 1), Reject.ACCOUNT_UNKNOWN),
    (Deposit(9, ALICE, 0, 3, 1), Reject.ASSET_UNKNOWN),
    (Deposit(9, ALICE, 0, -1, 1), Reject.ASSET_UNKNOWN),
    (Deposit(9, -1, 0, 0, 1), Reject.ACCOUNT_UNKNOWN),
    (Withdraw(9, -1, 0, 0, 1), Reject.ACCOUNT_UNKNOWN),
    (Deposit(9, ALICE, 0, 0, 1 << 60), Reject.SUPPLY_TOO_LARGE),
    (Deposit(0, ALICE, 0, 0, 1 << 60), Reject.TIME_GOES_BACK),
    (Withdraw(9, ALICE, 0, 0, 101 * UNIT), Reject.BALANCE_TOO_LOW),
    (Withdraw(9, ALICE, 0, 1, 1), Reject.BALANCE_TOO_LOW),
    (FundTransfer(9, ALICE, 0, 101 * UNIT), Reject.BALANCE_TOO_LOW),
    (OpenAccount(9, 0, 0, ""), Reject.USER_ID_INVALID),
    (OpenAccount(9, 0, 0, " a"), Reject.USER_ID_INVALID),
    (OpenAccount(9, 0, 0, "\ud800"), Reject.USER_ID_INVALID),
    (OpenAccount(9, 0, 0, "é" * 65), Reject.USER_ID_INVALID),
    (OpenAccount(9, 2, 0, "new"), Reject.ACCOUNT_RESERVED),
    (OpenAccount(9, 0, 0, "user-0"), Reject.USER_ID_TAKEN),
    (OpenAccount(9, 0, 0, "insurance-fund"), Reject.USER_ID_TAKEN),
    (SetPrices(9, 0, 0, PRICES, MARKS[:2]), Reject.PRICES_INCOMPLETE),
    (SetPrices(9, 0, 0, PRICES, (0, *MARKS[1:])), Reject.PRICES_INCOMPLETE),
    (SetPrices(9, 0, 0, (UNIT + 1, *PRICES[1:]), MARKS), Reject.PRICE_OUT_OF_RANGE),
    (SetPrices(9, 0, 0, PRICES, (2 * 10**6 + 1, *MARKS[1:])), Reject.PRICE_OUT_OF_RANGE),
    (SetPrices(9, ALICE, 0, PRICES, MARKS), Reject.ACCOUNT_RESERVED),
    (PayFunding(9, 0, 0, PERP, 40_001), Reject.FUNDING_RATE_TOO_LARGE),
    (PayFunding(9, ALICE, 0, PERP, 1), Reject.ACCOUNT_RESERVED),
    (PayFunding(9, 0, 0, 3, 1), Reject.MARKET_UNKNOWN),
    (PayFunding(9, 0, 0, BTC_SPOT, 1), Reject.MARKET_KIND),
]


@pytest.mark.parametrize(("command", "code"), REFUSALS)
def test_the_first_reason_wins(command: Command, code: Reject) -> None:
    desk = Desk(users=1, cash=100 * UNIT)
    before = state_hash(desk.ledger)
    assert desk.refuse(command) is code
    assert state_hash(desk.ledger) == before


def test_nothing_trades_and_no_funding_before_the_first_prices() -> None:
    from exchange.engine import Engine, Sink

    engine = Engine(Ledger(venue()), Sink())
    engine.submit([OpenAccount(1, 0, 0, "a")])
    desk = Desk(users=1)
    assert engine.submit([desk.order(ALICE, BUY, P, 1), PayFunding(9, 0, 0, PERP, 1)]) == [Reject.PRICE_MISSING] * 2


def test_every_reason_has_a_test() -> None:
    from tests.exchange import test_isolated, test_liquidation, test_oracle, test_orders

    tables = (REFUSALS, test_isolated.REFUSALS, test_orders.REFUSALS, test_liquidation.REFUSALS, test_oracle.REFUSALS)
    named = {code for table in tables for _, code in table}
    elsewhere = {
        Reject.PRICE_MISSING,
        Reject.ORDER_UNKNOWN,
        Reject.ORDER_NOT_OWN,
        Reject.ORDERS_TOO_MANY,
        Reject.POSITION_TOO_LARGE,
        Reject.NOTHING_TO_LIQUIDATE,
        Reject.MODE_FORBIDS,
        Reject.TRIGGER_UNKNOWN,
        Reject.PRICE_UNRELIABLE,
        Reject.QUOTES_REQUIRED,
        Reject.MARKET_ISOLATED,
        Reject.BLOCK_CAP_REACHED,
        Reject.NO_AUCTION_DUE,
        Reject.NO_SETTLEMENT_DUE,
        Reject.WOULD_CROSS_OWN,
        Reject.OVERLOADED,
    }
    assert set(Reject) == named | elsewhere


def test_a_repeated_client_id_changes_nothing_and_is_told_the_first_answer() -> None:
    desk = Desk(users=2, client_ids_kept=2)
    deposit = Deposit(next(desk.time), ALICE, 77, 0, 5)
    first = desk.ask(deposit)
    assert isinstance(first, Done)
    before = state_hash(desk.ledger)
    assert desk.ask(deposit) == Repeated(first.sequence)
    assert state_hash(desk.ledger) == before
    assert isinstance(desk.ask(deposit._replace(account=BOB)), Done)
    assert isinstance(desk.ask(deposit._replace(client_id=78)), Done)
    assert isinstance(desk.ask(deposit), Done)  # only the last two are remembered


def test_a_refused_command_may_be_sent_again_under_its_client_id() -> None:
    desk = Desk(users=1, cash=0)
    order = desk.order(ALICE, BUY, P, 1)._replace(client_id=5)
    assert desk.refuse(order) is Reject.MARGIN_TOO_LOW
    desk.accept(Deposit(order.time_ms, ALICE, 0, 0, 10**9))
    desk.accept(order)


def test_accounts_are_numbered_in_order() -> None:
    desk = Desk(users=0)
    assert desk.accept(OpenAccount(2, 0, 0, "first")) == (AccountOpened(ALICE, "first"),)
    assert desk.ledger.user_ids[:2] == ["insurance-fund", "fee-income"]


def test_state_bytes_give_the_same_ledger_back() -> None:
    desk = Desk()
    desk.accept(Deposit(next(desk.time), BOB, 9, 1, 10**8))
    desk.trade(ALICE, BOB, P, 5)
    desk.accept(desk.order(ALICE, BUY, P - 5, 5))
    desk.accept(desk.order(BOB, SELL, P + 5, 5, BTC_SPOT))
    desk.accept(desk.order(CAROL, SELL, P - 5, 2))
    copy = ledger_from_bytes(venue(), state_bytes(desk.ledger))
    assert state_bytes(copy) == state_bytes(desk.ledger)
    assert [order.id for order in copy.books[PERP].bids] == [order.id for order in desk.ledger.books[PERP].bids]
