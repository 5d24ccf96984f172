"""A publication of several shards, and the addresses behind its reserves, in a folder."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.verifier.small_tree import EXCHANGE, Builder, Publication, edited, publication
from verifier import proofs, report, verify_directory
from verifier.canonical import dumps
from verifier.errors import Reason, VerificationError
from verifier.reserves_evidence import EVIDENCE_BYTES_MAX, FILE

COUNT = 3
PROOFS = [f"shards/{index:06d}.proof" for index in range(COUNT)]
DOCUMENTS = [f"shards/{index:06d}.json" for index in range(COUNT)]
RESERVES = b"asset,amount\nbtc,1000\neth,1000\nusdt,1000000\n"
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


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three shards, whose proofs are taken for good by their bytes."""

    def accept(relation: Any, params: Any, data: bytes) -> None:
        if data != b"good":
            raise VerificationError(Reason.CONSTRAINTS, "a bad proof")

    monkeypatch.setattr(proofs, "verify_stark", accept)
    monkeypatch.setattr(report, "soundness_bits", lambda *_: 100)
    several().write(tmp_path)
    (tmp_path / "reserves.csv").write_bytes(RESERVES)
    (tmp_path / FILE).write_bytes(EVIDENCE)
    return tmp_path


def several() -> Publication:
    return Builder(random.Random(20261126), shards=COUNT, own=1).build(publication().accounts)


def refused(directory: Path) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        verify_directory(directory, workers=1)
    return caught.value


def test_every_shard_is_verified(directory: Path) -> None:
    seen: list[tuple[int, int]] = []
    found = verify_directory(directory, workers=1, progress=lambda *done: seen.append(done))
    assert (found.solvent, found.proof_bytes) == (True, COUNT * len(b"good"))
    assert seen == [(1, COUNT), (2, COUNT), (3, COUNT)]


@pytest.mark.negative
@pytest.mark.parametrize("index", range(COUNT))
def test_one_bad_or_missing_shard_is_enough(directory: Path, index: int) -> None:
    (directory / PROOFS[index]).write_bytes(b"bad")
    assert refused(directory).reason is Reason.CONSTRAINTS
    (directory / PROOFS[index]).unlink()
    assert refused(directory).reason is Reason.FILE_MISSING
    (directory / DOCUMENTS[index]).unlink()
    assert str(refused(directory)).startswith(f"file-missing: {index:06d}.json")


@pytest.mark.negative
def test_documents_in_each_other_s_places(directory: Path) -> None:
    one, other = ((directory / name).read_bytes() for name in DOCUMENTS[:2])
    (directory / DOCUMENTS[0]).write_bytes(other)
    (directory / DOCUMENTS[1]).write_bytes(one)
    assert refused(directory).reason is Reason.STATEMENT_MISMATCH


@pytest.mark.negative
def test_documents_that_do_not_add_up(directory: Path) -> None:
    """Before any proof is looked at."""
    (directory / PROOFS[0]).write_bytes(b"bad")
    shard = several().shards[2]
    (directory / DOCUMENTS[2]).write_bytes(replace(shard, mask_out=(1,) * 8).to_bytes())
    assert refused(directory).reason is Reason.SHARDS


def test_addresses_behind_the_reserves(directory: Path, tmp_path: Path) -> None:
    found = verify_directory(directory, workers=1)
    assert found.signed is not None
    assert found.signed.verified == 3
    assert any("signatures of the reserves are not checked here" in caveat for caveat in found.caveats)
    other = tmp_path / "other.csv"
    other.write_bytes(b"asset,amount\nbtc,999\n")
    found = verify_directory(directory, workers=1, reserves=other)
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
def test_addresses_that_are_not_behind_them(directory: Path, change: Callable[[Path], object], reason: Reason) -> None:
    change(directory)
    assert refused(directory).reason is reason
