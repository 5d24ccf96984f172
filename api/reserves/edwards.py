"""Ledgers with Ed25519 keys: the address is the key (Solana, NEAR's implicit accounts) or its hash (Aptos).

Signatures are verified by `verifier.ed25519`, which takes only what every library takes.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

from api.reserves.results import Outcome, Undecodable, failed, inconclusive, verified
from verifier.ed25519 import SIGNATURE_BYTES, is_key, is_valid

SCHEME: Final = "Ed25519"
APTOS_SINGLE_KEY: Final = b"\x00"
"""Authentication key of an Aptos account: SHA3-256(public key | scheme)."""

_HEX = re.compile(r"(?:0x)?([0-9a-fA-F]{128})")
_HEX_KEY = re.compile(r"(?:0x)?([0-9a-fA-F]{64})")
_BASE58 = re.compile(r"[1-9A-HJ-NP-Za-km-z]{64,88}")


def decode_signature(text: str) -> bytes:
    """64 bytes from hex or base58.

    Raises:
        Undecodable: neither.
    """
    match = _HEX.fullmatch(text)
    if match is not None:
        return bytes.fromhex(match[1])
    if _BASE58.fullmatch(text):
        import base58

        raw = base58.b58decode(text)
        if len(raw) == SIGNATURE_BYTES:
            return raw
    raise Undecodable(f"{SIGNATURE_BYTES} bytes in hex or base58")


def decode_key(text: str) -> bytes:
    """32 bytes from hex.

    Raises:
        Undecodable: not that.
    """
    match = _HEX_KEY.fullmatch(text)
    if match is None:
        raise Undecodable("64 hex digits, an Ed25519 public key")
    return bytes.fromhex(match[1])


def check(network: str, account: bytes, message: bytes, signature: bytes, key: bytes | None) -> Outcome:
    """Whether the key of `account` (32 bytes) signed `message`.

    Args:
        key: the public key, for a ledger whose addresses are its hash; elsewhere None or the address itself.
    """
    if network != "APTOS":
        if key is not None and key != account:
            return failed("the public key is not the address's", SCHEME)
        key = account
    elif key is None:
        return failed("expected the public key of which the address is the hash", SCHEME)
    if not is_key(key):
        return failed("the address is no public key: nobody can sign for it (a program's address?)", SCHEME)
    if not is_valid(key, message, signature):
        return failed("signed by another key, or something else was signed", SCHEME)
    if network == "APTOS" and hashlib.sha3_256(key + APTOS_SINGLE_KEY).digest() != account:
        return inconclusive(
            "the address is not this key's hash: whether it was rotated to it, only a node knows", SCHEME
        )
    return verified(SCHEME)
