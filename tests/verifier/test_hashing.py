"""Hashes of leaves, nodes and transcript: pinned, and apart from each other."""

from __future__ import annotations

import hashlib

from verifier.encoding import pack_words
from verifier.hashing import leaf_digest, node_digest, transcript_digest


def test_the_hashes_are_blake2s_with_their_person() -> None:
    for digest, person in (
        (leaf_digest(b"message"), b"SolvLeaf"),
        (node_digest(b"mess", b"age"), b"SolvNode"),
        (transcript_digest(b"message"), b"SolvTrns"),
    ):
        assert digest == hashlib.blake2s(b"message", digest_size=32, person=person).digest()
    # RFC 7693, appendix B: the unpersonalised function underneath is the standard one.
    assert hashlib.blake2s(b"abc").hexdigest().startswith("508c5e8c327c14e2e1a72ba34eeb452f")


def test_kinds_never_meet() -> None:
    data = bytes(64)
    assert len({leaf_digest(data), node_digest(data[:32], data[32:]), transcript_digest(data)}) == 3


def test_rows_of_different_length_never_meet() -> None:
    """[x] and [x, 0] and every longer row of zeros: BLAKE2s pads with the length."""
    digests = {leaf_digest(bytes(16) + pack_words([5] + [0] * zeros)) for zeros in range(300)}
    assert len(digests) == 300
