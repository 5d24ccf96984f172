"""A small publication built in plain Python: accounts, their tree, the statement; no proof."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from verifier import solvency, verify_directory
from verifier.account_id import account_id
from verifier.canonical import dumps
from verifier.errors import VerificationError
from verifier.field import P
from verifier.inclusion import make_bundle_bytes
from verifier.instruments import Bucket, Instrument, Scenario, Tier
from verifier.legs import Leg, derive_legs
from verifier.opening import make_opening_bytes
from verifier.params import PROFILES
from verifier.poseidon import INSTANCES, Instance
from verifier.shards import Place, Shard, seal, top_sum
from verifier.solvency import OUTPUT_END
from verifier.statement import Losses, Statement, Totals, levels_for
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
EQUITY, STRESS = "solvency_equity_v1", "solvency_stress_v1_3"
VALUE_DECIMALS = 16
INSTRUMENTS = (
    Instrument("btc", "spot", 8, 651_002_200_000),
    Instrument("eth", "spot", 8, 36_205_600_000),
    Instrument("usdt", "spot", 6, 10_000_000_000),
)
RESERVES = b"asset,amount\nbtc,1000\neth,1000\nusdt,1000000\n"
"""Enough for everybody."""
_MARGIN = (Tier(1000, 500), Tier(5000, 1000), Tier(None, 2000))
RISK_INSTRUMENTS = (
    replace(
        INSTRUMENTS[0],
        buckets=(Bucket("loan", (Tier(300, 10_000), Tier(2000, 8000), Tier(9000, 5000))), Bucket("free", ())),
        margin=_MARGIN,
    ),
    Instrument("btc-perp", "perpetual", 4, 6_510_022_000_000_000, margin=_MARGIN),
    Instrument("cost", "cost-basis", 6, 10_000_000_000),
    replace(INSTRUMENTS[2], buckets=(Bucket("loan", (Tier(None, 10_000),)), Bucket("margin", (Tier(500, 9900),)))),
)
SCENARIOS = (
    Scenario("btc -30 %", (455_701_540_000, 4_557_015_400_000_000, 10_000_000_000, 10_000_000_000)),
    Scenario("btc to zero", (0, 0, 10_000_000_000, 10_000_000_000)),
)
"""Legs: 0-3 btc loan (three tiers, tail), 4 free, 5-7 short, 8-10 perp long, 11-13 short, 14-15 cost, 16 usdt loan,
17-18 margin, 19 short."""


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
    """`nodes[l]` are the nodes of level l + 1, `accounts` stand at level 0 in order.

    Args:
        shards: all of the publication; the accounts and nodes are those of shard `own`.
    """

    statement: Statement
    shards: tuple[Shard, ...]
    own: int
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

    @property
    def shard(self) -> Shard:
        return self.shards[self.own]

    @property
    def place(self) -> Place:
        return Place.all(self.shards, self.statement.liability_output)[self.own]

    def stating(self, **changes: Any) -> Publication:
        """Another statement about the same accounts, with a single shard's document that agrees with it."""
        statement = replace(self.statement, **changes)
        shard = replace(self.shard, header=statement.header_digest, outputs=statement.outputs)
        top = shard.place(statement.liability_output).sum
        return replace(self, statement=replace(statement, root=seal(top, 1)), shards=(shard,))

    def write(self, folder: Path, proof: bytes = b"good") -> None:
        """Statement, documents and proofs of the shards, into a folder that is there."""
        (folder / "statement.json").write_bytes(self.statement.to_bytes())
        (folder / "shards").mkdir(exist_ok=True)
        for index, shard in enumerate(self.shards):
            (folder / f"shards/{index:06d}.json").write_bytes(shard.to_bytes())
            (folder / f"shards/{index:06d}.proof").write_bytes(proof)

    def bundle(self, index: int, **changes: Any) -> bytes:
        account = self.accounts[index]
        fields: dict[str, Any] = {
            "user_id": account.user_id,
            "nonce": account.nonce,
            "blinding": account.blinding,
            "entries": account.entries,
            "path": self.path(index),
            "place": self.place,
        }
        return make_bundle_bytes(self.statement, **(fields | changes))

    def opening(self, level: int, index: int, **changes: Any) -> bytes:
        node = self.nodes[level - 1][index]
        fields: dict[str, Any] = {"state": node.state, "value": node.opening, "path": self.path(index, level)}
        fields["place"] = self.place
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


def value(account: Account, coefficients: Sequence[int]) -> int:
    return sum(coefficients[leg] * amount for leg, amount in account.entries)


def equity(account: Account) -> int:
    return value(account, [leg.price_coefficient for leg in derive_legs(EQUITY, VALUE_DECIMALS, INSTRUMENTS, ())])


@dataclass
class Builder:
    """Overridable steps, so that a cheating tree can be built."""

    source: random.Random
    circuit: str = EQUITY
    instruments: tuple[Instrument, ...] = INSTRUMENTS
    scenarios: tuple[Scenario, ...] = ()
    shards: int = 1
    own: int = 0

    @property
    def legs(self) -> tuple[Leg, ...]:
        return derive_legs(self.circuit, VALUE_DECIMALS, self.instruments, self.scenarios)

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
        prices = [leg.price_coefficient for leg in self.legs]
        items = [(self.leaf(account), max(0, value(account, prices))) for account in accounts]
        levels: list[tuple[Node, ...]] = []
        for level in range(1, levels_for(log2_rows) + 1):
            while len(items) % ARITY:
                items.append((dummy_digest(level - 1, words(self.source, 8), self.hash), 0))
            groups = [items[i : i + ARITY] for i in range(0, len(items), ARITY)]
            nodes = tuple(self.node(level, [d for d, _ in g], sum(v for _, v in g)) for g in groups)
            items = [(node.digest, node.opening.value) for node in nodes]
            levels.append(nodes)
        (root,) = levels[-1]
        statement = self.statement(accounts, root.opening.value, log2_rows)
        statement, shards = self.sharded(statement, root.digest)
        return Publication(statement, shards, self.own, tuple(accounts), tuple(levels))

    def sharded(self, statement: Statement, root: Digest) -> tuple[Statement, tuple[Shard, ...]]:
        """Shards whose masks cancel; the accounts are in shard `own`, the others bring nothing."""
        count = self.shards
        statement = replace(statement, shards=count)
        masks = [[self.source.randrange(OUTPUT_END) for _ in statement.outputs] for _ in range(count)]
        digests = [words(self.source, 8) for _ in range(count)] if count > 1 else [(0,) * 8]
        shards = []
        for index in range(count):
            own = statement.outputs if index == self.own else (0,) * len(statement.outputs)
            parts = zip(own, masks[index], masks[index - 1], strict=True)
            outputs = tuple((value + out - into) % OUTPUT_END for value, out, into in parts)
            tree = root if index == self.own else words(self.source, 8)
            shards.append(Shard(statement.header_digest, index, tree, digests[index - 1], digests[index], outputs))
        top = top_sum([shard.place(statement.liability_output).sum for shard in shards])
        return replace(statement, root=seal(top, count)), tuple(shards)

    def statement(self, accounts: Sequence[Account], total_liability: int, log2_rows: int) -> Statement:
        legs = self.legs
        sums = [0] * (legs[-1].total + 1)
        for account in accounts:
            for leg, amount in account.entries:
                sums[legs[leg].total] += amount
        lenses = [[leg.lens_coefficients[k] for leg in legs] for k in range(len(legs[0].lens_coefficients))]
        lost = [sum(max(0, -value(account, lens)) for account in accounts) for lens in lenses]
        statement = Statement(
            circuit=self.circuit,
            circuit_digest=solvency.pinned_digest(self.circuit),
            tree_hash=solvency.CIRCUITS[self.circuit].tree_hash,
            profile="fast",
            parameters_digest=PROFILES["fast"].digest,
            exchange=EXCHANGE,
            sequence=7,
            time="2026-11-22T00:00:00Z",
            ledger_state=bytes(range(32)),
            previous=bytes(32),
            oracle_evidence=bytes(32),
            quote="USDT",
            value_decimals=VALUE_DECIMALS,
            policy="disclosed",
            instruments=self.instruments,
            scenarios=self.scenarios,
            log2_rows=log2_rows,
            levels=levels_for(log2_rows),
            shards=1,
            root=bytes(32),
            totals=self.totals(sums),
            total_liability=total_liability,
            total_shortfall=0,
            total_margin_deficit=lost[0] if lost else None,
            losses=tuple(Losses(lost[1 + 2 * i], lost[2 + 2 * i]) for i in range(len(self.scenarios))),
        )
        shortfall = total_liability - statement.net_value
        policy = "disclosed" if shortfall or statement.total_margin_deficit else "strict"
        return replace(statement, total_shortfall=shortfall, policy=policy)

    def totals(self, sums: list[int]) -> tuple[Totals, ...]:
        left = iter(sums)
        totals = []
        for instrument in self.instruments:
            parts = tuple(next(left) for _ in instrument.buckets)
            long = sum(parts) if parts else next(left)
            totals.append(Totals(long, next(left), parts))
        return tuple(totals)


@cache
def publication(circuit: str = EQUITY, shards: int = 1, log2_rows: int = 17) -> Publication:
    """Eleven accounts in two nodes of level 1, none under water; they are in the last shard."""
    source = random.Random(20261122)
    accounts = [
        account
        if equity(account) >= 0
        else replace(account, entries=tuple(sorted((i ^ 1, n) for i, n in account.entries)))
        for account in make_accounts(11, source)
    ]
    return Builder(source, circuit, shards=shards, own=shards - 1).build(accounts, log2_rows)


@cache
def risk_publication(circuit: str = STRESS, shards: int = 1, log2_rows: int = 17) -> Publication:
    """Four accounts: the insurance fund, a borrower with four tiers filled, and two with opposite positions; they are
    in the last shard."""
    source = random.Random(20261123)
    builder = Builder(source, circuit, RISK_INSTRUMENTS, SCENARIOS[: solvency.CIRCUITS[circuit].scenarios])
    builder = replace(builder, shards=shards, own=shards - 1)
    legs = builder.legs
    held = {
        "insurance-fund": [(16, 10**13)],
        "borrower": [(0, legs[0].cap), (1, legs[1].cap), (2, legs[2].cap), (3, 5), (4, 6), (17, 7), (19, 8 * 10**9)],
        "bull": [(8, legs[8].cap), (9, 5), (15, 10**9), (16, 10**8)],
        "bear": [(11, legs[11].cap), (12, 5), (14, 10**9), (16, 10**10)],
    }
    accounts = [Account(user, source.randbytes(32), words(source, 6), tuple(e)) for user, e in held.items()]
    return builder.build(accounts, log2_rows)


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


def refused(directory: Path, **options: Any) -> VerificationError:
    """Why a publication in a folder is refused."""
    with pytest.raises(VerificationError) as caught:
        verify_directory(directory, **options)
    return caught.value
