"""Depth of a real book over time: CSV, plain or gzip, with the columns timestamp, percentage, depth, notional.

`percentage` is how far from the price the row counts to, `notional` what rests there in all, in quote units. Only the
side of the asks is read and stands for both.
"""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from api.importers.bars import read_text
from exchange.population import Depth
from prover.errors import InputError

COLUMNS: Final = ("timestamp", "percentage", "depth", "notional")
PERCENTAGES: Final = ("1", "2", "3", "4", "5")


def read_depth(path: Path) -> Depth:
    """Depth within 1 to 5 % at each time of the file.

    Raises:
        InputError: naming file, row and field.
    """
    reader = csv.reader(io.StringIO(read_text(path, "a CSV file with the depth of a book"), newline=""), strict=True)
    found: dict[int, dict[str, float]] = {}
    try:
        header = next(reader, [])
        if tuple(header[:4]) != COLUMNS:
            expected = f"{', '.join(COLUMNS)} as the first columns"
            raise InputError(file=path, row=1, got=f"the columns {', '.join(header)[:60]}", expected=expected)
        for fields in reader:
            if len(fields) != len(header):
                got = f"{len(fields)} fields"
                raise InputError(file=path, row=reader.line_num, got=got, expected=f"{len(header)} fields")
            percentage = fields[1].removesuffix(".00").removesuffix(".0")
            if percentage in PERCENTAGES:
                time_ms = _time_ms(path, reader.line_num, fields[0])
                found.setdefault(time_ms, {})[percentage] = _notional(path, reader.line_num, fields[3])
    except csv.Error as error:
        raise InputError(file=path, row=reader.line_num, got=str(error), expected="CSV") from None
    whole = {time: rows for time, rows in sorted(found.items()) if len(rows) == len(PERCENTAGES)}
    if not whole:
        raise InputError(file=path, got="no time with all rows", expected="rows for 1, 2, 3, 4 and 5 percent")
    return Depth(tuple(whole), tuple(tuple(rows[name] for name in PERCENTAGES) for rows in whole.values()))


def _time_ms(path: Path, row: int, text: str) -> int:
    try:
        moment = datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        raise InputError(
            file=path, row=row, field="timestamp", got=text, expected="a time as 2025-10-10 21:15:00"
        ) from None
    return round(moment.timestamp()) * 1000


def _notional(path: Path, row: int, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 < number < 1e15:
        raise InputError(file=path, row=row, field="notional", got=text, expected="a number above 0")
    return number
