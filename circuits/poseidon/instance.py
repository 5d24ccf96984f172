"""The permutation in the form a constraint author writes down, and where its cells lie.

Every permutation has 16 input cells (h0..h7, b0..b7) and 140 further cells, in this order:

    0..63     16 words after each of the full rounds 1, 2, 3, 4
    64..83    output of the S-box of each of the 20 partial rounds
    84..131   16 words after each of the full rounds 5, 6, 7
    132..139  first 8 words after full round 8; adding h0..h7 gives the digest

The constraints, each of degree 3, are

    full round r, from the 16 values before it     x_j = (r.before @ values)_j + r.constants[j]
                                                   cell_i = sum of r.matrix[i][j] * x_j^3
    partial round k                                cell_k = partial[k]^3
    values before full round 5                     after_partial[i], affine: no cells
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from circuits.poseidon.constants import AffineForm, flat_partial_rounds
from verifier.poseidon import DIGEST_WORDS, Instance, Matrix

CELLS = 140
FIRST_ROUND_OFFSETS = (0, 16, 32, 48)
SBOX_OFFSET = 64
LAST_ROUND_OFFSETS = (84, 100, 116, 132)


@dataclass(frozen=True)
class FullRound:
    """`before` maps the 16 previous values to the S-box inputs (None: they are the S-box inputs), less `constants`.

    `matrix` has one row per cell of the round: 16, or 8 in the last round.
    """

    before: Matrix | None
    constants: tuple[int, ...]
    matrix: Matrix


@dataclass(frozen=True)
class RoundsForm:
    """All constants of one permutation, canonical words.

    `first` and `last` are four full rounds each, their cells at FIRST_ROUND_OFFSETS and LAST_ROUND_OFFSETS. The state
    words in `partial` (20 forms) and `after_partial` (16 forms) are the cells of full round 4, their S-box outputs the
    cells from SBOX_OFFSET on.
    """

    first: tuple[FullRound, ...]
    partial: tuple[AffineForm, ...]
    after_partial: tuple[AffineForm, ...]
    last: tuple[FullRound, ...]


@lru_cache
def rounds_form(instance: Instance) -> RoundsForm:
    """The constraint author's view of an instance of `verifier.poseidon`."""
    constants = instance.round_constants
    rounds = [FullRound(None, row, instance.full_matrix) for row in (*constants[:4], *constants[-4:])]
    rounds[0] = FullRound(instance.initial_matrix, constants[0], instance.full_matrix)
    rounds[-1] = FullRound(None, constants[-1], instance.full_matrix[:DIGEST_WORDS])
    flat = flat_partial_rounds(instance)
    return RoundsForm(tuple(rounds[:4]), flat.sbox_inputs, flat.after, tuple(rounds[4:]))
