"""Account ids and lookup keys of many users at once: one hash each, everything around it on whole arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from verifier.account_id import ACCOUNT_ID_DOMAIN, NONCE_BYTES, account_id
from verifier.field import P

Words = npt.NDArray[np.uint32]
KEY_TYPE = np.dtype([("key", "S16"), ("index", "<u4")])
KEY_BYTES = 16
_KEY_DOMAIN = b"solvent/private-key/v1"


def account_ids(exchange: str, users: Sequence[str], nonces: npt.NDArray[np.uint8]) -> Words:
    """(n, 8) canonical words: `verifier.account_id.account_id` of each user with its nonce, (n, 32) bytes.

    Raises:
        NotIncluded: as `account_id` does for the first user at fault.
    """
    packed, sha256, digests = nonces.tobytes(), hashlib.sha256, []
    try:
        prefix = ACCOUNT_ID_DOMAIN + _framed(exchange)
        for i, user in enumerate(users):
            digests.append(sha256(prefix + _framed(user) + packed[NONCE_BYTES * i : NONCE_BYTES * (i + 1)]).digest())
    except UnicodeEncodeError:
        for user in users:
            account_id(exchange, user, bytes(NONCE_BYTES))  # names what is wrong
    words = np.frombuffer(b"".join(digests), "<u4") & np.uint32(0x7FFFFFFF)
    return (words % np.uint32(P)).astype(np.uint32).reshape(len(users), 8)


def _framed(name: str) -> bytes:
    raw = name.encode()
    return len(raw).to_bytes(4, "little") + raw


def lookup_key(user_id: str) -> bytes:
    """16 bytes under which an account is found, whatever the length of its user's id."""
    return hashlib.sha256(_KEY_DOMAIN + user_id.encode()).digest()[:KEY_BYTES]


def sorted_keys(user_ids: Sequence[str]) -> npt.NDArray[Any]:
    """(n,) of KEY_TYPE, ascending by key: where each user stands in `user_ids`."""
    sha256 = hashlib.sha256
    digests = b"".join([sha256(_KEY_DOMAIN + user.encode()).digest() for user in user_ids])
    halves = np.frombuffer(digests, ">u8").reshape(len(user_ids), 4)[:, :2].astype(np.uint64)
    order = np.lexsort((halves[:, 1], halves[:, 0]))  # big-endian halves sort like the bytes
    out = np.empty(len(user_ids), KEY_TYPE)
    out["key"] = np.ascontiguousarray(halves[order].astype(">u8")).view(f"S{KEY_BYTES}").reshape(-1)
    out["index"] = order
    return out
