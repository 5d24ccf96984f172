"""A venue's definition: each bound, and the first value behind it, which is refused by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from exchange.errors import VenueError
from exchange.rules.rounding import PPM
from exchange.venue import SPAN_MS_MAX, VOLATILITY_PPM_MAX, Asset, Oracle, Source, Venue
from tests.exchange.test_dynamic_margin import POLICY
from tests.exchange.venues import venue

pytestmark = pytest.mark.negative


def of_venue(**changes: Any) -> Venue:
    return replace(venue(), **changes)


def of_market(**changes: Any) -> Venue:
    first, *others = venue().markets
    return of_venue(markets=(replace(first, **changes), *others))


def of_policy(**changes: Any) -> Venue:
    return of_market(volatility=replace(POLICY, **changes))


def of_oracle(**changes: Any) -> Venue:
    return of_venue(oracle=Oracle(**changes))


EDGES: list[tuple[Any, str, int, int, str]] = [
    (of_venue, "volatility_ms", 1, 0, "volatility_ms"),
    (of_venue, "settlement_ms", 1, 0, "settlement_ms"),
    (of_venue, "auction_ms", 0, -1, "auction_ms"),
    (of_venue, "account_liquidation_max", 0, -1, "account_liquidation_max"),
    (of_market, "liquidation_notional_max", 0, -1, "BTC-PERP: liquidation_notional_max"),
    (of_market, "fund_loss_max", 0, -1, "BTC-PERP: .*fund_loss_max"),
    *((of_policy, field, PPM, PPM + 1, "BTC-PERP: volatility: shares") for field in (
        "decay_ppm", "stressed_weight_ppm", "step_up_ppm", "step_down_ppm")),
    *((of_policy, field, 0, -1, "BTC-PERP: volatility: shares") for field in (
        "decay_ppm", "stressed_weight_ppm", "floor_ppm", "step_up_ppm", "step_down_ppm",
        "buffer_ppm", "stressed_ppm", "multiple_ppm")),
    *((of_policy, field, VOLATILITY_PPM_MAX, VOLATILITY_PPM_MAX + 1, "BTC-PERP: volatility: shares") for field in (
        "buffer_ppm", "stressed_ppm", "multiple_ppm")),
    (of_policy, "horizon", 1, 0, "BTC-PERP: volatility: horizon"),
    (of_policy, "horizon", VOLATILITY_PPM_MAX, VOLATILITY_PPM_MAX + 1, "BTC-PERP: volatility: horizon"),
    (of_policy, "cap_ppm", PPM, PPM + 1, "BTC-PERP: volatility: .*cap_ppm"),
    (of_policy, "cap_ppm", POLICY.floor_ppm, POLICY.floor_ppm - 1, "BTC-PERP: volatility: .*floor_ppm <= cap_ppm"),
    *((of_oracle, field, 1, 0, "oracle: rates") for field in (
        "quorum_ppm", "confidence_ppm", "step_ppm", "deviation_ppm", "stale_ms", "average_ms", "premium_ms")),
    *((of_oracle, field, SPAN_MS_MAX, SPAN_MS_MAX + 1, "oracle: rates") for field in (
        "stale_ms", "average_ms", "premium_ms")),
    (of_oracle, "quorum_ppm", PPM, PPM + 1, "oracle: .*a quorum of at most all"),
    (of_oracle, "future_ms", 0, -1, "oracle: rates"),
    (of_oracle, "own_weight", 0, -1, "oracle: own_weight"),
    (of_oracle, "own_weight", 3, 4, "oracle: own_weight"),
    (of_oracle, "premium_weight", 1, 0, "premium_weight of at least 1"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "field", "last", "beyond", "message"), EDGES)
def test_a_bound_is_allowed_and_what_lies_beyond_is_refused(
    make: Any, field: str, last: int, beyond: int, message: str
) -> None:
    make(**{field: last}).check()
    with pytest.raises(VenueError, match=message):
        make(**{field: beyond}).check()


def test_volatility_is_for_perpetual_markets() -> None:
    *others, spot = venue().markets
    with pytest.raises(VenueError, match="BTC-USDT: volatility"):
        of_venue(markets=(*others, replace(spot, volatility=POLICY))).check()


WRAPPED: list[tuple[int, int, bool]] = [
    (2, 1, True), (3, 1, False), (4, 1, False), (-1, 1, False),
    (2, 0, False), (2, -1, False), (0, 1, False), (0, -1, False),
]  # fmt: skip


@pytest.mark.parametrize(("underlying", "ratio", "good"), WRAPPED)
def test_a_wrapped_asset_has_another_one_and_a_ratio(underlying: int, ratio: int, good: bool) -> None:
    found = of_venue(assets=(*venue().assets, Asset("wrapped", 8, (), underlying, ratio)))
    if good:
        found.check()
        twice = replace(found, assets=(*found.assets, Asset("again", 8, (), 3, 1)))
        with pytest.raises(VenueError, match="again: underlying"):
            twice.check()
    else:
        with pytest.raises(VenueError, match="wrapped: underlying"):
            found.check()


def sources(*weights: int, name: str = "source-", key: str = "") -> tuple[Source, ...]:
    return tuple(Source(f"{name}{n}", key or f"{n:064x}", weight) for n, weight in enumerate(weights))


SOURCES: list[tuple[tuple[Source, ...], str]] = [
    (sources(1, 1, 1), ""),
    (sources(1, 1), "3 to 32"),
    (sources(*[1] * 32), ""),
    (sources(*[1] * 33), "3 to 32"),
    (sources(10_000, 10_000, 10_000), ""),
    (sources(10_000, 10_000, 10_001), "weights of 1 to 10000"),
    (sources(1, 1, 1, 0), "weights of 1 to 10000"),
    (sources(2, 1, 2), ""),
    (sources(1, 2, 3), "none with half of the weight"),
    (tuple(replace(source, name="same") for source in sources(1, 1, 1)), "each name once"),
    (sources(1, 1, 1, key="0" * 64), "each key once"),
    ((Source("a", f"{7:063x}", 1), *sources(1, 1)), "64 hex digits"),
    ((Source("a", "A" * 64, 1), *sources(1, 1)), "64 hex digits"),
    ((Source("a" * 64, "a" * 64, 1), *sources(1, 1)), ""),
    ((Source("a" * 65, "a" * 64, 1), *sources(1, 1)), "visible ASCII"),
    ((Source("a b", "a" * 64, 1), *sources(1, 1)), "visible ASCII"),
]


@pytest.mark.parametrize(("found", "message"), SOURCES)
def test_sources_of_prices(found: tuple[Source, ...], message: str) -> None:
    if not message:
        of_oracle(sources=found).check()
        return
    with pytest.raises(VenueError, match=message):
        of_oracle(sources=found).check()
