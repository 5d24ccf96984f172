"""Every file has a greatest length, which is looked at before anything else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.verifier.small_tree import publication
from verifier.errors import MalformedProof, Reason, VerificationError
from verifier.files import read_file
from verifier.inclusion import BUNDLE_BYTES_MAX, check_bundle
from verifier.log.note import NOTE_BYTES_MAX, parse_note
from verifier.log.policy import POLICY_BYTES_MAX, parse_policy
from verifier.log.proof import PROOF_BYTES_MAX, parse_log_proof
from verifier.manifest import (
    ENTRY_BYTES_MAX,
    FILE_PROOF_BYTES_MAX,
    MANIFEST_BYTES_MAX,
    File,
    check_file_proof,
    parse_entry,
    parse_manifest,
)
from verifier.opening import OPENING_BYTES_MAX, check_opening
from verifier.prices import PRICES_BYTES_MAX, parse_evidence
from verifier.quotes import SIGNED_QUOTES_BYTES_MAX, parse_signed_quotes
from verifier.receipt import RECEIPT_BYTES_MAX, parse_receipt
from verifier.reserves import RESERVES_BYTES_MAX, parse_reserves
from verifier.reserves_evidence import EVIDENCE_BYTES_MAX, parse_reserves_evidence
from verifier.shards import SHARD_BYTES_MAX, parse_shard
from verifier.statement import STATEMENT_BYTES_MAX, parse_statement

READERS: dict[str, tuple[Callable[[bytes], object], int]] = {
    "statement": (parse_statement, STATEMENT_BYTES_MAX),
    "shard": (lambda data: parse_shard(data, publication().statement, 0), SHARD_BYTES_MAX),
    "bundle": (check_bundle, BUNDLE_BYTES_MAX),
    "opening": (lambda data: check_opening(data, publication().statement), OPENING_BYTES_MAX),
    "prices": (parse_evidence, PRICES_BYTES_MAX),
    "quotes": (parse_signed_quotes, SIGNED_QUOTES_BYTES_MAX),
    "reserves": (lambda data: parse_reserves(data, ()), RESERVES_BYTES_MAX),
    "reserves evidence": (parse_reserves_evidence, EVIDENCE_BYTES_MAX),
    "manifest": (parse_manifest, MANIFEST_BYTES_MAX),
    "log entry": (parse_entry, ENTRY_BYTES_MAX),
    "file proof": (lambda data: check_file_proof(data, File("", 0, b""), bytes(32)), FILE_PROOF_BYTES_MAX),
    "note": (parse_note, NOTE_BYTES_MAX),
    "policy": (parse_policy, POLICY_BYTES_MAX),
    "log proof": (parse_log_proof, PROOF_BYTES_MAX),
    "receipt": (parse_receipt, RECEIPT_BYTES_MAX),
}


@pytest.mark.negative
@pytest.mark.parametrize("name", READERS)
def test_a_file_of_one_byte_more_is_too_large(name: str) -> None:
    read, longest = READERS[name]
    with pytest.raises(VerificationError) as caught:
        read(b"\xff" * longest)
    assert caught.value.reason is not Reason.FILE_TOO_LARGE
    with pytest.raises(MalformedProof) as caught:
        read(b"\xff" * (longest + 1))
    assert caught.value.reason is Reason.FILE_TOO_LARGE


@pytest.mark.negative
def test_no_more_is_read_than_expected(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"four")
    assert read_file(path, 4) == b"four"
    with pytest.raises(MalformedProof) as caught:
        read_file(path, 3)
    assert caught.value.reason is Reason.FILE_TOO_LARGE
    with pytest.raises(MalformedProof, match="not a path"):
        read_file(tmp_path / "a\0b", 4)
