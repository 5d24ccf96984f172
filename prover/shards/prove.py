"""One shard: from its accounts to its document, its proof, and what its bundles need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from circuits.registry import records_of
from prover.errors import InputError
from prover.files import Bytes
from prover.identities import account_ids
from prover.outputs import MaskPair
from prover.positions import split_positions
from prover.private import npy_bytes, shard_arrays
from prover.progress import Phases, peak_memory_bytes
from prover.prove import prove
from prover.randomness import Randomness
from prover.shards.files import put_outputs
from prover.shards.journal import SEED_FILE, done_folder
from prover.shards.split import read_input
from prover.shards.task import ShardResult, ShardTask
from prover.snapshot import Snapshot
from prover.warm import compile_kernels
from prover.witness import AccountAtFault, Accounts, Legs, TraceWitness, build_witness, finish
from verifier.legs import Leg
from verifier.params import ProofParams, accepted_profile
from verifier.poseidon import INSTANCES
from verifier.shards import Shard
from verifier.solvency import relation
from verifier.statement import STRICT, Statement, parse_statement

SHARD_PART, PROOF_PART = "shard.json", "proof.bin"
"""Files of a finished shard; beside them the arrays of its private store (`prover.private.shard_arrays`)."""


class AccountRefused(InputError):
    """An account of the snapshot cannot be proved, whatever else is done."""


@dataclass(frozen=True)
class ProvedShard:
    """What one shard brings to a publication and to its private store. Nonces and users are in trace order."""

    shard: Shard
    proof: bytes
    witness: TraceWitness
    accounts: Accounts
    nonces: npt.NDArray[np.uint8]
    users: list[str]


def prove_task(task: ShardTask, phases: Phases | None = None) -> ShardResult:
    """Prove one shard of a run and put its files in place (`prover.shards.task.ShardFunction`).

    Raises:
        InputError: the shard's input is damaged, an account is refused, or the disk is full.
    """
    phases = phases or Phases()
    _warm()
    statement = parse_statement(task.spec)
    part = read_input(task.run, task.index, task.input_digest)
    random = Randomness((task.run / SEED_FILE).read_bytes(), statement.header_digest)
    params = accepted_profile(statement.profile)
    proved = prove_shard(statement, task.index, part, random, params, phases)
    with phases.phase("write"):
        files: dict[str, Bytes] = {SHARD_PART: proved.shard.to_bytes(), PROOF_PART: proved.proof}
        arrays = shard_arrays(
            proved.accounts, proved.nonces, proved.witness.leaf_digests, proved.witness.tree, proved.users
        )
        files |= {f"{name}.npy": npy_bytes(array) for name, array in arrays.items()}
        digests = put_outputs(done_folder(task.run, task.index), files)
    return ShardResult(task.index, digests, phases.seconds, peak_memory_bytes(), phases.cpu_seconds)


@cache
def _warm() -> None:
    """Once in a worker: kernels loaded, and freed memory kept for the next shard."""
    compile_kernels()


def prove_shard(
    statement: Statement, index: int, part: Snapshot, random: Randomness, params: ProofParams, phases: Phases
) -> ProvedShard:
    """Prove one shard.

    Args:
        statement: of the publication; its outputs are not looked at, as they are known only when all shards are.
        part: the shard's accounts, in the secret order in which they stand in the tree.
        random: of the whole run; every shard draws its own streams from it, and its masks.

    Raises:
        AccountRefused: an account cannot be proved, or breaks the statement's policy; named by its place.
    """
    own = random.derive(b"shard", index.to_bytes(4, "little"))
    with phases.phase("witness"):
        accounts, nonces, users = trace_accounts(part, statement.legs, own, phases)
        witness = _witness(statement, index, part, accounts, random, own)
        phases.at(0.8)
        with phases.phase("hashing"):
            finish(witness.trace, INSTANCES[statement.tree_hash])
    public = witness.outputs
    shard = Shard(statement.header_digest, index, witness.tree.root, public.mask_in, public.mask_out, public.outputs)
    proof = prove(relation(statement, shard), params, witness.trace, own, phases).to_bytes()
    return ProvedShard(shard, proof, witness, accounts, nonces, users)


def trace_accounts(
    part: Snapshot, legs: Sequence[Leg], random: Randomness, phases: Phases
) -> tuple[Accounts, npt.NDArray[np.uint8], list[str]]:
    """Accounts with fresh blinding, and a nonce of ours where the client gave none; nonces and user ids beside them."""
    count = len(part.offsets) - 1
    drawn = np.frombuffer(random.bytes("nonces", 32 * count), np.uint8).reshape(count, 32)
    nonces = np.where(part.has_nonce[:, None], part.nonces, drawn)
    users: list[str] = part.user_ids.to_pylist()
    exchange = part.meta.exchange
    identities = account_ids(exchange, users, nonces)
    phases.at(0.3)
    blindings = random.words("account blinding", 6 * count).reshape(count, 6)
    entries = split_positions(part.offsets, part.positions, part.amounts, legs)
    return Accounts(identities, blindings, *entries), nonces, users


def _witness(
    statement: Statement, index: int, part: Snapshot, accounts: Accounts, random: Randomness, own: Randomness
) -> TraceWitness:
    special, shards = statement.special_rows, statement.shards
    try:
        witness = build_witness(
            accounts,
            Legs.of(statement.legs),
            special,
            statement.levels,
            statement.log2_rows,
            own,
            INSTANCES[statement.tree_hash],
            records_of(statement.circuit),
            MaskPair.of(random, index, shards, special.outputs) if special.masked else None,
        )
        if statement.policy == STRICT:
            _require_healthy(witness)
    except AccountAtFault as fault:
        raise AccountRefused(
            file=", ".join(source.file for source in part.meta.source) or None,
            row=int(part.lines[fault.index]),
            field=fault.field,
            got=f"user {part.user_id(fault.index)}: {fault.why}",
            expected="an account that can be proved (--policy disclosed publishes shortfalls and margin deficits)",
        ) from None
    return witness


def _require_healthy(witness: TraceWitness) -> None:
    """Policy strict: no account below zero, at the statement's prices."""
    if witness.negative.any():
        why = "equity is negative, which policy strict forbids"
        raise AccountAtFault(int(witness.negative.argmax()), why)
    unhealthy = witness.lens_negative[:, :1].any(axis=1)
    if unhealthy.any():
        why = "collateral after haircuts is below debts and margins, which policy strict forbids"
        raise AccountAtFault(int(unhealthy.argmax()), why, "health")
