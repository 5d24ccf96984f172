"""The commands: exit codes, one JSON object, one clear line. Proofs themselves are tested elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import prover.bundles
import prover.publication
from api.cli.publication import Circuit
from api.cli.run import spread
from prover.errors import InputError
from tests.api.files import PROOF, Command, Run, write
from tests.verifier.small_tree import EXCHANGE, Publication, publication
from verifier import solvency
from verifier.account_id import account_id
from verifier.canonical import hex_words

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
def test_usage_errors(run: Run, run_json: Command, words: tuple[str, ...], message: str) -> None:
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
    run_json: Command,
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


# verify and inspect


def test_verify_accepted(run: Run, run_json: Command, published: Path) -> None:
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
def test_verify_insolvent(run: Run, run_json: Command, published: Path, tmp_path: Path) -> None:
    less = write(tmp_path / "less.csv", "asset,amount\n")
    code, data = run_json("verify", published, "--reserves", less)
    assert (code, data["verdict"], data["reason"]) == (1, "insolvent", "insolvent")
    code, out, _ = run("verify", published, "--reserves", less)
    assert code == 1
    assert "FAIL" in out


@pytest.mark.negative
def test_verify_rejected(run: Run, run_json: Command, published: Path) -> None:
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
def test_only_the_accepted_circuit(run_json: Command, published: Path, tmp_path: Path) -> None:
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
def test_links_and_names_that_lead_nowhere(run_json: Command, published: Path, tmp_path: Path) -> None:
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
def test_paths_that_are_not_there(run_json: Command, published: Path, tmp_path: Path) -> None:
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


def test_inspect(run: Run, run_json: Command, published: Path, small: Publication) -> None:
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


def test_inclusion(run: Run, run_json: Command, published: Path, small: Publication, tmp_path: Path) -> None:
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
    run: Run, run_json: Command, published: Path, small: Publication, tmp_path: Path
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
def test_inclusion_refused(run_json: Command, published: Path, small: Publication, tmp_path: Path) -> None:
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
    run_json: Command,
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


def test_nonce(run: Run, run_json: Command) -> None:
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


def test_version(run_json: Command) -> None:
    code, data = run_json("version")
    assert code == 0
    assert data["protocol"] == "solvent/1"
