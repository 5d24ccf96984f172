"""Bitcoin signatures: the BIP's own vectors, wallets of ours, a slow twin, and what must not pass."""

from __future__ import annotations

import base64
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from btclib.hashes import hash160, magic_message
from btclib.script.script_pub_key import ScriptPubKey
from btclib.script.sig_hash import ALL, from_tx
from btclib.script.witness import Witness
from btclib_wallet import bip322
from ecc.curves import bytes_from_prv_key_int
from ecc.ecc import dsa
from hypothesis import given
from hypothesis import strategies as st
from py_ecc.secp256k1 import secp256k1

from api.reserves.bitcoin import check, decode_signature
from api.reserves.evm import ORDER
from api.reserves.results import Status, Undecodable
from tests.api.reserves.signed import KINDS, bitcoin_address, bitcoin_key, sign_bip322, sign_legacy

FOLDER = Path(__file__).parent / "vectors"
BASIC, GENERATED = (json.loads((FOLDER / f"{name}-test-vectors.json").read_text()) for name in ("basic", "generated"))
SIMPLE = [
    (v["message"], v["address"], s) for v in BASIC["simple"] + GENERATED["simple"] for s in v["bip322_signatures"]
]
FULL = [(v["message"], v["address"], s) for v in GENERATED["full"] for s in v["bip322_signatures"]]
FUNDS = [(v["message"], v["address"], s) for v in GENERATED["proof_of_funds"] for s in v["bip322_signatures"]]
ERRORS = [(v["description"], v["message"], v["address"], v["signature"]) for v in BASIC["error"] + GENERATED["error"]]
MESSAGE = "pay attention"


@pytest.mark.parametrize("vector", BASIC["tx_hashes"], ids=lambda v: v["message"] or "empty")
def test_the_virtual_transactions_of_the_bip(vector: dict[str, Any]) -> None:
    message = vector["message"].encode("utf-16", "surrogatepass").decode("utf-16").encode()
    spend = bip322.to_spend(message, ScriptPubKey.from_address(vector["address"]).script)
    assert bip322.message_hash(message).hex() == vector["message_hash"]
    assert spend.id.hex() == vector["to_spend_tx_hash"]
    assert bip322.to_sign(spend).id.hex() == vector["to_sign_tx_hash"]


@pytest.mark.parametrize(("message", "address", "signature"), SIMPLE)
def test_official_simple_signatures_are_verified(message: str, address: str, signature: str) -> None:
    outcome = check(address, message.encode(), signature)
    assert (outcome.status, outcome.scheme, outcome.reason) == (Status.VERIFIED, "BIP-322 simple", "")
    assert check(address, message.encode() + b"!", signature).status == Status.FAILED


@pytest.mark.parametrize(("message", "address", "signature"), FULL)
def test_official_full_signatures_are_good_but_at_another_time(message: str, address: str, signature: str) -> None:
    # All of them set lock time and sequence to 2016: "valid at time T and age S" in the BIP's words.
    outcome = check(address, message.encode(), signature)
    assert outcome.status == Status.INCONCLUSIVE
    assert outcome.reason == "valid at time 2016 and age 2016 only, which is not now"
    assert check(address, message.encode() + b"!", signature).status == Status.FAILED


@pytest.mark.parametrize(("time", "age"), [(0, 0), (2016, 0), (0, 2016)])
def test_a_time_or_an_age_alone_leaves_it_open(time: int, age: int) -> None:
    address, key = bitcoin_address("p2wpkh"), bitcoin_key()
    spend = bip322.to_spend(MESSAGE.encode(), ScriptPubKey.from_address(address).script)
    tx = bip322.to_sign(spend, lock_time=time, sequence=age)
    signature = dsa.sign_(from_tx(spend.vout, tx, 0, ALL), key.q).serialize() + bytes([ALL])
    tx.vin[0].script_witness = Witness([signature, bytes_from_prv_key_int(key.q, compressed=True)])
    outcome = check(address, MESSAGE.encode(), bip322.Sig(tx).b64encode())
    open_ = f"valid at time {time} and age {age} only, which is not now"
    expected = (Status.INCONCLUSIVE, open_) if time or age else (Status.VERIFIED, "")
    assert (outcome.status, outcome.reason) == expected


def test_what_the_bip_calls_inconclusive_is_left_open() -> None:
    address = ScriptPubKey(b"\x52\x20" + b"\x07" * 32).address  # a witness program of a version to come
    outcome = check(address, MESSAGE.encode(), bip322.Sig(Witness([b"\x01"])).b64encode())
    assert (outcome.status, outcome.scheme) == (Status.INCONCLUSIVE, "BIP-322 simple")


@pytest.mark.parametrize(("message", "address", "signature"), FUNDS)
def test_a_proof_of_funds_needs_a_node(message: str, address: str, signature: str) -> None:
    outcome = check(address, message.encode(), signature)
    assert (outcome.status, outcome.scheme) == (Status.INCONCLUSIVE, "BIP-322 proof of funds")


@pytest.mark.parametrize(("why", "message", "address", "signature"), ERRORS, ids=[error[0] for error in ERRORS])
def test_official_errors_fail(why: str, message: str, address: str, signature: str) -> None:
    assert check(address, message.encode(), signature).status == Status.FAILED


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_address_signs_by_bip_322(kind: str) -> None:
    address = bitcoin_address(kind)
    signature = sign_bip322(MESSAGE, address)
    outcome = check(address, MESSAGE.encode(), signature)
    assert (outcome.status, outcome.scheme[:8]) == (Status.VERIFIED, "BIP-322 ")
    others = [bitcoin_address(other) for other in KINDS if other != kind] + [bitcoin_address(kind, 77)]
    assert {check(other, MESSAGE.encode(), signature).status for other in others} == {Status.FAILED}


@pytest.mark.parametrize("kind", KINDS[:3])
def test_signmessage_where_the_address_is_a_keys_hash(kind: str) -> None:
    address = bitcoin_address(kind)
    signature = sign_legacy(MESSAGE, address)
    assert check(address, MESSAGE.encode(), signature).status == Status.VERIFIED
    assert check(address, b"another", signature).status == Status.FAILED
    assert check(bitcoin_address(kind, 77), MESSAGE.encode(), signature).status == Status.FAILED
    # The slow twin recovers the same key.
    raw = base64.b64decode(signature)
    digest = sha256(magic_message(MESSAGE.encode())).digest()
    v, r, s = 27 + ((raw[0] - 27) & 3), int.from_bytes(raw[1:33], "big"), int.from_bytes(raw[33:], "big")
    x, y = secp256k1.ecdsa_raw_recover(digest, (v, r, s))
    key = bytes([2 + y % 2]) + x.to_bytes(32, "big")
    own = secp256k1.privtopub(bitcoin_key().q.to_bytes(32, "big"))
    assert (x, y) == own
    hashed = hash160(b"\x00\x14" + hash160(key)) if kind == "p2sh-p2wpkh" else hash160(key)
    assert hashed in bytes(ScriptPubKey.from_address(address).script)


def test_signmessage_says_nothing_about_taproot() -> None:
    outcome = check(bitcoin_address("p2tr"), MESSAGE.encode(), sign_legacy(MESSAGE, bitcoin_address("p2pkh")))
    assert outcome.status == Status.FAILED
    assert "expected a BIP-322 signature" in outcome.reason


def test_a_signature_made_from_another_one_is_refused() -> None:
    address = bitcoin_address("p2pkh")
    raw = base64.b64decode(sign_legacy(MESSAGE, address))
    s = int.from_bytes(raw[33:], "big")
    mirrored = bytes([27 + 4 + ((raw[0] - 27) & 3 ^ 1)]) + raw[1:33] + (ORDER - s).to_bytes(32, "big")
    outcome = check(address, MESSAGE.encode(), base64.b64encode(mirrored).decode())
    assert outcome.status == Status.FAILED
    assert "upper half" in outcome.reason


def test_base64_has_one_spelling() -> None:
    good = sign_bip322(MESSAGE, bitcoin_address("p2wpkh"))
    assert decode_signature(good) == decode_signature(good.removeprefix("smp"))
    assert check(bitcoin_address("p2wpkh"), MESSAGE.encode(), good.removeprefix("smp")).status == Status.VERIFIED
    padded = base64.b64encode(b"one more byte?").decode()  # ends in =
    bad_ones = (
        "",
        "smp",
        good + "\n",
        " " + good,
        padded.rstrip("="),
        good[:-3] + "~~~",
        "ä",
        "A" * 20_004,
        "YWJ=",
    )  # of YWI=
    for bad in (*bad_ones, "YWJ="):  # which decodes as YWI= does
        with pytest.raises(Undecodable):
            decode_signature(bad)
        assert check(bitcoin_address("p2wpkh"), MESSAGE.encode(), bad).status == Status.FAILED


@given(st.binary(min_size=1, max_size=200), st.sampled_from(["", "smp", "ful", "pof"]))
def test_bytes_at_random_neither_pass_nor_raise(data: bytes, prefix: str) -> None:
    text = prefix + base64.b64encode(data).decode()
    assert check(bitcoin_address("p2wpkh"), MESSAGE.encode(), text).status != Status.VERIFIED


@pytest.mark.parametrize("kind", KINDS)
def test_every_flipped_byte_is_noticed(kind: str) -> None:
    address = bitcoin_address(kind)
    signature = sign_bip322(MESSAGE, address)
    raw = base64.b64decode(signature[3:])
    for i in range(0, len(raw), 7):
        changed = raw[:i] + bytes([raw[i] ^ 1]) + raw[i + 1 :]
        text = signature[:3] + base64.b64encode(changed).decode()
        assert check(address, MESSAGE.encode(), text).status != Status.VERIFIED, i


def _p2wsh(script: bytes) -> str:
    return ScriptPubKey(b"\x00\x20" + sha256(script).digest()).address


@pytest.mark.parametrize(
    ("script", "stack"),
    [
        (b"\x51", []),  # OP_TRUE
        (b"\xa8\x20" + sha256(b"open").digest() + b"\x87", [b"open"]),  # OP_SHA256 <digest> OP_EQUAL
    ],
)
def test_a_script_that_asks_for_no_signature_shows_nothing(script: bytes, stack: list[bytes]) -> None:
    text = bip322.Sig(Witness([*stack, script])).b64encode()
    for message in (b"one", b"another"):  # the same bytes satisfy it for every message
        outcome = check(_p2wsh(script), message, text)
        assert (outcome.status, "asks for no signature" in outcome.reason) == (Status.FAILED, True)


def test_an_anchor_is_nobodys() -> None:
    text = bip322.Sig(Witness([])).b64encode()
    assert check("bc1pfeessrawgf", MESSAGE.encode(), text).status != Status.VERIFIED
