"""The proofs of all shards of a publication: read, and verified one by one or in several processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from verifier.files import read_file
from verifier.params import ProofParams
from verifier.proof import proof_bytes_max
from verifier.shards import SHARD_BYTES_MAX, Shard, parse_shard
from verifier.solvency import constraint_system, relation
from verifier.stark import verify_stark
from verifier.statement import Statement

Progress = Callable[[int, int], None]
SHARDS_FOLDER = "shards"


def shard_file(index: int) -> str:
    """Path of a shard's document within the publication."""
    return f"{SHARDS_FOLDER}/{index:06d}.json"


def proof_file(index: int) -> str:
    """Path of a shard's proof within the publication."""
    return f"{SHARDS_FOLDER}/{index:06d}.proof"


def read_shards(directory: Path, statement: Statement) -> list[Shard]:
    """The documents of all shards.

    Raises:
        VerificationError: one is missing or refused by `parse_shard`.
    """
    return [
        parse_shard(read_file(directory / shard_file(index), SHARD_BYTES_MAX), statement, index)
        for index in range(statement.shards)
    ]


def check_proofs(
    directory: Path,
    statement: Statement,
    shards: Sequence[Shard],
    params: ProofParams,
    workers: int | None = None,
    progress: Progress | None = None,
) -> int:
    """Verify every shard's proof; returns their bytes in all.

    Args:
        workers: processes; None takes one per processor. A single shard is verified in this one.
        progress: called with how many proofs are verified, and how many there are.

    Raises:
        VerificationError: the first proof, in the order of the shards, that is refused.
    """
    check = partial(_check_proof, directory, statement, params)
    workers = min(os.cpu_count() or 1 if workers is None else workers, len(shards))
    if workers <= 1:
        return _sum(map(check, shards), len(shards), progress)
    # Imported only here: most publications need no other process. A fresh interpreter for each: the caller may run
    # threads, which a fork would not survive.
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        try:
            sizes = pool.map(check, shards, chunksize=max(1, len(shards) // (8 * workers)))
            return _sum(sizes, len(shards), progress)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _sum(sizes: Iterable[int], count: int, progress: Progress | None) -> int:
    total = 0
    for done, size in enumerate(sizes, 1):
        total += size
        if progress is not None:
            progress(done, count)
    return total


def _check_proof(directory: Path, statement: Statement, params: ProofParams, shard: Shard) -> int:
    limit = proof_bytes_max(constraint_system(statement.circuit), params, statement.log2_rows)
    data = read_file(directory / proof_file(shard.index), limit)
    verify_stark(relation(statement, shard), params, data)
    return len(data)
