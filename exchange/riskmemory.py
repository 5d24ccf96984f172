"""What the ledger remembers for its risk rules: volatility, what this price has closed, isolated accounts."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Final

from exchange.rules.dynamic_margin import VolatilityPolicy, next_margin_ppm, return_ppm, variance_after
from exchange.rules.rounding import PPM
from exchange.venue import Venue

_MARKET: Final = struct.Struct("<5q")
_VARIANCE_BYTES: Final = 16
_USED: Final = struct.Struct("<qq")
_ISOLATED: Final = struct.Struct("<qqH")


class RiskMemory:
    """Part of the ledger's state.

    Attributes:
        floors: per market, ppm: initial margin that volatility asks for; 0 without a policy.
        variances: per market, ppm^2 per observation.
        marks, times_ms: per market: the last mark that was observed for it, and when; 0 = none yet.
        closed, lost: per market, since the last prices, quote atoms: what liquidations traded in the book, and what
            the insurance fund paid for them.
        closed_of: per account, the same as `closed`; missing = 0.
        isolated: account -> (the account it belongs to, its only market).
        isolated_of: the other way round.
    """

    __slots__ = ("closed", "closed_of", "floors", "isolated", "isolated_of", "lost", "marks", "times_ms", "variances")

    def __init__(self, venue: Venue) -> None:
        markets = len(venue.markets)
        self.floors = [0] * markets
        self.variances = [0] * markets
        self.marks = [0] * markets
        self.times_ms = [0] * markets
        self.closed = [0] * markets
        self.lost = [0] * markets
        self.closed_of: dict[int, int] = {}
        self.isolated: dict[int, tuple[int, int]] = {}
        self.isolated_of: dict[tuple[int, int], int] = {}

    def add_isolated(self, account: int, parent: int, market: int) -> None:
        """`account` holds the isolated margin of `parent` in `market`."""
        self.isolated[account] = (parent, market)
        self.isolated_of[parent, market] = account

    def new_prices(self) -> None:
        """Caps count from here."""
        self.closed[:] = self.lost[:] = [0] * len(self.closed)
        self.closed_of.clear()

    def observe(self, number: int, policy: VolatilityPolicy, mark: int, time_ms: int, interval_ms: int) -> None:
        """Takes in a mark, if the last one is an interval old, and moves the margin by one step."""
        before = self.marks[number]
        if not before:
            # Where the margin would come to rest in quiet times.
            at_once = replace(policy, step_up_ppm=PPM, step_down_ppm=PPM)
            self.floors[number] = next_margin_ppm(PPM, 0, at_once)
        elif time_ms - self.times_ms[number] < interval_ms:
            return
        else:
            self.variances[number] = variance_after(self.variances[number], return_ppm(mark, before), policy)
            self.floors[number] = next_margin_ppm(self.floors[number], self.variances[number], policy)
        self.marks[number], self.times_ms[number] = mark, time_ms

    def to_bytes(self) -> bytes:
        """Markets by number, then accounts by number."""
        parts = []
        for row in zip(self.floors, self.marks, self.times_ms, self.closed, self.lost, self.variances, strict=True):
            parts.append(_MARKET.pack(*row[:5]) + row[5].to_bytes(_VARIANCE_BYTES, "little"))
        parts.append(struct.pack("<II", len(self.closed_of), len(self.isolated)))
        parts.extend(_USED.pack(*pair) for pair in sorted(self.closed_of.items()))
        parts.extend(_ISOLATED.pack(account, *of) for account, of in sorted(self.isolated.items()))
        return b"".join(parts)

    def read(self, data: memoryview, at: int) -> int:
        """Takes over what `to_bytes` wrote at `at` and returns where it ends. Raises struct.error."""
        columns = (self.floors, self.marks, self.times_ms, self.closed, self.lost)
        for number in range(len(self.floors)):
            for column, value in zip(columns, _MARKET.unpack_from(data, at), strict=True):
                column[number] = value
            at += _MARKET.size + _VARIANCE_BYTES
            self.variances[number] = int.from_bytes(data[at - _VARIANCE_BYTES : at], "little")
        used, isolated = struct.unpack_from("<II", data, at)
        at += 8
        for _ in range(used):
            account, closed = _USED.unpack_from(data, at)
            self.closed_of[account] = closed
            at += _USED.size
        for _ in range(isolated):
            self.add_isolated(*_ISOLATED.unpack_from(data, at))
            at += _ISOLATED.size
        return at
