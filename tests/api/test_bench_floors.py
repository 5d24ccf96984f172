"""`solvent bench --floors` with proofs that take a known time."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from api.cli import bench_floors, main
from prover.kernels.rates import Rates
from prover.kernels.threads import thread_count
from prover.publication import ProveReport
from prover.snapshot import Snapshot
from tests.api.test_bench_and_demo import call


@pytest.fixture
def proofs(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Proofs of one second a phase by the clock, two by the processor; the first of each table takes a hundred."""
    state = SimpleNamespace(threads=[], accepted=True)

    def prove_directory(snapshot: Snapshot, out: Path, **arguments: Any) -> ProveReport:
        state.threads.append(thread_count())
        factor = 100.0 if len(state.threads) % 4 == 1 else 1.0
        phases = {"compile": 9.0, "witness": factor, "extend": factor}
        doubled = {name: 2 * seconds for name, seconds in phases.items()}
        return ProveReport(phases, 1 << 18, 1, 200_000, 0, 600_000, 5, "ab" * 32, doubled)

    monkeypatch.setattr(bench_floors, "prove_directory", prove_directory)
    monkeypatch.setattr(bench_floors, "verify_directory", lambda *_, **__: SimpleNamespace(accepted=state.accepted))
    monkeypatch.setattr(bench_floors, "measure_rates", lambda: Rates(1e9, 2e9, 1e9, 1e6, 1e8, 1e10))
    monkeypatch.setattr(bench_floors, "hashing_seconds", lambda permutations: permutations / 1e6)
    monkeypatch.setattr(bench_floors, "thread_count", lambda: 2)
    return state


def test_floors_of_one_thread_and_of_two(capsys: pytest.CaptureFixture[str], proofs: SimpleNamespace) -> None:
    code, data = call(capsys, "bench", "--floors", "--accounts", 1000, "--runs", 3)
    assert (code, data["verdict"]) == (0, "verified")
    assert proofs.threads == [1, 1, 1, 1, 2, 2, 2, 2]
    one, two = data["tables"]
    assert (one["threads"], one["clock"], one["seconds"]) == (1, "processor", 4.0)
    assert (two["threads"], two["clock"], two["seconds"]) == (2, "wall", 2.0)
    assert one["tree_hashing_ratio"] == pytest.approx(4.0 / 0.2)
    for table in (one, two):
        phases = {each["phase"]: each for each in table["phases"]}
        assert "compile" not in phases
        witness = phases["witness"]
        assert witness["compute_seconds"] == pytest.approx(0.2 / table["threads"])
        assert witness["ratio"] == pytest.approx(witness["seconds"] / witness["floor_seconds"])
        assert witness["floor_seconds"] == max(witness["compute_seconds"], witness["memory_seconds"])
        assert phases["write"]["ratio"] is None


def test_the_table_is_printed(capsys: pytest.CaptureFixture[str], proofs: SimpleNamespace) -> None:
    assert main(["bench", "--floors", "--accounts", "1000", "--runs", "3"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("witness") == 2
    assert "target: at most 40" in printed


@pytest.mark.negative
def test_a_proof_that_is_not_accepted(capsys: pytest.CaptureFixture[str], proofs: SimpleNamespace) -> None:
    proofs.accepted = False
    code, data = call(capsys, "bench", "--floors", "--accounts", 1000)
    assert (code, data["verdict"]) == (1, "rejected")
