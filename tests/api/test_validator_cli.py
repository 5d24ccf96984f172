"""`solvent validator`: from keys to a certificate in the verdict, and what is refused on the way."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from api.cli import main
from tests.api.files import Command, write
from tests.verifier.small_tree import publication
from verifier import proofs, report

NAMES = ("amber", "birch", "cedar")
STATE = publication().statement.ledger_state.hex()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three validators' keys and registrations, as keygen writes them, and the list of them."""
    folder = tmp_path_factory.mktemp("validators")
    for name in NAMES:
        words = ("--name", name, "--out", str(folder / f"{name}.key"), "--registration", str(folder / f"{name}.json"))
        assert main(["validator", "keygen", *words, "--json"]) == 0
    registrations = [str(folder / f"{name}.json") for name in NAMES]
    assert main(["validator", "register", *registrations, "--quorum", "2", "--out", str(folder / "list.json")]) == 0
    return folder


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A publication whose proof is taken for good."""
    monkeypatch.setattr(proofs, "verify_stark", lambda *_: None)
    monkeypatch.setattr(report, "soundness_bits", lambda *_: 100)
    folder = tmp_path / "publication"
    folder.mkdir()
    publication().write(folder)
    (folder / "reserves.csv").write_bytes(b"asset,amount\nbtc,1000\neth,1000\nusdt,1000000\n")
    return folder


def sign(command: Command, keys: Path, directory: Path, name: str, out: Path, state: str = STATE) -> tuple[int, Any]:
    return command("validator", "sign", directory, "--key", keys / f"{name}.key", "--ledger-state", state, "--out", out)


def publisher(command: Command, directory: Path, folder: Path, keys: Path) -> list[object]:
    """The command that publishes only what these validators have certified."""
    origin = "exchange.example/log"
    assert command("log", "keygen", "--out", folder / "log.pem", "--origin", origin)[0] == 0
    assert command("log", "init", "--store", folder / "store", "--key", folder / "log.pem", "--origin", origin)[0] == 0
    to = ("--store", folder / "store", "--key", folder / "log.pem")
    return ["publish", directory, *to, "--validators", keys / "list.json"]


def test_what_no_validator_signed_is_not_published(
    command: Command, keys: Path, directory: Path, tmp_path: Path
) -> None:
    publish = publisher(command, directory, tmp_path, keys)
    code, found = command(*publish)
    assert (code, found["reason"]) == (1, "file-missing")


def test_from_keys_to_the_verdict(command: Command, keys: Path, directory: Path, tmp_path: Path) -> None:
    for name in NAMES:
        assert stat.S_IMODE((keys / f"{name}.key").stat().st_mode) == 0o600
    votes = [tmp_path / f"{name}.vote" for name in NAMES[:2]]
    for name, out in zip(NAMES, votes, strict=False):
        code, found = sign(command, keys, directory, name, out)
        assert (code, found["verdict"], found["ledger_state"]) == (0, "signed", STATE)
    quorum = directory / "quorum.json"
    code, found = command("validator", "aggregate", *votes, "--validators", keys / "list.json", "--out", quorum)
    assert (code, found["signers"]) == (0, 2)
    words = ("validator", "verify", quorum, "--validators", keys / "list.json", "--against", directory)
    code, found = command(*words)
    assert (code, found["verdict"], found["publication_verdict"]) == (0, "certified", "solvent")
    assert (sorted(found["signers"]), found["needed"]) == (["amber", "birch"], 2)
    code, text = command(*words, "--statement-only", text=True)
    assert (code, "SKIP 0 publication" in text) == (0, True)
    assert "certified: 2 of 3 validators signed, 2 are needed" in text
    code, found = command(*words, "--quorum", 3)
    assert (code, found["reason"]) == (1, "quorum")
    publish = publisher(command, directory, tmp_path, keys)
    code, found = command(*publish)
    assert (code, found["verdict"]) == (0, "published")
    assert command("export", tmp_path / "store", tmp_path / "export")[0] == 0
    (manifest,) = (tmp_path / "export").rglob("manifest.json")
    assert ("quorum.json", "quorum") in [(f["name"], f["role"]) for f in json.loads(manifest.read_bytes())["files"]]
    # In the verdict, where it is asked for.
    code, found = command("verify", directory, "--validators", keys / "list.json")
    assert (code, found["verdict"], found["quorum"]["needed"]) == (0, "solvent", 2)
    text = command("verify", directory, "--validators", keys / "list.json", text=True)[1]
    assert "Validators: 2 of 3 validators signed" in text
    assert command("verify", directory)[1]["quorum"] is None
    quorum.unlink()
    code, found = command("verify", directory, "--validators", keys / "list.json")
    assert (code, found["reason"]) == (1, "file-missing")


def test_a_validator_signs_its_own_state_only(command: Command, keys: Path, directory: Path, tmp_path: Path) -> None:
    code, found = sign(command, keys, directory, "cedar", tmp_path / "vote", "ab" * 32)
    assert (code, found["reason"], found["where"]["field"]) == (1, "quorum", "statement.ledger_state")
    assert not (tmp_path / "vote").exists()


def test_a_key_signs_one_state_per_sequence(command: Command, keys: Path, directory: Path, tmp_path: Path) -> None:
    assert sign(command, keys, directory, "cedar", tmp_path / "one")[0] == 0
    assert sign(command, keys, directory, "cedar", tmp_path / "again")[0] == 0
    assert (tmp_path / "one").read_bytes() == (tmp_path / "again").read_bytes()
    assert stat.S_IMODE((keys / "cedar.key.signed").stat().st_mode) == 0o600
    publication().stating(time="2026-11-23T00:00:00Z").write(directory)
    code, found = sign(command, keys, directory, "cedar", tmp_path / "two")
    assert (code, "the state that this key signed already" in found["message"]) == (1, True)
    assert not (tmp_path / "two").exists()
    publication().stating(sequence=8).write(directory)
    assert sign(command, keys, directory, "cedar", tmp_path / "two")[0] == 0


def test_a_bad_proof_is_not_signed(
    command: Command, keys: Path, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    code, _ = sign(command, keys, directory, "amber", tmp_path / "vote")
    assert (code, (tmp_path / "vote").exists()) == (1, False)


def test_keys_are_not_shown_and_not_replaced(command: Command, keys: Path, directory: Path, tmp_path: Path) -> None:
    words = ("--name", "x", "--registration", tmp_path / "new.json")
    assert command("validator", "keygen", *words, "--out", keys / "amber.key")[0] == 2
    assert not (tmp_path / "new.json").exists()
    secret = json.loads((keys / "amber.key").read_bytes())["secret_key"]
    for text in (secret, "{}", '{"format":"solvent/validator-key/v1","secret_key":"' + "00" * 32 + '"}\n'):
        bad = write(tmp_path / "bad.key", text)
        code, found = command(
            "validator", "sign", directory, "--key", bad, "--ledger-state", STATE, "--out", tmp_path / "vote"
        )
        assert (code, "a secret key that" in found["error"], secret in str(found)) == (2, True, False)


def test_only_proven_keys_are_registered(command: Command, keys: Path, tmp_path: Path) -> None:
    document = json.loads((keys / "amber.json").read_bytes())
    document["proof_of_possession"] = json.loads((keys / "birch.json").read_bytes())["proof_of_possession"]
    forged = write(tmp_path / "forged.json", json.dumps(document, sort_keys=True, separators=(",", ":")) + "\n")
    code, found = command("validator", "register", forged, "--out", tmp_path / "list.json")
    assert (code, found["reason"]) == (1, "quorum")
    assert not (tmp_path / "list.json").exists()
    words = ("--out", tmp_path / "k", "--registration", tmp_path / "r")
    code, found = command("validator", "keygen", "--name", "two words", *words)
    assert (code, found["field"]) == (2, "--name")
    assert not (tmp_path / "k").exists()


def test_files_that_are_not_there(command: Command, keys: Path, directory: Path, tmp_path: Path) -> None:
    missing, listed = tmp_path / "nothing", ("--validators", keys / "list.json")
    assert command("validator", "verify", missing, *listed, "--against", directory)[0] == 2
    assert command("validator", "aggregate", missing, *listed, "--out", tmp_path / "q")[0] == 2
    assert command("validator", "register", missing, "--out", tmp_path / "q")[0] == 2
    assert command("verify", directory, "--validators", missing)[0] in (1, 2)
