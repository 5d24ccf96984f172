"""Every fraction of a circuit: its tuple left out, twice, once too often, or on another bus."""

from __future__ import annotations

import random

import pytest

from tests.malicious.bus_cheats import WAYS, BusLiar, bus_cheats
from tests.malicious.cheating_prover import CheatingProver
from tests.malicious.proving import refuse
from tests.malicious.world import World

pytestmark = pytest.mark.negative


def test_every_lie_about_a_fraction_is_named(masked: World, masked_cheater: CheatingProver) -> None:
    """One lie of the four about each fraction: `make adversary` tells all, about three circuits."""
    liar = BusLiar(masked)
    cheats = [cheat for cheat in bus_cheats(liar.system) if cheat.way == WAYS[cheat.number % len(WAYS)]]
    for cheat, named in zip(cheats, liar.named(cheats, masked_cheater), strict=True):
        if named != cheat.broken(liar.system):
            pytest.fail(f"{cheat}: the row checker names {named}")


def test_some_of_them_are_proved_and_refused(masked: World, masked_cheater: CheatingProver) -> None:
    """`make adversary` proves all. One that does not check the broken constraints accepts."""
    liar = BusLiar(masked)
    for cheat in random.Random("bus lies").sample(bus_cheats(liar.system), 2):
        refuse(liar.case(cheat), cheat.broken(liar.system), masked, masked_cheater)
