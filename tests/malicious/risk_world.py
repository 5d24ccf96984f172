"""A small exchange with collateral, margins, perpetuals and scenarios, and the statement that it publishes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from tests.malicious.documents import only_shard, sealed, unsealed
from tests.malicious.forge import Forge, Forged
from tests.malicious.world import LOG2_ROWS, World, legs_of, make_world
from verifier import solvency
from verifier.instruments import Bucket, Instrument, Scenario, Tier
from verifier.legs import Leg, derive_legs, group_legs, split
from verifier.statement import Losses, Statement, Totals, levels_for

RISK, STRESS = "solvency_risk_v1", "solvency_stress_v1_3"
VALUE_DECIMALS = 16
COIN = 5_926_535_897_932_384
"""An atom is worth 0.59 units of the quote currency: the collateral's tiers end at 168 and 1,687 atoms."""

MARGIN = (Tier(100, 10_000), Tier(1000, 9_500))
INSTRUMENTS = (
    Instrument("COIN", "spot", 8, COIN, (Bucket("free", ()), Bucket("margin", MARGIN)), (Tier(None, 500),)),
    Instrument("PERP", "perpetual", 4, 1_234_567_890_123, (), (Tier(10, 40), Tier(None, 100))),
    Instrument("COST", "cost-basis", 6, 10**10),
    Instrument("CASH", "spot", 6, 9_876_543_210, (Bucket("cash", (Tier(None, 9_900),)),), ()),
)
SCENARIOS = (
    Scenario("crash", (COIN // 3, 400_000_000_000, 10**10, 9_876_543_210)),
    Scenario("short squeeze", (COIN * 7 // 3, 3_000_000_000_001, 10**10, 9_000_000_001)),
)
"""One fewer than the circuit has room for: its last two lenses are idle."""

FREE, COLLATERAL, COIN_OWED, PERP_LONG, PERP_SHORT, COST_LONG, COST_OWED, CASH, CASH_OWED = range(9)
"""Totals, each with the legs of one curve."""
PEOPLE: tuple[Mapping[int, int], ...] = (
    {},
    {FREE: 10**6, COLLATERAL: 5_000, COIN_OWED: 3, PERP_LONG: 2**40, PERP_SHORT: 7, COST_OWED: 2**45, CASH: 2**50},
    {COLLATERAL: 3_000, CASH_OWED: 2_500 * COIN // 10**10},
    {COIN_OWED: 3 * 77_777, CASH_OWED: 3 * 2**40 + 9, PERP_SHORT: 6 * 10**9, CASH: 3},
    {COLLATERAL: 1_000, CASH_OWED: 500 * COIN // 10**10},
    {COIN_OWED: 1_000_000, CASH: 650_000 * 10**6},
    {FREE: 12_345_678},
    {},
    {PERP_SHORT: 10**10, COST_LONG: 10**6 * 1_300_000},
    {CASH: 2**62},
    {PERP_LONG: 9_999_999, COST_OWED: 1_200_000_000},
    {COLLATERAL: 160, CASH: 1},
)
"""Nothing; everything; short of margin only; under water by multiples of three; lost in a crash; lost in a squeeze;
worth nothing as collateral; nothing; a short with a gain; rich; a long with a small gain; within the first tier."""
SHORT_OF_MARGIN, UNDER_WATER, CRASHED = (f"account {i}" for i in (2, 3, 4))


def scenarios_of(circuit: str) -> tuple[Scenario, ...]:
    """As many as fit; of the three that fit in `STRESS`, two."""
    return SCENARIOS[: solvency.CIRCUITS[circuit].scenarios]


@cache
def table_of(circuit: str) -> tuple[Leg, ...]:
    return derive_legs(circuit, VALUE_DECIMALS, INSTRUMENTS, scenarios_of(circuit))


def entries_of(held: Mapping[int, int], circuit: str = RISK) -> tuple[tuple[int, int], ...]:
    """Holdings by total as entries, the best tiers first."""
    groups = {legs[0].total: legs for legs in group_legs(table_of(circuit)).values()}
    return tuple((leg.index, part) for total in sorted(held) for leg, part in split(held[total], groups[total]))


def leg_of(total: int, tier: int = 0) -> int:
    """The number of a curve's leg."""
    return next(leg.index for leg in table_of(RISK) if leg.total == total) + tier


@cache
def risk_world(circuit: str, shard: int | None = None) -> World:
    """`shard` as in `make_world`."""
    entries = tuple(entries_of(held) for held in PEOPLE)
    return make_world(entries, legs_of(table_of(circuit)), levels_for(LOG2_ROWS), circuit, shard)


def values(world: World, name: str) -> list[int]:
    """What an account is worth under each lens."""
    table = table_of(world.plan.circuit)
    entries = world.plan.account(name).entries
    lenses = range(len(table[0].lens_coefficients))
    return [sum(amount * table[leg].lens_coefficients[lens] for leg, amount in entries) for lens in lenses]


def statement_of(forged: Forged) -> Statement:
    """What the exchange publishes; the verifier's rules are its own affair."""
    circuit, parts = forged.plan.circuit, list(forged.totals)
    totals = []
    for instrument in INSTRUMENTS:
        buckets = tuple(parts.pop(0) for _ in instrument.buckets)
        long = sum(buckets) if buckets else parts.pop(0)
        totals.append(Totals(long, parts.pop(0), buckets))
    scenarios, losses = scenarios_of(circuit), forged.losses
    statement = unsealed(
        [forged],
        INSTRUMENTS,
        totals,
        total_margin_deficit=losses[0],
        scenarios=scenarios,
        losses=tuple(Losses(losses[1 + 2 * i], losses[2 + 2 * i]) for i in range(len(scenarios))),
    )
    return sealed(statement, [only_shard(statement, forged.root.digest)])


def honest(world: World) -> Forged:
    return Forge(world.plan).build()
