"""Field kernels against galois, and the lane operations one by one."""

from __future__ import annotations

from typing import Any

import galois
import numpy as np
import pytest

from prover.kernels import field
from prover.kernels.lanes import broadcast, canonical, lazy_sub, load, store, transpose
from prover.kernels.registry import compiled
from prover.kernels.words import word_rotate
from tests.prover.kernels.cases import Source

P = field.P


@compiled
def _scalar_operations(a: Any, b: Any, out: Any) -> None:
    for i in range(len(a)):
        out[0, i] = field.mul(a[i], b[i])
        out[1, i] = field.add(a[i], b[i])
        out[2, i] = field.sub(a[i], b[i])
        out[3, i] = field.neg(a[i])


@compiled
def _lane_operations(a: Any, b: Any, out: Any) -> None:
    n = len(a)
    for i in range(0, n, 16):
        x, y = load(a, i), load(b, i)
        store(out, i, field.mul(x, y))
        store(out, n + i, field.add(x, y))
        store(out, 2 * n + i, field.sub(x, y))
        store(out, 3 * n + i, field.neg(x))


@compiled
def _mixed_product(a: Any, word: Any, out: Any) -> None:
    for i in range(0, len(a), 16):
        store(out, i, field.mul(load(a, i), word))


@compiled
def _ext_operations(a: Any, b: Any, products: Any, inverses: Any) -> None:
    n = a.shape[1]
    for i in range(0, n, 16):
        x, y = field.load_ext(a, i, n), field.load_ext(b, i, n)
        field.store_ext(products, i, n, field.ext_mul(x, y))
        field.store_ext(inverses, i, n, field.ext_invert(x))


@compiled
def _ext_scalar(a: Any, b: Any) -> Any:
    return field.ext_mul((a[0], a[1], a[2], a[3], a[4]), (b[0], b[1], b[2], b[3], b[4]))


@compiled
def _transposed(block: Any) -> None:
    rows = (
        load(block, 0), load(block, 16), load(block, 32), load(block, 48), load(block, 64), load(block, 80),
        load(block, 96), load(block, 112), load(block, 128), load(block, 144), load(block, 160), load(block, 176),
        load(block, 192), load(block, 208), load(block, 224), load(block, 240),
    )  # fmt: skip
    columns = transpose(rows)
    store(block, 0, columns[0])
    store(block, 16, columns[1])
    store(block, 240, columns[15])
    store(block, 32, broadcast(np.uint32(7)))
    store(block, 48, word_rotate(columns[1], 8))


def test_word_operations_match_galois() -> None:
    """Scalars and lanes, on random words and on all pairs of edge values."""
    edges = np.array([0, 1, 2, P // 2, P // 2 + 1, P - 2, P - 1, field.R], dtype=np.uint32)
    source = Source(1)
    left = np.concatenate((np.repeat(edges, 8), source.words(448)))
    right = np.concatenate((np.tile(edges, 8), source.words(448)))
    base = galois.GF(P, compile="python-calculate")
    x, y = base(left.astype(np.int64)), base(right.astype(np.int64))
    r_inverse = base(pow(1 << 32, -1, P))
    expected = np.stack([x * y * r_inverse, x + y, x - y, -x]).astype(np.uint32)
    out = np.zeros((4, len(left)), dtype=np.uint32)
    _scalar_operations(left, right, out)
    assert np.array_equal(out, expected)
    out[...] = 0
    _lane_operations(left, right, out)
    assert np.array_equal(out, expected)
    mixed = np.zeros_like(left)
    _mixed_product(left, np.uint32(P - 1), mixed)
    assert np.array_equal(mixed, np.asarray(x * base(P - 1) * r_inverse, dtype=np.uint32))


@compiled
def _lazy_operations(left: Any, right: Any, out: Any) -> None:
    """Row 0: canonical words; row 1: (left - right) * right, the difference unreduced; last word by the scalar path."""
    last = left.shape[0] - 1
    for i in range(0, left.shape[0], 16):
        a, b = load(left, i), load(right, i)
        store(out, i, canonical(a))
        store(out, left.shape[0] + i, field.mul(lazy_sub(a, b), b))
    out[0, last] = canonical(left[last])
    out[1, last] = field.mul(lazy_sub(left[last], right[last]), right[last])


def test_what_is_not_reduced_is_right_once_multiplied() -> None:
    edges = np.array([0, 1, 2, P // 2, P // 2 + 1, P - 2, P - 1, field.R], dtype=np.uint32)
    source = Source(3)
    left = np.concatenate((np.repeat(edges, 8), source.words(448)))
    right = np.concatenate((np.tile(edges, 8), source.words(448)))
    out = np.zeros((2, len(left)), dtype=np.uint32)
    _lazy_operations(left, right, out)
    assert np.array_equal(out[0], field.from_mont(left))
    r_inverse = pow(1 << 32, -1, P)
    products = [(int(a) - int(b)) * int(b) * r_inverse % P for a, b in zip(left, right, strict=True)]
    assert out[1].tolist() == products


def test_extension_matches_galois() -> None:
    base = galois.GF(P, compile="python-calculate")
    modulus = galois.Poly([1, 0, 0, 1, 0, P - 1], field=base)  # X^5 + X^2 - 1
    source = Source(2)
    a, b = source.nonzero_ext(32), source.words(5, 32)
    a[:, 0] = P - 1
    b[:, 0] = P - 1

    def element(array: Any, index: int) -> Any:
        return galois.Poly(base(field.from_mont(array)[::-1, index].astype(np.int64)))

    products, inverses = np.zeros_like(a), np.zeros_like(a)
    _ext_operations(a, b, products, inverses)
    for i in range(32):
        assert element(products, i) == element(a, i) * element(b, i) % modulus
        assert element(inverses, i) * element(a, i) % modulus == galois.Poly([1], field=base)
    assert list(_ext_scalar(a[:, 3].copy(), b[:, 3].copy())) == products[:, 3].tolist()


def test_inverse_of_zero_is_refused() -> None:
    for count, at in ((5, 2), (3000, 1500), (3000, 2999)):
        denominators = Source(3).nonzero_ext(count)
        denominators[:, at] = 0
        with pytest.raises(ZeroDivisionError):
            field.ext_batch_inverse(denominators)


def test_batch_inverse_in_place() -> None:
    denominators = Source(4).nonzero_ext(2100)
    expected = field.ext_batch_inverse(denominators)
    assert field.ext_batch_inverse(denominators, denominators) is denominators
    assert np.array_equal(denominators, expected)


def test_transpose_and_words() -> None:
    block = np.arange(256, dtype=np.uint32)
    expected = block.reshape(16, 16).T.copy()
    _transposed(block)
    got = block.reshape(16, 16)
    assert np.array_equal(got[[0, 1, 15]], expected[[0, 1, 15]])
    assert (got[2] == 7).all()
    assert got[3].tolist() == [((int(w) >> 8) | (int(w) << 24)) % (1 << 32) for w in expected[1]]


def test_arrays_must_be_words_in_order() -> None:
    with pytest.raises(ValueError, match="C-contiguous uint32"):
        field.to_mont(np.zeros((4, 4), dtype=np.uint32).T[1:])
    with pytest.raises(ValueError, match="C-contiguous uint32"):
        field.to_mont(np.zeros(4, dtype=np.int64))
