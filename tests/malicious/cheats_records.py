"""Cheats with haircuts, margins and scenarios that a bus stops, as `cheats` has them for equity.

Each names the lookup that catches it. With that lookup switched off, the same witness satisfies the circuit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.malicious.cases_accounts import amount_and_slack
from tests.malicious.cases_records import LOSER, layout_of, records_in, with_records
from tests.malicious.cheats import Cheat, in_account
from tests.malicious.forge import Forge, Forged, Plan
from tests.malicious.records import Records
from tests.malicious.risk_world import (
    CASH,
    COIN_OWED,
    COLLATERAL,
    CRASHED,
    FREE,
    PERP_LONG,
    RISK,
    SHORT_OF_MARGIN,
    STRESS,
    UNDER_WATER,
    leg_of,
)
from tests.malicious.rows import Row, limbs, number
from verifier.field import P
from verifier.solvency import LENS_POSITIONS

FREE_COINS, CASH_ONLY, FIRST_TIER = "account 6", "account 9", "account 11"
"""Accounts whose one entry, or first one, is a free holding, cash, and coins within the first tier."""
Maker = Callable[[Plan], Forge]


@dataclass(frozen=True)
class RiskCheat:
    circuit: str
    cheat: Cheat


CHEATS: dict[str, RiskCheat] = {}


def caught_by(*rules: str, named: Sequence[str] = (), circuit: str = RISK) -> Callable[[Maker], Maker]:
    """Register a cheat by the name of its function; the checker names the rules unless `named` says otherwise."""

    def register(forge: Maker) -> Maker:
        CHEATS[forge.__name__] = RiskCheat(circuit, Cheat(forge, frozenset(named or rules), rules))
        return forge

    return register


def first_entry(plan: Plan, name: str, change: Callable[[Row], object]) -> Forge:
    """A change to an account's first entry; equity, records and losses follow from it."""
    return in_account(plan, name, lambda rows: change(rows[1]))


def lens_digits(plan: Plan, leg: int, lens: int = 0) -> tuple[int, ...]:
    return plan.legs[leg].lens_digits[lens]


# -- curves (06-adversary 9, 10, 24) ----------------------------------------------------------------------------------


def entry_of(rows: Sequence[Row], leg: int) -> Row:
    return next(row for row in rows if row["is_entry"] and row["b0"] == leg)


@caught_by("entry leg")
def haircut_of_the_tier_before(plan: Plan) -> Forge:
    """What is above all bounds counts as the second tier does, and a deficit is gone."""
    tail, second = leg_of(COLLATERAL, 2), leg_of(COLLATERAL, 1)

    def change(rows: list[Row]) -> None:
        entry_of(rows, tail).put("lens0_digit", lens_digits(plan, second))

    return in_account(plan, SHORT_OF_MARGIN, change)


@caught_by("entry leg")
def haircut_of_another_bucket(plan: Plan) -> Forge:
    """Free coins count as collateral without being counted there."""
    return first_entry(plan, FREE_COINS, lambda row: row.put("lens0_digit", lens_digits(plan, leg_of(COLLATERAL))))


@caught_by("entry leg")
def curve_of_another_instrument(plan: Plan) -> Forge:
    return first_entry(plan, CASH_ONLY, lambda row: row.put("lens0_digit", lens_digits(plan, leg_of(COLLATERAL))))


@caught_by("entry leg")
def leg_of_the_next_instrument(plan: Plan) -> Forge:
    """The leaf names a leg of the perpetual; all that counts is still the coin's."""
    return first_entry(plan, FREE_COINS, lambda row: row.cells.update(b0=leg_of(PERP_LONG)))


@caught_by("entry leg")
def debt_without_its_margin(plan: Plan) -> Forge:
    """Health counts what is owed at its price: no margin on top."""

    def change(rows: list[Row]) -> None:
        row = entry_of(rows, leg_of(COIN_OWED))
        row.put("lens0_digit", row.read("d", 7))

    return in_account(plan, UNDER_WATER, change)


@caught_by("entry leg")
def collateral_counted_towards_the_free_coins(plan: Plan) -> Forge:
    """Buckets above equity: the same coins help as collateral and are published as free."""
    return first_entry(plan, FIRST_TIER, lambda row: row.cells.update(total_id=FREE))


@caught_by("entry leg", circuit=STRESS)
def values_of_another_scenario(plan: Plan) -> Forge:
    """An account that the crash ruins counts there as it does in the squeeze."""

    def change(rows: list[Row]) -> None:
        for row in rows:
            if row["is_entry"]:
                for lens in (1, 2):
                    row.put(f"lens{lens}_digit", lens_digits(plan, row["b0"], lens + 2))

    return in_account(plan, CRASHED, change)


@caught_by("entry leg", circuit=STRESS)
def value_under_an_idle_lens(plan: Plan) -> Forge:
    return first_entry(plan, CASH_ONLY, lambda row: row.put("lens5_digit", lens_digits(plan, leg_of(CASH), 0)))


# -- tiers (06-adversary 10) ------------------------------------------------------------------------------------------


@caught_by("u4 is below 2^16")
def first_tier_twice(plan: Plan) -> Forge:
    """A holding split over entries so that all of it counts in full."""
    first = leg_of(COLLATERAL)
    cap = plan.legs[first].cap
    return Forge(plan.holding(FIRST_TIER, (first, cap), (first, cap)))


@caught_by("u4 is below 2^16")
def tiers_in_another_order(plan: Plan) -> Forge:
    first = leg_of(COLLATERAL)
    return Forge(plan.holding(FIRST_TIER, (first + 1, 100), (first, 100)))


@caught_by("u0 is below 2^16")
def one_atom_above_the_first_tier(plan: Plan) -> Forge:
    cap = plan.legs[leg_of(COLLATERAL)].cap
    assert cap < 2**16 - 1
    return first_entry(plan, FIRST_TIER, lambda row: amount_and_slack(row, cap + 1, (-1, 0, 0, 0)))


@caught_by("entry leg")
def first_tier_with_the_cap_of_the_second(plan: Plan) -> Forge:
    first = leg_of(COLLATERAL)
    low, high = plan.legs[first].cap, plan.legs[first + 1].cap
    assert low < high

    def change(row: Row) -> None:
        amount_and_slack(row, low + 1, limbs(high - low - 1, 4))
        row.put("cap", limbs(high, 4))

    return first_entry(plan, FIRST_TIER, change)


# -- totals (06-adversary 12) -----------------------------------------------------------------------------------------


@caught_by("totals")
def value_moved_between_instruments(plan: Plan) -> Forge:
    """Coins are published as cash of the same value: what is owed in all stays the same."""

    def change(forged: Forged) -> None:
        forged.totals[FREE] -= 9_876_543_210
        forged.totals[CASH] += 5_926_535_897_932_384

    return Forge(plan).then(change)


@caught_by("totals")
def free_coins_published_as_collateral(plan: Plan) -> Forge:
    def change(forged: Forged) -> None:
        forged.totals[FREE] -= 1
        forged.totals[COLLATERAL] += 1

    return Forge(plan).then(change)


@caught_by("totals")
def loss_one_less_than_its_row(plan: Plan) -> Forge:
    return Forge(plan).then(lambda forged: forged.publish(len(forged.totals) + 1, forged.losses[0] - 1))


@caught_by("totals")
def loss_2_112_more_than_its_row(plan: Plan) -> Forge:
    return Forge(plan).then(lambda forged: forged.publish(len(forged.totals) + 1, forged.losses[0] + 2**112))


# -- records ----------------------------------------------------------------------------------------------------------


def cell(plan: Plan, lens: int, kind: str, position: int) -> str:
    return f"lens{lens}_{kind}{position % layout_of(plan).window}"


def claimed(plan: Plan, lens: int, change: Callable[[Records], object]) -> Forge:
    """A change to the record of the account under water, after which nothing of it is lost under this lens."""

    def change_and_look(records: Records) -> None:
        change(records)
        assert not any(records.of[LOSER][lens].lost)

    return with_records(plan, change_and_look)


@caught_by("lens0_byte1, lens0_high1 are bytes")
def deficit_in_a_byte_below_zero(plan: Plan) -> Forge:
    """-D as a number without a sign: its highest byte is -1."""

    def change(records: Records) -> None:
        values = records.of[LOSER][0]
        low = records.value(LOSER, 0) + 256**13
        values.sign, values.bytes = 0, [*limbs(low, 13, 8), -1, 0, 0]
        values.fit(records.coefficients[LOSER][0])

    return claimed(plan, 0, change)


@caught_by("lens0_low1 is below 2^16")
def deficit_plus_the_modulus(plan: Plan) -> Forge:
    """-D + p * 256^9, for a carry of 8,323,072 and one of 32,512."""
    return claimed(plan, 0, lambda records: records.of[LOSER][0].claim(records.coefficients[LOSER][0], wraps={9: 1}))


@caught_by("lens0_byte1, lens0_high1 are bytes")
def deficit_plus_the_modulus_in_the_high_part(plan: Plan) -> Forge:
    def change(records: Records) -> None:
        values = records.of[LOSER][0]
        values.claim(records.coefficients[LOSER][0], wraps={9: 1})
        values.high[9], values.low[9] = divmod(values.carries[9] + 2**22, 2**15)
        assert values.high[9] > 255

    return claimed(plan, 0, change)


@caught_by("lens3_low1 is below 2^16", circuit=STRESS)
def deficit_in_a_scenario_plus_the_modulus(plan: Plan) -> Forge:
    return claimed(plan, 3, lambda records: records.of[LOSER][3].claim(records.coefficients[LOSER][3], wraps={9: 1}))


def published_loss(plan: Plan, lens: int, wraps: dict[int, int]) -> Forge:
    """A loss of another number of p * 256^k, with the carries that hide it."""

    def change(forged: Forged) -> None:
        losses = list(forged.losses)
        losses[lens] += P * number([wraps.get(k, 0) for k in range(LENS_POSITIONS)], 8)
        assert 0 <= losses[lens] < 2**112
        forged.lose(losses)
        records_in(forged).fit_totals(forged.losses, {lens: wraps})

    return Forge(plan).then(change)


@caught_by("lens0_low1 is below 2^16")
def loss_minus_the_modulus(plan: Plan) -> Forge:
    return published_loss(plan, 0, {5: -1})


@caught_by("lens0_low0 is below 2^16")
def loss_plus_the_modulus(plan: Plan) -> Forge:
    return published_loss(plan, 0, {0: 1})


@caught_by("lens0_low2 is below 2^16")
def loss_plus_2_16_times_the_modulus(plan: Plan) -> Forge:
    return published_loss(plan, 0, {2: 1})


@caught_by("lens2_low1 is below 2^16", circuit=STRESS)
def loss_in_a_scenario_minus_the_modulus(plan: Plan) -> Forge:
    return published_loss(plan, 2, {5: -1})
