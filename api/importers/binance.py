"""Binance's account files: one row per user, six columns per token.

    rn,id,e_btc,d_btc,btc,vl_btc,m_btc,pm_btc, ... ,total_net_balance_usdt

`e_` (equity) is what the user holds, `d_` (debt) what they owe. Of the equity, `vl_`, `m_` and `pm_` are collateral for
loans, margin and portfolio margin, and what is left is free. The net column is what a float printed and is only checked
to be a number. A row of zeros stays an account: its user can find it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from api.importers.accounts import Accounts, ImportOptions, InvalidUser, Market, source_file
from api.importers.csv_files import CsvFile, open_csv
from api.importers.decimals import FLOAT_PATTERN, first_not_matching, parse_amounts
from api.importers.prices import (
    BINANCE_BUCKETS,
    BINANCE_DECIMALS,
    CHEAP_DECIMALS,
    CHEAP_PRICE_DECIMALS,
    PriceFile,
    read_binance_assets,
)
from prover.errors import InputError, quoted
from prover.positions import Flags, health_of, is_plain, risk_legs
from prover.snapshot import Snapshot
from verifier.legs import Leg
from verifier.statement import units

EQUITY_PREFIX: Final = "e_"
DEBT_PREFIX: Final = "d_"
COLLATERAL_PREFIXES: Final = ("vl_", "m_", "pm_")
PREFIXES: Final = (EQUITY_PREFIX, DEBT_PREFIX, *COLLATERAL_PREFIXES)
ID_COLUMN: Final = "id"
ROW_COLUMN: Final = "rn"
TOTAL_COLUMN: Final = "total_net_balance_usdt"

UInt64 = npt.NDArray[np.uint64]


class Invalid(StrEnum):
    """What to do about users whose account Binance's own tool would not count."""

    REFUSE = "refuse"
    DROP = "drop"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Layout:
    """What each column of a users file means. `tokens`: instrument number by token; `floats`: only looked at."""

    tokens: dict[str, int]
    floats: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Counting:
    """How rows become accounts. `legs`: the leg table, () where only equity counts."""

    market: Market
    legs: tuple[Leg, ...]
    invalid: Invalid
    dropped: list[InvalidUser]


def import_binance(
    users: Sequence[Path],
    assets: Path,
    options: ImportOptions,
    *,
    equity_only: bool = False,
    invalid: Invalid = Invalid.REFUSE,
) -> Snapshot:
    """Reads users files and their token file.

    Args:
        equity_only: no buckets; the collateral columns are only checked to be amounts.
        invalid: collateral above equity, or debts above haircut collateral: refuse the files, drop the users (into
            `options.log`), or keep those under water, for a proof that discloses what they lack.

    Raises:
        InputError: the first thing that is off, with file, line and column.
    """
    prices = read_binance_assets(assets)
    if equity_only:
        plain = tuple(replace(instrument, buckets=()) for instrument in prices.instruments)
        prices = replace(prices, instruments=plain)
    market = options.market(prices)
    legs = () if is_plain(market.instruments) else risk_legs(market.instruments, market.value_decimals)
    counting = Counting(market, legs, invalid, options.log.dropped)
    files = [open_csv(path, (ROW_COLUMN, ID_COLUMN)) for path in users]
    columns = frozenset(column for file in files for column in file.header)
    accounts = Accounts(ID_COLUMN, files[0].path)
    for file in files:
        layout = _layout(file, prices, columns)
        for line, batch in file.batches():
            _add(accounts, file.path, line, batch, layout, counting)
    source = [source_file(file.path, file.sha256) for file in files] + [source_file(assets, prices.sha256)]
    return accounts.build(options, market, source)


def _layout(file: CsvFile, prices: PriceFile, all_columns: frozenset[str]) -> Layout:
    """Columns by meaning. A token of the price file may be absent, but from all users files (`all_columns`) alike."""
    tokens: dict[str, int] = {}
    floats: list[str] = []
    required = [ROW_COLUMN, ID_COLUMN]
    for index, instrument in enumerate(prices.instruments):
        token = instrument.symbol
        net = f"{token} (net)" if token in {ROW_COLUMN, ID_COLUMN} else token
        columns = [*(prefix + token for prefix in PREFIXES), net]
        if all_columns.isdisjoint(columns):
            continue
        required.extend(columns)
        tokens[token] = index
        floats.append(net)
    known = {*required, TOTAL_COLUMN}
    for column in file.header:
        if column not in known:
            expected = f"a column of a token in {prices.path}"
            raise InputError(file=file.path, row=1, field=column, got=column, expected=expected)
    file.require(required, (TOTAL_COLUMN,))
    if TOTAL_COLUMN in file.header:
        floats.append(TOTAL_COLUMN)
    return Layout(tokens, tuple(floats))


def _add(accounts: Accounts, file: Path, line: int, batch: pa.RecordBatch, layout: Layout, counting: Counting) -> None:
    """One batch of users: a matrix (rows, positions) of atoms, of which the entries are what is not zero."""
    atoms, reasons = _matrix(file, line, batch, layout, counting)
    rows, columns = np.nonzero(atoms)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.bincount(rows, minlength=batch.num_rows))])
    positions, amounts = columns.astype(np.uint16), atoms[rows, columns]
    if counting.legs and counting.invalid is not Invalid.KEEP:
        health = health_of(offsets, positions, amounts, counting.legs)
        for row in np.flatnonzero(health.negative).tolist():
            lacking = units(-health.of(row), counting.market.value_decimals)
            reasons.setdefault(row, f"debts exceed haircut collateral by {lacking}")
    lines: npt.NDArray[np.uint32] = np.arange(line, line + batch.num_rows, dtype=np.uint32)
    keep = np.ones(batch.num_rows, bool)
    for row, reason in sorted(reasons.items()):
        user = InvalidUser(str(file), line + row, batch[ID_COLUMN][row].as_py(), reason)
        if counting.invalid is not Invalid.DROP:
            _refuse(user)
        counting.dropped.append(user)
        keep[row] = False
    entries = np.repeat(keep, np.diff(offsets))
    ids = batch[ID_COLUMN] if keep.all() else batch[ID_COLUMN].filter(pa.array(keep))
    accounts.add(file, ids, lines[keep], np.diff(offsets)[keep], positions[entries], amounts[entries])


def _refuse(user: InvalidUser) -> None:
    drops = "--invalid drop leaves such users out and lists them"
    if user.reason.startswith("debts"):
        drops += "; --invalid keep counts them, for --policy disclosed"
    got = f"user {quoted(user.user_id)}: {user.reason}"
    raise InputError(file=user.file, row=user.row, got=got, expected=f"an account that can be counted ({drops})")


def _matrix(
    file: Path, line: int, batch: pa.RecordBatch, layout: Layout, counting: Counting
) -> tuple[UInt64, dict[int, str]]:
    """Atoms by (row, position), and why a row is invalid on its own: collateral above equity."""
    sides = 2 if not counting.legs else len(BINANCE_BUCKETS) + 1
    instruments = counting.market.instruments
    atoms = np.zeros((batch.num_rows, sides * len(instruments)), np.uint64)
    problems: list[tuple[int, int, str, str]] = []  # (row, column, its name, expected): the least one is reported
    reasons: dict[int, str] = {}

    def note(index: int | None, column: str, expected: str) -> None:
        if index is not None:
            problems.append((index, batch.schema.get_field_index(column), column, expected))

    for token, index in layout.tokens.items():
        decimals = instruments[index].decimals
        amounts = []
        for prefix in PREFIXES:
            values, bad = parse_amounts(batch[prefix + token], decimals)
            amounts.append(values)
            if bad is not None:
                note(bad[0], prefix + token, bad[1].expected + _why(decimals))
        equity, debt, *collateral = amounts
        first = sides * index
        atoms[:, first], atoms[:, first + sides - 1] = equity, debt
        if counting.legs:
            free, is_over = _free(equity, collateral)
            atoms[:, first : first + sides - 1] = np.stack([free, *collateral], axis=1)
            for row in np.flatnonzero(is_over).tolist():
                above = units(sum(int(part[row]) for part in collateral), decimals)
                reasons.setdefault(row, f"{token}: collateral {above} above equity {units(int(equity[row]), decimals)}")
    for column in layout.floats:
        note(first_not_matching(batch[column], FLOAT_PATTERN), column, "a number")
    note(first_not_matching(batch[ROW_COLUMN], "^[0-9]+$"), ROW_COLUMN, "a row number")
    if problems:
        row, _, column, expected = min(problems)
        got = batch[column][row].as_py()
        raise InputError(file=file, row=line + row, field=column, got=got, expected=expected)
    return atoms, reasons


def _why(decimals: int) -> str:
    if decimals == BINANCE_DECIMALS:
        return ""
    return f" (tokens below a price of 1e-{CHEAP_PRICE_DECIMALS} have {CHEAP_DECIMALS})"


def _free(equity: UInt64, collateral: Sequence[UInt64]) -> tuple[UInt64, Flags]:
    """What of each equity is no collateral, and where collateral is more than the equity (free is 0 there)."""
    free = equity.copy()
    is_over = np.zeros(len(equity), bool)
    for part in collateral:
        is_over |= part > free
        free -= np.minimum(part, free)
    return free, is_over
