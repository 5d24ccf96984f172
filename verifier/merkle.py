"""Openings of many leaves of one Merkle tree at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from verifier.hashing import node_digest


def multiproof_root(
    depth: int, indices: Sequence[int], digests: Sequence[bytes], siblings: Sequence[bytes]
) -> bytes | None:
    """Root of the tree of 2**depth leaves that holds `digests` at `indices`; None when the siblings do not fit.

    Args:
        indices: distinct, ascending, at least one, each below 2**depth: the caller drew them itself.
        siblings: digests that cannot be computed from what is known, from the leaves upwards and in ascending
            order within a level; exactly as many as needed.
    """
    level, known, unused = list(indices), list(digests), iter(siblings)
    for _ in range(depth):
        try:
            level, known = _parents(level, known, unused)
        except StopIteration:
            return None
    return known[0] if next(unused, None) is None else None


def _parents(level: Sequence[int], known: Sequence[bytes], siblings: Iterator[bytes]) -> tuple[list[int], list[bytes]]:
    """One level up; raises StopIteration when a sibling is missing."""
    indices: list[int] = []
    digests: list[bytes] = []
    i = 0
    while i < len(level):
        index, digest = level[i], known[i]
        i += 1
        if i < len(level) and level[i] == index ^ 1:
            digests.append(node_digest(digest, known[i]))
            i += 1
        elif index & 1:
            digests.append(node_digest(next(siblings), digest))
        else:
            digests.append(node_digest(digest, next(siblings)))
        indices.append(index >> 1)
    return indices, digests
