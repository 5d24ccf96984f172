"""Bundles for users and openings for auditors, cut from the private store of a publication."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from prover.errors import InputError
from prover.private import PrivateStore, ShardStore
from verifier.fund import FUND_USER_ID, check_fund
from verifier.inclusion import make_bundle_bytes
from verifier.opening import make_opening_bytes
from verifier.report import read_statement
from verifier.statement import Statement
from verifier.tree import ARITY, PathStep, ValueOpening


def open_pair(public: Path, private: Path) -> tuple[Statement, PrivateStore]:
    """A publication's statement and its private store. Raises InputError where they do not belong together."""
    statement, store = read_statement(public), PrivateStore.open(private)
    if store.statement != statement.digest.hex():
        raise InputError(
            file=private, got="the store of another publication", expected=f"that of statement {statement.digest.hex()}"
        )
    return statement, store


def _words(array: object, index: int) -> tuple[int, ...]:
    return tuple(int(word) for word in np.asarray(array)[index].reshape(-1))


def _path(store: ShardStore, item: int, level: int) -> tuple[PathStep, ...]:
    """From the parent of item `item` of `level` to the root of the shard."""
    steps = []
    for above in range(level + 1, store.levels + 1):
        node = item // ARITY
        slots = store.array(f"source{above}")[node].tolist()
        position = slots.index(item)
        children = np.asarray(store.array(f"children{above}")[node])
        siblings = tuple(tuple(int(w) for w in children[s]) for s in range(ARITY) if s != position)
        steps.append(PathStep(position, siblings, _words(store.array(f"value_digests{above}"), node)))
        item = node
    return tuple(steps)


def make_bundle(public: Path, private: Path, user_id: str) -> bytes:
    """One user's inclusion bundle.

    Args:
        public: the published directory. private: its private store.

    Raises:
        InputError: unknown user, or the two directories do not belong together.
    """
    statement, store = open_pair(public, private)
    shard, index = store.find(user_id)
    return _bundle(statement, store.shard(shard), user_id, index)


def fund_bundle(statement: Statement, store: PrivateStore) -> bytes | None:
    """fund.json: the bundle of the insurance fund's account, which is published; None where there is no such account.

    Raises:
        VerificationError: the store does not belong to the statement.
    """
    found = store.index(FUND_USER_ID)
    if found is None:
        return None
    data = _bundle(statement, store.shard(found[0]), FUND_USER_ID, found[1])
    check_fund(data, statement)
    return data


def _bundle(statement: Statement, store: ShardStore, user_id: str, index: int) -> bytes:
    start, stop = (int(x) for x in store.array("offsets")[index : index + 2].tolist())
    legs, amounts = (store.array(name)[start:stop].tolist() for name in ("legs", "amounts"))
    return make_bundle_bytes(
        statement,
        user_id=user_id,
        nonce=np.asarray(store.array("nonces")[index]).tobytes(),
        blinding=_words(store.array("blindings"), index),
        entries=list(zip(legs, amounts, strict=True)),
        path=_path(store, index, 0),
        place=store.place,
    )


def make_opening(public: Path, private: Path, shard: int, level: int, node: int) -> bytes:
    """The sum below one node, for an auditor. Opening a node and all but one child opens the last one too.

    Args:
        shard: from 0.
        level: 1 .. levels; the root of a shard has the statement's number of levels.
        node: its number within the level, as the exchange counts.
    """
    statement, whole = open_pair(public, private)
    if not 0 <= shard < statement.shards:
        raise InputError(field="--shard", got=str(shard), expected=f"0 to {statement.shards - 1}")
    store = whole.shard(shard)
    count = len(store.array(f"sums{level}")) if 1 <= level <= store.levels else 0
    if not 0 <= node < count:
        raise InputError(field="--node", got=f"{level}:{node}", expected="LEVEL:NUMBER of a node in this tree")
    random = _words(store.array(f"value_random{level}"), node)
    return make_opening_bytes(
        statement,
        state=_words(store.array(f"state{level}"), node),
        value=ValueOpening(random[:7], _words(store.array(f"sums{level}"), node), random[7]),
        path=_path(store, node, level),
        place=store.place,
    )
