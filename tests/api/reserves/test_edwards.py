"""Ed25519 ledgers: RFC 8032's vectors as wallets, a library as twin, and what must not pass."""

from __future__ import annotations

import hashlib

import base58
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.reserves.edwards import check, decode_key, decode_signature
from api.reserves.results import Status, Undecodable
from tests.api.reserves.signed import sign_ed25519, solana_address

KEY = base58.b58decode(solana_address())
MESSAGE = b"pay attention"
SIGNATURE = Ed25519PrivateKey.from_private_bytes(b"\x02" * 32).sign(MESSAGE)
# RFC 8032, section 7.1, test 3: public key, message, signature.
RFC_KEY = bytes.fromhex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025")
RFC_MESSAGE = bytes.fromhex("af82")
RFC_SIGNATURE = bytes.fromhex(
    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
    "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
)


def test_the_vector_of_the_rfc() -> None:
    for network in ("SOL", "NEAR"):
        assert check(network, RFC_KEY, RFC_MESSAGE, RFC_SIGNATURE, None).status == Status.VERIFIED
        assert check(network, RFC_KEY, RFC_MESSAGE, RFC_SIGNATURE, RFC_KEY).status == Status.VERIFIED
        assert check(network, RFC_KEY, b"\xaf\x83", RFC_SIGNATURE, None).status == Status.FAILED


def test_the_address_is_the_key() -> None:
    assert check("SOL", KEY, MESSAGE, SIGNATURE, None).status == Status.VERIFIED
    outcome = check("SOL", RFC_KEY, MESSAGE, SIGNATURE, KEY)
    assert (outcome.status, outcome.reason) == (Status.FAILED, "the public key is not the address's")
    assert check("SOL", RFC_KEY, MESSAGE, SIGNATURE, None).status == Status.FAILED


def test_a_programs_address_has_no_key() -> None:
    # y = 2 is on no point of the curve; the neutral element is a point that signs for anything.
    for account in ((2).to_bytes(32, "little"), (1).to_bytes(32, "little")):
        outcome = check("SOL", account, MESSAGE, SIGNATURE, None)
        assert outcome.status == Status.FAILED
        assert "no public key" in outcome.reason


def test_an_aptos_address_is_the_hash_of_its_key() -> None:
    account = hashlib.sha3_256(KEY + b"\x00").digest()
    assert check("APTOS", account, MESSAGE, SIGNATURE, KEY).status == Status.VERIFIED
    assert check("APTOS", account, MESSAGE, SIGNATURE, None).status == Status.FAILED
    assert check("APTOS", account, b"another", SIGNATURE, KEY).status == Status.FAILED
    # Somebody's good signature beside somebody else's address: a rotated key, or a theft.
    assert check("APTOS", b"\xde\xad" * 16, MESSAGE, SIGNATURE, KEY).status == Status.INCONCLUSIVE


def test_spellings() -> None:
    assert decode_signature(SIGNATURE.hex()) == decode_signature("0x" + SIGNATURE.hex()) == SIGNATURE
    assert decode_signature(sign_ed25519(MESSAGE.decode())) == SIGNATURE
    assert decode_key(KEY.hex()) == KEY
    for bad in (
        "",
        "0x",
        SIGNATURE.hex()[:-2],
        solana_address(),
        base58.b58encode(b"\x07" * 63).decode(),
        "l" * 88,
        base58.b58encode(SIGNATURE).decode() + "\n",
    ):
        with pytest.raises(Undecodable):
            decode_signature(bad)
    with pytest.raises(Undecodable):
        decode_key(solana_address())
