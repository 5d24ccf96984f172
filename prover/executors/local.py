"""A pool of processes on this machine, one thread each.

Every worker has a pipe of its own. So the death of one (out of memory, `kill -9`) is seen at once and costs nobody
else's work; the pools of the standard library break as a whole. Workers are spawned, not forked: the kernels' threads
do not survive a fork.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import pickle
import threading
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Final

from prover.errors import InputError
from prover.executors import (
    DEATHS_MAX,
    Result,
    Task,
    WorkersDied,
    deaf_to_interrupts,
    single_thread,
    task_words,
)
from prover.kernels.threads import processors
from verifier.errors import SolvencyError

READY, DONE, FAILED = "ready", "done", "failed"
END_SECONDS_MAX: Final = 10.0
_SPAWN: Final = mp.get_context("spawn")


@dataclass(frozen=True, slots=True)
class LocalExecutor:
    """See `prover.executors.Executor`.

    Args:
        workers: processes at once; None means one for each processor this process may run on.
    """

    workers: int | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise InputError(field="--workers", got=str(self.workers), expected="at least 1")

    @property
    def processes(self) -> int:
        return self.workers or processors()

    def run(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Generator[tuple[Task, Result], None, None]:
        """A task whose worker dies is given to another one, up to three times in all."""
        pool = _Pool(function, self.processes, tasks)
        try:
            yield from pool.results()
        finally:
            pool.close()


@dataclass(eq=False, slots=True)
class _Worker:
    process: SpawnProcess
    pipe: Connection
    is_ready: bool = False
    job: _Job | None = None


@dataclass(eq=False, slots=True)
class _Job:
    task: Any
    deaths: int = 0


class _Pool:
    def __init__(self, function: Callable[[Any], Any], size: int, tasks: Iterable[Any]) -> None:
        self._function = function
        self._size = size
        self._source = iter(tasks)
        self._again: list[_Job] = []
        self._given_up: list[_Job] = []
        self._workers: list[_Worker] = []
        self._false_starts = 0

    def results(self) -> Iterator[tuple[Any, Any]]:
        """Until there is nothing left to do."""
        self._hand_out()
        while self._workers:
            for pipe in wait([worker.pipe for worker in self._workers]):
                worker = next((each for each in self._workers if each.pipe is pipe), None)
                if worker is None:
                    continue  # buried meanwhile
                job = worker.job
                try:
                    kind, value = worker.pipe.recv()
                except (EOFError, OSError):
                    self._bury(worker)
                    continue
                if kind == FAILED:
                    raise value
                worker.is_ready = True
                if kind == DONE and job is not None:
                    worker.job = None
                    self._hand_out()
                    yield job.task, value
            self._hand_out()
        if self._given_up:
            raise WorkersDied(task_words(job.task) for job in self._given_up)

    def close(self) -> None:
        """Ends all workers; whatever one was doing is given up."""
        for worker in self._workers:
            worker.pipe.close()  # who waits for work ends by itself
            if worker.job is not None or not worker.is_ready:
                worker.process.kill()
        for worker in self._workers:
            _end(worker.process)
        self._workers.clear()

    def _hand_out(self) -> None:
        """A task to each idle worker, a new worker for each task left; idle workers without a task end."""
        idle = [worker for worker in self._workers if worker.job is None]
        while idle or len(self._workers) < self._size:
            job = self._next()
            if job is None:
                break
            is_new = not idle
            worker = self._start() if is_new else idle.pop()
            worker.job = job
            try:
                if is_new:
                    worker.pipe.send(self._function)
                worker.pipe.send(job.task)
            except OSError:
                self._bury(worker)
        for worker in idle:
            worker.pipe.close()
            self._workers.remove(worker)
            _end(worker.process)

    def _next(self) -> _Job | None:
        if self._again:
            return self._again.pop()
        for task in self._source:
            return _Job(task)
        return None

    def _start(self) -> _Worker:
        ours, theirs = _SPAWN.Pipe()
        process = _SPAWN.Process(target=_work, args=(theirs, single_thread()), daemon=True)
        with deaf_to_interrupts():
            process.start()
        theirs.close()  # so that the worker's death closes the pipe
        worker = _Worker(process, ours)
        self._workers.append(worker)
        return worker

    def _bury(self, worker: _Worker) -> None:
        """It died: its task goes to another worker, or is given up."""
        worker.pipe.close()
        self._workers.remove(worker)
        _end(worker.process)
        job = worker.job
        if not worker.is_ready:
            self._false_starts += 1
            if self._false_starts >= DEATHS_MAX:
                raise InputError(
                    got=f"workers that end before they begin (exit code {worker.process.exitcode})",
                    expected="memory for them, and a main module that can be imported again",
                )
        elif job is not None:
            self._false_starts = 0
            job.deaths += 1
        if job is not None:
            (self._again if job.deaths < DEATHS_MAX else self._given_up).append(job)


def _end(process: SpawnProcess) -> None:
    process.join(END_SECONDS_MAX)
    if process.is_alive():
        process.kill()
        process.join()


def _work(pipe: Connection, environment: dict[str, str]) -> None:
    """A worker: the function first, then tasks, until the pipe is closed."""
    os.environ.update(environment)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        function = pipe.recv()
    except EOFError:
        return
    except Exception as error:
        _answer(pipe, FAILED, _told(error))
        return
    _answer(pipe, READY, None)
    while True:
        try:
            task = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            kind, value = DONE, function(task)
        except Exception as error:
            kind, value = FAILED, _told(error)
        _answer(pipe, kind, value)


def _answer(pipe: Connection, kind: str, value: object) -> None:
    try:
        data = pickle.dumps((kind, value))
        if kind == FAILED:
            pickle.loads(data)  # not every error survives it
    except Exception as error:
        text = f"cannot be sent back from a worker: {type(value).__name__} {value}: {error}"
        data = pickle.dumps((FAILED, RuntimeError(text)))
    with suppress(BrokenPipeError):
        pipe.send_bytes(data)


def _told(error: Exception) -> Exception:
    """With what a person who looks for a bug needs: the worker's traceback does not travel by itself."""
    if not isinstance(error, SolvencyError):
        error.add_note("In a worker:\n" + "".join(traceback.format_exception(error)))
    return error


def _end_with_parent() -> None:
    """A worker whose parent was killed would compete with those of the next run."""
    parent = mp.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
