"""Ethereum and its relatives: EIP-191 over the challenge's text, or EIP-712 over its data, by the address's own key.

Who signs for a contract's address is the contract's business (ERC-1271): a node has to be asked, so that is
inconclusive here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from api.reserves.results import Outcome, Undecodable, failed, inconclusive, verified

ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Of the curve secp256k1."""
SIGNATURE_BYTES: Final = 65
CONTRACT_BYTES_MAX: Final = 4096
EIP_191, EIP_712, ERC_1271 = "EIP-191", "EIP-712", "ERC-1271"

_HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})+")


def decode_signature(text: str) -> bytes:
    """r, s and v (65 bytes), or whatever a contract understands.

    Raises:
        Undecodable: not hex, or too long.
    """
    if len(text) > 2 + 2 * CONTRACT_BYTES_MAX or not _HEX.fullmatch(text):
        raise Undecodable(f"0x and hex of {SIGNATURE_BYTES} bytes (for a contract at most {CONTRACT_BYTES_MAX})")
    return bytes.fromhex(text[2:])


def check(
    account: bytes, text: str, typed_data: dict[str, Any] | None, signature: bytes, owners: tuple[bytes, ...] = ()
) -> Outcome:
    """Whether the key of `account` (20 bytes) signed the challenge.

    Args:
        text: signed by EIP-191.
        typed_data: the same challenge, signed by EIP-712.
        owners: accounts whose keys are said to sign for a contract. The first one has to have signed; whether it speaks
            for the contract stays open.
    """
    if len(signature) != SIGNATURE_BYTES:
        return inconclusive(
            f"{len(signature)} bytes: a contract's signature, for which a node has to be asked", ERC_1271
        )
    r, s, v = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64]
    if v not in (27, 28):
        return failed(f"v is {v}, expected 27 or 28")
    if not (0 < r < ORDER and 0 < s < ORDER):
        return failed("r or s is not below the curve's order, or 0")
    if s > ORDER // 2:
        return failed("s is in the upper half of the curve's order: anybody can make that from another signature")
    signer = owners[0] if owners else account
    scheme = next((name for name, key in _signers(text, typed_data, signature) if key == signer), None)
    if scheme is None:
        return failed(f"signed by another key than that of 0x{signer.hex()}, or something else was signed")
    if owners:
        return inconclusive("whether its owners' keys speak for a contract, only a node knows", f"{scheme}, {ERC_1271}")
    return verified(scheme)


def _signers(text: str, typed_data: dict[str, Any] | None, signature: bytes) -> Iterator[tuple[str, bytes]]:
    """Whose signature this would be, by one scheme after the other: recovering a key is what costs here."""
    from eth_account import Account
    from eth_account.messages import encode_defunct, encode_typed_data
    from eth_keys.exceptions import BadSignature

    for name, data in ((EIP_191, text), (EIP_712, typed_data)):
        if data is None:
            continue
        message = encode_defunct(text=data) if isinstance(data, str) else encode_typed_data(full_message=data)
        try:
            yield name, bytes.fromhex(Account.recover_message(message, signature=signature)[2:])
        except BadSignature:
            continue
