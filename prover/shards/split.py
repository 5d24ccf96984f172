"""All accounts of a snapshot, in a secret random order, dealt to shards of nearly equal rows.

A shard's input is an Arrow file in the run folder, in the order in which it is proved. Memory is what the order takes
(some 50 bytes per account) and one shard; the snapshot itself stays on disk behind its memory map.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from prover.capacity import Capacity, Int64, account_costs, rows_needed
from prover.errors import InputError
from prover.files import sync, told_plainly, write_whole
from prover.randomness import Randomness
from prover.shards.journal import INPUTS, INPUTS_FILE, Run
from prover.shards.task import shard_name
from prover.snapshot import META_FILE, Snapshot, read_accounts
from prover.snapshot_meta import SnapshotMeta
from verifier.params import HIDDEN_ROWS
from verifier.statement import levels_for

ORDER_LABEL: Final = "accounts"


def shard_bounds(costs: Int64, shards: int) -> Int64:
    """(shards + 1,) where to cut: no shard costs more than an equal share and one account, none is empty.

    Args:
        costs: (n,) by account, in the order in which they are dealt; n >= shards, their sum times `shards` below 2^63.
    """
    running = np.cumsum(costs)
    shares = int(running[-1]) * np.arange(shards + 1, dtype=np.int64) // shards
    bounds = np.searchsorted(running, shares, side="left")
    bounds[0], bounds[-1] = 0, len(costs)
    numbers = np.arange(shards + 1)
    bounds = np.maximum.accumulate(bounds - numbers) + numbers
    latest: Int64 = np.minimum(bounds, len(costs) - shards + numbers)
    return latest


def split_snapshot(
    run: Run,
    snapshot: Snapshot,
    entries: Int64,
    capacity: Capacity,
    random: Randomness,
    *,
    special_rows: int,
    record_rows: int = 0,
    progress: Callable[[float], None] | None = None,
) -> list[str]:
    """Writes the inputs of all shards, unless the run has them: SHA-256 (hex) by shard.

    Args:
        entries: (n,) entries of each account as they are proved (`prover.positions.count_entries`).
        special_rows, record_rows: as for `prover.capacity.rows_needed`.

    Raises:
        InputError: a shard has more accounts than its rows hold, or the disk is full.
    """
    if run.inputs is not None:
        return run.inputs
    order = random.permutation(ORDER_LABEL, len(entries))
    dealt = entries[order]
    bounds = shard_bounds(account_costs(dealt, record_rows), capacity.shards)
    _require_room(dealt, bounds, capacity, special_rows, record_rows)
    meta = snapshot.meta.to_bytes()
    write_whole(run.path / INPUTS / META_FILE, meta)
    digests = []
    for shard in range(capacity.shards):
        path = input_path(run.path, shard)
        _write_accounts(snapshot.take(order[bounds[shard] : bounds[shard + 1]]), path)
        digests.append(_digest(meta, path))
        if progress is not None:
            progress((shard + 1) / capacity.shards)
    run.add_inputs(digests)
    return digests


def read_input(run: Path, index: int, digest: str) -> Snapshot:
    """The accounts of one shard in the order in which they are proved; ledger state and salt are those of the whole.

    Args:
        digest: SHA-256 (hex) that the input must have: of the snapshot's own words, then the accounts.

    Raises:
        InputError: the input is missing, or is another one.
    """
    path, meta_path = input_path(run, index), run / INPUTS / META_FILE
    try:
        data = meta_path.read_bytes()
    except OSError as error:
        raise InputError(file=meta_path, got=error.strerror, expected="the words of the snapshot") from None
    found = _digest(data, path)
    if found != digest:
        got = f"damage (SHA-256 {found} with {META_FILE})"
        raise InputError(file=path, got=got, expected=f"{digest} (without {INPUTS_FILE} all are written again)")
    meta = SnapshotMeta.from_bytes(data, str(meta_path))
    accounts = read_accounts(meta, path)
    return replace(accounts, meta=replace(meta, accounts=len(accounts.lines), entries=len(accounts.positions)))


def input_path(run: Path, index: int) -> Path:
    """Where the accounts of a shard are."""
    return run / INPUTS / f"{shard_name(index)}.arrow"


def _write_accounts(part: Snapshot, path: Path) -> None:
    """Whole and on disk, or not there."""
    fresh = path.with_name(f".{path.name}")
    with told_plainly(path):
        try:
            part.write_accounts(fresh)
            sync(fresh)
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)


def _digest(meta: bytes, path: Path) -> str:
    with told_plainly(path), path.open("rb") as stream:
        return hashlib.file_digest(stream, partial(hashlib.sha256, meta)).hexdigest()


def _require_room(dealt: Int64, bounds: Int64, capacity: Capacity, special_rows: int, record_rows: int) -> None:
    """Every shard fits, and leaves the rows that hide the others."""
    room, levels = (1 << capacity.log2_rows) - HIDDEN_ROWS, levels_for(capacity.log2_rows)
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(dealt)])[bounds]
    for shard, (accounts, entries) in enumerate(zip(np.diff(bounds).tolist(), np.diff(ends).tolist(), strict=True)):
        need = rows_needed(accounts, entries, special_rows, levels, record_rows)
        if need > room:
            raise InputError(
                got=f"{accounts} accounts with {entries} entries in shard {shard}, which take {need} rows",
                expected=f"at most {room} rows (more with --shards or --log2-rows)",
            )
