"""Stress scenarios: what is written becomes values per atom, exactly rounded, or is refused by name."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from api.importers.prices import read_binance_assets, whole_prices
from api.importers.scenarios import default_file, read_scenarios
from prover.errors import InputError
from tests.api.files import BINANCE, refusal, write
from verifier.instruments import Instrument

TABLE = (
    Instrument("basis", "cost-basis", 2, 10**6),
    Instrument("BTC", "spot", 8, 65_101),
    Instrument("BTC-PERP", "perpetual", 8, 65_001),
    Instrument("BTC_2027", "perpetual", 8, 65_003),
    Instrument("ETH", "spot", 8, 3_621),
    Instrument("OPTION", "perpetual", 8, 17),
    Instrument("USDC", "spot", 6, 100),
    Instrument("USDT", "spot", 6, 100),
)
DECIMALS = 8


def file_of(*scenarios: Any, **top: Any) -> str:
    return json.dumps({"format": "solvent/scenarios/v1", "scenarios": list(scenarios)} | top)


def load(folder: Path, text: str) -> list[dict[str, int]]:
    found = read_scenarios(write(folder / "s.json", text), TABLE, DECIMALS, "USDT")
    return [{i.symbol: v for i, v in zip(TABLE, each.values, strict=True) if v != i.price} for each in found]


def nearest(price: int, factor: str) -> int:
    return int(price * Fraction(factor) + Fraction(1, 2))


def test_all_moves_all_but_money(tmp_path: Path) -> None:
    groups = {"stable": ["usdc", "DAI"]}
    (found,) = load(tmp_path, file_of({"name": "s", "shock": {"all": "-0.3"}}, groups=groups, steady=["stable"]))
    assert found == {i.symbol: nearest(i.price, "0.7") for i in TABLE[1:6]}
    (found,) = load(tmp_path, file_of({"name": "s", "shock": {"all": "-0.3"}}))
    assert found["USDC"] == 70  # no list of steady groups
    assert "USDT" not in found  # what prices are counted in


def test_the_closest_name_wins(tmp_path: Path) -> None:
    text = file_of(
        {"name": "s", "shock": {"all": "0.1", "majors": "0.2", "btc": "0.3", "BTC_2027": "-1"}},
        groups={"majors": ["btc", "eth"]},
    )
    (found,) = load(tmp_path, text)
    assert found["BTC"] == nearest(65_101, "1.3")
    assert found["BTC-PERP"] == nearest(65_001, "1.3")
    assert found["BTC_2027"] == 0
    assert found["ETH"] == nearest(3_621, "1.2")
    assert found["OPTION"] == nearest(17, "1.1")
    (found,) = load(tmp_path, text.replace('"btc": "0.3", ', ""))
    assert found["BTC-PERP"] == nearest(65_001, "1.2")
    (found,) = load(tmp_path, file_of({"name": "s", "shock": {"usdt": "-0.5"}}))
    assert found == {"USDT": 50}


def test_prices(tmp_path: Path) -> None:
    text = file_of({"name": "s", "prices": {"BTC": "50000", "option": "12.5"}, "source": "made up"})
    (found,) = load(tmp_path, text)
    assert found == {"BTC": 50_000, "BTC-PERP": 50_000, "BTC_2027": 50_000, "OPTION": 13}  # halves up
    (found,) = load(tmp_path, file_of({"name": "s", "prices": {"OPTION": "0"}}))
    assert found == {"OPTION": 0}


def test_the_default_scenarios() -> None:
    """Nine, for the list of 483 tokens; factors by hand from the bars that their sources name."""
    whole = whole_prices(read_binance_assets(BINANCE / "cex_assets_info_real483.csv"))
    scenarios = read_scenarios(default_file(), whole.instruments, whole.value_decimals, "USDT")
    at = {instrument.symbol: index for index, instrument in enumerate(whole.instruments)}
    assert [scenario.name for scenario in scenarios][:6] == [
        f"All assets {move} %" for move in ("-10", "-20", "-30", "-50", "+20", "+50")
    ]
    assert len(scenarios) == 9

    def move(scenario: int, symbol: str) -> float:
        return scenarios[scenario].values[at[symbol]] / whole.instruments[at[symbol]].price - 1

    for index, expected in enumerate((-0.1, -0.2, -0.3, -0.5, 0.2, 0.5)):
        assert move(index, "btc") == pytest.approx(expected, abs=1e-9)
        assert move(index, "usdc") == move(index, "eur") == 0
    assert move(6, "usdc") == pytest.approx(0.874833 - 1, abs=1e-6)
    assert move(6, "btc") == move(6, "usdt") == 0
    assert move(7, "sol") == pytest.approx(4578.03 / 5253.16 - 1, abs=1e-6)
    assert move(8, "sol") == pytest.approx(102193.6 / 112137.6 - 1, abs=1e-6)
    assert move(8, "wbeth") == pytest.approx(3428.11 / 3723.05 - 1, abs=1e-6)
    known = {symbol.lower() for symbol in at}
    members = [symbol for group in json.loads(default_file().read_text())["groups"].values() for symbol in group]
    assert len(members) == len(set(members))
    assert {"usdt", "usdc", "fdusd", "tusd", "dai", "usdp", "eur", "eth"} <= known & set(members)


ONE = {"name": "s", "shock": {"all": "-0.1"}}
BAD = {
    "json": ("[", "s.json:1: got Expecting value, expected JSON"),
    "keys": (file_of(ONE, x=1), "s.json: got something else, expected an object with format and scenarios"),
    "format": (file_of(ONE, format="x"), 's.json column "format": got "x", expected solvent/scenarios/v1'),
    "none": (file_of(), 's.json column "scenarios": expected a list of 1 to 10 scenarios'),
    "eleven": (file_of(*[ONE] * 11), 's.json column "scenarios": expected a list of 1 to 10 scenarios'),
    "both": (file_of(ONE | {"prices": {}}), 's.json column "scenarios[0]": expected an object with name, either'),
    "neither": (file_of({"name": "s"}), 's.json column "scenarios[0]": expected an object with name, either'),
    "name": (file_of(ONE | {"name": " s"}), 'column "scenarios[0].name": got " s", expected 1 to 64 printable'),
    "long-name": (file_of(ONE | {"name": "s" * 65}), "expected 1 to 64 printable characters"),
    "same-name": (file_of(ONE, ONE | {"name": "S"}), 'column "scenarios[1].name": got "S", expected each name once'),
    "nothing": (file_of(ONE | {"shock": {}}), 'column "scenarios[0].shock": expected an object of symbols'),
    "unknown": (
        file_of(ONE | {"shock": {"DOGE": "1"}}),
        'column "scenarios[0].shock": got "DOGE", expected a symbol of the snapshot, a group or all',
    ),
    "unknown-price": (
        file_of({"name": "s", "prices": {"all": "1"}}),
        'column "scenarios[0].prices": got "all", expected a symbol of the snapshot',
    ),
    "spellings": (file_of(ONE | {"shock": {"btc": "1", "BTC": "1"}}), 'got "BTC", expected each symbol once'),
    "number": (file_of(ONE | {"shock": {"all": -1}}), 'column "scenarios[0].shock.all": got "-1", expected -1 or more'),
    "percent": (
        file_of(ONE | {"shock": {"all": "-30%"}}),
        'got "-30%", expected -1 or more, a decimal number in quotes',
    ),
    "below-zero": (file_of(ONE | {"shock": {"all": "-1.1"}}), 'got "-1.1", expected -1 or more'),
    "exponent": (file_of(ONE | {"shock": {"all": "1e3"}}), 'got "1e3", expected -1 or more'),
    "negative-price": (file_of({"name": "s", "prices": {"BTC": "-1"}}), 'got "-1", expected a decimal number'),
    "money": (file_of(ONE | {"shock": {"basis": "1"}}), 'got "basis", expected no cost basis: it is money'),
    "too-large": (
        file_of({"name": "s", "prices": {"ETH": "18014398509481984"}}),
        "s.json: got scenarios[0]: 18014398509481984 value units per atom of ETH, expected a value below 2^54",
    ),
    "steady": (file_of(ONE, steady=["x"]), 's.json column "steady": expected a list of names of groups'),
    "group-all": (file_of(ONE, groups={"all": []}), 's.json column "groups.all": expected a list of symbols'),
    "two-groups": (
        file_of(ONE, groups={"a": ["BTC"], "b": ["btc"]}),
        's.json column "groups.b": got "btc", expected each symbol once, in one group',
    ),
}


@pytest.mark.negative
@pytest.mark.parametrize(("text", "words"), BAD.values(), ids=BAD.keys())
def test_a_bad_file_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        load(tmp_path, text)
    assert words in refusal(caught.value, tmp_path)


@pytest.mark.negative
def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file or directory"):
        read_scenarios(tmp_path / "no.json", TABLE, DECIMALS, "USDT")
