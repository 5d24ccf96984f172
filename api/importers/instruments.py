"""Our own instrument tables: a CSV without collateral rules, or JSON with buckets, haircut tiers and margins."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from api.importers.csv_files import BOM, sha256_of_file
from api.importers.decimals import BadNumber, parse_price
from api.importers.prices import DECIMALS_MAX, PricedInstrument, PriceFile, read_instruments
from prover.errors import InputError
from verifier import instruments as tables
from verifier.canonical import Record, is_deep
from verifier.errors import VerificationError
from verifier.instruments import INSTRUMENTS_MAX, KINDS, RATIO_ONE, SPOT, Bucket, Tier

FORMAT: Final = "solvent/instruments/v1"
REQUIRED: Final = ("symbol", "kind", "decimals", "price")
OPTIONAL: Final = ("buckets", "margin")
WHOLE: Final = Bucket("all", (Tier(None, RATIO_ONE),))
"""What a spot instrument without buckets gets beside instruments with collateral rules: all of it counts in full."""


def read_instrument_table(path: Path) -> PriceFile:
    """`.csv` or `.json`, by suffix.

    Raises:
        InputError: naming the row, or in JSON the path of the field.
    """
    prices = _read_json(path) if path.suffix == ".json" else read_instruments(path)
    if not any(i.kind != SPOT or i.buckets or i.margin for i in prices.instruments):
        return prices
    filled = (
        replace(i, buckets=(WHOLE,)) if i.kind == SPOT and not i.buckets else i  # every atom is in some bucket
        for i in prices.instruments
    )
    return replace(prices, instruments=tuple(filled))


def _read_json(path: Path) -> PriceFile:
    digest = sha256_of_file(path)
    document = load_json(path)
    if not isinstance(document, dict) or document.keys() != {"format", "instruments"}:
        raise InputError(file=path, got="something else", expected='an object with "format" and "instruments"')
    if document["format"] != FORMAT:
        raise InputError(file=path, field="format", got=str(document["format"]), expected=FORMAT)
    items = document["instruments"]
    if not isinstance(items, list) or not 1 <= len(items) <= INSTRUMENTS_MAX:
        raise InputError(file=path, field="instruments", expected=f"a list of 1 to {INSTRUMENTS_MAX} objects")
    found: dict[str, PricedInstrument] = {}
    for number, item in enumerate(items):
        instrument = _instrument(path, number, item)
        name = instrument.symbol.lower()
        if name in found:
            expected = f"each symbol once, in one spelling (first in instruments[{found[name].line - 1}])"
            raise InputError(file=path, field=f"instruments[{number}].symbol", got=instrument.symbol, expected=expected)
        found[name] = instrument
    ordered = tuple(sorted(found.values(), key=lambda instrument: instrument.symbol))
    return PriceFile(path, digest, "price", ordered)


def _instrument(path: Path, number: int, item: object) -> PricedInstrument:
    """One object of the list; `line` of the result counts from 1."""
    place = f"instruments[{number}]"
    if not isinstance(item, dict) or not set(REQUIRED) <= item.keys() <= {*REQUIRED, *OPTIONAL}:
        expected = f"an object with {', '.join(REQUIRED)}, and perhaps {' and '.join(OPTIONAL)}"
        raise InputError(file=path, field=place, expected=expected)
    text = item["price"]
    try:
        if not isinstance(text, str):
            raise BadNumber("a decimal number as a string")
        mantissa, price_decimals = parse_price(text)
    except BadNumber as error:
        got = text if isinstance(text, str) else json.dumps(text)
        raise InputError(file=path, field=f"{place}.price", got=got, expected=error.expected) from None
    # The verifier's own reader judges the rest. It knows prices as coefficients, and ours come later: 1 stands for any.
    full: dict[str, Any] = {"buckets": [], "margin": []} | item | {"price": "1"}
    is_whole = full["kind"] == SPOT and not full["buckets"]
    if is_whole:
        full["buckets"] = [{"name": WHOLE.name, "tiers": []}]
    decimals = full["decimals"] if isinstance(full["decimals"], int) else 0
    try:
        top = Record({"instruments": [full]}, "table", ("instruments",))
        (read,) = tables.read_instruments(top, "a table", KINDS, True, decimals)
    except VerificationError as error:
        field = str(error.where.get("field", place)).replace("table.instruments[0]", place)
        expected = str(error.where.get("expected", error))
        seen = str(error.where["got"]).strip("'") if "got" in error.where else None
        raise InputError(file=path, field=field, got=seen, expected=expected) from None
    if read.decimals > DECIMALS_MAX:
        expected = f"a whole number from 0 to {DECIMALS_MAX}"
        raise InputError(file=path, field=f"{place}.decimals", got=str(read.decimals), expected=expected)
    buckets = () if is_whole else read.buckets
    return PricedInstrument(
        read.symbol, read.kind, read.decimals, mantissa, price_decimals, text, number + 1, buckets, read.margin
    )


def load_json(path: Path) -> Any:
    """A JSON file whose numbers are whole and whose keys appear once.

    Raises:
        InputError: it is not, with the line.
    """
    try:
        text = path.read_bytes().removeprefix(BOM).decode("utf-8")
    except OSError as error:
        raise InputError(file=path, got=error.strerror or str(error), expected="a file that can be read") from None
    except UnicodeDecodeError as error:
        raise InputError(file=path, got=f"the byte 0x{error.object[error.start]:02x}", expected="UTF-8") from None
    if is_deep(text):
        raise InputError(file=path, got="brackets within brackets", expected="JSON that does not nest as deeply")
    try:
        return json.loads(text, object_pairs_hook=unique_keys, parse_float=_no_float, parse_constant=_no_float)
    except json.JSONDecodeError as error:
        raise InputError(file=path, row=error.lineno, got=error.msg, expected="JSON") from None
    except ValueError as error:
        raise InputError(file=path, got=str(error), expected="JSON with whole numbers and each key once") from None


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, refused if a key is there twice."""
    body = dict(pairs)
    if len(body) != len(pairs):
        count = Counter(key for key, _ in pairs)
        raise ValueError(f"the key {next(key for key in body if count[key] > 1)!r} twice")
    return body


def _no_float(text: str) -> None:
    raise ValueError(f"the number {text}")
