"""For every constraint: a witness that breaks it is named by the row checker and cannot be made an accepted proof.

Each case is also its own control. The prover leaves only the broken constraints out of the quotient, and a verifier
that leaves out the same ones accepts: so nothing but they stops the forgery, and everything else about it is right.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from circuits.gadgets.chains import SELECTOR_COLUMNS
from prover.prove import prove
from prover.randomness import Randomness
from tests.malicious import cases_accounts, cases_outputs, cases_selectors, cases_tables, cases_tree
from tests.malicious.cases import PATTERNS, case_for, makers
from tests.malicious.cheating_prover import CheatingProver
from tests.malicious.forge import Forge
from tests.malicious.proving import refuse
from tests.malicious.published import SYSTEM, Published
from tests.malicious.sheet import columns_of
from tests.malicious.world import World
from verifier.params import TEST
from verifier.stark import verify_stark

pytestmark = pytest.mark.negative
LABELS = tuple(constraint.label for constraint in SYSTEM.constraints)
MODULES = (cases_accounts, cases_outputs, cases_selectors, cases_tables, cases_tree)
"""Importing them registers their cases."""


def breaks_special_rows(label: str) -> bool:
    """These forgeries are of one shard among several, which has all kinds of special rows."""
    return any(maker.__module__ == cases_outputs.__name__ for maker, _ in makers(label))


@pytest.mark.parametrize("label", LABELS)
def test_a_witness_that_breaks_it_is_named_and_refused(
    label: str, world: World, cheater: CheatingProver, masked: World, masked_cheater: CheatingProver
) -> None:
    if breaks_special_rows(label):
        world, cheater = masked, masked_cheater
    case = case_for(label, world.plan)
    refuse(case, {label, *case.also}, world, cheater)
    assert bool(case.also) == bool(case.why)


def test_every_constraint_has_one_forgery_and_every_forgery_a_constraint() -> None:
    found = {label: len(makers(label)) for label in LABELS}
    assert {label: count for label, count in found.items() if count != 1} == {}
    used = {maker for label in LABELS for maker, _ in makers(label)}
    modules = {module.__name__ for module in MODULES}
    ours = {pattern: maker for pattern, maker in PATTERNS.items() if maker.__module__ in modules}
    assert [pattern for pattern, maker in ours.items() if maker not in used] == []
    with pytest.raises(LookupError, match="0 forgeries break 'a new constraint'"):
        case_for("a new constraint", None)  # type: ignore[arg-type]


def test_few_constraints_cannot_be_broken_alone(world: World) -> None:
    """The exceptions are known by name; each says why."""
    others = [label for label in LABELS if "permutation" not in label and not breaks_special_rows(label)]
    together = {label for label in others if case_for(label, world.plan).also}
    assert together == {
        *(f"{selector} is a bit" for selector in SELECTOR_COLUMNS),
        "at most one selector",
        "entry and close follow open or entry",
        "merge is followed by its value row",
        "the first row starts a chain or none",
    }


def test_the_honest_proof_is_accepted(world: World, cheater: CheatingProver) -> None:
    """By the walk that cheats elsewhere: without a cheat it is the prover's own, byte for byte."""
    forged = Forge(world.plan).build()
    assert columns_of(forged, world) == {}
    relation = Published.by(forged).relation()
    verify_stark(relation, TEST, cheater.prove(relation, {}).proof.to_bytes())

    base = world.base.copy()
    proof = prove(relation, TEST, base, Randomness(b"honest"))
    attempt = CheatingProver(replace(world, base=base)).prove(relation, {}, seed=b"honest")
    assert attempt.proof == proof
    assert not any(attempt.lookup.missing)
