"""Oracle evidence: prices follow from signed quotes or are refused, and few liars move nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import example, given
from hypothesis import strategies as st

from prover.prices import public_key, sign_quotes, simulate_evidence, sources_text
from tests.verifier.small_tree import publication
from verifier.canonical import dumps
from verifier.errors import BadPrices, MalformedProof, Reason, VerificationError
from verifier.instruments import COST_BASIS, PERPETUAL, SPOT, Instrument
from verifier.prices import (
    AGE_MAX_SECONDS,
    ONE,
    PRICES_BYTES_MAX,
    Evidence,
    PriceEvidence,
    Rules,
    check_evidence,
    check_prices,
    parse_evidence,
)
from verifier.quotes import (
    SignedQuotes,
    Source,
    parse_signed_quotes,
    read_sources,
    signing_bytes,
)

KEYS = [Ed25519PrivateKey.from_private_bytes(bytes([i]) * 32) for i in range(12)]
NAMES = [f"source-{i:02d}" for i in range(12)]
TIME = "2026-11-22T12:00:00Z"
RULES = Rules(age_max=300, deviation_max=100, sources_min=3)
DOC = {"btc": "65000.5", "eth": "3600", "btc-perp": "65010"}


@dataclass(frozen=True)
class Table:
    instruments: tuple[Instrument, ...] = (
        Instrument("btc", SPOT, 8, 6500050),
        Instrument("btc-perp", PERPETUAL, 8, 6501000),
        Instrument("btc-perp-cost", COST_BASIS, 10, 1),
        Instrument("eth", SPOT, 8, 360000),
        Instrument("USDT", SPOT, 6, 10_000),
    )
    time: str = TIME
    quote: str = "usdt"
    value_decimals: int = 10


def signed(number: int, prices: Mapping[str, str] = DOC, time: str = TIME, quote: str = "usdt") -> SignedQuotes:
    return sign_quotes(KEYS[number], NAMES[number], quote, time, list(prices.items()))


def packed(quotes: Sequence[SignedQuotes], rules: Rules = RULES, weights: Sequence[int] | None = None) -> bytes:
    return Evidence(rules, tuple(quotes), tuple(weights or [1] * len(quotes))).to_bytes()


def honest(count: int = 4) -> list[SignedQuotes]:
    return [signed(i) for i in range(count)]


def trusted(weights: Sequence[int]) -> dict[str, Source]:
    return {NAMES[i]: Source(public_key(KEYS[i]), weight) for i, weight in enumerate(weights)}


def refused(data: bytes, table: Any = None, named: Mapping[str, Source] | None = None) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        check_evidence(data, table or Table(), named)
    assert "\n" not in str(caught.value)
    return caught.value


def edited(data: bytes, change: Callable[[Any], object]) -> bytes:
    value = json.loads(data)
    change(value)
    return dumps(value)


def resigned(data: bytes, number: int, change: Callable[[Any], object]) -> bytes:
    """A source signs quotes that our own tools would not let it sign."""

    def apply(value: Any) -> None:
        entry = value["sources"][number]
        change(entry["quotes"])
        entry["signature"] = KEYS[number].sign(signing_bytes(entry["quotes"])).hex()

    return edited(data, apply)


# What is accepted


def test_prices_that_follow() -> None:
    data = packed(honest())
    report = check_evidence(data, Table())
    assert [(c.symbol, c.price, len(c.sources), c.dropped) for c in report.prices] == [
        ("btc", 650005 * ONE // 10, 4, ()),
        ("btc-perp", 65010 * ONE, 4, ()),
        ("eth", 3600 * ONE, 4, ()),
    ]
    assert report.unquoted == ("btc-perp-cost", "USDT")
    assert (report.sources, report.trusted, report.stale) == (4, False, ())
    assert report.sha256 == hashlib.sha256(data).hexdigest()
    assert "chosen by the exchange" in report.summary
    named = check_evidence(data, Table(), trusted([1] * 4))
    assert named.trusted
    assert "named by the caller" in named.summary


def test_a_symbol_may_begin_with_a_digit() -> None:
    assert signed(0, {"1inch": "0.25", "btc": "1"}).prices["1inch"] == ONE // 4


def test_the_strictest_rules() -> None:
    rules = Rules(age_max=1, deviation_max=1, sources_min=3)
    assert parse_evidence(packed(honest(), rules)).rules == rules


def test_the_longest_price_is_read() -> None:
    assert signed(0, {"btc": "9" * 48 + "." + "0" * 29 + "1"}).prices == {"btc": (10**48 - 1) * ONE + 1}


def test_a_statement_names_its_price_file() -> None:
    data, _ = simulate_evidence(publication().statement)
    statement = replace(publication().statement, oracle_evidence=hashlib.sha256(data).digest())
    report = check_prices(data, statement)
    assert [check.symbol for check in report.prices] == ["btc", "eth"]
    for other in (bytes(32), b"\x11" * 32):
        with pytest.raises(BadPrices) as caught:
            check_prices(data, replace(statement, oracle_evidence=other))
        assert caught.value.reason is Reason.PRICE_EVIDENCE


def test_the_file_is_read_back_as_it_was_written() -> None:
    data = packed(honest(), weights=[1, 2, 3, 2])
    assert parse_evidence(data).to_bytes() == data
    assert parse_signed_quotes(honest()[0].to_bytes()) == honest()[0]


@given(
    st.integers(3, 9).filter(lambda n: n % 2 == 1), st.integers(1, 2**54 - 1), st.integers(0, 30), st.integers(0, 30)
)
@example(3, 1, 1, 30)
def test_the_simulation_agrees_with_any_price(sources: int, price: int, decimals: int, value_decimals: int) -> None:
    table = Table((Instrument("x", SPOT, decimals, price),), value_decimals=value_decimals)
    data, named = simulate_evidence(table, sources)
    report = check_evidence(data, table, named)
    assert Fraction(report.prices[0].price, ONE) == Fraction(price) * Fraction(10) ** (decimals - value_decimals)
    assert read_sources(sources_text(named).encode()) == named


def test_symbols_are_found_whatever_their_case() -> None:
    loud = {symbol.upper(): price for symbol, price in DOC.items()}
    check_evidence(packed([signed(0), signed(1, loud), signed(2, loud | {"DOGE": "0.1"})]), Table())


@pytest.mark.parametrize(
    ("text", "expected"), [("2.5", 3), ("2.4999999999999999999", 2), ("3.5", 4), ("0.5", 1), ("7", 7)]
)
def test_rounding_halves_up(text: str, expected: int) -> None:
    data = packed([signed(i, {"x": text}) for i in range(3)])
    table = Table((Instrument("x", SPOT, 2, expected),), value_decimals=2)
    check_evidence(data, table)
    for other in (expected - 1, expected + 1):
        wrong = replace(table, instruments=(Instrument("x", SPOT, 2, other),))
        assert refused(data, wrong).reason is Reason.PRICES


def test_outliers_and_old_quotes_are_named() -> None:
    quotes = honest(8)
    quotes[1] = signed(1, DOC | {"btc": "66000"})
    quotes[2] = signed(2, time="2026-11-22T11:54:59Z")
    report = check_evidence(packed(quotes), Table())
    assert report.stale == (NAMES[2],)
    assert report.prices[0].dropped == ((NAMES[1], 66000 * ONE),)
    assert report.prices[0].high == 650005 * ONE // 10
    assert len(report.prices[0].sources) == 6
    assert "1 quotes outside, 1 sources out of time" in report.summary


@pytest.mark.parametrize(
    ("time", "is_fresh"),
    [
        ("2026-11-22T11:55:00Z", True),
        ("2026-11-22T11:54:59Z", False),
        ("2026-11-22T12:01:00Z", True),
        ("2026-11-22T12:01:01Z", False),
        ("2025-11-22T12:00:00Z", False),
    ],
)
def test_age(time: str, is_fresh: bool) -> None:
    data = packed([*honest(2), signed(2, time=time)])
    if is_fresh:
        check_evidence(data, Table())
    else:
        assert refused(data).reason is Reason.PRICES


def test_a_day_and_a_year_may_end_between_quote_and_statement() -> None:
    quotes = [signed(i, time="2026-12-31T23:59:59Z") for i in range(3)]
    check_evidence(packed(quotes), replace(Table(), time="2027-01-01T00:04:59Z"))


def test_the_deviation_limit_is_exact() -> None:
    """1 % of 1000 is 10: 990 and 1010 count, 989.9 and 1010.1 do not."""
    table = Table((Instrument("x", SPOT, 0, 1000),), value_decimals=0)
    for low, high, count in (("990", "1010", 5), ("989.9", "1010", 4), ("990", "1010.1", 4)):
        report = check_evidence(
            packed([signed(i, {"x": p}) for i, p in enumerate((low, "1000", high, "1000", "1000"))]), table
        )
        assert len(report.prices[0].sources) == count
        assert (report.prices[0].low, report.prices[0].high) == (
            (990 if low == "990" else 1000) * ONE,
            (1010 if high == "1010" else 1000) * ONE,
        )


# What is refused: one change, one reason


def first(key: str, value: object) -> Callable[[Any], None]:
    return lambda file: file["sources"][0].__setitem__(key, value)


def rule(key: str, value: object) -> Callable[[Any], None]:
    return lambda file: file["rules"].__setitem__(key, value)


def swap_signatures(file: Any) -> None:
    one, other = file["sources"][:2]
    one["signature"], other["signature"] = other["signature"], one["signature"]


def move_quotes(file: Any) -> None:
    """One source's signed document under another's key."""
    file["sources"][1]["quotes"] = file["sources"][0]["quotes"]


def repeat_source(file: Any) -> None:
    file["sources"].insert(0, file["sources"][0])


RULES_, SOURCES, SIGNATURE = Reason.PRICE_RULES, Reason.PRICE_SOURCES, Reason.SIGNATURE
MALFORMED, PRICES = Reason.MALFORMED, Reason.PRICES
TAMPERED: list[tuple[str, Callable[[Any], object], Reason]] = [
    ("another format", lambda f: f.__setitem__("format", "solvent/prices/v2"), Reason.UNKNOWN_VERSION),
    ("a key too many", lambda f: f.__setitem__("note", "hello"), MALFORMED),
    ("no rules", lambda f: f.pop("rules"), MALFORMED),
    ("quotes an hour and a second old", rule("age_max", AGE_MAX_SECONDS + 1), RULES_),
    ("age zero", rule("age_max", 0), RULES_),
    ("deviation above 10 %", rule("deviation_max", 1001), RULES_),
    ("deviation zero", rule("deviation_max", 0), RULES_),
    ("two sources suffice", rule("sources_min", 2), RULES_),
    ("a rule as text", rule("age_max", "300"), RULES_),
    ("more sources asked than there are", rule("sources_min", 5), PRICES),
    ("two sources only", lambda f: f.__setitem__("sources", f["sources"][:2]), SOURCES),
    ("no sources", lambda f: f.__setitem__("sources", []), SOURCES),
    ("33 sources", lambda f: f.__setitem__("sources", f["sources"] * 9), SOURCES),
    ("sources in another order", lambda f: f["sources"].reverse(), SOURCES),
    ("a source twice", repeat_source, SOURCES),
    ("weight zero", first("weight", 0), SOURCES),
    ("weight too large", first("weight", 10_001), SOURCES),
    ("one source has half of the weight", first("weight", 3), SOURCES),
    ("weight as text", first("weight", "1"), SOURCES),
    ("signatures swapped", swap_signatures, SIGNATURE),
    ("signature of zeros", first("signature", "00" * 64), SIGNATURE),
    ("a short signature", first("signature", "00" * 63), MALFORMED),
    ("another source's key", lambda f: first("public_key", f["sources"][1]["public_key"])(f), SIGNATURE),
    ("the neutral element as key", first("public_key", "01" + "00" * 31), SIGNATURE),
    ("another source's quotes", move_quotes, SIGNATURE),
    ("a price changed", lambda f: f["sources"][0]["quotes"]["prices"][0].__setitem__("price", "65001"), SIGNATURE),
    ("a symbol changed", lambda f: f["sources"][0]["quotes"]["prices"][0].__setitem__("symbol", "BTC"), SIGNATURE),
    ("the time changed", lambda f: f["sources"][0]["quotes"].__setitem__("time", "2026-11-22T12:00:01Z"), SIGNATURE),
    ("a quote left out", lambda f: f["sources"][0]["quotes"]["prices"].pop(), SIGNATURE),
    ("the source renamed", lambda f: f["sources"][0]["quotes"].__setitem__("source", "source-000"), SIGNATURE),
]


@pytest.mark.negative
@pytest.mark.parametrize(("tamper", "reason"), [t[1:] for t in TAMPERED], ids=[t[0] for t in TAMPERED])
def test_one_change_one_reason(tamper: Callable[[Any], object], reason: Reason) -> None:
    error = refused(edited(packed(honest()), tamper))
    assert error.reason is reason, str(error)
    assert isinstance(error, BadPrices if reason not in {MALFORMED, Reason.UNKNOWN_VERSION} else MalformedProof)


def set_price(text: object) -> Callable[[Any], None]:
    return lambda quotes: quotes["prices"][0].__setitem__("price", text)


def set_field(key: str, value: object) -> Callable[[Any], None]:
    return lambda quotes: quotes.__setitem__(key, value)


def add_row(symbol: str) -> Callable[[Any], None]:
    return lambda quotes: quotes["prices"].append({"symbol": symbol, "price": "1"})


SIGNED_BADLY: list[tuple[str, Callable[[Any], object], Reason]] = [
    *(
        (f"price {text}", set_price(text), MALFORMED)
        for text in ("0", "0.0", "-1", "+1", "", "1e5", "NaN", "inf", ".5")
    ),
    *((f"price {text}", set_price(text), MALFORMED) for text in ("1.", "01", "1.50", " 1", "1,5", "½", "9" * 49)),
    ("price with 31 decimals", set_price("0." + "0" * 30 + "1"), MALFORMED),
    ("price as a number", set_price(1), MALFORMED),
    ("a symbol twice", add_row("eth"), MALFORMED),
    ("a symbol twice in another case", add_row("ETH"), MALFORMED),
    ("symbols unsorted", lambda quotes: quotes["prices"].reverse(), MALFORMED),
    ("a blank in a symbol", add_row("z z"), MALFORMED),
    ("another format", set_field("format", "solvent/quotes/v2"), Reason.UNKNOWN_VERSION),
    ("time without zone", set_field("time", "2026-11-22T12:00:00"), MALFORMED),
    ("no such day", set_field("time", "2026-11-31T12:00:00Z"), MALFORMED),
    ("another currency", set_field("quote", "USD"), PRICES),
    ("the currency in another case", set_field("quote", "USDT"), PRICES),
    ("a key too many", set_field("note", "x"), MALFORMED),
]


@pytest.mark.negative
@pytest.mark.parametrize(("change", "reason"), [t[1:] for t in SIGNED_BADLY], ids=[t[0] for t in SIGNED_BADLY])
def test_bad_documents_are_refused_though_they_are_signed(change: Callable[[Any], object], reason: Reason) -> None:
    assert refused(resigned(packed(honest()), 0, change)).reason is reason


@pytest.mark.negative
def test_a_signature_for_another_purpose_does_not_serve() -> None:
    data = packed(honest())
    document = json.loads(data)["sources"][0]["quotes"]
    for other in (dumps(document), b"solvent/quotes-signature/v1" + dumps(document), b""):
        assert refused(edited(data, first("signature", KEYS[0].sign(other).hex()))).reason is SIGNATURE


@pytest.mark.negative
def test_one_key_cannot_speak_for_two_sources() -> None:
    twin = sign_quotes(KEYS[0], NAMES[1], "usdt", TIME, list(DOC.items()))
    assert refused(packed([signed(0), twin, signed(2)])).reason is SOURCES


@pytest.mark.negative
def test_a_statement_price_that_does_not_follow() -> None:
    """06 attack 19: prices swapped after proving, or never right."""
    instruments = list(Table().instruments)
    for i, instrument in enumerate(instruments):
        for price in (instrument.price - 1, instrument.price + 1, 0):
            table = Table((*instruments[:i], replace(instrument, price=price), *instruments[i + 1 :]))
            assert refused(packed(honest()), table).reason is PRICES


@pytest.mark.negative
def test_every_instrument_is_covered() -> None:
    table = Table((*Table().instruments, Instrument("doge", SPOT, 8, 10)))
    assert refused(packed(honest()), table).reason is PRICES
    some = [signed(i, DOC | {"doge": "0.1"}) for i in range(2)]
    assert refused(packed([*some, signed(2), signed(3)]), table).reason is PRICES
    check_evidence(packed([*some, signed(2, DOC | {"doge": "0.1"}), signed(3)]), table)


@pytest.mark.negative
def test_a_price_may_not_round_to_zero() -> None:
    table = Table((Instrument("x", SPOT, 0, 0),), value_decimals=0)
    assert refused(packed([signed(i, {"x": "0.4"}) for i in range(3)]), table).reason is PRICES


@pytest.mark.negative
def test_two_thirds_of_the_weight_have_to_agree() -> None:
    far = DOC | {"btc": "70000"}
    for weights, outlier, enough in (((2, 2, 2, 3), 3, True), ((2, 2, 2, 4), 3, False), ((1, 1, 1, 1, 1, 2), 5, True)):
        quotes = [signed(i, far if i == outlier else DOC) for i in range(len(weights))]
        data = packed(quotes, weights=weights)
        if enough:
            check_evidence(data, Table())
        else:
            assert refused(data).reason is PRICES


# Files


@pytest.mark.negative
def test_spelling_of_the_file() -> None:
    data = packed(honest())
    for changed, reason in (
        (data + b"x", Reason.TRAILING_BYTES),
        (data + b"\n", Reason.NON_CANONICAL),
        (data.replace(b'"weight":1', b'"weight":1.0', 1), MALFORMED),
        (data.replace(b'"weight":1', b'"weight":1,"weight":1', 1), MALFORMED),
        (data + b" " * PRICES_BYTES_MAX, Reason.FILE_TOO_LARGE),
        (b"", MALFORMED),
    ):
        assert refused(changed).reason is reason


@pytest.mark.negative
@given(st.binary(max_size=30), st.integers(0, 3000), st.integers(0, 30))
def test_only_the_typed_error_leaves(junk: bytes, at: int, cut: int) -> None:
    data = packed(honest())
    changed = data[:at] + junk + data[at + cut :]
    try:
        report: PriceEvidence | None = check_evidence(changed, Table())
    except VerificationError:
        report = None
    assert (
        changed == data
        or report is None
        or [c.price for c in report.prices] == [650005 * ONE // 10, 65010 * ONE, 3600 * ONE]
    )
