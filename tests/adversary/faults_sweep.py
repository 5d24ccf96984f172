"""Goes through the points at which a store may be interrupted, and looks at what is left of it each time."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from typing import Final, TypeVar

from tests.adversary.faults_disk import CUTS, Recording
from tests.adversary.faults_stores import Kept
from tests.adversary.faults_traced import FAILURES, Fault, Outcome, killed, run_traced, torn
from tests.adversary.score import Tally

Item = TypeVar("Item")
FEW: Final = 2
"""Ways to fail at one point, where not all are tried."""


@dataclass
class Counts(Tally):
    """Of one part, while it runs; how long a case may take is what the case itself looks at."""

    seconds_max: float = inf

    def judge(self, what: str, check: Callable[[], object]) -> None:
        """One fault; `check` raises AssertionError where the outcome is wrong, and nothing else."""
        self.passes(what, check, AssertionError)


@dataclass(frozen=True)
class Bench:
    """A store as it is before, in `folder`, and room for copies."""

    kept: Kept
    folder: Path

    @classmethod
    def of(cls, kept: Kept, folder: Path) -> Bench:
        folder.mkdir(parents=True)
        bench = cls(kept, folder)
        (folder / "before").mkdir()
        # Where a store keeps its own path, the path has to be the same for all copies.
        bench.place.mkdir()
        kept.prepare(bench.place)
        shutil.copytree(bench.place, folder / "before", dirs_exist_ok=True)
        return bench

    @property
    def place(self) -> Path:
        """Where the store stands."""
        return self.folder / "now"

    def renew(self) -> None:
        """As it was before."""
        shutil.rmtree(self.place)
        shutil.copytree(self.folder / "before", self.place)

    def run(self, fault: Fault | None = None, recording: Recording | None = None) -> Outcome:
        return run_traced(self.place, partial(self.kept.act, self.place), fault, recording)


def record(bench: Bench) -> Recording:
    """What an undisturbed run changes. Raises AssertionError: the model of the disk is not what the disk holds."""
    bench.renew()
    recording = Recording.of(bench.place)
    outcome = bench.run(recording=recording)
    assert outcome.error is None, f"{bench.kept.name}: {outcome.error}"
    model = bench.folder / "model"
    recording.write(recording.changes, model)
    assert _contents(model) == _contents(bench.place), f"{bench.kept.name}: the model of the disk is wrong"
    shutil.rmtree(model)
    bench.kept.check(bench.place, list(outcome.said))
    return recording


def kills(bench: Bench, counts: Counts, points: int, chance: random.Random, count: int | None) -> None:
    """`kill -9` before each of `points` changes of the disk, or `count` of them, and in the middle of writes."""
    for number in chosen(points, chance, count):
        for fault in some((killed(number), torn(number)), chance, None if count is None else 1):
            bench.renew()
            outcome = bench.run(fault)
            if outcome.was_killed:
                counts.notes[f"{bench.kept.name}: {fault.name}"] += 1
                check = partial(bench.kept.check, bench.place, list(outcome.said))
                counts.judge(f"{bench.kept.name}: {fault.name} at {number}", check)


def power_cuts(
    bench: Bench, counts: Counts, recording: Recording, chance: random.Random, count: int | None, draws: int
) -> None:
    """The power goes after each change of the disk, or after `count` of them; `draws` random parts each."""
    for number in chosen(len(recording.changes), chance, count):
        for name, cut in CUTS.items():
            for _ in range(draws if name == "any part" else 1):
                shutil.rmtree(bench.place)
                recording.write(cut(recording.changes[:number], chance), bench.place)
                counts.notes[f"{bench.kept.name}: {name}"] += 1
                check = partial(bench.kept.check, bench.place, recording.told(number))
                counts.judge(f"{bench.kept.name}: {name} of the first {number}", check)


def failures(bench: Bench, counts: Counts, points: int, chance: random.Random, count: int | None) -> None:
    """The disk fails at each change, or at `count` of them: said plainly, and afterwards all goes on."""
    for number in chosen(points, chance, count):
        for make in some(FAILURES, chance, None if count is None else FEW):
            fault = make(number)
            bench.renew()
            outcome = bench.run(fault)
            if outcome.hit:
                counts.notes[f"{bench.kept.name}: {fault.name}"] += 1
                check = partial(_failed_well, bench, outcome)
                counts.judge(f"{bench.kept.name}: {fault.name} at {number}", check)


def _failed_well(bench: Bench, outcome: Outcome) -> None:
    bench.kept.check(bench.place, list(outcome.said))
    if outcome.error is not None:
        names, text = outcome.error
        if not set(names.split("/")) & set(bench.kept.errors):
            raise RuntimeError(f"{names}: {text}")
        assert text.strip(), f"{names} without a word"
        assert text.count("\n") == 0, f"more than one line: {text}"


def chosen(points: int, chance: random.Random, count: int | None) -> Iterator[int]:
    """All of 1 .. points, or `count` of them, spread over all."""
    if count is None or count >= points:
        yield from range(1, points + 1)
        return
    for part in range(count):
        first, end = 1 + part * points // count, 1 + (part + 1) * points // count
        yield chance.randrange(first, end)


def some(items: Sequence[Item], chance: random.Random, count: int | None) -> Sequence[Item]:
    """All, or `count` of them."""
    return items if count is None else chance.sample(items, count)


def _contents(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if not path.name.endswith("-shm")
    }
