"""What readers do with a log: is this publication in it, does it continue what I saw, and is it whole?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verifier.canonical import refuse
from verifier.errors import Reason
from verifier.files import read_file
from verifier.inclusion import Step
from verifier.log.checkpoint import Checkpoint, Opened, open_checkpoint, open_signed, parse_checkpoint
from verifier.log.note import NOTE_BYTES_MAX
from verifier.log.policy import Policy
from verifier.log.proof import PROOF_BYTES_MAX, LogProof, check_log_proof, parse_log_proof
from verifier.log.tiles import CHECKPOINT_FILE, ENTRIES_BYTES_MAX, TILE_WIDTH, Tiles
from verifier.log.tree import check_consistency, check_inclusion, leaf_hash
from verifier.manifest import LOG_PROOF_FILE, Entry, Manifest, Stated, check_directory, parse_entry, read_manifest


@dataclass(frozen=True)
class Logged:
    """A publication that is in a log.

    Args:
        index: of its entry.
        opened: the checkpoint that shows it.
        steps: what was checked, in words.
    """

    manifest: Manifest
    index: int
    opened: Opened
    steps: tuple[Step, ...]

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "sequence": self.manifest.sequence,
            "statement_digest": self.manifest.statement.hex(),
            "index": self.index,
            "files": len(self.manifest.files),
        } | describe(self.opened)


@dataclass(frozen=True)
class Audit:
    """A log whose entries were all read."""

    opened: Opened
    entries: tuple[Entry, ...]


def describe(opened: Opened) -> dict[str, Any]:
    """A checkpoint for `--json`."""
    return {
        "origin": opened.checkpoint.origin,
        "size": opened.checkpoint.size,
        "root": opened.checkpoint.root.hex(),
        "log_key": opened.log.vkey,
        "witnesses": [{"name": name, "time": time} for name, time in opened.witnesses],
    }


def checkpoint_steps(opened: Opened, policy: Policy) -> tuple[Step, Step]:
    """What an opened checkpoint shows by itself, in words."""
    head = opened.checkpoint
    names = ", ".join(f"{name} at {time}" for name, time in opened.witnesses)
    witnesses = f"cosigned by {names} (seconds since 1970); asked for: {policy.spoken}" if names else "none asked for"
    return (
        Step("log signature", True, f"{head.origin} signed {head.size} entries, root {head.root.hex()}"),
        Step("witnesses", bool(names), witnesses),
    )


def check_logged(directory: Path, statement: Stated, policy: Policy) -> Logged:
    """Whether a publication is the one that its manifest.json lists and its log.tlog-proof shows in a log.

    Args:
        directory: of the publication.
        statement: as read from it.

    Raises:
        VerificationError: as `verifier.manifest.check_directory` and `verifier.log.proof.check_log_proof`.
    """
    manifest = check_directory(directory, statement)
    proof = parse_log_proof(read_file(directory / LOG_PROOF_FILE, PROOF_BYTES_MAX), LOG_PROOF_FILE)
    opened = check_log_proof(proof, leaf_hash(manifest.entry.to_bytes()), policy)
    steps = (
        Step("files", True, f"all {len(manifest.files)} are those of the manifest, evidence {manifest.evidence.hex()}"),
        *checkpoint_steps(opened, policy),
        _inclusion_step(proof, opened.checkpoint),
    )
    return Logged(manifest, proof.index, opened, steps)


def check_documents(
    manifest: bytes, log_proof: bytes, statement: Stated, policy: Policy | None = None
) -> tuple[Step, ...]:
    """Whether a statement is that of a manifest which is in a log, without the publication's other files.

    Args:
        manifest, log_proof: manifest.json and log.tlog-proof as published.
        policy: None leaves open whose signatures the log's checkpoint carries; the steps say so.

    Raises:
        VerificationError: as `check_logged`.
    """
    listing = read_manifest(manifest, statement)
    listed = next(file for file in listing.files if file.role == "statement")
    if listed.sha256 != statement.digest:
        refuse(listed.name, f"SHA-256 {listed.sha256.hex()}", statement.digest.hex(), Reason.MANIFEST)
    proof = parse_log_proof(log_proof)
    leaf = leaf_hash(listing.entry.to_bytes())
    if policy is not None:
        opened = check_log_proof(proof, leaf, policy)
        head, signed = opened.checkpoint, checkpoint_steps(opened, policy)
    else:
        head, _ = parse_checkpoint(proof.checkpoint, "log proof, checkpoint")
        check_inclusion(leaf, proof.index, head.size, proof.path, head.root)
        signed = (
            Step(
                "log signature",
                False,
                f"{head.origin}, {head.size} entries: not checked without a policy of whom to believe",
            ),
            Step("witnesses", False, "not checked without that policy"),
        )
    return (
        Step("files", True, f"the statement is one of the {len(listing.files)} files of the manifest"),
        *signed,
        _inclusion_step(proof, head),
    )


def check_continues(seen: bytes, log: Path, policy: Policy) -> tuple[Opened, Opened]:
    """Whether the log in a folder continues a checkpoint that somebody saw earlier: nothing of it was rewritten.

    Args:
        seen: that checkpoint; it needs the log's signature, not the witnesses'.
        log: with `checkpoint` and `tile/`, as published.

    Returns:
        Both checkpoints, opened.

    Raises:
        VerificationError: one of the checkpoints is refused, tiles are missing; LOG_CONSISTENCY.
    """
    opened = open_checkpoint(read_file(log / CHECKPOINT_FILE, NOTE_BYTES_MAX), policy)
    older = open_signed(seen, policy.logs, "the checkpoint seen before")
    old, new = older.checkpoint, opened.checkpoint
    if old.origin != new.origin:
        refuse("the checkpoint seen before", f"one of {new.origin}", old.origin, Reason.LOG_ORIGIN)
    proof = Tiles(reader(log), new.size).consistency(old.size) if old.size <= new.size else []
    check_consistency(old.size, old.root, new.size, new.root, proof)
    return older, opened


def audit(log: Path, policy: Policy) -> Audit:
    """Read every entry of the log in a folder: they hash to its root, and are one chain of publications.

    Each sequence number is there once, they grow, and each statement names the one before.

    Raises:
        VerificationError: the checkpoint is refused, tiles are missing; LOG_CONSISTENCY: tiles and root differ;
            LOG_ENTRY: an entry does not follow the one before.
    """
    opened = open_checkpoint(read_file(log / CHECKPOINT_FILE, NOTE_BYTES_MAX), policy)
    head = opened.checkpoint
    tiles = Tiles(reader(log), head.size)
    require_root(tiles, head)
    entries: list[Entry] = []
    for bundle in range(-(-head.size // TILE_WIDTH)):
        for data in tiles.entries(bundle):
            index = len(entries)
            if leaf_hash(data) != tiles.leaf(index):
                refuse(f"entry {index}", tiles.leaf(index).hex(), leaf_hash(data).hex(), Reason.LOG_CONSISTENCY)
            entry = parse_entry(data, f"entry {index}")
            require_next(entries[-1] if entries else None, entry, f"entry {index}")
            entries.append(entry)
    return Audit(opened, tuple(entries))


def _inclusion_step(proof: LogProof, head: Checkpoint) -> Step:
    return Step("log inclusion", True, f"the publication is entry {proof.index} of {head.size}")


def require_root(tiles: Tiles, head: Checkpoint) -> None:
    """Tiles that make up the root of a checkpoint. Raises BadLog: LOG_CONSISTENCY."""
    root = tiles.root()
    if root != head.root:
        refuse("tiles", f"the checkpoint's root {head.root.hex()}", root.hex(), Reason.LOG_CONSISTENCY)


def require_next(last: Entry | None, entry: Entry, where: str) -> None:
    """An entry that follows `last`; the first one may follow publications in no log. Raises BadLog: LOG_ENTRY."""
    if last is None:
        return
    if entry.exchange != last.exchange:
        refuse(f"{where}, exchange", last.exchange, entry.exchange, Reason.LOG_ENTRY)
    if entry.sequence <= last.sequence:
        refuse(f"{where}, sequence", f"one after {last.sequence}", entry.sequence, Reason.LOG_ENTRY)
    if entry.previous != last.statement:
        expected = f"{last.statement.hex()}, the statement before"
        refuse(f"{where}, previous", expected, entry.previous.hex(), Reason.LOG_ENTRY)


def reader(log: Path) -> Callable[[str], bytes]:
    """Reads files of a log in a folder. Raises, when called, MalformedProof: FILE_MISSING."""
    return lambda path: read_file(log / path, ENTRIES_BYTES_MAX)
