"""Row programs against plain evaluation of the circuit graph: toy, random and real circuits, edge values, views."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest

from circuits.registry import CIRCUITS
from prover.kernels import codegen, rowkernels
from prover.kernels.field import U32Array, ext_of_array, from_mont, int_of_mont, mont_of_int
from prover.kernels.rowkernels import RowKernels
from tests.prover.kernels.cases import Source, full
from tests.verifier.toy_circuits import blocks_system, fibonacci_system, ledger_system
from verifier.air import DOMAINS, Accumulator, Constraint, ConstraintSystem, Fraction, Node, combine, evaluate
from verifier.field import Ext, P, ext_add, ext_inverse, ext_mul, ext_scale, ext_zero, lift

POOL_NODES = 40


@dataclass(frozen=True)
class Rows:
    """Random columns of a circuit with one row more than `count`, challenges, weights and multipliers."""

    system: ConstraintSystem
    count: int
    base: U32Array
    ext: U32Array
    publics: U32Array
    multipliers: U32Array
    scalars: dict[str, Ext]
    weights: list[Ext]

    @classmethod
    def random(
        cls, system: ConstraintSystem, count: int, source: Source, words: Callable[..., U32Array] | None = None
    ) -> Rows:
        make = words or source.words
        return cls(
            system,
            count,
            base=make(len(system.columns), count + 1),
            ext=make(5 * len(system.extension_columns), count + 1),
            publics=make(len(system.publics), count),
            multipliers=make(len(DOMAINS), count),
            scalars={name: source.ext() for name in system.scalars},
            weights=[source.ext() for _ in system.constraints],
        )

    @property
    def following(self) -> U32Array:
        return self.base[:, 1:]

    def combined(self, out: U32Array, start: int, stop: int) -> U32Array:
        RowKernels(self.system).combine_constraints(
            self.base, self.base[:, 1:], self.ext, self.ext[:, 1:], self.publics, self.scalars, self.weights,
            self.multipliers, out, start, stop,
        )  # fmt: skip
        return out

    def lookups(self, out: U32Array, start: int, stop: int) -> int:
        kernels = RowKernels(self.system)
        return kernels.logup_columns(self.base, self.following, self.publics, self.scalars, out, start, stop)

    # -- the plain twins ----------------------------------------------------------------------------------------

    def nodes(self, row: int) -> list[Ext]:
        """Value of every node at one row, by `verifier.air.evaluate`."""
        here, following = self._cells(row), dict(enumerate(self._cells(row + 1)))
        publics = [lift(int_of_mont(word)) for word in self.publics[:, row]]
        return evaluate(self.system, here, following, publics, [self.scalars[name] for name in self.system.scalars])

    def _cells(self, row: int) -> list[Ext]:
        base = [lift(int_of_mont(word)) for word in self.base[:, row]]
        return base + [ext_of_array(self.ext[k : k + 5], row) for k in range(0, len(self.ext), 5)]

    def plain_combined(self, row: int) -> Ext:
        values = self.nodes(row)
        factors = dict(zip(DOMAINS, (int_of_mont(word) for word in self.multipliers[:, row]), strict=True))
        chosen = zip(self.system.constraints, self.weights, strict=True)
        weights = [ext_scale(weight, factors[constraint.domain]) for constraint, weight in chosen]
        return combine(values, [constraint.node for constraint in self.system.constraints], weights)

    def plain_lookups(self, row: int) -> list[Ext]:
        values = self.nodes(row)
        terms = [ext_mul(values[f.numerator], ext_inverse(values[f.denominator])) for f in self.system.fractions]
        helpers = [ext_add(a, b) for a, b in zip(terms[::2], terms[1::2], strict=False)]
        total = ext_zero
        for term in terms:
            total = ext_add(total, term)
        return [*helpers, total]

    def plain_accumulators(self) -> list[list[Ext]]:
        columns: list[list[Ext]] = []
        for accumulator in self.system.accumulators:
            column = [self.nodes(0)[accumulator.first]]
            for row in range(self.count - 1):
                values = self.nodes(row)
                column.append(ext_add(ext_mul(values[accumulator.keep], column[-1]), values[accumulator.add]))
            columns.append(column)
        return columns


def random_system(seed: int) -> ConstraintSystem:
    """A graph of random nodes, some of them shared, constant, linear in challenges, or of high degree."""
    choose = random.Random(seed)
    sizes = (("c", 4), ("e", 3), ("p", 2), ("s", 3))
    columns, extension, publics, scalars = (tuple(f"{letter}{i}" for i in range(size)) for letter, size in sizes)
    nodes: list[Node] = [("column", i, rotation) for i in range(7) for rotation in (0, 1)]
    nodes += [("public", i) for i in range(2)] + [("scalar", i) for i in range(3)] + [("linear", 5, ())]
    base_valued = [i for i, node in enumerate(nodes) if node[0] == "public" or (node[0] == "column" and node[1] < 4)]
    coefficients = (1, -1 % P, 2, P - 2, 101, 256, choose.randrange(P))
    for _ in range(POOL_NODES):
        pool = base_valued if choose.random() < 0.4 else range(len(nodes))
        if choose.random() < 0.5:
            terms = tuple((choose.choice(coefficients), choose.choice(pool)) for _ in range(choose.randrange(1, 9)))
            nodes.append(("linear", choose.choice((0, 1, P - 1, choose.randrange(P))), terms))
        else:
            nodes.append(("product", choose.choice(pool), choose.choice(pool)))
        if pool is base_valued:
            base_valued.append(len(nodes) - 1)
    late = range(len(nodes) - POOL_NODES, len(nodes))
    fractions = [Fraction(f"{i}", choose.choice(late), choose.choice(late)) for i in range(choose.randrange(1, 6))]
    return ConstraintSystem(
        name=f"random_{seed}",
        columns=columns,
        extension_columns=extension,
        publics=tuple((name, "zero") for name in publics),
        scalars=scalars,
        nodes=tuple(nodes),
        constraints=tuple(Constraint(f"constraint {i}", choose.choice(DOMAINS), i) for i in late),
        fractions=tuple(fractions),
        accumulators=(Accumulator("e0", choose.choice(late), choose.choice(late), choose.choice(late)),),
        value_tuple_width=1,
        row_polynomial_degree=1,
    )


RANDOM = [f"random_{seed}" for seed in range(12)]
SYSTEMS: Mapping[str, Callable[[], ConstraintSystem]] = {
    "fibonacci": fibonacci_system,
    "ledger": ledger_system,
    "blocks": blocks_system,
    **CIRCUITS,
    **{name: partial(random_system, seed) for seed, name in enumerate(RANDOM)},
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_constraints(name: str) -> None:
    """Blocks are full, partial and alone; every word of the rows asked for is compared, the others stay."""
    system = SYSTEMS[name]()
    for start, stop, count in ((0, 1, 1), (3, 5, 5), (1, 130, 131)):
        rows = Rows.random(system, count, Source(seed=count))
        out = rows.combined(full(5, count), start, stop)
        for row in {start, (start + stop) // 2, stop - 1}:
            assert ext_of_array(out, row) == rows.plain_combined(row), f"row {row}"
        assert (out[:, :start] == P - 1).all()
        assert (out[:, stop:] == P - 1).all()


@pytest.mark.parametrize("name", ["ledger", "solvency_equity_v1", "random_1"])
def test_largest_words(name: str) -> None:
    """All cells and multipliers are p - 1: the case in which an unreduced sum would overflow."""
    rows = Rows.random(SYSTEMS[name](), 2, Source(seed=1), words=full)
    largest = (P - 1, P - 1, P - 1, P - 1, P - 1)
    rows.weights[:] = [largest] * len(rows.weights)
    rows.scalars.update({scalar: largest for scalar in rows.scalars})
    out = rows.combined(np.empty((5, 2), np.uint32), 0, 2)
    assert ext_of_array(out, 1) == rows.plain_combined(1)


def test_views_with_any_row_distance() -> None:
    """Cosets of an extended matrix are views (columns, N) of (columns, B, N); so are the outputs."""
    rows = Rows.random(ledger_system(), 64, Source(seed=2))
    spread = [np.stack([a, full(*a.shape)], axis=1) for a in (rows.base, rows.ext, rows.publics, rows.multipliers)]
    base, ext, publics, multipliers = (array[:, 0] for array in spread)
    wide = full(5, 2, 64)
    kernels = RowKernels(rows.system)
    kernels.combine_constraints(
        base, base[:, 1:], ext, ext[:, 1:], publics, rows.scalars, rows.weights, multipliers, wide[:, 1], 0, 64
    )
    assert np.array_equal(wide[:, 1], rows.combined(full(5, 64), 0, 64))
    assert (wide[:, 0] == P - 1).all()


def test_ranges_in_threads() -> None:
    rows = Rows.random(CIRCUITS["solvency_equity_v1"](), 1000, Source(seed=3))
    kernels, out = RowKernels(rows.system), full(5, 1000)

    def piece(start: int) -> None:
        kernels.combine_constraints(
            rows.base, rows.base[:, 1:], rows.ext, rows.ext[:, 1:], rows.publics, rows.scalars, rows.weights,
            rows.multipliers, out, start, min(start + 300, 1000),
        )  # fmt: skip

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(piece, range(0, 1000, 300)))
    assert np.array_equal(out, rows.combined(full(5, 1000), 0, 1000))


def test_new_challenges_are_used() -> None:
    """Programs are kept between calls, but only for the same numbers."""
    system = ledger_system()
    kernels = RowKernels(system)
    for seed in (4, 5, 4):
        rows = Rows.random(system, 3, Source(seed))
        out, bus = full(5, 3), full(15, 3)
        kernels.combine_constraints(
            rows.base, rows.base[:, 1:], rows.ext, rows.ext[:, 1:], rows.publics, rows.scalars, rows.weights,
            rows.multipliers, out, 0, 3,
        )  # fmt: skip
        assert ext_of_array(out, 2) == rows.plain_combined(2)
        kernels.logup_columns(rows.base, rows.following, rows.publics, rows.scalars, bus, 0, 3)
        assert ext_of_array(bus[10:], 2) == rows.plain_lookups(2)[2]


@pytest.mark.parametrize("name", ["ledger", "solvency_equity_v1", "solvency_risk_v1", *RANDOM])
def test_lookups(name: str) -> None:
    system = _without_extension_cells(SYSTEMS[name]())
    helpers = len(system.fractions) // 2
    rows = Rows.random(system, 150, Source(seed=6))
    out = full(5 * (helpers + 1), 150)
    zero = rows.lookups(out, 2, 149)
    for row in (2, 70, 129, 130, 148):
        if any(rows.nodes(row)[f.denominator] == ext_zero for f in system.fractions):
            assert 0 <= zero <= row
            continue
        expected = rows.plain_lookups(row)
        assert [ext_of_array(out[5 * k : 5 * k + 5], row) for k in range(helpers + 1)] == expected, f"row {row}"
    assert (out[:, [0, 1, 149]] == P - 1).all()


def test_zero_denominator_is_reported() -> None:
    """alpha - 1 - beta * amount is zero for one amount when alpha and beta lie in the base field."""
    rows = Rows.random(ledger_system(), 300, Source(seed=7))
    rows.scalars.update(alpha=lift(10), beta=lift(3))
    rows.base[:] = mont_of_int(1)
    out = np.empty((15, 300), np.uint32)
    assert rows.lookups(out, 0, 300) == -1
    rows.base[0, [17, 140, 299]] = mont_of_int(3)
    assert rows.lookups(out, 0, 300) == 17
    assert rows.lookups(out, 18, 300) == 140
    assert rows.lookups(out, 141, 299) == -1, "row 299 is in the last block, but was not asked for"
    assert ext_of_array(out[10:], 150) == rows.plain_lookups(150)[2]


@pytest.mark.parametrize("name", ["ledger", "blocks", "solvency_equity_v1", "solvency_risk_v1", *RANDOM])
def test_accumulators(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rowkernels, "_SCAN_ROWS", 16)
    system = _without_extension_cells(SYSTEMS[name]())
    for active in (1, 2, 17, 40):
        rows = Rows.random(system, active, Source(seed=active))
        out = full(5 * len(system.accumulators), active + 2)
        RowKernels(system).accumulator_columns(rows.base, rows.following, rows.publics, rows.scalars, out, active)
        for number, column in enumerate(rows.plain_accumulators()):
            part = out[5 * number : 5 * number + 5]
            assert [ext_of_array(part, row) for row in range(active)] == column
        assert (out[:, active:] == P - 1).all()


def _without_extension_cells(system: ConstraintSystem) -> ConstraintSystem:
    """Fractions and accumulators are computed before the extension columns exist: read base cells instead."""
    limit = len(system.columns)
    nodes = tuple(
        ("column", node[1] % limit, node[2]) if node[0] == "column" and node[1] >= limit else node
        for node in system.nodes
    )
    return replace(system, nodes=nodes)


def test_compile_reports_progress() -> None:
    seen: list[float] = []
    RowKernels(ledger_system()).compile(seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_sharing() -> None:
    """Equal products and sums are computed once, constants and scalars cost nothing."""
    lowering = codegen.Lowering(ledger_system(), {name: lift(7) for name in ("r", "alpha", "beta", "terminal")})
    a, b = (codegen.slot_form(lowering.load(codegen.BASE, row)) for row in (0, 1))
    total = codegen.weighted_sum([(lift(1), a), (lift(P - 1), b)])
    for _ in range(2):
        lowering.product(lowering.product(total, a), codegen.constant_form((1, 2, 3, 4, 5)))
    assert len(lowering.program().operations) == 2


def _refusals() -> Sequence[tuple[str, Callable[[Rows, U32Array], object]]]:
    return (
        ("too few columns", lambda rows, out: rows.combined(out[:, :3], 0, 4)),
        ("too few rows", lambda rows, out: rows.combined(out[:4], 0, 4)),
        ("wrong type", lambda rows, out: rows.combined(out.astype(np.int64), 0, 4)),
        ("last axis not contiguous", lambda rows, out: rows.combined(out[:, ::2], 0, 2)),
        ("not a range", lambda rows, out: rows.combined(out, -1, 2)),
        ("rows beyond the columns", lambda rows, out: rows.combined(full(5, 9), 0, 9)),
    )


@pytest.mark.parametrize("case", _refusals(), ids=lambda case: case[0])
def test_arrays_that_do_not_fit_are_refused(case: tuple[str, Callable[[Rows, U32Array], object]]) -> None:
    rows, out = Rows.random(ledger_system(), 4, Source(seed=8)), full(5, 4)
    with pytest.raises(ValueError, match=r"expected|contiguous|not a range"):
        case[1](rows, out)
    assert (from_mont(out) == from_mont(full(5, 4))).all()
