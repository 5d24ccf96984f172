"""Bitcoin: BIP-322 (simple and full) for every address, and the older `signmessage` for those that are a key's hash.

BIP-322 runs the address's own script, so multisig and Taproot need nothing special. What it calls inconclusive stays so
here, and so does a signature under time locks (it is valid at a later time, or age, of which we know nothing) and a
proof of funds (further outputs, which only a node knows).
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from api.reserves.evm import ORDER
from api.reserves.results import Outcome, Undecodable, failed, inconclusive, verified

SIGNATURE_CHARACTERS_MAX: Final = 20_000
COMPACT_BYTES: Final = 65
"""A recovery flag, r and s: `signmessage`. No BIP-322 signature has this length."""
LEGACY: Final = "signmessage"
PREFIXES: Final = ("smp", "ful", "pof")


def decode_signature(text: str) -> bytes:
    """The bytes of a signature, without the prefix that says how they are meant.

    Raises:
        Undecodable: not base64 in its one spelling.
    """
    body = text[3:] if text.startswith(PREFIXES) else text
    try:
        raw = base64.b64decode(body.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raw = b""
    if not raw or len(text) > SIGNATURE_CHARACTERS_MAX or base64.b64encode(raw).decode() != body:
        raise Undecodable(f"at most {SIGNATURE_CHARACTERS_MAX} characters of base64")
    return raw


def check(address: str, message: bytes, signature: str) -> Outcome:
    """Whether the owner of `address` (decodable) signed `message`."""
    try:
        raw = decode_signature(signature)
        if len(raw) == COMPACT_BYTES:
            return _check_legacy(address, message, signature, raw)
        return _check_bip322(address, message, signature)
    except Exception as error:
        # Whatever a library raises over a hostile signature, one address is not signed and the others are looked at.
        return failed(f"not a signature of this address: {str(error) or type(error).__name__}")


def _check_legacy(address: str, message: bytes, signature: str, raw: bytes) -> Outcome:
    """`signmessage` recovers a key from the signature and compares its hash: other addresses are not a key's hash."""
    from btclib.ecc import bms
    from btclib.script.script_pub_key import ScriptPubKey

    if ScriptPubKey.from_address(address).type not in ("p2pkh", "p2sh", "p2wpkh"):
        return failed("signmessage does not fit this kind of address, expected a BIP-322 signature", LEGACY)
    if int.from_bytes(raw[33:], "big") > ORDER // 2:
        return failed(
            "s is in the upper half of the curve's order: anybody can make that from another signature", LEGACY
        )
    bms.assert_as_valid(message, address, signature)
    return verified(LEGACY)


def _check_bip322(address: str, message: bytes, signature: str) -> Outcome:
    from btclib.exceptions import InconclusiveError
    from btclib.script.engine import verify_transaction
    from btclib.script.script_pub_key import ScriptPubKey
    from btclib.tx import Tx
    from btclib_wallet import bip322
    from btclib_wallet.psbt import Psbt

    parsed = bip322.Sig.b64decode(signature)
    names = {bip322.SIMPLE: "simple", bip322.FULL: "full", bip322.PROOF_OF_FUNDS: "proof of funds"}
    scheme = f"BIP-322 {names[parsed.variant]}"
    if isinstance(parsed.payload, Psbt):
        return inconclusive("a proof of funds speaks of further outputs, which only a node knows", scheme)
    try:
        bip322.assert_as_valid(message, address, parsed, legacy=False)
    except InconclusiveError as error:
        return inconclusive(str(error), scheme)
    spend = bip322.to_spend(message, ScriptPubKey.from_address(address).script)
    tx = parsed.payload if isinstance(parsed.payload, Tx) else bip322.to_sign(spend, witness=parsed.payload)
    signatures: list[int] = []
    verify_transaction(spend.vout, tx, bip322.REQUIRED_RULES, hash_types=signatures)
    if not signatures:
        # Such a script is satisfied by the same bytes whatever the message: nothing binds them to the challenge.
        return failed("the address's script asks for no signature: anybody can satisfy it", scheme)
    time, age = tx.lock_time, tx.vin[0].sequence
    if time or age:
        return inconclusive(f"valid at time {time} and age {age} only, which is not now", scheme)
    return verified(scheme)
