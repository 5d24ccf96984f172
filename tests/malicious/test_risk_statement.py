"""A proved statement with curves and scenarios, changed afterwards: refused, and not only as another file."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from prover.prove import prove
from prover.randomness import Randomness
from tests.malicious.changed_statements import AFTERWARDS, REFUSED
from tests.malicious.documents import only_shard, same_columns
from tests.malicious.published import SCALARS, Published
from tests.malicious.risk_world import RISK, STRESS, honest, risk_world, statement_of
from tests.malicious.rows import Words
from verifier import solvency
from verifier.errors import BadStatement, ConstraintFailure, Reason, VerificationError
from verifier.params import TEST
from verifier.shards import check_shards, parse_shard
from verifier.stark import evaluate_scalars, verify_stark
from verifier.statement import Statement, parse_statement

pytestmark = pytest.mark.negative


@cache
def root(circuit: str = STRESS) -> Words:
    """Of the account tree."""
    return honest(risk_world(circuit)).root.digest


@cache
def proved(circuit: str = STRESS) -> tuple[Statement, bytes]:
    """The honest statement and the proof of its one shard."""
    world = risk_world(circuit)
    statement = parse_statement(statement_of(honest(world)).to_bytes())
    shard = only_shard(statement, root(circuit))
    check_shards(statement, [shard])
    proof = prove(solvency.relation(statement, shard), TEST, world.base.copy(), Randomness(b"published"))
    return statement, proof.to_bytes()


@pytest.mark.parametrize("circuit", [RISK, STRESS])
def test_the_honest_statement_is_accepted(circuit: str) -> None:
    """And what the verifier computes from it is what the twin does."""
    statement, proof = proved(circuit)
    relation = solvency.relation(statement, only_shard(statement, root(circuit)))
    verify_stark(relation, TEST, proof)
    ours = Published.by(honest(risk_world(circuit))).relation()
    scalars = evaluate_scalars(relation, *SCALARS)
    assert scalars == evaluate_scalars(ours, *SCALARS)
    assert same_columns(relation, ours, scalars)
    assert statement.total_margin_deficit
    assert all(0 < loss.shortfall < loss.margin_deficit for loss in statement.losses)


@pytest.mark.parametrize("name", AFTERWARDS)
def test_a_statement_changed_after_proving_is_refused(name: str) -> None:
    """First as another file; then with the digest of the proved one, so that its numbers alone are in the way."""
    statement, proof = proved()
    changed = parse_statement(AFTERWARDS[name](statement).to_bytes())
    assert changed != statement
    kept, follows = only_shard(statement, root()), only_shard(changed, root())
    if changed.header_digest == statement.header_digest:  # only numbers: the shard that was proved says others
        with pytest.raises(BadStatement) as refused:
            check_shards(changed, [kept])
        assert refused.value.reason is Reason.ARITHMETIC
    relation = solvency.relation(changed, follows)
    with pytest.raises(VerificationError):
        verify_stark(relation, TEST, proof)
    with pytest.raises(ConstraintFailure) as refusal:
        verify_stark(replace(relation, binding=kept.digest), TEST, proof)
    assert refusal.value.reason is Reason.CONSTRAINTS


def test_names_count_by_the_digest_alone() -> None:
    statement, proof = proved()
    first, *others = statement.scenarios
    renamed = replace(statement, scenarios=(replace(first, name="rain"), *others))
    relation = solvency.relation(renamed, only_shard(renamed, root()))
    with pytest.raises(VerificationError):
        verify_stark(relation, TEST, proof)
    verify_stark(replace(relation, binding=only_shard(statement, root()).digest), TEST, proof)
    with pytest.raises(VerificationError) as refusal:
        parse_shard(only_shard(statement, root()).to_bytes(), renamed, 0)
    assert refusal.value.reason is Reason.STATEMENT_MISMATCH


# -- what the statement's own rules refuse ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", REFUSED)
def test_a_statement_against_the_rules_is_refused_as_such(name: str) -> None:
    change, reason = REFUSED[name]
    with pytest.raises(VerificationError) as refusal:
        parse_statement(change(proved()[0]).to_bytes())
    assert isinstance(refusal.value, BadStatement) and refusal.value.reason is reason, str(refusal.value)
