"""Every step of the schedule left out, late, or of something else: refused, and only because the verifier does it.

The cases are made from `verifier.protocol.schedule`: a step that is added is attacked by being there.
"""

from __future__ import annotations

import pytest

from prover.randomness import Randomness
from tests.malicious.transcripts import LATE, OTHER, WAYS, Cheat, cheating_transcript
from tests.prover.test_prove import fast_proof
from tests.verifier.toy_circuits import LOG2_ROWS, ledger, ledger_system
from tests.verifier.toy_proofs import FREE, refused, verify
from verifier.errors import Reason
from verifier.protocol import DRAW, POSITIONS, schedule

pytestmark = pytest.mark.negative
STEPS = schedule(ledger_system(), FREE, LOG2_ROWS)
LABELS = tuple(step.label for step in STEPS)
CASES = [Cheat(label, way) for label in LABELS for way in WAYS if (label, way) != (LABELS[-1], LATE)]
"""Late and left out are one thing for the last step."""


def expected(label: str) -> Reason:
    """Up to zeta the challenges of the identity differ; from then on the positions that are asked for."""
    return Reason.CONSTRAINTS if LABELS.index(label) <= LABELS.index("zeta") else Reason.COMMITMENT


@pytest.mark.parametrize("cheat", CASES, ids=lambda cheat: f"{cheat.label} {cheat.way}")
def test_a_step_done_otherwise_is_refused(cheat: Cheat, monkeypatch: pytest.MonkeyPatch) -> None:
    """A verifier with the same transcript accepts: nothing else is wrong with the proof."""
    weak = cheating_transcript(cheat)
    with monkeypatch.context() as patch:
        patch.setattr("prover.prove.Transcript", weak)
        forged = fast_proof(ledger(), FREE, Randomness(b"weak"))
    refused(expected(cheat.label), ledger(), forged, FREE)
    if cheat.way != OTHER:
        monkeypatch.setattr("verifier.stark.Transcript", weak)
        verify(ledger(), forged, FREE)


def test_every_step_is_there_once() -> None:
    """So that its label says which one is meant; and the first challenge comes after all that it has to depend on."""
    first = min(i for i, step in enumerate(STEPS) if step.kind in (DRAW, POSITIONS))
    if len(set(LABELS)) != len(LABELS) or LABELS[first] != "r" or LABELS.index("base root") > first:
        pytest.fail(f"the schedule is {LABELS}")
