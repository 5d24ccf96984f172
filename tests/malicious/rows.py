"""One row of the trace as names and numbers, and the tree hash of a row with faults that a cheating prover chose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from circuits.gadgets.chains import SELECTOR_COLUMNS
from circuits.poseidon.constants import AffineForm
from circuits.poseidon.instance import FullRound, rounds_form
from circuits.poseidon.reference import row_cells
from verifier.field import P
from verifier.poseidon import INSTANCES, multiply

Words = tuple[int, ...]
POSEIDON1, POSEIDON2 = INSTANCES
ZEROS = (0,) * 8
CONTINUING = ("is_entry", "is_close", "is_next_child", "is_merge")
EMITTING = ("is_close", "is_merge", "is_dummy")
CONSUMING = ("is_first_child", "is_next_child")
CARRY_OFFSET = 2**22


def centered(word: int) -> int:
    """The representative of least magnitude: p - 5 is -5."""
    word %= P
    return word - P if word > P // 2 else word


def limbs(value: int, count: int, bits: int = 16) -> Words:
    return tuple(value >> (bits * i) & ((1 << bits) - 1) for i in range(count))


def number(words: Sequence[int], bits: int = 16) -> int:
    return sum(word << (bits * i) for i, word in enumerate(words))


@cache
def honest_cells(h: Words, b: Words, instance: str) -> Words:
    return tuple(row_cells(h, b, INSTANCES[instance]))


def cells_with_faults(h: Words, b: Words, instance: str, faults: Mapping[int, int]) -> list[int]:
    """140 cells that break exactly the constraints in `faults` (cell number -> what is added to the right cell)."""
    form = rounds_form(INSTANCES[instance])
    cells: list[int] = []

    def add(value: int) -> None:
        cells.append((value + faults.get(len(cells), 0)) % P)

    def full_round(round_: FullRound, values: Sequence[int]) -> list[int]:
        if round_.before is not None:
            values = multiply(round_.before, values)
        cubes = [pow(value + constant, 3, P) for value, constant in zip(values, round_.constants, strict=True)]
        for value in multiply(round_.matrix, cubes):
            add(value)
        return cells[-len(round_.matrix) :]

    def affine(form: AffineForm, state: Sequence[int], sboxes: Sequence[int]) -> int:
        out = form.constant + sum(c * word for c, word in zip(form.state, state, strict=True))
        return (out + sum(c * word for c, word in zip(form.sboxes, sboxes, strict=True))) % P

    values: Sequence[int] = (*h, *b)
    for round_ in form.first:
        values = full_round(round_, values)
    first_sbox = len(cells)
    for sbox in form.partial:
        add(pow(affine(sbox, values, cells[first_sbox:]), 3, P))
    values = [affine(word, values, cells[first_sbox:]) for word in form.after_partial]
    for round_ in form.last:
        values = full_round(round_, values)
    return cells


@dataclass
class Row:
    """Cells by column name, all others zero.

    Args:
        faults: see `cells_with_faults`.
        chained: a selector that continues a chain makes this row take its chaining value from the row before.
        linked: a merge row takes its block from the value row after it.
    """

    cells: dict[str, int] = field(default_factory=dict)
    faults: dict[int, int] = field(default_factory=dict)
    chained: bool = True
    linked: bool = True
    instance: str = POSEIDON1

    def __post_init__(self) -> None:
        self.cells = {name: value % P for name, value in self.cells.items()}

    def __getitem__(self, name: str) -> int:
        return self.cells.get(name, 0)

    def __setitem__(self, name: str, value: int) -> None:
        self.cells[name] = value % P

    def put(self, prefix: str, values: Sequence[int]) -> Row:
        """Write prefix0, prefix1, ..."""
        for i, value in enumerate(values):
            self[f"{prefix}{i}"] = value
        return self

    def read(self, prefix: str, count: int) -> Words:
        return tuple(self[f"{prefix}{i}"] for i in range(count))

    @property
    def permutation_cells(self) -> Sequence[int]:
        h, b = self.read("h", 8), self.read("b", 8)
        return cells_with_faults(h, b, self.instance, self.faults) if self.faults else honest_cells(h, b, self.instance)

    @property
    def digest(self) -> Words:
        last = self.permutation_cells[-8:]
        return tuple((word + before) % P for word, before in zip(last, self.read("h", 8), strict=True))

    def read_all(self, names: Sequence[str]) -> Words:
        return tuple(self[name] for name in names)

    def has(self, selectors: Sequence[str]) -> bool:
        return any(self.read_all(selectors))


@dataclass(frozen=True)
class Item:
    """What a chain puts on the tree bus."""

    level: int
    digest: Words
    value: Words

    @classmethod
    def of(cls, row: Row) -> Item:
        return cls(row["level"], row.digest, row.read("d", 7))


def hash_chain(rows: Sequence[Row]) -> list[Item]:
    """Fill chaining values and value digests; what these rows emit."""
    emitted = []
    for i, row in enumerate(rows):
        if row["is_merge"] and row.linked:
            row.put("b", rows[i + 1].digest)
        if row.chained and row.has(CONTINUING):
            row.put("h", rows[i - 1].digest)
        if row.has(EMITTING):
            emitted.append(Item.of(row))
    return emitted


def encode_carry(carry: int) -> tuple[int, int]:
    """(low, high) with carry = low + 2^15 high - 2^22, high a byte; low leaves 16 bits where the carry is too large."""
    shifted = carry + CARRY_OFFSET
    high = max(0, min(shifted >> 15, 255))
    return shifted - (high << 15), high


def carries_of(coefficients: Sequence[int], base: int, wraps: Mapping[int, int]) -> list[int]:
    """c with coefficients[k] + wraps[k] p + c[k-1] - base c[k] = 0 for all k; the last one must be zero."""
    out, carry = [], 0
    for k, coefficient in enumerate(coefficients):
        carry, rest = divmod(coefficient + wraps.get(k, 0) * P + carry, base)
        assert rest == 0, f"no carries: coefficient {k} leaves {rest}"
        out.append(carry)
    left = out.pop()  # not inside the assert: `run_negative` has none
    assert left == 0, "no carries: something is left at the end"
    return out


__all__ = [
    "CONSUMING", "CONTINUING", "EMITTING", "POSEIDON1", "POSEIDON2", "SELECTOR_COLUMNS", "ZEROS", "Item", "Row",
    "Words", "carries_of", "cells_with_faults", "centered", "encode_carry", "hash_chain", "limbs", "number",
]  # fmt: skip
