"""Our own format, in its three spellings: what is read, and what is refused with which words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from api.importers.table import import_table
from prover.errors import InputError
from prover.snapshot import Snapshot
from tests.api.files import INSTRUMENTS, options, refusal, write

NONCE = "ab" * 32
GOOD = (
    "user_id,nonce,asset,side,amount\n"
    f"zoe,{NONCE},usd,short,2.50\n"
    "bob,,btc,long,0.00000001\n"
    f"zoe,{NONCE},btc,long,1\n"
    "eve,,btc,long,0\n"
    f"zoe,{NONCE},usd,long,10\n"
)


def load(folder: Path, accounts: Path | str | bytes, instruments: str = INSTRUMENTS, **changes: object) -> Snapshot:
    path = accounts if isinstance(accounts, Path) else write(folder / "accounts.csv", accounts)
    return import_table(path, write(folder / "instruments.csv", instruments), options(**changes))


def refused(folder: Path, accounts: Path | str | bytes, instruments: str = INSTRUMENTS, **changes: object) -> str:
    with pytest.raises(InputError) as caught:
        load(folder, accounts, instruments, **changes)
    return refusal(caught.value, folder)


def check_good(snapshot: Snapshot, first_line: int) -> None:
    assert [snapshot.user_id(i) for i in range(3)] == ["zoe", "bob", "eve"]
    assert snapshot.offsets.tolist() == [0, 3, 4, 4]
    assert snapshot.positions.tolist() == [0, 2, 3, 0]
    assert snapshot.amounts.tolist() == [10**8, 1000, 250, 1]
    assert snapshot.lines.tolist() == [first_line, first_line + 1, first_line + 3]
    assert snapshot.has_nonce.tolist() == [True, False, False]
    assert snapshot.nonces[0].tobytes() == b"\xab" * 32
    assert not snapshot.nonces[1:].any()
    assert [(i.symbol, i.price) for i in snapshot.meta.instruments] == [("btc", 6510022), ("usd", 10**8)]


def test_csv(tmp_path: Path) -> None:
    check_good(load(tmp_path, GOOD), 2)


@pytest.mark.parametrize("kind", ["parquet", "arrow", "arrow-dictionary", "arrow-large"])
def test_parquet_and_arrow(tmp_path: Path, kind: str) -> None:
    table = pa.csv.read_csv(
        write(tmp_path / "a.csv", GOOD),
        convert_options=pa.csv.ConvertOptions(
            column_types=dict.fromkeys(("user_id", "nonce", "asset", "side", "amount"), pa.string()),
            strings_can_be_null=True,
            null_values=[""],
        ),
    )
    if kind == "arrow-dictionary":
        table = pa.table([column.dictionary_encode() for column in table.columns], names=table.column_names)
    if kind == "arrow-large":
        table = table.cast(pa.schema([(name, pa.large_string()) for name in table.column_names]))
    path = tmp_path / f"accounts.{kind.partition('-')[0]}"
    if kind == "parquet":
        pa.parquet.write_table(table, path)
    else:
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    check_good(load(tmp_path, path), 1)


def test_no_nonce_column_and_other_order(tmp_path: Path) -> None:
    snapshot = load(tmp_path, "amount,side,asset,user_id\n1,long,usd,a\n")
    assert (snapshot.amounts.tolist(), snapshot.positions.tolist()) == ([100], [2])
    assert not snapshot.has_nonce.any()


def test_any_order_of_rows_gives_the_same_accounts(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    rows = [
        f"u{user},{asset},{side},{1 + user}"
        for user in range(50)
        for asset in ("btc", "usd")
        for side in ("long", "short")
    ]
    expected = None
    for _ in range(3):
        shuffled = [rows[i] for i in random.permutation(len(rows))]
        snapshot = load(tmp_path, "\n".join(["user_id,asset,side,amount", *shuffled]) + "\n")
        found = {
            snapshot.user_id(i): (
                snapshot.positions[snapshot.offsets[i] : snapshot.offsets[i + 1]].tolist(),
                snapshot.amounts[snapshot.offsets[i] : snapshot.offsets[i + 1]].tolist(),
            )
            for i in range(50)
        }
        assert expected is None or found == expected
        expected = found


ROWS = {
    "unknown-asset": (
        "a,,doge,long,1",
        'accounts.csv:2 column "asset": got "doge", expected a symbol of instruments.csv',
    ),
    "case-counts": ("a,,BTC,long,1", 'accounts.csv:2 column "asset": got "BTC", expected a symbol of instruments.csv'),
    "side": ("a,,btc,LONG,1", 'accounts.csv:2 column "side": got "LONG", expected long or short'),
    "negative": (
        "a,,usd,long,-1",
        'accounts.csv:2 column "amount": got "-1", expected a decimal number with at most 2 decimals',
    ),
    "decimals": (
        "a,,usd,long,1.005",
        'accounts.csv:2 column "amount": got "1.005", expected a decimal number with at most 2 decimals',
    ),
    "overflow": (
        "a,,usd,long,92233720368547758.08",
        'accounts.csv:2 column "amount": got "92233720368547758.08", '
        "expected at most 2^63 - 1 atoms, 92233720368547758.07",
    ),
    "twice": (
        "a,,btc,long,1\na,,btc,short,1\na,,btc,long,0",
        'accounts.csv:4 column "asset": got "btc", '
        "expected each asset, side and bucket once per user (already at row or line 2)",
    ),
    "nonce": (
        "a,abc,btc,long,1",
        'accounts.csv:2 column "nonce": got "abc", expected a nonce of 64 lowercase hex digits',
    ),
    "two-nonces": (
        f"a,{NONCE},btc,long,1\na,,btc,short,1",
        'accounts.csv:3 column "nonce": got "", expected one nonce in all rows of a user (as at row or line 2)',
    ),
    "no-user": (
        ",,btc,long,1",
        'accounts.csv:2 column "user_id": got "", expected 1 to 128 bytes of printable text without blanks around it',
    ),
    "short": ("a,,btc,long", "accounts.csv:2: got 4 fields, expected 5 fields, as in the header"),
    "none": ("", "accounts.csv:2: got an empty line, expected 5 fields, as in the header"),
}


@pytest.mark.negative
@pytest.mark.parametrize(("rows", "line"), ROWS.values(), ids=ROWS.keys())
def test_a_bad_row_is_named(tmp_path: Path, rows: str, line: str) -> None:
    assert refused(tmp_path, f"user_id,nonce,asset,side,amount\n{rows}\n") == line


@pytest.mark.negative
def test_the_first_bad_amount_is_named_whatever_its_decimals(tmp_path: Path) -> None:
    rows = "a,usd,long,1\nb,usd,long,x\nc,btc,long,y\n"
    line = refused(tmp_path, f"user_id,asset,side,amount\n{rows}")
    assert line == 'accounts.csv:3 column "amount": got "x", expected a decimal number with at most 2 decimals'


@pytest.mark.negative
def test_columns(tmp_path: Path) -> None:
    line = refused(tmp_path, "user_id,asset,side\na,btc,long\n")
    assert line == 'accounts.csv:1 column "amount": expected this column to be there'
    line = refused(tmp_path, "user_id,asset,side,amount,x\na,btc,long,1,2\n")
    expected = "only the columns user_id, asset, side, amount, nonce (optional), bucket (optional)"
    assert line == f'accounts.csv:1 column "x": expected {expected}'
    assert refused(tmp_path, "user_id,asset,side,amount\n") == "accounts.csv: got no accounts, expected at least one"


INSTRUMENT_FILES = {
    "kind": ("a,future,8,1", 'instruments.csv:2 column "kind": got "future", expected spot or perpetual or cost-basis'),
    "decimals": ("a,spot,19,1", 'instruments.csv:2 column "decimals": got "19", expected a whole number from 0 to 18'),
    "decimals-spelling": (
        "a,spot,08,1",
        'instruments.csv:2 column "decimals": got "08", expected a whole number from 0 to 18',
    ),
    "price": ("a,spot,8,-1", 'instruments.csv:2 column "price": got "-1", expected a decimal number'),
    "symbol": (
        "é,spot,8,1",
        'instruments.csv:2 column "symbol": got "é", expected a symbol of 1 to 32 visible ASCII characters',
    ),
    "long-symbol": (
        f"{'a' * 33},spot,8,1",
        f'instruments.csv:2 column "symbol": got "{"a" * 33}", expected a symbol of 1 to 32 visible ASCII characters',
    ),
    "twice": (
        "a,spot,8,1\na,spot,8,1",
        'instruments.csv:3 column "symbol": got "a", expected each symbol once, in one spelling (first on line 2)',
    ),
    "too-large": (
        "a,spot,0,18014398509481984",
        'instruments.csv:2 column "price": got "18014398509481984", '
        "expected a price of a below 2^54 value units per atom, "
        "but at 0 value decimals it is 18014398509481984",
    ),
    "too-fine": (
        f"a,spot,18,0.{'0' * 12}1",
        f'instruments.csv:2 column "price": got "0.{"0" * 12}1", '
        "expected a price of a that does not round to 0 at 30 value decimals",
    ),
}


@pytest.mark.negative
@pytest.mark.parametrize(("rows", "line"), INSTRUMENT_FILES.values(), ids=INSTRUMENT_FILES.keys())
def test_a_bad_instrument_is_named(tmp_path: Path, rows: str, line: str) -> None:
    accounts = "user_id,asset,side,amount\nx,a,long,0\n"
    assert refused(tmp_path, accounts, f"symbol,kind,decimals,price\n{rows}\n") == line


@pytest.mark.negative
def test_arrow_columns_have_to_be_strings(tmp_path: Path) -> None:
    def arrow(**columns: pa.Array) -> Path:
        table = pa.table(columns)
        with pa.ipc.new_file(tmp_path / "accounts.arrow", table.schema) as writer:
            writer.write_table(table)
        return tmp_path / "accounts.arrow"

    texts = {name: pa.array(["a"]) for name in ("user_id", "asset", "side")}
    line = refused(tmp_path, arrow(**texts, amount=pa.array([1.5])))
    assert line == 'accounts.arrow column "amount": got "double", expected a column of strings'
    line = refused(tmp_path, arrow(**texts, amount=pa.array([None], pa.string())))
    assert line == 'accounts.arrow:1 column "amount": got "null", expected a value'
    line = refused(tmp_path, arrow(**texts))
    expected = "exactly the columns user_id, asset, side, amount, and perhaps nonce and bucket"
    assert line == f'accounts.arrow column "amount": expected {expected}'


@pytest.mark.negative
@pytest.mark.parametrize("name", ["accounts.parquet", "accounts.arrow"])
def test_a_broken_file_is_refused(tmp_path: Path, name: str) -> None:
    line = refused(tmp_path, write(tmp_path / name, "not what the suffix says"))
    assert line.startswith(f"{name}: got ")
    assert line.endswith(f"expected an Arrow or Parquet file, as .{name.partition('.')[2]} says")


@pytest.mark.negative
def test_another_suffix_is_refused(tmp_path: Path) -> None:
    line = refused(tmp_path, write(tmp_path / "accounts.xlsx", "x"))
    assert line == 'accounts.xlsx: got the suffix ".xlsx", expected .csv or .parquet or .arrow'


@pytest.mark.negative
def test_more_than_4095_entries_are_refused(tmp_path: Path) -> None:
    instruments = "symbol,kind,decimals,price\n" + "".join(f"S{i},spot,0,1\n" for i in range(2048))
    rows = [f"a,S{i},{side},1" for i in range(2048) for side in ("long", "short")]

    def accounts(count: int) -> str:
        return "\n".join(["user_id,asset,side,amount", *rows[:count]]) + "\n"

    assert load(tmp_path, accounts(4095), instruments).meta.entries == 4095
    line = refused(tmp_path, accounts(4096), instruments)
    assert line == "accounts.csv:2: got an account with 4096 entries, expected at most 4095"
