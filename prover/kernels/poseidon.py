"""The tree hash on many rows at once: digests first, then the cells that the circuit commits to.

Words are Montgomery words in [0, p) everywhere, in and out. Rows are taken 64 at a time: one permutation word of 64
rows is 512 bytes, and all that a permutation needs stays in the first-level cache. Inside, a word sits in a 64-bit
lane, where a product needs no shuffling; every loop over the 64 rows becomes vector code.
Plain twin: `circuits.poseidon.reference.row_cells` (cells 132..139 plus h are the digest).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from circuits.poseidon.instance import CELLS, FIRST_ROUND_OFFSETS, LAST_ROUND_OFFSETS, SBOX_OFFSET, rounds_form
from verifier.errors import InvariantBroken
from verifier.field import P
from verifier.poseidon import DEFAULT, DIGEST_WORDS, WIDTH, Instance

Words = NDArray[np.uint32]
Lanes = NDArray[np.uint64]

_HALF = WIDTH // 2
_SBOXES = 20
_FORMS = _SBOXES + WIDTH
_ROWS = 64
_R = 1 << 32

_P = np.uint64(P)
_P_HIGH = np.uint64(P << 32)
_MINUS_P_INVERSE = np.uint64(-pow(P, -1, _R) % _R)
_LOW_32 = np.uint64(_R - 1)
_LOW_31 = np.uint64(2**31 - 1)
_FOLD_31 = np.uint64(2**24 - 1)  # 2^31 = 2^24 - 1 (mod p)
_ONE, _BITS_31, _BITS_32 = np.uint64(1), np.uint64(31), np.uint64(32)

_kernel = njit(cache=True, nogil=True, error_model="numpy", boundscheck=False)
_inlined = njit(nogil=True, error_model="numpy", boundscheck=False, inline="always")


class Tables(NamedTuple):
    """The numbers of one instance as the kernels read them.

    `plus` and `minus`, (8, 8): A + B and A - B of the full-round matrix [[A, B], [B, A]], small integers.
    `round_constants` (8, 16) of the full rounds and `coefficients` (36, 36) of the flat partial rounds, 20 S-box inputs
    and then 16 words after, are Montgomery words; `constants` (36,) of the latter carry the factor 2^64.
    """

    initial_layer: bool
    plus: NDArray[np.uint64]
    minus: NDArray[np.int64]
    round_constants: NDArray[np.uint64]
    coefficients: NDArray[np.uint64]
    constants: NDArray[np.uint64]


@lru_cache
def tables(instance: Instance = DEFAULT) -> Tables:
    """Kernel tables of an instance. Raises InvariantBroken if its matrix is not of the form the kernels rely on."""
    form = rounds_form(instance)
    full_rounds, forms = (*form.first, *form.last), (*form.partial, *form.after_partial)
    matrix = np.array(instance.full_matrix, dtype=np.int64)
    a, b = matrix[:_HALF, :_HALF], matrix[:_HALF, _HALF:]
    if not np.array_equal(matrix, np.block([[a, b], [b, a]])) or matrix.min() < 0 or matrix.sum(axis=1).max() >= 512:
        raise InvariantBroken(f"{instance.name}: the full-round matrix is not [[A, B], [B, A]] with small entries")
    if form.first[0].before not in (None, instance.full_matrix) or len(forms) != _FORMS:
        raise InvariantBroken(f"{instance.name}: the kernels do not know this shape of rounds")
    coefficients = np.zeros((_FORMS, _FORMS), dtype=np.uint64)
    for row, affine in zip(coefficients, forms, strict=True):
        words = [*affine.state, *affine.sboxes]
        row[: len(words)] = [word * _R % P for word in words]
    return Tables(
        initial_layer=form.first[0].before is not None,
        plus=(a + b).astype(np.uint64),
        minus=a - b,
        round_constants=np.array([[c * _R % P for c in r.constants] for r in full_rounds], dtype=np.uint64),
        coefficients=coefficients,
        constants=np.array([affine.constant * _R * _R % P for affine in forms], dtype=np.uint64),
    )


def compress_rows(h: Words, block: Words, instance: Instance = DEFAULT) -> Words:
    """Digests (8, n) of n chaining values (8, n) and n blocks (8, n), on the calling thread."""
    out = np.empty_like(h)
    compress_rows_into(h, block, out, 0, out.shape[-1], instance)
    return out


def compress_rows_into(
    h: Words, block: Words, out: Words, start_row: int, stop_row: int, instance: Instance = DEFAULT
) -> None:
    """The same for rows start_row..stop_row-1 only, which are overwritten in `out`; releases the GIL.

    Arrays are (8, n) uint32, C order, Montgomery words below p. Raises InvariantBroken for other shapes.
    """
    for array in (h, block, out):
        _check(array, (DIGEST_WORDS, out.shape[-1]))
    _check_rows(out, start_row, stop_row)
    _compress(h, block, out, start_row, stop_row, tables(instance))


def fill_permutation_cells(
    matrix: Words,
    first_input_column: int,
    first_cell_column: int,
    start_row: int,
    stop_row: int,
    instance: Instance = DEFAULT,
) -> None:
    """Write the 140 cells of `circuits.poseidon.instance` for rows start_row..stop_row-1 in place; releases the GIL.

    `matrix` is (columns, rows) uint32, C order, Montgomery words below p. Reads the 16 columns h0..h7, b0..b7 from
    first_input_column on, overwrites the 140 columns from first_cell_column on. Raises InvariantBroken if they overlap
    or leave the matrix.
    """
    _check(matrix, matrix.shape)
    _check_rows(matrix, start_row, stop_row)
    inputs = range(first_input_column, first_input_column + WIDTH)
    cells = range(first_cell_column, first_cell_column + CELLS)
    if min(inputs[0], cells[0]) < 0 or max(inputs[-1], cells[-1]) >= len(matrix):
        raise InvariantBroken(f"columns {inputs} or {cells} are outside a matrix of {len(matrix)} columns")
    if inputs[0] <= cells[-1] and cells[0] <= inputs[-1]:
        raise InvariantBroken(f"input columns {inputs} and cell columns {cells} overlap")
    _fill(matrix, inputs[0], cells[0], start_row, stop_row, tables(instance))


def _check(array: Words, shape: tuple[int, ...]) -> None:
    # The kernels check no bounds.
    if array.dtype != np.uint32 or array.ndim != 2 or array.shape != shape or not array.flags.c_contiguous:
        raise InvariantBroken(f"expected a C-ordered uint32 array {shape}, got {array.dtype} {array.shape}")


def _check_rows(array: Words, start_row: int, stop_row: int) -> None:
    if not 0 <= start_row <= stop_row <= array.shape[1]:
        raise InvariantBroken(f"rows {start_row}..{stop_row} are outside an array of {array.shape[1]} rows")


@_inlined
def _below(word: np.uint64, modulus: np.uint64) -> np.uint64:
    """word mod modulus for word < 2 * modulus: the smaller of word and the (else wrapped) difference."""
    difference = word - modulus
    return difference if difference < word else word


@_inlined
def _reduce_once(total: np.uint64) -> np.uint64:
    """total / 2^32 mod p, in [0, 2p), for total < 2^32 p: total + q p has a zero low half and is below 2^33 p < 2^64."""
    q = ((total & _LOW_32) * _MINUS_P_INVERSE) & _LOW_32
    return (total + q * _P) >> _BITS_32


@_inlined
def _reduce(total: np.uint64) -> np.uint64:
    """total / 2^32 mod p, in [0, p), for total < 2^32 p."""
    return _below(_reduce_once(total), _P)


@_inlined
def _cube(word: np.uint64) -> np.uint64:
    """Montgomery cube in [0, p) of a word below p; the square may stay below 2p, as 2p * p < 2^32 p."""
    return _reduce(_reduce_once(word * word) * word)


@_inlined
def _fold(total: np.uint64) -> np.uint64:
    """total mod p for total < 2^40: twice 2^31 -> 2^24 - 1 leaves less than 2^31 + 8 * 2^24 < 2p."""
    once = (total & _LOW_31) + (total >> _BITS_31) * _FOLD_31
    return _below((once & _LOW_31) + (once >> _BITS_31) * _FOLD_31, _P)


@_kernel
def _aligned(rows: int) -> Lanes:
    """(rows, 64) zeros on a cache-line boundary: vector loads that straddle two lines cost twice."""
    raw = np.zeros(rows * _ROWS + 8, dtype=np.uint64)
    skip = (-raw.ctypes.data % 64) // 8
    return raw[skip : skip + rows * _ROWS].reshape((rows, _ROWS))


@_kernel
def _split_cubes(state: Lanes, constants: Lanes, halves: Lanes) -> None:
    """S-box layer. `halves` (16, 64) gets sums (below 2p) and differences (signed) of cubes j and j + 8."""
    for j in range(_HALF):
        first, second = constants[j], constants[j + _HALF]
        for row in range(_ROWS):
            x = _cube(_below((state[j, row] & _LOW_32) + first, _P))
            y = _cube(_below((state[j + _HALF, row] & _LOW_32) + second, _P))
            halves[j, row] = x + y
            halves[j + _HALF, row] = x - y


@_kernel
def _mix_halves(halves: Lanes, state: Lanes, numbers: Tables) -> None:
    """Matrix [[A, B], [B, A]] from the split words: ((A + B) sums ± (A - B) differences) / 2, half the products.

    Exact in integers: entries are small, so nothing is reduced before the end, where a word is below 512 p < 2^40.
    """
    for i in range(_HALF):
        for row in range(_ROWS):
            even, odd = np.uint64(0), np.int64(0)
            for j in range(_HALF):
                even += (numbers.plus[i, j] & _LOW_32) * (halves[j, row] & _LOW_32)
                # Through int32, which both fit, so that the compiler takes the 32-bit product.
                odd += np.int64(np.int32(numbers.minus[i, j])) * np.int64(np.int32(halves[j + _HALF, row]))
            state[i, row] = _fold((even + np.uint64(odd)) >> _ONE)
            state[i + _HALF, row] = _fold((even - np.uint64(odd)) >> _ONE)


@_kernel
def _initial_layer(state: Lanes, halves: Lanes, numbers: Tables) -> None:
    for j in range(_HALF):
        for row in range(_ROWS):
            halves[j, row] = state[j, row] + state[j + _HALF, row]
            halves[j + _HALF, row] = state[j, row] - state[j + _HALF, row]
    _mix_halves(halves, state, numbers)


@_kernel
def _partial_rounds(state: Lanes, after: Lanes, total: Lanes, numbers: Tables) -> None:
    """All 20 partial rounds as affine forms in the state (rows 0..15) and the S-box outputs (written to rows 16..35).

    Four products are below 4 p^2 < 2^64 and below 2 * 2^32 p; `total` (1, 64) stays below 2^32 p.
    """
    for form in range(_FORMS):
        for row in range(_ROWS):
            total[0, row] = numbers.constants[form]
        for k in range(0, WIDTH + min(form, _SBOXES), 4):
            # Past the last output the coefficients are zero and the rows hold words of an earlier block.
            c0, c1 = numbers.coefficients[form, k] & _LOW_32, numbers.coefficients[form, k + 1] & _LOW_32
            c2, c3 = numbers.coefficients[form, k + 2] & _LOW_32, numbers.coefficients[form, k + 3] & _LOW_32
            for row in range(_ROWS):
                first = c0 * (state[k, row] & _LOW_32) + c1 * (state[k + 1, row] & _LOW_32)
                second = c2 * (state[k + 2, row] & _LOW_32) + c3 * (state[k + 3, row] & _LOW_32)
                total[0, row] = _below(total[0, row] + _below(first + second, _P_HIGH), _P_HIGH)
        if form < _SBOXES:
            for row in range(_ROWS):
                state[WIDTH + form, row] = _cube(_reduce(total[0, row]))
        else:
            for row in range(_ROWS):
                after[form - _SBOXES, row] = _reduce(total[0, row])


@_kernel
def _load(source: Words, start: int, count: int, target: Lanes) -> None:
    for j in range(len(target)):
        # Slices, because an index that might be negative keeps a loop from becoming vector code.
        words, lanes = source[j, start : start + count], target[j]
        for row in range(count):
            lanes[row] = words[row]


@_kernel
def _store(source: Lanes, target: Words, start: int, count: int) -> None:
    for j in range(len(source)):
        lanes, words = source[j], target[j, start : start + count]
        for row in range(count):
            words[row] = np.uint32(lanes[row])


@_kernel
def _compress(h: Words, block: Words, out: Words, start_row: int, stop_row: int, numbers: Tables) -> None:
    state, halves, total = _aligned(_FORMS), _aligned(WIDTH), _aligned(1)
    for start in range(start_row, stop_row, _ROWS):
        count = min(_ROWS, stop_row - start)
        _load(h, start, count, state[:DIGEST_WORDS])
        _load(block, start, count, state[DIGEST_WORDS:WIDTH])
        if numbers.initial_layer:
            _initial_layer(state, halves, numbers)
        for r in range(4):
            _split_cubes(state, numbers.round_constants[r], halves)
            _mix_halves(halves, state, numbers)
        _partial_rounds(state, halves, total, numbers)
        _split_cubes(halves, numbers.round_constants[4], halves)
        _mix_halves(halves, state, numbers)
        for r in range(5, 8):
            _split_cubes(state, numbers.round_constants[r], halves)
            _mix_halves(halves, state, numbers)
        _load(h, start, count, halves[:DIGEST_WORDS])
        for j in range(DIGEST_WORDS):
            for row in range(_ROWS):
                state[j, row] = _below(state[j, row] + halves[j, row], _P)
        _store(state[:DIGEST_WORDS], out, start, count)


@_kernel
def _fill(matrix: Words, inputs: int, cells: int, start_row: int, stop_row: int, numbers: Tables) -> None:
    state, halves, total = _aligned(_FORMS), _aligned(WIDTH), _aligned(1)
    for start in range(start_row, stop_row, _ROWS):
        count = min(_ROWS, stop_row - start)
        _load(matrix[inputs : inputs + WIDTH], start, count, state[:WIDTH])
        if numbers.initial_layer:
            _initial_layer(state, halves, numbers)
        for r in range(4):
            _split_cubes(state, numbers.round_constants[r], halves)
            _mix_halves(halves, state, numbers)
            _store(state[:WIDTH], matrix[cells + FIRST_ROUND_OFFSETS[r] :], start, count)
        _partial_rounds(state, halves, total, numbers)
        _store(state[WIDTH:], matrix[cells + SBOX_OFFSET :], start, count)
        for r in range(4):
            _split_cubes(halves if r == 0 else state, numbers.round_constants[4 + r], halves)
            _mix_halves(halves, state, numbers)
            columns = WIDTH if r < 3 else DIGEST_WORDS
            _store(state[:columns], matrix[cells + LAST_ROUND_OFFSETS[r] :], start, count)
