"""The worked examples of venues that keep their books themselves: BitMEX, Binance, Deribit, CME and others."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from exchange.rules import (
    adl,
    breakers,
    funding,
    liquidation,
    margin,
    mark,
    oracle,
    scenarios,
    tiers,
)
from exchange.rules.rounding import PPM
from tests.exchange.rules.venue_rules import (
    ONE,
    RULES,
    Inputs,
    flat,
    liquidation_price,
    numbers,
    rule,
    scaled,
    unscaled,
)


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
    n = numbers(i)
    size = n["side"] * n["qty"]
    return liquidation_price(n["wb"] + n["upnl"] - size * n["entry"], size, n["mmr"], n["cum"], n["tmm"])


@rule("binance.liquidation_price_small")
def _(i: Inputs) -> Any:
    n = numbers(i)
    size = n["side"] * n["qty"]
    return liquidation_price(n["wallet"] - size * n["entry"], size, n["mmr"], n["cum"])


@rule("gate_okx.liquidation_price")
def _(i: Inputs) -> Any:
    n = numbers(i)
    size = n["side"] * n["qty"]
    return liquidation_price(n["wallet"] - size * n["entry"], size, n["mmr"] + n["taker_fee"])


@rule("bybit.liquidation_price")
def _(i: Inputs) -> Any:
    n = numbers(i)  # maintenance margin on the entry value: a requirement that does not move with the price
    quote = n["entry"] / n["leverage"] - n["side"] * n["entry"]
    return liquidation_price(quote, n["side"], Fraction(0), other=n["entry"] * n["mmr"])


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
