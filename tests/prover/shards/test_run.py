"""A run from begin to end, and through everything that can interrupt it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from prover.errors import InputError
from prover.executors import WorkersDied
from prover.executors.inline import InlineExecutor
from prover.executors.local import LocalExecutor
from prover.shards.run import run_shards
from tests.prover.shards.fake import begin, calls, outputs, prove

SHARDS = 6
POINTS = int(os.environ.get("SOLVENT_KILLS", "36"))


def expected(tmp_path: Path, spec: bytes) -> dict[str, bytes]:
    """By the plain executor."""
    with begin(tmp_path / "plain", SHARDS, spec) as run:
        run_shards(run, run.tasks(), prove, InlineExecutor())
    return outputs(tmp_path / "plain")


def test_results_come_by_index_and_progress_by_shard(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    with begin(tmp_path / "run", SHARDS) as run:
        first = run_shards(run, run.tasks()[::-2], prove, InlineExecutor(), lambda *at: seen.append(at))
        assert [result.index for result in first] == [1, 3, 5]
        assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]
        seen.clear()
        results = run_shards(run, run.tasks(), prove, InlineExecutor(), lambda *at: seen.append(at))
    assert [result.index for result in results] == list(range(SHARDS))
    assert seen == [(3, 6), (4, 6), (5, 6), (6, 6)]
    assert calls(tmp_path / "run") == dict.fromkeys(range(SHARDS), 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the victims are forked")
def test_killed_at_any_point_it_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.prover.shards.crash", str(POINTS), "7", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "the same bytes" in done.stdout


def test_workers_that_die_cost_only_their_shards(tmp_path: Path) -> None:
    path, mood = tmp_path / "run", tmp_path / "mood"
    mood.write_text(json.dumps({"die_once": [2], "die": [4]}))
    spec = json.dumps({"mood": str(mood)}).encode()
    with begin(path, SHARDS, spec) as run:
        words = r"^got 3 workers that died, one after the other, during shard 4, expected memory enough"
        with pytest.raises(WorkersDied, match=words):
            run_shards(run, run.tasks(), prove, LocalExecutor(2))
        assert sorted(run.finished) == [0, 1, 2, 3, 5]
        assert calls(path) == {0: 1, 1: 1, 2: 2, 3: 1, 4: 3, 5: 1}
        mood.write_text("{}")
        run_shards(run, run.tasks(), prove, LocalExecutor(2))
    assert calls(path) == {0: 1, 1: 1, 2: 2, 3: 1, 4: 4, 5: 1}
    assert outputs(path) == expected(tmp_path, spec)


@pytest.mark.negative
def test_an_error_in_one_shard_keeps_the_others(tmp_path: Path) -> None:
    path, mood = tmp_path / "run", tmp_path / "mood"
    mood.write_text(json.dumps({"wrong": [3]}))
    spec = json.dumps({"mood": str(mood)}).encode()
    with begin(path, SHARDS, spec) as run:
        with pytest.raises(InputError) as caught:
            run_shards(run, run.tasks(), prove, LocalExecutor(1))
        assert str(caught.value) == 'users.csv:7 column "amount": got "x", expected a number'
        assert sorted(run.finished) == [0, 1, 2]
    mood.write_text("{}")
    with begin(path, SHARDS, spec) as run:
        run_shards(run, run.tasks(), prove, InlineExecutor())
    assert calls(path) == {0: 1, 1: 1, 2: 1, 3: 2, 4: 1, 5: 1}
    assert outputs(path) == expected(tmp_path, spec)


PROGRAM = """
import sys
from pathlib import Path
from prover.executors.cluster import ClusterExecutor
from prover.executors.local import LocalExecutor
from prover.shards.run import run_shards
from tests.prover.shards.fake import begin, prove

if __name__ == "__main__":
    with begin(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3].encode()) as run:
        try:
            executor = ClusterExecutor(workers=2) if sys.argv[4] == "dask" else LocalExecutor(2)
            run_shards(run, run.tasks(), prove, executor, lambda done, of: print(done, flush=True))
        except KeyboardInterrupt:
            sys.exit(130)
"""


def started(tmp_path: Path, spec: bytes, executor: str = "local") -> subprocess.Popen[str]:
    """A run with two workers in a process group of its own."""
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [
        sys.executable,
        str(tmp_path / "program.py"),
        str(tmp_path / "run"),
        str(SHARDS),
        spec.decode(),
        executor,
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, env=environment,
    )  # fmt: skip


def heard(process: subprocess.Popen[str], number: int) -> None:
    """Waits until so many shards are finished."""
    assert process.stdout is not None
    while int(process.stdout.readline() or number) < number:
        pass


def alive(group: int) -> bool:
    """Whether a process of a group runs; one that only nobody has waited for does not."""
    if not Path("/proc/self/stat").exists():
        return subprocess.run(["ps", "-g", str(group)], capture_output=True, check=False).returncode == 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, its_group, *_ = stat.read_text().rpartition(")")[2].split()
            if int(its_group) == group and state != "Z":
                return True
    return False


def ended(group: int, seconds: float = 20.0) -> bool:
    """Whether all processes of a group end in time."""
    until = time.monotonic() + seconds
    while alive(group) and time.monotonic() < until:
        time.sleep(0.05)
    return not alive(group)


def test_killed_with_its_pool_it_leaves_no_workers_and_goes_on(tmp_path: Path) -> None:
    spec = b'{"seconds":0.1}'
    wait = random.Random(3)
    for number in (0, 2, 3):
        process = started(tmp_path, spec)
        heard(process, number)
        time.sleep(wait.random() * 0.1)
        process.kill()
        process.communicate()
        assert ended(process.pid), "workers outlive their parent"
    process = started(tmp_path, spec)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert outputs(tmp_path / "run") == expected(tmp_path, spec)


def test_workers_do_not_finish_their_shards_after_the_run_was_killed(tmp_path: Path) -> None:
    process = started(tmp_path, b'{"seconds":60}')
    until = time.monotonic() + 30
    while len(calls(tmp_path / "run")) < 2:
        assert time.monotonic() < until, "the workers never began"
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert ended(process.pid), "workers outlive their parent"


@pytest.mark.parametrize("executor", ["local", "dask"])
def test_ctrl_c_stops_cleanly_and_keeps_what_is_finished(tmp_path: Path, executor: str) -> None:
    if executor == "dask":
        pytest.importorskip("distributed", reason="the extra [cluster] is not installed")
    spec = b'{"seconds":0.4}'
    process = started(tmp_path, spec, executor)
    heard(process, 2)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers hear it, too
    _, errors = process.communicate()
    assert (process.returncode, errors) == (130, "")
    assert ended(process.pid)
    with begin(tmp_path / "run", SHARDS, spec) as run:
        finished = set(run.finished)
        assert 2 <= len(finished) < SHARDS
        run_shards(run, run.tasks(), prove, InlineExecutor())
    assert {index for index, times in calls(tmp_path / "run").items() if times > 1}.isdisjoint(finished)
    assert outputs(tmp_path / "run") == expected(tmp_path, spec)
