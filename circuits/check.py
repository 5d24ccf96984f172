"""The row checker: which row breaks which constraint, and which bus tuple does not balance.

It reads the same data as the prover and the verifier, but evaluates every row of the trace, so a wrong witness is named
before anybody spends time on a proof.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from verifier.air import ALWAYS, FIRST, KEEP_LAST, LAST, REPEAT, TRANSITION, ConstraintSystem
from verifier.field import Ext, P, ext_batch_inverse, ext_mul, ext_sub

Words = npt.NDArray[np.uint64]
BLOCK_ROWS = 4096


@dataclass(frozen=True, order=True)
class Violation:
    """`row` breaks the constraint or bus `label`."""

    row: int
    label: str

    def __str__(self) -> str:
        return f"row {self.row}: {self.label}"


@dataclass(frozen=True)
class Witness:
    """What the checker needs, all canonical.

    Args:
        base: (columns, rows) words.
        publics: (public columns, rows) words.
        active_rows: constraints hold on rows below this.
        scalars: in the order of the system; only needed for extension-valued constraints and buses.
    """

    base: npt.NDArray[np.uint32]
    publics: npt.NDArray[np.uint32]
    active_rows: int
    scalars: Sequence[Ext] = ()
    extension: npt.NDArray[np.uint32] | None = None


def public_matrix(system: ConstraintSystem, values: Mapping[str, Sequence[int]], rows: int) -> npt.NDArray[np.uint32]:
    """(public columns, rows) canonical words from the first values of each column and its pad rule."""
    out = np.zeros((len(system.publics), rows), np.uint32)
    for k, (name, pad) in enumerate(system.publics):
        given = values[name]
        if pad == REPEAT:
            out[k] = np.tile(np.array(given, np.uint32), rows // len(given))
            continue
        out[k, : len(given)] = given
        if pad == KEEP_LAST:
            out[k, len(given) :] = given[-1]
    return out


def _multiply(a: Words, b: Words) -> Words:
    """Product of base arrays (rows,) and extension arrays (5, rows) in any mix."""
    if a.ndim == 1 or b.ndim == 1:
        return a * b % P
    wide = [np.zeros(a.shape[1], np.uint64) for _ in range(9)]
    for i in range(5):
        for j in range(5):
            wide[i + j] = (wide[i + j] + a[i] * b[j] % P) % P
    for k in range(8, 4, -1):  # X^k = X^(k-5) - X^(k-3)
        wide[k - 5] = (wide[k - 5] + wide[k]) % P
        wide[k - 3] = (wide[k - 3] + P - wide[k]) % P
    return np.stack(wide[:5])


def _evaluate(
    system: ConstraintSystem, witness: Witness, rows: npt.NDArray[np.int64], wanted: set[int]
) -> dict[int, Words]:
    """Values of the wanted nodes on the given rows: (rows,) for base values, (5, rows) for extension values."""
    following = (rows + 1) % witness.base.shape[1]
    values: dict[int, Words] = {}
    for index in sorted(_needed(system, wanted)):
        values[index] = _node_value(system, witness, system.nodes[index], values, rows, following)
    return {index: values[index] for index in wanted}


def _needed(system: ConstraintSystem, wanted: set[int]) -> set[int]:
    needed = set(wanted)
    for index in range(len(system.nodes) - 1, -1, -1):
        node = system.nodes[index]
        if index in needed and node[0] == "linear":
            needed.update(child for _, child in node[2])
        elif index in needed and node[0] == "product":
            needed.update(node[1:])
    return needed


def _node_value(
    system: ConstraintSystem,
    witness: Witness,
    node: tuple[Any, ...],
    values: Mapping[int, Words],
    rows: npt.NDArray[np.int64],
    following: npt.NDArray[np.int64],
) -> Words:
    kind = node[0]
    if kind == "column":
        at, width = (following if node[2] else rows), len(system.columns)
        if node[1] < width:
            return np.asarray(witness.base[node[1], at], np.uint64)
        if witness.extension is None:
            raise ValueError("extension columns are needed for this constraint")
        first = 5 * (node[1] - width)
        cells: Words = witness.extension[first : first + 5, at].astype(np.uint64)
        return cells
    if kind == "public":
        return np.asarray(witness.publics[node[1], rows], np.uint64)
    if kind == "scalar":
        return np.array(witness.scalars[node[1]], np.uint64)[:, None] + np.zeros(len(rows), np.uint64)
    if kind == "product":
        return _multiply(values[node[1]], values[node[2]])
    extended = any(values[child].ndim == 2 for _, child in node[2])
    out: Words = np.zeros((5, len(rows)) if extended else len(rows), np.uint64)
    constant_part = out[0] if extended else out
    constant_part += np.uint64(node[1])
    for c, child in node[2]:
        value = values[child]
        target = out[0] if extended and value.ndim == 1 else out
        target[...] = (target + np.uint64(c) * value) % P
    return out % P


def _extension_valued(system: ConstraintSystem) -> list[bool]:
    out: list[bool] = []
    for node in system.nodes:
        if node[0] == "column":
            out.append(node[1] >= len(system.columns))
        elif node[0] == "linear":
            out.append(any(out[child] for _, child in node[2]))
        else:
            out.append(node[0] == "scalar" or (node[0] == "product" and any(out[child] for child in node[1:])))
    return out


def _domain_rows(domain: str, start: int, stop: int, active: int) -> range:
    low, high = {ALWAYS: (0, active), FIRST: (0, 1), TRANSITION: (0, active - 1), LAST: (active - 1, active)}[domain]
    return range(max(start, low), min(stop, high))


def check_rows(system: ConstraintSystem, witness: Witness, limit: int = 20) -> list[Violation]:
    """Broken constraints, in row order, at most `limit`.

    Constraints on extension columns are checked only when `witness.extension` is given.
    """
    extended = _extension_valued(system)
    chosen = [c for c in system.constraints if witness.extension is not None or not extended[c.node]]
    out: list[Violation] = []
    for start in range(0, witness.active_rows, BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, witness.active_rows)
        values = _evaluate(system, witness, np.arange(start, stop), {c.node for c in chosen})
        for constraint in chosen:
            rows = _domain_rows(constraint.domain, start, stop, witness.active_rows)
            if not rows:
                continue
            value = values[constraint.node]
            broken = np.asarray(value.reshape(-1, stop - start).any(axis=0), np.bool_)
            bad = broken[rows.start - start : rows.stop - start]
            out += [Violation(rows.start + int(i), constraint.label) for i in np.flatnonzero(bad)[:limit]]
        if len(out) >= limit:
            break
    return sorted(out)[:limit]


def check_buses(
    system: ConstraintSystem, witness: Witness, supplied: Sequence[tuple[Ext, Ext]], limit: int = 20
) -> list[Violation]:
    """Tuples whose fractions do not cancel, named by the first row and fraction that touch them.

    Args:
        supplied: the verifier's own fractions (numerator, denominator), which the trace's sum must equal.
    """
    balance: dict[tuple[int, ...], list[int]] = {}
    touched: dict[tuple[int, ...], Violation] = {}
    rows = np.arange(witness.active_rows)
    for fraction in system.fractions:
        values = _evaluate(system, witness, rows, {fraction.numerator, fraction.denominator})
        numerator, denominator = values[fraction.numerator], values[fraction.denominator]
        wide = numerator if numerator.ndim == 2 else np.vstack([numerator, np.zeros((4, len(numerator)), np.uint64)])
        live = np.flatnonzero(wide.any(axis=0))
        keys, first, inverse = np.unique(denominator[:, live], axis=1, return_index=True, return_inverse=True)
        sums = np.zeros((5, keys.shape[1]), np.uint64)
        for k in range(5):
            np.add.at(sums[k], inverse.ravel(), wide[k, live])
        for at in range(keys.shape[1]):
            key = tuple(int(x) for x in keys[:, at])
            held = balance.setdefault(key, [0] * 5)
            balance[key] = [(a + int(b)) % P for a, b in zip(held, sums[:, at], strict=True)]
            touched.setdefault(key, Violation(int(live[first[at]]), fraction.label))
    for number, (numerator_value, denominator_value) in enumerate(supplied):
        held = balance.setdefault(denominator_value, [0] * 5)
        balance[denominator_value] = [(a - b) % P for a, b in zip(held, numerator_value, strict=True)]
        touched.setdefault(denominator_value, Violation(-1, f"verifier's fraction {number}"))
    return sorted(touched[key] for key, held in balance.items() if any(held))[:limit]


def terminal_of(supplied: Sequence[tuple[Ext, Ext]]) -> Ext:
    """Sum of the verifier's fractions. Raises ZeroDivisionError for a zero denominator."""
    inverses = ext_batch_inverse([denominator for _, denominator in supplied])
    total: Ext = (0, 0, 0, 0, 0)
    for (numerator, _), inverse in zip(supplied, inverses, strict=True):
        total = ext_sub(total, ext_mul(ext_sub((0, 0, 0, 0, 0), numerator), inverse))
    return total
