"""Who trades in a simulation: seeded accounts of several kinds, what they bring, and what they send.

This is outside the ledger: it may use floats and chance. The same seed gives the same commands to the same ledger.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from statistics import median
from typing import Final, NamedTuple

import numpy as np

from exchange.commands import CancelOrder, Command, Deposit, Flag, OpenAccount, PlaceOrder
from exchange.rules.rounding import PPM
from exchange.state import FIRST_USER, FUND, QUOTE, Ledger
from exchange.venue import PERPETUAL

MAKERS: Final = 4
"""Market makers, the first users: they quote a ladder on both sides and take the other side of everybody."""
LEVELS: Final = 10
"""Prices per side of a maker's ladder within 1 % of the price, evenly spaced, equal value each; four more up to 5 %."""
LADDER_PPM: Final = 10_000
MAKER_CAPITAL: Final = 20
"""Makers' deposits, in multiples of what all others bring together."""
FUND_PPM: Final = 20_000
"""The fund's first capital, of what users bring."""
DEPTH_PPM: Final = 150_000
"""Quiet depth within 1 % of the price, per side, of all users' deposits."""
OUTER: Final = (0.8, 0.4, 0.5, 0.5)
"""What rests between 1 and 2, 2 and 3, 3 and 4, 4 and 5 % of the price, in terms of what rests within 1 %: Binance's
BTCUSDT perpetual on 10 October 2025 at 00:00 UTC (data.binance.vision, bookDepth)."""
DEPTH_AGE_MS_MAX: Final = 300_000
STRESS_RANGE: Final = 0.03
STRESS_THINNING: Final = 3.3
"""Depth in a bar of that range or more is 1 / (1 + 3.3) of the quiet one: 244 to 57 M$ on 10 October 2025."""


@dataclass(frozen=True)
class Depth:
    """A real book's depth: at each of `times_ms`, rising, what rests within 1, 2, .. 5 % of the price, any unit."""

    times_ms: tuple[int, ...]
    within: tuple[tuple[float, ...], ...]

    @cached_property
    def quiet(self) -> float:
        """The median of what rests within 1 %."""
        return median(row[0] for row in self.within)

    def at(self, time_ms: int) -> tuple[float, ...] | None:
        """Per band of 1 %, in terms of `quiet`; None if the file has nothing for that time."""
        found = bisect_right(self.times_ms, time_ms) - 1
        if found < 0 or time_ms - self.times_ms[found] > DEPTH_AGE_MS_MAX:
            return None
        row = (0.0, *self.within[found])
        return tuple(max(0.0, further - nearer) / self.quiet for nearer, further in pairwise(row))


class Kind(NamedTuple):
    """A kind of account. `deposit`: median in whole quote units, with a spread (sigma of its logarithm)."""

    name: str
    share: float
    deposit: float
    spread: float
    leverage_min: float
    leverage_max: float
    long_share: float
    in_asset: bool


KINDS: Final = (
    Kind("retail", 0.70, 800.0, 1.0, 1.0, 6.0, 0.64, False),
    Kind("leveraged", 0.22, 400.0, 1.2, 5.0, 40.0, 0.60, False),
    Kind("hedger", 0.05, 20_000.0, 1.0, 0.5, 1.0, 0.0, True),
    Kind("long in kind", 0.02, 5_000.0, 1.0, 1.0, 4.0, 1.0, True),
    Kind("whale", 0.01, 200_000.0, 1.0, 1.0, 4.0, 0.55, False),
)


class Population:
    """Accounts of one simulation; user `account` is of kind `kinds[account - FIRST_USER]` (-1: a market maker).

    Args:
        accounts: how many, makers included.
        seed: of all chance.
        depth: of a real book, what the makers' ladders follow; None: by the range of the bar alone.
    """

    def __init__(self, ledger: Ledger, accounts: int, seed: int, depth: Depth | None = None) -> None:
        self.depth = depth
        self.chance = np.random.default_rng(seed)
        self.ledger = ledger
        users = max(0, accounts - MAKERS)
        shares = np.array([kind.share for kind in KINDS])
        drawn = self.chance.choice(len(KINDS), users, p=shares / shares.sum())
        self.kinds = np.concatenate([np.full(min(accounts, MAKERS), -1), drawn])
        self.worth = np.zeros(len(self.kinds))
        for number, kind in enumerate(KINDS):
            mine = self.kinds == number
            self.worth[mine] = kind.deposit * np.exp(kind.spread * self.chance.standard_normal(int(mine.sum())))
        self.total = float(self.worth.sum()) * ledger.tables.units[QUOTE]
        self.markets = self.chance.choice(ledger.tables.perpetuals, len(self.kinds))
        self.quotes: dict[int, list[int]] = {}

    def openings(self, time_ms: int) -> list[Command]:
        """Accounts, their money, and the fund's."""
        ledger, unit = self.ledger, self.ledger.tables.units[QUOTE]
        commands: list[Command] = [Deposit(time_ms, FUND, 0, QUOTE, max(1, int(self.total) * FUND_PPM // PPM))]
        for index, kind in enumerate(self.kinds.tolist()):
            name = "maker" if kind < 0 else KINDS[kind].name
            commands.append(OpenAccount(time_ms, 0, 0, f"{name} {index}"))
        for index, kind in enumerate(self.kinds.tolist()):
            account, asset = FIRST_USER + index, QUOTE
            amount = int(self.total) * MAKER_CAPITAL // MAKERS if kind < 0 else int(self.worth[index] * unit)
            if kind >= 0 and KINDS[kind].in_asset:
                asset = ledger.venue.markets[int(self.markets[index])].asset
                amount = amount * ledger.tables.units[asset] // ledger.prices[asset]
            commands.append(Deposit(time_ms, account, 0, asset, max(1, amount)))
        return commands

    def first_positions(self, time_ms: int) -> list[Command]:
        """Everybody takes a position in their market; the makers' quotes must be there and deep."""
        commands: list[Command] = []
        for index in np.flatnonzero(self.kinds >= 0).tolist():
            kind = KINDS[int(self.kinds[index])]
            leverage = self.chance.uniform(kind.leverage_min, kind.leverage_max)
            side = 1 if self.chance.random() < kind.long_share else -1
            commands.append(self._take(time_ms, index, side, self.worth[index] * leverage))
        return commands

    def orders(self, time_ms: int, count: int, move: float) -> list[Command]:
        """What `count` users send now: some follow the last move, some buy the dip, some rest, some close.

        Args:
            move: relative change of prices in this step.
        """
        commands: list[Command] = []
        if len(self.kinds) <= MAKERS:
            return commands
        for index in self.chance.integers(MAKERS, len(self.kinds), count).tolist():
            account, number = FIRST_USER + index, int(self.markets[index])
            size = self.ledger.size[number][account]
            what = self.chance.random()
            if size and what < 0.35:
                lots, side = max(1, abs(size) // 2), -1 if size > 0 else 1
                commands.append(PlaceOrder(time_ms, account, 0, number, side, 0, lots, int(Flag.REDUCE_ONLY)))
            elif what < 0.75:
                side = 1 if self.chance.random() < (0.55 if move < 0 else 0.5) else -1
                commands.append(self._take(time_ms, index, side, self.worth[index] * self.chance.uniform(0.2, 3.0)))
            else:
                commands.append(self._rest(time_ms, index, number))
        return commands

    def requote(self, time_ms: int, number: int, centre: int, bar_range: float, deep: int = 1) -> list[Command]:
        """The makers' old ladder out, a new one around `centre` ticks in. Their order numbers are known beforehand."""
        ledger, market = self.ledger, self.ledger.venue.markets[number]
        commands: list[Command] = [
            CancelOrder(time_ms, ledger.orders[order].account, 0, order)
            for order in self.quotes.get(number, ())
            if order in ledger.orders
        ]
        thin = 1.0 + STRESS_THINNING * min(1.0, bar_range / STRESS_RANGE)
        bands = (self.depth.at(time_ms) if self.depth else None) or tuple(x / thin for x in (1.0, *OUTER))
        quiet = self.total * DEPTH_PPM / PPM * deep / MAKERS
        ladder = [(level / LEVELS, bands[0] / LEVELS) for level in range(1, LEVELS + 1)]
        ladder += [(float(percent), band) for percent, band in enumerate(bands[1:], start=2)]
        sides: tuple[int, ...] = (1, -1)
        if market.kind != PERPETUAL:  # bids for collateral that has to be sold
            sides, ladder = (1,), [(float(percent), band) for percent, band in enumerate(bands, start=1)]
        for percent, share in ladder:
            away = max(1, int(centre * LADDER_PPM // PPM * percent))
            lots = int(quiet * share / max(1, centre * market.tick_lot_atoms))
            lots = min(market.order_lots_max, max(1, lots))
            for maker in range(min(MAKERS, len(self.kinds))):
                for side in sides:
                    price = centre - side * (away - maker)
                    if 0 < price <= market.price_max:
                        commands.append(PlaceOrder(time_ms, FIRST_USER + maker, 0, number, side, price, lots, 0))
        return commands

    def remember(self, number: int, orders: list[int]) -> None:
        """The makers' orders that are now in the book of a market."""
        self.quotes[number] = orders

    def _take(self, time_ms: int, index: int, side: int, worth: float) -> PlaceOrder:
        number = int(self.markets[index])
        market, lot_value = self.ledger.venue.markets[number], self.ledger.lot_values[number]
        lots = int(worth * self.ledger.tables.units[QUOTE] / lot_value)
        lots = min(max(1, lots), market.order_lots_max)
        return PlaceOrder(time_ms, FIRST_USER + index, 0, number, side, 0, lots, int(Flag.IMMEDIATE))

    def _rest(self, time_ms: int, index: int, number: int) -> PlaceOrder:
        mark, lot_value = self.ledger.marks[number], self.ledger.lot_values[number]
        side = 1 if self.chance.random() < 0.5 else -1
        price = max(1, int(mark * (1.0 - side * abs(self.chance.normal(0.0, 0.01)))) - side)
        lots = max(1, int(self.worth[index] * self.ledger.tables.units[QUOTE] / lot_value))
        lots = min(lots, self.ledger.venue.markets[number].order_lots_max)
        return PlaceOrder(time_ms, FIRST_USER + index, 0, number, side, price, lots, int(Flag.POST_ONLY))
