"""Publications of several shards, for real: proved in processes, verified, resumed after a kill."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from api.cli.bench import synthetic_snapshot
from prover.bundles import make_bundle, make_opening
from prover.errors import InputError
from prover.private import PrivateStore
from prover.publication import private_folder, prove_directory, work_folder
from tests.prover.sharded_run import SHARDS, run
from verifier import verify_directory
from verifier.errors import Reason, VerificationError
from verifier.inclusion import check_bundle
from verifier.opening import check_opening

ROOT = Path(__file__).parent.parent.parent
KILL_SECONDS_MAX = 240


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run."""
    out = tmp_path_factory.mktemp("whole") / "out"
    assert run(out).shards == SHARDS
    return out


def contents(out: Path) -> dict[str, bytes]:
    """Every file of the publication and of its private store."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for folder in (out, private_folder(out))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_several_shards_verify_and_include_everybody(whole: Path) -> None:
    snapshot = synthetic_snapshot(60, 3, 4, 7)
    report = verify_directory(whole, workers=1)
    assert report.statement.shards == SHARDS
    pairs = [(t.long, t.short) for t in report.statement.totals]
    assert pairs == snapshot.totals()
    store = PrivateStore.open(private_folder(whole))
    seen = {store.find(snapshot.user_id(i))[0] for i in range(60)}
    assert seen == set(range(SHARDS))
    for index in (0, 17, 59):
        user = snapshot.user_id(index)
        checked = check_bundle(make_bundle(whole, private_folder(whole), user), report.statement, user_id=user)
        assert len(checked.balances) == 3
    levels, roots = report.statement.levels, range(SHARDS)
    opened = [check_opening(make_opening(whole, private_folder(whole), s, levels, 0), report.statement) for s in roots]
    assert sum(each.value for each in opened) == report.statement.total_liability
    with pytest.raises(InputError, match="--shard"):
        make_opening(whole, private_folder(whole), SHARDS, levels, 0)


@pytest.mark.negative
def test_shards_of_a_publication_cannot_be_moved(whole: Path, tmp_path: Path) -> None:
    """One shard's proof or document in another's place, or missing."""
    changes: list[tuple[str, str, Reason]] = [
        ("000000.proof", "000001.proof", Reason.GRINDING),
        ("000000.json", "000001.json", Reason.STATEMENT_MISMATCH),
    ]
    for number, (source, target, reason) in enumerate(changes):
        forged = tmp_path / str(number)
        shutil.copytree(whole, forged)
        shutil.copyfile(whole / "shards" / source, forged / "shards" / target)
        with pytest.raises(VerificationError) as caught:
            verify_directory(forged, workers=1)
        assert caught.value.reason in (reason, Reason.CONSTRAINTS)
        (forged / "shards" / target).unlink()
        with pytest.raises(VerificationError) as caught:
            verify_directory(forged, workers=1)
        assert caught.value.reason is Reason.FILE_MISSING


@pytest.mark.negative
def test_refusals_come_back_from_other_processes(whole: Path, tmp_path: Path) -> None:
    assert verify_directory(whole, workers=2).accepted
    forged = tmp_path / "forged"
    shutil.copytree(whole, forged)
    proof = forged / "shards" / "000001.proof"
    proof.write_bytes(proof.read_bytes()[:-1])
    with pytest.raises(VerificationError) as caught:
        verify_directory(forged, workers=2)
    assert caught.value.reason is Reason.MALFORMED


def test_a_killed_run_goes_on_and_gives_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    """kill -9 once the first shard is journalled; only the other is proved afterwards."""
    out = tmp_path / "out"
    journal = work_folder(out) / "journal.jsonl"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-m", "tests.prover.sharded_run", str(out)], cwd=ROOT, env=environment)
    deadline = time.monotonic() + KILL_SECONDS_MAX
    while not (journal.exists() and journal.stat().st_size) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists()
    first = (work_folder(out) / "done" / "000000" / "proof.bin").stat().st_mtime_ns
    report = run(out)
    assert report.resumed == 1
    assert contents(out) == contents(whole)
    assert (out / "shards" / "000000.proof").stat().st_mtime_ns == first
    assert not work_folder(out).exists()


def test_an_unfinished_run_of_something_else_is_named(tmp_path: Path) -> None:
    out = tmp_path / "out"
    snapshot, other = synthetic_snapshot(20, 1, 3, 1), synthetic_snapshot(20, 1, 3, 2)
    with pytest.raises(InputError, match="17 to 21"):
        prove_directory(snapshot, out, shards=1, log2_rows=22)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prover.publication.write_private", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prove_directory(snapshot, out)
    with pytest.raises(InputError, match=r"out\.work: got a run that was begun with other inputs"):
        prove_directory(other, out)
    assert prove_directory(other, out, restart=True).resumed == 0
    assert verify_directory(out).statement.totals[0].long == other.totals()[0][0]


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt
