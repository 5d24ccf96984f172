"""Proofs say nothing of their witness: shown by solving for other masks, and looked for with statistics."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from prover.outputs import MaskPair
from prover.randomness import Randomness
from tests.adversary import secrets
from tests.adversary.battery import (
    binomial_tail,
    chi_square_tail,
    classifier,
    kolmogorov_tail,
    normal_tail,
    permutation_tail,
    poisson_tail,
    told_apart,
    two_samples,
    uniform,
)
from tests.adversary.explain import explain, prove
from tests.adversary.real_shards import SHARDS, Published, holdings, imagined, published, statement
from tests.adversary.scripted import MASKS, run
from tests.adversary.simulator import Simulator, accept
from tests.adversary.views import pieces, shared
from tests.adversary.witnesses import Pair, ledgers, losers
from tests.verifier.small_tree import Builder, make_accounts
from tests.verifier.toy_circuits import LOG2_ROWS, Case, fibonacci
from tests.verifier.toy_proofs import FREE, RATE_QUARTER
from verifier.errors import ConstraintFailure
from verifier.field import P
from verifier.params import PROFILES, ProofParams
from verifier.proof import Proof
from verifier.solvency import relation as relation_of
from verifier.stark import verify_stark

SEED = 20_250_601
FAST = secrets.without_work(PROFILES["fast"])


@pytest.mark.parametrize(
    ("pairs", "params"),
    [(ledgers, FREE), (losers, FREE), (ledgers, FAST)],
    ids=["buses", "accumulators", "203 queries"],
)
def test_a_proof_of_one_witness_is_one_of_another_under_other_masks(
    pairs: Callable[[int], Pair], params: ProofParams
) -> None:
    one, two = pairs(secrets.least_rows(params))
    assert one.columns != two.columns and vars(one.relation)["terminal"] == vars(two.relation)["terminal"]
    made = prove(one, params, b"seed")
    verify_stark(two.relation, params, made.proof.to_bytes())
    assert explain(made, two, params, b"seed") == []
    assert explain(made, two, params, b"other salts") != []


@pytest.mark.parametrize("label", MASKS)
def test_without_any_one_of_the_masks_it_is_not(label: str) -> None:
    one, two = ledgers()
    made = prove(one, FREE, b"seed", [label])
    verify_stark(one.relation, FREE, made.proof.to_bytes())  # sound, and not secret
    assert explain(made, two, FREE, b"seed", [label])


@pytest.mark.parametrize("name", secrets.PAIRS)
def test_proofs_of_two_witnesses_and_of_none_look_alike_and_like_chance(name: str) -> None:
    pair = secrets.PAIRS[name](LOG2_ROWS)
    one, two = secrets.samples(pair, 40, SEED)
    none = secrets.simulated(pair, 40, SEED)
    told = [*secrets.compared(one, two, SEED), *secrets.compared(one, none, SEED)]
    chance = [*secrets.against_chance(one, two), *secrets.against_chance(none)]
    assert sum(result.p_values.size for result in (*told, *chance)) > 40_000
    assert told_apart(told) == told_apart(chance) == []


@pytest.mark.parametrize(
    ("case", "params"),
    [(fibonacci(), FREE), (ledgers(11)[0], FAST), (losers()[0], FREE)],
    ids=["no buses", "203 queries", "accumulators"],
)
def test_a_proof_without_a_witness_is_accepted_where_the_oracle_is_programmed(case: Case, params: ProofParams) -> None:
    """And nowhere else."""
    made = Simulator(case.relation, params, Randomness(b"simulator")).prove()
    accept(case.relation, params, made)
    with pytest.raises(ConstraintFailure):
        verify_stark(case.relation, params, made.proof.to_bytes())


def test_a_shard_of_nobody_is_accepted_where_the_oracle_is_programmed() -> None:
    """Any outputs, any root: so what a real shard's proof shows follows from what its document says."""
    made = imagined(b"nobody")
    with pytest.raises(ConstraintFailure):
        verify_stark(relation_of(statement(), made.shard), FREE, made.proof.to_bytes())


def test_a_broken_prover_is_seen() -> None:
    outcome = secrets.broken("ledger", secrets.SIZES["short"], SEED)
    assert (outcome.tried, outcome.failed) == (8, [])


# -- nothing is used twice --------------------------------------------------------------------------------------------


def nothing_is_shared(proofs: list[Proof]) -> None:
    """No salt and no digest; words as often as chance has it."""
    found, expected = 0, 0.0
    for one, two in combinations(proofs, 2):
        equal = shared(one, two)
        assert equal["salts"] == equal["digests"] == 0
        found += equal["words"]
        expected += len(pieces(one)["words"]) * len(pieces(two)["words"]) / P
    assert poisson_tail(found, expected) > 1e-3


def test_proofs_of_one_witness_share_nothing() -> None:
    """Under other seeds; under the same one about another statement, or with other parameters."""
    case = ledgers()[0]
    other = replace(case, relation=replace(case.relation, binding=bytes(32)))
    tries = [(case, FREE, b"one"), (case, FREE, b"two"), (other, FREE, b"one"), (case, RATE_QUARTER, b"one")]
    proofs = [run(of, params, Randomness(seed)).proof for of, params, seed in tries]
    nothing_is_shared(proofs)
    assert shared(proofs[0], proofs[0])["digests"] > 50  # the counting counts


Drawn = Counter[tuple[bytes, str]]
"""How often each stream was begun, by key and label."""


@contextmanager
def recorded() -> Iterator[Drawn]:
    drawn, real = Drawn(), Randomness.bytes

    def counted(self: Randomness, label: str, count: int) -> bytes:
        drawn[self._key, label] += 1
        return real(self, label, count)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Randomness, "bytes", counted)
        yield drawn


@pytest.fixture(scope="module")
def shards() -> tuple[list[Published], Drawn]:
    """Two shards of one run, in the second of which one holds everything, and every stream that they draw from."""
    with recorded() as drawn:
        made = [published(accounts, b"run", shard) for shard, accounts in enumerate(holdings())]
    return made, drawn


def test_shards_of_one_run_share_nothing(shards: tuple[list[Published], Drawn]) -> None:
    nothing_is_shared([shard.proof for shard in shards[0]])


def test_no_stream_is_drawn_from_twice(shards: tuple[list[Published], Drawn]) -> None:
    """But those of the masks between two neighbours, which both need."""
    run_randomness = Randomness(b"run")
    with recorded() as between:
        for shard in range(2):
            MaskPair.of(run_randomness, shard, SHARDS, statement().special_rows.outputs)
    own = Counter(shards[1])
    own.subtract(between)
    assert max(between.values()) == 2 and min(own.values()) == 0
    assert sum(own.values()) > 40 and max(own.values()) == 1


# -- sizes ------------------------------------------------------------------------------------------------------------


def test_documents_of_shards_are_as_long_whatever_is_in_them(
    shards: tuple[list[Published], Drawn],
) -> None:
    one, two = shards[0]
    assert len(one.shard.to_bytes()) == len(two.shard.to_bytes())
    assert one.view.keys() == two.view.keys()
    assert all(len(one.view[name]) == len(two.view[name]) for name in one.view if name != "digests")


def test_a_bundle_is_as_long_whatever_others_have() -> None:
    """Only its own entries make it longer."""
    mine, *others = make_accounts(12, random.Random(3))
    poor = [replace(other, entries=((0, 1),)) for other in others]
    lengths = set()
    for rest in (others, poor):
        made = Builder(random.Random(4)).build([mine, *rest])
        index = next(i for i, account in enumerate(made.accounts) if account.user_id == mine.user_id)
        lengths.add(len(made.bundle(index)))
    assert len(lengths) == 1


# -- the battery itself -----------------------------------------------------------------------------------------------


def test_the_battery_sees_what_is_there_and_nothing_else() -> None:
    draw = np.random.default_rng(SEED)
    one, two = draw.integers(0, P, (2, 300, 20), dtype=np.uint32)
    assert told_apart(two_samples(one, two, P)) == told_apart(uniform(np.concatenate([one, two]), P)) == []
    assert classifier(one, two, SEED)[1] > 1e-3
    odd = two & ~draw.integers(0, 2, (300, 1), dtype=np.uint32)  # half of all words lose their lowest bit
    assert told_apart(two_samples(one, odd, P)) and classifier(one, odd, SEED)[0] > 0.6
    small = two - two // np.uint32(4)
    assert told_apart(two_samples(one, small, P)) and told_apart(uniform(small, P))
    linked = two.copy()
    linked[:, 1] = linked[:, 0] // np.uint32(2) + linked[:, 1] // np.uint32(2)
    assert {name.split(", ")[1] for name in told_apart(two_samples(one, linked, P))} >= {"neighbours"}
    again = two.copy()
    again[7] = again[9]
    assert told_apart(uniform(again, P))


def test_tails_are_those_of_tables() -> None:
    """Abramowitz and Stegun, tables 26.1, 26.8; Smirnov's table; sums by hand."""
    assert normal_tail(np.array([1.96])) == pytest.approx([0.0249979], rel=1e-4)
    assert chi_square_tail(np.array([24.9958, 30.5779]), 15) == pytest.approx([0.05, 0.01], rel=2e-2)
    assert kolmogorov_tail(np.array([1.3581, 1.6276]) / 1000, 1e6) == pytest.approx([0.05, 0.01], rel=1e-2)
    assert kolmogorov_tail(np.array([0.0]), 10) == 1
    assert poisson_tail(2, 0.5) == pytest.approx(1 - 1.5 * np.exp(-0.5))
    assert binomial_tail(9, 10, 0.5) == pytest.approx(11 / 1024)
    assert permutation_tail(np.arange(8.0), np.arange(8.0), 1) == 1
    assert permutation_tail(np.arange(8.0), np.arange(8.0) + 100, 1) < 0.01
