"""Our own format: one row per user, asset, side and bucket, and a table of instruments. CSV, Parquet or Arrow.

    accounts:     user_id,nonce,asset,side,bucket,amount     nonce and bucket may be absent or empty
    instruments:  symbol,kind,decimals,price as .csv, or .json with buckets and margins

Rows of a user need not stand together; accounts are ordered by first appearance. A row with amount 0 makes
the account exist without an entry. Parquet and Arrow hold the same columns, all of them strings: a number
type would already have decided how to round.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from api.importers.accounts import NONCE_EXPECTED, NONCE_PATTERN, Accounts, ImportOptions, source_file
from api.importers.csv_files import open_csv, sha256_of_file
from api.importers.decimals import BadNumber, first_not_matching, parse_amounts
from api.importers.instruments import read_instrument_table
from api.importers.prices import PriceFile
from prover.errors import InputError
from prover.positions import first_positions
from prover.snapshot import Bytes, Flags, Int64, Snapshot
from verifier.instruments import Instrument

COLUMNS: Final = ("user_id", "asset", "side", "amount")
NONCE_COLUMN: Final = "nonce"
BUCKET_COLUMN: Final = "bucket"
OPTIONAL: Final = (NONCE_COLUMN, BUCKET_COLUMN)
SIDES: Final = ("long", "short")
SUFFIXES: Final = (".csv", ".parquet", ".arrow")


class Rows:
    """The accounts file as string columns, and how to name a row of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_csv = path.suffix == ".csv"
        if self.is_csv:
            file = open_csv(path)
            file.require(COLUMNS, OPTIONAL)
            batches = [batch for _, batch in file.batches()]
            schema = pa.schema([pa.field(name, pa.string()) for name in file.header])
            self.table = pa.Table.from_batches(batches, schema)
            self.sha256 = file.sha256
        else:
            self.sha256 = sha256_of_file(path)
            self.table = _read_typed(path)
        if not self.table.num_rows:
            raise InputError(file=path, got="no accounts", expected="at least one")

    def column(self, name: str) -> pa.ChunkedArray:
        """One column of strings."""
        return self.table[name]

    def line(self, row: int) -> int:
        """Line of a CSV file (the header is line 1), else the number of the row (the first is 1)."""
        return row + 2 if self.is_csv else row + 1

    def error(self, row: int, name: str, expected: str) -> InputError:
        """What to raise for one field."""
        got = self.table[name][row].as_py()
        return InputError(file=self.path, row=self.line(row), field=name, got=got, expected=expected)


def import_table(accounts: Path, instruments: Path, options: ImportOptions) -> Snapshot:
    """Reads an accounts file and its instruments.

    Raises:
        InputError: the first thing that is off, with file, line (or row) and column.
    """
    prices = read_instrument_table(instruments)
    market = options.market(prices)
    rows = Rows(accounts)
    # Codes number the users by first appearance, because a dictionary grows in that order.
    encoded = rows.column("user_id").dictionary_encode()
    user = _codes(encoded)
    names = encoded.chunk(0).dictionary
    first_row = np.full(len(names), len(user), np.int64)
    np.minimum.at(first_row, user, np.arange(len(user)))
    asset, positions = _positions(rows, prices, market.instruments)
    atoms = _atoms(rows, prices, asset)
    order = _in_order(rows, user, positions)
    kept = order[atoms[order] > 0]
    builder = Accounts("user_id", accounts)
    builder.add(
        accounts,
        names,
        np.array([rows.line(0)], np.uint32) + first_row.astype(np.uint32),
        np.bincount(user[kept], minlength=len(names)).astype(np.int64),
        positions[kept].astype(np.uint16),
        atoms[kept],
    )
    source = [source_file(accounts, rows.sha256), source_file(instruments, prices.sha256)]
    return builder.build(options, market, source, _nonces(rows, user, first_row))


def _positions(rows: Rows, prices: PriceFile, instruments: tuple[Instrument, ...]) -> tuple[Int64, Int64]:
    """Instrument and position of each row."""
    symbols = pa.array([instrument.symbol for instrument in instruments], pa.string())
    asset = pc.index_in(rows.column("asset"), value_set=symbols)
    if asset.null_count:
        raise rows.error(_first_null(asset), "asset", f"a symbol of {prices.path}")
    side = pc.index_in(rows.column("side"), value_set=pa.array(SIDES))
    if side.null_count:
        raise rows.error(_first_null(side), "side", " or ".join(SIDES))
    number = asset.to_numpy().astype(np.int64)
    if BUCKET_COLUMN in rows.table.column_names:
        bucket = pc.fill_null(rows.column(BUCKET_COLUMN), "")
    else:
        bucket = pa.chunked_array([pa.repeat("", len(number))])
    # A line break is in no symbol, and so parts the three beyond doubt.
    key = pc.binary_join_element_wise(rows.column("asset"), rows.column("side"), bucket, "\n")
    known = _keys(instruments)
    position = pc.index_in(key, value_set=pa.array(list(known), pa.string()))
    if position.null_count:
        row = _first_null(position)
        raise _bad_bucket(rows, row, instruments[int(number[row])])
    of_key = np.fromiter(known.values(), np.int64, len(known))
    return number, of_key[position.to_numpy()]


def _keys(instruments: tuple[Instrument, ...]) -> dict[str, int]:
    """Position by symbol, side and bucket; the bucket may be left out where there is no choice."""
    keys: dict[str, int] = {}
    first = first_positions(instruments).tolist()
    for instrument, (start, stop) in zip(instruments, pairwise(first), strict=True):
        for bucket, part in enumerate(instrument.buckets):
            keys[f"{instrument.symbol}\nlong\n{part.name}"] = start + bucket
        if len(instrument.buckets) <= 1:
            keys[f"{instrument.symbol}\nlong\n"] = start
        keys[f"{instrument.symbol}\nshort\n"] = stop - 1
    return keys


def _bad_bucket(rows: Rows, row: int, instrument: Instrument) -> InputError:
    if rows.table["side"][row].as_py() == "short" or not instrument.buckets:
        expected = "nothing: only what is held of an asset with buckets is in one"
    else:
        expected = " or ".join(bucket.name for bucket in instrument.buckets)
    if BUCKET_COLUMN not in rows.table.column_names:
        got = f"no column {BUCKET_COLUMN}"
        return InputError(file=rows.path, row=rows.line(row), got=got, expected=f"for {instrument.symbol} {expected}")
    return rows.error(row, BUCKET_COLUMN, expected)


def _atoms(rows: Rows, prices: PriceFile, asset: Int64) -> npt.NDArray[np.uint64]:
    """Amount of each row in atoms of its instrument; instruments with equal decimals are read together."""
    texts = pc.cast(rows.column("amount"), pa.large_string()).combine_chunks()
    decimals = np.array([instrument.decimals for instrument in prices.instruments])[asset]
    atoms = np.zeros(len(asset), np.uint64)
    problems: list[tuple[int, BadNumber]] = []
    for value in np.unique(decimals).tolist():
        of_value = np.flatnonzero(decimals == value)
        atoms[of_value], bad = parse_amounts(texts.take(pa.array(of_value)), value)
        if bad is not None:
            problems.append((int(of_value[bad[0]]), bad[1]))
    if problems:
        row, reason = min(problems, key=lambda problem: problem[0])
        raise rows.error(row, "amount", reason.expected)
    return atoms


def _in_order(rows: Rows, user: Int64, positions: Int64) -> Int64:
    """Row numbers by user, then position, then row; no user may have a position twice."""
    order: Int64 = np.lexsort((positions, user))  # stable: equal rows stay in the order of the file
    same = (user[order][1:] == user[order][:-1]) & (positions[order][1:] == positions[order][:-1])
    if same.any():
        later, earlier = order[1:][same], order[:-1][same]
        row = int(later.min())
        first = rows.line(int(earlier[later.argmin()]))
        raise rows.error(row, "asset", f"each asset, side and bucket once per user (already at row or line {first})")
    return order


def _nonces(rows: Rows, user: Int64, first_row: Int64) -> tuple[Bytes, Flags]:
    """Nonce per user: all rows of a user say the same."""
    if NONCE_COLUMN not in rows.table.column_names:
        return np.zeros((len(first_row), 32), np.uint8), np.zeros(len(first_row), bool)
    encoded = pc.fill_null(rows.column(NONCE_COLUMN), "").dictionary_encode()
    code = _codes(encoded)
    texts = encoded.chunk(0).dictionary
    bad = first_not_matching(texts, rf"{NONCE_PATTERN}|^$")
    if bad is not None:
        raise rows.error(int(np.flatnonzero(code == bad)[0]), NONCE_COLUMN, NONCE_EXPECTED)
    other = code != code[first_row][user]
    if other.any():
        row = int(np.flatnonzero(other)[0])
        first = rows.line(int(first_row[user[row]]))
        raise rows.error(row, NONCE_COLUMN, f"one nonce in all rows of a user (as at row or line {first})")
    values = np.frombuffer(bytes.fromhex("".join(text or "00" * 32 for text in texts.to_pylist())), np.uint8)
    is_given = pc.not_equal(texts, "").to_numpy(zero_copy_only=False).astype(bool)
    return values.reshape(-1, 32)[code[first_row]], is_given[code[first_row]]


def _read_typed(path: Path) -> pa.Table:
    """A Parquet or Arrow IPC file, its columns checked to be the right strings."""
    if path.suffix not in SUFFIXES:
        raise InputError(file=path, got=f'the suffix "{path.suffix}"', expected=" or ".join(SUFFIXES))
    try:
        if path.suffix == ".parquet":
            table = pq.read_table(path)
        else:
            table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            file=path,
            got=str(error).splitlines()[0],
            expected=f"an Arrow or Parquet file, as {path.suffix} says",
        ) from None
    for name in (*COLUMNS, *table.column_names):
        if table.column_names.count(name) != 1 or name not in (*COLUMNS, *OPTIONAL):
            expected = f"exactly the columns {', '.join(COLUMNS)}, and perhaps {' and '.join(OPTIONAL)}"
            raise InputError(file=path, field=name, expected=expected)
        kind = table.schema.field(name).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if not pa.types.is_string(kind) and not pa.types.is_large_string(kind):
            raise InputError(file=path, field=name, got=str(kind), expected="a column of strings")
        if name not in OPTIONAL and table[name].null_count:
            row = _first_null(table[name]) + 1
            raise InputError(file=path, row=row, field=name, got="null", expected="a value")
    return table.cast(pa.schema([pa.field(name, pa.string()) for name in table.column_names]))


def _codes(encoded: pa.ChunkedArray) -> Int64:
    codes: Int64 = np.concatenate([chunk.indices.to_numpy() for chunk in encoded.chunks]).astype(np.int64)
    return codes


def _first_null(column: pa.ChunkedArray) -> int:
    return int(pc.index(pc.is_null(column), pa.scalar(True)).as_py())
