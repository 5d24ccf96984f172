"""The short sizes of the suite: a thousand changed bundles, changed proofs, every byte of small files, the corpus."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import random
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FrameType, FunctionType

import pytest

import verifier
from tests.adversary import __main__ as command
from tests.adversary import bundles, every_byte, fuzz, large, proofs, score
from tests.adversary.mutate import JsonSeed, change_bytes
from tests.adversary.score import Score, Tally, parts, total
from tests.adversary.targets import TARGETS
from tests.adversary.targets_service import ALL
from verifier.canonical import dumps
from verifier.errors import MalformedProof, Reason

pytestmark = pytest.mark.negative

SEED = 1


Scored = Callable[[Iterable[Score]], None]


def test_changed_bundles_are_refused(scored: Scored) -> None:
    scored(bundles.run("short", SEED))


def test_changed_proofs_are_refused(scored: Scored) -> None:
    scored(proofs.run("short", SEED))


@pytest.mark.parametrize("name", every_byte.SUBJECTS)
def test_every_byte_of_small_files(name: str, scored: Scored) -> None:
    scored([every_byte.changed(SEED, "short", name)])


@pytest.mark.parametrize("name", ALL)
def test_the_corpus(name: str, scored: Scored) -> None:
    scored([fuzz.replay(name, SEED)])


@pytest.mark.parametrize("name", large.LIMITS)
def test_costly_shapes(name: str, scored: Scored) -> None:
    scored([large.read_all(name, "short", SEED)])


@pytest.mark.parametrize("name", ["table_json", "scenarios", "table_instruments"])
def test_names_are_compared_in_one_pass(name: str) -> None:
    """Fifty thousand other names before one that comes twice: half a minute, were each looked for among all."""
    for shape in ("other keys, one again", "columns"):
        seconds, _, outcome = large.measure(name, large.SHAPES[shape](2**19))
        assert outcome == score.AS_IT_SHOULD_BE and seconds < large.SECONDS


def test_the_corpus_is_small_and_named_by_digest() -> None:
    files = [path for folder in fuzz.CORPUS.iterdir() for path in folder.iterdir()]
    assert {folder.name for folder in fuzz.CORPUS.iterdir()} <= set(ALL)
    assert sum(path.stat().st_size for path in files) < 1_000_000
    assert [path for path in files if path.name != fuzz.digest(path.read_bytes())] == []


ELSEWHERE = {
    "check_continues": "takes a log's folder; `open_signed` and `Tiles` read it",
    "check_prices": "compares a digest and calls `check_evidence`",
    "check_user_file": "tests.adversary.bundles",
}
"""Readers of bytes that no fuzzing target calls, and why not."""


def test_every_reader_of_the_verifier_has_a_target() -> None:
    wanted = {name for name in map(reader_name, verifier_functions()) if name is not None}
    called: set[str] = set()

    def trace(frame: FrameType, event: str, argument: object) -> None:
        called.add(frame.f_code.co_name)

    sys.setprofile(trace)
    try:
        for name, target in TARGETS.items():
            for data in target.honest() if name != "proof_blocks" else ():
                target(data)
    finally:
        sys.setprofile(None)
    assert len(wanted) > 30 and wanted - called == ELSEWHERE.keys()


def verifier_functions() -> Iterator[FunctionType]:
    for found in pkgutil.walk_packages(verifier.__path__, "verifier."):
        module = importlib.import_module(found.name)
        yield from (f for f in vars(module).values() if isinstance(f, FunctionType) and f.__module__ == found.name)


def reader_name(function: FunctionType) -> str | None:
    """The name of a public function that checks or reads bytes as its first argument."""
    name, parameters = function.__name__, list(inspect.signature(function).parameters.values())
    reads = name == "loads" or name.startswith(("check_", "open_", "parse_", "read_", "unpack_", "verify_"))
    return name if reads and parameters and parameters[0].annotation == "bytes" else None


# The suite notices.


def test_what_is_accepted_escapes_or_is_slow_counts() -> None:
    def refuse() -> None:
        raise MalformedProof(Reason.MALFORMED, "no")

    tally = Tally("t", SEED)
    assert tally.attempt("refused", refuse) == "malformed"
    assert tally.score().clean
    assert tally.attempt("accepted", lambda: None) == score.ACCEPTED
    assert tally.attempt("escaped", lambda: 1 // 0) == "ZeroDivisionError"
    tally.seconds_max = 0
    tally.attempt("slow", refuse)
    assert (tally.tried, tally.accepted, tally.foreign) == (4, 1, 2)
    assert not tally.score().clean and not Score("nothing", 0, 0, 0, 0.0, SEED, {}).clean


def test_a_verifier_that_leaves_a_check_out_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the last step of a bundle's check, what was changed in the shard's place passes."""
    monkeypatch.setattr("verifier.shards.Place.check", lambda *_: None)
    assert bundles.chunk(SEED, 100, 0).accepted > 0


def test_results_add_up() -> None:
    one = Score("a", 3, 0, 0, 1.0, SEED, {"path": 2, "slowest ms": 5})
    both = total("both", [one, Score("a", 4, 1, 2, 3.0, SEED, {"path": 1, "slowest ms": 4, "entries": 1})])
    assert (both.tried, both.accepted, both.foreign, both.seconds) == (7, 1, 2, 3.0)
    assert both.notes == {"path": 3, "slowest ms": 5, "entries": 1}


def test_lines_are_read_again_and_added_up() -> None:
    names = ("every byte of a proof", "every byte of a note", "faults: kill -9", "fuzz note")
    found = parts([Score(name, 1234, 1, 2, 0.5, SEED, {}).line() for name in names])
    assert [(one.name, one.tried, one.accepted, one.foreign) for one in found] == [
        ("every byte", 2468, 2, 4),
        ("faults", 1234, 1, 2),
        ("fuzz", 1234, 1, 2),
    ]


def test_the_same_seed_changes_the_same() -> None:
    seed = JsonSeed.of(dumps({"a": ["1", 2, {"b": "00ff00ff"}], "c": None}))
    one, two = random.Random(SEED), random.Random(SEED)
    changes = [seed.change(one) for _ in range(300)]
    assert changes == [seed.change(two) for _ in range(300)]
    assert all(change.data != seed.data for change in changes)
    assert all(change_bytes(b"x" * 40, one).data != b"x" * 40 for _ in range(300))


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "out" / "adversary.json"
    bad = Score("bad", 1, 1, 0, 0.0, SEED, {})
    monkeypatch.setattr(every_byte, "run", lambda size, seed: [Score("good", 2, 0, 0, 0.0, seed, {"path": 2})])
    assert command.main(["--only", "every_byte", "--seed", "7", "--write", str(file)]) == 0
    monkeypatch.setattr(every_byte, "run", lambda size, seed: [bad])
    assert command.main(["--only", "every_byte", "--write", str(file)]) == 1
    scores = json.loads(file.read_text())["scores"]
    assert (scores["good"]["tried"], scores["good"]["seed"], scores["bad"]["accepted"]) == (2, 7, 1)
    assert {"commit", "date", "machine", "size"} <= scores["good"].keys()
    assert "bad" in capsys.readouterr().out


@pytest.mark.parametrize("words", ["--sizes short", "--size huge", "--only nobody", "--seed x", "x"])
def test_wrong_usage_is_one_line(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        command.main(words.split())
    assert stopped.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
