"""Binance's files: what is read, and what is refused with which words."""

from __future__ import annotations

import csv
import hashlib
import re
from decimal import Decimal
from pathlib import Path

import pytest

from api.importers.accounts import ImportLog
from api.importers.binance import Invalid, import_binance
from prover.errors import InputError
from prover.positions import position_sides
from tests.api.binance_loading import load, refused
from tests.api.files import (
    ASSETS,
    BINANCE,
    SALT,
    binance_columns,
    binance_row,
    binance_users,
    options,
    write,
)

SAMPLES = [BINANCE / "sample_users0.csv", BINANCE / "sample_users1.csv"]
SAMPLE_ASSETS = BINANCE / "cex_assets_info_sample4.csv"


def tables() -> dict[str, tuple[Decimal, list[list[tuple[int, int, int]]]]]:
    """Price and the three tier tables of each sample token, read the slow way."""
    found = {}
    with SAMPLE_ASSETS.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            curves = [
                [tuple(map(int, each)) for each in re.findall(r"(\d+)-(\d+):(\d+)", row[column])]
                for column in ("loan_tiers_ratio", "margin_tiers_ratio", "portfolio_tiers_ratio")
            ]
            found[row["symbol"]] = (Decimal(row["usdt_price"]), curves)
    return found  # type: ignore[return-value]


def collateral(value: Decimal, tiers: list[tuple[int, int, int]]) -> Decimal:
    return sum((min(value, Decimal(b)) - a) * k / 100 for a, b, k in tiers if value > a) + Decimal(0)


def sample_rows() -> list[tuple[Path, int, dict[str, str]]]:
    rows = []
    for path in SAMPLES:
        with path.open(encoding="utf-8", newline="") as stream:
            rows += [(path, line, row) for line, row in enumerate(csv.DictReader(stream), 2)]
    return rows


def test_the_published_sample() -> None:
    """Independently: the csv module and decimal.Decimal, for what is counted and for what is not."""
    log = ImportLog()
    snapshot = import_binance(SAMPLES, SAMPLE_ASSETS, options(log=log), invalid=Invalid.DROP)
    meta, table = snapshot.meta, tables()
    assert (meta.accounts, meta.value_decimals, len(log.dropped)) == (170, 14, 30)
    assert meta.oracle_evidence == hashlib.sha256(SAMPLE_ASSETS.read_bytes()).hexdigest()
    assert [source.file for source in meta.source] == [path.name for path in (*SAMPLES, SAMPLE_ASSETS)]
    account, dropped = 0, iter(log.dropped)
    over_equity = below_debt = 0
    for path, line, row in sample_rows():
        expected: dict[int, int] = {}
        is_over = False
        health = Decimal(0)
        for index, token in enumerate(("bnb", "btc", "eth", "shib")):
            price, curves = table[token]
            equity, debt, *parts = (Decimal(row[p + token]) for p in ("e_", "d_", "vl_", "m_", "pm_"))
            is_over |= sum(parts) > equity
            health += sum(collateral(x * price, c) for x, c in zip(parts, curves, strict=True)) - debt * price
            atoms = [x.scaleb(meta.instruments[index].decimals) for x in (equity - sum(parts), *parts, debt)]
            assert all(each == int(each) for each in atoms)
            expected |= {5 * index + side: int(each) for side, each in enumerate(atoms) if each}
        if is_over or health < 0:
            over_equity, below_debt = over_equity + is_over, below_debt + (not is_over)
            user = next(dropped)
            assert (user.file, user.row, user.user_id) == (str(path), line, row["id"])
            assert ("above equity" if is_over else "debts exceed haircut collateral by ") in user.reason
            continue
        part = slice(snapshot.offsets[account], snapshot.offsets[account + 1])
        found = zip(snapshot.positions[part].tolist(), snapshot.amounts[part].tolist(), strict=True)
        assert dict(found) == expected
        assert (snapshot.user_id(account), snapshot.lines[account]) == (row["id"], line)
        account += 1
    assert (account, over_equity, below_debt, list(dropped)) == (170, 15, 15, [])


def test_equity_only() -> None:
    snapshot = import_binance(SAMPLES, SAMPLE_ASSETS, options(), equity_only=True)
    meta = snapshot.meta
    assert (meta.accounts, meta.entries, meta.value_decimals) == (200, 1600, 10)
    assert [(i.symbol, i.decimals, i.price, i.buckets) for i in meta.instruments] == [
        ("bnb", 8, 61023, ()),
        ("btc", 8, 6510022, ()),
        ("eth", 8, 362056, ()),
        ("shib", 2, 1797, ()),
    ]
    for account, (_, _, row) in enumerate(sample_rows()):
        expected: dict[int, int] = {}
        for index, column in enumerate(p + t for t in ("bnb", "btc", "eth", "shib") for p in ("e_", "d_")):
            atoms = int(Decimal(row[column]).scaleb(meta.instruments[index >> 1].decimals))
            expected |= {index: atoms} if atoms else {}
        part = slice(snapshot.offsets[account], snapshot.offsets[account + 1])
        assert dict(zip(snapshot.positions[part].tolist(), snapshot.amounts[part].tolist(), strict=True)) == expected


INVALID = {
    "over": (
        {"e_btc": "2", "vl_btc": "1", "m_btc": "0.5", "pm_btc": "0.50000001"},
        "btc: collateral 2.00000001 above equity 2",
    ),
    # 10000 of collateral count for 9000 (1000 in full, 1000 at 90 %, nothing above 2000): 1900.
    "debt": (
        {"e_btc": "1", "vl_btc": "1", "d_eth": "1"},
        "debts exceed haircut collateral by 1720.50000000132",
    ),
    "free-backs-nothing": ({"e_btc": "1", "d_eth": "0.00000001"}, "debts exceed haircut collateral by 0.000036205"),
}


@pytest.mark.negative
@pytest.mark.parametrize(("changes", "reason"), INVALID.values(), ids=INVALID.keys())
def test_invalid_users(tmp_path: Path, changes: dict[str, str], reason: str) -> None:
    rows = binance_users(binance_row(0, "a", e_btc="1"), binance_row(1, "b", **changes), binance_row(2, "c"))
    line = refused(tmp_path, rows)
    hint = "--invalid drop leaves such users out and lists them"
    if reason.startswith("debts"):
        hint += "; --invalid keep counts them, for --policy disclosed"
    assert line.startswith(f'users0.csv:3: got user "b": {reason[:40]}')
    assert line.endswith(f"expected an account that can be counted ({hint})")
    log = ImportLog()
    snapshot = import_binance(
        [tmp_path / "users0.csv"], tmp_path / "assets.csv", options(log=log), invalid=Invalid.DROP
    )
    assert snapshot.user_ids.to_pylist() == ["a", "c"]
    assert snapshot.lines.tolist() == [2, 4]
    assert [(user.row, user.user_id, user.reason[:40]) for user in log.dropped] == [(3, "b", reason[:40])]
    paths = [tmp_path / "users0.csv"], tmp_path / "assets.csv"
    if reason.startswith("debts"):
        kept = import_binance(*paths, options(), invalid=Invalid.KEEP)
        assert kept.meta.accounts == 3
    else:
        with pytest.raises(InputError, match="above equity"):
            import_binance(*paths, options(), invalid=Invalid.KEEP)


def test_collateral_just_enough(tmp_path: Path) -> None:
    rows = binance_users(binance_row(0, "a", e_btc="1", vl_btc="1", d_eth="0.52478"))
    assert load(tmp_path, rows).meta.accounts == 1  # 1899.97 of 1900, of which whole atoms per tier cost less than 0.01
    line = refused(tmp_path, rows.replace("0.52478", "0.52479"))
    assert "debts exceed haircut collateral by" in line


def test_zeros_are_dropped_but_their_account_stays(tmp_path: Path) -> None:
    snapshot = load(
        tmp_path,
        binance_users(binance_row(0, "a"), binance_row(1, "b", e_eth="0.00000001", d_btc="2.5")),
        invalid=Invalid.KEEP,
    )
    assert snapshot.offsets.tolist() == [0, 0, 2]
    assert snapshot.positions.tolist() == [4, 5]
    assert snapshot.amounts.tolist() == [250000000, 1]


def test_net_columns_may_be_what_a_float_printed(tmp_path: Path) -> None:
    row = binance_row(0, "a", btc="0.07843069000000008", eth="-5.684341886080802e-14", total_net_balance_usdt="1E+3")
    assert load(tmp_path, binance_users(row)).meta.entries == 0


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbf" + binance_users(binance_row(0, "a", e_btc="1.5")).encode(),
        binance_users(binance_row(0, "a", e_btc="1.5"), end="\r\n"),
        binance_users(binance_row(0, "a", e_btc="1.5")).removesuffix("\n"),
        binance_users(binance_row(0, "a", e_btc="1.500000000000")),
        binance_users(binance_row(0, "a", e_btc='"1.5"')),
        binance_users(binance_row(0, "a", e_btc="1.5"), columns=["rn", "id", *reversed(binance_columns()[2:])]),
        binance_users(binance_row(0, "a", e_btc="1.5"), columns=binance_columns()[:-1]),
    ],
    ids=["bom", "crlf", "no-last-newline", "extra-zeros", "quoted", "other-order", "no-total-column"],
)
def test_other_spellings_of_the_same_file(tmp_path: Path, text: str | bytes) -> None:
    snapshot = load(tmp_path, text)
    assert (snapshot.user_id(0), snapshot.positions.tolist(), snapshot.amounts.tolist()) == ("a", [0], [150000000])


def test_the_real_token_list_with_a_token_called_id(tmp_path: Path) -> None:
    with (BINANCE / "cex_assets_info_real483.csv").open(encoding="utf-8", newline="") as stream:
        tokens = [row["token"] for row in csv.DictReader(stream)]
    header = binance_columns(tokens)
    row = dict.fromkeys(set(header), "0") | {"rn": "0", "e_id": "3", "d_btc": "1"}
    cells = ["0", "alice", *(row[column] if column != "id" else "3.0" for column in header[2:])]
    users = write(tmp_path / "users.csv", ",".join(header) + "\n" + ",".join(cells) + "\n")
    prices = BINANCE / "cex_assets_info_real483.csv"
    log = ImportLog()
    snapshot = import_binance([users], prices, options(log=log), invalid=Invalid.KEEP)
    meta = snapshot.meta
    assert (len(meta.instruments), meta.value_decimals) == (483, 18)
    assert log.prices is not None and log.prices.rounded == 57
    sides = position_sides(meta.instruments)
    held = [(meta.instruments[sides[p].instrument].symbol, sides[p].side) for p in snapshot.positions.tolist()]
    assert held == [("btc", "short"), ("id", "long")]
    with pytest.raises(InputError, match="try without --exact-prices"):
        import_binance([users], prices, options(exact_prices=True))


def test_nonces_are_joined(tmp_path: Path) -> None:
    nonces = write(tmp_path / "nonces.csv", f"user_id,nonce\nb,{'ab' * 32}\n")
    snapshot = load(tmp_path, binance_users(binance_row(0, "a"), binance_row(1, "b")), nonces=nonces)
    assert snapshot.has_nonce.tolist() == [False, True]
    assert snapshot.nonces[1].tobytes() == b"\xab" * 32
    assert not snapshot.nonces[0].any()


def test_the_same_content_has_the_same_ledger_state_for_one_salt(tmp_path: Path) -> None:
    text = binance_users(binance_row(0, "a", e_btc="1"))
    first = load(tmp_path, text).meta
    assert first.ledger_salt == SALT
    assert load(tmp_path, text).meta == first
    assert load(tmp_path, text, ledger_salt="22" * 32).meta.ledger_state != first.ledger_state
    assert load(tmp_path, text.replace(",1,", ",2,")).meta.ledger_state != first.ledger_state
    given = load(tmp_path, text, ledger_salt=None, ledger_state="33" * 32).meta
    assert (given.ledger_state, given.ledger_salt) == ("33" * 32, "00" * 32)
    fresh = {load(tmp_path, text, ledger_salt=None).meta.ledger_state for _ in range(2)}
    assert len(fresh) == 2


ONE = binance_row(0, "a")
AMOUNT = "expected a decimal number with at most 8 decimals"
REFUSALS = {
    "exponent": ({"e_btc": "1e5"}, f'users0.csv:2 column "e_btc": got "1e5", {AMOUNT}'),
    "plus": ({"d_eth": "+1"}, f'users0.csv:2 column "d_eth": got "+1", {AMOUNT}'),
    "negative": ({"d_btc": "-0.5"}, f'users0.csv:2 column "d_btc": got "-0.5", {AMOUNT}'),
    "nan": ({"e_btc": "NaN"}, f'users0.csv:2 column "e_btc": got "NaN", {AMOUNT}'),
    "inf": ({"e_eth": "inf"}, f'users0.csv:2 column "e_eth": got "inf", {AMOUNT}'),
    "thousands": ({"e_eth": '"1,000"'}, f'users0.csv:2 column "e_eth": got "1,000", {AMOUNT}'),
    "space": ({"e_eth": " 1"}, f'users0.csv:2 column "e_eth": got " 1", {AMOUNT}'),
    "empty": ({"e_btc": ""}, f'users0.csv:2 column "e_btc": got "", {AMOUNT}'),
    "nine-decimals": ({"e_btc": "0.123456789"}, f'users0.csv:2 column "e_btc": got "0.123456789", {AMOUNT}'),
    "collateral": ({"pm_eth": "1e5"}, f'users0.csv:2 column "pm_eth": got "1e5", {AMOUNT}'),
    "63-bits": (
        {"e_btc": "92233720368.54775808"},
        'users0.csv:2 column "e_btc": got "92233720368.54775808", '
        "expected at most 2^63 - 1 atoms, 92233720368.54775807",
    ),
    "summa-overflow": (
        {"e_btc": "5192296858534827628530496329220096"},
        'users0.csv:2 column "e_btc": got "5192296858534827628530496329220096", '
        "expected at most 2^63 - 1 atoms, 92233720368.54775807",
    ),
    "net": ({"btc": "abc"}, 'users0.csv:2 column "btc": got "abc", expected a number'),
    "total": (
        {"total_net_balance_usdt": "nan"},
        'users0.csv:2 column "total_net_balance_usdt": got "nan", expected a number',
    ),
    "row-number": ({"rn": "x"}, 'users0.csv:2 column "rn": got "x", expected a row number'),
    "no-id": (
        {"id": ""},
        'users0.csv:2 column "id": got "", expected 1 to 128 bytes of printable text without blanks around it',
    ),
    "long-id": (
        {"id": "é" * 65},
        f'users0.csv:2 column "id": got "{"é" * 65}", '
        "expected 1 to 128 bytes of printable text without blanks around it",
    ),
    "id-with-escape": (
        {"id": "a\x1b[31m"},
        'users0.csv:2 column "id": got "a\\u001b[31m", '
        "expected 1 to 128 bytes of printable text without blanks around it",
    ),
    "id-on-two-lines": (
        {"id": '"a\nb"'},
        'users0.csv:2 column "id": got "a\\nb", expected 1 to 128 bytes of printable text without blanks around it',
    ),
}


@pytest.mark.negative
@pytest.mark.parametrize(("changes", "line"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_bad_field_is_named(tmp_path: Path, changes: dict[str, str], line: str) -> None:
    assert refused(tmp_path, binance_users(ONE | changes)) == line


@pytest.mark.negative
def test_the_first_bad_row_of_a_file_is_reported(tmp_path: Path) -> None:
    rows = [binance_row(i, f"u{i}") for i in range(5)]
    rows[4] |= {"e_btc": "x"}
    rows[2] |= {"pm_eth": "y", "e_eth": "z"}
    assert refused(tmp_path, binance_users(*rows)) == f'users0.csv:4 column "e_eth": got "z", {AMOUNT}'


GOOD = binance_users(ONE)
HEADER = ",".join(binance_columns())
FILES = {
    "empty": ("", "users0.csv:1: got an empty file, expected a header"),
    "blank-header": ("\n", "users0.csv:1: got an empty line, expected a header"),
    "header-only": (f"{HEADER}\n", "users0.csv: got no accounts, expected at least one"),
    "short-row": (f"{GOOD}1,b,0\n", "users0.csv:3: got 3 fields, expected 15 fields, as in the header"),
    "long-row": (
        GOOD.replace(",0.0\n", ",0.0,9\n"),
        "users0.csv:2: got 16 fields, expected 15 fields, as in the header",
    ),
    "blank-row": (f"{HEADER}\n\n{GOOD}", "users0.csv:2: got an empty line, expected 15 fields, as in the header"),
    "blank-last-row": (f"{GOOD}\n", "users0.csv:3: got an empty line, expected 15 fields, as in the header"),
    "latin-1": (
        GOOD.replace(",a,", ",é,").encode("latin-1"),
        "users0.csv:2: got the byte 0xe9, expected text in UTF-8",
    ),
    "latin-1-header": (b"rn,id,\xe9\n", "users0.csv:1: got the byte 0xe9, expected text in UTF-8"),
    "utf-16": (GOOD.encode("utf-16"), "users0.csv:1: got the byte 0xff, expected text in UTF-8"),
    "gzip": (b"\x1f\x8b\x08\x00", "users0.csv:1: got the byte 0x8b, expected text in UTF-8"),
    "old-macintosh": (
        GOOD.replace("\n", "\r"),
        "users0.csv: got a carriage return inside a line, expected lines that end in LF or CRLF",
    ),
    "bom-twice": (
        b"\xef\xbb\xbf\xef\xbb\xbf" + GOOD.encode(),
        'users0.csv:1 column "rn": expected this name for column 1',
    ),
    "open-quote": (
        f'{GOOD}1,"b,0\n',
        "users0.csv:3: got unexpected end of data, expected quotes that close on their line",
    ),
    "column-missing": (
        GOOD.replace("d_btc,", "").replace("a,0,", "a,"),
        'users0.csv:1 column "d_btc": expected this column to be there',
    ),
    "column-twice": (
        GOOD.replace("d_btc", "e_btc"),
        'users0.csv:1 column "e_btc": got "e_btc", expected each column once',
    ),
    "id-not-second": (
        GOOD.replace("rn,id", "id,rn"),
        'users0.csv:1 column "rn": expected this name for column 1',
    ),
    "unknown-token": (
        GOOD.replace("_eth", "_doge").replace(",eth,", ",doge,"),
        'users0.csv:1 column "e_doge": got "e_doge", expected a column of a token in assets.csv',
    ),
    "padded-header": (
        GOOD.replace("e_btc", " e_btc"),
        'users0.csv:1 column " e_btc": got " e_btc", expected a column of a token in assets.csv',
    ),
    "same-id-twice": (
        binance_users(ONE, binance_row(1, "b"), binance_row(2, "a")),
        'users0.csv:4 column "id": got "a", expected each id once (first at users0.csv:2)',
    ),
}


@pytest.mark.negative
@pytest.mark.parametrize(("text", "line"), FILES.values(), ids=FILES.keys())
def test_a_bad_file_is_refused(tmp_path: Path, text: str | bytes, line: str) -> None:
    assert refused(tmp_path, text) == line


@pytest.mark.negative
def test_an_id_may_not_come_back_in_another_file(tmp_path: Path) -> None:
    line = refused(tmp_path, GOOD, binance_users(binance_row(0, "b"), binance_row(1, "a")))
    assert line == 'users1.csv:3 column "id": got "a", expected each id once (first at users0.csv:2)'


@pytest.mark.negative
def test_a_token_may_not_be_missing_from_one_file_only(tmp_path: Path) -> None:
    only_btc = binance_users(
        binance_row(1, "b"), columns=[name for name in binance_columns() if not name.endswith("eth")]
    )
    assert refused(tmp_path, GOOD, only_btc) == 'users1.csv:1 column "e_eth": expected this column to be there'
    assert refused(tmp_path, only_btc, GOOD) == 'users0.csv:1 column "e_eth": expected this column to be there'
    assert load(tmp_path, only_btc).meta.accounts == 1  # absent from all files alike: a token without balances


@pytest.mark.negative
def test_missing_files_and_folders(tmp_path: Path) -> None:
    assets = write(tmp_path / "assets.csv", ASSETS)
    for path, got in ((tmp_path / "no.csv", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(InputError, match=f"got {got}, expected a file that can be read"):
            import_binance([path], assets, options())


NONCES = {
    "stranger": (
        "zoe," + "ab" * 32,
        'nonces.csv:2 column "user_id": got "zoe", expected the id of an account of this snapshot',
    ),
    "upper-case": (
        "a," + "AB" * 32,
        f'nonces.csv:2 column "nonce": got "{"AB" * 32}", expected a nonce of 64 lowercase hex digits',
    ),
    "short": ("a,abcd", 'nonces.csv:2 column "nonce": got "abcd", expected a nonce of 64 lowercase hex digits'),
    "twice": (
        f"a,{'ab' * 32}\na,{'cd' * 32}",
        'nonces.csv:3 column "user_id": got "a", expected each id once (first on line 2)',
    ),
}


@pytest.mark.negative
@pytest.mark.parametrize(("rows", "line"), NONCES.values(), ids=NONCES.keys())
def test_bad_nonces_are_refused(tmp_path: Path, rows: str, line: str) -> None:
    nonces = write(tmp_path / "nonces.csv", f"user_id,nonce\n{rows}\n")
    assert refused(tmp_path, GOOD, nonces=nonces) == line


@pytest.mark.negative
def test_an_account_of_2_to_the_112_value_units_is_refused(tmp_path: Path) -> None:
    # 2^54 - 1 value units per atom, 2^63 - 1 atoms: 2^117.
    tiers = "symbol,usdt_price,loan_tiers_ratio,margin_tiers_ratio,portfolio_tiers_ratio\n"
    assets = f"{tiers}btc,1801439850.9481983,,,\neth,1,,,\n"
    rows = binance_row(0, "a"), binance_row(1, "b", e_btc="92233720368.54775807")
    worth = (2**63 - 1) * 18014398509481983
    line = refused(tmp_path, binance_users(*rows), assets=assets, value_decimals=15, equity_only=True)
    assert line == f"users0.csv:3: got an account worth {worth} value units, expected less than 2^112 value units"
    # Debt counts against holdings: gross is beyond the bound, equity is not.
    rows = binance_row(0, "a"), binance_row(1, "b", e_btc="92233720368.54775807", d_btc="92233720368.54775806")
    assert load(tmp_path, binance_users(*rows), assets=assets, value_decimals=15, equity_only=True).meta.accounts == 2
    # No account reaches the bound, the sum does: 40 accounts of 2^107.
    many = [binance_row(i, f"u{i}", e_btc="90071992.54740992") for i in range(40)]
    line = refused(tmp_path, binance_users(*many), assets=assets, value_decimals=15, equity_only=True)
    assert line.startswith("got a total liability of ")


OPTIONS = {
    "time": ("yesterday", '--time: got "yesterday", expected a UTC time like 2026-11-22T00:00:00Z'),
    "sequence": (-1, '--sequence: got "-1", expected an integer from 0 to 9007199254740991'),
    "exchange": ("", '--exchange: got "", expected 1 to 128 printable characters'),
    "previous": ("ab", '--previous: got "ab", expected 64 lower-case hex digits'),
    "ledger_salt": ("", '--ledger-salt: got "", expected 64 lower-case hex digits'),
    "value_decimals": (31, '--value-decimals: got "31", expected an integer from 0 to 30'),
    "quote": ("US DT", '--quote: got "US DT", expected visible ASCII characters'),
    "ledger_state": ("00" * 32, f'--ledger-salt: got "{SALT}", expected no salt with --ledger-state'),
}


@pytest.mark.negative
@pytest.mark.parametrize(
    ("name", "value", "line"), [(name, *rest) for name, rest in OPTIONS.items()], ids=OPTIONS.keys()
)
def test_bad_options_are_refused_before_any_file_is_read(name: str, value: object, line: str) -> None:
    with pytest.raises(InputError) as caught:
        options(**{name: value})
    assert str(caught.value) == line
