"""The quotient of the constraints: evaluated on 2N + 512 points, split in three masked chunks of degree below N.

Constraints hold on the active rows only, so the quotient has up to 2N + 511 coefficients: 511 more than two cosets
determine. The extra coset supplies them without doubling the domain (design 02, section 2.3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from prover.commit import Extended
from prover.kernels.deep import combine_columns
from prover.kernels.field import empty_words, mont_of_int, multiply_rows, powers, to_mont
from prover.kernels.ntt import (
    SHIFT,
    SMALL_LOG2,
    SMALL_SHIFT,
    coset_shifts,
    interpolate_coset,
    lde,
    lde_from_coefficients,
)
from prover.kernels.rowkernels import RowKernels
from prover.kernels.threads import run_ranges
from prover.randomness import Randomness
from verifier.field import Ext, P, root_of_unity
from verifier.params import HIDDEN_ROWS, ProofParams

Words = npt.NDArray[np.uint32]
COSETS = 2
"""Cosets of N points on which constraints of degree 3 are evaluated, whatever the blow-up."""
SMALL = 1 << SMALL_LOG2


@lru_cache(maxsize=2)
def domain_multipliers(log2_rows: int) -> tuple[Words, Words]:
    """Inverse vanishing factors of the four domains on the two cosets (4, 2, N) and on the extra one (4, 512).

    1 / Z_A = Z_R / (x^N - 1), Z_R the polynomial of the hidden rows; (x^N - 1) / (x - w^k) is the polynomial that is
    N w^-k at row k and 0 elsewhere; x^N - 1 is constant on a coset.
    """
    rows, root = 1 << log2_rows, root_of_unity(log2_rows)
    active = rows - HIDDEN_ROWS
    deltas = np.zeros((2, rows), np.uint32)
    for line, row in enumerate((0, active - 1)):
        deltas[line, row] = mont_of_int(rows * pow(root, -row, P))
    hidden = _hidden_rows_polynomial(log2_rows)
    large = _multipliers(deltas, hidden, log2_rows, active)
    return large, _small_multipliers(hidden, log2_rows, active)


def _hidden_rows_polynomial(log2_rows: int) -> list[int]:
    """Coefficients, canonical, of prod (X - w^i) over the hidden rows."""
    rows, root = 1 << log2_rows, root_of_unity(log2_rows)
    out = np.array([1], np.uint64)
    for i in range(rows - HIDDEN_ROWS, rows):
        point = np.uint64(pow(root, i, P))
        shifted = np.concatenate([[np.uint64(0)], out])
        shifted[:-1] = (shifted[:-1] + np.uint64(P) - out * point % np.uint64(P)) % np.uint64(P)
        out = shifted
    return [int(c) for c in out]


def _multipliers(deltas: Words, hidden: list[int], log2_rows: int, active: int) -> Words:
    rows, root = 1 << log2_rows, root_of_unity(log2_rows)
    out = empty_words(4, COSETS, rows)
    out[1], out[3] = lde(deltas, COSETS)
    coefficients = np.array([[mont_of_int(c) for c in hidden]], np.uint32)
    out[0] = lde_from_coefficients(coefficients, log2_rows, COSETS)[0]
    for c, shift in enumerate(coset_shifts(log2_rows, COSETS, SHIFT)):
        factor = mont_of_int(pow(pow(shift, rows, P) - 1, -1, P))
        for line in (0, 1, 3):
            multiply_rows(out[line, c : c + 1], np.full(rows, factor, np.uint32))
        from_last = powers(root, rows, shift)
        last = mont_of_int(pow(root, active - 1, P))
        out[2, c] = out[0, c]
        multiply_rows(out[2, c : c + 1], ((from_last.astype(np.uint64) + np.uint64(P - last)) % P).astype(np.uint32))
    return out


def _small_multipliers(hidden: list[int], log2_rows: int, active: int) -> Words:
    rows, root, step = 1 << log2_rows, root_of_unity(log2_rows), root_of_unity(SMALL_LOG2)
    points = np.array([SMALL_SHIFT * pow(step, i, P) % P for i in range(SMALL)], np.uint64)
    vanishing: npt.NDArray[np.uint64] = np.zeros(SMALL, np.uint64)
    for c in reversed(hidden):
        vanishing = (vanishing * points + np.uint64(c)) % np.uint64(P)
    inverse = pow(pow(SMALL_SHIFT, rows, P) - 1, -1, P)
    last = pow(root, active - 1, P)
    out = np.empty((4, SMALL), np.uint32)
    for i, (x, z) in enumerate(zip(points.tolist(), vanishing.tolist(), strict=True)):
        always = z * inverse % P
        out[:, i] = (always, pow(x - 1, -1, P), always * (x - last) % P, pow(x - last, -1, P))
    to_mont(out)
    return out


def quotient_values(
    kernels: RowKernels,
    base: Extended,
    lookup: Extended,
    publics: Extended,
    scalars: Mapping[str, Ext],
    weights: Sequence[Ext],
    at: Callable[[float], None],
) -> tuple[Words, Words]:
    """The weighted quotient on the two cosets (5, 2, N) and on the extra coset (5, 512)."""
    _, blowup, rows = base.values.shape
    large, small = domain_multipliers(rows.bit_length() - 1)
    out = empty_words(5, COSETS, rows)
    for c in range(COSETS):
        coset = [part.values[:, c * blowup // COSETS] for part in (base, lookup, publics)]
        _combine(kernels, coset, scalars, weights, large[:, c], out[:, c])
        at((c + 1) / COSETS)
    extra = np.empty((5, SMALL), np.uint32)
    kernels.combine_constraints(
        base.small, base.small_next, lookup.small, lookup.small_next, publics.small, scalars, weights, small, extra,
        0, SMALL,
    )  # fmt: skip
    return out, extra


def _combine(
    kernels: RowKernels,
    coset: Sequence[Words],
    scalars: Mapping[str, Ext],
    weights: Sequence[Ext],
    multipliers: Words,
    out: Words,
) -> None:
    """One coset: the next row is the next point, and after the last point comes the first."""
    base, lookup, publics = coset
    rows = base.shape[1]
    run_ranges(
        lambda start, stop: kernels.combine_constraints(
            base, base[:, 1:], lookup, lookup[:, 1:], publics, scalars, weights, multipliers, out, start, stop
        ),
        rows - 1,
        1 << 12,
    )
    last, first = slice(rows - 1, rows), slice(0, 1)
    at_wrap = np.empty((5, 1), np.uint32)
    kernels.combine_constraints(
        base[:, last], base[:, first], lookup[:, last], lookup[:, first], publics[:, last], scalars, weights,
        multipliers[:, last], at_wrap, 0, 1,
    )  # fmt: skip
    out[:, last] = at_wrap


def quotient_coefficients(values: Words, extra: Words) -> Words:
    """Coefficients (5, 2N + 512) of Q = A + Z_D B: A from the two cosets, B = (Q - A) / Z_D from the extra one.

    Z_D = X^2N - 3^2N; on the extra coset X^2N = 9^2N, so Z_D is one constant there.
    """
    _, cosets, rows = values.shape
    degree = cosets * rows
    a = interpolate_coset(values)
    reduced = _fold(a, SMALL_SHIFT)
    a_small = lde_from_coefficients(reduced, SMALL_LOG2, 1, shift=SMALL_SHIFT).reshape(5, SMALL)
    constant = pow(pow(SMALL_SHIFT, degree, P) - pow(SHIFT, degree, P), -1, P)
    difference = (extra.astype(np.uint64) + np.uint64(P) - a_small) % np.uint64(P)
    b_small = (difference * np.uint64(constant) % np.uint64(P)).astype(np.uint32)
    b = interpolate_coset(b_small.reshape(5, 1, SMALL), shift=SMALL_SHIFT).astype(np.uint64)
    out = np.concatenate([a, b.astype(np.uint32)], axis=1)
    low = out[:, :SMALL].astype(np.uint64)
    out[:, :SMALL] = (low + np.uint64(P) - b * np.uint64(pow(SHIFT, degree, P)) % np.uint64(P)) % np.uint64(P)
    return out


def _fold(coefficients: Words, shift: int) -> Words:
    """Reduce natural-order coefficients (5, n) modulo X^512 - shift^512."""
    blocks = coefficients.reshape(5, -1, SMALL)
    factors = np.zeros((blocks.shape[1], 5), np.uint32)
    factors[:, 0] = powers(pow(shift, SMALL, P), blocks.shape[1])
    return np.stack([combine_columns(each, factors)[0] for each in blocks])


def masked_chunks(coefficients: Words, params: ProofParams, log2_rows: int, random: Randomness) -> Words:
    """Natural-order coefficients (20, N): q_0, q_1, q_2 and the mask R, five rows each.

    q_0 = Q[0:M] + X^M t_0, q_1 = Q[M:2M] - t_0 + X^M t_1, q_2 = Q[2M:] - t_1 (Haboeck, Al Kindi, ePrint 2024/1037).
    """
    rows, m = 1 << log2_rows, params.mask_coefficients
    size = params.chunk_coefficients(log2_rows)
    masks = random.words("quotient masks", 2 * 5 * m).reshape(2, 5, m)
    to_mont(masks)
    out = np.zeros((4, 5, rows), np.uint32)
    for k in range(3):
        part = coefficients[:, k * size : (k + 1) * size]
        out[k, :, : part.shape[1]] = part
    for k in range(2):
        out[k, :, size : size + m] = masks[k]
        below = out[k + 1, :, :m].astype(np.uint64) + np.uint64(P) - masks[k]
        out[k + 1, :, :m] = below % np.uint64(P)
    mask = random.words("mask polynomial", 5 * rows).reshape(5, rows)
    to_mont(mask)
    out[3] = mask
    return out.reshape(20, rows)
