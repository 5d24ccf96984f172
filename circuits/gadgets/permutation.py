"""Every row is one permutation of the tree hash: inputs h0..h7, b0..b7 and 140 cells (`circuits.poseidon.instance`)."""

from __future__ import annotations

from collections.abc import Sequence

from circuits.builder import AirBuilder, Expr, total
from circuits.poseidon.constants import AffineForm
from circuits.poseidon.instance import (
    FIRST_ROUND_OFFSETS,
    LAST_ROUND_OFFSETS,
    SBOX_OFFSET,
    FullRound,
    rounds_form,
)
from verifier.air import ALWAYS
from verifier.poseidon import DIGEST_WORDS, WIDTH, Instance

CHAIN_COLUMNS = tuple(f"h{i}" for i in range(DIGEST_WORDS))
BLOCK_COLUMNS = tuple(f"b{i}" for i in range(DIGEST_WORDS))


def _cell_names() -> tuple[str, ...]:
    names = [f"full{r}_{i}" for r in range(1, 5) for i in range(WIDTH)]
    names += [f"sbox{k}" for k in range(20)]
    names += [f"full{r}_{i}" for r in range(5, 8) for i in range(WIDTH)]
    return (*names, *(f"last{i}" for i in range(DIGEST_WORDS)))


CELL_COLUMNS = _cell_names()
PERMUTATION_COLUMNS = CHAIN_COLUMNS + BLOCK_COLUMNS + CELL_COLUMNS


def digest(air: AirBuilder, rotation: int = 0) -> list[Expr]:
    """Output of the compression on this row or the next: last eight words plus the chaining value (feed-forward)."""
    read = air.next if rotation else air.row
    return [read(f"last{i}") + read(f"h{i}") for i in range(DIGEST_WORDS)]


def require_permutation(air: AirBuilder, instance: Instance) -> None:
    """140 ungated constraints of degree 3 (gating them would make degree 4), so unused rows hold a permutation too."""
    form = rounds_form(instance)
    cells = [air.row(name) for name in CELL_COLUMNS]
    values = [air.row(name) for name in CHAIN_COLUMNS + BLOCK_COLUMNS]
    for number, (round_, offset) in enumerate(zip(form.first, FIRST_ROUND_OFFSETS, strict=True), start=1):
        values = _full_round(air, number, round_, values, cells[offset : offset + WIDTH])
    sboxes = cells[SBOX_OFFSET : SBOX_OFFSET + len(form.partial)]
    for k, affine in enumerate(form.partial):
        x = _affine(affine, values, sboxes)
        air.require(ALWAYS, f"permutation partial round {k + 1}", x * x * x - sboxes[k])
    values = [_affine(affine, values, sboxes) for affine in form.after_partial]
    for number, (round_, offset) in enumerate(zip(form.last, LAST_ROUND_OFFSETS, strict=True), start=5):
        values = _full_round(air, number, round_, values, cells[offset : offset + len(round_.matrix)])


def _affine(form: AffineForm, state: Sequence[Expr], sboxes: Sequence[Expr]) -> Expr:
    terms = [c * value for c, value in zip(form.state, state, strict=True) if c]
    terms += [c * value for c, value in zip(form.sboxes, sboxes[: len(form.sboxes)], strict=True) if c]
    return total(terms) + form.constant


def _full_round(
    air: AirBuilder, number: int, round_: FullRound, values: Sequence[Expr], cells: Sequence[Expr]
) -> list[Expr]:
    if round_.before is not None:
        values = [total(c * v for c, v in zip(row, values, strict=True)) for row in round_.before]
    inputs = [value + constant for value, constant in zip(values, round_.constants, strict=True)]
    cubes = [x * x * x for x in inputs]
    for i, (row, cell) in enumerate(zip(round_.matrix, cells, strict=True)):
        mixed = total(c * cube for c, cube in zip(row, cubes, strict=True))
        air.require(ALWAYS, f"permutation full round {number}[{i}]", mixed - cell)
    return list(cells)
