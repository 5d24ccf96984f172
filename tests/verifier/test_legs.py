"""The leg table, and the numbers that the proof system gets from a statement."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.verifier.small_tree import (
    EQUITY,
    RISK_INSTRUMENTS,
    SCENARIOS,
    STRESS,
    VALUE_DECIMALS,
)
from verifier import solvency
from verifier.errors import BadStatement
from verifier.instruments import PRICE_END, Bucket, Instrument, Scenario, Tier
from verifier.legs import (
    AMOUNT_CAP,
    balanced_digits,
    check_legs,
    derive_legs,
    edge,
    group_legs,
    split,
    tier_caps,
    with_haircut,
    with_margin,
)

PRICES = st.integers(0, PRICE_END - 1)


@given(PRICES)
def test_legs_of_an_equity_circuit(price: int) -> None:
    legs = derive_legs(EQUITY, 16, [Instrument("a", "spot", 0, 1), Instrument("b", "spot", 0, price)], ())
    check_legs(legs)
    assert [(leg.index, leg.instrument, leg.side, leg.total) for leg in legs] == [
        (0, 0, "long", 0),
        (1, 0, "short", 1),
        (2, 1, "long", 2),
        (3, 1, "short", 3),
    ]
    assert [leg.price_coefficient for leg in legs] == [1, -1, price, -price]
    assert {(leg.cap, leg.bucket, leg.tier, leg.lens_coefficients) for leg in legs} == {(2**63 - 1, None, None, ())}


@given(st.integers(-PRICE_END + 1, PRICE_END - 1))
def test_balanced_digits(value: int) -> None:
    digits = balanced_digits(value)
    assert len(digits) == 7
    assert all(-128 <= digit <= 127 for digit in digits)
    assert sum(digit * 256**i for i, digit in enumerate(digits)) == value


def test_a_debt_with_all_margin_has_seven_digits() -> None:
    """Twice the largest price; that is why prices are below 2^54 and not 2^55."""
    worst = -2 * (PRICE_END - 1)
    assert sum(digit * 256**i for i, digit in enumerate(balanced_digits(worst))) == worst


@pytest.mark.negative
def test_digits_that_do_not_suffice() -> None:
    for value in (2**55, -(2**55) - 2**50):
        with pytest.raises(BadStatement, match="7 digits"):
            balanced_digits(value)


# ---------------------------------------------------------------------------------- tiers


def test_caps_telescope() -> None:
    tiers = (Tier(10, 9000), Tier(25, 8000), Tier(26, 100))
    caps = tier_caps(tiers, price=3, value_decimals=1)
    assert caps == ((0, 33), (1, 50), (2, 3), (None, AMOUNT_CAP))
    assert list(accumulate(cap for _, cap in caps[:3])) == [edge(tier, 3, 1) for tier in tiers] == [33, 83, 86]


def test_an_unbounded_tier_has_no_tail() -> None:
    assert tier_caps((Tier(10, 9000), Tier(None, 0)), 1, 0) == ((0, 10), (1, AMOUNT_CAP))
    assert tier_caps((Tier(None, 10_000),), 0, 0) == ((0, AMOUNT_CAP),)
    assert tier_caps((), 5, 0) == ((None, AMOUNT_CAP),)


def test_a_tier_without_an_atom_has_no_leg() -> None:
    """Of two bounds on the same atom the first one counts; an asset whose atom is worth more has no tier at all."""
    assert tier_caps((Tier(10, 9000), Tier(11, 8000), Tier(20, 100)), 10, 0) == ((0, 1), (2, 1), (None, AMOUNT_CAP))
    assert tier_caps((Tier(10, 9000), Tier(20, 8000)), 21, 0) == ((None, AMOUNT_CAP),)


def test_without_a_price_no_bounded_tier_has_a_leg() -> None:
    assert tier_caps((Tier(10, 9000), Tier(20, 8000)), 0, 16) == ((None, AMOUNT_CAP),)
    assert tier_caps((Tier(10, 100), Tier(None, 200)), 0, 16) == ((1, AMOUNT_CAP),)


def test_edges_above_the_largest_amount() -> None:
    """The first bound that no amount reaches is the last one with a leg, but for the unbounded part."""
    tiers = (Tier(2**62, 9000), Tier(2**63 - 1, 8000), Tier(2**63, 7000), Tier(2**64 - 1, 100))
    caps = tier_caps(tiers, 1, 0)
    assert caps == ((0, 2**62), (1, 2**63 - 1 - 2**62), (None, AMOUNT_CAP))
    assert tier_caps((Tier(2**63, 9000), Tier(None, 1)), 1, 0) == ((0, AMOUNT_CAP), (1, AMOUNT_CAP))


@given(st.integers(1, PRICE_END - 1), st.integers(1, 10**12), st.integers(0, 30))
def test_an_edge_is_the_last_atom_within_the_bound(price: int, to: int, value_decimals: int) -> None:
    last = edge(Tier(to, 1), price, value_decimals)
    assert last is not None
    assert Fraction(last * price, 10**value_decimals) <= to < Fraction((last + 1) * price, 10**value_decimals)


def test_one_atom_around_an_edge() -> None:
    legs = derive_legs(STRESS, VALUE_DECIMALS, RISK_INSTRUMENTS, SCENARIOS)
    loan = group_legs(legs)[0, "long", 0]
    edges = list(accumulate(leg.cap for leg in loan[:3]))
    for number, at in enumerate(edges):
        for amount in (at - 1, at, at + 1):
            parts = list(split(amount, loan))
            full = number if amount <= at else number + 1
            assert [leg.index for leg, _ in parts] == list(range(full + 1))
            assert [atoms for _, atoms in parts[:full]] == [leg.cap for leg in loan[:full]]
            assert sum(atoms for _, atoms in parts) == amount
    assert list(split(0, loan)) == []
    assert list(split(AMOUNT_CAP, loan))[-1][0].tier is None


@pytest.mark.negative
def test_an_amount_that_no_leg_holds() -> None:
    loan = group_legs(derive_legs(STRESS, VALUE_DECIMALS, RISK_INSTRUMENTS, ()))[0, "long", 0]
    with pytest.raises(BadStatement, match="above its cap"):
        list(split(2 * AMOUNT_CAP, loan))


# ---------------------------------------------------------------------------------- a second derivation

Table = tuple[tuple[Instrument, ...], tuple[Scenario, ...], int]


def curve(source: random.Random, count: int, rising: bool) -> tuple[Tier, ...]:
    ratios = sorted((source.choice((0, 1, 333, 5000, 9999, 10_000)) for _ in range(count)), reverse=not rising)
    bounds: list[int | None] = [*sorted(source.sample(range(1, 400), count))]
    if bounds and (rising or source.random() < 0.3):
        bounds[-1] = None
    return tuple(Tier(to, ratio) for to, ratio in zip(bounds, ratios, strict=True))


def random_table(source: random.Random) -> Table:
    """Two to six instruments of all kinds, small prices and bounds, so that edges are hit."""
    decimals = source.randrange(0, 4)
    instruments = []
    for j in range(source.randrange(2, 7)):
        kind = source.choice(("spot", "spot", "perpetual", "cost-basis"))
        price = source.choice((0, 1, 2, 7, 10**decimals, source.randrange(1, 50), PRICE_END - 1))
        buckets: tuple[Bucket, ...] = ()
        margin = () if kind == "cost-basis" else curve(source, source.randrange(0, 4), True)
        if kind == "spot":
            buckets = tuple(
                Bucket(f"b{k}", curve(source, source.randrange(0, 5), False)) for k in range(source.randrange(1, 4))
            )
        elif kind == "cost-basis":
            price = 10**decimals
        instruments.append(Instrument(f"i{j}", kind, 0, price, buckets, margin))
    scenarios = [
        Scenario(
            f"s{k}",
            tuple(
                i.price if i.kind == "cost-basis" else source.choice((0, 1, 5, 40, PRICE_END - 1)) for i in instruments
            ),
        )
        for k in range(source.randrange(0, 4))
    ]
    return tuple(instruments), tuple(scenarios), decimals


def within(amount: int, tiers: Sequence[Tier], price: int, value_decimals: int) -> Iterator[tuple[Fraction, int]]:
    """How much of an amount lies in each tier, atoms cut where the bounds are, and the ratio; the rest comes last."""
    below = Fraction(0)
    for tier in tiers:
        bound = Fraction(amount)
        if tier.to is not None and price:
            bound = min(bound, Fraction(tier.to * 10**value_decimals, price))
        elif tier.to is not None:
            bound = below
        yield bound - below, tier.ratio
        below = bound
    yield amount - below, 0


def worth(table: Table, amounts: dict[tuple[int, str, int | None], int], scenario: int | None) -> Fraction:
    """Health as the words of the design have it, without rounding anything."""
    instruments, scenarios, decimals = table
    out = Fraction(0)
    for (j, side, bucket), amount in amounts.items():
        i = instruments[j]
        value = i.price if scenario is None else scenarios[scenario].values[j]
        if bucket is not None:
            parts = within(amount, i.buckets[bucket].tiers, i.price, decimals)
            out += sum(part * value * Fraction(ratio, 10_000) for part, ratio in parts)
        else:
            parts = within(amount, i.margin, i.price, decimals)
            margin = sum(part * value * Fraction(ratio, 10_000) for part, ratio in parts)
            out += (amount if side == "long" else -amount) * value - margin
    return out


@pytest.mark.parametrize("seed", range(60))
def test_random_tables_against_exact_fractions(seed: int) -> None:
    """Health through the legs is never above the exact value, and misses it by rounding only."""
    source = random.Random(seed)
    table = random_table(source)
    instruments, scenarios, decimals = table
    legs = derive_legs(STRESS, decimals, instruments, scenarios)
    check_legs(legs)
    groups = group_legs(legs)
    names = [(j, k) for j, i in enumerate(instruments) for k in (range(len(i.buckets)) if i.buckets else [None])]
    expected_groups = sorted(
        [(j, "long", k) for j, k in names] + [(j, "short", None) for j in range(len(instruments))], key=str
    )
    assert sorted(groups, key=str) == expected_groups
    totals = [{leg.total for leg in members} for members in groups.values()]
    assert totals == [{t} for t in range(len(groups))]
    for _ in range(20):
        amounts = {key: source.choice((0, 1, source.randrange(600), source.randrange(AMOUNT_CAP))) for key in groups}
        for key in source.sample(list(groups), 2):
            edges = list(accumulate(leg.cap for leg in groups[key][:-1]))
            if edges:
                amounts[key] = min(AMOUNT_CAP, max(0, source.choice(edges) + source.randrange(-1, 2)))
        entries = [part for key, amount in amounts.items() for part in split(amount, groups[key])]
        for lens in range(7):
            got = sum(leg.lens_coefficients[lens] * atoms for leg, atoms in entries)
            scenario = None if lens == 0 else (lens - 1) // 2
            if scenario is not None and scenario >= len(scenarios):
                assert got == 0
            elif lens % 2:
                values = scenarios[scenario].values  # type: ignore[index]
                signed = ((1 if side == "long" else -1) * values[j] * n for (j, side, _), n in amounts.items())
                assert got == sum(signed)
            else:
                exact = worth(table, amounts, scenario)
                assert got <= exact
                # An atom loses less than one value unit, and one that an edge cuts may lose all that it is worth.
                value = max((v for s in scenarios for v in s.values), default=0)
                slack = sum(amounts.values()) + len(legs) * max(value, *(i.price for i in instruments))
                assert exact - got <= slack


@pytest.mark.parametrize("seed", range(30))
def test_no_split_over_tiers_gains(seed: int) -> None:
    """The circuit takes any split: the published one is at least as healthy under every lens."""
    source = random.Random(1000 + seed)
    instruments, scenarios, decimals = random_table(source)
    legs = derive_legs(STRESS, decimals, instruments, scenarios)
    for members in group_legs(legs).values():
        amount = source.randrange(500)
        best = list(split(amount, members))
        left, other = amount, []
        for leg in source.sample(members, len(members)):
            taken = min(left, leg.cap, source.randrange(500))
            other.append((leg, taken))
            left -= taken
        other.append((members[-1], left))
        for lens in range(7):
            health = [sum(leg.lens_coefficients[lens] * n for leg, n in parts) for parts in (best, other)]
            assert health[0] >= health[1]


@given(PRICES, st.integers(0, 10_000))
def test_rounding_is_against_the_account(price: int, ratio: int) -> None:
    exact = Fraction(price * ratio, 10_000)
    assert exact - 1 < with_haircut(price, ratio) <= exact <= with_margin(price, ratio) < exact + 1
    assert with_haircut(price, 10_000) == price == with_margin(price, 10_000)


def test_legs_of_the_small_risk_table() -> None:
    legs = derive_legs(STRESS, VALUE_DECIMALS, RISK_INSTRUMENTS, SCENARIOS)
    rows = [(leg.instrument, leg.side, leg.bucket, leg.tier, leg.total) for leg in legs]
    assert rows == [
        *((0, "long", 0, tier, 0) for tier in (0, 1, 2, None)),
        (0, "long", 1, None, 1),
        *((0, "short", None, tier, 2) for tier in (0, 1, 2)),
        *((1, "long", None, tier, 3) for tier in (0, 1, 2)),
        *((1, "short", None, tier, 4) for tier in (0, 1, 2)),
        (2, "long", None, None, 5),
        (2, "short", None, None, 6),
        (3, "long", 0, 0, 7),
        (3, "long", 1, 0, 8),
        (3, "long", 1, None, 8),
        (3, "short", None, None, 9),
    ]
    price, stressed = 651_002_200_000, 455_701_540_000
    assert legs[1].lens_coefficients == (price * 8 // 10, stressed, stressed * 8 // 10, 0, 0, 0, 0)
    assert legs[5].lens_coefficients == (
        *(-price * 105 // 100, -stressed, -stressed * 105 // 100),
        *(0, 0, 0, 0),
    )
    assert legs[14].lens_coefficients == (10**10,) * 5 + (0, 0)
    assert all(len(leg.lens_digits) == 7 for leg in legs)


def test_unused_lenses_are_zero_and_each_circuit_has_its_own() -> None:
    for name, circuit in solvency.CIRCUITS.items():
        if circuit.lenses:
            legs = derive_legs(name, VALUE_DECIMALS, RISK_INSTRUMENTS, SCENARIOS[: circuit.scenarios])
            used = 1 + 2 * min(2, circuit.scenarios)
            check_legs(legs)
            assert {len(leg.lens_coefficients) for leg in legs} == {circuit.lenses}
            assert all(not any(leg.lens_coefficients[used:]) for leg in legs)


def test_a_full_table() -> None:
    """483 instruments, three buckets of up to nine tiers, ten scenarios: what it takes is measured by `make bench`."""
    source = random.Random(0)
    buckets = tuple(
        Bucket(name, tuple(Tier(1000 * (t + 1), 10_000 - 500 * t) for t in range(count)))
        for name, count in (("loan", 9), ("margin", 9), ("portfolio", 1))
    )
    table = [Instrument(f"t{j}", "spot", 8, source.randrange(1, 2**40), buckets) for j in range(483)]
    scenarios = [Scenario(f"s{k}", tuple(source.randrange(2**41) for _ in table)) for k in range(10)]
    legs = derive_legs("solvency_stress_v1_10", 16, table, scenarios)
    check_legs(legs)
    assert len(legs) > 5000


@pytest.mark.negative
def test_the_greatest_and_the_least_of_seven_digits() -> None:
    least = -128 * (256**7 - 1) // 255
    assert balanced_digits(least) == (-128,) * 7 and balanced_digits(least + 256**7 - 1) == (127,) * 7
    for beyond in (least - 1, least + 256**7):
        with pytest.raises(BadStatement, match="needs more than 7 digits"):
            balanced_digits(beyond)
