"""Openings of many leaves of one Merkle tree at once."""

from __future__ import annotations

from collections.abc import Sequence

from verifier.errors import MalformedProof, Reason
from verifier.hashing import node_digest


def multiproof_root(depth: int, indices: Sequence[int], digests: Sequence[bytes], siblings: Sequence[bytes]) -> bytes:
    """Root of a tree of 2**depth leaves that holds `digests` at `indices`.

    Args:
        indices: distinct, ascending, at least one, each below 2**depth: the caller drew them itself.
        siblings: digests that cannot be computed from what is known, from the leaves upwards and in ascending
            order within a level; exactly as many as needed.

    Raises:
        MalformedProof: too few or too many siblings.
    """
    level, known = list(indices), list(digests)
    used = 0
    for _ in range(depth):
        parents: list[int] = []
        above: list[bytes] = []
        i = 0
        while i < len(level):
            index, digest = level[i], known[i]
            i += 1
            if i < len(level) and level[i] == index ^ 1:
                above.append(node_digest(digest, known[i]))
                i += 1
            else:
                if used == len(siblings):
                    raise MalformedProof(Reason.MALFORMED, f"a multiproof of {used} digests ends too early")
                sibling = siblings[used]
                used += 1
                above.append(node_digest(sibling, digest) if index & 1 else node_digest(digest, sibling))
            parents.append(index >> 1)
        level, known = parents, above
    if used != len(siblings):
        raise MalformedProof(Reason.MALFORMED, f"a multiproof holds {len(siblings)} digests, {used} are needed")
    return known[0]
