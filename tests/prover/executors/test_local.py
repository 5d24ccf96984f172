"""The pool of processes: each task once, few at a time, and workers that die."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from prover.errors import InputError
from prover.executors import WorkersDied, single_thread, task_words
from prover.executors.local import LocalExecutor
from prover.kernels.threads import processors
from verifier.errors import Reason, VerificationError

Task = tuple[str, int, Path]


def act(task: Task) -> Any:
    """What a task says."""
    words, number, folder = task
    if words == "square":
        return number * number
    if words == "environment":
        return {name: os.environ.get(name) for name in single_thread()} | {"pid": os.getpid()}
    if words == "wrong":
        raise ValueError(f"no {number}")
    if words == "refuse":
        raise VerificationError(Reason.MALFORMED, "bad", got="x")
    if words == "no pickle":
        return threading.Lock()
    if words == "exit":
        sys.exit(3)
    with (folder / str(number)).open("a") as stream:
        stream.write("x")
    if words == "die" or (words == "die once" and (folder / str(number)).stat().st_size == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    return -number


def squares(count: int, folder: Path) -> Iterator[Task]:
    return (("square", number, folder) for number in range(count))


def test_each_task_once_with_its_result(tmp_path: Path) -> None:
    found = list(LocalExecutor(2).run(act, squares(40, tmp_path)))
    assert sorted((task[1], result) for task, result in found) == [(n, n * n) for n in range(40)]
    assert list(LocalExecutor().run(act, ())) == []


def test_tasks_are_taken_as_workers_are_free(tmp_path: Path) -> None:
    taken: list[int] = []

    def tasks() -> Iterator[Task]:
        for task in squares(1000, tmp_path):
            taken.append(task[1])
            yield task

    with closing(LocalExecutor(2).run(act, tasks())) as results:
        for done in range(1, 6):
            next(results)
            assert len(taken) <= done + 2
        assert len(multiprocessing.active_children()) == 2
    assert multiprocessing.active_children() == []


def test_workers_have_one_thread_and_none_is_left(tmp_path: Path) -> None:
    found = [result for _, result in LocalExecutor(2).run(act, [("environment", n, tmp_path) for n in range(4)])]
    for result in found:
        pid = result.pop("pid")
        assert result == dict.fromkeys(single_thread(), "1")
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert "SOLVENT_THREADS" in single_thread()


def test_a_dead_worker_costs_only_its_task(tmp_path: Path) -> None:
    tasks = [("die once" if n in (0, 3) else "count", n, tmp_path) for n in range(8)]
    found = {task[1]: result for task, result in LocalExecutor(2).run(act, tasks)}
    assert found == {n: -n for n in range(8)}
    assert {n: (tmp_path / str(n)).stat().st_size for n in range(8)} == {n: 1 + (n in (0, 3)) for n in range(8)}


@pytest.mark.negative
def test_a_task_that_kills_three_workers_is_reported_when_the_rest_is_done(tmp_path: Path) -> None:
    tasks = [("die" if n in (1, 4) else "count", n, tmp_path) for n in range(6)]
    found: list[int] = []
    with pytest.raises(WorkersDied) as caught:
        found += (task[1] for task, _ in LocalExecutor(2).run(act, tasks))
    assert str(tasks[1]) in str(caught.value)
    assert str(tasks[4]) in str(caught.value)
    assert {n: (tmp_path / str(n)).stat().st_size for n in range(6)} == {n: 3 if n in (1, 4) else 1 for n in range(6)}


@pytest.mark.negative
def test_an_error_comes_back_as_it_was(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no 5") as caught:
        list(LocalExecutor(1).run(act, [("wrong", 5, tmp_path)]))
    assert 'raise ValueError(f"no {number}")' in caught.value.__notes__[0]
    with pytest.raises(VerificationError, match="malformed: bad"):
        list(LocalExecutor(1).run(act, [("refuse", 5, tmp_path)]))
    with pytest.raises(RuntimeError, match="cannot be sent back from a worker: lock"):
        list(LocalExecutor(1).run(act, [("no pickle", 5, tmp_path)]))


@pytest.mark.negative
def test_what_cannot_begin_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match='--workers: got "0", expected at least 1'):
        LocalExecutor(0)
    monkeypatch.setattr("prover.executors.local._work", os._exit)  # a worker that never comes up
    with pytest.raises(InputError, match="workers that end before they begin"):
        list(LocalExecutor(1).run(act, squares(3, tmp_path)))


def test_words() -> None:
    assert processors() >= 1
    assert task_words(("x", 1)) == "('x', 1)"
