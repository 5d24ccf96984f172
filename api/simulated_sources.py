"""Sources of a SIMULATION: they sign, with keys that anybody can compute, what a market's bars say."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.feed import Feed
from exchange.commands import SubmitQuotes
from exchange.simulate import Bars
from exchange.venue import Source, Venue
from prover.prices import SIMULATED, public_key
from verifier.quotes import SignedQuotes, make_document, signing_bytes
from verifier.statement import units

WEIGHTS: Final = (3, 2, 2, 1, 1)
SPREAD_PPM: Final = 200
"""Standard deviation of a source's own opinion."""


def simulated_sources() -> tuple[Source, ...]:
    """For the definition of a simulated venue."""
    return tuple(Source(_name(n), public_key(_key(n)).hex(), weight) for n, weight in enumerate(WEIGHTS))


class SimulatedSources:
    """Signs every source's opinion of the prices, a little apart from each other, and hands it to the feed.

    Args:
        bars: the markets, whose assets and perpetuals the sources quote alike.
        seed: of the opinions.
    """

    def __init__(self, venue: Venue, bars: Sequence[Bars], seed: int) -> None:
        self.feed = Feed(venue)
        self._quote = venue.assets[0].symbol.upper()
        self._bars = bars
        self._keys = [_key(number) for number in range(len(WEIGHTS))]
        self._public = list(map(public_key, self._keys))
        self._chance = np.random.default_rng([seed, 7])

    def command(self, time_ms: int, index: Sequence[int]) -> SubmitQuotes:
        """What the ledger is told when the markets stand at `index`, in ticks."""
        time = datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for number in range(len(WEIGHTS)):
            rows = []
            for bar, ticks in zip(self._bars, index, strict=True):
                for symbol in (bar.symbol.lower(), f"{bar.symbol}-PERP"):
                    away = round(ticks * SPREAD_PPM * self._chance.standard_normal() / 1_000_000)
                    rows.append((symbol, units(max(1, ticks + away), bar.tick_decimals)))
            rows.sort(key=lambda row: row[0].lower())
            document = make_document(_name(number), self._quote, time, rows)
            signature = self._keys[number].sign(signing_bytes(document))
            signed = SignedQuotes(_name(number), self._quote, time, {}, document, self._public[number], signature)
            self.feed.take(signed.to_bytes(), time_ms)
        return self.feed.command(time_ms)


def _name(number: int) -> str:
    return f"{SIMULATED}-{number + 1:02d}"


def _key(number: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(_name(number).encode()).digest())
