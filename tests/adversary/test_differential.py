"""A few hundred of the nightly cases, and that a disagreement would be seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from tests.adversary import differential
from tests.adversary.differential import CASES, agree, compare
from tests.adversary.score import Score
from tests.api.web.code import needs_node
from tests.vectors.run import Outcome

SEED = 7

pytestmark = pytest.mark.negative


@needs_node
def test_both_verifiers_agree(scored: Callable[[Iterable[Score]], None]) -> None:
    said: list[str] = []
    score = compare(CASES["short"], SEED, say=said.append)
    assert said == [] and score.tried == CASES["short"]
    scored([score])


@needs_node
def test_a_disagreement_is_found_and_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verifier that takes everything."""
    monkeypatch.setattr(differential, "outcome", lambda kind, inputs: Outcome(None))
    said: list[str] = []
    score = compare(20, SEED, ["reserves"], said.append)
    if not (score.accepted and score.accepted == len(said) and "reserves, vector" in said[0]):
        pytest.fail(score.line())


@pytest.mark.parametrize(
    ("kind", "python", "javascript", "same"),
    [
        ("bundle", Outcome("path", "bundle.path"), {"reason": "path", "field": "bundle.path", "value": None}, True),
        ("bundle", Outcome("path", "bundle.path"), {"reason": "path", "field": "bundle", "value": None}, False),
        ("log", Outcome("manifest", "here"), {"reason": "manifest", "field": "there", "value": None}, True),
        ("bundle", Outcome("path", "a"), {"reason": "path-length", "field": "a", "value": None}, False),
        ("bundle", Outcome(None, None, ["1"]), {"reason": None, "field": None, "value": ["2"]}, False),
        ("bundle", "KeyError: a", {"reason": "malformed", "field": "a", "value": None}, False),
        ("bundle", Outcome("path", "a"), {"foreign": "TypeError"}, False),
    ],
)
def test_what_is_the_same(kind: str, python: Outcome | str, javascript: dict[str, object], same: bool) -> None:
    if agree(kind, python, javascript) is not same:
        pytest.fail(f"{python} and {javascript}")
