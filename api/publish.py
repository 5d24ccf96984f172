"""Publishing: verify, store, log, sign, have it witnessed; and show it to readers last of all.

Whatever the exchange's own tools made of a publication, it goes through the verifier that strangers run, as the bytes
that are then published. Run again after an interruption, it finishes what was begun: the log holds it once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.evidence import manifest_of
from api.log import show, sign_new
from api.quorum import Validators, require_certificate
from api.store import Store
from api.witnesses import Answer, collect
from verifier.canonical import refuse
from verifier.errors import Reason, SolvencyError
from verifier.log.check import require_next
from verifier.log.policy import Policy
from verifier.manifest import MANIFEST_FILE, Manifest
from verifier.report import Report, verify_directory

Verify = Callable[[Path], Report]


class Insolvent(SolvencyError):
    """The publication verifies, and says that the exchange is insolvent. It is not published."""

    def __init__(self, report: Report) -> None:
        super().__init__(report.spoken)
        self.report = report


@dataclass(frozen=True)
class Published:
    """What came of it.

    Args:
        index: of the entry in the log.
        is_new: False where it had been published before.
        answers: of the witnesses.
        is_shown: whether readers have it; False as long as the policy's quorum is missing.
    """

    manifest: Manifest
    report: Report
    index: int
    is_new: bool
    answers: tuple[Answer, ...]
    is_shown: bool

    def to_json(self) -> dict[str, Any]:
        """For `--json` and over HTTP."""
        return {
            "verdict": "published" if self.is_shown else "logged, but not shown",
            "reason": None if self.is_shown else Reason.WITNESS_QUORUM.value,
            "sequence": self.manifest.sequence,
            "statement_digest": self.manifest.statement.hex(),
            "manifest": self.manifest.entry.manifest.hex(),
            "index": self.index,
            "is_new": self.is_new,
            "files": len(self.manifest.files),
            "publication_verdict": self.report.verdict,
            "publication_spoken": self.report.spoken,
            "witnesses": [{"name": a.witness, "cosigned": a.line is not None, "answer": a.why} for a in self.answers],
        }


def publish(
    directory: Path,
    store: Store,
    key: Ed25519PrivateKey,
    policy: Policy | None = None,
    verify: Verify = verify_directory,
    validators: Validators | None = None,
) -> Published:
    """Publish a directory that `solvent prove` wrote.

    Args:
        key: of the log.
        policy: whose witnesses are asked, and whose quorum has to be there before readers see the publication.
        verify: for tests.
        validators: whose certificate of this state has to be in the publication; None asks for none.

    Raises:
        VerificationError: the verifier refuses the publication; LOG_ENTRY: it does not follow the last one.
        Insolvent: its verdict is "insolvent".
        InputError: a file that does not belong there, another key, a store in use.
    """
    with store.publishing():
        sign_new(store, key)
        staged = store.stage(directory)
        report = verify(staged)
        if not report.accepted:
            raise Insolvent(report)
        if validators is not None:
            require_certificate(staged, validators, report.statement)
        manifest = manifest_of(staged, report.statement)
        index, is_new = _place(store, manifest)
        if is_new:
            (staged / MANIFEST_FILE).write_bytes(manifest.to_bytes())
            store.keep(staged, [*(file.name for file in manifest.files), MANIFEST_FILE])
            store.append(index, manifest.entry)
            sign_new(store, key)
        return _witnessed(store, policy, manifest, report, index, is_new)


def _place(store: Store, manifest: Manifest) -> tuple[int, bool]:
    """The entry's index, and whether it is a new one. Raises BadLog: LOG_ENTRY."""
    entry = manifest.entry
    known = store.find(entry.sequence)
    if known is not None and known.entry == entry:
        return known.index, False
    if known is not None:
        where, published = f"publication {entry.sequence}", f"the one that is published, {known.entry.statement.hex()}"
        refuse(where, published, f"another one, {entry.statement.hex()}", Reason.LOG_ENTRY)
    last = store.last()
    require_next(None if last is None else last.entry, entry, f"publication {entry.sequence}")
    return (0 if last is None else last.index + 1), True


def _witnessed(
    store: Store, policy: Policy | None, manifest: Manifest, report: Report, index: int, is_new: bool
) -> Published:
    answers = collect(store, policy) if policy is not None else ()
    return Published(manifest, report, index, is_new, answers, show(store, policy))
