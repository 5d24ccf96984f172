"""Codewords that are no polynomials, false folds, and last polynomials made to measure: each refused where it shows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.malicious.fri_cheats import FitsWhatIsAsked, FriCheater, cheats, fri_proof
from tests.malicious.transcripts import LEFT_OUT, Cheat, cheating_transcript
from tests.verifier.toy_circuits import ledger
from tests.verifier.toy_proofs import FREE, refused, verify
from verifier.errors import Reason

pytestmark = pytest.mark.negative
LOG2_ROWS = 13
"""Three layers: the second is between others."""
PARAMS = replace(FREE, name="no work and many queries", queries=60)
"""An error of a quarter is missed once in 30 million proofs."""
CHEATS = cheats(PARAMS.fri_layers(LOG2_ROWS))


@pytest.mark.parametrize("name", CHEATS)
def test_what_is_far_from_low_degree_is_refused(name: str) -> None:
    kind, expected = CHEATS[name]
    error = refused(expected.reason, ledger(LOG2_ROWS), fri_proof(ledger(LOG2_ROWS), PARAMS, kind), PARAMS)
    if error.where.get("layer") != expected.layer:
        pytest.fail(f"refused as {error}, expected layer {expected.layer}")


def test_the_same_walk_without_a_cheat_is_accepted() -> None:
    verify(ledger(LOG2_ROWS), fri_proof(ledger(LOG2_ROWS), PARAMS, FriCheater), PARAMS)


def test_a_last_polynomial_through_what_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of noise. Only that it is absorbed before the queries stops this: a verifier that forgets to accepts."""
    case, weak = ledger(LOG2_ROWS), cheating_transcript(Cheat("fri final", LEFT_OUT))
    with monkeypatch.context() as patch:
        patch.setattr("prover.prove.Transcript", weak)
        forged = fri_proof(case, FREE, FitsWhatIsAsked)
    refused(Reason.COMMITMENT, case, forged, FREE)
    monkeypatch.setattr("verifier.stark.Transcript", weak)
    verify(case, forged, FREE)


def test_with_fewer_coefficients_than_queries_it_fits_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """60 positions fall on more places of the last layer than a polynomial of 16 coefficients goes through."""
    case, weak = ledger(LOG2_ROWS), cheating_transcript(Cheat("fri final", LEFT_OUT))
    monkeypatch.setattr("prover.prove.Transcript", weak)
    with pytest.raises(ValueError, match="too many points"):
        fri_proof(case, PARAMS, FitsWhatIsAsked)
