"""Prices become whole coefficients: exactly, or rounded on demand."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.importers.decimals import parse_price
from api.importers.prices import PricedInstrument, PriceFile, read_binance_assets, whole_prices
from prover.errors import InputError
from tests.api.files import ASSETS, BINANCE, refusal, write
from verifier.instruments import Bucket, Tier

NUMBERS = st.from_regex(r"\A[1-9]?[0-9]{1,6}(\.[0-9]{1,9})?\Z", fullmatch=True).map(
    lambda text: text.lstrip("0") or "0"
)
PRICES = NUMBERS.map(lambda text: parse_price(text if text[0] != "." else f"0{text}"))
SMALL = st.tuples(PRICES, st.integers(0, 12)).map(lambda drawn: (*drawn[0], drawn[1]))


def priced(*rows: tuple[int, int, int]) -> PriceFile:
    """(mantissa, price decimals, decimals) per instrument."""
    table = tuple(
        PricedInstrument(f"s{i:03d}", "spot", decimals, mantissa, places, "text", i + 2)
        for i, (mantissa, places, decimals) in enumerate(rows)
    )
    return PriceFile(Path("prices.csv"), "", "price", table)


def exact(rows: list[tuple[int, int, int]], value_decimals: int) -> list[Fraction]:
    return [m * Fraction(10) ** (value_decimals - places - decimals) for m, places, decimals in rows]


@given(st.lists(SMALL, min_size=1, max_size=6))
def test_the_value_unit_is_the_coarsest_exact_one(rows: list[tuple[int, int, int]]) -> None:
    try:
        whole = whole_prices(priced(*rows), exact=True)
    except InputError as error:
        assert "below 2^54" in str(error)
        return
    found = [instrument.price for instrument in whole.instruments]
    assert found == exact(rows, whole.value_decimals)
    assert (whole.rounded, whole.largest_error, whole.worst) == (0, Fraction(0), "")
    assert whole.value_decimals == 0 or any(c.denominator > 1 for c in exact(rows, whole.value_decimals - 1))


@given(st.lists(SMALL, min_size=1, max_size=6))
def test_prices_are_rounded_only_where_they_have_to_be(rows: list[tuple[int, int, int]]) -> None:
    try:
        whole = whole_prices(priced(*rows))
    except InputError as error:
        assert "does not round to 0" in str(error)
        return
    errors = []
    for instrument, price in zip(whole.instruments, exact(rows, whole.value_decimals), strict=True):
        assert abs(instrument.price - price) <= Fraction(1, 2)
        assert instrument.price < 2**53 or whole.value_decimals == 0  # room for prices to double in a scenario
        errors.append(abs(instrument.price - price) / price if price else Fraction(0))
    assert whole.largest_error == max(errors)
    assert whole.rounded == sum(error > 0 for error in errors)
    if whole.rounded:
        assert max(exact(rows, whole.value_decimals + 1)) * 2 >= 2**54 - 1


def test_haircuts_are_exact_where_there_is_room() -> None:
    prices = priced((12345, 2, 8))
    tiers = (Tier(None, 9999),)
    with_buckets = (replace(prices.instruments[0], buckets=(Bucket("m", tiers),)),)
    assert whole_prices(prices).value_decimals == 10
    whole = whole_prices(replace(prices, instruments=with_buckets))
    assert (whole.value_decimals, whole.rounded) == (14, 0)
    assert whole.instruments[0].buckets == (Bucket("m", tiers),)


def test_the_published_lists() -> None:
    small = whole_prices(read_binance_assets(BINANCE / "cex_assets_info_sample4.csv"), exact=True)
    assert (small.value_decimals, small.rounded) == (14, 0)
    assert [(i.symbol, i.decimals) for i in small.instruments] == [("bnb", 8), ("btc", 8), ("eth", 8), ("shib", 2)]
    assert [bucket.name for bucket in small.instruments[0].buckets] == ["free", "loan", "margin", "portfolio"]
    assert small.instruments[0].buckets[1].tiers[:2] == (Tier(20000, 10_000), Tier(40000, 8000))
    assert [bucket.tiers for bucket in small.instruments[3].buckets] == [()] * 4

    large = whole_prices(read_binance_assets(BINANCE / "cex_assets_info_real483.csv"))
    table = {instrument.symbol: instrument for instrument in large.instruments}
    assert (len(table), large.value_decimals, large.rounded) == (483, 18, 57)
    assert large.largest_error < Fraction(1, 10**7)
    assert table["btc"].price == 115770 * 10**10
    assert table["aergo"].price == 1227906303  # 0.1227906302538170
    assert (table["shib"].decimals, table["shib"].price) == (2, 1245 * 10**8)  # 0.00001245
    assert table["1000sats"].buckets[1].tiers[-1] == Tier(20_000_000, 1000)
    assert table["1000sats"].buckets[2].tiers == (Tier(None, 10_000),)  # "0-18446744073709551615:100"
    assert sum(instrument.decimals == 2 for instrument in large.instruments) == 33
    assert sum(len(bucket.tiers) for i in large.instruments for bucket in i.buckets) == 2494
    with pytest.raises(InputError, match=r"below 2\^54 value units per atom.*try without --exact-prices"):
        whole_prices(read_binance_assets(BINANCE / "cex_assets_info_real483.csv"), exact=True)


def test_rounding_goes_to_the_nearest_halves_up() -> None:
    tenths = (5, 6, 14, 15, 25)
    found = [whole_prices(priced((each, 1, 0)), 0).instruments[0].price for each in tenths]
    assert found == [1, 1, 1, 2, 3]


@pytest.mark.negative
def test_a_price_may_not_round_to_nothing() -> None:
    with pytest.raises(InputError, match="expected a price of s000 that does not round to 0"):
        whole_prices(priced((4, 1, 0)), 0)
    assert whole_prices(priced((0, 0, 0)), 0).instruments[0].price == 0


@pytest.mark.negative
def test_value_decimals_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="whole at 1 value decimals"):
        whole_prices(priced((15, 2, 0)), 1, exact=True)
    with pytest.raises(InputError, match=r"below 2\^54.*try fewer --value-decimals"):
        whole_prices(priced((15, 0, 0)), 30)


ASSET_FILES = {
    "other-header": (
        ASSETS.replace("usdt_price", "usd_price"),
        'assets.csv:1 column "usdt_price": expected this column to be there',
    ),
    "column-missing": (
        "token,asset_usdt_price\n",
        'assets.csv:1 column "collateral_vip_loan_ratio_tiers": expected this column to be there',
    ),
    "no-price": (ASSETS.replace("3620.5", ""), 'assets.csv:3 column "usdt_price": got "", expected a decimal number'),
    "tiers": (
        ASSETS.replace("[0-1000", "[0_1000"),
        'assets.csv:2 column "loan_tiers_ratio": got "[0_1000:100,1000-2000:90]", '
        "expected tiers such as [0-1000:100,1000-2000:90], or nothing",
    ),
    "gap": (
        ASSETS.replace("1000-2000", "1001-2000"),
        'assets.csv:2 column "loan_tiers_ratio": got "[0-1000:100,1001-2000:90]", '
        "expected a tier from 1000 on, up to a bound above it",
    ),
    "rising-ratio": (
        ASSETS.replace("0-1000:100", "0-1000:80"),
        'assets.csv:2 column "loan_tiers_ratio": got "[0-1000:80,1000-2000:90]", '
        "expected ratios from 100 down, and 90 is above 80",
    ),
    "above-100": (
        ASSETS.replace("0-1000:100", "0-1000:101"),
        'assets.csv:2 column "loan_tiers_ratio": got "[0-1000:101,1000-2000:90]", '
        "expected ratios from 100 down, and 101 is above 100",
    ),
    "13-tiers": (
        ASSETS.replace("[0-1000:100,1000-2000:90]", "[" + ",".join(f"{i}-{i + 1}:50" for i in range(13)) + "]"),
        'assets.csv:2 column "loan_tiers_ratio": got '
        '"[0-1:50,1-2:50,2-3:50,3-4:50,4-5:50,5-6:50,6-7:50,7-8:50,8-9:50,9-10:50,10-11...", expected at most 12 tiers',
    ),
    "case": (
        ASSETS.replace("\neth,", "\nBTC,"),
        'assets.csv:3 column "symbol": got "BTC", expected each symbol once, in one spelling (first on line 2)',
    ),
    "no-tokens": (ASSETS.splitlines()[0] + "\n", "assets.csv: got 0 instruments, expected 1 to 2048"),
}


@pytest.mark.negative
@pytest.mark.parametrize(("text", "line"), ASSET_FILES.values(), ids=ASSET_FILES.keys())
def test_a_bad_token_file_is_refused(tmp_path: Path, text: str, line: str) -> None:
    with pytest.raises(InputError) as caught:
        read_binance_assets(write(tmp_path / "assets.csv", text))
    assert refusal(caught.value, tmp_path) == line
