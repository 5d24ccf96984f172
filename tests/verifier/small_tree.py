"""A small publication built in plain Python: accounts, their tree, the statement; no proof."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from verifier import solvency
from verifier.account_id import account_id
from verifier.canonical import dumps
from verifier.field import P
from verifier.inclusion import make_bundle_bytes
from verifier.legs import derive_legs
from verifier.opening import make_opening_bytes
from verifier.params import PROFILES
from verifier.poseidon import INSTANCES, Instance
from verifier.statement import Instrument, Statement, Totals, levels_for
from verifier.tree import (
    ARITY,
    Digest,
    PathStep,
    ValueOpening,
    Words,
    account_leaf,
    dummy_digest,
    limbs16,
    node_digest,
    node_state,
    value_digest,
)

EXCHANGE = "acme"
INSTRUMENTS = (
    Instrument("btc", "spot", 8, 651_002_200_000),
    Instrument("eth", "spot", 8, 36_205_600_000),
    Instrument("usdt", "spot", 6, 10_000_000_000),
)


@dataclass(frozen=True)
class Account:
    user_id: str
    nonce: bytes
    blinding: Words
    entries: tuple[tuple[int, int], ...]

    @property
    def identity(self) -> Words:
        return account_id(EXCHANGE, self.user_id, self.nonce)


@dataclass(frozen=True)
class Node:
    level: int
    children: tuple[Digest, ...]
    opening: ValueOpening
    state: Words
    digest: Digest


@dataclass(frozen=True)
class Publication:
    """`nodes[l]` are the nodes of level l + 1, `accounts` stand at level 0 in order."""

    statement: Statement
    accounts: tuple[Account, ...]
    nodes: tuple[tuple[Node, ...], ...]

    def path(self, index: int, below_level: int = 0) -> list[PathStep]:
        """From the item `index` of a level to the root."""
        steps = []
        for nodes in self.nodes[below_level:]:
            index, position = divmod(index, ARITY)
            node = nodes[index]
            siblings = node.children[:position] + node.children[position + 1 :]
            steps.append(PathStep(position, siblings, value_digest(node.opening, self.hash)))
        return steps

    @property
    def hash(self) -> Instance:
        return INSTANCES[self.statement.tree_hash]

    def bundle(self, index: int, **changes: Any) -> bytes:
        account = self.accounts[index]
        fields: dict[str, Any] = {
            "user_id": account.user_id,
            "nonce": account.nonce,
            "blinding": account.blinding,
            "entries": account.entries,
            "path": self.path(index),
        }
        return make_bundle_bytes(self.statement, **(fields | changes))

    def opening(self, level: int, index: int, **changes: Any) -> bytes:
        node = self.nodes[level - 1][index]
        fields: dict[str, Any] = {"state": node.state, "value": node.opening, "path": self.path(index, level)}
        return make_opening_bytes(self.statement, **(fields | changes))


def words(source: random.Random, count: int) -> Words:
    return tuple(source.randrange(P) for _ in range(count))


def make_accounts(count: int, source: random.Random) -> tuple[Account, ...]:
    """Account i has i % 4 entries; every fifth with entries is under water or nearly so."""
    accounts = []
    for i in range(count):
        legs = sorted(source.sample(range(2 * len(INSTRUMENTS)), i % 4))
        entries = tuple((leg, source.randrange(1, 10**9)) for leg in legs)
        accounts.append(Account(f"user-{i}", source.randbytes(32), words(source, 6), entries))
    return tuple(accounts)


def equity(account: Account) -> int:
    legs = derive_legs(INSTRUMENTS)
    return sum(legs[leg].price_coefficient * amount for leg, amount in account.entries)


@dataclass
class Builder:
    """Overridable steps, so that a cheating tree can be built."""

    source: random.Random
    circuit: str = "solvency_equity_v1"

    def leaf(self, account: Account) -> Digest:
        return account_leaf(account.identity, account.entries, account.blinding, self.hash)

    @property
    def hash(self) -> Instance:
        return INSTANCES[solvency.CIRCUITS[self.circuit].tree_hash]

    def node(self, level: int, children: Sequence[Digest], value: int) -> Node:
        opening = ValueOpening(words(self.source, 7), limbs16(value, 7), words(self.source, 1)[0])
        digest = node_digest(level, children, value_digest(opening, self.hash), self.hash)
        return Node(level, tuple(children), opening, node_state(level, children, self.hash), digest)

    def build(self, accounts: Sequence[Account], log2_rows: int = 17) -> Publication:
        items = [(self.leaf(account), max(0, equity(account))) for account in accounts]
        levels: list[tuple[Node, ...]] = []
        for level in range(1, levels_for(log2_rows) + 1):
            while len(items) % ARITY:
                items.append((dummy_digest(level - 1, words(self.source, 8), self.hash), 0))
            groups = [items[i : i + ARITY] for i in range(0, len(items), ARITY)]
            nodes = tuple(self.node(level, [d for d, _ in g], sum(v for _, v in g)) for g in groups)
            items = [(node.digest, node.opening.value) for node in nodes]
            levels.append(nodes)
        (root,) = levels[-1]
        statement = make_statement(accounts, root.digest, root.opening.value, log2_rows, self.circuit)
        return Publication(statement, tuple(accounts), tuple(levels))


def make_statement(
    accounts: Sequence[Account], root: Digest, total_liability: int, log2_rows: int, circuit: str
) -> Statement:
    sums = [0] * (2 * len(INSTRUMENTS))
    for account in accounts:
        for leg, amount in account.entries:
            sums[leg] += amount
    statement = Statement(
        circuit=circuit,
        circuit_digest=solvency.pinned_digest(circuit),
        tree_hash=solvency.CIRCUITS[circuit].tree_hash,
        profile="fast",
        parameters_digest=PROFILES["fast"].digest,
        exchange=EXCHANGE,
        sequence=7,
        time="2026-11-22T00:00:00Z",
        ledger_state=bytes(range(32)),
        previous=bytes(32),
        oracle_evidence=b"\x11" * 32,
        quote="USDT",
        value_decimals=16,
        policy="disclosed",
        instruments=INSTRUMENTS,
        log2_rows=log2_rows,
        levels=levels_for(log2_rows),
        root=root,
        totals=tuple(Totals(*sums[2 * j : 2 * j + 2]) for j in range(len(INSTRUMENTS))),
        total_liability=total_liability,
        total_shortfall=0,
    )
    return replace(statement, total_shortfall=total_liability - statement.net_value)


@cache
def publication(circuit: str = "solvency_equity_v1") -> Publication:
    """Eleven accounts in two nodes of level 1."""
    source = random.Random(20261122)
    return Builder(source, circuit).build(make_accounts(11, source))


def fast_compress(h: Sequence[int], block: Sequence[int], instance: Instance | None = None) -> list[int]:
    """A stand-in for the tree hash, for tests that hash thousands of paths: which bytes are bound is the same."""
    data = b"".join(word.to_bytes(4, "little") for word in (*h, *block))
    digest = hashlib.blake2s(data).digest()
    return [int.from_bytes(digest[i : i + 4], "little") % P for i in range(0, 32, 4)]


def edited(data: bytes, change: Callable[[Any], object]) -> bytes:
    """The document after `change` has edited it in place, canonical again."""
    value = json.loads(data)
    change(value)
    return dumps(value)
