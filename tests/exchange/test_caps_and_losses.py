"""Caps on what one price's liquidations may do, and the last step of the waterfall: a loss that is shared."""

from __future__ import annotations

from dataclasses import replace

from exchange.codes import Reject
from exchange.commands import Deposit, Liquidate, OpenAccount
from exchange.engine import Done, Engine, Sink
from exchange.events import Deleveraged, FundReason, FundSettled, LiquidationCounted, LossShared, ModeSet, Traded
from exchange.liquidator import due
from exchange.risk import account_risk
from exchange.rules.modes import Mode
from exchange.state import FUND, QUOTE, UNKNOWN, VENUE_WIDE
from exchange.statehash import ledger_from_bytes, state_bytes
from exchange.venue import HaircutTier, Venue
from tests.exchange.venues import (
    ALICE,
    BOB,
    BTC_SPOT,
    BUY,
    CAROL,
    MARKS,
    PERP,
    RICH,
    SELL,
    UNIT,
    Desk,
    btc_at,
    marked,
    venue,
)

P = MARKS[PERP]
DAVE = 5


def capped(*, notional: int = 0, fund: int = 0, account: int = 0, **changes: int) -> Desk:
    """Alice and Dave are long 10 lots each with 33 USDT, Bob is short; Carol is rich; the caps are in USDT."""
    first, *others = venue().markets
    first = replace(first, liquidation_notional_max=notional * UNIT, fund_loss_max=fund * UNIT)
    definition = replace(venue(account_liquidation_max=account * UNIT, **changes), markets=(first, *others)).check()
    desk = Desk(4, 0, definition=definition)
    desk.deposit(33 * UNIT, RICH, RICH, 33 * UNIT)
    for user in (ALICE, DAVE):
        desk.trade(user, BOB, P, 10)
    return desk


def price(desk: Desk, ppm: int) -> int:
    desk.accept(btc_at(next(desk.time), ppm))
    return desk.ledger.marks[PERP]


def liquidate(desk: Desk, account: int = ALICE) -> Liquidate:
    return Liquidate(next(desk.time), FUND, 0, account)


def test_a_market_closes_no_more_than_its_cap_between_two_prices() -> None:
    desk = capped(notional=700)
    mark = price(desk, -34_000)
    desk.accept(desk.order(CAROL, BUY, mark, 60))
    events = desk.accept(liquidate(desk))
    closed = 10 * mark * 100
    assert type(events[0]) is Traded and events[-1] == LiquidationCounted(PERP, ALICE, closed, 0)
    assert desk.ledger.risk.closed_of == {ALICE: closed} and desk.ledger.risk.closed[PERP] == closed
    events = desk.accept(liquidate(desk, DAVE))
    assert type(events[0]) is Traded and events[0].lots == 2  # 120 of 579.6 fit
    assert desk.refuse(liquidate(desk, DAVE)) is Reject.BLOCK_CAP_REACHED
    assert desk.ledger.size[PERP][DAVE] == 8
    copy = ledger_from_bytes(desk.ledger.venue, state_bytes(desk.ledger))
    assert copy.risk.closed == desk.ledger.risk.closed != [0, 0, 0] and copy.risk.closed_of.keys() == {ALICE, DAVE}
    price(desk, -34_000)
    assert desk.ledger.risk.closed == [0, 0, 0] and not desk.ledger.risk.closed_of
    desk.accept(liquidate(desk, DAVE))
    assert account_risk(desk.ledger, DAVE).maintenance == 0


def test_an_account_closes_no_more_than_its_cap_between_two_prices() -> None:
    desk = capped(account=200)
    mark = price(desk, -34_000)
    desk.accept(desk.order(CAROL, BUY, mark, 60))
    for user in (ALICE, DAVE):
        desk.accept(liquidate(desk, user))
        assert desk.ledger.size[PERP][user] == 7
    assert desk.refuse(liquidate(desk)) is Reject.BLOCK_CAP_REACHED


def test_what_is_over_the_cap_may_still_be_deleveraged() -> None:
    """Auto-deleveraging does not press the book: an account that sinks is not kept waiting."""
    desk = capped(notional=1)
    price(desk, -60_000)
    events = desk.accept(liquidate(desk))
    assert any(type(event) is Deleveraged for event in events) and not desk.ledger.size[PERP][ALICE]


def test_the_fund_pays_no_more_than_its_cap_between_two_prices() -> None:
    desk = capped(fund=5)
    desk.accept(Deposit(next(desk.time), FUND, 0, 0, 100 * UNIT))
    mark = price(desk, -60_000)  # each 3 USDT below nothing
    desk.accept(desk.order(CAROL, BUY, mark, 50))
    loss = 3 * UNIT - 30_000
    events = desk.accept(liquidate(desk))
    assert events[-1] == LiquidationCounted(PERP, ALICE, 10 * mark * 100, loss)
    events = desk.accept(liquidate(desk, DAVE))  # 2.03 are left: not enough for the book, all of it before the winner
    assert events[0] == FundSettled(DAVE, -(5 * UNIT - loss), FundReason.LOSS)
    assert type(events[1]) is Deleveraged and events[1].counterparty == BOB
    assert desk.ledger.balance[QUOTE][FUND] == 95 * UNIT and desk.ledger.risk.lost[PERP] == 5 * UNIT
    assert desk.equity(DAVE) == 0


def test_book_and_rest_of_one_step_share_the_funds_cap() -> None:
    desk = capped(fund=2)
    desk.accept(Deposit(next(desk.time), FUND, 0, 0, 100 * UNIT))
    mark = price(desk, -60_000)
    desk.accept(desk.order(CAROL, BUY, mark, 5))  # half of the 3 USDT below nothing are lost here
    events = desk.accept(liquidate(desk))
    assert [type(event) for event in events[:4]] == [Traded, FundSettled, FundSettled, Deleveraged]
    assert desk.ledger.balance[QUOTE][FUND] == 98 * UNIT and desk.ledger.risk.lost[PERP] == 2 * UNIT


def test_what_the_fund_earns_in_a_step_does_not_raise_its_cap() -> None:
    desk = capped(fund=1)
    desk.accept(Deposit(next(desk.time), FUND, 0, 0, 100 * UNIT))
    mark = price(desk, -60_000)
    desk.accept(desk.order(CAROL, BUY, mark + 3_500, 5))  # above bankruptcy, at 566,970
    _, earned, covered, *_ = desk.accept(liquidate(desk))
    assert earned == FundSettled(ALICE, 5 * 530 * 100, FundReason.FEE)
    assert covered == FundSettled(ALICE, -UNIT, FundReason.LOSS) and desk.ledger.risk.lost[PERP] == UNIT


def test_what_margin_tiers_make_of_a_part_is_within_the_funds_cap_as_well() -> None:
    """Half of it, sold at the bankruptcy price of the whole, costs the fund: the higher tier goes first."""
    desk = capped(fund=1, clip_notional=10**13)
    desk.accept(Deposit(next(desk.time), FUND, 0, 0, 10**12))
    desk.accept(OpenAccount(next(desk.time), 0, 0, "large"))
    desk.accept(Deposit(next(desk.time), DAVE + 1, 0, 0, 260_000 * UNIT))
    desk.trade(DAVE + 1, BOB, P, 50_000)  # 3 M USDT
    mark = price(desk, -97_000)  # 31,000 below nothing, less than 1 USDT per lot
    bankrupt = mark - desk.equity(DAVE + 1) // (50_000 * 100)
    desk.accept(desk.order(CAROL, BUY, bankrupt, 25_000))
    events = desk.accept(liquidate(desk, DAVE + 1))
    assert not any(type(event) is Traded for event in events)
    assert desk.ledger.risk.lost[PERP] == UNIT and desk.ledger.balance[QUOTE][FUND] == 10**12 - UNIT


def owing(definition: Venue | None = None) -> Desk:
    """Bob (short) and Carol are in profit, Dave is flat; Alice owes 20 USDT, holds nothing, and the fund has 6."""
    desk = Desk(4, 0, definition=definition)
    desk.deposit(UNIT, 1_000 * UNIT, 1_000 * UNIT, RICH)
    desk.trade(DAVE, BOB, P, 30)
    desk.trade(DAVE, CAROL, P, 10)
    price(desk, -10_000)  # Bob +18, Carol +6, Dave -24
    desk.accept(Deposit(next(desk.time), FUND, 0, 0, 6 * UNIT))
    ledger = desk.ledger
    ledger.balance[QUOTE][ALICE] -= 21 * UNIT  # what went wrong before, as if it had been paid to Dave
    ledger.balance[QUOTE][DAVE] += 21 * UNIT
    ledger.spare[ALICE] = UNKNOWN
    return desk


def test_a_loss_that_nobody_covers_is_shared_by_those_in_profit() -> None:
    desk = owing()
    before = [desk.equity(account) for account in range(6)]
    events = desk.accept(liquidate(desk))
    assert events[0] == FundSettled(ALICE, -6 * UNIT, FundReason.LOSS)
    # 14 USDT in proportion 18 : 6, less what the trades cost.
    shares = [event for event in events if type(event) is LossShared]
    assert [share.payer for share in shares] == [BOB, CAROL] and sum(share.amount for share in shares) == 14 * UNIT
    assert abs(shares[0].amount - 3 * shares[1].amount) <= 3
    assert ModeSet(VENUE_WIDE, Mode.REDUCE_ONLY) in events
    after = [desk.equity(account) for account in range(6)]
    assert after[ALICE] == 0 == after[FUND] and after[DAVE] == before[DAVE]  # who is at a loss pays nothing
    assert sum(after) == sum(before) and due(desk.ledger) == []


def test_nobody_gives_more_than_profit_and_nobody_is_brought_below_maintenance() -> None:
    desk = owing()
    ledger = desk.ledger
    ledger.balance[QUOTE][ALICE] -= 900 * UNIT
    ledger.balance[QUOTE][DAVE] += 900 * UNIT
    events = desk.accept(liquidate(desk))
    paid = {event.payer: event.amount for event in events if type(event) is LossShared}
    assert paid == {BOB: 18 * UNIT, CAROL: 6 * UNIT}
    assert desk.equity(ALICE) == -(920 - 6 - 24) * UNIT  # the rest stays, and is seen
    assert account_risk(ledger, ALICE).equity < 0 and BOB not in due(ledger)


def test_a_payer_near_the_margin_gives_only_what_is_above_it() -> None:
    desk = owing()
    ledger = desk.ledger
    risk = account_risk(ledger, BOB)
    excess = risk.equity - risk.maintenance
    ledger.balance[QUOTE][BOB] -= excess - 2 * UNIT
    ledger.balance[QUOTE][DAVE] += excess - 2 * UNIT
    events = desk.accept(liquidate(desk))
    paid = {event.payer: event.amount for event in events if type(event) is LossShared}
    assert paid[BOB] == 2 * UNIT and paid[CAROL] == 6 * UNIT
    assert account_risk(ledger, BOB).equity == account_risk(ledger, BOB).maintenance and BOB not in due(ledger)


def test_a_last_atom_is_given_by_one() -> None:
    desk = owing()
    desk.accept(Deposit(next(desk.time), FUND, 0, 0, 14 * UNIT - 1))
    shares = [event for event in desk.accept(liquidate(desk)) if type(event) is LossShared]
    assert [share.amount for share in shares] == [1]


def with_collateral(desk: Desk, owed: int = 80 * UNIT) -> Desk:
    """Alice owes more and holds a lot of BTC, 59.4 USDT, of which 56.43 count."""
    desk.accept(Deposit(next(desk.time), ALICE, 0, 1, 10**5))
    desk.ledger.balance[QUOTE][ALICE] -= owed - 20 * UNIT
    desk.ledger.balance[QUOTE][DAVE] += owed - 20 * UNIT
    return desk


def test_collateral_that_the_book_has_not_taken_keeps_fund_and_winners_waiting() -> None:
    desk = with_collateral(owing())
    assert desk.refuse(liquidate(desk)) is Reject.NOTHING_TO_LIQUIDATE
    desk.accept(desk.order(DAVE, BUY, desk.ledger.marks[BTC_SPOT], 1, BTC_SPOT))
    events = desk.accept(liquidate(desk))
    assert [type(event) for event in events[:3]] == [Traded, FundSettled, LossShared] and desk.equity(ALICE) == 0


def test_no_more_collateral_is_sold_than_the_debt_asks_for() -> None:
    perpetual, _, spot = venue().markets
    btc = replace(spot, tick_lot_atoms=2_000)  # at MARKS[1]
    eth = replace(spot, symbol="ETH-USDT", asset=2, tick_lot_atoms=5)
    desk = with_collateral(owing(replace(venue(), markets=(perpetual, btc, eth)).check()), owed=59_500_000)
    desk.accept(Deposit(next(desk.time), ALICE, 0, 2, 10**5))  # 3 USDT, counted with 2.7
    for number in (1, 2):
        desk.accept(desk.order(DAVE, BUY, desk.ledger.bands[number][1], 1, number))
    (sold,) = desk.accept(liquidate(desk))  # for 63 USDT: the fund keeps out of it
    assert type(sold) is Traded and (sold.market, sold.lots) == (1, 1)
    assert desk.ledger.balance[QUOTE][ALICE] == 3_500_000 and desk.ledger.balance[2][ALICE] == 10**5


def test_no_more_collateral_is_sold_than_there_is() -> None:
    desk = with_collateral(owing())
    desk.accept(desk.order(DAVE, BUY, desk.ledger.marks[BTC_SPOT], 5, BTC_SPOT))
    sold = desk.accept(liquidate(desk))[0]  # two lots would pay for it all
    assert type(sold) is Traded and sold.lots == 1 and desk.ledger.balance[1][ALICE] == 0


def test_a_cap_that_is_just_enough_lets_all_of_it_through() -> None:
    desk = capped(account=580)
    desk.accept(marked(next(desk.time), 580_000))
    desk.accept(desk.order(CAROL, BUY, 580_000, 60))
    sold = desk.accept(liquidate(desk))[0]
    assert type(sold) is Traded and sold.lots == 10


def test_what_is_sold_for_a_debt_is_held_and_no_perpetual() -> None:
    desk = owing()
    desk.accept(desk.order(DAVE, BUY, desk.ledger.marks[PERP], 5))
    assert not any(type(event) is Traded for event in desk.accept(liquidate(desk)))


def test_for_an_atom_of_debt_a_lot_is_sold() -> None:
    """Of an asset that counts for nothing as collateral."""
    quote, btc, eth = venue().assets
    desk = Desk(2, 0, definition=replace(venue(), assets=(quote, replace(btc, haircut=()), eth)).check())
    desk.deposit(1, RICH)
    desk.accept(Deposit(next(desk.time), ALICE, 0, 1, 10**5))
    desk.ledger.balance[QUOTE][ALICE] -= 2
    desk.ledger.balance[QUOTE][BOB] += 2
    desk.accept(desk.order(BOB, BUY, MARKS[BTC_SPOT], 1, BTC_SPOT))
    assert type(desk.accept(liquidate(desk))[0]) is Traded


def test_only_the_lots_that_pay_the_debt_are_sold() -> None:
    """A hundred lots count with 90 %, 5346 USDT; at the least that the book may pay, 95 lots bring 5360."""
    quote, btc, eth = venue().assets
    definition = replace(venue(), assets=(quote, replace(btc, haircut=(HaircutTier(None, 900_000),)), eth)).check()
    desk = with_collateral(owing(definition), owed=5_355 * UNIT)
    desk.accept(Deposit(next(desk.time), ALICE, 0, 1, 99 * 10**5))
    assert due(desk.ledger) == [ALICE]
    desk.accept(desk.order(DAVE, BUY, desk.ledger.marks[BTC_SPOT], 100, BTC_SPOT))
    sold = desk.accept(liquidate(desk))[0]
    low = desk.ledger.bands[BTC_SPOT][0] * 100
    assert type(sold) is Traded and sold.lots == -(-5_355 * UNIT // low) < 100


def test_a_single_atom_above_the_margin_is_given() -> None:
    desk = owing()
    risk = account_risk(desk.ledger, BOB)
    excess = risk.equity - risk.maintenance - 1
    desk.ledger.balance[QUOTE][BOB] -= excess
    desk.ledger.balance[QUOTE][DAVE] += excess
    assert LossShared(ALICE, BOB, 1) in desk.accept(liquidate(desk))


def test_collateral_that_cannot_be_sold_is_kept_and_nobody_shares_what_it_is_worth() -> None:
    desk = with_collateral(owing())
    desk.accept(desk.order(DAVE, BUY, desk.ledger.marks[BTC_SPOT], 1, BTC_SPOT))
    desk.ledger.set_mode(BTC_SPOT, Mode.CANCEL_ONLY)
    lost = -account_risk(desk.ledger, ALICE).equity
    events = desk.accept(liquidate(desk))
    assert events[0] == FundSettled(ALICE, -6 * UNIT, FundReason.LOSS) and desk.ledger.balance[1][ALICE] == 10**5
    assert sum(event.amount for event in events if type(event) is LossShared) == lost - 6 * UNIT > 0


def test_an_answer_is_the_same_after_replay() -> None:
    desk = owing()
    copy = Engine(ledger_from_bytes(desk.ledger.venue, state_bytes(desk.ledger)), Sink())
    command = liquidate(desk)
    (first,), (second,) = desk.engine.submit([command]), copy.submit([command])
    assert isinstance(first, Done) and first == second and state_bytes(copy.ledger) == state_bytes(desk.ledger)


def test_a_fund_that_can_pay_spares_everybody() -> None:
    desk = owing()
    desk.accept(Deposit(next(desk.time), FUND, 0, 0, 100 * UNIT))
    events = desk.accept(liquidate(desk))
    assert events == (FundSettled(ALICE, -20 * UNIT, FundReason.LOSS),)
    desk.refuse(desk.order(ALICE, SELL, P, 1))
