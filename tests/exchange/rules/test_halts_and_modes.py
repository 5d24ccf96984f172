"""Bands, windows, halts, auctions and modes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.rules import auction, breakers, modes
from exchange.rules.auction import Bid
from exchange.rules.breakers import Band
from exchange.rules.errors import RuleInputError
from exchange.rules.modes import Action, Mode, Permission, Scope, Trigger
from exchange.rules.rounding import PPM


@given(st.integers(1, 10**12), st.integers(0, PPM), st.integers(0, 2 * 10**12))
def test_bands_are_rounded_inwards(reference: int, width: int, price: int) -> None:
    allowed = breakers.band(reference, width)
    assert breakers.in_band(price, allowed) == (abs(price - reference) * PPM <= reference * width)
    if not breakers.in_band(price, allowed):
        assert breakers.may_liquidate_at(price, price > reference, allowed)
        assert not breakers.may_liquidate_at(price, price < reference, allowed)


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 1000)), min_size=1, max_size=40))
def test_a_window_holds_the_extremes_of_its_slots(moves: list[tuple[int, int]]) -> None:
    window = breakers.new_window(1000, 10)
    assert breakers.extremes(window, 0) is None
    seen: list[tuple[int, int]] = []
    time = 0
    for gap, price in moves:
        time += gap
        window = breakers.observed(window, time, price)
        seen.append((time // 100, price))
        live = [one for slot, one in seen if slot > time // 100 - 10]
        assert breakers.extremes(window, time) == Band(min(live), max(live))
    assert breakers.extremes(window, time + 1000) is None
    assert breakers.observed(window, 0, 1).last_slot == window.last_slot, "an older time does not turn it back"


@pytest.mark.parametrize(("span", "slots"), [(10, 0), (10, 3), (0, 1)])
def test_a_window_that_does_not_divide_is_refused(span: int, slots: int) -> None:
    with pytest.raises(RuleInputError, match="expected a multiple"):
        breakers.new_window(span, slots)


def test_a_window_trips_on_either_side() -> None:
    window = breakers.new_window(60_000, 60)
    assert not breakers.trips(window, 0, 5, 0)
    for time, price in ((0, 1000), (30_000, 1050)):
        window = breakers.observed(window, time, price)
    assert not breakers.trips(window, 31_000, 950, 100)
    assert breakers.trips(window, 31_000, 949, 100)
    assert not breakers.trips(window, 31_000, 1100, 100)
    assert breakers.trips(window, 31_000, 1101, 100)
    assert not breakers.trips(window, 60_000, 1101, 100), "1000 has left the window"


def test_bounds_are_allowed() -> None:
    allowed = Band(90, 110)
    assert breakers.may_liquidate_at(90, True, allowed)
    assert not breakers.may_liquidate_at(89, True, allowed)
    assert breakers.may_liquidate_at(110, False, allowed)
    assert not breakers.may_liquidate_at(111, False, allowed)
    assert breakers.new_window(1, 1).slot_ms == breakers.new_window(7, 7).slot_ms == 1
    assert breakers.venue_trips([(70_000, 60), (0, 40)], 70_000, 600_000)
    assert not breakers.venue_trips([(70_000, 59), (0, 41)], 70_000, 600_000)


def test_halts_and_the_venue_breaker() -> None:
    policy = breakers.HaltPolicy(120_000, 300_000, 60_000)
    assert breakers.halt_until(5, 0, policy) == 120_005
    assert breakers.halt_until(5, 1, policy) == 300_005
    assert breakers.reopens(102, 100, 20_000)
    assert not breakers.reopens(103, 100, 20_000)
    assert not breakers.reopens(None, 100, 20_000)
    assert breakers.venue_trips([(-70_000, 60), (10_000, 40)], 70_000, 600_000)
    assert not breakers.venue_trips([(-69_999, 60), (10_000, 40)], 70_000, 600_000)
    assert not breakers.venue_trips([], 0, 0)


ORDERS = st.lists(st.tuples(st.integers(90, 110), st.integers(1, 50)), max_size=12).map(
    lambda rows: [Bid(n, price, size) for n, (price, size) in enumerate(rows)]
)


@given(ORDERS, ORDERS, st.integers(90, 110), st.integers(1, 7), st.randoms(use_true_random=False))
def test_an_auction_is_fair(bids: list[Bid], offers: list[Bid], reference: int, lot: int, random: object) -> None:
    bids, offers = ([Bid(one.order, one.price, one.size * lot) for one in side] for side in (bids, offers))
    found = auction.uncross(bids, offers, reference, lot)
    for side in (bids, offers):
        random.shuffle(side)  # type: ignore[attr-defined]
    assert auction.uncross(bids, offers, reference, lot) == found, "the order of arrival changes nothing"
    volumes = {
        price: min(
            sum(one.size for one in bids if one.price >= price), sum(one.size for one in offers if one.price <= price)
        )
        for price in range(90, 111)
    }
    if found is None:
        assert max(volumes.values()) == 0
        return
    assert found.volume == max(volumes.values()) == volumes[found.price]
    for side, fills, sign in ((bids, found.bought, 1), (offers, found.sold, -1)):
        filled = dict(fills)
        assert sum(filled.values()) == found.volume
        for one in side:
            got = filled.get(one.order, 0)
            assert 0 <= got <= one.size
            assert got % lot == 0
            assert got == 0 or sign * (one.price - found.price) >= 0
        partial = {one.price for one in side if filled.get(one.order, 0) < one.size}
        traded = {one.price for one in side if filled.get(one.order, 0)}
        assert not traded or all(sign * price <= min(sign * p for p in traded) for price in partial), (
            "a worse price fills only after every better one"
        )


def test_an_auction_with_a_number_twice_is_refused() -> None:
    with pytest.raises(RuleInputError, match="expected each once"):
        auction.uncross([Bid(1, 5, 5), Bid(1, 6, 5)], [], 5)
    assert auction.uncross([], [], 5) is None


MATRIX = """
                TAKE POST REDUCE CANCEL DEPOSIT WITHDRAW TRANSFER LIQUIDATE DELEVERAGE FUNDING PRICE SETTLE OPEN_ACCOUNT AUCTION LIST
NORMAL          yes  yes  yes    yes    yes     yes      yes      yes       yes        yes     yes   no     yes          yes     yes
POST_ONLY       red. yes  yes    yes    yes     yes      yes      yes       yes        yes     yes   no     yes          yes     yes
REDUCE_ONLY     red. red. yes    yes    yes     yes      yes      yes       yes        yes     yes   no     yes          yes     no
CANCEL_ONLY     no   no   no     yes    yes     yes      no       no        no         no      yes   no     no           no      no
WITHDRAW_GATED  no   no   no     yes    yes     no       no       no        no         no      yes   no     no           no      no
SETTLEMENT      no   no   no     yes    no      no       no       no        yes        no      yes   yes    no           no      no
"""  # noqa: E501


def test_the_mode_matrix_reads_like_this() -> None:
    words = {"no": Permission.NO, "red.": Permission.REDUCING, "yes": Permission.YES}
    header, *rows = (line.split() for line in MATRIX.strip().splitlines())
    assert header == [action.name for action in Action]
    assert [row[0] for row in rows] == [mode.name for mode in Mode]
    for mode, row in zip(Mode, rows, strict=True):
        for action, entry in zip(Action, row[1:], strict=True):
            assert modes.allowed(mode, action) is words[entry], (mode, action)


def test_a_stricter_mode_never_allows_more() -> None:
    for action in Action:
        column = [modes.allowed(mode, action) for mode in Mode]
        if action in (Action.SETTLE, Action.DELEVERAGE):
            column.pop()
        assert column == sorted(column, reverse=True), action


@given(st.lists(st.sampled_from(Mode)), st.lists(st.sampled_from(Mode)))
def test_modes_are_a_lattice(some: list[Mode], more: list[Mode]) -> None:
    joined = modes.strictest([*some, *more])
    assert joined == modes.strictest([modes.strictest(some), modes.strictest(more)])
    assert all(joined >= mode for mode in (*some, *more))
    assert modes.strictest([]) is Mode.NORMAL


@given(st.lists(st.tuples(st.sampled_from(Trigger), st.integers(0, 10**6))), st.integers(0, 2 * 10**6))
def test_modes_are_entered_by_triggers_and_left_by_quiet(signs: list[tuple[Trigger, int]], now: int) -> None:
    for scope in Scope:
        mode = modes.mode_of(signs, now, scope)
        live = [
            modes.TRIGGERS[trigger]
            for trigger, time in signs
            if (quiet := modes.TRIGGERS[trigger].quiet_ms) is None or now - time < quiet
        ]
        assert mode == max((entry.mode for entry in live if entry.scope is scope), default=Mode.NORMAL)
        assert modes.mode_of(signs, now + 10**7, scope) <= mode, "time alone never makes a mode stricter"


def test_every_trigger_has_an_entry_and_an_audit_never_ends_by_time() -> None:
    assert set(modes.TRIGGERS) == set(Trigger)
    mismatch = [(Trigger.AUDIT_MISMATCH, 0)]
    assert modes.mode_of(mismatch, 10**15, Scope.VENUE) is Mode.WITHDRAW_GATED
    assert modes.mode_of(mismatch, 10**15, Scope.MARKET) is Mode.NORMAL
