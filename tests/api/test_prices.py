"""Prices become whole coefficients: exactly, or rounded on demand."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.importers.decimals import parse_price
from api.importers.prices import PricedInstrument, PriceFile, read_binance_assets, whole_prices
from prover.errors import InputError
from tests.api.files import ASSETS, BINANCE, refusal, write

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


@given(st.lists(SMALL, min_size=1, max_size=6))
def test_the_value_unit_is_the_coarsest_exact_one(rows: list[tuple[int, int, int]]) -> None:
    def coefficients(value_decimals: int) -> list[Fraction]:
        return [m * Fraction(10) ** (value_decimals - places - decimals) for m, places, decimals in rows]

    try:
        value_decimals, instruments = whole_prices(priced(*rows), None, round_prices=False)
    except InputError as error:
        assert "below 2^54" in str(error)
        return
    assert [instrument.price for instrument in instruments] == coefficients(value_decimals)
    assert value_decimals == 0 or any(c.denominator > 1 for c in coefficients(value_decimals - 1))


def test_the_published_lists() -> None:
    small = read_binance_assets(BINANCE / "cex_assets_info_sample4.csv")
    assert whole_prices(small, None, round_prices=False)[0] == 16
    large = read_binance_assets(BINANCE / "cex_assets_info_real483.csv")
    value_decimals, instruments = whole_prices(large, None, round_prices=True)
    prices = {instrument.symbol: instrument.price for instrument in instruments}
    assert (len(instruments), value_decimals) == (483, 19)
    assert prices["btc"] == 115770 * 10**11
    assert prices["aergo"] == 12279063025  # 0.1227906302538170
    assert prices["ars"] == 75799509  # 0.0007579950920029


def test_rounding_goes_to_the_nearest_halves_up() -> None:
    tenths = (5, 6, 14, 15, 25)
    found = [whole_prices(priced((each, 1, 0)), 0, round_prices=True)[1][0].price for each in tenths]
    assert found == [1, 1, 1, 2, 3]


@pytest.mark.negative
def test_a_price_may_not_round_to_nothing() -> None:
    with pytest.raises(InputError, match="expected a price of s000 that does not round to 0"):
        whole_prices(priced((4, 1, 0)), 0, round_prices=True)
    assert whole_prices(priced((0, 0, 0)), 0, round_prices=True)[1][0].price == 0


@pytest.mark.negative
def test_value_decimals_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="whole at 1 value decimals, or --round-prices"):
        whole_prices(priced((15, 2, 0)), 1, round_prices=False)
    with pytest.raises(InputError, match="below 2\\^54"):
        whole_prices(priced((15, 0, 0)), 30, round_prices=True)


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
    "no-tokens": (ASSETS.splitlines()[0] + "\n", "assets.csv: got 0 instruments, expected 1 to 2048"),
}


@pytest.mark.negative
@pytest.mark.parametrize(("text", "line"), ASSET_FILES.values(), ids=ASSET_FILES.keys())
def test_a_bad_token_file_is_refused(tmp_path: Path, text: str, line: str) -> None:
    with pytest.raises(InputError) as caught:
        read_binance_assets(write(tmp_path / "assets.csv", text))
    assert refusal(caught.value, tmp_path) == line
