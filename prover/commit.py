"""Columns on the evaluation domain under a salted Merkle tree. docs/protocol.md, sections 2 and 3."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from prover.kernels.field import empty_words, from_mont
from prover.kernels.merkle_hash import MerkleTree, hash_rows
from prover.kernels.ntt import evaluate_small_coset, lde
from prover.randomness import Randomness
from verifier.field import P, root_of_unity
from verifier.proof import Opening

Words = npt.NDArray[np.uint32]
SMALL_LOG2, SMALL_SHIFT = 9, 9
"""The extra coset on which the quotient is also evaluated: 512 points 9 * w^i, disjoint from the domain and from H."""
COLUMNS_AT_ONCE = 16


class Extended:
    """Columns (w, N) on the evaluation domain, and on the extra coset at this row and at the next.

    Attributes:
        values: (w, B, N). small, small_next: (w, 512): at x and at w_N x for x on the extra coset. Montgomery words.
    """

    def __init__(self, columns: Words, blowup: int, at: Callable[[float], None] = lambda fraction: None) -> None:
        width, rows = columns.shape
        self.values = empty_words(width, blowup, rows)
        self.small = np.empty((width, 1 << SMALL_LOG2), np.uint32)
        self.small_next = np.empty_like(self.small)
        next_shift = SMALL_SHIFT * root_of_unity(rows.bit_length() - 1) % P
        scratch = empty_words(min(COLUMNS_AT_ONCE, width), rows)
        for start in range(0, width, COLUMNS_AT_ONCE):
            part = slice(start, min(start + COLUMNS_AT_ONCE, width))
            coefficients = scratch[: part.stop - part.start]
            lde(columns[part], blowup, out=self.values[part], coefficients=coefficients)
            self.small[part] = evaluate_small_coset(coefficients)
            self.small_next[part] = evaluate_small_coset(coefficients, shift=next_shift)
            at(part.stop / width)


class Commitment:
    """A Merkle tree over the rows of `leaves` (w, n), Montgomery words, each with 16 bytes of salt."""

    def __init__(self, leaves: Words, random: Randomness, label: str) -> None:
        self._leaves = leaves
        self._salts = random.salts(label, leaves.shape[1])
        self._tree = MerkleTree(hash_rows(leaves, self._salts))
        self.root = self._tree.root

    def open(self, indices: Sequence[int]) -> Opening:
        """Leaves at ascending distinct `indices` with their multiproof."""
        rows = from_mont(np.ascontiguousarray(self._leaves[:, list(indices)].T)).astype("<u4")
        salts = self._salts[list(indices)].astype("<u4")
        messages = tuple(salt.tobytes() + row.tobytes() for salt, row in zip(salts, rows, strict=True))
        return Opening(messages, tuple(self._tree.open(indices)))
