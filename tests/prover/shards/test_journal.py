"""The run folder: what may be there, what is refused, and what is repaired."""

from __future__ import annotations

import errno
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from prover.errors import InputError
from prover.executors.inline import InlineExecutor
from prover.files import write_whole
from prover.shards.files import outputs_wrong, put_outputs
from prover.shards.journal import Run, done_folder, journal_line
from prover.shards.run import run_one, run_shards
from prover.shards.task import ShardResult, shard_name
from tests.prover.shards.fake import SEED, SPEC, begin, calls, outputs, prove

SHARDS = 3


def finish(path: Path, spec: bytes = SPEC) -> Run:
    run = begin(path, SHARDS, spec)
    run_shards(run, run.tasks(), prove, InlineExecutor())
    return run


def finished(path: Path) -> Path:
    finish(path).close()
    return path


def refusal(path: Path, spec: bytes = SPEC, shards: int = SHARDS, seed: bytes | None = None) -> str:
    with pytest.raises(InputError) as caught:
        Run(path, spec, shards, seed)
    return str(caught.value).replace(f"{path.parent}/", "")


def test_a_new_run(tmp_path: Path) -> None:
    with Run(tmp_path / "deep" / "run", SPEC, SHARDS) as run, Run(tmp_path / "other", SPEC, SHARDS) as other:
        assert run.path.stat().st_mode & 0o777 == 0o700
        assert len(run.seed) == 32
        assert run.seed != other.seed
        assert run.inputs is None
        assert run.finished == {}
    with Run(tmp_path / "deep" / "run", SPEC, SHARDS) as again:
        assert again.seed == run.seed


def test_tasks(tmp_path: Path) -> None:
    with begin(tmp_path / "run", SHARDS) as run:
        tasks = run.tasks()
        assert run.inputs is not None
        assert [(t.index, t.shards, t.input_digest, t.spec) for t in tasks] == [
            (i, SHARDS, run.inputs[i], SPEC) for i in range(SHARDS)
        ]
        assert {task.run for task in tasks} == {run.path}
    with (
        Run(tmp_path / "fresh", SPEC, SHARDS) as fresh,
        pytest.raises(InputError, match="that are not complete"),
    ):
        fresh.tasks()


@pytest.mark.negative
def test_a_run_of_something_else_is_refused(tmp_path: Path) -> None:
    path = finished(tmp_path / "run")
    line = "run: got a run that was begun with other inputs or parameters, expected the same ones, or another folder"
    assert refusal(path, spec=SPEC + b" ") == line
    assert refusal(path, shards=SHARDS + 1) == line
    assert refusal(path, seed=bytes(32)) == line
    Run(path, SPEC, SHARDS).close()


@pytest.mark.negative
def test_what_is_no_run_is_left_alone(tmp_path: Path) -> None:
    line = ": got something else, expected a run folder, or a path that is free"
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes").write_text("mine")
    (tmp_path / "similar" / "done").mkdir(parents=True)
    (tmp_path / "similar" / "done" / "notes").write_text("mine")
    for name in ("file", "folder", "similar"):
        assert refusal(tmp_path / name) == name + line
    assert (
        (tmp_path / "folder" / "notes").read_text() == (tmp_path / "similar" / "done" / "notes").read_text() == "mine"
    )
    assert (tmp_path / "file").read_text() == "mine"
    (tmp_path / "empty").mkdir(mode=0o755)
    with Run(tmp_path / "empty", SPEC, SHARDS):
        assert (tmp_path / "empty").stat().st_mode & 0o777 == 0o700


@pytest.mark.negative
@pytest.mark.parametrize(
    ("name", "data"), [("run.json", b"{"), ("run.json", b"[]"), ("seed", b"short"), ("spec", None)]
)
def test_a_damaged_run_is_refused(tmp_path: Path, name: str, data: bytes | None) -> None:
    path = finished(tmp_path / "run")
    (path / name).unlink()
    if data is not None:
        (path / name).write_bytes(data)
    assert refusal(path) == "run: got damage, expected a run folder with run.json as it was written"


@pytest.mark.negative
def test_one_process_at_a_time(tmp_path: Path) -> None:
    with begin(tmp_path / "run", SHARDS):
        assert refusal(tmp_path / "run") == "run: got a run that another process works on, expected one at a time"
    Run(tmp_path / "run", SPEC, SHARDS).close()


def test_nothing_is_proved_twice(tmp_path: Path) -> None:
    path = finished(tmp_path / "run")
    run = finish(path)
    assert calls(path) == dict.fromkeys(range(SHARDS), 1)
    assert run.repairs == []
    assert [json.loads(line)["index"] for line in (path / "journal.jsonl").read_text().splitlines()] == [0, 1, 2]
    run.close()


def test_a_torn_last_line_is_cut_and_its_shard_proved_again(tmp_path: Path) -> None:
    path = finished(tmp_path / "run")
    whole, expected = (path / "journal.jsonl").read_bytes(), outputs(path)
    last = whole.splitlines(keepends=True)[-1]
    rest = whole[: -len(last)]
    for times, torn in enumerate((last[:-1], last[:1], last[: len(last) // 2], bytes(len(last)), last[:9] + b"\n"), 2):
        (path / "journal.jsonl").write_bytes(rest + torn)
        run = finish(path)
        assert run.repairs == [f"{path}/journal.jsonl: a torn last line was cut"]
        assert calls(path) == {0: 1, 1: 1, 2: times}
        assert (path / "journal.jsonl").read_bytes() == whole
        run.close()
    assert outputs(path) == expected


@pytest.mark.negative
def test_damage_elsewhere_in_the_journal_is_reported(tmp_path: Path) -> None:
    path = finished(tmp_path / "run")
    lines = (path / "journal.jsonl").read_bytes().splitlines(keepends=True)
    item: dict[str, Any] = json.loads(lines[1])
    outside = {"files": {"../../x": "0" * 64}}
    for change in ({"index": 99}, {"index": -1}, {"files": 5}, {"files": {"a": "short"}}, outside, {"more": 1}):
        bad = json.dumps(item | change).encode() + b"\n"
        (path / "journal.jsonl").write_bytes(lines[0] + bad + lines[2])
        assert refusal(path) == "run/journal.jsonl:2: got damage, expected a line per finished shard"
    (path / "journal.jsonl").write_bytes(lines[0] + lines[1][:20] + b"\n" + lines[2])
    assert "journal.jsonl:2: got damage" in refusal(path)


def test_outputs_that_are_not_as_listed_are_reported_and_made_again(tmp_path: Path) -> None:
    path = finished(tmp_path / "run")
    expected = outputs(path)
    (path / "done" / "000000" / "a.bin").write_bytes(b"other")
    (path / "done" / "000002" / "b.bin").unlink()
    run = finish(path)
    assert run.repairs == [
        f"shard 0: {path}/done/000000/a.bin has changed",
        f"shard 2: {path}/done/000002/b.bin is missing",
    ]
    assert calls(path) == {0: 2, 1: 1, 2: 2}
    assert outputs(path) == expected
    run.close()
    with Run(path, SPEC, SHARDS) as again:
        assert again.repairs == []
        assert sorted(again.finished) == [0, 1, 2]


def test_lines_about_other_inputs_do_not_count(tmp_path: Path) -> None:
    path = finished(tmp_path / "run")
    digests = json.loads((path / "inputs" / "inputs.json").read_text())
    (path / "inputs" / "inputs.json").write_text(json.dumps([digests[0], "0" * 64, digests[2]]))
    with Run(path, SPEC, SHARDS) as run:
        assert sorted(run.finished) == [0, 2]


@pytest.mark.negative
@pytest.mark.parametrize("data", ["[", "[]", '["x","y","z"]', "{}"])
def test_a_damaged_list_of_inputs_is_refused(tmp_path: Path, data: str) -> None:
    path = finished(tmp_path / "run")
    (path / "inputs" / "inputs.json").write_text(data)
    assert refusal(path) == "run/inputs/inputs.json: got damage, expected 3 digests"


def test_shards_proved_by_processes_of_their_own_are_taken_over(tmp_path: Path) -> None:
    expected = outputs(finished(tmp_path / "whole"))
    path = tmp_path / "run"
    begin(path, SHARDS).close()
    for index in (2, 0, 0):
        assert run_one(path, index, prove).index == index
    (path / "done" / "000001.json").write_bytes((path / "done" / "000000.json").read_bytes())  # says nothing new
    run = finish(path)
    assert calls(path) == {0: 2, 1: 1, 2: 1}
    run.close()
    for receipt in (path / "done").glob("*.json"):
        receipt.unlink()
    assert outputs(path) == expected
    for index, words in ((3, "--index"), (-1, "--index")):
        with pytest.raises(InputError, match=words):
            run_one(path, index, prove)
    with pytest.raises(InputError, match="expected a run folder"):
        run_one(tmp_path, 0, prove)


def test_a_receipt_without_its_files_counts_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run"
    begin(path, SHARDS).close()
    run_one(path, 1, prove)
    (path / "done" / "000001" / "c.bin").write_bytes(b"other")
    run = finish(path)
    assert run.repairs == [f"shard 1: {path}/done/000001/c.bin has changed"]
    assert calls(path) == {0: 1, 1: 2, 2: 1}
    run.close()


def test_all_is_on_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: set[int] = set()
    fsync, rename, replace = os.fsync, os.rename, os.replace

    def note_sync(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def checked(move: Any) -> Any:
        def call(source: Path, target: Path) -> None:
            parts = [source, *(source.iterdir() if source.is_dir() else ())]
            assert {part.stat().st_ino for part in parts} <= synced, f"{source} is not on disk"
            move(source, target)
            synced.discard(tmp_path.stat().st_ino)

        return call

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "rename", checked(rename))
    monkeypatch.setattr(os, "replace", checked(replace))
    for action in (
        lambda: write_whole(tmp_path / "file", b"x"),
        lambda: put_outputs(tmp_path / "folder", {"a": b"1", "b": b"2"}),
    ):
        action()
        assert tmp_path.stat().st_ino in synced, "the new name is not on disk"
    run = begin(tmp_path / "run", SHARDS)
    synced.clear()
    run_shards(run, run.tasks()[:1], prove, InlineExecutor())
    assert (run.path / "journal.jsonl").stat().st_ino in synced
    run.close()


def test_rests_of_killed_processes_are_removed(tmp_path: Path) -> None:
    path = finished(tmp_path / "run")
    (path / "done" / ".000001-abc" / "new").mkdir(parents=True)
    (path / "inputs" / ".000001.arrow").write_bytes(b"half")
    (path / ".seed-xyz").write_bytes(b"half")
    Run(path, SPEC, SHARDS).close()
    assert not [found for found in path.rglob("*") if found.name.startswith(".")]


class Full:
    """Stands for a function of the system on a full disk."""

    def __call__(self, *_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.negative
def test_a_full_disk_leaves_no_half_written_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "kept"
    write_whole(kept, b"before")
    put_outputs(tmp_path / "out", {"a": b"before"})
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", Full())
        for action in (
            lambda: write_whole(kept, b"after"),
            lambda: put_outputs(tmp_path / "out", {"a": b"after"}),
            lambda: put_outputs(tmp_path / "new", {"a": b"after"}),
        ):
            with pytest.raises(InputError, match="got a full disk, expected room; what is finished is kept"):
                action()
    assert sorted(found.name for found in tmp_path.iterdir()) == ["kept", "out"]
    assert kept.read_bytes() == (tmp_path / "out" / "a").read_bytes() == b"before"


@pytest.mark.negative
def test_a_full_disk_leaves_the_journal_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = begin(tmp_path / "run", SHARDS)
    run_shards(run, run.tasks()[:1], prove, InlineExecutor())
    before = (run.path / "journal.jsonl").read_bytes()
    result = prove(run.tasks()[1])
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", Full())
        with pytest.raises(InputError, match=r"journal\.jsonl: got a full disk"):
            run.add(result)
    assert (run.path / "journal.jsonl").read_bytes() == before
    run.add(result)
    assert (run.path / "journal.jsonl").read_bytes() == before + journal_line(result, (run.inputs or [])[1])
    run.close()


class Short(io.FileIO):
    """A file on a disk with room for half a line."""

    def write(self, data: Any) -> int:
        return super().write(data[: len(data) // 2])


@pytest.mark.negative
def test_half_a_line_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = begin(tmp_path / "run", SHARDS)
    result = prove(run.tasks()[1])
    with Short(run.path / "journal.jsonl", "r+") as stream, monkeypatch.context() as patch:
        patch.setattr(run, "_stream", stream)
        with pytest.raises(InputError, match=r"journal\.jsonl: got a full disk"):
            run.add(result)
    assert (run.path / "journal.jsonl").read_bytes() == b""
    run.close()


def test_outputs_replace_others(tmp_path: Path) -> None:
    folder = done_folder(tmp_path, 7)
    folder.parent.mkdir()
    assert folder.name == shard_name(7) == "000007"
    put_outputs(folder, {"a": b"1", "b": b"2"})
    digests = put_outputs(folder, {"a": b"3"})
    assert [found.name for found in folder.iterdir()] == ["a"]
    assert [found.name for found in folder.parent.iterdir()] == ["000007"]
    assert outputs_wrong(folder, digests) is None
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_result_comes_back_from_the_journal_as_it_was(tmp_path: Path) -> None:
    run = begin(tmp_path / "run", SHARDS)
    digests = put_outputs(done_folder(run.path, 1), {"x": b"y"})
    result = ShardResult(1, digests, {"fri": 0.125, "write": 1e-9}, 123_456_789_012)
    run.add(result)
    run.close()
    with Run(run.path, SPEC, SHARDS, SEED) as again:
        assert again.finished == {1: result}
