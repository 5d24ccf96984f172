"""What a part of the suite tried, and what came of it: one shape for all parts, a line each, one file for the docs."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from verifier.errors import VerificationError

FORMAT = "solvent/adversary/v1"
SLOWEST = "slowest ms"
MAXIMA = ("slowest", "most")
"""How notes begin that are maxima; every other one is a count."""
ACCEPTED, AS_IT_SHOULD_BE = "accepted", "as it should be"
SIZES = ("short", "nightly")
_SHOWN_MAX = 10
_TWO_WORDS = ("every", "large", "mutated", "bus")


@dataclass(frozen=True)
class Score:
    """The result of one part.

    Args:
        tried: cases, each of which had to be refused.
        accepted: those that were not; has to be 0.
        foreign: exceptions of another kind than the one refusals have, and cases over their time or memory; has to
            be 0.
        seed: of everything that was random.
        notes: further counts by name, say refusals by reason.
    """

    name: str
    tried: int
    accepted: int
    foreign: int
    seconds: float
    seed: int
    notes: Mapping[str, int]

    @property
    def clean(self) -> bool:
        """Something was tried, and all of it refused as it should be."""
        return self.tried > 0 and not self.accepted and not self.foreign

    def line(self) -> str:
        return f"{self.name:<36}{self.tried:>12,}{self.accepted:>10,}{self.foreign:>9,}{self.seconds:>10.1f}"


HEADING = f"{'name':<36}{'tried':>12}{'accepted':>10}{'foreign':>9}{'seconds':>10}"


@dataclass
class Tally:
    """Counts cases while they run; says on stderr what was not refused, so that it can be tried again.

    Args:
        refusals: what a refusal may be.
        spoken: by what name to count a refusal.
        seconds_max: of the processor; a case that takes more counts as foreign.
    """

    name: str
    seed: int
    refusals: tuple[type[Exception], ...] = (VerificationError,)
    spoken: Callable[[VerificationError], str] = lambda error: error.reason.value
    seconds_max: float = 10.0
    tried: int = 0
    accepted: int = 0
    foreign: int = 0
    slowest: float = 0.0
    notes: Counter[str] = field(default_factory=Counter)
    started: float = field(default_factory=time.monotonic)

    def attempt(self, case: str, action: Callable[[], object]) -> str:
        """Run one case, which has to be refused.

        Returns:
            by what name the refusal was counted, "accepted", or the name of the exception.
        """
        return self._timed(case, lambda: self._refused(case, action))

    def passes(self, case: str, action: Callable[[], object], fault: type[Exception]) -> str:
        """Run one case that judges itself: `fault` says that something was accepted which should not have been."""
        return self._timed(case, lambda: self._passed(case, action, fault))

    def judged(self, case: str, outcome: str, seconds: float) -> None:
        """Count a case that ran elsewhere; it went well if the outcome is AS_IT_SHOULD_BE."""
        self.tried += 1
        self.slowest = max(self.slowest, seconds)
        if outcome == AS_IT_SHOULD_BE:
            self.notes[outcome] += 1
            return
        self.foreign += 1
        self._say(f"{case}: {outcome}")

    def _refused(self, case: str, action: Callable[[], object]) -> str:
        try:
            action()
        except self.refusals as error:
            return self.spoken(error) if isinstance(error, VerificationError) else "refused"
        except Exception as error:
            return self._escaped(case, error)
        self.accepted += 1
        self._say(f"{case}: ACCEPTED")
        return ACCEPTED

    def _passed(self, case: str, action: Callable[[], object], fault: type[Exception]) -> str:
        try:
            action()
        except fault as error:
            self.accepted += 1
            self._say(f"{case}: {type(error).__name__}: {error} ({_place(error)})"[:400])
            return ACCEPTED
        except Exception as error:
            return self._escaped(case, error)
        return AS_IT_SHOULD_BE

    def _escaped(self, case: str, error: Exception) -> str:
        self.foreign += 1
        self._say(f"{case}: {type(error).__name__} escaped ({_place(error)}): {error}"[:400])
        return type(error).__name__

    def _timed(self, case: str, judged: Callable[[], str]) -> str:
        self.tried += 1
        began = time.process_time()
        outcome = judged()
        took = time.process_time() - began
        self.slowest = max(self.slowest, took)
        if took > self.seconds_max:
            self.foreign += 1
            self._say(f"{case}: took {took:.1f} s")
        self.notes[outcome] += 1
        return outcome

    def _say(self, line: str) -> None:
        if self.accepted + self.foreign <= _SHOWN_MAX:
            print(f"{self.name}, seed {self.seed}: {line}", file=sys.stderr)

    def bounded(self, note: str, value: int, most: int) -> Score:
        """The score with a measured maximum, which counts as foreign where it is above its limit."""
        if value > most:
            self.foreign += 1
            self._say(f"{note}: {value}, at most {most}")
        self.notes[note] = value
        return self.score()

    def score(self) -> Score:
        notes = {SLOWEST: round(1000 * self.slowest), **self.notes}  # a part may have a clock of its own
        taken = time.monotonic() - self.started
        return Score(self.name, self.tried, self.accepted, self.foreign, taken, self.seed, notes)


def _place(error: BaseException) -> str:
    """File and line in which an exception was raised."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"


def total(name: str, scores: Iterable[Score]) -> Score:
    """Several workers' results as one: counts are added, maxima and seconds are the greatest."""
    parts = list(scores)
    notes: dict[str, int] = {}
    for part in parts:
        for key, count in part.notes.items():
            known = notes.get(key, 0)
            notes[key] = max(known, count) if key.startswith(MAXIMA) else known + count
    return Score(
        name=name,
        tried=sum(part.tried for part in parts),
        accepted=sum(part.accepted for part in parts),
        foreign=sum(part.foreign for part in parts),
        seconds=max((part.seconds for part in parts), default=0.0),
        seed=parts[0].seed if parts else 0,
        notes=notes,
    )


def parts(lines: Iterable[str]) -> list[Score]:
    """Results that `Score.line` wrote, added up by what their names begin with; seconds are the sum."""
    found: dict[str, Score] = {}
    for line in lines:
        *words, tries, accepts, others, time_ = line.replace(",", "").split()
        tried, accepted, foreign, seconds = int(tries), int(accepts), int(others), float(time_)
        name = " ".join(words[:2]) if words[0] in _TWO_WORDS else words[0].strip(":")
        before = found.get(name, Score(name, 0, 0, 0, 0.0, 0, {}))
        found[name] = replace(
            before,
            tried=before.tried + tried,
            accepted=before.accepted + accepted,
            foreign=before.foreign + foreign,
            seconds=before.seconds + seconds,
        )
    return [found[name] for name in sorted(found)]


def merge(file: Path, scores: Iterable[Score], size: str) -> None:
    """Write results into a JSON file, beside those of parts that did not run this time."""
    known: dict[str, object] = json.loads(file.read_text())["scores"] if file.exists() else {}
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
    for score in scores:
        values = asdict(score) | {"seconds": round(score.seconds, 1), "notes": dict(sorted(score.notes.items()))}
        del values["name"]
        known[score.name] = values | {
            "size": size,
            "date": now,
            "commit": commit(),
            "machine": machine(),
        }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"format": FORMAT, "scores": known}, indent=1, sort_keys=True) + "\n")


def commit() -> str:
    """The commit that is checked out, or "unknown" outside a clone."""
    folder = Path(__file__).parent
    found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def machine() -> dict[str, object]:
    """What figures depend on: cores, memory in bytes, Python."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"cores": os.cpu_count() or 1, "memory_bytes": memory, "python": platform.python_version()}
