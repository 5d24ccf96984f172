"""Balances from nodes of your own over JSON-RPC: Bitcoin Core, and any Ethereum client.

A node has to have the block of the challenge, by its hash. Ethereum clients tell balances at any block that they still
have the state of; Bitcoin Core tells what is unspent at its tip only, so its tip has to be that block (`stopatheight`).
"""

from __future__ import annotations

import base64
import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from api.reserves.challenge import Block
from api.reserves.files import Row, parse_units
from api.reserves.networks import BITCOIN, EVM, Address, Network
from prover.errors import InputError
from verifier.canonical import is_deep
from verifier.reserves_evidence import DECIMALS, WHOLE_DIGITS_MAX

ANSWER_BYTES_MAX: Final = 1 << 26
EVM_SECONDS: Final = 30.0
SCAN_SECONDS: Final = 3600.0
"""Bitcoin Core reads all unspent outputs once: minutes on the main network."""
NATIVE_DECIMALS: Final = 18
BALANCE_OF: Final = "0x70a08231"
"""First bytes of a call of ERC-20's balanceOf(address)."""
WORD_HEX: Final = 64


@dataclass(frozen=True, slots=True)
class Token:
    """An ERC-20 token: its contract (20 bytes) and decimals."""

    contract: bytes
    decimals: int


class NodeBalances:
    """Nodes by network.

    Args:
        urls: http or https, with user and password in it where the node asks for them.
        tokens: contracts by (asset, network); an asset without one is not known to the node.
    """

    name = "node"

    def __init__(self, urls: Mapping[str, str], tokens: Mapping[tuple[str, str], Token] | None = None) -> None:
        self._urls = urls
        self._tokens = tokens or {}

    def balances(self, block: Block, wanted: Sequence[tuple[Row, Address]]) -> list[int | None]:
        """At `block`; None for networks without a node and tokens without a contract.

        Raises:
            InputError: no answer, not this block, another chain.
        """
        url = self._urls.get(block.network.name)
        if url is None:
            return [None] * len(wanted)
        node = Node(block.network, url)
        if block.network.family == BITCOIN:
            return self._bitcoin(node, block, wanted)
        if block.network.family == EVM:
            return self._evm(node, block, wanted)
        raise InputError(field="--node", got=block.network.name, expected="a network of Bitcoin's or Ethereum's kind")

    def _bitcoin(self, node: Node, block: Block, wanted: Sequence[tuple[Row, Address]]) -> list[int | None]:
        node.expect("the block's hash", node.call("getblockhash", block.height), block.hash)
        scanned = [{"desc": f"raw({address.key.hex()})"} for _, address in wanted]
        found = node.call("scantxoutset", "start", scanned, seconds=SCAN_SECONDS)
        if not isinstance(found, dict) or not isinstance(found.get("unspents"), list):
            raise node.error("something else", "what scantxoutset returns")
        node.expect("its tip", found.get("bestblock"), block.hash)
        held = dict.fromkeys((address.key.hex() for _, address in wanted), 0)
        for output in found["unspents"]:
            script, amount = (
                output.get(key) if isinstance(output, dict) else None for key in ("scriptPubKey", "amount")
            )
            plain = _units(amount)
            if plain is None or not isinstance(script, str) or script not in held:
                raise node.error("an output that was not asked for, or without an amount", "unspent outputs")
            held[script] += plain
        return [held[address.key.hex()] if row.asset == "BTC" else None for row, address in wanted]

    def _evm(self, node: Node, block: Block, wanted: Sequence[tuple[Row, Address]]) -> list[int | None]:
        node.expect("its chain id", node.quantity("eth_chainId"), block.network.chain_id)
        head = node.call("eth_getBlockByHash", "0x" + block.hash, False)
        number = head.get("number") if isinstance(head, dict) else None
        node.expect("the block's height", number, hex(block.height))
        at = {"blockHash": "0x" + block.hash, "requireCanonical": True}  # EIP-1898: no reorganisation in between
        out: list[int | None] = []
        for row, address in wanted:
            token = self._tokens.get((row.asset, block.network.name))
            if row.asset == block.network.native:
                atoms, decimals = node.quantity("eth_getBalance", "0x" + address.key.hex(), at), NATIVE_DECIMALS
            elif token is not None:
                data = BALANCE_OF + address.key.hex().rjust(WORD_HEX, "0")
                atoms = node.quantity("eth_call", {"to": "0x" + token.contract.hex(), "data": data}, at)
                decimals = token.decimals
            else:
                out.append(None)
                continue
            out.append(atoms * 10 ** (DECIMALS - decimals))
        return out


class Node:
    """One node. Its URL may hold a password, so no message shows it."""

    def __init__(self, network: Network, url: str) -> None:
        try:
            parts = urllib.parse.urlsplit(url)
            name, port = parts.hostname, parts.port
        except ValueError:
            name = None
        if not name or parts.scheme not in ("http", "https"):
            raise InputError(field="--node", got=network.name, expected="NETWORK=URL with http or https")
        host = f"[{name}]" if ":" in name else name
        where = host if port is None else f"{host}:{port}"
        self.name = f"the node of {network.name} at {where}"
        self._url = urllib.parse.urlunsplit((parts.scheme, where, parts.path or "/", parts.query, ""))
        self._headers = {"Content-Type": "application/json"}
        if parts.username is not None:
            pair = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
            self._headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()

    def call(self, method: str, *params: object, seconds: float = EVM_SECONDS) -> Any:
        """The result of one call; numbers with a point are exact `Decimal`s."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self._url, body, self._headers)
        try:
            with urllib.request.urlopen(request, timeout=seconds) as answer:
                raw = answer.read(ANSWER_BYTES_MAX + 1)
        except urllib.error.HTTPError as error:
            error.close()
            raise self.error(f"HTTP status {error.code} to {method}", "an answer") from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise self.error(f"{error} to {method}", "an answer") from None
        try:
            text = raw.decode() if len(raw) <= ANSWER_BYTES_MAX else ""
            # The interpreter's limit is no guard: libraries that check signatures raise it.
            found = None if is_deep(text) else json.loads(text, parse_float=Decimal)
        except (ValueError, InvalidOperation):  # the latter at exponents beyond those of `decimal`
            found = None
        if not isinstance(found, dict) or found.get("error") is not None or "result" not in found:
            reply = found.get("error") if isinstance(found, dict) else "no JSON"
            raise self.error(f"{reply} to {method}", "a result")
        return found["result"]

    def quantity(self, method: str, *params: object) -> int:
        """The result of one call that tells a number in hex."""
        result = self.call(method, *params)
        try:
            if isinstance(result, str) and result.startswith("0x") and len(result) <= 2 + WORD_HEX:
                return int(result[2:], 16)
        except ValueError:
            pass
        raise self.error(f"{result!r:.80} to {method}", "a number in hex")

    def expect(self, what: str, got: object, wanted: object) -> None:
        """Raises InputError unless the node agrees with the challenge."""
        if got != wanted:
            raise self.error(f"{got} as {what}", f"{wanted}, as in the challenges")

    def error(self, got: str, expected: str) -> InputError:
        """One line that names the node."""
        return InputError(file=self.name, got=got, expected=expected)


def _units(amount: object) -> int | None:
    """An amount of an answer in 10^-DECIMALS units; None for anything else, and for more digits than amounts have."""
    number = Decimal(amount) if isinstance(amount, Decimal | int) else None
    # Written out, 1E999999999 would take a gigabyte.
    if number is None or abs(number.adjusted()) > WHOLE_DIGITS_MAX + DECIMALS:
        return None
    return parse_units(f"{number:f}")
