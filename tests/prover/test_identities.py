"""Ids and keys of many users against the definitions for one user."""

from __future__ import annotations

import numpy as np
import pytest

from prover.identities import KEY_BYTES, KEY_TYPE, account_ids, lookup_key, sorted_keys
from verifier.account_id import account_id
from verifier.errors import NotIncluded

USERS = ["", "a", "user-1", "Zoë", "使用者", "x" * 255, "y" * 256, "z" * 70_000]


def test_account_ids_are_those_of_the_verifier() -> None:
    nonces = np.random.default_rng(1).integers(0, 256, (len(USERS), 32), np.uint8)
    for exchange in ("bench", "börse"):
        expected = [account_id(exchange, user, nonce.tobytes()) for user, nonce in zip(USERS, nonces, strict=True)]
        assert account_ids(exchange, USERS, nonces).tolist() == [list(words) for words in expected]


def test_no_users() -> None:
    assert account_ids("bench", [], np.zeros((0, 32), np.uint8)).shape == (0, 8)
    assert len(sorted_keys([])) == 0


@pytest.mark.parametrize(("exchange", "user"), [("bench", "\ud800"), ("\ud800", "user")])
def test_a_name_that_utf8_cannot_write_is_refused_by_name(exchange: str, user: str) -> None:
    with pytest.raises(NotIncluded, match="UTF-8"):
        account_ids(exchange, [user], np.zeros((1, 32), np.uint8))


def test_keys_ascend_and_find_every_user() -> None:
    users = [f"user{i}" for i in range(2000)]
    keys = sorted_keys(users)
    assert keys.dtype == KEY_TYPE
    whole = [bytes(key).ljust(KEY_BYTES, b"\0") for key in keys["key"]]
    assert whole == sorted(lookup_key(user) for user in users)
    assert all(lookup_key(users[i]) == key for key, i in zip(whole, keys["index"], strict=True))
