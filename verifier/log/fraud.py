"""Fraud: one log key under two trees of one size. Two files show it, to anybody, for ever."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from verifier.canonical import refuse
from verifier.errors import Reason
from verifier.log.checkpoint import open_signed
from verifier.log.note import VerifierKey


@dataclass(frozen=True)
class Fraud:
    """What was shown: `key` signed `roots` (32 bytes each) for one size."""

    key: VerifierKey
    size: int
    roots: tuple[bytes, bytes]


def verify_fraud(one: bytes, other: bytes, logs: Sequence[VerifierKey]) -> Fraud:
    """Whether two checkpoints convict the holder of a log key: same origin, same size, other roots, both signed.

    Which witnesses cosigned does not matter: a log must never sign two.

    Raises:
        MalformedProof: a checkpoint cannot be read.
        BadLog: LOG_ORIGIN or LOG_SIGNATURE of one of them; NOT_FRAUD: they contradict each other in nothing that these
            two files show. Trees of two sizes may still be inconsistent: ask the log for a consistency proof.
    """
    first, second = open_signed(one, logs, "checkpoint 1"), open_signed(other, logs, "checkpoint 2")
    a, b = first.checkpoint, second.checkpoint
    if a.origin != b.origin:
        refuse("fraud proof", f"two checkpoints of {a.origin}", b.origin, Reason.NOT_FRAUD)
    if a.size != b.size:
        refuse("fraud proof", f"two checkpoints of one size, {a.size}", b.size, Reason.NOT_FRAUD)
    if a.root == b.root:
        refuse("fraud proof", "two roots", f"one, {a.root.hex()}", Reason.NOT_FRAUD)
    return Fraud(first.log, a.size, (a.root, b.root))
