"""What a trade against the venue's vault costs for making its book more lopsided, or earns for balancing it."""

from __future__ import annotations

from exchange.rules.rounding import PPM, ceil_div


def price_impact(before: int, after: int, factor: int, scale: int, exponent: int = 2) -> int:
    """factor / scale * (before^exponent - after^exponent): below 0 the trader pays. Rounded down. Quote atoms.

    What a round trip pays and earns cancels before rounding: manipulating the imbalance is never free.
    Source: GMX v2 README, price impact.

    Args:
        before, after: imbalance |long - short| in quote atoms.
    """
    return factor * int(before**exponent - after**exponent) // scale


def size_after_impact(notional: int, price: int, impact_ppm: int, unit: int) -> int:
    """Base atoms of a long opened for `notional` at an impact (below 0: worse), rounded down. Source: GMX v2 README."""
    return notional * unit * (PPM + impact_ppm) // (price * PPM)


def entry_price(notional: int, size: int, unit: int) -> int:
    """Average price of `size` base atoms for `notional`, rounded up: what a long has to get back. Per `unit`."""
    return ceil_div(notional * unit, size)
