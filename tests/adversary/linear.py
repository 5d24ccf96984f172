"""Linear algebra modulo p, and what of a column or a chunk is shown as a linear map of its masks.

The maps are read off the prover's own kernels: one column that is 1 on one row is extended, and as the points of the
trace are a group, the others follow by turning it round.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from prover.commit import Extended
from prover.kernels.deep import barycentric_weights, evaluate_columns
from prover.kernels.field import from_mont, to_mont
from verifier.field import GENERATOR, Ext, P, ext_mul, ext_pow, root_of_unity
from verifier.params import HIDDEN_ROWS, ProofParams

Words = npt.NDArray[np.uint32]
Matrix = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]
_P = np.uint64(P)


def solve(matrix: Matrix, values: Matrix) -> Matrix | None:
    """Some x with matrix x = values; None where there is none. matrix (r, c), values (r, k), x (c, k)."""
    rows, pivots = _reduced(np.concatenate([matrix, values], axis=1), matrix.shape[1])
    if rows[len(pivots) :, matrix.shape[1] :].any():
        return None
    out = np.zeros((matrix.shape[1], values.shape[1]), np.uint64)
    for at in reversed(range(len(pivots))):
        row = rows[at]
        known = (row[pivots[at] + 1 : matrix.shape[1], None] * out[pivots[at] + 1 :] % _P).sum(axis=0) % _P
        out[pivots[at]] = (row[matrix.shape[1] :] + _P - known) % _P
    return out


def rank(matrix: Matrix) -> int:
    """Rank over the field."""
    return len(_reduced(matrix, matrix.shape[1])[1])


def _reduced(matrix: Matrix, width: int) -> tuple[Matrix, list[int]]:
    """Row echelon form by pivots in the first `width` columns, each made 1; and the pivots' columns."""
    rows, pivots = matrix.copy(), list[int]()
    for column in range(width):
        found = len(pivots)
        candidates = np.flatnonzero(rows[found:, column])
        if len(candidates) == 0:
            continue
        rows[[found, found + candidates[0]]] = rows[[found + candidates[0], found]]
        top = rows[found, column:] * np.uint64(pow(int(rows[found, column]), -1, P)) % _P
        rows[found, column:] = top
        factors = _P - rows[found + 1 :, column]
        rows[found + 1 :, column:] = (rows[found + 1 :, column:] + factors[:, None] * top) % _P
        pivots.append(column)
        if len(pivots) == len(rows):
            break
    return rows, pivots


def shown(columns: Words, params: ProofParams, positions: Sequence[int], zeta: Ext) -> Matrix:
    """What a proof depends on of each column (w, N), canonical: (2 q + 10, w), by the prover's kernels.

    Values at the queried points, at their successors, at zeta and at its successor (five words each). The successors
    of queried points are never opened, but the quotient there depends on them.
    """
    own = columns.copy()
    to_mont(own)
    rows = own.shape[1]
    values = from_mont(Extended(own, params.blowup).values)
    weights = barycentric_weights(zeta, rows.bit_length() - 1)
    outside = [from_mont(evaluate_columns(own, weights, rotation)).T for rotation in (0, 1)]
    parts = [*(values[:, coset, row].T for coset, row in _places(positions, rows)), *outside]
    return np.concatenate(parts).astype(np.uint64)


def mask_map(params: ProofParams, log2_rows: int, positions: Sequence[int], zeta: Ext) -> Matrix:
    """How the hidden rows of a column enter what is `shown` of it: (2 q + 10, 512)."""
    rows = 1 << log2_rows
    unit = np.zeros((1, rows), np.uint32)
    unit[0, 0] = 1
    to_mont(unit)
    values = from_mont(Extended(unit, params.blowup).values)[0]
    hidden = np.arange(rows - HIDDEN_ROWS, rows)
    parts = [values[coset[:, None], (row[:, None] - hidden) % rows] for coset, row in _places(positions, rows)]
    weights = from_mont(barycentric_weights(zeta, log2_rows))
    parts += [weights[:, hidden], weights[:, hidden - 1]]
    return np.concatenate(parts).astype(np.uint64)


def chunk_map(
    params: ProofParams, log2_rows: int, positions: Sequence[int], zeta: Ext, first: int | None = None
) -> Matrix:
    """How m coefficients from X^first on (None: X^M) enter values at the queried points and zeta: (q + 5, m)."""
    count = params.mask_coefficients
    first = params.chunk_coefficients(log2_rows) if first is None else first
    lines = []
    for point in points_of(params, log2_rows, positions):
        power = pow(point, first, P)
        lines.append([power := power * (point if k else 1) % P for k in range(count)])
    power_at_zeta, columns = ext_pow(zeta, first), list[Ext]()
    for _ in range(count):
        columns.append(power_at_zeta)
        power_at_zeta = ext_mul(power_at_zeta, zeta)
    return np.concatenate([np.array(lines, np.uint64).reshape(-1, count), np.array(columns, np.uint64).T])


def points_of(params: ProofParams, log2_rows: int, positions: Sequence[int]) -> list[int]:
    """D[pos], docs/protocol.md section 1."""
    root, rows = root_of_unity(log2_rows + params.log2_blowup), 1 << log2_rows
    return [GENERATOR * pow(root, p // rows + params.blowup * (p % rows), P) % P for p in positions]


def _places(positions: Sequence[int], rows: int) -> list[tuple[Indices, Indices]]:
    """(coset, row) of the positions, and of the points a row later."""
    coset, row = np.divmod(np.array(positions, np.int64), rows)
    return [(coset, row), (coset, (row + 1) % rows)]
