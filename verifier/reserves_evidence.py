"""`reserves-evidence.json`: which addresses stand behind the reserves, at which blocks, and who says what they hold.

Checked here: the file belongs to this exchange and snapshot, its totals are the sums of its verified addresses, and
they are the amounts of `reserves.csv`. Its *signatures* need libraries: `solvent reserves check` verifies them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from verifier.canonical import SAFE_INTEGER_END, Record, read_document, refuse
from verifier.errors import Reason
from verifier.instruments import SPOT, SYMBOL_CHARACTERS_MAX, Instrument
from verifier.reserves import parse_reserves
from verifier.statement import EXCHANGE_CHARACTERS_MAX, units

FILE = "reserves-evidence.json"
FORMAT = "solvent/reserves-evidence/v1"
EVIDENCE_BYTES_MAX = 1 << 25
ADDRESSES_MAX, NETWORKS_MAX, ASSETS_MAX = 50_000, 64, 2**14
DECIMALS = 30
"""Amounts are integers of 10^-30 units here: more than any ledger has."""
WHOLE_DIGITS_MAX = 40
HEIGHT_MAX = 2**48
ADDRESS_CHARACTERS_MAX, HASH_CHARACTERS_MAX, SIGNATURE_CHARACTERS_MAX = 128, 64, 20_000
REASON_CHARACTERS_MAX = 400
KEYS = ("exchange", "sequence", "balances", "blocks", "addresses", "totals")
ADDRESS_KEYS = (
    *("asset", "network", "address", "amount", "signature1", "signature2", "public_key", "owner1", "owner2", "staked"),
    *("result", "scheme", "reason"),
)
PART_KEYS = ("network", "height", "hash", "amount", "addresses")
SOURCES = {"claimed": "the exchange's word", "file": "a file of whoever checked", "node": "from nodes"}
VERIFIED, INCONCLUSIVE = "verified", "inconclusive"

_AMOUNT = re.compile(r"(0|[1-9][0-9]*)(?:\.([0-9]*[1-9]))?")


@dataclass(frozen=True)
class Part:
    """What an asset's verified addresses hold on one network.

    Args:
        hash: of the block, hex or base58.
        amount: in 10^-DECIMALS units.
        addresses: how many.
    """

    network: str
    height: int
    hash: str
    amount: int
    addresses: int


@dataclass(frozen=True)
class ReservesEvidence:
    """An evidence file that agrees with itself.

    Args:
        balances: who says what the addresses hold, a key of `SOURCES`.
        totals: parts by asset, in the file's order.
        verified, inconclusive: how many addresses; only the former count.
        sha256: of the file, hex.
    """

    exchange: str
    sequence: int
    balances: str
    totals: Mapping[str, tuple[Part, ...]]
    verified: int
    inconclusive: int
    sha256: str

    @property
    def summary(self) -> str:
        """One line."""
        blocks = sorted({(p.network, p.height, p.hash) for parts in self.totals.values() for p in parts})
        where = ", ".join(f"{network} {height} ({text})" for network, height, text in blocks) or "no block"
        left = f", {self.inconclusive} not counted" if self.inconclusive else ""
        return f"{self.verified} addresses signed{left}, balances {SOURCES[self.balances]}, at {where}"

    @property
    def caveat(self) -> str:
        """What is still open, one sentence."""
        whose = "" if self.balances != "claimed" else "; what they hold is the exchange's own figure"
        return f"signatures of the reserves are not checked here, `solvent reserves check` does that{whose}"

    def to_json(self) -> dict[str, Any]:
        """For `--json`; amounts in whole units."""
        return {
            "summary": self.summary,
            "balances": self.balances,
            "verified": self.verified,
            "inconclusive": self.inconclusive,
            "sha256": self.sha256,
            "totals": {
                asset: [
                    {
                        "network": part.network,
                        "height": part.height,
                        "hash": part.hash,
                        "amount": units(part.amount, DECIMALS),
                        "addresses": part.addresses,
                    }
                    for part in parts
                ]
                for asset, parts in self.totals.items()
            },
        }


class Held(Protocol):
    """What reserves are held for: a statement, or a snapshot that is still to be proved."""

    @property
    def exchange(self) -> str: ...
    @property
    def sequence(self) -> int: ...
    @property
    def instruments(self) -> tuple[Instrument, ...]: ...


def check_reserves_evidence(data: bytes, reserves: bytes, statement: Held) -> ReservesEvidence:
    """Read an evidence file and compare it with a statement and the reserves that its verdict rests on.

    Args:
        data: `reserves-evidence.json`.
        reserves: `reserves.csv`.
        statement: or a snapshot's `meta`.

    Raises:
        MalformedProof: it does not decode.
        BadReserves: RESERVES where it is another exchange's or snapshot's, its totals are not the sums of its
            addresses, or an amount of `reserves.csv` is not the total cut to the asset's decimals.
    """
    evidence = parse_reserves_evidence(data)
    for key, got, expected in (
        ("exchange", evidence.exchange, statement.exchange),
        ("sequence", evidence.sequence, statement.sequence),
    ):
        if got != expected:
            refuse(f"reserves-evidence.{key}", f"the statement's {expected}", got, Reason.RESERVES)
    held = parse_reserves(reserves, statement.instruments)
    for instrument, atoms in zip(statement.instruments, held, strict=True):
        if instrument.kind == SPOT:
            signed = sum(part.amount for part in evidence.totals.get(instrument.symbol.upper(), ()))
            counted = signed // 10 ** (DECIMALS - instrument.decimals)
            if atoms != counted:
                where = f"reserves.csv, amount of {instrument.symbol}"
                expected = f"{units(counted, instrument.decimals)}, the total of the signed addresses"
                refuse(where, expected, units(atoms, instrument.decimals), Reason.RESERVES)
    return evidence


def parse_reserves_evidence(data: bytes) -> ReservesEvidence:
    """Read an evidence file by itself.

    Raises:
        MalformedProof, BadReserves: as `check_reserves_evidence`.
    """
    top = read_document(data, EVIDENCE_BYTES_MAX, "reserves-evidence", FORMAT, KEYS)
    blocks = {
        row.symbol("network"): (row.integer("height", 0, HEIGHT_MAX), row.symbol("hash", HASH_CHARACTERS_MAX))
        for row in top.records("blocks", ("network", "height", "hash"), NETWORKS_MAX)
    }
    sums: dict[tuple[str, str], list[int]] = {}
    seen: set[tuple[str, str, str]] = set()
    count = {VERIFIED: 0, INCONCLUSIVE: 0}
    for row in top.records("addresses", ADDRESS_KEYS, ADDRESSES_MAX):
        asset, network = read_asset(row), row.symbol("network")
        address, amount = row.symbol("address", ADDRESS_CHARACTERS_MAX), read_amount(row)
        if (asset, network, address) in seen:
            refuse(row.where("address"), "each address once per asset", address, Reason.RESERVES)
        seen.add((asset, network, address))
        result = row.choice("result", (VERIFIED, INCONCLUSIVE))
        count[result] += 1
        if result == VERIFIED:
            sums.setdefault((asset, network), []).append(amount)
    totals = _read_totals(top, blocks)
    got = {(asset, part.network): (part.amount, part.addresses) for asset, parts in totals.items() for part in parts}
    if got != {key: (sum(amounts), len(amounts)) for key, amounts in sums.items()}:
        refuse("reserves-evidence.totals", "the sums of the verified addresses", "others", Reason.RESERVES)
    return ReservesEvidence(
        exchange=top.text("exchange", EXCHANGE_CHARACTERS_MAX),
        sequence=top.integer("sequence", 0, SAFE_INTEGER_END - 1),
        balances=top.choice("balances", SOURCES),
        totals=totals,
        verified=count[VERIFIED],
        inconclusive=count[INCONCLUSIVE],
        sha256=hashlib.sha256(data).hexdigest(),
    )


def read_asset(row: Record) -> str:
    """The field `asset`: a symbol in capitals."""
    asset = row.symbol("asset", SYMBOL_CHARACTERS_MAX)
    if asset != asset.upper():
        refuse(row.where("asset"), "capitals", asset, Reason.NON_CANONICAL)
    return asset


def read_amount(row: Record) -> int:
    """The field `amount`, whole units in their one spelling, in 10^-DECIMALS units."""
    text = row.symbol("amount", WHOLE_DIGITS_MAX + DECIMALS + 1)
    match = _AMOUNT.fullmatch(text)
    if match is None or len(match[1]) > WHOLE_DIGITS_MAX or len(match[2] or "") > DECIMALS:
        refuse(row.where("amount"), f"a plain decimal number with at most {DECIMALS} decimals", text)
    return int(match[1] + (match[2] or "").ljust(DECIMALS, "0"))


def _read_totals(top: Record, blocks: Mapping[str, tuple[int, str]]) -> dict[str, tuple[Part, ...]]:
    totals: dict[str, tuple[Part, ...]] = {}
    for row in top.records("totals", ("asset", "amount", "parts"), ASSETS_MAX):
        asset, parts = read_asset(row), []
        for item in row.records("parts", PART_KEYS, NETWORKS_MAX):
            network, height = item.symbol("network"), item.integer("height", 0, HEIGHT_MAX)
            part = Part(
                network,
                height,
                item.symbol("hash", HASH_CHARACTERS_MAX),
                read_amount(item),
                item.integer("addresses", 1, ADDRESSES_MAX),
            )
            if blocks.get(network) != (part.height, part.hash):
                refuse(item.where("hash"), "the height and hash of the network's block", part.hash, Reason.RESERVES)
            parts.append(part)
        names = [part.network for part in parts]
        if asset in totals or sorted(set(names)) != names:
            refuse(row.where("parts"), "each asset once, and in it each network once, sorted", names, Reason.RESERVES)
        if read_amount(row) != sum(part.amount for part in parts):
            refuse(row.where("amount"), "the sum of its parts", row.symbol("amount", 80), Reason.RESERVES)
        totals[asset] = tuple(parts)
    return totals
