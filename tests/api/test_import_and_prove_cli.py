"""`import` and `prove` as commands: what they write, refuse and replace. Proofs themselves are tested elsewhere."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import prover.bundles
import prover.publication
from prover.publication import ProveReport
from prover.snapshot import Snapshot
from tests.api.files import Command, Run, binance_row, binance_users, write

SCENARIO = '{"format": "solvent/scenarios/v1", "scenarios": [{"name": "Half", "shock": {"btc": "-0.5"}}]}'
PROVED = ProveReport(
    phase_seconds={"compile": 1.0, "witness": 2.0},
    rows=1 << 17,
    shards=3,
    used_rows=77,
    resumed=1,
    proof_bytes=1234,
    peak_memory_bytes=1 << 30,
    statement_digest="ab" * 32,
)

# import


def test_import(run: Run, run_json: Command, users: tuple[object, ...], tmp_path: Path) -> None:
    code, data = run_json(*users, "--out", tmp_path / "snap", "--sequence", 3, "--exchange", "acme")
    assert code == 0
    assert data["verdict"] == "imported"
    assert (data["accounts"], data["entries"], data["sequence"], data["exchange"]) == (2, 4, 3, "acme")
    assert data["totals"] == [
        {"symbol": "btc", "long": "1.5", "short": "0", "net": "1.5"},
        {"symbol": "eth", "long": "3", "short": "0.5", "net": "2.5"},
    ]
    snapshot = Snapshot.load(tmp_path / "snap")
    assert snapshot.meta.ledger_state == data["ledger_state"]
    code, out, err = run(*users, "--out", tmp_path / "other")
    assert (code, err) == (0, "")
    assert "2 accounts with 4 entries" in out
    assert "1.5" in out


def test_import_without_the_invalid_users(
    run: Run, run_json: Command, users: tuple[object, ...], tmp_path: Path
) -> None:
    rows = binance_row(0, "b", e_eth="3"), binance_row(1, 'c"', e_eth="1", m_eth="1", pm_eth="1")
    write(tmp_path / "users1.csv", binance_users(*rows).replace('c"', '"c"""'))
    out, dropped = tmp_path / "snap", tmp_path / "snap.invalid.csv"
    code, _, err = run(*users, "--out", out)
    assert (code, "\n" in err[:-1], "--invalid drop" in err) == (2, False, True)
    code, data = run_json(*users, "--out", out, "--invalid", "drop")
    assert (code, data["accounts"], data["dropped"], data["dropped_list"]) == (0, 2, 1, str(dropped))
    assert dropped.stat().st_mode & 0o777 == 0o600
    assert dropped.read_text().splitlines() == [
        "file,row,user_id,reason",
        f'{tmp_path}/users1.csv,3,"c""",eth: collateral 2 above equity 1',
    ]
    code, text, _ = run(*users, "--out", out, "--invalid", "drop", "--force")
    assert (code, f"1 invalid users are NOT in this snapshot and will NOT be counted: see {dropped}\n" in text) == (
        0,
        True,
    )
    assert run(*users, "--out", tmp_path / "other", "--equity-only", "--invalid", "drop")[0] == 2
    assert run_json(*users, "--out", out, "--equity-only", "--force")[1]["dropped_list"] is None
    assert not dropped.exists()  # the list belonged to the snapshot before
    write(dropped, "mine")
    assert run(*users, "--out", tmp_path / "snap", "--invalid", "drop", "--force")[0] == 0
    (tmp_path / "new.invalid.csv").write_text("mine")
    assert run(*users, "--out", tmp_path / "new", "--invalid", "drop")[0] == 2
    assert not (tmp_path / "new").exists()


@pytest.mark.negative
def test_a_refused_import_writes_nothing(
    run: Run, run_json: Command, users: tuple[object, ...], tmp_path: Path
) -> None:
    write(tmp_path / "users1.csv", binance_users(binance_row(0, "b", e_eth="1e5")))
    before = sorted(tmp_path.iterdir())
    line = f'{tmp_path}/users1.csv:2 column "e_eth": got "1e5", expected a decimal number with at most 8 decimals'
    assert run(*users, "--out", tmp_path / "snap") == (2, "", f"solvent: {line}\n")
    code, data = run_json(*users, "--out", tmp_path / "snap")
    assert code == 2
    assert data == {
        "error": line,
        "file": f"{tmp_path}/users1.csv",
        "row": 2,
        "field": "e_eth",
        "got": "1e5",
        "expected": "a decimal number with at most 8 decimals",
    }
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.negative
def test_import_replaces_only_when_told(run: Run, users: tuple[object, ...], tmp_path: Path) -> None:
    out = ("--out", tmp_path / "snap")
    assert run(*users, *out)[0] == 0
    code, _, err = run(*users, *out)
    assert code == 2
    assert "or --force" in err
    assert run(*users, *out, "--force")[0] == 0
    (tmp_path / "mine").write_text("x")
    assert run(*users, "--out", tmp_path / "mine", "--force")[0] == 2
    assert (tmp_path / "mine").read_text() == "x"


def test_import_of_the_other_formats(run_json: Command, tmp_path: Path) -> None:
    accounts = write(tmp_path / "accounts.csv", "user_id,asset,side,amount\na,x,long,1\n")
    instruments = write(tmp_path / "instruments.csv", "symbol,kind,decimals,price\nx,spot,0,2\n")
    words = ("import", "table", "--accounts", accounts, "--instruments", instruments, "--exchange", "acme")
    assert run_json(*words, "--out", tmp_path / "one")[1]["verdict"] == "imported"
    okx = write(tmp_path / "okx.json", '[{"id": "a", "assets": {"BTC": "-1"}}]')
    code, data = run_json("import", "okx", "--users", okx, "--out", tmp_path / "two")
    assert (code, data["totals"]) == (0, [{"symbol": "BTC", "long": "0", "short": "1", "net": "-1"}])
    assert data["value"] == {"quote": "ATOMS", "decimals": 0}
    prices = write(tmp_path / "prices.csv", "symbol,decimals,price\nBTC,8,65000\n")
    code, data = run_json("import", "okx", "--users", okx, "--prices", prices, "--out", tmp_path / "three")
    assert (code, data["value"]["quote"]) == (0, "USDT")


# prove


@pytest.fixture
def proving(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A prover that only notes how it was called."""
    called = SimpleNamespace(arguments={})

    def prove_directory(snapshot: Snapshot, out: Path, *, progress: Any, **arguments: Any) -> ProveReport:
        called.arguments = {"accounts": snapshot.meta.accounts, "out": out, **arguments}
        for phase in ("compile", "witness"):
            progress(phase, 0.0)
            progress(phase, 1.0)
        return PROVED

    monkeypatch.setattr(prover.publication, "prove_directory", prove_directory)
    return called


@pytest.fixture
def snapshot(run: Run, users: tuple[object, ...], tmp_path: Path) -> Path:
    assert run(*users, "--out", tmp_path / "snap")[0] == 0
    return tmp_path / "snap"


def test_prove(run: Run, run_json: Command, proving: SimpleNamespace, snapshot: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, data = run_json("prove", snapshot, "--out", out)
    assert code == 0
    assert proving.arguments == {
        "accounts": 2,
        "out": out,
        "profile": "fast",
        "policy": "strict",
        "circuit": None,
        "scenarios": (),
        "prices": None,
        "reserves": None,
        "reserves_evidence": None,
        "previous": None,
        "private": tmp_path / "out.private",
        "shards": None,
        "log2_rows": None,
        "executor": None,
        "only_inputs": False,
        "restart": False,
        "force": False,
    }
    assert (
        data.items()
        >= {
            "verdict": "proved",
            "statement_digest": "ab" * 32,
            "rows": 1 << 17,
            "proof_bytes": 1234,
            "phase_seconds": PROVED.phase_seconds,
        }.items()
    )
    reserves = write(tmp_path / "r.csv", "asset,amount\n")
    more = ("--profile", "high", "--policy", "disclosed", "--reserves", reserves, "--private", tmp_path / "p")
    code, text, err = run("prove", snapshot, "--out", out, *more)
    assert code == 0
    assert proving.arguments["profile"] == "high"
    assert proving.arguments["policy"] == "disclosed"
    assert proving.arguments["reserves"] == reserves
    assert proving.arguments["private"] == tmp_path / "p"
    assert "ab" * 32 in text
    assert [line.split()[0] for line in err.splitlines()] == ["compile", "witness"]
    prices = write(tmp_path / "p.json", "{}")
    code, data = run_json(
        "prove",
        snapshot,
        "--out",
        out,
        "--scenarios",
        "default",
        "--prices",
        prices,
        "--circuit",
        "solvency_stress_v1_10",
    )
    assert (code, len(data["scenarios"])) == (0, 9)
    assert [scenario.name for scenario in proving.arguments["scenarios"]] == data["scenarios"]
    assert len(proving.arguments["scenarios"][0].values) == 2
    assert (proving.arguments["prices"], proving.arguments["circuit"]) == (prices, "solvency_stress_v1_10")
    own = write(tmp_path / "s.json", SCENARIO)
    assert run_json("prove", snapshot, "--out", out, "--scenarios", own)[1]["scenarios"] == ["Half"]
    for words, field in (
        (("--scenarios", tmp_path / "no.json"), "no such file, expected a scenarios file"),
        (("--prices", tmp_path / "no.json"), "no such file, expected a price file"),
        (("--scenarios", write(tmp_path / "bad.json", SCENARIO.replace("btc", "doge"))), 'got "doge"'),
    ):
        code, _, err = run("prove", snapshot, "--out", out, *words)
        assert (code, err.count("\n"), field in err) == (2, 1, True)


@pytest.mark.negative
def test_prove_refuses_to_start(run_json: Command, proving: SimpleNamespace, snapshot: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for words in (
        ("prove", tmp_path / "nowhere", "--out", out),
        ("prove", tmp_path, "--out", out),
        ("prove", snapshot, "--out", out, "--reserves", tmp_path / "nowhere"),
    ):
        code, data = run_json(*words)
        assert code == 2
        assert data["file"].startswith(str(tmp_path))
    assert proving.arguments == {}


@pytest.mark.negative
@pytest.mark.parametrize("name", ["out", "out.private"])
def test_prove_never_replaces_what_is_not_its_own(
    run: Run, proving: SimpleNamespace, snapshot: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "thesis.tex").write_text("years of work")
    for force in ((), ("--force",)):
        code, _, err = run("prove", snapshot, "--out", tmp_path / "out", *force)
        assert code == 2
        assert f"{tmp_path / name}: got something that exists" in err
    assert proving.arguments == {}


def test_prove_replaces_an_older_publication_when_told(
    run: Run, proving: SimpleNamespace, snapshot: Path, tmp_path: Path
) -> None:
    for name, part in (("out", "statement.json"), ("out.private", "private.json")):
        (tmp_path / name).mkdir()
        (tmp_path / name / part).write_text("{}")
    assert run("prove", snapshot, "--out", tmp_path / "out")[0] == 2
    assert run("prove", snapshot, "--out", tmp_path / "out", "--force")[0] == 0
    assert proving.arguments["force"] is True
