"""The 140 cells of one permutation, computed round by round in plain Python: the slow twin of the kernels."""

from __future__ import annotations

from collections.abc import Sequence

from circuits.poseidon.instance import CELLS
from verifier.errors import InvariantBroken
from verifier.field import P
from verifier.poseidon import DEFAULT, DIGEST_WORDS, WIDTH, Instance, multiply


def row_cells(h: Sequence[int], block: Sequence[int], instance: Instance = DEFAULT) -> list[int]:
    """The cells of `circuits.poseidon.instance`, canonical, for chaining value and block of 8 canonical words each.

    Partial rounds are walked one by one with the dense matrix, so this also checks the flat forms.
    """
    state = [*h, *block]
    if len(h) != DIGEST_WORDS or len(state) != WIDTH or not all(0 <= word < P for word in state):
        raise InvariantBroken(f"{instance.name} takes {DIGEST_WORDS} + {DIGEST_WORDS} words below {P}")
    if instance.initial_matrix is not None:
        state = multiply(instance.initial_matrix, state)
    after_full: list[list[int]] = []
    sboxes: list[int] = []
    for round_index, constants in enumerate(instance.round_constants):
        state = [word + constant for word, constant in zip(state, constants, strict=True)]
        if instance.is_full_round(round_index):
            state = multiply(instance.full_matrix, [pow(word, 3, P) for word in state])
            after_full.append(state)
        else:
            sboxes.append(pow(state[0], 3, P))
            state = multiply(instance.partial_matrix, [sboxes[-1], *state[1:]])
    first, last = after_full[:4], after_full[4:]
    last[-1] = last[-1][:DIGEST_WORDS]
    cells = [word for words in (*first, sboxes, *last) for word in words]
    if len(cells) != CELLS:
        raise InvariantBroken(f"{instance.name} gives {len(cells)} cells, expected {CELLS}")
    return cells
