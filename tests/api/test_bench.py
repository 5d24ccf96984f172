"""`solvent bench`: medians of runs whose proofs are verified, what is written down with them, sweeps and plots."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import api.cli.bench
import api.cli.bench_circuits
import api.cli.bench_sweep
from api.cli.bench import Case
from api.cli.bench_plots import GREY, PROVE, VERIFY, shown
from api.cli.bench_result import FORMAT, check_place, document, read_result
from api.cli.bench_sweep import in_a_new_process
from prover.errors import InputError
from prover.publication import ProveReport
from prover.snapshot import Snapshot
from tests.api.files import Command

CASE = Case(1000, 3, "fast", 3, 1)


def point(case: Case, **changes: Any) -> dict[str, Any]:
    """A measurement that nobody made."""
    seconds = 0.5 + 5e-5 * case.accounts
    phases = {"compile": 9.0, "witness": 0.4 * seconds, "fri": 0.6 * seconds}
    return {
        "accounts": case.accounts,
        "entries_per_account": case.entries,
        "runs": case.runs,
        "verified": True,
        "prove_seconds": seconds,
        "prove_seconds_runs": [seconds],
        "prove_cpu_seconds": 2 * seconds,
        "phase_seconds": phases,
        "peak_memory_bytes": 2**30,
        "proof_bytes": 600_000,
        "verify_seconds": 0.25,
        **changes,
    }


@pytest.fixture
def prover(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Stands in for the prover: `seconds` are what the next proofs take, on a clock of our own."""
    fake = SimpleNamespace(now=0.0, seconds=[], accepted=[], called=[])

    def prove_directory(snapshot: Snapshot, out: Path, *, progress: Any = None, **arguments: Any) -> ProveReport:
        assert not out.exists()
        fake.called.append((snapshot, arguments))
        phases = {"compile": 50.0, "witness": fake.seconds.pop(0)}
        fake.now += 50.0 + phases["witness"]
        return ProveReport(phases, 1 << 17, 1, 999, 0, 600_000, 5, "ab" * 32)

    def verify_directory(path: Path, *, profile: str, circuit: str) -> Any:
        accepted = fake.accepted.pop(0) if fake.accepted else True
        return SimpleNamespace(accepted=accepted, seconds=0.5, soundness_bits=100)

    for module in (api.cli.bench, api.cli.bench_circuits):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: fake.now))
        monkeypatch.setattr(module, "prove_directory", prove_directory)
        monkeypatch.setattr(module, "verify_directory", verify_directory)
    monkeypatch.setattr(api.cli.bench, "cpu_seconds", lambda: 2 * fake.now)
    monkeypatch.setattr(api.cli.bench, "compile_kernels", lambda at: at(1.0))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    return fake


def test_medians_with_compilation_left_out(run_json: Command, prover: SimpleNamespace, tmp_path: Path) -> None:
    prover.seconds = [3.0, 1.0, 2.0]
    code, data = run_json("bench", "--accounts", 1000, "--entries", 3, "--runs", 3, "--out", tmp_path / "r.json")
    assert (code, data["verdict"], data["kind"], data["format"]) == (0, "verified", "run", FORMAT)
    assert json.loads((tmp_path / "r.json").read_text()) == data
    (figures,) = data["points"]
    assert figures["prove_seconds"] == 2.0
    assert figures["prove_seconds_runs"] == [3.0, 1.0, 2.0]
    assert figures["prove_cpu_seconds"] == 104.0
    assert (figures["accounts_per_second"], figures["accounts_per_second_per_core"]) == (500.0, 250.0)
    assert figures["phase_seconds"] == {"compile": 50.0, "witness": 2.0}
    assert (figures["proof_bytes"], figures["verify_seconds"], figures["peak_memory_bytes"]) == (600_000, 0.5, 5)
    assert (figures["rows"], figures["used_rows"], figures["soundness_bits"]) == (1 << 17, 999, 100)
    assert (figures["cores"], figures["runs"], figures["verified"]) == (2, 3, True)
    assert (figures["circuit"], figures["scenarios"]) == ("solvency_equity_v1", 0)


def test_circuits_and_scenarios(run_json: Command, prover: SimpleNamespace) -> None:
    prover.seconds = [1.0] * 9
    _, data = run_json("bench", "--accounts", 10, "--scenarios", 3)
    assert (data["points"][0]["circuit"], data["points"][0]["scenarios"]) == ("solvency_stress_v1_3", 3)
    snapshot, arguments = prover.called[-1]
    assert [scenario.name for scenario in arguments["scenarios"]] == [f"All assets -{n} %" for n in (10, 20, 30)]
    assert len(snapshot.meta.instruments[0].buckets) == 2
    _, data = run_json("bench", "--accounts", 10, "--circuit", "solvency_risk_v1")
    assert (data["points"][0]["circuit"], data["points"][0]["scenarios"]) == ("solvency_risk_v1", 0)
    code, data = run_json("bench", "--accounts", 10, "--circuit", "solvency_risk_v1", "--scenarios", 1)
    assert (code, data["field"]) == (2, "--circuit")


@pytest.mark.negative
def test_one_refused_proof_spoils_the_benchmark(run_json: Command, prover: SimpleNamespace, tmp_path: Path) -> None:
    prover.seconds, prover.accepted = [1.0] * 3, [True, False, True]
    code, data = run_json("bench", "--accounts", 10, "--out", tmp_path / "r.json")
    assert (code, data["verdict"]) == (1, "rejected")
    with pytest.raises(InputError, match='got "rejected"'):
        read_result(tmp_path / "r.json")


def test_a_real_run_records_the_machine(run_json: Command) -> None:
    code, data = run_json("bench", "--accounts", 50, "--runs", 1)
    assert (code, data["verdict"]) == (0, "verified")
    (figures,) = data["points"]
    assert figures["soundness_bits"] == 100
    assert figures["prove_cpu_seconds"] > 0
    machine, versions = data["machine"], data["versions"]
    assert machine["cores"] >= 1
    assert machine["memory_bytes"] > 2**28
    assert machine["cpu"]
    assert versions["python"].startswith("CPython 3.")
    assert all(versions[name] for name in ("solvent", "numpy", "numba", "llvmlite"))
    assert versions["commit"] is None or re.fullmatch("[0-9a-f]{40}", versions["commit"])
    assert f'"{os.uname().nodename}"' not in json.dumps(data)
    assert data["parameters"] == {"profile": "fast", "runs": 1, "seed": 1}


def test_settings_that_change_the_kernels_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CPU_NAME", "x86-64")
    assert document("run", {}, [])["machine"]["environment"]["NUMBA_CPU_NAME"] == "x86-64"


# -- comparison and sweeps ------------------------------------------------------------------------------------------


def test_comparison(run_json: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cost = {"solvency_equity_v1": 1.0, "solvency_risk_v1": 1.5}

    def prove(case: Any, profile: str, seed: int) -> tuple[float, bool]:
        return cost.get(case.circuit, 1.5 + 0.3 * case.scenarios), True

    monkeypatch.setattr(api.cli.bench_circuits, "_prove", prove)
    code, data = run_json("bench", "--compare", "--runs", 2, "--out", tmp_path / "r.json")
    assert (code, data["kind"], len(data["points"])) == (0, "circuits", 17)
    stress = [each for each in data["points"] if each["scenarios"] == 10]
    assert [each["times_equity"] for each in stress] == [4.5] * 5
    assert stress[0]["added_per_scenario"] == pytest.approx(0.2)
    assert read_result(tmp_path / "r.json") == data


def test_sweeps(run_json: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(api.cli.bench_sweep, "in_a_new_process", lambda function, case: point(case))
    code, data = run_json("bench", "--sweep", "accounts", "--runs", 5)
    assert (code, data["kind"], data["parameters"]["runs"]) == (0, "accounts", 5)
    assert [(p["accounts"], p["entries_per_account"]) for p in data["points"]] == [(10**k, 3) for k in range(3, 7)]
    _, data = run_json("bench", "--sweep", "accounts", "--full", "--entries", 2)
    assert (data["points"][-1]["accounts"], data["points"][-1]["entries_per_account"]) == (10**7, 2)
    _, data = run_json("bench", "--sweep", "entries")
    assert [p["entries_per_account"] for p in data["points"]] == [1, 3, 10, 50, 483]
    assert [p["accounts"] for p in data["points"]] == sorted((p["accounts"] for p in data["points"]), reverse=True)
    code, data = run_json("bench", "--sweep", "entries", "--full")
    assert (code, data["field"]) == (2, "--full")


def test_a_sweep_that_stops_keeps_what_it_has(
    run_json: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def measured(function: Any, case: Case) -> Any:
        if case.accounts > 10**4:
            raise InputError(field="--sweep", expected="less")
        return point(case)

    monkeypatch.setattr(api.cli.bench_sweep, "in_a_new_process", measured)
    code, data = run_json("bench", "--sweep", "accounts", "--out", tmp_path / "r.json")
    assert (code, data["field"]) == (2, "--sweep")
    assert [p["accounts"] for p in read_result(tmp_path / "r.json")["points"]] == [10**3, 10**4]
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def process_number(case: Case) -> dict[str, Any]:
    if case.accounts == 0:
        raise InputError(file="f", row=3, field="x", got="y", expected="z")
    if case.accounts == 1:
        os._exit(9)
    return {"process": os.getpid(), "case": case}


def test_a_point_has_a_process_of_its_own() -> None:
    made = in_a_new_process(process_number, CASE)
    assert made["process"] != os.getpid()
    assert made["case"] == CASE
    with pytest.raises(InputError, match=r'f:3 column "x": got "y", expected z') as caught:
        in_a_new_process(process_number, replace(CASE, accounts=0))
    assert (caught.value.file, caught.value.row, caught.value.field) == ("f", 3, "x")
    with pytest.raises(InputError, match="killed at 1 accounts"):
        in_a_new_process(process_number, replace(CASE, accounts=1))


@pytest.mark.negative
def test_a_place_that_cannot_be_written_is_found_before_the_work(run_json: Command, tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "none" / "r.json"):
        for words in ((), ("--compare",), ("--sweep", "accounts")):
            code, data = run_json("bench", *words, "--out", place)
            assert (code, data["file"]) == (2, str(place))
    check_place(tmp_path / "r.json")


# -- plots ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def results(tmp_path: Path) -> list[Path]:
    out = []
    for kind, cases in (
        ("accounts", [replace(CASE, accounts=10**k) for k in range(3, 8)]),
        ("entries", [replace(CASE, entries=k) for k in (1, 3, 10, 50, 483)]),
    ):
        result = document(kind, {"profile": "fast", "runs": 3, "seed": 1}, [point(case) for case in cases])
        result["machine"]["cpu"] = "Some $ Processor"
        out.append(tmp_path / f"{kind}.json")
        out[-1].write_text(json.dumps(result))
    return out


def test_plots(run_json: Command, results: list[Path], tmp_path: Path) -> None:
    drawn = {}
    for name in ("one", "two"):
        code, data = run_json("bench", "--plots", tmp_path / name, *results)
        files = sorted((tmp_path / name).iterdir())
        assert (code, [path.name for path in files]) == (0, ["accounts.svg", "entries.svg", "phases.svg"])
        assert sorted(data["plots"]) == list(map(str, files))
        drawn[name] = [path.read_bytes() for path in files]
    assert drawn["one"] == drawn["two"]
    assert max(map(len, drawn["one"])) < 100_000
    accounts, entries, phases = (data.decode() for data in drawn["one"])
    for text in (accounts, entries, phases):
        assert "Some $ Processor" in text
        assert "profile fast, median of 3" in text
        assert "<dc:date>" not in text
    assert "time (seconds)" in accounts
    assert ">500 s<" in accounts
    assert "proving time per account (µs)" in entries
    assert ">entries per account<" in entries
    assert "Phases of proving 10,000,000 accounts" in phases
    assert "time per account (µs)" in phases
    assert "compile" not in phases


def test_one_result_gives_its_own_plots(run_json: Command, results: list[Path], tmp_path: Path) -> None:
    assert run_json("bench", "--plots", tmp_path / "p", results[1])[0] == 0
    assert [path.name for path in (tmp_path / "p").iterdir()] == ["entries.svg"]


def luminance(colour: str) -> float:
    """WCAG 2 relative luminance of #rrggbb."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("colour", [GREY, PROVE, VERIFY])
@pytest.mark.parametrize("page", ["#ffffff", "#0d1117"])
def test_every_colour_is_readable_on_light_and_dark(colour: str, page: str) -> None:
    dark, light = sorted((luminance(colour), luminance(page)))
    assert (light + 0.05) / (dark + 0.05) > 4


@pytest.mark.parametrize(
    ("value", "text"), [(4351.2, "4351"), (52.04, "52.0"), (0.1234, "0.123"), (0.00001, "0.000"), (0, "0"), (1, "1.00")]
)
def test_figures_are_short(value: float, text: str) -> None:
    assert shown(value) == text


@pytest.mark.negative
def test_what_cannot_be_drawn(run_json: Command, results: list[Path], tmp_path: Path) -> None:
    plots = tmp_path / "p"
    other = tmp_path / "other.json"
    for text, words in (
        ("{", "no JSON"),
        ("[]", "another document"),
        (json.dumps({"format": FORMAT, "kind": "x"}), "another document"),
        (json.dumps({"format": FORMAT, "kind": "accounts", "verdict": "rejected"}), "rejected"),
        (json.dumps({"format": FORMAT, "kind": "run", "verdict": "verified"}), "kind run"),
        (json.dumps({"format": FORMAT, "kind": "entries", "verdict": "verified", "points": []}), "machine"),
        (results[0].read_text(), "a second result of kind accounts"),
    ):
        other.write_text(text)
        given = (results[0], other) if "second" in words else (other,)
        code, data = run_json("bench", "--plots", plots, *given)
        assert (code, data["file"]) == (2, str(other))
        assert words in data["error"]
    code, data = run_json("bench", "--plots", plots, tmp_path / "none.json")
    assert (code, data["got"]) == (2, "No such file or directory")
    assert run_json("bench", "--plots", plots)[1]["field"] == "RESULT"
    assert run_json("bench", results[0])[1]["field"] == "--plots"
    assert not plots.exists()
