"""Who is who in the tree: account ids against an independent computation."""

from __future__ import annotations

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifier.account_id import account_id
from verifier.errors import NotIncluded, Reason

P = 2130706433
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(NAMES, NAMES, st.binary(min_size=32, max_size=32))
def test_the_definition(exchange: str, user_id: str, nonce: bytes) -> None:
    names = [name.encode() for name in (exchange, user_id)]
    message = b"solvent/account-id/v1" + b"".join(struct.pack("<I", len(name)) + name for name in names) + nonce
    words = struct.unpack("<8I", hashlib.sha256(message).digest())
    assert account_id(exchange, user_id, nonce) == tuple((word & 0x7FFFFFFF) % P for word in words)


def test_a_fixed_value() -> None:
    # Moving this value changes everybody's id: [BREAKING].
    assert account_id("example", "alice", bytes(range(32))) == (
        1507457871,
        1365995354,
        405352488,
        547932021,
        1307814555,
        1713545830,
        1645787986,
        1279657652,
    )


def test_names_do_not_run_into_each_other() -> None:
    nonce = bytes(32)
    assert account_id("ab", "c", nonce) != account_id("a", "bc", nonce)


@pytest.mark.negative
@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_nonce_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(NotIncluded) as caught:
        account_id("example", "alice", bytes(length))
    assert caught.value.reason is Reason.ACCOUNT_ID


@pytest.mark.negative
def test_a_name_without_utf8_is_refused() -> None:
    with pytest.raises(NotIncluded) as caught:
        account_id("example", "\ud800", bytes(32))
    assert caught.value.reason is Reason.ACCOUNT_ID
