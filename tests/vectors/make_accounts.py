"""Vectors about documents, statements, accounts and shards, from publications in plain Python without proofs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.api.web.forgeries import HOLDER, named, sharded, swapped
from tests.vectors.book import Book
from tests.verifier import test_canonical, test_inclusion, test_opening, test_receipt, test_shards
from tests.verifier import test_statement as plain_rules
from tests.verifier import test_statement_tables as risk_rules
from tests.verifier.log.signers import policy_text
from tests.verifier.small_tree import edited, publication, risk_publication
from verifier.canonical import NESTING_MAX, dumps
from verifier.errors import Reason
from verifier.params import TEST
from verifier.receipt import Receipt
from verifier.shards import seal, top_sum

Change = Callable[[Any], object]


def changed(book: Book, inputs: dict[str, bytes], of: str, table: Iterable[tuple[str, Change, Reason]]) -> None:
    """One case per change of one input, which is a document."""
    for name, change, reason in table:
        book.add(name, reason, f"the honest {of} but for this: {name}", inputs | {of: edited(inputs[of], change)})


def parametrized(test: Any) -> Sequence[Any]:
    """The table of a test."""
    table: Sequence[Any] = next(mark.args[1] for mark in test.pytestmark if mark.name == "parametrize")
    return table


def _of_shard(change: Change) -> Change:
    return lambda document: change(document["shard"])


def documents() -> Book:
    book = Book("document")
    honest = {
        "every kind of value": {
            "a": [1, -1, 0, 2**53 - 1, 1 - 2**53],
            "b": {"": None, "é🦊": 'a"\\/\n\x00\x7f\u2028'},
            "c": [],
        },
        "an empty object": {},
        "keys sorted by code point": {"\uffff": 1, "\U0001f98a": 2, "A": 3, "a": 4, "é": 5},
    }
    for name, value in honest.items():
        book.accept(name, "canonical: sorted keys, no blanks, ASCII, one newline", document=dumps(value))
    deepest = b"[" * NESTING_MAX + b"]" * NESTING_MAX
    book.accept("as deep as allowed", f"{NESTING_MAX} lists in each other", document=deepest + b"\n")
    book.refuse("one level deeper", Reason.MALFORMED, "nesting is bounded", document=b"[" + deepest + b"]\n")
    for data, reason, words in test_canonical.REFUSED:
        book.refuse(words, reason, f"not the one spelling of a value: {words}", document=data)
    odd = {
        "a byte order mark": (b"\xef\xbb\xbf{}\n", Reason.NON_CANONICAL, "UTF-8 bytes are no ASCII"),
        "depth behind the end": (b"{}" + b"[" * 100, Reason.TRAILING_BYTES, "nobody decodes what follows a document"),
        "white space first": (b" {}\n", Reason.MALFORMED, "a document begins with its first byte"),
        "a separator as white space": (
            b"{}\x1f\n",
            Reason.NON_CANONICAL,
            "white space may follow, but is not canonical",
        ),
        "an integer of 18 digits": (b"[100000000000000000]\n", Reason.MALFORMED, "beyond 2^53"),
        "half a pair twice": (b'["\\ud83e\\ud83e\\udd8a"]\n', Reason.NON_CANONICAL, "a lone surrogate before a pair"),
        "upper-case hex in an escape": (b'["\\u2028\\u202F"]\n', Reason.NON_CANONICAL, "escapes are lower case"),
        "a byte too many": (b"[" + b" " * 2**20, Reason.FILE_TOO_LARGE, "the runner's limit is 2^20 bytes"),
    }
    for name, (data, reason, note) in odd.items():
        book.refuse(name, reason, note, document=data)
    return book


READ = ("profile", "parameters_digest", "exchange", "sequence", "time", "ledger_state", "previous", "oracle_evidence")
"""Fields in the order in which they are read: with several faults the first one is named."""


def _without(fields: Sequence[str]) -> Change:
    return lambda document: document.update(dict.fromkeys(fields))


def statements() -> Book:
    book = Book("statement")
    plain, risk = publication().statement, risk_publication().statement
    for name, of in (
        ("equity", plain),
        ("margins", risk_publication("solvency_risk_v1").statement),
        ("stress", risk),
        ("six shards", test_shards.several().statement),
        ("a name that Unicode had not in 2021", replace(plain, exchange="\U0001fae9 \u0378")),
        ("the longest name", replace(plain, exchange="é" * 128, sequence=2**53 - 1)),
    ):
        book.accept(name, "obeys every rule of a statement", statement=of.to_bytes())
    changed(book, {"statement": plain.to_bytes()}, "statement", plain_rules.REFUSED)
    changed(book, {"statement": risk.to_bytes()}, "statement", risk_rules.REFUSED_RISK)
    faults: list[tuple[str, Change, Reason]] = [
        (f"an exchange's name with U+{ord(c):04X}", plain_rules.setter("exchange", value=f"a{c}b"), Reason.MALFORMED)
        for c in "\0\x7f\x85\xa0\xad\u200b\u2028\u202e\u3000\ue000\ufeff\U000e0001"
    ]
    faults += [(f"nothing good from {READ[i]} on", _without(READ[i:]), Reason.MALFORMED) for i in range(len(READ))]
    times = ("2026-02-29T00:00:00Z", "0000-01-01T00:00:00Z", "2026-11-22T24:00:00Z", "2026-11-22T00:00:60Z")
    faults += [(f"the time {time}", plain_rules.setter("time", value=time), Reason.MALFORMED) for time in times]
    changed(book, {"statement": plain.to_bytes()}, "statement", faults)
    return book


def bundles() -> Book:
    book = Book("bundle")
    of, plain = sharded(), publication()
    small, large = {"statement": plain.statement.to_bytes()}, {"statement": of.statement.to_bytes()}
    good = small | {"bundle": plain.bundle(test_inclusion.VICTIM)}
    book.accept("a shard of its own", "an account of the only shard", **good)
    book.accept("one of three shards", "entries of all kinds, in the middle shard", bundle=of.bundle(HOLDER), **large)
    book.accept("nothing held", "an account without entries is an account", bundle=of.bundle(2), **large)
    book.accept("by itself", "without a statement it can only agree with itself", bundle=good["bundle"])
    own = {
        "user_id": plain.accounts[test_inclusion.VICTIM].user_id.encode(),
        "nonce": plain.accounts[test_inclusion.VICTIM].nonce,
    }
    book.accept("known to be one's own", "id and nonce are the caller's", **good, **own)
    for name, what in (("user_id", b"mallory"), ("nonce", bytes(32))):
        note = "the caller knows another one: two users may have been shown one leaf"
        book.add(f"another {name}", Reason.ACCOUNT_ID, note, good | own | {name: what})
    changed(book, good, "bundle", test_inclusion.TAMPERED)
    for name, (data, step, why) in named(of).items():
        book.refuse(f"{name} (stress)", Reason(why), f"fails at step {step}", bundle=data, **large)
    book.refuse("another's path", Reason.PATH, "another holder's nonce and blinding", bundle=swapped(of), **large)
    several = test_shards.several()
    for name, (change, reason) in test_shards.PLACES.items():
        data = edited(several.bundle(7), _of_shard(change))
        book.refuse(
            f"place: {name}",
            reason,
            "the shard's place in the top tree",
            bundle=data,
            statement=several.statement.to_bytes(),
        )
    return book


def openings() -> Book:
    book = Book("opening")
    small, several = publication(), test_shards.several()
    good = {"opening": small.opening(2, 0), "statement": small.statement.to_bytes()}
    book.accept("a node of level 2", "its sum follows from the root", **good)
    top = small.opening(small.statement.levels, 0)
    book.accept("the root of a shard", "its path is empty", **(good | {"opening": top}))
    book.accept("in a shard", "one of six", opening=several.opening(1, 0), statement=several.statement.to_bytes())
    changed(book, good, "opening", test_opening.TAMPERED)
    for name, (change, reason) in test_shards.PLACES.items():
        data = edited(several.opening(1, 0), _of_shard(change))
        expected = Reason.OPENING if name == "another root" else reason
        book.refuse(
            f"place: {name}", expected, "its shard's place", opening=data, statement=several.statement.to_bytes()
        )
    return book


WITNESS = "w.example/1"


@cache
def receipt() -> Receipt:
    """A bundle and its statement, in a manifest that is the second of two entries of a log."""
    small = publication()
    with TemporaryDirectory() as folder:
        listed = test_receipt.manifest(small, Path(folder) / "publication")
    proof = test_receipt.logged(listed, WITNESS)
    return Receipt(small.bundle(test_receipt.USER), small.statement.to_bytes(), listed.to_bytes(), proof)


def receipts() -> Book:
    book = Book("receipt")
    good, small = receipt(), publication()
    policy = {"policy": policy_text(WITNESS, k=1).encode()}
    book.accept("witnessed", "in the log that the reader names, seen by a witness", receipt=good.to_bytes(), **policy)
    book.accept("without a policy", "whose signatures these are stays open", receipt=good.to_bytes())
    for name, forge, reason in test_receipt.FORGERIES:
        with TemporaryDirectory() as folder:
            data = forge(small, good, Path(folder) / "forged")
        if reason is not Reason.ACCOUNT_ID:
            book.refuse(name, reason, f"the honest receipt but for this: {name}", receipt=data, **policy)
    for name, reason, changes in (
        ("the test profile", Reason.UNACCEPTABLE_PROFILE, {"profile": "test", "parameters_digest": TEST.digest}),
        ("other parameters", Reason.UNACCEPTABLE_PARAMETERS, {"parameters_digest": TEST.digest}),
    ):
        other = small.stating(**changes)
        with TemporaryDirectory() as folder:
            listed = test_receipt.manifest(other, Path(folder) / "publication")
        proof = test_receipt.logged(listed, WITNESS)
        data = Receipt(other.bundle(0), other.statement.to_bytes(), listed.to_bytes(), proof).to_bytes()
        book.refuse(name, reason, "the reader chooses how strong a proof has to be", receipt=data, **policy)
    other = publication("solvency_equity_v1_poseidon2")
    data = replace(good, bundle=other.bundle(0), statement=other.statement.to_bytes()).to_bytes()
    book.refuse(
        "another tree hash", Reason.UNKNOWN_CIRCUIT, "accepted only where it is asked for", receipt=data, **policy
    )
    return book


def funds() -> Book:
    book = Book("fund")
    of = risk_publication()
    statement = of.statement.to_bytes()
    book.accept(
        "opened",
        "its balances are worth what they are at the statement's prices",
        fund=of.bundle(0),
        statement=statement,
    )
    book.refuse("another account", Reason.ACCOUNT_ID, "the id is reserved", fund=of.bundle(1), statement=statement)
    posing = of.bundle(1, user_id="insurance-fund")
    book.refuse("another account posing", Reason.PATH, "the id is in the leaf", fund=posing, statement=statement)
    other = risk_publication("solvency_risk_v1").bundle(0)
    book.refuse("that of another statement", Reason.WRONG_STATEMENT, "an old balance", fund=other, statement=statement)
    return book


def verdicts() -> Book:
    book = Book("verdict")
    rich, poor = b"asset,amount\nbtc,99\neth,999\nusdt,999999999\n", b"asset,amount\n"
    plain, risk = publication().statement, risk_publication().statement
    spot = {"statement": plain.to_bytes()}
    book.accept("reserves cover", "solvent: every check holds", **spot, reserves=rich)
    book.accept("no reserves given", "liabilities are proved, solvency is open", **spot)
    book.accept("nothing held", "insolvent", **spot, reserves=poor)
    held = rich.replace(b"eth,999\n", b"")
    margins = {"statement": risk.to_bytes(), "reserves": held}
    funded = {"fund_value": dumps({"today": str(10**30), "stressed": ["0", str(10**30)]})}
    book.accept("losses within the fund", "disclosed, and a fund that pays", **margins, **funded)
    book.accept("losses without a fund", "disclosed, and nothing to pay with", **margins)
    strict = replace(risk, policy="strict")
    book.accept("strict", "no losses allowed", **margins | {"statement": strict.to_bytes()})
    free = replace(plain.instruments[0], price=0)
    worthless = replace(plain, instruments=(free, *plain.instruments[1:]))
    lost = worthless.total_liability - worthless.net_value
    stated = replace(
        worthless, total_shortfall=max(0, lost), total_liability=max(worthless.net_value, 0) + max(0, lost)
    )
    book.accept("debts without a price", "they could be invented", statement=stated.to_bytes(), reserves=rich)
    return book


def shards() -> tuple[Book, Book]:
    one, all_of = Book("shard"), Book("shards")
    small = test_shards.several()
    statement = {"statement": small.statement.to_bytes()}
    good = statement | {"shard": small.shard.to_bytes(), "index": b"3"}
    one.accept("of six", "the document of shard 3", **good)
    changed(one, good, "shard", ((n, change, reason) for n, (change, reason) in test_shards.DOCUMENTS.items()))

    def named_shards(parts: Sequence[Any]) -> dict[str, bytes]:
        return {f"shard-{i}": part.to_bytes() for i, part in enumerate(parts)}

    all_of.accept("six", "masks cancel, and sums are the statement's", **statement, **named_shards(small.shards))
    single = publication()
    all_of.accept("one", "no masks", statement=single.statement.to_bytes(), **named_shards(single.shards))
    for name, (edit, reason) in test_shards.CHANGES.items():
        parts = edit(list(small.shards))
        if name in ("one more", "reordered", "duplicated", "renumbered"):
            reason = Reason.STATEMENT_MISMATCH  # read first: the document of a place has its number
        all_of.refuse(
            name, reason, f"documents that do not make up the statement: {name}", **statement, **named_shards(parts)
        )
    masked = replace(single.shard, mask_in=(1,) * 8, mask_out=(1,) * 8)
    top = top_sum([masked.place(single.statement.liability_output).sum])
    lone = replace(single.statement, root=seal(top, 1))
    all_of.refuse(
        "one with masks",
        Reason.SHARDS,
        "its totals then rest on a hash",
        statement=lone.to_bytes(),
        **named_shards([masked]),
    )
    return one, all_of


def books() -> list[Book]:
    return [documents(), statements(), bundles(), openings(), receipts(), funds(), verdicts(), *shards()]
