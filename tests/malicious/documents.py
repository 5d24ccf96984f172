"""The documents that make a forged witness a publication: a shard's, and the statement over all shards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tests.malicious.published import Published
from verifier.shards import Shard, seal, top_sum
from verifier.statement import Statement


def shard_of(statement: Statement, published: Published, index: int = 0) -> Shard:
    """What a proof of the witness is bound to."""
    masks = published.mask_in, published.mask_out
    return Shard(statement.header_digest, index, published.root, *masks, published.outputs)


def only_shard(statement: Statement, root: tuple[int, ...]) -> Shard:
    """The one shard with which a publication of one says what its statement says."""
    return Shard(statement.header_digest, 0, root, (0,) * 8, (0,) * 8, statement.outputs)


def sealed(statement: Statement, shards: Sequence[Shard]) -> Statement:
    """The statement under the top tree of its shards."""
    leaves = [shard.place(statement.liability_output).sum for shard in shards]
    return replace(statement, root=seal(top_sum(leaves), statement.shards))
