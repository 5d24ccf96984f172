"""kill -9 at random moments of a run: run as a program, it makes victims, lets them die, and compares.

    python -m tests.prover.shards.crash POINTS SEED FOLDER

A victim ends itself before or after a random one of the calls by which it changes the disk. Whatever is left, the next
one goes on from there; no finished shard is proved again, and the end is that of an undisturbed run, byte by byte.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prover.executors.inline import InlineExecutor
from prover.shards.run import run_shards
from tests.prover.shards.fake import begin, calls, outputs, prove

SHARDS = 5
CHANGES = ("open", "fsync", "rename", "replace", "mkdir", "unlink", "rmdir")


def work(path: Path) -> None:
    """All of it, from wherever it stands."""
    with begin(path, SHARDS) as run:
        run_shards(run, run.tasks(), prove, InlineExecutor())


def doomed(function: Callable[..., Any], counter: list[int], *, before: bool) -> Callable[..., Any]:
    """The same function, which ends the process when the counter is at zero."""

    def call(*arguments: Any, **more: Any) -> Any:
        counter[0] -= 1
        if before and counter[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*arguments, **more)
        if counter[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return call


def victim(path: Path, change: int, *, before: bool) -> bool:
    """Forks one that dies at the given change of the disk. Whether it did, or finished before."""
    child = os.fork()
    if child == 0:
        try:
            counter = [change]
            for name in CHANGES:
                setattr(os, name, doomed(getattr(os, name), counter, before=before))
            work(path)
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the victim failed in another way"
    return os.WIFSIGNALED(status)


def main(points: int, seed: int, folder: Path) -> None:
    """Stops with an AssertionError at the first difference."""
    chance = random.Random(seed)
    work(folder / "undisturbed")
    expected = outputs(folder / "undisturbed")
    point = runs = 0
    while point < points:
        runs += 1
        path = folder / f"run{runs}"
        done_before: dict[int, int] = {}
        while victim(path, chance.randrange(1, 90), before=chance.random() < 0.5):
            point += 1
            with begin(path, SHARDS) as run:
                assert set(done_before) <= set(run.finished), "a journalled shard was lost"
                assert run.repairs == [], run.repairs
                now = calls(path)
                assert all(now[index] == times for index, times in done_before.items()), "finished work was repeated"
                done_before = {index: now[index] for index in run.finished}
        assert outputs(path) == expected, "another result"
        names = {found.name for found in path.iterdir()}
        assert names == {"run.json", "spec", "seed", "inputs", "done", "journal.jsonl"}, names
        assert not list(folder.glob(".*")), "something is left"
    print(f"{point} kills, {runs} runs: the same bytes")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
