"""A whole publication, and the command line: what is accepted, what is refused, and with which exit code."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import verifier
from prover.prices import simulate_evidence, sources_text
from tests.verifier.small_tree import (
    EXCHANGE,
    RESERVES,
    Publication,
    publication,
    refused,
    risk_publication,
)
from verifier import solvency
from verifier.__main__ import main
from verifier.errors import Reason, UnacceptableParameters
from verifier.params import TEST
from verifier.statement import Losses

ROOT = Path(verifier.__file__).parents[1]
PROOF = "shards/000000.proof"
OTHER_HASH = "solvency_equity_v1_poseidon2"
Run = Callable[..., tuple[int, str]]
FIELDS = {
    *("verdict", "reason", "solvent", "exchange", "sequence", "time", "policy", "proved", "statement_digest"),
    *("reserves_sha256", "circuit", "tree_hash", "profile", "soundness_bits", "proof_bytes", "seconds", "checks"),
    *("caveats", "quote", "total_liability", "total_shortfall", "total_margin_deficit", "losses", "open_interest"),
    *("fund_value", "reserves_evidence", "price_evidence"),
}
"""What programs find in `--json`."""


@pytest.mark.negative
def test_paths_that_no_system_takes(directory: Path, run: Run) -> None:
    for path in (Path("x" * 5000), directory / ("x" * 300), directory / "a\0b"):
        assert refused(path).reason is Reason.FILE_MISSING
        assert refused(directory, reserves=path).reason is Reason.FILE_MISSING
    long, statement = "x" * 300, directory / "statement.json"
    for words in (
        [long],
        [directory, "--reserves", long],
        ["inclusion", long],
        ["inclusion", statement, "--against", long],
        ["opening", long, "--against", directory],
        ["log", "audit", long, "--policy", statement],
        ["log", "audit", directory, "--policy", long],
    ):
        assert run(*words)[0] == 2, words


@pytest.mark.negative
def test_the_caller_chooses_the_circuit(directory: Path, small: Publication, run: Run, tmp_path: Path) -> None:
    """Another tree hash is not slipped in: whoever accepts it says so."""
    other = publication("solvency_equity_v1_poseidon2")
    name = other.statement.circuit
    bundle, opening = tmp_path / "bundle.json", tmp_path / "opening.json"
    bundle.write_bytes(other.bundle(7))
    opening.write_bytes(other.opening(1, 1))
    other.write(directory)
    error = refused(directory)
    assert isinstance(error, UnacceptableParameters)
    assert error.reason is Reason.UNKNOWN_CIRCUIT
    assert "--circuit" in str(error)
    against = ("--against", directory)
    for words in (
        [directory],
        ["inclusion", bundle, *against],
        ["inclusion", bundle, *against, "--statement-only"],
        ["opening", opening, *against],
        ["opening", opening, *against, "--statement-only"],
    ):
        code, text = run(*words)
        assert (code, text.startswith("Verdict: rejected, unknown-circuit: statement.circuit")) == (1, True), words
        assert run(*words, "--circuit", name)[0] == 0, words
        assert run(*words, "--circuit", "anything")[0] == 2, words
    assert "tree hash poseidon2-koalabear-16\n" in run(directory, "--circuit", name)[1]
    assert verifier.verify_directory(directory, circuit=name).to_json()["tree_hash"] == "poseidon2-koalabear-16"
    small.write(directory)
    assert refused(directory, circuit=name).reason is Reason.UNKNOWN_CIRCUIT
    assert verifier.verify_directory(directory, circuit=small.statement.circuit).accepted


@pytest.mark.parametrize("circuit", [name for name in solvency.CIRCUITS if name != OTHER_HASH])
def test_every_circuit_over_the_default_tree_hash_is_taken_and_named(directory: Path, run: Run, circuit: str) -> None:
    lenses = solvency.CIRCUITS[circuit].lenses
    small = (risk_publication if lenses else publication)(circuit)
    small.write(directory)
    (directory / "reserves.csv").write_bytes(b"asset,amount\nbtc,1000\nusdt,100000000\n" if lenses else RESERVES)
    if lenses:
        (directory / "fund.json").write_bytes(small.bundle(0))
    words = {0: "equity only", 1: "equity and margins", 3: "equity, margins and 1 stress scenario"}
    expected = words.get(lenses, "equity, margins and 2 stress scenarios")
    outcome = verifier.verify_directory(directory)
    assert outcome.solvent
    assert outcome.to_json()["proved"] == expected
    assert f"\nVerdict: solvent at the exchange's own prices (proved: {expected})\n" in run(directory)[1]
    assert verifier.verify_directory(directory, circuit=circuit).solvent
    others = [name for name in solvency.CIRCUITS if name != circuit]
    assert all(refused(directory, circuit=name).reason is Reason.UNKNOWN_CIRCUIT for name in others)


def test_a_publication_with_everything(risky: Path, run: Run) -> None:
    code, text = run(risky)
    assert code == 0
    assert "Prices: 3 prices follow from the signed quotes of 5 sources" in text or "Prices: 2 prices" in text
    assert "Insurance fund: worth 10000000 USDT" in text
    assert "  ok   margins that accounts lack are within the insurance fund: 2840.000028901032 <= 10000000 USDT" in text
    assert "  ok   stress btc -30 %: losses within the insurance fund: 1897.763451737786 <= 10000000 USDT" in text
    assert "  caveat: prices follow from 5 signed sources of the exchange's own choice" in text
    assert "\nVerdict: solvent at prices signed by 5 sources of the exchange's choice (proved: equity, margins" in text
    code, text = run(risky, "--price-sources", risky / "sources.txt", "--json")
    data = json.loads(text)
    assert code == 0
    assert data.keys() == FIELDS
    assert data["price_evidence"].keys() == {"sources", "trusted", "summary"}
    assert data["price_evidence"]["trusted"] is True
    assert data["price_evidence"]["sources"] == 5
    assert data["fund_value"] == "10000000"
    assert data["total_margin_deficit"] == "2840.000028901032"
    assert data["losses"] == [
        {"scenario": "btc -30 %", "shortfall": "1897.763451737786", "margin_deficit": "4620.9896740537224"},
        {"scenario": "btc to zero", "shortfall": "8899.999993", "margin_deficit": "8899.99999307"},
    ]
    assert data["open_interest"] == [{"symbol": "btc-perp", "amount": "0.1541", "value": "1003.1943902"}]
    assert data["caveats"] == ["the reserves are figures without signatures"]
    trusted = run(risky, "--price-sources", risky / "sources.txt")[1]
    assert "\nVerdict: solvent at prices signed by 5 trusted sources (proved: equity, margins and 2" in trusted


@pytest.mark.negative
def test_without_the_fund_a_disclosed_deficit_is_insolvent(risky: Path, run: Run) -> None:
    (risky / "fund.json").unlink()
    code, text = run(risky)
    assert code == 1
    assert "Insurance fund: not opened\n" in text
    assert "  FAIL margins that accounts lack are within the insurance fund: 2840.000028901032 <= 0 USDT" in text
    assert "  note stress btc -30 %: losses within the insurance fund: 1897.763451737786 <= 0 USDT" in text
    assert text.endswith("Verdict: insolvent\n  caveat: " + text.partition("\n  caveat: ")[2])
    assert "  caveat: the insurance fund's account is not opened: it counts as nothing\n" in text


@pytest.mark.negative
def test_a_scenario_beyond_the_fund_is_a_note(risky: Path, run: Run) -> None:
    """The fund holds 10,000,000; a loss of more makes nobody insolvent today."""
    small = risk_publication()
    (risky / "prices.json").unlink()
    worst = Losses(2**111, 2**112 - 1)
    small = small.stating(losses=(worst, *small.statement.losses[1:]))
    small.write(risky)
    (risky / "fund.json").write_bytes(small.bundle(0))
    code, text = run(risky)
    assert code == 0
    assert "  note stress btc -30 %: losses within the insurance fund: " in text
    assert text.count("  note ") == 2
    checks = json.loads(run(risky, "--json")[1])["checks"]
    assert [check["ok"] for check in checks if not check["decides"]] == [False, False, True, True]


@pytest.mark.negative
def test_who_names_sources_gets_prices_of_theirs(risky: Path, run: Run, directory: Path) -> None:
    _, others = simulate_evidence(risk_publication().statement, sources=3)
    (risky / "others.txt").write_text(sources_text(others))
    code, text = run(risky, "--price-sources", risky / "others.txt")
    assert (code, text.startswith("Verdict: rejected, price-sources: ")) == (1, True)
    (risky / "empty.txt").write_text("# nobody\n")
    assert run(risky, "--price-sources", risky / "empty.txt")[0] == 1
    assert verifier.verify_directory(risky, price_sources=None).accepted
    risk_publication().write(risky)
    for name in ("fund.json", "prices.json"):
        (risky / name).unlink()
    code, text = run(risky, "--price-sources", risky / "others.txt")
    assert (code, text.startswith("Verdict: rejected, price-evidence: statement.oracle_evidence")) == (1, True)


def test_the_inclusion_command_under_margins(risky: Path, run: Run, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.json"
    statement = verifier.verify_directory(risky).statement
    named = risk_publication().stating(oracle_evidence=statement.oracle_evidence)
    bundle.write_bytes(named.bundle(2))
    code, text = run("inclusion", bundle, "--against", risky)
    assert code == 0
    assert "  is long 0.1541 btc-perp\n  was charged 1000 cost for open positions\n  holds 100 usdt in bucket" in text
    assert "  in all: equity 103.1943902 USDT, health 52.87192014 USDT (after haircuts and margins)\n" in text
    assert "in all" not in run("inclusion", bundle)[1]


def test_verify_command(directory: Path, run: Run) -> None:
    code, text = run(directory)
    assert code == 0
    head, _, tail = text.partition("Verdict: ")
    assert tail.splitlines()[0] == "solvent at the exchange's own prices (proved: equity only)"
    assert tail.splitlines()[1].startswith("  caveat: prices are the exchange's own")
    assert "Prices: no price file\nInsurance fund: not opened\n" in head
    assert f"Reserves: sha256 {hashlib.sha256(RESERVES).hexdigest()}\n" in head
    assert "Circuit: solvency_equity_v1, tree hash poseidon1-koalabear-16\n" in head
    assert "ok   btc: reserves cover balances net of debts: 1000 >= " in text
    code, text = run(directory, "--json", "--profile", "fast")
    data = json.loads(text)
    assert code == 0
    assert (data["verdict"], data["reason"], data["solvent"], data["soundness_bits"]) == ("solvent", None, True, 100)
    assert (data["circuit"], data["tree_hash"]) == ("solvency_equity_v1", "poseidon1-koalabear-16")
    assert data["reserves_sha256"] == hashlib.sha256(RESERVES).hexdigest()
    assert data["caveats"] == [line.removeprefix("  caveat: ") for line in tail.splitlines()[1:]]
    assert set(data["checks"][0]) == {"name", "left", "right", "relation", "ok", "note", "unit", "decides"}
    assert (data["proved"], data["total_margin_deficit"], data["fund_value"]) == ("equity only", None, None)
    assert (data["losses"], data["open_interest"], data["price_evidence"]) == ([], [], None)
    (directory / "reserves.csv").unlink()
    code, text = run(directory)
    assert code == 0
    assert "Reserves: none\n" in text
    assert "\nVerdict: liabilities proved, no reserves given (proved: equity only)\n" in text
    assert json.loads(run(directory, "--json")[1])["reserves_sha256"] is None


@pytest.mark.negative
def test_verify_command_refuses(directory: Path, run: Run, tmp_path: Path) -> None:
    (directory / "poor.csv").write_bytes(b"asset,amount\n")
    code, text = run(directory, "--reserves", directory / "poor.csv")
    assert code == 1
    assert "FAIL" in text
    assert "\nVerdict: insolvent\n" in text
    assert json.loads(run(directory, "--json", "--reserves", directory / "poor.csv")[1])["reason"] == "insolvent"
    (directory / PROOF).write_bytes(b"bad")
    code, text = run(directory)
    assert (code, text) == (1, "Verdict: rejected, constraints: a bad proof\n")
    code, text = run(directory, "--json")
    assert (code, json.loads(text)["reason"], json.loads(text)["verdict"]) == (1, "constraints", "rejected")
    (directory / "statement.json").write_bytes(b"{}\n")
    code, text = run(directory, "--json")
    assert (code, json.loads(text)["where"]) == (1, {"field": "statement.capacity"})


def test_inclusion_command(directory: Path, run: Run, small: Publication, tmp_path: Path) -> None:
    bundle, account = tmp_path / "bundle.json", small.accounts[7]
    bundle.write_bytes(small.bundle(7))
    known = ("--user-id", account.user_id, "--nonce", account.nonce.hex())
    code, text = run("inclusion", bundle, "--against", directory, *known)
    assert code == 0
    assert f"Account user-7 at {EXCHANGE}, sequence 7:" in text
    assert text.count("  holds ") + text.count("  owes ") == 3
    assert text.endswith(f"Verdict: included in statement {small.statement.digest.hex()}\n")
    assert text.startswith(
        "  ok   0 publication: proof accepted, profile fast, 100 provable bits; verdict: solvent at "
    )
    code, text = run("inclusion", bundle)
    assert code == 0
    assert "0 publication" not in text
    assert "SKIP 2 statement: not compared" in text
    assert "add --against DIR" in text
    code, text = run("inclusion", bundle, "--against", directory, "--json")
    data = json.loads(text)
    assert (code, data["verdict"], data["reason"], data["publication_verdict"]) == (0, "included", None, "solvent")
    assert [(step["name"], step["ok"]) for step in data["steps"]][:2] == [("0 publication", True), ("1 file", True)]
    bundle.write_bytes(small.bundle(0))
    assert "holds and owes nothing" in run("inclusion", bundle)[1]


@pytest.mark.negative
def test_inclusion_command_refuses(directory: Path, run: Run, small: Publication, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.json"
    bundle.write_bytes(small.bundle(7, path=small.path(6)))
    code, text = run("inclusion", bundle, "--against", directory)
    assert code == 1
    assert text.startswith("Verdict: rejected, path: bundle.path: expected the root ")
    bundle.write_bytes(small.bundle(7))
    code, text = run("inclusion", bundle, "--against", directory, "--user-id", "user-8", "--json")
    assert (code, json.loads(text)["reason"]) == (1, "account-id")


@pytest.mark.negative
def test_inclusion_and_openings_look_at_the_proof(
    directory: Path, run: Run, small: Publication, tmp_path: Path
) -> None:
    """A user must not be told "included" by a statement that nothing proves."""
    bundle, opening = tmp_path / "bundle.json", tmp_path / "opening.json"
    bundle.write_bytes(small.bundle(7))
    opening.write_bytes(small.opening(1, 1))
    (directory / PROOF).write_bytes(b"bad")
    for words, done in ((("inclusion", bundle), "included"), (("opening", opening), "opened")):
        assert run(*words, "--against", directory) == (1, "Verdict: rejected, constraints: a bad proof\n")
        data = json.loads(run(*words, "--against", directory, "--json")[1])
        assert (data["verdict"], data["reason"]) == ("rejected", "constraints")
        code, text = run(*words, "--against", directory, "--statement-only")
        assert code == 0
        assert text.startswith("  SKIP 0 publication: ")
        assert text.endswith(f" in an unverified statement {small.statement.digest.hex()}\n")
        code, text = run(*words, "--against", directory, "--statement-only", "--json")
        data = json.loads(text)
        assert (code, data["verdict"], data["publication_verdict"]) == (0, f"{done} in an unverified statement", None)
        assert (data["steps"][0]["name"], data["steps"][0]["ok"]) == ("0 publication", False)
    small.stating(profile="test", parameters_digest=TEST.digest).write(directory)
    code, text = run("inclusion", bundle, "--against", directory, "--statement-only", "--json")
    assert (code, json.loads(text)["reason"]) == (1, "unacceptable-profile")


def test_inclusion_says_what_became_of_the_publication(
    directory: Path, run: Run, small: Publication, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle.json"
    bundle.write_bytes(small.bundle(7))
    (directory / "reserves.csv").write_bytes(b"asset,amount\n")
    code, text = run("inclusion", bundle, "--against", directory)
    assert code == 0
    assert "ok   0 publication: proof accepted, profile fast, 100 provable bits; verdict: insolvent\n" in text


def test_opening_command(directory: Path, run: Run, small: Publication, tmp_path: Path) -> None:
    opening = tmp_path / "opening.json"
    opening.write_bytes(small.opening(1, 1))
    code, text = run("opening", opening, "--against", directory)
    assert code == 0
    assert "Node of level 1 (0 > 0 > 0 > 0 > 1)" in text
    assert json.loads(run("opening", opening, "--against", directory, "--json")[1])["level"] == 1
    opening.write_bytes(small.opening(6, 0))
    assert "the root itself" in run("opening", opening, "--against", directory)[1]


@pytest.mark.negative
def test_opening_command_refuses(directory: Path, run: Run, small: Publication, tmp_path: Path) -> None:
    opening = tmp_path / "opening.json"
    opening.write_bytes(small.opening(1, 1, path=small.path(0, 1)))
    code, text = run("opening", opening, "--against", directory)
    assert code == 1
    assert text.startswith("Verdict: rejected, opening: ")


@pytest.mark.negative
def test_usage_errors(directory: Path, run: Run, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.json"
    for words in (
        [],
        [tmp_path / "nowhere"],
        [tmp_path / "statement.json"],
        [directory, "--profile", "weak"],
        [directory, "--reserves", tmp_path / "none.csv"],
        [directory, "--price-sources", tmp_path / "none.txt"],
        [directory, "extra"],
        ["inclusion"],
        ["inclusion", bundle],
        ["inclusion", tmp_path / "statement.json", "--against", tmp_path / "nowhere"],
        ["inclusion", tmp_path / "statement.json", "--statement-only"],
        ["inclusion", tmp_path / "statement.json", "--circuit", "solvency_equity_v1"],
        ["inclusion", tmp_path / "statement.json", "--log-policy", tmp_path / "statement.json"],
        ["log"],
        ["log", "audit", directory],
        ["log", "audit", tmp_path / "nowhere", "--policy", tmp_path / "statement.json"],
        ["log", "audit", directory, "--policy", tmp_path / "nowhere"],
        ["inclusion", tmp_path / "statement.json", "--nonce", "12"],
        ["inclusion", tmp_path / "statement.json", "--nonce", "xy" * 32],
        ["opening", tmp_path / "statement.json"],
        ["opening", bundle, "--against", directory],
    ):
        code, text = run(*words)
        assert code == 2, words
        assert "usage: python -m verifier" in text


@pytest.mark.parametrize("words", [["--help"], ["inclusion", "--help"], ["opening", "--help"]])
def test_help_teaches(run: Run, words: list[str]) -> None:
    code, text = run(*words)
    assert code == 0
    assert "usage: python -m verifier" in text
    if len(words) == 1:
        assert "exit codes: 0 accepted, 1 rejected with a reason, 2 usage error" in text


def test_output_may_be_any_text_stream(directory: Path) -> None:
    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        assert main([str(directory)]) == 0
    assert "\nVerdict: solvent at the exchange's own prices (proved: equity only)\n" in stream.getvalue()


def spawn(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-S", "-W", "error", *(str(word) for word in words)],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_importing_the_package_loads_nothing_of_weight() -> None:
    code = "import sys, verifier; print(sorted(name for name in sys.modules if name.startswith('verifier')))"
    assert spawn("-c", code).stdout == "['verifier']\n"


def test_names_that_the_terminal_cannot_show_do_not_stop_it(small: Publication, tmp_path: Path) -> None:
    """Without site packages, in an ASCII terminal."""
    named = small.stating(exchange="börse")
    bundle = tmp_path / "bundle.json"
    bundle.write_bytes(named.bundle(7))
    done = spawn("-m", "verifier", "inclusion", bundle, LC_ALL="C", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("Verdict: rejected, path: ")
