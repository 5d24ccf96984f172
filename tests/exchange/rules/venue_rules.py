"""How each group of worked examples is put to the rules: inputs as the source gives them, the result in its units."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from exchange.rules import (
    adl,
    breakers,
    fund,
    funding,
    haircuts,
    impact,
    liquidation,
    margin,
    mark,
    oracle,
    scenarios,
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


def _liquidation_price(
    quote: Fraction, size: Fraction, rate: Fraction, deduction: Fraction = Fraction(0), other: Fraction = Fraction(0)
) -> Fraction:
    price = margin.liquidation_price(
        int(quote * ONE), int(size * ONE), ONE, int(rate * PPM), int(deduction * ONE), int(other * ONE)
    )
    return unscaled(price)


def _numbers(i: Inputs) -> dict[str, Fraction]:
    return {name: Fraction(str(number)) for name, number in i.items() if isinstance(number, int | float)}


@rule("dydx.liquidation_price")
def _(i: Inputs) -> Any:
    n = _numbers(i)
    if "equity" not in n:  # what is left at that price: the maintenance margin
        notional = int(abs(n["size"]) * n["price"] * ONE)
        return unscaled(tiers.requirement(notional, flat(int(n["mmf"] * PPM))))
    return _liquidation_price(n["equity"] - n["size"] * n["price"], n["size"], n["mmf"], other=n["mmr_other"])


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
    n = _numbers(i)
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
    n = _numbers(i)
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
    n = _numbers(i)
    size = n["side"] * n["size"]
    return _liquidation_price(n["isolated_margin"] - size * n["price"], size, 1 / n["maintenance_leverage"])


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
    n = _numbers(i)
    return _liquidation_price(n["collateral"] - n["size"] * n["entry"], n["size"], n["mmr"])


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


def _candidates(i: Inputs) -> list[adl.Candidate]:
    return adl.rank(adl.Candidate(one["account"], one["qty"], one["rank_score"], one["qty"]) for one in i["longs"])


@rule("bitmex.adl_allocation")
def _(i: Inputs) -> Any:
    parts, _ = adl.allocate(_candidates(i), -i["liquidated_size"])
    assert sum(adl.closing_cash(-i["liquidated_size"] * i["bankruptcy_price"], parts)) == 20 * 650
    return [[part.account, part.closed] for part in parts]


@rule("bitmex.adl_quintiles")
def _(i: Inputs) -> Any:
    return {str(account): light for account, light in adl.quintiles(_candidates(i)).items()}


@rule("bitmex.fair_price")
def _(i: Inputs) -> Any:
    price = mark.fair_price(
        scaled(i["index"]), scaled(i["funding_rate"], PPM), i["hours_until_funding"], i["interval_h"]
    )
    return unscaled(price)


@rule("btcmex.insurance")
def _(i: Inputs) -> Any:
    return liquidation.fund_delta(i["fill"] * i["size"], i["bankruptcy"] * i["size"], PPM)


@rule("binance.maintenance_amount")
def _(i: Inputs) -> Any:
    amount = tiers.deduction_of_next_tier(
        scaled(i["amount_prev"]), i["floor_n"], scaled(i["rate_n"]), scaled(i["rate_prev"])
    )
    return unscaled(amount)


@rule("binance.liquidation_price")
def _(i: Inputs) -> Any:
    n = _numbers(i)
    size = n["side"] * n["qty"]
    return _liquidation_price(n["wb"] + n["upnl"] - size * n["entry"], size, n["mmr"], n["cum"], n["tmm"])


@rule("binance.liquidation_price_small")
def _(i: Inputs) -> Any:
    n = _numbers(i)
    size = n["side"] * n["qty"]
    return _liquidation_price(n["wallet"] - size * n["entry"], size, n["mmr"], n["cum"])


@rule("gate_okx.liquidation_price")
def _(i: Inputs) -> Any:
    n = _numbers(i)
    size = n["side"] * n["qty"]
    return _liquidation_price(n["wallet"] - size * n["entry"], size, n["mmr"] + n["taker_fee"])


@rule("bybit.liquidation_price")
def _(i: Inputs) -> Any:
    n = _numbers(i)  # maintenance margin on the entry value: a requirement that does not move with the price
    quote = n["entry"] / n["leverage"] - n["side"] * n["entry"]
    return _liquidation_price(quote, n["side"], Fraction(0), other=n["entry"] * n["mmr"])


@rule("binance.adl_score")
def _(i: Inputs) -> Any:
    profit, wallet, ratio = scaled(i["unrealized"]), max(ONE, scaled(i["wallet"])), scaled(i["margin_ratio"])
    return {
        "pnl_percent": unscaled(adl.score(profit, wallet, 1, 1), PPM * PPM),
        "leverage_pnl": unscaled(adl.score(profit, wallet, ratio, ONE), PPM * PPM),
    }


@rule("binance.mark_price")
def _(i: Inputs) -> Any:
    index = scaled(i["index"])
    fair = mark.fair_price(index, scaled(i["last_funding"], PPM), i["hours_to_funding"], 8)
    return unscaled(mark.mark_price(index, scaled(i["basis_ma"]), scaled(i["last"]), 1, [(fair, 1)], 1, PPM))


@rule("deribit.linear_initial_margin")
def _(i: Inputs) -> Any:
    rate = margin.linear_margin_rate_ppm(
        scaled(i["base"], PPM), scaled(i["slope_per_unit"], PPM), scaled(i["qty"]), ONE
    )
    return {
        "rate": unscaled(rate, PPM),
        "margin": unscaled(tiers.requirement(i["qty"] * scaled(i["index"]), flat(rate))),
    }


RULES["deribit.linear_maintenance_margin"] = RULES["deribit.linear_initial_margin"]


@rule("deribit.index_capped_median")
def _(i: Inputs) -> Any:
    points = [(scaled(price), scaled(weight, 100)) for price, weight in i["sources"]]
    band_ppm = scaled(i["band"], PPM)
    return {
        "median": unscaled(oracle.weighted_median(points)),
        "capped": [unscaled(price) for price in oracle.capped_to_median(points, band_ppm)],
        "mean": unscaled(oracle.capped_mean(points, band_ppm)),
    }


@rule("deribit.funding")
def _(i: Inputs) -> Any:
    return unscaled(funding.rate_damped(*(scaled(i[name]) for name in ("premium", "damper", "cap"))))


@rule("deribit.price_band")
def _(i: Inputs) -> Any:
    band = breakers.band(scaled(i["mark"]), scaled(i["band"], PPM))
    return [unscaled(band.low), unscaled(band.high)]


@rule("deribit.legacy_mark")
def _(i: Inputs) -> Any:
    book = mark.book_price(*(scaled(i[name]) for name in ("bid", "ask", "last")))
    return unscaled(mark.within_band(book, scaled(i["index"]), scaled(i["cap"], PPM)))


@rule("cme.span_scenarios")
def _(i: Inputs) -> Any:
    return [
        [Fraction(one.price_thirds, 3), one.volatility, Fraction(one.covered_ppm, PPM)] for one in scenarios.SCENARIOS
    ]


@rule("cme.span_portfolio")
def _(i: Inputs) -> Any:
    losses = scenarios.netted([[-gain for gain in i[leg]] for leg in ("future", "short_call")])
    return {"net": [-loss for loss in losses], "scan_loss": scenarios.scan_loss(losses)}


@rule("cme.dynamic_circuit_breaker")
def _(i: Inputs) -> Any:
    variant = breakers.breaker_variant(i["settle"], scaled(i["pct"], PPM), i["tick"])
    limits = breakers.breaker_limits(i["window_high"], i["window_low"], variant)
    return {"variant": variant, "max_bid": limits.high, "min_ask": limits.low}
