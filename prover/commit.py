"""Columns on the evaluation domain under a salted Merkle tree. docs/protocol.md, sections 2 and 3."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from prover.kernels.field import empty_words, from_mont
from prover.kernels.merkle_hash import MerkleTree, hash_rows
from prover.kernels.ntt import SMALL_LOG2, lde
from prover.randomness import Randomness
from verifier.proof import Opening

Words = npt.NDArray[np.uint32]
COLUMNS_AT_ONCE = 16
"""Between two reports of progress."""


class Extended:
    """Columns (w, N) on the evaluation domain, and on the extra coset at this row and at the next.

    Attributes:
        values: (w, B, N). small, small_next: (w, 512): at x and at w_N x for x on the extra coset. Montgomery words.
            `small_next` is filled for the columns marked by `following` (w,), else all.
    """

    def __init__(
        self,
        columns: Words,
        blowup: int,
        following: npt.NDArray[np.bool_] | None = None,
        at: Callable[[float], None] = lambda fraction: None,
    ) -> None:
        width, rows = columns.shape
        wanted = np.ones(width, np.bool_) if following is None else following
        self.values = empty_words(width, blowup, rows)
        self.small, self.small_next = (np.zeros((width, 1 << SMALL_LOG2), np.uint32) for _ in range(2))
        for start in range(0, width, COLUMNS_AT_ONCE):
            part = slice(start, min(start + COLUMNS_AT_ONCE, width))
            lde(
                columns[part], blowup, out=self.values[part], small=self.small[part], small_next=self.small_next[part],
                following=wanted[part],
            )  # fmt: skip
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
