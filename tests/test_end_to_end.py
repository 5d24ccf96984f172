"""Real files to verdicts: every importer, profile and circuit, and the largest things one proof has to hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from api.cli.bench import synthetic_snapshot
from api.importers.accounts import ImportOptions
from api.importers.binance import import_binance
from api.importers.okx import import_okx
from prover.bundle_store import BundleStore
from prover.bundle_writer import write_store
from prover.bundles import make_bundle, make_opening
from prover.errors import InputError
from prover.publication import private_folder, prove_directory
from prover.snapshot import Snapshot
from verifier import verify_directory
from verifier.errors import UnacceptableParameters, VerificationError
from verifier.inclusion import check_bundle
from verifier.opening import check_opening
from verifier.report import read_statement
from verifier.tree import ENTRIES_MAX

DATA = Path(__file__).parent.parent / "data"
BINANCE = DATA / "binance"


def binance() -> Snapshot:
    users = [BINANCE / "sample_users0.csv", BINANCE / "sample_users1.csv"]
    assets = BINANCE / "cex_assets_info_sample4.csv"
    return import_binance(users, assets, ImportOptions(exchange="binance"), equity_only=True)


def okx() -> Snapshot:
    return import_okx([DATA / "okx" / "batch0.json"], None, ImportOptions(exchange="okx", quote="ATOMS"))


@pytest.mark.parametrize(("profile", "bits"), [("fast", 100), ("compact", 100), ("high", 128)])
def test_binance_in_every_profile(tmp_path: Path, profile: str, bits: int) -> None:
    snapshot, out = binance(), tmp_path / "out"
    prove_directory(snapshot, out, profile=profile)
    report = verify_directory(out, profile=profile)
    assert (report.accepted, report.soundness_bits) == (True, bits)
    totals = snapshot.totals()
    assert [(t.long, t.short) for t in report.statement.totals] == totals
    with pytest.raises(UnacceptableParameters):
        verify_directory(out, profile="fast" if profile == "compact" else "compact")


def test_okx_batch_and_every_bundle(tmp_path: Path) -> None:
    snapshot, out = okx(), tmp_path / "out"
    prove_directory(snapshot, out)
    assert verify_directory(out).accepted
    statement = read_statement(out)
    write_store(out, private_folder(out), tmp_path / "store")
    store = BundleStore.open(tmp_path / "store")
    for index in range(len(snapshot.offsets) - 1):
        user = snapshot.user_id(index)
        bundle = make_bundle(out, private_folder(out), user)
        assert store.get(user) == bundle
        report = check_bundle(bundle, statement, user_id=user)
        held = snapshot.amounts[snapshot.offsets[index] : snapshot.offsets[index + 1]]
        assert sorted(b.atoms for b in report.balances) == sorted(int(a) for a in held)
    with pytest.raises(InputError, match="--account"):
        make_bundle(out, private_folder(out), "nobody")


def test_poseidon2_is_selectable_and_has_to_be_asked_for(tmp_path: Path) -> None:
    snapshot, out = synthetic_snapshot(20, 3, 4, 1), tmp_path / "out"
    prove_directory(snapshot, out, circuit="solvency_equity_v1_poseidon2")
    report = verify_directory(out, circuit="solvency_equity_v1_poseidon2")
    assert report.statement.tree_hash == "poseidon2-koalabear-16"
    check_bundle(make_bundle(out, private_folder(out), snapshot.user_id(3)), report.statement)
    with pytest.raises(VerificationError, match="circuit"):
        verify_directory(out)


def test_an_account_with_as_many_entries_as_one_may_have(tmp_path: Path) -> None:
    snapshot, out = synthetic_snapshot(2, 2047, 2047, 3), tmp_path / "out"
    assert np.diff(snapshot.offsets).max() < ENTRIES_MAX
    prove_directory(snapshot, out)
    assert verify_directory(out).accepted


def test_negative_equity_needs_the_policy_that_discloses_it(tmp_path: Path) -> None:
    base = synthetic_snapshot(9, 1, 2, 1)
    positions = base.positions.copy()
    positions[4] = positions[4] | 1
    snapshot = replace(base, positions=positions)
    with pytest.raises(InputError, match="equity is negative"):
        prove_directory(snapshot, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    prove_directory(snapshot, tmp_path / "out", policy="disclosed")
    statement = verify_directory(tmp_path / "out").statement
    owed = int(snapshot.amounts[4]) * statement.instruments[int(positions[4]) // 2].price
    assert statement.total_shortfall == owed > 0


def test_every_node_opens_to_the_sum_of_its_accounts(tmp_path: Path) -> None:
    snapshot, out = synthetic_snapshot(70, 2, 3, 5), tmp_path / "out"
    prove_directory(snapshot, out)
    statement = read_statement(out)
    for level, nodes in ((1, 9), (2, 2), (statement.levels, 1)):
        opened = [check_opening(make_opening(out, private_folder(out), 0, level, n), statement) for n in range(nodes)]
        assert sum(report.value for report in opened) == statement.total_liability
        assert {report.level for report in opened} == {level}
    with pytest.raises(InputError, match="LEVEL:NUMBER"):
        make_opening(out, private_folder(out), 0, 1, 9)
