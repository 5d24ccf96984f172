"""A receipt: all that one user needs, in one file.

It holds four documents as they are published or handed out: the user's bundle, the statement, the publication's
manifest, and what shows that manifest in the transparency log. What it leaves out is the proof behind the statement,
which has the size of a film, not of a letter: `--against DIR` verifies that one as well. docs/protocol.md, section 12.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from verifier.canonical import dumps, read_document, refuse
from verifier.errors import Reason
from verifier.inclusion import BUNDLE_BYTES_MAX, InclusionReport, check_bundle
from verifier.log.check import check_documents
from verifier.log.policy import read_policy
from verifier.log.proof import PROOF_BYTES_MAX
from verifier.manifest import MANIFEST_BYTES_MAX
from verifier.report import Against
from verifier.statement import STATEMENT_BYTES_MAX, parse_statement

FORMAT = "solvent/receipt/v1"
RECEIPT_BYTES_MAX = BUNDLE_BYTES_MAX + STATEMENT_BYTES_MAX + MANIFEST_BYTES_MAX + 2 * PROOF_BYTES_MAX
_CLAIM = re.compile(rb'"sequence":([0-9]{1,15})[,}]')
"""In a receipt the first one is the bundle's, too."""
_START = b'{"bundle":'
"""How every receipt begins, and no bundle: keys are sorted."""


@dataclass(frozen=True)
class Receipt:
    """The four documents, each in its own one spelling.

    Args:
        log_proof: a tlog-proof, UTF-8.
    """

    bundle: bytes
    statement: bytes
    manifest: bytes
    log_proof: bytes

    def to_bytes(self) -> bytes:
        """The file."""
        before, after = around_bundle(self.statement, self.manifest, self.log_proof)
        return before + self.bundle.removesuffix(b"\n") + after


def around_bundle(statement: bytes, manifest: bytes, log_proof: bytes) -> tuple[bytes, bytes]:
    """What stands before and after a bundle in all receipts of one publication."""
    proof = dumps(log_proof.decode()).removesuffix(b"\n")
    inner = b"%s,%s,%s,%s}\n" % (
        b'"format":' + dumps(FORMAT).removesuffix(b"\n"),
        b'"log_proof":' + proof,
        b'"manifest":' + manifest.removesuffix(b"\n"),
        b'"statement":' + statement.removesuffix(b"\n"),
    )
    return _START, b"," + inner


def is_receipt(data: bytes) -> bool:
    """Whether a user's file is to be read as a receipt, and not as a bundle."""
    return data.startswith(_START)


def claimed_sequence(data: bytes) -> int | None:
    """Which publication a user's file says that it belongs to, only to know where to look; None where it does not."""
    found = _CLAIM.search(data)
    return None if found is None else int(found[1])


def parse_receipt(data: bytes) -> Receipt:
    """Take a receipt apart. None of the documents is looked at.

    Raises:
        MalformedProof: FILE_TOO_LARGE, MALFORMED, TRAILING_BYTES, NON_CANONICAL, UNKNOWN_VERSION.
    """
    top = read_document(data, RECEIPT_BYTES_MAX, "receipt", FORMAT, ("bundle", "statement", "manifest", "log_proof"))
    bundle, statement, manifest = (top.document(key) for key in ("bundle", "statement", "manifest"))
    return Receipt(bundle, statement, manifest, top.string("log_proof", PROOF_BYTES_MAX).encode())


def check_user_file(
    data: bytes,
    directory: Path | None = None,
    *,
    circuit: str | None = None,
    statement_only: bool = False,
    log_policy: Path | None = None,
    user_id: str | None = None,
    nonce: bytes | None = None,
) -> tuple[InclusionReport, Against | None]:
    """Check what a user holds, a bundle or a receipt, by itself or against a publication.

    Args:
        data: the file.
        directory: of the publication, which is verified first; None compares a receipt with its own statement, whose
            proof is then not looked at, and a bundle with nothing.
        circuit, statement_only: as for `verifier.report.Against.read`.
        log_policy: whom to believe about the transparency log. A receipt then has to be in it by its own log proof; for
            a bundle the directory has to. Without one nobody's signature is asked for, and the steps say so.
        user_id, nonce: as for `verifier.inclusion.check_bundle`.

    Returns:
        The report on the account, and the publication that it was compared with.

    Raises:
        VerificationError: the publication, the receipt or the bundle is refused.
    """
    receipt = parse_receipt(data) if is_receipt(data) else None
    against = None
    if directory is not None:
        in_log = None if receipt else log_policy
        against = Against.read(directory, circuit=circuit, statement_only=statement_only, log_policy=in_log)
    if receipt is not None:
        against, data = _against_receipt(receipt, against, circuit, log_policy), receipt.bundle
    statement = None if against is None else against.statement
    return check_bundle(data, statement, user_id=user_id, nonce=nonce), against


def _against_receipt(receipt: Receipt, verified: Against | None, circuit: str | None, policy: Path | None) -> Against:
    """The receipt's statement with its place in the log; it has to be the one of the publication at hand."""
    statement = parse_statement(receipt.statement)
    if verified is None:
        against = Against.stated(statement, circuit)
    elif verified.statement.digest == statement.digest:
        against = verified
    else:
        expected, got = f"that of the publication, {verified.statement.digest.hex()}", statement.digest.hex()
        refuse("receipt.statement", expected, got, Reason.WRONG_STATEMENT)
    whom = None if policy is None else read_policy(policy)
    return replace(against, logged=check_documents(receipt.manifest, receipt.log_proof, statement, whom))
