"""Butterflies of the number-theoretic transform: in registers, as passes over memory, over a whole column.

Decimation in time takes internal order (see `ntt`) to natural order, decimation in frequency the reverse. All words are
Montgomery words in [0, p); table[m + i] is the twiddle of butterfly i of the stage with half-size m, so sixteen-way
passes at half-size m find their fifteen twiddles at table[k * m + i], k = 1..15.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from prover.kernels.field import U32Array
from prover.kernels.lanes import WIDTH, add, broadcast, lazy_sub, load, mul, store, sub, transpose, word_add
from prover.kernels.registry import compiled, inlined

IndexArray = npt.NDArray[np.int64]

CHUNK_LOG2 = 8
"""Columns below 2**8 words take a plain loop; longer ones do their four smallest stages on 16 x 16 squares."""
_BLOCK_LOG2_MAX = 12
"""Blocks finished in the first cache: 2**12 words are 16 KB, and as much for their twiddles."""


# -- in registers ---------------------------------------------------------------------------------------------------


@inlined
def _dit4(a0: Any, a1: Any, a2: Any, a3: Any, t1: Any, t2: Any, t3: Any) -> Any:
    x1, x3 = mul(a1, t1), mul(a3, t1)
    # What is only multiplied need not be reduced first: both are below 2 p < 2**32.
    b0, b1, b2, b3 = add(a0, x1), sub(a0, x1), mul(word_add(a2, x3), t2), mul(lazy_sub(a2, x3), t3)
    return add(b0, b2), add(b1, b3), sub(b0, b2), sub(b1, b3)


@inlined
def _dif4(a0: Any, a1: Any, a2: Any, a3: Any, t1: Any, t2: Any, t3: Any) -> Any:
    b0, b2 = add(a0, a2), mul(lazy_sub(a0, a2), t2)
    b1, b3 = add(a1, a3), mul(lazy_sub(a1, a3), t3)
    return add(b0, b1), mul(lazy_sub(b0, b1), t1), add(b2, b3), mul(lazy_sub(b2, b3), t1)


@inlined
def _dit16(v: Any, t: Any) -> Any:
    a0, a1, a2, a3 = _dit4(v[0], v[1], v[2], v[3], t[1], t[2], t[3])
    a4, a5, a6, a7 = _dit4(v[4], v[5], v[6], v[7], t[1], t[2], t[3])
    a8, a9, a10, a11 = _dit4(v[8], v[9], v[10], v[11], t[1], t[2], t[3])
    a12, a13, a14, a15 = _dit4(v[12], v[13], v[14], v[15], t[1], t[2], t[3])
    b0, b4, b8, b12 = _dit4(a0, a4, a8, a12, t[4], t[8], t[12])
    b1, b5, b9, b13 = _dit4(a1, a5, a9, a13, t[5], t[9], t[13])
    b2, b6, b10, b14 = _dit4(a2, a6, a10, a14, t[6], t[10], t[14])
    b3, b7, b11, b15 = _dit4(a3, a7, a11, a15, t[7], t[11], t[15])
    return b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, b14, b15


@inlined
def _dif16(v: Any, t: Any) -> Any:
    a0, a4, a8, a12 = _dif4(v[0], v[4], v[8], v[12], t[4], t[8], t[12])
    a1, a5, a9, a13 = _dif4(v[1], v[5], v[9], v[13], t[5], t[9], t[13])
    a2, a6, a10, a14 = _dif4(v[2], v[6], v[10], v[14], t[6], t[10], t[14])
    a3, a7, a11, a15 = _dif4(v[3], v[7], v[11], v[15], t[7], t[11], t[15])
    b0, b1, b2, b3 = _dif4(a0, a1, a2, a3, t[1], t[2], t[3])
    b4, b5, b6, b7 = _dif4(a4, a5, a6, a7, t[1], t[2], t[3])
    b8, b9, b10, b11 = _dif4(a8, a9, a10, a11, t[1], t[2], t[3])
    b12, b13, b14, b15 = _dif4(a12, a13, a14, a15, t[1], t[2], t[3])
    return b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, b14, b15


@inlined
def _load16(array: U32Array, at: int, m: int) -> Any:
    return (
        load(array, at), load(array, at + m), load(array, at + 2 * m), load(array, at + 3 * m),
        load(array, at + 4 * m), load(array, at + 5 * m), load(array, at + 6 * m), load(array, at + 7 * m),
        load(array, at + 8 * m), load(array, at + 9 * m), load(array, at + 10 * m), load(array, at + 11 * m),
        load(array, at + 12 * m), load(array, at + 13 * m), load(array, at + 14 * m), load(array, at + 15 * m),
    )  # fmt: skip


@inlined
def _store16(array: U32Array, at: int, m: int, v: Any) -> None:
    store(array, at, v[0])
    store(array, at + m, v[1])
    store(array, at + 2 * m, v[2])
    store(array, at + 3 * m, v[3])
    store(array, at + 4 * m, v[4])
    store(array, at + 5 * m, v[5])
    store(array, at + 6 * m, v[6])
    store(array, at + 7 * m, v[7])
    store(array, at + 8 * m, v[8])
    store(array, at + 9 * m, v[9])
    store(array, at + 10 * m, v[10])
    store(array, at + 11 * m, v[11])
    store(array, at + 12 * m, v[12])
    store(array, at + 13 * m, v[13])
    store(array, at + 14 * m, v[14])
    store(array, at + 15 * m, v[15])


@inlined
def _broadcast16(table: U32Array) -> Any:
    return (
        broadcast(table[0]), broadcast(table[1]), broadcast(table[2]), broadcast(table[3]),
        broadcast(table[4]), broadcast(table[5]), broadcast(table[6]), broadcast(table[7]),
        broadcast(table[8]), broadcast(table[9]), broadcast(table[10]), broadcast(table[11]),
        broadcast(table[12]), broadcast(table[13]), broadcast(table[14]), broadcast(table[15]),
    )  # fmt: skip


@inlined
def _scale16(v: Any, word: np.uint32) -> Any:
    return (
        mul(v[0], word), mul(v[1], word), mul(v[2], word), mul(v[3], word), mul(v[4], word), mul(v[5], word),
        mul(v[6], word), mul(v[7], word), mul(v[8], word), mul(v[9], word), mul(v[10], word), mul(v[11], word),
        mul(v[12], word), mul(v[13], word), mul(v[14], word), mul(v[15], word),
    )  # fmt: skip


# -- passes over memory: `m` is the half-size of the first (in time) or last (in frequency) stage -------------------


@inlined
def _dit_pass16(a: U32Array, start: int, m: int, table: U32Array) -> None:
    for i in range(0, m, WIDTH):
        _store16(a, start + i, m, _dit16(_load16(a, start + i, m), _load16(table, i, m)))


@inlined
def _dif_pass16(source: U32Array, a: U32Array, start: int, m: int, table: U32Array) -> None:
    for i in range(0, m, WIDTH):
        _store16(a, start + i, m, _dif16(_load16(source, start + i, m), _load16(table, i, m)))


@inlined
def _dit_pass4(a: U32Array, start: int, stop: int, m: int, table: U32Array) -> None:
    for at in range(start, stop, 4 * m):
        for i in range(0, m, WIDTH):
            p, q, r, s = at + i, at + m + i, at + 2 * m + i, at + 3 * m + i
            w, x, y, z = _dit4(load(a, p), load(a, q), load(a, r), load(a, s),
                               load(table, m + i), load(table, 2 * m + i), load(table, 3 * m + i))  # fmt: skip
            store(a, p, w)
            store(a, q, x)
            store(a, r, y)
            store(a, s, z)


@inlined
def _dif_pass4(a: U32Array, start: int, stop: int, m: int, table: U32Array) -> None:
    for at in range(start, stop, 4 * m):
        for i in range(0, m, WIDTH):
            p, q, r, s = at + i, at + m + i, at + 2 * m + i, at + 3 * m + i
            w, x, y, z = _dif4(load(a, p), load(a, q), load(a, r), load(a, s),
                               load(table, m + i), load(table, 2 * m + i), load(table, 3 * m + i))  # fmt: skip
            store(a, p, w)
            store(a, q, x)
            store(a, r, y)
            store(a, s, z)


@inlined
def _dit_pass2(a: U32Array, start: int, stop: int, m: int, table: U32Array) -> None:
    for at in range(start, stop, 2 * m):
        for i in range(at, at + m, WIDTH):
            x, y = load(a, i), mul(load(a, i + m), load(table, m + i - at))
            store(a, i, add(x, y))
            store(a, i + m, sub(x, y))


@inlined
def _dif_pass2(a: U32Array, start: int, stop: int, m: int, table: U32Array) -> None:
    for at in range(start, stop, 2 * m):
        for i in range(at, at + m, WIDTH):
            x, y = load(a, i), load(a, i + m)
            store(a, i, add(x, y))
            store(a, i + m, mul(lazy_sub(x, y), load(table, m + i - at)))


# -- whole columns --------------------------------------------------------------------------------------------------


@inlined
def _block_log2(log_n: int) -> int:
    """Size of the blocks finished in the first cache, so that sixteen-way passes alone join them."""
    while log_n > _BLOCK_LOG2_MAX:
        log_n -= 4
    return log_n


@inlined
def _evaluate_short(source: U32Array, target: U32Array, log_n: int, table: U32Array) -> None:
    n = 1 << log_n
    for i in range(n):
        target[i] = source[i]
    for log_m in range(log_n):
        m = 1 << log_m
        for i in range(n):
            if not i & m:
                x, y = target[i], mul(target[i + m], table[m + (i & (m - 1))])
                target[i], target[i + m] = add(x, y), sub(x, y)


@inlined
def _evaluate_block(source: U32Array, target: U32Array, start: int, stop: int, log_block: int, table: U32Array) -> None:
    """All stages of the block start..stop = start + 2**log_block, at least 256 words."""
    constants = _broadcast16(table)
    for chunk in range(start, stop, WIDTH * WIDTH):
        _store16(target, chunk, WIDTH, transpose(_dit16(_load16(source, chunk, WIDTH), constants)))
    done = 4
    if log_block & 2:
        _dit_pass4(target, start, stop, 1 << done, table)
        done += 2
    if log_block & 1:
        _dit_pass2(target, start, stop, 1 << done, table)
        done += 1
    while done < log_block:
        for at in range(start, stop, 16 << done):
            _dit_pass16(target, at, 1 << done, table)
        done += 4


@compiled
def evaluate_column(source: U32Array, target: U32Array, log_n: int, table: U32Array) -> None:
    """Internal-order coefficients (N,) to natural-order values (N,) on the table's coset. They may be one array."""
    if log_n < CHUNK_LOG2:
        _evaluate_short(source, target, log_n, table)
        return
    log_block = _block_log2(log_n)
    for start in range(0, 1 << log_n, 1 << log_block):
        stop = start + (1 << log_block)
        _evaluate_block(source, target, start, stop, log_block, table)
        done = log_block
        while done < log_n and stop & ((16 << done) - 1) == 0:  # a group of sixteen is complete
            _dit_pass16(target, stop - (16 << done), 1 << done, table)
            done += 4


@inlined
def _interpolate_short(source: U32Array, target: U32Array, log_n: int, table: U32Array, n_inverse: np.uint32) -> None:
    n = 1 << log_n
    for i in range(n):
        target[i] = mul(source[i], n_inverse)
    for log_m in range(log_n - 1, -1, -1):
        m = 1 << log_m
        for i in range(n):
            if not i & m:
                x, y = target[i], target[i + m]
                target[i], target[i + m] = add(x, y), mul(sub(x, y), table[m + (i & (m - 1))])


@inlined
def _interpolate_block(
    target: U32Array, start: int, stop: int, log_block: int, table: U32Array, n_inverse: np.uint32
) -> None:
    """The mirror image of `_evaluate_block`, and the factor 1 / N."""
    constants = _broadcast16(table)
    left = log_block
    while left >= 8:
        left -= 4
        for at in range(start, stop, 16 << left):
            _dif_pass16(target, target, at, 1 << left, table)
    if log_block & 1:
        left -= 1
        _dif_pass2(target, start, stop, 1 << left, table)
    if log_block & 2:
        left -= 2
        _dif_pass4(target, start, stop, 1 << left, table)
    for chunk in range(start, stop, WIDTH * WIDTH):
        v = _dif16(transpose(_load16(target, chunk, WIDTH)), constants)
        _store16(target, chunk, WIDTH, _scale16(v, n_inverse))


@compiled
def interpolate_column(source: U32Array, target: U32Array, log_n: int, table: U32Array, n_inverse: np.uint32) -> None:
    """Natural-order values (N,) on the subgroup to internal-order coefficients (N,). They may be one array."""
    if log_n < CHUNK_LOG2:
        _interpolate_short(source, target, log_n, table, n_inverse)
        return
    log_block = _block_log2(log_n)
    if log_block == log_n:
        for i in range(1 << log_n):
            target[i] = source[i]
    for start in range(0, 1 << log_n, 1 << log_block):
        left = log_n
        while left > log_block:
            if start & ((1 << left) - 1) == 0:  # a group of sixteen begins: the largest reads the source
                _dif_pass16(source if left == log_n else target, target, start, 1 << (left - 4), table)
            left -= 4
        _interpolate_block(target, start, start + (1 << log_block), log_block, table, n_inverse)


@compiled
def reduce_column(source: U32Array, weights: U32Array, positions: IndexArray, target: U32Array) -> None:
    """target[positions[g]] = sum over i of source[g * L + i] * weights[i], with L = len(weights)."""
    length = weights.shape[0]
    vector_stop = length - length % WIDTH
    sums = np.empty(WIDTH, np.uint32)
    for group in range(positions.shape[0]):
        at = group * length
        total = np.uint32(0)
        for i in range(vector_stop, length):
            total = add(total, mul(source[at + i], weights[i]))
        if vector_stop:
            running = mul(load(source, at), load(weights, 0))
            for i in range(WIDTH, vector_stop, WIDTH):
                running = add(running, mul(load(source, at + i), load(weights, i)))
            store(sums, 0, running)
            for lane in range(WIDTH):
                total = add(total, sums[lane])
        target[positions[group]] = total


# -- moving words ---------------------------------------------------------------------------------------------------


@compiled
def gather_words(source: U32Array, order: IndexArray, target: U32Array) -> None:
    """target[i] = source[order[i]]."""
    for i in range(order.shape[0]):
        target[i] = source[order[i]]


@compiled
def interleave(values: U32Array, out: U32Array) -> None:
    """out (w, n C): values (w, C, n) with the C words of each position side by side."""
    width, cosets, count = values.shape
    for column in range(width):
        for i in range(count):
            for c in range(cosets):
                out[column, i * cosets + c] = values[column, c, i]
