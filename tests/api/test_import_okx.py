"""OKX's JSON: what is read, and what is refused with which words."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from api.importers.instruments import read_instrument_table
from api.importers.okx import import_okx
from prover.errors import InputError
from prover.snapshot import Snapshot
from tests.api.files import OKX, options, refusal, write

PRICES = "symbol,decimals,price\nBTC,8,65000.5\nETH,18,3000\n"
GOOD = '[\n  {"id": "a", "assets": {"BTC": "5", "ETH": "-7"}},\n  {"assets": {"ETH": "0"}, "id": "b"}\n]\n'


def load(folder: Path, *users: str | bytes, prices: str | None = None, **changes: object) -> Snapshot:
    paths = [write(folder / f"users{i}.json", text) for i, text in enumerate(users)]
    return import_okx(paths, None if prices is None else write(folder / "prices.csv", prices), options(**changes))


def refused(folder: Path, *users: str | bytes, prices: str | None = None, **changes: object) -> str:
    with pytest.raises(InputError) as caught:
        load(folder, *users, prices=prices, **changes)
    return refusal(caught.value, folder)


def test_the_published_batch() -> None:
    snapshot = import_okx([OKX / "batch0.json"], None, options())
    accounts = json.loads((OKX / "batch0.json").read_bytes())
    symbols = sorted({symbol for account in accounts for symbol in account["assets"]})
    meta = snapshot.meta
    assert [(i.symbol, i.decimals, i.price) for i in meta.instruments] == [(symbol, 0, 1) for symbol in symbols]
    assert (meta.accounts, meta.value_decimals, meta.oracle_evidence) == (8, 0, "00" * 32)
    for index, account in enumerate(accounts):
        assert snapshot.user_id(index) == account["id"]
        part = slice(snapshot.offsets[index], snapshot.offsets[index + 1])
        found = {
            symbols[leg >> 1]: -amount if leg & 1 else amount
            for leg, amount in zip(snapshot.positions[part].tolist(), snapshot.amounts[part].tolist(), strict=True)
        }
        assert found == {symbol: int(text) for symbol, text in account["assets"].items() if int(text)}


def test_prices_order_and_lines(tmp_path: Path) -> None:
    snapshot = load(tmp_path, b"\xef\xbb\xbf" + GOOD.encode(), prices=PRICES)
    assert snapshot.positions.tolist() == [0, 3]
    assert snapshot.amounts.tolist() == [5, 7]
    assert snapshot.lines.tolist() == [2, 3]
    assert snapshot.offsets.tolist() == [0, 2, 2]
    meta = snapshot.meta
    # 3000 at 18 decimals is whole from 15 value decimals on, 65000.5 at 8 decimals from 9 on.
    assert (meta.value_decimals, [i.price for i in meta.instruments]) == (15, [650005 * 10**6, 3])
    assert meta.oracle_evidence == hashlib.sha256(PRICES.encode()).hexdigest()


def test_both_ends_of_an_amount(tmp_path: Path) -> None:
    top = 2**63 - 1
    snapshot = load(tmp_path, json.dumps([{"id": "a", "assets": {"X": str(top), "Y": str(-top)}}]))
    assert snapshot.amounts.tolist() == [top, top]
    assert snapshot.positions.tolist() == [0, 3]


ATOMS = "expected a string with a whole number of atoms from -(2^63 - 1) to 2^63 - 1"
AMOUNTS = {
    "63-bits": ('"9223372036854775808"', f'"9223372036854775808", {ATOMS}'),
    "-63-bits": ('"-9223372036854775808"', f'"-9223372036854775808", {ATOMS}'),
    "long": ('"5192296858534827628530496329220096"', f'"5192296858534827628530496329220096", {ATOMS}'),
    "point": ('"1.5"', f'"1.5", {ATOMS}'),
    "exponent": ('"1e5"', f'"1e5", {ATOMS}'),
    "plus": ('"+1"', f'"+1", {ATOMS}'),
    "minus-zero": ('"-0"', f'"-0", {ATOMS}'),
    "leading-zero": ('"01"', f'"01", {ATOMS}'),
    "empty": ('""', f'"", {ATOMS}'),
    "space": ('" 1"', f'" 1", {ATOMS}'),
    "arabic-digit": ('"\u0661"', f'"\u0661", {ATOMS}'),
    "number": ("5", f'"5", {ATOMS}'),
    "null": ("null", f'"null", {ATOMS}'),
    "list": ("[1]", f'"[1]", {ATOMS}'),
}


@pytest.mark.negative
@pytest.mark.parametrize(("text", "got"), AMOUNTS.values(), ids=AMOUNTS.keys())
def test_a_bad_amount_is_named(tmp_path: Path, text: str, got: str) -> None:
    assert refused(tmp_path, GOOD.replace('"-7"', text)) == f'users0.json:2 column "ETH": got {got}'


FILES = {
    "empty": ("", 'users0.json:1: got an empty file, expected a JSON list: "["'),
    "object": ('{"id": "a"}', 'users0.json:1: got something else, expected a JSON list: "["'),
    "no-accounts": ("[]", "users0.json: got 0 assets, expected 1 to 2048"),
    "unclosed": (GOOD.replace("]", ""), 'users0.json:5: got something else, expected "," or "]" after an account'),
    "trailing-comma": (
        GOOD.replace("}\n]", "},\n]"),
        "users0.json:4: got Expecting value, expected an account in JSON",
    ),
    "after-the-end": (GOOD + "[]", "users0.json:5: got more text, expected nothing after the list"),
    "not-json": (GOOD.replace('"b"', "'b'"), "users0.json:3: got Expecting value, expected an account in JSON"),
    "float": (GOOD.replace('"-7"', "1.5"), "users0.json:2: got the number 1.5, expected an account in JSON"),
    "nan": (GOOD.replace('"-7"', "NaN"), "users0.json:2: got the number NaN, expected an account in JSON"),
    "key-twice": (
        GOOD.replace('"BTC"', '"ETH"'),
        "users0.json:2: got the key 'ETH' twice, expected an account in JSON",
    ),
    "other-key": (
        GOOD.replace('"id": "b"', '"id": "b", "x": 1'),
        'users0.json:3: got something else, expected an object with exactly the keys "id" and "assets"',
    ),
    "no-id": (
        GOOD.replace('"id": "b"', '"id2": "b"'),
        'users0.json:3: got something else, expected an object with exactly the keys "id" and "assets"',
    ),
    "numeric-id": (
        GOOD.replace('"b"', "7"),
        'users0.json:3: got something else, expected "id" as a string and "assets" as an object',
    ),
    "list": ("[1]", 'users0.json:1: got something else, expected an object with exactly the keys "id" and "assets"'),
    "same-id": (
        GOOD.replace('"b"', '"a"'),
        'users0.json:3 column "id": got "a", expected each id once (first at users0.json:2)',
    ),
    "surrogate": (
        GOOD.replace('"b"', '"\\ud800"'),
        'users0.json:3 column "id": got "\\ud800", expected 1 to 128 bytes of printable text without blanks around it',
    ),
    "latin-1": (
        GOOD.replace('"b"', '"é"').encode("latin-1"),
        "users0.json:3: got the byte 0xe9, expected text in UTF-8",
    ),
    "symbol": (
        GOOD.replace('"BTC"', '"B T"'),
        'users0.json:2 column "assets": got "B T", expected a symbol of 1 to 32 visible ASCII characters',
    ),
    "deep": ("[" * 100_000, "users0.json:1: got "),
}


@pytest.mark.negative
@pytest.mark.parametrize(("text", "line"), FILES.values(), ids=FILES.keys())
def test_a_bad_file_is_refused(tmp_path: Path, text: str | bytes, line: str) -> None:
    assert refused(tmp_path, text).startswith(line)


@pytest.mark.negative
def test_no_depth_of_nesting_crashes(tmp_path: Path, any_depth: None) -> None:
    expected = "got brackets within brackets, expected JSON that does not nest as deeply"
    assert refused(tmp_path, "[" * 200_000) == f"users0.json:1: {expected}"
    file = tmp_path / "table.json"
    file.write_text('{"format":' + "[" * 200_000)
    with pytest.raises(InputError, match=f"table.json: {expected}"):
        read_instrument_table(file)


@pytest.mark.negative
def test_what_only_shows_across_files(tmp_path: Path) -> None:
    line = refused(tmp_path, GOOD, '[{"id": "b", "assets": {}}]')
    assert line == 'users1.json:1 column "id": got "b", expected each id once (first at users0.json:3)'
    line = refused(tmp_path, GOOD.replace("ETH", "DOGE"), prices=PRICES)
    assert line == 'users0.json:2 column "DOGE": got "DOGE", expected assets of the price file'
    assert refused(tmp_path, GOOD, value_decimals=3) == '--value-decimals: got "3", expected --prices with it, or 0'


@pytest.mark.negative
def test_an_account_of_more_than_4095_entries_is_refused(tmp_path: Path) -> None:
    def accounts(count: int) -> str:
        return json.dumps([{"id": "a", "assets": {f"S{i}": "1" for i in range(count)}}])

    assert refused(tmp_path, accounts(2049)) == "users0.json: got 2049 assets, expected 1 to 2048"
    assert load(tmp_path, accounts(2048)).meta.entries == 2048  # two sides of 2048 instruments would be 4096
