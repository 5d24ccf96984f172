"""The circuit's form of the tree hash: the slow twin satisfies it, nothing else does."""

from __future__ import annotations

import random

import pytest

from circuits.poseidon.constants import AffineForm
from circuits.poseidon.instance import (
    CELLS,
    FIRST_ROUND_OFFSETS,
    LAST_ROUND_OFFSETS,
    SBOX_OFFSET,
    FullRound,
    rounds_form,
)
from circuits.poseidon.reference import row_cells
from verifier.errors import InvariantBroken
from verifier.field import P
from verifier.poseidon import INSTANCES, Instance, compress, multiply, permute

each_instance = pytest.mark.parametrize("instance", INSTANCES.values(), ids=list(INSTANCES))

INPUTS = (
    [0] * 16,
    [P - 1] * 16,
    list(range(16)),
    *([random.Random(seed).randrange(P) for _ in range(16)] for seed in range(5)),
)


def residues(instance: Instance, inputs: list[int], cells: list[int]) -> list[int]:
    """The 140 constraints as the docstring of `circuits.poseidon.instance` states them; zero where they hold."""
    form = rounds_form(instance)
    out: list[int] = []

    def full(round_: FullRound, values: list[int], offset: int) -> list[int]:
        if round_.before is not None:
            values = multiply(round_.before, values)
        cubes = [pow(value + constant, 3, P) for value, constant in zip(values, round_.constants, strict=True)]
        got = cells[offset : offset + len(round_.matrix)]
        out.extend((a - b) % P for a, b in zip(multiply(round_.matrix, cubes), got, strict=True))
        return got

    def affine(form: AffineForm, state: list[int], sboxes: list[int]) -> int:
        total = form.constant + sum(c * word for c, word in zip(form.state, state, strict=True))
        return (total + sum(c * word for c, word in zip(form.sboxes, sboxes, strict=True))) % P

    values = inputs
    for round_, offset in zip(form.first, FIRST_ROUND_OFFSETS, strict=True):
        values = full(round_, values, offset)
    sboxes = cells[SBOX_OFFSET : SBOX_OFFSET + 20]
    out += [(pow(affine(f, values, sboxes[:k]), 3, P) - sboxes[k]) % P for k, f in enumerate(form.partial)]
    values = [affine(f, values, sboxes) for f in form.after_partial]
    for round_, offset in zip(form.last, LAST_ROUND_OFFSETS, strict=True):
        values = full(round_, values, offset)
    return out


@each_instance
@pytest.mark.parametrize("inputs", INPUTS, ids=range(len(INPUTS)))
def test_row_cells_satisfy_the_constraints(instance: Instance, inputs: list[int]) -> None:
    cells = row_cells(inputs[:8], inputs[8:], instance)
    assert len(cells) == CELLS
    assert all(0 <= cell < P for cell in cells)
    assert residues(instance, inputs, cells) == [0] * CELLS


@each_instance
def test_last_cells_are_the_digest(instance: Instance) -> None:
    for inputs in INPUTS:
        last = row_cells(inputs[:8], inputs[8:], instance)[LAST_ROUND_OFFSETS[-1] :]
        assert last == permute(instance, inputs)[:8]
        digest = [(word + h) % P for word, h in zip(last, inputs[:8], strict=True)]
        assert digest == compress(inputs[:8], inputs[8:], instance)


@pytest.mark.negative
@each_instance
def test_any_other_cell_or_input_breaks_a_constraint(instance: Instance) -> None:
    inputs = INPUTS[-1]
    cells = row_cells(inputs[:8], inputs[8:], instance)
    for position in range(CELLS):
        changed = [*cells[:position], (cells[position] + 1) % P, *cells[position + 1 :]]
        assert residues(instance, inputs, changed)[position]
    for position in range(16):
        changed = [*inputs[:position], (inputs[position] + 1) % P, *inputs[position + 1 :]]
        assert any(residues(instance, changed, cells)[:16])
    other = next(candidate for candidate in INSTANCES.values() if candidate is not instance)
    assert any(residues(other, inputs, cells))


@each_instance
def test_shape_of_the_form(instance: Instance) -> None:
    form = rounds_form(instance)
    assert [len(r.matrix) for r in (*form.first, *form.last)] == [16] * 7 + [8]
    assert [r.before is not None for r in (*form.first, *form.last)] == [instance.initial_matrix is not None] + [
        False
    ] * 7
    assert [(len(f.state), len(f.sboxes)) for f in form.partial] == [(16, k) for k in range(20)]
    assert [(len(f.state), len(f.sboxes)) for f in form.after_partial] == [(16, 20)] * 16
    numbers = [n for f in (*form.partial, *form.after_partial) for n in (f.constant, *f.state, *f.sboxes)]
    assert all(0 <= number < P for number in numbers)
    assert rounds_form(instance) is form


@pytest.mark.negative
@pytest.mark.parametrize(
    ("h", "block"), [([0] * 7, [0] * 9), ([0] * 8, [0] * 7), ([P] + [0] * 7, [0] * 8), ([0] * 8, [0] * 7 + [-1])]
)
def test_wrong_words_are_refused(h: list[int], block: list[int]) -> None:
    with pytest.raises(InvariantBroken):
        row_cells(h, block)
