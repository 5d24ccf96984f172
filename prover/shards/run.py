"""Works through the shards of a run: only what is not finished, journalled as it finishes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

from prover.executors import Executor
from prover.files import write_whole
from prover.shards.journal import DONE, Run, journal_line, task_of
from prover.shards.task import ShardFunction, ShardResult, ShardTask, shard_name

Finished = Callable[[int, int], None]
"""Called with how many shards are finished, and how many there are."""


def run_shards(
    run: Run, tasks: Iterable[ShardTask], function: ShardFunction, executor: Executor, progress: Finished | None = None
) -> list[ShardResult]:
    """Results of all tasks by index. Interrupted or killed at any point, what is finished is kept; call it again.

    Args:
        tasks: of this run, all or some, each index once.

    Raises:
        Whatever `function` or `executor` raises. Shards that finished before are in the journal.
    """
    wanted = {task.index: task for task in tasks}
    done = {index: result for index, result in run.finished.items() if index in wanted}
    if progress is not None:
        progress(len(done), len(wanted))
    missing = [task for index, task in sorted(wanted.items()) if index not in done]
    with closing(executor.run(function, missing)) as results:
        for task, result in results:
            run.add(result)
            done[task.index] = result
            if progress is not None:
                progress(len(done), len(wanted))
    return [result for _, result in sorted(done.items())]


def run_one(path: Path, index: int, function: ShardFunction) -> ShardResult:
    """Proves one shard in this process, for schedulers that start one process per shard.

    Many may do so at once, and the same shard twice: nothing but the shard's own files is written. Its receipt is the
    journal's line, which the run takes over when it is opened again.

    Raises:
        InputError: no such shard, or inputs are missing.
    """
    task = task_of(path, index)
    result = function(task)
    write_whole(path / DONE / f"{shard_name(index)}.json", journal_line(result, task.input_digest))
    return result
