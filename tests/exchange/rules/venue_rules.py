"""How each group of worked examples is put to the rules: inputs as the source gives them, the result in its units."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from exchange.rules import (
    adl,
    fund,
    funding,
    haircuts,
    impact,
    liquidation,
    margin,
    mark,
    oracle,
    tiers,
    withdrawals,
)
from exchange.rules.errors import RuleInputError
from exchange.rules.rounding import PPM, value

ONE = 10**18
"""Scale of decimal inputs: the rules are the same at any scale, and this one loses no digit of any example."""

Inputs = dict[str, Any]
RULES: dict[str, Callable[[Inputs], Any]] = {}


def rule(group: str) -> Callable[[Callable[[Inputs], Any]], Callable[[Inputs], Any]]:
    def register(function: Callable[[Inputs], Any]) -> Callable[[Inputs], Any]:
        RULES[group] = function
        return function

    return register


def scaled(number: float | str, scale: int = ONE) -> int:
    exact = Fraction(str(number)) * scale
    assert exact.denominator == 1, number
    return int(exact)


def unscaled(number: int, scale: int = ONE) -> Fraction:
    return Fraction(number, scale)


def flat(rate_ppm: int) -> tiers.RateTiers:
    return tiers.rate_tiers([(0, rate_ppm)])


class Account:
    """A dYdX subaccount of the examples' environment: values, margins and the position that is closed."""

    def __init__(self, inputs: Inputs) -> None:
        env = inputs["env"]
        self.maintenance_tiers = flat(env["imf_ppm"] * env["maintenance_fraction_ppm"] // PPM)
        self.perpetuals = env["perpetuals"]
        sizes = {position["perp"]: position["quantums"] for position in inputs["positions"]}
        values = {perpetual: self.value(perpetual, size) for perpetual, size in sizes.items()}
        self.equity = inputs["quote_balance"] + sum(values.values())
        self.maintenance = sum(self.margin(worth) for worth in values.values())
        self.perpetual = inputs["perp"]
        self.size = sizes.get(self.perpetual, 0)

    def value(self, perpetual: int, size: int) -> int:
        market = self.perpetuals[str(perpetual)]
        return value(size, market["price_usd"] * 10**6, 10 ** -market["atomic_resolution"])

    def margin(self, worth: int) -> int:
        return tiers.requirement(abs(worth), self.maintenance_tiers)

    def bankruptcy_quote(self, delta: int) -> int:
        liquidation.check_close(self.size, delta)
        before, after = self.value(self.perpetual, self.size), self.value(self.perpetual, self.size + delta)
        return liquidation.bankruptcy_quote(
            self.equity, self.maintenance, before, after, self.margin(before), self.margin(after)
        )


@rule("dydx.bankruptcy_price")
def _(i: Inputs) -> Any:
    try:
        return Account(i).bankruptcy_quote(i["delta_quantums"])
    except RuleInputError:
        return "error"


@rule("dydx.fillable_price")
def _(i: Inputs) -> Any:
    account = Account(i)
    try:
        liquidation.check_close(account.size, i["delta_quantums"])
    except RuleInputError:
        return "error"
    worth = account.value(account.perpetual, account.size)
    return list(
        liquidation.fillable_price(
            worth,
            account.size,
            account.margin(worth),
            account.equity,
            account.maintenance,
            i["bankruptcy_adjustment_ppm"],
            i["spread_to_mmr_ratio_ppm"],
        )
    )


@rule("dydx.insurance_fund_delta")
def _(i: Inputs) -> Any:
    filled = i["fill_quantums"]
    quote = filled * i["subticks"] // 10 ** -i["quantum_conversion_exponent"]
    try:
        bankruptcy = Account(i).bankruptcy_quote(filled if i["is_buy"] else -filled)
    except RuleInputError:
        return "error"
    return liquidation.fund_delta(-quote if i["is_buy"] else quote, bankruptcy, i["max_liquidation_fee_ppm"])


def _scale_ppm(i: Inputs) -> int:
    return margin.open_interest_scale_ppm(i["oi_notional"], i["oi_lower"], i["oi_upper"])


@rule("dydx.oi_scaled_initial_margin")
def _(i: Inputs) -> Any:
    return margin.initial_margin(i["notional"], flat(i["initial_margin_ppm"]), _scale_ppm(i))


@rule("dydx.oi_scaled_imf_ppm")
def _(i: Inputs) -> Any:
    return margin.scaled_imf_ppm(i["initial_margin_ppm"], _scale_ppm(i))


@rule("dydx.funding_clamp")
def _(i: Inputs) -> Any:
    return funding.rate_cap_ppm(i["clamp_factor_ppm"], i["initial_margin_ppm"], i["maintenance_fraction_ppm"])


@rule("dydx.withdrawal_rate_limit")
def _(i: Inputs) -> Any:
    return [
        withdrawals.withdrawal_capacity(
            one["capacity"],
            withdrawals.withdrawal_baseline(i["tvl"], one["baseline_min"], one["baseline_tvl_ppm"]),
            i["ms_since_last_block"],
            one["period_ms"],
        )
        for one in i["limiters"]
    ]


@rule("dydx.undercollateralized_transition")
def _(i: Inputs) -> Any:
    before, after = i["old"], i["new"]
    change = margin.may_change(
        margin.Risk(before["nc"], before["imr"], before["mmr"]),
        margin.Risk(after["nc"], max(after["nc"], after["mmr"]) + 1, after["mmr"]),  # still below its initial margin
    )
    return {margin.Change.OK: "Success", margin.Change.STILL_UNDERCOLLATERALIZED: "StillUndercollateralized"}[change]


def liquidation_price(
    quote: Fraction, size: Fraction, rate: Fraction, deduction: Fraction = Fraction(0), other: Fraction = Fraction(0)
) -> Fraction:
    price = margin.liquidation_price(
        int(quote * ONE), int(size * ONE), ONE, int(rate * PPM), int(deduction * ONE), int(other * ONE)
    )
    return unscaled(price)


def numbers(i: Inputs) -> dict[str, Fraction]:
    return {name: Fraction(str(number)) for name, number in i.items() if isinstance(number, int | float)}


@rule("dydx.liquidation_price")
def _(i: Inputs) -> Any:
    n = numbers(i)
    if "equity" not in n:  # what is left at that price: the maintenance margin
        notional = int(abs(n["size"]) * n["price"] * ONE)
        return unscaled(tiers.requirement(notional, flat(int(n["mmf"] * PPM))))
    return liquidation_price(n["equity"] - n["size"] * n["price"], n["size"], n["mmf"], other=n["mmr_other"])


@rule("dydx.deleveraging")
def _(i: Inputs) -> Any:
    size, cost = i["size"], i["size"] * i["entry"]
    worth = size * i["oracle"]
    equity = i["deposit_b"] + cost - worth
    quote = liquidation.bankruptcy_quote(equity, 1, -worth, 0, 1, 0)
    parts, left = adl.allocate([adl.Candidate(1, size, 0, size)], -size)
    assert left == 0
    cash = sum(adl.closing_cash(quote, parts))
    return {
        "b_equity": equity,
        "bankruptcy_price_b": Fraction(-quote, size),
        "a_pnl": cash - cost,
        "b_pnl": cost + quote,
        "b_final": i["deposit_b"] + cost + quote,
    }


@rule("dydx.insurance_cover")
def _(i: Inputs) -> Any:
    n = numbers(i)
    cost, worth, fill = (int(n["size"] * n[name] * ONE) for name in ("entry", "oracle", "fill"))
    equity = margin.position_equity(int(n["deposit"] * ONE), worth, cost, 1, 1)
    rates = flat(int(n["mmf"] * PPM))
    asked = tiers.requirement(worth, rates)
    assert liquidation.is_liquidatable(equity, asked)
    bankruptcy = liquidation.bankruptcy_quote(equity, asked, worth, 0, asked, 0)
    return {
        "mmr_at_entry": unscaled(tiers.requirement(cost, rates)),
        "equity": unscaled(equity),
        "pnl_at_fill": unscaled(fill - cost),
        "insurance_pays": unscaled(-liquidation.fund_delta(fill, bankruptcy, 15_000)),
    }


@rule("dydx.funding_cap")
def _(i: Inputs) -> Any:
    n = numbers(i)
    fraction = int(n["mmf"] / n["imf"] * PPM)
    return unscaled(funding.rate_cap_ppm(int(n["factor"] * PPM), int(n["imf"] * PPM), fraction), PPM)


@rule("dydx.funding_premium")
def _(i: Inputs) -> Any:
    return funding.impact_notional(500, scaled(i["imf"], PPM))


@rule("hyperliquid.funding")
def _(i: Inputs) -> Any:
    # The ask lies above the index, so only the bid makes a premium.
    premium = funding.premium(i["impact_bid"], i["impact_bid"], i["oracle"], ONE)
    return unscaled(funding.rate_with_interest(premium, scaled(i["interest_8h"]), scaled(i["clamp"]), scaled(0.04)))


@rule("hyperliquid.tiered_maintenance")
def _(i: Inputs) -> Any:
    table = tiers.rate_tiers((lower, PPM // (2 * leverage)) for lower, leverage in i["tiers"])
    return tiers.requirement(i["notional"], table)


@rule("hyperliquid.liquidation_price")
def _(i: Inputs) -> Any:
    n = numbers(i)
    size = n["side"] * n["size"]
    return liquidation_price(n["isolated_margin"] - size * n["price"], size, 1 / n["maintenance_leverage"])


@rule("hyperliquid.partial_liquidation")
def _(i: Inputs) -> Any:
    policy = liquidation.LiquidationPolicy(
        max_fee_ppm=15_000,
        small_notional=i["threshold"],
        clip_ppm=i["first_clip_pct"] * 10_000,
        cooldown_ms=i["cooldown_s"] * 1000,
        backstop_ppm=666_667,
        account_notional_per_block=10**9,
        market_notional_per_block=10**9,
        market_loss_per_block=10**9,
    )
    return {"first_order_usdc": liquidation.clip_size(i["position_usdc"], i["position_usdc"], 0, policy)}


@rule("hyperliquid.oracle_weighted_median")
def _(i: Inputs) -> Any:
    return unscaled(oracle.weighted_median([(scaled(price), weight) for _, price, weight in i["sources"]]))


@rule("hyperliquid.mark_price")
def _(i: Inputs) -> Any:
    index, own, venues = (
        scaled(i[name]) for name in ("oracle_plus_ema150", "median_bid_ask_last", "cex_perp_weighted_median")
    )
    return unscaled(mark.mark_price(index, 0, own, 1, [(venues, 1)], 1, PPM))


@rule("hyperliquid.ema")
def _(i: Inputs) -> Any:
    average = mark.Average(0, 0)
    for sample, elapsed in i["samples"]:
        average = mark.averaged(average, scaled(sample), elapsed, i["tau_s"])
    return unscaled(mark.average_of(average))


@rule("drift.base_to_cover_shortage")
def _(i: Inputs) -> Any:
    return liquidation.size_to_restore(
        i["margin_shortage"],
        i["oracle_price"] * i["quote_oracle_price"] // 10**6,
        10**9,
        i["margin_ratio"] * 100,
        i["liquidator_fee"] + i["if_fee"],
    )


@rule("drift.perp_if_fee")
def _(i: Inputs) -> Any:
    notional = value(i["base"], i["oracle_price"] * i["quote_price"] // 10**6, 10**9)
    return liquidation.fund_fee_ppm(
        i["margin_shortage"], notional, i["margin_ratio"] * 100, i["liquidator_fee"], i["max_if_fee"]
    )


@rule("drift.liquidation_fee_escalation")
def _(i: Inputs) -> Any:
    return liquidation.escalated_fee_ppm(
        i["base"], i["max"], i["slots_elapsed"], i["grace_slots"], i["increase_per_slot"]
    )


@rule("drift.max_pct_to_liquidate")
def _(i: Inputs) -> Any:
    ppm = liquidation.releasable_ppm(
        i["shortage"], 0, i["slots"], i["duration"], i["initial_pct"] * PPM // i["pct_precision"], 50 * 10**6
    )
    return ppm * i["pct_precision"] // PPM


@rule("drift.socialized_loss_funding_delta")
def _(i: Inputs) -> Any:
    return 1000 * fund.loss_per_unit(-i["loss"], i["base_long"], i["base_short"], 10**9)


@rule("drift.size_weights")
def _(i: Inputs) -> Any:
    # The source's weights are in basis points, rounded down; ours are in ppm.
    asset = haircuts.size_scaled_asset_weight(i["asset_weight"] * 100, i["imf_factor_1e6"], i["size_tokens"], 1)
    liability = haircuts.size_scaled_liability_weight(
        i["liability_weight"] * 100, i["imf_factor_1e6"], i["size_tokens"], 1
    )
    return {"asset": asset // 100, "liability": liability // 100}


@rule("drift.deposit_scaled_asset_weight")
def _(i: Inputs) -> Any:
    return haircuts.deposit_scaled_weight(i["weight"] * 100, i["deposits"] * i["price"], i["start"]) // 100


@rule("drift.docs_liquidation")
def _(i: Inputs) -> Any:
    n = numbers(i)
    return liquidation_price(n["collateral"] - n["size"] * n["entry"], n["size"], n["mmr"])


@rule("gmx.funding")
def _(i: Inputs) -> Any:
    longs, shorts = funding.rates_by_skew(scaled(i["factor_per_s"]), i["long_oi"], i["short_oi"])
    return {"longs": unscaled(longs), "shorts": unscaled(shorts)}


@rule("gmx.adaptive_funding")
def _(i: Inputs) -> Any:
    policy = funding.AdaptiveFunding(
        scaled(i["thr_decrease"], PPM), scaled(i["thr_stable"], PPM), scaled(i["inc"]), scaled(i["dec"])
    )
    change = funding.adaptive_change(scaled(i["imbalance"], PPM), i["skew_same_direction"], i["dur_s"], policy)
    return unscaled(change)


@rule("gmx.price_impact")
def _(i: Inputs) -> Any:
    factor = scaled(i["factor"], 10**12)
    return impact.price_impact(i["before"], i["after"], factor, 10**12, i["exponent"])


@rule("gmx.entry_price_impact")
def _(i: Inputs) -> Any:
    size = impact.size_after_impact(i["size_usd"] * ONE, i["oracle"] * ONE, scaled(i["impact"], PPM), ONE)
    worth = value(size, i["oracle"] * ONE, ONE)
    return {
        "tokens": unscaled(size),
        "entry": unscaled(impact.entry_price(i["size_usd"] * ONE, size, ONE)),
        "pending_pnl": unscaled(adl.unrealised(size, worth, i["size_usd"] * ONE)),
    }


@rule("synthetix.funding_velocity")
def _(i: Inputs) -> Any:
    return unscaled(funding.rate_after(scaled(i["prev_rate"]), scaled(i["prev_velocity"]), i["dt_s"]))
