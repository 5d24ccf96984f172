"""Write a circuit once, as labelled polynomials; get plain data that four readers evaluate.

An `Expr` is an affine form over graph nodes, so sums cost nothing until they are multiplied or required to be zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from verifier.air import (
    ALWAYS,
    FIRST,
    LAST,
    TRANSITION,
    Accumulator,
    Constraint,
    ConstraintSystem,
    Fraction,
    Node,
)
from verifier.errors import InvariantBroken
from verifier.field import EXTENSION_DEGREE, P


@dataclass(frozen=True, eq=False)
class Expr:
    """constant + sum of coefficient * node, over the field."""

    air: AirBuilder
    constant: int
    terms: dict[int, int]

    def __add__(self, other: Expr | int) -> Expr:
        if isinstance(other, int):
            return Expr(self.air, (self.constant + other) % P, self.terms)
        terms = dict(self.terms)
        for node, c in other.terms.items():
            terms[node] = (terms.get(node, 0) + c) % P
        return Expr(self.air, (self.constant + other.constant) % P, {n: c for n, c in terms.items() if c})

    __radd__ = __add__

    def __neg__(self) -> Expr:
        return self * -1

    def __sub__(self, other: Expr | int) -> Expr:
        return self + (-other)

    def __rsub__(self, other: int) -> Expr:
        return -self + other

    def __mul__(self, other: Expr | int) -> Expr:
        if isinstance(other, int):
            k = other % P
            return Expr(self.air, self.constant * k % P, {n: c * k % P for n, c in self.terms.items()} if k else {})
        for one, two in ((self, other), (other, self)):
            if not one.terms:
                return two * one.constant
        node = self.air.node(("product", *sorted((self.air.freeze(self), self.air.freeze(other)))))
        return Expr(self.air, 0, {node: 1})

    __rmul__ = __mul__


def total(items: Iterable[Expr]) -> Expr:
    """Sum of at least one expression."""
    first, *rest = items
    for item in rest:
        first = first + item
    return first


@dataclass
class AirBuilder:
    """Collects one circuit.

    Args:
        columns: names of the base columns, in the order of the committed matrix.
        publics: (name, pad) as in `ConstraintSystem`.
    """

    columns: Sequence[str]
    publics: Sequence[tuple[str, str]]
    extension_columns: list[str] = field(default_factory=list)
    _nodes: list[Node] = field(default_factory=list)
    _known: dict[Node, int] = field(default_factory=dict)
    _constraints: list[Constraint] = field(default_factory=list)
    _fractions: list[Fraction] = field(default_factory=list)
    _accumulators: list[Accumulator] = field(default_factory=list)
    _width: int = 0
    SCALARS = ("r", "alpha", "beta", "terminal", "x", "root", "mask_out", "mask_in")

    def node(self, node: Node) -> int:
        """Index of a node, made only once."""
        if node not in self._known:
            self._known[node] = len(self._nodes)
            self._nodes.append(node)
        return self._known[node]

    def freeze(self, expr: Expr) -> int:
        """The node that holds an expression's value."""
        if expr.constant == 0 and list(expr.terms.values()) == [1]:
            return next(iter(expr.terms))
        return self.node(("linear", expr.constant, tuple((c, n) for n, c in sorted(expr.terms.items()))))

    def _leaf(self, node: Node) -> Expr:
        return Expr(self, 0, {self.node(node): 1})

    def row(self, column: str) -> Expr:
        """A base column at this row."""
        return self._leaf(("column", self.columns.index(column), 0))

    def next(self, column: str) -> Expr:
        """A base column at the next row."""
        return self._leaf(("column", self.columns.index(column), 1))

    def extension(self, column: str, rotation: int = 0) -> Expr:
        return self._leaf(("column", len(self.columns) + self.extension_columns.index(column), rotation))

    def public(self, name: str) -> Expr:
        return self._leaf(("public", [n for n, _ in self.publics].index(name)))

    def extension_public(self, name: str) -> Expr:
        """A public column of extension elements, given by its five coordinates name0 .. name4."""
        return total(self.power("x", k) * self.public(f"{name}{k}") for k in range(EXTENSION_DEGREE))

    def scalar(self, name: str) -> Expr:
        return self._leaf(("scalar", self.SCALARS.index(name)))

    def power(self, name: str, exponent: int) -> Expr:
        """`exponent`-th power of a scalar; the chain of products is shared."""
        out = Expr(self, 1, {})
        for _ in range(exponent):
            out = out * self.scalar(name)
        return out

    def polynomial(self, coefficients: Sequence[Expr | int], step: int = 1, start: int = 0) -> Expr:
        """sum of coefficients[i] * r ** (start + step * i)."""
        return total(self.power("r", start + step * i) * c for i, c in enumerate(coefficients))

    def require(self, domain: str, label: str, expr: Expr) -> None:
        """`expr` is zero on every active row of `domain`."""
        self._constraints.append(Constraint(label, domain, self.freeze(expr)))

    def require_all(self, domain: str, label: str, exprs: Iterable[Expr]) -> None:
        """One constraint per element, labelled `label[i]`."""
        for i, expr in enumerate(exprs):
            self.require(domain, f"{label}[{i}]", expr)

    def fingerprint(self, tag: int, values: Sequence[Expr | int]) -> Expr:
        """alpha - tag - sum of beta ** (k + 1) * values[k]: the denominator of a bus tuple."""
        self._width = max(self._width, len(values) + 1)
        return self.scalar("alpha") - total(
            [Expr(self, tag, {}), *(self.power("beta", k + 1) * value for k, value in enumerate(values))]
        )

    def fraction(self, label: str, numerator: Expr | int, denominator: Expr) -> None:
        """Add `numerator / denominator` of every active row to the bus sum."""
        if isinstance(numerator, int):
            numerator = Expr(self, numerator % P, {})
        self._fractions.append(Fraction(label, self.freeze(numerator), self.freeze(denominator)))

    def accumulate(self, column: str, first: Expr, keep: Expr, add: Expr) -> None:
        """An extension column that starts at `first` and follows `next = keep * this + add`."""
        self.extension_columns.append(column)
        here, following = self.extension(column), self.extension(column, 1)
        self._accumulators.append(Accumulator(column, *(self.freeze(e) for e in (first, keep, add))))
        self.require(FIRST, f"{column} first", here - first)
        self.require(TRANSITION, f"{column} step", following - keep * here - add)

    def _expr(self, node: int) -> Expr:
        return Expr(self, 0, {node: 1})

    def _close_buses(self) -> None:
        """One helper column per pair of fractions, the last fraction inside the running sum (ePrint 2022/1530)."""
        if len(self._fractions) % 2 == 0:
            raise InvariantBroken("the number of fractions must be odd: the last one rides in the running sum")
        *paired, last = self._fractions
        summands = []
        for k in range(0, len(paired), 2):
            name = f"helper{k // 2}"
            self.extension_columns.append(name)
            (n_a, d_a), (n_b, d_b) = ((self._expr(f.numerator), self._expr(f.denominator)) for f in paired[k : k + 2])
            helper = self.extension(name)
            label = f"{name} {paired[k].label} + {paired[k + 1].label}"
            self.require(ALWAYS, label, helper * d_a * d_b - n_a * d_b - n_b * d_a)
            summands.append(helper)
        self.extension_columns.append("running_sum")
        here, following = self.extension("running_sum"), self.extension("running_sum", 1)
        so_far = total([here, *summands])
        numerator, denominator = self._expr(last.numerator), self._expr(last.denominator)
        self.require(FIRST, "running_sum first", here)
        self.require(TRANSITION, "running_sum step", (following - so_far) * denominator - numerator)
        self.require(LAST, "running_sum last", (self.scalar("terminal") - so_far) * denominator - numerator)

    def finish(self, name: str, row_polynomial_degree: int) -> ConstraintSystem:
        """Close the buses and freeze. `row_polynomial_degree` is explained at `ConstraintSystem`."""
        if self._fractions:
            self._close_buses()
        system = ConstraintSystem(
            name=name,
            columns=tuple(self.columns),
            extension_columns=tuple(self.extension_columns),
            publics=tuple(self.publics),
            scalars=self.SCALARS,
            nodes=tuple(self._nodes),
            constraints=tuple(self._constraints),
            fractions=tuple(self._fractions),
            accumulators=tuple(self._accumulators),
            value_tuple_width=self._width,
            row_polynomial_degree=row_polynomial_degree,
        )
        system.validate()
        return system
