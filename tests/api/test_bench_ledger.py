"""`solvent bench --ledger` measures a run whose state is checked in four ways."""

from __future__ import annotations

import json
from collections import Counter

import pytest

import api.cli.bench_ledger as bench
from api.cli import main
from exchange.commands import CancelOrder, PlaceOrder
from exchange.engine import Done, Engine, Sink
from exchange.events import OrderOpened, Traded
from exchange.state import Ledger
from exchange.statehash import state_hash as real_hash


def test_figures_and_checks(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["bench", "--ledger", "--accounts", "200", "--commands", "3000", "--seed", "3", "--json"])
    data = json.loads(capsys.readouterr().out)
    assert (code, data["verdict"], data["same_state"], data["audit"]) == (0, "same state", True, True)
    assert (data["commands"], data["accounts"], data["batch"], data["runs"]) == (3_000, 200, 1_000, 3)
    assert data["frames"] > 3_000 and data["commands_per_second"] > 0 < data["replay_seconds"]


@pytest.mark.negative
def test_another_state_is_rejected(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Counter[str]()

    def state_hash(ledger: Ledger) -> bytes:
        seen["calls"] += 1
        return bytes(32) if seen["calls"] == 1 else real_hash(ledger)

    monkeypatch.setattr("api.cli.bench_ledger.state_hash", state_hash)
    code = main(["bench", "--ledger", "--accounts", "50", "--commands", "100"])
    assert code == 1 and "NOT the same" in capsys.readouterr().out


def test_the_flow_is_what_it_says() -> None:
    flow = bench.mixed_flow(4_000, 500, 1)
    commands = [command for batch in flow.batches for command in batch]
    kinds = Counter(map(type, commands))
    assert 0.37 < kinds[CancelOrder] / 4_000 < 0.43 and kinds[CancelOrder] + kinds[PlaceOrder] == 4_000
    assert flow == bench.mixed_flow(4_000, 500, 1)
    engine = Engine(Ledger(bench.bench_venue()), Sink())
    engine.submit(flow.opening)
    answers = engine.submit(commands)
    done = [answer for answer in answers if isinstance(answer, Done)]
    assert len(done) > 0.9 * len(commands)
    assert 0.10 < sum(type(answer.events[0]) is Traded for answer in done) / 4_000 < 0.20
    assert 0.40 < sum(type(answer.events[-1]) is OrderOpened for answer in done) / 4_000 < 0.50
