"""Binance's account files: one row per user, six columns per token.

    rn,id,e_btc,d_btc,btc,vl_btc,m_btc,pm_btc, ... ,total_net_balance_usdt

`e_` (equity) becomes the long leg, `d_` (debt) the short leg. The net column is what a float printed and is
only checked to be a number. The collateral columns `vl_`, `m_`, `pm_` are checked as amounts, and will matter
once accounts carry health; this version proves equity. A row of zeros stays an account: its user can find it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from api.importers.accounts import Accounts, ImportOptions, Market, source_file
from api.importers.csv_files import CsvFile, open_csv
from api.importers.decimals import FLOAT_PATTERN, first_not_matching, parse_amounts
from api.importers.prices import BINANCE_DECIMALS, PriceFile, read_binance_assets, whole_prices
from prover.errors import InputError
from prover.snapshot import Snapshot

LONG_PREFIX: Final = "e_"
SHORT_PREFIX: Final = "d_"
COLLATERAL_PREFIXES: Final = ("vl_", "m_", "pm_")
ID_COLUMN: Final = "id"
ROW_COLUMN: Final = "rn"
TOTAL_COLUMN: Final = "total_net_balance_usdt"


@dataclass(frozen=True, slots=True)
class Layout:
    """What each column of a users file means. `legs`: leg by column, in the order of the legs."""

    legs: dict[str, int]
    collateral: tuple[str, ...]
    floats: tuple[str, ...]


def import_binance(users: Sequence[Path], assets: Path, options: ImportOptions) -> Snapshot:
    """Reads users files and their token file.

    Raises:
        InputError: the first thing that is off, with file, line and column.
    """
    prices = read_binance_assets(assets)
    value_decimals, instruments = whole_prices(prices, options.value_decimals, round_prices=options.round_prices)
    files = [open_csv(path, (ROW_COLUMN, ID_COLUMN)) for path in users]
    columns = frozenset(column for file in files for column in file.header)
    accounts = Accounts(ID_COLUMN, files[0].path)
    for file in files:
        layout = _layout(file, prices, columns)
        for line, batch in file.batches():
            _add(accounts, file.path, line, batch, layout)
    source = [source_file(file.path, file.sha256) for file in files] + [source_file(assets, prices.sha256)]
    return accounts.build(options, Market(value_decimals, instruments, prices.sha256), source)


def _layout(file: CsvFile, prices: PriceFile, all_columns: frozenset[str]) -> Layout:
    """Columns by meaning. A token of the price file may be absent, but from all users files (`all_columns`) alike."""
    legs: dict[str, int] = {}
    collateral: list[str] = []
    floats: list[str] = []
    required = [ROW_COLUMN, ID_COLUMN]
    for index, instrument in enumerate(prices.instruments):
        token = instrument.symbol
        net = f"{token} (net)" if token in {ROW_COLUMN, ID_COLUMN} else token
        columns = [LONG_PREFIX + token, SHORT_PREFIX + token, net, *(p + token for p in COLLATERAL_PREFIXES)]
        if all_columns.isdisjoint(columns):
            continue
        required.extend(columns)
        legs[columns[0]], legs[columns[1]] = 2 * index, 2 * index + 1
        floats.append(net)
        collateral.extend(columns[3:])
    for column in file.header:
        if column not in required and column != TOTAL_COLUMN:
            expected = f"a column of a token in {prices.path}"
            raise InputError(file=file.path, row=1, field=column, got=column, expected=expected)
    file.require(required, (TOTAL_COLUMN,))
    if TOTAL_COLUMN in file.header:
        floats.append(TOTAL_COLUMN)
    return Layout(legs, tuple(collateral), tuple(floats))


def _add(accounts: Accounts, file: Path, line: int, batch: pa.RecordBatch, layout: Layout) -> None:
    """One batch of users: a matrix (rows, legs) of atoms, of which the entries are what is not zero."""
    atoms = np.zeros((batch.num_rows, len(layout.legs)), np.uint64)
    problems: list[tuple[int, int, str, str]] = []  # (row, column, its name, expected): the least one is reported

    def note(index: int | None, column: str, expected: str) -> None:
        if index is not None:
            problems.append((index, batch.schema.get_field_index(column), column, expected))

    for position, column in enumerate(layout.legs):
        atoms[:, position], bad = parse_amounts(batch[column], BINANCE_DECIMALS)
        if bad is not None:
            note(bad[0], column, bad[1].expected)
    for column in layout.collateral:
        _, bad = parse_amounts(batch[column], BINANCE_DECIMALS)
        if bad is not None:
            note(bad[0], column, bad[1].expected)
    for column in layout.floats:
        note(first_not_matching(batch[column], FLOAT_PATTERN), column, "a number")
    note(first_not_matching(batch[ROW_COLUMN], "^[0-9]+$"), ROW_COLUMN, "a row number")
    if problems:
        row, _, column, expected = min(problems)
        got = batch[column][row].as_py()
        raise InputError(file=file, row=line + row, field=column, got=got, expected=expected)
    rows, columns = np.nonzero(atoms)
    leg_of_column = np.fromiter(layout.legs.values(), np.uint16, len(layout.legs))
    lines: npt.NDArray[np.uint32] = np.arange(line, line + batch.num_rows, dtype=np.uint32)
    counts = np.bincount(rows, minlength=batch.num_rows).astype(np.int64)
    accounts.add(file, batch[ID_COLUMN], lines, counts, leg_of_column[columns], atoms[rows, columns])
