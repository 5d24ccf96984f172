"""Instrument tables with collateral rules, accounts in buckets and positions, and what of them is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from api.importers.instruments import read_instrument_table
from api.importers.table import import_table
from prover.errors import InputError
from prover.positions import equity_of, health_of, risk_legs
from prover.snapshot import Snapshot
from tests.api.files import ROOT, options, refusal, write
from verifier.instruments import Bucket, Tier

EXAMPLE = ROOT / "data" / "margin-example"
ALL = (Tier(None, 10_000),)
BTC: dict[str, Any] = {
    "symbol": "BTC",
    "kind": "spot",
    "decimals": 8,
    "price": "50000",
    "buckets": [{"name": "free", "tiers": []}, {"name": "m", "tiers": [{"to": "1000", "ratio": 9000}]}],
    "margin": [{"to": None, "ratio": 500}],
}
USD: dict[str, Any] = {"symbol": "USD", "kind": "spot", "decimals": 2, "price": "1"}
PERP: dict[str, Any] = {"symbol": "BTC-PERP", "kind": "perpetual", "decimals": 8, "price": "50001.5"}
BASIS: dict[str, Any] = {"symbol": "BASIS", "kind": "cost-basis", "decimals": 2, "price": "1"}


def file_of(*items: Any, **top: Any) -> str:
    return json.dumps({"format": "solvent/instruments/v1", "instruments": list(items)} | top, indent=1)


def load(folder: Path, accounts: str, instruments: str) -> Snapshot:
    return import_table(
        write(folder / "accounts.csv", accounts), write(folder / "instruments.json", instruments), options()
    )


def refused(folder: Path, accounts: str, instruments: str) -> str:
    with pytest.raises(InputError) as caught:
        load(folder, accounts, instruments)
    return refusal(caught.value, folder)


def test_the_example() -> None:
    """By hand: alice has 10,000, half a bitcoin bought for 32,000, and needs 0.5 % of its value as margin."""
    snapshot = import_table(EXAMPLE / "accounts.csv", EXAMPLE / "instruments.json", options())
    meta = snapshot.meta
    assert [i.symbol for i in meta.instruments] == ["BTC", "BTC-PERP", "ETH", "USDT", "USDT-BASIS"]
    unit = 10**meta.value_decimals
    entries = snapshot.offsets, snapshot.positions, snapshot.amounts
    equity = equity_of(*entries, meta.instruments)
    health = health_of(*entries, risk_legs(meta.instruments, meta.value_decimals))
    value = 0.5 * 65080.5
    assert snapshot.user_ids.to_pylist() == ["alice", "bob", "carol", "insurance-fund"]
    assert equity.of(0) == int((10_000 + value - 32_000) * unit)
    assert health.of(0) == pytest.approx((10_000 + value - 32_000 - 0.005 * value) * unit, rel=1e-12)
    assert health.of(1) == pytest.approx((4 * 3620.5 * 0.9 - 1200 + 32_000 - value * 1.005) * unit, rel=1e-9)
    assert health.of(2) == pytest.approx((0.25 * 65100.22 * 0.95 - 2 * 3620.5 * 1.05) * unit, rel=1e-9)
    assert equity.of(3) == health.of(3) == 250_000 * unit
    assert snapshot.totals()[1] == (5 * 10**7, 5 * 10**7)


def test_a_table_with_one_collateral_rule_counts_the_rest_in_full(tmp_path: Path) -> None:
    accounts = "user_id,asset,side,amount\na,USD,long,1\na,BTC-PERP,short,1\n"
    snapshot = load(tmp_path, accounts, file_of(USD, PERP))
    assert [i.buckets for i in snapshot.meta.instruments] == [(), (Bucket("all", ALL),)]
    assert snapshot.positions.tolist() == [1, 2]
    assert (
        load(tmp_path, accounts.replace("BTC-PERP,short", "USD,short"), file_of(USD)).meta.instruments[0].buckets == ()
    )
    csv = write(tmp_path / "i.csv", "symbol,kind,decimals,price\nUSD,spot,2,1\nP,perpetual,8,2\n")
    assert read_instrument_table(csv).instruments[1].buckets == (Bucket("all", ALL),)


def test_buckets(tmp_path: Path) -> None:
    accounts = "user_id,asset,side,bucket,amount\na,BTC,long,m,1\na,BTC,short,,2\na,BTC,long,free,3\na,USD,long,,4\n"
    snapshot = load(tmp_path, accounts + "a,BTC-PERP,long,,5\na,BASIS,short,,6\n", file_of(BTC, USD, PERP, BASIS))
    assert [i.symbol for i in snapshot.meta.instruments] == ["BASIS", "BTC", "BTC-PERP", "USD"]
    assert snapshot.positions.tolist() == [1, 2, 3, 4, 5, 7]
    assert snapshot.amounts.tolist() == [600, 3 * 10**8, 10**8, 2 * 10**8, 5 * 10**8, 400]


HEAD = "user_id,asset,side,bucket,amount\n"
ROWS = {
    "no-bucket": ("a,BTC,long,,1", 'accounts.csv:2 column "bucket": got "", expected free or m'),
    "unknown": ("a,BTC,long,x,1", 'accounts.csv:2 column "bucket": got "x", expected free or m'),
    "short": (
        "a,BTC,short,m,1",
        'accounts.csv:2 column "bucket": got "m", '
        "expected nothing: only what is held of an asset with buckets is in one",
    ),
    "perpetual": (
        "a,BTC-PERP,long,m,1",
        'accounts.csv:2 column "bucket": got "m", '
        "expected nothing: only what is held of an asset with buckets is in one",
    ),
    "twice": (
        "a,BTC,long,m,1\na,BTC,long,m,2",
        'accounts.csv:3 column "asset": got "BTC", '
        "expected each asset, side and bucket once per user (already at row or line 2)",
    ),
}


@pytest.mark.negative
@pytest.mark.parametrize(("rows", "line"), ROWS.values(), ids=ROWS.keys())
def test_a_bad_row_is_named(tmp_path: Path, rows: str, line: str) -> None:
    assert refused(tmp_path, HEAD + rows + "\n", file_of(BTC, PERP)) == line


@pytest.mark.negative
def test_a_missing_bucket_column_is_named(tmp_path: Path) -> None:
    line = refused(tmp_path, "user_id,asset,side,amount\na,BTC,long,1\n", file_of(BTC))
    assert line == "accounts.csv:2: got no column bucket, expected for BTC free or m"


TABLES = {
    "format": (file_of(BTC, format="x"), 'column "format": got "x", expected solvent/instruments/v1'),
    "no-list": (file_of(BTC, instruments={}), 'column "instruments": expected a list of 1 to 2048 objects'),
    "empty": (file_of(), 'column "instruments": expected a list of 1 to 2048 objects'),
    "extra": (file_of(BTC, x=1), 'got something else, expected an object with "format" and "instruments"'),
    "no-json": ("{", "Expecting property name enclosed in double quotes, expected JSON"),
    "twice-key": ('{"format": 1, "format": 2}', "got the key 'format' twice, expected JSON with whole numbers"),
    "float": (file_of(BTC | {"decimals": 8.0}), "got the number 8.0, expected JSON with whole numbers"),
    "no-price": (
        file_of({k: v for k, v in BTC.items() if k != "price"}),
        'column "instruments[0]": expected an object with symbol, kind, decimals, price, and perhaps',
    ),
    "price": (
        file_of(BTC | {"price": 5}),
        'column "instruments[0].price": got "5", expected a decimal number as a string',
    ),
    "price-sign": (file_of(USD, BTC | {"price": "-5"}), 'column "instruments[1].price": got "-5", expected a decimal'),
    "kind": (file_of(BTC | {"kind": "x"}), "column \"instruments[0].kind\": got \"x\", expected 'spot' or 'perpetual'"),
    "decimals": (
        file_of(BTC | {"decimals": 19}),
        'column "instruments[0].decimals": got "19", expected a whole number',
    ),
    "basis-price": (file_of(BASIS | {"price": "2"}), 'column "price": got "2", expected 1, and at most'),
    "basis-margin": (
        file_of(BASIS | {"margin": BTC["margin"]}),
        'column "instruments[0].margin": got "1 tiers", expected no',
    ),
    "perp-buckets": (
        file_of(PERP | {"buckets": BTC["buckets"]}),
        'column "instruments[0].buckets": got "2", expected no',
    ),
    "ratio": (
        file_of(USD, BTC | {"margin": [{"to": None, "ratio": 10_001}]}),
        'column "instruments[1].margin[0].ratio": got "10001", expected an integer from 0 to 10000',
    ),
    "convex": (
        file_of(BTC | {"buckets": [{"name": "m", "tiers": [{"to": "1", "ratio": 1}, {"to": None, "ratio": 2}]}]}),
        'column "instruments[0].buckets[0].tiers[1].ratio": got "2", expected at most 1, the ratio before',
    ),
    "margin-ends": (
        file_of(BTC | {"margin": [{"to": "5", "ratio": 1}]}),
        'column "instruments[0].margin": got "5", expected a last tier without bound',
    ),
    "symbol-twice": (
        file_of(BTC, USD, BTC | {"symbol": "btc"}),
        'column "instruments[2].symbol": got "btc", expected each symbol once, in one spelling (first in',
    ),
}


@pytest.mark.negative
@pytest.mark.parametrize(("text", "words"), TABLES.values(), ids=TABLES.keys())
def test_a_bad_table_is_refused(tmp_path: Path, text: str, words: str) -> None:
    line = refused(tmp_path, HEAD + "a,BTC,long,m,1\n", text)
    assert line.startswith("instruments.json")
    assert words in line
