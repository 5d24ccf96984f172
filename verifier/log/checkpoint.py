"""Checkpoints: the tree head that a log signs (c2sp.org/tlog-checkpoint) and witnesses cosign (tlog-cosignature)."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass

from verifier.canonical import refuse
from verifier.errors import BadLog, Reason
from verifier.log.note import Note, VerifierKey, cosigned_at, format_note, parse_note, unbase64, verified
from verifier.log.policy import Policy
from verifier.log.tree import DIGEST_BYTES, EMPTY_ROOT, SIZE_END

_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True)
class Checkpoint:
    """A tree head.

    Args:
        root: 32 bytes.
        extensions: lines after the root, opaque; our logs write none.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The note's text: what the log signs."""
        root = base64.b64encode(self.root).decode("ascii")
        return "".join(line + "\n" for line in (self.origin, str(self.size), root, *self.extensions))


@dataclass(frozen=True)
class Opened:
    """A checkpoint whose signatures are good.

    Args:
        log: the key that signed.
        witnesses: names of the policy's witnesses that cosigned, and when, in seconds since 1970.
    """

    checkpoint: Checkpoint
    note: Note
    log: VerifierKey
    witnesses: tuple[tuple[str, int], ...]


def parse_checkpoint(data: bytes, name: str = "checkpoint") -> tuple[Checkpoint, Note]:
    """Read a checkpoint; its signatures are not checked.

    Raises:
        MalformedProof: as `verifier.log.note.parse_note`; MALFORMED for a text that is no tree head.
        BadLog: LOG_CONSISTENCY: an empty tree with another root than that of nothing.
    """
    note = parse_note(data, name)
    return parse_text(note.text, name), note


def parse_text(text: str, name: str = "checkpoint") -> Checkpoint:
    """Read a tree head. Raises as `parse_checkpoint`."""
    lines = text.split("\n")[:-1]
    if len(lines) < 3 or not all(lines):
        refuse(name, "lines of origin, size and root, none of them empty", text)
    origin, size, root = lines[:3]
    number = parse_number(size, f"{name}, size")
    digest = parse_digest(root, f"{name}, root")
    if number == 0 and digest != EMPTY_ROOT:
        refuse(f"{name}, root", f"the root of nothing, {EMPTY_ROOT.hex()}", digest.hex(), Reason.LOG_CONSISTENCY)
    return Checkpoint(origin, number, digest, tuple(lines[3:]))


def parse_number(text: str, where: str) -> int:
    """A decimal number below 2^63 without leading zeros. Raises MalformedProof."""
    if not _NUMBER.fullmatch(text) or int(text) >= SIZE_END:
        refuse(where, f"a decimal number below {SIZE_END} without leading zeros", text)
    return int(text)


def parse_digest(text: str, where: str) -> bytes:
    """32 bytes in base64. Raises MalformedProof."""
    digest = unbase64(text)
    if digest is None or len(digest) != DIGEST_BYTES:
        refuse(where, f"{DIGEST_BYTES} bytes as RFC 4648 writes them in base64", text)
    return digest


def open_checkpoint(data: bytes, policy: Policy, name: str = "checkpoint") -> Opened:
    """Read a checkpoint and check it: signed by one of the policy's logs, cosigned by a quorum of its witnesses.

    Raises:
        MalformedProof: as `parse_checkpoint`.
        BadLog: LOG_ORIGIN: the policy names no log of this origin; LOG_SIGNATURE: none of its keys signed, or one of
            them not this; COSIGNATURE: a witness's is not by it; WITNESS_QUORUM.
    """
    opened = open_signed(data, policy.logs, name)
    times: dict[str, int] = {}
    witnesses = {witness.key: witness.name for witness in policy.witnesses}
    for key, signature in verified(opened.note, tuple(witnesses), Reason.COSIGNATURE):
        times[witnesses[key]] = max(cosigned_at(signature) or 0, times.get(witnesses[key], 0))
    if not policy.is_met(times.keys()):
        has = ", ".join(times) or "no witness"
        raise BadLog(
            Reason.WITNESS_QUORUM,
            f"{name} of size {opened.checkpoint.size}: expected cosignatures of {policy.spoken}, got {has}",
            field=name,
            expected=policy.spoken,
            got=has,
        )
    return Opened(opened.checkpoint, opened.note, opened.log, tuple(sorted(times.items())))


def open_signed(data: bytes, logs: Sequence[VerifierKey], name: str = "checkpoint") -> Opened:
    """The first half of `open_checkpoint`: origin and log signature. Witnesses are not looked at."""
    checkpoint, note = parse_checkpoint(data, name)
    keys = [key for key in logs if key.name == checkpoint.origin]
    if not keys:
        known = " or ".join(sorted({key.name for key in logs})) or "the origin of a known log"
        refuse(f"{name}, origin", known, checkpoint.origin, Reason.LOG_ORIGIN)
    signed = verified(note, keys, Reason.LOG_SIGNATURE)
    if not signed:
        names = ", ".join(signature.name for signature in note.signatures)
        refuse(name, f"a signature by {' or '.join(key.vkey for key in keys)}", names, Reason.LOG_SIGNATURE)
    return Opened(checkpoint, note, signed[0][0], ())


def with_signatures(note: Note, lines: Sequence[str]) -> bytes:
    """The note with further signature lines, each at most once."""
    have = [signature.line for signature in note.signatures]
    more = [line for line in dict.fromkeys(lines) if line not in have]
    return format_note(note) + "".join(line + "\n" for line in more).encode()
