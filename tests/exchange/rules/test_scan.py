"""The vectorised scan of all accounts against its plain twin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.rules import scan, tiers
from exchange.rules.errors import RuleInputError
from exchange.rules.haircuts import haircut_curve
from exchange.rules.rounding import PPM
from exchange.rules.scan import AssetColumn, MarketColumn
from tests.exchange.rules.test_money_rules import tables

CURVE = haircut_curve([(10**9, PPM), (10**12, 900_000), (10**14, 500_000)])
RATES = tiers.rate_tiers([(0, 4_000), (50 * 10**9, 5_000), (600 * 10**9, 10_000), (12 * 10**12, 50_000)])
UNITS = st.sampled_from([1, 10, 10**8, scan.UNIT_MAX])


def check(quote: scan.Int64Array, assets: list[AssetColumn], markets: list[MarketColumn]) -> scan.Scan:
    found = scan.scan(quote, assets, markets)
    rows = [
        (int(equity), int(required), bool(flag))
        for equity, required, flag in zip(found.equity, found.required, found.liquidatable, strict=True)
    ]
    assert rows == scan.plain_scan([int(cash) for cash in quote], assets, markets)
    assert found.count == sum(flag for _, _, flag in rows)
    return found


@settings(max_examples=60)
@given(st.integers(0, 2**32), tables(), tables(), st.integers(1, 3000), UNITS)
def test_the_scan_equals_its_twin(
    seed: int, lost: tiers.RateTiers, rates: tiers.RateTiers, mark: int, unit: int
) -> None:
    draw = np.random.default_rng(seed)
    accounts = int(draw.integers(1, 200))

    def column(bits: int) -> scan.Int64Array:
        """Magnitudes of every size, both signs, many zeros."""
        numbers = draw.integers(-(2**bits), 2**bits, accounts) >> draw.integers(0, bits, accounts)
        numbers[draw.random(accounts) < 0.3] = 0
        return numbers

    price = int(draw.integers(0, unit * 2**12))
    assets = [AssetColumn(column(46), price, unit, lost, rates)]
    markets = [MarketColumn(column(46), column(55), mark * sign, rates) for sign in (1, 1, -1)]
    check(column(55), assets, markets)


def test_accounts_at_every_edge_of_a_tier_and_of_a_block() -> None:
    edges = [bound + step for bound in (*RATES.lower, 10**6, 2 * 10**6, 2**57) for step in (-1, 0, 1)]
    sizes = np.array([sign * edge for edge in edges for sign in (1, -1)] * 300, np.int64)
    assert len(sizes) > scan.BLOCK_ACCOUNTS
    quote = sizes // 50
    found = check(quote, [AssetColumn(sizes // 2**8, 3, 2, CURVE, RATES)], [MarketColumn(sizes, sizes, 1, RATES)])
    assert 0 < found.count < len(sizes)


def test_a_bound_beyond_64_bits_never_binds() -> None:
    rates = tiers.rate_tiers([(0, 1), (10**30, PPM)])
    check(np.array([5], np.int64), [], [MarketColumn(np.array([2**50]), np.array([0]), 7, rates)])


def test_nobody_and_nothing() -> None:
    assert scan.scan(np.empty(0, np.int64), [], []).count == 0
    found = check(np.array([-5, 0, 5], np.int64), [], [])
    assert found.count == 0, "who has no position is not liquidated, even below zero"


@pytest.mark.parametrize(
    ("size", "cost", "mark"), [(2**40, 0, 2**40), (-(2**63), 0, 1), (0, 2**62, 1), (1, -(2**63), 1), (1, 0, 2**63)]
)
def test_numbers_that_could_wrap_are_refused(size: int, cost: int, mark: int) -> None:
    market = MarketColumn(np.array([size], np.int64), np.array([cost], np.int64), mark, RATES)
    with pytest.raises(RuleInputError, match=r"expected (sums )?below 2\^63"):
        scan.scan(np.zeros(1, np.int64), [], [market])


@pytest.mark.parametrize(("price", "unit"), [(1, 0), (1, scan.UNIT_MAX + 1), (-1, 1), (2**63, 1)])
def test_units_and_prices_out_of_range_are_refused(price: int, unit: int) -> None:
    with pytest.raises(RuleInputError, match="asset price"):
        scan.scan(np.zeros(1, np.int64), [AssetColumn(np.zeros(1, np.int64), price, unit, CURVE, RATES)], [])


def test_too_much_of_an_asset_and_columns_of_two_lengths_are_refused() -> None:
    with pytest.raises(RuleInputError, match=r"expected below 2\^51 units"):
        scan.scan(np.zeros(1, np.int64), [AssetColumn(np.array([2**51]), 1, 1, CURVE, RATES)], [])
    with pytest.raises(RuleInputError, match=r"columns of \[2\] accounts: expected 1"):
        scan.scan(np.zeros(1, np.int64), [AssetColumn(np.zeros(2, np.int64), 1, 1, CURVE, RATES)], [])
