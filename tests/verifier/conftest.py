"""Publications in a folder, whose proofs are taken for good, and the verifier's command line."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prover.prices import simulate_evidence, sources_text
from tests.verifier.small_tree import RESERVES, Publication, publication, risk_publication
from verifier import proofs, report
from verifier.__main__ import main
from verifier.errors import Reason, VerificationError


@pytest.fixture
def small() -> Publication:
    return publication()


@pytest.fixture
def good_proofs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proof is good by its bytes: what it has to show is tested elsewhere."""

    def accept(relation: Any, params: Any, data: bytes) -> None:
        if data != b"good":
            raise VerificationError(Reason.CONSTRAINTS, "a bad proof")

    monkeypatch.setattr(proofs, "verify_stark", accept)
    monkeypatch.setattr(report, "soundness_bits", lambda *_: 100)


@pytest.fixture
def directory(small: Publication, tmp_path: Path, good_proofs: None) -> Path:
    """A publication of one shard."""
    small.write(tmp_path)
    (tmp_path / "reserves.csv").write_bytes(RESERVES)
    return tmp_path


@pytest.fixture
def risky(directory: Path) -> Path:
    """A publication with margins, two scenarios, an opened fund and signed prices."""
    small = risk_publication()
    evidence, sources = simulate_evidence(small.statement)
    small = small.stating(oracle_evidence=hashlib.sha256(evidence).digest())
    small.write(directory)
    (directory / "prices.json").write_bytes(evidence)
    (directory / "fund.json").write_bytes(small.bundle(0))
    (directory / "reserves.csv").write_bytes(b"asset,amount\nbtc,1000\nusdt,100000000\n")
    (directory / "sources.txt").write_text(sources_text(sources))
    return directory


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def call(*words: object) -> tuple[int, str]:
        try:
            code = main([str(word) for word in words])
        except SystemExit as stop:
            code = int(stop.code or 0)
        out = capsys.readouterr()
        return code, out.out + out.err

    return call
