"""Oracle evidence: signed quotes of several sources, and the one price per instrument that follows from them.

docs/prices.md says what it shows and what not. Per instrument, over the sources whose quotes are fresh: the price is
the lower weighted median; sources within the deviation limit of it have to hold two thirds of all weight, counting
absent ones, and to be as many as the rules ask; the statement's price has to be that median, rounded half up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import pairwise
from typing import Protocol

from verifier.canonical import dumps, read_document, refuse
from verifier.errors import Reason
from verifier.instruments import COST_BASIS, Instrument
from verifier.quotes import (
    PRICE_DECIMALS,
    SIGNED_KEYS,
    SOURCES_MAX,
    SOURCES_MIN,
    WEIGHT_MAX,
    SignedQuotes,
    Source,
    check_sources,
    read_signed,
)
from verifier.statement import Statement, units

FORMAT = "solvent/prices/v1"
PRICES_BYTES_MAX = 16 * 2**20

# What this verifier takes at most whatever the rules in the file say: those are the exchange's own.
AGE_MAX_SECONDS = 3600
FUTURE_MAX_SECONDS = 60
"""Quotes may be this much younger than the statement: clocks differ."""
DEVIATION_MAX = 1000
"""Basis points."""
ONE: int = 10**PRICE_DECIMALS


class Priced(Protocol):
    """What prices are checked for: a statement, or a snapshot before it is proved."""

    @property
    def time(self) -> str: ...
    @property
    def quote(self) -> str: ...
    @property
    def value_decimals(self) -> int: ...
    @property
    def instruments(self) -> tuple[Instrument, ...]: ...


@dataclass(frozen=True)
class Rules:
    """The exchange's rules, within the bounds above.

    Args:
        age_max: seconds between a source's quotes and the statement.
        deviation_max: of a quote from the median, in basis points of the median.
        sources_min: sources that have to agree within it, per instrument.
    """

    age_max: int
    deviation_max: int
    sources_min: int


@dataclass(frozen=True)
class Evidence:
    """A price file whose signatures are good; whether prices follow from it depends on what for and when."""

    rules: Rules
    quotes: tuple[SignedQuotes, ...]
    weights: tuple[int, ...]

    @property
    def sources(self) -> dict[str, Source]:
        pairs = zip(self.quotes, self.weights, strict=True)
        return {signed.source: Source(signed.key, weight) for signed, weight in pairs}

    def to_bytes(self) -> bytes:
        """The file."""
        rules = asdict(self.rules)
        pairs = zip(self.quotes, self.weights, strict=True)
        sources = [signed.data | {"weight": weight} for signed, weight in pairs]
        return dumps({"format": FORMAT, "rules": rules, "sources": sources})


@dataclass(frozen=True)
class PriceCheck:
    """One instrument's price.

    Args:
        price: the median, in 10^-30 of the quote currency per whole unit, as `low` and `high` are: the range of the
            quotes that count.
        sources: names of the sources that count, by price.
        dropped: (source, quote) further from the median than the rules allow.
    """

    symbol: str
    price: int
    low: int
    high: int
    sources: tuple[str, ...]
    dropped: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class PriceEvidence:
    """Prices that follow from signed quotes.

    Args:
        sources: number of sources in the file.
        trusted: whether they are those that the verifier's caller named. If not, anybody may have signed.
        stale: sources whose quotes are too old or too new to count.
        prices: of the instruments that need quotes, in the order of the table.
        unquoted: symbols whose price is one by definition: the quote currency, and cost bases.
        sha256: of the file, hex.
    """

    sources: int
    trusted: bool
    rules: Rules
    stale: tuple[str, ...]
    prices: tuple[PriceCheck, ...]
    unquoted: tuple[str, ...]
    sha256: str

    @property
    def summary(self) -> str:
        """One line for a report."""
        whose = "named by the caller" if self.trusted else "chosen by the exchange, keys not checked"
        dropped = sum(len(check.dropped) for check in self.prices)
        return (
            f"{len(self.prices)} prices follow from the signed quotes of {self.sources} sources ({whose}): at most "
            f"{self.rules.age_max} s old, at least {self.rules.sources_min} within "
            f"{units(self.rules.deviation_max, 2)} % of each median; {dropped} quotes outside, "
            f"{len(self.stale)} sources out of time"
        )


def check_prices(data: bytes, statement: Statement, trusted: Mapping[str, Source] | None = None) -> PriceEvidence:
    """Check that every price of a statement follows from the price file that it names.

    Args:
        data: prices.json.
        trusted: by name, the sources that the caller relies on. The file may then hold no other source, key or weight;
            one that is missing counts as absent weight. None takes the file's sources, which proves consistency and
            nothing about the market: the exchange can make keys of its own.

    Raises:
        MalformedProof: the file's encoding, keys or types.
        BadPrices: PRICE_EVIDENCE: the statement names another file or none; otherwise as `check_evidence`.
    """
    digest = hashlib.sha256(data).digest()
    if digest != statement.oracle_evidence:
        expected = f"the file that the statement names, sha256 {statement.oracle_evidence.hex()}"
        refuse("prices", expected, digest.hex(), Reason.PRICE_EVIDENCE)
    return check_evidence(data, statement, trusted)


def check_evidence(data: bytes, table: Priced, trusted: Mapping[str, Source] | None = None) -> PriceEvidence:
    """`check_prices` without the digest: also for a snapshot that is still to be proved.

    Raises:
        MalformedProof: as `parse_evidence`.
        BadPrices: as `parse_evidence`; PRICE_SOURCES also for a source, key or weight that `trusted` does not have;
            PRICES: quotes in another currency, an instrument without enough quotes that agree, or whose price does
            not follow.
    """
    evidence = parse_evidence(data)
    symbols = [i.symbol for i in table.instruments if not is_one(i.symbol, i.kind, table.quote)]
    checks, stale = agree(evidence, table.quote, table.time, symbols, trusted)
    medians = {check.symbol: check.price for check in checks}
    for instrument in table.instruments:
        median = medians.get(instrument.symbol, ONE)
        expected = coefficient(median, instrument.decimals, table.value_decimals)
        if not expected:
            what = f"{units(median, PRICE_DECIMALS)}, less than half a value unit per atom"
            refuse(_where(instrument.symbol), "one that does not round to zero", what, Reason.PRICES)
        if instrument.price != expected:
            follows = f"{expected} value units per atom, which follow from {units(median, PRICE_DECIMALS)}"
            refuse(_where(instrument.symbol), follows, instrument.price, Reason.PRICES)
    return PriceEvidence(
        sources=len(evidence.quotes),
        trusted=trusted is not None,
        rules=evidence.rules,
        stale=stale,
        prices=checks,
        unquoted=tuple(i.symbol for i in table.instruments if i.symbol not in medians),
        sha256=hashlib.sha256(data).hexdigest(),
    )


def is_one(symbol: str, kind: str, quote: str) -> bool:
    """Whether an instrument's price is one by definition: the quote currency itself, and a cost basis in it."""
    return kind == COST_BASIS or symbol.lower() == quote.lower()


def agree(
    evidence: Evidence, quote: str, time: str, symbols: Sequence[str], trusted: Mapping[str, Source] | None = None
) -> tuple[tuple[PriceCheck, ...], tuple[str, ...]]:
    """The price of each symbol in `quote` at `time`, and the sources whose quotes are too old or too new.

    Raises:
        BadPrices: PRICE_SOURCES or PRICES, as `check_evidence`.
    """
    if trusted is not None:
        check_sources(trusted, "the trusted sources")
        _require_trusted(evidence.sources, trusted)
    for signed in evidence.quotes:
        if signed.quote != quote:
            refuse(f"prices of {signed.source}", f"quotes in {quote}", signed.quote, Reason.PRICES)
    total = sum(source.weight for source in (evidence.sources if trusted is None else trusted).values())
    fresh, stale = _by_age(evidence, time)
    return tuple(_agreed(symbol, fresh, evidence.rules, total) for symbol in symbols), stale


def coefficient(price: int, decimals: int, value_decimals: int) -> int:
    """Value units per atom of a price in 10^-30 per whole unit, halves rounded up."""
    unit: int = 10 ** (PRICE_DECIMALS + decimals)
    doubled: int = 2 * price * 10**value_decimals
    return (doubled + unit) // (2 * unit)


def parse_evidence(data: bytes) -> Evidence:
    """Read a price file and check its rules, its sources and every signature.

    Raises:
        MalformedProof: FILE_TOO_LARGE, MALFORMED, NON_CANONICAL, TRAILING_BYTES or UNKNOWN_VERSION.
        BadPrices: PRICE_RULES: outside this verifier's bounds; PRICE_SOURCES: unsorted, repeated, too few, or one
            with half of the weight; SIGNATURE.
    """
    top = read_document(data, PRICES_BYTES_MAX, "prices", FORMAT, ("rules", "sources"))
    fields = top.record("rules", ("age_max", "deviation_max", "sources_min"))
    rules = Rules(
        fields.integer("age_max", 1, AGE_MAX_SECONDS, Reason.PRICE_RULES),
        fields.integer("deviation_max", 1, DEVIATION_MAX, Reason.PRICE_RULES),
        fields.integer("sources_min", SOURCES_MIN, SOURCES_MAX, Reason.PRICE_RULES),
    )
    items = top.records("sources", (*SIGNED_KEYS, "weight"), SOURCES_MAX, Reason.PRICE_SOURCES)
    weights = tuple(item.integer("weight", 1, WEIGHT_MAX, Reason.PRICE_SOURCES) for item in items)
    quotes = tuple(read_signed(item) for item in items)
    for item, (one, other) in zip(items[1:], pairwise(quotes), strict=True):
        if one.source >= other.source:
            after = f"a name after {one.source}, each once"
            refuse(item.where("quotes.source"), after, other.source, Reason.PRICE_SOURCES)
    evidence = Evidence(rules, quotes, weights)
    check_sources(evidence.sources, top.where("sources"))
    return evidence


def seconds(time: str) -> int:
    """A time that `verifier.statement.read_time` took, in seconds since some fixed moment."""
    moment = datetime.fromisoformat(time.removesuffix("Z"))
    return moment.toordinal() * 86_400 + moment.hour * 3600 + moment.minute * 60 + moment.second


def _require_trusted(sources: Mapping[str, Source], trusted: Mapping[str, Source]) -> None:
    for name, source in sources.items():
        known = trusted.get(name)
        if known is None:
            refuse("prices", f"only trusted sources: {', '.join(trusted)}", name, Reason.PRICE_SOURCES)
        if source.key != known.key:
            refuse(f"prices, key of {name}", f"the trusted {known.key.hex()}", source.key.hex(), Reason.PRICE_SOURCES)
        if source.weight != known.weight:
            refuse(f"prices, weight of {name}", f"the trusted {known.weight}", source.weight, Reason.PRICE_SOURCES)


def _by_age(evidence: Evidence, time: str) -> tuple[list[tuple[SignedQuotes, int]], tuple[str, ...]]:
    """Quotes that count at `time`, with their weights, and the names of the other sources."""
    fresh, stale = [], []
    for signed, weight in zip(evidence.quotes, evidence.weights, strict=True):
        if -FUTURE_MAX_SECONDS <= seconds(time) - seconds(signed.time) <= evidence.rules.age_max:
            fresh.append((signed, weight))
        else:
            stale.append(signed.source)
    return fresh, tuple(stale)


def _agreed(symbol: str, fresh: Sequence[tuple[SignedQuotes, int]], rules: Rules, total: int) -> PriceCheck:
    """The median of an instrument's fresh quotes, if enough of them are near it; `total` counts absent weight, too."""
    key = symbol.lower()
    quotes = sorted((s.prices[key], s.source, weight) for s, weight in fresh if key in s.prices)
    median = weighted_median([(price, weight) for price, _, weight in quotes])
    if median is None:
        refuse(_where(symbol), "fresh quotes", "none", Reason.PRICES)
    near = [quote for quote in quotes if abs(quote[0] - median) * 10_000 <= rules.deviation_max * median]
    far = [quote for quote in quotes if quote not in near]
    weight = sum(quote[2] for quote in near)
    # Two thirds: sources with less than a third of all weight are then less than half of what the median is taken of,
    # whatever quotes are left out.
    if len(near) < rules.sources_min or 3 * weight < 2 * total:
        expected = (
            f"at least {rules.sources_min} sources with two thirds of the weight {total} within "
            f"{units(rules.deviation_max, 2)} % of the median {units(median, PRICE_DECIMALS)}"
        )
        refuse(_where(symbol), expected, f"{len(near)} with {weight}", Reason.PRICES)
    return PriceCheck(
        symbol=symbol,
        price=median,
        low=near[0][0],
        high=near[-1][0],
        sources=tuple(source for _, source, _ in near),
        dropped=tuple((source, price) for price, source, _ in far),
    )


def weighted_median(quotes: Sequence[tuple[int, int]]) -> int | None:
    """Lower median of (price, weight) sorted by price: the least price at which half of the weight is reached."""
    half, reached = sum(weight for _, weight in quotes), 0
    for price, weight in quotes:
        reached += 2 * weight
        if reached >= half:
            return price
    return None


def _where(symbol: str) -> str:
    return f"price of {symbol}"
