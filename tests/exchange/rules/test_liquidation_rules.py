"""Liquidation never worsens an account, ADL never flips or grows a position, and both are exact."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from exchange.rules import adl, liquidation, tiers
from exchange.rules.errors import RuleInputError
from exchange.rules.rounding import PPM

POLICY = liquidation.LiquidationPolicy(
    max_fee_ppm=15_000,
    small_notional=100_000,
    clip_ppm=200_000,
    cooldown_ms=30_000,
    backstop_ppm=666_667,
    account_notional_per_block=1_000_000,
    market_notional_per_block=3_000_000,
    market_loss_per_block=50_000,
)
RATES = st.sampled_from(
    [tiers.rate_tiers([(0, 12_500)]), tiers.rate_tiers([(0, 5_000), (10_000, 20_000), (500_000, 300_000)])]
)


@dataclass(frozen=True)
class Book:
    """A liquidatable account: cash and signed (size, mark) per market, with one table of rates."""

    cash: int
    positions: tuple[tuple[int, int], ...]
    rates: tiers.RateTiers

    @property
    def equity(self) -> int:
        return self.cash + sum(size * mark for size, mark in self.positions)

    @property
    def maintenance(self) -> int:
        return sum(tiers.requirement(abs(size * mark), self.rates) for size, mark in self.positions)

    def closed(self, delta: int, cash: int) -> Book:
        (size, mark), *others = self.positions
        return Book(self.cash + cash, ((size + delta, mark), *others), self.rates)


@st.composite
def liquidatable(draw: st.DrawFn) -> Book:
    signed = st.integers(-1000, 1000).filter(bool)
    positions = draw(st.lists(st.tuples(signed, st.integers(1, 5000)), min_size=1, max_size=4))
    rates = draw(RATES)
    flat = Book(0, tuple(positions), rates)
    health = draw(st.integers(-2 * flat.maintenance - 100, -1))
    book = Book(flat.maintenance + health - flat.equity, flat.positions, rates)
    assert book.equity - book.maintenance == health
    assume(book.maintenance > 0)
    return book


@given(liquidatable(), st.data())
def test_a_liquidation_fill_never_worsens_the_account(book: Book, data: st.DataObject) -> None:
    assert liquidation.is_liquidatable(book.equity, book.maintenance)
    size, mark = book.positions[0]
    closed = data.draw(st.integers(1, abs(size)))
    delta = -closed if size > 0 else closed
    after_value = (size + delta) * mark
    bankruptcy = liquidation.bankruptcy_quote(
        book.equity,
        book.maintenance,
        size * mark,
        after_value,
        tiers.requirement(abs(size * mark), book.rates),
        tiers.requirement(abs(after_value), book.rates),
    )
    filled = bankruptcy + data.draw(st.integers(-5000, 5000))
    to_fund = liquidation.fund_delta(filled, bankruptcy, POLICY.max_fee_ppm)
    after = book.closed(delta, filled - to_fund)
    assert after.maintenance <= book.maintenance
    assert after.equity - after.maintenance >= book.equity - book.maintenance
    assert after.equity * book.maintenance >= book.equity * after.maintenance
    if to_fund >= 0:
        assert to_fund <= -(-abs(filled) * POLICY.max_fee_ppm // PPM)
    if filled <= bankruptcy:
        assert filled - to_fund == bankruptcy, "the fund makes up what is missing, no more"


@given(liquidatable())
def test_closing_everything_at_the_bankruptcy_price_leaves_nothing(book: Book) -> None:
    size, mark = book.positions[0]
    asked = tiers.requirement(abs(size * mark), book.rates)
    assume(asked > 0)
    alone = Book(book.equity - size * mark, ((size, mark),), book.rates)
    cash = liquidation.bankruptcy_quote(alone.equity, asked, size * mark, 0, asked, 0)
    assert alone.closed(-size, cash).equity == 0
    for lot_tick in (1, 7):
        limit = liquidation.bankruptcy_price(cash, size, lot_tick)
        worse = limit - 1 if size > 0 else limit + 1
        assert limit * size * lot_tick >= cash > worse * size * lot_tick, "the last tick that gives no less"


def test_who_is_liquidatable() -> None:
    assert not liquidation.is_liquidatable(-5, 0)
    assert not liquidation.is_liquidatable(7, 7)
    assert liquidation.is_liquidatable(6, 7)
    assert liquidation.is_for_backstop(4, 7, POLICY.backstop_ppm)
    assert not liquidation.is_for_backstop(5, 7, POLICY.backstop_ppm)
    assert not liquidation.is_for_backstop(-5, 0, POLICY.backstop_ppm)
    assert not liquidation.is_for_backstop(1, 2, 500_000)
    assert liquidation.is_for_backstop(0, 1, 500_000)


def test_amounts_at_the_edges_of_the_policy() -> None:
    assert liquidation.urgency(3, 4) == 750_000_000_000
    assert liquidation.clip_size(1000, POLICY.small_notional, 0, POLICY) == 1000
    assert liquidation.clip_size(1000, POLICY.small_notional + 1, 0, POLICY) == 200
    assert liquidation.clip_size(-1001, POLICY.small_notional + 1, 0, POLICY, 10) == 210
    assert liquidation.clip_size(1000, POLICY.small_notional + 1, 700, POLICY) == 700
    assert liquidation.clip_size(1001, POLICY.small_notional + 1, 0, POLICY) == 201
    caps = liquidation.within_block_caps
    assert caps(100, 1_000_000, 0, 0, POLICY) == 100
    assert caps(100, 1_000_000, 250_001, 0, POLICY, 10) == 70
    assert caps(100, 1_000_000, 0, 2_500_000, POLICY) == 50
    assert caps(100, 100, 999_999, 0, POLICY) == 1
    assert caps(100, 1_000_000, 1_000_000, 0, POLICY) == caps(100, 1_000_000, 0, 3_000_001, POLICY) == 0
    assert liquidation.escalated_fee_ppm(100, 900, 9, 10, 5) == 100
    assert liquidation.escalated_fee_ppm(100, 900, 10, 10, 5) == 150
    assert liquidation.escalated_fee_ppm(100, 900, 500, 10, 5) == 900
    # Fees to the fund are rounded up; what lowers such a fee is rounded up, too.
    assert liquidation.fund_delta(101, 0, 15_000) == 2
    assert liquidation.fund_delta(101, 100, 15_000) == 1
    assert liquidation.fund_fee_ppm(1, 3, 400_000, 0, PPM, PPM) == 400_000 - 333_334
    assert liquidation.fund_fee_ppm(0, 1, 400_000, 0, PPM, PPM) == 400_000
    assert liquidation.fund_fee_ppm(1, 1, 400_000, 0, PPM, PPM) == 0
    assert liquidation.fund_fee_ppm(0, 1, PPM, 0, PPM) == 950_000


def test_the_released_share_grows_with_time() -> None:
    def share(shortage: int, freed: int, elapsed: int) -> int:
        return liquidation.releasable_ppm(shortage, freed, elapsed, 10, 100_000, 50)

    assert share(49, 0, 0) == PPM
    assert share(50, 0, 0) == 100_000
    assert share(1000, 0, 3) == 400_000
    assert share(1000, 0, 50) == PPM
    assert share(600, 400, 3) == 0, "40 % of 1,000 are freed already"
    assert share(600, 400, 6) == 500_000, "70 % of 1,000 less 400 are 300 of 600"
    assert share(600, 900, 6) == 250_000
    assert share(100, 900, 3) == 0


@given(st.lists(st.tuples(st.integers(-(10**6), 10**6), st.integers(1, 10**6)), min_size=1, max_size=9))
def test_the_worst_account_and_its_largest_margin_come_first(accounts: list[tuple[int, int]]) -> None:
    worst = min(accounts, key=lambda one: liquidation.urgency(*one))
    assert all(worst[0] * asked <= equity * worst[1] for equity, asked in accounts)
    margins = [asked for _, asked in accounts]
    assert liquidation.first_to_close(margins) == margins.index(max(margins))


@pytest.mark.parametrize(("size", "delta"), [(0, -1), (5, 0), (5, 1), (-5, -1), (5, -6), (-5, 6)])
def test_a_fill_that_does_not_close_is_refused(size: int, delta: int) -> None:
    with pytest.raises(RuleInputError, match="does not close"):
        liquidation.check_close(size, delta)


def test_an_account_without_margin_has_no_bankruptcy_price() -> None:
    with pytest.raises(RuleInputError, match="expected above 0"):
        liquidation.bankruptcy_quote(5, 0, 1, 0, 0, 0)


@given(st.integers(0, 10**12), st.integers(1, 10**12), st.integers(1, 10**6), st.integers(1, 1000))
def test_the_restoring_size_restores(shortage: int, price: int, fee: int, lot: int) -> None:
    size = liquidation.size_to_restore(shortage, price, 1, fee + 7, fee, lot)
    assert size % lot == 0
    assert size * price * 7 >= shortage * PPM
    assert size == 0 or (size - lot) * price * 7 < shortage * PPM
    with pytest.raises(RuleInputError, match="expected a fee below"):
        liquidation.size_to_restore(shortage, price, 1, fee, fee)


@given(st.integers(-(10**9), 10**9).filter(bool), st.integers(0, 10**9), st.integers(0, 10**9), st.integers(1, 50))
def test_a_clip_closes_something_and_at_most_the_position(size: int, notional: int, restore: int, lot: int) -> None:
    size *= lot
    clip = liquidation.clip_size(size, notional, restore * lot, POLICY, lot)
    assert 0 < clip <= abs(size)
    assert clip % lot == 0
    assert clip == abs(size) or (clip * 5 >= abs(size) and clip >= restore * lot)


@given(st.integers(0, 10**9), st.integers(1, 10**9), st.integers(0, 10**7), st.integers(0, 10**7))
def test_block_caps_hold(size: int, notional: int, by_account: int, by_market: int) -> None:
    allowed = liquidation.within_block_caps(size, notional, by_account, by_market, POLICY)
    room = min(POLICY.account_notional_per_block - by_account, POLICY.market_notional_per_block - by_market)
    assert 0 <= allowed <= size
    assert allowed == 0 or allowed * notional <= max(0, room) * size


CANDIDATES = st.lists(
    st.tuples(st.integers(1, 500), st.integers(-(10**6), 10**6), st.integers(0, 500)), min_size=1, max_size=20
).map(lambda rows: [adl.Candidate(n, size, score, unhedged) for n, (size, score, unhedged) in enumerate(rows)])


@given(CANDIDATES, st.integers(1, 4000), st.booleans(), st.randoms(use_true_random=False), st.integers(-(10**9), 10**9))
def test_adl_never_flips_or_grows_a_position_and_is_exact(
    candidates: list[adl.Candidate], size: int, hedge_aware: bool, random: object, quote: int
) -> None:
    allocate = adl.allocate_unhedged_first if hedge_aware else adl.allocate
    shuffled = list(candidates)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    ranked = adl.rank(shuffled)
    assert ranked == adl.rank(candidates), "the order in which candidates are found does not matter"
    parts, left = allocate(ranked, -size)
    held = {one.account: one.size for one in candidates}
    assert sum(part.closed for part in parts) + left == size
    assert left == max(0, size - sum(held.values()))
    assert len({part.account for part in parts}) == len(parts)
    assert all(0 < part.closed <= held[part.account] for part in parts)
    if not hedge_aware:
        assert all(part.closed == held[part.account] for part in parts[:-1]), "only the last one is partial"
    if parts:
        cash = adl.closing_cash(quote, parts)
        assert sum(cash) == -quote
        closed = sum(part.closed for part in parts)
        assert all(abs(one * closed + quote * part.closed) < closed for one, part in zip(cash, parts, strict=True))
    lights = adl.quintiles(ranked)
    assert set(lights.values()) <= {20, 40, 60, 80, 100}
    assert lights[ranked[-1].account] == 100


@given(CANDIDATES, st.integers(1, 4000), st.integers(1, 9))
def test_adl_closes_whole_lots(candidates: list[adl.Candidate], size: int, lot: int) -> None:
    whole = [adl.Candidate(one.account, one.size * lot, one.score, one.unhedged) for one in candidates]
    for allocate in (adl.allocate, adl.allocate_unhedged_first):
        parts, left = allocate(adl.rank(whole), -size * lot, lot)
        assert left % lot == 0
        assert all(part.closed % lot == 0 for part in parts)


def test_scores_and_parts_by_hand() -> None:
    assert adl.score(6, 3, 10, 5) == 4 * PPM * PPM
    assert adl.score(-6, 3, 10, 5) == -PPM * PPM
    assert adl.score(-1, 3, 1, 1) == -333_333_333_334
    assert adl.score(5, 0, 10, 5) == adl.score(5, 3, 0, 5) == adl.score(5, 3, 10, 0) < adl.score(-(10**9), 1, 1, 10**9)
    for allocate in (adl.allocate, adl.allocate_unhedged_first):
        assert allocate([adl.Candidate(1, 10, 0, 10), adl.Candidate(2, 40, 0, 7)], -25, 10) == (
            [adl.Part(1, 10), adl.Part(2, 10)],
            5,
        )
        with pytest.raises(RuleInputError, match="expected the other sign"):
            allocate([adl.Candidate(1, 0, 0, 0)], -5)


def test_candidates_without_capital_or_position_or_on_the_same_side() -> None:
    assert adl.score(5, 10, 100, 0) == adl.score(5, 10, 100, -3) < adl.score(-5, 10, 100, 1)
    assert adl.score(-5, 10, 100, 50) > adl.score(-5, 10, 100, 500), "the best capitalised loser comes last"
    assert adl.score(5, 10, 200, 50) > adl.score(5, 10, 100, 50) > adl.score(4, 10, 100, 50)
    assert adl.score(-1, 10, 100, 50) == -50_000_000_000 and adl.score(1, 10, 100, 50) == 200_000_000_000
    poor = adl.Candidate(1, 5, adl.score(5, 10, 100, -3), 5)
    assert adl.rank([poor, adl.Candidate(2, 0, 99, 0)]) == []
    for allocate in (adl.allocate, adl.allocate_unhedged_first):
        with pytest.raises(RuleInputError, match="expected the other sign"):
            allocate([adl.Candidate(1, 5, 0, 5)], 5)
        with pytest.raises(RuleInputError, match="expected the other sign"):
            allocate([adl.Candidate(1, 5, 0, 5)], 0)


def test_a_hedged_account_keeps_its_hedge_while_others_can_close() -> None:
    hedged = adl.Candidate(1, 100, 9, adl.unhedged_size(100, -100))
    outright = adl.Candidate(2, 100, 5, adl.unhedged_size(100, 0))
    ranked = adl.rank([hedged, outright])
    assert adl.allocate(ranked, -100) == ([adl.Part(1, 100)], 0)
    assert adl.allocate_unhedged_first(ranked, -100) == ([adl.Part(2, 100)], 0)
    assert adl.allocate_unhedged_first(ranked, -150) == ([adl.Part(1, 50), adl.Part(2, 100)], 0)
    assert adl.unhedged_size(-100, 30) == 70
    assert adl.unhedged_size(-100, -30) == 100
    assert adl.unhedged_size(1, 5) == adl.unhedged_size(-1, -5) == 1


def test_one_atom_is_enough() -> None:
    liquidation.check_close(1, -1)
    assert liquidation.size_to_restore(0, 1, 1, 2, 1) == 0 and liquidation.size_to_restore(1, 1, 1, 2, 1) == 10**6
    assert adl.unrealised(0, 5, 3) == 0
    liquidation.check_close(-1, 1)
    assert liquidation.fund_delta(11, 10, 0) == 0  # better than bankruptcy by one, and no fee on it
    # An account just at its maintenance margin is closed at the oracle's price, exactly.
    assert liquidation.fillable_price(700, 7, 30, 50, 50, 10**6, 10**5) == (100, 1)
