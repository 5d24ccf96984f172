"""The rules that carry the weight, each taken out of the circuit: the forgery that it stops is then an honest witness.

`test_every_constraint` shows the same for every constraint, with a verifier that does not count it. Here the circuit is
built again without the rule, the row checker and the bus checker find nothing, and the proof is the ordinary prover's.
"""

from __future__ import annotations

import pytest

from prover.kernels.field import to_mont
from prover.prove import prove
from prover.randomness import Randomness
from tests.malicious import cases_accounts, cases_outputs, cases_tables, cases_tree
from tests.malicious.cases import case_for
from tests.malicious.circuits_without import system_without
from tests.malicious.published import Published
from tests.malicious.rows import number
from tests.malicious.sheet import Columns, broken_labels, columns_of, unbalanced
from tests.malicious.world import Array, World
from verifier.params import TEST
from verifier.stark import verify_stark

pytestmark = pytest.mark.negative
MODULES = (cases_accounts, cases_outputs, cases_tables, cases_tree)
"""Importing them registers their cases."""

RULES = {
    "the value identity holds where a chain closes": "a node's sum is free, and so is an account's equity",
    "the sign of equity is a bit": "an account has a negative liability (02b R7)",
    "liability is the positive part of equity[0]": "an account emits another liability than it has",
    "a dummy emits zero[0]": "a dummy changes the sum (02b R7)",
    "merge emits its sum[0]": "a node commits to one sum and emits another",
    "the value row holds the sum[0]": "an auditor sees another sum than the one that counts (02b R5)",
    "merge absorbs the value digest[0]": "a node commits to the sum of another (02b R5)",
    "the value row is tagged": "a value row may be any permutation (02b R5)",
    "an account has level 0": "an account poses as a node (02a finding 1)",
    "is_open initial value[0]": "an account poses as anything (02a finding 1)",
    "a node has exactly its arity of children": "children can be left out (02a finding 1)",
    "first child starts the count": "children can be left out (02a finding 1)",
    "open and entry are followed by entry or close": "an account has totals and no equity (02a finding 6)",
    "the last active row ends a chain or none": "a leaf is taken off the bus and never counted (02a finding 6)",
    "a child is followed by next child or merge": "a leaf is taken off the bus and never counted (02a finding 6)",
    "at most 4095 entries": "a chain of entries outgrows the carries (02a finding 3)",
    "legs strictly increase": "a leg comes twice (02a finding 4)",
    "amount plus slack is the cap": "an amount is above its cap",
    "amount plus slack is the cap, carry[1]": "an amount is above its cap by p * 2^16",
    "amount limb is two bytes[0]": "the leaf has another amount than the sums (06-adversary 15)",
    "table_n starts at 0": "-1 is below 2^16",
    "table_high ends at 255": "256 is a byte",
}
SPECIAL_RULES = {
    "special rows carry no selector": "a published output's row is a dummy, too",
    "special rows count to their public output": "a total takes another total's carries",
    "a mask's words are below 2^16[0]": "a mask may wrap the field: the shards do not add up (02a finding 15)",
    "masks are chained[0]": "no digest binds the first masks: any total is published",
    "the chain of masks out ends in its public digest": "a shard adds another mask than the next takes away",
    "the chain of masks in ends in its public digest": "a shard takes away another mask than the one before added",
    "the root and its level are public": "users are shown another tree than the one that was counted",
}
"""Of one shard among several."""


@pytest.mark.parametrize("label", [*RULES, *SPECIAL_RULES])
def test_without_the_rule_the_ordinary_prover_proves_the_forgery(label: str, world: World, masked: World) -> None:
    world = masked if label in SPECIAL_RULES else world
    forged, system = case_for(label, world.plan).forged, system_without(label)
    columns, published = columns_of(forged, world), Published.by(forged)
    assert broken_labels(world, columns, published, system) == set()
    assert unbalanced(world, forged, columns, system=system) == []
    relation = published.relation(system)
    proof = prove(relation, TEST, base_of(world, columns), Randomness(b"control"))
    verify_stark(relation, TEST, proof.to_bytes())


def base_of(world: World, columns: Columns) -> Array:
    """The forged trace in Montgomery form."""
    base = world.base.copy()
    for column, words in columns.items():
        base[column] = words
        to_mont(base[column])
    return base


def test_what_the_forgeries_are_worth(world: World) -> None:
    """Not only other numbers: these publish less than the exchange owes."""
    honest = number(case_for("value first", world.plan).forged.root.value)
    for label in ("the sign of equity is a bit", "the value identity holds where a chain closes"):
        assert number(case_for(label, world.plan).forged.root.value) < honest
