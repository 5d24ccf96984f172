"""Named phases of long work: what runs, how far it is, and how long each took."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

Progress = Callable[[str, float], None]
"""Called with a phase and the fraction of it that is done, 0 to 1."""

PHASES = (
    "compile", "split", "shards", "witness", "extend", "commit", "lookups", "constraints", "openings", "fri", "queries",
    "write",
)  # fmt: skip


class Phases:
    """Times each phase (wall seconds, summed where a phase comes back) and reports progress."""

    def __init__(self, progress: Progress | None = None) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = progress or (lambda phase, fraction: None)
        self._current = ""

    def apart(self) -> Phases:
        """The same progress, seconds of its own."""
        return Phases(self._progress)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        started, self._current = time.perf_counter(), name
        self._progress(name, 0.0)
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started
        self._progress(name, 1.0)

    def add(self, others: Iterable[dict[str, float]]) -> None:
        """Seconds that were measured elsewhere."""
        for seconds in others:
            for name, value in seconds.items():
                self.seconds[name] = self.seconds.get(name, 0.0) + value

    def at(self, fraction: float) -> None:
        """The current phase is this far."""
        self._progress(self._current, fraction)


def peak_memory_bytes() -> int:
    """Largest resident size of this process so far (macOS counts bytes, others KiB)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
