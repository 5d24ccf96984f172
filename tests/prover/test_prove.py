"""The fast prover against its slow twin: the same bytes for the same randomness."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from prover.kernels.field import to_mont
from prover.prove import proof_randomness, prove
from prover.randomness import Randomness
from tests.verifier.reference_prover import ReferenceProver
from tests.verifier.toy_circuits import Case, blocks, fibonacci, ledger
from verifier.errors import InvariantBroken
from verifier.params import HIDDEN_ROWS, PROFILES, TEST, ProofParams
from verifier.stark import verify_stark


class PlainRandomness:
    """The fast prover's streams in the form the twin takes."""

    def __init__(self, random: Randomness) -> None:
        self._random = random

    def words(self, label: str, count: int) -> list[int]:
        return [int(word) for word in self._random.words(label, count)]

    def salts(self, label: str, count: int) -> list[bytes]:
        return [row.astype("<u4").tobytes() for row in self._random.salts(label, count)]


def fast_proof(case: Case, params: ProofParams, random: Randomness) -> bytes:
    columns = np.array(case.columns, np.uint32)
    base = np.concatenate([columns, np.zeros((len(columns), HIDDEN_ROWS), np.uint32)], axis=1)
    to_mont(base)
    return prove(case.relation, params, base, random).to_bytes()


@pytest.mark.parametrize(
    ("make", "params", "log2_rows"),
    [(fibonacci, TEST, 10), (ledger, TEST, 10), (blocks, TEST, 10), (ledger, PROFILES["compact"], 11)],
    ids=["no buses", "buses", "columns from challenges", "blow-up 4"],
)
def test_same_bytes_as_the_slow_twin(make: Callable[[int], Case], params: ProofParams, log2_rows: int) -> None:
    case, random = make(log2_rows), Randomness(b"twin")
    plain = PlainRandomness(proof_randomness(random, case.relation, params))
    expected = ReferenceProver(case.relation, params, case.columns, plain).prove()
    proof = fast_proof(case, params, random)
    assert proof == expected
    verify_stark(case.relation, params, proof)


def test_two_proofs_of_one_witness_share_no_root_and_no_opening() -> None:
    case = ledger(10)
    one, two = (fast_proof(case, TEST, Randomness(seed)) for seed in (b"one", b"two"))
    chunks = {one[i : i + 16] for i in range(0, len(one), 4)} - {bytes(16)}
    shared = [i for i in range(8, len(two) - 16, 4) if two[i : i + 16] in chunks]
    assert not shared


def test_an_unbalanced_bus_stops_the_prover() -> None:
    case = ledger(10)
    columns = {name: list(words) for name, words in case.witness.items()}
    columns["m"][3] += 1
    with pytest.raises(InvariantBroken, match="buses do not balance"):
        fast_proof(Case(case.relation, columns), TEST, Randomness(b"x"))
