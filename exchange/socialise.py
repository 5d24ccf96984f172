"""The last step of the waterfall: a loss that book, fund and deleveraging have left is shared by those in profit."""

from __future__ import annotations

import numpy as np

from exchange.events import LossShared
from exchange.rules.fund import socialise
from exchange.scanning import scan_accounts, view
from exchange.state import Ledger


def shared(ledger: Ledger, account: int, loss: int) -> list[LossShared]:
    """Who gives up how much of `loss` > 0 quote atoms for what `account`, which is flat, owes; by number of account.

    In proportion to unrealised profit over all markets, of which nobody gives more than brings them to their
    maintenance margin: nobody is liquidated by it, and flat accounts pay nothing. What all of that does not cover
    stays where it is.
    """
    claims = _claims(ledger)
    payers = sorted(claims)
    shares = socialise(min(loss, sum(claims.values())), [claims[payer] for payer in payers])
    return [LossShared(account, payer, share) for payer, share in zip(payers, shares, strict=True) if share]


def _claims(ledger: Ledger) -> dict[int, int]:
    scan = scan_accounts(ledger)
    perpetuals = ledger.tables.perpetuals
    holders = {holder for number in perpetuals for holder in np.flatnonzero(view(ledger.size[number])).tolist()}
    claims = {}
    for holder in holders:
        profit = sum(
            ledger.size[number][holder] * ledger.lot_values[number] - ledger.cost[number][holder]
            for number in perpetuals
        )
        claim = min(profit, int(scan.equity[holder]) - int(scan.required[holder]))
        if claim > 0:
            claims[holder] = claim
    return claims
