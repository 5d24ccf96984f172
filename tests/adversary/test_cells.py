"""A few thousand of the changed cells that `make adversary` tries, and that the survey would notice a missing rule."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import pytest

from circuits.registry import CIRCUITS
from tests.adversary.cells import BUSES, Survey, Surveyor, bus_of, columns_after, prove_changed, run
from tests.adversary.cells_free import FREE, limit_of
from tests.adversary.cells_rows import Trace, trace_of
from tests.adversary.score import Score
from tests.malicious.cases import makers
from tests.malicious.circuits_without import system_without
from tests.malicious.forge import EQUITY
from verifier.field import P

SEED = 20_261_126


@pytest.fixture(scope="module")
def trace() -> Trace:
    return trace_of(EQUITY, 1)


def test_a_changed_cell_is_named_or_listed_as_free(scored: Callable[[Iterable[Score]], None]) -> None:
    cells, proofs = run("short", SEED)
    scored((cells, proofs))
    assert cells.tried > 2000 and proofs.notes["constraints"] == proofs.tried == 2


def test_all_free_cells_at_once_prove_the_same_statement(trace: Trace) -> None:
    """So none of them has a say in what is published, nor have several of them together."""
    draw, rows = random.Random(SEED), trace.sample(1, SEED)
    surveyor, changes = Surveyor(trace, rows, SEED), []
    for row, roles in zip(rows.tolist(), surveyor.roles, strict=True):
        for column, name in enumerate(trace.system.columns):
            limit = limit_of(roles, name)
            changes += [(column, row, draw.randrange(limit))] if limit else []
    assert len(changes) > 1400 and len(columns_after(trace, changes)) > 100
    prove_changed(trace, changes, set())


def test_every_free_cell_says_why() -> None:
    assert len(FREE) == len(set(FREE)) and all(free.why.endswith(".") and 0 < free.below <= P for free in FREE)


@pytest.mark.parametrize(
    ("rule", "columns"),
    [
        ("the value identity holds where a chain closes", ("u0", "d0")),
        ("u4 is below 2^16", ("u4",)),
        ("totals", ("u0",)),
    ],
)
def test_without_the_rule_a_change_survives(rule: str, columns: tuple[str, ...], trace: Trace) -> None:
    """The circuit is built again without it, so that the survey runs as it would if somebody lost the rule."""
    rows, found = trace.sample(1, SEED), []
    for each in (trace, Trace.of(trace.world, system_without(rule), trace.prover)):
        survey, surveyor = Survey(), Surveyor(each, rows, SEED)
        for changes in surveyor.changes(columns=columns):
            surveyor.judge(survey, changes)
        found.append(len(survey.unlisted))
    assert found[0] == 0 < found[1]


@pytest.mark.parametrize("circuit", CIRCUITS)
def test_every_rule_of_every_circuit_has_its_forgery(circuit: str) -> None:
    """`make adversary` makes those of three circuits and lets the row checker judge them; the others' are the same."""
    system = CIRCUITS[circuit]()
    assert {c.label: len(makers(c.label)) for c in system.constraints if len(makers(c.label)) != 1} == {}
    assert {bus_of(fraction.label) for fraction in system.fractions} == BUSES.keys()
    with pytest.raises(LookupError, match="on 0 buses"):
        bus_of("a new fraction")


def test_the_rows_are_of_all_kinds(trace: Trace) -> None:
    kinds = {role for roles in Surveyor(trace, trace.sample(1, SEED), SEED).roles for role in roles}
    named = {role for free in FREE for role in free.rows}
    assert named - kinds == {"loss", "totals record"}
    assert trace.system.name == EQUITY
