"""BLAKE2s-256 (RFC 7693), personalised: a leaf, a node and a challenge can never be taken for each other."""

from __future__ import annotations

from functools import partial
from hashlib import blake2s

DIGEST_BYTES = 32
SALT_BYTES = 16

_leaf = partial(blake2s, person=b"SolvLeaf")
_node = partial(blake2s, person=b"SolvNode")
transcript_hasher = partial(blake2s, person=b"SolvTrns")
"""Starts a hash of the transcript's kind: `transcript_hasher(data)`."""


def leaf_digest(message: bytes) -> bytes:
    """Digest of one leaf: salt (16 bytes) || words (u32 little-endian)."""
    return _leaf(message).digest()


def node_digest(left: bytes, right: bytes) -> bytes:
    return _node(left + right).digest()


def transcript_digest(data: bytes) -> bytes:
    return transcript_hasher(data).digest()
