"""Price bars from CSV files, plain or gzip: a time column, then open, high, low, close; anything after is not read."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final

from exchange.simulate import PRICE_MAX, Bars
from prover.errors import InputError

TIME_COLUMNS: Final = {"open_time_ms": 1, "open_time_s": 1_000}
"""Name of the time column -> milliseconds of its unit."""
PRICE_COLUMNS: Final = ("open", "high", "low", "close")
DIGITS: Final = 6
"""A tick is 10^-6 of the power of ten below the first price: seven digits are kept, as venues do."""
MAGNITUDES: Final = range(-2, 7)
FILE_BYTES_MAX: Final = 1 << 28
_GZIP: Final = b"\x1f\x8b"
_SYMBOL: Final = re.compile(r"([A-Z0-9]{2,10}?)_?(?:USDT|USDC|USD)(?![A-Z])")


def read_markets(paths: Sequence[Path]) -> tuple[list[Bars], list[int]]:
    """Bars of each file at the times that all of them have, and those times in milliseconds.

    Raises:
        InputError: a file that is no such CSV, prices out of range, two files of one symbol, no common times.
    """
    files = [_read(path) for path in paths]
    times = sorted(set.intersection(*(set(rows) for _, rows in files)))
    if len(times) < 2:
        raise InputError(
            field="--market", got=", ".join(map(str, paths)), expected="files with two or more common times"
        )
    bars = [
        _bars(path, symbol, [rows[time] for time in times]) for path, (symbol, rows) in zip(paths, files, strict=True)
    ]
    symbols = [bar.symbol for bar in bars]
    if len(set(symbols)) != len(symbols):
        raise InputError(field="--market", got=", ".join(symbols), expected="another symbol in each file's name")
    return bars, times


def _read(path: Path) -> tuple[str, dict[int, tuple[Decimal, ...]]]:
    found = _SYMBOL.search(path.name)
    if found is None:
        raise InputError(file=path, got="no symbol in its name", expected="a name such as BTCUSDT_5m.csv.gz")
    reader = csv.reader(io.StringIO(read_text(path, "a CSV file with bars"), newline=""), strict=True)
    rows: dict[int, tuple[Decimal, ...]] = {}
    try:
        header = next(reader, [])
        if len(header) < 5 or header[0] not in TIME_COLUMNS or tuple(header[1:5]) != PRICE_COLUMNS:
            expected = f"{' or '.join(TIME_COLUMNS)}, {', '.join(PRICE_COLUMNS)} as the first columns"
            raise InputError(file=path, row=1, got=f"the columns {', '.join(header)[:60]}", expected=expected)
        last = -1
        for fields in reader:
            time, prices = _row(path, reader.line_num, header, fields)
            if time <= last:
                raise InputError(
                    file=path, row=reader.line_num, field=header[0], got=fields[0], expected="rising times"
                )
            rows[time], last = prices, time
    except csv.Error as error:
        raise InputError(file=path, row=reader.line_num, got=str(error), expected="CSV") from None
    return found[1], rows


def _row(path: Path, row: int, header: list[str], fields: list[str]) -> tuple[int, tuple[Decimal, ...]]:
    if len(fields) != len(header):
        raise InputError(file=path, row=row, got=f"{len(fields)} fields", expected=f"{len(header)} fields")
    text = fields[0]
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise InputError(file=path, row=row, field=header[0], got=text, expected="a whole number")
    prices = []
    for name, text in zip(PRICE_COLUMNS, fields[1:5], strict=True):
        try:
            price = Decimal(text)
        except InvalidOperation:
            price = Decimal(0)
        if not (price.is_finite() and price > 0 and text.strip() == text and len(text) <= 40):
            raise InputError(file=path, row=row, field=name, got=text, expected="a price above 0")
        prices.append(price)
    first, high, low, close = prices
    if not low <= min(first, close) <= max(first, close) <= high:
        raise InputError(file=path, row=row, field="high", got=fields[2], expected="low <= open, close <= high")
    return int(fields[0]) * TIME_COLUMNS[header[0]], tuple(prices)


def _bars(path: Path, symbol: str, rows: Sequence[tuple[Decimal, ...]]) -> Bars:
    magnitude = rows[0][0].adjusted()
    if magnitude not in MAGNITUDES:
        raise InputError(file=path, field="open", got=str(rows[0][0]), expected="a first price of 0.01 to 10,000,000")
    decimals = DIGITS - magnitude
    ticks = [tuple(int(price.scaleb(decimals)) for price in row) for row in rows]
    if min(map(min, ticks)) < 1 or max(map(max, ticks)) > PRICE_MAX // 2:
        raise InputError(
            file=path, field="high", got="prices too far from the first", expected="up to 5 times the first"
        )
    opens, highs, lows, closes = zip(*ticks, strict=True)
    return Bars(symbol, decimals, magnitude, opens, highs, lows, closes)


def read_text(path: Path, what: str) -> str:
    """The text of a file, unpacked if it is gzip. Raises InputError: no such file, damaged, too large, not UTF-8."""
    if not path.is_file():
        raise InputError(file=path, got="no such file", expected=what)
    with path.open("rb") as raw:
        is_packed = raw.read(2) == _GZIP
    try:
        with gzip.open(path, "rb") if is_packed else path.open("rb") as data:
            content = data.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise InputError(file=path, got="too many bytes", expected=f"at most {FILE_BYTES_MAX}")
        return content.decode("utf-8-sig")
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise InputError(file=path, got="a damaged gzip file", expected="a whole one") from None
    except UnicodeDecodeError:
        raise InputError(file=path, got="other bytes", expected="UTF-8") from None
