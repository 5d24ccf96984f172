"""fund.json comes out of a private store while its publication is not in place yet."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from prover.bundles import fund_bundle
from prover.identities import lookup_key
from prover.private import FORMAT, META_FILE, PLACE_FILE, PLACED_KEY_TYPE, PrivateStore
from tests.verifier.small_tree import Publication, publication, risk_publication
from verifier.canonical import dumps
from verifier.errors import Reason, VerificationError
from verifier.fund import check_fund
from verifier.tree import ARITY, value_digest

NOBODY = 2**32 - 1


def store(small: Publication, folder: Path) -> PrivateStore:
    """What the prover would keep of a publication, as far as bundles need it."""
    accounts = small.accounts
    keys = np.array([(lookup_key(account.user_id), i, 0) for i, account in enumerate(accounts)], PLACED_KEY_TYPE)
    entries = [entry for account in accounts for entry in account.entries]
    names = [account.user_id.encode() for account in accounts]
    arrays = {
        "user_ids": np.frombuffer(b"".join(names), np.uint8),
        "user_offsets": np.cumsum([0, *map(len, names)]),
        "nonces": np.array([list(account.nonce) for account in accounts], np.uint8),
        "blindings": np.array([account.blinding for account in accounts], np.uint32),
        "offsets": np.cumsum([0, *(len(account.entries) for account in accounts)]),
        "legs": np.array([leg for leg, _ in entries], np.uint16),
        "amounts": np.array([amount for _, amount in entries], np.uint64),
    }
    below = len(accounts)
    for level, nodes in enumerate(small.nodes, start=1):
        numbers = np.arange(len(nodes) * ARITY).reshape(len(nodes), ARITY)
        arrays[f"source{level}"] = np.where(numbers < below, numbers, NOBODY).astype(np.uint32)
        arrays[f"children{level}"] = np.array([node.children for node in nodes], np.uint32)
        digests = [value_digest(node.opening, small.hash) for node in nodes]
        arrays[f"value_digests{level}"] = np.array(digests, np.uint32)
        below = len(nodes)
    np.save(folder / "keys.npy", np.sort(keys, order="key"))
    own = folder / "shards" / "000000"
    own.mkdir(parents=True)
    for name, array in arrays.items():
        np.save(own / f"{name}.npy", array)
    (own / PLACE_FILE).write_bytes(dumps(small.place.data()))
    meta = {
        "format": FORMAT,
        "statement": small.statement.digest.hex(),
        "accounts": len(accounts),
        "levels": len(small.nodes),
        "shards": 1,
    }
    (folder / META_FILE).write_text(json.dumps(meta))
    return PrivateStore.open(folder)


def test_the_fund_is_opened(tmp_path: Path) -> None:
    small = risk_publication()
    data = fund_bundle(small.statement, store(small, tmp_path))
    assert data == small.bundle(0)
    assert check_fund(data, small.statement).value == 10**23


def test_without_a_fund_there_is_no_file(tmp_path: Path) -> None:
    small = publication()
    assert fund_bundle(small.statement, store(small, tmp_path)) is None


@pytest.mark.negative
def test_nothing_is_opened_that_the_verifier_would_refuse(tmp_path: Path) -> None:
    small = risk_publication()
    kept = store(small, tmp_path)
    path = tmp_path / "shards" / "000000" / "blindings.npy"
    np.save(path, np.load(path)[::-1])
    with pytest.raises(VerificationError) as caught:
        fund_bundle(small.statement, kept)
    assert caught.value.reason is Reason.PATH
