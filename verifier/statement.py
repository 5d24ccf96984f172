"""The published statement: what a proof is about, in one canonical file that the transcript absorbs first.

Parsing is the only way from bytes to a `Statement`; it enforces every rule that needs nothing but the statement:
ranges, the tables, the capacity policy, and the public arithmetic between the outputs.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from verifier import solvency
from verifier.canonical import SAFE_INTEGER_END, Record, dumps, read_document, refuse
from verifier.errors import Reason
from verifier.instruments import (
    BUCKETS_MAX,
    DECIMALS_MAX,
    INSTRUMENTS_MAX,
    SYMBOL_CHARACTERS_MAX,
    Instrument,
    Scenario,
    instruments_data,
    read_instruments,
    read_scenarios,
    scenarios_data,
)
from verifier.legs import Leg, derive_legs
from verifier.tree import VALUE_BITS

FORMAT = "solvent/statement/v1"
HEADER_FORMAT = "solvent/header/v1"
PROTOCOL = "solvent/1"
CAPACITY_POLICY = "capacity/v1"
STATEMENT_BYTES_MAX = 8 * 2**20
EXCHANGE_CHARACTERS_MAX = 128
LOG2_ROWS_MIN, LOG2_ROWS_MAX = 17, 21
"""The tables of 2^16 rows need 2^17; coefficients of the totals stay below p up to 2^21 (02b section D)."""
SHARDS_MAX = 1 << 16
SHORTFALL_END = 1 << 176
"""No sum of price * total reaches it: 2^54 * 2^101 * 8 buckets * 2048 instruments = 2^169. Only a bound for reading."""
STRICT, DISCLOSED = "strict", "disclosed"
POLICIES = (STRICT, DISCLOSED)

_TIME = re.compile(r"\d{4}-\d\d-\d\dT([01]\d|2[0-3]):[0-5]\d:[0-5]\dZ", re.ASCII)
_DIGESTS = ("circuit_digest", "parameters_digest", "ledger_state", "previous", "oracle_evidence")
_KEYS = (
    *_DIGESTS,
    *("protocol", "circuit", "tree_hash", "profile", "exchange", "sequence", "time", "value", "policy"),
    *("instruments", "scenarios", "capacity", "outputs"),
)
_OUTPUTS = ("root", "totals", "total_liability", "total_shortfall", "total_margin_deficit", "losses")


@dataclass(frozen=True)
class Totals:
    """Sums over all accounts of what they hold (`long`) and owe (`short`) of one instrument, in atoms.

    Args:
        buckets: the parts of `long`, for an instrument with buckets.
    """

    long: int
    short: int
    buckets: tuple[int, ...] = ()


@dataclass(frozen=True)
class Losses:
    """What a scenario would cost, summed over all accounts, in value units.

    Args:
        shortfall: of accounts that would owe more than they hold.
        margin_deficit: of accounts that would hold less collateral than they need.
    """

    shortfall: int
    margin_deficit: int


@dataclass(frozen=True)
class Statement:
    """A published statement; the fields of docs and file under their own names, digests as 32 bytes.

    Args:
        value_decimals: one value unit is 10^-value_decimals of `quote`.
        shards: proofs of this many rows each.
        root: of the top tree over the shards (`verifier.shards`), 32 bytes.
        totals: per instrument, in the order of the table, in atoms.
        total_liability, total_shortfall: in value units.
        total_margin_deficit: in value units; None for circuits that do not prove margins.
        losses: one per scenario.
    """

    circuit: str
    circuit_digest: bytes
    tree_hash: str
    profile: str
    parameters_digest: bytes
    exchange: str
    sequence: int
    time: str
    ledger_state: bytes
    previous: bytes
    oracle_evidence: bytes
    quote: str
    value_decimals: int
    policy: str
    instruments: tuple[Instrument, ...]
    log2_rows: int
    levels: int
    shards: int
    root: bytes
    totals: tuple[Totals, ...]
    total_liability: int
    total_shortfall: int
    total_margin_deficit: int | None = None
    scenarios: tuple[Scenario, ...] = ()
    losses: tuple[Losses, ...] = ()

    def to_bytes(self) -> bytes:
        """The file. `parse_statement` of it is this statement again, if it obeys the rules."""
        deficit = self.total_margin_deficit
        outputs = {
            "root": self.root.hex(),
            "totals": [
                {"long": str(t.long), "short": str(t.short), "buckets": [str(part) for part in t.buckets]}
                for t in self.totals
            ],
            "total_liability": str(self.total_liability),
            "total_shortfall": str(self.total_shortfall),
            "total_margin_deficit": None if deficit is None else str(deficit),
            "losses": [
                {"shortfall": str(loss.shortfall), "margin_deficit": str(loss.margin_deficit)} for loss in self.losses
            ],
        }
        return dumps(self._header() | {"format": FORMAT, "outputs": outputs})

    def _header(self) -> dict[str, object]:
        """All but the outputs: what is known before any shard is proved."""
        return {name: getattr(self, name).hex() for name in _DIGESTS} | {
            "protocol": PROTOCOL,
            "circuit": self.circuit,
            "tree_hash": self.tree_hash,
            "profile": self.profile,
            "exchange": self.exchange,
            "sequence": self.sequence,
            "time": self.time,
            "value": {"quote": self.quote, "decimals": self.value_decimals},
            "policy": self.policy,
            "instruments": instruments_data(self.instruments),
            "scenarios": scenarios_data(self.scenarios),
            "capacity": {
                "policy": CAPACITY_POLICY,
                "log2_rows": self.log2_rows,
                "levels": self.levels,
                "shards": self.shards,
            },
        }

    @cached_property
    def header_digest(self) -> bytes:
        """SHA-256 of the canonical header: in every shard's document, and so in every shard's proof."""
        return hashlib.sha256(dumps(self._header() | {"format": HEADER_FORMAT})).digest()

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the canonical bytes: names this statement everywhere."""
        return hashlib.sha256(self.to_bytes()).digest()

    @cached_property
    def legs(self) -> tuple[Leg, ...]:
        """The leg table that follows from the tables."""
        return derive_legs(self.circuit, self.value_decimals, self.instruments, self.scenarios)

    @property
    def total_amounts(self) -> tuple[int, ...]:
        """The totals in the order of their ids: per instrument the buckets, or the long side, then the short side."""
        return tuple(amount for t in self.totals for amount in (*(t.buckets or (t.long,)), t.short))

    @property
    def liability_output(self) -> int:
        """Number of the output that holds the liability: the totals come before it, the lenses after it."""
        return len(self.total_amounts)

    @cached_property
    def outputs(self) -> tuple[int, ...]:
        """What the shards' outputs add up to: totals, liability, losses per lens; unused lenses lose nothing."""
        lost = [] if self.total_margin_deficit is None else [self.total_margin_deficit]
        for losses in self.losses:
            lost += [losses.shortfall, losses.margin_deficit]
        unused = solvency.CIRCUITS[self.circuit].lenses - len(lost)
        return (*self.total_amounts, self.total_liability, *lost, *(0,) * unused)

    @property
    def special_rows(self) -> solvency.SpecialRows:
        """Rows with public selectors at the start of every shard's trace."""
        lenses = solvency.CIRCUITS[self.circuit].lenses
        return solvency.SpecialRows(len(self.outputs), lenses, self.shards > 1)

    @property
    def net_value(self) -> int:
        """sum of price * (long - short) over the instruments, in value units, signed."""
        pairs = zip(self.instruments, self.totals, strict=True)
        return sum(instrument.price * (totals.long - totals.short) for instrument, totals in pairs)


def levels_for(log2_rows: int) -> int:
    """Levels of the account tree: the least L with 8^L >= 2^log2_rows / 3, so that leaves never run out."""
    levels = 0
    while 3 * 8**levels < 1 << log2_rows:
        levels += 1
    return levels


LEVELS_MAX = levels_for(LOG2_ROWS_MAX)


def parse_statement(data: bytes) -> Statement:
    """Read and check a statement.

    Raises:
        MalformedProof: encoding, keys or types (MALFORMED, NON_CANONICAL, TRAILING_BYTES, FILE_TOO_LARGE), or another
            version (UNKNOWN_VERSION).
        UnacceptableParameters: UNKNOWN_CIRCUIT: name, digest or tree hash is not one of this verifier's.
        BadStatement: CAPACITY, INSTRUMENT_TABLE, OUTPUT_RANGE or ARITHMETIC.
    """
    top = read_document(data, STATEMENT_BYTES_MAX, "statement", FORMAT, _KEYS)
    top.choice("protocol", (PROTOCOL,), Reason.UNKNOWN_VERSION)
    circuit = top.choice("circuit", solvency.CIRCUITS, Reason.UNKNOWN_CIRCUIT)
    tree_hash = top.choice("tree_hash", (solvency.CIRCUITS[circuit].tree_hash,), Reason.UNKNOWN_CIRCUIT)
    pinned = solvency.pinned_digest(circuit)
    top.choice("circuit_digest", (pinned.hex(),), Reason.UNKNOWN_CIRCUIT)
    proves = solvency.CIRCUITS[circuit]
    value = top.record("value", ("quote", "decimals"))
    value_decimals = value.integer("decimals", 0, DECIMALS_MAX)
    instruments = read_instruments(top, circuit, proves.kinds, proves.lenses > 0, value_decimals)
    scenarios = read_scenarios(top, circuit, proves.scenarios, instruments)
    log2_rows, levels, shards = _read_capacity(top)
    outputs = top.record("outputs", _OUTPUTS)
    statement = Statement(
        circuit=circuit,
        circuit_digest=pinned,
        tree_hash=tree_hash,
        profile=top.symbol("profile", SYMBOL_CHARACTERS_MAX),
        parameters_digest=top.raw("parameters_digest", 32),
        exchange=top.text("exchange", EXCHANGE_CHARACTERS_MAX),
        sequence=top.integer("sequence", 0, SAFE_INTEGER_END - 1),
        time=read_time(top),
        ledger_state=top.raw("ledger_state", 32),
        previous=top.raw("previous", 32),
        oracle_evidence=top.raw("oracle_evidence", 32),
        quote=value.symbol("quote", SYMBOL_CHARACTERS_MAX),
        value_decimals=value_decimals,
        policy=top.choice("policy", POLICIES),
        instruments=instruments,
        scenarios=scenarios,
        log2_rows=log2_rows,
        levels=levels,
        shards=shards,
        root=outputs.raw("root", 32),
        totals=_read_totals(outputs, instruments, log2_rows + (shards - 1).bit_length()),
        total_liability=outputs.decimal("total_liability", 0, 1 << VALUE_BITS, Reason.OUTPUT_RANGE),
        total_shortfall=outputs.decimal("total_shortfall", 0, SHORTFALL_END, Reason.OUTPUT_RANGE),
        total_margin_deficit=_read_margin_deficit(outputs, proves.lenses > 0),
        losses=_read_losses(outputs, len(scenarios)),
    )
    shortfall = statement.total_liability - statement.net_value
    if statement.total_shortfall != shortfall:
        expected = f"total_liability - sum of price * (long - short) = {shortfall}"
        refuse(outputs.where("total_shortfall"), expected, statement.total_shortfall, Reason.ARITHMETIC)
    return statement


def read_time(top: Record) -> str:
    """The field `time`, UTC to the second."""
    text = top.text("time", 20)
    try:
        good = _TIME.fullmatch(text) is not None and datetime.fromisoformat(text[:-1]) is not None
    except ValueError:
        good = False
    if not good:
        refuse(top.where("time"), "a UTC time like 2026-11-22T00:00:00Z", text)
    return text


def _read_capacity(top: Record) -> tuple[int, int, int]:
    """log2 of a shard's rows, levels, shards. Special rows and leg table fit in the active rows of any capacity."""
    capacity = top.record("capacity", ("policy", "log2_rows", "levels", "shards"))
    capacity.choice("policy", (CAPACITY_POLICY,), Reason.CAPACITY)
    log2_rows = capacity.integer("log2_rows", LOG2_ROWS_MIN, LOG2_ROWS_MAX, Reason.CAPACITY)
    expected = levels_for(log2_rows)
    levels = capacity.integer("levels", expected, expected, Reason.CAPACITY)
    return log2_rows, levels, capacity.integer("shards", 1, SHARDS_MAX, Reason.CAPACITY)


def _read_totals(outputs: Record, instruments: Sequence[Instrument], log2_rows: int) -> tuple[Totals, ...]:
    """`log2_rows`: of all shards together, rounded up."""
    items = outputs.records("totals", ("long", "short", "buckets"), INSTRUMENTS_MAX)
    if len(items) != len(instruments):
        refuse(outputs.where("totals"), f"{len(instruments)} items, one per instrument", len(items))
    # 02b R1: under a looser bound the top digit of a single shard can wrap the field, and T and T + m p 2^56 are both
    # proved. With several shards outputs count modulo 2^128, above any honest total.
    end = 1 << (64 + log2_rows)
    totals = []
    for item, instrument in zip(items, instruments, strict=True):
        parts = item.decimals("buckets", len(instrument.buckets), 0, end, Reason.OUTPUT_RANGE)
        # Proved are the parts, each in its range, or else the long side.
        long = item.decimal("long", 0, BUCKETS_MAX * end if parts else end, Reason.OUTPUT_RANGE)
        if parts and long != sum(parts):
            refuse(item.where("long"), f"{sum(parts)}, the sum of the buckets", long, Reason.ARITHMETIC)
        totals.append(Totals(long, item.decimal("short", 0, end, Reason.OUTPUT_RANGE), parts))
    return tuple(totals)


def _read_margin_deficit(outputs: Record, margins: bool) -> int | None:
    if outputs.is_null("total_margin_deficit") == margins:
        expected = "an amount" if margins else "null, as this circuit proves no margins"
        refuse(outputs.where("total_margin_deficit"), expected, "null" if margins else "an amount")
    return outputs.decimal("total_margin_deficit", 0, 1 << VALUE_BITS, Reason.OUTPUT_RANGE) if margins else None


def _read_losses(outputs: Record, count: int) -> tuple[Losses, ...]:
    keys = ("shortfall", "margin_deficit")
    items = outputs.records("losses", keys, count + 1)
    if len(items) != count:
        refuse(outputs.where("losses"), f"{count} items, one per scenario", "another number of items")
    return tuple(
        Losses(*(item.decimal(key, 0, 1 << VALUE_BITS, Reason.OUTPUT_RANGE) for key in keys)) for item in items
    )


def units(amount: int, decimals: int) -> str:
    """An integer amount as a decimal number of whole units: units(-1230, 2) is "-12.3"."""
    whole, rest = divmod(abs(amount), 10**decimals)
    fraction = f"{rest:0{decimals}d}".rstrip("0") if decimals else ""
    return ("-" if amount < 0 else "") + str(whole) + ("." + fraction if fraction else "")
