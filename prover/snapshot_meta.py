"""What a snapshot says about itself: `snapshot.json`, read as strictly as a statement."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from prover.errors import InputError
from verifier.canonical import Record, dumps, read_document, refuse
from verifier.errors import VerificationError
from verifier.instruments import (
    BUCKETS_MAX,
    DECIMALS_MAX,
    INSTRUMENTS_MAX,
    KINDS,
    SPOT,
    SYMBOL_CHARACTERS_MAX,
    Instrument,
    instruments_data,
    read_instruments,
)
from verifier.statement import EXCHANGE_CHARACTERS_MAX, read_time

FORMAT: Final = "solvent/snapshot/v1"
META_BYTES_MAX: Final = 8 << 20
COUNT_MAX: Final = 1 << 40
FILE_NAME_CHARACTERS_MAX: Final = 255
SOURCES_MAX: Final = 10_000
ZERO_DIGEST: Final = "00" * 32

_DIGESTS: Final = ("ledger_state", "ledger_salt", "previous", "oracle_evidence")
_KEYS: Final = (
    "exchange",
    "sequence",
    "time",
    "value",
    "instruments",
    "accounts",
    "entries",
    "source",
    *_DIGESTS,
)
_INSTRUMENT_KEYS: Final = ("symbol", "kind", "decimals", "price", "buckets", "margin")
_OPTIONS: Final[Mapping[str, str]] = {"value.decimals": "value-decimals", "value.quote": "quote"}
_SYMBOL = re.compile(rf"[!-~]{{1,{SYMBOL_CHARACTERS_MAX}}}")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that a snapshot was made from; `sha256` in hex."""

    file: str
    sha256: str


@dataclass(frozen=True, slots=True)
class SnapshotMeta:
    """Everything about a snapshot but its accounts.

    Digests are 64 lowercase hex digits; `ledger_salt` is zeros where `ledger_state` came from outside and cannot
    be recomputed. A value unit is `10**-value_decimals` of `quote`. Instruments are sorted by symbol.
    """

    exchange: str
    sequence: int
    time: str
    ledger_state: str
    ledger_salt: str
    previous: str
    oracle_evidence: str
    quote: str
    value_decimals: int
    instruments: tuple[Instrument, ...]
    accounts: int
    entries: int
    source: tuple[SourceFile, ...]

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        digests = {name: getattr(self, name) for name in _DIGESTS}
        return dumps(
            digests
            | {
                "format": FORMAT,
                "exchange": self.exchange,
                "sequence": self.sequence,
                "time": self.time,
                "value": {"quote": self.quote, "decimals": self.value_decimals},
                "instruments": instruments_data(self.instruments),
                "accounts": self.accounts,
                "entries": self.entries,
                "source": [{"file": s.file, "sha256": s.sha256} for s in self.source],
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes, file: str) -> SnapshotMeta:
        """Parses and checks every field; `from_bytes(x).to_bytes()` is x.

        Raises:
            InputError: anything off, naming `file` and the field.
        """
        try:
            return cls._read(data)
        except VerificationError as error:
            raise InputError(file=file, got=str(error), expected="a snapshot.json as docs/formats.md says") from None

    def check_options(self) -> None:
        """The same check for fields that came from the command line.

        Raises:
            InputError: naming the option.
        """
        try:
            self._read(self.to_bytes())
        except VerificationError as error:
            path = str(error.where.get("field", "")).removeprefix("snapshot.")
            option = _OPTIONS.get(path, path.replace("_", "-"))
            expected, got = error.where.get("expected"), error.where.get("got")
            if expected is None or got is None:
                raise InputError(got=str(error), expected="options as docs/formats.md says") from None
            raise InputError(field=f"--{option}", got=str(got).strip("'"), expected=str(expected)) from None

    @classmethod
    def _read(cls, data: bytes) -> SnapshotMeta:
        top = read_document(data, META_BYTES_MAX, "snapshot", FORMAT, _KEYS)
        value = top.record("value", ("quote", "decimals"))
        value_decimals = value.integer("decimals", 0, DECIMALS_MAX)
        instruments = read_instruments(top, "a snapshot", KINDS, _has_margins(top), value_decimals)
        if any(a.symbol >= b.symbol for a, b in pairwise(instruments)):
            refuse(
                top.where("instruments"),
                "symbols in strictly increasing order",
                f"{len(instruments)} symbols",
            )
        digests = {name: top.raw(name, 32).hex() for name in _DIGESTS}
        return cls(
            exchange=top.text("exchange", EXCHANGE_CHARACTERS_MAX),
            sequence=top.integer("sequence", 0, 2**53 - 1),
            time=read_time(top),
            quote=value.symbol("quote", SYMBOL_CHARACTERS_MAX),
            value_decimals=value_decimals,
            instruments=instruments,
            accounts=top.integer("accounts", 0, COUNT_MAX),
            entries=top.integer("entries", 0, COUNT_MAX),
            source=tuple(_source(item) for item in top.records("source", ("file", "sha256"), SOURCES_MAX)),
            **digests,
        )


def is_symbol(text: str) -> bool:
    """Whether `text` can name an instrument: 1 to 32 visible ASCII characters."""
    return _SYMBOL.fullmatch(text) is not None


def _has_margins(top: Record) -> bool:
    """Whether the table is for a circuit that proves margins: then every spot instrument needs its buckets."""
    items = top.records("instruments", _INSTRUMENT_KEYS, INSTRUMENTS_MAX)
    empty = ("name", "tiers")
    return any(item.choice("kind", KINDS) != SPOT or item.records("buckets", empty, BUCKETS_MAX) for item in items)


def _source(item: Record) -> SourceFile:
    return SourceFile(item.text("file", FILE_NAME_CHARACTERS_MAX), item.raw("sha256", 32).hex())
