"""Margins, orders under margin, withdrawals and liquidation prices."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.rules import dynamic_margin, liquidation, margin, scenarios, tiers
from exchange.rules.errors import RuleInputError
from exchange.rules.margin import Change, Risk
from exchange.rules.rounding import PPM, value
from tests.exchange.rules.test_money_rules import AMOUNTS, SIGNED, tables

NOTIONALS = st.integers(0, 10**16)
SHARES = st.integers(0, PPM)


@given(tables(), NOTIONALS, SHARES, SHARES)
def test_initial_margin_only_grows_with_open_interest_and_volatility(
    table: tiers.RateTiers, notional: int, scale: int, floor: int
) -> None:
    plain = margin.initial_margin(notional, table)
    assert plain == tiers.requirement(notional, table)
    assert plain <= margin.initial_margin(notional, table, scale) <= notional
    assert plain <= margin.initial_margin(notional, table, 0, floor) <= notional
    assert margin.initial_margin(notional, table, PPM) == notional


@given(NOTIONALS, st.integers(0, 10**9), st.integers(0, 10**9))
def test_open_interest_scale(interest: int, lower: int, upper: int) -> None:
    scale = margin.open_interest_scale_ppm(interest, lower, upper)
    assert 0 <= scale <= PPM
    if upper > lower:
        assert (scale == 0) == (interest <= lower)
        assert scale == PPM or interest < upper
    else:
        assert scale == 0


def test_margins_at_their_edges() -> None:
    assert margin.open_interest_scale_ppm(9, 5, 5) == 0, "no scaling where the bounds are one"
    assert margin.open_interest_scale_ppm(6, 5, 8) == 333_334
    assert margin.withdrawable(100, 20, 30, 40) == 50
    assert margin.withdrawable(100, 90, 30, 40) == 100
    for before, after, change in (
        (Risk(-1, 0, 0), Risk(-1, 0, 0), Change.OK),
        (Risk(20, 20, 10), Risk(19, 20, 10), Change.NEWLY_UNDERCOLLATERALIZED),
        (Risk(5, 20, 10), Risk(5, 20, 10), Change.OK),
        (Risk(5, 20, 10), Risk(2, 10, 5), Change.STILL_UNDERCOLLATERALIZED),
        (Risk(-5, 20, 10), Risk(-1, 0, 0), Change.STILL_UNDERCOLLATERALIZED),
        (Risk(0, 20, 10), Risk(-1, 0, 0), Change.STILL_UNDERCOLLATERALIZED),
    ):
        assert margin.may_change(before, after) is change


def test_deribit_rate_is_bounded() -> None:
    assert margin.linear_margin_rate_ppm(20_000, 50, 10**12, 1) == PPM
    assert margin.linear_margin_rate_ppm(20_000, 50, -1, 3) == 20_017


@given(SIGNED, AMOUNTS, AMOUNTS, AMOUNTS)
def test_unrealised_profit_is_never_withdrawable(settled: int, collateral: int, losses: int, asked: int) -> None:
    most = margin.withdrawable(settled, collateral, losses, asked)
    assert 0 <= most <= max(0, settled)
    if most:
        assert settled - most + collateral - losses >= asked


@given(NOTIONALS, NOTIONALS)
def test_a_withdrawal_leaves_margin_behind(initial: int, notional: int) -> None:
    asked = margin.transfer_margin(initial, notional, 100_000)
    assert asked >= initial
    assert asked * 10 >= notional


RISKS = st.builds(
    lambda equity, maintenance, more: Risk(equity, maintenance + more, maintenance),
    st.integers(-1000, 1000),
    st.integers(0, 500),
    st.integers(0, 500),
)


@given(RISKS, RISKS)
def test_an_account_short_of_margin_may_only_reduce_risk(before: Risk, after: Risk) -> None:
    change = margin.may_change(before, after)
    if after.equity >= after.initial:
        assert change is Change.OK
    elif before.equity >= before.initial:
        assert change is Change.NEWLY_UNDERCOLLATERALIZED
    elif change is Change.OK:
        assert after.maintenance <= before.maintenance
        if before.maintenance and after.maintenance:
            assert after.equity * before.maintenance >= before.equity * after.maintenance
        if before.equity < before.maintenance:
            assert after.equity - after.maintenance >= before.equity - before.maintenance


@given(
    st.integers(-(10**12), 10**12).filter(bool),
    st.integers(-(10**15), 10**15),
    st.integers(0, 400_000),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
)
def test_the_liquidation_price_is_the_last_safe_one(size: int, quote: int, rate: int, deducted: int, more: int) -> None:
    unit = 10**8

    def healthy(price: int) -> bool:
        return (quote * unit + size * price + (deducted - more) * unit) * PPM >= abs(size) * price * rate

    price = margin.liquidation_price(quote, size, unit, rate, deducted, more)
    assert price >= 0
    if size > 0:
        assert healthy(price)
        assert price == 0 or not healthy(price - 1)
    else:
        assert not healthy(price + 1)
        assert price == 0 or healthy(price)


def test_a_position_without_liquidation_price() -> None:
    for size, rate in ((0, 1000), (5, PPM), (1, PPM), (1, PPM + 1)):
        with pytest.raises(RuleInputError, match="no liquidation price"):
            margin.liquidation_price(0, size, 1, rate)
    assert margin.liquidation_price(-1, 1, 1, PPM - 1) == PPM  # one millionth of the price is margin left
    assert margin.position_equity(10, -3, -30, 9, 1) == 10 - 27 + 30


POLICY = dynamic_margin.VolatilityPolicy(
    decay_ppm=940_000,
    horizon=288,
    multiple_ppm=3 * PPM,
    stressed_ppm=9_000,
    stressed_weight_ppm=250_000,
    floor_ppm=30_000,
    buffer_ppm=250_000,
    step_up_ppm=5_000,
    step_down_ppm=500,
    cap_ppm=500_000,
)


@given(st.integers(0, POLICY.cap_ppm), st.integers(0, 10**10))
def test_margin_moves_in_bounded_steps_towards_its_target(current: int, variance: int) -> None:
    after = dynamic_margin.next_margin_ppm(current, variance, POLICY)
    bare = dynamic_margin.bare_target_ppm(variance, POLICY)
    assert bare >= POLICY.floor_ppm
    assert -POLICY.step_down_ppm <= after - current <= POLICY.step_up_ppm
    assert after <= max(current, POLICY.cap_ppm)
    if bare <= current <= bare + bare // 4 and current <= POLICY.cap_ppm:
        assert after == current, "the buffer is used up before margins rise"


def test_the_buffer_keeps_margins_still_while_volatility_rises_by_a_fifth() -> None:
    quiet = 2_000**2
    rate = POLICY.floor_ppm
    for _ in range(1000):
        rate = dynamic_margin.next_margin_ppm(rate, quiet, POLICY)
    rested = dynamic_margin.bare_target_ppm(quiet, POLICY)
    assert rate >= rested
    rate = 10**6 // 2
    for _ in range(10_000):
        rate = dynamic_margin.next_margin_ppm(rate, quiet, POLICY)
    assert rate == rested + -(-rested // 4)
    assert dynamic_margin.next_margin_ppm(rate, (2_000 * 6 // 5) ** 2, POLICY) == rate


@given(st.integers(1, 10**9), st.integers(1, 10**9), st.integers(0, 10**12))
def test_variance_never_falls_below_its_exact_value(price: int, before: int, variance: int) -> None:
    move = dynamic_margin.return_ppm(price, before)
    assert abs(move) * before >= abs(price - before) * PPM
    assert dynamic_margin.variance_after(variance, move, POLICY) * PPM >= variance * POLICY.decay_ppm


@given(RISKS, st.integers(0, 10**6))
def test_a_higher_initial_margin_liquidates_nobody(risk: Risk, more: int) -> None:
    stricter = Risk(risk.equity, risk.initial + more, risk.maintenance)
    assert liquidation.is_liquidatable(stricter.equity, stricter.maintenance) == liquidation.is_liquidatable(
        risk.equity, risk.maintenance
    )


@given(SIGNED, SHARES)
def test_scenario_margin_of_a_linear_position(notional: int, range_ppm: int) -> None:
    array = scenarios.linear_risk_array(notional, range_ppm)
    worst = scenarios.scan_loss(array)
    assert 0 <= worst * PPM - abs(notional) * range_ppm < PPM
    assert scenarios.scenario_margin([[array]]) == scenarios.scenario_margin([[], [array]]) == worst
    opposite = scenarios.linear_risk_array(-notional, range_ppm)
    assert scenarios.scenario_margin([[array, opposite]]) <= 1, "a hedge in one underlying nets"
    assert scenarios.scenario_margin([[array], [opposite]]) == 2 * worst, "no credit between underlyings"


def test_scenarios_by_value_agree_with_those_of_a_linear_position() -> None:
    price, size = 10**9, 7
    shocked = [scenarios.shocked_price(price, 150_000, one.price_thirds) for one in scenarios.SCENARIOS]
    values = [value(size, one, 1) for one in shocked]
    assert scenarios.risk_array(size * price, values) == scenarios.linear_risk_array(size * price, 150_000)
    with pytest.raises(RuleInputError, match="expected one for each"):
        scenarios.risk_array(0, [1])
    assert scenarios.shocked_price(100, PPM, -6) == 0


def test_delta_and_gamma() -> None:
    assert scenarios.delta_and_gamma(90, 100, 110) == (10, 0)
    assert scenarios.delta_and_gamma(0, 1, 9) == (4, 7)
    assert scenarios.delta_and_gamma(9, 1, 0) == (-4, 7)
    assert scenarios.delta_and_gamma(1, 0, 0) == (0, 1)


def test_open_interest_limit_falls_with_depth() -> None:
    assert margin.concentration_limit(244, 500_000, 100) == 100
    assert margin.concentration_limit(57, 500_000, 100) == 28
