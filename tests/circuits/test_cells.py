"""Every cell of a row of every kind, one more and one less: named, or known by name as a cell that means nothing there.

`tests/adversary/cells.py` tries many more changes of many more rows, and this is its slow twin, over the same table.
Multiplicities are adapted as an honest prover would, so an idle cell that stays in range is not named. The answers come
from the verifier's evaluation in plain integers; the row checker has to give the same ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from circuits.check import Witness, check_rows, public_matrix
from circuits.solvency import COLUMNS
from tests.adversary.cells_free import idle
from tests.malicious.cheating_prover import CheatingProver
from tests.malicious.forge import Forge
from tests.malicious.published import SYSTEM, Published
from tests.malicious.sheet import AT, PAIRS, U16, neighbourhood
from tests.malicious.world import ROWS, World, make_world
from verifier.air import TRANSITION, evaluate
from verifier.field import Ext, P, ext_add, ext_sub, ext_zero, lift

LATE = {c.label for c in SYSTEM.constraints if c.label.startswith(("helper", "running_sum"))}
"""Constraints on columns that a prover fills in honestly after a change, as far as the buses balance."""
STEPS = {c.label for c in SYSTEM.constraints if c.domain == TRANSITION}
ENDS = {c.label for c in SYSTEM.constraints if c.domain in ("first", "last")}
NEXT = {SYSTEM.all_columns[i] for i in SYSTEM.next_row_columns}
KINDS = (
    *("mask out", "mask in", "carry", "root", "open", "first entry", "later entry", "close"),
    *("first child", "next child", "merge", "value", "dummy", "padding"),
)


@dataclass(frozen=True)
class Honest:
    world: World
    published: Published
    publics: np.ndarray[tuple[int, int], np.dtype[np.uint32]]
    scalars: tuple[Ext, ...]
    values: dict[int, Ext]
    rows: dict[str, int]


@cache
def honest() -> Honest:
    """An honest trace of one shard of several with its accumulator `value`, and a row of each kind."""
    world = make_world(shard=1)
    forged = Forge(world.plan).build()
    published = Published.by(forged)
    attempt = CheatingProver(world).prove(published.relation(), {})
    layout = world.plan.layout
    account, node = forged.at["account 1"], forged.at["node 1.0"]
    rows = {
        "mask out": layout.mask_out(3),
        "mask in": layout.mask_in(3),
        "carry": layout.carry(3),
        "root": layout.root,
        "open": account,
        "first entry": account + 1,
        "later entry": account + 4,
        "close": account + 9,
        "first child": node,
        "next child": node + 3,
        "merge": node + 8,
        "value": node + 9,
        "dummy": forged.at["dummy 0.1"],
        "padding": world.used + 7,
    }
    values = {at: attempt.lookup.value("value", at) for row in rows.values() for at in (row - 1, row, row + 1)}
    publics = public_matrix(SYSTEM, published.relation().public_values(attempt.scalars), ROWS)
    return Honest(world, published, publics, attempt.scalars, values, rows)


def row_of(at: int, change: tuple[str, int] | None = None) -> list[Ext]:
    """All columns of one row; the extension columns but `value` are left out."""
    known = honest()
    words = [int(word) for word in known.world.honest[:, at]]
    if change is not None:
        words[AT[change[0]]] += change[1]
    extension = [ext_zero] * len(SYSTEM.extension_columns)
    extension[SYSTEM.extension_columns.index("value")] = known.values[at]
    return [*(lift(word) for word in words), *extension]


def nodes_of(at: int, here: Sequence[Ext], following: Sequence[Ext]) -> list[Ext]:
    next_row = {column: following[column] for column in SYSTEM.next_row_columns}
    publics = [lift(int(word)) for word in honest().publics[:, at]]
    return evaluate(SYSTEM, here, next_row, publics, honest().scalars)


def broken(nodes: Sequence[Ext], labels: set[str] | None = None) -> set[str]:
    found = {c.label for c in SYSTEM.constraints if nodes[c.node] != ext_zero}
    return (found if labels is None else found & labels) - LATE - ENDS


def unbalanced(before: Sequence[Ext], after: Sequence[Ext], row: Sequence[Ext]) -> set[str]:
    """Fractions of one row that no honest multiplicity makes up for."""
    tables = {f"{name} is below 2^16": (row[AT[name]][0] < 2**16) for name in U16}
    tables |= {f"{a}, {b} are bytes": row[AT[a]][0] < 256 > row[AT[b]][0] for a, b in PAIRS}
    change: dict[Ext, Ext] = {}
    named: dict[Ext, str] = {}
    for fraction in SYSTEM.fractions:
        if tables.get(fraction.label, False):
            continue
        for nodes, sign in ((before, ext_sub), (after, ext_add)):
            key = nodes[fraction.denominator]
            change[key] = sign(change.get(key, ext_zero), nodes[fraction.numerator])
            named[key] = fraction.label
    out = {named[key] for key, total in change.items() if total != ext_zero}
    return out - {label for label, fine in tables.items() if fine}


def changes() -> Iterator[tuple[str, int]]:
    return ((name, by) for name in COLUMNS for by in (1, -1))


@cache
def answers(kind: str) -> dict[tuple[str, int], tuple[set[str], set[str]]]:
    """For every change: the broken constraints on base columns, and everything that is named."""
    at = honest().rows[kind]
    before, here, after = row_of(at - 1), row_of(at), row_of(at + 1)
    honest_nodes, out = nodes_of(at, here, after), {}
    assert broken(honest_nodes) == broken(nodes_of(at - 1, before, here)) == set()
    for change in changes():
        changed = row_of(at, change)
        nodes = nodes_of(at, changed, after)
        labels = broken(nodes)
        if change[0] in NEXT:
            labels |= broken(nodes_of(at - 1, before, changed), STEPS)
        out[change] = labels, labels | unbalanced(honest_nodes, nodes, changed)
    return out


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_cell_is_named_or_means_nothing(kind: str) -> None:
    survivors = {change for change, (_, named) in answers(kind).items() if not named}
    assert survivors == idle((kind,), COLUMNS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_row_checker_says_the_same(kind: str) -> None:
    """All 400 changes at once, as pieces of one trace: the row before, the changed row, the row after."""
    known, at = honest(), honest().rows[kind]
    rows = np.tile(np.array([at - 1, at, at + 1]), 400)
    base, publics = known.world.honest[:, rows].copy(), np.ascontiguousarray(known.publics[:, rows])
    for i, (name, by) in enumerate(changes()):
        cell = base[AT[name], 3 * i + 1 : 3 * i + 2]
        cell[:] = (int(cell[0]) + by) % P
    found: dict[int, set[str]] = {}
    for violation in check_rows(SYSTEM, Witness(base, publics, len(rows)), limit=10**6):
        at_end = violation.row % 3 == 2
        if not (at_end and violation.label in STEPS) and violation.label not in ENDS:
            found.setdefault(violation.row // 3, set()).add(violation.label)
    extension = {"value step", "the value identity holds where a chain closes", "the root and its level are public"}
    extension |= {f"the chain of masks {side} ends in its public digest" for side in ("out", "in")}
    expected = {i: labels - extension for i, (labels, _) in enumerate(answers(kind).values())}
    assert found == {i: labels for i, labels in expected.items() if labels}


def test_the_kinds_are_all_there() -> None:
    """Every selector, and the three kinds of rows that have none."""
    known = honest()
    selectors = {name for name in COLUMNS if name.startswith("is_")}
    selected = {kind: {n for n in selectors if known.world.honest[AT[n], row]} for kind, row in known.rows.items()}
    assert set().union(*selected.values()) == selectors
    assert {kind for kind, names in selected.items() if not names} == {
        *("mask out", "mask in", "carry", "root"),
        *("value", "padding"),
    }
    assert set(neighbourhood(known.rows.values()).tolist()) >= set(known.rows.values())
