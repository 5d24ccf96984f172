"""kill -9 at 200 moments, or as many as SOLVENT_KILLS says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the victims are forked")


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    points = int(os.environ.get("SOLVENT_KILLS", "200"))
    command = [sys.executable, "-m", "tests.exchange.crash", str(points), "11", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{points} kills" in done.stdout


def test_hash_seed_and_process_do_not_change_the_state() -> None:
    program = (
        "from exchange.engine import Engine, Sink; from exchange.state import Ledger;"
        "from exchange.statehash import state_hash; from tests.exchange.flow import batches;"
        "from tests.exchange.venues import venue; engine = Engine(Ledger(venue()), Sink());"
        "[engine.submit(batch) for batch in batches(1500, 5, {size})]; print(state_hash(engine.ledger).hex())"
    )
    seen = set()
    for hash_seed, size in (("0", 1), ("1", 100), ("4242", 10**6)):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", program.format(size=size)]
        seen.add(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)
    assert len(seen) == 1
