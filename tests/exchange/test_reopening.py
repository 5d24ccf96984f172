"""After a halt a market reopens by a call auction: one price for all, whatever order the orders came in."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import pytest

from exchange.codes import Reject
from exchange.commands import (
    CancelOrder,
    Deposit,
    Flag,
    Liquidate,
    PlaceOrder,
    Signal,
    Uncross,
    Withdraw,
)
from exchange.events import AuctionTraded, Closed, ModeSet, OrderClosed, OrderOpened, SignSeen, Traded
from exchange.liquidator import due_of_markets, set_prices
from exchange.locks import spot_lock
from exchange.risk import account_risk
from exchange.rules.modes import Mode, Trigger
from exchange.state import FEES, FUND, QUOTE, VENUE_WIDE
from exchange.statehash import ledger_from_bytes, state_bytes
from exchange.watch import is_calling
from tests.exchange.journalled import Journalled
from tests.exchange.venues import (
    ALICE,
    BOB,
    BTC_SPOT,
    BUY,
    CAROL,
    ETH_PERP,
    MARKS,
    PERP,
    RICH,
    SELL,
    UNIT,
    Desk,
    btc_at,
    venue,
)

P = MARKS[PERP]
MINUTE = 60_000
HALT, CALL, OPEN = 4 * MINUTE, 6 * MINUTE, 6 * MINUTE + 30_000
"""When the market halts, when it calls, when the auction may end."""
DAVE = 5


def price(desk: Desk, time_ms: int, ppm: int = -110_000) -> Sequence[object]:
    return desk.accept(btc_at(time_ms, ppm))


def calling(users: int = 4) -> Desk:
    """BTC fell by 11 % at HALT; at CALL its markets collect orders."""
    desk = Journalled(venue(), users, RICH)
    desk.accept(Deposit(next(desk.time), ALICE, 0, 1, 10**8))
    price(desk, HALT)
    assert desk.ledger.effective_modes[PERP] == Mode.CANCEL_ONLY
    events = price(desk, CALL)
    for market in (PERP, BTC_SPOT):
        assert SignSeen(market, Trigger.REOPENING, 1) in events and ModeSet(market, Mode.POST_ONLY) in events
    assert is_calling(desk.ledger, PERP) and not is_calling(desk.ledger, ETH_PERP)
    return desk


def order(account: int, side: int, away: int, lots: int, market: int = PERP, flags: int = 0) -> PlaceOrder:
    return PlaceOrder(CALL, account, 0, market, side, MARK + away, lots, flags)


MARK = P - P * 11 // 100


def end(desk: Desk, market: int = PERP, time_ms: int = OPEN) -> Sequence[object]:
    return desk.accept(Uncross(time_ms, FUND, 0, market))


def test_during_the_call_orders_rest_across_each_other_and_one_price_trades_them() -> None:
    desk = calling()
    for command in (
        order(ALICE, SELL, -50, 5), order(BOB, SELL, 0, 5), order(CAROL, BUY, 100, 8), order(DAVE, BUY, -20, 9),
    ):  # fmt: skip
        assert [type(event) for event in desk.accept(command)] == [OrderOpened]
    events = end(desk)
    trades = [event for event in events if type(event) is AuctionTraded]
    # 8 wanted at MARK and above, 10 offered up to MARK; at MARK - 20: 17 wanted, 5 offered.
    assert {trade.price for trade in trades} == {MARK} and sum(trade.lots for trade in trades) == 8
    assert desk.ledger.size[PERP][ALICE] == -5 and desk.ledger.size[PERP][BOB] == -3
    assert desk.ledger.size[PERP][CAROL] == 8 and not desk.ledger.size[PERP][DAVE]
    assert ModeSet(PERP, Mode.NORMAL) in events and desk.ledger.effective_modes[PERP] == Mode.NORMAL
    assert desk.ledger.balance[QUOTE][FEES] == 0  # makers' rates below 0: nobody pays, nobody gets a rebate
    assert [type(event) for event in desk.accept(order(DAVE, BUY, 0, 1)._replace(time_ms=OPEN))] == [Traded]


@pytest.mark.parametrize("command", [
    order(BOB, BUY, 9, 1, flags=Flag.IMMEDIATE),
    order(BOB, BUY, 9, 1, flags=Flag.FILL_OR_KILL),
    order(BOB, BUY, -MARK, 1),
])  # fmt: skip
def test_nothing_trades_on_arrival(command: PlaceOrder) -> None:
    desk = calling()
    desk.accept(order(ALICE, SELL, 0, 5))
    assert desk.refuse(command) is Reject.MODE_FORBIDS
    desk.accept(order(BOB, BUY, 9, 1, flags=Flag.POST_ONLY))


def test_orders_of_the_call_need_margin_and_may_be_cancelled() -> None:
    desk = calling()
    (opened,) = desk.accept(order(BOB, BUY, 9, 10**5))
    desk.accept(Deposit(CALL, BOB, 0, 0, 1))
    assert type(opened) is OrderOpened
    desk.accept(CancelOrder(CALL, BOB, 0, opened.order))
    desk.accept(Withdraw(CALL, DAVE, 0, 0, RICH))
    assert desk.refuse(order(DAVE, BUY, 9, 1)) is Reject.MARGIN_TOO_LOW


def test_an_account_does_not_trade_with_itself() -> None:
    desk = calling()
    desk.accept(order(ALICE, SELL, 0, 5))
    assert desk.refuse(order(ALICE, BUY, 0, 5)) is Reject.WOULD_CROSS_OWN
    desk.accept(order(ALICE, BUY, -1, 5))
    desk.accept(order(ALICE, BUY, 0, 1, BTC_SPOT))  # in another book


def test_nobody_is_liquidated_before_the_market_is_open() -> None:
    desk = Desk(4, 0)
    desk.deposit(33 * UNIT, 10**12, 10**12)
    desk.trade(ALICE, BOB, P, 10)
    price(desk, HALT)
    price(desk, CALL)
    risk = account_risk(desk.ledger, ALICE)
    assert risk.equity < risk.maintenance
    assert desk.refuse(Liquidate(CALL, FUND, 0, ALICE)) is Reject.MODE_FORBIDS
    end(desk)
    desk.accept(Liquidate(OPEN, FUND, 0, ALICE))


def test_a_price_outside_the_band_prolongs_the_call() -> None:
    desk = calling()
    desk.accept(order(BOB, BUY, 0, 5))
    desk.accept(order(CAROL, SELL, -1_000, 5))
    price(desk, OPEN, -25_000)  # the mark has come back: what was offered then is out of its band now
    events = end(desk)
    assert events == (SignSeen(PERP, Trigger.REOPENING, 1),) and is_calling(desk.ledger, PERP)
    assert desk.refuse(Uncross(OPEN + 29_999, FUND, 0, PERP)) is Reject.NO_AUCTION_DUE
    price(desk, OPEN + 30_000, -100_000)
    assert next(type(event) for event in end(desk, time_ms=OPEN + 30_000)) is AuctionTraded


@pytest.mark.parametrize("sides", [(BUY,), (SELL,), (BUY, SELL)])
def test_without_orders_that_cross_it_simply_opens(sides: Sequence[int]) -> None:
    desk = calling()
    for side in sides:
        desk.accept(order(BOB, side, -9 * side, 5))
    assert end(desk) == (SignSeen(PERP, Trigger.REOPENING, 0), ModeSet(PERP, Mode.NORMAL))


def test_refusals() -> None:
    desk = calling()
    assert desk.refuse(Uncross(OPEN, ALICE, 0, PERP)) is Reject.ACCOUNT_RESERVED
    assert desk.refuse(Uncross(OPEN, FUND, 0, 3)) is Reject.MARKET_UNKNOWN
    assert desk.refuse(Uncross(OPEN - 1, FUND, 0, PERP)) is Reject.NO_AUCTION_DUE
    assert desk.refuse(Uncross(OPEN, FUND, 0, ETH_PERP)) is Reject.NO_AUCTION_DUE
    assert desk.refuse(Signal(OPEN, FUND, 0, PERP, Trigger.REOPENING, 1)) is Reject.TRIGGER_UNKNOWN


@pytest.mark.parametrize("trigger", [Trigger.AUDIT_MISMATCH, Trigger.VENUE_BREACH])
def test_a_new_halt_during_the_call_begins_a_new_call(trigger: Trigger) -> None:
    desk = calling()
    desk.accept(Signal(CALL, FUND, 0, VENUE_WIDE, trigger, 1))
    assert not is_calling(desk.ledger, PERP) and due_of_markets(desk.ledger, OPEN) == []
    assert desk.refuse(Uncross(OPEN, FUND, 0, PERP)) is Reject.MODE_FORBIDS
    desk.accept(Signal(OPEN, FUND, 0, VENUE_WIDE, trigger, 0))
    assert is_calling(desk.ledger, PERP) and is_calling(desk.ledger, ETH_PERP)
    assert desk.refuse(Uncross(OPEN, FUND, 0, PERP)) is Reject.NO_AUCTION_DUE
    end(desk, time_ms=OPEN + 30_000)


def test_a_halt_that_goes_on_calls_nobody() -> None:
    desk = Desk()
    price(desk, HALT)
    assert not any(type(event) is SignSeen for event in price(desk, HALT + MINUTE))


def test_a_delisting_that_is_taken_back_was_no_halt() -> None:
    desk = Desk()
    for seen, mode in ((1, Mode.SETTLEMENT), (0, Mode.NORMAL)):
        events = desk.accept(Signal(HALT, FUND, 0, PERP, Trigger.DELISTED, seen))
        assert events == (SignSeen(PERP, Trigger.DELISTED, seen), ModeSet(PERP, mode))


def test_a_market_without_a_call_opens_at_once() -> None:
    desk = Desk(auction_ms=0)
    price(desk, HALT)
    assert ModeSet(PERP, Mode.NORMAL) in price(desk, CALL)


def test_reduce_only_orders_reduce_and_no_more() -> None:
    desk = Desk(4)
    desk.trade(ALICE, BOB, P, 6)
    price(desk, HALT)
    price(desk, CALL)
    desk.accept(order(ALICE, SELL, -10, 4))
    desk.accept(order(ALICE, SELL, -20, 9, flags=Flag.REDUCE_ONLY))  # 6, of which 2 are left
    desk.accept(order(CAROL, BUY, 10, 50))
    events = end(desk)
    assert desk.ledger.size[PERP][ALICE] == 0 and desk.ledger.size[PERP][CAROL] == 6
    assert OrderClosed(3, ALICE, PERP, 4, Closed.REDUCE_ONLY) in events
    lonely = Desk(4)
    lonely.trade(ALICE, BOB, P, 6)
    price(lonely, HALT)
    price(lonely, CALL)
    lonely.accept(order(ALICE, SELL, -10, 6, flags=Flag.REDUCE_ONLY))
    lonely.accept(order(ALICE, SELL, 1_000, 6))  # leaves it nothing, but does not cross itself
    lonely.accept(order(CAROL, BUY, 10, 50))
    end(lonely)
    assert lonely.ledger.size[PERP][ALICE] == 0


@pytest.mark.parametrize(("orders", "left"), [
    ([(-20, 6, 0), (-10, 10, Flag.REDUCE_ONLY)], 0),
    ([(-20, 16, 0), (-10, 10, Flag.REDUCE_ONLY)], -6),
    ([(-10, 4, Flag.REDUCE_ONLY)], 6),
    ([(-20, 3, Flag.REDUCE_ONLY), (-10, 10, Flag.REDUCE_ONLY)], 0),
])  # fmt: skip
def test_reduce_only_orders_share_what_the_others_leave_of_a_position(
    orders: list[tuple[int, int, int]], left: int
) -> None:
    desk = Desk(4)
    desk.trade(ALICE, BOB, P, 10)
    price(desk, HALT)
    price(desk, CALL)
    for away, lots, flags in orders:
        desk.accept(order(ALICE, SELL, away, lots, flags=flags))
    desk.accept(order(CAROL, BUY, 10, 50))
    end(desk)
    assert desk.ledger.size[PERP][ALICE] == left


def with_nothing_to_reduce(away: int) -> Desk:
    """Alice, who has gone long since, has a reduce-only bid in the call."""
    desk = Desk(4)
    desk.trade(BOB, ALICE, P, 5)
    desk.accept(desk.order(ALICE, BUY, MARK + away, 5, flags=Flag.REDUCE_ONLY))
    desk.trade(ALICE, BOB, P, 10)
    price(desk, HALT)
    price(desk, CALL)
    return desk


@pytest.mark.parametrize(("away", "leaves"), [(19, False), (20, True)])
def test_a_reduce_only_order_with_nothing_to_reduce_leaves_if_it_could_still_trade(away: int, leaves: bool) -> None:
    desk = with_nothing_to_reduce(away)
    for offered in (-20, 20):
        desk.accept(order(CAROL, SELL, offered, 5))
    desk.accept(order(DAVE, BUY, 20, 10))
    events = end(desk)
    assert {event.price for event in events if type(event) is AuctionTraded} == {MARK + 20}
    assert (OrderClosed(2, ALICE, PERP, 5, Closed.REDUCE_ONLY) in events) == leaves == (2 not in desk.ledger.orders)


def test_a_reduce_only_order_with_nothing_to_reduce_sets_no_price() -> None:
    desk = with_nothing_to_reduce(0)
    desk.accept(order(CAROL, SELL, -20, 5))
    desk.accept(order(DAVE, BUY, 20, 5))
    (traded, closed, *_) = end(desk)
    assert isinstance(traded, AuctionTraded) and traded.price == MARK - 20 and traded.buyer == DAVE
    assert closed == OrderClosed(2, ALICE, PERP, 5, Closed.REDUCE_ONLY) and desk.ledger.size[PERP][ALICE] == 5


def test_spot_orders_settle_from_their_locks() -> None:
    desk = calling()
    desk.accept(order(CAROL, BUY, 1_000, 7, BTC_SPOT))
    desk.accept(order(BOB, BUY, 900, 3, BTC_SPOT))
    desk.accept(order(ALICE, SELL, -500, 8, BTC_SPOT))
    events = end(desk, BTC_SPOT)
    trades = [event for event in events if type(event) is AuctionTraded]
    assert sum(trade.lots for trade in trades) == 8
    price_paid = trades[0].price
    fees = sum(trade.buyer_fee + trade.seller_fee for trade in trades)
    assert desk.ledger.balance[QUOTE][FEES] == fees > 0
    notional = 8 * price_paid * 100
    assert abs(fees - 2 * notional * 100 // 10**6) <= 2 * len(trades)
    assert desk.ledger.balance[1][ALICE] == 10**8 - 8 * 10**5 and not desk.ledger.locked[1][ALICE]


def test_a_seller_pays_the_fee_of_the_price_that_trades() -> None:
    desk = calling()
    desk.accept(order(ALICE, SELL, -500, 8, BTC_SPOT))
    desk.accept(order(CAROL, BUY, 0, 8, BTC_SPOT))
    traded = end(desk, BTC_SPOT)[0]
    assert isinstance(traded, AuctionTraded) and traded.price == MARK
    assert traded.seller_fee == 8 * MARK * 100 * 100 // 10**6


@pytest.mark.parametrize("seed", range(6))
def test_who_came_first_does_not_matter(seed: int) -> None:
    """Every account gets the same, in whatever order the orders came; buyers and sellers trade the same number."""
    chance = random.Random(seed)
    book = [
        order(2 + user, chance.choice((BUY, SELL)), chance.randrange(-30, 31), chance.randrange(1, 20))
        for user in range(12)
    ]
    outcomes = set()
    for _ in range(4):
        desk = calling(12)
        chance.shuffle(book)
        for command in book:
            desk.accept(command)
        bids, asks = desk.ledger.books[PERP].bids, desk.ledger.books[PERP].asks
        best = max(
            min(sum(one.rest for one in bids if one.price >= at), sum(one.rest for one in asks if one.price <= at))
            for at in range(MARK - 31, MARK + 32)
        )
        trades = [event for event in end(desk) if type(event) is AuctionTraded]
        assert sum(trade.lots for trade in trades) == best
        assert len({trade.price for trade in trades}) <= 1
        outcomes.add((tuple(desk.ledger.size[PERP]), tuple(desk.ledger.balance[QUOTE])))
    assert len(outcomes) == 1


def test_a_checkpoint_in_the_call_and_the_driver_that_ends_it() -> None:
    desk = calling()
    desk.accept(order(BOB, BUY, 5, 5))
    desk.accept(order(CAROL, SELL, -5, 5))
    copy = ledger_from_bytes(desk.ledger.venue, state_bytes(desk.ledger))
    assert state_bytes(copy) == state_bytes(desk.ledger) and is_calling(copy, PERP)
    assert due_of_markets(copy, OPEN - 1) == []
    assert due_of_markets(copy, OPEN) == [Uncross(OPEN, FUND, 0, PERP), Uncross(OPEN, FUND, 0, BTC_SPOT)]
    desk.time = itertools.count(OPEN)
    set_prices(desk.engine, btc_at(OPEN, -110_000))
    assert desk.ledger.size[PERP][BOB] == 5 and not is_calling(desk.ledger, BTC_SPOT)


def test_a_buyer_pays_no_more_than_is_locked_for_the_order() -> None:
    """Two fills round their fees up apart; the lock is that of the whole order, and all that this buyer has."""
    desk = calling()
    market = desk.ledger.venue.markets[BTC_SPOT]
    locked = spot_lock(market, BUY, MARK + 1, 2, 2)[1]
    desk.engine.submit([Withdraw(CALL, DAVE, 0, 0, RICH - locked)])
    desk.accept(order(DAVE, BUY, 1, 2, BTC_SPOT))
    for _ in range(2):
        desk.accept(order(ALICE, SELL, 1, 1, BTC_SPOT))
    assert len([event for event in end(desk, BTC_SPOT) if type(event) is AuctionTraded]) == 2
    assert desk.ledger.balance[QUOTE][DAVE] == 0 == desk.ledger.locked[QUOTE][DAVE]
