"""The log's tree: hashes, inclusion and consistency of RFC 6962, section 2.1, with SHA-256.

A proof is a list of digests of 32 bytes, in the RFC's order. How many belong into it follows from index and sizes; one
more or one less is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from verifier.canonical import refuse
from verifier.errors import Reason

DIGEST_BYTES = 32
SIZE_END = 2**63
"""Sizes that are read are below this one, as in every implementation that holds them in 64 signed bits."""
PROOF_DIGESTS_MAX = 63
EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """Digest of one entry."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Digest of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def check_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Whether `leaf` (a leaf hash) stands at `index` in the tree of `size` leaves whose root is `root`.

    Raises:
        BadLog: LOG_INCLUSION.
    """
    _require_length("inclusion proof, leaf and root", (leaf, root), 2, Reason.LOG_INCLUSION)
    if not 0 <= index < size:
        refuse("inclusion proof", f"an index below the size {size}", index, Reason.LOG_INCLUSION)
    # The path meets siblings on both sides as long as the leaf and the last leaf are in different subtrees, then only
    # on the left: one per bit of the index that is set.
    both = (index ^ (size - 1)).bit_length()
    _require_length("inclusion proof", proof, both + (index >> both).bit_count(), Reason.LOG_INCLUSION)
    digest = leaf
    for level, sibling in enumerate(proof):
        is_left = level < both and not index >> level & 1
        digest = node_hash(digest, sibling) if is_left else node_hash(sibling, digest)
    if digest != root:
        refuse("inclusion proof", f"a path to the root {root.hex()}", digest.hex(), Reason.LOG_INCLUSION)


def check_consistency(old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Whether the tree of `old_size` leaves under `old_root` is a prefix of the one of `size` leaves under `root`.

    Raises:
        BadLog: LOG_CONSISTENCY.
    """
    reason, where = Reason.LOG_CONSISTENCY, "consistency proof"
    _require_length(f"{where}, roots", (old_root, root), 2, reason)
    if not 0 <= old_size <= size:
        refuse(where, f"an older size of at most {size}", old_size, reason)
    if old_size in (0, size):
        _require_length(where, proof, 0, reason)
        if old_size == 0 and old_root != EMPTY_ROOT:
            refuse(where, f"the root of nothing, {EMPTY_ROOT.hex()}", old_root.hex(), reason)
        if old_size == size and old_root != root:
            refuse(where, f"one root at size {size}, {old_root.hex()}", root.hex(), reason)
        return
    # The largest complete subtree at the old tree's right end; where that is the old tree, its root is not repeated.
    level = (old_size & -old_size).bit_length() - 1
    is_whole = old_size == 1 << level
    index = (old_size - 1) >> level
    both = (index ^ ((size - 1) >> level)).bit_length()
    steps = both + (index >> both).bit_count()
    _require_length(where, proof, steps + (0 if is_whole else 1), reason)
    start, path = (old_root, proof) if is_whole else (proof[0], proof[1:])
    old, new = start, start
    for step, sibling in enumerate(path):
        if step < both and not index >> step & 1:
            new = node_hash(new, sibling)
        else:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
    if old != old_root:
        refuse(where, f"a path to the old root {old_root.hex()}", old.hex(), reason)
    if new != root:
        refuse(where, f"a path to the root {root.hex()}", new.hex(), reason)


def _require_length(where: str, proof: Sequence[bytes], count: int, reason: Reason) -> None:
    if len(proof) != count or any(len(digest) != DIGEST_BYTES for digest in proof):
        got = ", ".join(str(len(digest)) for digest in proof[: PROOF_DIGESTS_MAX + 1]) or "none"
        refuse(where, f"{count} digests of {DIGEST_BYTES} bytes", f"lengths {got}", reason)
