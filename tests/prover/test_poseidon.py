"""The kernels of the tree hash give what the plain twins and the verifier give, and touch nothing else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from operator import mul

import numpy as np
import pytest

from circuits.poseidon.constants import AffineForm, flat_partial_rounds
from circuits.poseidon.instance import CELLS
from prover.kernels.field import U32Array, from_mont, int_of_mont, to_mont
from prover.kernels.poseidon import _mix_halves, _partial_rounds, compress_rows, fill_permutation_cells, tables
from prover.kernels.registry import KERNELS
from verifier.errors import InvariantBroken
from verifier.field import P
from verifier.poseidon import DEFAULT, INSTANCES, Instance, compress, multiply

each_instance = pytest.mark.parametrize("instance", INSTANCES.values(), ids=list(INSTANCES))


def words(seed: int, *shape: int) -> U32Array:
    """Random Montgomery words, every eighth of them 0, 1 or p - 1."""
    random = np.random.default_rng(seed)
    edges = random.choice(np.array([0, 1, P - 1]), shape)
    return np.where(random.random(shape) < 0.125, edges, random.integers(0, P, shape)).astype(np.uint32)


@each_instance
@pytest.mark.parametrize("rows", [0, 1, 127, 128, 129, 300])
def test_compress_rows_equals_twin(instance: Instance, rows: int) -> None:
    h, block = words(rows, 8, rows), words(rows + 1, 8, rows)
    kept = h.copy(), block.copy()
    expected = KERNELS["poseidon.compress_rows"].twin(h, block, instance)
    got = compress_rows(h, block, instance)
    assert got.dtype == np.uint32
    assert np.array_equal(got, expected)
    assert np.array_equal(h, kept[0])
    assert np.array_equal(block, kept[1])


@each_instance
@pytest.mark.parametrize("word", [0, 1, P - 1])
def test_extreme_words(instance: Instance, word: int) -> None:
    h = np.full((8, 3), word, dtype=np.uint32)
    matrix = np.full((16 + CELLS, 3), word, dtype=np.uint32)
    plain = matrix.copy()
    assert np.array_equal(compress_rows(h, h, instance), KERNELS["poseidon.compress_rows"].twin(h, h, instance))
    fill_permutation_cells(matrix, 0, 16, 0, 3, instance)
    KERNELS["poseidon.fill_permutation_cells"].twin(plain, 0, 16, 0, 3, instance)
    assert np.array_equal(matrix, plain)


@each_instance
def test_many_rows_on_all_threads_equal_the_verifier(instance: Instance) -> None:
    h, block = words(5, 8, 5000), words(6, 8, 5000)
    canonical = h.copy(), block.copy()
    for array in (h, block):
        to_mont(array)
    digests = from_mont(compress_rows(h, block, instance))
    for row in (0, 1, 1023, 1024, 1025, 2047, 2048, 4095, 4096, 4991, 4992, 4999):
        first, second = ([int(word) for word in array[:, row]] for array in canonical)
        assert [int(word) for word in digests[:, row]] == compress(first, second, instance)
    pieces = [
        compress_rows(h[:, i : i + 300].copy(), block[:, i : i + 300].copy(), instance) for i in range(0, 5000, 300)
    ]
    assert np.array_equal(np.hstack(pieces), compress_rows(h, block, instance))


@each_instance
def test_stages_at_their_bounds(instance: Instance) -> None:
    """Largest sums, differences of both signs and products that a stage can meet, row by row against plain integers."""
    numbers = tables(instance)
    patterns = np.random.default_rng(9).choice(np.array([0, P - 1], dtype=np.uint64), (16, 128))
    patterns[:, 0], patterns[:8, 1], patterns[8:, 1], patterns[:8, 2], patterns[8:, 2] = P - 1, P - 1, 0, 0, P - 1
    halves = np.vstack((patterns[:8] + patterns[8:], patterns[:8] - patterns[8:]))
    mixed = np.empty((16, 128), dtype=np.uint64)
    _mix_halves(halves, mixed, numbers)
    state = np.zeros((36, 128), dtype=np.uint64)
    state[:16] = patterns
    after, total = np.empty((16, 128), dtype=np.uint64), np.empty((1, 128), dtype=np.uint64)
    _partial_rounds(state, after, total, numbers)
    flat = flat_partial_rounds(instance)
    for row in range(128):
        words = [int(word) for word in patterns[:, row]]
        assert [int(word) for word in mixed[:, row]] == multiply(instance.full_matrix, words)
        words = [int_of_mont(word) for word in words]
        for form in flat.sbox_inputs:
            words.append(pow(_value(form, words), 3, P))
        assert [int_of_mont(int(word)) for word in state[:, row]] == words
        assert [int_of_mont(int(word)) for word in after[:, row]] == [_value(form, words) for form in flat.after]


def _value(form: AffineForm, words: list[int]) -> int:
    total: int = sum(map(mul, (*form.state, *form.sboxes), words))
    return (form.constant + total) % P


@each_instance
@pytest.mark.parametrize(
    ("inputs", "cells", "start", "stop"), [(0, 16, 0, 400), (3, 25, 7, 300), (141, 0, 5, 6), (2, 20, 9, 9)]
)
def test_fill_equals_twin(instance: Instance, inputs: int, cells: int, start: int, stop: int) -> None:
    matrix = words(inputs, 170, 400)
    plain = matrix.copy()
    KERNELS["poseidon.fill_permutation_cells"].twin(plain, inputs, cells, start, stop, instance)
    fill_permutation_cells(matrix, inputs, cells, start, stop, instance)
    assert np.array_equal(matrix, plain)


def test_fill_over_ranges_on_threads() -> None:
    matrix = words(1, 16 + CELLS, 4096)
    whole = matrix.copy()
    fill_permutation_cells(whole, 0, 16, 0, 4096)
    with ThreadPoolExecutor(4) as pool:
        for piece in [pool.submit(fill_permutation_cells, matrix, 0, 16, i, i + 512) for i in range(0, 4096, 512)]:
            piece.result()
    assert np.array_equal(matrix, whole)


def test_digest_is_last_cells_plus_chaining_value() -> None:
    matrix = words(2, 16 + CELLS, 200)
    fill_permutation_cells(matrix, 0, 16, 0, 200)
    digests = compress_rows(matrix[:8].copy(), matrix[8:16].copy())
    total = (matrix[-8:].astype(np.uint64) + matrix[:8]) % P
    assert np.array_equal(digests, total)


@pytest.mark.negative
def test_wrong_arrays_are_refused() -> None:
    good = np.zeros((8, 4), dtype=np.uint32)
    bad = (good[:7], good.astype(np.int64), np.asfortranarray(good), good[:, ::2], good[:, :3].copy(), good[0])
    for array in bad:
        for pair in ((array, good), (good, array)):
            with pytest.raises(InvariantBroken):
                compress_rows(*pair)


@pytest.mark.negative
@pytest.mark.parametrize(
    ("inputs", "cells", "start", "stop"),
    [
        (-1, 30, 0, 4),
        (0, -1, 0, 4),
        (0, 31, 0, 4),
        (155, 0, 0, 4),
        (0, 15, 0, 4),
        (0, 0, 0, 4),
        (139, 0, 0, 4),
        (0, 16, -1, 4),
        (0, 16, 0, 5),
        (0, 16, 3, 2),
    ],
)
def test_wrong_columns_and_rows_are_refused(inputs: int, cells: int, start: int, stop: int) -> None:
    matrix = words(3, 170, 4)
    before = matrix.copy()
    with pytest.raises(InvariantBroken):
        fill_permutation_cells(matrix, inputs, cells, start, stop)
    assert np.array_equal(matrix, before)


@pytest.mark.negative
def test_wrong_matrices_are_refused() -> None:
    with pytest.raises(InvariantBroken):
        fill_permutation_cells(np.zeros((156, 4), dtype=np.int32), 0, 16, 0, 4)
    with pytest.raises(InvariantBroken):
        fill_permutation_cells(np.zeros((4, 156), dtype=np.uint32).T, 0, 16, 0, 4)


@pytest.mark.negative
def test_instances_that_the_kernels_cannot_compute_are_refused() -> None:
    matrix = DEFAULT.full_matrix
    lopsided = ((*matrix[0][:15], 4), *matrix[1:])
    large = tuple(tuple(entry * 2 for entry in row) for row in matrix)
    for wrong in (replace(DEFAULT, full_matrix=lopsided), replace(DEFAULT, full_matrix=large)):
        with pytest.raises(InvariantBroken):
            tables(wrong)
    with pytest.raises(InvariantBroken):
        tables(replace(DEFAULT, initial_matrix=DEFAULT.partial_matrix[::-1]))
    with pytest.raises(InvariantBroken):
        tables(replace(DEFAULT, partial_rounds=19, round_constants=DEFAULT.round_constants[:-1]))
