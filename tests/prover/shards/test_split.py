"""Accounts dealt to shards: all of them once, in a secret order, evenly, and checked when they are read back."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from prover.capacity import Capacity, account_costs
from prover.errors import InputError
from prover.positions import count_entries, split_positions
from prover.randomness import Randomness
from prover.shards.journal import Run
from prover.shards.split import input_path, read_input, shard_bounds, split_snapshot
from prover.snapshot import Snapshot
from tests.prover.shards.fake import SEED, SPEC
from tests.prover.test_snapshot import RISK, check_same, snapshot_of
from verifier.legs import derive_legs

SHARDS = 4


def many(count: int = 300) -> Snapshot:
    nonces = [bytes([i % 256]) * 32 if i % 3 == 0 else None for i in range(count)]
    return snapshot_of([(f"u{i}", nonces[i], {j: i + 1 for j in range(i % 5)}) for i in range(count)])


def dealt(path: Path, snapshot: Snapshot, seed: bytes = SEED) -> tuple[Run, list[str]]:
    """The run is closed: its files are what is tested."""
    with Run(path, SPEC, SHARDS, seed) as run:
        entries = np.diff(snapshot.offsets)
        digests = split_snapshot(run, snapshot, entries, Capacity(17, SHARDS), Randomness(seed), special_rows=50)
    return run, digests


def ids(run: Run, digests: list[str]) -> list[str]:
    """All user ids, shard after shard."""
    parts = [read_input(run.path, shard, digest) for shard, digest in enumerate(digests)]
    return [str(name) for part in parts for name in part.user_ids.to_pylist()]


def test_every_account_is_in_one_shard_with_all_that_it_has(tmp_path: Path) -> None:
    snapshot = many()
    run, digests = dealt(tmp_path / "run", snapshot)
    names = ids(run, digests)
    assert names != snapshot.user_ids.to_pylist()
    assert sorted(names) == sorted(snapshot.user_ids.to_pylist())
    order = np.array([int(name[1:]) for name in names])
    ends = np.cumsum([0, *(len(read_input(run.path, s, d).lines) for s, d in enumerate(digests))])
    for shard, digest in enumerate(digests):
        part = read_input(run.path, shard, digest)
        check_same(part, snapshot.take(order[ends[shard] : ends[shard + 1]]))
        assert part.meta == replace(snapshot.meta, accounts=len(part.lines), entries=len(part.positions))
        part.check("part")


def test_taking_accounts_by_hand() -> None:
    snapshot = many(6)
    part = snapshot.take(np.array([4, 0, 3]))
    assert part.user_ids.to_pylist() == ["u4", "u0", "u3"]
    assert part.offsets.tolist() == [0, 4, 4, 7]
    assert part.positions.tolist() == [0, 1, 2, 3, 0, 1, 2]
    assert part.amounts.tolist() == [5, 5, 5, 5, 4, 4, 4]
    assert part.lines.tolist() == [6, 2, 5]
    assert part.has_nonce.tolist() == [False, True, True]
    assert part.nonces[2].tobytes() == bytes([3]) * 32


def test_the_order_follows_from_the_seed_alone(tmp_path: Path) -> None:
    snapshot = many()
    (one, first), (two, second), (three, third) = (
        dealt(tmp_path / name, snapshot, seed) for name, seed in (("a", SEED), ("b", SEED), ("c", bytes(32)))
    )
    assert first == second
    assert ids(one, first) == ids(two, second) != ids(three, third)


def test_shards_cost_nearly_the_same() -> None:
    random = np.random.default_rng(5)
    entries = np.where(random.random(20_000) < 0.01, 4095, random.integers(0, 9, 20_000))
    costs = account_costs(entries, 4)
    for shards in (1, 2, 7, 100):
        bounds = shard_bounds(costs, shards)
        parts = np.add.reduceat(costs, bounds[:-1])
        assert bounds[0] == 0
        assert bounds[-1] == len(costs)
        assert np.abs(parts - costs.sum() / shards).max() <= costs.max()


def test_no_shard_is_empty() -> None:
    for costs in ([1, 1, 1, 1], [100, 1, 1, 1], [1, 1, 1, 100], [1, 100, 1, 1]):
        assert shard_bounds(np.array(costs), 4).tolist() == [0, 1, 2, 3, 4]
    assert shard_bounds(np.array([1, 1, 100, 1, 1]), 3).tolist() == [0, 2, 3, 5]


def test_entries_are_counted_as_they_are_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prover.positions.BLOCK_ENTRIES", 3)
    legs = derive_legs("solvency_risk_v1", 8, RISK.instruments, ())
    sizes = [7, 10**6, 10**9, 10**12, 2**63 - 1]
    snapshot = snapshot_of([(f"u{i}", None, {j: sizes[(i + j) % 5] for j in range(i % 7)}) for i in range(40)], RISK)
    entries = snapshot.offsets, snapshot.positions, snapshot.amounts
    assert count_entries(*entries, legs).tolist() == np.diff(split_positions(*entries, legs)[0]).tolist()


def test_a_run_that_has_its_inputs_writes_none(tmp_path: Path) -> None:
    run, digests = dealt(tmp_path / "run", many())
    before = input_path(run.path, 0).stat().st_mtime_ns
    _, same = dealt(tmp_path / "run", many())
    assert same == digests
    assert input_path(run.path, 0).stat().st_mtime_ns == before


@pytest.mark.negative
def test_a_damaged_input_is_named(tmp_path: Path) -> None:
    run, digests = dealt(tmp_path / "run", many())
    path = input_path(run.path, 2)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    read_input(run.path, 1, digests[1])
    with pytest.raises(InputError, match=r"run/inputs/000002\.arrow: got damage \(SHA-256 [0-9a-f]{64}") as caught:
        read_input(run.path, 2, digests[2])
    assert digests[2] in str(caught.value)
    path.unlink()
    with pytest.raises(InputError, match=r"000002\.arrow: got No such file"):
        read_input(run.path, 2, digests[2])
    meta = run.path / "inputs" / "snapshot.json"
    meta.write_bytes(meta.read_bytes().replace(b"USDT", b"USDC"))
    with pytest.raises(InputError, match=r"000001\.arrow: got damage"):
        read_input(run.path, 1, digests[1])
    meta.unlink()
    with pytest.raises(InputError, match=r"snapshot\.json: got No such file"):
        read_input(run.path, 1, digests[1])


@pytest.mark.negative
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Snapshot.write_accounts
    written: list[Path] = []

    def full(self: Snapshot, path: Path) -> None:
        if len(written) == 2:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        write(self, path)

    with monkeypatch.context() as patch:
        patch.setattr(Snapshot, "write_accounts", full)
        with pytest.raises(InputError) as caught:
            dealt(tmp_path / "run", many())
    line = f"{input_path(tmp_path / 'run', 2)}: got a full disk, expected room; what is finished is kept"
    assert str(caught.value) == line
    names = sorted(path.name for path in (tmp_path / "run" / "inputs").iterdir())
    assert names == ["000000.arrow", "000001.arrow", "snapshot.json"]
    run, digests = dealt(tmp_path / "run", many())
    assert len(ids(run, digests)) == 300


def test_arrow_says_that_a_disk_is_full_as_the_system_does() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    with pytest.raises(OSError) as caught:
        many().write_accounts(Path("/dev/full"))
    assert caught.value.errno == errno.ENOSPC


@pytest.mark.negative
def test_accounts_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    snapshot = many(9)
    words = r"in shard 0, which take \d+ rows, expected at most 130560 rows"
    with Run(tmp_path / "run", SPEC, 2, SEED) as run, pytest.raises(InputError, match=words):
        split_snapshot(run, snapshot, np.full(9, 40_000), Capacity(17, 2), Randomness(SEED), special_rows=50)


def test_progress(tmp_path: Path) -> None:
    seen: list[float] = []
    snapshot = many(20)
    sizes = np.diff(snapshot.offsets), Capacity(17, 4), Randomness(SEED)
    with Run(tmp_path / "run", SPEC, 4, SEED) as run:
        split_snapshot(run, snapshot, *sizes, special_rows=50, progress=seen.append)
    assert seen == [0.25, 0.5, 0.75, 1.0]
