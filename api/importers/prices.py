"""Prices become whole numbers: value units per atom, in one common value unit.

    coefficient = price * 10^(value decimals - instrument decimals)

The value unit is the coarsest in which every coefficient is whole, so that a price in the statement *is* the
price in the file. Where the file is finer than 2^54 allows, prices are rounded to the nearest coefficient, in the
open: the statement has the result, and the import says how many and by how much.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

from api.importers.csv_files import CsvFile, open_csv
from api.importers.decimals import BadNumber, parse_price
from prover.errors import InputError
from prover.snapshot_meta import is_symbol
from verifier.instruments import (
    BOUND_END,
    COST_BASIS,
    INSTRUMENTS_MAX,
    KINDS,
    PRICE_END,
    RATIO_ONE,
    TIERS_MAX,
    Bucket,
    Instrument,
    Tier,
)
from verifier.instruments import DECIMALS_MAX as VALUE_DECIMALS_MAX

BINANCE_DECIMALS: Final = 8
CHEAP_DECIMALS: Final = 2
"""Of Binance's tokens below a price of 0.001: with 8, 2^63 - 1 atoms would be less than 10^8 of the quote currency."""
CHEAP_PRICE_DECIMALS: Final = 3
BINANCE_BUCKETS: Final = ("free", "loan", "margin", "portfolio")
"""What of an equity is in none of the three kinds of collateral is free; the rest in the order of `BINANCE_HEADERS`."""
ROOM: Final = 2
"""A value unit chosen here leaves room for prices to grow this many times in a stress scenario."""
RATIO_DECIMALS: Final = 4
UNBOUNDED: Final = BOUND_END - 1
"""The bound that stands for none in Binance's tier tables."""
SYMBOL_EXPECTED: Final = "a symbol of 1 to 32 visible ASCII characters"
DECIMALS_MAX: Final = 18
"""Of an instrument: with more, 2^63 - 1 atoms are less than a tenth of a unit."""
BINANCE_HEADERS: Final = (
    ("symbol", "usdt_price", "loan_tiers_ratio", "margin_tiers_ratio", "portfolio_tiers_ratio"),
    (
        "token",
        "asset_usdt_price",
        "collateral_vip_loan_ratio_tiers",
        "collateral_margin_ratio_tiers",
        "collateral_portfolio_margin_ratio_tiers",
    ),
)

_TIERS = re.compile(r"(\[ *[0-9]+-[0-9]+:[0-9]+( *, *[0-9]+-[0-9]+:[0-9]+)* *\])?")
_TIER = re.compile(r"([0-9]+)-([0-9]+):([0-9]+)")
_DECIMALS = {str(decimals) for decimals in range(DECIMALS_MAX + 1)}


@dataclass(frozen=True, slots=True)
class PricedInstrument:
    """A row of a price file; the price is `mantissa / 10**price_decimals` quote per unit, read from `text`."""

    symbol: str
    kind: str
    decimals: int
    mantissa: int
    price_decimals: int
    text: str
    line: int
    buckets: tuple[Bucket, ...] = ()
    margin: tuple[Tier, ...] = ()


@dataclass(frozen=True, slots=True)
class PriceFile:
    """All rows of a price file, sorted by symbol. `price_column`: what its header calls the price."""

    path: Path
    sha256: str
    price_column: str
    instruments: tuple[PricedInstrument, ...]


@dataclass(frozen=True, slots=True)
class WholePrices:
    """Instruments with whole coefficients. `largest_error`: of the rounded prices, relative, that of `worst`."""

    value_decimals: int
    instruments: tuple[Instrument, ...]
    rounded: int
    largest_error: Fraction
    worst: str


def read_binance_assets(path: Path) -> PriceFile:
    """Binance's token file, either header; every token gets the buckets of `BINANCE_BUCKETS`."""
    file = open_csv(path)
    for columns in BINANCE_HEADERS:
        if columns[0] in file.header:
            break
    file.require(columns)
    return _read(file, symbol=columns[0], price=columns[1], tiers=columns[2:])


def read_instruments(path: Path) -> PriceFile:
    """Our own `symbol,kind,decimals,price`."""
    file = open_csv(path)
    file.require(("symbol", "kind", "decimals", "price"))
    return _read(file)


def read_okx_prices(path: Path) -> PriceFile:
    """`symbol,decimals,price`: OKX's files count atoms and name no prices."""
    file = open_csv(path)
    file.require(("symbol", "decimals", "price"))
    return _read(file)


def whole_prices(prices: PriceFile, value_decimals: int | None = None, *, exact: bool = False) -> WholePrices:
    """Prices in the coarsest value unit in which they and their haircuts are whole, if `ROOM` allows, or the finest.

    Args:
        value_decimals: overrides that choice.
        exact: refuse a price that would be rounded. Rounding is to the nearest coefficient, halves up.

    Raises:
        InputError: a price that is not whole, too large, or rounded away, naming the row.
    """
    chosen = _choose_decimals(prices, exact) if value_decimals is None else value_decimals
    instruments: list[Instrument] = []
    errors: list[tuple[Fraction, str]] = []
    for row in prices.instruments:
        price, error = _coefficient(row, chosen)
        if error and exact:
            raise _bad_price(prices, row, f"a price of {row.symbol} that is whole at {chosen} value decimals")
        if row.mantissa and not price:
            expected = f"a price of {row.symbol} that does not round to 0 at {chosen} value decimals"
            raise _bad_price(prices, row, expected)
        if price >= PRICE_END:
            expected = f"a price of {row.symbol} below 2^54 value units per atom, but at {chosen} value decimals it is "
            hint = "without --exact-prices" if exact and value_decimals is None else "fewer --value-decimals"
            raise _bad_price(prices, row, f"{expected}{price}{f': try {hint}' if chosen else ''}")
        if row.kind == COST_BASIS and (chosen < row.decimals or price != 10 ** (chosen - row.decimals)):
            expected = (
                f"1, and at most {chosen} decimals: a cost basis is money, one of it is one of the quote currency"
            )
            raise _bad_price(prices, row, expected)
        if error:
            errors.append((error, row.symbol))
        instruments.append(Instrument(row.symbol, row.kind, row.decimals, price, row.buckets, row.margin))
    largest, worst = max(errors, default=(Fraction(0), ""))
    return WholePrices(chosen, tuple(instruments), len(errors), largest, worst)


def _choose_decimals(prices: PriceFile, exact: bool) -> int:
    least = 0
    for row in prices.instruments:
        if row.mantissa:
            least = max(least, row.decimals + row.price_decimals)
        if exact and least > VALUE_DECIMALS_MAX:
            expected = f"at most {VALUE_DECIMALS_MAX} decimals in price and amount of {row.symbol} together"
            raise _bad_price(prices, row, expected)
    # Haircuts and margins per atom are rounded against the account: four more decimals, and basis points are exact.
    has_ratios = any(row.buckets or row.margin for row in prices.instruments)
    decimals = min(least + (RATIO_DECIMALS if has_ratios else 0), VALUE_DECIMALS_MAX)
    while decimals > (least if exact else 0) and any(
        ROOM * _coefficient(row, decimals)[0] >= PRICE_END for row in prices.instruments
    ):
        decimals -= 1
    return decimals


def _coefficient(row: PricedInstrument, value_decimals: int) -> tuple[int, Fraction]:
    """Value units per atom, halves rounded up, and the relative error of that."""
    shift = value_decimals - row.decimals - row.price_decimals
    if shift >= 0 or not row.mantissa:
        return row.mantissa * 10 ** max(shift, 0), Fraction(0)
    unit = 10**-shift
    price = (2 * row.mantissa + unit) // (2 * unit)
    return price, Fraction(abs(price * unit - row.mantissa), row.mantissa)


def _binance_decimals(mantissa: int, price_decimals: int) -> int:
    is_cheap = 0 < mantissa * 10**CHEAP_PRICE_DECIMALS < 10**price_decimals if price_decimals > 0 else False
    return CHEAP_DECIMALS if is_cheap else BINANCE_DECIMALS


def _tiers(text: str) -> tuple[Tier, ...]:
    """Percentages to basis points: `[0-1000:100,1000-2000:90]`.

    Raises:
        BadNumber: another form, a gap, ratios that rise, too many tiers.
    """
    if not _TIERS.fullmatch(text):
        raise BadNumber("tiers such as [0-1000:100,1000-2000:90], or nothing")
    tiers: list[Tier] = []
    below, last = 0, 100
    for start, stop, percent in (map(int, match.groups()) for match in _TIER.finditer(text)):
        if start != below or not start < stop <= UNBOUNDED:
            raise BadNumber(f"a tier from {below} on, up to a bound above it")
        if percent > last:
            raise BadNumber(f"ratios from 100 down, and {percent} is above {last}")
        tiers.append(Tier(None if stop == UNBOUNDED else stop, percent * RATIO_ONE // 100))
        below, last = stop, percent
    if len(tiers) > TIERS_MAX:
        raise BadNumber(f"at most {TIERS_MAX} tiers")
    return tuple(tiers)


def _read(file: CsvFile, symbol: str = "symbol", price: str = "price", tiers: Sequence[str] = ()) -> PriceFile:
    lines: dict[str, int] = {}
    found: list[PricedInstrument] = []

    def bad(line: int, field: str, got: str, expected: str) -> InputError:
        return InputError(file=file.path, row=line, field=field, got=got, expected=expected)

    for line, row in file.rows():
        name, kind = row[symbol], row.get("kind", KINDS[0])
        if not is_symbol(name):
            raise bad(line, symbol, name, SYMBOL_EXPECTED)
        if name.lower() in lines:
            raise bad(line, symbol, name, f"each symbol once, in one spelling (first on line {lines[name.lower()]})")
        if kind not in KINDS:
            raise bad(line, "kind", kind, " or ".join(KINDS))
        if row.get("decimals", "0") not in _DECIMALS:
            raise bad(line, "decimals", row["decimals"], f"a whole number from 0 to {DECIMALS_MAX}")
        column = price
        try:
            mantissa, price_decimals = parse_price(row[price])
            curves = []
            for column in tiers:
                curves.append(_tiers(row[column]))
        except BadNumber as error:
            raise bad(line, column, row[column], error.expected) from None
        decimals = int(row["decimals"]) if "decimals" in row else _binance_decimals(mantissa, price_decimals)
        buckets = tuple(map(Bucket, BINANCE_BUCKETS, [(), *curves])) if tiers else ()
        lines[name.lower()] = line
        found.append(PricedInstrument(name, kind, decimals, mantissa, price_decimals, row[price], line, buckets))
    if not 1 <= len(found) <= INSTRUMENTS_MAX:
        raise InputError(file=file.path, got=f"{len(found)} instruments", expected=f"1 to {INSTRUMENTS_MAX}")
    found.sort(key=lambda instrument: instrument.symbol)
    return PriceFile(file.path, file.sha256, price, tuple(found))


def _bad_price(prices: PriceFile, row: PricedInstrument, expected: str) -> InputError:
    return InputError(file=prices.path, row=row.line, field=prices.price_column, got=row.text, expected=expected)
