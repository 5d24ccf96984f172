"""One file that shows offline that something is in a log: c2sp.org/tlog-proof, v1."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from verifier.canonical import refuse, require_size
from verifier.errors import Reason
from verifier.log.checkpoint import Opened, open_checkpoint, parse_checkpoint, parse_digest, parse_number
from verifier.log.note import NOTE_BYTES_MAX, unbase64
from verifier.log.policy import Policy
from verifier.log.tree import PROOF_DIGESTS_MAX, check_inclusion

HEADER = "c2sp.org/tlog-proof@v1"
PROOF_BYTES_MAX = 2 * NOTE_BYTES_MAX


@dataclass(frozen=True)
class LogProof:
    """What the file says.

    Args:
        extra: opaque, under no signature; None where the file has none. Ours have none.
        path: digests of 32 bytes from the leaf's sibling up.
        checkpoint: its bytes as they stand there.
    """

    index: int
    path: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = None

    def to_bytes(self) -> bytes:
        """The file."""
        extra = [] if self.extra is None else [f"extra {_base64(self.extra)}"]
        lines = [HEADER, *extra, f"index {self.index}", *map(_base64, self.path), ""]
        return "".join(line + "\n" for line in lines).encode() + self.checkpoint


def parse_log_proof(data: bytes, name: str = "log proof") -> LogProof:
    """Read the file. Neither path nor signatures are checked.

    Raises:
        MalformedProof: FILE_TOO_LARGE, MALFORMED or NON_CANONICAL.
    """
    require_size(data, PROOF_BYTES_MAX, name)
    head, blank, checkpoint = data.partition(b"\n\n")
    if not blank or not head.isascii():
        refuse(name, "ASCII lines, an empty line and a checkpoint", "something else")
    lines = head.decode("ascii").split("\n")
    if lines.pop(0) != HEADER:
        refuse(name, f"the first line {HEADER}", head.decode("ascii"), Reason.UNKNOWN_VERSION)
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = unbase64(lines[0].removeprefix("extra "))
        if extra is None:
            refuse(f"{name}, extra", "base64 as RFC 4648 writes it", lines[0])
        lines.pop(0)
    if not lines or not lines[0].startswith("index "):
        refuse(name, "a line with the index", lines[0] if lines else "none")
    index = parse_number(lines.pop(0).removeprefix("index "), f"{name}, index")
    if len(lines) > PROOF_DIGESTS_MAX:
        refuse(name, f"at most {PROOF_DIGESTS_MAX} digests", f"{len(lines)} of them")
    path = tuple(parse_digest(line, f"{name}, digest {i}") for i, line in enumerate(lines))
    parse_checkpoint(checkpoint, f"{name}, checkpoint")
    return LogProof(index, path, checkpoint, extra)


def check_log_proof(proof: LogProof, leaf: bytes, policy: Policy) -> Opened:
    """Whether the entry with this leaf hash is in the log of a checkpoint that `policy` accepts.

    Raises:
        VerificationError: as `verifier.log.checkpoint.open_checkpoint`; LOG_INCLUSION.
    """
    opened = open_checkpoint(proof.checkpoint, policy, "log proof, checkpoint")
    check_inclusion(leaf, proof.index, opened.checkpoint.size, proof.path, opened.checkpoint.root)
    return opened


def pack_digests(digests: Sequence[bytes]) -> str:
    """One digest per line, in base64, as in a proof and in a witness's request."""
    return "".join(_base64(digest) + "\n" for digest in digests)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
