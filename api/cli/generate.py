"""`solvent generate`: files of made-up users, to try an import and a proof of any size."""

from __future__ import annotations

import csv
import io
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
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
BLOCK_USERS: Final = 50_000
"""Made and written at once: memory does not grow with the number of users."""
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
    assets = data_directory() / "binance" / ASSETS
    whole = whole_prices(read_binance_assets(assets))
    table = whole.instruments
    if kind is Format.TABLE:
        table = with_perpetuals(table, whole.value_decimals, UNDERLYINGS)
    chosen = None if invalid is None else accounts // 2
    over = chosen if invalid is Invalid.BUCKETS_ABOVE_EQUITY else None
    spoil = None if invalid is None or over is not None else (accounts // 2, Kind(invalid.value))
    users = _blocks(table, whole.value_decimals, accounts, seed, spoil)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as folder:
        new = Path(folder) / "new"
        new.mkdir()
        if kind is Format.BINANCE:
            shutil.copyfile(assets, new / "assets.csv")
            write_binance_users(table, users, new / "users.csv", over)
            words = f"--users {out}/users.csv --assets {out}/assets.csv"
        else:
            (new / "instruments.json").write_text(table_text(table, whole.value_decimals))
            write_table_users(table, users, new / "accounts.csv")
            words = f"--accounts {out}/accounts.csv --instruments {out}/instruments.json --exchange synthetic"
        new.rename(out)
    command = f"solvent import {kind.value} {words} --out SNAP"
    user = None if chosen is None else f"user{chosen:08d}"
    output.json({"verdict": "generated", "folder": str(out), "accounts": accounts, "invalid": user, "next": command})
    output.line(f"{accounts} made-up users in {out}" + (f", {user} of them invalid" if user else ""))
    output.line(f"Next: {command}")
    return ACCEPTED


def _blocks(
    table: tuple[Instrument, ...], value_decimals: int, accounts: int, seed: int, spoil: tuple[int, Kind] | None
) -> Iterator[tuple[int, Snapshot]]:
    """All users in blocks, each with the number of its first, and with a seed of its own (the first has `seed`)."""
    for start in range(0, accounts, BLOCK_USERS):
        size = min(BLOCK_USERS, accounts - start)
        block = synthetic_users(table, value_decimals, size, seed + (start << 64), first=start)
        if spoil is not None and start <= spoil[0] < start + size:
            block = spoiled(block, spoil[0] - start, spoil[1])
        yield start, block


def write_binance_users(
    table: Sequence[Instrument], users: Iterable[tuple[int, Snapshot]], path: Path, over: int | None = None
) -> None:
    """One row per user, all tokens of the table.

    Args:
        users: in blocks, each with the number of its first user.
        over: a user whose collateral is to be above their equity by one atom.
    """
    first = first_positions(table).tolist()
    prefixes = ("e_", "d_", "", *COLLATERAL_PREFIXES)
    header = [ROW_COLUMN, ID_COLUMN, *(prefix + i.symbol for i in table for prefix in prefixes), TOTAL_COLUMN]
    zeros = ["0"] * (len(prefixes) * len(table))
    with path.open("w", encoding="utf-8") as stream:
        stream.write(",".join(header) + "\n")
        for number, name, held in _accounts(users):
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
            stream.write(f"{number},{name},{','.join(cells)},0.0\n")


def write_table_users(table: Sequence[Instrument], users: Iterable[tuple[int, Snapshot]], path: Path) -> None:
    """One row per user and position, in our own format."""
    sides = position_sides(table)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("user_id", "asset", "side", "bucket", "amount"))
        for _, name, held in _accounts(users):
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


def _accounts(users: Iterable[tuple[int, Snapshot]]) -> Iterator[tuple[int, str, list[tuple[int, int, int]]]]:
    """Per account its number, its user, and its (instrument, position, amount)."""
    for start, snapshot in users:
        sides = position_sides(snapshot.meta.instruments)
        names: list[str] = snapshot.user_ids.to_pylist()
        for index, (name, (first, last)) in enumerate(zip(names, pairwise(snapshot.offsets.tolist()), strict=True)):
            pairs = zip(snapshot.positions[first:last].tolist(), snapshot.amounts[first:last].tolist(), strict=True)
            held = [(sides[position].instrument, position, amount) for position, amount in pairs]
            yield start + index, name, held
