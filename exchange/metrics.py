"""Risk metrics of the whole venue at one sequence number and one price version: what is published with a snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from exchange.risk import initial_requirement
from exchange.rules.rounding import PPM
from exchange.rules.scan import Scan
from exchange.scanning import scan_accounts, total, view
from exchange.state import FUND, QUOTE, Ledger

DISTANCE_BOUNDS_PPM: Final = (0, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000)
"""Upper bounds of the histogram's classes; the last class has none."""
TOP: Final = 10
"""How many of the largest positions are published as one figure; no single account's is."""


class Shock(NamedTuple):
    """A stress scenario: quote atoms per whole unit of each asset, quote atoms per lot of each market."""

    name: str
    prices: tuple[int, ...]
    lot_values: tuple[int, ...]


def risk_metrics(ledger: Ledger, shocks: Sequence[Shock] = ()) -> dict[str, Any]:
    """Figures in quote atoms, shares in ppm; everything at `ledger.sequence` and its prices.

    Returns:
        `fund`, `equity`, `initial_margin`, `maintenance_margin`, `shortfall` and `margin_deficit` (sums over accounts),
        `margin_use_ppm` and `fund_to_interest_ppm`; `markets` with open interest and concentration;
        `liquidation_distance` (by (equity - requirement) / position value); `scenarios` with the sums under each shock.
    """
    found = scan_accounts(ledger)
    markets = [_market(ledger, number) for number in ledger.tables.perpetuals]
    interest = sum(market["open_interest"] for market in markets)
    fund = ledger.balance[QUOTE][FUND]
    equity, initial = total(np.maximum(found.equity, 0)), _initial_margin(ledger)
    return {
        "sequence": ledger.sequence,
        "time_ms": ledger.time_ms,
        "accounts": len(ledger.user_ids),
        "fund": fund,
        "equity": equity,
        "initial_margin": initial,
        "maintenance_margin": total(found.required),
        **_sums(found),
        "margin_use_ppm": initial * PPM // max(equity, 1),
        "fund_to_interest_ppm": fund * PPM // interest if interest else None,
        "markets": markets,
        "liquidation_distance": _distances(ledger, found),
        "scenarios": [_scenario(ledger, shock, fund) for shock in shocks],
    }


def _sums(found: Scan) -> dict[str, int]:
    lacking = np.maximum(found.required - found.equity, 0)
    return {
        "shortfall": -total(np.minimum(found.equity, 0)),
        "margin_deficit": total(lacking),
        "accounts_below_margin": int(np.count_nonzero(lacking)),
    }


def _scenario(ledger: Ledger, shock: Shock, fund: int) -> dict[str, Any]:
    sums = _sums(scan_accounts(ledger, shock.prices, shock.lot_values))
    return {"name": shock.name, **sums, "fund_left": fund - sums["shortfall"]}


def _market(ledger: Ledger, number: int) -> dict[str, Any]:
    sizes = view(ledger.size[number])
    lots, value = ledger.open_interest[number], ledger.lot_values[number]
    largest = np.sort(np.abs(sizes))[::-1]
    sides = [sizes[sizes > 0], -sizes[sizes < 0]]
    return {
        "market": ledger.venue.markets[number].symbol,
        "mark": ledger.marks[number],
        "open_interest_lots": lots,
        "open_interest": lots * value,
        "accounts_long": len(sides[0]),
        "accounts_short": len(sides[1]),
        "top_share_ppm": total(largest[:TOP]) * PPM // (2 * lots) if lots else 0,
        # Herfindahl: 1,000,000 if one account holds a whole side.
        "concentration_long_ppm": _herfindahl(sides[0], lots),
        "concentration_short_ppm": _herfindahl(sides[1], lots),
    }


def _herfindahl(lots: npt.NDArray[np.int64], total: int) -> int:
    return sum(size * size for size in lots.tolist()) * PPM // (total * total) if total else 0


def _initial_margin(ledger: Ledger) -> int:
    return sum(
        initial_requirement(ledger, number, abs(size) * ledger.lot_values[number])
        for number in ledger.tables.perpetuals
        for size in ledger.size[number]
        if size
    )


def _distances(ledger: Ledger, found: Scan) -> list[dict[str, int | None]]:
    """Accounts with positions by how far prices may go against them, in terms of all their positions' value."""
    value = np.zeros(len(found.equity))
    for number in ledger.tables.perpetuals:
        value += np.abs(view(ledger.size[number])) * float(ledger.lot_values[number])
    held = np.flatnonzero(value > 0)
    distance = (found.equity[held] - found.required[held]) * float(PPM) / value[held]
    classes = np.searchsorted(np.array(DISTANCE_BOUNDS_PPM), distance, side="right")
    counts = np.bincount(classes, minlength=len(DISTANCE_BOUNDS_PPM) + 1)
    values = np.bincount(classes, value[held], minlength=len(DISTANCE_BOUNDS_PPM) + 1)
    rows = zip((*DISTANCE_BOUNDS_PPM, None), counts.tolist(), values.tolist(), strict=True)
    return [{"below_ppm": bound, "accounts": count, "value": int(amount)} for bound, count, amount in rows]
