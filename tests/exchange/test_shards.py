"""Shards: any number of them gives the same state, and parts of different versions are not added up."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from exchange.engine import Engine
from exchange.events import Frame, Traded
from exchange.shards import VersionMismatch, replayed, shard_of, summed, together, valued
from exchange.state import Ledger
from exchange.statehash import state_bytes
from exchange.venue import Venue
from tests.exchange.flow import batches
from tests.exchange.test_scanning import crowded
from tests.exchange.venues import Tape, venue


def crowded_venue() -> Venue:
    """Initial margins rise with open interest, so that a shard that lost it would be another."""
    base = venue()
    markets = tuple(
        replace(market, interest_lower=10**6, interest_upper=10**13) if market.margin else market
        for market in base.markets
    )
    return replace(base, markets=markets)


def run(seed: int) -> tuple[Ledger, list[Frame]]:
    tape = Tape()
    engine = Engine(Ledger(crowded_venue()), tape)
    for batch in batches(1_200, seed, 100):
        engine.submit(batch)
    return engine.ledger, tape.frames


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_any_number_of_shards_gives_the_same_bytes(seed: int, count: int) -> None:
    ledger, frames = run(seed)
    markets = {event.market for frame in frames for event in frame.events if type(event) is Traded}
    assert markets == {0, 1, 2} and min(ledger.scales[:2]) > 0
    shards = replayed(crowded_venue(), frames, count)
    for number, shard in enumerate(shards):
        # A shard knows nothing of the others' markets.
        assert all(market % count == number for market in range(3) if any(shard.size[market]))
        assert all(order.market % count == number for order in shard.orders.values())
    assert state_bytes(together(shards)) == state_bytes(ledger)


def test_a_lost_shard_is_rebuilt_from_the_journal() -> None:
    ledger, frames = run(3)
    shards = replayed(crowded_venue(), frames, 3)
    shards[1] = replayed(crowded_venue(), frames, 3)[1]
    assert state_bytes(together(shards)) == state_bytes(ledger)
    shards = replayed(crowded_venue(), frames, 2)
    shards[1] = replayed(crowded_venue(), frames[:-1], 2)[1]
    with pytest.raises(VersionMismatch, match="sequences"):
        together(shards)


def test_every_event_has_a_shard() -> None:
    _, frames = run(1)
    for frame in frames:
        for event in frame.events:
            assert shard_of(event, 3) in (None, 0, 1, 2)


@pytest.mark.parametrize("count", [1, 3, 8])
def test_valuations_in_parts_are_those_of_the_whole(count: int) -> None:
    ledger = crowded(2)
    bounds = [len(ledger.user_ids) * n // count for n in range(count + 1)]
    parts = [valued(ledger, start, stop) for start, stop in pairwise(bounds)]
    whole = summed(parts)
    assert whole.positions == 0
    assert abs(whole.held - valued(ledger, 0, len(ledger.user_ids)).held) <= 2 * count
