"""The account tree: what a leaf, a node, a dummy and a value commitment are, and that none passes for another."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.verifier.small_tree import Builder, make_accounts, publication, words
from verifier.errors import InvariantBroken
from verifier.poseidon import INSTANCES, compress
from verifier.tree import (
    ENTRIES_MAX,
    PathStep,
    ValueOpening,
    account_leaf,
    climb,
    dummy_digest,
    initial_value,
    limbs16,
    node_digest,
    node_state,
    value_digest,
)

SOURCE = random.Random(5)
IDENTITY, BLINDING = words(SOURCE, 8), words(SOURCE, 6)
CHILDREN = tuple(words(SOURCE, 8) for _ in range(8))
OPENING = ValueOpening(words(SOURCE, 7), limbs16(10**20, 7), words(SOURCE, 1)[0])


def test_leaf_block_by_block() -> None:
    entries = [(2, 5), (7, 2**63 - 1)]
    h = compress((1, 0, 0, 0, 0, 0, 0, 0), IDENTITY)
    h = compress(h, (2, 5, 0, 0, 0, 0, 0, 0))
    h = compress(h, (7, 0xFFFF, 0xFFFF, 0xFFFF, 0x7FFF, 0, 0, 0))
    h = compress(h, (5, 2, *BLINDING))
    assert account_leaf(IDENTITY, entries, BLINDING) == tuple(h)


def test_node_block_by_block() -> None:
    value = compress((4, *OPENING.random), (*OPENING.limbs, OPENING.blinding))
    assert value_digest(OPENING) == tuple(value)
    h = [2, 3, 0, 0, 0, 0, 0, 0]
    for child in CHILDREN:
        h = compress(h, child)
    assert node_state(3, CHILDREN) == tuple(h)
    assert node_digest(3, CHILDREN, tuple(value)) == tuple(compress(h, value))


def test_dummy_is_one_block() -> None:
    block = words(SOURCE, 8)
    assert dummy_digest(4, block) == tuple(compress((3, 4, 0, 0, 0, 0, 0, 0), block))


@given(st.integers(0, 2**112 - 1))
def test_limbs_and_value_are_inverse(value: int) -> None:
    assert ValueOpening((0,) * 7, limbs16(value, 7), 0).value == value


@pytest.mark.negative
@pytest.mark.parametrize(("value", "count"), [(-1, 7), (2**112, 7), (2**64, 4)])
def test_limbs_never_wrap(value: int, count: int) -> None:
    with pytest.raises(InvariantBroken):
        limbs16(value, count)


@pytest.mark.negative
def test_shapes_are_checked_where_a_prover_could_slip() -> None:
    calls: tuple[Callable[[], object], ...] = (
        lambda: account_leaf(IDENTITY, [], BLINDING[:5]),
        lambda: account_leaf(IDENTITY, [(i, 1) for i in range(ENTRIES_MAX + 1)], BLINDING),
        lambda: account_leaf(IDENTITY[:7], [], BLINDING),
        lambda: account_leaf(IDENTITY, [(0, 2**64)], BLINDING),
        lambda: node_state(0, CHILDREN),
        lambda: node_state(1, CHILDREN[:7]),
        lambda: dummy_digest(0, CHILDREN[0][:7]),
    )
    for call in calls:
        with pytest.raises(InvariantBroken):
            call()


def test_every_account_climbs_to_the_root() -> None:
    for circuit in ("solvency_equity_v1", "solvency_equity_v1_poseidon2"):
        small = publication(circuit)
        builder = Builder(SOURCE, circuit)
        for i, account in enumerate(small.accounts):
            path = small.path(i)
            assert len(path) == 6
            assert climb(builder.leaf(account), 0, path, small.hash) == small.shard.root
        for level, nodes in enumerate(small.nodes, start=1):
            for i, node in enumerate(nodes):
                assert climb(node.digest, level, small.path(i, level), small.hash) == small.shard.root


def test_the_two_hashes_give_two_trees() -> None:
    one, two = INSTANCES.values()
    assert account_leaf(IDENTITY, [], BLINDING, one) != account_leaf(IDENTITY, [], BLINDING, two)
    assert account_leaf(IDENTITY, [], BLINDING, one) == account_leaf(IDENTITY, [], BLINDING)


@pytest.mark.negative
def test_no_kind_or_level_passes_for_another() -> None:
    """06 attack 17: the same blocks under another initial value are another digest."""
    blocks = [*CHILDREN, value_digest(OPENING)]
    starts = [initial_value(1), *(initial_value(tag, level) for tag in (2, 3) for level in range(1, 8))]
    digests = set()
    for start in starts:
        h = start
        for block in blocks:
            h = tuple(compress(h, block))
        digests.add(h)
    assert len(digests) == len(starts) == len(set(starts))


@pytest.mark.negative
def test_children_cannot_be_moved_between_positions_or_levels() -> None:
    honest = node_digest(1, CHILDREN, (*OPENING.limbs, 0))
    swapped = (CHILDREN[1], CHILDREN[0], *CHILDREN[2:])
    assert node_digest(1, swapped, (*OPENING.limbs, 0)) != honest
    assert node_digest(2, CHILDREN, (*OPENING.limbs, 0)) != honest
    path = [PathStep(0, CHILDREN[1:], CHILDREN[0])]
    assert climb(CHILDREN[0], 0, path) != climb(CHILDREN[0], 1, path)


@pytest.mark.negative
def test_a_leaf_cannot_be_guessed_without_its_blinding() -> None:
    """06 attack 23, 02a finding 17: 186 random bits in the last block; a new snapshot draws new ones."""
    guesses = {account_leaf(IDENTITY, [(0, 1)], words(SOURCE, 6)) for _ in range(50)}
    assert len(guesses) == 50
    assert account_leaf(IDENTITY, [(0, 1)], BLINDING) not in guesses


@pytest.mark.negative
def test_equal_sums_do_not_show() -> None:
    """02b R3: value digests of the same sum differ in every draw of the 248 random bits."""
    source = random.Random(9)
    nodes = [Builder(source).node(1, CHILDREN, 77) for _ in range(10)]
    assert len({value_digest(node.opening) for node in nodes}) == 10
    assert {node.opening.value for node in nodes} == {77}


def test_the_same_accounts_twice_share_nothing() -> None:
    accounts = make_accounts(3, random.Random(1))
    one, two = (Builder(random.Random(seed)).build(accounts) for seed in (2, 3))
    assert one.statement.root != two.statement.root
    assert one.statement.totals == two.statement.totals
    assert not {n.digest for nodes in one.nodes for n in nodes} & {n.digest for nodes in two.nodes for n in nodes}
