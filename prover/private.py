"""What only the exchange keeps of a publication: enough to make any user's bundle or open any node, nothing else.

A directory of NumPy arrays, shard by shard (memory-mapped when read), readable by its owner only. It is never inside
the published directory: it would reveal every balance.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prover.errors import InputError
from prover.identities import lookup_key, sorted_keys
from prover.shards.journal import done_folder
from prover.shards.task import shard_name
from prover.staging import bring
from prover.tree import Tree
from prover.witness import Accounts
from verifier.canonical import dumps, loads
from verifier.errors import VerificationError
from verifier.shards import Place, Shard
from verifier.statement import Statement

FORMAT = "solvent/private/v1"
META_FILE = "private.json"
PLACE_FILE = "place.json"
PLACE_BYTES_MAX = 2**16
SHARDS = "shards"
PLACED_KEY_TYPE = np.dtype([("key", "S16"), ("index", "<u4"), ("shard", "<u4")])
LEVEL_ARRAYS = ("source", "children", "state", "sums", "value_random", "value_digests")

Array = npt.NDArray[Any]


def shard_arrays(accounts: Accounts, nonces: Array, leaves: Array, tree: Tree, user_ids: list[str]) -> dict[str, Array]:
    """What is kept of one shard, by name. `user_ids`, `nonces`, `leaves` are in trace order.

    The ids are kept (UTF-8, one after the other, with offsets) so that all bundles can be written without the snapshot.
    """
    names = [user.encode() for user in user_ids]
    arrays: dict[str, Array] = {
        "keys": sorted_keys(user_ids),
        "user_ids": np.frombuffer(b"".join(names), np.uint8),
        "user_offsets": np.cumsum([0, *map(len, names)], dtype=np.int64),
        "nonces": nonces,
        "blindings": accounts.blindings,
        "offsets": accounts.offsets,
        "legs": accounts.legs,
        "amounts": accounts.amounts,
        "leaves": leaves,
    }
    for level in tree.levels:
        values = (
            level.source.astype(np.uint32), level.children, level.chain[:, -1], level.sums, level.value_random,
            level.value_digests,
        )  # fmt: skip
        arrays |= {f"{name}{level.level}": value for name, value in zip(LEVEL_ARRAYS, values, strict=True)}
    return arrays


def npy_bytes(array: Array) -> memoryview:
    """An array as a file in NumPy's format."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getbuffer()


def write_private(folder: Path, statement: Statement, shards: Sequence[Shard], run: Path) -> None:
    """Write the store of a publication into an existing folder, from the finished shards of a run."""
    keys, places = [], Place.all(shards, statement.liability_output)
    for index in range(statement.shards):
        done, own = done_folder(run, index), folder / SHARDS / shard_name(index)
        own.mkdir(parents=True, mode=0o700)
        for part in done.glob("*.npy"):
            if part.stem == "keys":
                keys.append(np.load(part, allow_pickle=False))
            else:
                bring(part, own / part.name)
        (own / PLACE_FILE).write_bytes(dumps(places[index].data()))
    np.save(folder / "keys.npy", _merged(keys), allow_pickle=False)
    meta = {
        "format": FORMAT,
        "statement": statement.digest.hex(),
        "accounts": sum(map(len, keys)),
        "levels": statement.levels,
        "shards": statement.shards,
    }
    (folder / META_FILE).write_text(json.dumps(meta, sort_keys=True) + "\n")


def _merged(keys: Sequence[Array]) -> Array:
    """(accounts,) of `PLACED_KEY_TYPE`, sorted by key: in which shard, and where in it, each account is."""
    merged = np.zeros(sum(map(len, keys)), PLACED_KEY_TYPE)
    start = 0
    for shard, part in enumerate(keys):
        own = merged[start : start + len(part)]
        own["key"], own["index"], own["shard"] = part["key"], part["index"], shard
        start += len(part)
    return merged[np.argsort(merged["key"], kind="stable")]


@dataclass(frozen=True)
class ShardStore:
    """The arrays of one shard, memory-mapped."""

    folder: Path
    levels: int

    @property
    def accounts(self) -> int:
        """How many stand in it."""
        return len(self.array("offsets")) - 1

    def array(self, name: str) -> Array:
        """One array."""
        return _mapped(self.folder / f"{name}.npy")

    @property
    def place(self) -> Place:
        """Of the shard among all shards."""
        path = self.folder / PLACE_FILE
        try:
            return Place.from_data(loads(path.read_bytes(), PLACE_BYTES_MAX, PLACE_FILE))
        except (OSError, VerificationError):
            raise InputError(file=path, got="nothing readable", expected="the place of a shard") from None


@dataclass(frozen=True)
class PrivateStore:
    """A store opened for reading."""

    folder: Path
    statement: str
    accounts: int
    levels: int
    shards: int

    @classmethod
    def open(cls, folder: Path) -> PrivateStore:
        """Raises InputError where this is no private store."""
        try:
            meta = json.loads((folder / META_FILE).read_text())
            numbers = (int(meta[name]) for name in ("accounts", "levels", "shards"))
            store = cls(folder, str(meta["statement"]), *numbers)
            known = meta["format"] == FORMAT
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(
                file=folder / META_FILE, got="nothing readable", expected="the private store of a publication"
            ) from None
        if not known:
            raise InputError(file=folder / META_FILE, field="format", got=str(meta["format"]), expected=FORMAT)
        return store

    def shard(self, index: int) -> ShardStore:
        """What is kept of one shard."""
        return ShardStore(self.folder / SHARDS / shard_name(index), self.levels)

    def index(self, user_id: str) -> tuple[int, int] | None:
        """Shard of an account and its number there, in O(log n); None for an unknown user."""
        keys = _mapped(self.folder / "keys.npy")
        key = np.array(lookup_key(user_id), "S16")
        at = int(np.searchsorted(keys["key"], key))
        if at == len(keys) or keys["key"][at] != key:
            return None
        return int(keys["shard"][at]), int(keys["index"][at])

    def find(self, user_id: str) -> tuple[int, int]:
        """`index`, but raises InputError for an unknown user."""
        found = self.index(user_id)
        if found is None:
            raise InputError(field="--account", got=user_id, expected="the id of an account in this publication")
        return found


def _mapped(path: Path) -> Array:
    try:
        out: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        raise InputError(file=path, got="nothing readable", expected="an array") from None
    return out
