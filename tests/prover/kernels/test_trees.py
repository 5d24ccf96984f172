"""Merkle trees against the verifier, folding against degree, DEEP against the definition, threads."""

from __future__ import annotations

import numpy as np
import pytest

from prover.kernels import deep, fold, ntt
from prover.kernels.field import P, ext_array, ext_of_array
from prover.kernels.merkle_hash import MerkleTree, fri_leaf_columns, hash_rows
from prover.kernels.threads import run_ranges
from tests.prover.kernels.cases import Source
from verifier.field import ext_horner, ext_scale, root_of_unity
from verifier.merkle import multiproof_root


@pytest.mark.parametrize("indices", [[0], [63], [1, 2, 3], [0, 1, 5, 17, 40, 41, 63], list(range(64))])
def test_openings_satisfy_the_verifier(indices: list[int]) -> None:
    leaves = Source(1).any_words(64, 8)
    tree = MerkleTree(leaves)
    siblings = tree.open(reversed(indices))
    assert multiproof_root(6, indices, [leaves[i].astype("<u4").tobytes() for i in indices], siblings) == tree.root


def test_tree_refuses_odd_sizes_and_outside_leaves() -> None:
    with pytest.raises(ValueError, match="power of two"):
        MerkleTree(Source(2).any_words(3, 8))
    with pytest.raises(ValueError, match="below 4"):
        MerkleTree(Source(2).any_words(4, 8)).open([4])
    single = Source(2).any_words(1, 8)
    assert MerkleTree(single).root == single.astype("<u4").tobytes()


def test_fri_leaf_holds_the_values_that_fold_together() -> None:
    layer = Source(3).words(5, 2, 64)
    columns = fri_leaf_columns(layer)
    for coset, j, k, d in ((0, 0, 0, 0), (1, 3, 5, 2), (1, 7, 7, 4)):
        assert columns[5 * k + d, coset * 8 + j] == layer[d, coset, j + k * 8]
    assert hash_rows(columns, Source(3).any_words(16, 4)).shape == (16, 8)


def test_folding_divides_the_degree_by_eight() -> None:
    source = Source(4)
    layer = ntt.lde_from_coefficients(source.words(5, 64), 6, 2)
    folded = fold.fold8(layer, source.words(3, 5), 3)
    coefficients = ntt.interpolate_coset(folded, pow(3, 8, P))
    assert coefficients[:, :8].all(axis=1).any()
    assert not coefficients[:, 8:].any()


def test_weights_evaluate_polynomials() -> None:
    """Columns at zeta and w * zeta equal their polynomials there."""
    source = Source(5)
    zeta, matrix = source.ext(), source.words(3, 64)
    weights = deep.barycentric_weights(zeta, 6)
    natural = ntt.to_natural_coefficients(ntt.interpolate(matrix.copy()))
    for shift_rows, point in ((0, zeta), (1, ext_scale(zeta, root_of_unity(6)))):
        values = deep.evaluate_columns(matrix, weights, shift_rows)
        for column in range(3):
            words = np.zeros((5, 64), dtype=np.uint32)
            words[0] = natural[column]
            expected = ext_horner([ext_of_array(words, i) for i in range(64)], point)
            assert ext_of_array(np.ascontiguousarray(values.T), column) == expected


def test_points_of_the_domain_are_refused() -> None:
    with pytest.raises(ZeroDivisionError):
        deep.barycentric_weights((root_of_unity(4), 0, 0, 0, 0), 4)
    with pytest.raises(ZeroDivisionError):
        deep.denominators((3, 0, 0, 0, 0), 4, 2)


def test_ext_words_is_the_transpose() -> None:
    elements = [Source(6).ext(), Source(7).ext()]
    assert np.array_equal(deep.ext_words(elements), ext_array(elements).T)


def test_run_ranges_covers_everything_once() -> None:
    for total, granularity in ((0, 1), (1, 16), (17, 16), (1000, 1), (1000, 64)):
        seen = np.zeros(total, dtype=np.int64)

        def mark(start: int, stop: int, seen: np.ndarray = seen, granularity: int = granularity) -> None:
            assert start % granularity == 0
            seen[start:stop] += 1

        run_ranges(mark, total, granularity)
        assert (seen == 1).all()


def test_run_ranges_raises_what_a_piece_raises() -> None:
    def fail(start: int, stop: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_ranges(fail, 100)
