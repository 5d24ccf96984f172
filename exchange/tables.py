"""A venue's definition in the form in which the rules want it: rate tables, built once."""

from __future__ import annotations

from typing import Final

from exchange.rules.haircuts import haircut_curve
from exchange.rules.tiers import NO_REQUIREMENT, RateTiers, rate_tiers
from exchange.venue import PERPETUAL, MarginTier, Venue

NO_COLLATERAL: Final = haircut_curve([(None, 0)])


class Tables:
    """Per asset and per market, by number.

    Attributes:
        units: atoms of one whole unit.
        lost: haircut curve as the share that is lost.
        initial, maintenance: margin rates; for a spot market those that ask for nothing.
        perpetuals: numbers of the perpetual markets.
    """

    __slots__ = ("initial", "lost", "maintenance", "perpetuals", "units")

    def __init__(self, venue: Venue) -> None:
        self.units = [asset.unit_atoms for asset in venue.assets]
        self.lost = [
            haircut_curve([(tier.to, tier.ratio_ppm) for tier in asset.haircut]) if asset.haircut else NO_COLLATERAL
            for asset in venue.assets
        ]
        self.initial = [_rates(market.margin, initial=True) for market in venue.markets]
        self.maintenance = [_rates(market.margin, initial=False) for market in venue.markets]
        self.perpetuals = [number for number, market in enumerate(venue.markets) if market.kind == PERPETUAL]


def _rates(tiers: tuple[MarginTier, ...], *, initial: bool) -> RateTiers:
    if not tiers:
        return NO_REQUIREMENT
    lower = [0, *(tier.to for tier in tiers if tier.to is not None)]
    rates = [tier.initial_ppm if initial else tier.maintenance_ppm for tier in tiers]
    return rate_tiers(zip(lower, rates, strict=True))
