"""The oracle's door: signed quotes are checked here, before the ledger sees the numbers that they hold.

A document is what docs/prices.md describes, `solvent/signed-quotes/v1`. The ledger's journal keeps the documents beside
the numbers: so anybody can see later that its prices follow from signatures (`check_taken`, `evidence_of`).
A source that vouches for an interval quotes its half width under `<symbol>:confidence`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from exchange.commands import Quoted, SubmitQuotes
from exchange.events import QuotesTaken
from exchange.oracle import PRICE_END, symbol_numbers
from exchange.state import FUND, QUOTE
from exchange.venue import Venue
from prover.errors import InputError
from prover.prices import assemble
from verifier.prices import AGE_MAX_SECONDS, Rules
from verifier.quotes import PRICE_DECIMALS, SignedQuotes, parse_signed_quotes

CONFIDENCE: Final = ":confidence"
DEVIATION_MAX: Final = 100
SOURCES_MIN: Final = 3
_ONE: Final = 10**PRICE_DECIMALS


class Feed:
    """The latest document of each source.

    Args:
        venue: whose `oracle` names the sources.
    """

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self._numbers = {source.name: number for number, source in enumerate(venue.oracle.sources)}
        self._latest: dict[int, tuple[int, SignedQuotes, bytes]] = {}

    def take(self, data: bytes, now_ms: int) -> None:
        """Takes in one document at a time.

        Raises:
            VerificationError: it cannot be read, or its signature is not good.
            InputError: it is of nobody this venue listens to, under another key, in another currency, older than what
                the source said before, or ahead of the time: it would silence the source until then.
        """
        signed = parse_signed_quotes(data)
        number = self._numbers.get(signed.source)
        if number is None:
            names = ", ".join(self._numbers) or "no source at all"
            raise InputError(got=f"quotes of {signed.source}", expected=f"one of {names}")
        if signed.key.hex() != self.venue.oracle.sources[number].key:
            got = f"quotes of {signed.source} under the key {signed.key.hex()}"
            raise InputError(got=got, expected=self.venue.oracle.sources[number].key)
        currency = self.venue.assets[QUOTE].symbol.upper()
        if signed.quote != currency:
            raise InputError(got=f"quotes of {signed.source} in {signed.quote}", expected=currency)
        time_ms = _time_ms(signed)
        if number in self._latest and time_ms < self._latest[number][0]:
            got = f"quotes of {signed.source} from {signed.time}"
            raise InputError(got=got, expected="none older than the last ones")
        if time_ms > now_ms + self.venue.oracle.future_ms:
            got = f"quotes of {signed.source} from {signed.time}"
            raise InputError(got=got, expected=f"at most {self.venue.oracle.future_ms} ms ahead")
        self._latest[number] = (time_ms, signed, data)

    def command(self, time_ms: int) -> SubmitQuotes:
        """What the ledger is told at `time_ms`: of every source that is recent enough to have a vote."""
        oracle = self.venue.oracle
        recent = [
            (number, signed, data)
            for number, (made_ms, signed, data) in sorted(self._latest.items())
            if -oracle.future_ms <= time_ms - made_ms <= oracle.stale_ms
        ]
        quotes = _quotes(self.venue, [(number, signed) for number, signed, _ in recent])
        return SubmitQuotes(time_ms, FUND, 0, quotes, b"".join(data for _, _, data in recent))


def read_documents(evidence: bytes) -> tuple[SignedQuotes, ...]:
    """The documents behind a price, each signature checked. Raises VerificationError."""
    return tuple(map(parse_signed_quotes, evidence.splitlines(keepends=True)))


def check_taken(venue: Venue, event: QuotesTaken, time_ms: int) -> None:
    """Whether the numbers that the ledger took at a time are those of signed documents of its own sources.

    Raises:
        VerificationError: a document or signature.
        InputError: a stranger's document, or other numbers.
    """
    feed = Feed(venue)
    documents = event.evidence.splitlines(keepends=True)
    for data in documents:
        feed.take(data, time_ms)
    held = sorted((number, signed) for number, (_, signed, _) in feed._latest.items())
    if len(held) != len(documents) or _quotes(venue, held) != event.quotes:
        raise InputError(got="quotes that differ from the signed documents", expected="their numbers")


def evidence_of(venue: Venue, evidence: bytes) -> bytes:
    """prices.json for a snapshot whose prices rest on these documents: docs/prices.md.

    Raises:
        VerificationError: no documents, too few sources, or signatures that are not good.
    """
    weights = {source.name: source.weight for source in venue.oracle.sources}
    span_ms = venue.oracle.stale_ms + venue.price_age_ms_max
    rules = Rules(min(AGE_MAX_SECONDS, -(-span_ms // 1000)), DEVIATION_MAX, SOURCES_MIN)
    return assemble(read_documents(evidence), weights, rules)


def _quotes(venue: Venue, documents: Iterable[tuple[int, SignedQuotes]]) -> tuple[Quoted, ...]:
    """The numbers in documents, in the ledger's units; what rounds to nothing or is out of range has no vote."""
    symbols = symbol_numbers(venue)
    found = []
    for number, signed in documents:
        for symbol, at in symbols.items():
            price = signed.prices.get(symbol)
            if price is not None:
                numerator, denominator = _unit(venue, at)
                rounded = (2 * price * numerator + denominator) // (2 * denominator)
                width = -(-signed.prices.get(symbol + CONFIDENCE, 0) * numerator // denominator)
                if max(rounded, width) < PRICE_END:
                    found.append(Quoted(number, at, rounded, width, _time_ms(signed)))
    return tuple(found)


def _unit(venue: Venue, number: int) -> tuple[int, int]:
    """The factor from 10^-30 quote units per whole unit to the ledger's units, as a fraction."""
    atoms = venue.assets[QUOTE].unit_atoms
    if number < len(venue.assets):
        return atoms, _ONE
    market = venue.markets[number - len(venue.assets)]
    return atoms * market.lot_atoms, _ONE * venue.assets[market.asset].unit_atoms * market.tick_lot_atoms


def _time_ms(signed: SignedQuotes) -> int:
    return round(datetime.fromisoformat(signed.time).timestamp()) * 1000
