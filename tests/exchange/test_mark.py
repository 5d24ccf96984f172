"""The mark price inside the ledger: the index with its premium, other venues and the own book have a vote each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.errors import VenueError
from exchange.events import QuotesTaken
from exchange.rules.mark import DECAY_BITS, average_of
from exchange.rules.modes import Mode, Trigger
from tests.exchange.oracles import BTC, OracleDesk, mark_of, oracle_venue
from tests.exchange.venues import ALICE, BOB, BUY, MARKS, PERP, PRICES, SELL

MINUTE = 60_000
P, INDEX = MARKS[PERP], PRICES[BTC]


def halts(desk: OracleDesk) -> None:
    desk.ledger.set_mode(PERP, Mode.CANCEL_ONLY)


def calls(desk: OracleDesk) -> None:
    desk.ledger.signs[PERP, Trigger.REOPENING] = desk.ledger.time_ms


@pytest.mark.parametrize("halt", [halts, calls])
def test_a_halted_book_has_no_say_in_the_mark(halt: Callable[[OracleDesk], None]) -> None:
    desk = OracleDesk()
    desk.accept(desk.order(ALICE, BUY, P + 9_000, 1))
    desk.accept(desk.order(BOB, SELL, P + 9_002, 1))
    taken = desk.accept(desk.command())[1]
    assert isinstance(taken, QuotesTaken) and taken.premiums[PERP] == 9_001
    halt(desk)
    taken = desk.accept(desk.command())[1]
    assert isinstance(taken, QuotesTaken) and taken.premiums[PERP] == 0


def test_the_mark_is_a_median_in_which_the_own_book_is_one_vote() -> None:
    desk = OracleDesk()
    desk.accept(desk.order(ALICE, BUY, P + 20_000, 1))
    desk.accept(desk.order(BOB, SELL, P + 22_000, 1))
    desk.submit()
    assert desk.ledger.marks[PERP] == P  # index 2, own 1
    desk.submit(perp=[P + 9_000] * 5)
    assert desk.ledger.marks[PERP] == P + 9_000  # index 2, elsewhere 2, own 1: the middle one
    desk.submit(perp=[P + 29_000] * 5)
    # Index with hardly any premium yet, the own book, elsewhere: the middle one is the own book now.
    assert desk.ledger.marks[PERP] == P + 21_000
    for too_few in ([0] * 5, [P + 29_000, 0, 0, 0, 0]):
        desk.submit(perp=too_few)
        assert desk.ledger.oracle.elsewhere[PERP] == 0


def test_the_own_book_alone_never_sets_the_mark() -> None:
    with pytest.raises(VenueError, match="own_weight"):
        oracle_venue(own_weight=4)
    desk = OracleDesk(own_weight=3)
    desk.accept(desk.order(ALICE, BUY, P - 30_000, 1))
    desk.accept(desk.order(BOB, SELL, P - 29_000, 1))
    desk.submit()
    assert desk.ledger.marks[PERP] == P


@given(
    bid=st.integers(-29_999, 29_998),
    spread=st.integers(1, 40_000),
    elsewhere=st.integers(-50_000, 50_000) | st.none(),
    move=st.integers(-30_000, 30_000),
)
@settings(max_examples=60, deadline=None)
def test_whatever_the_own_book_says_the_mark_stays_among_the_other_votes(
    bid: int, spread: int, elsewhere: int | None, move: int
) -> None:
    desk = OracleDesk()
    desk.accept(desk.order(ALICE, BUY, P + bid, 1))
    desk.accept(desk.order(BOB, SELL, min(P + bid + spread, desk.ledger.bands[PERP][1]), 1))
    index = INDEX + INDEX * move // 1_000_000
    premium = average_of(desk.ledger.oracle.premiums[PERP])
    desk.submit(index, perp=[P + elsewhere] * 5 if elsewhere is not None else [0] * 5)
    votes = [mark_of(index) + premium] + ([P + elsewhere] if elsewhere is not None else [])
    low, high = mark_of(index) * 95 // 100, mark_of(index) * 105 // 100
    assert max(min(votes), low) - 1 <= desk.ledger.marks[PERP] <= min(max(votes), high) + 1


def test_the_premium_is_averaged_and_the_mark_stays_in_its_band() -> None:
    desk = OracleDesk()
    desk.accept(desk.order(ALICE, BUY, P + 29_000, 1))
    desk.accept(desk.order(BOB, SELL, P + 29_999, 1))
    for _ in range(12):
        desk.wait(MINUTE)
        desk.submit()
    assert P + 29_000 <= desk.ledger.marks[PERP] <= P + 30_000
    desk.wait(MINUTE)
    desk.submit(INDEX * 92 // 100, perp=[P] * 5)
    assert desk.ledger.marks[PERP] == mark_of(INDEX * 92 // 100) * 105 // 100


@pytest.mark.parametrize(("bid", "ask", "premium"), [(1, P + 9, -P // 20), (P - 9, 2 * 10**6, P // 20)])
def test_an_absurd_book_has_no_more_of_a_premium_than_the_band(bid: int, ask: int, premium: int) -> None:
    desk = OracleDesk()
    desk.accept(desk.order(ALICE, BUY, bid, 1))
    desk.accept(desk.order(BOB, SELL, ask, 1))
    taken = desk.accept(desk.command())[1]
    assert isinstance(taken, QuotesTaken) and taken.premiums[PERP] == premium


@pytest.mark.parametrize(("elsewhere", "mark"), [(490_000, 490_000), (510_000, 500_000)])
def test_a_mark_is_a_price_that_an_order_may_have(elsewhere: int, mark: int) -> None:
    """The index is 600,000."""
    base = oracle_venue(others_weight=3)
    first, *others = base.markets
    desk = OracleDesk(0, definition=replace(base, markets=(replace(first, price_max=500_000), *others)).check())
    desk.submit(perp=[elsewhere] * 5)
    assert desk.ledger.marks[PERP] == mark


def test_an_average_weighs_a_second_quote_of_the_same_time_and_no_more_than_so_much_silence() -> None:
    desk = OracleDesk(0)
    desk.submit(at=2_000_000)
    first = desk.ledger.oracle.averages[BTC]
    desk.submit(INDEX + 9, at=2_000_000)
    assert desk.ledger.oracle.averages[BTC] != first
    desk.submit(at=10**9)
    assert desk.ledger.oracle.averages[BTC].denominator < 9 * 3_600_000 << DECAY_BITS
