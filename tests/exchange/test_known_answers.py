"""Replicas of two versions have to agree: what fixed streams of commands come to is pinned, byte for byte.

Who changes a digest changes the ledger's rules, journal or state: `[BREAKING]` in CHANGELOG.md, and the reason there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import pytest

from exchange.commands import Command
from exchange.engine import Engine, Sink
from exchange.state import Ledger
from exchange.statehash import state_hash
from tests.exchange.flow import commands
from tests.exchange.test_determinism import quoted_hash, rough
from tests.exchange.venues import Tape, check_invariants, venue

BUSY = {
    1: "808b1e65056fc8c0cc41d35c0f8ee3775afdd22fb7be24b574575ae059f7b166",
    2: "9722af0d4a397c699330fc3627af505571ba9d9c94300537233d048c5c29f472",
    3: "04a780769eeda59aed2266047dd4786acb96fcb3b36496175cc34b5bade6ad56",
    4: "ea53c8d42f6dc296586a958ed6a7dc420f78460cb03c531e5e21cb2f28111052",
    5: "d8616781ab476b12a4c528a7d6538e1fe6b6b55a9df47ce12efec0e9a1f41972",
    6: "1fa7f63183d7b9b96b36eb534f418c9fef9e0be263562bc322df8bd3e1af552b",
}
"""Seed -> SHA-256 of the journal's frames and of the final state, of 2,000 commands of a busy market."""
ROUGH = {
    1: "b0d0c44622fdd6456bf5d6d6290b6d3d85a9450cb3cf39d450bd0271777d2d60",
    2: "5639d6e3fc860ed7af24fc117bad14f39c436c7851eb09b37402501062010ba8",
    3: "7b6b8c1759e173bbdef26318b7f4218bc3e2ad41d626dee2c8c36949bc9c776c",
    4: "19353fd2a7c1a6bb41555e21e39da8867aee6de83a3973dc19bec373c5c82bea",
}
"""Likewise, of 1,500 commands at every edge."""
QUOTED = {
    1: "bc6e5cce9ebe01e562a6568981a8e86de417f005d8b55a6e1e9ccd0ba7ccf9da",
    2: "d544513cee9e8caf6f6dc38bae27eb2481361eb422f574322ed281ea84a085d5",
    3: "f8eb1a3bc8dd413a4bb6860b29c4d2e6805dff22b2d07373acbf3855ad90b37b",
}
"""Seed -> hash of the final state of a venue with an oracle."""


def digest(stream: Iterable[Command], *, short_ways: bool) -> str:
    tape = Tape()
    engine = Engine(Ledger(venue(open_orders_max=12)), tape, short_ways=short_ways)
    engine.submit(stream)
    return hashlib.sha256(tape.payload + state_hash(engine.ledger)).hexdigest()


@pytest.mark.parametrize("short_ways", [True, False])
@pytest.mark.parametrize("seed", BUSY)
def test_a_busy_market(seed: int, short_ways: bool) -> None:
    assert digest(commands(2_000, seed), short_ways=short_ways) == BUSY[seed]


@pytest.mark.parametrize("short_ways", [True, False])
@pytest.mark.parametrize("seed", ROUGH)
def test_every_edge(seed: int, short_ways: bool) -> None:
    assert digest(rough(seed), short_ways=short_ways) == ROUGH[seed]


@pytest.mark.parametrize("seed", QUOTED)
def test_an_oracle(seed: int) -> None:
    assert quoted_hash(seed).hex() == QUOTED[seed]


@pytest.mark.parametrize("short_ways", [True, False])
@pytest.mark.parametrize("stream", [lambda: commands(500, 1), lambda: rough(1)], ids=["busy", "every edge"])
def test_what_is_kept_for_speed_is_what_it_stands_for(
    stream: Callable[[], Iterator[Command]], short_ways: bool
) -> None:
    """After every command: sums, locks, open orders, and the bound that spares orders their exact margin check."""
    engine = Engine(Ledger(venue(open_orders_max=12)), Sink(), short_ways=short_ways)
    for command in islice(stream(), 600):
        engine.submit([command])
        check_invariants(engine.ledger)
