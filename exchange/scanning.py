"""All accounts at once: equity and requirement at the current prices, and who would be deleveraged first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from exchange.rules.adl import Candidate, score, unrealised
from exchange.rules.scan import AssetColumn, MarketColumn, Scan, scan
from exchange.rules.tiers import NO_REQUIREMENT
from exchange.state import QUOTE, Ledger

SCORE_ERROR: Final = 1e-9
"""Scores are first guessed in floats, a dozen roundings of 2^-53 each; exact integers decide among the near ones."""


def scan_accounts(ledger: Ledger, prices: Sequence[int] | None = None, lot_values: Sequence[int] | None = None) -> Scan:
    """Equity and requirement of every account, by default at the current prices. The columns are read in place.

    Args:
        prices: quote atoms per whole unit of each asset.
        lot_values: quote atoms per lot of each market.
    """
    values = ledger.lot_values if lot_values is None else lot_values
    tables = ledger.tables
    assets = [
        AssetColumn(view(ledger.balance[asset]), price, tables.units[asset], tables.lost[asset], NO_REQUIREMENT)
        for asset, price in enumerate(ledger.prices if prices is None else prices)
        if asset != QUOTE
    ]
    markets = [
        MarketColumn(
            view(ledger.size[number]),
            view(ledger.cost[number]),
            values[number],
            tables.maintenance[number],
        )
        for number in tables.perpetuals
    ]
    return scan(view(ledger.balance[QUOTE]), assets, markets)


def candidates(ledger: Ledger, number: int, size: int, lots: int) -> list[Candidate]:
    """Positions against one of `size` that could be among the first `lots` of the ranking, with exact scores.

    Equity here is at full values. Whoever is left out ranks behind enough others to take all of `lots`.
    """
    sizes, costs = view(ledger.size[number]), view(ledger.cost[number])
    equity = scan_accounts(ledger).equity
    lot_value = ledger.lot_values[number]
    (against,) = np.nonzero((sizes * np.sign(size) < 0) & (equity > 0) & (costs != 0))
    if not len(against):
        return []
    held = np.abs(sizes[against])
    worth, cost = held * float(lot_value), costs[against].astype(np.float64)
    share = (sizes[against] * float(lot_value) - cost) / np.abs(cost)
    leverage = worth / equity[against]
    guess = np.where(share >= 0, share * leverage, share / leverage)
    order = np.argsort(-guess, kind="stable")
    enough = int(np.searchsorted(np.cumsum(held[order]), lots))
    last = guess[order[min(enough, len(order) - 1)]]
    near = against[guess >= last - SCORE_ERROR * (1.0 + abs(last))]
    found = []
    for other in near.tolist():
        position, paid = int(sizes[other]), int(costs[other])
        profit = unrealised(position, position * lot_value, paid)
        points = score(profit, abs(paid), abs(position) * lot_value, int(equity[other]))
        found.append(Candidate(other, position, points, 0))
    return found


def total(column: npt.NDArray[np.int64]) -> int:
    """An exact sum: its halves cannot wrap for 2^31 accounts."""
    return int((column >> 32).sum()) * (1 << 32) + int((column & 0xFFFFFFFF).sum())


def view(column: object) -> npt.NDArray[np.int64]:
    """A column's memory. Keep it for one call only: a column cannot grow while somebody looks at it."""
    return np.frombuffer(column, np.int64)  # type: ignore[call-overload,no-any-return]
