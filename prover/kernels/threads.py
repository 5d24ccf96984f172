"""Split a range of independent work over the processors this process may use."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

_PIECES_PER_THREAD = 4


def thread_count() -> int:
    """Processors this process is allowed to run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def run_ranges(function: Callable[[int, int], object], total: int, granularity: int = 1) -> None:
    """Call `function(start, stop)` over pieces that cover range(total), in parallel.

    Inner bounds are multiples of `granularity`. Pieces are handed out as threads become free, so uneven pieces balance.
    The function must release the interpreter lock to gain anything. A failure in one piece, or an interrupt of the
    caller, stops the pieces not yet begun and is raised here once the running ones have ended.
    """
    if total <= 0:
        return
    threads = thread_count()
    units = -(-total // granularity)
    size = -(-units // (threads * _PIECES_PER_THREAD)) * granularity
    starts = range(0, total, size)
    if threads == 1 or len(starts) == 1:
        for start in starts:
            function(start, min(start + size, total))
        return
    pool = ThreadPoolExecutor(threads)
    try:
        pieces = [pool.submit(function, start, min(start + size, total)) for start in starts]
        for piece in wait(pieces, return_when=FIRST_EXCEPTION).done:
            piece.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
