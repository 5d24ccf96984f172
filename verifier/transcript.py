"""The one place where challenges are made. It knows the order of a proof and refuses any other."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Iterator

from verifier.air import ConstraintSystem
from verifier.encoding import as_exts
from verifier.errors import InvariantBroken, Reason, UnacceptableParameters
from verifier.field import EXTENSION_DEGREE, Ext, P
from verifier.hashing import transcript_digest
from verifier.params import ProofParams
from verifier.protocol import ABSORB, DRAW, GRIND, POSITIONS, PROTOCOL, Step, schedule

_WORD_MASK = 0x7FFFFFFF


class TranscriptOrderError(InvariantBroken):
    """A step other than the next one of the schedule was asked for: our own bug."""


class Transcript:
    """Fiat-Shamir over BLAKE2s; both prover and verifier use this class.

    Every challenge depends on everything absorbed before it, the labels and lengths included.
    """

    def __init__(self, steps: tuple[Step, ...]) -> None:
        self._steps = steps
        self._next = 0
        self.state = transcript_digest(b"")

    @classmethod
    def start(
        cls, system: ConstraintSystem, params: ProofParams, log2_rows: int, statement_digest: bytes
    ) -> Transcript:
        """Step 1 of the protocol: bound to protocol, circuit, parameters, rows and statement."""
        transcript = cls(schedule(system, params, log2_rows))
        transcript.absorb("protocol", PROTOCOL)
        transcript.absorb("circuit", system.digest)
        transcript.absorb("parameters", params.digest)
        transcript.absorb("rows", struct.pack("<I", log2_rows))
        transcript.absorb("statement", statement_digest)
        return transcript

    def absorb(self, label: str, data: bytes) -> None:
        step = self._advance(ABSORB, label)
        if len(data) != step.count:
            raise TranscriptOrderError(f"{label} has {len(data)} bytes, the schedule says {step.count}")
        self._absorb(label, data)

    def grind(self, label: str, nonce: int) -> None:
        """Check and absorb a proof of work.

        Raises:
            UnacceptableParameters: GRINDING.
        """
        bits = self._advance(GRIND, label).bits
        self._absorb(label, struct.pack("<Q", nonce))
        if (bits == 0 and nonce != 0) or _work(self.state, bits) != 0:
            raise UnacceptableParameters(
                Reason.GRINDING,
                f"the nonce {nonce} does not show {bits} bits of work at {label!r}",
                label=label,
            )

    def find_nonce(self, label: str, search: Callable[[bytes, int], int] | None = None) -> int:
        """The least nonce that `grind` will accept next (prover); nothing is absorbed yet.

        `search(prefix, bits)` may do in a faster way what `search_nonce` does.
        """
        bits = self._peek(GRIND, label).bits
        if bits == 0:
            return 0
        return (search or search_nonce)(self.state + _header(0, label) + struct.pack("<Q", 8), bits)

    def draw(self, label: str) -> tuple[Ext, ...]:
        """As many extension elements as the schedule says: uniform, since words >= p are skipped."""
        step = self._advance(DRAW, label)
        words = (word for u32 in self._stream(label) if (word := u32 & _WORD_MASK) < P)
        return as_exts(tuple(itertools.islice(words, EXTENSION_DEGREE * step.count)))

    def draw_one(self, label: str) -> Ext:
        (element,) = self.draw(label)
        return element

    def draw_positions(self, label: str) -> tuple[int, ...]:
        """Positions in the evaluation domain, with replacement, in the order drawn."""
        step = self._advance(POSITIONS, label)
        mask = (1 << step.bits) - 1
        return tuple(u32 & mask for u32 in itertools.islice(self._stream(label), step.count))

    def finish(self) -> None:
        if self._next != len(self._steps):
            raise TranscriptOrderError(f"the transcript ends before {self._steps[self._next].label!r}")

    def _peek(self, kind: str, label: str) -> Step:
        step = self._steps[self._next] if self._next < len(self._steps) else Step("end", "")
        if (step.kind, step.label) != (kind, label):
            raise TranscriptOrderError(f"{kind} {label!r} instead of {step.kind} {step.label!r}")
        return step

    def _advance(self, kind: str, label: str) -> Step:
        step = self._peek(kind, label)
        self._next += 1
        return step

    def _absorb(self, label: str, data: bytes) -> None:
        self.state = transcript_digest(self.state + _header(0, label) + struct.pack("<Q", len(data)) + data)

    def _stream(self, label: str) -> Iterator[int]:
        """Enter the label at once; then u32 after u32 without end."""
        self.state = transcript_digest(self.state + _header(1, label))
        return _expand(self.state)


def search_nonce(prefix: bytes, bits: int) -> int:
    """The least nonce with which prefix || nonce (8 bytes) hashes to a state that shows `bits` bits of work."""
    nonce = 0
    while _work(transcript_digest(prefix + nonce.to_bytes(8, "little")), bits) != 0:
        nonce += 1
    return nonce


def _expand(state: bytes) -> Iterator[int]:
    counter = 0
    while True:
        yield from struct.unpack("<8I", transcript_digest(state + b"\x02" + struct.pack("<Q", counter)))
        counter += 1


def _header(tag: int, label: str) -> bytes:
    name = label.encode("ascii")
    return bytes((tag, len(name))) + name


def _work(state: bytes, bits: int) -> int:
    """The bits that must be zero."""
    return int.from_bytes(transcript_digest(state + b"\x03")[:4], "little") & ((1 << bits) - 1)
