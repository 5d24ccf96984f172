"""No other process: for a single shard, which then has all processors to itself."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass

from prover.executors import Result, Task


@dataclass(frozen=True, slots=True)
class InlineExecutor:
    """See `prover.executors.Executor`; one task after the other, `function` need not be picklable."""

    @property
    def processes(self) -> int:
        return 0

    def run(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Generator[tuple[Task, Result], None, None]:
        """In order."""
        for task in tasks:
            yield task, function(task)
