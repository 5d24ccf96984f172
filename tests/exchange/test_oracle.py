"""Prices from quotes inside the ledger: who can move them, what a doubtful one still allows, and what is remembered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.codes import Reject
from exchange.commands import (
    CancelOrder,
    Deposit,
    Flag,
    FundTransfer,
    Liquidate,
    PayFunding,
    Quoted,
    SetPrices,
    SubmitQuotes,
    Withdraw,
)
from exchange.engine import Answer, Done, Engine, Sink
from exchange.events import Deleveraged, ModeSet, PricesSet, QuotesTaken, pack_event, unpack_frames
from exchange.liquidator import due
from exchange.oracle import doubt, price_refusal
from exchange.risk import account_risk
from exchange.rules.modes import Mode
from exchange.rules.oracle import VALIDITY, Quality, Use
from exchange.state import FUND, QUOTE, Ledger
from exchange.statehash import ledger_from_bytes, state_bytes
from exchange.venue import venue_from_json
from tests.exchange.oracles import BTC, ETH, WEIGHTS, OracleDesk, mark_of, oracle_venue, quotes
from tests.exchange.venues import ALICE, BOB, BUY, CAROL, MARKS, PERP, PRICES, SELL, UNIT, Desk, venue

MINUTE = 60_000
P, INDEX = MARKS[PERP], PRICES[BTC]
WILD = st.sampled_from([0, 1, INDEX // 2, INDEX * 3, (1 << 62) - 1]) | st.integers(0, (1 << 62) - 1)


def test_the_price_is_the_weighted_median_and_all_of_it_is_journalled() -> None:
    desk = OracleDesk()
    command = desk.command([INDEX + 5, INDEX, INDEX - 4, INDEX + 9, INDEX - 9])
    prices, taken = desk.accept(command)
    # Weights 1, 2, 2 reach half of 9 at the third price from below.
    assert prices == PricesSet((UNIT, INDEX, PRICES[ETH]), MARKS)
    assert taken == QuotesTaken(command.quotes, (0, 0, 0), (0, 0, 0), (0, 0, 0), b"documents")
    frame = b"\x01\x00\x00\x00" + bytes(24) + pack_event(taken)
    assert next(unpack_frames(frame)).events == (taken,)
    for cut in (1, 9, 40):
        with pytest.raises(Exception, match="unreadable frame"):
            list(unpack_frames(frame[:-cut]))


@given(
    honest=st.lists(st.integers(INDEX * 99 // 100, INDEX * 101 // 100), min_size=3, max_size=3),
    lies=st.lists(WILD, min_size=2, max_size=2),
    age=st.integers(0, MINUTE),
)
@settings(max_examples=60, deadline=None)
def test_liars_below_half_the_weight_stay_within_the_honest_range(honest: list[int], lies: list[int], age: int) -> None:
    """Sources 0 and 3 lie: weight 4 of 9; and they may be as fresh as they like."""
    desk = OracleDesk(0)
    row = [lies[0], honest[0], honest[1], lies[1], honest[2]]
    desk.submit(row, ages_ms={1: age, 2: age, 4: age})
    if desk.ledger.oracle.qualities[BTC] >= Quality.STALE:  # liars may keep silent: then the price stays
        assert desk.btc == INDEX and 0 in lies
        return
    assert min(honest) <= desk.btc <= max(honest)
    assert mark_of(min(honest)) - 1 <= desk.ledger.marks[PERP] <= mark_of(max(honest)) + 1


@given(
    first=st.lists(WILD, min_size=5, max_size=5),
    liars=st.sets(st.integers(0, 4)).filter(lambda found: 2 * sum(WEIGHTS[n] for n in found) < 6),
    silent=st.sets(st.integers(0, 4)),
)
@settings(max_examples=80, deadline=None)
def test_below_half_of_the_quorum_not_even_with_others_silent(
    first: list[int], liars: set[int], silent: set[int]
) -> None:
    """Whatever is silent: the price is within the honest range, or it stays and says that it is stale."""
    desk = OracleDesk(0)
    row = [lie if n in liars else INDEX + n * 1_000_000 for n, lie in enumerate(first)]
    desk.submit(row, ages_ms={n: 10 * MINUTE for n in silent - liars})
    speaking = [price for n, price in enumerate(row) if n not in liars and n not in silent]
    stale = desk.ledger.oracle.qualities[BTC] >= Quality.STALE
    assert desk.btc == INDEX if stale else min(speaking) <= desk.btc <= max(speaking)


def leveraged(**changes: Any) -> OracleDesk:
    """Alice is long 10 lots (600 USDT) on 33 USDT, Bob short; Carol bids at every price."""
    desk = OracleDesk(3, 0, **changes)
    desk.deposit(33 * UNIT, 10**12, 10**12)
    desk.trade(ALICE, BOB, P, 10)
    desk.accept(desk.order(CAROL, BUY, P - P * 49 // 1000, 50))
    return desk


def liquidation(desk: OracleDesk, target: int = ALICE) -> Answer:
    return desk.ask(Liquidate(next(desk.time), FUND, 0, target))


FALL = INDEX - INDEX * 34 // 1000


def test_an_honest_fall_liquidates() -> None:
    desk = leveraged()
    desk.submit(FALL)
    assert due(desk.ledger) == [ALICE]
    assert isinstance(liquidation(desk), Done)


STALE: list[tuple[list[int], dict[int, int], Reject]] = [
    ([FALL] * 5, {n: MINUTE + 1 for n in range(5)}, Reject.NOT_LIQUIDATABLE),  # all late: the old price stays
    ([FALL, INDEX, INDEX, FALL, INDEX], {1: MINUTE + 1, 2: MINUTE + 1}, Reject.NOT_LIQUIDATABLE),  # no quorum
    ([0, 0, 0, 0, 0], {}, Reject.NOT_LIQUIDATABLE),
    ([0, INDEX, INDEX, 0, INDEX], {}, Reject.NOT_LIQUIDATABLE),
    ([FALL] * 5, {}, Reject.PRICE_UNRELIABLE),  # all in one step: jumped
    ([FALL, FALL, INDEX, INDEX, INDEX], {}, Reject.PRICE_STALE),
]


@pytest.mark.parametrize(("row", "ages", "reason"), STALE)
def test_stale_zero_or_wild_sources_liquidate_nobody(row: list[int], ages: dict[int, int], reason: Reject) -> None:
    desk = leveraged(step_ppm=30_000 if reason is Reject.PRICE_UNRELIABLE else 100_000)
    if reason is Reject.PRICE_STALE:
        desk.submit(FALL)
        desk.wait(MINUTE + 1)  # and then nothing more
    else:
        desk.submit(row, ages_ms=ages)
    assert liquidation(desk) is reason
    assert desk.ledger.size[PERP][ALICE] == 10


def test_who_has_just_enough_margin_is_healthy_whatever_the_price_is_worth() -> None:
    desk = leveraged(step_ppm=30_000)
    desk.submit([FALL] * 5)
    risk = account_risk(desk.ledger, ALICE)
    desk.ledger.balance[QUOTE][ALICE] += risk.maintenance - risk.equity
    desk.ledger.balance[QUOTE][BOB] -= risk.maintenance - risk.equity
    assert liquidation(desk) is Reject.NOT_LIQUIDATABLE
    desk.ledger.balance[QUOTE][ALICE] -= 1
    desk.ledger.balance[QUOTE][BOB] += 1
    assert liquidation(desk) is Reject.PRICE_UNRELIABLE


def test_the_price_before_the_silence_does_not_liquidate_either() -> None:
    desk = leveraged()
    desk.submit(FALL)
    desk.submit(FALL, ages_ms={n: 2 * MINUTE for n in range(5)})
    assert desk.btc == FALL and due(desk.ledger) == [ALICE]
    assert desk.ledger.oracle.times_ms[BTC] < desk.ledger.oracle.time_ms
    assert liquidation(desk) is Reject.PRICE_STALE
    desk.submit(FALL)
    assert isinstance(liquidation(desk), Done)


def doubtful(quality: Quality) -> OracleDesk:
    """A desk on which the price of BTC has a quality, near the old price, and every use can be tried."""
    desk = OracleDesk(3, 10**9, average_ms=36_000_000, deviation_ppm=200_000, confidence_ppm=1_000, step_ppm=30_000)
    desk.trade(ALICE, BOB, P, 10)
    if quality is Quality.VALID:
        desk.submit(INDEX)
    elif quality is Quality.UNCERTAIN:
        desk.submit(INDEX, confidence=INDEX // 500)
    elif quality is Quality.JUMPED:
        desk.submit(INDEX * 104 // 100)
    elif quality is Quality.DIVERGENT:
        for step in range(1, 9):
            desk.wait(100_000)
            desk.submit(INDEX + INDEX * step * 28 // 1000)
    elif quality is Quality.STALE:
        desk.submit(INDEX, ages_ms={0: 2 * MINUTE, 1: 2 * MINUTE})
    else:
        desk.submit([0] * 5)
    assert desk.ledger.oracle.qualities[BTC] == quality
    return desk


@pytest.mark.parametrize("quality", list(Quality))
def test_the_validity_matrix(quality: Quality) -> None:
    desk = doubtful(quality)
    mark = desk.ledger.marks[PERP]
    can = dict(zip(Use, VALIDITY[quality], strict=True))
    assert (desk.btc != INDEX) == (quality in (Quality.JUMPED, Quality.DIVERGENT))
    tried = {
        Use.REDUCE: desk.ask(desk.order(BOB, BUY, mark - 9, 1)),
        Use.INCREASE: desk.ask(desk.order(CAROL, BUY, mark - 9, 1)),
        Use.WITHDRAW: desk.ask(Withdraw(next(desk.time), BOB, 0, QUOTE, UNIT)),
        Use.FUNDING: desk.ask(PayFunding(next(desk.time), FUND, 0, PERP, 100)),
    }
    for use, answer in tried.items():
        # Reducing stays possible with no price at all: at the one before.
        assert isinstance(answer, Done) == (can[use] or use is Use.REDUCE), use
    assert isinstance(desk.ask(FundTransfer(next(desk.time), BOB, 0, UNIT)), Done) == can[Use.WITHDRAW]
    desk.accept(Deposit(next(desk.time), CAROL, 0, BTC, 10**5))
    desk.accept(Withdraw(next(desk.time), CAROL, 0, QUOTE, UNIT))  # who has nothing at stake needs no price


def test_the_other_market_trades_on() -> None:
    desk = doubtful(Quality.JUMPED)
    desk.trade(CAROL, BOB, desk.ledger.marks[1], 1, 1)
    desk.accept(Withdraw(next(desk.time), CAROL, 0, QUOTE, 1))
    assert desk.refuse(desk.order(CAROL, BUY, desk.ledger.marks[0] - 9, 1)) is Reject.MODE_FORBIDS


def test_a_doubtful_price_says_so_by_its_mode_and_a_good_one_ends_it() -> None:
    desk = OracleDesk()
    events = desk.accept(desk.command(INDEX, confidence=INDEX // 10))
    assert ModeSet(PERP, Mode.REDUCE_ONLY) in events
    desk.wait(MINUTE)
    assert ModeSet(PERP, Mode.NORMAL) in desk.accept(desk.command(INDEX))


def test_uncertain_prices_liquidate_but_deleverage_nobody() -> None:
    desk = leveraged(confidence_ppm=1_000)
    desk.accept(CancelOrder(next(desk.time), CAROL, 0, 2))
    low = INDEX - INDEX * 6 // 100
    desk.submit(low, confidence=INDEX // 500)
    # Nobody bids and the fund is empty: what is left is to take the winners' positions, and for that they wait.
    assert liquidation(desk) is Reject.NOTHING_TO_LIQUIDATE
    desk.accept(desk.order(BOB, BUY, mark_of(low), 1, flags=Flag.REDUCE_ONLY))
    desk.submit(low)
    answer = liquidation(desk)
    assert isinstance(answer, Done) and any(type(event) is Deleveraged for event in answer.events)


def test_a_price_that_nobody_renews_goes_stale_by_itself() -> None:
    desk = doubtful(Quality.VALID)
    last = desk.ledger.time_ms
    assert price_refusal(desk.ledger, PERP, Use.WITHDRAW, last + MINUTE) is None
    desk.wait(MINUTE + 1)
    assert desk.refuse(Withdraw(next(desk.time), BOB, 0, QUOTE, UNIT)) is Reject.PRICE_STALE
    assert desk.refuse(PayFunding(next(desk.time), FUND, 0, PERP, 100)) is Reject.PRICE_STALE
    desk.submit(INDEX)
    desk.accept(PayFunding(next(desk.time), FUND, 0, PERP, 100))


@pytest.mark.parametrize("side", [BUY, SELL])
def test_an_open_order_is_at_stake_as_well(side: int) -> None:
    desk = OracleDesk()
    desk.accept(desk.order(CAROL, side, P, 1))
    desk.submit(confidence=INDEX // 10)
    assert desk.refuse(Withdraw(next(desk.time), CAROL, 0, QUOTE, 1)) is Reject.PRICE_UNRELIABLE


def test_each_position_of_an_account_is_at_stake() -> None:
    desk = OracleDesk()
    desk.trade(ALICE, BOB, P, 1)
    desk.trade(ALICE, BOB, MARKS[1], 1, 1)
    desk.submit(eth=[0] * 5)
    assert desk.refuse(Withdraw(next(desk.time), ALICE, 0, QUOTE, 1)) is Reject.PRICE_STALE


def test_what_an_account_neither_holds_nor_owes_keeps_nothing_in() -> None:
    desk = OracleDesk(2, UNIT)
    desk.accept(Deposit(next(desk.time), ALICE, 0, ETH, 10**5))
    desk.submit(eth=[0] * 5)
    quote = desk.ledger.balance[QUOTE]
    desk.accept(Withdraw(next(desk.time), ALICE, 0, QUOTE, UNIT))
    desk.accept(Withdraw(next(desk.time), ALICE, 0, ETH, 1))
    quote[ALICE], quote[BOB] = -1, UNIT + 1  # now ETH stands for a debt
    assert desk.refuse(Withdraw(next(desk.time), ALICE, 0, ETH, 1)) is Reject.PRICE_STALE


UNBROKEN = replace(oracle_venue(deviation_ppm=900_000), breaker_ppm=1_000_000, venue_breaker_ppm=1_000_000)


def test_a_position_under_a_doubtful_price_is_not_closed_however_bad_it_looks() -> None:
    desk = leveraged(definition=UNBROKEN)
    desk.submit(INDEX * 45 // 100)
    risk = account_risk(desk.ledger, ALICE)
    assert risk.equity + 10 * desk.ledger.lot_values[PERP] < 0, "more than the position could be off by"
    assert liquidation(desk) is Reject.PRICE_UNRELIABLE
    desk.wait(6 * MINUTE)
    desk.submit(INDEX * 45 // 100)
    assert isinstance(liquidation(desk), Done)


def test_what_a_doubtful_price_does_to_one_position_closes_no_other() -> None:
    desk = leveraged(definition=UNBROKEN)
    desk.trade(ALICE, BOB, MARKS[1], 1, 1)
    desk.accept(desk.order(CAROL, BUY, MARKS[1] - 9, 1, 1))
    desk.submit(INDEX * 88 // 100)
    assert account_risk(desk.ledger, ALICE).equity < 0 and liquidation(desk) is Reject.PRICE_UNRELIABLE


def test_the_reason_is_that_of_a_price_which_matters_to_the_account() -> None:
    desk = leveraged(step_ppm=30_000)
    desk.submit(FALL, [0] * 5)
    assert liquidation(desk) is Reject.PRICE_UNRELIABLE


def test_a_smaller_position_at_a_good_price_goes_before_a_larger_one_at_a_doubtful_price() -> None:
    desk = OracleDesk(3, 0, definition=UNBROKEN)
    desk.deposit(33 * UNIT, 10**12, 10**12)
    desk.trade(ALICE, BOB, P, 2)  # 120 USDT
    desk.trade(ALICE, BOB, MARKS[1], 100, 1)  # 300 USDT, of which 210 are lost
    low = PRICES[ETH] * 30 // 100
    for _ in range(2):  # at first it has jumped, later it is true
        desk.wait(6 * MINUTE)
        desk.submit(eth=low)
    desk.submit(INDEX * 112 // 100, low)
    assert desk.ledger.oracle.qualities == [Quality.VALID, Quality.JUMPED, Quality.VALID]
    desk.accept(desk.order(CAROL, BUY, desk.ledger.marks[1], 100, 1))
    assert isinstance(liquidation(desk), Done)
    assert desk.ledger.size[1][ALICE] == 0 and desk.ledger.size[PERP][ALICE] == 2


def test_dust_in_a_dead_market_protects_nobody() -> None:
    desk = leveraged()
    desk.accept(Deposit(next(desk.time), ALICE, 0, ETH, 10))
    desk.submit(FALL, [0] * 5)
    assert account_risk(desk.ledger, ALICE).equity < account_risk(desk.ledger, ALICE).maintenance
    assert isinstance(liquidation(desk), Done)


def test_what_may_be_worth_twice_as_much_does() -> None:
    desk = leveraged()
    desk.accept(Deposit(next(desk.time), ALICE, 0, ETH, 10**5))  # 3 USDT, counted with 2.7
    deeper = INDEX - INDEX * 37 // 1000
    desk.submit(deeper, [0] * 5)
    assert liquidation(desk) is Reject.PRICE_STALE
    risk, quote = account_risk(desk.ledger, ALICE), desk.ledger.balance[QUOTE]
    spare = risk.equity + doubt(desk.ledger, ALICE, desk.ledger.time_ms)[0] - risk.maintenance
    quote[ALICE], quote[BOB] = quote[ALICE] - spare, quote[BOB] + spare
    assert liquidation(desk) is Reject.PRICE_STALE
    quote[ALICE], quote[BOB] = quote[ALICE] - 1, quote[BOB] + 1
    assert isinstance(liquidation(desk), Done)


def test_a_restart_remembers_everything() -> None:
    desk = OracleDesk()
    desk.accept(desk.order(ALICE, BUY, P - 900, 1))
    desk.accept(desk.order(BOB, SELL, P + 1_000, 1))
    desk.wait(7_000)
    desk.submit(INDEX + 1_000, perp=[P + 3] * 5)
    state = state_bytes(desk.ledger)
    copy = ledger_from_bytes(desk.ledger.venue, state)
    assert state_bytes(copy) == state and copy.oracle.evidence == b"documents"
    assert copy.oracle.averages == desk.ledger.oracle.averages and copy.oracle.premiums == desk.ledger.oracle.premiums
    with pytest.raises(Exception, match="unreadable checkpoint"):
        ledger_from_bytes(desk.ledger.venue, state[: len(state) // 2])


Q = Quoted(0, BTC, INDEX, 0, 1_000_000)
REFUSALS: list[tuple[SubmitQuotes, Reject]] = [
    (SubmitQuotes(2_000_000, 0, 0, (Q._replace(price=-1),), b""), Reject.QUOTES_OUT_OF_RANGE),
    (SubmitQuotes(2_000_000, 0, 0, (Q._replace(price=1 << 62),), b""), Reject.QUOTES_OUT_OF_RANGE),
    (SubmitQuotes(2_000_000, 0, 0, (Q._replace(confidence=-1),), b""), Reject.QUOTES_OUT_OF_RANGE),
    (SubmitQuotes(2_000_000, 0, 0, (Q._replace(confidence=1 << 62),), b""), Reject.QUOTES_OUT_OF_RANGE),
    (SubmitQuotes(2_000_000, 0, 0, (Q._replace(time_ms=1 << 48),), b""), Reject.QUOTES_OUT_OF_RANGE),
    (SubmitQuotes(2_000_000, 0, 0, (Q,) * ((1 << 14) + 1), b""), Reject.QUOTES_OUT_OF_RANGE),
    (SubmitQuotes(2_000_000, 0, 0, (Q._replace(time_ms=-1),), b""), Reject.QUOTES_OUT_OF_RANGE),
    (SubmitQuotes(2_000_000, 0, 0, (Q,), bytes((1 << 20) + 1)), Reject.QUOTES_OUT_OF_RANGE),
    (SubmitQuotes(2_000_000, ALICE, 0, (Q,), b""), Reject.ACCOUNT_RESERVED),
    (SubmitQuotes(2_000_000, 0, 0, (Q._replace(source=5),), b""), Reject.SOURCE_UNKNOWN),
    (SubmitQuotes(2_000_000, 0, 0, (Q._replace(source=-1),), b""), Reject.SOURCE_UNKNOWN),
    (SubmitQuotes(2_000_000, 0, 0, (Q._replace(symbol=0),), b""), Reject.ASSET_UNKNOWN),
    (SubmitQuotes(2_000_000, 0, 0, (Q._replace(symbol=5),), b""), Reject.ASSET_UNKNOWN),  # a spot market
    (SubmitQuotes(2_000_000, 0, 0, (Q._replace(symbol=-2),), b""), Reject.ASSET_UNKNOWN),
]


@pytest.mark.parametrize(("command", "code"), REFUSALS)
def test_refusals(command: SubmitQuotes, code: Reject) -> None:
    assert OracleDesk(1).refuse(command) is code


def test_as_much_as_may_be_said_at_once_is_taken() -> None:
    widest = Q._replace(price=(1 << 62) - 1, confidence=(1 << 62) - 1, time_ms=(1 << 48) - 1)
    least = Q._replace(price=0, confidence=0, time_ms=0)
    OracleDesk(1).accept(SubmitQuotes(2_000_000, 0, 0, (least, *[widest] * ((1 << 14) - 1)), bytes(1 << 20)))


def test_one_way_to_set_prices_per_venue() -> None:
    desk = OracleDesk()
    assert desk.refuse(SetPrices(next(desk.time), 0, 0, PRICES, MARKS)) is Reject.QUOTES_REQUIRED
    plain = Desk()
    for said in ((Q,), ()):
        assert plain.refuse(SubmitQuotes(9, 0, 0, said, b"")) is Reject.SOURCE_UNKNOWN
    fresh = OracleDesk(0)
    fresh.engine = Engine(Ledger(fresh.ledger.venue), Sink())
    missing = fresh.command(INDEX, [0] * 5)
    assert fresh.refuse(missing) is Reject.PRICES_INCOMPLETE  # a venue opens with a price for everything
    fresh.submit(INDEX, 1)
    assert fresh.ledger.marks[1] == 1


def test_a_venue_with_sources_survives_json() -> None:
    found = oracle_venue()
    assert venue_from_json(found.to_json()) == found and found.digest() != venue().digest()
    assert len(quotes(5, {BTC: [1, 2]})) == 2
