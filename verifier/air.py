"""A constraint system as plain data: what a circuit is, once its author has said it.

One `ConstraintSystem` has four readers: the row checker (`circuits.check`), the kernel generator of the prover
(`prover.kernels.codegen`), the evaluation at one point in plain integers (here), and the soundness accounting
(`verifier.soundness`). It is a directed acyclic graph of nodes; a node refers only to earlier nodes.

    ("column", index, rotation)          a trace cell, `rotation` 0 = this row, 1 = the next row
    ("public", index)                    a column that verifier and prover both compute from the statement
    ("scalar", index)                    a challenge or a number derived from challenges and statement
    ("linear", constant, ((c, node)..))  constant + sum of c * node
    ("product", a, b)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from verifier.errors import InvariantBroken
from verifier.field import Ext, P, ext_add, ext_mul, ext_zero

Node = tuple[Any, ...]

ALWAYS, FIRST, TRANSITION, LAST = "always", "first", "transition", "last"
DOMAINS = (ALWAYS, FIRST, TRANSITION, LAST)
ZERO, KEEP_LAST, REPEAT = "zero", "last", "repeat"
PADS = (ZERO, KEEP_LAST, REPEAT)
MAX_DEGREE = 3


@dataclass(frozen=True)
class Constraint:
    """`node` is zero on every active row of `domain` (`transition`: all active rows but the last)."""

    label: str
    domain: str
    node: int


@dataclass(frozen=True)
class Fraction:
    """One LogUp term `numerator / denominator`, summed over the active rows."""

    label: str
    numerator: int
    denominator: int


@dataclass(frozen=True)
class Accumulator:
    """An extension column with `first` on row 0 and `next = keep * this + add` on every transition."""

    column: str
    first: int
    keep: int
    add: int


@dataclass(frozen=True)
class ConstraintSystem:
    """A frozen circuit.

    Args:
        name: registered name, with its version.
        columns: base columns (one word a row), committed before any challenge.
        extension_columns: columns of five words a row, committed after the lookup challenges; first the
            accumulators, then one helper per pair of fractions, last the running sum of all fractions.
        publics: (name, pad) of columns both sides know; `pad` says what stands below the last given row:
            "zero", "last" for the last given value, or "repeat" for the given rows again and again (a power of two).
        scalars: names of the numbers known to both sides when constraints are evaluated.
        nodes, constraints, fractions, accumulators: see the classes above.
        value_tuple_width: widest bus tuple, for the soundness table (LogUp term).
        row_polynomial_degree: highest power of the challenge `r` in an accumulator, for the soundness table.
    """

    name: str
    columns: tuple[str, ...]
    extension_columns: tuple[str, ...]
    publics: tuple[tuple[str, str], ...]
    scalars: tuple[str, ...]
    nodes: tuple[Node, ...]
    constraints: tuple[Constraint, ...]
    fractions: tuple[Fraction, ...]
    accumulators: tuple[Accumulator, ...]
    value_tuple_width: int
    row_polynomial_degree: int
    cache: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def all_columns(self) -> tuple[str, ...]:
        return self.columns + self.extension_columns

    @cached_property
    def degrees(self) -> tuple[int, ...]:
        """Degree of each node in committed and public columns."""
        out: list[int] = []
        for node in self.nodes:
            kind = node[0]
            if kind in ("column", "public"):
                out.append(1)
            elif kind == "scalar":
                out.append(0)
            elif kind == "linear":
                out.append(max((out[child] for _, child in node[2]), default=0))
            else:
                out.append(out[node[1]] + out[node[2]])
        return tuple(out)

    @cached_property
    def next_row_columns(self) -> tuple[int, ...]:
        """Indices (into `all_columns`) of the columns read at the next row, ascending: opened at `w * zeta` too."""
        return tuple(sorted({node[1] for node in self.nodes if node[0] == "column" and node[2] == 1}))

    @cached_property
    def opened_words(self) -> tuple[int, int]:
        """Words opened per query in the base tree and in the extension tree."""
        return len(self.columns), 5 * len(self.extension_columns)

    def to_bytes(self) -> bytes:
        """Canonical JSON: the key file, and what the digest hashes."""
        data = {
            "format": "solvent/circuit/v1",
            "name": self.name,
            "columns": self.columns,
            "extension_columns": self.extension_columns,
            "publics": self.publics,
            "scalars": self.scalars,
            "nodes": self.nodes,
            "constraints": [(c.label, c.domain, c.node) for c in self.constraints],
            "fractions": [(f.label, f.numerator, f.denominator) for f in self.fractions],
            "accumulators": [(a.column, a.first, a.keep, a.add) for a in self.accumulators],
            "value_tuple_width": self.value_tuple_width,
            "row_polynomial_degree": self.row_polynomial_degree,
        }
        return json.dumps(data, separators=(",", ":"), sort_keys=True).encode() + b"\n"

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the key file: stands for the circuit in every statement and transcript."""
        return hashlib.sha256(self.to_bytes()).digest()

    @classmethod
    def from_bytes(cls, data: bytes) -> ConstraintSystem:
        """Read a key file. Keys ship with the verifier and are pinned by digest, so a bad one is our bug."""
        raw = json.loads(data)
        system = cls(
            name=raw["name"],
            columns=tuple(raw["columns"]),
            extension_columns=tuple(raw["extension_columns"]),
            publics=tuple((name, pad) for name, pad in raw["publics"]),
            scalars=tuple(raw["scalars"]),
            nodes=tuple(_node(node) for node in raw["nodes"]),
            constraints=tuple(Constraint(*item) for item in raw["constraints"]),
            fractions=tuple(Fraction(*item) for item in raw["fractions"]),
            accumulators=tuple(Accumulator(*item) for item in raw["accumulators"]),
            value_tuple_width=raw["value_tuple_width"],
            row_polynomial_degree=raw["row_polynomial_degree"],
        )
        if system.to_bytes() != data:
            raise InvariantBroken(f"key file of circuit {system.name} is not canonical")
        system.validate()
        return system

    def _reads_next(self, node: int) -> bool:
        """Whether a node's value depends on the next row."""
        if "reads_next" not in self.cache:
            out: list[bool] = []
            for item in self.nodes:
                children = [c for _, c in item[2]] if item[0] == "linear" else item[1:] if item[0] == "product" else ()
                out.append((item[0] == "column" and item[2] == 1) or any(out[child] for child in children))
            self.cache["reads_next"] = out
        return bool(self.cache["reads_next"][node])

    def validate(self) -> None:
        """Refuse a graph with forward references, unknown names, repeated labels, too high a degree, or a look at the
        next row outside a transition: on the last active row that would read a hidden one."""
        limits = {"column": len(self.all_columns), "public": len(self.publics), "scalar": len(self.scalars)}
        for index, node in enumerate(self.nodes):
            if node[0] in limits:
                fine = 0 <= node[1] < limits[node[0]] and (node[0] != "column" or node[2] in (0, 1))
            else:
                children = [c for _, c in node[2]] if node[0] == "linear" else list(node[1:])
                fine = all(0 <= child < index for child in children)
            if not fine:
                raise InvariantBroken(f"circuit {self.name}: node {index} is malformed: {node}")
        if any(pad not in PADS for _, pad in self.publics):
            raise InvariantBroken(f"circuit {self.name}: a public column is padded in an unknown way")
        labels = [c.label for c in self.constraints]
        if len(set(labels)) != len(labels):
            raise InvariantBroken(f"circuit {self.name}: a constraint label is used twice")
        for constraint in self.constraints:
            # first and last are divided by one linear factor only: degree 3 would not fit in the quotient's chunks.
            limit = MAX_DEGREE if constraint.domain in (ALWAYS, TRANSITION) else MAX_DEGREE - 1
            if constraint.domain not in DOMAINS or self.degrees[constraint.node] > limit:
                raise InvariantBroken(f"circuit {self.name}: {constraint.label} has degree above {limit}")
            if constraint.domain != TRANSITION and self._reads_next(constraint.node):
                raise InvariantBroken(
                    f"circuit {self.name}: {constraint.label} reads the next row, but is no transition"
                )
        for fraction in self.fractions:
            if self._reads_next(fraction.numerator) or self._reads_next(fraction.denominator):
                raise InvariantBroken(f"circuit {self.name}: the fraction {fraction.label} reads the next row")


def _node(raw: Sequence[Any]) -> Node:
    if raw[0] == "linear":
        return ("linear", raw[1], tuple((c, child) for c, child in raw[2]))
    return tuple(raw)


def evaluate(
    system: ConstraintSystem,
    here: Sequence[Ext],
    following: Mapping[int, Ext],
    publics: Sequence[Ext],
    scalars: Sequence[Ext],
) -> list[Ext]:
    """Value of every node at one point, in plain integers.

    Args:
        here: value of each of `all_columns` at the point.
        following: value, by column index, of the columns in `next_row_columns` at the next row.
        publics, scalars: values in the order of the system.
    """
    values: list[Ext] = []
    for node in system.nodes:
        kind = node[0]
        if kind == "linear":
            v0, v1, v2, v3, v4 = node[1], 0, 0, 0, 0
            for c, child in node[2]:
                x0, x1, x2, x3, x4 = values[child]
                v0 += c * x0
                v1 += c * x1
                v2 += c * x2
                v3 += c * x3
                v4 += c * x4
            values.append((v0 % P, v1 % P, v2 % P, v3 % P, v4 % P))
        elif kind == "product":
            values.append(ext_mul(values[node[1]], values[node[2]]))
        elif kind == "column":
            values.append(here[node[1]] if node[2] == 0 else following[node[1]])
        elif kind == "public":
            values.append(publics[node[1]])
        else:
            values.append(scalars[node[1]])
    return values


def combine(values: Sequence[Ext], nodes: Sequence[int], weights: Sequence[Ext]) -> Ext:
    """Sum of weight * value over the given nodes."""
    total = ext_zero
    for node, weight in zip(nodes, weights, strict=True):
        total = ext_add(total, ext_mul(weight, values[node]))
    return total


__all__ = [
    "ALWAYS",
    "FIRST",
    "KEEP_LAST",
    "LAST",
    "PADS",
    "REPEAT",
    "TRANSITION",
    "ZERO",
    "Accumulator",
    "Constraint",
    "ConstraintSystem",
    "Fraction",
    "Node",
    "combine",
    "evaluate",
]
