"""A prover that lies where the identity is checked: about values at zeta, or about the quotient. The openings tell."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pytest

from tests.malicious.cases_tree import smaller_sum
from tests.malicious.cheating_prover import CheatingProver
from tests.malicious.forge import Forge
from tests.malicious.published import Published
from tests.malicious.sheet import Columns, columns_of
from tests.malicious.world import LOG2_ROWS, World
from verifier.air import combine, evaluate
from verifier.errors import ConstraintFailure, NotLowDegree, Reason, VerificationError
from verifier.field import Ext, ext_add, ext_mul, ext_pow, ext_sub, ext_zero
from verifier.params import TEST
from verifier.stark import Relation, domain_multipliers, evaluate_publics, split_openings, verify_stark

pytestmark = pytest.mark.negative


class Liar(CheatingProver):
    """Claims the q_0(zeta) with which the identity holds, for a witness that breaks a constraint."""

    weights: Sequence[Ext] = ()

    def claim(self, relation: Relation, scalars: Sequence[Ext], zeta: Ext, openings: list[Ext]) -> list[Ext]:
        system = relation.system
        here, following, chunks = split_openings(system, openings)
        next_row = dict(zip(system.next_row_columns, following, strict=True))
        values = evaluate(system, here, next_row, evaluate_publics(relation, scalars, zeta), scalars)
        wanted = ext_zero
        for domain, multiplier in domain_multipliers(LOG2_ROWS, zeta).items():
            chosen = [(c.node, w) for c, w in zip(system.constraints, self.weights, strict=True) if c.domain == domain]
            part = combine(values, [node for node, _ in chosen], [weight for _, weight in chosen])
            wanted = ext_add(wanted, ext_mul(multiplier, part))
        step = ext_pow(zeta, TEST.chunk_coefficients(LOG2_ROWS))
        above = ext_mul(step, ext_add(chunks[1], ext_mul(step, chunks[2])))
        return [*openings[:-3], ext_sub(wanted, above), *openings[-2:]]

    def chosen_weights(self, relation: Relation, skipped: Collection[str], drawn: Sequence[Ext]) -> Sequence[Ext]:
        self.weights = drawn
        return drawn


def refused(relation: Relation, data: bytes) -> VerificationError:
    with pytest.raises(VerificationError) as refusal:
        verify_stark(relation, TEST, data)
    return refusal.value


@pytest.fixture
def forged(world: World) -> tuple[Relation, Columns]:
    made = smaller_sum(world.plan).build()
    return Published.by(made).relation(), columns_of(made, world)


def test_a_prover_that_leaves_nothing_out(forged: tuple[Relation, Columns], cheater: CheatingProver) -> None:
    """No polynomial of the right degree is the quotient; what the prover interpolates is not it."""
    relation, columns = forged
    error = refused(relation, cheater.prove(relation, columns).proof.to_bytes())
    assert isinstance(error, ConstraintFailure)
    assert error.reason is Reason.CONSTRAINTS


def test_a_lie_about_the_quotient_is_seen_at_the_queries(forged: tuple[Relation, Columns], world: World) -> None:
    relation, columns = forged
    error = refused(relation, Liar(world).prove(relation, columns).proof.to_bytes())
    assert isinstance(error, NotLowDegree)


def test_a_lie_about_a_column_is_seen_at_the_queries(world: World) -> None:
    class LiesAboutAColumn(CheatingProver):
        def claim(self, relation: Relation, scalars: Sequence[Ext], zeta: Ext, openings: list[Ext]) -> list[Ext]:
            return [ext_add(openings[0], (1, 0, 0, 0, 0)), *openings[1:]]

    relation = Published.by(Forge(world.plan).build()).relation()
    error = refused(relation, LiesAboutAColumn(world).prove(relation, {}).proof.to_bytes())
    assert isinstance(error, ConstraintFailure)
