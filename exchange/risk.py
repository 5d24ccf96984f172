"""What an account may still do: equity, margins and what is left of it, at the ledger's current prices."""

from __future__ import annotations

from exchange.rules.haircuts import counted
from exchange.rules.margin import Risk, initial_margin, withdrawable
from exchange.rules.tiers import NO_REQUIREMENT, requirement
from exchange.state import QUOTE, Ledger


def initial_excess(ledger: Ledger, account: int) -> int:
    """Equity less initial margin, open orders included, in quote atoms. Renews the account's lower bound.

    Equity here leaves out what is locked for spot orders, and counts other assets after their haircuts.
    """
    total = ledger.balance[QUOTE][account] - ledger.locked[QUOTE][account] + collateral(ledger, account)
    for number in ledger.tables.perpetuals:
        size = ledger.size[number][account]
        buys = ledger.buys[number][account]
        sells = ledger.sells[number][account]
        if size or buys or sells:
            lot_value = ledger.lot_values[number]
            total += size * lot_value - ledger.cost[number][account]
            total -= initial_requirement(ledger, number, exposure(size, buys, sells) * lot_value)
    # A cache, so it may be filled while deciding: it depends on nothing but the state.
    ledger.spare[account] = total
    ledger.spare_version[account] = ledger.price_version
    return total


def initial_requirement(ledger: Ledger, number: int, notional: int) -> int:
    """Initial margin of a position worth `notional` quote atoms, at its market's open interest and volatility."""
    scale, floor, tiers = ledger.scales[number], ledger.risk.floors[number], ledger.tables.initial[number]
    return initial_margin(notional, tiers, scale, floor) if scale or floor else requirement(notional, tiers)


def exposure(size: int, buys: int, sells: int) -> int:
    """The largest position, in lots, that open orders can lead to, in either direction."""
    return max(size + buys, sells - size)


def collateral(ledger: Ledger, account: int, *, with_locked: bool = False) -> int:
    """Quote atoms that holdings other than the quote asset count for."""
    total = 0
    for asset in range(1, len(ledger.prices)):
        amount = ledger.balance[asset][account]
        if amount:
            if not with_locked:
                amount -= ledger.locked[asset][account]
            total += asset_collateral(ledger, asset, amount)
    return total


def asset_collateral(ledger: Ledger, asset: int, amount: int) -> int:
    """Quote atoms that `amount` atoms of `asset` count for, rounded down."""
    tables = ledger.tables
    return counted(amount * ledger.prices[asset] // tables.units[asset], tables.lost[asset], NO_REQUIREMENT)


def account_risk(ledger: Ledger, account: int) -> Risk:
    """Equity and margins of the positions alone: open orders could all be cancelled at once.

    What is locked counts as equity; `initial` and `maintenance` are of the positions held.
    """
    equity = ledger.balance[QUOTE][account] + collateral(ledger, account, with_locked=True)
    initial = maintenance = 0
    for number in ledger.tables.perpetuals:
        size = ledger.size[number][account]
        if size:
            lot_value = ledger.lot_values[number]
            equity += size * lot_value - ledger.cost[number][account]
            initial += initial_requirement(ledger, number, abs(size) * lot_value)
            maintenance += requirement(abs(size) * lot_value, ledger.tables.maintenance[number])
    return Risk(equity, initial, maintenance)


def left_after_leaving(ledger: Ledger, account: int, asset: int, amount: int) -> int:
    """Quote atoms that could still leave the account after `amount` atoms of `asset`; below 0: these may not.

    Unrealised profit never counts, unrealised losses do, and open orders keep their margin.
    """
    tables = ledger.tables
    losses = margin = 0
    for number in tables.perpetuals:
        size = ledger.size[number][account]
        buys = ledger.buys[number][account]
        sells = ledger.sells[number][account]
        if size or buys or sells:
            lot_value = ledger.lot_values[number]
            losses += max(0, ledger.cost[number][account] - size * lot_value)
            margin += initial_requirement(ledger, number, exposure(size, buys, sells) * lot_value)
    settled = ledger.balance[QUOTE][account] - ledger.locked[QUOTE][account]
    others = collateral(ledger, account)
    if asset != QUOTE:
        held = ledger.balance[asset][account] - ledger.locked[asset][account]
        others += asset_collateral(ledger, asset, held - amount) - asset_collateral(ledger, asset, held)
        return settled + others - losses - margin
    return withdrawable(settled, others, losses, margin) - amount
