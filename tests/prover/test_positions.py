"""Positions are split and valued as slow Python integers say."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prover.positions import (
    account_values,
    equity_of,
    find_overflow,
    first_positions,
    health_of,
    is_plain,
    position_sides,
    risk_legs,
    split_positions,
)
from verifier.instruments import Bucket, Instrument, Scenario, Tier
from verifier.legs import AMOUNT_CAP, LONG, Leg, derive_legs

TOP = 2**63 - 1
TIERS = (Tier(10, 10_000), Tier(25, 9_000), Tier(26, 5_000), Tier(None, 2_500))
ENDING = (Tier(1, 9_999), Tier(10**6, 3_333))
MARGIN = (Tier(20, 500), Tier(300, 1_000), Tier(None, 9_999))
TABLE = (
    Instrument("basis", "cost-basis", 2, 10**6),
    Instrument("btc", "spot", 8, 123_457, (Bucket("free", ()), Bucket("m", TIERS), Bucket("e", ENDING)), MARGIN),
    Instrument("junk", "spot", 0, 0, (Bucket("m", TIERS),), MARGIN),
    Instrument("perp", "perpetual", 8, 99_999, (), MARGIN),
    Instrument("usd", "spot", 2, 10**6, (Bucket("all", (Tier(None, 10_000),)),), ()),
)
VALUE_DECIMALS = 8
LEGS = risk_legs(TABLE, VALUE_DECIMALS)
IDS = int(first_positions(TABLE)[-1])

AMOUNTS = st.integers(1, TOP) | st.integers(1, 10**7) | st.sampled_from([1, TOP, *(leg.cap for leg in LEGS)])
ACCOUNTS = st.lists(st.dictionaries(st.integers(0, IDS - 1), AMOUNTS, max_size=5), min_size=1, max_size=6)

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def arrays(accounts: list[dict[int, int]]) -> Arrays:
    entries = [sorted(each.items()) for each in accounts]
    return (
        np.cumsum([0, *map(len, entries)]).astype(np.int64),
        np.array([position for each in entries for position, _ in each], np.uint16),
        np.array([amount for each in entries for _, amount in each], np.uint64),
    )


def split_slowly(account: dict[int, int]) -> list[tuple[Leg, int]]:
    found = []
    for position, amount in sorted(account.items()):
        left = amount
        for leg in LEGS:
            if leg.total == position and left:
                found.append((leg, min(left, leg.cap)))
                left -= found[-1][1]
        assert left == 0
    return found


@given(ACCOUNTS)
def test_split(accounts: list[dict[int, int]]) -> None:
    offsets, legs, amounts = split_positions(*arrays(accounts), LEGS)
    assert [each.dtype.name for each in (offsets, legs, amounts)] == ["int64", "uint16", "uint64"]
    assert offsets[0] == 0
    assert offsets[-1] == len(legs) == len(amounts)
    for i, account in enumerate(accounts):
        part = slice(offsets[i], offsets[i + 1])
        expected = [(leg.index, amount) for leg, amount in split_slowly(account)]
        assert list(zip(legs[part].tolist(), amounts[part].tolist(), strict=True)) == expected
        assert (np.diff(legs[part].astype(int)) > 0).all()


@given(ACCOUNTS)
def test_values(accounts: list[dict[int, int]]) -> None:
    entries = arrays(accounts)
    equity, health = equity_of(*entries, TABLE), health_of(*entries, LEGS)
    split = [split_slowly(account) for account in accounts]
    prices, lens = [leg.price_coefficient for leg in LEGS], [leg.lens_coefficients[0] for leg in LEGS]
    for values, coefficients in ((equity, prices), (health, lens)):
        expected = [sum(amount * coefficients[leg.index] for leg, amount in each) for each in split]
        assert [values.of(i) for i in range(len(accounts))] == expected
        assert values.negative.tolist() == [value < 0 for value in expected]
        assert values.too_large.tolist() == [abs(value) >= 2**112 for value in expected]
        if not values.too_large.any():
            assert values.sums() == (sum(v for v in expected if v > 0), -sum(v for v in expected if v < 0))
    assert all(health.of(i) <= equity.of(i) for i in range(len(accounts)))


@pytest.mark.parametrize("value", [2**112 - 1, 2**112, 2**112 + 1, 0, 1])
@pytest.mark.parametrize("sign", [1, -1])
def test_values_at_the_bound(value: int, sign: int) -> None:
    """A value as amounts times coefficients 2^54 and 1."""
    high, low = value >> 54, value % 2**54
    offsets, legs = np.array([0, 2], np.int64), np.array([0, 1], np.uint16)
    values = account_values(offsets, legs, np.array([high, low], np.uint64), [sign * 2**54, sign])
    assert values.of(0) == sign * value
    assert values.too_large.tolist() == [value >= 2**112]
    assert values.negative.tolist() == [sign * value < 0]


def test_no_entries_at_all() -> None:
    offsets = np.zeros(3, np.int64)
    none = np.zeros(0, np.uint16), np.zeros(0, np.uint64)
    assert [len(each) for each in split_positions(offsets, *none, LEGS)] == [3, 0, 0]
    assert [equity_of(offsets, *none, TABLE).of(i) for i in range(2)] == [0, 0]
    assert find_overflow(offsets, *none, TABLE, VALUE_DECIMALS) is None


def test_sides_are_the_totals_of_the_legs() -> None:
    sides = position_sides(TABLE)
    assert len(sides) == IDS == LEGS[-1].total + 1
    for leg in LEGS:
        side = sides[leg.total]
        assert (side.instrument, side.side, side.bucket) == (leg.instrument, leg.side, leg.bucket)
    plain = tuple(Instrument(f"a{i}", "spot", 8, 1) for i in range(3))
    assert [(s.instrument, s.side == LONG, s.bucket) for s in position_sides(plain)] == [
        (j, k == 0, None) for j in range(3) for k in range(2)
    ]
    assert is_plain(plain)
    assert not is_plain(TABLE)


@settings(deadline=None)
@given(ACCOUNTS, st.integers(0, 2**54 - 1))
def test_lenses_of_a_scenario(accounts: list[dict[int, int]], value: int) -> None:
    values = tuple(i.price if i.kind == "cost-basis" else value for i in TABLE)
    legs = derive_legs("solvency_stress_v1_1", VALUE_DECIMALS, TABLE, (Scenario("s", values),))
    for lens in (1, 2):
        found = health_of(*arrays(accounts), legs, lens)
        for i, account in enumerate(accounts):
            split = split_slowly(account)
            assert found.of(i) == sum(amount * legs[leg.index].lens_coefficients[lens] for leg, amount in split)


@pytest.mark.negative
def test_a_total_that_overflows_is_found() -> None:
    table = (Instrument("a", "perpetual", 0, 2**54 - 1, (), (Tier(None, 5_000),)),)
    one = {0: 2**57, 1: 2**57 - 3}
    assert find_overflow(*arrays([one]), table, 0) is None
    found = find_overflow(*arrays([one] * 3), table, 0)
    assert found is not None
    assert found[0] is None
    assert found[1].startswith("a total margin deficit of ")
    found = find_overflow(*arrays([{}, {0: AMOUNT_CAP}]), table, 0)
    assert found == (1, f"an account worth {AMOUNT_CAP * (2**54 - 1)} value units")


def test_a_million_accounts_take_seconds() -> None:
    random = np.random.default_rng(1)
    accounts, held = 1_000_000, 3
    positions = np.sort(random.integers(0, IDS - held, (accounts, held)), axis=1) + np.arange(held)
    amounts = (2 ** random.uniform(0, 40, accounts * held)).astype(np.uint64) + np.uint64(1)
    offsets = np.arange(accounts + 1, dtype=np.int64) * held
    started = time.perf_counter()
    split = split_positions(offsets, positions.reshape(-1).astype(np.uint16), amounts, LEGS)
    assert len(split[1]) > accounts * held
    assert int(split[2].sum()) == int(amounts.sum())
    assert time.perf_counter() - started < 10
