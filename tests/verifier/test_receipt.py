"""A receipt: each of its documents is refused as if it had come alone, and they have to belong together."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.evidence import manifest_of
from tests.verifier.log.signers import cosigned, policy_text, signed
from tests.verifier.small_tree import Publication
from verifier.__main__ import main
from verifier.canonical import dumps
from verifier.errors import Reason, VerificationError
from verifier.log.proof import LogProof
from verifier.log.tree import leaf_hash, node_hash
from verifier.manifest import Manifest
from verifier.receipt import Receipt, check_user_file, claimed_sequence, is_receipt, parse_receipt

USER = 3


def manifest(of: Publication, folder: Path) -> Manifest:
    folder.mkdir()
    of.write(folder)
    return manifest_of(folder, of.statement)


def logged(of: Manifest, *witnesses: str) -> bytes:
    """The log proof of entry 1 of 2."""
    before = leaf_hash(b"an entry")
    note = cosigned(signed(2, node_hash(before, leaf_hash(of.entry.to_bytes()))), *witnesses)
    return LogProof(1, (before,), note).to_bytes()


@pytest.fixture
def listing(small: Publication, tmp_path: Path) -> Manifest:
    return manifest(small, tmp_path / "publication")


@pytest.fixture
def receipt(small: Publication, listing: Manifest) -> Receipt:
    proof = logged(listing, "w.example/1")
    return Receipt(small.bundle(USER), small.statement.to_bytes(), listing.to_bytes(), proof)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy"
    path.write_text(policy_text("w.example/1", k=1))
    return path


def test_a_receipt_is_all_that_is_needed(small: Publication, receipt: Receipt, policy: Path) -> None:
    data = receipt.to_bytes()
    assert is_receipt(data) and not is_receipt(receipt.bundle) and parse_receipt(data) == receipt
    report, against = check_user_file(data, log_policy=policy, user_id=small.accounts[USER].user_id)
    assert against is not None and report.compared and against.report is None
    assert {step.name: step.ok for step in against.steps} == {
        "0 publication": False, "files": True, "log signature": True, "witnesses": True, "log inclusion": True
    }  # fmt: skip
    assert report.worth is not None and report.statement_digest == small.statement.digest.hex()


def test_without_a_policy_the_signatures_are_left_open(receipt: Receipt) -> None:
    _, against = check_user_file(receipt.to_bytes())
    assert against is not None
    assert [step.name for step in against.steps if not step.ok] == ["0 publication", "log signature", "witnesses"]


def test_the_same_in_words(receipt: Receipt, policy: Path, tmp_path: Path) -> None:
    file, shown = tmp_path / "receipt.json", io.StringIO()
    file.write_bytes(receipt.to_bytes())
    with redirect_stdout(shown):
        assert main(["inclusion", str(file), "--log-policy", str(policy)]) == 0
    lines = shown.getvalue().splitlines()
    assert "  ok   log inclusion: the publication is entry 1 of 2" in lines
    assert lines[-1].startswith("Verdict: included in an unverified statement ")


def test_a_publication_at_hand_has_to_be_the_receipt_s(small: Publication, receipt: Receipt, tmp_path: Path) -> None:
    folder = tmp_path / "publication"
    _, against = check_user_file(receipt.to_bytes(), folder, statement_only=True)
    assert against is not None and len(against.steps) == 5
    other = small.stating(sequence=small.statement.sequence + 1)
    other.write(folder)
    with pytest.raises(VerificationError) as caught:
        check_user_file(receipt.to_bytes(), folder, statement_only=True)
    assert (caught.value.reason, caught.value.where["field"]) == (Reason.WRONG_STATEMENT, "receipt.statement")


def test_a_publication_at_hand_need_not_be_in_the_log_itself(receipt: Receipt, policy: Path, tmp_path: Path) -> None:
    """The receipt's own proof shows that; what `solvent prove` wrote has no manifest yet."""
    folder = tmp_path / "publication"
    assert not (folder / "manifest.json").exists()
    _, against = check_user_file(receipt.to_bytes(), folder, statement_only=True, log_policy=policy)
    assert against is not None and [step.name for step in against.logged].count("log inclusion") == 1


Forge = Callable[[Publication, Receipt, Path], bytes]


def parts(**changes: Any) -> Forge:
    return lambda _, receipt, __: replace(receipt, **changes).to_bytes()


def edited(change: Callable[[dict[str, Any]], Any]) -> Forge:
    def forge(_: Publication, receipt: Receipt, __: Path) -> bytes:
        body = json.loads(receipt.to_bytes())
        change(body)
        return dumps(body)

    return forge


def of_another_statement(small: Publication, receipt: Receipt, folder: Path) -> bytes:
    """Another statement with its own bundle, beside the manifest of the one that is logged."""
    other = small.stating(time="2026-01-01T00:00:00Z")
    return replace(receipt, bundle=other.bundle(USER), statement=other.statement.to_bytes()).to_bytes()


def of_another_file(small: Publication, receipt: Receipt, folder: Path) -> bytes:
    """A manifest that names the statement and lists another file in its place."""
    folder.mkdir()
    small.write(folder)
    (folder / "statement.json").write_bytes(b"{}\n")
    listing = manifest_of(folder, small.statement)
    return replace(receipt, manifest=listing.to_bytes(), log_proof=logged(listing, "w.example/1")).to_bytes()


def of_an_unlogged_manifest(small: Publication, receipt: Receipt, folder: Path) -> bytes:
    folder.mkdir()
    small.write(folder, proof=b"another")
    return replace(receipt, manifest=manifest_of(folder, small.statement).to_bytes()).to_bytes()


def unwitnessed(small: Publication, receipt: Receipt, folder: Path) -> bytes:
    return replace(receipt, log_proof=logged(manifest(small, folder))).to_bytes()


FORGERIES: list[tuple[str, Forge, Reason]] = [
    ("the bundle's balance", edited(lambda b: b["bundle"]["entries"][0].update(amount="1")), Reason.PATH),
    ("another user", edited(lambda b: b["bundle"].update(user_id="user-4")), Reason.ACCOUNT_ID),
    ("another statement", of_another_statement, Reason.MANIFEST),
    ("another file as the statement", of_another_file, Reason.MANIFEST),
    ("a manifest in no log", of_an_unlogged_manifest, Reason.LOG_INCLUSION),
    ("no witness", unwitnessed, Reason.WITNESS_QUORUM),
    ("no log proof", parts(log_proof=b""), Reason.MALFORMED),
    ("a log proof that is no text", edited(lambda b: b.update(log_proof=1)), Reason.MALFORMED),
    ("an endless log proof", edited(lambda b: b.update(log_proof="x" * (2**19 + 1))), Reason.MALFORMED),
    ("no manifest", edited(lambda b: b.update(manifest=None)), Reason.MALFORMED),
    ("no bundle", edited(lambda b: b.update(bundle={})), Reason.MALFORMED),
    ("one key more", edited(lambda b: b.update(more=1)), Reason.MALFORMED),
    ("another format", edited(lambda b: b.update(format="solvent/receipt/v2")), Reason.UNKNOWN_VERSION),
    ("bytes after it", lambda _, receipt, __: receipt.to_bytes() + b" ", Reason.NON_CANONICAL),
    ("something after it", lambda _, receipt, __: receipt.to_bytes() + b"{}", Reason.TRAILING_BYTES),
    ("a space", lambda _, receipt, __: receipt.to_bytes().replace(b":", b": ", 2), Reason.NON_CANONICAL),
]


@pytest.mark.negative
@pytest.mark.parametrize(("forge", "reason"), [f[1:] for f in FORGERIES], ids=[f[0] for f in FORGERIES])
def test_forged_receipts(
    small: Publication, receipt: Receipt, policy: Path, tmp_path: Path, forge: Forge, reason: Reason
) -> None:
    data = forge(small, receipt, tmp_path / "forged")
    assert data != receipt.to_bytes()
    with pytest.raises(VerificationError) as caught:
        check_user_file(data, log_policy=policy, user_id=small.accounts[USER].user_id)
    assert caught.value.reason is reason


@pytest.mark.negative
def test_without_a_policy_the_place_in_the_log_still_counts(
    small: Publication, receipt: Receipt, tmp_path: Path
) -> None:
    with pytest.raises(VerificationError) as caught:
        check_user_file(of_an_unlogged_manifest(small, receipt, tmp_path / "forged"))
    assert caught.value.reason is Reason.LOG_INCLUSION


@pytest.mark.negative
def test_circuit_and_parameters_are_the_reader_s(small: Publication, receipt: Receipt) -> None:
    with pytest.raises(VerificationError) as caught:
        check_user_file(receipt.to_bytes(), circuit="solvency_risk_v1")
    assert caught.value.reason is Reason.UNKNOWN_CIRCUIT


@pytest.mark.negative
def test_options_that_need_a_receipt_or_a_publication(small: Publication, policy: Path, tmp_path: Path) -> None:
    file = tmp_path / "bundle.json"
    file.write_bytes(small.bundle(USER))
    for words in (["--log-policy", str(policy)], ["--circuit", "solvency_risk_v1"], ["--statement-only"]):
        with pytest.raises(SystemExit) as caught:
            main(["inclusion", str(file), *words])
        assert caught.value.code == 2


def test_the_publication_that_a_file_names(small: Publication, receipt: Receipt) -> None:
    for data in (receipt.to_bytes(), receipt.bundle):
        assert claimed_sequence(data) == small.statement.sequence
    assert claimed_sequence(b"nothing") is None
