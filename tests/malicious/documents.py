"""The documents that make a forged witness a publication: a shard's, and the statement over all shards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tests.malicious.forge import Forged
from tests.malicious.published import Published
from tests.malicious.rows import number
from tests.malicious.world import LOG2_ROWS, PRICES
from verifier import solvency
from verifier.air import ZERO
from verifier.field import Ext
from verifier.instruments import Instrument
from verifier.params import TEST
from verifier.shards import Shard, seal, top_sum
from verifier.stark import Relation
from verifier.statement import Statement, Totals


def shard_of(statement: Statement, forged: Forged, index: int = 0) -> Shard:
    """What a proof of the witness is bound to."""
    published = Published.by(forged)
    masks = published.mask_in, published.mask_out
    return Shard(statement.header_digest, index, published.root, *masks, published.outputs)


def only_shard(statement: Statement, root: tuple[int, ...]) -> Shard:
    """The one shard with which a publication of one says what its statement says."""
    return Shard(statement.header_digest, 0, root, (0,) * 8, (0,) * 8, statement.outputs)


def sealed(statement: Statement, shards: Sequence[Shard]) -> Statement:
    """The statement under the top tree of its shards."""
    leaves = [shard.place(statement.liability_output).sum for shard in shards]
    return replace(statement, root=seal(top_sum(leaves), statement.shards))


def unsealed(
    shards: Sequence[Forged], instruments: Sequence[Instrument], totals: Sequence[Totals], **fields: Any
) -> Statement:
    """What the small exchange publishes over shards that were forged together, under no root yet."""
    circuit = shards[0].plan.circuit
    statement = Statement(
        circuit=circuit,
        circuit_digest=solvency.pinned_digest(circuit),
        tree_hash=solvency.CIRCUITS[circuit].tree_hash,
        profile="test",
        parameters_digest=TEST.digest,
        exchange="test",
        sequence=1,
        time="2026-11-22T00:00:00Z",
        ledger_state=bytes(32),
        previous=bytes(32),
        oracle_evidence=bytes(32),
        quote="USDT",
        value_decimals=16,
        policy="disclosed",
        instruments=tuple(instruments),
        log2_rows=LOG2_ROWS,
        levels=shards[0].root.level,
        shards=len(shards),
        root=bytes(32),
        totals=tuple(totals),
        total_liability=sum(number(shard.root.value) for shard in shards),
        total_shortfall=0,
        **fields,
    )
    return balanced(statement)


def equity_statement(shards: Sequence[Forged]) -> Statement:
    """The statement over shards of the equity circuit; it may break the rules of statements."""
    totals = [sum(parts) for parts in zip(*(shard.totals for shard in shards), strict=True)]
    instruments = [Instrument(f"coin{i}", "spot", 8, price) for i, price in enumerate(PRICES)]
    statement = unsealed(shards, instruments, list(map(Totals, totals[::2], totals[1::2])))
    return sealed(statement, [shard_of(statement, shard, index) for index, shard in enumerate(shards)])


def balanced(statement: Statement) -> Statement:
    return replace(statement, total_shortfall=statement.total_liability - statement.net_value)


def same_columns(one: Relation, two: Relation, scalars: Sequence[Ext]) -> bool:
    """Whether both have the same public columns; zeros at the end of one that is padded with zeros do not count."""
    pads = dict(one.system.publics)
    for name, words in one.public_values(scalars).items():
        other = list(two.public_values(scalars)[name])
        if pads[name] != ZERO and list(words) != other:
            return False
        if _stripped(words) != _stripped(other):
            return False
    return True


def _stripped(words: Sequence[int]) -> list[int]:
    out = list(words)
    while out and out[-1] == 0:
        out.pop()
    return out
