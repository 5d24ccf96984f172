"""`solvent reserves`: from addresses to a verdict that names blocks, and back from the publication alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from api.reserves.files import shown_units
from tests.api.files import Command, write
from tests.api.reserves.signed import (
    BLOCKS,
    EXCHANGE,
    Case,
    bitcoin_address,
    cases,
    challenges,
    csv_text,
    ethereum_address,
    rows,
    write_list,
)
from tests.verifier.small_tree import publication
from verifier import proofs, report
from verifier.__main__ import main as check_alone
from verifier.statement import Statement

BLOCK_OPTIONS = [word for b in BLOCKS for word in ("--block", f"{b.network.name}={b.height}:{b.hash}")]


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    return write(tmp_path / "challenges.json", challenges().to_bytes())


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    return write_list(tmp_path / "list.csv", rows())


@pytest.fixture
def statement() -> Statement:
    """For btc, eth and usdt; our list also has SOL."""
    return publication().stating(exchange=EXCHANGE, sequence=7).statement


@pytest.fixture
def directory(tmp_path: Path, statement: Statement, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A publication whose proof is taken for good, without reserves."""
    monkeypatch.setattr(proofs, "verify_stark", lambda *_: None)
    monkeypatch.setattr(report, "soundness_bits", lambda *_: 100)
    folder = tmp_path / "publication"
    folder.mkdir()
    publication().stating(exchange=EXCHANGE, sequence=7).write(folder)
    return folder


def test_challenges(command: Command, tmp_path: Path) -> None:
    text = "coin,network,address\n" + "".join(f"{c.coin},{c.network},{c.address}\n" for c in cases())
    out = tmp_path / "challenges.json"
    words = ("reserves", "challenge", write(tmp_path / "all.csv", text), "--exchange", EXCHANGE, "--sequence", 7)
    code, found = command(*words, *BLOCK_OPTIONS, "--out", out)
    assert (code, found["verdict"], found["addresses"]) == (0, "challenged", 6)
    assert out.read_bytes() == challenges().to_bytes()
    assert command(*words, *BLOCK_OPTIONS, "--out", out)[0] == 2
    code, text = command(*words, *BLOCK_OPTIONS, "--out", out, "--force", text=True)
    assert (code, "6 challenges for Acme Ltd, sequence 7" in text) == (0, True)


def test_from_a_signed_list_to_the_verdict(
    command: Command, asked: Path, signed: Path, directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("reserves", "verify", signed, "--challenge", asked, "--against", directory, "--out", tmp_path / "out")
    code, found = command(*words)
    assert (code, found["verdict"], found["left_out"]) == (0, "reserves signed", ["SOL"])
    assert found["counts"] == {"verified": 7, "inconclusive": 0, "failed": 0}
    (part,) = found["totals"]["BTC"]["parts"]
    assert (part["height"], part["hash"], part["amount"]) == (870_000, BLOCKS[0].hash, "4.75")
    assert (tmp_path / "out" / "reserves.csv").read_bytes() == b"asset,amount\nbtc,4.75\neth,3.0589597\nusdt,1000000\n"
    for name in ("reserves.csv", "reserves-evidence.json"):
        (directory / name).write_bytes((tmp_path / "out" / name).read_bytes())
    # The verdict, with height and hash, and what stays open.
    code, found = command("verify", directory)
    assert found["reserves_evidence"]["totals"]["BTC"][0]["hash"] == BLOCKS[0].hash
    assert found["caveats"][-1].startswith("signatures of the reserves are not checked here")
    assert code == (0 if found["solvent"] else 1)
    assert check_alone([str(directory)]) == code
    assert "Signed: 7 addresses signed, balances the exchange's word, at BTC 870000 (" in capsys.readouterr().out
    text = command("verify", directory, text=True)[1]
    assert "Signed 7 addresses signed, balances the exchange's word, at BTC 870000 (" in text
    # Everything again, from the publication alone.
    code, found = command("reserves", "check", directory)
    assert (code, found["verdict"], found["counts"]["verified"]) == (0, "reserves signed", 7)
    # Another reserves file beside the same evidence.
    (directory / "reserves.csv").write_bytes(b"asset,amount\nbtc,1000\neth,1000\nusdt,1000000\n")
    for asked_again in (("verify",), ("reserves", "check")):
        code, found = command(*asked_again, directory)
        assert (code, found["reason"]) == (1, "reserves")
    # Without its own reserves the evidence is of nothing; reserves from elsewhere have none.
    (directory / "reserves.csv").unlink()
    assert command("verify", directory)[1]["reason"] == "reserves"
    poor = write(tmp_path / "poor.csv", "asset,amount\n")
    assert command("verify", directory, "--reserves", poor)[1]["reserves_evidence"] is None


def test_a_failed_address_refuses_the_list_and_nothing_is_written(
    command: Command, asked: Path, tmp_path: Path
) -> None:
    changed = [replace(rows()[0], signatures=rows()[1].signatures), *rows()[1:]]
    path = write_list(tmp_path / "bad.csv", changed)
    words = ("reserves", "verify", path, "--challenge", asked, "--out", tmp_path / "out")
    code, found = command(*words)
    assert (code, found["verdict"], found["reason"], found["files"]) == (1, "rejected", "signature", {})
    assert found["counts"]["failed"] == 2  # the copy, and one signature on two lines
    assert not (tmp_path / "out").exists()
    code, text = command(*words, text=True)
    assert (code, "Verdict: rejected (5 verified, 0 inconclusive, 2 failed)" in text) == (1, True)


def test_the_layout_of_okx_is_read_and_its_static_message_refused(
    command: Command, asked: Path, tmp_path: Path
) -> None:
    # A row of OKX's published example (github.com/okx/proof-of-reserves, example/okx_por_example.csv).
    row = (
        "ETH,ETH,20914735,0x0cdcdb19a857c2ac24818ca4fdfe38cce071483e,0.058959708849230328,I am an OKX address,"
        "0x07f19879aa28d51c97cddfdfecffe7ed96525545d041aee4f4386b0bf4c1a26924b637fb02ccbb97305c13daa51a0f50b8896fb25ecbaf"
        "60020cde920d227a221b,,"
    )
    head = csv_text([])
    address = "0x0cdcdb19a857c2ac24818ca4fdfe38cce071483e"
    own = write(tmp_path / "own.json", challenges([("ETH", address)]).to_bytes())
    static = write(tmp_path / "okx.csv", head + row.replace("20914735", "21000000") + "\n")
    code, found = command("reserves", "verify", static, "--challenge", own)
    assert (code, found["addresses"][0]["amount"]) == (1, "0.058959708849230328")
    assert "whoever saw it once can show it again" in found["addresses"][0]["reason"]
    code, found = command("reserves", "verify", write(tmp_path / "okx.csv", head + row + "\n"), "--challenge", own)
    assert "the balance is of height 20914735" in found["addresses"][0]["reason"]


def test_inconclusive_addresses_are_shown_and_do_not_count(command: Command, tmp_path: Path) -> None:
    contract = "0x" + "cc" * 20
    row = replace(Case("ETH", "ETH", contract, "1.5").row(99), signatures=("0x" + "12" * 130,))
    path = write_list(tmp_path / "list.csv", [*rows(), row])
    own = write(tmp_path / "own.json", challenges([("ETH", contract)]).to_bytes())
    code, text = command("reserves", "verify", path, "--challenge", own, text=True)
    assert code == 0
    assert "ERC-1271: 130 bytes: a contract's signature, for which a node has to be asked" in text
    assert "Verdict: reserves signed (7 verified, 1 inconclusive, 0 failed)" in text
    assert "What the addresses hold is the list's own figure" in text


def test_many_addresses_are_folded(
    command: Command, asked: Path, signed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.cli.reserves.SHOWN_MAX", 2)
    text = command("reserves", "verify", signed, "--challenge", asked, text=True)[1]
    assert "and 5 more that are verified" in text


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--exchange", ""), ("--exchange", "a\nb"), ("--exchange", "x" * 999), ("--block", "BTC"),
        ("--block", "BTC=1:zz"),
        ("--block", "BTC=-1:" + "00" * 32), ("--block", "$=1:" + "00" * 32), ("--block", f"BITCOIN=1:{'00' * 32}"),
    ],
)  # fmt: skip
def test_bad_options_of_challenge(command: Command, tmp_path: Path, option: str, value: str) -> None:
    listed = write(tmp_path / "all.csv", f"coin,network,address\nBTC,BTC,{bitcoin_address('p2tr')}\n")
    options = [] if option == "--exchange" else ["--exchange", EXCHANGE]
    words = ("reserves", "challenge", listed, *options, "--sequence", 7, *BLOCK_OPTIONS, option, value)
    code, found = command(*words, "--out", tmp_path / "out.json")
    assert (code, found["field"]) == (2, option)
    assert not (tmp_path / "out.json").exists()


def test_lists_that_cannot_be_challenged(command: Command, tmp_path: Path) -> None:
    words = ("--exchange", EXCHANGE, "--sequence", 7, *BLOCK_OPTIONS, "--out", tmp_path / "out.json")
    bad = write(tmp_path / "bad.csv", f"coin,network,address\nBTC,BTC,{bitcoin_address('p2tr')[:-1]}x\n")
    code, found = command("reserves", "challenge", bad, *words)
    assert (code, found["row"], found["field"]) == (2, 2, "address")
    base = write(tmp_path / "base.csv", f"coin,network,address\nETH,BASE,{ethereum_address()}\n")
    code, found = command("reserves", "challenge", base, *words)
    assert (code, found["field"], found["expected"]) == (2, "network", "--block BASE=HEIGHT:HASH for it")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (("--node", "BTC"), "--node"),
        (("--node", "$=http://127.0.0.1"), "--node"),
        (("--node", "BTC=http://a", "--node", "bitcoin=http://b"), "--node"),
        (("--token", "USDT@ETH=0x" + "ab" * 20 + ":6"), "--token"),
        (("--node", "ETH=http://a", "--token", "USDT@ETH=0xab:6"), "--token"),
        (("--node", "ETH=http://a", "--token", "USDT@ETH=0x" + "ab" * 20 + ":31"), "--token"),
        (("--node", "ETH=http://a", "--token", "USDT@$=0x" + "ab" * 20 + ":6"), "--token"),
        (("--node", "ETH=http://a", *2 * ("--token", "USDT@ETH=0x" + "ab" * 20 + ":6")), "--token"),
        (("--node", "ETH=http://a", "--balances", "x.csv"), "--node"),
        (("--snapshot", "a", "--against", "b"), "--against"),
    ],
)
def test_bad_options_of_verify(
    command: Command, asked: Path, signed: Path, options: tuple[str, ...], field: str
) -> None:
    code, found = command("reserves", "verify", signed, "--challenge", asked, *options)
    assert (code, found["field"]) == (2, field)


def test_balances_of_a_file(command: Command, asked: Path, signed: Path, tmp_path: Path) -> None:
    lines = [f"{r.asset},{r.network.name},{r.height},{r.address},{shown_units(r.amount)}" for r in rows()[:-1]]
    seen = write(tmp_path / "seen.csv", "\n".join(["coin,network,height,address,balance", *lines]) + "\n")
    code, found = command("reserves", "verify", signed, "--challenge", asked, "--balances", seen)
    assert (code, found["balances"], found["counts"]["inconclusive"]) == (0, "file", 1)


def test_challenges_of_another_snapshot(
    command: Command, asked: Path, signed: Path, directory: Path, statement: Statement
) -> None:
    (directory / "statement.json").write_bytes(replace(statement, sequence=8).to_bytes())
    code, found = command("reserves", "verify", signed, "--challenge", asked, "--against", directory)
    assert (code, "expected Acme Ltd, sequence 8" in found["error"]) == (2, True)
    code, found = command("reserves", "verify", signed, "--challenge", signed)
    assert (code, found["verdict"]) == (1, "rejected")


def test_nothing_is_replaced_unasked(command: Command, asked: Path, signed: Path, tmp_path: Path) -> None:
    words = ("reserves", "verify", signed, "--challenge", asked, "--out", tmp_path / "out")
    assert command(*words)[0] == 0
    assert command(*words)[0] == 2
    assert command(*words, "--force")[0] == 0
    for missing in (
        ("reserves", "check", tmp_path / "no"),
        ("reserves", "verify", tmp_path / "no", "--challenge", asked),
    ):
        assert command(*missing)[0] == 2


def test_the_whole_way(command: Command, asked: Path, signed: Path, tmp_path: Path) -> None:
    """With a real proof: snapshot, signed reserves, validators, publication, verdict."""
    instruments = write(tmp_path / "instruments.csv", "symbol,kind,decimals,price\nbtc,spot,8,65000\nusdt,spot,6,1\n")
    accounts = write(tmp_path / "accounts.csv", "user_id,asset,side,amount\na,btc,long,4.5\nb,usdt,long,999\n")
    snap, out, proof = tmp_path / "snap", tmp_path / "reserves", tmp_path / "publication"
    words = ("--accounts", accounts, "--instruments", instruments, "--exchange", EXCHANGE, "--sequence", 7)
    assert command("import", "table", *words, "--out", snap)[0] == 0
    code, found = command("reserves", "verify", signed, "--challenge", asked, "--snapshot", snap, "--out", out)
    assert (code, found["left_out"]) == (0, ["ETH", "SOL"])
    both = ("--reserves", out / "reserves.csv", "--reserves-evidence", out / "reserves-evidence.json")
    assert command("prove", snap, "--out", proof, *both)[0] == 0
    key, listed, one = tmp_path / "amber.key", tmp_path / "list.json", tmp_path / "amber.json"
    assert command("validator", "keygen", "--name", "amber", "--out", key, "--registration", one)[0] == 0
    assert command("validator", "register", one, "--out", listed)[0] == 0
    state = command("inspect", proof)[1]["ledger_state"]
    vote = tmp_path / "vote.json"
    assert command("validator", "sign", proof, "--key", key, "--ledger-state", state, "--out", vote)[0] == 0
    assert command("validator", "aggregate", vote, "--validators", listed, "--out", proof / "quorum.json")[0] == 0
    code, found = command("verify", proof, "--validators", listed)
    assert (code, found["verdict"], found["quorum"]["signers"]) == (0, "solvent", ["amber"])
    assert found["reserves_evidence"]["totals"]["BTC"][0]["height"] == 870_000
    assert command("reserves", "check", proof)[0] == 0
    assert command("prove", snap, "--out", proof, "--force", *both)[0] == 0  # what is ours may be replaced
