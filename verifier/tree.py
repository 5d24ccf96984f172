"""The account tree in plain integers: leaves, nodes, value commitments, dummies, and the way up to the root.

docs/protocol.md section 6. C(h, block) is the compression of `verifier.poseidon`; a chain starts at an initial value
that says its kind and level, so an account can pose neither as a node nor as a dummy. All words are canonical. Every
function takes the instance of the tree hash last; None stands for the default one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from verifier.errors import InvariantBroken
from verifier.poseidon import Instance, compress

ARITY = 8
VALUE_LIMBS = 7
VALUE_BITS = 16 * VALUE_LIMBS
"""Sums of liabilities are below 2^112 value units."""
ENTRIES_MAX = 4095
"""The circuit's carry bounds hold for this many entries in one account (02a finding 3)."""
BLINDING_WORDS = 6
TAG_ACCOUNT, TAG_NODE, TAG_DUMMY, TAG_VALUE, TAG_END = 1, 2, 3, 4, 5

Words = tuple[int, ...]
Digest = Words
"""Eight words."""


@dataclass(frozen=True)
class ValueOpening:
    """What a value digest commits to: C((4, random), (limbs, blinding)).

    Args:
        random: 7 words.
        limbs: 7 limbs of 16 bits, lowest first, of the sum of the liabilities below the node, in value units.
        blinding: 1 word.
    """

    random: Words
    limbs: Words
    blinding: int

    @property
    def value(self) -> int:
        """The sum in value units."""
        return sum(limb << (16 * i) for i, limb in enumerate(self.limbs))


@dataclass(frozen=True)
class PathStep:
    """One node on the way to the root.

    Args:
        position: which of the eight children we come from.
        siblings: digests of the other seven, in order.
        value_digest: the node's commitment to its sum.
    """

    position: int
    siblings: tuple[Digest, ...]
    value_digest: Digest


def limbs16(value: int, count: int) -> Words:
    """`count` limbs of 16 bits, lowest first. Raises InvariantBroken where they do not suffice."""
    if not 0 <= value < 1 << (16 * count):
        raise InvariantBroken(f"{value} does not fit in {count} limbs of 16 bits")
    return tuple(value >> (16 * i) & 0xFFFF for i in range(count))


def initial_value(tag: int, level: int = 0) -> Words:
    """Chaining value at the start of a chain: tag, level, six zeros. The level of an account is 0."""
    return (tag, level, 0, 0, 0, 0, 0, 0)


def absorb(state: Words, blocks: Iterable[Sequence[int]], instance: Instance | None = None) -> Words:
    """Chaining value after the blocks of eight words."""
    for block in blocks:
        state = tuple(compress(state, block, instance))
    return state


def account_leaf(
    identity: Sequence[int],
    entries: Sequence[tuple[int, int]],
    blinding: Sequence[int],
    instance: Instance | None = None,
) -> Digest:
    """Digest of one account, the level-0 item of the tree.

    Args:
        identity: 8 words of `verifier.account_id`.
        entries: (leg, amount in atoms) with strictly increasing leg; 0 < amount < 2^64, at most ENTRIES_MAX.
        blinding: 6 uniform words, fresh for every snapshot.
    """
    if len(entries) > ENTRIES_MAX:
        raise InvariantBroken(f"an account takes at most {ENTRIES_MAX} entries")
    blocks: list[Sequence[int]] = [identity]
    blocks += [(leg, *limbs16(amount, 4), 0, 0, 0) for leg, amount in entries]
    blocks.append((TAG_END, len(entries), *blinding))
    return absorb(initial_value(TAG_ACCOUNT), blocks, instance)


def value_digest(opening: ValueOpening, instance: Instance | None = None) -> Digest:
    """Commitment to a node's sum; hiding by 248 random bits (02b R3)."""
    return absorb((TAG_VALUE, *opening.random), [(*opening.limbs, opening.blinding)], instance)


def node_state(level: int, children: Sequence[Digest], instance: Instance | None = None) -> Words:
    """Chaining value of a node of `level` >= 1 after its eight child digests, before its value digest."""
    if level < 1 or len(children) != ARITY:
        raise InvariantBroken(f"a node has level 1 or more and {ARITY} children")
    return absorb(initial_value(TAG_NODE, level), children, instance)


def node_digest(level: int, children: Sequence[Digest], value: Digest, instance: Instance | None = None) -> Digest:
    """Digest of a node of `level` >= 1 from its eight child digests and its value digest."""
    return absorb(node_state(level, children, instance), [value], instance)


def dummy_digest(level: int, block: Sequence[int], instance: Instance | None = None) -> Digest:
    """Digest that stands for an empty subtree of `level`; `block` is eight uniform words."""
    return absorb(initial_value(TAG_DUMMY, level), [block], instance)


def climb(digest: Digest, level: int, path: Sequence[PathStep], instance: Instance | None = None) -> Digest:
    """The root that follows from an item of `level` and its path."""
    for step in path:
        level += 1
        children = (*step.siblings[: step.position], digest, *step.siblings[step.position :])
        digest = node_digest(level, children, step.value_digest, instance)
    return digest
