"""Keys that anybody can compute, and what they sign."""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.notes import cosign, log_key, sign_checkpoint, witness_key
from verifier.log.checkpoint import Checkpoint, with_signatures
from verifier.log.note import parse_note
from verifier.log.policy import Policy, parse_policy

ORIGIN = "example.com/log"


def key_of(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


LOG_KEY = key_of("log")
LOG_VKEY = log_key(ORIGIN, LOG_KEY)


def root(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def signed(size: int, root: bytes, origin: str = ORIGIN, key: Ed25519PrivateKey = LOG_KEY) -> bytes:
    return sign_checkpoint(Checkpoint(origin, size, root), key)


def witness_vkey(name: str) -> str:
    return witness_key(name, key_of(name)).vkey


def cosigned(note: bytes, *names: str, time: int = 1_700_000_000) -> bytes:
    parsed = parse_note(note)
    return with_signatures(parsed, [cosign(parsed.text, time, name, key_of(name)).line for name in names])


def policy_text(*witnesses: str, k: int | None = None, log: str = LOG_VKEY.vkey) -> str:
    lines = [f"log {log}", *(f"witness {name} {witness_vkey(name)}" for name in witnesses)]
    if k is None:
        return "\n".join([*lines, "quorum none", ""])
    return "\n".join([*lines, f"group all-of-them {k} {' '.join(witnesses)}", "quorum all-of-them", ""])


def policy(*witnesses: str, k: int | None = None) -> Policy:
    return parse_policy(policy_text(*witnesses, k=k).encode())
