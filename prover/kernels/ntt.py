"""Number-theoretic transforms of columns: interpolation, low-degree extension, and small-coset evaluation.

Coefficients live in an *internal order* that no one outside needs to know: bit-reversed, and, from 256 coefficients
on, with each run of 256 transposed as a 16 x 16 square, so that the four smallest butterfly stages work across whole
vectors. Evaluation (decimation in time) reads that order and writes natural order; interpolation (decimation in
frequency) does the reverse. Twiddles of a coset carry the coset's shift, so extension costs no scaling pass:
table[m + i] = shift**(N / 2m) * w_2m**i for stage half-sizes m = 1, 2, 4, .., N/2 and i < m.

Large columns are taken sixteen ways at a time and depth first: a block is completed in the nearest cache before the
next one is begun, so a column of 2**20 words crosses the outer caches only twice.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from prover.kernels.butterflies import (
    CHUNK_LOG2,
    IndexArray,
    OrderArray,
    evaluate_column,
    gather_words,
    interleave,
    interpolate_column,
    reduce_column,
)
from prover.kernels.field import (
    P,
    U32Array,
    empty_words,
    int_of_mont,
    mont_of_int,
    multiply_rows,
    powers,
    root_of_unity,
)
from prover.kernels.lanes import WIDTH
from prover.kernels.registry import kernel
from prover.kernels.threads import run_ranges

SHIFT = 3
"""Shift of the evaluation domain."""
SMALL_LOG2, SMALL_SHIFT = 9, 9
"""The extra coset on which the quotient is also evaluated: 512 points 9 * w_512**i, disjoint from domain and H."""

# -- order and tables -----------------------------------------------------------------------------------------------


def _bit_reversed(log_n: int) -> IndexArray:
    indices = np.zeros(1, dtype=np.int64)
    for _ in range(log_n):
        indices = np.concatenate((2 * indices, 2 * indices + 1))
    return indices


def _transposed_squares(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Last axis: bit-reversed order to internal order, or back (the map is its own inverse)."""
    if array.shape[-1] < 1 << CHUNK_LOG2:
        return array
    squares = array.reshape(*array.shape[:-1], -1, WIDTH, WIDTH).swapaxes(-1, -2)
    return np.ascontiguousarray(squares).reshape(array.shape)


@lru_cache(maxsize=4)
def internal_order(log_n: int) -> OrderArray:
    """Exponent of the coefficient at each internal position, (2**log_n,)."""
    return _transposed_squares(_bit_reversed(log_n).astype(np.int32))


@lru_cache(maxsize=4)
def _internal_position(log_n: int) -> OrderArray:
    """Internal position of each exponent: the inverse permutation."""
    positions = np.empty(1 << log_n, np.int32)
    positions[internal_order(log_n)] = np.arange(1 << log_n, dtype=np.int32)
    return positions


@lru_cache(maxsize=16)
def twiddles(log_n: int, shift: int) -> U32Array:
    table = empty_words(1 << log_n)
    table[0] = 0
    for log_m in range(log_n):
        m = 1 << log_m
        table[m : 2 * m] = powers(root_of_unity(log_m + 1), m, pow(shift, 1 << (log_n - log_m - 1), P))
    return table


@lru_cache(maxsize=4)
def _inverse_twiddles(log_n: int) -> U32Array:
    table = empty_words(1 << log_n)
    table[0] = 0
    for log_m in range(log_n):
        m = 1 << log_m
        table[m : 2 * m] = powers(pow(root_of_unity(log_m + 1), -1, P), m)
    return table


def _log2(count: int) -> int:
    if count < 1 or count & (count - 1):
        raise ValueError(f"expected a power of two, got {count}")
    return count.bit_length() - 1


def coset_shifts(log_n: int, blowup: int, shift: int = SHIFT) -> list[int]:
    """Canonical shift of each of the `blowup` cosets: shift * w_(blowup * N)**c."""
    root = root_of_unity(log_n + _log2(blowup))
    return [shift * pow(root, c, P) % P for c in range(blowup)]


# -- plain twins ----------------------------------------------------------------------------------------------------


def _plain_transform(values: list[int], root: int) -> list[int]:
    """Values at root**i, i = 0.., of the polynomial with these coefficients (canonical integers)."""
    if len(values) == 1:
        return values
    even, odd = (_plain_transform(values[k::2], root * root % P) for k in (0, 1))
    terms = [pow(root, i, P) * value for i, value in enumerate(odd)]
    return [(a + b) % P for a, b in zip(even, terms, strict=True)] + [
        (a - b) % P for a, b in zip(even, terms, strict=True)
    ]


def _plain_evaluate(coefficients: list[int], log_n: int, shift: int) -> list[int]:
    """Values at shift * w_N**i of a polynomial with any number of natural-order coefficients (canonical integers)."""
    n = 1 << log_n
    scaled = [value * pow(shift, k, P) for k, value in enumerate(coefficients)]
    return _plain_transform([sum(scaled[k::n]) % P for k in range(n)], root_of_unity(log_n))


def _canonical(row: U32Array) -> list[int]:
    return [int_of_mont(word) for word in row]


def _montgomery(values: list[int]) -> list[int]:
    return [mont_of_int(value) for value in values]


def _interpolate_twin(matrix: U32Array) -> U32Array:
    for row in matrix:
        log_n = _log2(len(row))
        sums = _plain_transform(_canonical(row), pow(root_of_unity(log_n), -1, P))
        natural = _montgomery([value * pow(len(row), -1, P) for value in sums])
        row[:] = np.array(natural, dtype=np.uint32)[internal_order(log_n)]
    return matrix


def _lde_from_coefficients_twin(
    coefficients: U32Array, log_n: int, blowup: int, shift: int = SHIFT, out: U32Array | None = None
) -> U32Array:
    width = len(coefficients)
    result = empty_words(width, blowup, 1 << log_n) if out is None else out
    for column, row in enumerate(coefficients):
        for coset, coset_shift in enumerate(coset_shifts(log_n, blowup, shift)):
            result[column, coset] = _montgomery(_plain_evaluate(_canonical(row), log_n, coset_shift))
    return result


def _lde_twin(
    matrix: U32Array,
    blowup: int,
    shift: int = SHIFT,
    out: U32Array | None = None,
    coefficients: U32Array | None = None,
    small: U32Array | None = None,
    small_next: U32Array | None = None,
    following: npt.NDArray[np.bool_] | None = None,
) -> U32Array:
    internal = _interpolate_twin(matrix.copy())
    if coefficients is not None:
        coefficients[...] = internal
    if small is not None:
        small[...] = _small_coset_twin(internal)
    if small_next is not None and following is not None:
        next_shift = SMALL_SHIFT * root_of_unity(_log2(matrix.shape[1])) % P
        small_next[following] = _small_coset_twin(internal[following], shift=next_shift)
    natural = _to_natural_coefficients_twin(internal)
    return _lde_from_coefficients_twin(natural, _log2(matrix.shape[1]), blowup, shift, out)


def _small_coset_twin(coefficients: U32Array, shift: int = SMALL_SHIFT) -> U32Array:
    natural = _to_natural_coefficients_twin(coefficients)
    rows = [_montgomery(_plain_evaluate(_canonical(row), SMALL_LOG2, shift)) for row in natural]
    return np.array(rows, dtype=np.uint32).reshape(len(coefficients), 1 << SMALL_LOG2)


def _to_natural_coefficients_twin(coefficients: U32Array) -> U32Array:
    natural = np.empty_like(coefficients)
    for position, exponent in enumerate(internal_order(_log2(coefficients.shape[1]))):
        natural[:, exponent] = coefficients[:, position]
    return natural


def _interpolate_coset_twin(values: U32Array, shift: int = SHIFT) -> U32Array:
    width, cosets, n = values.shape
    result = empty_words(width, cosets * n)
    for column in range(width):
        flat = [int_of_mont(values[column, i % cosets, i // cosets]) for i in range(cosets * n)]
        sums = _plain_transform(flat, pow(root_of_unity(_log2(cosets * n)), -1, P))
        result[column] = _montgomery(
            [value * pow(cosets * n * pow(shift, k, P), -1, P) for k, value in enumerate(sums)]
        )
    return result


# -- kernels --------------------------------------------------------------------------------------------------------


def _n_inverse(log_n: int) -> np.uint32:
    return np.uint32(mont_of_int(pow(1 << log_n, -1, P)))


def _coset_tables(log_n: int, blowup: int, shift: int) -> list[U32Array]:
    return [twiddles(log_n, coset_shift) for coset_shift in coset_shifts(log_n, blowup, shift)]


@kernel(twin=_interpolate_twin)
def interpolate(matrix: U32Array) -> U32Array:
    """Values (w, N) on the subgroup, natural order, to coefficients in internal order; in place, returns its argument.

    uint32 Montgomery words in [0, p), N a power of two up to 2**24. Threaded over columns.
    """
    log_n = _log2(matrix.shape[1])
    table, n_inverse = _inverse_twiddles(log_n), _n_inverse(log_n)

    def transform(start: int, stop: int) -> None:
        for row in matrix[start:stop]:
            interpolate_column(row, row, log_n, table, n_inverse)

    run_ranges(transform, len(matrix))
    return matrix


@kernel(twin=_lde_twin)
def lde(
    matrix: U32Array,
    blowup: int,
    shift: int = SHIFT,
    out: U32Array | None = None,
    coefficients: U32Array | None = None,
    small: U32Array | None = None,
    small_next: U32Array | None = None,
    following: npt.NDArray[np.bool_] | None = None,
) -> U32Array:
    """Values (w, N) on the subgroup to values (w, blowup, N): entry (c, i) at shift * w_n**(c + blowup * i).

    uint32 Montgomery words in [0, p); `matrix` is only read. Columns are taken one at a time with one column of scratch
    per thread. What is given is filled: `out` (w, blowup, N) is the result, `coefficients` (w, N, may be `matrix`
    itself, which is then overwritten) gets internal-order coefficients, `small` (w, 512) the values on the small coset,
    `small_next` (w, 512) those at w_N times its points, of the columns that `following` (w,) marks.
    """
    width, n = matrix.shape
    log_n = _log2(n)
    result = empty_words(width, blowup, n) if out is None else out
    table, tables, n_inverse = _inverse_twiddles(log_n), _coset_tables(log_n, blowup, shift), _n_inverse(log_n)
    next_shift = SMALL_SHIFT * root_of_unity(log_n) % P

    def extend(start: int, stop: int) -> None:
        scratch = empty_words(n if coefficients is None else 0)
        for column in range(start, stop):
            row = scratch if coefficients is None else coefficients[column]
            interpolate_column(matrix[column], row, log_n, table, n_inverse)
            for coset, coset_table in enumerate(tables):
                evaluate_column(row, result[column, coset], log_n, coset_table)
            if small is not None:
                _small_coset(row, SMALL_SHIFT, small[column])
            if small_next is not None and following is not None and following[column]:
                _small_coset(row, next_shift, small_next[column])

    run_ranges(extend, width)
    return result


@kernel(twin=_lde_from_coefficients_twin)
def lde_from_coefficients(
    coefficients: U32Array, log_n: int, blowup: int, shift: int = SHIFT, out: U32Array | None = None
) -> U32Array:
    """Values (w, blowup, N), placed as in `lde`, of polynomials with natural-order coefficients (w, k), k <= 2**log_n.

    For a few columns (quotient chunks, the mask): each is permuted first. uint32 Montgomery words in [0, p).
    """
    width, count = coefficients.shape
    n = 1 << log_n
    if count > n:
        raise ValueError(f"expected at most {n} coefficients, got {count}")
    order, tables = internal_order(log_n), _coset_tables(log_n, blowup, shift)
    result = empty_words(width, blowup, n) if out is None else out

    def extend(start: int, stop: int) -> None:
        padded, row = np.zeros(n, dtype=np.uint32), empty_words(n)
        for column in range(start, stop):
            padded[:count] = coefficients[column]
            gather_words(padded, order, row)
            for coset, coset_table in enumerate(tables):
                evaluate_column(row, result[column, coset], log_n, coset_table)

    run_ranges(extend, width)
    return result


def _small_coset(coefficients: U32Array, shift: int, out: U32Array) -> None:
    """One column of internal-order coefficients reduced modulo X**512 - shift**512, evaluated into `out` (512,)."""
    log_n, size = _log2(len(coefficients)), 1 << SMALL_LOG2
    if log_n < SMALL_LOG2:
        natural = to_natural_coefficients(coefficients.reshape(1, -1))
        lde_from_coefficients(natural, SMALL_LOG2, 1, shift, out.reshape(1, 1, size))
        return
    weights, positions, blocks_are_whole = _small_coset_tables(log_n, shift)
    source = coefficients if blocks_are_whole else _transposed_squares(coefficients)
    reduce_column(source, weights, positions, out)
    evaluate_column(out, out, SMALL_LOG2, twiddles(SMALL_LOG2, shift))


@lru_cache(maxsize=8)
def _small_coset_tables(log_n: int, shift: int) -> tuple[U32Array, IndexArray, bool]:
    """Weights of one block, where block g's sum goes, and whether the blocks of internal order are whole chunks.

    The coefficients whose exponents agree mod 512 form one block of bit-reversed order.
    """
    log_length = log_n - SMALL_LOG2
    weights = powers(pow(shift, 1 << SMALL_LOG2, P), 1 << log_length)
    is_whole = log_length >= CHUNK_LOG2
    order = internal_order(log_length) if is_whole else _bit_reversed(log_length)
    positions = _transposed_squares(np.arange(1 << SMALL_LOG2, dtype=np.int64))
    return weights[order], positions, is_whole


@kernel(twin=_to_natural_coefficients_twin)
def to_natural_coefficients(coefficients: U32Array) -> U32Array:
    """Internal-order coefficients (w, N) to a new array with the coefficient of X**k at k. Threaded over columns."""
    natural = empty_words(*coefficients.shape)
    positions = _internal_position(_log2(coefficients.shape[1]))

    def arrange(start: int, stop: int) -> None:
        for column in range(start, stop):
            gather_words(coefficients[column], positions, natural[column])

    run_ranges(arrange, len(coefficients))
    return natural


@kernel(twin=_interpolate_coset_twin)
def interpolate_coset(values: U32Array, shift: int = SHIFT) -> U32Array:
    """Values (w, C, N), placed as in `lde` with blowup C, to natural-order coefficients (w, C * N).

    C is a power of two; from a larger domain take every (blowup / C)-th coset. uint32 Montgomery words in [0, p).
    """
    width, cosets, n = values.shape
    interleaved = empty_words(width, cosets * n)
    run_ranges(lambda start, stop: interleave(values[start:stop], interleaved[start:stop]), width)
    natural = to_natural_coefficients(interpolate(interleaved))
    multiply_rows(natural, powers(pow(shift, -1, P), cosets * n))
    return natural
