"""Signing checkpoints: the log's own signature, and a witness's cosignature. Reading them is `verifier.log`'s."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from prover.errors import InputError
from prover.prices import public_key
from verifier.log.checkpoint import Checkpoint
from verifier.log.note import (
    COSIGNATURE_V1,
    ED25519,
    TIMESTAMP_BYTES,
    Note,
    Signature,
    VerifierKey,
    cosigned_bytes,
    format_note,
    is_name,
)


def log_key(origin: str, key: Ed25519PrivateKey) -> VerifierKey:
    """What a log of this origin is known by. Raises InputError: the origin cannot name a key."""
    return VerifierKey(_name(origin, "--origin"), ED25519, public_key(key))


def witness_key(name: str, key: Ed25519PrivateKey) -> VerifierKey:
    """What a witness of this name is known by. Raises InputError."""
    return VerifierKey(_name(name, "--name"), COSIGNATURE_V1, public_key(key))


def sign_checkpoint(checkpoint: Checkpoint, key: Ed25519PrivateKey) -> bytes:
    """The checkpoint under the log's signature: always the same bytes, as Ed25519 draws nothing."""
    signer = log_key(checkpoint.origin, key)
    signature = Signature(signer.name, signer.key_id, key.sign(checkpoint.text.encode()))
    return format_note(Note(checkpoint.text, (signature,)))


def cosign(text: str, time: int, name: str, key: Ed25519PrivateKey) -> Signature:
    """A witness's cosignature of a checkpoint's text.

    Args:
        time: seconds since 1970, above 0.
    """
    value = time.to_bytes(TIMESTAMP_BYTES, "big") + key.sign(cosigned_bytes(text, time))
    return Signature(name, witness_key(name, key).key_id, value)


def _name(name: str, option: str) -> str:
    if not is_name(name) or not name.isprintable():
        raise InputError(field=option, got=name, expected="a name without blanks and plus, like example.com/log")
    return name
