"""Signed quotes: one document of one source's prices at one moment, and who the sources are.

docs/prices.md. A document names no exchange and no proof: a source signs one for everybody.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from verifier.canonical import Record, dumps, read_document, refuse
from verifier.ed25519 import KEY_BYTES, SIGNATURE_BYTES, is_key, is_valid
from verifier.errors import Reason
from verifier.instruments import SYMBOL_CHARACTERS_MAX
from verifier.statement import read_time

SIGNED_QUOTES_FORMAT = "solvent/signed-quotes/v1"
QUOTES_FORMAT = "solvent/quotes/v1"
SIGNING_DOMAIN = b"solvent/quotes-signature/v1\0"
"""A source signs this and then the canonical bytes of its quotes."""
SIGNED_QUOTES_BYTES_MAX = 2 * 2**20
SOURCES_BYTES_MAX = 2**16
SOURCES_MIN, SOURCES_MAX = 3, 32
"""A median of fewer than three is one source's word."""
QUOTES_MAX, WEIGHT_MAX = 2**14, 10_000
SOURCE_CHARACTERS_MAX = 64
PRICE_DECIMALS, PRICE_DIGITS_MAX = 30, 48
"""Digits of a quote behind and before the point: enough for every price that a statement can hold. Prices are counted
in 10^-30 of the quote currency."""
SIGNED_KEYS = ("quotes", "public_key", "signature")

_PRICE = re.compile(rf"(0|[1-9][0-9]{{0,{PRICE_DIGITS_MAX - 1}}})(?:\.([0-9]{{0,{PRICE_DECIMALS - 1}}}[1-9]))?")
_SOURCE = re.compile(r"([!-~]+) ([0-9a-f]{64})(?: ([1-9][0-9]{0,4}))?")


@dataclass(frozen=True)
class Source:
    """Who may quote prices: a public key of 32 bytes, and a weight from 1 to `WEIGHT_MAX`."""

    key: bytes
    weight: int = 1


@dataclass(frozen=True)
class SignedQuotes:
    """One source's quotes, whose signature is good.

    Args:
        prices: in 10^-30 of `quote` by lower-case symbol, above zero.
        document: the JSON object that was signed.
    """

    source: str
    quote: str
    time: str
    prices: Mapping[str, int]
    document: Mapping[str, Any]
    key: bytes
    signature: bytes

    @property
    def data(self) -> dict[str, Any]:
        """The JSON form, as evidence holds it (there with a weight) and a file of its own (there with a format)."""
        return {"quotes": self.document, "public_key": self.key.hex(), "signature": self.signature.hex()}

    def to_bytes(self) -> bytes:
        """The source's own file."""
        return dumps(self.data | {"format": SIGNED_QUOTES_FORMAT})


def make_document(source: str, quote: str, time: str, prices: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """What a source signs: (symbol, price) sorted by symbol without regard to case. Nothing is checked here."""
    rows = [{"symbol": symbol, "price": price} for symbol, price in prices]
    return {"format": QUOTES_FORMAT, "source": source, "quote": quote, "time": time, "prices": rows}


def signing_bytes(document: Mapping[str, Any]) -> bytes:
    """The bytes under a source's signature."""
    return SIGNING_DOMAIN + dumps(document)


def parse_signed_quotes(data: bytes) -> SignedQuotes:
    """Read the file of one source.

    Raises:
        MalformedProof: encoding, keys, types, order, or a price that is none.
        BadPrices: SIGNATURE.
    """
    return read_signed(read_document(data, SIGNED_QUOTES_BYTES_MAX, "quotes", SIGNED_QUOTES_FORMAT, SIGNED_KEYS))


def read_signed(item: Record) -> SignedQuotes:
    """The fields `SIGNED_KEYS` of a source's file, or of evidence. Raises as `parse_signed_quotes`."""
    fields = item.record("quotes", ("format", "source", "quote", "time", "prices"))
    fields.choice("format", (QUOTES_FORMAT,), Reason.UNKNOWN_VERSION)
    source = fields.symbol("source", SOURCE_CHARACTERS_MAX)
    quote, time = fields.symbol("quote", SYMBOL_CHARACTERS_MAX), read_time(fields)
    rows: list[tuple[str, str]] = []
    prices: dict[str, int] = {}
    last = ""
    for row in fields.records("prices", ("symbol", "price"), QUOTES_MAX):
        symbol, text = (
            row.symbol("symbol", SYMBOL_CHARACTERS_MAX),
            row.text("price", PRICE_DIGITS_MAX + 1 + PRICE_DECIMALS),
        )
        # Symbols are ASCII; a source and an exchange may write one in different case, a source only once.
        if symbol.lower() <= last:
            refuse(row.where("symbol"), "symbols sorted without regard to case, each once", symbol)
        last = symbol.lower()
        price = price_of(text)
        if price is None:
            refuse(row.where("price"), "a plain decimal number above zero without superfluous zeros", text)
        prices[last] = price
        rows.append((symbol, text))
    document = make_document(source, quote, time, rows)
    key, signature = item.raw("public_key", KEY_BYTES), item.raw("signature", SIGNATURE_BYTES)
    if not is_valid(key, signing_bytes(document), signature):
        refuse(item.where("signature"), f"that of {source} under its public key", "another", Reason.SIGNATURE)
    return SignedQuotes(source, quote, time, prices, document, key, signature)


def price_of(text: str) -> int | None:
    """A quote in 10^-30; None for what is not a plain decimal number above zero without superfluous zeros."""
    match = _PRICE.fullmatch(text)
    return int(match[1] + (match[2] or "").ljust(PRICE_DECIMALS, "0")) or None if match else None


def read_sources(data: bytes) -> dict[str, Source]:
    """Read a file of trusted sources: `name public-key [weight]` per line, one blank between; `#` starts a comment.

    Names are visible ASCII, keys 64 lower-case hex digits, weights from 1 to 10,000, 1 where none is given.

    Raises:
        BadPrices: PRICE_SOURCES, naming the line or the source.
    """
    if len(data) > SOURCES_BYTES_MAX or not data.isascii():
        expected = f"at most {SOURCES_BYTES_MAX} bytes of ASCII text"
        refuse("sources", expected, f"{len(data)} bytes", Reason.PRICE_SOURCES)
    out: dict[str, Source] = {}
    for number, line in enumerate(data.decode("ascii").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        where, match = f"sources line {number}", _SOURCE.fullmatch(line)
        if not match or len(match[1]) > SOURCE_CHARACTERS_MAX:
            refuse(where, "name, 64 lower-case hex digits, and a weight if any", line, Reason.PRICE_SOURCES)
        if match[1] in out:
            refuse(where, "each name once", match[1], Reason.PRICE_SOURCES)
        out[match[1]] = Source(bytes.fromhex(match[2]), int(match[3] or 1))
    check_sources(out, "sources")
    return out


def check_sources(sources: Mapping[str, Source], where: str) -> None:
    """Refuse a set of sources in which a median means little.

    Raises:
        BadPrices: PRICE_SOURCES: fewer than three or too many, a key that is none or that two share, a weight out of
            range, or one source with half of all weight.
    """
    if not SOURCES_MIN <= len(sources) <= SOURCES_MAX:
        refuse(where, f"{SOURCES_MIN} to {SOURCES_MAX} sources", len(sources), Reason.PRICE_SOURCES)
    owners: dict[bytes, str] = {}
    total = sum(source.weight for source in sources.values())
    for name, source in sources.items():
        if not is_key(source.key):
            refuse(f"{where}, key of {name}", "an Ed25519 public key", source.key.hex(), Reason.PRICE_SOURCES)
        if owners.setdefault(source.key, name) != name:
            refuse(f"{where}, key of {name}", "one of its own", f"that of {owners[source.key]}", Reason.PRICE_SOURCES)
        if not 1 <= source.weight <= WEIGHT_MAX or 2 * source.weight >= total:
            expected = f"from 1 to {WEIGHT_MAX} and less than half of all weight, {total}"
            refuse(f"{where}, weight of {name}", expected, source.weight, Reason.PRICE_SOURCES)
