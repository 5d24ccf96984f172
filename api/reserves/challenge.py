"""What is signed: one line of text (or EIP-712 data) per address, which fits one exchange, snapshot and block.

    solvent/reserves/v1 sequence 7 network BTC block 870000 0000..5e address bc1q..xy exchange Acme

The block's hash is known to nobody before the block, so the signature is not older; the sequence ties it to one
snapshot and the exchange's name to one exchange: the same signature is worth nothing elsewhere. The name comes last
because it is the only part that may hold blanks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from api.reserves.networks import BITCOIN, EVM, Address, Network, decode_address, network_of
from api.reserves.results import Undecodable
from verifier.canonical import Record, dumps, read_document, refuse
from verifier.errors import Reason
from verifier.reserves_evidence import (
    ADDRESS_CHARACTERS_MAX,
    ADDRESSES_MAX,
    HASH_CHARACTERS_MAX,
    HEIGHT_MAX,
    NETWORKS_MAX,
)
from verifier.statement import EXCHANGE_CHARACTERS_MAX

FORMAT: Final = "solvent/reserves-challenges/v1"
TEXT_FORMAT: Final = "solvent/reserves/v1"
CHALLENGES_BYTES_MAX: Final = 1 << 26

_HEX_HASH = re.compile(r"[0-9a-f]{64}")
_BASE58_HASH = re.compile(r"[1-9A-HJ-NP-Za-km-z]{32,44}")
_LINE: Final = TEXT_FORMAT + " sequence {} network {} block {} {} address {} exchange {}"
_TEXT = re.compile(
    rf"{re.escape(TEXT_FORMAT)} sequence (0|[1-9][0-9]{{0,15}}) network (\S+) block (0|[1-9][0-9]{{0,15}}) (\S+) "
    r"address (\S+) exchange (.+)"
)
_FIELDS: Final = ("sequence", "network", "block height", "block hash", "address", "exchange")
_TYPES: Final = {
    "EIP712Domain": (("name", "string"), ("version", "string"), ("chainId", "uint256")),
    "ReservesChallenge": (
        ("exchange", "string"),
        ("sequence", "uint64"),
        ("network", "string"),
        ("blockHeight", "uint64"),
        ("blockHash", "bytes32"),
        ("account", "address"),
    ),
}


@dataclass(frozen=True, slots=True)
class Block:
    """One network's block. `hash` is spelled as explorers print it, without 0x: 64 hex digits, or base58."""

    network: Network
    height: int
    hash: str


@dataclass(frozen=True, slots=True)
class Challenge:
    """What one address signs."""

    exchange: str
    sequence: int
    block: Block
    address: Address

    @property
    def text(self) -> str:
        """One line; what wallets sign as a message (UTF-8)."""
        return _LINE.format(*self._values())

    def _values(self) -> tuple[str, ...]:
        """In the order of `_FIELDS`."""
        block = self.block
        return str(self.sequence), block.network.name, str(block.height), block.hash, self.address.text, self.exchange

    @property
    def typed_data(self) -> dict[str, Any] | None:
        """The same as EIP-712 data for `eth_signTypedData_v4`; None outside the EVM family."""
        if self.block.network.family != EVM or len(self.address.key) != 20:
            return None
        return {
            "types": {name: [{"name": n, "type": t} for n, t in fields] for name, fields in _TYPES.items()},
            "primaryType": "ReservesChallenge",
            "domain": {"name": "Solvent reserves", "version": "1", "chainId": self.block.network.chain_id},
            "message": {
                "exchange": self.exchange,
                "sequence": self.sequence,
                "network": self.block.network.name,
                "blockHeight": self.block.height,
                "blockHash": "0x" + self.block.hash,
                "account": self.address.text,
            },
        }

    def differs(self, message: str) -> str:
        """Why `message` is not this challenge's text, in words; empty where it is."""
        if message == self.text:
            return ""
        match = _TEXT.fullmatch(message)
        if match is None:
            return "the message is not a challenge: whoever saw it once can show it again for any snapshot"
        pairs = zip(_FIELDS, match.groups(), self._values(), strict=True)
        wrong = [f"{name} {theirs}, expected {ours}" for name, theirs, ours in pairs if theirs != ours]
        return f"the message is the challenge of another {'; '.join(wrong)}"


@dataclass(frozen=True, slots=True)
class Challenges:
    """All that one snapshot's addresses have to sign."""

    exchange: str
    sequence: int
    blocks: tuple[Block, ...]
    addresses: tuple[tuple[Network, Address], ...]

    @classmethod
    def make(
        cls, exchange: str, sequence: int, blocks: Iterable[Block], addresses: Iterable[tuple[Network, Address]]
    ) -> Challenges:
        """Sorted, each address once."""
        wanted = {(network.name, address.key): (network, address) for network, address in addresses}
        ordered = tuple(wanted[key] for key in sorted(wanted))
        return cls(exchange, sequence, tuple(sorted(blocks, key=lambda block: block.network.name)), ordered)

    def all(self) -> list[Challenge]:
        """One per address, in the file's order."""
        blocks = {block.network.name: block for block in self.blocks}
        return [
            Challenge(self.exchange, self.sequence, blocks[network.name], address)
            for network, address in self.addresses
        ]

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        return dumps(
            {
                "format": FORMAT,
                "exchange": self.exchange,
                "sequence": self.sequence,
                "blocks": blocks_data(self.blocks),
                "challenges": [
                    {
                        "network": each.block.network.name,
                        "address": each.address.text,
                        "message": each.text,
                        "typed_data": each.typed_data,
                    }
                    for each in self.all()
                ],
            }
        )


def parse_challenges(data: bytes) -> Challenges:
    """Read what `to_bytes` wrote. Texts are computed again, and have to be those of the file.

    Raises:
        MalformedProof, BadReserves: the field, what was expected and what was there.
    """
    keys = ("exchange", "sequence", "blocks", "challenges")
    top = read_document(data, CHALLENGES_BYTES_MAX, "challenges", FORMAT, keys)
    blocks = read_blocks(top)
    rows = top.records("challenges", ("network", "address", "message", "typed_data"), ADDRESSES_MAX)
    addresses = read_addresses(rows, blocks)
    exchange, sequence = top.text("exchange", EXCHANGE_CHARACTERS_MAX), top.integer("sequence", 0, 2**53 - 1)
    challenges = Challenges.make(exchange, sequence, blocks, addresses)
    if challenges.to_bytes() != data:
        expected = "each address once, sorted, with the text that follows from it"
        refuse("challenges.challenges", expected, "something else", Reason.RESERVES)
    return challenges


def blocks_data(blocks: Iterable[Block]) -> list[dict[str, object]]:
    """Blocks as JSON."""
    return [{"network": block.network.name, "height": block.height, "hash": block.hash} for block in blocks]


def read_blocks(top: Record) -> tuple[Block, ...]:
    """The list `blocks`, each network once, sorted."""
    blocks: list[Block] = []
    for row in top.records("blocks", ("network", "height", "hash"), NETWORKS_MAX):
        network = _read_network(row)
        if blocks and network.name <= blocks[-1].network.name:
            refuse(row.where("network"), "each network once, sorted by name", network.name)
        height, text = row.integer("height", 0, HEIGHT_MAX), row.symbol("hash", HASH_CHARACTERS_MAX)
        try:
            blocks.append(make_block(network, height, text))
        except Undecodable as error:
            refuse(row.where("hash"), str(error), text)
    return tuple(blocks)


def read_addresses(rows: Iterable[Record], blocks: Iterable[Block]) -> list[tuple[Network, Address]]:
    """The fields `network` and `address` of each object; a network has to be that of a block."""
    known, addresses = {block.network.name for block in blocks}, []
    for row in rows:
        network, address = _read_address(row)
        if network.name not in known:
            refuse(row.where("network"), "a network with a block", network.name, Reason.RESERVES)
        addresses.append((network, address))
    return addresses


def _read_address(row: Record) -> tuple[Network, Address]:
    network, text = _read_network(row), row.symbol("address", ADDRESS_CHARACTERS_MAX)
    try:
        # A validator's key can be challenged, too: it has another length, so nothing is mistaken for it.
        address = decode_address(network, text, staked=network.family == EVM and len(text) == 2 + 2 * 48)
    except Undecodable as error:
        refuse(row.where("address"), str(error), text, Reason.RESERVES)
    if address.text != text:
        refuse(row.where("address"), address.text, text, Reason.NON_CANONICAL)
    return network, address


def make_block(network: Network, height: int, text: str) -> Block:
    """A block from what a person wrote; 0x before the hash is dropped.

    Raises:
        Undecodable: not a block's hash.
    """
    plain = text.removeprefix("0x").lower()
    if _HEX_HASH.fullmatch(plain):
        return Block(network, height, plain)
    has_hex_only = network.family in (EVM, BITCOIN)
    if not has_hex_only and _BASE58_HASH.fullmatch(text):
        return Block(network, height, text)
    raise Undecodable("a block's hash: 64 hex digits" + ("" if has_hex_only else ", or 32 bytes in base58"))


def _read_network(row: Record) -> Network:
    name = row.symbol("network")
    try:
        network = network_of(name)
    except Undecodable as error:
        refuse(row.where("network"), str(error), name)
    if network.name != name:
        refuse(row.where("network"), network.name, name, Reason.NON_CANONICAL)
    return network
