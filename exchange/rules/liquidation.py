"""When an account is liquidated, at which price, how much of it at once, and what it pays.

Cash of a fill is signed from the account's view: closing a long brings cash in (> 0), closing a short costs it (< 0).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd

from exchange.rules.errors import RuleInputError
from exchange.rules.rounding import PPM, ceil_div, ceil_to


@dataclass(frozen=True, slots=True)
class LiquidationPolicy:
    """How a market liquidates; money in quote atoms.

    Args:
        max_fee_ppm: most that a fill pays to the fund, of its notional. Source: dYdX v4 (1.5 %).
        small_notional: a position up to this is closed at once. Source: Hyperliquid (100,000 USDC).
        clip_ppm: share of a larger one that is closed per step. Source: Hyperliquid (20 %).
        cooldown_ms: time between steps of one account. Source: Hyperliquid (30 s).
        backstop_ppm: below this share of maintenance margin the backstop takes all. Source: Hyperliquid (2/3).
        account_notional_per_block, market_notional_per_block: most that is closed per block. Source: dYdX v4's
            `max_notional_liquidated` per account; the market's is this venue's own.
        market_loss_per_block: most that the fund pays per block, the rest goes to ADL: `fund.fund_capacity`.
    """

    max_fee_ppm: int
    small_notional: int
    clip_ppm: int
    cooldown_ms: int
    backstop_ppm: int
    account_notional_per_block: int
    market_notional_per_block: int
    market_loss_per_block: int


def is_liquidatable(equity: int, maintenance: int) -> bool:
    """Maintenance margin is asked for and equity is below it. Source: dYdX v4, `IsLiquidatable` (MMR > 0, NC < MMR)."""
    return 0 < maintenance > equity


def is_for_backstop(equity: int, maintenance: int, backstop_ppm: int) -> bool:
    """Equity is below the given share of maintenance margin. Source: Hyperliquid, two thirds."""
    return maintenance > 0 and equity * PPM < maintenance * backstop_ppm


def urgency(equity: int, maintenance: int) -> int:
    """Accounts are liquidated by rising equity / maintenance, in parts of PPM^2, rounded down; then by account number.

    The worst come first while there is room in the block. Source: Drift and Hyperliquid, margin ratio.
    """
    return equity * PPM * PPM // maintenance


def first_to_close(maintenance: Sequence[int]) -> int:
    """Which of an account's positions is closed first: the one with the most maintenance margin, then the lowest index.

    Closing it frees the most margin per step. Source: this venue's choice.
    """
    return max(range(len(maintenance)), key=lambda n: (maintenance[n], -n))


def check_close(size: int, delta: int) -> None:
    """Refuse a closing fill that is not one.

    Raises:
        RuleInputError: no position or no fill, a fill in the position's direction, or one that would flip it.
    """
    if size * delta >= 0 or abs(delta) > abs(size):
        raise RuleInputError(f"a fill of {delta} does not close a position of {size}: expected the other sign, no more")


def bankruptcy_quote(
    equity: int, maintenance: int, value_before: int, value_after: int, maintenance_before: int, maintenance_after: int
) -> int:
    """Cash of a closing fill that leaves equity / maintenance of the account as it is: the bankruptcy price, exactly.

    -(change of value) - floor(equity * |change of maintenance| / maintenance): closing everything leaves equity 0. The
    floor makes the account receive more, never less than the ratio asks. Quote atoms.
    Source: dYdX v4, `GetBankruptcyPriceInQuoteQuantums`.

    Args:
        equity, maintenance: of the whole account (or of the isolated position), maintenance > 0.
        value_before, value_after: signed value of the position that is closed, before and after.
        maintenance_before, maintenance_after: its maintenance margin.

    Raises:
        RuleInputError: an account without maintenance margin has no bankruptcy price.
    """
    if maintenance <= 0:
        raise RuleInputError(f"maintenance margin {maintenance}: expected above 0")
    return value_before - value_after - equity * abs(maintenance_after - maintenance_before) // maintenance


def bankruptcy_price(quote: int, closed: int, lot_tick: int) -> int:
    """The limit in ticks at which selling `closed` > 0 lots (buying, < 0) brings at least the cash `quote`.

    Rounded towards the account's solvency: up for a sale, down for a purchase.
    """
    return ceil_div(quote, closed * lot_tick) if closed > 0 else -quote // (-closed * lot_tick)


def fillable_price(
    value: int, size: int, maintenance_of_position: int, equity: int, maintenance: int, adjustment_ppm: int,
    spread_ppm: int,
) -> tuple[int, int]:  # fmt: skip
    """Worst price at which a liquidation order may fill, as a reduced fraction of quote atoms per size unit.

    (value - ABR * spread * position's maintenance) / size, where the adjusted bankruptcy rating is
    ABR = clamp(adjustment * (1 - equity / maintenance), 0, 1).
    For a short this lies above the oracle price: dYdX's page has the sign wrong there, its code is right.
    Source: dYdX v4, `GetFillablePrice`.

    Args:
        value: signed value of the position.
        size: its signed size.
        equity, maintenance: of the account.
        adjustment_ppm: how fast the price moves to the bankruptcy price.
        spread_ppm: most that it may lie away from the oracle price, of the position's maintenance margin.
    """
    weight = max(0, min(adjustment_ppm * (maintenance - equity), PPM * maintenance))
    numerator = value * PPM * PPM * maintenance - weight * spread_ppm * maintenance_of_position
    denominator = size * PPM * PPM * maintenance
    divisor = gcd(numerator, denominator) * (1 if denominator > 0 else -1)
    return numerator // divisor, denominator // divisor


def fund_delta(fill_quote: int, bankruptcy: int, max_fee_ppm: int) -> int:
    """What a liquidation fill moves from the account to the fund; below 0 the fund pays the account.

    With x = cash of the fill - cash at the bankruptcy price: x where x <= 0, else min(|fill| * max fee, x), the fee
    rounded up. Quote atoms. Source: dYdX v4, `GetLiquidationInsuranceFundDelta`.
    """
    better = fill_quote - bankruptcy
    return better if better <= 0 else min(ceil_div(abs(fill_quote) * max_fee_ppm, PPM), better)


def size_to_restore(
    shortage: int, value_per_unit: int, unit: int, maintenance_ppm: int, fee_ppm: int, lot: int = 1
) -> int:
    """Smallest size, in whole lots, whose closing at the mark removes a shortage of margin.

    Each unit closed frees value * maintenance rate and costs value * fee rate. Rounded up: the shortage is gone
    afterwards. Source: Drift v2, `calculate_base_asset_amount_to_cover_margin_shortage`.

    Raises:
        RuleInputError: the fee is not below the maintenance rate: closing would never help.
    """
    freed = value_per_unit * (maintenance_ppm - fee_ppm)
    if freed <= 0:
        raise RuleInputError(f"fee {fee_ppm} ppm, maintenance {maintenance_ppm} ppm: expected a fee below it")
    return ceil_to(ceil_div(max(0, shortage) * unit * PPM, freed), lot)


def clip_size(size: int, notional: int, restore: int, policy: LiquidationPolicy, lot: int = 1) -> int:
    """How much of a position of |size| one step closes, in whole lots and at most the position.

    All of a small one; of a larger one the clip, or the size that restores its margin if that is more.
    Source: Hyperliquid's 20 % clips; Drift's cover of the shortage.
    """
    whole = abs(size)
    if notional <= policy.small_notional:
        return whole
    return min(whole, max(ceil_to(ceil_div(whole * policy.clip_ppm, PPM), lot), restore))


def within_block_caps(
    size: int, notional: int, account_used: int, market_used: int, policy: LiquidationPolicy, lot: int = 1
) -> int:
    """The part of a step of `size` >= 0 that this block's caps leave room for, in whole lots, rounded down.

    Args:
        notional: of the whole step, in quote atoms.
        account_used, market_used: notional that the account, and the market, had closed in this block before.
    """
    room = min(policy.account_notional_per_block - account_used, policy.market_notional_per_block - market_used)
    if room >= notional:
        return size
    return 0 if room <= 0 else size * room // notional // lot * lot


def escalated_fee_ppm(base_ppm: int, max_ppm: int, elapsed: int, grace: int, step_ppm: int) -> int:
    """Fee that rises while nobody liquidates: base + elapsed * step once the grace is over, at most the maximum.

    Source: Drift v2, `get_liquidation_fee`.
    """
    return base_ppm if elapsed < grace else min(max_ppm, base_ppm + elapsed * step_ppm)


def fund_fee_ppm(
    shortage: int, notional: int, maintenance_ppm: int, liquidator_ppm: int, max_ppm: int, share_ppm: int = 950_000
) -> int:
    """Largest fee to the fund that leaves a partial liquidation able to restore margin, in ppm, rounded down.

    min(max, share * max(0, maintenance - liquidator's fee - shortage / notional)). Nothing where there is no notional.
    Source: Drift v2, `calculate_perp_if_fee`.
    """
    if notional <= 0:
        return 0
    left = maintenance_ppm - liquidator_ppm - ceil_div(shortage * PPM, notional)
    return min(max_ppm, max(0, left) * share_ppm // PPM)


def releasable_ppm(
    shortage: int, freed: int, elapsed: int, duration: int, initial_ppm: int, small_shortage: int
) -> int:
    """Share of the remaining shortage that may be liquidated by now, 0 .. PPM, rounded down.

    It grows from `initial_ppm` to everything over `duration`; a small shortage is taken at once.
    Source: Drift v2, `calculate_max_pct_to_liquidate`.

    Args:
        shortage: margin still missing; freed: margin that this liquidation has freed so far. Quote atoms.
    """
    if shortage < small_shortage:
        return PPM
    allowed_ppm = min(PPM, initial_ppm + elapsed * PPM // duration)
    return min(PPM, max(0, ((shortage + freed) * allowed_ppm // PPM - freed) * PPM // shortage))
