"""`solvent log`, `publish`, `export`, `witness` and `python -m verifier log`, with a real proof."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from api.cli import main
from api.cli.bench import synthetic_snapshot
from api.export import export
from api.log import log_proof
from api.paths import LATEST, PUBLICATIONS
from api.reading import ReadSide
from api.store import Store
from prover.bundles import make_bundle
from prover.errors import InputError
from prover.publication import private_folder, prove_directory
from tests.api.publishing.made_up import new_store, published, write_publication
from tests.api.publishing.victims import Failing
from tests.verifier.log.signers import policy, policy_text, root, signed
from verifier.__main__ import main as verifier_main
from verifier.log.check import audit
from verifier.log.policy import parse_policy

ORIGIN = "exchange.example/solvency"


SNAPSHOT = synthetic_snapshot(3, 2, 4, 1)


@pytest.fixture(scope="module")
def proved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("proved") / "publication"
    prove_directory(SNAPSHOT, out)
    return out


@dataclass(frozen=True)
class Place:
    """A store that the commands made, with its log's key and a policy that asks for no witness."""

    folder: Path

    @property
    def store(self) -> str:
        return str(self.folder / "store")

    @property
    def key(self) -> str:
        return str(self.folder / "log.pem")

    @property
    def policy(self) -> str:
        return str(self.folder / "policy")

    def publish(self, directory: Path, *more: str) -> int:
        return main(["publish", str(directory), "--store", self.store, "--key", self.key, *more])


@pytest.fixture
def place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Place:
    made = Place(tmp_path)
    assert main(["log", "keygen", "--out", made.key, "--origin", ORIGIN]) == 0
    (tmp_path / "policy").write_text(f"{capsys.readouterr().out}quorum none\n")
    assert main(["log", "init", "--store", made.store, "--key", made.key, "--origin", ORIGIN]) == 0
    capsys.readouterr()
    return made


def test_from_a_proof_to_what_readers_check(place: Place, proved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert place.publish(proved, "--json") == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["verdict"], first["index"], first["is_new"], first["witnesses"]) == ("published", 0, True, [])
    assert place.publish(proved) == 0
    assert "Log entry 0, as before" in capsys.readouterr().out
    out = place.folder / "export"
    assert main(["export", place.store, str(out)]) == 0
    capsys.readouterr()
    sequence = json.loads((out / "latest.json").read_text())["sequence"]
    directory = out / "publications" / str(sequence)
    assert main(["verify", str(directory)]) == 0
    for run in (main, verifier_main):
        assert run(["log", "verify", str(directory), "--policy", place.policy]) == 0
        assert f"is entry 0 of {ORIGIN}" in capsys.readouterr().out
        assert run(["log", "audit", str(out), "--policy", place.policy, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["publications"][0]["sequence"] == sequence
        seen = str(out / "checkpoint")
        assert run(["log", "consistency", seen, str(out), "--policy", place.policy]) == 0
        assert "only grew: from 1 to 1" in capsys.readouterr().out
        assert run(["log", "fraud", seen, seen, "--policy", place.policy, "--json"]) == 1
        assert json.loads(capsys.readouterr().out)["reason"] == "not-fraud"


@pytest.mark.negative
def test_what_readers_are_not_to_believe(place: Place, proved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert place.publish(proved) == 0
    out = place.folder / "export"
    assert main(["export", place.store, str(out)]) == 0
    directory = next((out / "publications").iterdir())
    reserves = directory / "reserves.csv"  # added behind the manifest's back
    reserves.write_text("asset,amount\n")
    assert main(["log", "verify", str(directory), "--policy", place.policy]) == 1
    assert "only files that the manifest lists" in capsys.readouterr().out
    reserves.unlink()
    witnessed = place.folder / "witnessed"
    witnessed.write_text(policy_text("w1", k=1, log=Path(place.policy).read_text().split()[1]))
    assert main(["log", "verify", str(directory), "--policy", str(witnessed)]) == 1
    assert "witness-quorum" in capsys.readouterr().out
    strangers = place.folder / "strangers"
    strangers.write_text(policy_text())
    for run in (main, verifier_main):
        assert run(["log", "verify", str(directory), "--policy", str(strangers)]) == 1
        assert "log-origin" in capsys.readouterr().out


def test_a_user_checks_bundle_proof_and_log_at_once(
    place: Place, proved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert place.publish(proved) == 0
    out = place.folder / "export"
    assert main(["export", place.store, str(out)]) == 0
    directory = next((out / "publications").iterdir())
    bundle = place.folder / "bundle.json"
    bundle.write_bytes(make_bundle(proved, private_folder(proved), SNAPSHOT.user_id(0)))
    capsys.readouterr()
    words = ["inclusion", str(bundle), "--against", str(directory), "--log-policy", place.policy]
    for run in (main, verifier_main):
        assert run(words) == 0
        said = capsys.readouterr().out
        assert all(step in said for step in ("0 publication", "log signature", "log inclusion", "Verdict: included in"))
        assert run([*words, "--json"]) == 0
        names = [step["name"] for step in json.loads(capsys.readouterr().out)["steps"]]
        assert names[:5] == ["0 publication", "files", "log signature", "witnesses", "log inclusion"]
    (directory / "log.tlog-proof").unlink()
    for run in (main, verifier_main):
        assert run(words) == 1
        assert "file-missing" in capsys.readouterr().out
    assert main(["inclusion", str(bundle), "--log-policy", place.policy]) == 2
    assert "--against DIR with it" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        verifier_main(["inclusion", str(bundle), "--log-policy", place.policy])
    with pytest.raises(SystemExit):
        verifier_main([*words[:-1], str(place.folder / "none")])


@pytest.mark.negative
def test_forged_proofs_are_not_published(place: Place, proved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    forged = place.folder / "forged"
    shutil.copytree(proved, forged)
    statement = json.loads((forged / "statement.json").read_text())
    statement["exchange"] = "another"
    data = json.dumps(statement, sort_keys=True, separators=(",", ":"))
    (forged / "statement.json").write_text(data + "\n")
    assert place.publish(forged, "--json") == 1
    assert json.loads(capsys.readouterr().out)["verdict"] == "rejected"
    poor = place.folder / "poor"
    shutil.copytree(proved, poor)
    (poor / "reserves.csv").write_text("asset,amount\n")
    assert place.publish(poor, "--json") == 1
    assert json.loads(capsys.readouterr().out)["message"] == "not published: insolvent"
    store = Store(place.store)
    assert (store.size, store.signed()) == (0, None)
    store.close()


def test_fraud_is_accepted_as_evidence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "policy").write_text(policy_text())
    for name in ("one", "other"):
        (tmp_path / name).write_bytes(signed(7, root(name)))
    for run in (main, verifier_main):
        words = ["log", "fraud", str(tmp_path / "one"), str(tmp_path / "other"), "--policy", str(tmp_path / "policy")]
        assert run(words) == 0
        assert "Verdict: fraud: example.com/log signed two histories of 7 entries" in capsys.readouterr().out
        assert run([*words, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["roots"] == [root("one").hex(), root("other").hex()]


@pytest.mark.negative
@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["log", "keygen", "--out", "{key}", "--origin", "a"], "got something that exists, expected a new file"),
        (["log", "init", "--store", "{store}", "--key", "{key}", "--origin", ORIGIN], "a new or empty folder"),
        (["log", "init", "--store", "{folder}/s2", "--key", "{key}", "--origin", "a+b"], "without blanks and plus"),
        (["log", "init", "--store", "{folder}/s2", "--key", "{key}", "--origin", "a\u200b"], "without blanks and plus"),
        (["log", "init", "--store", "{folder}/s2", "--key", "{policy}", "--origin", "a"], "private key in PEM"),
        (["log", "verify", "{folder}/none", "--policy", "{policy}"], "no such directory"),
        (["log", "verify", "{folder}", "--policy", "{folder}/none"], "no such file"),
        (["log", "audit", "{folder}"], "Missing option"),
        (["publish", "{folder}/none", "--store", "{store}", "--key", "{key}"], "no such directory"),
        (["publish", "{folder}", "--store", "{folder}/none", "--key", "{key}"], "a database of this service"),
        (["export", "{store}", "{folder}/x"], "at least one publication"),
        (["export", "{store}", "{folder}"], "an earlier export"),
        (["witness", "serve", "--state", "x", "--name", "w", "--key", "{key}", "--logs", "{folder}/p"], "without logs"),
        (
            ["witness", "serve", "--state", "{folder}/x", "--name", "w", "--key", "{key}", "--logs", "{policy}"],
            "no such file",
        ),
    ],
)
def test_mistakes_are_one_line(place: Place, capsys: pytest.CaptureFixture[str], words: list[str], what: str) -> None:
    (place.folder / "p").write_text("quorum none\n")
    names = {"key": place.key, "store": place.store, "policy": place.policy, "folder": str(place.folder)}
    assert main([word.format(**names) for word in words]) == 2
    error = capsys.readouterr().err
    assert what in error
    assert error.count("\n") == 1


def test_an_export_is_brought_up_to_date(tmp_path: Path) -> None:
    store, out = new_store(tmp_path / "store"), tmp_path / "out"
    published(store, write_publication(tmp_path / "p1", 1))
    export(store, out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    published(store, write_publication(tmp_path / "p2", 2))
    for number in range(1, 400):
        try:
            export(store, out, Failing(number))
        except (OSError, InputError):
            # Interrupted anywhere, readers have a whole log: the old one or the new one.
            assert len(audit(out, policy()).entries) in (1, 2)
            continue
        break
    assert len(audit(out, policy()).entries) == 2
    mutable = (LATEST, PUBLICATIONS, "checkpoint", "log.tlog-proof")
    assert all(path.read_bytes() == data for path, data in before.items() if path.name not in mutable)
    side = ReadSide(store)
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert files == set(side.paths())
    for path in files:
        resource = side.get(path)
        assert resource is not None
        content = resource.content
        assert (content if isinstance(content, bytes) else content.read_bytes()) == (out / path).read_bytes()
    store.close()


@pytest.mark.negative
@pytest.mark.parametrize(
    "path",
    [
        "store.db",
        "../store/store.db",
        "log/checkpoint",
        "tile/0/../../checkpoint",
        "tile/0/000.p/0",
        "tile/00/000.p/1",
        "tile/0/000.p/2",
        "artefacts/" + "0" * 64,
        "artefacts/../store.db",
        "publications/1/private.json",
        "publications/1/../1/statement.json",
        "publications/01/statement.json",
        "publications/2/statement.json",
        "publications/99999999999999999/statement.json",
        "",
    ],
)
def test_nothing_else_can_be_read(tmp_path: Path, path: str) -> None:
    store = new_store(tmp_path / "store")
    published(store, write_publication(tmp_path / "p1", 1))
    assert ReadSide(store).get("publications/1/statement.json") is not None
    assert ReadSide(store).get(path) is None
    store.close()


def test_what_is_not_shown_is_not_read(tmp_path: Path) -> None:
    store = new_store(tmp_path / "store")
    published(store, write_publication(tmp_path / "p1", 1))
    unmet = parse_policy(policy_text("w1", k=1).encode())
    assert not published(store, write_publication(tmp_path / "p2", 2), unmet).is_shown
    side = ReadSide(store)
    assert side.get("publications/2/statement.json") is None
    assert not [path for path in side.paths() if path.startswith("publications/2/")]
    with pytest.raises(InputError, match="a checkpoint that holds it"):
        log_proof(store, 1)
    store.close()


@pytest.fixture
def witness(tmp_path: Path, capsys: pytest.CaptureFixture[str], place: Place) -> Iterator[Callable[[], str]]:
    """Starts `solvent witness serve` in a process of its own; returns its policy file."""
    key, state, port = tmp_path / "w.pem", tmp_path / "w.db", _free_port()
    assert main(["witness", "keygen", "--out", str(key), "--name", "witness.example/w1"]) == 0
    vkey = capsys.readouterr().out.strip()
    log = Path(place.policy).read_text().splitlines()[0]
    file = tmp_path / "witnessed"
    file.write_text(f"{log}\nwitness w1 {vkey} http://127.0.0.1:{port}\nquorum w1\n")
    common = ["--state", str(state), "--name", "witness.example/w1", "--key", str(key)]
    assert main(["witness", "init", *common]) == 0
    capsys.readouterr()
    processes = []

    def start() -> str:
        command = [sys.executable, "-m", "api.cli", "witness", "serve", *common, "--logs", str(file)]
        process = subprocess.Popen([*command, "--port", str(port)], stderr=subprocess.PIPE, text=True)
        processes.append(process)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1):
                    return str(file)
            except OSError:
                time.sleep(0.05)
        raise AssertionError("the witness does not start")

    yield start
    for process in processes:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)


def test_with_a_witness_in_a_process_of_its_own(
    place: Place, proved: Path, witness: Callable[[], str], capsys: pytest.CaptureFixture[str]
) -> None:
    policy_file = str(place.folder / "witnessed")
    assert place.publish(proved, "--witnesses", policy_file, "--json") == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["verdict"], answer["reason"]) == ("logged, but not shown", "witness-quorum")
    assert place.publish(proved, "--witnesses", policy_file) == 1
    assert "Run this again" in capsys.readouterr().out
    witness()
    assert place.publish(proved, "--witnesses", policy_file, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["verdict"], answer["is_new"]) == ("published", False)
    out = place.folder / "export"
    assert main(["export", place.store, str(out)]) == 0
    directory = next((out / "publications").iterdir())
    capsys.readouterr()
    assert verifier_main(["log", "verify", str(directory), "--policy", policy_file]) == 0
    assert "cosigned by w1 at" in capsys.readouterr().out


def test_keys_are_for_their_owner_only(place: Place) -> None:
    assert Path(place.key).stat().st_mode & 0o777 == 0o600


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
