"""A venue's definition in the form in which the rules want it: rate tables and policies, built once."""

from __future__ import annotations

from typing import Final

from exchange.rules.haircuts import haircut_curve
from exchange.rules.liquidation import LiquidationPolicy
from exchange.rules.tiers import NO_REQUIREMENT, RateTiers, rate_tiers
from exchange.venue import NOTIONAL_END, PERPETUAL, MarginTier, Market, Venue

NO_COLLATERAL: Final = haircut_curve([(None, 0)])


class Tables:
    """Per asset and per market, by number.

    Attributes:
        units: atoms of one whole unit.
        lost: haircut curve as the share that is lost.
        initial, maintenance: margin rates; for a spot market those that ask for nothing.
        liquidation: how each market liquidates; a cap of 0 in the definition is one that nothing reaches.
        perpetuals: numbers of the perpetual markets.
    """

    __slots__ = ("initial", "liquidation", "lost", "maintenance", "perpetuals", "units")

    def __init__(self, venue: Venue) -> None:
        self.units = [asset.unit_atoms for asset in venue.assets]
        self.lost = [
            haircut_curve([(tier.to, tier.ratio_ppm) for tier in asset.haircut]) if asset.haircut else NO_COLLATERAL
            for asset in venue.assets
        ]
        self.initial = [_rates(market.margin, initial=True) for market in venue.markets]
        self.maintenance = [_rates(market.margin, initial=False) for market in venue.markets]
        self.liquidation = [_liquidation(venue, market) for market in venue.markets]
        self.perpetuals = [number for number, market in enumerate(venue.markets) if market.kind == PERPETUAL]


def _rates(tiers: tuple[MarginTier, ...], *, initial: bool) -> RateTiers:
    if not tiers:
        return NO_REQUIREMENT
    lower = [0, *(tier.to for tier in tiers if tier.to is not None)]
    rates = [tier.initial_ppm if initial else tier.maintenance_ppm for tier in tiers]
    return rate_tiers(zip(lower, rates, strict=True))


def _liquidation(venue: Venue, market: Market) -> LiquidationPolicy:
    return LiquidationPolicy(
        max_fee_ppm=venue.liquidation_fee_ppm,
        small_notional=venue.clip_notional,
        clip_ppm=venue.clip_ppm,
        cooldown_ms=0,
        backstop_ppm=venue.backstop_ppm,
        account_notional_per_block=venue.account_liquidation_max or NOTIONAL_END,
        market_notional_per_block=market.liquidation_notional_max or NOTIONAL_END,
        market_loss_per_block=market.fund_loss_max or NOTIONAL_END,
    )
