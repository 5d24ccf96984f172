"""Cheats that satisfy every constraint: the bus checker names them, no proof is accepted, one lookup stops them."""

from __future__ import annotations

import pytest

from tests.malicious.cases import Case
from tests.malicious.cheating_prover import CheatingProver
from tests.malicious.cheats import CHEATS
from tests.malicious.proving import BUS, accept, refuse
from tests.malicious.sheet import columns_of, unbalanced
from tests.malicious.world import World

pytestmark = pytest.mark.negative


@pytest.mark.parametrize("name", CHEATS)
def test_a_cheat_is_named_and_refused(name: str, world: World, cheater: CheatingProver) -> None:
    cheat = CHEATS[name]
    forged = cheat.forge(world.plan).build()
    columns = columns_of(forged, world)
    assert {v.label for v in unbalanced(world, forged, columns)} == cheat.named
    refuse(Case(forged), BUS, world, cheater, columns)


@pytest.mark.parametrize("name", CHEATS)
def test_without_its_rule_the_cheat_is_proved(name: str, world: World, cheater: CheatingProver) -> None:
    cheat = CHEATS[name]
    accept(cheat.forge(world.plan).build(), world, cheater, *cheat.rules)
