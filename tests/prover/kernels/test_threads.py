"""How many threads a process uses, and what becomes of memory it frees."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from prover.kernels.threads import THREADS_VARIABLE, run_ranges, set_thread_count, thread_count


@pytest.fixture(autouse=True)
def default_count() -> Iterator[None]:
    yield
    set_thread_count(None)


def test_a_set_count_comes_before_the_environment_and_that_before_the_processors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(THREADS_VARIABLE, raising=False)
    processors = thread_count()
    monkeypatch.setenv(THREADS_VARIABLE, str(processors + 2))
    assert thread_count() == processors + 2
    set_thread_count(processors + 5)
    assert thread_count() == processors + 5
    set_thread_count(None)
    assert thread_count() == processors + 2


@pytest.mark.parametrize("given", ["", "0", "-1", "many"])
def test_an_environment_that_names_no_count_is_not_followed(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.delenv(THREADS_VARIABLE, raising=False)
    processors = thread_count()
    monkeypatch.setenv(THREADS_VARIABLE, given)
    assert thread_count() == processors


def test_fewer_than_one_thread_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        set_thread_count(0)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_ranges_are_covered_once_by_any_number_of_threads(threads: int) -> None:
    set_thread_count(threads)
    pieces: list[tuple[int, int]] = []
    run_ranges(lambda start, stop: pieces.append((start, stop)), 1000, 64)
    covered = [i for start, stop in sorted(pieces) for i in range(start, stop)]
    assert covered == list(range(1000))
    assert threads > 1 or pieces == [(0, 1000)]


REUSE = """
import resource
import numpy as np
from prover.kernels.threads import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(1 << 26, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

returned = min(faults() for _ in range(5))
kept = keep_freed_memory()
print(kept, returned, min(faults() for _ in range(5)))
"""


def test_freed_memory_is_used_again_without_page_faults() -> None:
    run = subprocess.run([sys.executable, "-c", REUSE], capture_output=True, text=True, check=True)
    kept, returned, again = run.stdout.split()
    assert kept == "False" or (int(returned) > 0 and int(again) == 0)
