"""Values out of the domain, and the batched quotient G that FRI shows to be of low degree. Steps 6 and 8."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from prover.kernels.deep import (
    barycentric_weights,
    combine_columns,
    denominators,
    divide_by_linear,
    evaluate_columns,
    ext_words,
)
from prover.kernels.field import from_mont
from prover.kernels.ntt import SHIFT, lde
from verifier.air import ConstraintSystem
from verifier.field import Ext, P, ext_add, ext_mul, ext_scale, ext_zero, root_of_unity
from verifier.params import ProofParams

Words = npt.NDArray[np.uint32]
_BASIS: tuple[Ext, ...] = ((1, 0, 0, 0, 0), (0, 1, 0, 0, 0), (0, 0, 1, 0, 0), (0, 0, 0, 1, 0), (0, 0, 0, 0, 1))


def _elements(words: Words) -> list[Ext]:
    """Montgomery (w, 5) to canonical elements."""
    rows: list[Ext] = [(a, b, c, d, e) for a, b, c, d, e in from_mont(words).tolist()]
    return rows


def _joined(coordinates: Sequence[Ext]) -> list[Ext]:
    """Values of extension columns from the values of their five coordinate columns: sum of X^j f_j."""
    out = []
    for start in range(0, len(coordinates), 5):
        total = ext_zero
        for unit, value in zip(_BASIS, coordinates[start : start + 5], strict=True):
            total = ext_add(total, ext_mul(unit, value))
        out.append(total)
    return out


def _words_of(indices: Sequence[int]) -> list[int]:
    return [5 * i + j for i in indices for j in range(5)]


def _split_next(system: ConstraintSystem) -> tuple[list[int], list[int]]:
    """Next-row columns: indices of base columns, and of extension columns among themselves."""
    width = len(system.columns)
    columns = system.next_row_columns
    return [i for i in columns if i < width], [i - width for i in columns if i >= width]


def next_words(system: ConstraintSystem) -> tuple[list[int], list[int]]:
    """What is opened at w zeta as well: base columns, and words of extension columns."""
    base, lookup = _split_next(system)
    return base, _words_of(lookup)


def open_columns(
    system: ConstraintSystem, base: Words, lookup: Words, quotient: Words, zeta: Ext, log2_rows: int
) -> list[Ext]:
    """All values of step 6 in order; `quotient` holds the chunks on the domain (>= 15, B, N)."""
    weights = barycentric_weights(zeta, log2_rows)
    values = _elements(evaluate_columns(base, weights))
    values += _joined(_elements(evaluate_columns(lookup, weights)))
    next_base, next_lookup = _split_next(system)
    values += _elements(evaluate_columns(base, weights, 1, np.array(next_base, np.int64)))
    if next_lookup:
        words = np.array(_words_of(next_lookup), np.int64)
        values += _joined(_elements(evaluate_columns(lookup, weights, 1, words)))
    on_coset = barycentric_weights(ext_scale(zeta, pow(SHIFT, -1, P)), log2_rows)
    values += _joined(_elements(evaluate_columns(np.ascontiguousarray(quotient[:15, 0]), on_coset)))
    return values


def batched_quotient(
    system: ConstraintSystem,
    params: ProofParams,
    base: Words,
    lookup: Words,
    quotient: Words,
    zeta: Ext,
    openings: Sequence[Ext],
    weights: Sequence[Ext],
) -> Words:
    """G (5, B, N) on the domain.

    Columns are combined on the N rows of the trace and only the combination is extended.
    """
    rows = base.shape[1]
    log2_rows, blowup = rows.bit_length() - 1, params.blowup
    count = len(system.all_columns)
    here, following, chunks = weights[:count], weights[count:-3], weights[-3:]
    combined = np.zeros((10, rows), np.uint32)
    _combine(base, here[: len(system.columns)], combined[:5])
    _combine(lookup, _spread(here[len(system.columns) :]), combined[:5])
    next_base, next_lookup = _split_next(system)
    _combine(base[next_base], following[: len(next_base)], combined[5:])
    if next_lookup:
        _combine(lookup[_words_of(next_lookup)], _spread(following[len(next_base) :]), combined[5:])
    extended = lde(combined, blowup)
    flat = extended[:5].reshape(5, blowup * rows)
    _combine(quotient[:15].reshape(15, blowup * rows), _spread(chunks), flat)

    out = np.array(quotient[15:20], order="C")
    at_zeta = _claimed((*here, *chunks), (*openings[:count], *openings[-3:]))
    divide_by_linear(extended[:5], at_zeta, denominators(zeta, log2_rows, blowup), out)
    zeta_next = ext_scale(zeta, root_of_unity(log2_rows))
    at_next = _claimed(following, openings[count:-3])
    divide_by_linear(extended[5:], at_next, denominators(zeta_next, log2_rows, blowup), out)
    return out


def _combine(columns: Words, weights: Sequence[Ext], out: Words) -> None:
    combine_columns(columns, ext_words(weights), out)


def _spread(weights: Sequence[Ext]) -> list[Ext]:
    """Weights of the coordinate columns of extension columns: weight * X^j."""
    return [ext_mul(weight, unit) for weight in weights for unit in _BASIS]


def _claimed(weights: Sequence[Ext], values: Sequence[Ext]) -> Ext:
    total = ext_zero
    for weight, value in zip(weights, values, strict=True):
        total = ext_add(total, ext_mul(weight, value))
    return total
