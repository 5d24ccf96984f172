"""The commands: exit codes, one JSON object, one clear line. Proofs themselves are tested elsewhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import prover.bundles
import prover.publication
from api.cli import main
from api.cli.publication import Circuit
from api.cli.run import spread
from prover.errors import InputError
from prover.publication import ProveReport
from prover.snapshot import Snapshot
from tests.api.files import ASSETS, ROOT, binance_row, binance_users, write
from tests.verifier.small_tree import EXCHANGE, Publication, publication
from verifier import proofs, solvency
from verifier.account_id import account_id
from verifier.canonical import hex_words
from verifier.errors import Reason, VerificationError

COMMANDS = (
    *(
        ("demo",),
        ("verify",),
        ("inspect",),
        ("version",),
        ("nonce",),
        ("inclusion",),
        ("prove",),
        ("shard",),
        ("bundle",),
        ("bundles",),
        ("bench",),
        ("generate",),
    ),
    *(("import", "binance"), ("import", "okx"), ("import", "table")),
)
PROOF = "shards/000000.proof"
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

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs one command: exit code, standard output, standard error."""

    def call(*words: object) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def run_json(run: Run) -> Callable[..., tuple[int, Any]]:
    """Runs one command with --json: nothing but one object may come out."""

    def call(*words: object) -> tuple[int, Any]:
        code, out, err = run(*words, "--json")
        assert err == ""
        return code, json.loads(out)

    return call


@pytest.fixture
def users(tmp_path: Path) -> tuple[object, ...]:
    """An import command without its --out."""
    first = write(tmp_path / "users0.csv", binance_users(binance_row(0, "a", e_btc="1.5", vl_btc="1", d_eth="0.5")))
    second = write(tmp_path / "users1.csv", binance_users(binance_row(0, "b", e_eth="3")))
    assets = write(tmp_path / "assets.csv", ASSETS)
    return ("import", "binance", "--users", first, second, "--assets", assets)


@pytest.fixture
def small() -> Publication:
    return publication()


@pytest.fixture
def published(small: Publication, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A publication whose proof is good if it says so."""

    def accept(relation: Any, params: Any, data: bytes) -> None:
        if data != b"good":
            raise VerificationError(Reason.CONSTRAINTS, "a bad proof", row=7)

    monkeypatch.setattr(proofs, "verify_stark", accept)
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "statement.json").write_bytes(small.statement.to_bytes())
    (folder / "shards").mkdir()
    (folder / "shards/000000.json").write_bytes(small.shard.to_bytes())
    (folder / PROOF).write_bytes(b"good")
    (folder / "reserves.csv").write_text("asset,amount\nbtc,1000\neth,1000\nusdt,1000000\n")
    return folder


# Every command


def test_help_teaches_every_command(run: Run) -> None:
    for words in ((), ("--help",), ("-h",)):
        code, out, _ = run(*words)
        assert code == 0
        for names in COMMANDS:
            assert names[0] in out
    assert run("import") == run("import", "--help")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help_and_json(run: Run, words: tuple[str, ...]) -> None:
    code, out, _ = run(*words, "--help")
    assert code == 0
    assert "--json" in out


@pytest.mark.negative
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("fly",), "No such command"),
        (("import", "kraken"), "No such command"),
        (("verify",), "DIR"),
        (("verify", "a", "b"), "b"),
        (("verify", "a", "--fast"), "--fast"),
        (("verify", "a", "--profile", "test"), "--profile"),
        (("bench", "--accounts", "many"), "--accounts"),
        (("bench", "--accounts", "0"), "--accounts"),
        (("import", "binance", "--users", "--assets", "x", "--out", "y"), "--users"),
    ],
)
def test_usage_errors(run: Run, run_json: Callable[..., tuple[int, Any]], words: tuple[str, ...], message: str) -> None:
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert err.startswith("solvent: ")
    assert err.count("\n") == 1
    assert message in err
    assert "--help" in err
    code, data = run_json(*words)
    assert code == 2
    assert message in data["error"]


def test_several_files_after_one_option() -> None:
    words = ["import", "okx", "--users", "a", "b", "--out", "x", "--users", "c", "--users=d"]
    assert spread(words) == [
        *("import", "okx", "--users", "a", "--users", "b", "--out", "x", "--users", "c", "--users=d"),
    ]


@pytest.mark.negative
@pytest.mark.parametrize("error", [KeyboardInterrupt(), None])
def test_interrupted(
    run: Run,
    run_json: Callable[..., tuple[int, Any]],
    published: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException | None,
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise error or KeyboardInterrupt

    monkeypatch.setattr("verifier.verify_directory", interrupt)
    assert run("verify", published) == (130, "", "solvent: interrupted\n")
    assert run_json("verify", published) == (130, {"error": "interrupted"})


@pytest.mark.negative
def test_errors_of_the_system_are_one_line(run: Run, published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "/x")

    monkeypatch.setattr("verifier.verify_directory", fail)
    assert run("verify", published) == (2, "", "solvent: /x: No space left on device\n")


def test_bugs_are_not_dressed_up(run: Run, published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("verifier.verify_directory", fail)
    with pytest.raises(ZeroDivisionError):
        run("verify", published)


# import


def test_import(run: Run, run_json: Callable[..., tuple[int, Any]], users: tuple[object, ...], tmp_path: Path) -> None:
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
    run: Run, run_json: Callable[..., tuple[int, Any]], users: tuple[object, ...], tmp_path: Path
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
    run: Run, run_json: Callable[..., tuple[int, Any]], users: tuple[object, ...], tmp_path: Path
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


def test_import_of_the_other_formats(run_json: Callable[..., tuple[int, Any]], tmp_path: Path) -> None:
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


def test_prove(
    run: Run, run_json: Callable[..., tuple[int, Any]], proving: SimpleNamespace, snapshot: Path, tmp_path: Path
) -> None:
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
def test_prove_refuses_to_start(
    run_json: Callable[..., tuple[int, Any]], proving: SimpleNamespace, snapshot: Path, tmp_path: Path
) -> None:
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


# verify and inspect


def test_verify_accepted(run: Run, run_json: Callable[..., tuple[int, Any]], published: Path) -> None:
    code, data = run_json("verify", published)
    assert code == 0
    assert data["verdict"] == "solvent"
    assert data["reason"] is None
    assert data["soundness_bits"] >= 100
    assert {"checks", "seconds"} <= data.keys()
    code, out, err = run("verify", published, "--profile", data["profile"])
    assert (code, err) == (0, "")
    for check in data["checks"]:
        assert check["name"] in out
        assert f"{check['left']} {check['relation']} {check['right']}" in out
    spoken, *caveats = out.partition("\nVerdict: ")[2].splitlines()
    assert spoken == "solvent at the exchange's own prices (proved: equity only)"
    assert caveats == [f"  caveat: {caveat}" for caveat in data["caveats"]]
    assert f"\nReserves sha256 {data['reserves_sha256']}\n" in out
    assert "\nCircuit solvency_equity_v1, tree hash poseidon1-koalabear-16\n" in out


def test_verify_without_reserves_leaves_solvency_open(run: Run, published: Path) -> None:
    (published / "reserves.csv").unlink()
    code, out, _ = run("verify", published)
    assert code == 0
    assert "\nReserves none\n" in out
    assert "\nVerdict: liabilities proved, no reserves given (proved: equity only)\n" in out


@pytest.mark.negative
def test_verify_insolvent(run: Run, run_json: Callable[..., tuple[int, Any]], published: Path, tmp_path: Path) -> None:
    less = write(tmp_path / "less.csv", "asset,amount\n")
    code, data = run_json("verify", published, "--reserves", less)
    assert (code, data["verdict"], data["reason"]) == (1, "insolvent", "insolvent")
    code, out, _ = run("verify", published, "--reserves", less)
    assert code == 1
    assert "FAIL" in out


@pytest.mark.negative
def test_verify_rejected(run: Run, run_json: Callable[..., tuple[int, Any]], published: Path) -> None:
    (published / PROOF).write_bytes(b"bad")
    code, data = run_json("verify", published)
    assert code == 1
    assert data == {
        "verdict": "rejected",
        "reason": "constraints",
        "message": "constraints: a bad proof",
        "where": {"row": "7"},
    }
    assert run("verify", published) == (1, "Verdict: rejected, constraints: a bad proof\n", "")
    assert run_json("verify", published, "--profile", "high")[1]["reason"] == "unacceptable-profile"


def test_every_registered_circuit_can_be_accepted() -> None:
    assert {circuit.value for circuit in Circuit} == set(solvency.CIRCUITS)


@pytest.mark.negative
def test_only_the_accepted_circuit(run_json: Callable[..., tuple[int, Any]], published: Path, tmp_path: Path) -> None:
    other = publication("solvency_equity_v1_poseidon2")
    (published / "statement.json").write_bytes(other.statement.to_bytes())
    (published / "shards/000000.json").write_bytes(other.shard.to_bytes())
    bundle, opening = write(tmp_path / "b.json", other.bundle(1)), write(tmp_path / "o.json", other.opening(1, 1))
    for words in (
        ("verify", published),
        ("inclusion", bundle, "--against", published),
        ("inclusion", bundle, "--against", published, "--statement-only"),
        ("check-opening", opening, "--against", published),
        ("check-opening", opening, "--against", published, "--statement-only"),
    ):
        code, data = run_json(*words)
        assert (code, data["reason"]) == (1, "unknown-circuit"), words
        assert "--circuit" in data["message"]
        assert run_json(*words, "--circuit", other.statement.circuit)[0] == 0, words
        assert run_json(*words, "--circuit", "anything")[0] == 2, words


@pytest.mark.negative
def test_links_and_names_that_lead_nowhere(
    run_json: Callable[..., tuple[int, Any]], published: Path, tmp_path: Path
) -> None:
    """One clear line, never a foreign exception."""
    long = "x" * 300
    bundle = write(tmp_path / "b.json", b"{}")
    for words in (
        ("verify", long),
        ("verify", published, "--reserves", long),
        ("inspect", long),
        ("inclusion", long),
        ("inclusion", bundle, "--against", long),
        ("check-opening", bundle, "--against", long),
        ("prove", tmp_path, "--out", long),
        ("bundle", published, "--account", "a", "--out", long),
        ("opening", published, "--node", "1:0", "--out", long),
        ("demo", "--out", long),
    ):
        code, data = run_json(*words)
        assert code == 2, words
        assert data["error"], words
    for target in ("nowhere", long):
        (published / "reserves.csv").unlink()
        (published / "reserves.csv").symlink_to(target)
        code, data = run_json("verify", published)
        assert (code, data["reason"]) == (1, "file-missing")
        assert run_json("inspect", published)[0] in (0, 2)


@pytest.mark.negative
def test_paths_that_are_not_there(run_json: Callable[..., tuple[int, Any]], published: Path, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    for words in (
        ("verify", nowhere),
        ("verify", published, "--reserves", nowhere),
        ("inspect", nowhere),
        ("inclusion", nowhere),
        ("bundle", nowhere, "--account", "a", "--out", tmp_path / "b"),
        ("bundle", published, "--account", "a", "--out", tmp_path / "b"),
    ):
        code, data = run_json(*words)
        assert code == 2
        assert data["got"].startswith("no such ")


def test_inspect(run: Run, run_json: Callable[..., tuple[int, Any]], published: Path, small: Publication) -> None:
    code, data = run_json("inspect", published)
    assert code == 0
    statement = small.statement
    assert data["verdict"] == "not verified"
    assert data["statement_digest"] == statement.digest.hex()
    assert data["root"] == statement.root.hex()
    assert data["file_bytes"][PROOF] == 4
    assert data["soundness_bits"] >= 100
    assert data["account_tree_bits"] == 123.9
    assert {"name", "bits", "grinding_bits"} == data["rounds"][0].keys()
    assert data["totals"][0] == {"symbol": "btc", "kind": "spot", "price": "6510.022", "buckets": {}} | {
        side: data["totals"][0][side] for side in ("long", "short")
    }
    code, out, _ = run("inspect", published)
    assert code == 0
    assert "queries" in out
    assert "Account tree poseidon1-koalabear-16: 123.9 bits" in out
    assert statement.digest.hex() in out


# bundle, inclusion, nonce


def test_inclusion(
    run: Run, run_json: Callable[..., tuple[int, Any]], published: Path, small: Publication, tmp_path: Path
) -> None:
    bundle = write(tmp_path / "bundle.json", small.bundle(1))
    account = small.accounts[1]
    own = ("--user-id", account.user_id, "--nonce", account.nonce.hex())
    code, data = run_json("inclusion", bundle, "--against", published, *own)
    assert (code, data["verdict"], data["reason"]) == (0, "included", None)
    assert (data["publication_verdict"], data["steps"][0]["name"]) == ("solvent", "0 publication")
    code, out, err = run("inclusion", bundle, "--against", published, *own)
    assert (code, err) == (0, "")
    assert out.startswith("  ok   0 publication: proof accepted, profile fast, ")
    assert out.endswith(f"Verdict: included in statement {small.statement.digest.hex()}\n")
    code, out, _ = run("inclusion", bundle)
    assert code == 0
    assert "SKIP" in out
    assert "Verdict: the bundle agrees with itself" in out


@pytest.mark.negative
def test_inclusion_and_openings_look_at_the_proof(
    run: Run, run_json: Callable[..., tuple[int, Any]], published: Path, small: Publication, tmp_path: Path
) -> None:
    bundle, opening = write(tmp_path / "b.json", small.bundle(1)), write(tmp_path / "o.json", small.opening(1, 1))
    assert run_json("check-opening", opening, "--against", published)[1]["verdict"] == "opened"
    (published / PROOF).write_bytes(b"bad")
    for command, file, done in (("inclusion", bundle, "included"), ("check-opening", opening, "opened")):
        words = (command, file, "--against", published)
        assert run(*words) == (1, "Verdict: rejected, constraints: a bad proof\n", "")
        assert run_json(*words)[1]["reason"] == "constraints"
        code, data = run_json(*words, "--statement-only")
        assert (code, data["verdict"], data["publication_verdict"]) == (0, f"{done} in an unverified statement", None)
        code, out, _ = run(*words, "--statement-only")
        assert code == 0
        assert out.startswith("  SKIP 0 publication: ")
        assert out.endswith(f" in an unverified statement {small.statement.digest.hex()}\n")
    for option in (["--statement-only"], ["--circuit", "solvency_equity_v1"]):
        code, data = run_json("inclusion", bundle, *option)
        assert (code, data["field"]) == (2, option[0])


@pytest.mark.negative
def test_inclusion_refused(
    run_json: Callable[..., tuple[int, Any]], published: Path, small: Publication, tmp_path: Path
) -> None:
    good = small.bundle(1)
    bundle = write(tmp_path / "bundle.json", good)
    for words, reason in (
        (("--user-id", "somebody"), "account-id"),
        (("--nonce", "00" * 32), "account-id"),
        (("--against", published), "path"),
    ):
        if reason == "path":
            body = json.loads(good)
            body["entries"][0]["amount"] = str(int(body["entries"][0]["amount"]) + 1)
            bundle.write_bytes(json.dumps(body, sort_keys=True, separators=(",", ":")).encode() + b"\n")
        code, data = run_json("inclusion", bundle, *words)
        assert (code, data["verdict"], data["reason"]) == (1, "rejected", reason)
    bundle.write_text("nonsense")
    assert run_json("inclusion", bundle)[1]["reason"] == "malformed"
    code, data = run_json("inclusion", bundle, "--nonce", "xyz")
    assert (code, data["field"]) == (2, "--nonce")


def test_bundle(
    run: Run,
    run_json: Callable[..., tuple[int, Any]],
    published: Path,
    small: Publication,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    users = [account.user_id for account in small.accounts]

    def make_bundle(public: Path, private: Path, user_id: str) -> bytes:
        assert (public, private) == (published, tmp_path / "published.private")
        if user_id not in users:
            raise InputError(field="--account", got=user_id, expected="a known id")
        return small.bundle(users.index(user_id))

    monkeypatch.setattr(prover.bundles, "make_bundle", make_bundle)
    (tmp_path / "published.private").mkdir()
    out = tmp_path / "mine" / "bundle.json"
    words = ("bundle", published, "--account", users[1], "--out", out)
    code, data = run_json(*words)
    assert code == 0
    assert out.read_bytes() == small.bundle(1)
    assert (data["bytes"], data["user_id"]) == (len(small.bundle(1)), users[1])
    assert out.stat().st_mode & 0o777 == 0o600
    assert run(*words)[0] == 2
    assert run(*words, "--force")[0] == 0
    code, data = run_json("bundle", published, "--account", "zoe", "--out", tmp_path / "z")
    assert (code, data["field"]) == (2, "--account")
    assert run_json("bundle", published, "--account", "\ud800", "--out", tmp_path / "z")[0] == 2
    assert not (tmp_path / "z").exists()
    assert [part.name for part in out.parent.iterdir()] == ["bundle.json"]


def test_nonce(run: Run, run_json: Callable[..., tuple[int, Any]]) -> None:
    code, out, err = run("nonce")
    assert code == 0
    assert len(bytes.fromhex(out.strip())) == 32  # alone on standard output, so that it can be piped
    assert "Keep it" in err
    drawn = {run_json("nonce")[1]["nonce"] for _ in range(3)}
    assert len(drawn) == 3
    code, data = run_json("nonce", "--user-id", "alice", "--exchange", EXCHANGE)
    assert code == 0
    assert data["account_id"] == hex_words(account_id(EXCHANGE, "alice", bytes.fromhex(data["nonce"])))
    assert run_json("nonce", "--user-id", "alice")[0] == 2
    assert run_json("nonce", "--user-id", "\ud800", "--exchange", "x")[0] == 2


def test_version(run_json: Callable[..., tuple[int, Any]]) -> None:
    code, data = run_json("version")
    assert code == 0
    assert data["protocol"] == "solvent/1"


# A process of its own

BLOCKED = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"numpy", "numba", "pyarrow", "cryptography", "galois"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocker())
from api.cli import main
code = main(sys.argv[1:])
heavy = {"numpy", "numba", "pyarrow", "rich"} & set(sys.modules)
sys.stderr.write(f"{code} {sorted(heavy)}")
"""


def base_install(*words: object) -> tuple[str, str]:
    """Standard output, and exit code with the heavy modules that were loaded, without the extra [prover]."""
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, *map(str, words)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
        timeout=60,
    )
    return done.stdout, done.stderr


def test_the_base_install_checks_and_says_what_the_rest_needs(small: Publication, tmp_path: Path) -> None:
    statement = write(tmp_path / "statement.json", small.statement.to_bytes())
    bundle = write(tmp_path / "bundle.json", small.bundle(0))
    out, state = base_install("inclusion", bundle, "--against", statement.parent, "--statement-only", "--json")
    assert json.loads(out)["verdict"] == "included in an unverified statement"
    assert state == "0 []"
    assert base_install("nonce", "--json")[1] == "0 []"
    assert base_install("inspect", tmp_path, "--json")[1] == "0 []"
    out, state = base_install("verify", tmp_path, "--json")
    assert json.loads(out)["reason"] == "file-missing"
    assert state == "1 []"
    for words in (
        ("prove", tmp_path, "--out", "x"),
        ("bundle", tmp_path, "--account", "a", "--out", "x"),
        ("import", "okx", "--users", bundle, "--out", "x"),
        ("bench",),
        ("generate", "--out", "x"),
        ("demo",),
    ):
        out, state = base_install(*words, "--json")
        assert json.loads(out)["error"] == 'this needs: pip install "solvent[prover]"', words
        assert state.startswith("2 ")


def test_a_reader_who_leaves_does_not_change_the_verdict(small: Publication, tmp_path: Path) -> None:
    bundle = write(tmp_path / "bundle.json", small.bundle(0))
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "api.cli", "inclusion", bundle],
            stdout=writer,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_real_interrupt(tmp_path: Path) -> None:
    """Ctrl-C while a named pipe keeps `import` waiting."""
    fifo = tmp_path / "users.json"
    os.mkfifo(fifo)
    command = [sys.executable, "-m", "api.cli", "import", "okx", "--users", str(fifo), "--out", str(tmp_path / "snap")]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    with fifo.open("wb"):  # returns once the command has opened the other end
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "solvent: interrupted\n")
    assert not (tmp_path / "snap").exists()
