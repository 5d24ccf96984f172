"""tlog-proof files and fraud proofs."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.verifier.log.signers import LOG_VKEY, ORIGIN, cosigned, key_of, policy, root, signed
from tests.verifier.log.test_tree import LARGE, LARGE_FILES
from verifier.errors import BadLog, Reason, VerificationError
from verifier.log.fraud import verify_fraud
from verifier.log.proof import PROOF_BYTES_MAX, LogProof, check_log_proof, pack_digests, parse_log_proof
from verifier.log.tiles import Tiles
from verifier.log.tree import PROOF_DIGESTS_MAX, leaf_hash

SIZE, INDEX = 300, 77
TILES = Tiles(LARGE_FILES.__getitem__, SIZE)
CHECKPOINT = cosigned(signed(SIZE, TILES.root()), "w1", "w2")
PROOF = LogProof(INDEX, tuple(TILES.inclusion(INDEX)), CHECKPOINT)
POLICY = policy("w1", "w2", "w3", k=2)


def test_the_file_s_form_is_the_specification_s() -> None:
    # transparency-dev/formats @ 0b850f1, proof/tlog_proof_test.go: the same fields, a checkpoint in place of theirs.
    one, two = (hashlib.sha256(text).digest() for text in (b"hash1", b"hash2"))
    note = signed(9, root("nine"))
    lines = [base64.b64encode(digest).decode() for digest in (one, two)]
    expected = f"c2sp.org/tlog-proof@v1\nindex 5\n{lines[0]}\n{lines[1]}\n\n".encode() + note
    assert LogProof(5, (one, two), note).to_bytes() == expected
    extra = f"c2sp.org/tlog-proof@v1\nextra ZXh0cmEgaW5mb3JtYXRpb24=\nindex 10\n{lines[0]}\n\n".encode() + note
    assert LogProof(10, (one,), note, b"extra information").to_bytes() == extra
    none = b"c2sp.org/tlog-proof@v1\nindex 0\n\n" + note
    assert LogProof(0, (), note).to_bytes() == none
    for data in (expected, extra, none):
        assert parse_log_proof(data).to_bytes() == data


def test_inclusion_signature_and_quorum() -> None:
    read = parse_log_proof(PROOF.to_bytes())
    assert read == PROOF
    opened = check_log_proof(read, leaf_hash(LARGE[INDEX]), POLICY)
    assert (opened.checkpoint.size, len(opened.witnesses)) == (SIZE, 2)


@pytest.mark.negative
def test_another_entry_is_not_included() -> None:
    with pytest.raises(BadLog) as caught:
        check_log_proof(PROOF, leaf_hash(LARGE[INDEX + 1]), POLICY)
    assert caught.value.reason is Reason.LOG_INCLUSION
    with pytest.raises(BadLog) as caught:
        check_log_proof(LogProof(INDEX + 1, PROOF.path, CHECKPOINT), leaf_hash(LARGE[INDEX]), POLICY)
    assert caught.value.reason is Reason.LOG_INCLUSION
    with pytest.raises(BadLog) as caught:
        check_log_proof(PROOF, leaf_hash(LARGE[INDEX]), policy("w1", "w3", k=2))
    assert caught.value.reason is Reason.WITNESS_QUORUM


HEAD = "c2sp.org/tlog-proof@v1"
DIGEST = base64.b64encode(bytes(32)).decode()


@pytest.mark.negative
@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ("wrong-header\nindex 0", Reason.UNKNOWN_VERSION),
        ("c2sp.org/tlog-proof@v2\nindex 0", Reason.UNKNOWN_VERSION),
        (f"{HEAD}\nextra !!notbase64!!\nindex 0", Reason.MALFORMED),
        (f"{HEAD}\nextra \nindex 0", Reason.MALFORMED),
        (f"{HEAD}\nextra AA==\nextra AA==\nindex 0", Reason.MALFORMED),
        (f"{HEAD}\n", Reason.MALFORMED),
        (f"{HEAD}", Reason.MALFORMED),
        (f"{HEAD}\nindex 0\nextra AA==", Reason.MALFORMED),
        (f"{HEAD}\n5", Reason.MALFORMED),
        (f"{HEAD}\nindex notanumber", Reason.MALFORMED),
        (f"{HEAD}\nindex -5", Reason.MALFORMED),
        (f"{HEAD}\nindex 05", Reason.MALFORMED),
        (f"{HEAD}\nindex 0\nindex 0", Reason.MALFORMED),
        (f"{HEAD}\nindex 0\n!!notbase64!!", Reason.MALFORMED),
        (f"{HEAD}\nindex 0\n{base64.b64encode(bytes(64)).decode()}", Reason.MALFORMED),
        (f"{HEAD}\nindex 0\n{DIGEST[:-1]}", Reason.MALFORMED),
        (f"{HEAD}\nindex 0\n{DIGEST} ", Reason.MALFORMED),
        (f"{HEAD}\nindex 0" + f"\n{DIGEST}" * 64, Reason.MALFORMED),
        (f"{HEAD}\nindex 0\u0660", Reason.MALFORMED),
        (f"{HEAD}\nindex 0\n" + "a" * PROOF_BYTES_MAX, Reason.FILE_TOO_LARGE),
    ],
)
def test_heads_of_another_form(head: str, reason: Reason) -> None:
    with pytest.raises(VerificationError) as caught:
        parse_log_proof(head.encode() + b"\n\n" + CHECKPOINT)
    assert caught.value.reason is reason


@pytest.mark.negative
def test_an_empty_line_is_asked_for() -> None:
    with pytest.raises(VerificationError, match="an empty line and a checkpoint"):
        parse_log_proof(f"{HEAD}\nindex 0\n".encode())


@pytest.mark.negative
@pytest.mark.parametrize("tail", [b"", b"\n", CHECKPOINT[:-1], CHECKPOINT + b"\n"])
def test_a_checkpoint_has_to_follow(tail: bytes) -> None:
    with pytest.raises(VerificationError):
        parse_log_proof(f"{HEAD}\nindex 0\n\n".encode() + tail)


@pytest.mark.negative
def test_a_checkpoint_of_that_origin_has_to_follow() -> None:
    with pytest.raises(VerificationError):
        check_log_proof(parse_log_proof(f"{HEAD}\nindex 0\n\n".encode() + CHECKPOINT[5:]), leaf_hash(b""), POLICY)


def test_the_longest_path() -> None:
    head = f"{HEAD}\nindex 0" + f"\n{DIGEST}" * PROOF_DIGESTS_MAX
    assert len(parse_log_proof(head.encode() + b"\n\n" + CHECKPOINT).path) == PROOF_DIGESTS_MAX


@given(st.integers(0, len(PROOF.to_bytes()) - 1), st.integers(0, 255))
def test_no_changed_byte_is_taken(place: int, value: int) -> None:
    data = PROOF.to_bytes()
    changed = data[:place] + bytes([value]) + data[place + 1 :]
    if changed != data:
        with pytest.raises(VerificationError):
            check_log_proof(parse_log_proof(changed), leaf_hash(LARGE[INDEX]), POLICY)


ONE, OTHER = signed(7, root("one history")), signed(7, root("another history"))


def test_two_roots_of_one_size_are_fraud() -> None:
    fraud = verify_fraud(ONE, OTHER, [LOG_VKEY])
    assert (fraud.key, fraud.size, fraud.roots) == (LOG_VKEY, 7, (root("one history"), root("another history")))
    assert verify_fraud(cosigned(OTHER, "w1"), ONE, [LOG_VKEY]).size == 7


@pytest.mark.negative
@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        (ONE, ONE, Reason.NOT_FRAUD),
        (ONE, cosigned(ONE, "w1"), Reason.NOT_FRAUD),
        (ONE, signed(8, root("another history")), Reason.NOT_FRAUD),
        (ONE, signed(7, root("another history"), key=key_of("framer")), Reason.LOG_SIGNATURE),
        (signed(7, root("another history"), key=key_of("framer")), ONE, Reason.LOG_SIGNATURE),
        (ONE, signed(7, root("another history"), origin="example.com/other"), Reason.LOG_ORIGIN),
        (ONE, OTHER.replace(b"\n7\n", b"\n6\n"), Reason.LOG_SIGNATURE),
        (ONE, b"nothing", Reason.MALFORMED),
    ],
)
def test_nobody_is_convicted_by_less(one: bytes, other: bytes, reason: Reason) -> None:
    with pytest.raises(VerificationError) as caught:
        verify_fraud(one, other, [LOG_VKEY])
    assert caught.value.reason is reason


@pytest.mark.negative
def test_two_logs_of_one_key_holder_are_two_logs() -> None:
    from api.notes import log_key

    keys = [LOG_VKEY, log_key("example.com/other", key_of("log"))]
    other = signed(7, root("another history"), origin="example.com/other")
    with pytest.raises(BadLog, match=ORIGIN) as caught:
        verify_fraud(ONE, other, keys)
    assert caught.value.reason is Reason.NOT_FRAUD


def test_digests_stand_one_per_line() -> None:
    assert pack_digests([bytes(32), b"\xff" * 32]) == f"{'A' * 43}=\n{'/' * 42}8=\n"
    assert pack_digests([]) == ""
