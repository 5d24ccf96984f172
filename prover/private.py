"""What only the exchange keeps of a publication: enough to make any user's bundle or open any node, nothing else.

A directory of NumPy arrays (memory-mapped when read), readable by its owner only. It is never inside the published
directory: it would reveal every balance.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prover.errors import InputError
from prover.identities import lookup_key, sorted_keys
from prover.tree import Tree
from prover.witness import Accounts

FORMAT = "solvent/private/v1"
META_FILE = "private.json"
LEVEL_ARRAYS = ("source", "children", "state", "sums", "value_random", "value_digests")
ACCOUNT_ARRAYS = ("nonces", "blindings", "offsets", "legs", "amounts", "leaves")

Array = npt.NDArray[Any]


def write_private(
    folder: Path, digest: str, accounts: Accounts, nonces: Array, leaves: Array, tree: Tree, user_ids: list[str]
) -> None:
    """Write the store into an existing folder. `user_ids`, `nonces`, `leaves` are in trace order."""
    arrays: dict[str, Array] = {
        "keys": sorted_keys(user_ids),
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
    for name, value in arrays.items():
        np.save(folder / f"{name}.npy", value, allow_pickle=False)
    meta = {"format": FORMAT, "statement": digest, "accounts": len(accounts), "levels": len(tree.levels)}
    (folder / META_FILE).write_text(json.dumps(meta, sort_keys=True) + "\n")


@dataclass(frozen=True)
class PrivateStore:
    """A store opened for reading."""

    folder: Path
    statement: str
    accounts: int
    levels: int

    @classmethod
    def open(cls, folder: Path) -> PrivateStore:
        """Raises InputError where this is no private store."""
        try:
            meta = json.loads((folder / META_FILE).read_text())
            store = cls(folder, str(meta["statement"]), int(meta["accounts"]), int(meta["levels"]))
            known = meta["format"] == FORMAT
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(
                file=folder / META_FILE, got="nothing readable", expected="the private store of a publication"
            ) from None
        if not known:
            raise InputError(file=folder / META_FILE, field="format", got=str(meta["format"]), expected=FORMAT)
        return store

    def array(self, name: str) -> Array:
        """One array, memory-mapped."""
        try:
            out: Array = np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError):
            raise InputError(file=self.folder / f"{name}.npy", got="nothing readable", expected="an array") from None
        return out

    def index(self, user_id: str) -> int | None:
        """Number of an account, in O(log n); None for an unknown user."""
        keys = self.array("keys")
        key = np.array(lookup_key(user_id), "S16")
        at = int(np.searchsorted(keys["key"], key))
        return int(keys["index"][at]) if at < len(keys) and keys["key"][at] == key else None

    def find(self, user_id: str) -> int:
        """`index`, but raises InputError for an unknown user."""
        index = self.index(user_id)
        if index is None:
            raise InputError(field="--account", got=user_id, expected="the id of an account in this publication")
        return index
