"""What a holding or a debt of another asset counts as collateral.

A curve says which share of a holding's value counts, falling from tier to tier (Binance's haircut ratios). It is kept
as the share that is *lost*, which rises: then holdings, debts and positions all ask for `tiers.requirement`, and
health = equity - requirement for everything.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isqrt

from exchange.rules.errors import RuleInputError
from exchange.rules.rounding import PPM, ceil_div, value
from exchange.rules.tiers import RateTiers, rate_tiers, requirement


def haircut_curve(tiers: Iterable[tuple[int | None, int]]) -> RateTiers:
    """The lost shares of a curve of (upper bound in quote atoms or None, ratio that counts in ppm).

    What is above the last bound counts nothing.

    Raises:
        RuleInputError: bounds that do not rise or come after None, ratios that rise or leave 0 .. PPM.
    """
    lost: list[tuple[int, int]] = []
    below: int | None = 0
    for upper, ratio in tiers:
        if below is None:
            raise RuleInputError(f"haircut tier {len(lost)} comes after one without a bound: expected none")
        lost.append((below, PPM - ratio))
        below = upper
    if below is not None:
        lost.append((below, PPM))
    return rate_tiers(lost)


def counted(worth: int, lost: RateTiers, debt_margin: RateTiers) -> int:
    """Quote atoms that a holding (worth >= 0) or a debt (< 0) adds to an account's health, rounded down.

    A holding counts less what the curve takes, rounded up; a debt counts in full plus the margin on it, rounded up.
    Source: Binance portfolio-margin haircuts; the same rule makes the leg table of a proof.
    """
    return worth - (requirement(worth, lost) if worth >= 0 else requirement(-worth, debt_margin))


def collateral_value(amount: int, price: int, unit: int, lost: RateTiers, debt_margin: RateTiers) -> int:
    """`counted` of an amount in atoms at a price in quote atoms per `unit`; its value is rounded down."""
    return counted(value(amount, price, unit), lost, debt_margin)


def wrapped_price(underlying_index: int, conversion_num: int, conversion_den: int) -> int:
    """Price of a wrapped or staked token from its underlying's index and redemption ratio, rounded down.

    The token's own thin book has no say. Source: Binance's index rule for wBETH and BNSOL after 10 October 2025.
    """
    return underlying_index * conversion_num // conversion_den


def size_scaled_asset_weight(weight_ppm: int, imf_factor_ppm: int, size: int, unit: int) -> int:
    """Weight of a large holding: min(w, 1.1 / (1 + f * sqrt(units held))), in ppm, rounded down.

    Source: Drift v2, `calculate_size_discount_asset_weight`.
    """
    root_ppm = ceil_sqrt(imf_factor_ppm * imf_factor_ppm * size, unit)
    return min(weight_ppm, PPM * 11 * PPM // (10 * (PPM + root_ppm)))


def size_scaled_liability_weight(weight_ppm: int, imf_factor_ppm: int, size: int, unit: int) -> int:
    """Weight of a large debt or position: max(w, 0.8 w + f * sqrt(units held)), in ppm, rounded up.

    Source: Drift v2, `calculate_size_premium_liability_weight`.
    """
    root_ppm = ceil_sqrt(imf_factor_ppm * imf_factor_ppm * size, unit)
    return max(weight_ppm, ceil_div(weight_ppm * 4, 5) + root_ppm)


def deposit_scaled_weight(weight_ppm: int, deposits_value: int, start: int) -> int:
    """Weight of an asset of which the whole venue holds more than `start` quote atoms: w * start / deposits.

    Rounded down; unchanged up to `start`, and where start is 0. Source: Drift v2, `scale_initial_asset_weight_start`.
    """
    if start == 0 or deposits_value <= start:
        return weight_ppm
    return weight_ppm * start // deposits_value


def ceil_sqrt(numerator: int, denominator: int) -> int:
    """The smallest integer whose square is at least numerator / denominator >= 0."""
    whole = ceil_div(numerator, denominator)
    root = isqrt(whole)
    return root if root * root == whole else root + 1
