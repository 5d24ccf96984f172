"""Honest proofs of the toy circuits, made once per process, and the one way in which tests expect a refusal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache

import pytest

from tests.verifier.reference_prover import ReferenceProver, SeededRandomness
from tests.verifier.toy_circuits import Case, blocks, fibonacci, ledger
from verifier.errors import Reason, VerificationError
from verifier.params import TEST, ProofParams
from verifier.proof import Proof, parse_proof
from verifier.stark import verify_stark

CASES: Mapping[str, Callable[[], Case]] = {"fibonacci": fibonacci, "ledger": ledger, "blocks": blocks}

FREE = ProofParams("test without work", TEST.log2_blowup, TEST.queries, 0, 0, 0, 0, 0, 0)
"""No proof of work hides what a later check would say."""
RATE_QUARTER = replace(TEST, name="test at rate 1/4", log2_blowup=2)


def prove(
    case: Case, params: ProofParams = TEST, seed: bytes = b"toy", prover: type[ReferenceProver] = ReferenceProver
) -> bytes:
    return prover(case.relation, params, case.columns, SeededRandomness(seed)).prove()


@cache
def honest(name: str, params: ProofParams = TEST) -> bytes:
    """The proof file of a toy circuit."""
    return prove(CASES[name](), params)


def parsed(name: str, params: ProofParams = TEST) -> Proof:
    relation = CASES[name]().relation
    return parse_proof(honest(name, params), relation.system, params, relation.log2_rows)


def verify(case: Case, data: bytes, params: ProofParams = TEST) -> None:
    verify_stark(case.relation, params, data)


def refused(reason: Reason, case: Case, data: bytes, params: ProofParams = TEST) -> VerificationError:
    """The verifier refuses with exactly this reason. No `assert`: these tests also run under `python -O`."""
    with pytest.raises(VerificationError) as caught:
        verify(case, data, params)
    expect(reason, caught.value)
    return caught.value


def expect(reason: Reason, error: VerificationError) -> None:
    if error.reason is not reason:
        pytest.fail(f"refused as {error}, expected {reason.value}")
