"""What an open spot order keeps locked, so that its fills can always be paid."""

from __future__ import annotations

from exchange.rules.fees import telescoped
from exchange.state import QUOTE
from exchange.venue import Market


def spot_lock(market: Market, side: int, price: int, lots: int, rest: int) -> tuple[int, int]:
    """Asset number and atoms locked for the `rest` of an order that entered the book with `lots`.

    A sale locks what it sells. A purchase locks price and maker fee; the fees of an order's fills telescope to the
    fee of the whole, so the lock is exact after any partial fill.
    """
    if side < 0:
        return market.asset, rest * market.lot_atoms
    per_lot = price * market.tick_lot_atoms
    fee = telescoped((lots - rest) * per_lot, rest * per_lot, max(market.maker_fee_ppm, 0))
    return QUOTE, rest * per_lot + fee
