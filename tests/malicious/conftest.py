"""The honest exchange and the cheating prover, made once per worker."""

from __future__ import annotations

import pytest

from tests.malicious.cheating_prover import CheatingProver
from tests.malicious.world import World, make_world


@pytest.fixture(scope="session")
def world() -> World:
    return make_world()


@pytest.fixture(scope="session")
def cheater(world: World) -> CheatingProver:
    return CheatingProver(world)
