"""What this machine's kernels reach in the nearest caches, and what its memory moves: the units of `prover.floors`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from prover.kernels.butterflies import evaluate_column
from prover.kernels.field import P, U32Array, empty_words
from prover.kernels.lanes import WIDTH, load, mul, store, wide_add, wide_mul, wide_reduce, wide_trim, word_xor
from prover.kernels.merkle_hash import hash_rows
from prover.kernels.ntt import twiddles
from prover.kernels.poseidon import compress_rows
from prover.kernels.registry import compiled
from prover.kernels.threads import limited_to, run_ranges, thread_count

REPEATS = 5
_NTT_LOG2, _NTT_COLUMNS = 12, 64
_LEAF_WORDS, _LEAF_ROWS = 60, 1 << 11
_PERMUTATIONS = 1 << 14
_MEMORY_WORDS = 1 << 24
_STEPS = 1 << 16


@dataclass(frozen=True)
class Rates:
    """Units per second of one thread, and bytes per second of all threads together.

    Args:
        products: Montgomery products. multiply_adds: products added to a 64-bit sum, reduced rarely.
        butterflies: of a transform in the first caches. permutations: of the tree hash. blocks: BLAKE2s compressions,
            64 bytes each. bytes: read or written once, arrays larger than every cache.
    """

    products: float
    multiply_adds: float
    butterflies: float
    permutations: float
    blocks: float
    bytes: float


@compiled
def _products(words: U32Array, steps: int) -> None:
    """Eight independent chains of products in registers: 8 * 16 * `steps` of them."""
    a, b, c, d = load(words, 0), load(words, 16), load(words, 32), load(words, 48)
    e, f, g, h = load(words, 64), load(words, 80), load(words, 96), load(words, 112)
    for _ in range(steps):
        a, b, c, d = mul(a, a), mul(b, b), mul(c, c), mul(d, d)
        e, f, g, h = mul(e, e), mul(f, f), mul(g, g), mul(h, h)
    store(words, 0, word_xor(word_xor(word_xor(a, b), word_xor(c, d)), word_xor(word_xor(e, f), word_xor(g, h))))


@compiled
def _multiply_adds(words: U32Array, steps: int) -> None:
    """Four independent sums of products in registers: 8 * 16 * `steps` products, each with a constant."""
    x, y = load(words, 0), load(words, 16)
    s, t, u, v = wide_mul(x, words[0]), wide_mul(x, words[1]), wide_mul(x, words[2]), wide_mul(x, words[3])
    for step in range(steps):
        k = step & 7
        s = wide_trim(wide_add(wide_add(s, wide_mul(x, words[k])), wide_mul(y, words[k + 1])))
        t = wide_trim(wide_add(wide_add(t, wide_mul(x, words[k + 2])), wide_mul(y, words[k + 3])))
        u = wide_trim(wide_add(wide_add(u, wide_mul(x, words[k + 4])), wide_mul(y, words[k + 5])))
        v = wide_trim(wide_add(wide_add(v, wide_mul(x, words[k + 6])), wide_mul(y, words[k + 7])))
    store(words, 0, word_xor(word_xor(wide_reduce(s), wide_reduce(t)), word_xor(wide_reduce(u), wide_reduce(v))))


@compiled
def _copy(source: U32Array, target: U32Array, start: int, stop: int) -> None:
    for i in range(start, stop, WIDTH):
        store(target, i, load(source, i))


def measure_rates() -> Rates:
    """Best of a few short runs each: half a second and 128 MB. Memory by as many threads as this process uses."""
    words = _random(8 * WIDTH)
    source, target = _random(_MEMORY_WORDS), empty_words(_MEMORY_WORDS)
    memory = _best(lambda: run_ranges(partial(_copy, source, target), _MEMORY_WORDS, 1 << 16))
    column, table = _random(1 << _NTT_LOG2), twiddles(_NTT_LOG2, 3)
    leaves, salts = _random(_LEAF_WORDS, _LEAF_ROWS), _random(_LEAF_ROWS, 4)
    halves = _random(8, _PERMUTATIONS), _random(8, _PERMUTATIONS)

    def transform() -> None:
        for _ in range(_NTT_COLUMNS):
            evaluate_column(column, column, _NTT_LOG2, table)

    with limited_to(1):  # by processor time, which other programs disturb least
        return Rates(
            products=8 * WIDTH * _STEPS / _best(lambda: _products(words, _STEPS)),
            multiply_adds=8 * WIDTH * _STEPS / _best(lambda: _multiply_adds(words, _STEPS)),
            butterflies=_NTT_COLUMNS * (_NTT_LOG2 << (_NTT_LOG2 - 1)) / _best(transform),
            permutations=_PERMUTATIONS / _best(lambda: compress_rows(*halves)),
            blocks=_LEAF_ROWS * (4 + _LEAF_WORDS) / 16 / _best(lambda: hash_rows(leaves, salts)),
            bytes=8 * _MEMORY_WORDS / memory,
        )


def hashing_seconds(permutations: int) -> float:
    """Seconds of that many permutations of the tree hash by the threads of this process, and nothing else."""
    halves = _random(8, _PERMUTATIONS * thread_count()), _random(8, _PERMUTATIONS * thread_count())
    return float(_best(lambda: compress_rows(*halves)) * permutations / halves[0].shape[1])


def _best(function: Callable[[], object]) -> float:
    """Least seconds of a few calls: processor time of one thread, or by the clock with several."""
    clock = time.process_time if thread_count() == 1 else time.perf_counter
    function()
    seconds: list[float] = []
    for _ in range(REPEATS):
        started = clock()
        function()
        seconds.append(clock() - started)
    return min(seconds)


def _random(*shape: int) -> U32Array:
    """Words in [0, p): what they are does not matter to any kernel's speed."""
    out = empty_words(*shape)
    out[...] = np.random.default_rng(0).integers(0, P, shape, dtype=np.uint32)
    return out
