"""Vectors about manifests and the transparency log."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from api.evidence import file_proof
from api.notes import log_key
from tests.vectors.book import Book
from tests.vectors.make_accounts import WITNESS, changed, parametrized, receipt
from tests.verifier import test_ed25519, test_manifest
from tests.verifier.log import test_notes, test_policy, test_proof_and_fraud, test_tree
from tests.verifier.log.signers import cosigned, key_of, policy_text, root, signed
from tests.verifier.log.test_command import AFTER, BEFORE
from verifier.canonical import dumps
from verifier.ed25519 import L
from verifier.errors import Reason
from verifier.log.note import ED25519, VerifierKey
from verifier.manifest import File, parse_manifest

MANIFEST = Reason.MANIFEST


def manifests() -> tuple[Book, Book]:
    whole, single = Book("manifest"), Book("file-proof")
    good = {"manifest": receipt().manifest, "statement": receipt().statement}
    whole.accept("of a publication", "digest, length and role of every file, and their root", **good)
    for number, change in enumerate(parametrized(test_manifest.test_changed_manifests)):
        if number < 11:  # the last one is about the files, not about the manifest
            changed(whole, good, "manifest", [("a value or a file changed", change, MANIFEST)])
    changed(whole, good, "manifest", [
        ("a file of another name", lambda d: d["files"][0].update(name="private.json"), Reason.MALFORMED),
        ("a file in another folder", lambda d: d["files"][0].update(name="../statement.json"), Reason.MALFORMED),
        ("a file of 2^40 bytes", lambda d: d["files"][0].update(bytes=2**40), Reason.MALFORMED),
        ("another format", lambda d: d.update(format="solvent/manifest/v2"), Reason.UNKNOWN_VERSION),
    ])  # fmt: skip
    listed = test_manifest.manifest(5)
    data = b"the file"
    file = File("reserves.csv", len(data), hashlib.sha256(data).digest())
    listed = replace(listed, files=(file, *listed.files[1:]))
    proof = {"proof": file_proof(listed, 0), "file": data, "evidence": listed.evidence}
    single.accept("one of five", "its digest leads to the root without the other files", **proof)
    single.refuse("another file", MANIFEST, "same length, other bytes", **proof | {"file": b"the fi1e"})
    single.refuse("a longer file", MANIFEST, "other length", **proof | {"file": data + b" "})
    single.refuse("another root", MANIFEST, "the root of a log entry decides", **proof | {"evidence": bytes(32)})
    changed(single, proof, "proof", [
        ("another number", lambda d: d.update(index=1), MANIFEST),
        ("a number too high", lambda d: d.update(index=5), Reason.MALFORMED),
        ("another count", lambda d: d.update(count=6), MANIFEST),
        ("a step less", lambda d: d["path"].pop(), MANIFEST),
        ("a step more", lambda d: d["path"].append({"digest": "00" * 32}), MANIFEST),
        ("another name", lambda d: d["file"].update(name="risk.json", role="risk"), MANIFEST),
        ("another role", lambda d: d["file"].update(role="risk"), MANIFEST),
    ])  # fmt: skip
    return whole, single


def notes() -> tuple[Book, Book]:
    note, checkpoint = Book("note"), Book("checkpoint")
    note.accept("the specification's example", "c2sp.org/signed-note", note=test_notes.EXAMPLE)
    note.accept("of the Go checksum database", "as published", note=test_notes.SUMDB)
    for data, reason in parametrized(test_notes.test_notes_of_another_form_are_refused):
        note.refuse("another form", reason, "a note has one spelling", note=data)
    policy = policy_text("w1", "w2", k=2).encode()
    checkpoint.accept(
        "a quorum", "signed by the log, cosigned by both witnesses", checkpoint=test_notes.GOOD, policy=policy
    )
    alone = signed(7, root("seven"))
    checkpoint.accept(
        "nobody asked for", "a policy may ask for no witness", checkpoint=alone, policy=policy_text().encode()
    )
    for data, reason in parametrized(test_notes.test_one_reason_per_damage):
        checkpoint.refuse(reason.value, reason, "one byte string of it changed", checkpoint=data, policy=policy)
    head = parametrized(test_notes.test_texts_that_are_no_tree_heads)
    for text in head:
        data = f"{text}\n{test_notes.SIGNATURE}".encode()
        checkpoint.refuse(
            "no tree head",
            Reason.MALFORMED,
            "origin, size and root, each in one spelling",
            checkpoint=data,
            policy=policy,
        )
    empty = f"origin\n0\n{test_notes.ROOT}\n\n{test_notes.SIGNATURE}".encode()
    note_ = "an empty tree has the root of nothing"
    checkpoint.refuse("an empty tree's root", Reason.LOG_CONSISTENCY, note_, checkpoint=empty, policy=policy)
    late = cosigned(alone, "w1", time=2**63)
    checkpoint.refuse(
        "seen too late",
        Reason.COSIGNATURE,
        "no time of 2^63 seconds",
        checkpoint=late,
        policy=policy_text("w1", k=1).encode(),
    )
    return note, checkpoint


def policies() -> Book:
    book = Book("log-policy")
    book.accept("the specification's example", "groups of witnesses and of groups", policy=test_policy.EXAMPLE.encode())
    book.accept("no witness", "asked for by nobody", policy=policy_text().encode())
    for what, name in (("600 astral characters", "\U0001f98a" * 600), ("a byte order mark", "a\ufeffb")):
        key = VerifierKey(name, ED25519, key_of("fox").public_key().public_bytes_raw())
        note = "names are counted in code points, and only Unicode's White_Space is a blank"
        book.accept(f"a name with {what}", note, policy=f"log {key.vkey}\nquorum none\n".encode())
    for text, what in parametrized(test_policy.test_refused_lines):
        book.refuse(what, Reason.LOG_POLICY, f"this line expects {what}", policy=text.encode())
    for name, data, reason in (
        ("not UTF-8", b"quorum none\n#\xff\n", Reason.LOG_POLICY),
        ("a vertical tab in a comment", b"quorum none\n#\x0b\n", Reason.LOG_POLICY),
        ("65,537 bytes", b"quorum none\n" + b"\n" * (2**16 - 11), Reason.FILE_TOO_LARGE),
        (
            "65 logs",
            b"".join(b"log %s\n" % log_key(f"l{i}", key_of(f"l{i}")).vkey.encode() for i in range(65)),
            Reason.LOG_POLICY,
        ),
    ):
        book.refuse(name, reason, "bounded before it is read", policy=data)
    return book


def proofs() -> tuple[Book, Book]:
    """Proofs of an entry, and of a publication's documents."""
    entry, publication_ = Book("log-proof"), Book("log")
    policy = policy_text("w1", "w2", "w3", k=2).encode()
    proof, leaf = test_proof_and_fraud.PROOF.to_bytes(), test_tree.LARGE[test_proof_and_fraud.INDEX]
    good = {"log_proof": proof, "entry": leaf, "policy": policy}
    entry.accept("in a log of 700", "path, signature and quorum", **good)
    entry.refuse("another entry", Reason.LOG_INCLUSION, "the path is another's", **good | {"entry": b"entry 0"})
    for data, reason in parametrized(test_proof_and_fraud.test_heads_of_another_form):
        made = data.encode() + b"\n\n" + test_proof_and_fraud.CHECKPOINT
        entry.refuse("another head", reason, "a proof has one spelling", **good | {"log_proof": made})
    for name, made, reason in (
        ("a byte order mark", b"\xef\xbb\xbf" + proof, Reason.MALFORMED),
        ("the head before the checkpoint", proof.replace(b"@v1", b"@v2")[:-9] + b"\xff\n", Reason.UNKNOWN_VERSION),
        ("a checkpoint that is no text", proof[:-9] + b"\xff\n", Reason.MALFORMED),
    ):
        entry.refuse(name, reason, "what is read first is refused first", **good | {"log_proof": made})
    documents = {"manifest": receipt().manifest, "log_proof": receipt().log_proof, "statement": receipt().statement}
    asked = documents | {"policy": policy_text(WITNESS, k=1).encode()}
    publication_.accept("logged and witnessed", "manifest, log and witnesses agree on the statement", **asked)
    publication_.accept("without a policy", "inclusion alone", **documents)
    more = policy_text(WITNESS, "w2", k=2).encode()
    publication_.refuse("too few witnesses", Reason.WITNESS_QUORUM, "two are asked for", **asked | {"policy": more})
    stranger = policy_text(log=log_key("example.com/log", key_of("stranger")).vkey).encode()
    publication_.refuse("another key", Reason.LOG_SIGNATURE, "same origin", **asked | {"policy": stranger})
    other = policy_text(log=log_key("example.com/other", key_of("log")).vkey).encode()
    publication_.refuse("another log", Reason.LOG_ORIGIN, "another origin", **asked | {"policy": other})
    changed(
        publication_,
        asked,
        "manifest",
        [("another length of a file", lambda d: d["files"][0].update(bytes=1), MANIFEST)],
    )
    resealed = replace(parse_manifest(receipt().manifest), files=_larger(receipt().manifest)).to_bytes()
    publication_.refuse(
        "a manifest in no log", Reason.LOG_INCLUSION, "agrees with itself", **asked | {"manifest": resealed}
    )
    return entry, publication_


def _larger(manifest: bytes) -> Any:
    first, *others = parse_manifest(manifest).files
    return (replace(first, size=first.size + 1), *others)


def histories() -> tuple[Book, Book, Book]:
    """Consistency of two trees, fraud, and a whole log."""
    grown, fraud, whole = Book("consistency"), Book("fraud"), Book("log-audit")
    for vector in test_tree.VECTORS["consistency"]:
        if vector["name"] not in test_tree.NO_DIGESTS:
            _consistent(grown, vector)
    good = policy_text().encode()
    fraud.accept(
        "two roots of one size",
        "this convicts the log",
        one=test_proof_and_fraud.ONE,
        other=test_proof_and_fraud.OTHER,
        policy=good,
    )
    for one, other, reason in parametrized(test_proof_and_fraud.test_nobody_is_convicted_by_less):
        fraud.refuse(reason.value, reason, "convicts nobody", one=one, other=other, policy=good)
    of = receipt()
    middle = parse_manifest(of.manifest).entry
    honest = [BEFORE, replace(middle, previous=BEFORE.statement), AFTER]
    honest[2] = replace(AFTER, previous=middle.statement)
    chains: list[tuple[str, list[Any], Reason | None]] = [
        ("a chain", honest, None),
        ("another exchange", [honest[0], replace(honest[1], exchange="zeta")], Reason.LOG_ENTRY),
        ("a number twice", [honest[0], honest[0]], Reason.LOG_ENTRY),
        ("another previous", [honest[0], replace(honest[1], previous=bytes(32))], Reason.LOG_ENTRY),
    ]
    policy = policy_text("w1", k=1).encode()
    for name, entries, expected in chains:
        files = _log_of([entry.to_bytes() for entry in entries])
        whole.add(
            name,
            expected,
            "entries are one exchange's, growing, each naming the one before",
            files | {"policy": policy},
        )
    files = _log_of([entry.to_bytes() for entry in honest])
    missing = {name: data for name, data in files.items() if not name.startswith("tile/entries")}
    whole.refuse("entries missing", Reason.FILE_MISSING, "a log shows all of itself", **missing, policy=policy)
    swapped = files | {"checkpoint": cosigned(signed(3, root("another")), "w1")}
    whole.refuse(
        "another root", Reason.LOG_CONSISTENCY, "entries hash to the checkpoint's root", **swapped, policy=policy
    )
    return grown, fraud, whole


def _log_of(entries: Sequence[bytes]) -> dict[str, bytes]:
    checkpoint = cosigned(signed(len(entries), test_tree.root_of(entries)), "w1")
    return {**test_tree.files_of(entries), "checkpoint": checkpoint}


def _consistent(book: Book, vector: dict[str, Any]) -> None:
    claim = {
        "old_size": vector["size1"],
        "size": vector["size2"],
        "old_root": test_tree.decoded(vector["root1"]).hex(),
        "root": test_tree.decoded(vector["root2"]).hex(),
        "proof": [digest.hex() for digest in test_tree.proof_of(vector)],
    }
    reason = Reason.LOG_CONSISTENCY if vector["wantErr"] else None
    book.add(vector["name"], reason, "of the transparency-dev project's own vectors", {"claim": dumps(claim)})


def signatures() -> Book:
    book = Book("ed25519")
    for number, (_, key, message, signature) in enumerate(test_ed25519.RFC_8032, start=1):
        parts = {"key": bytes.fromhex(key), "message": bytes.fromhex(message), "signature": bytes.fromhex(signature)}
        book.accept(f"RFC 8032, {number}", "section 7.1", **parts)
        half = int.from_bytes(parts["signature"][32:], "little") + L
        wrapped = parts["signature"][:32] + half.to_bytes(32, "little")
        book.refuse("s + L", Reason.SIGNATURE, "s is below the group's order", **parts | {"signature": wrapped})
        book.refuse(
            "another message", Reason.SIGNATURE, "one byte more", **parts | {"message": parts["message"] + b"x"}
        )
    for message, key, r, s in test_ed25519.EDGE_CASES:
        book.refuse("edge case", Reason.SIGNATURE, "small or mixed order, or another spelling (Taming the Many EdDSAs)",
                    key=bytes.fromhex(key), message=bytes.fromhex(message), signature=bytes.fromhex(r + s))  # fmt: skip
    return book


def books() -> list[Book]:
    return [*manifests(), *notes(), policies(), *proofs(), *histories(), signatures()]
