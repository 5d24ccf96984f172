"""Prices become whole numbers: value units per atom, in one common value unit.

    coefficient = price * 10^(value decimals - instrument decimals)

The value unit is the coarsest in which every coefficient is whole, so that a price in the statement *is* the
price in the file. Where the file is finer than 2^54 allows, rounding is possible, but only on demand and in
the open.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from api.importers.csv_files import CsvFile, open_csv
from api.importers.decimals import BadNumber, parse_price
from prover.errors import InputError
from prover.snapshot_meta import is_symbol
from verifier.statement import DECIMALS_MAX as VALUE_DECIMALS_MAX
from verifier.statement import INSTRUMENTS_MAX, KINDS, PRICE_END, Instrument

BINANCE_DECIMALS: Final = 8
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


@dataclass(frozen=True, slots=True)
class PriceFile:
    """All rows of a price file, sorted by symbol. `price_column`: what its header calls the price."""

    path: Path
    sha256: str
    price_column: str
    instruments: tuple[PricedInstrument, ...]


def read_binance_assets(path: Path) -> PriceFile:
    """Binance's token file, either header. The tier columns are checked for form only."""
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


def whole_prices(
    prices: PriceFile, value_decimals: int | None, *, round_prices: bool
) -> tuple[int, tuple[Instrument, ...]]:
    """The value decimals and the instruments with whole coefficients below 2^54.

    Args:
        value_decimals: None = the fewest at which every price is whole; with `round_prices` the most that
            fit.
        round_prices: to the nearest coefficient, halves up; never down to zero.

    Raises:
        InputError: a price that is not whole, too large, or rounded away, naming the row.
    """
    if value_decimals is None:
        value_decimals = _exact_decimals(prices)
        while (
            round_prices
            and value_decimals
            and any(_coefficient(row, value_decimals)[0] >= PRICE_END for row in prices.instruments)
        ):
            value_decimals -= 1
    instruments = []
    for row in prices.instruments:
        price, is_whole = _coefficient(row, value_decimals)
        if not is_whole and not round_prices:
            expected = f"a price of {row.symbol} that is whole at {value_decimals} value decimals, or --round-prices"
            raise _bad_price(prices, row, expected)
        if row.mantissa and not price:
            raise _bad_price(prices, row, f"a price of {row.symbol} that does not round to 0")
        if price >= PRICE_END:
            expected = (
                f"a price of {row.symbol} below 2^54 value units per atom, but at {value_decimals} value "
                f"decimals it is {price}: try --round-prices, or fewer --value-decimals"
            )
            raise _bad_price(prices, row, expected)
        instruments.append(Instrument(row.symbol, row.kind, row.decimals, price))
    return value_decimals, tuple(instruments)


def _exact_decimals(prices: PriceFile) -> int:
    """The fewest value decimals at which every coefficient is whole."""
    decimals = 0
    for row in prices.instruments:
        if row.mantissa:
            decimals = max(decimals, row.decimals + row.price_decimals)
        if decimals > VALUE_DECIMALS_MAX:
            expected = f"at most {VALUE_DECIMALS_MAX} decimals in price and amount of {row.symbol} together"
            raise _bad_price(prices, row, expected)
    return decimals


def _coefficient(row: PricedInstrument, value_decimals: int) -> tuple[int, bool]:
    """Value units per atom, halves rounded up, and whether nothing was rounded."""
    shift = value_decimals - row.decimals - row.price_decimals
    if shift >= 0:
        return row.mantissa * 10**shift, True
    unit = 10**-shift
    return (2 * row.mantissa + unit) // (2 * unit), row.mantissa % unit == 0


def _read(file: CsvFile, symbol: str = "symbol", price: str = "price", tiers: Sequence[str] = ()) -> PriceFile:
    lines: dict[str, int] = {}
    found: list[PricedInstrument] = []

    def bad(line: int, field: str, got: str, expected: str) -> InputError:
        return InputError(file=file.path, row=line, field=field, got=got, expected=expected)

    for line, row in file.rows():
        name, kind = row[symbol], row.get("kind", KINDS[0])
        if not is_symbol(name):
            raise bad(line, symbol, name, SYMBOL_EXPECTED)
        if name in lines:
            raise bad(line, symbol, name, f"each symbol once (first on line {lines[name]})")
        if kind not in KINDS:
            raise bad(line, "kind", kind, " or ".join(KINDS))
        digits = row.get("decimals", str(BINANCE_DECIMALS))
        if digits not in _DECIMALS:
            raise bad(line, "decimals", digits, f"a whole number from 0 to {DECIMALS_MAX}")
        for column in tiers:
            if not _TIERS.fullmatch(row[column]):
                raise bad(line, column, row[column], "tiers such as [0-1000:100,1000-2000:90], or nothing")
        try:
            mantissa, price_decimals = parse_price(row[price])
        except BadNumber as error:
            raise bad(line, price, row[price], error.expected) from None
        lines[name] = line
        found.append(PricedInstrument(name, kind, int(digits), mantissa, price_decimals, row[price], line))
    if not 1 <= len(found) <= INSTRUMENTS_MAX:
        raise InputError(file=file.path, got=f"{len(found)} instruments", expected=f"1 to {INSTRUMENTS_MAX}")
    found.sort(key=lambda instrument: instrument.symbol)
    return PriceFile(file.path, file.sha256, price, tuple(found))


def _bad_price(prices: PriceFile, row: PricedInstrument, expected: str) -> InputError:
    return InputError(file=prices.path, row=row.line, field=prices.price_column, got=row.text, expected=expected)
