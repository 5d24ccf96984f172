"""Vectors about reserves, the evidence behind them, prices, and validators."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from api.quorum import parse_certificate
from prover.prices import public_key
from tests.api import test_quorum
from tests.vectors.book import Book
from tests.vectors.make_accounts import changed, parametrized
from tests.verifier import test_price_sources, test_prices, test_reserves, test_reserves_evidence
from tests.verifier.small_tree import INSTRUMENTS, edited, publication
from verifier.canonical import dumps
from verifier.errors import Reason
from verifier.reserves import RESERVES_BYTES_MAX
from verifier.statement import Statement, Totals


def reserves() -> tuple[Book, Book]:
    plain, evidence = Book("reserves"), Book("reserves-evidence")
    statement = {"statement": publication().statement.to_bytes()}
    for data, atoms in test_reserves.GOOD:
        plain.accept(
            "good", f"read as {atoms} atoms of {', '.join(i.symbol for i in INSTRUMENTS)}", reserves=data, **statement
        )
    for data, words in test_reserves.BAD:
        plain.refuse("bad", Reason.RESERVES, f"refused: {words}", reserves=data, **statement)
    large = b"asset,amount\n" + b"x" * RESERVES_BYTES_MAX
    plain.refuse("too large", Reason.FILE_TOO_LARGE, "2^20 bytes at most", reserves=large, **statement)
    document = dumps(test_reserves_evidence.DOCUMENT)
    signed = test_reserves_evidence.RESERVES
    good = {"statement": _acme().to_bytes(), "evidence": document, "reserves": signed}
    evidence.accept("signed addresses", "their sums are the amounts of reserves.csv", **good)
    for name, other in (("less", b"3.4"), ("more", b"3.50000001")):
        made = signed.replace(b"btc,3.5", b"btc," + other)
        evidence.refuse(
            f"{name} than signed", Reason.RESERVES, "figures are those that were signed", **good | {"reserves": made}
        )
    table = test_reserves_evidence.CHANGES
    changed(evidence, good, "evidence", ((name, change, reason) for name, (change, reason) in table.items()))
    return plain, evidence


def _acme() -> Statement:
    """The statement of the tests' own evidence."""
    of = publication().statement
    spot = (of.instruments[0], of.instruments[2])
    nothing = (Totals(0, 0), Totals(0, 0))
    return replace(of, exchange="Acme", instruments=spot, totals=nothing, total_liability=0, total_shortfall=0)


def _named(data: bytes, table: test_prices.Table) -> bytes:
    """A statement whose prices follow from the file."""
    of = publication().statement
    quoted = {i.symbol: i for i in table.instruments}
    instruments = tuple(
        replace(i, price=quoted[i.symbol if i.symbol != "usdt" else "USDT"].price) for i in of.instruments
    )
    made: Statement = replace(
        of,
        instruments=instruments,
        quote=table.quote,
        time=table.time,
        value_decimals=table.value_decimals,
        oracle_evidence=hashlib.sha256(data).digest(),
    )
    return _balanced(made).to_bytes()


def _balanced(statement: Statement) -> Statement:
    liability = max(statement.net_value, 0)
    return replace(
        statement, total_liability=liability, total_shortfall=liability - statement.net_value, policy="disclosed"
    )


def prices() -> tuple[Book, Book, Book]:
    book, quotes, sources = Book("prices"), Book("signed-quotes"), Book("price-sources")
    good = test_prices.packed(test_prices.honest())
    table = test_prices.Table()
    statement = {"statement": _named(good, table)}
    lines = [f"{test_prices.NAMES[i]} {public_key(test_prices.KEYS[i]).hex()}" for i in range(4)]
    listed = "".join(line + "\n" for line in lines).encode()
    book.accept("four sources", "the statement's prices are the medians", prices=good, **statement)
    book.accept("trusted", "all four are the reader's own", prices=good, sources=listed, **statement)
    fewer = "".join(line + "\n" for line in lines[:3]).encode()
    book.refuse(
        "a source too many", Reason.PRICE_SOURCES, "the reader trusts three", prices=good, sources=fewer, **statement
    )
    book.refuse(
        "another file",
        Reason.PRICE_EVIDENCE,
        "the statement names its price file",
        prices=good,
        statement=publication().statement.to_bytes(),
    )
    dear = tuple(replace(i, price=i.price + 1) for i in table.instruments)
    raised = _named(good, replace(table, instruments=dear))
    book.refuse("another price", Reason.PRICES, "not the median", prices=good, statement=raised)
    cases = [(name, edited(good, change), reason) for name, change, reason in test_prices.TAMPERED]
    cases += [
        (name, test_prices.resigned(good, 0, change), reason) for name, change, reason in test_prices.SIGNED_BADLY
    ]
    for name, data, reason in cases:
        note = f"the file is the one that the statement names, but for this: {name}"
        book.refuse(name, reason, note, prices=data, statement=_named(data, table))
    one = test_prices.honest()[0].to_bytes()
    quotes.accept("of one source", "its signature is good", quotes=one)
    changed(quotes, {"quotes": one}, "quotes", [
        ("another price", lambda d: d["quotes"]["prices"][0].update(price="1"), Reason.SIGNATURE),
        ("another format", lambda d: d.update(format="solvent/signed-quotes/v2"), Reason.UNKNOWN_VERSION),
        ("a short key", lambda d: d.update(public_key="00"), Reason.MALFORMED),
    ])  # fmt: skip
    sources.accept("three and a comment", "name, key, and a weight if any", sources=b"# mine\n\n" + listed)
    text = "".join(line + "\n" for line in lines[:3])
    for change in parametrized(test_price_sources.test_a_bad_file_of_sources):
        sources.refuse(
            "bad", Reason.PRICE_SOURCES, "one spelling, at least three, none with half", sources=change(text).encode()
        )
    return book, quotes, sources


def quorums() -> Book:
    book = Book("quorum")
    names, certificate = test_quorum.NAMES, test_quorum.certificate()
    good = {
        "certificate": certificate,
        "validators": test_quorum.validators().to_bytes(),
        "statement": publication().statement.to_bytes(),
    }
    book.accept("three of four", "more than two thirds signed this state", **good)
    parsed = parse_certificate(certificate)
    two = test_quorum.unchecked_sum(names[:2])
    forged = {
        "two of four": two,
        "one of them twice": test_quorum.unchecked_sum(("amber", "amber", "birch")),
        "a claimed signer": replace(two, signers=parsed.signers),
        "unsorted": replace(parsed, signers=parsed.signers[::-1]),
        "another signature": replace(parsed, signature=bytes.fromhex(test_quorum.KNOWN_SIGNATURE)),
        "the point at infinity": replace(parsed, signature=b"\xc0" + bytes(95)),
        "an older state": test_quorum.unchecked_sum(names[:3], sequence=6),
    }
    for name, made in forged.items():
        book.refuse(name, Reason.QUORUM, "too few signed this", **good | {"certificate": made.to_bytes()})
    changed(book, good, "validators", [(name, change, Reason.QUORUM) for name, change in test_quorum.LISTS.items()])
    changed(book, good, "certificate", [
        ("another root", lambda d: d.update(root="00" * 32), Reason.QUORUM),
        ("another format", lambda d: d.update(format="solvent/quorum/v2"), Reason.UNKNOWN_VERSION),
    ])  # fmt: skip
    return book


def books() -> list[Book]:
    return [*reserves(), *prices(), quorums()]
