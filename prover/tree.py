"""The Merkle-sum tree of one snapshot, level by level, with all that bundles and openings need later.

docs/protocol.md section 6; the plain twin is `verifier.tree`. Arrays are canonical words, one row per item.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from prover.errors import InputError
from prover.kernels.field import from_mont, to_mont
from prover.kernels.poseidon import compress_rows
from prover.randomness import Randomness
from verifier.poseidon import DEFAULT, DIGEST_WORDS, Instance
from verifier.tree import ARITY, TAG_DUMMY, TAG_NODE, TAG_VALUE, VALUE_LIMBS

Words = npt.NDArray[np.uint32]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Level:
    """The nodes of one level >= 1.

    Args:
        level: its number; children stand one below.
        source: (nodes, 8): which item of the level below stands in each slot; numbers from `items` on are dummies.
        items: real items one level below.
        dummy_blocks, dummy_digests: (dummies, 8) of the level below.
        children, child_values: (nodes, 8, 8) digests and (nodes, 8, 7) value limbs in slot order.
        chain: (nodes, 8, 8) chaining value after each of the eight children.
        sums, carries: (nodes, 7) limbs of the sum below and (nodes, 6) carries of that addition.
        value_random: (nodes, 8): 7 words of the chaining half and 1 of the block half of the value row.
        value_digests, digests: (nodes, 8).
    """

    level: int
    source: Indices
    items: int
    dummy_blocks: Words
    dummy_digests: Words
    children: Words
    child_values: Words
    chain: Words
    sums: Words
    carries: Words
    value_random: Words
    value_digests: Words
    digests: Words


@dataclass(frozen=True)
class Tree:
    """`levels[0]` is level 1; the last has one node, the root."""

    levels: tuple[Level, ...]

    @property
    def root(self) -> tuple[int, ...]:
        return tuple(int(word) for word in self.levels[-1].digests[0])

    @property
    def total(self) -> int:
        """Sum of all liabilities in value units."""
        return sum(int(limb) << (16 * j) for j, limb in enumerate(self.levels[-1].sums[0]))


def compress_words(h: Words, block: Words, instance: Instance = DEFAULT) -> Words:
    """Compression of (n, 8) chaining values and (n, 8) blocks, canonical in and out, to (n, 8)."""
    columns = [np.array(part.T, order="C") for part in (h, block)]
    for part in columns:
        to_mont(part)
    return np.ascontiguousarray(from_mont(compress_rows(columns[0], columns[1], instance)).T)


def initial_values(tag: int, level: int, count: int) -> Words:
    """(count, 8) initial chaining values."""
    out = np.zeros((count, DIGEST_WORDS), np.uint32)
    out[:, 0], out[:, 1] = tag, level
    return out


def build_tree(digests: Words, values: Words, levels: int, random: Randomness, instance: Instance = DEFAULT) -> Tree:
    """Tree over (n, 8) leaf digests with (n, 7) value limbs; n <= 8 ** levels, sums below 2^112."""
    built = []
    for level in range(1, levels + 1):
        built.append(_build_level(level, digests, values, random, instance))
        digests, values = built[-1].digests, built[-1].sums
    return Tree(tuple(built))


def _build_level(level: int, digests: Words, values: Words, random: Randomness, instance: Instance) -> Level:
    items = len(digests)
    nodes = max(1, -(-items // ARITY))
    dummies = nodes * ARITY - items
    blocks = random.words(f"dummy blocks {level}", 8 * dummies).reshape(dummies, 8)
    dummy_digests = compress_words(initial_values(TAG_DUMMY, level - 1, dummies), blocks, instance)
    order = random.shuffles(f"children {level}", nodes, ARITY)
    source = np.take_along_axis(np.arange(nodes * ARITY).reshape(nodes, ARITY), order, axis=1)
    children = np.concatenate([digests, dummy_digests])[source]
    child_values = np.concatenate([values, np.zeros((dummies, VALUE_LIMBS), np.uint32)])[source]

    chain = np.zeros((nodes, ARITY, 8), np.uint32)
    state = initial_values(TAG_NODE, level, nodes)
    for slot in range(ARITY):
        state = chain[:, slot] = compress_words(state, children[:, slot], instance)
    sums, carries = _add_limbs(child_values)
    value_random = random.words(f"value blinding {level}", 8 * nodes).reshape(nodes, 8)
    value_digests = compress_words(*value_row(sums, value_random), instance)
    return Level(
        level=level,
        source=source,
        items=items,
        dummy_blocks=blocks,
        dummy_digests=dummy_digests,
        children=children,
        child_values=child_values,
        chain=chain,
        sums=sums,
        carries=carries,
        value_random=value_random,
        value_digests=value_digests,
        digests=compress_words(state, value_digests, instance),
    )


def value_row(sums: Words, value_random: Words) -> tuple[Words, Words]:
    """Chaining value (tag, 7 random) and block (7 limbs, 1 random) of the value rows."""
    h = np.concatenate([np.full((len(sums), 1), TAG_VALUE, np.uint32), value_random[:, :7]], axis=1)
    return h, np.concatenate([sums, value_random[:, 7:]], axis=1)


def _add_limbs(child_values: Words) -> tuple[Words, Words]:
    """Sums of (nodes, 8, 7) limbs with the carries out of limbs 0 .. 5, each at most 8."""
    sums = np.zeros((len(child_values), VALUE_LIMBS), np.uint32)
    carries = np.zeros((len(child_values), VALUE_LIMBS - 1), np.uint32)
    carry: npt.NDArray[np.uint64] = np.zeros(len(child_values), np.uint64)
    for j in range(VALUE_LIMBS):
        raw = child_values[:, :, j].sum(axis=1, dtype=np.uint64) + carry
        sums[:, j] = (raw & np.uint64(0xFFFF)).astype(np.uint32)
        carry = raw >> np.uint64(16)
        if j < VALUE_LIMBS - 1:
            carries[:, j] = carry.astype(np.uint32)
    if carry.any():
        raise InputError(field="total liability", got="2^112 or more", expected="less than 2^112 value units")
    return sums, carries
