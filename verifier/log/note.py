"""Signed notes and verifier keys: c2sp.org/signed-note, v1.0.0, with Ed25519 (types 0x01 and 0x04) and nothing else.

Read strictly: what is accepted has exactly one spelling, so `format_note(parse_note(data)) == data`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from verifier.canonical import refuse, require_size
from verifier.ed25519 import SIGNATURE_BYTES, is_key, is_valid
from verifier.errors import BadLog, Reason

NOTE_BYTES_MAX = 2**18
SIGNATURES_MAX = 64
"""More than the 16 that every reader has to take, and enough for as many of 5 kB."""
KEY_ID_BYTES = 4
ED25519, COSIGNATURE_V1 = 0x01, 0x04
"""Signature types: of a note, and of a checkpoint with the time at which a witness saw it."""
TIMESTAMP_BYTES, TIMESTAMP_END = 8, 2**63
VKEY_CHARACTERS_MAX = 1024

_SIGNATURE_LINE = re.compile(r"— ([^ ]+) ([A-Za-z0-9+/]+={0,2})")
_VKEY = re.compile(r"([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


@dataclass(frozen=True)
class Signature:
    """One signature line.

    Args:
        key_id: 4 bytes.
        value: what follows the key id: 64 bytes of Ed25519, or 8 bytes of time before them in a cosignature.
    """

    name: str
    key_id: bytes
    value: bytes

    @property
    def line(self) -> str:
        """The line without its newline."""
        return f"— {self.name} {base64.b64encode(self.key_id + self.value).decode('ascii')}"


@dataclass(frozen=True)
class Note:
    """A text, which ends in a newline, and signatures that nobody has checked yet."""

    text: str
    signatures: tuple[Signature, ...]


@dataclass(frozen=True)
class VerifierKey:
    """Who signs: a name, and an Ed25519 key of 32 bytes for one signature type."""

    name: str
    kind: int
    key: bytes

    @property
    def key_id(self) -> bytes:
        """4 bytes that with the name point to this key."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.key).digest()[:KEY_ID_BYTES]

    @property
    def vkey(self) -> str:
        """`name+id+base64`, as keys are published."""
        material = base64.b64encode(bytes([self.kind]) + self.key).decode("ascii")
        return f"{self.name}+{self.key_id.hex()}+{material}"

    def is_of(self, signature: Signature) -> bool:
        """Whether the signature says it is by this key."""
        return (signature.name, signature.key_id) == (self.name, self.key_id)

    def verifies(self, text: str, signature: Signature) -> bool:
        """Whether it is, for a note with this text."""
        value = signature.value
        if self.kind == COSIGNATURE_V1:
            time = cosigned_at(signature)
            return time is not None and is_valid(self.key, cosigned_bytes(text, time), value[TIMESTAMP_BYTES:])
        return is_valid(self.key, text.encode(), value)


def cosigned_at(signature: Signature) -> int | None:
    """Seconds since 1970 of a cosignature; None where it has not the shape of one, or no time."""
    if len(signature.value) != TIMESTAMP_BYTES + SIGNATURE_BYTES:
        return None
    time = int.from_bytes(signature.value[:TIMESTAMP_BYTES], "big")
    return time if 0 < time < TIMESTAMP_END else None


def cosigned_bytes(text: str, time: int) -> bytes:
    """What a witness signs: c2sp.org/tlog-cosignature, Ed25519."""
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def parse_vkey(text: str, kind: int, where: str = "key") -> VerifierKey:
    """Read a verifier key of one signature type.

    Raises:
        BadLog: LOG_POLICY: no key, another type, another id than the key's, or a point of small or mixed order.
    """
    expected = f"name+id+base64 of signature type {kind} and an Ed25519 key"
    match = _VKEY.fullmatch(text) if len(text) <= VKEY_CHARACTERS_MAX else None
    material = unbase64(match[3]) if match else None
    if match is None or material is None or not is_name(match[1]):
        refuse(where, expected, text, Reason.LOG_POLICY)
    key = VerifierKey(match[1], material[0], material[1:])
    if key.kind != kind or not is_key(key.key):
        refuse(where, expected, text, Reason.LOG_POLICY)
    if key.key_id.hex() != match[2]:
        refuse(where, f"the id {key.key_id.hex()} of this key", match[2], Reason.LOG_POLICY)
    return key


def parse_note(data: bytes, name: str = "note") -> Note:
    """Read a signed note; the signatures are not checked.

    Raises:
        MalformedProof: FILE_TOO_LARGE; MALFORMED: not UTF-8, a control character, no text, no or too many signatures,
            or a signature line that is none; NON_CANONICAL: base64 with another spelling of the same bytes.
    """
    require_size(data, NOTE_BYTES_MAX, name)
    try:
        whole = data.decode()
    except UnicodeDecodeError:
        refuse(name, "UTF-8", "other bytes")
    if _CONTROL.search(whole):
        refuse(name, "no control character but the newline", "one")
    text, _, rest = whole.rpartition("\n\n")
    if not text:
        refuse(name, "a text, an empty line and signatures", whole)
    if not rest.endswith("\n"):
        refuse(name, "signature lines that end in a newline", rest)
    lines = rest[:-1].split("\n")
    if len(lines) > SIGNATURES_MAX:
        refuse(name, f"at most {SIGNATURES_MAX} signatures", f"{len(lines)} of them")
    return Note(text + "\n", tuple(parse_signature(line, name) for line in lines))


def parse_signature(line: str, name: str) -> Signature:
    """Read a signature line, without its newline. Raises as `parse_note`."""
    match = _SIGNATURE_LINE.fullmatch(line)
    if match is None or not is_name(match[1]):
        refuse(name, "signature lines of a dash, a name without blanks or plus, and base64", line)
    value = unbase64(match[2])
    if value is None:
        refuse(name, "base64 as RFC 4648 writes it", match[2], Reason.NON_CANONICAL)
    if len(value) <= KEY_ID_BYTES:
        refuse(name, "a key id of four bytes and a signature", match[2])
    return Signature(match[1], value[:KEY_ID_BYTES], value[KEY_ID_BYTES:])


def format_note(note: Note) -> bytes:
    """The note's one spelling."""
    return (note.text + "\n" + "".join(signature.line + "\n" for signature in note.signatures)).encode()


def verified(note: Note, keys: Sequence[VerifierKey], reason: Reason) -> tuple[tuple[VerifierKey, Signature], ...]:
    """The signatures by these keys, all of which are good. Signatures by unknown keys are ignored.

    Raises:
        BadLog: `reason`, where one that names a known key is not by that key.
    """
    good = []
    for signature in note.signatures:
        for key in keys:
            if key.is_of(signature):
                if not key.verifies(note.text, signature):
                    message = f"{signature.name}: expected a signature of this note by {key.vkey}, got another"
                    raise BadLog(reason, message, field=signature.name)
                good.append((key, signature))
    return tuple(good)


def is_name(text: str) -> bool:
    """Whether this may be a key's name: no blanks (Unicode's), no plus, no lone surrogate, not empty."""
    return bool(text) and not any(c.isspace() or c < " " or c == "+" or "\ud800" <= c <= "\udfff" for c in text)


def unbase64(text: str) -> bytes | None:
    """The bytes of standard base64 in its one spelling; None for anything else, nothing included."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if data and base64.b64encode(data).decode("ascii") == text else None
