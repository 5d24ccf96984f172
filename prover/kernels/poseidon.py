"""The tree hash on many rows at once: digests first, then the cells that the circuit commits to.

Words are Montgomery words in [0, p) everywhere, in and out. A block of 128 rows goes through a permutation together
and stays in the caches nearest to the processor. Inside, a word has a 64-bit lane, where products and sums of products
need no shuffling, and every loop over the rows of a block becomes vector code.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuits.poseidon.instance import CELLS, FIRST_ROUND_OFFSETS, LAST_ROUND_OFFSETS, SBOX_OFFSET, rounds_form
from circuits.poseidon.reference import row_cells
from prover.kernels.field import P, U32Array, int_of_mont, mont_of_int
from prover.kernels.registry import compiled, kernel
from prover.kernels.threads import run_ranges
from verifier.errors import InvariantBroken
from verifier.poseidon import DEFAULT, DIGEST_WORDS, WIDTH, Instance

Lanes = NDArray[np.uint64]

_HALF = WIDTH // 2
_SBOXES = 20
_FORMS = _SBOXES + WIDTH
_BLOCK = 128
_ROWS_PER_THREAD_MIN = 8 * _BLOCK

_P = np.uint64(P)
_P_HIGH = np.uint64(P << 32)
_MINUS_P_INVERSE = np.uint64(-pow(P, -1, 1 << 32) % (1 << 32))
_LOW_32 = np.uint64(2**32 - 1)
_LOW_31 = np.uint64(2**31 - 1)
_FOLD_31 = np.uint64(2**24 - 1)  # 2^31 = 2^24 - 1 (mod p)
_ONE, _BITS_31, _BITS_32 = np.uint64(1), np.uint64(31), np.uint64(32)


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
def tables(instance: Instance) -> Tables:
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
        row[: len(words)] = [mont_of_int(word) for word in words]
    return Tables(
        initial_layer=form.first[0].before is not None,
        plus=(a + b).astype(np.uint64),
        minus=a - b,
        round_constants=np.array([[mont_of_int(c) for c in r.constants] for r in full_rounds], dtype=np.uint64),
        coefficients=coefficients,
        constants=np.array([mont_of_int(mont_of_int(affine.constant)) for affine in forms], dtype=np.uint64),
    )


# -- plain twins ----------------------------------------------------------------------------------------------------


def _compress_rows_twin(h: U32Array, block: U32Array, instance: Instance = DEFAULT) -> U32Array:
    out = np.empty_like(h)
    for row in range(h.shape[1]):
        chaining = [int_of_mont(word) for word in h[:, row]]
        last = row_cells(chaining, [int_of_mont(word) for word in block[:, row]], instance)[-DIGEST_WORDS:]
        out[:, row] = [mont_of_int(word + before) for word, before in zip(last, chaining, strict=True)]
    return out


def _fill_permutation_cells_twin(
    matrix: U32Array,
    first_input_column: int,
    first_cell_column: int,
    start_row: int,
    stop_row: int,
    instance: Instance = DEFAULT,
) -> None:
    inputs = matrix[first_input_column : first_input_column + WIDTH]
    for row in range(start_row, stop_row):
        words = [int_of_mont(word) for word in inputs[:, row]]
        cells = row_cells(words[:DIGEST_WORDS], words[DIGEST_WORDS:], instance)
        matrix[first_cell_column : first_cell_column + CELLS, row] = [mont_of_int(cell) for cell in cells]


# -- kernels --------------------------------------------------------------------------------------------------------


@kernel(twin=_compress_rows_twin)
def compress_rows(h: U32Array, block: U32Array, instance: Instance = DEFAULT) -> U32Array:
    """Digests (8, n) of n chaining values (8, n) and n blocks (8, n), on all processors.

    uint32, C order, Montgomery words below p, in and out. Raises InvariantBroken for other shapes.
    """
    for array in (h, block):
        _check(array, (DIGEST_WORDS, h.shape[-1]))
    out = np.empty_like(h)
    run_ranges(partial(_compress, tables(instance), h, block, out), h.shape[1], _ROWS_PER_THREAD_MIN)
    return out


@kernel(twin=_fill_permutation_cells_twin)
def fill_permutation_cells(
    matrix: U32Array,
    first_input_column: int,
    first_cell_column: int,
    start_row: int,
    stop_row: int,
    instance: Instance = DEFAULT,
) -> None:
    """Write the 140 cells of `circuits.poseidon.instance` for rows start_row..stop_row-1 in place.

    Works on the calling thread and releases the interpreter lock: run it over ranges of rows.
    `matrix` is (columns, rows) uint32, C order, Montgomery words below p. Reads the 16 columns h0..h7, b0..b7 from
    first_input_column on, overwrites the 140 columns from first_cell_column on. Raises InvariantBroken if they overlap
    or leave the matrix.
    """
    _check(matrix, matrix.shape)
    inputs = range(first_input_column, first_input_column + WIDTH)
    cells = range(first_cell_column, first_cell_column + CELLS)
    if min(inputs[0], cells[0]) < 0 or max(inputs[-1], cells[-1]) >= len(matrix):
        raise InvariantBroken(f"columns {inputs} or {cells} are outside a matrix of {len(matrix)} columns")
    if inputs[0] <= cells[-1] and cells[0] <= inputs[-1]:
        raise InvariantBroken(f"input columns {inputs} and cell columns {cells} overlap")
    if not 0 <= start_row <= stop_row <= matrix.shape[1]:
        raise InvariantBroken(f"rows {start_row}..{stop_row} are outside a matrix of {matrix.shape[1]} rows")
    source, target = matrix[inputs[0] : inputs[-1] + 1], matrix[cells[0] : cells[-1] + 1]
    _fill(tables(instance), source, target, start_row, stop_row)


def _check(array: U32Array, shape: tuple[int, ...]) -> None:
    # The kernels check no bounds.
    if array.dtype != np.uint32 or array.ndim != 2 or array.shape != shape or not array.flags.c_contiguous:
        raise InvariantBroken(f"expected a C-ordered uint32 array {shape}, got {array.dtype} {array.shape}")


@compiled
def _below(word: np.uint64, modulus: np.uint64) -> np.uint64:
    """word mod modulus for word < 2 * modulus: the smaller of word and the (else wrapped) difference."""
    difference = word - modulus
    return difference if difference < word else word


@compiled
def _reduce_once(total: np.uint64) -> np.uint64:
    """total / 2^32 mod p, in [0, 2p), for total < 2^32 p: total + q p < 2^33 p < 2^64 has a zero low half."""
    q = ((total & _LOW_32) * _MINUS_P_INVERSE) & _LOW_32
    return (total + q * _P) >> _BITS_32


@compiled
def _reduce(total: np.uint64) -> np.uint64:
    """total / 2^32 mod p, in [0, p), for total < 2^32 p."""
    return _below(_reduce_once(total), _P)


@compiled
def _cube(word: np.uint64) -> np.uint64:
    """Montgomery cube in [0, p) of a word below p; the square may stay below 2p, as 2p * p < 2^32 p."""
    return _reduce(_reduce_once(word * word) * word)


@compiled
def _fold(total: np.uint64) -> np.uint64:
    """total mod p for total < 2^40: twice 2^31 -> 2^24 - 1 leaves less than 2^31 + 8 * 2^24 < 2p."""
    once = (total & _LOW_31) + (total >> _BITS_31) * _FOLD_31
    return _below((once & _LOW_31) + (once >> _BITS_31) * _FOLD_31, _P)


@compiled
def _aligned(rows: int) -> Lanes:
    """(rows, 128) zeros on a cache-line boundary: vector loads that straddle two lines cost twice."""
    raw = np.zeros(rows * _BLOCK + 8, dtype=np.uint64)
    skip = (-raw.ctypes.data % 64) // 8
    return raw[skip : skip + rows * _BLOCK].reshape((rows, _BLOCK))


@compiled
def _split_cubes(state: Lanes, constants: Lanes, halves: Lanes) -> None:
    """S-box layer. `halves` (16, 128) gets sums (below 2p) and differences (signed) of cubes j and j + 8."""
    for j in range(_HALF):
        first, second = constants[j], constants[j + _HALF]
        for row in range(_BLOCK):
            x = _cube(_below((state[j, row] & _LOW_32) + first, _P))
            y = _cube(_below((state[j + _HALF, row] & _LOW_32) + second, _P))
            halves[j, row] = x + y
            halves[j + _HALF, row] = x - y


@compiled
def _mix_halves(halves: Lanes, state: Lanes, numbers: Tables) -> None:
    """Matrix [[A, B], [B, A]] from the split words: ((A + B) sums ± (A - B) differences) / 2, half the products.

    Exact in integers: entries are small, so nothing is reduced before the end, where a word is below 512 p < 2^40.
    """
    for i in range(_HALF):
        for row in range(_BLOCK):
            even, odd = np.uint64(0), np.int64(0)
            for j in range(_HALF):
                even += (numbers.plus[i, j] & _LOW_32) * (halves[j, row] & _LOW_32)
                # Through int32, which both fit, so that the compiler takes the 32-bit product.
                odd += np.int64(np.int32(numbers.minus[i, j])) * np.int64(np.int32(halves[j + _HALF, row]))
            state[i, row] = _fold((even + np.uint64(odd)) >> _ONE)
            state[i + _HALF, row] = _fold((even - np.uint64(odd)) >> _ONE)


@compiled
def _initial_layer(state: Lanes, halves: Lanes, numbers: Tables) -> None:
    for j in range(_HALF):
        for row in range(_BLOCK):
            halves[j, row] = state[j, row] + state[j + _HALF, row]
            halves[j + _HALF, row] = state[j, row] - state[j + _HALF, row]
    _mix_halves(halves, state, numbers)


@compiled
def _partial_rounds(state: Lanes, after: Lanes, total: Lanes, numbers: Tables) -> None:
    """All 20 partial rounds as affine forms in the state (rows 0..15) and the S-box outputs (written to rows 16..35).

    Four products are below 4 p^2 < 2^64 and below 2 * 2^32 p; `total` (1, 128) stays below 2^32 p.
    """
    for form in range(_FORMS):
        for row in range(_BLOCK):
            total[0, row] = numbers.constants[form]
        for k in range(0, WIDTH + min(form, _SBOXES), 4):
            # Past the last output the coefficients are zero and the rows hold words of an earlier block.
            c0, c1 = numbers.coefficients[form, k] & _LOW_32, numbers.coefficients[form, k + 1] & _LOW_32
            c2, c3 = numbers.coefficients[form, k + 2] & _LOW_32, numbers.coefficients[form, k + 3] & _LOW_32
            for row in range(_BLOCK):
                first = c0 * (state[k, row] & _LOW_32) + c1 * (state[k + 1, row] & _LOW_32)
                second = c2 * (state[k + 2, row] & _LOW_32) + c3 * (state[k + 3, row] & _LOW_32)
                total[0, row] = _below(total[0, row] + _below(first + second, _P_HIGH), _P_HIGH)
        if form < _SBOXES:
            for row in range(_BLOCK):
                state[WIDTH + form, row] = _cube(_reduce(total[0, row]))
        else:
            for row in range(_BLOCK):
                after[form - _SBOXES, row] = _reduce(total[0, row])


@compiled
def _load(source: U32Array, start: int, count: int, target: Lanes) -> None:
    for j in range(len(target)):
        # Slices, because an index that might be negative keeps a loop from becoming vector code.
        words, lanes = source[j, start : start + count], target[j]
        for row in range(count):
            lanes[row] = words[row]


@compiled
def _store(source: Lanes, target: U32Array, start: int, count: int) -> None:
    for j in range(len(source)):
        lanes, words = source[j], target[j, start : start + count]
        for row in range(count):
            words[row] = np.uint32(lanes[row])


@compiled
def _compress(numbers: Tables, h: U32Array, block: U32Array, out: U32Array, start_row: int, stop_row: int) -> None:
    state, halves, total = _aligned(_FORMS), _aligned(WIDTH), _aligned(1)
    for start in range(start_row, stop_row, _BLOCK):
        count = min(_BLOCK, stop_row - start)
        _load(h, start, count, state[:DIGEST_WORDS])
        _load(block, start, count, state[DIGEST_WORDS:WIDTH])
        if numbers.initial_layer:
            _initial_layer(state, halves, numbers)
        for r in range(4):
            _split_cubes(state, numbers.round_constants[r], halves)
            _mix_halves(halves, state, numbers)
        _partial_rounds(state, halves, total, numbers)
        for r in range(4, 8):
            _split_cubes(halves if r == 4 else state, numbers.round_constants[r], halves)
            _mix_halves(halves, state, numbers)
        _load(h, start, count, halves[:DIGEST_WORDS])
        for j in range(DIGEST_WORDS):
            for row in range(_BLOCK):
                state[j, row] = _below(state[j, row] + halves[j, row], _P)
        _store(state[:DIGEST_WORDS], out, start, count)


@compiled
def _fill(numbers: Tables, inputs: U32Array, cells: U32Array, start_row: int, stop_row: int) -> None:
    state, halves, total = _aligned(_FORMS), _aligned(WIDTH), _aligned(1)
    for start in range(start_row, stop_row, _BLOCK):
        count = min(_BLOCK, stop_row - start)
        _load(inputs, start, count, state[:WIDTH])
        if numbers.initial_layer:
            _initial_layer(state, halves, numbers)
        for r in range(4):
            _split_cubes(state, numbers.round_constants[r], halves)
            _mix_halves(halves, state, numbers)
            _store(state[:WIDTH], cells[FIRST_ROUND_OFFSETS[r] :], start, count)
        _partial_rounds(state, halves, total, numbers)
        _store(state[WIDTH:], cells[SBOX_OFFSET:], start, count)
        for r in range(4):
            _split_cubes(halves if r == 0 else state, numbers.round_constants[4 + r], halves)
            _mix_halves(halves, state, numbers)
            _store(state[: WIDTH if r < 3 else DIGEST_WORDS], cells[LAST_ROUND_OFFSETS[r] :], start, count)
