"""Several shards, proved one by one: what no proof can see, and the rule over their documents that sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from unittest.mock import patch

import pytest

from tests.malicious.cases_outputs import put_word
from tests.malicious.cheating_prover import CheatingProver
from tests.malicious.circuits_without import system_without
from tests.malicious.documents import equity_statement, same_columns, sealed, shard_of
from tests.malicious.forge import Forge, Forged
from tests.malicious.published import SCALARS, Published
from tests.malicious.sheet import columns_of
from tests.malicious.world import ENTRIES, SHARDS, World, make_world
from verifier import solvency
from verifier.errors import BadStatement, ConstraintFailure, Reason, VerificationError
from verifier.field import P
from verifier.params import TEST
from verifier.shards import Shard, check_shards, parse_shard
from verifier.solvency import OUTPUT_END
from verifier.stark import evaluate_scalars, verify_stark
from verifier.statement import Statement

pytestmark = pytest.mark.negative


@dataclass(frozen=True)
class Exchange:
    """Three shards with other accounts each, the statement over them, and their proofs."""

    worlds: tuple[World, ...]
    cheaters: tuple[CheatingProver, ...]
    forged: tuple[Forged, ...]
    statement: Statement
    shards: tuple[Shard, ...]
    proofs: tuple[bytes, ...]


@pytest.fixture(scope="module")
def exchange(masked: World, masked_cheater: CheatingProver) -> Exchange:
    worlds = tuple(masked if i == 1 else make_world(ENTRIES[3 * i :], shard=i) for i in range(SHARDS))
    cheaters = tuple(masked_cheater if world is masked else CheatingProver(world) for world in worlds)
    forged = tuple(Forge(world.plan).build() for world in worlds)
    statement = equity_statement(forged)
    shards = tuple(shard_of(statement, each, index) for index, each in enumerate(forged))
    proofs = tuple(
        cheater.prove(solvency.relation(statement, shard), {}).proof.to_bytes()
        for cheater, shard in zip(cheaters, shards, strict=True)
    )
    return Exchange(worlds, cheaters, forged, statement, shards, proofs)


def refused(run: Callable[[], object]) -> VerificationError:
    with pytest.raises(VerificationError) as refusal:
        run()
    return refusal.value


def test_the_honest_shards_are_accepted(exchange: Exchange) -> None:
    """And what the verifier computes for each is what the twin does."""
    check_shards(exchange.statement, exchange.shards)
    for forged, shard, proof in zip(exchange.forged, exchange.shards, exchange.proofs, strict=True):
        relation, ours = solvency.relation(exchange.statement, shard), Published.by(forged).relation()
        verify_stark(relation, TEST, proof)
        scalars = evaluate_scalars(relation, *SCALARS)
        assert scalars == evaluate_scalars(ours, *SCALARS)
        assert same_columns(relation, ours, scalars)


def test_no_shard_shows_its_totals(exchange: Exchange) -> None:
    for forged, shard in zip(exchange.forged, exchange.shards, strict=True):
        assert all(a != b for a, b in zip(shard.outputs, [*forged.totals, 0], strict=True))


def test_a_proof_of_another_shard(exchange: Exchange) -> None:
    """Nor of the same shard under another number, nor under another statement's header."""
    _, shard, other = exchange.shards
    wrong = [other, replace(shard, index=0), replace(shard, header=bytes(32)), replace(shard, mask_in=shard.mask_out)]
    for document in wrong:
        relation = solvency.relation(exchange.statement, document)
        refused(lambda: verify_stark(relation, TEST, exchange.proofs[1]))  # noqa: B023
    assert refused(lambda: parse_shard(other.to_bytes(), exchange.statement, 1)).reason is Reason.STATEMENT_MISMATCH
    renamed = replace(exchange.statement, exchange="another")
    assert refused(lambda: parse_shard(shard.to_bytes(), renamed, 1)).reason is Reason.STATEMENT_MISMATCH
    alone = replace(exchange.statement, shards=1)
    relation = replace(solvency.relation(alone, shard), binding=shard.digest)
    assert isinstance(refused(lambda: verify_stark(relation, TEST, exchange.proofs[1])), ConstraintFailure)


CHANGES: dict[str, Callable[[Sequence[Shard]], Sequence[Shard]]] = {
    "dropped": lambda s: s[:2],
    "one more": lambda s: [*s, s[0]],
    "duplicated": lambda s: [s[0], s[1], s[1]],
    "reordered": lambda s: [s[0], s[2], s[1]],
    "turned round": lambda s: [s[1], s[2], s[0]],
}


@pytest.mark.parametrize("name", CHANGES)
def test_shards_that_are_good_one_by_one(name: str, exchange: Exchange) -> None:
    error = refused(lambda: check_shards(exchange.statement, CHANGES[name](exchange.shards)))
    assert isinstance(error, BadStatement)
    assert error.reason is Reason.SHARDS


def forge_again(exchange: Exchange, index: int, change: Callable[[Forged], object]) -> list[Forged]:
    """The same shards, one of them with a change."""
    again = Forge(exchange.worlds[index].plan).then(change).build()
    return [again if i == index else forged for i, forged in enumerate(exchange.forged)]


def published_by(forged: Sequence[Forged]) -> tuple[Statement, list[Shard]]:
    """A statement that says what the shards' outputs come to, masks and all."""
    statement = equity_statement(forged)
    shards = [shard_of(statement, each, index) for index, each in enumerate(forged)]
    sums = [sum(column) % OUTPUT_END for column in zip(*(shard.outputs for shard in shards), strict=True)]
    totals = tuple(
        replace(old, long=long, short=short)
        for old, long, short in zip(statement.totals, sums[0::2], sums[1::2], strict=False)
    )
    return sealed(replace(statement, totals=totals), shards), shards


def test_a_mask_that_the_shard_before_did_not_add(exchange: Exchange) -> None:
    """Its proof is good: the masks hash to the digest that it shows. But the shard before shows another."""

    def change(forged: Forged) -> None:
        word = forged.rows[forged.layout.mask_in(0)]["b1"]
        put_word(forged, "in", 0, 1, word + 1 if word < 65_535 else word - 1)

    forged = forge_again(exchange, 1, change)
    statement, shards = published_by(forged)
    assert abs(statement.totals[0].long - exchange.statement.totals[0].long) == 2**16
    relation = solvency.relation(statement, shards[1])
    columns = columns_of(forged[1], exchange.worlds[1])
    verify_stark(relation, TEST, exchange.cheaters[1].prove(relation, columns).proof.to_bytes())
    error = refused(lambda: check_shards(statement, shards))
    assert (error.reason, error.message.split(":")[0]) == (Reason.SHARDS, "shard 1.mask_in")
    blind = [replace(shard, mask_in=(0,) * 8, mask_out=(0,) * 8) for shard in shards]
    check_shards(sealed(statement, blind), blind)


def test_a_mask_word_that_two_shards_read_in_two_ways(exchange: Exchange) -> None:
    """Hashed alike and chained, x here and x - p there: p atoms more, and only the range of its word stops it."""
    x, rule = 1_060_000_000, "u0 is below 2^16"

    def read_as_below_zero(forged: Forged) -> None:
        put_word(forged, "in", 0, 0, x)
        forged.fit(0, {0: 1})

    forged = forge_again(exchange, 0, lambda forged: put_word(forged, "out", 0, 0, x))
    forged[1] = forge_again(exchange, 1, read_as_below_zero)[1]
    statement, shards = published_by(forged)
    assert statement.totals[0].long == exchange.statement.totals[0].long + P
    check_shards(statement, shards)
    without = system_without(rule)
    with patch.object(solvency, "constraint_system", lambda name: without):
        for index in (0, 1):
            relation = solvency.relation(statement, shards[index])
            columns = columns_of(forged[index], exchange.worlds[index], [rule])
            verify_stark(relation, TEST, exchange.cheaters[index].prove(relation, columns).proof.to_bytes())
    relation = solvency.relation(statement, shards[1])
    columns = columns_of(forged[1], exchange.worlds[1])
    data = exchange.cheaters[1].prove(relation, columns, {"running_sum last"}).proof.to_bytes()
    assert isinstance(refused(lambda: verify_stark(relation, TEST, data)), ConstraintFailure)
