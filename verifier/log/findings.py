"""What the log commands find, in words and for programs: `python -m verifier log` and `solvent log` print the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from verifier.files import read_file
from verifier.inclusion import Step
from verifier.log.check import audit, check_continues, check_logged, checkpoint_steps, describe
from verifier.log.fraud import verify_fraud
from verifier.log.note import NOTE_BYTES_MAX
from verifier.log.policy import Policy
from verifier.report import read_statement


@dataclass(frozen=True)
class Finding:
    """A check that went well; one that did not is a VerificationError.

    Args:
        verdict: in one line.
        steps: what was checked.
        data: the same for programs.
    """

    verdict: str
    steps: tuple[Step, ...]
    data: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {"verdict": self.verdict, "reason": None, "steps": [asdict(step) for step in self.steps], **self.data}


def logged(directory: Path, policy: Policy) -> Finding:
    """Is a publication, with manifest.json and log.tlog-proof, in the log? Its own proof is not looked at."""
    found = check_logged(directory, read_statement(directory), policy)
    head = found.opened.checkpoint
    verdict = f"publication {found.manifest.sequence} is entry {found.index} of {head.origin}, {head.size} entries"
    return Finding(verdict, found.steps, found.to_json())


def continued(seen: Path, log: Path, policy: Policy) -> Finding:
    """Does the log in a folder continue a checkpoint that was seen before?"""
    older, newer = check_continues(read_file(seen, NOTE_BYTES_MAX), log, policy)
    old, new = older.checkpoint, newer.checkpoint
    steps = (
        Step("seen before", True, f"{old.origin} signed {old.size} entries, root {old.root.hex()}"),
        *checkpoint_steps(newer, policy),
        Step("consistency", True, f"the first {old.size} of its {new.size} entries are those seen before"),
    )
    data = describe(newer) | {"seen_size": old.size, "seen_root": old.root.hex()}
    return Finding(f"{new.origin} only grew: from {old.size} to {new.size} entries", steps, data)


def audited(log: Path, policy: Policy) -> Finding:
    """Is the log in a folder whole, and one chain of publications?"""
    found = audit(log, policy)
    head, entries = found.opened.checkpoint, found.entries
    last = f"sequence {entries[0].sequence} to {entries[-1].sequence}" if entries else "none yet"
    steps = (
        *checkpoint_steps(found.opened, policy),
        Step("entries", True, f"all {head.size} hash to the root"),
        Step("publications", True, f"{last}; each number once, growing, each naming the statement before"),
    )
    rows = [{"index": i, "sequence": e.sequence, "statement_digest": e.statement.hex()} for i, e in enumerate(entries)]
    data = describe(found.opened) | {"publications": rows}
    return Finding(f"{head.origin} is whole: {head.size} publications in one chain", steps, data)


def convicted(one: Path, other: Path, policy: Policy) -> Finding:
    """Do two checkpoints prove that a log signed two histories?"""
    found = verify_fraud(read_file(one, NOTE_BYTES_MAX), read_file(other, NOTE_BYTES_MAX), policy.logs)
    steps = tuple(
        Step(f"checkpoint {i}", True, f"{found.key.vkey} signed {found.size} entries, root {root.hex()}")
        for i, root in enumerate(found.roots, start=1)
    )
    data = {
        "origin": found.key.name,
        "log_key": found.key.vkey,
        "size": found.size,
        "roots": [root.hex() for root in found.roots],
    }
    return Finding(f"fraud: {found.key.name} signed two histories of {found.size} entries", steps, data)
