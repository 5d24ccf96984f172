"""Funding: what longs and shorts pay each other so that a perpetual follows its index.

A rate is a share of the notional per interval, in any fixed scale (ppm by default); above 0 longs pay. Payments of one
market add up to at least 0, because payers round up and receivers round down; what is over is the fund's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from exchange.rules.errors import RuleInputError
from exchange.rules.rounding import PPM, ceil_div, clamp


def payment(signed_notional: int, rate: int, scale: int = PPM) -> int:
    """Quote atoms a position pays (below 0: receives): ceil(signed notional * rate / scale).

    The notional is size * oracle price, not the mark. Source: Hyperliquid (oracle price), dYdX v4 (rounding).
    """
    return ceil_div(signed_notional * rate, scale)


@dataclass(frozen=True, slots=True)
class Settlement:
    """Payments in the order of the positions, and what the fund receives: together exactly zero."""

    payments: tuple[int, ...]
    fund: int


def settle(signed_notionals: Iterable[int], rate: int, scale: int = PPM) -> Settlement:
    """Funding of one market at one price: every position's payment and the fund's dust.

    Raises:
        RuleInputError: positions that do not add up to zero: a market is long exactly as much as it is short.
    """
    positions = tuple(signed_notionals)
    if sum(positions):
        raise RuleInputError(f"positions of a market add up to {sum(positions)}: expected 0")
    payments = tuple(payment(notional, rate, scale) for notional in positions)
    return Settlement(payments, sum(payments))


def impact_notional(stake: int, imf_ppm: int) -> int:
    """Notional at which the book's impact prices are read: stake / IMF, rounded down. Source: dYdX v4 (500 USDC)."""
    return stake * PPM // imf_ppm


def impact_price(levels: Sequence[tuple[int, int]], notional: int, lot_tick: int, is_bid: bool) -> int | None:
    """Average price in ticks at which `notional` would trade against one side of the book; None if it is too thin.

    Bids are rounded down and asks up, which makes the premium smaller. Source: dYdX v4 and Hyperliquid, impact prices.

    Args:
        levels: (price in ticks, lots), best first.
        lot_tick: quote atoms of one lot times one tick.
    """
    left = notional
    lots = paid = 0
    for price, size in levels:
        worth = price * size * lot_tick
        if worth >= left:
            # The lots of the last level enter as the fraction left / (price * lot_tick): over one common denominator.
            denominator = price * lot_tick
            numerator, lots_scaled = (paid + left) * denominator, lots * denominator + left
            return numerator // (lots_scaled * lot_tick) if is_bid else ceil_div(numerator, lots_scaled * lot_tick)
        left -= worth
        lots += size
        paid += worth
    return None


def premium(impact_bid: int, impact_ask: int, index: int, scale: int = PPM) -> int:
    """(max(0, bid - index) - max(0, index - ask)) / index in parts of `scale`, rounded towards zero.

    Source: dYdX v4, Hyperliquid, Binance: premium index of impact prices.
    """
    above = max(0, impact_bid - index) - max(0, index - impact_ask)
    return above * scale // index if above >= 0 else -(-above * scale // index)


def rate_with_interest(premium_rate: int, interest: int, damper: int, cap: int) -> int:
    """P + clamp(I - P, -damper, damper), within +-cap; all in one scale. Source: Binance, Hyperliquid (5 bp, 4 %/h)."""
    return clamp(premium_rate + clamp(interest - premium_rate, -damper, damper), -cap, cap)


def rate_damped(premium_rate: int, damper: int, cap: int) -> int:
    """The premium beyond +-damper, within +-cap: small premiums pay nothing. Source: Deribit, funding specification."""
    return clamp(max(damper, premium_rate) + min(-damper, premium_rate), -cap, cap)


def rate_cap_ppm(factor_ppm: int, imf_ppm: int, maintenance_fraction_ppm: int) -> int:
    """Cap on the rate: factor * (IMF - MMF) with MMF = IMF * fraction in whole ppm, each rounded down.

    Funding of one interval then cannot take an account from initial to below maintenance margin in one step more than
    the factor says. Source: dYdX v4, `GetMaxAbsFundingClampPpm`.
    """
    return factor_ppm * (imf_ppm - imf_ppm * maintenance_fraction_ppm // PPM) // PPM


def rates_by_skew(payer_rate: int, long_interest: int, short_interest: int) -> tuple[int, int]:
    """(rate of longs, rate of shorts) where the larger side pays by the skew and the smaller shares what is paid.

    The payers' rate is payer_rate * |long - short| / (long + short), rounded up; the receivers' is that times their
    counterparts' open interest over their own, rounded towards zero: never more than is paid.
    Source: GMX v2 README, funding fees.
    """
    skew = long_interest - short_interest
    if not skew:
        return 0, 0
    more, fewer = max(long_interest, short_interest), min(long_interest, short_interest)
    pays = ceil_div(payer_rate * abs(skew), more + fewer)
    receives = -(pays * more // fewer) if fewer else 0
    return (pays, receives) if skew > 0 else (receives, pays)


@dataclass(frozen=True, slots=True)
class AdaptiveFunding:
    """Thresholds on the skew in ppm of open interest, and changes of the rate per second in one scale.

    The increase is the one at a skew of 1.
    """

    decrease_below_ppm: int
    stable_below_ppm: int
    increase: int
    decrease: int


def adaptive_change(skew_ppm: int, same_direction: bool, seconds: int, policy: AdaptiveFunding) -> int:
    """How the rate moves over some time, rounded towards zero: up by increase * skew while the skew is large or has
    turned, down by `decrease` once it is small.

    Source: GMX v2 README, adaptive funding.

    Args:
        skew_ppm: |long - short| / total open interest.
        same_direction: whether the side that is larger is the side that already pays.
    """
    if not same_direction or skew_ppm > policy.stable_below_ppm:
        return policy.increase * skew_ppm * seconds // PPM
    return -policy.decrease * seconds if skew_ppm < policy.decrease_below_ppm else 0


def rate_after(rate: int, velocity_per_day: int, seconds: int) -> int:
    """A rate that drifts: rate + velocity * seconds / 86400, rounded towards zero. Source: Synthetix v3 perpetuals."""
    change = abs(velocity_per_day) * seconds // 86_400
    return rate + (change if velocity_per_day >= 0 else -change)


def velocity(skew: int, skew_scale: int, velocity_max: int) -> int:
    """clamp(skew / scale, -1, 1) * maximum, rounded towards zero. Source: Synthetix v3, `currentFundingVelocity`."""
    bounded = clamp(skew, -skew_scale, skew_scale)
    return (1 if bounded >= 0 else -1) * (abs(bounded) * velocity_max // skew_scale)
