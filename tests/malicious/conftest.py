"""The honest exchanges and their cheating provers, made once per worker."""

from __future__ import annotations

import pytest

from tests.malicious.cheating_prover import CheatingProver
from tests.malicious.risk_world import RISK, STRESS, risk_world
from tests.malicious.world import World, make_world


@pytest.fixture(scope="session")
def world() -> World:
    return make_world()


@pytest.fixture(scope="session")
def cheater(world: World) -> CheatingProver:
    return CheatingProver(world)


@pytest.fixture(scope="session")
def masked() -> World:
    """One shard of several."""
    return make_world(shard=1)


@pytest.fixture(scope="session")
def masked_cheater(masked: World) -> CheatingProver:
    return CheatingProver(masked)


@pytest.fixture(scope="session")
def risk() -> World:
    return risk_world(RISK)


@pytest.fixture(scope="session")
def risk_cheater(risk: World) -> CheatingProver:
    return CheatingProver(risk)


@pytest.fixture(scope="session")
def stress() -> World:
    return risk_world(STRESS)


@pytest.fixture(scope="session")
def stress_cheater(stress: World) -> CheatingProver:
    return CheatingProver(stress)
