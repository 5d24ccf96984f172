"""Transforms against galois, and the large sizes against Horner's rule at single points."""

from __future__ import annotations

import galois
import numpy as np
import pytest

from prover.kernels import ntt
from prover.kernels.field import P, from_mont, int_of_mont, mont_of_int, root_of_unity
from tests.prover.kernels.cases import Source


def _horner(coefficients: list[int], point: int) -> int:
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * point + coefficient) % P
    return mont_of_int(value)


@pytest.mark.parametrize("log_n", [4, 8, 9])
def test_interpolation_matches_galois(log_n: int) -> None:
    """galois fixes its own root of unity, so compare by evaluating its polynomial on ours."""
    words = Source(log_n).words(1, 1 << log_n)
    natural = from_mont(ntt.to_natural_coefficients(ntt.interpolate(words.copy())))[0]
    base = galois.GF(P, compile="python-calculate")
    polynomial = galois.Poly(base(natural[::-1].astype(np.int64)))
    points = base([pow(root_of_unity(log_n), i, P) for i in range(1 << log_n)])
    assert np.array_equal(np.asarray(polynomial(points), dtype=np.uint32), from_mont(words)[0])


@pytest.mark.parametrize("log_n", [16, 17])
def test_large_columns(log_n: int) -> None:
    """Two levels of blocks: points of the subgroup, of both cosets, and of the small coset."""
    n = 1 << log_n
    words = Source(log_n).words(2, n)
    kept = words.copy()
    coefficients, small = np.empty_like(words), np.empty((2, 512), dtype=np.uint32)
    extended = ntt.lde(words, 2, coefficients=coefficients, small=small)
    assert np.array_equal(words, kept)
    natural = ntt.to_natural_coefficients(coefficients)
    plain = [int_of_mont(word) for word in natural[1]]
    root = root_of_unity(log_n + 1)
    assert words[1, 1234] == _horner(plain, pow(root, 2 * 1234, P))
    for coset, i in ((0, 0), (1, 5), (1, n - 1)):
        assert extended[1, coset, i] == _horner(plain, 3 * pow(root, coset + 2 * i, P) % P)
    assert small[1, 77] == _horner(plain, 9 * pow(root_of_unity(9), 77, P) % P)
    assert np.array_equal(ntt.interpolate_coset(extended)[:, :n], natural)
    assert not ntt.interpolate_coset(extended)[:, n:].any()


def test_lde_may_overwrite_its_input() -> None:
    words = Source(5).words(3, 1 << 9)
    expected = ntt.lde(words, 2)
    coefficients = ntt.interpolate(words.copy())
    out = np.empty((3, 2, 1 << 9), dtype=np.uint32)
    assert ntt.lde(words, 2, out=out, coefficients=words) is out
    assert np.array_equal(out, expected)
    assert np.array_equal(words, coefficients)


def test_sizes_are_checked() -> None:
    with pytest.raises(ValueError, match="power of two"):
        ntt.interpolate(Source(6).words(1, 12))
    with pytest.raises(ValueError, match="at most 8 coefficients"):
        ntt.lde_from_coefficients(Source(6).words(1, 9), 3, 2)
