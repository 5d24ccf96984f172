"""`solvent generate`: files of made-up users, to try an import and a proof of any size."""

from __future__ import annotations

import csv
import io
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from api.cli.demo import data_directory
from api.cli.output import ACCEPTED, Output
from api.importers import instruments as own_tables
from api.importers.binance import COLLATERAL_PREFIXES, ID_COLUMN, ROW_COLUMN, TOTAL_COLUMN
from api.importers.prices import read_binance_assets, whole_prices
from api.synthetic import Kind, spoiled, synthetic_users, with_perpetuals
from prover.errors import InputError
from prover.positions import first_positions, position_sides
from prover.snapshot import Snapshot
from verifier.instruments import Instrument, instruments_data
from verifier.statement import units

ASSETS: Final = "cex_assets_info_real483.csv"
UNDERLYINGS: Final = ("btc", "eth", "sol", "xrp", "doge")


class Format(StrEnum):
    """Whose files to write. Only our own table has perpetuals."""

    BINANCE = "binance"
    TABLE = "table"


class Invalid(StrEnum):
    """What is wrong with one of the users, if anything is to be."""

    MARGIN_DEFICIT = Kind.MARGIN_DEFICIT.value
    NEGATIVE_EQUITY = Kind.NEGATIVE_EQUITY.value
    BUCKETS_ABOVE_EQUITY = "buckets-above-equity"


def run_generate(out: Path, accounts: int, kind: Format, seed: int, invalid: Invalid | None, output: Output) -> int:
    """`solvent generate`; see there."""
    if out.exists() or out.is_symlink():
        raise InputError(file=out, got="something that exists", expected="a path that does not exist yet")
    if invalid is Invalid.BUCKETS_ABOVE_EQUITY and kind is Format.TABLE:
        expected = "--format binance with it: in a table, buckets make up what is held"
        raise InputError(field="--invalid", got=invalid.value, expected=expected)
    assets = data_directory() / ASSETS
    whole = whole_prices(read_binance_assets(assets))
    table = whole.instruments
    if kind is Format.TABLE:
        table = with_perpetuals(table, whole.value_decimals, UNDERLYINGS)
    snapshot = synthetic_users(table, whole.value_decimals, accounts, seed)
    chosen = accounts // 2
    if invalid is not None and invalid is not Invalid.BUCKETS_ABOVE_EQUITY:
        snapshot = spoiled(snapshot, chosen, Kind(invalid.value))
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as folder:
        new = Path(folder) / "new"
        new.mkdir()
        if kind is Format.BINANCE:
            over = chosen if invalid is Invalid.BUCKETS_ABOVE_EQUITY else None
            shutil.copyfile(assets, new / "assets.csv")
            write_binance_users(snapshot, new / "users.csv", over)
            words = f"--users {out}/users.csv --assets {out}/assets.csv"
        else:
            (new / "instruments.json").write_text(table_text(table, whole.value_decimals))
            write_table_users(snapshot, new / "accounts.csv")
            words = f"--accounts {out}/accounts.csv --instruments {out}/instruments.json --exchange synthetic"
        new.rename(out)
    command = f"solvent import {kind.value} {words} --out SNAP"
    user = None if invalid is None else snapshot.user_id(chosen)
    output.json({"verdict": "generated", "folder": str(out), "accounts": accounts, "invalid": user, "next": command})
    output.line(f"{accounts} made-up users in {out}" + (f", {user} of them invalid" if user else ""))
    output.line(f"Next: {command}")
    return ACCEPTED


def write_binance_users(snapshot: Snapshot, path: Path, over: int | None = None) -> None:
    """One row per user, all tokens of the table.

    Args:
        over: a user whose collateral is to be above their equity by one atom.
    """
    table = snapshot.meta.instruments
    first = first_positions(table).tolist()
    prefixes = ("e_", "d_", "", *COLLATERAL_PREFIXES)
    header = [ROW_COLUMN, ID_COLUMN, *(prefix + i.symbol for i in table for prefix in prefixes), TOTAL_COLUMN]
    zeros = ["0"] * (len(prefixes) * len(table))
    with path.open("w", encoding="utf-8") as stream:
        stream.write(",".join(header) + "\n")
        for number, held in enumerate(_accounts(snapshot)):
            cells, excess = zeros.copy(), int(number == over)
            for j in sorted({j for j, _, _ in held}):
                sides = [0] * (first[j + 1] - first[j])
                for _, position, amount in (each for each in held if each[0] == j):
                    sides[position - first[j]] = amount
                equity, debt = sum(sides[:-1]), sides[-1]
                if excess and equity:
                    sides[1], excess = sides[1] + sides[0] + 1, 0
                amounts = (equity, debt, equity - debt, *sides[1:-1])
                at = len(prefixes) * j
                cells[at : at + len(prefixes)] = [units(amount, table[j].decimals) for amount in amounts]
            stream.write(f"{number},{snapshot.user_id(number)},{','.join(cells)},0.0\n")


def write_table_users(snapshot: Snapshot, path: Path) -> None:
    """One row per user and position, in our own format."""
    table = snapshot.meta.instruments
    sides = position_sides(table)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("user_id", "asset", "side", "bucket", "amount"))
        for number, held in enumerate(_accounts(snapshot)):
            name = snapshot.user_id(number)
            for j, position, amount in held:
                side, bucket = sides[position].side, sides[position].bucket
                part = "" if bucket is None else table[j].buckets[bucket].name
                writer.writerow((name, table[j].symbol, side, part, units(amount, table[j].decimals)))
            if not held:
                writer.writerow((name, table[0].symbol, "short", "", "0"))


def table_text(instruments: Sequence[Instrument], value_decimals: int) -> str:
    """An instruments.json from which the import gets the same table again."""
    items: list[dict[str, Any]] = []
    for instrument, data in zip(instruments, instruments_data(instruments), strict=True):
        price = units(instrument.price * 10**instrument.decimals, value_decimals)
        items.append(data | {"price": price})
    text = io.StringIO()
    json.dump({"format": own_tables.FORMAT, "instruments": items}, text, indent=1)
    return text.getvalue() + "\n"


def _accounts(snapshot: Snapshot) -> Iterator[list[tuple[int, int, int]]]:
    """Per account its (instrument, position, amount)."""
    sides = position_sides(snapshot.meta.instruments)
    offsets = snapshot.offsets.tolist()
    for start, stop in pairwise(offsets):
        pairs = zip(snapshot.positions[start:stop].tolist(), snapshot.amounts[start:stop].tolist(), strict=True)
        yield [(sides[position].instrument, position, amount) for position, amount in pairs]
