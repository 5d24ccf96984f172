"""All secret randomness of a snapshot and its proof, expanded from one seed by labels.

Each label is its own ChaCha20 stream (RFC 8439) under SHA-256(domain, label, seed): two uses never share a word, and a
test can fix the seed. A proof takes a fresh seed from the operating system, mixed with what it proves, so that a broken
source of randomness alone does not repeat a mask over two statements.
"""

from __future__ import annotations

import hashlib
import os

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from verifier.field import P

Words = npt.NDArray[np.uint32]
SEED_BYTES = 32


def fresh_seed() -> bytes:
    """32 bytes from the operating system."""
    return os.urandom(SEED_BYTES)


class Randomness:
    """Labelled streams under one seed."""

    def __init__(self, seed: bytes, *context: bytes) -> None:
        """`context` is mixed in: statement digest, witness digest."""
        mixed = hashlib.sha256(b"solvent/randomness/v1")
        for part in (seed, *context):
            mixed.update(len(part).to_bytes(8, "little") + part)
        self._key = mixed.digest()

    def derive(self, *context: bytes) -> Randomness:
        """Streams of their own for one use, such as one proof: circuit, parameters and statement as context."""
        return Randomness(self._key, *context)

    def bytes(self, label: str, count: int) -> bytes:
        """The first `count` bytes of the stream of `label`."""
        key = hashlib.sha256(b"solvent/stream/v1" + self._key + label.encode()).digest()
        return Cipher(ChaCha20(key, bytes(16)), mode=None).encryptor().update(bytes(count))

    def words(self, label: str, count: int) -> Words:
        """(count,) canonical words, exactly uniform below p: 31-bit draws, those >= p dropped (one in 128)."""
        draws = count + count // 64 + 256
        while True:
            raw = np.frombuffer(self.bytes(label, 4 * draws), "<u4") & np.uint32(0x7FFFFFFF)
            accepted = raw[raw < P]
            if len(accepted) >= count:
                return accepted[:count].astype(np.uint32)
            draws *= 2

    def salts(self, label: str, count: int) -> Words:
        """(count, 4) words, little-endian: 128 bits for each Merkle leaf."""
        return np.frombuffer(self.bytes(f"salt {label}", 16 * count), "<u4").reshape(count, 4)

    def permutation(self, label: str, count: int) -> npt.NDArray[np.int64]:
        """A random order of 0 .. count-1, by sorting 64-bit keys (a tie, if ever, does no harm)."""
        keys = np.frombuffer(self.bytes(f"order {label}", 8 * count), "<u8")
        return np.argsort(keys, kind="stable")

    def shuffles(self, label: str, count: int, width: int) -> npt.NDArray[np.int64]:
        """(count, width): an independent random order of 0 .. width-1 in each row."""
        keys = np.frombuffer(self.bytes(f"order {label}", 8 * count * width), "<u8").reshape(count, width)
        return np.argsort(keys, axis=1, kind="stable")
