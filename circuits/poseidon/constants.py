"""Constants of the flat partial rounds, derived from the matrices and round constants of an instance.

In a partial round only word 0 meets the S-box, so everything between the first and the last full rounds is affine in
36 values: the 16 words after the first full rounds and the 20 S-box outputs. Following those affine forms symbolically
through the partial rounds gives one form per S-box input and one per word at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from verifier.field import P
from verifier.poseidon import WIDTH, Instance, Matrix


@dataclass(frozen=True)
class AffineForm:
    """constant + sum of state[j] * (word j after the first full rounds) + sum of sboxes[k] * (output of S-box k)."""

    constant: int
    state: tuple[int, ...]
    sboxes: tuple[int, ...]


@dataclass(frozen=True)
class FlatPartialRounds:
    """`sbox_inputs[k]` uses the k earlier outputs only; `after` holds the 16 words after the last partial round."""

    sbox_inputs: tuple[AffineForm, ...]
    after: tuple[AffineForm, ...]


@lru_cache
def flat_partial_rounds(instance: Instance) -> FlatPartialRounds:
    """The forms of all partial rounds; coefficients are canonical words."""
    first = instance.full_rounds // 2
    sbox_inputs: list[AffineForm] = []
    # A symbolic word is a list of coefficients: 16 of the state, one per S-box output so far, and the constant last.
    words = [[int(i == j) for j in range(WIDTH)] + [0] for i in range(WIDTH)]
    for k, constants in enumerate(instance.round_constants[first : first + instance.partial_rounds]):
        for word, constant in zip(words, constants, strict=True):
            word[-1] = (word[-1] + constant) % P
        sbox_inputs.append(_form(words[0]))
        words = [[*word[:-1], 0, word[-1]] for word in words]
        words[0] = [*(WIDTH + k) * [0], 1, 0]
        words = _combine(instance.partial_matrix, words)
    return FlatPartialRounds(tuple(sbox_inputs), tuple(_form(word) for word in words))


def _form(word: list[int]) -> AffineForm:
    return AffineForm(constant=word[-1], state=tuple(word[:WIDTH]), sboxes=tuple(word[WIDTH:-1]))


def _combine(matrix: Matrix, words: list[list[int]]) -> list[list[int]]:
    columns = list(zip(*words, strict=True))
    return [[sum(m * c for m, c in zip(row, column, strict=True)) % P for column in columns] for row in matrix]
