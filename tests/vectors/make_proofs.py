"""Vectors about proofs: of the toy circuits, of a solvency circuit, and of a whole publication with test parameters.

Making a real proof takes half a minute: it is read back from the vectors unless it is asked for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace

from tests.api.web.proved import equity
from tests.vectors.book import Book, path_of, read
from tests.vectors.toys import described, params_bytes
from tests.verifier import test_malicious, test_proof
from tests.verifier.small_tree import edited, publication
from tests.verifier.toy_circuits import Case, fibonacci, ledger
from tests.verifier.toy_proofs import CASES, FREE, RATE_QUARTER, honest, parsed, prove
from verifier.canonical import dumps
from verifier.errors import Reason
from verifier.field import P, ext_add, ext_mul, lift
from verifier.manifest import MANIFEST_FILE, parse_manifest
from verifier.params import TEST, ProofParams
from verifier.proofs import proof_file, shard_file
from verifier.report import FUND_FILE, PRICES_FILE, RESERVES_FILE, STATEMENT_FILE
from verifier.reserves_evidence import FILE as RESERVES_EVIDENCE_FILE

FORGED = (
    ("SwappedChunks", Reason.CONSTRAINTS, "two chunks of the quotient change places"),
    ("Liar", Reason.FRI_FINAL, "false openings, for which the identity holds"),
    ("SmoothLiar", Reason.FRI_FOLD, "false openings before a true polynomial"),
    ("SharedCoefficient", Reason.FRI_FOLD, "the mask has the coefficient of a claim"),
    ("OneDegreeTooMany", Reason.FRI_FINAL, "the mask has a coefficient too many"),
    ("FalseFinal", Reason.FRI_FINAL, "another final polynomial, absorbed as it is"),
    ("FalseFold", Reason.FRI_FOLD, "one layer is folded by another challenge"),
    ("WideLeaves", Reason.COMMITMENT, "leaves are a word wider than the circuit's rows"),
    ("MovedWord", Reason.COMMITMENT, "a column is committed to in another tree"),
)


def _given(case: Case, params: ProofParams = TEST) -> dict[str, bytes]:
    relation = case.relation
    return {"circuit": relation.system.to_bytes(), "relation": described(relation), "params": params_bytes(params)}


def toys() -> Book:
    book = Book("toy-proof")
    for name, make in CASES.items():
        book.accept(name, "every feature of a circuit is in one of the three", **_given(make()), proof=honest(name))
        free = honest(name, FREE)
        book.accept(f"{name}, no work asked for", "later checks are reached", **_given(make(), FREE), proof=free)
    quarter = honest("fibonacci", RATE_QUARTER)
    book.accept(
        "four times the points", "another rate, as the caller says", **_given(fibonacci(), RATE_QUARTER), proof=quarter
    )
    good = _given(fibonacci())
    for name, reason, note in FORGED:
        forged = prove(fibonacci(), prover=getattr(test_malicious, name))
        book.refuse(f"forged: {name}", reason, note, **good, proof=forged)
    for label in test_malicious.GRINDS:
        lazy = type("Lazy", (test_malicious.Lazy,), {"skipped": label})
        forged = prove(fibonacci(), prover=lazy)
        book.refuse(f"no work: {label}", Reason.GRINDING, "a nonce that shows no work", **good, proof=forged)
    for label in ("circuit", "statement", "base root", "quotient root", "openings", "fri root 0", "fri final"):
        forged = prove(fibonacci(), FREE, prover=test_malicious.forgetting(label))
        reason = Reason.CONSTRAINTS if not label.startswith(("openings", "fri")) else Reason.COMMITMENT
        note = "what is not absorbed could be changed after its challenge"
        book.refuse(f"not absorbed: {label}", reason, note, **_given(fibonacci(), FREE), proof=forged)
    _changed(book)
    _misused(book)
    return book


def _changed(book: Book) -> None:
    """An honest proof with one change."""
    good, proof = _given(ledger()), parsed("ledger")
    data = honest("ledger")
    for number, tree in enumerate(("base", "lookup", "quotient")):
        trees = tuple(test_malicious.resalted(t) if i == number else t for i, t in enumerate(proof.trees))
        made = replace(proof, trees=trees).to_bytes()
        book.refuse(f"a leaf of no {tree} tree", Reason.COMMITMENT, "its salt changed", **good, proof=made)
    for layer in range(len(proof.layers)):
        layers = tuple(test_malicious.resalted(t) if i == layer else t for i, t in enumerate(proof.layers))
        made = replace(proof, layers=layers).to_bytes()
        book.refuse(f"a leaf of no layer {layer}", Reason.FRI_LAYER, "its salt changed", **good, proof=made)
    for name, word_at in test_proof.WORDS.items():
        at = word_at(test_proof.sections()[name])
        made = data[:at] + P.to_bytes(4, "little") + data[at + 4 :]
        book.refuse(f"p in {name}", Reason.NON_CANONICAL, "a word has one spelling", **good, proof=made)
    for name, made, reason in (
        ("another version", b"SOLVPRF2" + data[8:], Reason.UNKNOWN_VERSION),
        ("no byte", b"", Reason.MALFORMED),
        ("a byte less", data[:-1], Reason.MALFORMED),
        ("a byte more", data + b"\0", Reason.TRAILING_BYTES),
        ("another base root", data[:8] + bytes(32) + data[40:], Reason.GRINDING),
    ):
        book.refuse(name, reason, "the file's own form", **good, proof=made)


def _misused(book: Book) -> None:
    """Proofs that are good, for something else."""
    proof = honest("fibonacci")
    good = _given(fibonacci())
    start = {"relation": edited(good["relation"], lambda d: d["publics"].update(start=[8]))}
    binding = {"relation": edited(good["relation"], lambda d: d.update(binding="00" * 32))}
    taller = {"relation": edited(good["relation"], lambda d: d.update(log2_rows=11))}
    longer = {"relation": edited(good["relation"], lambda d: d["publics"].update(start=[7] * 513))}
    other = {name: data for name, data in _given(ledger()).items() if name != "params"}
    greedy = {"params": params_bytes(replace(TEST, queries=252))}
    for name, change, reason, note in (
        ("another public value", start, Reason.CONSTRAINTS, "a public column starts with another word"),
        ("another statement", binding, Reason.GRINDING, "the proof is bound to a digest"),
        ("twice the rows", taller, Reason.NON_CANONICAL, "lengths follow from it: digests are read as words"),
        ("another circuit", other, Reason.NON_CANONICAL, "lengths follow from it"),
        ("a public column too long", longer, Reason.CAPACITY, "it would reach the hidden rows"),
        ("another rate", {"params": params_bytes(RATE_QUARTER)}, Reason.GRINDING, "the caller chooses the parameters"),
        ("more queries than hidden rows", greedy, Reason.UNACCEPTABLE_PARAMETERS, "they would not stay hidden"),
    ):  # fmt: skip
        book.refuse(name, reason, note, **good | change, proof=proof)


def challenges() -> Book:
    """Challenges at which a terminal does not exist: no proof can lead there, so this is a check by itself."""
    book = Book("challenges")
    given = {name: data for name, data in _given(ledger()).items() if name != "params"}
    beta = (3, 1, 4, 1, 5)
    drawn = {"r": [1, 2, 3, 4, 5], "alpha": [5, 4, 3, 2, 1], "beta": list(beta)}
    book.accept("any", "every fraction exists", **given, challenges=dumps(drawn))
    for slot in json.loads(given["relation"])["totals"][:2]:
        alpha = ext_add(lift(2), ext_mul(beta, lift(slot[0])))
        note = f"alpha = 2 + {slot[0]} beta: a denominator is zero"
        data = dumps(drawn | {"alpha": list(alpha)})
        book.refuse("no terminal", Reason.OUT_OF_DOMAIN_POINT, note, **given, challenges=data)
    return book


def kept(fresh: bool) -> Mapping[str, bytes]:
    """The files of a publication of one shard with a real proof; what they are made from is fixed."""
    if fresh:
        return equity(1)
    (first, *_) = read(path_of("publication"))
    return {name: data for name, data in first.inputs.items() if name != "params"}


def publications(files: Mapping[str, bytes]) -> tuple[Book, Book]:
    whole, one = Book("publication"), Book("proof")
    params = {"params": params_bytes(TEST)}
    document, proof = shard_file(0), proof_file(0)
    good = dict(files) | params
    whole.add("with test parameters", None, "a production profile's proof would not fit here", good)
    single = params | {
        "statement": files[STATEMENT_FILE], "shard": files[document], "index": b"0", "proof": files[proof]
    }  # fmt: skip
    one.accept("of the equity circuit", "2^17 rows, four queries", **single)
    data = files[proof]
    for name, made, reason in (
        ("another base root", data[:8] + bytes(32) + data[40:], Reason.GRINDING),
        ("a byte more", data + b"\0", Reason.TRAILING_BYTES),
        ("a byte less", data[:-1], Reason.MALFORMED),
        ("the last digest changed", data[:-1] + bytes([data[-1] ^ 1]), Reason.FRI_LAYER),
    ):
        one.refuse(name, reason, "the honest proof, changed", **single | {"proof": made})
        whole.add(name, reason, "the honest proof, changed", good | {proof: made, **_relisted(good, proof, made)})
    other = edited(files[document], lambda d: d.update(root="01000000" + d["root"][8:]))
    one.refuse(
        "another tree", Reason.GRINDING, "the proof is bound to the shard's document", **single | {"shard": other}
    )
    whole.add("another tree", Reason.SHARDS, "the statement's root is over the documents", good | {document: other})
    unasked = {name: data for name, data in good.items() if name != "params"}
    whole.add("test parameters that nobody asked for", Reason.UNACCEPTABLE_PROFILE, "the caller chooses", unasked)
    high = good | {"params": params_bytes(replace(TEST, queries=5))}
    whole.add("other parameters", Reason.UNACCEPTABLE_PARAMETERS, "every number is in the digest", high)
    for name in (STATEMENT_FILE, document, proof):
        missing = {key: value for key, value in good.items() if key != name}
        whole.add(f"without {name}", Reason.FILE_MISSING, "always there", missing)
    unlisted = good | {RESERVES_FILE: files[RESERVES_FILE] + b"\n"}
    whole.add("reserves with an empty line", Reason.RESERVES, "no asset and no amount", unlisted)
    more = good | {RESERVES_FILE: files[RESERVES_FILE].replace(b"9\n", b"8\n", 1)}
    whole.add("other reserves than listed", Reason.MANIFEST, "the manifest has their digest", more)
    alone = {key: value for key, value in good.items() if key not in (RESERVES_FILE, MANIFEST_FILE)}
    whole.add(
        "evidence without reserves", Reason.RESERVES, "it is about a file", alone | {RESERVES_EVIDENCE_FILE: b"{}\n"}
    )
    whole.add(
        "prices that nobody named", Reason.PRICE_EVIDENCE, "the statement names none", good | {PRICES_FILE: b"{}\n"}
    )
    whole.add(
        "a fund of another statement",
        Reason.WRONG_STATEMENT,
        "its bundle is for another",
        good | {FUND_FILE: publication().bundle(0)},
    )
    tree = publication("solvency_equity_v1_poseidon2")
    files_ = {STATEMENT_FILE: tree.statement.to_bytes(), document: tree.shard.to_bytes(), proof: b""}
    whole.add("another tree hash", Reason.UNKNOWN_CIRCUIT, "accepted only where it is asked for", files_)
    return whole, one


def _relisted(files: Mapping[str, bytes], name: str, data: bytes) -> dict[str, bytes]:
    """The manifest of the changed files: it is not what refuses them."""
    listed = parse_manifest(files[MANIFEST_FILE])
    new = tuple(
        replace(f, size=len(data), sha256=hashlib.sha256(data).digest()) if f.name == name else f for f in listed.files
    )
    return {MANIFEST_FILE: replace(listed, files=new).to_bytes()}


def books(fresh: bool) -> list[Book]:
    return [toys(), challenges(), *publications(kept(fresh))]
