"""OKX's account files: a JSON list of `{"id": "...", "assets": {"BTC": "123", "ETH": "-1"}}`.

Amounts are whole numbers of atoms as strings; a positive one becomes the long leg, a negative one the short
leg. The files name no prices: without a price file every asset has 0 decimals and price 1, so that "value"
only counts atoms, which shows the mechanism and nothing about money.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from api.importers.accounts import Accounts, ImportOptions, Market, source_file
from api.importers.csv_files import BOM, sha256_of_file
from api.importers.instruments import unique_keys
from api.importers.prices import SYMBOL_EXPECTED, read_okx_prices
from prover.errors import InputError
from prover.snapshot import USER_ID_EXPECTED, Snapshot, is_user_id
from prover.snapshot_meta import ZERO_DIGEST, is_symbol
from verifier.canonical import is_deep
from verifier.instruments import INSTRUMENTS_MAX, SPOT, Instrument
from verifier.legs import AMOUNT_CAP

KEYS: Final = {"id", "assets"}
BATCH_ACCOUNTS: Final = 8192
AMOUNT_EXPECTED: Final = "a string with a whole number of atoms from -(2^63 - 1) to 2^63 - 1"
_AMOUNT = re.compile(r"0|-?[1-9][0-9]{0,18}")
_BLANKS = re.compile(r"[ \t\r\n]*")

Row = tuple[int, str, dict[str, Any]]


def import_okx(users: Sequence[Path], prices: Path | None, options: ImportOptions) -> Snapshot:
    """Reads users files and, if given, prices (`symbol,decimals,price`).

    Raises:
        InputError: the first thing that is off, with file, line and key.
    """
    digests = [sha256_of_file(path) for path in users]
    source = [source_file(path, digest) for path, digest in zip(users, digests, strict=True)]
    if prices is not None:
        table = read_okx_prices(prices)
        market = options.market(table)
        source.append(source_file(prices, table.sha256))
    else:
        if options.value_decimals:
            raise InputError(
                field="--value-decimals", got=str(options.value_decimals), expected="--prices with it, or 0"
            )
        market = Market(0, _all_symbols(users), ZERO_DIGEST)
    accounts = Accounts("id", users[0])
    long_legs = {instrument.symbol: 2 * index for index, instrument in enumerate(market.instruments)}
    for path in users:
        rows: list[Row] = []
        for row in _read(path):
            rows.append(row)
            if len(rows) == BATCH_ACCOUNTS:
                _add(accounts, path, rows, long_legs)
                rows = []
        _add(accounts, path, rows, long_legs)
    return accounts.build(options, market, source)


def _all_symbols(users: Sequence[Path]) -> tuple[Instrument, ...]:
    symbols: set[str] = set()
    for path in users:
        for line, _, assets in _read(path):
            for symbol in assets.keys() - symbols:
                if not is_symbol(symbol):
                    raise InputError(file=path, row=line, field="assets", got=symbol, expected=SYMBOL_EXPECTED)
            symbols |= assets.keys()
    if not 1 <= len(symbols) <= INSTRUMENTS_MAX:
        raise InputError(file=users[0], got=f"{len(symbols)} assets", expected=f"1 to {INSTRUMENTS_MAX}")
    return tuple(Instrument(symbol, SPOT, 0, 1) for symbol in sorted(symbols))


def _add(accounts: Accounts, path: Path, rows: list[Row], long_legs: dict[str, int]) -> None:
    legs: list[int] = []
    amounts: list[int] = []
    counts: list[int] = []
    for line, _, assets in rows:
        entries = []
        for symbol, text in assets.items():
            leg = long_legs.get(symbol)
            if leg is None:
                expected = "assets of the price file"
                raise InputError(file=path, row=line, field=symbol, got=symbol, expected=expected)
            atoms = int(text) if isinstance(text, str) and _AMOUNT.fullmatch(text) else None
            if atoms is None or abs(atoms) > AMOUNT_CAP:
                got = text if isinstance(text, str) else json.dumps(text)
                raise InputError(file=path, row=line, field=symbol, got=got, expected=AMOUNT_EXPECTED)
            if atoms:
                entries.append((leg + (atoms < 0), abs(atoms)))
        entries.sort()
        counts.append(len(entries))
        legs.extend(leg for leg, _ in entries)
        amounts.extend(amount for _, amount in entries)
    accounts.add(
        path,
        pa.array([name for _, name, _ in rows], pa.string()),
        np.array([line for line, _, _ in rows], np.uint32),
        np.array(counts, np.int64),
        np.array(legs, np.uint16),
        np.array(amounts, np.uint64),
    )


def _text(path: Path) -> str:
    """All of a file that is UTF-8, and in which brackets do not nest deeply."""
    data = path.read_bytes().removeprefix(BOM)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        got = f"the byte 0x{data[error.start]:02x}"
        raise InputError(file=path, row=line, got=got, expected="text in UTF-8") from None
    if is_deep(text):
        raise InputError(file=path, row=1, got="brackets within brackets", expected="JSON that does not nest as deeply")
    return text


def _read(path: Path) -> Iterator[Row]:
    """Line, id and assets of each account; the line is the one on which its `{` stands."""
    text = _text(path)
    decoder = json.JSONDecoder(object_pairs_hook=unique_keys, parse_float=_no_float, parse_constant=_no_float)
    line, position = 1, 0

    def skip(to: int) -> None:
        nonlocal line, position
        line += text.count("\n", position, to)
        position = to

    def blanks() -> str:
        match = _BLANKS.match(text, position)
        skip(position if match is None else match.end())
        return text[position : position + 1]

    def fail(got: str, expected: str) -> InputError:
        return InputError(file=path, row=line, got=got, expected=expected)

    if blanks() != "[":
        raise fail("something else" if text.strip() else "an empty file", 'a JSON list: "["')
    skip(position + 1)
    is_first = True
    while blanks() != "]" or not is_first:
        try:
            account, end = decoder.raw_decode(text, position)
        except ValueError as error:
            where = text.count("\n", 0, error.pos) + 1 if isinstance(error, json.JSONDecodeError) else line
            reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            raise InputError(file=path, row=where, got=reason, expected="an account in JSON") from None
        if not isinstance(account, dict) or account.keys() != KEYS:
            raise fail("something else", 'an object with exactly the keys "id" and "assets"')
        if not isinstance(account["id"], str) or not isinstance(account["assets"], dict):
            raise fail("something else", '"id" as a string and "assets" as an object')
        if not is_user_id(account["id"]):  # before Arrow, which cannot hold a lone surrogate
            raise InputError(file=path, row=line, field="id", got=account["id"], expected=USER_ID_EXPECTED)
        yield line, account["id"], account["assets"]
        skip(end)
        is_first = False
        if (mark := blanks()) not in {",", "]"} or not mark:
            raise fail("something else", '"," or "]" after an account')
        if mark == "]":
            break
        skip(position + 1)
    skip(position + 1)
    if blanks():
        raise fail("more text", "nothing after the list")


def _no_float(text: str) -> None:
    raise ValueError(f"the number {text}")
