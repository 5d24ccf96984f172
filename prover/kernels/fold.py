"""FRI folding: three binary folds at once, each with its own challenge.

A layer is (5, B, M) Montgomery words: entry (c, i) is the value at shift * w_(B M)**(c + B i). One binary fold takes f
to f'(x**2) = (f(x) + f(-x)) / 2 + beta * (f(x) - f(-x)) / (2 x); in a coset, -x is M / 2 entries away from x. Three
folds turn (5, B, M) at `shift` into (5, B, M / 8) at shift**8. The last layer's coefficients are
`ntt.interpolate_coset(layer, shift)`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from prover.kernels.field import (
    U32Array,
    empty_words,
    ext_add,
    ext_array,
    ext_mul,
    ext_mul_base,
    ext_of_array,
    ext_sub,
    load_ext,
    mont_of_int,
    powers,
    store_ext,
)
from prover.kernels.lanes import WIDTH, load, mul
from prover.kernels.merkle_hash import fri_leaf_columns
from prover.kernels.ntt import coset_shifts
from prover.kernels.registry import compiled, inlined, kernel
from prover.kernels.threads import run_ranges
from verifier.field import EXTENSION_DEGREE, Ext, P, ext_scale, root_of_unity
from verifier.field import ext_add as plain_add
from verifier.field import ext_mul as plain_mul
from verifier.field import ext_sub as plain_sub

ARITY = 8

_EIGHTH = np.uint32(mont_of_int(pow(8, -1, P)))
_ROOT_INVERSE = pow(root_of_unity(3), -1, P)
_W1, _W2, _W3 = (np.uint32(mont_of_int(pow(_ROOT_INVERSE, k, P))) for k in (1, 2, 3))
"""Inverse powers of the eighth root of unity: x at eighth k of a coset is the first eighth's x times w_8**k."""


@inlined
def _fold_pair(low: Any, high: Any, inverse_x: Any, beta: Any) -> Any:
    """Twice the folded value: (low + high) + beta * (low - high) / x."""
    return ext_add(ext_add(low, high), ext_mul(ext_mul_base(ext_sub(low, high), inverse_x), beta))


@compiled
def _fold_coset(
    layer: U32Array, at: int, eighth: int, coordinate: int, inverse_points: U32Array, betas: U32Array,
    out: U32Array, out_at: int, out_coordinate: int, start: int, stop: int,
) -> None:  # fmt: skip
    """Fold positions start..stop (whole vectors) of one coset.

    Value k's coordinate d of position j is at `at` + j + k * `eighth` + d * `coordinate`; results likewise in `out`.
    The three folds leave out their halvings; one product with 1/8 makes up for them.
    """
    beta0 = (betas[0], betas[1], betas[2], betas[3], betas[4])
    beta1 = (betas[5], betas[6], betas[7], betas[8], betas[9])
    beta2 = (betas[10], betas[11], betas[12], betas[13], betas[14])
    for j in range(start, stop, WIDTH):
        p, x = at + j, load(inverse_points, j)
        g0 = _fold_pair(load_ext(layer, p, coordinate), load_ext(layer, p + 4 * eighth, coordinate), x, beta0)
        g1 = _fold_pair(
            load_ext(layer, p + eighth, coordinate), load_ext(layer, p + 5 * eighth, coordinate), mul(x, _W1), beta0
        )
        g2 = _fold_pair(
            load_ext(layer, p + 2 * eighth, coordinate), load_ext(layer, p + 6 * eighth, coordinate), mul(x, _W2), beta0
        )
        g3 = _fold_pair(
            load_ext(layer, p + 3 * eighth, coordinate), load_ext(layer, p + 7 * eighth, coordinate), mul(x, _W3), beta0
        )
        x = mul(x, x)
        h0, h1 = _fold_pair(g0, g2, x, beta1), _fold_pair(g1, g3, mul(x, _W2), beta1)
        folded = _fold_pair(h0, h1, mul(x, x), beta2)
        store_ext(out, out_at + j, out_coordinate, ext_mul_base(folded, _EIGHTH))


def _fold_once(layer: list[list[Ext]], beta: Ext, shift: int) -> list[list[Ext]]:
    """One binary fold of plain extension elements [coset][i]."""
    cosets, half = len(layer), len(layer[0]) // 2
    root = root_of_unity((cosets * 2 * half).bit_length() - 1)
    folded = []
    for c, coset in enumerate(layer):
        row = []
        for i in range(half):
            x = shift * pow(root, c + cosets * i, P) % P
            even = ext_scale(plain_add(coset[i], coset[i + half]), pow(2, -1, P))
            odd = ext_scale(plain_sub(coset[i], coset[i + half]), pow(2 * x, -1, P))
            row.append(plain_add(even, plain_mul(beta, odd)))
        folded.append(row)
    return folded


def _fold8_twin(layer: U32Array, betas: U32Array, shift: int) -> U32Array:
    _, cosets, length = layer.shape
    values = [[ext_of_array(layer[:, c], i) for i in range(length)] for c in range(cosets)]
    for beta in betas:
        values = _fold_once(values, ext_of_array(beta.reshape(EXTENSION_DEGREE, 1), 0), shift)
        shift = shift * shift % P
    return np.stack([ext_array(row) for row in values], axis=1)


@kernel(twin=_fold8_twin)
def fold8(layer: U32Array, betas: U32Array, shift: int) -> U32Array:
    """A layer (5, B, M) at `shift`, M a multiple of 8, to (5, B, M / 8) at shift**8, natural order.

    `betas`: (3, 5), the challenge of each binary fold in order. All Montgomery words in [0, p), only read; `shift` is a
    canonical integer (of layer k: s**(8**k)). Threaded.
    """
    _, cosets, length = layer.shape
    eighth = length // ARITY
    root_inverse = pow(root_of_unity(length.bit_length() - 1), -1, P)
    starts = [pow(start, -1, P) for start in coset_shifts(length.bit_length() - 1, cosets, shift)]
    points = [powers(root_inverse, eighth, start) for start in starts]
    words = np.ascontiguousarray(betas).reshape(-1)
    if eighth % WIDTH:
        return _fold8_padded(layer, words, points)
    result = empty_words(EXTENSION_DEGREE, cosets, eighth)
    source, target = np.ascontiguousarray(layer).reshape(-1), result.reshape(-1)
    for c in range(cosets):
        fold = partial(
            _fold_coset, source, c * length, eighth, cosets * length, points[c], words,
            target, c * eighth, cosets * eighth,
        )  # fmt: skip
        run_ranges(fold, eighth, 1 << 10)
    return result


def _fold8_padded(layer: U32Array, betas: U32Array, points: list[U32Array]) -> U32Array:
    """Layers too short for whole vectors: all cosets side by side, filled up to a multiple of sixteen."""
    _, cosets, length = layer.shape
    count = cosets * length // ARITY
    padded = -(-count // WIDTH) * WIDTH
    columns = np.zeros((ARITY * EXTENSION_DEGREE, padded), dtype=np.uint32)
    columns[:, :count] = fri_leaf_columns(layer)
    inverse_points = np.zeros(padded, dtype=np.uint32)
    inverse_points[:count] = np.concatenate(points)
    out = empty_words(EXTENSION_DEGREE, padded)
    _fold_coset(
        columns.reshape(-1), 0, EXTENSION_DEGREE * padded, padded, inverse_points, betas, out.reshape(-1), 0, padded,
        0, padded,
    )  # fmt: skip
    return out[:, :count].reshape(EXTENSION_DEGREE, cosets, length // ARITY)
