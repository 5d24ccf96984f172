"""Ethereum signatures: known answers, a slow twin, and what must not pass."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st
from py_ecc.secp256k1 import secp256k1

from api.reserves.evm import CONTRACT_BYTES_MAX, ORDER, check, decode_signature
from api.reserves.results import Status, Undecodable
from tests.api.reserves.signed import challenge_for, ethereum_address, sign_eip191, sign_eip712

ACCOUNT = bytes.fromhex(ethereum_address()[2:])
OTHER = bytes.fromhex(ethereum_address(b"\x03" * 32)[2:])
CHALLENGE = challenge_for("ETH", ethereum_address())
# The example of EIP-712 (github.com/ethereum/EIPs, EIPS/eip-712.md and assets/eip-712/Example.js, CC0)
MAIL = {
    "types": {
        "EIP712Domain": [
            {"name": "name", "type": "string"},
            {"name": "version", "type": "string"},
            {"name": "chainId", "type": "uint256"},
            {"name": "verifyingContract", "type": "address"},
        ],
        "Person": [{"name": "name", "type": "string"}, {"name": "wallet", "type": "address"}],
        "Mail": [
            {"name": "from", "type": "Person"},
            {"name": "to", "type": "Person"},
            {"name": "contents", "type": "string"},
        ],
    },
    "primaryType": "Mail",
    "domain": {
        "name": "Ether Mail",
        "version": "1",
        "chainId": 1,
        "verifyingContract": "0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC",
    },
    "message": {
        "from": {"name": "Cow", "wallet": "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826"},
        "to": {"name": "Bob", "wallet": "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB"},
        "contents": "Hello, Bob!",
    },
}
MAIL_DIGEST = "be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2"
MAIL_SIGNATURE = (
    "4355c47d63924e8a72e509b65029052eb6c299d53a04e167c5775fd466751c9d"
    "07299936d304c153f6443dfa05f40ff007d72911b6f72307f996231605b91562"
    "1c"
)
COW = "cd2a3d9f938e13cd947ec05abc7fe734df8dd826"
# eth-account's documentation of `Account.recover_message`, EIP-191 over "I♥SF".
HEART = "5ce9454909639d2d17a3f753ce7d93fa0b9ab12e"
HEART_SIGNATURE = (
    "e6ca9bba58c88611fad66a6ce8f996908195593807c4b38bd528d2cff09d4eb3"
    "3e5bfbbf4d3e39b1a2fd816a7680c19ebebaf3a141b239934ad43cb33fcec8ce"
    "1c"
)


def slow_signer(digest: bytes, signature: bytes) -> bytes:
    """Recovery in plain Python."""
    r, s, v = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64]
    x, y = secp256k1.ecdsa_raw_recover(digest, (v, r, s))
    return keccak(x.to_bytes(32, "big") + y.to_bytes(32, "big"))[12:]


def test_the_vector_of_eip_712() -> None:
    message = encode_typed_data(full_message=MAIL)
    digest = keccak(b"\x19" + message.version + message.header + message.body)
    signature = bytes.fromhex(MAIL_SIGNATURE)
    assert digest.hex() == MAIL_DIGEST
    assert slow_signer(digest, signature).hex() == COW
    outcome = check(bytes.fromhex(COW), "", MAIL, signature)
    assert (outcome.status, outcome.scheme) == (Status.VERIFIED, "EIP-712")
    assert check(bytes.fromhex(COW), "", None, signature).status == Status.FAILED


def test_a_known_answer_of_eip_191() -> None:
    text, signature = "I♥SF", bytes.fromhex(HEART_SIGNATURE)
    raw = text.encode()
    digest = keccak(b"\x19Ethereum Signed Message:\n" + str(len(raw)).encode() + raw)
    assert slow_signer(digest, signature).hex() == HEART
    outcome = check(bytes.fromhex(HEART), text, None, signature)
    assert (outcome.status, outcome.scheme) == (Status.VERIFIED, "EIP-191")


@settings(max_examples=6)
@given(st.binary(min_size=32, max_size=32).filter(lambda b: 0 < int.from_bytes(b, "big") < ORDER), st.text(max_size=60))
def test_the_slow_twin_agrees(secret: bytes, text: str) -> None:
    text = text.encode("utf-8", "ignore").decode()
    signature = decode_signature(sign_eip191(text, secret))
    account = bytes.fromhex(ethereum_address(secret)[2:])
    raw = text.encode()
    digest = keccak(b"\x19Ethereum Signed Message:\n" + str(len(raw)).encode() + raw)
    assert slow_signer(digest, signature) == account
    assert check(account, text, None, signature).status == Status.VERIFIED


def test_both_schemes_bind_every_field() -> None:
    for sign in (sign_eip712, lambda challenge: sign_eip191(challenge.text)):
        signature = decode_signature(sign(CHALLENGE))
        assert check(ACCOUNT, CHALLENGE.text, CHALLENGE.typed_data, signature).status == Status.VERIFIED
        block = CHALLENGE.block
        for other in (
            replace(CHALLENGE, exchange="Acme"),
            replace(CHALLENGE, sequence=8),
            replace(CHALLENGE, block=replace(block, height=block.height + 1)),
            replace(CHALLENGE, block=replace(block, hash="ac" * 32)),
            replace(CHALLENGE, block=challenge_for("BTC", "bc1qz5s0ppmjpcvprqpdakdu8qqcm2v3z8us334at6").block),
            challenge_for("ETH", ethereum_address(b"\x03" * 32)),
        ):
            assert check(ACCOUNT, other.text, other.typed_data, signature).status == Status.FAILED


def test_another_key_fails() -> None:
    signature = decode_signature(sign_eip191(CHALLENGE.text))
    outcome = check(OTHER, CHALLENGE.text, CHALLENGE.typed_data, signature)
    assert outcome.status == Status.FAILED
    assert "signed by another key" in outcome.reason


def test_a_signature_made_from_another_one_is_refused() -> None:
    raw = decode_signature(sign_eip191(CHALLENGE.text))
    s = int.from_bytes(raw[32:64], "big")
    mirrored = raw[:32] + (ORDER - s).to_bytes(32, "big") + bytes([55 - raw[64]])
    outcome = check(ACCOUNT, CHALLENGE.text, None, mirrored)
    assert outcome.status == Status.FAILED
    assert "upper half" in outcome.reason


@pytest.mark.parametrize("v", [0, 1, 26, 29, 37, 255])
def test_v_is_27_or_28(v: int) -> None:
    raw = decode_signature(sign_eip191(CHALLENGE.text))
    outcome = check(ACCOUNT, CHALLENGE.text, None, raw[:64] + bytes([v]))
    assert (outcome.status, outcome.reason) == (Status.FAILED, f"v is {v}, expected 27 or 28")


@pytest.mark.parametrize(("r", "s"), [(0, 1), (1, 0), (ORDER, 1), (1, ORDER), (2**256 - 1, 1)])
def test_r_and_s_are_in_range(r: int, s: int) -> None:
    raw = r.to_bytes(32, "big") + s.to_bytes(32, "big") + b"\x1b"
    outcome = check(ACCOUNT, CHALLENGE.text, None, raw)
    assert (outcome.status, outcome.reason) == (Status.FAILED, "r or s is not below the curve's order, or 0")


def test_the_half_of_the_order_is_the_last_s() -> None:
    for s, reason in ((ORDER // 2, "signed by another key"), (ORDER // 2 + 1, "s is in the upper half")):
        raw = b"\x01" * 32 + s.to_bytes(32, "big") + b"\x1b"
        assert check(ACCOUNT, CHALLENGE.text, None, raw).reason.startswith(reason)


def test_a_point_that_is_on_no_curve_fails() -> None:
    raw = (5).to_bytes(32, "big") + (1).to_bytes(32, "big") + b"\x1b"
    assert check(ACCOUNT, CHALLENGE.text, CHALLENGE.typed_data, raw).status == Status.FAILED


def test_contracts_are_inconclusive_and_never_more() -> None:
    assert check(ACCOUNT, CHALLENGE.text, None, b"\x01" * 130).status == Status.INCONCLUSIVE
    signature = decode_signature(sign_eip191(CHALLENGE.text))
    contract = b"\xcc" * 20
    outcome = check(contract, CHALLENGE.text, None, signature, (ACCOUNT,))
    assert (outcome.status, outcome.scheme) == (Status.INCONCLUSIVE, "EIP-191, ERC-1271")
    assert check(contract, CHALLENGE.text, None, signature, (OTHER,)).status == Status.FAILED
    # Naming oneself as one's own owner gains nothing.
    assert check(ACCOUNT, CHALLENGE.text, None, signature, (ACCOUNT,)).status == Status.INCONCLUSIVE


def test_signatures_are_hex() -> None:
    assert decode_signature("0x" + "00" * CONTRACT_BYTES_MAX) == bytes(CONTRACT_BYTES_MAX)
    for bad in ("", "0x", "0x123", "12" * 65, "0x" + "zz" * 65, "0x" + "00" * 4097, " 0x" + "00" * 65):
        with pytest.raises(Undecodable, match=re.escape("0x and hex of 65 bytes")):
            decode_signature(bad)


@settings(max_examples=30)
@given(st.one_of(st.binary(max_size=140), st.binary(min_size=65, max_size=65)))
def test_bytes_at_random_neither_pass_nor_raise(signature: bytes) -> None:
    assert check(ACCOUNT, CHALLENGE.text, CHALLENGE.typed_data, signature).status != Status.VERIFIED
