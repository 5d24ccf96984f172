"""Made-up users: healthy, in files that import to the same accounts; and invalid ones that are refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.cli import main
from api.importers.prices import read_binance_assets, whole_prices
from api.importers.scenarios import default_file, read_scenarios
from api.synthetic import Kind, spoiled, synthetic_users, with_perpetuals
from prover.positions import equity_of, health_of, risk_legs, split_positions
from prover.snapshot import Snapshot
from tests.api.files import BINANCE
from verifier.legs import derive_legs

WHOLE = whole_prices(read_binance_assets(BINANCE / "cex_assets_info_real483.csv"))
TABLE = with_perpetuals(WHOLE.instruments, WHOLE.value_decimals, ("btc", "eth"))
LEGS = risk_legs(TABLE, WHOLE.value_decimals)


def call(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, Any]:
    code = main([*map(str, words), "--json"])
    return code, json.loads(capsys.readouterr().out)


def values(snapshot: Snapshot) -> tuple[list[int], list[int]]:
    """Accounts whose equity, and whose health, is below zero."""
    entries = snapshot.offsets, snapshot.positions, snapshot.amounts
    equity, health = equity_of(*entries, TABLE), health_of(*entries, LEGS)
    return np.flatnonzero(equity.negative).tolist(), np.flatnonzero(health.negative).tolist()


def test_users_are_healthy_and_many_sided() -> None:
    snapshot = synthetic_users(TABLE, WHOLE.value_decimals, 3000, seed=1)
    snapshot.check("synthetic")
    assert values(snapshot) == ([], [])
    totals = {i.symbol: pair for i, pair in zip(TABLE, snapshot.totals(), strict=True)}
    for symbol in ("btc-perp", "eth-perp", "basis"):
        long, short = totals[symbol]
        assert long == short > 0
    assert sum(short > 0 for _, short in totals.values()) > 200
    counts = np.diff(split_positions(snapshot.offsets, snapshot.positions, snapshot.amounts, LEGS)[0])
    assert counts.max() > 483
    assert counts.min() >= 1
    again = synthetic_users(TABLE, WHOLE.value_decimals, 3000, seed=1)
    assert again.meta == snapshot.meta
    assert synthetic_users(TABLE, WHOLE.value_decimals, 3000, seed=2).meta != snapshot.meta
    scenarios = read_scenarios(default_file(), TABLE, WHOLE.value_decimals, "USDT")
    assert len({scenario.values for scenario in scenarios}) == 9
    legs = derive_legs("solvency_stress_v1_10", WHOLE.value_decimals, TABLE, scenarios)
    entries = snapshot.offsets, snapshot.positions, snapshot.amounts
    lost = [health_of(*entries, legs, lens).sums()[1] for lens in range(1, 19)]
    assert min(lost[2 * s + 1] for s in (2, 3, 5)) > 0  # margin deficits at -30, -50 and +50 %
    assert all(shortfall <= deficit for shortfall, deficit in zip(lost[::2], lost[1::2], strict=True))


@pytest.mark.parametrize("kind", list(Kind))
def test_one_account_can_be_spoiled(kind: Kind) -> None:
    honest = synthetic_users(TABLE, WHOLE.value_decimals, 100, seed=3)
    for index in (0, 50, 99):
        bad = spoiled(honest, index, kind)
        bad.check("spoiled")
        assert values(bad) == ([index] if kind is Kind.NEGATIVE_EQUITY else [], [index])


@pytest.mark.parametrize("kind", ["binance", "table"])
def test_files_import_to_the_same_accounts(capsys: pytest.CaptureFixture[str], tmp_path: Path, kind: str) -> None:
    out = tmp_path / "made"
    code, data = call(capsys, "generate", "--out", out, "--accounts", 60, "--format", kind)
    assert (code, data["verdict"], data["invalid"]) == (0, "generated", None)
    assert call(capsys, *data["next"].replace("SNAP", str(tmp_path / "snap")).split()[1:])[0] == 0
    table = WHOLE.instruments
    if kind == "table":
        table = with_perpetuals(table, WHOLE.value_decimals, ("btc", "eth", "sol", "xrp", "doge"))
    expected = synthetic_users(table, WHOLE.value_decimals, 60, seed=1)
    found = Snapshot.load(tmp_path / "snap")
    assert found.meta.instruments == table
    assert found.user_ids.to_pylist() == expected.user_ids.to_pylist()
    for name in ("offsets", "positions", "amounts"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name
    assert call(capsys, "generate", "--out", out)[0] == 2  # nothing is replaced


def test_many_users_are_made_in_blocks(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.cli.generate.BLOCK_USERS", 20)
    code, data = call(capsys, "generate", "--out", tmp_path / "made", "--accounts", 50, "--format", "table")
    assert code == 0
    assert call(capsys, *data["next"].replace("SNAP", str(tmp_path / "snap")).split()[1:])[0] == 0
    found = Snapshot.load(tmp_path / "snap")
    assert found.user_ids.to_pylist() == [f"user{number:08d}" for number in range(50)]
    table = found.meta.instruments
    first = synthetic_users(table, WHOLE.value_decimals, 20, seed=1)
    second = synthetic_users(table, WHOLE.value_decimals, 20, seed=1 + (20 << 64), first=20)
    last = synthetic_users(table, WHOLE.value_decimals, 10, seed=1 + (40 << 64), first=40)
    assert np.array_equal(found.amounts, np.concatenate([part.amounts for part in (first, second, last)]))
    assert not np.array_equal(first.amounts, second.amounts)


@pytest.mark.negative
@pytest.mark.parametrize("invalid", ["margin-deficit", "negative-equity", "buckets-above-equity"])
def test_the_invalid_user_is_refused_by_name(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, invalid: str
) -> None:
    monkeypatch.setattr("api.cli.generate.BLOCK_USERS", 15)  # they are in the second block
    out = tmp_path / "made"
    code, data = call(capsys, "generate", "--out", out, "--accounts", 40, "--invalid", invalid)
    assert (code, data["invalid"]) == (0, "user00000020")
    words = data["next"].replace("SNAP", str(tmp_path / "snap")).split()[1:]
    code, refused = call(capsys, *words)
    assert (code, refused["file"], refused["row"]) == (2, f"{out}/users.csv", 22)
    reason = "above equity" if invalid == "buckets-above-equity" else "debts exceed haircut collateral by"
    assert 'user "user00000020": ' in refused["got"]
    assert reason in refused["got"]
    assert not (tmp_path / "snap").exists()
    code, data = call(capsys, *words, "--invalid", "drop")
    assert (code, data["accounts"], data["dropped"]) == (0, 39, 1)
    code, _ = call(capsys, *words, "--invalid", "keep", "--force")
    assert code == (2 if invalid == "buckets-above-equity" else 0)


@pytest.mark.negative
def test_a_table_cannot_hold_more_collateral_than_equity(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ("generate", "--out", tmp_path / "x", "--format", "table", "--invalid", "buckets-above-equity")
    code, data = call(capsys, *words)
    assert (code, data["field"]) == (2, "--invalid")
    assert not (tmp_path / "x").exists()
