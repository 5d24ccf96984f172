"""A real run of two shards with a fixed seed, in a process that a test may kill (`python -m`)."""

from __future__ import annotations

import sys
from pathlib import Path

from api.cli.bench import synthetic_snapshot
from prover.executors.inline import InlineExecutor
from prover.publication import ProveReport, prove_directory

SEED = bytes(range(32))
SHARDS = 2


def run(out: Path) -> ProveReport:
    """Two shards of the smallest size, one after the other."""
    snapshot = synthetic_snapshot(60, 3, 4, 7)
    return prove_directory(snapshot, out, shards=SHARDS, log2_rows=17, seed=SEED, executor=InlineExecutor())


if __name__ == "__main__":
    run(Path(sys.argv[1]))
