"""Margins, what may be done with them, and the price at which they run out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from exchange.rules.errors import RuleInputError
from exchange.rules.rounding import PPM, ceil_div, clamp, value
from exchange.rules.tiers import RateTiers, tier_of


@dataclass(frozen=True, slots=True)
class Risk:
    """An account, or an isolated position with its own margin, at one price version, in quote atoms."""

    equity: int
    initial: int
    maintenance: int


class Change(IntEnum):
    """Whether a change of an account may happen."""

    OK = 0
    NEWLY_UNDERCOLLATERALIZED = 1
    STILL_UNDERCOLLATERALIZED = 2


def open_interest_scale_ppm(open_interest: int, lower: int, upper: int) -> int:
    """How far a market's open interest is between two bounds, 0 .. PPM, rounded up; 0 where upper <= lower.

    clamp((OI - lower) / (upper - lower), 0, 1), all in quote atoms. The bounds are the *market's*: splitting a position
    over wallets changes nothing. Source: dYdX v4, `LiquidityTier.GetAdjustedInitialMarginPpm`.
    """
    if upper <= lower or open_interest <= lower:
        return 0
    return ceil_div((min(open_interest, upper) - lower) * PPM, upper - lower)


def scaled_imf_ppm(base_ppm: int, scale_ppm: int) -> int:
    """Initial margin fraction to display: base + (1 - base) * scale, rounded down. Source: as above."""
    return base_ppm + (PPM - base_ppm) * scale_ppm // PPM


def initial_margin(notional: int, tiers: RateTiers, scale_ppm: int = 0, floor_ppm: int = 0) -> int:
    """Initial margin of a notional >= 0, in quote atoms, rounded up.

    The tiers' margin m (at least `floor_ppm` of the notional, from volatility), plus the share `scale_ppm` of the rest
    notional - m: from the upper open-interest bound on, positions are fully paid for.
    Source: dYdX v4, `LiquidityTier.GetInitialMarginQuoteQuantums`: ceil(notional * (IMF + (1 - IMF) * scale)).
    """
    n = tier_of(notional, tiers)
    base = max(notional * tiers.rate_ppm[n] - tiers.deduction[n], notional * floor_ppm)
    return ceil_div(base * PPM + (notional * PPM - base) * scale_ppm, PPM * PPM)


def linear_margin_rate_ppm(base_ppm: int, slope_ppm: int, size: int, unit: int) -> int:
    """Margin rate that rises by `slope_ppm` per `unit` of position, at most PPM, rounded up. Source: Deribit."""
    return min(PPM, base_ppm + ceil_div(abs(size) * slope_ppm, unit))


def concentration_limit(depth: int, depth_ppm: int, cap: int) -> int:
    """Open interest a market may have: a share of the external depth, at most `cap`, in quote atoms, rounded down.

    When depth elsewhere falls, so does the limit. Source: Hyperliquid's caps after JELLY, dYdX's after YFI.
    """
    return min(cap, depth * depth_ppm // PPM)


def position_equity(margin: int, size: int, entry_cost: int, price: int, unit: int) -> int:
    """Equity of a position with its own margin: margin + value - what it cost (below 0 for a short). Rounded down."""
    return margin + value(size, price, unit) - entry_cost


def may_change(before: Risk, after: Risk) -> Change:
    """Whether an order, transfer or withdrawal that leads from `before` to `after` may happen.

    Allowed where initial margin holds afterwards. Else, only for an account that lacked it already and only if the
    change reduces risk: maintenance margin does not rise and equity per maintenance margin does not fall; with no
    maintenance margin left on either side, equity must not fall.
    Source: dYdX v4, `IsValidStateTransitionForUndercollateralizedSubaccount`.
    """
    if after.equity >= after.initial:
        return Change.OK
    if before.equity >= before.initial:
        return Change.NEWLY_UNDERCOLLATERALIZED
    if after.maintenance > before.maintenance:
        return Change.STILL_UNDERCOLLATERALIZED
    if before.maintenance == 0:
        better = after.equity >= before.equity
    else:  # with no margin left afterwards this asks for equity >= 0
        better = after.equity * before.maintenance >= before.equity * after.maintenance
    return Change.OK if better else Change.STILL_UNDERCOLLATERALIZED


def withdrawable(settled: int, collateral: int, losses: int, margin: int) -> int:
    """Quote atoms that may leave an account, >= 0: max(0, min(settled, settled + collateral - losses - margin)).

    Unrealised profit does not occur in it, so it is never withdrawable; unrealised losses count in full.

    Args:
        settled: deposits less withdrawals, plus profit paid out of realised losses, less losses and fees paid.
        collateral: other assets after their haircuts.
        losses: sum over positions of max(0, -unrealised profit).
        margin: `transfer_margin` of the account.
    """
    return max(0, min(settled, settled + collateral - losses - margin))


def transfer_margin(initial: int, notional: int, transfer_ppm: int) -> int:
    """Margin that must stay behind a withdrawal: initial margin, at least a share of the notional, rounded up.

    Source: Hyperliquid's transfer requirement (10 %) of March 2025.
    """
    return max(initial, ceil_div(notional * transfer_ppm, PPM))


def liquidation_price(
    quote: int, size: int, unit: int, rate_ppm: int, deduction: int = 0, other_requirement: int = 0
) -> int:
    """Price at which equity equals maintenance margin, all else unchanged: the nearest price on the *safe* side.

    Solves quote + size p / unit = |size| p rate / unit - deduction + other_requirement. Rounded up for a long, down
    for a short: an account is told the earlier price. At least 0.
    Source: one formula behind those of dYdX, Binance, Hyperliquid, OKX and Drift, which name the terms differently.

    Args:
        quote: the account's cash less what its positions cost, plus the value of its other positions.
        rate_ppm, deduction: of the position's tier (a taker's fee may be added to the rate); deduction in quote atoms.
        other_requirement: maintenance margin of everything else.

    Raises:
        RuleInputError: no position, or a rate with which a long is never worth its margin.
    """
    slope = abs(size) * rate_ppm - size * PPM
    if size == 0 or (size > 0 and slope >= 0):
        raise RuleInputError(f"position {size} at {rate_ppm} ppm has no liquidation price: expected one below 1 in 1")
    numerator = (quote + deduction - other_requirement) * unit * PPM
    price = ceil_div(-numerator, -slope) if slope < 0 else numerator // slope
    return clamp(price, 0, max(price, 0))
