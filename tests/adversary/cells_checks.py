"""What the row checker and the bus checker say of one changed cell, for thousands of changes of one column at once.

Only what depends on the column is evaluated again, by the row checker's own code, on the changed row and on the one
before; all else is taken from the honest trace. The exchange is given all that it could do about the change:
multiplicities of the tables are adapted, and accumulators, helpers and the running sum are computed from what is there.
So a step of an accumulator never breaks; what is named is where it ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from circuits.check import BLOCK_ROWS, Witness, Words, _evaluate, _multiply
from tests.adversary.cells_rows import Rows, Trace
from tests.malicious.world import ACTIVE, Array
from verifier.air import FIRST, LAST, TRANSITION, Accumulator, Constraint, ConstraintSystem, Fraction
from verifier.errors import InvariantBroken
from verifier.field import P

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Named:
    """Who names which change: (constraints and fractions, changes) bits.

    Args:
        labels: of the rows of `bits`: constraints, then fractions.
        adapted: changes that only multiplicities would show, if they were left as they were.
    """

    labels: tuple[str, ...]
    bits: Mask
    adapted: Mask


class _Values(Mapping[int, Words]):
    """Nodes of the changed rows: those evaluated again, and all others from the honest trace."""

    def __init__(self, honest: Mapping[int, Words], at: Rows) -> None:
        self.new: dict[int, Words] = {}
        self._old: dict[int, Words] = {}
        self._honest, self._at = honest, at

    def __getitem__(self, node: int) -> Words:
        return self.new[node] if node in self.new else self.before(node)

    def before(self, node: int) -> Words:
        """The honest values."""
        if node not in self._old:
            self._old[node] = self._honest[node][..., self._at]
        return self._old[node]

    def __iter__(self) -> Iterator[int]:
        return iter(self._honest)

    def __len__(self) -> int:
        return len(self._honest)


class Checks:
    """The checkers on chosen rows of one trace. `rows`: ascending; changes are made on these."""

    def __init__(self, trace: Trace, rows: Rows) -> None:
        self.trace, self.system, self.rows = trace, trace.system, rows
        self.witness = Witness(trace.world.honest, trace.publics, ACTIVE, trace.scalars, trace.extension)
        everything = set(range(len(self.system.nodes)))
        self._here = _evaluate(self.system, self.witness, rows, everything)
        self._before = _evaluate(self.system, self.witness, np.maximum(rows - 1, 0), everything)
        self.labels = (*(c.label for c in self.system.constraints), *(f.label for f in self.system.fractions))
        self._own = _own_constraints(self.system)
        self._alive = {c.label: self._reach(c) for c in self._reading}

    # -- the circuit's shape ------------------------------------------------------------------------------------------

    @cached_property
    def _parents(self) -> list[list[int]]:
        out: list[list[int]] = [[] for _ in self.system.nodes]
        for index, node in enumerate(self.system.nodes):
            for child in _children(node):
                out[child].append(index)
        return out

    def dependent(self, nodes: Iterable[int]) -> list[int]:
        """All nodes above these, ascending, the nodes themselves included."""
        found, left = set(nodes), list(nodes)
        while left:
            for parent in self._parents[left.pop()]:
                if parent not in found:
                    found.add(parent)
                    left.append(parent)
        return sorted(found)

    def node_of(self, column: int, rotation: int = 0) -> list[int]:
        """The node that reads a column, if there is one."""
        wanted = ("column", column, rotation)
        return [index for index, node in enumerate(self.system.nodes) if node == wanted]

    def _column_of(self, accumulator: Accumulator) -> int:
        return self.system.all_columns.index(accumulator.column)

    @cached_property
    def _reading(self) -> list[Constraint]:
        """Constraints on accumulators but those that define them."""
        read = {n for a in self.system.accumulators for n in self.node_of(self._column_of(a))}
        above = set(self.dependent(read))
        return [c for c in self.system.constraints if c.node in above and c.label not in self._own]

    # -- accumulators -------------------------------------------------------------------------------------------------

    def _over_rows(self, node: int, extension: Array | None = None) -> Mask:
        """Whether a node is not zero, on every active row."""
        witness = self.witness
        if extension is not None:
            witness = Witness(witness.base, witness.publics, ACTIVE, witness.scalars, extension)
        parts = []
        for start in range(0, ACTIVE, BLOCK_ROWS):
            rows = np.arange(start, min(start + BLOCK_ROWS, ACTIVE))
            parts.append(_evaluate(self.system, witness, rows, {node})[node].reshape(-1, len(rows)).any(axis=0))
        return np.concatenate(parts)

    def _stops(self, accumulator: Accumulator) -> Mask:
        """Rows from which nothing of the accumulator gets to the next one: its factor is 0.

        Evaluated once for all rows on which it reads the same: it may have hundreds of powers of r.
        """
        read = {self.system.nodes[node] for node in self._below(accumulator.keep)}
        parts = [self.trace.publics[node[1]] for node in read if node[0] == "public"]
        parts += [np.roll(self.witness.base[node[1]], -node[2]) for node in read if node[0] == "column"]
        seen = np.stack(parts)[:, :ACTIVE] if parts else np.zeros((1, ACTIVE), np.uint32)
        _, rows, kind = np.unique(seen, axis=1, return_index=True, return_inverse=True)
        value = _evaluate(self.system, self.witness, rows, {accumulator.keep})[accumulator.keep]
        goes_on = np.asarray(value.reshape(-1, len(rows)).any(axis=0))
        return np.asarray(~goes_on[kind.ravel()])

    def _below(self, *nodes: int) -> set[int]:
        """All nodes that these are made of."""
        found, left = set(nodes), list(nodes)
        while left:
            children = set(_children(self.system.nodes[left.pop()])) - found
            found |= children
            left += children
        return found

    def _reach(self, constraint: Constraint) -> dict[str, Mask]:
        """Per accumulator that the constraint reads: rows from which a difference reaches a later row that shows it.

        It gets from one row to the next as long as the factor between them is not zero.
        """
        out = {}
        for number, accumulator in enumerate(self.system.accumulators):
            if constraint.node not in self.dependent(self.node_of(self._column_of(accumulator))):
                continue
            shifted = self.trace.extension.copy()
            shifted[5 * number] = (shifted[5 * number].astype(np.uint64) + 1) % P
            shows = self._over_rows(constraint.node, shifted) & _domain(constraint, np.arange(ACTIVE))
            stops = self._stops(accumulator)
            next_shows, next_stop = _next_true(shows), _next_true(stops)
            out[accumulator.column] = (next_shows[1:] <= next_stop[:-1]) & (next_shows[1:] < ACTIVE)
        return out

    def _accumulators(self, at: Rows, rows: Rows, before: _Values, here: _Values) -> dict[Accumulator, Words]:
        """What the accumulators are on the changed rows, where that depends on the change."""
        out: dict[Accumulator, Words] = {}
        for accumulator in self.system.accumulators:
            (cell,) = self.node_of(self._column_of(accumulator))
            if {accumulator.keep, accumulator.add} & here.new.keys():
                raise InvariantBroken(f"{accumulator.column} reads this row to step to the next one")
            stepped = {accumulator.keep, accumulator.add} & before.new.keys()
            if not stepped and accumulator.first not in here.new:
                continue
            if any({accumulator.column, a.column} <= read.keys() for a in out for read in self._alive.values()):
                raise InvariantBroken(f"{accumulator.column} and another one change at once, and might make up for it")
            value = _wide(self._here[cell])[:, at]
            later = rows > 0
            if stepped:
                kept = _multiply(_wide(before[accumulator.keep]), self._before[cell][:, at])
                value = np.where(later, (kept + _wide(before[accumulator.add])) % P, value)
            if accumulator.first in here.new:
                value = np.where(later, value, _wide(here[accumulator.first]))
            out[accumulator] = value
        return out

    # -- changes ------------------------------------------------------------------------------------------------------

    def change(self, column: int, at: Rows, new: Array, coordinate: int = 0) -> Named:
        """Who names a column's change to `new` on the rows numbered `at` among `rows`.

        Args:
            coordinate: of an extension column, whose other words stay. Nothing is adapted to these.
        """
        rows, width = self.rows[at], len(self.system.columns)
        before, here = _Values(self._before, at), _Values(self._here, at)
        for values, rotation in ((before, 1), (here, 0)):
            for node in self.node_of(column, rotation):
                cells = values.before(node).copy()
                (cells if column < width else cells[coordinate])[...] = new
                values.new[node] = cells
        self._evaluate_above(before, list(before.new))
        self._evaluate_above(here, list(here.new))
        accumulated: dict[Accumulator, Words] = {}
        if column < width:
            accumulated = self._accumulators(at, rows, before, here)
            cells_of = {self.node_of(self._column_of(a))[0]: value for a, value in accumulated.items()}
            here.new |= cells_of
            self._evaluate_above(here, list(cells_of))
        bits = np.zeros((len(self.labels), len(at)), np.bool_)
        self._constraints(bits, column < width, rows, before, here)
        for accumulator, value in accumulated.items():
            self._later(bits, accumulator, value, at, rows)
        adapted = np.zeros(len(at), np.bool_)
        if column < width:
            adapted = self._buses(bits, column, rows, here) & ~bits.any(axis=0)
        return Named(self.labels, bits, adapted)

    def _evaluate_above(self, values: _Values, given: list[int]) -> None:
        """Evaluate all that depends on these nodes: sums by what has changed in them, products anew."""
        for index in self.dependent(given):
            kind, *parts = self.system.nodes[index]
            if kind == "product":
                values.new[index] = _multiply(values[parts[0]], values[parts[1]])
            elif kind == "linear":
                value = values.before(index)
                for c, child in parts[1]:
                    if child in values.new:
                        value = _add_multiple(value, c, values.new[child], values.before(child))
                values.new[index] = value

    def _constraints(self, bits: Mask, base: bool, rows: Rows, before: _Values, here: _Values) -> None:
        """On the changed row and the one before; not those that the exchange fulfils by what it computes."""
        for number, constraint in enumerate(self.system.constraints):
            if base and constraint.label in self._own:
                continue
            for values, on in ((before, rows - 1), (here, rows)):
                if constraint.node in values.new:
                    broken = values.new[constraint.node].reshape(-1, len(rows)).any(axis=0)
                    bits[number] |= broken & _domain(constraint, on)

    def _later(self, bits: Mask, accumulator: Accumulator, value: Words, at: Rows, rows: Rows) -> None:
        (cell,) = self.node_of(self._column_of(accumulator))
        differs = (value != self._here[cell][:, at]).any(axis=0) & (rows < ACTIVE)
        for constraint in self._reading:
            if accumulator.column in self._alive[constraint.label]:
                reached = self._alive[constraint.label][accumulator.column][np.minimum(rows, ACTIVE - 1)]
                bits[self.system.constraints.index(constraint)] |= differs & reached

    def _buses(self, bits: Mask, column: int, rows: Rows, here: _Values) -> Mask:
        """Fractions that no multiplicity makes up for; which changes some multiplicity has made up for."""
        adapted = np.zeros(len(rows), np.bool_)
        parts: list[tuple[int, Words, Words]] = []
        is_table = any(column in cells for cells in self._tables.values())
        for number, fraction in enumerate(self.system.fractions, start=len(self.system.constraints)):
            if not {fraction.numerator, fraction.denominator} & here.new.keys():
                continue
            n, d = (_wide(here.before(node)) for node in (fraction.numerator, fraction.denominator))
            n_new, d_new = (_wide(here[node]) for node in (fraction.numerator, fraction.denominator))
            crossed = (_multiply(n_new, d) + P - _multiply(n, d_new)) % P
            crossed[:, rows >= ACTIVE] = 0
            if not is_table:
                listed = self._listed(d) & self._listed(d_new)
                adapted |= crossed.any(axis=0) & listed
                crossed[:, listed] = 0
            if crossed.any():
                parts.append((number, crossed, _multiply(d, d_new)))
        missing = _sum_of_fractions([(x, y) for _, x, y in parts], len(rows)).any(axis=0)
        for number, crossed, _ in parts:
            bits[number] |= crossed.any(axis=0) & missing
        return adapted

    @cached_property
    def _tables(self) -> dict[str, set[int]]:
        """Fractions whose numerator is minus a column: a table; the base columns that it reads."""
        out = {}
        for fraction in self.system.fractions:
            numerator = self.system.nodes[fraction.numerator]
            if numerator[0] == "linear" and [c for c, _ in numerator[2]] == [P - 1] and numerator[1] == 0:
                ((_, node),) = numerator[2]
                if self.system.nodes[node][0] == "column":
                    out[fraction.label] = self._read_by(fraction)
        return out

    def _read_by(self, fraction: Fraction) -> set[int]:
        nodes = (self.system.nodes[node] for node in self._below(fraction.numerator, fraction.denominator))
        return {node[1] for node in nodes if node[0] == "column"}

    @cached_property
    def _keys(self) -> npt.NDArray[np.uint64]:
        """All tuples of all tables, by two words of their denominators."""
        rows = np.unique(np.concatenate([np.arange(2**16), self.rows[self.rows < ACTIVE]]))
        wanted = {f.denominator for f in self.system.fractions if f.label in self._tables}
        values = _evaluate(self.system, self.witness, rows, wanted)
        return np.unique(np.concatenate([_key(value) for value in values.values()]))

    def _listed(self, denominators: Words) -> Mask:
        key = _key(denominators)
        place = np.minimum(np.searchsorted(self._keys, key), len(self._keys) - 1)
        return np.asarray(self._keys[place] == key)


def _children(node: tuple[object, ...]) -> list[int]:
    if node[0] == "linear":
        return [child for _, child in node[2]]  # type: ignore[attr-defined]
    return list(node[1:]) if node[0] == "product" else []  # type: ignore[arg-type]


def _own_constraints(system: ConstraintSystem) -> set[str]:
    """Labels of the constraints that say how an extension column is computed, and where the running sum ends."""
    own = {f"{a.column} {which}" for a in system.accumulators for which in ("first", "step")}
    return own | {c.label for c in system.constraints if c.label.startswith(("helper", "running_sum"))}


def _domain(constraint: Constraint, rows: Rows) -> Mask:
    """Rows on which a constraint holds."""
    low, high = {FIRST: (0, 0), LAST: (ACTIVE - 1, ACTIVE - 1), TRANSITION: (0, ACTIVE - 2)}.get(
        constraint.domain, (0, ACTIVE - 1)
    )
    return np.asarray((rows >= low) & (rows <= high))


def _next_true(flags: Mask) -> Rows:
    """Index of the first true one at or after each place, and after the last; beyond all rows if there is none."""
    places = np.where(flags, np.arange(len(flags)), 2 * len(flags))
    return np.minimum.accumulate(np.append(places, 2 * len(flags))[::-1])[::-1]


def _add_multiple(value: Words, c: int, new: Words, old: Words) -> Words:
    """value + c (new - old)."""
    difference = np.uint64(c) * ((new + np.uint64(P) - old) % np.uint64(P))
    if value.ndim == new.ndim:
        return np.asarray((value + difference) % np.uint64(P))
    out = value.copy()
    out[0] = (out[0] + difference) % np.uint64(P)
    return out


def _wide(values: Words) -> Words:
    """As extension elements (5, rows)."""
    if values.ndim == 2:
        return values
    return np.vstack([values[None], np.zeros((4, len(values)), np.uint64)])


def _key(elements: Words) -> npt.NDArray[np.uint64]:
    """Two of five words: what a fingerprint at random challenges shares with another by accident once in 2^62."""
    wide = _wide(elements)
    return np.asarray(wide[0] << np.uint64(32) | wide[1])


def _sum_of_fractions(parts: list[tuple[Words, Words]], count: int) -> Words:
    """Numerator of the sum of x / y."""
    x = np.zeros((5, count), np.uint64)
    y = _wide(np.ones(count, np.uint64))
    for other, below in parts:
        x = (_multiply(x, below) + _multiply(other, y)) % P
        y = _multiply(y, below)
    return x
