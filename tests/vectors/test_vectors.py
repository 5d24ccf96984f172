"""The vectors, by both verifiers; each reason has one, and the files are what the generator writes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.api.web.code import needs_node
from tests.vectors import make_accounts, make_log, make_market
from tests.vectors.book import FOLDER, Book, Vector, path_of, read_all, write
from tests.vectors.node import Node
from tests.vectors.run import KINDS, outcome
from verifier.errors import Reason

VECTORS = read_all()
PYTHON_ONLY = {
    *("opening", "reserves-evidence", "prices", "signed-quotes", "price-sources", "quorum", "challenges"),
    *("file-proof", "log-proof", "note", "checkpoint", "consistency", "fraud", "log-audit"),
}
"""Kinds that the page does not check by themselves."""
OTHER_WORDS = {"receipt", "reserves", "log", "log-policy", "publication", "proof", "toy-proof"}
"""Kinds in which the page gives the same reason, and fields names of its own."""
ANOTHER_FIELD = ("another registered circuit",)
"""The page knows circuits over one tree hash only: to it the name is unknown, and not the hash another one."""


def test_every_kind_has_its_vectors() -> None:
    assert VECTORS.keys() == KINDS.keys()
    assert all(path_of(kind).stat().st_size < 10**6 for kind in VECTORS)
    for kind, vectors in VECTORS.items():
        assert len({vector.name for vector in vectors}) == len(vectors), kind
        assert all(vector.note and vector.kind == kind for vector in vectors)
        assert vectors[0].reason is None, f"{kind}: the first is accepted"


def test_every_reason_has_a_vector() -> None:
    reasons = {vector.reason for vectors in VECTORS.values() for vector in vectors}
    assert reasons == {None, *(reason.value for reason in Reason)}


@pytest.mark.negative
@pytest.mark.parametrize("kind", VECTORS)
def test_the_verifier_agrees(kind: str) -> None:
    for vector in VECTORS[kind]:
        got = outcome(kind, vector.inputs)
        if not vector.is_met(got.reason, got.field, got.value):
            pytest.fail(f"{vector.name}: {got}")


@needs_node
def test_the_page_agrees() -> None:
    with Node() as node:
        assert set(node.kinds) == VECTORS.keys() - PYTHON_ONLY
        for kind in node.kinds:
            vectors = VECTORS[kind]
            answers = node.outcomes(kind, [vector.inputs for vector in vectors])
            wrong = [(v.name, v.reason, v.where, a) for v, a in zip(vectors, answers, strict=True) if not _same(v, a)]
            assert not wrong, f"{kind}: {wrong}"


def _same(vector: Vector, answer: dict[str, Any]) -> bool:
    if "foreign" in answer:
        return False
    others = vector.kind in OTHER_WORDS or vector.name in ANOTHER_FIELD
    return vector.is_met(answer["reason"], vector.where if others else answer["field"], answer["value"])


def test_the_vectors_are_what_the_generator_makes() -> None:
    """All but proofs and certificates, which take long: `python -m tests.vectors.make --check` compares those, too."""
    quick = [*make_accounts.books(), *make_log.books(), *make_market.reserves(), *make_market.prices()]
    assert VECTORS.keys() - {book.kind for book in quick} == {
        "toy-proof",
        "challenges",
        "publication",
        "proof",
        "quorum",
    }
    for book in quick:
        stored = [replace(vector, where=None, value=None) for vector in VECTORS[book.kind]]
        assert book.vectors == stored, f"{book.kind}: run python -m tests.vectors.make"


def test_the_readme_names_every_kind() -> None:
    text = (FOLDER / "README.md").read_text("utf-8")
    assert [kind for kind in KINDS if f"`{kind}`" not in text] == []


def test_two_of_one_name_are_told_apart() -> None:
    book = Book("document")
    for data in (b"1", b"2", b"3"):
        book.accept("one", "a note", document=data)
    assert [vector.name for vector in book.vectors] == ["one", "one, #2", "one, #3"]


@pytest.mark.parametrize("path", sorted(Path(__file__).parent.glob("*.json")), ids=lambda path: path.stem)
def test_a_file_read_and_written_again_is_the_same(path: Path) -> None:
    assert write(path.stem, VECTORS[path.stem]) == path.read_bytes()
