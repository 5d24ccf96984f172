"""Shards of a real circuit whose accounts differ as much as they can, and what each of them publishes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from api.cli.bench import synthetic_snapshot
from prover.progress import Phases
from prover.publication import _plan
from prover.randomness import Randomness
from prover.shards.prove import prove_shard
from prover.snapshot import Snapshot
from prover.terms import Terms
from tests.adversary.simulator import Simulator, accept
from tests.adversary.views import DOCUMENT, OUTPUTS, View, view
from tests.verifier.toy_proofs import FREE
from verifier.params import TEST
from verifier.proof import Proof, parse_proof
from verifier.shards import Shard
from verifier.solvency import OUTPUT_BYTES
from verifier.solvency import relation as relation_of
from verifier.statement import STRICT, Statement

ACCOUNTS, INSTRUMENTS, SHARDS, LOG2_ROWS = 60, 3, 3, 17
CIRCUIT = "solvency_equity_v1"
EVERYTHING = 10**15
"""Atoms of each instrument."""


@cache
def holdings() -> tuple[Snapshot, Snapshot]:
    """Everybody has the same of everything; or one has all of it but an atom for each of the others."""
    made = synthetic_snapshot(ACCOUNTS, INSTRUMENTS, INSTRUMENTS, 7)
    positions = np.tile(2 * np.arange(INSTRUMENTS), ACCOUNTS).astype(np.uint16)  # the long sides
    made = replace(made, positions=positions)
    equal = np.full((ACCOUNTS, INSTRUMENTS), EVERYTHING // ACCOUNTS, np.uint64)
    one = np.ones((ACCOUNTS, INSTRUMENTS), np.uint64)
    one[ACCOUNTS // 2] = equal.sum(axis=0) - np.uint64(ACCOUNTS - 1)
    return replace(made, amounts=equal.ravel()), replace(made, amounts=one.ravel())


@cache
def statement() -> Statement:
    """Of both; its outputs are open."""
    return _plan(holdings()[0], Terms("fast", STRICT, CIRCUIT, (), None), None, LOG2_ROWS, SHARDS).statement


@dataclass(frozen=True)
class Published:
    """What one shard shows, and the processor time that it took."""

    proof: Proof
    shard: Shard
    seconds: float = 0.0

    @property
    def view(self) -> View:
        """With the words of the document."""
        document = [*self.shard.root, *self.shard.mask_in, *self.shard.mask_out]
        outputs = b"".join(output.to_bytes(OUTPUT_BYTES, "little") for output in self.shard.outputs)
        return {
            **view(self.proof),
            DOCUMENT: np.array(document, np.uint32),
            OUTPUTS: np.frombuffer(outputs, "<u4").astype(np.uint32),
        }

    @property
    def proof_bytes(self) -> int:
        return len(self.proof.to_bytes())


def published(accounts: Snapshot, seed: bytes, shard: int = 0) -> Published:
    """One shard, proved by the real prover with few queries."""
    started = time.process_time()
    proved = prove_shard(statement(), shard, accounts, Randomness(seed), TEST, Phases())
    seconds = time.process_time() - started
    system = relation_of(statement(), proved.shard).system
    return Published(parse_proof(proved.proof, system, TEST, LOG2_ROWS), proved.shard, seconds)


def imagined(seed: bytes) -> Published:
    """A shard without accounts: whatever outputs and root, and a simulated proof of them.

    Raises:
        VerificationError: the verifier refuses the proof under the challenges that it came with.
    """
    random, special = Randomness(seed), statement().special_rows
    numbers = np.frombuffer(random.bytes("outputs", OUTPUT_BYTES * special.outputs), "<u8").reshape(-1, 2).tolist()
    root, into, out = (tuple(random.words(label, 8).tolist()) for label in ("root", "mask in", "mask out"))
    outputs = tuple(low + (high << 64) for low, high in numbers)
    shard = Shard(statement().header_digest, 0, root, into, out, outputs)
    relation = relation_of(statement(), shard)
    made = Simulator(relation, FREE, random).prove()
    accept(relation, FREE, made)
    return Published(made.proof, shard)


def stacked(of: Sequence[Published]) -> View:
    """Sections as matrices (proofs, cells)."""
    views = [each.view for each in of]
    return {name: np.stack([each[name] for each in views]) for name in views[0]}
