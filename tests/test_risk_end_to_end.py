"""Collateral, positions and stress scenarios from files to verdicts; and who is refused on the way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from api.importers.accounts import ImportLog, ImportOptions
from api.importers.binance import Invalid, import_binance
from api.importers.prices import read_binance_assets, whole_prices
from api.importers.scenarios import default_file, read_scenarios
from api.importers.table import import_table
from api.synthetic import Kind, spoiled, synthetic_users, with_perpetuals
from prover.bundle_store import BundleStore
from prover.bundle_writer import write_store
from prover.bundles import make_bundle
from prover.errors import InputError
from prover.positions import health_of, position_sides
from prover.publication import private_folder, prove_directory
from prover.snapshot import Snapshot
from verifier import verify_directory
from verifier.instruments import Bucket, Instrument, Scenario, Tier
from verifier.legs import derive_legs
from verifier.statement import Losses, Statement

DATA = Path(__file__).parent.parent / "data"
BINANCE, EXAMPLE = DATA / "binance", DATA / "margin-example"


def losses_of(snapshot: Snapshot, statement: Statement) -> list[int]:
    """From the snapshot, the total loss per lens: health, then equity and health per scenario."""
    meta, entries = snapshot.meta, (snapshot.offsets, snapshot.positions, snapshot.amounts)
    legs = derive_legs(statement.circuit, meta.value_decimals, meta.instruments, statement.scenarios)
    return [health_of(*entries, legs, lens).sums()[1] for lens in range(1 + 2 * len(statement.scenarios))]


def check_outputs(snapshot: Snapshot, statement: Statement) -> None:
    deficit, *losses = losses_of(snapshot, statement)
    assert statement.total_margin_deficit == deficit
    assert statement.losses == tuple(Losses(*pair) for pair in zip(losses[::2], losses[1::2], strict=True))
    assert list(statement.total_amounts) == snapshot.total_amounts()


def synthetic(accounts: int, *underlyings: str) -> Snapshot:
    whole = whole_prices(read_binance_assets(BINANCE / "cex_assets_info_real483.csv"))
    table = with_perpetuals(whole.instruments, whole.value_decimals, underlyings) if underlyings else whole.instruments
    return synthetic_users(table, whole.value_decimals, accounts, seed=1)


def test_the_sample_of_binance(tmp_path: Path) -> None:
    log = ImportLog()
    users = [BINANCE / "sample_users0.csv", BINANCE / "sample_users1.csv"]
    assets = BINANCE / "cex_assets_info_sample4.csv"
    options = ImportOptions(exchange="binance", log=log)
    snapshot = import_binance(users, assets, options, invalid=Invalid.DROP)
    prove_directory(snapshot, tmp_path / "out")
    report = verify_directory(tmp_path / "out")
    assert (report.statement.circuit, len(log.dropped)) == ("solvency_risk_v1", 30)
    assert (report.statement.total_margin_deficit, report.statement.total_shortfall) == (0, 0)
    check_outputs(snapshot, report.statement)


def test_the_example_under_stress(tmp_path: Path) -> None:
    snapshot = import_table(EXAMPLE / "accounts.csv", EXAMPLE / "instruments.json", ImportOptions(exchange="example"))
    meta = snapshot.meta
    scenarios = read_scenarios(EXAMPLE / "scenarios.json", meta.instruments, meta.value_decimals, meta.quote)
    prove_directory(snapshot, tmp_path / "out", scenarios=scenarios)
    report = verify_directory(tmp_path / "out")
    assert report.accepted
    assert report.statement.circuit == "solvency_stress_v1_3"
    check_outputs(snapshot, report.statement)
    # alice: 10,000 and half a bitcoin at half its price, bought for 32,000.
    unit = 10**meta.value_decimals
    assert report.statement.losses[0].shortfall == (32_000 - 10_000) * unit - 32_540_250 * unit // 2 // 1000
    assert report.statement.losses[1] == Losses(0, 0)
    assert report.fund is not None
    assert report.fund.value == 250_000 * unit


def test_users_of_483_tokens_with_perpetuals_in_nine_scenarios(tmp_path: Path) -> None:
    snapshot = synthetic(300, "btc", "eth")
    meta = snapshot.meta
    scenarios = read_scenarios(default_file(), meta.instruments, meta.value_decimals, meta.quote)
    prove_directory(snapshot, tmp_path / "out", scenarios=scenarios)
    report = verify_directory(tmp_path / "out")
    assert (report.accepted, report.statement.circuit) == (True, "solvency_stress_v1_10")
    check_outputs(snapshot, report.statement)
    assert max(losses.margin_deficit for losses in report.statement.losses) > 0
    write_store(tmp_path / "out", private_folder(tmp_path / "out"), tmp_path / "store")
    store = BundleStore.open(tmp_path / "store")
    for user in map(snapshot.user_id, range(0, 300, 20)):
        assert store.get(user) == make_bundle(tmp_path / "out", private_folder(tmp_path / "out"), user)


@pytest.mark.negative
@pytest.mark.parametrize(("kind", "words"), [(Kind.MARGIN_DEFICIT, "collateral"), (Kind.NEGATIVE_EQUITY, "equity")])
def test_an_invalid_user_is_named_and_can_be_disclosed(tmp_path: Path, kind: Kind, words: str) -> None:
    snapshot = spoiled(synthetic(20), 7, kind)
    with pytest.raises(InputError, match=words) as caught:
        prove_directory(snapshot, tmp_path / "out")
    assert caught.value.row == snapshot.lines[7]
    assert "user00000007" in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    prove_directory(snapshot, tmp_path / "out", policy="disclosed")
    statement = verify_directory(tmp_path / "out").statement
    check_outputs(snapshot, statement)
    assert statement.total_margin_deficit is not None
    assert statement.total_margin_deficit > 0
    assert (statement.total_shortfall > 0) == (kind is Kind.NEGATIVE_EQUITY)


@pytest.mark.negative
def test_more_than_4095_parts_are_refused_by_name(tmp_path: Path) -> None:
    """400 positions are few, but each is split over 13 tiers."""
    tiers = tuple(Tier(bound, 10_000) for bound in range(1, 13))
    buckets = tuple(Bucket(f"b{i}", tiers) for i in range(8))
    table = tuple(Instrument(f"s{i:02d}", "spot", 0, 1, buckets) for i in range(50))
    base = synthetic_users(table, 0, 2, seed=1)
    held = np.flatnonzero([side.side == "long" for side in position_sides(table)]).astype(np.uint16)
    offsets, amounts = np.array([0, 0, len(held)], np.int64), np.full(len(held), 13, np.uint64)
    snapshot = replace(base, offsets=offsets, positions=held, amounts=amounts)
    with pytest.raises(InputError, match="user user00000001: more than 4095 entries"):
        prove_directory(snapshot, tmp_path / "out")
    amounts[:] = 10  # ten tiers each
    prove_directory(snapshot, tmp_path / "out")
    assert list(verify_directory(tmp_path / "out").statement.total_amounts) == snapshot.total_amounts()


@pytest.mark.negative
def test_eleven_scenarios_and_plain_tables_are_refused(tmp_path: Path) -> None:
    snapshot = synthetic(5)
    values = tuple(instrument.price for instrument in snapshot.meta.instruments)
    many = tuple(Scenario(f"s{i}", values) for i in range(11))
    with pytest.raises(InputError, match="--scenarios"):
        prove_directory(snapshot, tmp_path / "out", scenarios=many)
    with pytest.raises(InputError, match="--circuit"):
        prove_directory(snapshot, tmp_path / "out", circuit="solvency_equity_v1")
