"""The least that each phase of a proof has to do, counted from its shape: operations, and bytes moved once.

A phase cannot be faster than its operations at the rate of the kernels in the nearest caches, nor than the bytes that
it has to read and write at the speed of the memory. The larger of the two is its floor (docs/performance.md).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from circuits.gadgets.permutation import CELL_COLUMNS
from circuits.solvency import BYTE_COLUMNS, U16_COLUMNS
from prover.deep import next_words
from prover.kernels import codegen
from prover.kernels.codegen import DOT, EXT_DOT, EXT_INVERT, EXT_MUL, MUL, RowProgram
from prover.kernels.rates import Rates
from verifier.air import ConstraintSystem
from verifier.field import EXTENSION_DEGREE, Ext
from verifier.params import HIDDEN_ROWS, ProofParams

WORD_BYTES, DIGEST_BYTES, BLOCK_WORDS, SALT_WORDS = 4, 32, 16, 4
EXT_PRODUCT, EXT_INVERSE = 25, 175
"""Multiply-adds of a product, and of an inverse by Frobenius and norm, in the extension of degree 5."""
CHUNK_WORDS, QUOTIENT_COSETS = 20, 2
FOLD_PAIRS, FOLD_VALUES = 7, 8
_ANY: Ext = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Work:
    """What a phase has to do: operations in the units of `Rates`, and bytes read or written at least once."""

    products: float = 0
    multiply_adds: float = 0
    butterflies: float = 0
    permutations: float = 0
    blocks: float = 0
    bytes: float = 0

    def __add__(self, other: Work) -> Work:
        return Work(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def times(self, factor: float) -> Work:
        """The same work `factor` times."""
        return Work(*(factor * getattr(self, f.name) for f in fields(self)))

    def compute_seconds(self, rates: Rates, threads: int) -> float:
        """Operations at full rate on every thread."""
        kinds = ("products", "multiply_adds", "butterflies", "permutations", "blocks")
        return sum(float(getattr(self, kind) / getattr(rates, kind)) for kind in kinds) / threads

    def memory_seconds(self, rates: Rates) -> float:
        """Bytes at the speed of the memory."""
        return float(self.bytes / rates.bytes)


@dataclass(frozen=True)
class Shape:
    """All that the work depends on. `used_rows`: permutations that hashing the accounts and their tree takes."""

    system: ConstraintSystem
    params: ProofParams
    log2_rows: int
    used_rows: int

    @property
    def rows(self) -> int:
        return 1 << self.log2_rows

    @property
    def points(self) -> int:
        return self.rows * self.params.blowup

    @property
    def base(self) -> int:
        """Columns of the trace."""
        return len(self.system.columns)

    @property
    def lookup(self) -> int:
        """Words of the extension columns."""
        return EXTENSION_DEGREE * len(self.system.extension_columns)

    @property
    def following(self) -> int:
        """Words opened a row later."""
        return sum(len(words) for words in next_words(self.system))


def phase_work(shape: Shape) -> dict[str, Work]:
    """Work by phase of `prover.progress.PHASES`; queries and writing have no floor worth counting."""
    return {
        "witness": _witness(shape),
        "hashing": _hashing(shape),
        "extend": _extend(shape),
        "commit": _commit(shape),
        "lookups": _lookups(shape),
        "constraints": _constraints(shape),
        "openings": _openings(shape),
        "fri": _fri(shape),
    }


def _words(count: float) -> Work:
    return Work(bytes=WORD_BYTES * count)


def _witness(shape: Shape) -> Work:
    """Chains of accounts and nodes; the trace cleared and all but the permutation's cells written; words counted."""
    others = shape.base - len(CELL_COLUMNS)
    counted = len(U16_COLUMNS) + len(BYTE_COLUMNS)
    return Work(permutations=shape.used_rows) + _words(shape.rows * (shape.base + others + counted))


def _hashing(shape: Shape) -> Work:
    """To Montgomery form; then one permutation a row, with its cells."""
    active = shape.rows - HIDDEN_ROWS
    converted = Work(products=shape.base * shape.rows) + _words(2 * shape.base * shape.rows)
    return converted + Work(permutations=active) + _words((BLOCK_WORDS + len(CELL_COLUMNS)) * active)


def _transforms(shape: Shape, columns: float, interpolated: bool = True) -> Work:
    """Columns taken to the domain, by an interpolation first unless they are coefficients."""
    each = shape.params.blowup + interpolated
    return Work(butterflies=columns * each * shape.log2_rows * shape.rows / 2) + _words(columns * each * shape.rows)


def _extend(shape: Shape) -> Work:
    """Columns of trace, lookups and publics; the quotient's coefficients from two cosets; its chunks and the mask."""
    quotient_points = QUOTIENT_COSETS * shape.rows
    quotient = Work(butterflies=EXTENSION_DEGREE * quotient_points / 2 * (shape.log2_rows + 1))
    columns = shape.base + shape.lookup + len(shape.system.publics)
    moved = _words(2 * EXTENSION_DEGREE * quotient_points)
    return _transforms(shape, columns) + quotient + moved + _transforms(shape, CHUNK_WORDS, False)


def _tree(leaves: float, words: int) -> Work:
    """A Merkle tree over salted rows of `words` words: each node is one block."""
    blocks = -(-(SALT_WORDS + words) // BLOCK_WORDS)
    return Work(blocks=leaves * blocks + leaves) + _words(leaves * (words + SALT_WORDS)) + Work(bytes=64 * leaves)


def _commit(shape: Shape) -> Work:
    widths = (shape.base, shape.lookup, CHUNK_WORDS)
    return sum((_tree(shape.points, width) for width in widths), Work())


def _program(program: RowProgram) -> Work:
    """One row of a row program: its products, its cells read once and its results written once."""
    kinds, sizes = program.operations[:, 0], program.operations[:, 3]
    counted: npt.NDArray[np.bool_] = np.isin(kinds, (DOT, EXT_DOT))
    terms = 2 * sizes[counted] * np.where(kinds[counted] == EXT_DOT, EXTENSION_DEGREE, 1)
    ext = EXT_PRODUCT * int((kinds == EXT_MUL).sum()) + EXT_INVERSE * int((kinds == EXT_INVERT).sum())
    moved = _words(len(program.loads) + len(program.stores))
    return Work(products=int((kinds == MUL).sum()), multiply_adds=int(terms.sum()) + ext) + moved


def _any_scalars(system: ConstraintSystem) -> dict[str, Ext]:
    return dict.fromkeys(system.scalars, _ANY)


def _lookups(shape: Shape) -> Work:
    """Terms of accumulators and fractions on the trace; a product a row for each accumulator, and running sums."""
    scalars = _any_scalars(shape.system)
    row = _program(codegen.accumulator_step_program(shape.system, scalars))
    if shape.system.fractions:
        row += _program(codegen.logup_program(shape.system, scalars))
    row += Work(multiply_adds=EXT_PRODUCT * len(shape.system.accumulators)) + _words(2 * EXTENSION_DEGREE)
    return row.times(shape.rows - HIDDEN_ROWS)


def _constraints(shape: Shape) -> Work:
    weights = [_ANY] * len(shape.system.constraints)
    program = codegen.constraint_program(shape.system, _any_scalars(shape.system), weights)
    return _program(program).times(QUOTIENT_COSETS * shape.rows)


def _openings(shape: Shape) -> Work:
    """Columns at a point and their combination (DEEP); the combination extended; two divisions by x - point."""
    opened = (shape.base + shape.lookup + shape.following) * shape.rows
    chunks = 3 * EXTENSION_DEGREE
    summed = Work(multiply_adds=2 * EXTENSION_DEGREE * opened) + _words(2 * opened)
    summed += Work(multiply_adds=EXTENSION_DEGREE * chunks * (shape.rows + shape.points))
    summed += _words(chunks * (shape.rows + shape.points))
    # Batch inversion takes three products an element; one more divides.
    inverted = Work(multiply_adds=3 * EXT_PRODUCT * (2 * shape.rows + 2 * shape.points))
    divided = Work(multiply_adds=2 * EXT_PRODUCT * shape.points) + _words(4 * EXTENSION_DEGREE * shape.points)
    return summed + inverted + divided + _transforms(shape, 2 * EXTENSION_DEGREE)


def _fri(shape: Shape) -> Work:
    """Per layer a tree over leaves of eight values, and seven folds for each."""
    total, points = Work(), shape.points
    for _ in range(shape.params.fri_layers(shape.log2_rows)):
        leaves = points // FOLD_VALUES
        fold = Work(multiply_adds=FOLD_PAIRS * (EXT_PRODUCT + EXTENSION_DEGREE)).times(leaves)
        total += _tree(leaves, FOLD_VALUES * EXTENSION_DEGREE) + fold + _words(2 * EXTENSION_DEGREE * points)
        points = leaves
    return total
