"""The oracle's door: only signed quotes of the venue's own sources, in order, become numbers of the ledger."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.feed import CONFIDENCE, Feed, check_taken, evidence_of, read_documents
from exchange.commands import Quoted
from exchange.events import QuotesTaken
from exchange.oracle import PRICE_END
from exchange.venue import Oracle, Source, Venue
from prover.errors import InputError
from prover.prices import public_key, sign_quotes
from tests.exchange.venues import venue
from verifier.errors import BadPrices, VerificationError
from verifier.prices import AGE_MAX_SECONDS, parse_evidence
from verifier.statement import units

KEYS = [Ed25519PrivateKey.from_private_bytes(bytes([n + 1]) * 32) for n in range(4)]
TIME, TIME_MS = "2025-10-10T21:15:00Z", 1_760_130_900_000
NOW = TIME_MS + 60_000
ROWS = [("btc", "60000.1234567"), ("eth", "3000"), ("BTC-PERP", "60010"), ("doge", "1"), ("btc" + CONFIDENCE, "12.5")]
NAMES = ("alpha", "beta", "gamma")


def listening(**changes: int) -> Venue:
    sources = tuple(Source(name, public_key(KEYS[n]).hex(), 2 + n // 2) for n, name in enumerate(NAMES))
    return replace(venue(), oracle=Oracle(sources, **changes)).check()


def document(number: int, time: str = TIME, **changes: str) -> bytes:
    name, currency = changes.get("source", NAMES[number % 3]), changes.get("quote", "USDT")
    return sign_quotes(KEYS[number], name, currency, time, ROWS).to_bytes()


def test_numbers_are_in_the_ledgers_units() -> None:
    feed = Feed(listening())
    feed.take(document(1), NOW)
    feed.take(document(0), NOW)
    command = feed.command(TIME_MS + 2_000)
    one = (
        Quoted(0, 1, 60_000_123_457, 12_500_000, TIME_MS),  # quote atoms per whole BTC, to the nearest
        Quoted(0, 2, 3_000_000_000, 0, TIME_MS),
        Quoted(0, 3, 600_100, 0, TIME_MS),  # ticks of 0.1
    )
    assert command.quotes == one + tuple(quote._replace(source=1) for quote in one)
    assert command.evidence == document(0) + document(1)
    assert [signed.source for signed in read_documents(command.evidence)] == ["alpha", "beta"]


def test_what_the_ledger_cannot_hold_has_no_vote() -> None:
    for rows, count in (
        ([("eth", units(PRICE_END - 1, 6))], 1),
        ([("eth", units(PRICE_END, 6))], 0),
        ([("eth", "3000"), ("eth" + CONFIDENCE, units(PRICE_END - 1, 6))], 1),
        ([("eth", "3000"), ("eth" + CONFIDENCE, units(PRICE_END, 6))], 0),
    ):
        feed = Feed(listening())
        feed.take(sign_quotes(KEYS[0], NAMES[0], "USDT", TIME, rows).to_bytes(), NOW)
        assert len(feed.command(TIME_MS).quotes) == count


def test_who_is_too_old_or_ahead_has_no_vote_and_newer_ones_replace() -> None:
    feed = Feed(listening(stale_ms=60_000, future_ms=1_000))
    feed.take(document(0), NOW)
    assert len(feed.command(TIME_MS + 60_000).quotes) == 3
    assert feed.command(TIME_MS + 60_001).quotes == () == feed.command(TIME_MS - 1_001).quotes
    assert feed.command(TIME_MS + 60_001).evidence == b""
    feed.take(document(0, "2025-10-10T21:16:00Z"), NOW)
    assert feed.command(TIME_MS + 60_001).quotes[0].time_ms == TIME_MS + 60_000
    feed.take(document(1, "2025-10-10T21:16:01Z"), NOW)
    with pytest.raises(InputError, match="1000 ms ahead"):
        feed.take(document(1, "2025-10-10T21:16:02Z"), NOW)
    with pytest.raises(InputError, match="none older"):
        feed.take(document(0), NOW)


@pytest.mark.negative
def test_strangers_other_keys_currencies_and_signatures_are_refused() -> None:
    feed = Feed(listening())
    for data, message in (
        (document(0, source="delta"), "quotes of delta"),
        (document(3), "under the key"),
        (document(0, quote="USDC"), "in USDC"),
    ):
        with pytest.raises(InputError, match=message):
            feed.take(data, NOW)
    with pytest.raises(BadPrices):
        feed.take(document(0).replace(b"3000", b"3001"), NOW)
    with pytest.raises(VerificationError):
        feed.take(b"{}", NOW)
    long = [*ROWS, *((f"z{n:07}", "1") for n in range(12_000))]
    with pytest.raises(InputError, match="at most 349525"):
        feed.take(sign_quotes(KEYS[0], NAMES[0], "USDT", TIME, long).to_bytes(), NOW)
    assert feed.command(TIME_MS).quotes == ()
    with pytest.raises(InputError, match="no source at all"):
        Feed(venue()).take(document(0), NOW)


@pytest.mark.negative
def test_what_the_ledger_took_can_be_checked_against_the_documents() -> None:
    found = listening()
    feed = Feed(found)
    for number in range(3):
        feed.take(document(number), NOW)
    command = feed.command(TIME_MS)
    taken = QuotesTaken(command.quotes, (0, 0, 0), (0, 0, 0), (0, 0, 0), command.evidence)
    check_taken(found, taken, TIME_MS)
    other = command.quotes[0]._replace(price=1)
    for changed in (
        taken._replace(quotes=(other, *command.quotes[1:])),
        taken._replace(quotes=command.quotes[1:]),
        taken._replace(evidence=command.evidence + document(2)),
        taken._replace(evidence=document(0)),
    ):
        with pytest.raises(InputError, match="differ"):
            check_taken(found, changed, TIME_MS)
    evidence = parse_evidence(evidence_of(found, command.evidence))
    assert evidence.weights == (2, 2, 3) and evidence.rules.age_max == 120
    patient = listening(stale_ms=2 * 1000 * AGE_MAX_SECONDS)  # longer than any verifier accepts
    assert parse_evidence(evidence_of(patient, command.evidence)).rules.age_max == AGE_MAX_SECONDS
    with pytest.raises(VerificationError):
        evidence_of(found, b"")
