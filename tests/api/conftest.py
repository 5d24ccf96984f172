"""A command run in this process, and a publication for it to read."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.cli import main
from tests.api.files import ASSETS, PROOF, Command, Run, binance_row, binance_users, write
from tests.verifier.small_tree import Publication, publication
from verifier import proofs
from verifier.errors import Reason, VerificationError


@pytest.fixture
def any_depth() -> Iterator[None]:
    """As after libraries that raise the interpreter's limit: a decoder then runs out of stack, and the process ends."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000_000)
    yield
    sys.setrecursionlimit(before)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs one command: exit code, standard output, standard error."""

    def call(*words: object) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def run_json(run: Run) -> Command:
    """Runs one command with --json: nothing but one object may come out."""

    def call(*words: object) -> tuple[int, Any]:
        code, out, err = run(*words, "--json")
        assert err == ""
        return code, json.loads(out)

    return call


@pytest.fixture
def command(run: Run) -> Command:
    """Runs one command with --json: exit code and the object, or with `text=True` all that it prints."""

    def call(*words: object, text: bool = False) -> tuple[int, Any]:
        code, out, err = run(*words, *(() if text else ("--json",)))
        return code, out + err if text else json.loads(out)

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
