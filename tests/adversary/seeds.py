"""Honest documents of every kind, small and made from fixed seeds: what mutations and fuzzing start from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache

from api.evidence import file_proof
from tests.verifier.log.signers import cosigned, policy_text, signed
from tests.verifier.small_tree import Publication, publication, risk_publication
from verifier.log.policy import Policy, parse_policy
from verifier.log.proof import LogProof
from verifier.log.tree import leaf_hash, node_hash
from verifier.manifest import File, Manifest, make_manifest
from verifier.proofs import shard_file
from verifier.receipt import Receipt

SHARDS = 3
LOG2_ROWS_SMALL = 11
"""A trace that no publication has: four levels of hashing instead of six, and every check the same."""
WITNESS = "w.example/1"
POLICY_TEXT = policy_text(WITNESS, k=1).encode()


@cache
def small(risky: bool, log2_rows: int = LOG2_ROWS_SMALL) -> Publication:
    """A publication in three shards: plain, or with buckets, tiers, margins and scenarios."""
    make = risk_publication if risky else publication
    return make(shards=SHARDS, log2_rows=log2_rows)


@cache
def full(risky: bool = False) -> Publication:
    """The same at the least height that statements may have."""
    return small(risky, 17)


@cache
def policy() -> Policy:
    return parse_policy(POLICY_TEXT)


@dataclass(frozen=True)
class Published:
    """What a publication adds for the log.

    Args:
        log_proof: of entry 1 of 2.
    """

    manifest: Manifest
    log_proof: bytes
    file_proof: bytes

    @classmethod
    @cache
    def of(cls, risky: bool) -> Published:
        made = full(risky)
        documents = {"statement.json": made.statement.to_bytes()}
        documents |= {shard_file(index): shard.to_bytes() for index, shard in enumerate(made.shards)}
        files = [File(name, len(data), hashlib.sha256(data).digest()) for name, data in documents.items()]
        manifest = make_manifest(made.statement, files)
        before = leaf_hash(b"an entry")
        note = cosigned(signed(2, node_hash(before, leaf_hash(manifest.entry.to_bytes()))), WITNESS)
        return cls(manifest, LogProof(1, (before,), note).to_bytes(), file_proof(manifest, 1))

    @property
    def checkpoint(self) -> bytes:
        return self.log_proof.partition(b"\n\n")[2]


@cache
def receipt(risky: bool, index: int) -> bytes:
    """Of the account `index` of `full(risky)`."""
    made, published = full(risky), Published.of(risky)
    documents = made.bundle(index), made.statement.to_bytes(), published.manifest.to_bytes(), published.log_proof
    return Receipt(*documents).to_bytes()
