"""For every constraint that value records add: a witness that breaks it is named, and cannot be made an accepted proof.

What the equity circuit has, too, is in `test_every_constraint`; `tests/circuits/test_registered.py` shows that it is
the same here. Constraints come once per lens: of each kind, one lens gets a proof, and all of them the row checker.
"""

from __future__ import annotations

import re

import pytest

from tests.malicious import cases_records, cases_tables
from tests.malicious.cases import PATTERNS, Case, case_for, makers
from tests.malicious.cheating_prover import CheatingProver
from tests.malicious.proving import name_only, refuse
from tests.malicious.published import SYSTEM, system_of
from tests.malicious.risk_world import RISK, STRESS, risk_world
from tests.malicious.world import World

pytestmark = pytest.mark.negative
MODULES = (cases_records, cases_tables)
"""Importing them registers their cases."""
EQUITY_LABELS = {c.label for c in SYSTEM.constraints if not c.label.startswith("running_sum")}
LABELS = [
    (circuit, c.label)
    for circuit in (RISK, STRESS)
    for c in system_of(circuit).constraints
    if c.label not in EQUITY_LABELS
]


def kind_of(label: str) -> str:
    return re.sub(r"lens ?\d+", "lens", "helper" if label.startswith("helper") else label)


def representatives() -> set[tuple[str, str]]:
    """One label of each kind and circuit, and not always that of the first lens, but of one that is in use."""
    kinds: dict[tuple[str, str], list[str]] = {}
    for circuit, label in LABELS:
        kinds.setdefault((circuit, kind_of(label)), []).append(label)
    chosen = {(kind, labels[number % 5 % len(labels)]) for number, (kind, labels) in enumerate(kinds.items())}
    return {(circuit, label) for (circuit, _), label in chosen}


PROVED = representatives()


def broken_by(case: Case, label: str) -> set[str]:
    assert bool(case.also) == bool(case.why)
    return {label, *case.also}


@pytest.mark.parametrize(("circuit", "label"), sorted(PROVED))
def test_a_witness_that_breaks_it_is_named_and_refused(
    circuit: str, label: str, risk: World, stress: World, risk_cheater: CheatingProver, stress_cheater: CheatingProver
) -> None:
    world, cheater = (risk, risk_cheater) if circuit == RISK else (stress, stress_cheater)
    case = case_for(label, world.plan)
    refuse(case, broken_by(case, label), world, cheater)


@pytest.mark.parametrize(("circuit", "label"), [item for item in LABELS if item not in PROVED])
def test_the_same_under_the_other_lenses_is_named(
    circuit: str, label: str, risk: World, stress: World, risk_cheater: CheatingProver, stress_cheater: CheatingProver
) -> None:
    world, cheater = (risk, risk_cheater) if circuit == RISK else (stress, stress_cheater)
    case = case_for(label, world.plan)
    name_only(case, broken_by(case, label), world, cheater)


def test_every_constraint_has_one_forgery_and_every_forgery_a_constraint() -> None:
    found = {label: len(makers(label)) for _, label in LABELS}
    assert {label: count for label, count in found.items() if count != 1} == {}
    used = {maker for _, label in LABELS for maker, _ in makers(label)}
    assert {m for m in PATTERNS.values() if m.__module__ == cases_records.__name__} <= used
    assert {kind_of(label) for _, label in PROVED} == {kind_of(label) for _, label in LABELS}


def test_only_where_nobody_has_a_value_a_carry_cannot_leave_a_record_alone() -> None:
    plan = risk_world(STRESS).plan
    assert {label for circuit, label in LABELS if circuit == STRESS and case_for(label, plan).also} == {
        "lens 5 has no carry at the top",
        "lens 6 has no carry at the top",
    }
