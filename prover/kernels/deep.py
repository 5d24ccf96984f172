"""Out-of-domain evaluation of columns, random combination of columns, and division by x - point.

Base columns are (w, N) Montgomery words in [0, p), extension columns (5, n); points and claims are canonical `Ext`
tuples, coefficients Montgomery words. Long sums are kept in 64-bit lanes and reduced rarely.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from prover.kernels.field import (
    U32Array,
    empty_words,
    ext_add,
    ext_array,
    ext_batch_inverse,
    ext_mul,
    ext_mul_base,
    ext_of_array,
    ext_sub,
    int_of_mont,
    load_ext,
    mont_of_int,
    powers,
    store_ext,
)
from prover.kernels.lanes import WIDTH, load, sub, wide_add, wide_mul, wide_reduce, wide_trim
from prover.kernels.ntt import SHIFT, coset_shifts
from prover.kernels.registry import compiled, inlined, kernel
from prover.kernels.threads import run_ranges
from verifier.field import EXTENSION_DEGREE, Ext, P, ext_inverse, ext_pow, ext_scale, root_of_unity
from verifier.field import ext_add as plain_add
from verifier.field import ext_mul as plain_mul
from verifier.field import ext_sub as plain_sub

_TILE = 512
"""Rows taken together: five weight rows and a few column pieces of 2 KB fit the first cache."""
_PAIR = 2 * WIDTH


def domain_points(log_n: int, blowup: int, shift: int = SHIFT) -> U32Array:
    """The evaluation domain (blowup, N): entry (c, i) is shift * w_n**(c + blowup * i), Montgomery words."""
    root = root_of_unity(log_n)
    points = empty_words(blowup, 1 << log_n)
    for coset, start in enumerate(coset_shifts(log_n, blowup, shift)):
        points[coset] = powers(root, 1 << log_n, start)
    return points


# -- 1 / (x - point) ------------------------------------------------------------------------------------------------


@compiled
def _subtract_point(points: U32Array, constant: U32Array, out: U32Array, start: int, stop: int) -> None:
    """out (5, n) = points (n,) - constant (5,)."""
    count = points.shape[0]
    for i in range(start, stop):
        out[i] = sub(points[i], constant[0])
    for k in range(1, EXTENSION_DEGREE):
        word = sub(np.uint32(0), constant[k])
        for i in range(start, stop):
            out[k * count + i] = word


def _inverse_differences(points: U32Array, point: Ext) -> U32Array:
    """1 / (x - point) for base points (n,): (5, n). Raises ZeroDivisionError when `point` is one of them."""
    result = empty_words(EXTENSION_DEGREE, points.size)
    constant, flat = ext_array([point])[:, 0].copy(), result.reshape(-1)
    run_ranges(lambda start, stop: _subtract_point(points, constant, flat, start, stop), points.size, 1 << 14)
    return ext_batch_inverse(result, result)


def _denominators_twin(point: Ext, log_n: int, blowup: int, shift: int = SHIFT) -> U32Array:
    points = [int_of_mont(word) for word in domain_points(log_n, blowup, shift).flat]
    inverses = [ext_inverse(plain_sub((x, 0, 0, 0, 0), point)) for x in points]
    return ext_array(inverses).reshape(EXTENSION_DEGREE, blowup, 1 << log_n)


@kernel(twin=_denominators_twin)
def denominators(point: Ext, log_n: int, blowup: int, shift: int = SHIFT) -> U32Array:
    """1 / (x - point) on the evaluation domain: (5, blowup, N) Montgomery words, once per point.

    Raises:
        ZeroDivisionError: `point` lies in the domain.
    """
    points = domain_points(log_n, blowup, shift).reshape(-1)
    return _inverse_differences(points, point).reshape(EXTENSION_DEGREE, blowup, 1 << log_n)


def _weights_factor(zeta: Ext, log_n: int) -> Ext:
    """-(zeta**N - 1) / N: the sign is that of w**i - zeta against zeta - w**i."""
    vanishing = plain_sub(ext_pow(zeta, 1 << log_n), (1, 0, 0, 0, 0))
    return ext_scale(vanishing, -pow(1 << log_n, -1, P) % P)


def _barycentric_weights_twin(zeta: Ext, log_n: int) -> U32Array:
    root, factor = root_of_unity(log_n), _weights_factor(zeta, log_n)
    weights = []
    for i in range(1 << log_n):
        x = pow(root, i, P)
        weights.append(plain_mul(ext_scale(factor, x), ext_inverse(plain_sub((x, 0, 0, 0, 0), zeta))))
    return ext_array(weights)


@compiled
def _scale_weights(weights: U32Array, points: U32Array, factor: U32Array, start: int, stop: int) -> None:
    """weights (5, n) *= points (n,) * factor (5,), on whole vectors."""
    count = points.shape[0]
    constant = (factor[0], factor[1], factor[2], factor[3], factor[4])
    for i in range(start, stop, WIDTH):
        value = ext_mul_base(load_ext(weights, i, count), load(points, i))
        store_ext(weights, i, count, ext_mul(value, constant))


@kernel(twin=_barycentric_weights_twin)
def barycentric_weights(zeta: Ext, log_n: int) -> U32Array:
    """Lagrange weights (5, N): L_i(zeta) = w**i (zeta**N - 1) / (N (zeta - w**i)) on the subgroup of order N.

    A polynomial of degree < N has the value sum_i f(w**i) L_i(zeta) at zeta.

    Raises:
        ZeroDivisionError: zeta lies in the subgroup.
    """
    count = 1 << log_n
    padded = max(count, WIDTH)
    points = np.ones(padded, dtype=np.uint32)
    points[:count] = powers(root_of_unity(log_n), count)
    weights = np.zeros((EXTENSION_DEGREE, padded), dtype=np.uint32)
    weights[:, :count] = _inverse_differences(points[:count], zeta)
    factor, flat = ext_array([_weights_factor(zeta, log_n)])[:, 0].copy(), weights.reshape(-1)
    run_ranges(lambda start, stop: _scale_weights(flat, points, factor, start, stop), padded, 1 << 14)
    return np.ascontiguousarray(weights[:, :count])


# -- columns at a point ---------------------------------------------------------------------------------------------


@inlined
def _accumulate(sums: Any, words: Any, weights: U32Array, at: int, count: int) -> Any:
    """sums += words * weights, coordinate by coordinate, unreduced."""
    return (
        wide_add(sums[0], wide_mul(words, load(weights, at))),
        wide_add(sums[1], wide_mul(words, load(weights, at + count))),
        wide_add(sums[2], wide_mul(words, load(weights, at + 2 * count))),
        wide_add(sums[3], wide_mul(words, load(weights, at + 3 * count))),
        wide_add(sums[4], wide_mul(words, load(weights, at + 4 * count))),
    )


@inlined
def _trim(sums: Any) -> Any:
    return (
        wide_trim(sums[0]), wide_trim(sums[1]), wide_trim(sums[2]), wide_trim(sums[3]), wide_trim(sums[4]),
    )  # fmt: skip


@compiled
def _evaluate_rows(
    matrix: U32Array, columns: npt.NDArray[np.int64], weights: U32Array, partial: U32Array, count: int,
    start: int, stop: int,
) -> None:  # fmt: skip
    """partial (w, 5, 16) += lane-wise sums over rows start..stop, both multiples of 32.

    A trimmed sum is below 2**32 * p; with two more products below 2**33 * p it is within the next trim's range.
    """
    for tile in range(start, stop, _TILE):
        end = min(tile + _TILE, stop)
        for k in range(columns.shape[0]):
            base, zero = columns[k] * count, load(weights, tile)
            nothing = wide_mul(zero, np.uint32(0))
            sums = (nothing, nothing, nothing, nothing, nothing)
            for i in range(tile, end, _PAIR):
                sums = _accumulate(sums, load(matrix, base + i), weights, i, count)
                sums = _accumulate(sums, load(matrix, base + i + WIDTH), weights, i + WIDTH, count)
                sums = _trim(sums)
            at = k * EXTENSION_DEGREE * WIDTH
            for_now = load_ext(partial, at, WIDTH)
            reduced = (
                wide_reduce(sums[0]), wide_reduce(sums[1]), wide_reduce(sums[2]), wide_reduce(sums[3]),
                wide_reduce(sums[4]),
            )  # fmt: skip
            store_ext(partial, at, WIDTH, ext_add(for_now, reduced))


def _evaluate_columns_twin(
    matrix: U32Array, weights: U32Array, shift_rows: int = 0, columns: npt.NDArray[np.int64] | None = None
) -> U32Array:
    chosen = range(len(matrix)) if columns is None else columns
    result = np.zeros((len(chosen), EXTENSION_DEGREE), dtype=np.uint32)
    for k, column in enumerate(chosen):
        values = [int_of_mont(word) for word in np.roll(matrix[column], -shift_rows)]
        for d in range(EXTENSION_DEGREE):
            result[k, d] = mont_of_int(sum(v * int_of_mont(w) for v, w in zip(values, weights[d], strict=True)))
    return result


@kernel(twin=_evaluate_columns_twin)
def evaluate_columns(
    matrix: U32Array, weights: U32Array, shift_rows: int = 0, columns: npt.NDArray[np.int64] | None = None
) -> U32Array:
    """sum_i column[(i + shift_rows) mod N] * weights[:, i] for each column: (w, 5) Montgomery words.

    With `barycentric_weights(zeta)` this is each column at zeta, or at w * zeta for shift_rows = 1. `columns` picks and
    orders columns of `matrix` (w, N). Words in [0, p), only read. Threaded over rows.
    """
    count = matrix.shape[1]
    chosen = np.arange(len(matrix)) if columns is None else np.asarray(columns, dtype=np.int64)
    turned = np.roll(weights, shift_rows, axis=1)
    if count % _PAIR:
        extra = ((0, 0), (0, _PAIR - count % _PAIR))
        return evaluate_columns(np.pad(matrix, extra), np.pad(turned, extra), 0, chosen)
    flat_matrix, flat_weights = matrix.reshape(-1), turned.reshape(-1)
    partials: list[U32Array] = []

    def evaluate(start: int, stop: int) -> None:
        partial = np.zeros((len(chosen), EXTENSION_DEGREE, WIDTH), dtype=np.uint32)
        _evaluate_rows(flat_matrix, chosen, flat_weights, partial.reshape(-1), count, start, stop)
        partials.append(partial)

    run_ranges(evaluate, count, _TILE)
    lanes = np.concatenate(partials, axis=2).astype(np.uint64)
    result: U32Array = (lanes.sum(axis=2) % P).astype(np.uint32)
    return result


# -- random combination ---------------------------------------------------------------------------------------------


@inlined
def _dot4(w: Any, c: U32Array, at: int, d: int) -> Any:
    """Four words times coordinate d of four coefficients: below 4 p**2 < 2**64, trimmed, reduced."""
    stride = EXTENSION_DEGREE
    low = wide_add(wide_mul(w[0], c[at + d]), wide_mul(w[1], c[at + stride + d]))
    high = wide_add(wide_mul(w[2], c[at + 2 * stride + d]), wide_mul(w[3], c[at + 3 * stride + d]))
    return wide_reduce(wide_trim(wide_add(low, high)))


@compiled
def _combine_rows(
    matrix: U32Array, columns: npt.NDArray[np.int64], count: int, coefficients: U32Array, out: U32Array, start: int,
    stop: int,
) -> None:  # fmt: skip
    """out (5, n) += sum_k matrix[columns[k]] * coefficients[k]; w rounded up to 4, the surplus coefficients zero."""
    for tile in range(start, stop, _TILE):
        end = min(tile + _TILE, stop)
        for k in range(0, columns.shape[0], 4):
            p, q = columns[k] * count, columns[k + 1] * count
            r, s = columns[k + 2] * count, columns[k + 3] * count
            at = k * EXTENSION_DEGREE
            for i in range(tile, end, WIDTH):
                w = load(matrix, p + i), load(matrix, q + i), load(matrix, r + i), load(matrix, s + i)
                terms = (
                    _dot4(w, coefficients, at, 0), _dot4(w, coefficients, at, 1), _dot4(w, coefficients, at, 2),
                    _dot4(w, coefficients, at, 3), _dot4(w, coefficients, at, 4),
                )  # fmt: skip
                store_ext(out, i, count, ext_add(load_ext(out, i, count), terms))


def _combine_columns_twin(
    matrix: U32Array,
    coefficients: U32Array,
    out: U32Array | None = None,
    columns: npt.NDArray[np.int64] | None = None,
) -> U32Array:
    result = np.zeros((EXTENSION_DEGREE, matrix.shape[1]), dtype=np.uint32) if out is None else out
    chosen = matrix if columns is None else matrix[columns]
    for i in range(matrix.shape[1]):
        for d in range(EXTENSION_DEGREE):
            total = sum(int_of_mont(a) * int_of_mont(b) for a, b in zip(chosen[:, i], coefficients[:, d], strict=True))
            result[d, i] = (int(result[d, i]) + mont_of_int(total)) % P
    return result


@kernel(twin=_combine_columns_twin)
def combine_columns(
    matrix: U32Array,
    coefficients: U32Array,
    out: U32Array | None = None,
    columns: npt.NDArray[np.int64] | None = None,
) -> U32Array:
    """sum_k coefficients[k] * matrix[columns[k]]: (5, N) from (w, N) and extension coefficients, one row of 5 each.

    All Montgomery words in [0, p). The sum is added to `out` (5, N) where given, else to zero. `columns` picks by
    index, by default all. Threaded over rows.
    """
    count = matrix.shape[1]
    chosen = np.arange(len(matrix)) if columns is None else np.asarray(columns, dtype=np.int64)
    width = len(chosen)
    result = np.zeros((EXTENSION_DEGREE, count), dtype=np.uint32) if out is None else out
    if count % WIDTH:
        extra = ((0, 0), (0, WIDTH - count % WIDTH))
        wide = combine_columns(np.pad(matrix, extra), coefficients, np.pad(result, extra), chosen)
        result[...] = wide[:, :count]
        return result
    padded = np.zeros((width + 3, EXTENSION_DEGREE), dtype=np.uint32)
    padded[:width] = coefficients
    flat_matrix, words, flat_out = matrix.reshape(-1), padded.reshape(-1), result.reshape(-1)
    filled = np.concatenate([chosen, np.zeros(-width % 4, np.int64)])  # with coefficients of zero
    run_ranges(
        lambda start, stop: _combine_rows(flat_matrix, filled, count, words, flat_out, start, stop), count, _TILE
    )
    return result


# -- quotients ------------------------------------------------------------------------------------------------------


@compiled
def _divide(
    values: U32Array, claimed: U32Array, inverses: U32Array, out: U32Array, count: int, start: int, stop: int
) -> None:
    """out += (values - claimed) * inverses on (5, n) arrays, whole vectors."""
    constant = (claimed[0], claimed[1], claimed[2], claimed[3], claimed[4])
    for i in range(start, stop, WIDTH):
        quotient = ext_mul(ext_sub(load_ext(values, i, count), constant), load_ext(inverses, i, count))
        store_ext(out, i, count, ext_add(load_ext(out, i, count), quotient))


def _divide_by_linear_twin(values: U32Array, claimed: Ext, inverses: U32Array, out: U32Array) -> None:
    flat_values, flat_inverses = (array.reshape(EXTENSION_DEGREE, -1) for array in (values, inverses))
    flat_out = out.reshape(EXTENSION_DEGREE, -1)
    for i in range(flat_values.shape[1]):
        difference = plain_sub(ext_of_array(flat_values, i), claimed)
        quotient = plain_mul(difference, ext_of_array(flat_inverses, i))
        flat_out[:, i] = ext_array([plain_add(ext_of_array(flat_out, i), quotient)])[:, 0]


@kernel(twin=_divide_by_linear_twin)
def divide_by_linear(values: U32Array, claimed: Ext, inverses: U32Array, out: U32Array) -> None:
    """out += (values - claimed) / (x - point), with `inverses` from `denominators(point, ..)`.

    `values`, `inverses`, `out`: (5, blowup, N) C-contiguous Montgomery words in [0, p). Threaded.
    """
    count = values[0].size
    constant = ext_array([claimed])[:, 0].copy()
    if count % WIDTH:
        extra = ((0, 0), (0, WIDTH - count % WIDTH))
        padded = [np.pad(array.reshape(EXTENSION_DEGREE, count), extra) for array in (values, inverses, out)]
        divide_by_linear(padded[0], claimed, padded[1], padded[2])
        out[...] = padded[2][:, :count].reshape(out.shape)
        return
    flat_values, flat_inverses, flat_out = values.reshape(-1), inverses.reshape(-1), out.reshape(-1)
    run_ranges(
        lambda start, stop: _divide(flat_values, constant, flat_inverses, flat_out, count, start, stop),
        count,
        1 << 12,
    )


def ext_words(elements: Sequence[Ext]) -> U32Array:
    """Canonical extension elements as Montgomery coefficients (w, 5), the form `combine_columns` takes."""
    return np.ascontiguousarray(ext_array(list(elements)).T)
