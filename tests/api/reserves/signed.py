"""Wallets with known keys, their challenges, and signed lists with one thing changed."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import base58
from btclib.b32 import p2wpkh
from btclib.b58 import p2pkh, p2wpkh_p2sh
from btclib.ecc import bms
from btclib.key import PrvKeyData, PubKeyData
from btclib.script.script_pub_key import ScriptPubKey
from btclib_wallet import bip322
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from ecc.curves import bytes_from_prv_key_int
from eth_account import Account
from eth_account.messages import encode_defunct, encode_typed_data

from api.reserves.balances import Claimed
from api.reserves.challenge import Block, Challenge, Challenges
from api.reserves.files import Row, parse_units
from api.reserves.networks import Address, decode_address, network_of
from api.reserves.results import Outcome
from api.reserves.verify import Report, verify_rows

EXCHANGE, SEQUENCE = "Acme Ltd", 7
BLOCKS = (
    Block(network_of("BTC"), 870_000, "00" * 10 + "5e" * 22),
    Block(network_of("ETH"), 21_000_000, "ab" * 32),
    Block(network_of("SOL"), 300_000_000, "5fnnDKrNDQPX8eEcDJ3rqSCHVEDZzqRQjLnkoUWSNmCv"),
)
BITCOIN_SECRET = 0xC0FFEE
KINDS = ("p2pkh", "p2sh-p2wpkh", "p2wpkh", "p2tr")
ETHEREUM_SECRET, SOLANA_SECRET = b"\x01" * 32, b"\x02" * 32


def bitcoin_key(secret: int = BITCOIN_SECRET) -> PrvKeyData:
    return PrvKeyData(secret, "mainnet", True)


@cache
def bitcoin_address(kind: str, secret: int = BITCOIN_SECRET) -> str:
    key = PubKeyData(bytes_from_prv_key_int(secret, compressed=True))
    taproot = ScriptPubKey.p2tr(key).address
    return {"p2pkh": p2pkh(key), "p2sh-p2wpkh": p2wpkh_p2sh(key), "p2wpkh": p2wpkh(key), "p2tr": taproot}[kind]


def ethereum_address(secret: bytes = ETHEREUM_SECRET) -> str:
    return str(Account.from_key(secret).address)


def solana_address(secret: bytes = SOLANA_SECRET) -> str:
    return base58.b58encode(Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()).decode()


def sign_bip322(message: str, address: str, secret: int = BITCOIN_SECRET) -> str:
    return str(bip322.sign(message.encode(), bitcoin_key(secret), address).b64encode())


def sign_legacy(message: str, address: str, secret: int = BITCOIN_SECRET) -> str:
    return str(bms.sign(message.encode(), bitcoin_key(secret), address).b64encode())


def sign_eip191(message: str, secret: bytes = ETHEREUM_SECRET) -> str:
    signed = Account.from_key(secret).sign_message(encode_defunct(text=message))
    return "0x" + bytes(signed.signature).hex()


def sign_eip712(challenge: Challenge, secret: bytes = ETHEREUM_SECRET) -> str:
    signed = Account.from_key(secret).sign_message(encode_typed_data(full_message=challenge.typed_data))
    return "0x" + bytes(signed.signature).hex()


def sign_ed25519(message: str, secret: bytes = SOLANA_SECRET) -> str:
    return base58.b58encode(Ed25519PrivateKey.from_private_bytes(secret).sign(message.encode())).decode()


def decoded(network: str, address: str) -> Address:
    return decode_address(network_of(network), address)


def challenge_for(
    network: str, address: str, exchange: str = EXCHANGE, sequence: int = SEQUENCE, **block: object
) -> Challenge:
    """What this address has to sign; `height` and `hash` for another block."""
    found = next(b for b in BLOCKS if b.network.name == network)
    return Challenge(exchange, sequence, replace(found, **block), decoded(network, address))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Case:
    """One row of a list, signed by the scheme of its network."""

    coin: str
    network: str
    address: str
    amount: str = "1.5"
    scheme: str = ""

    def sign(self, challenge: Challenge) -> str:
        if self.network == "BTC":
            sign = sign_legacy if self.scheme == "legacy" else sign_bip322
            return sign(challenge.text, self.address)
        if self.network == "ETH":
            return sign_eip712(challenge) if self.scheme == "712" else sign_eip191(challenge.text)
        return sign_ed25519(challenge.text)

    def row(self, line: int, challenge: Challenge | None = None) -> Row:
        """The row as the file reader gives it."""
        asked = challenge or challenge_for(self.network, self.address)
        amount = parse_units(self.amount)
        if amount is None:
            raise ValueError(self.amount)
        return Row(
            line=line, asset=self.coin.partition("-")[0], network=network_of(self.network), height=asked.block.height,
            address=self.address, amount=amount, message=asked.text, signatures=(self.sign(asked),), public_key="",
            owners=(), staked="",
        )  # fmt: skip


def cases() -> list[Case]:
    """One of everything that can be verified."""
    return [
        *(Case("BTC", "BTC", bitcoin_address(kind)) for kind in KINDS[1:]),
        Case("BTC", "BTC", bitcoin_address("p2pkh"), "0.25", "legacy"),
        Case("ETH", "ETH", ethereum_address(), "3.058959708849230328"),
        Case("USDT-ERC20", "ETH", ethereum_address(), "1000000", "712"),
        Case("SOL", "SOL", solana_address(), "12"),
    ]


@cache
def rows() -> tuple[Row, ...]:
    """An honest list."""
    return tuple(case.row(line) for line, case in enumerate(cases(), start=2))


def challenges(more: Sequence[tuple[str, str]] = ()) -> Challenges:
    """For all addresses of `cases`, and some more (network, address)."""
    wanted = [(case.network, case.address) for case in cases()] + list(more)
    addresses = [(network_of(network), decoded(network, address)) for network, address in wanted]
    return Challenges.make(EXCHANGE, SEQUENCE, BLOCKS, addresses)


def verified_list(changed: Sequence[Row] | None = None, more: Sequence[tuple[str, str]] = ()) -> Report:
    """The report of a list; default: the honest one."""
    return verify_rows(rows() if changed is None else changed, challenges(more), Claimed())


def outcome_of(change: Callable[[Row], Row], index: int, more: Sequence[tuple[str, str]] = ()) -> Outcome:
    """What comes out for one row of the honest list, after a change to it."""
    return verified_list([change(rows()[index])], more).results[0].outcome


def csv_text(signed: Sequence[Row]) -> str:
    """A list as OKX publishes it, totals of its own above and blanks in its header."""
    out = io.StringIO()
    out.write("coin,snapshot height,amount\nETH(ALL),-,6\nBTC,763861, 449.5140\n\n")
    out.write("coin,Network,Snapshot Height,address,amount,message,signature1,signature2,")
    out.write("redeem script/ public key, eoa1, eoa2\n")
    writer = csv.writer(out, lineterminator="\n")
    for row in signed:
        one, two = (*row.signatures, "", "")[:2]
        amount = next(c.amount for c in cases() if parse_units(c.amount) == row.amount)
        fields = [row.asset, row.network.name, row.height, row.address, amount, row.message, one, two]
        writer.writerow(fields + ([row.public_key, *row.owners] if row.public_key or row.owners else []))
    return out.getvalue()


def write_list(path: Path, signed: Sequence[Row]) -> Path:
    """The same in a file."""
    path.write_text(csv_text(signed), encoding="utf-8")
    return path
