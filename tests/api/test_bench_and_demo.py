"""Synthetic accounts, and `solvent demo`, which goes the whole way with the real prover."""

from __future__ import annotations

import json
import re
import signal
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.cli import main
from api.cli.bench import synthetic_snapshot
from api.cli.demo import data_directory
from prover.positions import equity_of, health_of, position_sides, risk_legs, split_positions
from prover.snapshot import Snapshot
from tests.api.files import ROOT


def call(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, Any]:
    code = main([*map(str, words), "--json"])
    captured = capsys.readouterr()
    assert captured.err == ""
    return code, json.loads(captured.out)


@pytest.mark.parametrize("margins", [False, True])
@pytest.mark.parametrize(("accounts", "entries", "instruments"), [(1, 1, 100), (500, 3, 100), (7, 250, 250)])
def test_synthetic_accounts(accounts: int, entries: int, instruments: int, margins: bool, tmp_path: Path) -> None:
    snapshot = synthetic_snapshot(accounts, entries, instruments, seed=5, margins=margins)
    assert (snapshot.meta.accounts, snapshot.meta.entries) == (accounts, accounts * entries)
    snapshot.check("synthetic")
    snapshot.write(tmp_path / "snap")
    assert Snapshot.load(tmp_path / "snap").meta == snapshot.meta
    again = synthetic_snapshot(accounts, entries, instruments, seed=5, margins=margins)
    assert np.array_equal(again.amounts, snapshot.amounts)
    assert again.meta == snapshot.meta
    assert synthetic_snapshot(accounts, entries, instruments, seed=6, margins=margins).meta != snapshot.meta
    table, held = snapshot.meta.instruments, (snapshot.offsets, snapshot.positions, snapshot.amounts)
    legs = risk_legs(table, snapshot.meta.value_decimals)
    assert not equity_of(*held, table).negative.any()  # policy strict holds
    assert not margins or not health_of(*held, legs).negative.any()
    assert len(split_positions(*held, legs)[1]) == accounts * entries
    owed = [side.side == "short" for side in position_sides(table)]
    assert sum(owed[position] for position in snapshot.positions) == (accounts if entries > 1 else 0)


def test_the_samples_are_found() -> None:
    assert data_directory() == ROOT / "data"


def test_the_whole_way(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All parts, each forgery refused; then the commands on what the demo left."""
    out = tmp_path / "demo"
    code, data = call(capsys, "demo", "--out", out)
    assert (code, data["verdict"], data["publication"]) == (0, "demonstrated", str(out))
    assert [step["ok"] for step in data["steps"]] == [True] * 17
    reasons = [step["reason"] for step in data["steps"] if "reason" in step]
    assert reasons == ["constraints", "path", "constraints", "constraints"]
    code, verified = call(capsys, "verify", out)
    assert (code, verified["verdict"]) == (0, "solvent")
    assert call(capsys, "inspect", out)[1]["statement_digest"] == verified["statement_digest"]
    code, included = call(capsys, "inclusion", f"{out}.bundle.json", "--against", out)
    assert (code, included["verdict"]) == (0, "included")
    account = f"{17:064x}"
    code, bundled = call(capsys, "bundle", out, "--account", account, "--out", tmp_path / "b.json")
    assert (code, bundled["user_id"]) == (0, account)
    assert bundled["bytes"] < 8192
    code, included = call(
        capsys, "inclusion", tmp_path / "b.json", "--against", out, "--user-id", account, "--nonce", bundled["nonce"]
    )
    assert code == 0
    code, included = call(capsys, "inclusion", f"{out}.receipt.json")
    assert (code, included["verdict"]) == (0, "included in an unverified statement")
    code, data = call(capsys, "bundles", out, "--out", tmp_path / "store")
    assert (code, data["users"], data["statement_digest"]) == (0, 200, verified["statement_digest"])
    code, data = call(capsys, "bundle", "--store", tmp_path / "store", "--account", account, "--out", tmp_path / "s")
    assert (code, (tmp_path / "s").read_bytes()) == (0, (tmp_path / "b.json").read_bytes())
    code, data = call(capsys, "bundle", out, "--account", "nobody", "--out", tmp_path / "n.json")
    assert (code, data["field"]) == (2, "--account")
    seen: list[int] = []

    def reader() -> None:
        url = re.findall(r"The page: (http\S+)", capsys.readouterr().out)[0]
        for address in (url, url.replace("page/", "latest.json")):
            seen.append(urllib.request.urlopen(address, timeout=20).status)
        raise KeyboardInterrupt

    monkeypatch.setattr(signal, "pause", reader)
    shown = main(["demo", "--out", str(out), "--serve"])  # again, over the first, in words
    captured = capsys.readouterr()
    assert (shown, seen) == (0, [200, 200])
    assert captured.out.endswith("Verdict: honest publications and bundles accepted, all forgeries refused\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("b.json", "demo", "demo.bundle.json", "demo.private", "demo.receipt.json", "s", "store")
    ]
