"""Named phases of long work: what runs, how far it is, and how long each took."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

Progress = Callable[[str, float], None]
"""Called with a phase and the fraction of it that is done, 0 to 1."""

PHASES = (
    "compile", "split", "shards", "witness", "hashing", "extend", "commit", "lookups", "constraints", "openings", "fri",
    "queries",
    "write",
)  # fmt: skip


class Phases:
    """Times each phase, summed where it comes back and without the phases inside it, and reports progress.

    Attributes:
        seconds: wall seconds by phase. cpu_seconds: of all threads of this process.
    """

    def __init__(self, progress: Progress | None = None) -> None:
        self.seconds: dict[str, float] = {}
        self.cpu_seconds: dict[str, float] = {}
        self._progress = progress or (lambda phase, fraction: None)
        self._current: list[str] = []
        self._since = (0.0, 0.0)

    def apart(self) -> Phases:
        """The same progress, seconds of its own."""
        return Phases(self._progress)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        self._book()
        self._current.append(name)
        self._progress(name, 0.0)
        yield
        self._book()
        self._current.pop()
        self._progress(name, 1.0)

    def add(self, seconds: Mapping[str, float], cpu_seconds: Mapping[str, float]) -> None:
        """What was measured elsewhere."""
        for sums, more in ((self.seconds, seconds), (self.cpu_seconds, cpu_seconds)):
            for name, value in more.items():
                sums[name] = sums.get(name, 0.0) + value

    def at(self, fraction: float) -> None:
        """The current phase is this far."""
        self._progress(self._current[-1] if self._current else "", fraction)

    def _book(self) -> None:
        """Count the time since the last change for the phase that had it."""
        now = time.perf_counter(), time.process_time()
        if self._current:
            for sums, end, start in zip((self.seconds, self.cpu_seconds), now, self._since, strict=True):
                sums[self._current[-1]] = sums.get(self._current[-1], 0.0) + end - start
        self._since = now


def peak_memory_bytes() -> int:
    """Largest resident size of this process so far (macOS counts bytes, others KiB)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
