"""Many cases over several processes: chunks with seeds of their own, progress on stderr, Ctrl-C keeps what is there."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator

from tests.adversary.score import Score, total

_REPORT_SECONDS = 30.0


def spread(name: str, work: Callable[[int], Score], chunks: int, processes: int | None = None) -> Score:
    """Run `work` for the chunks 0 .. chunks - 1 and add the results up.

    Args:
        work: a function of a module, or a partial of one: it is sent to other processes. The same chunk always tries
            the same cases.
        processes: as many as there are cores unless given; 1 stays in this process.
    """
    processes = min(processes or os.cpu_count() or 1, chunks)
    parts: list[Score] = []
    began = last = time.monotonic()
    try:
        for part in _results(work, chunks, processes):
            parts.append(part)
            if time.monotonic() - last > _REPORT_SECONDS:
                last = time.monotonic()
                done = total(name, parts)
                rate = done.tried / (last - began)
                print(f"{done.line()}   chunk {len(parts)} of {chunks}, {rate:.0f}/s", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print(f"{name}: stopped after {len(parts)} of {chunks} chunks", file=sys.stderr)
    done = total(name, parts)
    return Score(done.name, done.tried, done.accepted, done.foreign, time.monotonic() - began, done.seed, done.notes)


def _results(work: Callable[[int], Score], chunks: int, processes: int) -> Iterator[Score]:
    if processes == 1:
        yield from map(work, range(chunks))
        return
    # Started afresh: a fork would take threads of compiled kernels along.
    with multiprocessing.get_context("spawn").Pool(processes, _ignore_interrupts) as pool:
        yield from pool.imap_unordered(work, range(chunks))


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def peak_mib() -> int:
    """The most memory that this process ever had, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak >> (20 if sys.platform == "darwin" else 10)
