"""Arguments for every registered kernel: random words with the edge values 0 and p - 1 mixed in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from prover.kernels.field import P, U32Array
from prover.kernels.text import STEP_BYTES, AccountText, Runs, ShardText
from verifier.field import Ext


class Source:
    """Random field words, about one in eight of them an edge value."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def words(self, *shape: int) -> U32Array:
        words = self._random.integers(0, P, shape)
        edges = self._random.choice([0, 1, P - 1], shape)
        return np.where(self._random.random(shape) < 0.125, edges, words).astype(np.uint32)

    def any_words(self, *shape: int) -> U32Array:
        """Any 32-bit words, reduced or not."""
        return self._random.integers(0, 1 << 32, shape).astype(np.uint32)

    def bytes(self, *shape: int) -> npt.NDArray[np.uint8]:
        return self._random.integers(0, 256, shape).astype(np.uint8)

    def runs(self, count: int, longest: int = 40) -> Runs:
        """Byte strings of 0 to `longest` bytes."""
        return Runs.of([self.bytes(length).tobytes() for length in self._random.integers(0, longest + 1, count)])

    def amounts(self, count: int) -> npt.NDArray[np.uint64]:
        """Of every number of digits, powers of ten and the extremes among them."""
        edges = np.array([0, 1, *(10**k + d for k in range(1, 20) for d in (-1, 0)), 2**64 - 1], np.uint64)
        return self._random.choice(edges, count)

    def permutation(self, count: int) -> npt.NDArray[np.int64]:
        return self._random.permutation(count)

    def nonzero_ext(self, count: int) -> U32Array:
        words = self.words(5, count)
        words[0, ~words.any(axis=0)] = 1
        return words

    def ext(self) -> Ext:
        a, b, c, d, e = (int(word) for word in self.words(5))
        return (a, b, c, d, e | 1)


def full(*shape: int) -> U32Array:
    """Every word the largest one: the case in which an unreduced sum would overflow."""
    return np.full(shape, P - 1, dtype=np.uint32)


Arguments = tuple[Any, ...]


def _to_mont(s: Source) -> Iterator[Arguments]:
    yield from ((s.any_words(*shape),) for shape in ((0,), (1,), (3, 5), (2, 16), (7, 33)))


def _from_mont(s: Source) -> Iterator[Arguments]:
    yield from ((s.words(*shape),) for shape in ((0,), (1,), (3, 5), (2, 16), (7, 33)))


def _powers(s: Source) -> Iterator[Arguments]:
    yield from ((int(s.words(1)[0]), count, int(s.words(1)[0])) for count in (0, 1, 15, 16, 17, 100))


def _batch_inverse(s: Source) -> Iterator[Arguments]:
    yield from ((s.nonzero_ext(count),) for count in (0, 1, 17, 1024, 1030))
    yield (full(5, 40),)


def _interpolate(s: Source) -> Iterator[Arguments]:
    yield from ((s.words(2, 1 << log_n),) for log_n in (0, 1, 4, 7, 8, 9, 10, 11))
    yield from ((s.words(1, 1 << log_n),) for log_n in (12, 13, 14))


def _lde(s: Source) -> Iterator[Arguments]:
    for log_n in (0, 3, 8, 9, 11):
        n = 1 << log_n
        yield s.words(2, n), 2, 3, None, s.words(2, n), s.words(2, 512), s.words(2, 512), np.array([log_n > 8, True])
    yield s.words(1, 1 << 12), 4, 5, None, None, s.words(1, 512), s.words(1, 512), np.array([True])
    yield s.words(1, 1 << 13), 4, 5
    yield full(1, 1 << 8), 2


def _fold8(s: Source) -> Iterator[Arguments]:
    yield from ((s.words(5, b, m), s.words(3, 5), 3) for b, m in ((1, 8), (2, 8), (4, 16), (2, 128), (2, 256)))
    yield full(5, 2, 128), full(3, 5), 81


def _evaluate_columns(s: Source) -> Iterator[Arguments]:
    for n, shift_rows in ((1, 0), (2, 1), (16, 1), (64, 0), (1024, 1)):
        yield s.words(3, n), s.words(5, n), shift_rows
    yield s.words(4, 64), s.words(5, 64), 1, np.array([3, 0, 3])
    yield full(2, 1024), full(5, 1024)


def _combine_columns(s: Source) -> Iterator[Arguments]:
    yield from ((s.words(w, n), s.words(w, 5), s.words(5, n)) for w, n in ((1, 1), (3, 8), (4, 16), (9, 128)))
    yield s.words(9, 48), s.words(3, 5), s.words(5, 48), np.array([8, 0, 3])
    yield s.words(9, 20), s.words(5, 5), s.words(5, 20), np.array([8, 0, 3, 3, 1])
    yield full(8, 32), full(8, 5)


def _divide(s: Source) -> Iterator[Arguments]:
    yield from ((s.words(5, 2, n), s.ext(), s.words(5, 2, n), s.words(5, 2, n)) for n in (1, 8, 64))


def _hash_rows(s: Source) -> Iterator[Arguments]:
    for width, rows in ((0, 16), (1, 1), (12, 5), (13, 16), (28, 48), (40, 300)):
        yield s.words(width, rows), s.any_words(rows, 4)


def _step_texts(s: Source) -> Iterator[Arguments]:
    for nodes, first, count in ((0, 0, 0), (1, 0, 1), (1, 8, 8), (3, 16, 21), (2, 0, 9)):
        # Within a node, in any order; what is left over are dummies.
        source = np.array([s.permutation(8) + 8 * node + first for node in range(nodes)], np.uint32).reshape(nodes, 8)
        yield source, s.any_words(nodes, 8, 8), s.any_words(nodes, 8), first, count
    yield np.full((1, 8), 2, np.uint32), s.any_words(1, 8, 8), s.any_words(1, 8), 0, 4


def _bundle_texts(s: Source) -> Iterator[Arguments]:
    for accounts, first, levels, entries in ((1, 0, 1, 0), (3, 0, 2, 3), (9, 8, 3, 1), (17, 64, 2, 80), (0, 0, 0, 0)):
        counts = np.bincount(s.bytes(entries) % max(accounts, 1), minlength=accounts)
        offsets = 1000 + np.cumsum([0, *counts.tolist()])
        items = [1 + (first + accounts) // 8**level for level in range(1, levels + 1)]
        starts = np.cumsum([0, *items])[:-1].astype(np.int64)
        shard = ShardText(s.runs(7), s.runs(5), s.bytes(sum(items), STEP_BYTES), starts)
        held = AccountText(
            s.runs(accounts), s.bytes(accounts, 24), s.bytes(accounts, 32), offsets,
            (s.bytes(entries) % 5).astype(np.uint16), s.amounts(entries), s.bytes(accounts, STEP_BYTES),
        )  # fmt: skip
        yield shard, held, first


_PREFIXES = ((40, 0), (92, 6), (93, 8), (94, 1), (95, 7), (96, 8), (97, 9), (98, 5), (99, 8), (100, 8), (170, 8))
"""End of the prefix, whose length decides how the nonce lies in words and blocks, and bits of work."""

CASES: dict[str, Callable[[Source], Iterator[Arguments]]] = {
    "field.to_mont": _to_mont,
    "field.from_mont": _from_mont,
    "field.powers": _powers,
    "field.multiply_rows": lambda s: ((s.words(3, n), s.words(n)) for n in (1, 16, 37)),
    "field.ext_batch_inverse": _batch_inverse,
    "field.running_sum": lambda s: ((s.words(5, n),) for n in (1, 2, 50)),
    "ntt.interpolate": _interpolate,
    "ntt.lde": _lde,
    "ntt.lde_from_coefficients": lambda s: ((s.words(2, k), n, b) for k, n, b in ((1, 0, 2), (5, 3, 4), (200, 8, 2))),
    "ntt.to_natural_coefficients": lambda s: ((s.words(2, 1 << log_n),) for log_n in (0, 5, 8, 10)),
    "ntt.interpolate_coset": lambda s: ((s.words(5, c, n),) for c, n in ((1, 1), (2, 1), (2, 64), (4, 128))),
    "deep.denominators": lambda s: ((s.ext(), log_n, 2) for log_n in (0, 2, 6)),
    "deep.barycentric_weights": lambda s: ((s.ext(), log_n) for log_n in (0, 2, 6)),
    "deep.evaluate_columns": _evaluate_columns,
    "deep.combine_columns": _combine_columns,
    "deep.divide_by_linear": _divide,
    "fold.fold8": _fold8,
    "text.step_texts": _step_texts,
    "text.bundle_texts": _bundle_texts,
    "grind.search_nonce": lambda s: ((bytes(range(40, k)), bits) for k, bits in _PREFIXES),
    "merkle_hash.hash_rows": _hash_rows,
    "merkle_hash.hash_pairs": lambda s: ((s.any_words(2 * m, 8),) for m in (1, 2, 3, 16, 100)),
}
"""Cases by kernel name. A registered kernel of these modules without an entry fails the test."""
