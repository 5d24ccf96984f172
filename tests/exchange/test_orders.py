"""Orders: fees, positions, reduce-only, margin, spot money; each number worked out by hand."""

from __future__ import annotations

import pytest

from exchange.codes import Reject
from exchange.commands import CancelOrder, Deposit, Flag, PlaceOrder
from exchange.engine import Done, Repeated
from exchange.events import Closed, OrderClosed, OrderExpired, OrderOpened, Traded
from exchange.risk import account_risk
from exchange.state import FEES, OWN_ORDERS_SLACK, QUOTE
from tests.exchange.venues import ALICE, BOB, BTC_SPOT, BUY, CAROL, MARKS, PERP, SELL, UNIT, Desk

P = MARKS[PERP]
LOT = P * 100
"""Quote atoms of one lot (0.001 BTC) at the mark: 60 USDT."""


def test_a_trade_moves_positions_costs_and_fees_and_nothing_else() -> None:
    desk = Desk()
    desk.accept(desk.order(ALICE, BUY, P, 10))
    (trade,) = desk.accept(desk.order(BOB, SELL, P - 5, 10))
    # Maker rebate 50 ppm and taker fee 450 ppm of 600 USDT, at the maker's price.
    assert trade == Traded(PERP, 1, ALICE, BOB, SELL, P, 10, -30_000, 270_000)
    ledger = desk.ledger
    assert [ledger.size[PERP][a] for a in (ALICE, BOB)] == [10, -10]
    assert [ledger.cost[PERP][a] for a in (ALICE, BOB)] == [10 * LOT, -10 * LOT]
    assert desk.equity(ALICE) == 10**13 + 30_000
    assert desk.equity(BOB) == 10**13 - 270_000
    assert ledger.balance[QUOTE][FEES] == 240_000
    assert ledger.open_interest[PERP] == 10


def test_closing_realises_its_share_and_rounds_against_the_account() -> None:
    desk = Desk()
    desk.trade(ALICE, BOB, P, 2)
    desk.trade(ALICE, BOB, P + 1, 1)  # cost of 3 lots: 180.0001 USDT in units of 100 atoms
    before = desk.ledger.balance[QUOTE][ALICE]
    desk.trade(CAROL, ALICE, P, 1)
    fee = 27_000  # 450 ppm of 60 USDT
    cost = 3 * LOT + 100
    assert desk.ledger.balance[QUOTE][ALICE] == before - fee + LOT - -(-cost // 3)
    assert desk.ledger.cost[PERP][ALICE] == cost - -(-cost // 3)


def test_a_trade_through_zero_closes_first_and_opens_at_the_price_of_the_trade() -> None:
    desk = Desk()
    desk.trade(ALICE, BOB, P, 5)
    desk.trade(CAROL, ALICE, P + 10, 8)
    assert desk.ledger.size[PERP][ALICE] == -3
    assert desk.ledger.cost[PERP][ALICE] == -3 * (P + 10) * 100
    rebate, fee = 15_000, -(-8 * (P + 10) * 100 * 450 // 10**6)
    assert desk.ledger.balance[QUOTE][ALICE] == 10**13 + rebate - fee + 5 * 10 * 100


def test_price_priority_comes_before_time_and_one_order_sweeps_levels() -> None:
    desk = Desk()
    for price in (P + 2, P + 1, P + 1):
        desk.accept(desk.order(ALICE, SELL, price, 1))
    events = desk.accept(desk.order(BOB, BUY, P + 2, 3))
    assert [event.maker_order for event in events if type(event) is Traded] == [2, 3, 1]


def test_a_market_order_takes_what_the_band_allows_and_the_rest_expires() -> None:
    desk = Desk()
    desk.accept(desk.order(ALICE, SELL, P + P // 20, 1))
    desk.accept(desk.order(ALICE, SELL, P + P // 20 + 1, 1))
    events = desk.accept(desk.order(BOB, BUY, 0, 2))
    assert events[1] == OrderExpired(BOB, PERP, 1, Closed.IMMEDIATE)
    assert type(events[0]) is Traded and events[0].price == P + P // 20


def test_self_trade_prevention_keeps_the_resting_or_the_incoming_order() -> None:
    desk = Desk()
    desk.accept(desk.order(ALICE, SELL, P, 4))
    assert desk.accept(desk.order(ALICE, BUY, P, 3)) == (OrderExpired(ALICE, PERP, 3, Closed.SELF_TRADE),)
    events = desk.accept(desk.order(ALICE, BUY, P, 3, flags=Flag.CANCEL_RESTING))
    assert events[0] == OrderClosed(1, ALICE, PERP, 4, Closed.SELF_TRADE)
    assert desk.ledger.buys[PERP][ALICE] == 3


def test_reduce_only_is_cut_to_the_position_when_placed_and_when_filled() -> None:
    desk = Desk()
    desk.trade(ALICE, BOB, P, 5)
    desk.accept(desk.order(ALICE, SELL, P + 1, 9, flags=Flag.REDUCE_ONLY))
    assert desk.ledger.sells[PERP][ALICE] == 5
    desk.trade(CAROL, ALICE, P, 3)
    events = desk.accept(desk.order(BOB, BUY, P + 1, 5))
    assert type(events[0]) is Traded and events[0].lots == 2
    assert events[1] == OrderClosed(2, ALICE, PERP, 3, Closed.REDUCE_ONLY)
    assert desk.ledger.size[PERP][ALICE] == 0


def test_initial_margin_counts_open_orders_of_the_larger_side() -> None:
    desk = Desk(cash=30 * UNIT)  # initial margin 5 % of 60 USDT a lot: ten lots and no more
    desk.accept(desk.order(ALICE, BUY, P, 10))
    assert desk.refuse(desk.order(ALICE, BUY, P - 100, 1)) is Reject.MARGIN_TOO_LOW
    desk.accept(desk.order(ALICE, SELL, P + 100, 10))
    assert desk.refuse(desk.order(ALICE, SELL, P + 200, 1)) is Reject.MARGIN_TOO_LOW
    desk.accept(CancelOrder(next(desk.time), ALICE, 0, 1))
    desk.accept(desk.order(ALICE, BUY, P, 9))


def test_paying_more_than_the_mark_must_be_covered_too() -> None:
    desk = Desk(cash=31 * UNIT)
    desk.accept(desk.order(BOB, SELL, P + 1000, 5))
    desk.accept(desk.order(CAROL, SELL, P + 1000, 5))
    # 10 lots cost 0.1 USDT each above the mark and fees: 1 USDT + 0.27 USDT on top of 30 USDT of margin.
    assert desk.refuse(desk.order(ALICE, BUY, P + 1000, 10)) is Reject.MARGIN_TOO_LOW
    desk.accept(desk.order(ALICE, BUY, P + 1000, 9))


def test_an_account_below_initial_margin_may_only_reduce() -> None:
    from exchange.commands import SetPrices
    from tests.exchange.venues import PRICES

    desk = Desk(cash=31 * UNIT)
    desk.trade(ALICE, BOB, P, 10)
    lower = P - P // 50
    desk.accept(SetPrices(next(desk.time), 0, 0, PRICES, (lower, *MARKS[1:])))
    risk = account_risk(desk.ledger, ALICE)
    assert risk.maintenance < risk.equity < risk.initial
    assert desk.refuse(desk.order(ALICE, BUY, lower - 9, 1)) is Reject.MARGIN_TOO_LOW
    assert desk.refuse(desk.order(ALICE, SELL, lower + 9, 11)) is Reject.MARGIN_TOO_LOW
    desk.accept(desk.order(ALICE, SELL, lower + 9, 6))
    assert desk.refuse(desk.order(ALICE, SELL, lower + 9, 5)) is Reject.MARGIN_TOO_LOW
    desk.accept(desk.order(ALICE, SELL, lower + 9, 4))


def test_spot_moves_both_assets_and_never_lends() -> None:

    desk = Desk(cash=100 * UNIT)
    desk.accept(Deposit(next(desk.time), BOB, 0, 1, 10**6))
    desk.accept(desk.order(ALICE, BUY, P, 1, BTC_SPOT))
    assert desk.ledger.locked[QUOTE][ALICE] == 60 * UNIT + 6_000
    assert desk.refuse(desk.order(ALICE, BUY, P, 1, BTC_SPOT)) is Reject.BALANCE_TOO_LOW
    assert desk.refuse(desk.order(ALICE, SELL, P + 1, 1, BTC_SPOT)) is Reject.BALANCE_TOO_LOW
    desk.accept(desk.order(BOB, SELL, 0, 1, BTC_SPOT))
    assert [column[ALICE] for column in desk.ledger.balance] == [40 * UNIT - 6_000, 10**5, 0]
    assert [column[BOB] for column in desk.ledger.balance] == [160 * UNIT - 27_000, 9 * 10**5, 0]
    assert desk.ledger.locked[QUOTE][ALICE] == 0


def test_the_lock_of_a_spot_order_pays_for_any_sequence_of_partial_fills() -> None:

    desk = Desk(cash=60 * UNIT * 7 + 42_001)
    desk.accept(Deposit(next(desk.time), BOB, 0, 1, 10**8))
    price = P - 7
    desk.accept(desk.order(ALICE, BUY, price, 7, BTC_SPOT))
    for lots in (1, 2, 1):
        desk.accept(desk.order(BOB, SELL, price, lots, BTC_SPOT))
    desk.accept(CancelOrder(next(desk.time), ALICE, 0, 1))
    assert desk.ledger.locked[QUOTE][ALICE] == 0
    paid = 4 * price * 100
    assert desk.ledger.balance[QUOTE][ALICE] == 60 * UNIT * 7 + 42_001 - paid - -(-paid * 100 // 10**6)


REFUSALS: list[tuple[dict[str, int], Reject]] = [
    ({"price": -1, "lots": 0}, Reject.PRICE_OUT_OF_RANGE),
    ({"lots": 0, "side": 0}, Reject.LOTS_OUT_OF_RANGE),
    ({"side": 0, "account": 99}, Reject.FLAGS_CONTRADICT),
    ({"flags": Flag.IMMEDIATE | Flag.POST_ONLY}, Reject.FLAGS_CONTRADICT),
    ({"flags": Flag.IMMEDIATE | Flag.FILL_OR_KILL}, Reject.FLAGS_CONTRADICT),
    ({"flags": Flag.POST_ONLY, "price": 0}, Reject.FLAGS_CONTRADICT),
    ({"flags": 32}, Reject.FLAGS_CONTRADICT),
    ({"flags": -1, "price": P + 9}, Reject.FLAGS_CONTRADICT),
    ({"account": 99, "market": 9}, Reject.ACCOUNT_UNKNOWN),
    ({"account": -1}, Reject.ACCOUNT_UNKNOWN),
    ({"account": FEES}, Reject.ACCOUNT_RESERVED),
    ({"market": 3}, Reject.MARKET_UNKNOWN),
    ({"market": BTC_SPOT, "flags": Flag.REDUCE_ONLY}, Reject.MARKET_KIND),
    ({"time_ms": 0, "lots": 10**5 + 1}, Reject.TIME_GOES_BACK),
    ({"time_ms": 0}, Reject.TIME_GOES_BACK),
    ({"time_ms": 1 << 48}, Reject.HEADER_OUT_OF_RANGE),
    ({"client_id": -1}, Reject.HEADER_OUT_OF_RANGE),
    ({"client_id": 1 << 64}, Reject.HEADER_OUT_OF_RANGE),
    ({"lots": 10**5 + 1, "price": P * 2}, Reject.ORDER_TOO_LARGE),
    ({"price": 2 * 10**6 + 1, "side": SELL}, Reject.ORDER_TOO_LARGE),
    ({"price": P + P // 20 + 1, "flags": Flag.REDUCE_ONLY}, Reject.PRICE_OUTSIDE_BAND),
    ({"flags": Flag.REDUCE_ONLY | Flag.POST_ONLY}, Reject.REDUCE_ONLY_WOULD_INCREASE),
    ({"flags": Flag.POST_ONLY, "price": P + 9}, Reject.POST_ONLY_WOULD_TAKE),
    ({"flags": Flag.FILL_OR_KILL, "price": P + 9, "lots": 4}, Reject.FILL_OR_KILL_UNFILLED),
    ({"lots": 10**5}, Reject.MARGIN_TOO_LOW),
]


@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize(("changes", "code"), REFUSALS)
def test_the_first_reason_wins(changes: dict[str, int], code: Reject, short: bool) -> None:
    desk = Desk(cash=10**11)
    if short:  # what is left of the margin is known: plain orders go the short way
        desk.accept(desk.order(ALICE, BUY, P - 9, 1))
    desk.accept(desk.order(BOB, SELL, P + 5, 3))
    command = PlaceOrder(next(desk.time), ALICE, 0, PERP, BUY, P, 1, 0)._replace(**changes)
    assert desk.refuse(command) is code


CANCELS: list[tuple[dict[str, int], Reject]] = [
    ({"time_ms": 0}, Reject.TIME_GOES_BACK),
    ({"time_ms": 1 << 48}, Reject.HEADER_OUT_OF_RANGE),
    ({"client_id": -1}, Reject.HEADER_OUT_OF_RANGE),
    ({"client_id": 1 << 64}, Reject.HEADER_OUT_OF_RANGE),
    ({"account": 99}, Reject.ACCOUNT_UNKNOWN),
    ({"account": BOB}, Reject.ORDER_NOT_OWN),
    ({"order": 2}, Reject.ORDER_UNKNOWN),
]


@pytest.mark.parametrize(("changes", "code"), CANCELS)
def test_a_cancel_is_refused_for_the_first_reason(changes: dict[str, int], code: Reject) -> None:
    desk = Desk()
    desk.accept(desk.order(ALICE, BUY, P, 1))
    assert desk.refuse(CancelOrder(next(desk.time), ALICE, 0, 1)._replace(**changes)) is code
    assert 1 in desk.ledger.orders


def test_a_client_id_is_good_for_one_command() -> None:
    desk = Desk()
    desk.accept(desk.order(ALICE, BUY, P, 1))
    first = desk.ask(Deposit(next(desk.time), ALICE, 7, 0, 1))
    assert isinstance(first, Done)
    for command in (desk.order(ALICE, BUY, P, 1), CancelOrder(next(desk.time), ALICE, 0, 1)):
        assert desk.ask(command._replace(client_id=7)) == Repeated(first.sequence)
    assert list(desk.ledger.orders) == [1]


def test_an_order_for_all_or_nothing_that_finds_all_trades() -> None:
    desk = Desk()
    desk.accept(desk.order(BOB, SELL, P, 3))
    (traded,) = desk.accept(desk.order(ALICE, BUY, P, 3, flags=Flag.FILL_OR_KILL))
    assert isinstance(traded, Traded) and traded.lots == 3


@pytest.mark.parametrize("flags", [0, Flag.POST_ONLY])
def test_orders_that_are_gone_are_forgotten(flags: int) -> None:
    desk = Desk()
    for _ in range(3 * OWN_ORDERS_SLACK):
        (opened,) = desk.accept(desk.order(ALICE, BUY, P - 1, 1, flags=flags))
        assert isinstance(opened, OrderOpened)
        desk.accept(CancelOrder(next(desk.time), ALICE, 0, opened.order))
    assert len(desk.ledger.own_orders[ALICE]) <= OWN_ORDERS_SLACK


def test_orders_are_counted_and_positions_are_limited() -> None:
    desk = Desk(cash=10**15, open_orders_max=2)
    desk.accept(desk.order(ALICE, BUY, P - 1, 1))
    desk.accept(desk.order(ALICE, BUY, P - 2, 1))
    assert desk.refuse(desk.order(ALICE, BUY, P - 3, 1)) is Reject.ORDERS_TOO_MANY
    desk = Desk(cash=10**15)
    for _ in range(10):
        desk.accept(desk.order(ALICE, BUY, P - 1, 10**5))
    assert desk.refuse(desk.order(ALICE, BUY, P - 1, 1)) is Reject.POSITION_TOO_LARGE


def test_cancelling_names_an_own_open_order() -> None:
    desk = Desk()
    desk.accept(desk.order(ALICE, BUY, P, 5))
    assert desk.refuse(CancelOrder(next(desk.time), BOB, 0, 1)) is Reject.ORDER_NOT_OWN
    assert desk.refuse(CancelOrder(next(desk.time), BOB, 0, 2)) is Reject.ORDER_UNKNOWN
    assert desk.refuse(CancelOrder(next(desk.time), 77, 0, 1)) is Reject.ACCOUNT_UNKNOWN
    assert desk.accept(CancelOrder(next(desk.time), ALICE, 0, 1)) == (OrderClosed(1, ALICE, PERP, 5, Closed.CANCELLED),)


def test_open_interest_raises_initial_margin_and_nothing_else() -> None:
    from dataclasses import replace

    from exchange.commands import SetPrices
    from exchange.engine import Engine, Sink
    from exchange.state import Ledger
    from exchange.statehash import ledger_from_bytes, state_bytes
    from tests.exchange.venues import PRICES, venue

    desk = Desk(cash=10**11)
    market = replace(venue().markets[PERP], interest_lower=500 * UNIT, interest_upper=700 * UNIT)
    crowded = replace(venue(), markets=(market, *venue().markets[1:])).check()
    plain, desk.engine = desk.engine, Engine(Ledger(crowded), Sink())
    for user in range(3):
        desk.engine.ledger.add_account(f"user-{user}")
    desk.accept(SetPrices(next(desk.time), 0, 0, PRICES, MARKS))
    for account in (ALICE, BOB, CAROL):
        desk.accept(Deposit(next(desk.time), account, 0, 0, 10**9))
    desk.trade(ALICE, BOB, P, 10)  # 600 of open interest: half the way, from the next prices on
    assert account_risk(desk.ledger, ALICE).initial == 30 * UNIT
    desk.accept(SetPrices(next(desk.time), 0, 0, PRICES, MARKS))
    risk = account_risk(desk.ledger, ALICE)
    assert (risk.initial, risk.maintenance) == ((30 + 570 // 2) * UNIT, 15 * UNIT)
    assert desk.refuse(desk.order(CAROL, BUY, P, 32)) is Reject.MARGIN_TOO_LOW  # 31.5 USDT a lot
    desk.accept(desk.order(CAROL, BUY, P, 31))
    copy = ledger_from_bytes(crowded, state_bytes(desk.ledger))
    assert copy.scales == desk.ledger.scales == [500_000, 0, 0]
    assert copy.lot_margins == desk.ledger.lot_margins
    assert plain.ledger.scales == [0, 0, 0]
