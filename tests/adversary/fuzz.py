"""Fuzzing of everything that reads bytes from outside: a corpus to replay, and atheris to look for more.

`corpus/TARGET/` holds small inputs that between them reach all that fuzzing has reached, named by their digest;
`python -m tests.adversary.fuzz TARGET SECONDS` looks for more of them and writes the best into it.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

from tests.adversary.mutate import change_any
from tests.adversary.score import Score, Tally
from tests.adversary.targets import Faulty
from tests.adversary.targets_service import ALL

CORPUS = Path(__file__).parent / "corpus"
SECONDS = 60
"""For each target, nightly."""
PROCESSES = 2
INPUT_SECONDS_MAX, WALL_SECONDS_MAX = 2, 30
"""For one input: of the processor in replays, and by the clock where atheris watches, instrumented."""
RSS_MIB_MAX = 1536
"""Of the whole process: two thirds of it are what the libraries of the service take before anything is read."""
CHANGES = 12
"""Of each target's inputs in the short size, which does without atheris."""
FILE_BYTES_MAX = 4096
"""What the corpus keeps; honest documents may be longer, and are made afresh."""
_PRODUCT = tuple(str(CORPUS.parents[2] / name) for name in ("api", "verifier"))
_STATS = re.compile(rb"stat::(\w+):\s+(\d+)")
_COVERAGE = re.compile(rb"cov: (\d+) ft: (\d+)")


def corpus(name: str) -> list[bytes]:
    """The committed inputs of a target, in a fixed order."""
    return [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))]


def replay(name: str, seed: int, changes: int = CHANGES) -> Score:
    """Honest documents, the corpus, and changes to them: refused by name or rightly taken, in bounded time."""
    target = ALL[name]
    tally = Tally(f"fuzz {name}", seed, (), seconds_max=INPUT_SECONDS_MAX)
    source = random.Random(f"fuzz {seed} {name}")
    inputs = [*target.honest(), *corpus(name)]
    for number, data in enumerate(inputs):
        tally.passes(f"input {number}, {digest(data)}", partial(target, data), Faulty)
    for number in range(changes):
        data = change_any(source.choice(inputs), source).data
        tally.passes(f"change {number}", partial(target, data), Faulty)
    return tally.score()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def fuzz(name: str, seed: int, seconds: int, grown: Path | None = None) -> Score:
    """Let atheris look for new paths for some time.

    Args:
        grown: a folder for the inputs that it finds.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        found, start = grown or Path(scratch) / "found", Path(scratch) / "start"
        for folder in (found, start, CORPUS / name):  # the last is not there while it is empty
            folder.mkdir(exist_ok=True)
        for data in ALL[name].honest():
            (start / digest(data)).write_bytes(data)
        options = [f"-max_total_time={seconds}", f"-timeout={WALL_SECONDS_MAX}", f"-seed={seed % 2**31 or 1}"]
        options += [f"-rss_limit_mb={RSS_MIB_MAX}", f"-max_len={ALL[name].bytes_max}", "-print_final_stats=1"]
        options += [f"-artifact_prefix={scratch}/", str(found), str(start), str(CORPUS / name)]
        ended = _one(name, options, scratch)
        log = ended.stderr + ended.stdout
    stats = {key.decode(): int(value) for key, value in _STATS.findall(log)}
    reached = _COVERAGE.findall(log)
    broken = ended.returncode != 0
    if broken:
        print(f"fuzz {name}, seed {seed}:\n{log[-3000:].decode(errors='replace')}", file=sys.stderr)
    slowest = stats.get("slowest_unit_time_sec", 0)
    accepted = int(broken and b"Faulty" in log)
    return Score(
        name=f"fuzz {name}",
        tried=stats.get("number_of_executed_units", 0),
        accepted=accepted,
        foreign=int(broken and not accepted) + int(slowest > WALL_SECONDS_MAX),
        seconds=time.monotonic() - began,
        seed=seed,
        notes={
            "most branches": int(reached[-1][0]) if reached else 0,
            "most features": int(reached[-1][1]) if reached else 0,
            "most MiB": stats.get("peak_rss_mb", 0),
            "slowest s": slowest,
        },
    )


def _one(name: str, options: Sequence[str], scratch: str) -> subprocess.CompletedProcess[bytes]:
    """libFuzzer ends its process without cleaning up: what the target writes goes where it is removed."""
    command = [sys.executable, "-m", "tests.adversary.fuzz_one", name, *options]
    environment = {**os.environ, "TMPDIR": scratch}
    return subprocess.run(command, capture_output=True, cwd=CORPUS.parents[2], env=environment, check=False)


def grow(name: str, seed: int, seconds: int) -> Score:
    """Fuzz, then keep of the corpus and of what is new few and small files that take every step that any takes."""
    folder, target = CORPUS / name, ALL[name]
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as found:
        score = fuzz(name, seed, seconds, Path(found))
        inputs = {path.read_bytes() for place in (folder, Path(found)) for path in place.iterdir()}
    known: set[object] = set()
    for data in target.honest():
        known |= steps_of(lambda: target(data))  # noqa: B023
    for path in folder.iterdir():
        path.unlink()
    for data in sorted(inputs, key=lambda data: (len(data), data)):
        new = steps_of(lambda: target(data)) - known  # noqa: B023
        if new and 0 < len(data) <= FILE_BYTES_MAX:
            known |= new
            (folder / digest(data)).write_bytes(data)
    return score


def steps_of(action: Callable[[], object]) -> set[object]:
    """Which line of the product follows which, while something runs."""
    steps: set[object] = set()

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        path = frame.f_code.co_filename
        if not path.startswith(_PRODUCT):
            return None
        last = [0]

        def line(frame: FrameType, event: str, argument: object) -> Any:
            steps.add((path, last[0], frame.f_lineno))
            last[0] = frame.f_lineno
            return line

        return line

    sys.settrace(trace)
    try:
        action()
    except Exception as error:
        steps.add(type(error))
    finally:
        sys.settrace(None)
    return steps


def run(size: str, seed: int) -> list[Score]:
    """The replay; nightly a minute of fuzzing for each target besides."""
    scores = [replay(name, seed) for name in ALL]
    if size == "short":
        return scores
    if find_spec("atheris") is None:
        print("fuzz: atheris is not installed (dependency group `fuzz`)", file=sys.stderr)
        return [*scores, Score("fuzz with atheris", 0, 0, 0, 0.0, seed, {})]
    with ThreadPoolExecutor(PROCESSES) as pool:
        found = list(pool.map(lambda name: fuzz(name, seed, SECONDS), ALL))
    return [*scores, *(replace(score, name=f"{score.name} (atheris)") for score in found)]


if __name__ == "__main__":
    NAMES = list(ALL) if sys.argv[1] == "all" else [sys.argv[1]]
    for one in NAMES:
        print(grow(one, 1, int(sys.argv[2])).line(), flush=True)
