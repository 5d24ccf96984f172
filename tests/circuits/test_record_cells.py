"""Every cell of value records, one more and one less: named, or known by name as a cell that means nothing there.

As in `test_cells`. What a record adds to an accumulator shows on the last row: all factors after it are powers of r.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest

from circuits.registry import records_of
from tests.adversary.cells_free import idle
from tests.malicious.forge import Forge
from tests.malicious.published import SCALARS, Published, system_of
from tests.malicious.risk_world import STRESS, honest, risk_world
from tests.malicious.sheet import sheet_of
from tests.malicious.world import ACTIVE
from verifier.air import evaluate
from verifier.field import Ext, P, ext_zero, lift
from verifier.stark import evaluate_scalars

SYSTEM, SHEET = system_of(STRESS), sheet_of(STRESS)
LENSES = (0, 4, 6)
"""The first, the last in use, and one that is idle."""
COLUMNS = tuple(name for name in SHEET.columns[200:] if int(name[4 : name.index("_")]) in LENSES)
LATE = ("helper", "running_sum", "the records are", "the losses are", "value", "entries", "records", "losses")
CELLS = ("byte0", "byte1", "low0", "low1", "high0", "high1")
ROLES = {
    "totals record": ("no entry", "totals record"),
    "no record": ("no entry",),
    "top of a record": ("no entry",),
    "inside a record": ("no entry",),
    "entry": ("later entry",),
}
"""What the rows below are in the table of `tests.adversary.cells_free`."""


@cache
def rows() -> dict[str, int]:
    layout, forged = records_of(STRESS), honest(risk_world(STRESS))
    assert layout is not None
    top = ACTIVE - 9 * layout.rows  # of account 3, which is below zero
    entry = forged.at["account 3"] + 1
    return {"totals record": 5, "no record": 1001, "top of a record": top, "inside a record": top + 4, "entry": entry}


@cache
def scalars() -> tuple[Ext, ...]:
    return evaluate_scalars(Published.by(Forge(risk_world(STRESS).plan).build()).relation(), *SCALARS)


@cache
def public_words(at: int) -> list[Ext]:
    published = Published.by(honest(risk_world(STRESS)))
    return [lift(int(word)) for word in published.public_rows(SYSTEM, np.array([at], np.uint32), scalars())[:, 0]]


def words(at: int, change: tuple[str, int] | None = None) -> list[Ext]:
    base = [int(word) for word in risk_world(STRESS).honest[:, at]]
    if change is not None:
        base[SHEET.at[change[0]]] += change[1]
    return [lift(word % P) for word in base] + [ext_zero] * len(SYSTEM.extension_columns)


def nodes_of(at: int, here: Sequence[Ext], following: Sequence[Ext]) -> list[Ext]:
    next_row = {column: following[column] for column in SYSTEM.next_row_columns}
    return evaluate(SYSTEM, here, next_row, public_words(at), scalars())


def named(at: int, change: tuple[str, int]) -> bool:
    """Whether a base constraint, a bus that no multiplicity makes up for, or the sum of an accumulator shows it."""
    changed = words(at, change)
    if _out_of_range(change[0], changed):
        return True
    before = [nodes_of(at - 1, words(at - 1), row) for row in (words(at), changed)]
    here = [nodes_of(at, row, words(at + 1)) for row in (words(at), changed)]
    early = [
        c.node for c in SYSTEM.constraints if not c.label.startswith(LATE) and c.domain in ("always", "transition")
    ]
    if any(nodes[node] != ext_zero for nodes in (before[1], here[1]) for node in early):
        return True
    if any(before[0][a.add] != before[1][a.add] or before[0][a.keep] != before[1][a.keep] for a in SYSTEM.accumulators):
        return True
    ranged = ("is below 2^16", "are bytes")
    fractions = [f for f in SYSTEM.fractions if not f.label.endswith(ranged)]
    return any(
        here[0][f.numerator] != here[1][f.numerator]
        or (here[0][f.denominator] != here[1][f.denominator] and here[0][f.numerator] != ext_zero)
        for f in fractions
    )


def _out_of_range(name: str, row: Sequence[Ext]) -> bool:
    ends = dict.fromkeys(SHEET.u16, 2**16) | {name: 256 for pair in SHEET.pairs for name in pair}
    return row[SHEET.at[name]][0] >= ends.get(name, P)


@pytest.mark.parametrize("kind", ROLES)
def test_a_changed_cell_is_named_or_means_nothing(kind: str) -> None:
    at = rows()[kind]
    survivors = {(name, by) for name in COLUMNS for by in (1, -1) if not named(at, (name, by))}
    assert survivors == idle(ROLES[kind], COLUMNS)


def test_a_changed_cell_of_a_loss_row_is_named_or_means_nothing() -> None:
    """The lens' limbs are in u0 .. u6; what else is there is range-checked at most."""
    layout = risk_world(STRESS).plan.layout
    for lens in (0, 2, 6):
        at = layout.loss(lens)
        changes = [(name, by) for name in SHEET.columns[:200] for by in (1, -1)]
        survivors = {change for change in changes if not named(at, change)}
        assert survivors == idle(("loss",), SHEET.columns[:200])


def test_the_columns_are_those_of_records() -> None:
    layout = records_of(STRESS)
    assert layout is not None
    assert set(COLUMNS) == {name for name in layout.columns if name.startswith(tuple(f"lens{s}_" for s in LENSES))}
    assert set(CELLS) == {name.partition("_")[2] for name in COLUMNS} - {f"digit{i}" for i in range(7)} - {"negative"}
