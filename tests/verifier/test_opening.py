"""The opening of one node's sum for an auditor: design 02b R6."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.verifier.small_tree import (
    Builder,
    Node,
    Publication,
    edited,
    equity,
    fast_compress,
    make_accounts,
    publication,
    words,
)
from verifier import tree
from verifier.errors import BrokenCommitment, Reason, VerificationError
from verifier.field import P
from verifier.opening import check_opening, make_opening_bytes
from verifier.tree import (
    ARITY,
    TAG_DUMMY,
    Digest,
    ValueOpening,
    dummy_digest,
    initial_value,
    limbs16,
    node_digest,
    value_digest,
)


@pytest.fixture(scope="module")
def small() -> Publication:
    return publication()


def refused(data: bytes, small: Publication) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        check_opening(data, small.statement)
    return caught.value


@pytest.mark.parametrize("circuit", ["solvency_equity_v1", "solvency_equity_v1_poseidon2"])
def test_every_node_opens_to_its_sum(circuit: str) -> None:
    small = publication(circuit)
    for level, nodes in enumerate(small.nodes, start=1):
        for i in range(len(nodes)):
            report = check_opening(small.opening(level, i), small.statement)
            below = small.accounts[i * ARITY**level : (i + 1) * ARITY**level]
            assert report.value == sum(max(0, equity(account)) for account in below)
            assert report.level == level
            assert len(report.positions) == 6 - level
            assert all(step.ok for step in report.steps)
            assert json.loads(json.dumps(report.to_json()))["value"] == str(report.value)
    assert report.value == small.statement.total_liability


def test_the_report_in_words(small: Publication) -> None:
    steps = check_opening(small.opening(2, 0), small.statement).steps
    assert [step.name for step in steps][:4] == ["statement", "level", "kind", "sum"]
    assert steps[1].detail == "level 2 of 6, from the length of the path"


def test_positions_run_from_the_root_down(small: Publication) -> None:
    assert check_opening(small.opening(1, 1), small.statement).positions == (0, 0, 0, 0, 1)


def change(key: str, value: object) -> Callable[[Any], None]:
    return lambda opening: opening.__setitem__(key, value)


def change_value(key: str, value: object) -> Callable[[Any], None]:
    return lambda opening: opening["value"].__setitem__(key, value)


def word(value: int) -> str:
    return value.to_bytes(4, "little").hex()


TAMPERED: list[tuple[str, Callable[[Any], object], Reason]] = [
    ("another format", change("format", "solvent/bundle/v1"), Reason.UNKNOWN_VERSION),
    ("another statement", change("statement", "00" * 32), Reason.WRONG_STATEMENT),
    ("another state", change("state", "00" * 32), Reason.OPENING),
    ("another sum", change_value("limbs", word(1) + "00" * 24), Reason.OPENING),
    ("a limb of 2^16", change_value("limbs", word(2**16) + "00" * 24), Reason.OPENING),
    ("a limb above p", change_value("limbs", word(P) + "00" * 24), Reason.NON_CANONICAL),
    ("other randomness", change_value("random", "00" * 28), Reason.OPENING),
    ("other blinding", change_value("blinding", "00" * 4), Reason.OPENING),
    ("a limb too few", change_value("limbs", "00" * 24), Reason.MALFORMED),
    ("a level of its own", change("level", 3), Reason.MALFORMED),
    ("one step less", lambda o: o["path"].pop(), Reason.OPENING),
    ("one step more", lambda o: o["path"].append(o["path"][0]), Reason.OPENING),
    ("down to level 0", lambda o: o["path"].extend([o["path"][0]] * 2), Reason.PATH_LENGTH),
    ("below level 0", lambda o: o["path"].extend([o["path"][0]] * 3), Reason.PATH_LENGTH),
    ("a path without end", lambda o: o["path"].extend([o["path"][0]] * 9), Reason.PATH_LENGTH),
    ("another position", lambda o: o["path"][0].__setitem__("position", 5), Reason.OPENING),
]


@pytest.mark.negative
@pytest.mark.parametrize(("tamper", "reason"), [t[1:] for t in TAMPERED], ids=[t[0] for t in TAMPERED])
def test_one_change_one_reason(small: Publication, tamper: Callable[[Any], object], reason: Reason) -> None:
    error = refused(edited(small.opening(2, 0), tamper), small)
    assert error.reason is reason, str(error)


@pytest.mark.negative
def test_every_flipped_byte_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "compress", fast_compress)
    source = random.Random(3)
    small = Builder(source).build(make_accounts(11, source))
    data = small.opening(2, 0)
    for i in range(len(data)):
        for flip in (1 << source.randrange(8), 0x20):  # 0x20 turns a letter to the other case
            changed = data[:i] + bytes([data[i] ^ flip]) + data[i + 1 :]
            refused(changed, small)


def one_account_beside(level: int, forged: Digest) -> Publication:
    """A tree whose second item of `level` is `forged`."""

    class Forging(Builder):
        def node(self, at: int, children: Any, value: int) -> Node:
            if at == level + 1:
                children = [children[0], forged, *children[2:]]
            return super().node(at, children, value)

    return Forging(random.Random(6)).build(publication().accounts[:3])


@pytest.mark.negative
@pytest.mark.parametrize("level", [1, 2, 4])
def test_a_dummy_opened_as_a_node(level: int) -> None:
    """02b R6: a dummy's block is free, so it can be the commitment to 10^9; only its state gives it away."""
    source = random.Random(7)
    value = ValueOpening(words(source, 7), limbs16(10**9, 7), words(source, 1)[0])
    small = one_account_beside(level, dummy_digest(level, value_digest(value)))
    path = small.path(0, level)
    path[0] = replace(path[0], position=1, siblings=(small.nodes[level - 1][0].digest, *path[0].siblings[1:]))
    forged: dict[str, Any] = {"state": initial_value(TAG_DUMMY, level), "value": value, "path": path}
    forged["place"] = small.place
    error = refused(make_opening_bytes(small.statement, **forged), small)
    assert error.reason is Reason.OPENING
    assert "dummy" in str(error)
    assert isinstance(error, BrokenCommitment)
    # The same digest really is in the tree, so nothing but the rule about the state refuses it.
    state = initial_value(TAG_DUMMY, level + 1)
    assert "dummy" not in str(refused(make_opening_bytes(small.statement, **forged | {"state": state}), small))
    honest = small.opening(level, 0)
    assert check_opening(honest, small.statement).level == level


@pytest.mark.negative
def test_limbs_are_below_2_16_even_where_the_tree_agrees() -> None:
    """One sum has one spelling; no proof has such a node, but the rule does not lean on that."""

    class Wide(Builder):
        def node(self, level: int, children: Sequence[Digest], value: int) -> Node:
            node = super().node(level, children, value)
            wide = replace(node.opening, limbs=(2**16, *node.opening.limbs[1:]))
            digest = node_digest(level, children, value_digest(wide))
            return replace(node, opening=wide, digest=digest) if level == 6 else node

    small = Wide(random.Random(6)).build(publication().accounts[:3])
    error = refused(small.opening(6, 0), small)
    assert error.reason is Reason.OPENING
    assert "below 2^16" in str(error)


@pytest.mark.negative
def test_a_leaf_or_dummy_of_level_0_is_not_opened_as_a_node() -> None:
    """Level 0 has no nodes; the level is not in the file, so it cannot be claimed."""
    source = random.Random(8)
    value = ValueOpening(words(source, 7), limbs16(10**9, 7), words(source, 1)[0])
    small = one_account_beside(0, dummy_digest(0, value_digest(value)))
    path = small.path(1)
    forged = make_opening_bytes(
        small.statement, state=initial_value(TAG_DUMMY), value=value, path=path, place=small.place
    )
    assert refused(forged, small).reason is Reason.PATH_LENGTH


@pytest.mark.negative
def test_a_node_does_not_open_at_another_level(small: Publication) -> None:
    """The same node shown with its parent's path: the initial values of the ancestors differ."""
    node = small.nodes[0][0]
    data = small.opening(2, 0, state=node.state, value=node.opening)
    assert refused(data, small).reason is Reason.OPENING
    assert node_digest(1, node.children, value_digest(node.opening)) == node.digest
