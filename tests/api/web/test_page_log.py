"""The page's check of the transparency log, and its Ed25519, against the verifier's."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from typing import Any

import pytest

from api.page import WEB
from tests.api.web.code import judge, needs_node, text
from tests.api.web.forgeries import HOLDER, at_random
from tests.api.web.publications import published, series
from tests.verifier.log.signers import cosigned, key_of, policy_text, signed
from tests.verifier.test_ed25519 import BASE, EDGE_CASES, NEUTRAL, RFC_8032, challenge, pack, times
from verifier.canonical import dumps
from verifier.ed25519 import L, is_valid
from verifier.errors import VerificationError
from verifier.log.note import ED25519, VerifierKey
from verifier.log.policy import parse_policy
from verifier.log.proof import LogProof, check_log_proof, parse_log_proof
from verifier.log.tree import leaf_hash, node_hash
from verifier.manifest import LOG_PROOF_FILE, MANIFEST_FILE, ROLES, parse_manifest
from verifier.receipt import Receipt, parse_receipt

pytestmark = needs_node
STATEMENT = series(3)[1].statement


def _signatures() -> list[tuple[bytes, bytes, bytes]]:
    source = random.Random(3)
    good = [(bytes.fromhex(k), bytes.fromhex(m), bytes.fromhex(s)) for _, k, m, s in RFC_8032]
    cases = [*good, *((bytes.fromhex(k), bytes.fromhex(m), bytes.fromhex(r + s)) for m, k, r, s in EDGE_CASES)]
    for key, message, signature in good:
        above = int.from_bytes(signature[32:], "little") + L
        cases.append((key, message, signature[:32] + above.to_bytes(32, "little")))
        for _ in range(3):
            at, bit = source.randrange(64), 1 << source.randrange(8)
            cases.append((key, message, signature[:at] + bytes([signature[at] ^ bit]) + signature[at + 1 :]))
        cases += [(key, message + b"x", signature), (key[::-1], message, signature), (key, message, signature[:63])]
    key_point, message = times(12345, BASE), b"message"
    s = challenge(NEUTRAL, key_point, message) * 12345 % L  # an honest R is never the neutral element
    cases.append((pack(key_point), message, pack(NEUTRAL) + s.to_bytes(32, "little")))
    message = source.randbytes(200)
    private = key_of("any")
    cases.append((private.public_key().public_bytes_raw(), message, private.sign(message)))
    return cases


def test_signatures() -> None:
    cases = _signatures()
    got = judge(signatures=[[text(part) for part in case] for case in cases])["signatures"]
    assert got == [is_valid(*case) for case in cases]
    assert got.count(True) == 5


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """Log proof and manifest of the second of three publications."""
    store, folders = published(tmp_path_factory.mktemp("published"))
    store.close()
    return (folders[1] / LOG_PROOF_FILE).read_bytes(), (folders[1] / MANIFEST_FILE).read_bytes()


def test_roles_are_the_verifier_s() -> None:
    found = re.findall(r"^  \[/\^(.*)\$/, \"([a-z-]+)\"\],$", (WEB / "log.js").read_text("utf-8"), re.M)
    assert [(pattern.replace("\\/", "/"), role) for pattern, role in found] == [(p.pattern, r) for p, r in ROLES]


def _receipts(proof: bytes, manifest: bytes) -> list[bytes]:
    good = Receipt(series(3)[1].bundle(HOLDER), STATEMENT.to_bytes(), manifest, proof)
    data, body = good.to_bytes(), json.loads(good.to_bytes())
    changed: list[dict[str, Any]] = [
        {"log_proof": None}, {"log_proof": "x" * (2**19 + 1)}, {"log_proof": "\ud83e\udd8a" * 2**18},
        {"manifest": None}, {"bundle": []}, {"more": 1}, {"format": "solvent/receipt/v2"}, {"format": 1},
    ]  # fmt: skip
    some = [data, *(dumps(body | one) for one in changed), dumps({k: v for k, v in body.items() if k != "statement"})]
    return [*some, data + b" ", data[:-1], data + b"{}", data.replace(b":", b": ", 1), data[:1000],
            *at_random(data, 40, random.Random(9))]  # fmt: skip


def test_receipts_come_apart_as_in_the_verifier(files: tuple[bytes, bytes]) -> None:
    cases = _receipts(*files)
    expected: list[tuple[str | None, str | None, list[str]]] = []
    for data in cases:
        try:
            of = parse_receipt(data)
        except VerificationError as error:
            expected.append((error.reason.value, str(error.where["field"]), [""]))
        else:
            documents = (of.bundle, of.statement, of.manifest, of.log_proof)
            expected.append((None, None, [document.hex() for document in documents]))
    got = judge(receipts=[text(data) for data in cases])["receipts"]
    assert [(one.get("reason"), one.get("field"), one["parts"]) for one in got] == expected
    assert sum(reason is None for reason, _, _ in expected) > 10 < sum(reason is not None for reason, _, _ in expected)


def _expected(proof: bytes, manifest: bytes, policy: str | None) -> str | None:
    """The verifier's reason, of the same checks in the same order."""
    try:
        listed = parse_manifest(manifest)
        stated = (STATEMENT.exchange, STATEMENT.sequence, STATEMENT.digest, STATEMENT.previous)
        digests = [file.sha256 for file in listed.files if file.role == "statement"]
        if (listed.exchange, listed.sequence, listed.statement, listed.previous) != stated or digests[0] != stated[2]:
            return "manifest"
        parsed = parse_log_proof(proof)
        if policy is None:
            return None
        check_log_proof(parsed, leaf_hash(listed.entry.to_bytes()), parse_policy(policy.encode()))
    except VerificationError as error:
        return error.reason.value
    return None


def _judged(cases: list[tuple[bytes, bytes, str | None]]) -> list[dict[str, Any]]:
    stated = text(STATEMENT.to_bytes())
    ask = [{"proof": text(p), "manifest": text(m), "policy": policy, "statement": stated} for p, m, policy in cases]
    answer: list[dict[str, Any]] = judge(logs=ask)["logs"]
    return answer


def _damaged(data: bytes, count: int, seed: int) -> list[bytes]:
    source = random.Random(seed)
    out = []
    for _ in range(count):
        at = source.randrange(len(data))
        new = source.choice((bytes([data[at] ^ 1 << source.randrange(7)]), b"", b"A", b"\n"))
        out.append(data[:at] + new + data[at + 1 :])
    return out


def test_damaged_proofs_and_manifests(files: tuple[bytes, bytes]) -> None:
    proof, manifest = files
    policy = policy_text()
    cases: list[tuple[bytes, bytes, str | None]] = [(proof, manifest, policy), (proof, manifest, None)]
    cases += [(data, manifest, policy) for data in _damaged(proof, 80, 1)]
    cases += [(proof, data, policy) for data in at_random(manifest, 60, random.Random(2))]
    listed = parse_manifest(manifest)
    others = tuple(replace(file, sha256=bytes(32)) if file.role == "statement" else file for file in listed.files)
    cases.append((proof, replace(listed, files=listed.files[::-1]).to_bytes(), policy))
    cases.append((proof, replace(listed, files=others).to_bytes(), policy))
    answers = _judged(cases)
    assert [answer["reason"] for answer in answers] == [_expected(*case) for case in cases]
    assert answers[-1]["field"] == "statement.json"
    assert [step["ok"] for step in answers[0]["steps"]] == [True, True, False, True]
    assert [step["ok"] for step in answers[1]["steps"]] == [True, False, False, True]
    assert {answer["failed"] for answer in answers} >= {None, "9 files", "10 log signature"}


def test_inclusion_at_every_size(files: tuple[bytes, bytes]) -> None:
    """Every index of small trees, with the right path, a wrong one, one more and one less."""
    leaf = leaf_hash(parse_manifest(files[1]).entry.to_bytes())

    def tree(leaves: list[bytes], index: int) -> tuple[bytes, list[bytes]]:
        if len(leaves) == 1:
            return leaves[0], []
        left = 1 << (len(leaves) - 1).bit_length() - 1
        here, there = (leaves[:left], leaves[left:]) if index < left else (leaves[left:], leaves[:left])
        root, path = tree(here, index if index < left else index - left)
        other, _ = tree(there, 0)
        return node_hash(root, other) if index < left else node_hash(other, root), [*path, other]

    cases: list[tuple[bytes, bytes, str | None]] = []
    for size in range(1, 7):
        for index in range(size):
            leaves = [leaf if i == index else leaf_hash(b"%d" % i) for i in range(size)]
            root, path = tree(leaves, index)
            good = LogProof(index, tuple(path), signed(size, root))
            for proof in (good, replace(good, index=size), replace(good, index=(index + 1) % size),
                          replace(good, path=(*path, leaf)), replace(good, path=tuple(path[1:]))):  # fmt: skip
                cases.append((proof.to_bytes(), files[1], policy_text()))
    answers = _judged(cases)
    assert [answer["reason"] for answer in answers] == [_expected(*case) for case in cases]
    assert {answer["failed"] for answer in answers} == {None, "12 log inclusion"}
    said = [answer["message"] for answer in answers]
    assert all("an index below the size" in message for message in said[1::5])
    assert all("digests" in message for message in [*said[3::5], *said[4::5]] if message)


def test_witnesses(files: tuple[bytes, bytes]) -> None:
    proof, manifest = files
    parsed = parse_log_proof(proof)
    both = replace(parsed, checkpoint=cosigned(parsed.checkpoint, "w1", "w2")).to_bytes()
    one = replace(parsed, checkpoint=cosigned(parsed.checkpoint, "w1")).to_bytes()
    late = both.replace(b"w2", b"w3")
    wrong_key = policy_text(log=policy_text("other").split()[1].replace("example.com", "other.com"))
    policies = [policy_text("w1", "w2", k=1), policy_text("w1", "w2", k=2), policy_text("w3", k=1), wrong_key,
                "quorum none\n", "log x\nquorum none\n", "", policy_text("w1", "w2", k=2).replace("group", "grpup"),
                policy_text("w1", "w2", k=2).replace("all-of-them 2", "all-of-them 3"),
                policy_text() + policy_text().split("\n")[0] + "\n"]  # fmt: skip
    policies.append(policy_text("w1", "w2", k=1).replace("w1 w2\n", "w1 w1\n"))
    cases = [(proof, manifest, policy) for proof in (proof, one, both, late) for policy in policies]
    answers = _judged([*cases])
    assert [answer["reason"] for answer in answers] == [_expected(*case) for case in cases]
    reasons = {answer["reason"] for answer in answers}
    assert reasons >= {None, "witness-quorum", "log-origin", "log-policy"}


def test_what_is_read_first(files: tuple[bytes, bytes]) -> None:
    """A proof's head before its checkpoint, bytes before characters, and blanks as the verifier counts them."""
    proof, manifest = files
    odd = [
        b"\xef\xbb\xbf" + proof,
        proof.replace(b"@v1", b"@v2")[:-9] + b"\xff\n",
        proof[:-9] + b"\xff\n",
        b"\n\n" + proof,
    ]
    policies = [
        policy_text() + line for line in ("# \x0b\n", "# \x7f\n", "# \r\n", f"#{'é' * 2**15}\n", "# \t\ufeff\n")
    ]
    for name in ("\U0001f98a" * 600, "a\ufeffb"):
        key = VerifierKey(name, ED25519, key_of("fox").public_key().public_bytes_raw())
        policies.append(f"log {key.vkey}\n{policy_text()}")
    cases: list[tuple[bytes, bytes, str | None]] = [(data, manifest, policy_text()) for data in odd]
    cases += [(proof, manifest, policy) for policy in policies]
    answers = _judged(cases)
    assert [answer["reason"] for answer in answers] == [_expected(*case) for case in cases]
    assert [answer["ok"] for answer in answers[-3:]] == [True] * 3
