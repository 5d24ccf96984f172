"""A source of randomness that gives the same seed again: over another statement no mask and no salt is used twice.

A verifier cannot see it, and need not: what is at stake is the users' privacy, so this is the prover's own rule.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from prover.randomness import Randomness
from tests.prover.test_prove import fast_proof
from tests.verifier.toy_circuits import Case, blocks, ledger
from tests.verifier.toy_proofs import FREE, parsed
from verifier.params import ProofParams

OTHER_STATEMENT = Case(replace(ledger().relation, binding=bytes(range(7, 39))), ledger().witness)
PROOFS: dict[str, tuple[Case, ProofParams]] = {
    "the first": (ledger(), FREE),
    "another statement": (OTHER_STATEMENT, FREE),
    "other parameters": (ledger(), replace(FREE, name="others")),
    "another circuit": (blocks(), FREE),
}


def streams(case: Case, params: ProofParams, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The start of every stream that one proof draws from, by label, under a seed that is always the same."""
    drawn: dict[str, bytes] = {}
    honest = Randomness.bytes

    def listen(self: Randomness, label: str, count: int) -> bytes:
        drawn[label] = honest(self, label, 32)
        return honest(self, label, count)

    with monkeypatch.context() as patch:
        patch.setattr(Randomness, "bytes", listen)
        fast_proof(case, params, Randomness(b"a source that is broken"))
    return drawn


def test_one_seed_over_several_proofs_repeats_no_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {name: streams(*each, monkeypatch) for name, each in PROOFS.items()}
    for name, drawn in found.items():
        assert set(drawn) == set(found["the first"]), name
    together = [stream for drawn in found.values() for stream in drawn.values()]
    assert len(together) == len(set(together)) == 4 * len(found["the first"])


def test_all_that_hides_something_has_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hidden rows of both kinds of columns, masks of the quotient, the mask of G, and the salts of every tree."""
    trees = ["base", "lookup", "quotient", *(f"fri {k}" for k in range(len(parsed("ledger").fri_roots)))]
    expected = {"base hidden rows", "lookup hidden rows", "quotient masks", "mask polynomial"}
    assert set(streams(*PROOFS["the first"], monkeypatch)) == expected | {f"salt {name}" for name in trees}
