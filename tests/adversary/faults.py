"""Faults: what is kept on disk is interrupted, cut off from power and refused room; clocks jump; things come twice;
requests are slow, malformed, too many. Each is counted, and none may lose, double or change what was acknowledged.

`tried` counts faults, `accepted` outcomes that are wrong, `foreign` errors of another kind than those promised.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.adversary import faults_clock, faults_http, faults_ledger, faults_twice
from tests.adversary.faults_stores import ALL, Kept
from tests.adversary.faults_sweep import Bench, Counts, failures, kills, power_cuts, record
from tests.adversary.faults_traced import reason_to_skip
from tests.adversary.score import Score

POINTS: Final[dict[str, int | None]] = {"short": 3, "nightly": None}
"""Points of each store at which it is interrupted; None: all of them."""
DRAWS: Final = {"short": 1, "nightly": 6}
"""Random parts of what was not synced, for each point of a power cut."""


def stores(size: str, seed: int, kept: tuple[Kept, ...] = ALL) -> list[Score]:
    """Every store through `kill -9`, power cuts and failing disks."""
    chance, points, draws = random.Random(seed), POINTS[size], DRAWS[size]
    parts = {name: Counts(f"faults: {name}", seed) for name in ("kill -9", "power cut", "failing disk")}
    with tempfile.TemporaryDirectory() as name:
        for number, each in enumerate(kept):
            bench = Bench.of(each, Path(name) / str(number))
            recording = record(bench)
            bench.renew()
            changes = bench.run().changes
            kills(bench, parts["kill -9"], changes, chance, points)
            power_cuts(bench, parts["power cut"], recording, chance, points, draws)
            failures(bench, parts["failing disk"], changes, chance, points)
    return [counts.score() for counts in parts.values()]


def run(size: str, seed: int) -> list[Score]:
    """All of it; without stores, and that is said, where processes cannot be traced."""
    reason = reason_to_skip()
    if reason is not None:
        print(f"no crash points: {reason}", file=sys.stderr)
    found = [] if reason is not None else stores(size, seed)
    for part in (faults_clock, faults_twice, faults_ledger, faults_http):
        found += part.run(size, seed)
    return found
