"""Multiplicities are private and free, so every one that does not fit has to be named; the harmless ones are here."""

from __future__ import annotations

import pytest

from tests.malicious.cases import Case
from tests.malicious.cheating_prover import CheatingProver
from tests.malicious.forge import Forge, Forged
from tests.malicious.proving import BUS, accept, refuse
from tests.malicious.rows import Row
from tests.malicious.sheet import AT, PAIRS, U16, Columns, columns_of, unbalanced
from tests.malicious.world import ACTIVE, World
from verifier.field import P

pytestmark = pytest.mark.negative


def honest(world: World) -> Forged:
    return Forge(world.plan).build()


def with_multiplicities(world: World, *changes: tuple[str, int, int]) -> Columns:
    """(column, row, what is added)."""
    out: Columns = {}
    for name, row, by in changes:
        words = out.setdefault(AT[name], world.honest[AT[name]].copy())
        words[row] = (int(words[row]) + by) % P
    return out


WRONG = {
    "number counted once too often": ([("mu_u16", 54_321, 1)], {"u16 table"}),
    "number counted once too rarely": ([("mu_u16", 0, -1)], {"u0 is below 2^16"}),
    "pair counted once too often": ([("mu_pair", 54_321, 1)], {"byte pair table"}),
    "leg counted once too often": ([("mu_leg", 7, 1)], {"entry leg"}),
    "leg counted p - 1 times more": ([("mu_leg", 7, -1)], {"entry leg"}),
    "number counted above the table": ([("mu_u16", 100_000, 1)], {"u0 is below 2^16"}),
    "pair counted above the table": ([("mu_pair", ACTIVE - 1, 1)], {"y0, y1 are bytes"}),
    "leg counted above the table": ([("mu_leg", 100_000, 1)], {"entry leg"}),
    "number paid for on the other bus": ([("mu_u16", 300, 1), ("mu_pair", 300, -1)], {"u16 table", "byte pair table"}),
    "number paid for by its neighbour": ([("mu_u16", 301, 1), ("mu_u16", 300, -1)], {"u16 table"}),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_multiplicity_is_named_and_refused(name: str, world: World, cheater: CheatingProver) -> None:
    changes, named = WRONG[name]
    columns, forged = with_multiplicities(world, *changes), honest(world)
    assert {v.label for v in unbalanced(world, forged, columns)} == named
    refuse(Case(forged), BUS, world, cheater, columns)


def test_a_multiplicity_may_be_split_over_equal_rows(world: World, cheater: CheatingProver) -> None:
    """Above their last row the tables stand still, so it is there once more: the same number, pair or leg. Harmless."""
    moves = [("mu_u16", 65_535, -3), ("mu_u16", 99_999, 3), ("mu_pair", 65_535, -1), ("mu_pair", ACTIVE - 1, 1)]
    moves += [("mu_leg", 7, -2), ("mu_leg", 1_000, 1), ("mu_leg", 5, 0), ("mu_leg", 2_000, 1)]
    accept(honest(world), world, cheater, columns=with_multiplicities(world, *moves))


def test_multiplicities_on_hidden_rows_count_nothing(world: World, cheater: CheatingProver) -> None:
    accept(honest(world), world, cheater, columns=with_multiplicities(world, ("mu_u16", ACTIVE, 1)))


@pytest.mark.parametrize("name", [*U16, *(name for pair in PAIRS for name in pair)])
def test_every_cell_is_in_range_on_rows_of_no_kind_too(name: str, world: World) -> None:
    """Range checks are not gated: an idle cell out of range is named, on a total row as on padding."""
    bus = f"{name} is below 2^16" if name[0] == "u" else next(f"{a}, {b} are bytes" for a, b in PAIRS if name in (a, b))
    for row in (world.used + 1, 3):
        forged = Forge(world.plan).then(lambda forged, row=row: spoil(forged, row, name)).build()  # type: ignore[misc]
        found = unbalanced(world, forged, columns_of(forged, world))
        assert (row, bus) in {(v.row, v.label) for v in found}


def spoil(forged: Forged, row: int, name: str) -> None:
    while len(forged.rows) <= row:
        forged.rows.append(Row())
    forged.rows[row][name] = -1
