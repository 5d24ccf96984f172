"""4,095 entries in one account, 4,096 in none; and what the bounds on published totals are for."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from prover.prove import prove
from prover.randomness import Randomness
from prover.witness import AccountAtFault, build_witness
from tests.malicious.cases import Case
from tests.malicious.cheating_prover import CheatingProver
from tests.malicious.documents import balanced, equity_statement, only_shard, same_columns
from tests.malicious.forge import EQUITY, Forge
from tests.malicious.proving import accept, refuse
from tests.malicious.published import Published
from tests.malicious.rows import number
from tests.malicious.sheet import broken_labels, columns_of, neighbourhood, unbalanced
from tests.malicious.world import (
    ACTIVE,
    LOG2_ROWS,
    PRICES,
    World,
    arrays,
    legs_for,
    make_accounts,
    make_world,
    special_rows,
)
from verifier import solvency
from verifier.errors import BadStatement, InvariantBroken, Reason
from verifier.field import P
from verifier.legs import AMOUNT_CAP
from verifier.params import HIDDEN_ROWS, TEST
from verifier.stark import Relation, evaluate_scalars, verify_stark
from verifier.statement import Statement, levels_for, parse_statement

pytestmark = pytest.mark.negative

# -- entries ----------------------------------------------------------------------------------------------------------

PRICE = 0x7F_7F_7F_7F
"""All digits 127: the coefficients of an account's identity grow as fast as they can."""
MOST = tuple((leg, 7 if leg % 2 else AMOUNT_CAP) for leg in range(4096))


@cache
def crowded() -> World:
    """An account with an entry for each leg but the last, of 2,048 instruments."""
    return make_world((MOST[:4095], ()), legs_for([PRICE] * 2048), levels=1)


def test_4095_entries_are_accepted() -> None:
    world = crowded()
    forged = Forge(world.plan).build()
    assert columns_of(forged, world) == {}
    published = Published.by(forged)
    rows = neighbourhood(range(world.used))
    assert broken_labels(world, {}, published, rows=rows) == set()
    assert unbalanced(world, forged, {}) == []
    relation = published.relation()
    proof = prove(relation, TEST, world.base.copy(), Randomness(b"crowded"))
    verify_stark(relation, TEST, proof.to_bytes())
    assert number(forged.root.value) == PRICE * (2048 * AMOUNT_CAP - 2047 * 7)


def test_4096_entries_are_not() -> None:
    """16 times the count is no longer below 2^16: nothing else is wrong with the account."""
    world = crowded()
    accounts, legs = arrays(make_accounts((MOST, ())), world.plan.legs)
    with pytest.raises(AccountAtFault, match="more than 4095 entries"):
        build_witness(accounts, legs, special_rows(world.plan.legs, EQUITY, False), 1, LOG2_ROWS, Randomness(b"c"))
    forged = Forge(world.plan.holding("account 0", *MOST)).build()
    columns, cheater = columns_of(forged, world), CheatingProver(world)
    assert {v.label for v in unbalanced(world, forged, columns)} == {"u5 is below 2^16"}
    refuse(Case(forged), {"running_sum last"}, world, cheater, columns)
    accept(forged, world, cheater, "u5 is below 2^16")


# -- totals -----------------------------------------------------------------------------------------------------------


@cache
def published_world() -> tuple[World, Statement]:
    """The small exchange at the size of a real publication, with its statement."""
    world = make_world(levels=levels_for(LOG2_ROWS))
    return world, equity_statement([Forge(world.plan).build()])


def relation_of(statement: Statement) -> Relation:
    """What the proof of the only shard is about, if its outputs are the statement's."""
    world, _ = published_world()
    return solvency.relation(statement, only_shard(statement, Forge(world.plan).build().root.digest))


def proved(statement: Statement) -> None:
    """The honest witness proves the statement, parsed or not."""
    relation = relation_of(statement)
    proof = prove(relation, TEST, published_world()[0].base.copy(), Randomness(b"published"))
    verify_stark(relation, TEST, proof.to_bytes())


def with_total(statement: Statement, side: str, by: int) -> Statement:
    first, *rest = statement.totals
    first = replace(first, **{side: getattr(first, side) + by})
    return balanced(replace(statement, totals=(first, *rest)))


def test_the_honest_statement_is_accepted() -> None:
    world, statement = published_world()
    assert parse_statement(statement.to_bytes()) == statement
    assert statement.total_shortfall > 0
    proved(statement)
    published = Published.by(Forge(world.plan).build())
    ours, theirs = published.relation(), relation_of(statement)
    r, alpha, beta = (5, 4, 3, 2, 1), (9, 9, 9, 9, 9), (1, 2, 3, 5, 8)
    scalars = evaluate_scalars(theirs, r, alpha, beta)
    assert scalars == evaluate_scalars(ours, r, alpha, beta)
    assert same_columns(theirs, ours, scalars)


@pytest.mark.parametrize("side", ["long", "short"])
@pytest.mark.parametrize("times", [1, 4])
def test_r1_a_total_that_wraps_the_field_is_stopped_by_its_bound_alone(side: str, times: int) -> None:
    """02b R1: T + m p 2^56 has the same digits in the field. More `short` would lower what reserves must cover."""
    _, statement = published_world()
    forged = with_total(statement, side, times * P << 56)
    with pytest.raises(BadStatement) as refusal:
        parse_statement(forged.to_bytes())
    assert refusal.value.reason in (Reason.OUTPUT_RANGE, Reason.ARITHMETIC)
    if side == "short":
        assert refusal.value.reason is Reason.OUTPUT_RANGE
    proved(forged)


@pytest.mark.parametrize("by", [1, -1, P, 2**81 - 1], ids=["+1", "-1", "+p", "the largest"])
def test_a_total_within_the_bounds_is_stopped_by_the_proof(by: int) -> None:
    _, statement = published_world()
    forged = with_total(statement, "short", by - statement.totals[0].short if by > P else by)
    assert parse_statement(forged.to_bytes()) == forged
    with pytest.raises(InvariantBroken, match="buses do not balance"):
        proved(forged)


def test_the_first_total_beyond_the_bounds() -> None:
    _, statement = published_world()
    for side in ("long", "short"):
        forged = with_total(statement, side, 2 ** (64 + LOG2_ROWS) - getattr(statement.totals[0], side))
        with pytest.raises(BadStatement) as refusal:
            parse_statement(forged.to_bytes())
        assert refusal.value.reason is Reason.OUTPUT_RANGE
    assert 2 ** (64 + LOG2_ROWS) >> 56 == 256 * 2**LOG2_ROWS  # the top digit, and the bound of 02b R1


def test_r2_the_shortfall_is_arithmetic_and_not_a_witness() -> None:
    _, statement = published_world()
    for by in (-1, 1, -(2**32)):
        forged = replace(statement, total_shortfall=statement.total_shortfall + by)
        with pytest.raises(BadStatement) as refusal:
            parse_statement(forged.to_bytes())
        assert refusal.value.reason is Reason.ARITHMETIC


def test_a_liability_of_2_112_or_more_is_refused() -> None:
    _, statement = published_world()
    forged = balanced(replace(statement, total_liability=statement.total_liability + 2**112))
    with pytest.raises(BadStatement) as refusal:
        parse_statement(forged.to_bytes())
    assert refusal.value.reason is Reason.OUTPUT_RANGE
    with pytest.raises(InvariantBroken, match="buses do not balance"):
        proved(forged)


def test_a_trace_too_short_for_the_tables_is_refused() -> None:
    """02a finding 19: 2^16 rows less the hidden ones are fewer than the numbers below 2^16, one step a row."""
    assert (1 << LOG2_ROWS - 1) - HIDDEN_ROWS < 2**16 < ACTIVE
    _, statement = published_world()
    forged = replace(statement, log2_rows=LOG2_ROWS - 1, levels=levels_for(LOG2_ROWS - 1))
    with pytest.raises(BadStatement) as refusal:
        parse_statement(forged.to_bytes())
    assert refusal.value.reason is Reason.CAPACITY


# -- tree randomness (02b R3) -----------------------------------------------------------------------------------------


def test_no_value_commitment_is_used_twice() -> None:
    """Equal commitments would show equal nodes: empty nodes have one sum, and each its own eight random words."""
    accounts, legs = arrays(make_accounts(((),) * 40), legs_for(PRICES))
    special = special_rows(legs_for(PRICES), EQUITY, False)
    witness = build_witness(accounts, legs, special, 3, LOG2_ROWS, Randomness(b"hiding"))
    randoms = np.concatenate([level.value_random for level in witness.tree.levels])
    digests = np.concatenate([level.value_digests for level in witness.tree.levels])
    blocks = np.concatenate([level.dummy_blocks for level in witness.tree.levels])
    for words in (randoms, digests, blocks):
        assert words.shape[1] == 8
        assert len(np.unique(words)) == words.size
