"""Risk metrics of the whole venue at one sequence number and one price version: what is published with a snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from exchange.risk import initial_requirement
from exchange.rules.rounding import PPM
from exchange.scanning import scan_accounts, total
from exchange.state import FIRST_USER, FUND, QUOTE, Ledger

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
    sums = _sums(found.equity, found.required)
    markets = [_market(ledger, number) for number in ledger.tables.perpetuals]
    interest = sum(market["open_interest"] for market in markets)
    fund = ledger.balance[QUOTE][FUND]
    equity = total(np.maximum(found.equity, 0))
    return {
        "sequence": ledger.sequence,
        "time_ms": ledger.time_ms,
        "accounts": len(ledger.user_ids),
        "fund": fund,
        "equity": equity,
        "initial_margin": _initial_margin(ledger),
        "maintenance_margin": sums.pop("required"),
        **sums,
        "margin_use_ppm": _initial_margin(ledger) * PPM // max(equity, 1),
        "fund_to_interest_ppm": fund * PPM // interest if interest else None,
        "markets": markets,
        "liquidation_distance": _distances(ledger, found.equity, found.required),
        "scenarios": [_scenario(ledger, shock, fund) for shock in shocks],
    }


def _sums(equity: npt.NDArray[np.int64], required: npt.NDArray[np.int64]) -> dict[str, int]:
    lacking = np.maximum(required - equity, 0)
    return {
        "required": total(required),
        "shortfall": -total(np.minimum(equity, 0)),
        "margin_deficit": total(lacking),
        "accounts_below_margin": int(np.count_nonzero(lacking)),
    }


def _scenario(ledger: Ledger, shock: Shock, fund: int) -> dict[str, Any]:
    found = scan_accounts(ledger, shock.prices, shock.lot_values)
    sums = _sums(found.equity, found.required)
    del sums["required"]
    return {"name": shock.name, **sums, "fund_left": fund - sums["shortfall"]}


def _market(ledger: Ledger, number: int) -> dict[str, Any]:
    sizes = np.frombuffer(ledger.size[number], np.int64)
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


def _distances(
    ledger: Ledger, equity: npt.NDArray[np.int64], required: npt.NDArray[np.int64]
) -> list[dict[str, int | None]]:
    """Users with positions by how far prices may go against them, in terms of all their positions' value."""
    value = np.zeros(len(equity))
    for number in ledger.tables.perpetuals:
        value += np.abs(np.frombuffer(ledger.size[number], np.int64)) * float(ledger.lot_values[number])
    held = np.flatnonzero(value > 0)
    held = held[held >= FIRST_USER]
    distance = (equity[held] - required[held]) * float(PPM) / value[held]
    classes = np.searchsorted(np.array(DISTANCE_BOUNDS_PPM), distance, side="right")
    counts = np.bincount(classes, minlength=len(DISTANCE_BOUNDS_PPM) + 1)
    values = np.bincount(classes, value[held], minlength=len(DISTANCE_BOUNDS_PPM) + 1)
    rows: list[dict[str, int | None]] = []
    for bound, count, amount in zip((*DISTANCE_BOUNDS_PPM, None), counts.tolist(), values.tolist(), strict=True):
        rows.append({"below_ppm": bound, "accounts": count, "value": int(amount)})
    return rows
