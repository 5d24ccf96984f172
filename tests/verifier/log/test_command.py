"""`python -m verifier log`: its four questions, over files that a publisher without our store has written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.evidence import manifest_of
from api.notes import log_key
from tests.verifier.log.signers import LOG_VKEY, cosigned, key_of, policy, policy_text, root, signed
from tests.verifier.log.test_tree import files_of, root_of
from tests.verifier.small_tree import Publication, publication
from verifier.__main__ import main
from verifier.errors import Reason, VerificationError
from verifier.log.check import audit, check_continues, check_logged
from verifier.log.policy import parse_policy
from verifier.log.proof import LogProof
from verifier.log.tiles import Tiles
from verifier.log.tree import EMPTY_ROOT
from verifier.manifest import Entry

POLICY = policy("w1", k=1)
BEFORE = Entry("acme", 6, bytes([6]) * 32, bytes(32), bytes(32), bytes(32))
AFTER = Entry("acme", 8, bytes([8]) * 32, bytes([7]) * 32, bytes(32), bytes(32))


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def log_of(folder: Path, entries: list[bytes]) -> Path:
    """A log's folder over these entries, its checkpoint cosigned by w1."""
    for name, data in files_of(entries).items():
        write(folder / name, data)
    write(folder / "checkpoint", cosigned(signed(len(entries), root_of(entries)), "w1"))
    return folder


class Place:
    """A publication with manifest and proof, second of the three entries of a log; an earlier checkpoint; a policy."""

    def __init__(self, folder: Path, small: Publication) -> None:
        self.statement, self.directory = small.statement, folder / "publication"
        self.bundle = write(folder / "bundle.json", small.bundle(7))
        self.directory.mkdir()
        small.write(self.directory)
        manifest = manifest_of(self.directory, small.statement)
        write(self.directory / "manifest.json", manifest.to_bytes())
        self.entries = [BEFORE.to_bytes(), manifest.entry.to_bytes(), AFTER.to_bytes()]
        self.log = log_of(folder / "log", self.entries)
        tiles = Tiles(files_of(self.entries).__getitem__, 3)
        checkpoint = (self.log / "checkpoint").read_bytes()
        write(self.directory / "log.tlog-proof", LogProof(1, tuple(tiles.inclusion(1)), checkpoint).to_bytes())
        self.seen = write(folder / "seen", signed(2, root_of(self.entries[:2])))
        self.policy = write(folder / "policy", policy_text("w1", k=1).encode())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, publication().stating(previous=BEFORE.statement))


Run = Callable[..., tuple[int, Any]]


@pytest.fixture
def run(place: Place, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: object) -> tuple[int, Any]:
        code = main(["log", *map(str, words), "--policy", str(place.policy), "--json"])
        return code, json.loads(capsys.readouterr().out)

    return call


def test_is_it_in_the_log(place: Place, run: Run) -> None:
    code, found = run("verify", place.directory)
    assert (code, found["verdict"]) == (0, "publication 7 is entry 1 of example.com/log, 3 entries")
    assert (found["index"], found["files"]) == (1, 3)
    assert found["witnesses"] == [{"name": "w1", "time": 1_700_000_000}]
    assert (found["sequence"], found["statement_digest"]) == (7, place.statement.digest.hex())
    assert (found["origin"], found["size"], found["log_key"]) == ("example.com/log", 3, LOG_VKEY.vkey)
    assert found["root"] == root_of(place.entries).hex()
    names = ["files", "log signature", "witnesses", "log inclusion"]
    assert [(step["name"], step["ok"]) for step in found["steps"]] == [(name, True) for name in names]


def test_does_it_continue_what_i_saw(place: Place, run: Run, tmp_path: Path) -> None:
    code, found = run("consistency", place.seen, place.log)
    assert (code, found["verdict"]) == (0, "example.com/log only grew: from 2 to 3 entries")
    assert found["seen_root"] == root_of(place.entries[:2]).hex()
    assert [step["ok"] for step in found["steps"]] == [True] * 4
    empty = write(tmp_path / "empty", signed(0, EMPTY_ROOT))
    assert run("consistency", empty, place.log)[0] == 0


def test_is_it_whole(place: Place, run: Run) -> None:
    # AFTER names another statement before it than the publication's: a chain only up to there.
    code, found = run("audit", place.log)
    assert (code, found["reason"], "entry 2, previous" in found["message"]) == (1, "log-entry", True)
    log_of(place.log, place.entries[:2])
    code, found = run("audit", place.log)
    assert (code, found["verdict"]) == (0, "example.com/log is whole: 2 publications in one chain")
    mine = place.statement.digest.hex()
    assert found["publications"] == [
        {"index": 0, "sequence": 6, "statement_digest": BEFORE.statement.hex()},
        {"index": 1, "sequence": 7, "statement_digest": mine},
    ]
    assert found["reason"] is None
    names = ["log signature", "witnesses", "entries", "publications"]
    assert [(step["name"], step["ok"]) for step in found["steps"]] == [(name, True) for name in names]
    (place.log / "checkpoint").write_bytes(cosigned(signed(0, EMPTY_ROOT), "w1"))
    assert run("audit", place.log)[1]["publications"] == []


def test_has_it_lied(place: Place, run: Run, tmp_path: Path) -> None:
    other = write(tmp_path / "other", signed(2, root("another")))
    code, found = run("fraud", place.seen, other)
    assert (code, found["verdict"]) == (0, "fraud: example.com/log signed two histories of 2 entries")
    assert (found["log_key"], found["roots"][1]) == (LOG_VKEY.vkey, root("another").hex())
    assert found["size"] == 2
    assert [(step["name"], step["ok"]) for step in found["steps"]] == [("checkpoint 1", True), ("checkpoint 2", True)]
    assert run("fraud", place.seen, place.seen)[1]["reason"] == "not-fraud"


def test_in_words(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", "verify", str(place.directory), "--policy", str(place.policy)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "  ok   log inclusion: the publication is entry 1 of 3" in lines
    assert lines[-1].startswith("Verdict: ")


@pytest.mark.negative
@pytest.mark.parametrize(
    ("entries", "where"),
    [
        ([BEFORE, replace(AFTER, exchange="acne")], "entry 1, exchange"),
        ([BEFORE, replace(AFTER, sequence=6)], "entry 1, sequence"),
        ([BEFORE, AFTER], "entry 1, previous"),
    ],
)
def test_a_log_that_is_no_chain(entries: list[Entry], where: str, tmp_path: Path) -> None:
    with pytest.raises(VerificationError) as caught:
        audit(log_of(tmp_path, [entry.to_bytes() for entry in entries]), POLICY)
    assert (caught.value.reason, caught.value.where["field"]) == (Reason.LOG_ENTRY, where)


@pytest.mark.negative
def test_a_log_whose_files_contradict_each_other(place: Place) -> None:
    bundle = place.log / "tile" / "entries" / "000.p" / "3"
    good, data = bundle.read_bytes(), AFTER.to_bytes()
    bundle.write_bytes(good.replace(data, data.replace(b'"sequence":8', b'"sequence":9')))
    with pytest.raises(VerificationError) as caught:
        audit(place.log, POLICY)
    assert (caught.value.reason, caught.value.where["field"]) == (Reason.LOG_CONSISTENCY, "entry 2")
    bundle.write_bytes(good)
    write(place.log / "checkpoint", cosigned(signed(3, root("another")), "w1"))
    with pytest.raises(VerificationError) as caught:
        audit(place.log, POLICY)
    assert (caught.value.reason, caught.value.where["field"]) == (Reason.LOG_CONSISTENCY, "tiles")


@pytest.mark.negative
def test_a_bundle_and_the_log_at_once(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["inclusion", str(place.bundle), "--against", str(place.directory), "--statement-only"]
    assert main([*words, "--log-policy", str(place.policy)]) == 0
    assert "  ok   log inclusion: the publication is entry 1 of 3\n" in capsys.readouterr().out
    (place.directory / "log.tlog-proof").unlink()
    assert main(words) == 0
    assert main([*words, "--log-policy", str(place.policy)]) == 1
    assert "file-missing: log.tlog-proof" in capsys.readouterr().out
    for more in (["--log-policy", str(place.directory / "none")], ["--log-policy", "x" * 300]):
        with pytest.raises(SystemExit) as stop:
            main([*words, *more])
        assert stop.value.code == 2


@pytest.mark.negative
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda p: (p.directory / "log.tlog-proof").unlink(), Reason.FILE_MISSING),
        (lambda p: (p.directory / "manifest.json").unlink(), Reason.FILE_MISSING),
        (lambda p: (p.directory / "statement.json").write_bytes(b"{}\n"), Reason.MANIFEST),
        (lambda p: (p.directory / "fund.json").write_bytes(b"{}\n"), Reason.MANIFEST),
        (
            lambda p: (p.directory / "log.tlog-proof").write_bytes(
                LogProof(0, (), cosigned(signed(1, root_of([BEFORE.to_bytes()])), "w1")).to_bytes()
            ),
            Reason.LOG_INCLUSION,
        ),
        (
            lambda p: (p.directory / "log.tlog-proof").write_bytes(
                LogProof(0, (), signed(1, root_of([p.entries[1]]))).to_bytes()
            ),
            Reason.WITNESS_QUORUM,
        ),
    ],
)
def test_publications_that_are_not_in_it(place: Place, change: Callable[[Place], object], reason: Reason) -> None:
    check_logged(place.directory, place.statement, POLICY)
    change(place)
    with pytest.raises(VerificationError) as caught:
        check_logged(place.directory, place.statement, POLICY)
    assert caught.value.reason is reason


@pytest.mark.negative
@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (signed(2, root("another")), Reason.LOG_CONSISTENCY),
        (signed(4, root("another")), Reason.LOG_CONSISTENCY),
        (signed(3, root("another")), Reason.LOG_CONSISTENCY),
        (signed(2, root("another"), key=key_of("thief")), Reason.LOG_SIGNATURE),
        (b"nothing", Reason.MALFORMED),
    ],
)
def test_checkpoints_that_are_not_continued(place: Place, seen: bytes, reason: Reason) -> None:
    with pytest.raises(VerificationError) as caught:
        check_continues(seen, place.log, POLICY)
    assert caught.value.reason is reason


@pytest.mark.negative
def test_another_log_s_checkpoint_is_not_continued(place: Place) -> None:
    other = log_key("example.com/other", key_of("other"))
    both = parse_policy(f"log {LOG_VKEY.vkey}\nlog {other.vkey}\nquorum none\n".encode())
    seen = signed(2, root_of(place.entries[:2]), other.name, key_of("other"))
    with pytest.raises(VerificationError) as caught:
        check_continues(seen, place.log, both)
    assert caught.value.reason is Reason.LOG_ORIGIN


@pytest.mark.negative
@pytest.mark.parametrize("size", [4, 257, 2**40, 2**63 - 1])
def test_a_log_of_which_most_is_missing(place: Place, size: int) -> None:
    """Signed and cosigned, whatever its size: what is asked for stays small."""
    (place.log / "checkpoint").write_bytes(cosigned(signed(size, root("none")), "w1"))
    for check in (lambda: audit(place.log, POLICY), lambda: check_continues(signed(2, root("a")), place.log, POLICY)):
        with pytest.raises(VerificationError) as caught:
            check()
        assert caught.value.reason is Reason.FILE_MISSING
