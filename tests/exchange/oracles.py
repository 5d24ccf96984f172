"""A venue whose prices follow from quotes, and sources that say what a test wants."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from exchange.commands import Quoted, SubmitQuotes
from exchange.venue import Oracle, Source, Venue
from tests.exchange.venues import MARKS, PRICES, RICH, Desk, venue

BTC, ETH = 1, 2
WEIGHTS = (3, 2, 2, 1, 1)


def oracle_venue(weights: Sequence[int] = WEIGHTS, **changes: int) -> Venue:
    """The usual small venue with one source per weight."""
    sources = tuple(Source(f"source-{n}", f"{n:064x}", weight) for n, weight in enumerate(weights))
    return replace(venue(), oracle=Oracle(sources, **changes)).check()


def quotes(
    time_ms: int, prices: Mapping[int, Sequence[int]], ages_ms: Mapping[int, int] | None = None, confidence: int = 0
) -> tuple[Quoted, ...]:
    """Per symbol, what source 0, 1, .. says; ages by source."""
    ages = ages_ms or {}
    return tuple(
        Quoted(source, symbol, price, confidence, max(0, time_ms - ages.get(source, 0)))
        for symbol, row in prices.items()
        for source, price in enumerate(row)
    )


class OracleDesk(Desk):
    """A desk at such a venue; all sources agree on the usual prices at the start."""

    first_ms = 1_000_000

    def __init__(
        self,
        users: int = 3,
        cash: int = RICH,
        weights: Sequence[int] = WEIGHTS,
        definition: Venue | None = None,
        **changes: int,
    ) -> None:
        self.sources = len(weights)
        super().__init__(users, cash, definition=definition or oracle_venue(weights, **changes))

    def set_first_prices(self) -> None:
        self.submit()

    def command(
        self, btc: Sequence[int] | int = PRICES[BTC], eth: Sequence[int] | int = PRICES[ETH], **more: Any
    ) -> SubmitQuotes:
        """Prices of all sources, or per source; `perp`: marks of BTC-PERP elsewhere, `ages_ms`, `confidence`, `at`."""
        now = more.pop("at", 0) or next(self.time)
        assert isinstance(now, int)
        perp = more.pop("perp", None)
        rows: dict[int, Sequence[int]] = {
            BTC: [btc] * self.sources if isinstance(btc, int) else btc,
            ETH: [eth] * self.sources if isinstance(eth, int) else eth,
        }
        if perp is not None:
            assert isinstance(perp, (list, tuple))
            rows[3] = perp
        return SubmitQuotes(now, 0, 0, quotes(now, rows, **more), b"documents")

    def submit(self, *arguments: Sequence[int] | int, **more: Any) -> None:
        """The same, accepted."""
        self.accept(self.command(*arguments, **more))

    def wait(self, span_ms: int) -> None:
        """Time goes by."""
        self.time = itertools.count(next(self.time) + span_ms)

    @property
    def btc(self) -> int:
        """Index, quote atoms per whole unit."""
        return self.ledger.prices[BTC]


def mark_of(price: int) -> int:
    """Ticks of BTC-PERP at an index price."""
    return MARKS[0] * price // PRICES[BTC]
