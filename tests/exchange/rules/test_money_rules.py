"""Rounding, tiers, haircuts, fees, funding and the waterfall: nothing is lost, and the odd atom is never the user's."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.rules import fees, fund, funding, haircuts, impact, tiers, withdrawals
from exchange.rules.errors import RuleInputError
from exchange.rules.rounding import PPM, ceil_to, clamp, cost, floor_to, median_of_three, pro_rata, value

AMOUNTS = st.integers(0, 2**62)
SIGNED = st.integers(-(2**62), 2**62)
RATES = st.integers(0, PPM)


@st.composite
def tables(draw: st.DrawFn) -> tiers.RateTiers:
    count = draw(st.integers(1, 10))
    bounds = sorted(draw(st.sets(st.integers(1, 2**50), min_size=count - 1, max_size=count - 1)))
    rates = sorted(draw(st.lists(RATES, min_size=count, max_size=count)))
    return tiers.rate_tiers(zip([0, *bounds], rates, strict=True))


def exact_requirement(notional: int, table: tiers.RateTiers) -> Fraction:
    """Tier by tier, each rate on its own part."""
    ends = [*table.lower[1:], max(notional, table.lower[-1])]
    parts = [
        max(0, min(notional, end) - start) * rate
        for start, end, rate in zip(table.lower, ends, table.rate_ppm, strict=True)
    ]
    return Fraction(sum(parts), PPM)


@given(SIGNED, AMOUNTS, st.sampled_from([1, 10**5, 10**8]))
def test_value_and_cost_round_against_the_account(size: int, price: int, unit: int) -> None:
    exact = Fraction(size * price, unit)
    assert value(size, price, unit) <= exact <= cost(size, price, unit)
    assert cost(size, price, unit) - value(size, price, unit) <= 1
    assert cost(-size, price, unit) == -value(size, price, unit)


@given(st.integers(), st.integers(), st.integers())
def test_median_and_clamp(a: int, b: int, c: int) -> None:
    assert median_of_three(a, b, c) == sorted((a, b, c))[1]
    assert clamp(a, min(b, c), max(b, c)) == median_of_three(a, b, c)


@given(SIGNED, st.integers(1, 10**9))
def test_steps(x: int, step: int) -> None:
    assert floor_to(x, step) <= x <= ceil_to(x, step)
    assert floor_to(x, step) % step == ceil_to(x, step) % step == 0
    assert ceil_to(x, step) - floor_to(x, step) in (0, step)


@given(AMOUNTS, st.lists(AMOUNTS, min_size=1, max_size=20))
def test_shares_add_up_and_stay_within_an_atom(total: int, weights: list[int]) -> None:
    if total and not sum(weights):
        with pytest.raises(RuleInputError, match="cannot split"):
            pro_rata(total, weights)
        return
    parts = pro_rata(total, weights)
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - Fraction(total * weight, max(1, sum(weights)))) < 1
        assert part == 0 or weight > 0


@given(tables(), AMOUNTS)
def test_requirement_is_the_exact_sum_rounded_up_once(table: tiers.RateTiers, notional: int) -> None:
    exact = exact_requirement(notional, table)
    assert 0 <= tiers.requirement(notional, table) - exact < 1
    assert tiers.requirement(notional, table) <= notional


@given(tables(), AMOUNTS, AMOUNTS)
def test_one_large_position_never_needs_less_than_two_small_ones(table: tiers.RateTiers, a: int, b: int) -> None:
    assert exact_requirement(a + b, table) >= exact_requirement(a, table) + exact_requirement(b, table)
    assert tiers.requirement(a + b, table) >= tiers.requirement(max(a, b), table)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "without tiers"),
        ([(1, 5)], "tier 0: lower bound 1"),
        ([(0, 5), (0, 6)], "tier 1: lower bound 0"),
        ([(0, 6), (9, 5)], "tier 1: rate 5 ppm"),
        ([(0, PPM + 1)], "tier 0: rate"),
    ],
)
def test_a_bad_table_is_refused(rows: list[tuple[int, int]], message: str) -> None:
    with pytest.raises(RuleInputError, match=message):
        tiers.rate_tiers(rows)


@given(SIGNED, st.lists(RATES, min_size=1, max_size=9), RATES)
def test_collateral_never_counts_more_than_it_is_worth(worth: int, ratios: list[int], margin_ppm: int) -> None:
    falling = sorted(ratios, reverse=True)
    curve = haircuts.haircut_curve((10**6 * (n + 1), ratio) for n, ratio in enumerate(falling))
    counts = haircuts.counted(worth, curve, tiers.rate_tiers([(0, margin_ppm)]))
    assert counts <= worth
    if worth >= 0:
        parts = [max(0, min(worth - 10**6 * n, 10**6)) * ratio for n, ratio in enumerate(falling)]
        assert counts >= 0
        assert 0 <= Fraction(sum(parts), PPM) - counts < 1
    else:
        assert counts == worth + (worth * margin_ppm) // PPM


def test_haircut_curves_that_make_no_sense_are_refused() -> None:
    with pytest.raises(RuleInputError, match="after one without a bound"):
        haircuts.haircut_curve([(None, PPM), (5, 0)])
    with pytest.raises(RuleInputError, match="tier 1: rate"):
        haircuts.haircut_curve([(5, 900_000), (9, 950_000)])


@given(AMOUNTS, RATES, st.integers(0, 10**12), st.integers(0, 10**12))
def test_weights_fall_and_rise_with_size(weight: int, factor: int, small: int, more: int) -> None:
    weight %= PPM + 1
    large = small + more
    asset, liability = haircuts.size_scaled_asset_weight, haircuts.size_scaled_liability_weight
    assert asset(weight, factor, large, 10**6) <= asset(weight, factor, small, 10**6) <= weight
    assert liability(weight, factor, large, 10**6) >= liability(weight, factor, small, 10**6) >= weight


@given(AMOUNTS, st.integers(-1000, 1000), st.integers(0, 1000))
def test_fees_round_up_and_the_venue_never_pays(notional: int, maker: int, taker: int) -> None:
    if maker + taker < 0:
        with pytest.raises(RuleInputError, match="rebate <= taker"):
            fees.check_rates(maker, taker)
        return
    fees.check_rates(maker, taker)
    both = fees.trade_fees(notional, maker, taker)
    assert both.venue == both.maker + both.taker >= 0
    for paid, rate in ((both.maker, maker), (both.taker, taker)):
        assert 0 <= paid - Fraction(notional * rate, PPM) < 1


@given(st.lists(st.integers(1, 10**12), max_size=12), st.integers(-1000, 1000))
def test_cutting_an_order_into_fills_changes_no_fee(fills: list[int], rate: int) -> None:
    before = paid = 0
    for fill in fills:
        paid += fees.telescoped(before, fill, rate)
        before += fill
    assert paid == fees.fee(before, rate)


def test_prices_and_sizes_are_multiples() -> None:
    assert fees.check_price_and_size(100, 6, 5, 3) and fees.check_price_and_size(1, 1, 1, 1)
    for price, size in ((101, 6), (100, 7), (0, 6), (100, 0), (-5, 3)):
        assert not fees.check_price_and_size(price, size, 5, 3)


@given(st.lists(SIGNED, max_size=30), st.integers(-(10**6), 10**6), st.sampled_from([PPM, 10**12]))
def test_funding_adds_up_to_zero_with_the_fund(positions: list[int], rate: int, scale: int) -> None:
    positions = [*positions, -sum(positions)]
    settled = funding.settle(positions, rate, scale)
    assert sum(settled.payments) - settled.fund == 0
    assert 0 <= settled.fund <= len(positions)
    for paid, notional in zip(settled.payments, positions, strict=True):
        assert 0 <= paid - Fraction(notional * rate, scale) < 1


def test_funding_of_a_market_that_is_not_balanced_is_refused() -> None:
    with pytest.raises(RuleInputError, match="add up to 3: expected 0"):
        funding.settle([5, -2], 100)


@given(st.integers(-(10**6), 10**6), st.integers(0, 10**4), st.integers(0, 10**6))
def test_rates_stay_within_their_caps(premium: int, damper: int, cap: int) -> None:
    assert abs(funding.rate_with_interest(premium, 100, damper, cap)) <= cap
    damped = funding.rate_damped(premium, damper, cap)
    assert abs(damped) <= min(cap, max(0, abs(premium) - damper))
    assert damped * premium >= 0


@given(st.integers(0, 10**15), st.integers(0, 10**15), st.integers(0, 10**18))
def test_receivers_get_at_most_what_payers_pay(longs: int, shorts: int, rate: int) -> None:
    of_longs, of_shorts = funding.rates_by_skew(rate, longs, shorts)
    if min(longs, shorts):
        assert of_longs * longs + of_shorts * shorts >= 0
    assert of_longs * of_shorts <= 0


def test_rates_at_their_edges() -> None:
    assert funding.rates_by_skew(10, 2, 1) == (4, -8), "10 / 3 rounded up, and longs pay what shorts receive"
    assert funding.rates_by_skew(10, 0, 5) == (0, 10)
    policy = funding.AdaptiveFunding(decrease_below_ppm=30_000, stable_below_ppm=50_000, increase=100, decrease=7)
    changes = [funding.adaptive_change(skew, True, 60, policy) for skew in (29_999, 30_000, 50_000, 50_001)]
    assert changes == [-420, 0, 0, 300]
    assert funding.adaptive_change(10_000, False, 60, policy) == 60


@given(st.integers(-(10**9), 10**9), st.integers(1, 10**9), st.integers(0, 10**9))
def test_velocity_is_bounded_and_odd(skew: int, scale: int, most: int) -> None:
    speed = funding.velocity(skew, scale, most)
    assert abs(speed) <= most
    assert funding.velocity(-skew, scale, most) == -speed
    assert funding.rate_after(0, -speed, 600) == -funding.rate_after(0, speed, 600)


def test_impact_prices_walk_the_book() -> None:
    bids = [(100, 2), (90, 10)]
    # 200 of quote fill 2 lots, the other 180 fill 2 lots at 90: 380 for 4 lots.
    assert funding.impact_price(bids, 380, 1, is_bid=True) == 95
    assert funding.impact_price(bids, 150, 1, is_bid=True) == 100
    assert funding.impact_price(bids, 381, 1, is_bid=True) == 94
    assert funding.impact_price(bids, 3 * 380, 3, is_bid=True) == 95
    assert funding.impact_price(bids, 3 * 381, 3, is_bid=True) == 94
    assert funding.impact_price([(100, 2), (110, 10)], 420, 1, is_bid=False) == 105
    assert funding.impact_price(bids, 1100, 1, is_bid=True) == 91
    assert funding.impact_price(bids, 1101, 1, is_bid=True) is None
    asks = [(100, 2), (110, 10)]
    assert funding.impact_price(asks, 421, 1, is_bid=False) == 106
    assert funding.impact_price(asks, 3 * 420, 3, is_bid=False) == 105
    assert funding.impact_price(asks, 3 * 421, 3, is_bid=False) == 106
    assert funding.premium(95, 105, 100) == 0
    assert funding.premium(101, 105, 100) == 10_000
    assert funding.premium(90, 98, 100) == -20_000


@given(AMOUNTS, st.lists(SIGNED, max_size=4))
def test_the_waterfall_pays_in_order_and_exactly(loss: int, layers: list[int]) -> None:
    result = fund.waterfall(loss, layers)
    assert sum(result.paid) + result.remaining == loss
    short = False
    for paid, available in zip(result.paid, layers, strict=True):
        assert paid == 0 if short and sum(result.paid) == loss else paid <= max(0, available)
        short = short or paid < max(0, available)
    assert result.remaining == max(0, loss - sum(max(0, layer) for layer in layers))
    with pytest.raises(RuleInputError, match="expected at least 0"):
        fund.waterfall(-1, [])


@given(st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=20), st.data())
def test_socialised_loss_takes_profit_only(profits: list[int], data: st.DataObject) -> None:
    gains = sum(max(0, profit) for profit in profits)
    loss = data.draw(st.integers(0, gains))
    shares = fund.socialise(loss, profits)
    assert sum(shares) == loss
    assert all(0 <= share <= max(0, profit) for share, profit in zip(shares, profits, strict=True))
    with pytest.raises(RuleInputError, match="above all profits"):
        fund.socialise(gains + 1, profits)


@given(st.integers(0, 10**15), st.integers(0, 10**12), st.integers(0, 10**12))
def test_spread_loss_is_covered(loss: int, longs: int, shorts: int) -> None:
    if longs + shorts == 0:
        with pytest.raises(RuleInputError, match="open interest 0"):
            fund.loss_per_unit(loss, longs, -shorts, 10**9)
        return
    assert fund.loss_per_unit(loss, longs, -shorts, 10**9) * (longs + shorts) >= loss * 10**9


@given(st.lists(AMOUNTS, min_size=1, max_size=10), AMOUNTS)
def test_profit_is_paid_from_the_pool_only(claims: list[int], pool: int) -> None:
    paid = fund.pay_from_pool(claims, pool)
    assert sum(paid) == min(pool, sum(claims))
    assert all(0 <= part <= claim for part, claim in zip(paid, claims, strict=True))


@given(AMOUNTS, AMOUNTS, st.integers(0, 10**8), st.integers(1, 10**8))
def test_a_limiter_moves_to_its_baseline_and_not_beyond(capacity: int, baseline: int, elapsed: int, span: int) -> None:
    after = withdrawals.withdrawal_capacity(capacity, baseline, elapsed, span)
    assert min(capacity, baseline) <= after <= max(capacity, baseline)
    assert withdrawals.withdrawal_capacity(0, baseline, span, span) == baseline


@given(AMOUNTS, AMOUNTS, st.integers(0, 10**6))
def test_a_round_trip_through_the_vault_earns_nothing(before: int, after: int, factor: int) -> None:
    there = impact.price_impact(before, after, factor, 10**12)
    back = impact.price_impact(after, before, factor, 10**12)
    assert -1 <= there + back <= 0
    assert fund.fund_capacity(before, 10, 5) == 0
    assert fund.fund_capacity(before, 0, after) == min(before, after)


def test_what_cannot_be_split_is_refused() -> None:
    for total, weights in ((-1, [1]), (1, [-1, 3]), (0, [-1]), (1, [0, 0]), (1, [])):
        with pytest.raises(RuleInputError, match="cannot split"):
            pro_rata(total, weights)


def test_a_rebate_may_not_be_above_what_the_other_side_pays_by_one() -> None:
    fees.check_rates(-7, 7)
    fees.check_rates(0, 0)
    for maker, taker in ((-8, 7), (-1, 0), (1, -1), (5, -1)):
        with pytest.raises(RuleInputError, match="rebate <= taker"):
            fees.check_rates(maker, taker)


def test_what_asks_for_nothing_and_what_is_squared() -> None:
    assert tiers.requirement(10**15, tiers.NO_REQUIREMENT) == 0
    assert impact.price_impact(3, 5, 7, 2) == 7 * (9 - 25) // 2


def test_edges_of_haircuts_and_weights() -> None:
    assert haircuts.deposit_scaled_weight(900_000, 5, 0) == 900_000  # no scaling asked for
    assert [haircuts.ceil_sqrt(n, 1) for n in (0, 1, 2, 4, 5)] == [0, 1, 2, 2, 3]


def test_edges_of_funding() -> None:
    assert funding.premium(0, 2, 3) == -333_333  # towards zero
    assert funding.premium(4, 9, 3) == 333_333
    assert funding.rates_by_skew(10, 5, 5) == (0, 0)
    assert funding.rate_after(0, 86_400, 86_400) == 86_400
    assert funding.rate_after(0, -1, 86_400) == -1
    assert fund.loss_per_unit(5, 1, 0, 1) == 5
