"""A publication in a folder: which files it has to have, what is refused; its shards, fund, prices and reserves."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from prover.prices import simulate_evidence
from tests.verifier.small_tree import (
    EXCHANGE,
    RESERVES,
    RISK_INSTRUMENTS,
    SCENARIOS,
    STRESS,
    Account,
    Builder,
    Publication,
    edited,
    publication,
    refused,
    risk_publication,
)
from verifier import proofs, verify_directory
from verifier.__main__ import main
from verifier.canonical import dumps
from verifier.errors import Reason
from verifier.params import PROFILES, TEST
from verifier.reserves_evidence import EVIDENCE_BYTES_MAX, FILE

PROOF = "shards/000000.proof"
COUNT = 3
PROOFS = [f"shards/{index:06d}.proof" for index in range(COUNT)]
DOCUMENTS = [f"shards/{index:06d}.json" for index in range(COUNT)]
BLOCK = {"network": "ETH", "height": 21_000_000, "hash": "ab" * 32}
HELD = {"BTC": "1000", "ETH": "1000", "USDT": "1000000"}
_NONE = ("signature2", "public_key", "owner1", "owner2", "staked", "reason")
EVIDENCE = dumps(
    {
        "format": "solvent/reserves-evidence/v1",
        "exchange": EXCHANGE,
        "sequence": 7,
        "balances": "node",
        "blocks": [BLOCK],
        "addresses": [
            dict.fromkeys(_NONE)
            | {"asset": asset, "network": "ETH", "address": "one", "amount": amount, "signature1": "smpAA=="}
            | {"result": "verified", "scheme": "EIP-191"}
            for asset, amount in HELD.items()
        ],
        "totals": [
            {"asset": asset, "amount": amount, "parts": [BLOCK | {"amount": amount, "addresses": 1}]}
            for asset, amount in HELD.items()
        ],
    }
)


def test_a_solvent_publication(directory: Path, small: Publication) -> None:
    outcome = verify_directory(directory)
    assert (outcome.solvent, outcome.accepted, outcome.verdict) == (True, True, "solvent")
    assert outcome.statement == small.statement
    assert outcome.statement_digest == small.statement.digest.hex()
    assert (outcome.profile, outcome.soundness_bits, outcome.proof_bytes) == ("fast", 100, 4)
    assert len(outcome.checks) == 5
    assert outcome.caveats[0].startswith("prices are the exchange's own and not checked here")
    assert outcome.reserves_sha256 == hashlib.sha256(RESERVES).hexdigest()
    assert outcome.seconds >= 0


def test_reserves_may_come_from_elsewhere_or_not_at_all(directory: Path, tmp_path: Path) -> None:
    poor = tmp_path / "poor.csv"
    poor.write_bytes(b"asset,amount\n")
    outcome = verify_directory(directory, reserves=poor)
    assert (outcome.solvent, outcome.accepted, outcome.verdict) == (False, False, "insolvent")
    assert outcome.reserves_sha256 == hashlib.sha256(b"asset,amount\n").hexdigest()
    (directory / "reserves.csv").unlink()
    outcome = verify_directory(directory)
    assert outcome.reserves_sha256 is None
    assert (outcome.solvent, outcome.accepted) == (False, True)
    assert outcome.verdict == "liabilities proved, no reserves given"


@pytest.mark.negative
@pytest.mark.parametrize("name", ["statement.json", PROOF])
def test_a_missing_or_odd_file(directory: Path, name: str) -> None:
    path = directory / name
    path.unlink()
    assert refused(directory).reason is Reason.FILE_MISSING
    path.mkdir()
    assert refused(directory).reason is Reason.FILE_MISSING
    path.rmdir()
    os.mkfifo(path)
    error = refused(directory)
    assert error.reason is Reason.FILE_MISSING
    assert str(error) == f"file-missing: {path.name}: not a regular file"
    assert refused(directory / "a\0b").reason is Reason.FILE_MISSING


@pytest.mark.negative
def test_files_have_size_limits(directory: Path) -> None:
    for name, limit in ((PROOF, 2**22), ("reserves.csv", 2**20), ("statement.json", 2**23)):
        with (directory / name).open("wb") as file:
            file.truncate(limit + 1)
        assert refused(directory).reason is Reason.FILE_TOO_LARGE


@pytest.mark.negative
def test_reserves_named_by_the_caller_must_exist(directory: Path) -> None:
    assert refused(directory, reserves=directory / "none.csv").reason is Reason.FILE_MISSING
    (directory / "reserves.csv").write_bytes(b"asset,amount\ndoge,1\n")
    assert refused(directory).reason is Reason.RESERVES


@pytest.mark.negative
@pytest.mark.parametrize("target", ["nowhere.csv", "x" * 300, "reserves.csv"])
def test_reserves_that_are_a_broken_link_are_not_no_reserves(directory: Path, target: str) -> None:
    path = directory / "reserves.csv"
    path.unlink()
    path.symlink_to(target)
    assert refused(directory).reason is Reason.FILE_MISSING


@pytest.mark.negative
def test_the_fund_falls_with_what_it_holds(directory: Path) -> None:
    """10 bitcoin and a debt: worth something today, less at -30 %, and below zero, that is nothing, at zero."""
    builder = Builder(random.Random(1), STRESS, RISK_INSTRUMENTS, SCENARIOS)
    tail = builder.legs[4]
    fund = Account("insurance-fund", bytes(32), (0,) * 6, ((tail.index, 10**9), (19, 10**9)))
    small = builder.build([fund])
    small.write(directory)
    (directory / "fund.json").write_bytes(small.bundle(0))
    (directory / "reserves.csv").write_bytes(b"asset,amount\nbtc,10\nusdt,0\n")
    checks = verify_directory(directory).checks
    assert [check.right for check in checks if check.name.startswith("stress")] == [*["44570.154"] * 2, "0", "0"]
    assert verify_directory(directory).to_json()["fund_value"] == "64100.22"


@pytest.mark.negative
def test_another_account_is_not_the_fund(risky: Path) -> None:
    statement = verify_directory(risky).statement
    named = risk_publication().stating(oracle_evidence=statement.oracle_evidence)
    (risky / "fund.json").write_bytes(named.bundle(1))
    assert refused(risky).reason is Reason.ACCOUNT_ID
    (risky / "fund.json").write_bytes(named.bundle(1, user_id="insurance-fund"))
    assert refused(risky).reason is Reason.PATH
    (risky / "fund.json").write_bytes(risk_publication().bundle(0))
    assert refused(risky).reason is Reason.WRONG_STATEMENT
    (risky / "fund.json").write_bytes(b"{}\n")
    assert refused(risky).reason is Reason.MALFORMED


@pytest.mark.negative
@pytest.mark.parametrize("name", ["prices.json", "fund.json"])
def test_an_optional_file_that_cannot_be_read_is_not_none(risky: Path, name: str) -> None:
    path = risky / name
    path.unlink()
    path.symlink_to("nowhere")
    assert refused(risky).reason is Reason.FILE_MISSING
    path.unlink()
    path.mkdir()
    assert refused(risky).reason is Reason.FILE_MISSING


@pytest.mark.negative
def test_prices_are_there_exactly_where_the_statement_names_them(risky: Path, small: Publication) -> None:
    evidence = (risky / "prices.json").read_bytes()
    (risky / "prices.json").unlink()
    assert refused(risky).reason is Reason.FILE_MISSING
    other, _ = simulate_evidence(risk_publication().statement, sources=7)
    assert other != evidence
    (risky / "prices.json").write_bytes(other)
    assert refused(risky).reason is Reason.PRICE_EVIDENCE
    # A statement that names none takes none: prices that it is not bound to would decorate it.
    risk_publication().write(risky)
    (risky / "fund.json").unlink()
    assert refused(risky).reason is Reason.PRICE_EVIDENCE


@pytest.mark.negative
def test_the_caller_chooses_the_profile(directory: Path, small: Publication) -> None:
    """06 attack 31: neither the statement nor the proof can weaken the parameters."""
    assert refused(directory, profile="high").reason is Reason.UNACCEPTABLE_PROFILE
    assert refused(directory, profile="test").reason is Reason.UNACCEPTABLE_PROFILE
    small.stating(profile="test", parameters_digest=TEST.digest).write(directory)
    assert refused(directory).reason is Reason.UNACCEPTABLE_PROFILE
    assert verify_directory(directory, params=TEST).profile == "test"
    small.stating(parameters_digest=TEST.digest).write(directory)
    assert refused(directory).reason is Reason.UNACCEPTABLE_PARAMETERS
    small.stating(profile="compact", parameters_digest=PROFILES["compact"].digest).write(directory)
    assert refused(directory, profile="fast").reason is Reason.UNACCEPTABLE_PROFILE
    assert verify_directory(directory).profile == "compact"


@pytest.mark.negative
def test_the_proof_is_checked_for_this_statement(
    directory: Path, small: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    (directory / PROOF).write_bytes(b"bad")
    assert refused(directory).reason is Reason.CONSTRAINTS
    seen: list[Any] = []
    monkeypatch.setattr(proofs, "verify_stark", lambda *arguments: seen.append(arguments))
    verify_directory(directory)
    ((relation, params, data),) = seen
    assert (relation.binding, params, data) == (small.shard.digest, PROFILES["fast"], b"bad")


def several() -> Publication:
    return Builder(random.Random(20261126), shards=COUNT, own=1).build(publication().accounts)


@pytest.fixture
def sharded(tmp_path: Path, good_proofs: None) -> Path:
    """Three shards, and who signed for the reserves."""
    several().write(tmp_path)
    (tmp_path / "reserves.csv").write_bytes(RESERVES)
    (tmp_path / FILE).write_bytes(EVIDENCE)
    return tmp_path


def test_every_shard_is_verified(sharded: Path) -> None:
    seen: list[tuple[int, int]] = []
    found = verify_directory(sharded, workers=1, progress=lambda *done: seen.append(done))
    assert (found.solvent, found.proof_bytes) == (True, COUNT * len(b"good"))
    assert seen == [(1, COUNT), (2, COUNT), (3, COUNT)]


@pytest.mark.negative
@pytest.mark.parametrize("index", range(COUNT))
def test_one_bad_or_missing_shard_is_enough(sharded: Path, index: int) -> None:
    (sharded / PROOFS[index]).write_bytes(b"bad")
    assert refused(sharded, workers=1).reason is Reason.CONSTRAINTS
    (sharded / PROOFS[index]).unlink()
    assert refused(sharded, workers=1).reason is Reason.FILE_MISSING
    (sharded / DOCUMENTS[index]).unlink()
    assert str(refused(sharded, workers=1)).startswith(f"file-missing: {index:06d}.json")


@pytest.mark.negative
def test_other_processes_refuse_too(sharded: Path) -> None:
    """To them, which know nothing of `good_proofs`, these are none."""
    assert refused(sharded, workers=2).reason is Reason.MALFORMED


@pytest.mark.negative
def test_documents_in_each_other_s_places(sharded: Path) -> None:
    one, other = ((sharded / name).read_bytes() for name in DOCUMENTS[:2])
    (sharded / DOCUMENTS[0]).write_bytes(other)
    (sharded / DOCUMENTS[1]).write_bytes(one)
    assert refused(sharded, workers=1).reason is Reason.STATEMENT_MISMATCH


@pytest.mark.negative
def test_documents_that_do_not_add_up(sharded: Path) -> None:
    """Before any proof is looked at."""
    (sharded / PROOFS[0]).write_bytes(b"bad")
    shard = several().shards[2]
    (sharded / DOCUMENTS[2]).write_bytes(replace(shard, mask_out=(1,) * 8).to_bytes())
    assert refused(sharded, workers=1).reason is Reason.SHARDS


def test_addresses_in_words(sharded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(sharded), "--workers", "1"]) == 0
    assert "\nSigned: 3 addresses signed, " in capsys.readouterr().out


def test_addresses_behind_the_reserves(sharded: Path, tmp_path: Path) -> None:
    found = verify_directory(sharded, workers=1)
    assert found.signed is not None
    assert found.signed.verified == 3
    assert any("signatures of the reserves are not checked here" in caveat for caveat in found.caveats)
    other = tmp_path / "other.csv"
    other.write_bytes(b"asset,amount\nbtc,999\n")
    found = verify_directory(sharded, workers=1, reserves=other)
    assert found.signed is None
    assert "the reserves are figures without signatures" in found.caveats


@pytest.mark.negative
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: (d / "reserves.csv").unlink(), Reason.RESERVES),
        (
            lambda d: (d / "reserves.csv").write_bytes(b"asset,amount\nbtc,1001\neth,1000\nusdt,1000000\n"),
            Reason.RESERVES,
        ),
        (lambda d: (d / FILE).write_bytes(edited(EVIDENCE, lambda e: e.update(sequence=6))), Reason.RESERVES),
        (lambda d: (d / FILE).write_bytes(b" " * (EVIDENCE_BYTES_MAX + 1)), Reason.FILE_TOO_LARGE),
        (lambda d: [(d / FILE).unlink(), (d / FILE).symlink_to("nowhere")], Reason.FILE_MISSING),
    ],
)
def test_addresses_that_are_not_behind_them(sharded: Path, change: Callable[[Path], object], reason: Reason) -> None:
    change(sharded)
    assert refused(sharded, workers=1).reason is reason
