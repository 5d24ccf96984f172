"""The leg table, and the numbers that the proof system gets from a statement."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.verifier.small_tree import (
    EQUITY,
    INSTRUMENTS,
    RISK_INSTRUMENTS,
    SCENARIOS,
    STRESS,
    VALUE_DECIMALS,
    Builder,
    Publication,
    publication,
    risk_publication,
)
from verifier import solvency
from verifier.errors import BadStatement, InvariantBroken, Reason
from verifier.field import Ext, P, ext_add, ext_inverse, ext_mul, ext_pow, ext_scale, ext_sub, lift
from verifier.instruments import LEGS_MAX, PRICE_END, Bucket, Instrument, Scenario, Tier
from verifier.legs import (
    AMOUNT_CAP,
    Leg,
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
from verifier.statement import Totals
from verifier.tree import limbs16

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


def test_a_full_table_is_fast() -> None:
    """483 instruments, three buckets of up to nine tiers, ten scenarios: derived and checked within seconds."""
    source = random.Random(0)
    buckets = tuple(
        Bucket(name, tuple(Tier(1000 * (t + 1), 10_000 - 500 * t) for t in range(count)))
        for name, count in (("loan", 9), ("margin", 9), ("portfolio", 1))
    )
    table = [Instrument(f"t{j}", "spot", 8, source.randrange(1, 2**40), buckets) for j in range(483)]
    scenarios = [Scenario(f"s{k}", tuple(source.randrange(2**41) for _ in table)) for k in range(10)]
    started = time.perf_counter()
    legs = derive_legs("solvency_stress_v1_10", 16, table, scenarios)
    check_legs(legs)
    assert len(legs) > 5000
    assert time.perf_counter() - started < 5


# ---------------------------------------------------------------------------------- tables that are refused

BROKEN: list[tuple[str, int, dict[str, Any], str]] = [
    ("number", 0, {"index": 1}, "number 1"),
    ("cap too large", 0, {"cap": AMOUNT_CAP + 1}, "cap"),
    ("cap zero", 0, {"cap": 0}, "cap"),
    ("side", 0, {"side": "both"}, "neither long nor short"),
    ("wrong sign", 4, {"side": "short"}, "does not suit side short"),
    ("price 2^54", 4, {"price_coefficient": PRICE_END}, "does not suit side long"),
    ("digits of another price", 0, {"digits": (0,) * 7}, "digits are not those of the price"),
    ("digits of another health", 0, {"lens_digits": ((0,) * 7,) * 7}, "digits are not those of the coefficients"),
    ("two prices, one total", 0, {"total": 5}, "total 5 has two price coefficients"),
    ("a lens less", 1, {"lens_coefficients": (0,) * 6, "lens_digits": ((0,) * 7,) * 6}, "another number of lenses"),
]


def stress_legs() -> list[Leg]:
    return list(derive_legs(STRESS, VALUE_DECIMALS, RISK_INSTRUMENTS, SCENARIOS))


def with_lens(leg: Leg, lens: int, value: int) -> Leg:
    coefficients = (*leg.lens_coefficients[:lens], value, *leg.lens_coefficients[lens + 1 :])
    return replace(leg, lens_coefficients=coefficients, lens_digits=tuple(map(balanced_digits, coefficients)))


def refused_legs(legs: Sequence[Leg], words: str) -> None:
    with pytest.raises(BadStatement, match=words) as caught:
        check_legs(legs)
    assert caught.value.reason is Reason.INSTRUMENT_TABLE


@pytest.mark.negative
@pytest.mark.parametrize(("at", "change", "words"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN])
def test_a_leg_table_that_breaks_a_rule(at: int, change: dict[str, Any], words: str) -> None:
    legs = stress_legs()
    check_legs(legs)
    legs[at] = replace(legs[at], **change)
    refused_legs(legs, words)


@pytest.mark.negative
@pytest.mark.parametrize("lens", [0, 2, 4])
@pytest.mark.parametrize(("at", "what"), [(0, "collateral"), (8, "position"), (5, "debt")])
def test_health_above_equity(lens: int, at: int, what: str) -> None:
    """06 attack 9: an account could be healthy and under water. In a curve's first tier no other rule sees it."""
    legs = stress_legs()
    equity = legs[at].price_coefficient if lens == 0 else legs[at].lens_coefficients[lens - 1]
    legs[at] = with_lens(legs[at], lens, equity + 1)
    refused_legs(legs, "is above .* that of equity")
    legs[at] = with_lens(legs[at], lens, equity)
    check_legs(legs)


@pytest.mark.negative
@pytest.mark.parametrize("lens", [0, 2, 4])
@pytest.mark.parametrize("at", [2, 6, 9, 12])
def test_a_tier_that_counts_for_more_than_the_one_before(lens: int, at: int) -> None:
    """06 attack 10: then the split that the prover chooses would matter."""
    legs = stress_legs()
    before = legs[at - 1].lens_coefficients[lens]
    if before == legs[at].price_coefficient:  # nothing to gain there
        pytest.skip("the tier before counts in full")
    legs[at] = with_lens(legs[at], lens, before + 1)
    refused_legs(legs, "more than in the tier before" if before + 1 <= equity_of(legs[at], lens) else "above")
    legs[at] = with_lens(legs[at], lens, before)
    check_legs(legs)


def equity_of(leg: Leg, lens: int) -> int:
    return leg.price_coefficient if lens == 0 else leg.lens_coefficients[lens - 1]


@pytest.mark.negative
def test_tiers_are_compared_also_where_other_legs_stand_between() -> None:
    legs = stress_legs()
    moved = [legs[1], legs[4], replace(legs[0], total=9)]
    refused_legs([replace(leg, index=i) for i, leg in enumerate(moved)], "more than in the tier before")


@pytest.mark.negative
def test_legs_of_one_total_differ_in_a_scenario() -> None:
    """Otherwise a scenario's shortfall would depend on the leg that a holding is booked under."""
    legs = stress_legs()
    legs[1] = with_lens(legs[1], 1, legs[1].lens_coefficients[1] + 1)
    refused_legs(legs, "total 0 has two price coefficients")


@pytest.mark.negative
def test_coefficients_of_a_scenario_out_of_range() -> None:
    for at, lens, value, words in (
        (4, 1, -1, "value -1 in scenario 0 does not suit side long"),
        (4, 1, PRICE_END, "in scenario 0 does not suit"),
        (15, 3, 1, "value 1 in scenario 1 does not suit side short"),
        (4, 0, -1, "health coefficient -1 does not suit side long"),
        (4, 2, -1, "health coefficient -1 does not suit side long"),
    ):
        legs = stress_legs()
        legs[at] = with_lens(legs[at], lens, value)
        refused_legs(legs, words)


@pytest.mark.negative
def test_more_legs_than_numbers() -> None:
    leg = derive_legs(EQUITY, 16, INSTRUMENTS, ())[0]
    refused_legs([replace(leg, index=i) for i in range(LEGS_MAX + 1)], f"at most {LEGS_MAX} legs")
    check_legs([replace(leg, index=i) for i in range(LEGS_MAX)])


# ---------------------------------------------------------------------------------- what the proof system gets


@pytest.mark.parametrize("circuit", solvency.CIRCUITS)
def test_public_columns_follow_the_tables(circuit: str) -> None:
    proves = solvency.CIRCUITS[circuit]
    statement = (risk_publication if proves.lenses else publication)(circuit).statement
    columns = solvency.public_columns(statement)
    outputs = len(statement.total_amounts) + 1 + proves.lenses
    liability, lenses = outputs - proves.lenses - 1, tuple(range(outputs - proves.lenses, outputs))
    assert columns["is_mask_out"] == columns["is_mask_in"] == columns["mask_goes_on"] == ()
    assert columns["ends_mask_out"] == columns["ends_mask_in"] == ()
    assert columns["is_carry"] == (1,) * outputs
    assert columns["is_root"] == (0,) * outputs + (1,)
    assert columns["output"] == (*range(outputs), liability, *lenses)
    if proves.lenses:
        assert columns["is_loss"] == (0,) * (outputs + 1) + (1,) * proves.lenses
    rows = proves.record_rows
    assert ("starts_record" in columns) == bool(rows)
    if rows:
        assert columns["in_totals_record"] == (1,) * rows
        assert columns["starts_record"] == (1,) + (0,) * (rows - 1)
        assert columns["ends_record"] == columns["starts_record"][::-1]
        assert columns["next_in_totals_record"] == (1,) * (rows - 1)


@pytest.mark.parametrize("circuit", [EQUITY, STRESS])
def test_several_shards_have_masks_before_the_carries(circuit: str) -> None:
    proves = solvency.CIRCUITS[circuit]
    statement = replace((risk_publication if proves.lenses else publication)(circuit).statement, shards=3)
    columns, outputs = solvency.public_columns(statement), len(statement.outputs)
    ids = tuple(range(outputs))
    assert columns["is_mask_out"] == (1,) * outputs
    assert columns["is_mask_in"] == (0,) * outputs + (1,) * outputs
    assert columns["mask_goes_on"] == (*(1,) * (outputs - 1), 0) * 2
    assert columns["ends_mask_out"] == (0,) * (outputs - 1) + (1,)
    assert columns["ends_mask_in"] == (0,) * (2 * outputs - 1) + (1,)
    assert columns["is_carry"] == (0,) * (2 * outputs) + (1,) * outputs
    assert columns["output"][: 3 * outputs] == ids * 3
    assert statement.special_rows.count == len(columns["output"]) == 3 * outputs + 1 + proves.lenses


@pytest.mark.parametrize("circuit", [EQUITY, STRESS])
def test_a_row_of_the_leg_table_is_one_fingerprint(circuit: str) -> None:
    proves = solvency.CIRCUITS[circuit]
    statement = (risk_publication if proves.lenses else publication)(circuit).statement
    r, _, beta = draw(random.Random(9))
    columns = solvency.challenge_columns(statement, statement.legs, {"r": r, "beta": beta})
    assert len(columns) == (15 if proves.record_rows else 5)
    for j, leg in enumerate(statement.legs):
        values = [leg.index, leg.total, *limbs16(leg.cap, 4), *leg.digits, *(d for ds in leg.lens_digits for d in ds)]
        expected = lift(3)
        for k, value in enumerate(values):
            expected = ext_add(expected, ext_scale(ext_pow(beta, k + 1), value))
        assert tuple(columns[f"leg_row{k}"][j] for k in range(5)) == expected
    if proves.record_rows:
        weights = [tuple(columns[f"next_weight{k}"][i] for k in range(5)) for i in range(proves.record_rows)]
        window = 16 // proves.record_rows
        lowest = [window * (proves.record_rows - 1 - row) for row in range(proves.record_rows)]
        assert weights == [ext_pow(r, at) for at in (*lowest[1:], lowest[0])]


def test_weights_of_the_loss_rows() -> None:
    statement = risk_publication().statement
    r = draw(random.Random(10))[0]
    columns = solvency.challenge_columns(statement, statement.legs, {"r": r, "beta": r})
    rows = statement.special_rows
    for row in range(rows.count - 1):
        lens = row + 1 - rows.first_loss
        expected = ext_pow(r, 16 * lens) if lens >= 0 else lift(0)
        assert tuple(columns[f"next_loss_weight{k}"][row] for k in range(5)) == expected


def test_outputs_are_totals_liability_and_losses() -> None:
    statement = risk_publication().statement
    one, two = statement.losses
    lost = (one.shortfall, one.margin_deficit, two.shortfall, two.margin_deficit)
    expected = (statement.total_margin_deficit, *lost, 0, 0)
    assert statement.outputs == (*statement.total_amounts, statement.total_liability, *expected)
    assert publication().statement.outputs[statement.liability_output :] == ()
    assert publication().statement.outputs[-1] == publication().statement.total_liability


def rows_of_totals(small: Publication, r: Ext, alpha: Ext, beta: Ext) -> Ext:
    """What the trace adds: a fraction per entry, and one per total row that moves carries between the bytes."""
    out = lift(0)
    byte_sums = [[0] * 8 for _ in range(2 * len(INSTRUMENTS))]
    for account in small.accounts:
        for leg, amount in account.entries:
            bytes_ = amount.to_bytes(8, "little")
            byte_sums[leg] = [a + b for a, b in zip(byte_sums[leg], bytes_, strict=True)]
            out = ext_add(out, fraction(polynomial(list(bytes_), r), 5, (leg,), alpha, beta))
    for leg, sums in enumerate(byte_sums):
        carries, carry = [], 0
        for byte_sum in sums[:7]:
            carry = (byte_sum + carry) >> 8
            carries.append(carry)
        moved = ext_mul(ext_sub(lift(256), r), polynomial(carries, r))
        out = ext_sub(out, fraction(moved, 5, (leg,), alpha, beta))
    return out


def polynomial(coefficients: list[int], at: Ext) -> Ext:
    out = lift(0)
    for i, coefficient in enumerate(coefficients):
        out = ext_add(out, ext_scale(ext_pow(at, i), coefficient))
    return out


def fraction(numerator: Ext, tag: int, values: tuple[int, ...], alpha: Ext, beta: Ext) -> Ext:
    """numerator / (alpha - tag - sum beta^(k+1) value_k), written out."""
    denominator = ext_sub(alpha, lift(tag))
    for k, value in enumerate(values):
        denominator = ext_sub(denominator, ext_scale(ext_pow(beta, k + 1), value))
    return ext_mul(numerator, ext_inverse(denominator))


def draw(source: random.Random) -> tuple[Ext, Ext, Ext]:
    one, two, three = ([source.randrange(P) for _ in range(5)] for _ in range(3))
    return ((*one,), (*two,), (*three,))  # type: ignore[return-value]


def test_terminal_is_the_sum_over_the_rows() -> None:
    """Entries and carry rows as the circuit adds them, and the liability that the root row brings."""
    small = publication()
    r, alpha, beta = draw(random.Random(1))
    value = limbs16(small.statement.total_liability, 7)
    brought = polynomial(list(value), ext_mul(r, r))
    liability = fraction(brought, 5, (small.statement.liability_output,), alpha, beta)
    expected = ext_add(rows_of_totals(small, r, alpha, beta), liability)
    assert terminal_of(small, r, alpha, beta) == expected


def terminal_of(small: Publication, *challenges: Ext) -> Ext:
    return solvency.relation(small.statement, small.shard).terminal(*challenges)


def test_masked_outputs_are_words_at_even_positions() -> None:
    small = Builder(random.Random(12), shards=3).build(publication().accounts)
    r, alpha, beta = draw(random.Random(13))
    expected = lift(0)
    for number, output in enumerate(small.shard.outputs):
        words = [output >> (16 * j) & 0xFFFF for j in range(8)]
        expected = ext_add(expected, fraction(polynomial(words, ext_mul(r, r)), 5, (number,), alpha, beta))
    assert terminal_of(small, r, alpha, beta) == expected


def test_digests_of_root_and_masks_are_scalars() -> None:
    small = Builder(random.Random(12), shards=3).build(publication().accounts)
    r, alpha, beta = draw(random.Random(14))
    scalars = solvency.relation(small.statement, small.shard).scalars(r, alpha, beta)
    words = {
        "root": (*small.shard.root, small.statement.levels + 1),
        "mask_out": small.shard.mask_out,
        "mask_in": small.shard.mask_in,
    }
    for name, values in words.items():
        assert scalars[name] == ext_mul(beta, polynomial(list(values), beta))


@pytest.mark.negative
def test_terminal_depends_on_every_output() -> None:
    small = publication()
    statement = small.statement
    challenges = draw(random.Random(2))
    terminals = {terminal_of(small, *challenges)}
    changes: list[dict[str, Any]] = [
        {"total_liability": statement.total_liability + 1},
        {"total_liability": statement.total_liability + 2**111},
    ]
    for j, pair in enumerate(statement.totals):
        for amount in (1, 2**56, P * 2**56 - 256 * P * 2**48 + 2**80):
            for more in ((amount, 0), (0, amount)):
                totals = list(statement.totals)
                totals[j] = Totals(pair.long + more[0], pair.short + more[1])
                changes.append({"totals": tuple(totals)})
    for change in changes:
        terminals.add(terminal_of(small.stating(**change), *challenges))
    assert len(terminals) == len(changes) + 1


def test_largest_total_has_a_canonical_top_digit() -> None:
    """N 2^64 >> 56 stays below p for every N: T and T + p 2^56 would otherwise share a terminal (02b R1)."""
    assert P > ((2**21 * 2**64 - 1) >> 56)
    small = publication().stating(totals=(Totals(0, 0),) * 3)
    forged = small.stating(totals=(Totals(P << 56, 0), *small.statement.totals[1:]))
    challenges = draw(random.Random(3))
    assert terminal_of(forged, *challenges) == terminal_of(small, *challenges)


@pytest.mark.negative
def test_zero_denominators_are_arithmetic_errors() -> None:
    """`verify_stark` turns them into a refusal."""
    r, _, beta = draw(random.Random(4))
    hit = ext_add(lift(5), ext_scale(beta, 3))
    with pytest.raises(ZeroDivisionError):
        terminal_of(publication(), r, hit, beta)


def test_relation_carries_the_statement(monkeypatch: pytest.MonkeyPatch) -> None:
    small = publication()
    statement = small.statement
    systems: dict[str, Any] = {statement.circuit: object()}
    monkeypatch.setattr(solvency, "constraint_system", systems.__getitem__)
    made = solvency.relation(statement, small.shard)
    assert made.system is systems[statement.circuit]
    assert made.publics == solvency.public_columns(statement)
    assert (made.log2_rows, made.binding) == (17, small.shard.digest)
    challenges = draw(random.Random(5))
    scalars = {"r": challenges[0], "beta": challenges[2]}
    assert made.derived(scalars) == solvency.challenge_columns(statement, statement.legs, scalars)
    assert made.scalars(*challenges) == solvency.digest_scalars(statement, small.shard, challenges[2])


@pytest.mark.parametrize("name", solvency.CIRCUITS)
def test_registered_circuits_have_the_pinned_keys(name: str) -> None:
    system = solvency.constraint_system(name)
    assert (system.name, system.digest) == (name, solvency.pinned_digest(name))
    proves = solvency.CIRCUITS[name]
    statement = (risk_publication if proves.lenses else publication)(name).statement
    scalars = dict(zip(("r", "alpha", "beta"), draw(random.Random(6)), strict=True))
    columns = solvency.public_columns(statement) | solvency.challenge_columns(statement, statement.legs, scalars)
    assert {column for column, _ in system.publics} == set(columns)


@pytest.mark.negative
def test_a_damaged_installation_stops(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    name = "solvency_equity_v1"
    with pytest.raises(InvariantBroken, match="pins no digest"):
        solvency.pinned_digest("solvency_equity_v0")
    monkeypatch.setattr(solvency, "__file__", str(tmp_path / "solvency.py"))
    solvency.constraint_system.cache_clear()
    with pytest.raises(InvariantBroken, match="cannot be read"):
        solvency.constraint_system(name)
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / solvency.CIRCUITS[name].key_file).write_bytes(b"{}\n")
    with pytest.raises(InvariantBroken, match="not the pinned one"):
        solvency.constraint_system(name)
