"""Multiproofs against whole trees, every subset of small ones."""

from __future__ import annotations

import itertools
import random

import pytest

from tests.verifier.reference_prover import Tree
from verifier.hashing import leaf_digest
from verifier.merkle import multiproof_root


def tree_of(depth: int) -> Tree:
    return Tree([bytes([i]) * 20 for i in range(1 << depth)])


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_every_subset_of_a_small_tree(depth: int) -> None:
    tree = tree_of(depth)
    for size in range(1, (1 << depth) + 1):
        for indices in itertools.combinations(range(1 << depth), size):
            opening = tree.open(indices)
            digests = [leaf_digest(message) for message in opening.messages]
            assert multiproof_root(depth, indices, digests, opening.siblings) == tree.root


def test_random_subsets_of_a_larger_tree() -> None:
    tree, rng = tree_of(7), random.Random(1)
    for _ in range(50):
        indices = sorted(rng.sample(range(128), rng.randrange(1, 40)))
        opening = tree.open(indices)
        digests = [leaf_digest(message) for message in opening.messages]
        assert multiproof_root(7, indices, digests, opening.siblings) == tree.root


@pytest.mark.negative
def test_siblings_are_consumed_exactly() -> None:
    """Only the test for leftover digests stops the longer ones: the root itself would still come out right."""
    tree = tree_of(4)
    indices = (1, 6, 7)
    opening = tree.open(indices)
    digests = [leaf_digest(message) for message in opening.messages]
    for siblings in (opening.siblings[:-1], (), (*opening.siblings, tree.root), (*opening.siblings, b"")):
        if multiproof_root(4, indices, digests, siblings) is not None:
            pytest.fail(f"accepted {len(siblings)} digests instead of {len(opening.siblings)}")


@pytest.mark.negative
def test_any_change_changes_the_root() -> None:
    tree = tree_of(4)
    indices = (1, 6, 7)
    opening = tree.open(indices)
    digests = [leaf_digest(message) for message in opening.messages]
    changed = [(indices, [*digests[:k], bytes(32), *digests[k + 1 :]], opening.siblings) for k in range(3)]
    for k in range(len(opening.siblings)):
        siblings = list(opening.siblings)
        siblings[k] = bytes(32)
        changed.append((indices, digests, tuple(siblings)))
    changed.append((indices, [digests[1], digests[0], digests[2]], opening.siblings))
    changed.append((indices, digests, opening.siblings[::-1]))
    changed.append(((0, 6, 7), digests, opening.siblings))
    for where, leaves, siblings_ in changed:
        if multiproof_root(4, where, leaves, siblings_) == tree.root:
            pytest.fail("a changed opening has the same root")
