"""Cheats with curves, tiers, records and losses: named by the checkers, no proof accepted, and one rule stops each."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from prover.prove import prove
from prover.randomness import Randomness
from tests.malicious import cases_records
from tests.malicious.cases import Case, case_for
from tests.malicious.cases_accounts import IDENTITY
from tests.malicious.cases_records import LOSSES, VALUES, records_in, with_records
from tests.malicious.cheating_prover import CheatingProver
from tests.malicious.cheats_records import CHEATS, FIRST_TIER
from tests.malicious.circuits_without import system_without
from tests.malicious.forge import Forge, Forged
from tests.malicious.proving import BUS, accept, refuse
from tests.malicious.published import Published
from tests.malicious.records import Records
from tests.malicious.risk_world import COLLATERAL, PEOPLE, RISK, STRESS, UNDER_WATER, leg_of, table_of, values
from tests.malicious.sheet import broken_labels, columns_of, unbalanced
from tests.malicious.test_controls import base_of
from tests.malicious.world import World
from tests.malicious.wrong_records import WRONG_LOSSES, WRONG_RECORDS, losing
from verifier.legs import group_legs, split
from verifier.params import TEST
from verifier.stark import verify_stark

pytestmark = pytest.mark.negative
MODULES = (cases_records,)
Exchange = tuple[World, CheatingProver]


@pytest.fixture
def exchanges(
    risk: World, stress: World, risk_cheater: CheatingProver, stress_cheater: CheatingProver
) -> dict[str, Exchange]:
    return {RISK: (risk, risk_cheater), STRESS: (stress, stress_cheater)}


# -- cheats that a bus stops ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CHEATS)
def test_a_cheat_is_named_and_refused(name: str, exchanges: dict[str, Exchange]) -> None:
    cheat = CHEATS[name].cheat
    world, cheater = exchanges[CHEATS[name].circuit]
    forged = cheat.forge(world.plan).build()
    columns = columns_of(forged, world)
    assert {v.label for v in unbalanced(world, forged, columns)} == cheat.named
    refuse(Case(forged), BUS, world, cheater, columns)


@pytest.mark.parametrize("name", CHEATS)
def test_without_its_rule_the_cheat_is_proved(name: str, exchanges: dict[str, Exchange]) -> None:
    cheat = CHEATS[name].cheat
    world, cheater = exchanges[CHEATS[name].circuit]
    accept(cheat.forge(world.plan).build(), world, cheater, *cheat.rules)


def test_what_the_cheats_are_worth(risk: World, stress: World) -> None:
    """Not only other numbers: less is published as lost than is."""
    worlds = {RISK: risk, STRESS: stress}
    honest = {name: Forge(world.plan).build().losses for name, world in worlds.items()}
    for name, lens in (
        ("haircut_of_the_tier_before", 0),
        ("debt_without_its_margin", 0),
        ("values_of_another_scenario", 1),
        ("deficit_in_a_byte_below_zero", 0),
        ("deficit_plus_the_modulus", 0),
        ("deficit_in_a_scenario_plus_the_modulus", 3),
        ("loss_minus_the_modulus", 0),
        ("loss_in_a_scenario_minus_the_modulus", 2),
    ):
        circuit = CHEATS[name].circuit
        forged = CHEATS[name].cheat.forge(worlds[circuit].plan).build()
        assert forged.losses[lens] < honest[circuit][lens], name


# -- records that do not say what the accounts are worth --------------------------------------------------------------


@pytest.mark.parametrize("name", WRONG_RECORDS)
def test_wrong_records_are_refused_where_they_end(name: str, exchanges: dict[str, Exchange]) -> None:
    """Only the comparison of the last row stops them: a verifier without it accepts."""
    circuit, change = WRONG_RECORDS[name]
    world, cheater = exchanges[circuit]
    forged = with_records(world.plan, change).build()
    columns = columns_of(forged, world)
    assert unbalanced(world, forged, columns) == []
    refuse(Case(forged), {VALUES}, world, cheater, columns)


def test_two_accounts_that_are_netted(risk: World, risk_cheater: CheatingProver) -> None:
    """Without a row that opens it, an account's debts count against what the account before it has."""
    plan = risk.plan.holding("account 10", *risk.plan.account(UNDER_WATER).entries)
    forged = Forge(plan).edit("account 10", lambda rows: rows[0].cells.clear()).build()
    assert forged.losses[0] < Forge(plan).build().losses[0]
    assert len(records_in(forged).of) == 11
    refuse(Case(forged), {"entry and close follow open or entry", IDENTITY}, risk, risk_cheater)


# -- loss rows that say something else than the records ---------------------------------------------------------------


@pytest.mark.parametrize("name", WRONG_LOSSES)
def test_losses_that_are_not_the_accounts(name: str, exchanges: dict[str, Exchange]) -> None:
    circuit, change = WRONG_LOSSES[name]
    world, cheater = exchanges[circuit]
    forged = Forge(world.plan).then(losing(change)).build()
    assert forged.losses != Forge(world.plan).build().losses
    refuse(Case(forged), {LOSSES}, world, cheater)


# -- the rules that carry the weight, taken out of the circuit --------------------------------------------------------

RULES = {
    "lens0_negative is a bit": "a deficit is published as two thirds of it",
    "lens0_negative is kept in a record": "more is lost than there is",
    "lens0_negative is 0 in the totals record": "more is lost than there is",
    "lens 0 has no carry at the top": "a deficit is a gain of 2^128 less",
    VALUES: "an account's deficit is not there",
    LOSSES: "any losses are published",
}


@pytest.mark.parametrize("circuit", [RISK, STRESS])
@pytest.mark.parametrize("label", RULES)
def test_without_the_rule_the_ordinary_prover_proves_the_forgery(
    label: str, circuit: str, exchanges: dict[str, Exchange]
) -> None:
    world, _ = exchanges[circuit]
    forged, system = case_for(label, world.plan).forged, system_without(label, circuit=circuit)
    columns, published = columns_of(forged, world), Published.by(forged)
    assert broken_labels(world, columns, published, system) == set()
    assert unbalanced(world, forged, columns, system=system) == []
    relation = published.relation(system)
    proof = prove(relation, TEST, base_of(world, columns), Randomness(b"control"))
    verify_stark(relation, TEST, proof.to_bytes())


# -- what is harmless, and accepted -----------------------------------------------------------------------------------


def nothing_is_negative(records: Records) -> None:
    records.of[0][0].sign = 1


def bytes_in_the_totals_record(records: Records) -> None:
    records.totals[0].bytes[3] = 77


@pytest.mark.parametrize("change", [nothing_is_negative, bytes_in_the_totals_record])
def test_what_says_nothing_else_is_accepted(
    change: Callable[[Records], None], risk: World, risk_cheater: CheatingProver
) -> None:
    forged = with_records(risk.plan, change).build()
    assert forged.losses == Forge(risk.plan).build().losses
    accept(forged, risk, risk_cheater)


def test_any_other_split_over_tiers_only_loses_health(stress: World, stress_cheater: CheatingProver) -> None:
    """The circuit does not make an exchange fill the best tiers first: who does not publishes more deficits."""
    first, tiers = leg_of(COLLATERAL), 3
    amount = PEOPLE[2][COLLATERAL]
    legs = table_of(STRESS)[first : first + tiers]
    best = list(split(amount, legs))
    lazy = [(legs[0], 1), (legs[1], 2), (legs[2], amount - 3)]
    for lens in range(5):
        health = [sum(leg.lens_coefficients[lens] * part for leg, part in parts) for parts in (best, lazy)]
        assert (health[0] == health[1]) if lens % 2 else (health[0] > health[1])
    debts = [(leg, part) for leg, part in stress.plan.account("account 2").entries if leg >= first + tiers]
    plan = stress.plan.holding("account 2", *((leg.index, part) for leg, part in lazy), *debts)
    forged, honest = Forge(plan).build(), Forge(stress.plan).build()
    assert forged.totals == honest.totals
    assert forged.root.value == honest.root.value
    assert forged.losses[0] > honest.losses[0] and forged.losses[2] > honest.losses[2]
    assert forged.losses[1::2] == honest.losses[1::2]
    accept(forged, stress, stress_cheater)


def test_the_best_tiers_first_is_best() -> None:
    """Over every curve of the table, every lens and every way to move one atom to a later tier."""
    for curve in group_legs(table_of(STRESS)).values():
        for before, after in pairwise(curve):
            for better, worse in zip(before.lens_coefficients, after.lens_coefficients, strict=True):
                assert worse <= better


# -- the world itself -------------------------------------------------------------------------------------------------


def test_every_lens_has_winners_and_losers(stress: World) -> None:
    names = [name for name in stress.plan.chains if name.startswith("account")]
    signs = [{(v > 0) - (v < 0) for v in column} for column in zip(*(values(stress, n) for n in names), strict=True)]
    assert signs == [{-1, 0, 1}] * 5 + [{0}] * 2
    table = stress.plan.legs
    assert {leg for name in names for leg, _ in stress.plan.account(name).entries} == set(range(len(table)))
    assert stress.plan.account(FIRST_TIER).entries[0][0] == leg_of(COLLATERAL)


def test_the_records_of_the_twin_are_the_values(stress: World) -> None:
    forged: Forged = Forge(stress.plan).build()
    records, plan = records_in(forged), stress.plan
    for account, name in enumerate(n for n in plan.chains if n.startswith("account")):
        expected = values(stress, name)
        assert [records.value(account, lens) for lens in range(7)] == expected
    assert forged.losses == [
        sum(max(0, -records.value(account, lens)) for account in range(len(records.of))) for lens in range(7)
    ]
