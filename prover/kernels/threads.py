"""Split a range of independent work over the processors this process may use, and keep its memory warm."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from threading import local

THREADS_VARIABLE = "SOLVENT_THREADS"
"""Environment variable with the number of threads; a pool of single-threaded workers sets it to 1."""
_PIECES_PER_THREAD = 4
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_chosen: list[int] = []


def set_thread_count(threads: int | None) -> None:
    """Use this many threads from now on in this process; None goes back to the environment or the processors.

    Raises:
        ValueError: fewer than one.
    """
    if threads is not None and threads < 1:
        raise ValueError(f"expected at least one thread, got {threads}")
    _chosen[:] = [] if threads is None else [threads]


@contextmanager
def limited_to(threads: int) -> Iterator[None]:
    """Use this many threads inside, and as many as before afterwards."""
    before = list(_chosen)
    set_thread_count(threads)
    try:
        yield
    finally:
        _chosen[:] = before


def thread_count() -> int:
    """Threads of this process: as set, else as SOLVENT_THREADS says, else the processors it is allowed to run on."""
    if _chosen:
        return _chosen[0]
    given = os.environ.get(THREADS_VARIABLE, "")
    if given.isdecimal() and int(given) > 0:
        return int(given)
    return processors()


def processors() -> int:
    """Processors this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def keep_freed_memory() -> bool:
    """Let the allocator reuse what is freed instead of returning it to the system; False where it cannot be told.

    A proof allocates a gigabyte in large arrays. By default each comes fresh from the system and goes back when freed,
    so every proof pays for clearing all of its pages again: a tenth to a half of its time. Here all come from one heap
    that never shrinks and is no larger than the most ever in use. GNU C library only.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    settings = (_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, -1), (_M_TOP_PAD, 1 << 26)  # -1: never trim
    return all(mallopt(name, value) == 1 for name, value in settings)


def run_ranges(function: Callable[[int, int], object], total: int, granularity: int = 1) -> None:
    """Call `function(start, stop)` over pieces that cover range(total), in parallel.

    Inner bounds are multiples of `granularity`. Pieces are handed out as threads become free, so uneven pieces balance.
    The function must release the interpreter lock to gain anything. Called from inside a piece, this runs in one go. A
    failure in one piece, or an interrupt of the caller, stops the pieces not yet begun and is raised here once the
    running ones have ended.
    """
    if total <= 0:
        return
    threads = 1 if getattr(_inside, "piece", False) else thread_count()
    units = -(-total // granularity)
    size = -(-units // (threads * _PIECES_PER_THREAD)) * granularity
    starts = range(0, total, size)
    if threads == 1 or len(starts) == 1:
        function(0, total)
        return

    def piece(start: int) -> None:
        _inside.piece = True
        function(start, min(start + size, total))

    pool = _pool(threads)
    pieces: list[Future[None]] = []
    try:
        pieces.extend(pool.submit(piece, start) for start in starts)
        for done in wait(pieces, return_when=FIRST_EXCEPTION).done:
            done.result()
    finally:
        for pending in pieces:
            pending.cancel()
        wait(pieces)


def _pool(threads: int) -> ThreadPoolExecutor:
    """The threads of this process, made once: a proof asks for them a thousand times."""
    known = _pools.get(threads)
    # Two callers at once may each make one; the pool that is not kept ends when its caller is done with it.
    return _pools.setdefault(threads, ThreadPoolExecutor(threads)) if known is None else known


def _forget_pools() -> None:
    """A forked process has none of its parent's threads."""
    _pools.clear()


_inside, _pools = local(), dict[int, ThreadPoolExecutor]()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pools)
