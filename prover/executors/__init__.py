"""Who does the work: processes of this machine (`local`), or of several (`cluster`). Same interface, same results."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Final, Protocol, TypeVar

from prover.errors import InputError
from prover.kernels.threads import THREADS_VARIABLE

Task = TypeVar("Task")
Result = TypeVar("Result")

DEATHS_MAX: Final = 3
"""A task during which so many workers died is given up."""


class Executor(Protocol):
    """Runs a function over tasks, in any order."""

    @property
    def processes(self) -> int:
        """How many there are on this machine beside this one, at most."""
        ...

    def run(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Generator[tuple[Task, Result], None, None]:
        """Each task with its result, as they finish. At most a few tasks per worker are taken ahead of results.

        Closing the generator stops the work that is under way.

        Args:
            function: top level of a module; it, tasks and results can be pickled and are small.

        Raises:
            WorkersDied: after all others are finished, if there are tasks during which workers died time after time.
            Exception: whatever `function` raises; tasks that were under way are given up.
        """
        ...


class WorkersDied(InputError):
    """There are tasks that their workers did not survive. All others are finished.

    Args:
        tasks: in words.
    """

    def __init__(self, tasks: Iterable[str]) -> None:
        super().__init__(
            got=f"{DEATHS_MAX} workers that died, one after the other, during {', '.join(tasks)}",
            expected="memory enough for all workers (or fewer of them); all the rest is finished and kept",
        )


def task_words(task: object) -> str:
    """What to call a task in a message."""
    index = getattr(task, "index", None)
    return f"shard {index}" if isinstance(index, int) else str(task)


def single_thread() -> dict[str, str]:
    """Environment of a worker: there are as many workers as processors."""
    return {name: "1" for name in (THREADS_VARIABLE, "NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}


@contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """Threads and processes that are started here never see Ctrl-C: it is for the caller, who then ends them."""
    resource_tracker.ensure_running()  # which clears the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
