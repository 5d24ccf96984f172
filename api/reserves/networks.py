"""The networks that are understood: how their addresses are decoded, and which signatures speak for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from api.reserves.results import Undecodable
from verifier.reserves_evidence import ADDRESS_CHARACTERS_MAX

BITCOIN, EVM, EDWARDS, OTHER = "bitcoin", "evm", "edwards", "other"
"""Families. `OTHER`: no verifier here, so never more than inconclusive."""


@dataclass(frozen=True, slots=True)
class Network:
    """One ledger.

    Args:
        name: as in a challenge, upper case.
        chain_id: of EIP-155, 0 outside the EVM family.
        native: symbol of the coin that the ledger itself counts.
    """

    name: str
    family: str
    chain_id: int = 0
    native: str = ""


@dataclass(frozen=True, slots=True)
class Address:
    """A decoded address.

    Args:
        text: the one spelling that a challenge uses.
        key: what the ledger sees (script, account number, public key): equal for all spellings of one address.
    """

    text: str
    key: bytes


_NETWORKS: Final[Mapping[str, Network]] = {
    network.name: network
    for network in (
        Network("BTC", BITCOIN, native="BTC"),
        Network("ETH", EVM, 1, "ETH"),
        Network("OPTIMISM", EVM, 10, "ETH"),
        Network("BSC", EVM, 56, "BNB"),
        Network("POLYGON", EVM, 137, "POL"),
        Network("BASE", EVM, 8453, "ETH"),
        Network("ARBITRUM", EVM, 42161, "ETH"),
        Network("AVAXC", EVM, 43114, "AVAX"),
        Network("SOL", EDWARDS, native="SOL"),
        Network("NEAR", EDWARDS, native="NEAR"),
        Network("APTOS", EDWARDS, native="APT"),
    )
}
_ALIASES: Final[Mapping[str, str]] = {
    "BITCOIN": "BTC",
    "ETHEREUM": "ETH",
    "ERC20": "ETH",
    "BEP20": "BSC",
    "POLY": "POLYGON",
    "SOLANA": "SOL",
}
_NAME = re.compile(r"[A-Z0-9][A-Z0-9._-]{0,31}")
_TOKEN_SUFFIXES: Final = frozenset({*_NETWORKS, *_ALIASES, "TRC20", "TON"})

_HEX_20 = re.compile(r"0x[0-9a-fA-F]{40}")
_HEX_48 = re.compile(r"0x[0-9a-fA-F]{96}")
_HEX_32 = re.compile(r"(?:0x)?([0-9a-fA-F]{64})")
_BASE58 = re.compile(r"[1-9A-HJ-NP-Za-km-z]{32,44}")
_VISIBLE = re.compile(r"[!-~]+")


def network_of(name: str) -> Network:
    """The network of a name in any case; one that nobody knows is of family `OTHER`.

    Raises:
        Undecodable: not a name.
    """
    upper = name.strip().upper()
    upper = _ALIASES.get(upper, upper)
    if not _NAME.fullmatch(upper):
        raise Undecodable("1 to 32 letters, digits, dots, dashes or underscores")
    return _NETWORKS.get(upper, Network(upper, OTHER))


def asset_of(coin: str) -> str:
    """The asset of a coin's label, in capitals: OKX writes `USDT-ERC20` and `ETH-ARBITRUM` for USDT and ETH."""
    symbol, _, suffix = coin.upper().rpartition("-")
    return symbol if symbol and suffix in _TOKEN_SUFFIXES else coin.upper()


def decode_address(network: Network, text: str, *, staked: bool = False) -> Address:
    """Read an address strictly.

    Args:
        staked: an EVM network's row names a beacon chain validator, by its key of 48 bytes.

    Raises:
        Undecodable: not an address of this network.
    """
    if not _VISIBLE.fullmatch(text) or len(text) > ADDRESS_CHARACTERS_MAX:
        raise Undecodable(f"1 to {ADDRESS_CHARACTERS_MAX} visible ASCII characters")
    if network.family == BITCOIN:
        return _bitcoin(text)
    if network.family == EVM:
        return _validator(text) if staked else _evm(text)
    if network.family == EDWARDS:
        return _edwards(network, text)
    return Address(text, text.encode())


def _bitcoin(text: str) -> Address:
    from btclib.script.script_pub_key import ScriptPubKey

    try:
        script = ScriptPubKey.from_address(text)
        again = script.address
    except ValueError:
        raise Undecodable("a Bitcoin address (base58check, bech32 or bech32m)") from None
    if script.network != "mainnet":
        raise Undecodable("an address of Bitcoin's main network")
    return Address(again, bytes(script.script))


def _evm(text: str) -> Address:
    from eth_utils.address import to_checksum_address

    if not _HEX_20.fullmatch(text):
        raise Undecodable("0x and 40 hex digits")
    digits = text[2:]
    # One case throughout carries no checksum (EIP-55); mixed case does, and a wrong one is a typing error.
    if digits not in (digits.lower(), digits.upper()) and to_checksum_address(text.lower()) != text:
        raise Undecodable("an address whose capitals are the checksum of EIP-55")
    return Address(text.lower(), bytes.fromhex(digits))


def _validator(text: str) -> Address:
    if not _HEX_48.fullmatch(text):
        raise Undecodable("0x and 96 hex digits, a validator's key")
    return Address(text.lower(), bytes.fromhex(text[2:]))


def _edwards(network: Network, text: str) -> Address:
    if network.name == "SOL":
        import base58

        key = base58.b58decode(text) if _BASE58.fullmatch(text) else b""
        if len(key) != 32:
            raise Undecodable("32 bytes in base58")
        return Address(text, key)
    match = _HEX_32.fullmatch(text)
    if match is None:
        raise Undecodable("64 hex digits")
    digits = match[1].lower()
    return Address(digits if network.name == "NEAR" else "0x" + digits, bytes.fromhex(digits))
