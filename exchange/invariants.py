"""What holds after every event, checked over whole columns: fast enough for every price of a long run."""

from __future__ import annotations

import numpy as np

from exchange.scanning import total, view
from exchange.state import QUOTE, Ledger


def broken(ledger: Ledger) -> list[str]:
    """Names of the invariants that do not hold, with both sides; empty if all is well.

    Per asset what is held is what came in less what went out; positions of a market cancel and its open interest is
    their positive half; a flat account carries no cost; nobody has promised more than they have.
    """
    found: list[str] = []
    for number, asset in enumerate(ledger.venue.assets):
        balance, locked = view(ledger.balance[number]), view(ledger.locked[number])
        held = total(balance)
        if number == QUOTE:
            held -= sum(total(view(cost)) for cost in ledger.cost)
        inside = ledger.deposited[number] - ledger.withdrawn[number]
        if held != inside:
            found.append(f"{asset.symbol}: held {held}, came in less went out {inside}")
        if np.any(locked < 0) or (number != QUOTE and np.any(balance < locked)):
            account = int(np.argmax((locked < 0) | (balance < locked)))
            found.append(f"{asset.symbol}: account {account} holds {balance[account]}, promised {locked[account]}")
    for number, market in enumerate(ledger.venue.markets):
        size, cost = view(ledger.size[number]), view(ledger.cost[number])
        lots, longs = total(size), total(size[size > 0])
        if lots:
            found.append(f"{market.symbol}: positions sum to {lots} lots, not 0")
        if longs != ledger.open_interest[number]:
            found.append(f"{market.symbol}: open interest {ledger.open_interest[number]}, long positions {longs}")
        if np.any((size == 0) & (cost != 0)):
            account = int(np.argmax((size == 0) & (cost != 0)))
            found.append(f"{market.symbol}: flat account {account} carries a cost of {cost[account]}")
    return found
