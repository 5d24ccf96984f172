"""What the ledger remembers of its oracle between two prices, and its canonical bytes."""

from __future__ import annotations

import struct
from typing import Final

from exchange.rules.mark import Average
from exchange.venue import Venue

_AVERAGE_BYTES: Final = 32


class OracleMemory:
    """Part of the ledger's state; empty for a venue without sources.

    Attributes:
        time_ms: of the last quotes.
        qualities, times_ms, averages: per asset: quality of the last price, when one could last be relied on, and the
            slow average of the price.
        premiums: per market, average of the own book over the index, in ticks.
        elsewhere: per market, the sources' price of the perpetual, ticks; 0 where there is none.
        evidence: the signed documents behind the last quotes.
    """

    __slots__ = ("averages", "elsewhere", "evidence", "premiums", "qualities", "time_ms", "times_ms")

    def __init__(self, venue: Venue) -> None:
        assets, markets = len(venue.assets), len(venue.markets)
        self.time_ms = 0
        self.qualities = [0] * assets
        self.times_ms = [0] * assets
        self.averages = [Average(0, 0)] * assets
        self.premiums = [Average(0, 0)] * markets
        self.elsewhere = [0] * markets
        self.evidence = b""

    def to_bytes(self) -> bytes:
        """Fixed widths but for the evidence, which comes last behind its length."""
        numbers = (self.time_ms, *self.times_ms, *self.elsewhere)
        averages = b"".join(
            number.to_bytes(_AVERAGE_BYTES, "little", signed=True)
            for average in (*self.averages, *self.premiums)
            for number in (average.numerator, average.denominator)
        )
        head = struct.pack(f"<{len(numbers)}q", *numbers) + bytes(self.qualities) + averages
        return head + len(self.evidence).to_bytes(4, "little") + self.evidence

    def read(self, data: memoryview, at: int) -> int:
        """Takes over what `to_bytes` wrote at `at` and returns where it ends: behind `data` if that is cut.

        Raises struct.error.
        """
        assets, markets = len(self.qualities), len(self.premiums)
        layout = struct.Struct(f"<{1 + assets + markets}q{assets}B")
        self.time_ms, *rest = layout.unpack_from(data, at)
        self.times_ms = rest[:assets]
        self.elsewhere = rest[assets : assets + markets]
        self.qualities = rest[assets + markets :]
        at += layout.size
        found = []
        for _ in range(assets + markets):
            pair = []
            for _ in range(2):
                pair.append(int.from_bytes(data[at : at + _AVERAGE_BYTES], "little", signed=True))
                at += _AVERAGE_BYTES
            found.append(Average(*pair))
        self.averages, self.premiums = found[:assets], found[assets:]
        length = int.from_bytes(data[at : at + 4], "little")
        at += 4 + length
        self.evidence = bytes(data[at - length : at])
        return at
