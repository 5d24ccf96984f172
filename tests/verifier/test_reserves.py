"""Reserves as a file: read exactly, or refused in words."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.verifier.small_tree import INSTRUMENTS
from verifier.errors import Reason, VerificationError
from verifier.instruments import Instrument
from verifier.reserves import RESERVES_BYTES_MAX, parse_reserves

GOOD = [
    (b"asset,amount\n", (0, 0, 0)),
    (b"asset,amount", (0, 0, 0)),
    (b"asset,amount\nbtc,1\n", (10**8, 0, 0)),
    (b"asset,amount\nusdt,0.000001\nbtc,12.30", (1_230_000_000, 0, 1)),
    (b"asset,amount\neth,0\nbtc,0.0\n", (0, 0, 0)),
    (b"asset,amount\nbtc," + b"9" * 40 + b"\n", ((10**40 - 1) * 10**8, 0, 0)),
]


@pytest.mark.parametrize(("data", "atoms"), GOOD)
def test_reserves_are_read_exactly(data: bytes, atoms: tuple[int, ...]) -> None:
    assert parse_reserves(data, INSTRUMENTS) == atoms


def test_a_symbol_may_hold_a_comma() -> None:
    assert parse_reserves(b"asset,amount\na,b,3\n", [Instrument("a,b", "spot", 1, 0)]) == (30,)


BAD = [
    (b"", "line 1"),
    (b"btc,1\n", "line 1"),
    (b"asset, amount\nbtc,1\n", "line 1"),
    (b"Asset,Amount\nbtc,1\n", "line 1"),
    (b"\xef\xbb\xbfasset,amount\n", "no BOM"),
    (b"asset,amount\r\nbtc,1\r\n", "no CR"),
    (b"asset,amount\nbtc,1\n\n", "line 3"),
    (b"asset,amount\nbtc\n", "line 2: expected asset,amount"),
    (b"asset,amount\ndoge,1\n", "line 2, asset: expected a spot asset"),
    (b"asset,amount\nBTC,1\n", "line 2, asset: expected a spot asset"),
    (b"asset,amount\n btc,1\n", "line 2, asset: expected a spot asset"),
    (b'asset,amount\n"btc",1\n', "line 2, asset: expected a spot asset"),
    (b"asset,amount\nbtc,1\neth,1\nbtc,1\n", "line 4, asset: expected each asset once"),
    *(
        (b"asset,amount\nbtc," + text + b"\n", "line 2, amount of 'btc': expected a plain decimal number")
        for text in (b"", b"-1", b"+1", b"01", b"1.", b".5", b"1e3", b"1 ", b" 1", b"1,000", b"0x1", b"NaN", b"1_0")
        if b"," not in text
    ),
    (b"asset,amount\nbtc,1,000\n", "line 2, asset"),
    (b"asset,amount\nbtc,0.000000001\n", "at most 8 decimals"),
    (b"asset,amount\nbtc,1.000000000\n", "at most 8 decimals"),
    (b"asset,amount\nbtc," + b"9" * 41 + b"\n", "plain decimal number"),
]


@pytest.mark.negative
@pytest.mark.parametrize(("data", "words"), BAD)
def test_reserves_that_are_refused(data: bytes, words: str) -> None:
    with pytest.raises(VerificationError) as caught:
        parse_reserves(data, INSTRUMENTS)
    assert caught.value.reason is Reason.RESERVES
    assert words in str(caught.value)


@pytest.mark.negative
def test_reserves_of_what_is_not_spot() -> None:
    with pytest.raises(VerificationError, match="spot asset"):
        parse_reserves(b"asset,amount\nperp,1\n", [Instrument("perp", "perpetual", 0, 1)])


@pytest.mark.negative
def test_reserves_file_too_large() -> None:
    with pytest.raises(VerificationError) as caught:
        parse_reserves(b"x" * (RESERVES_BYTES_MAX + 1), INSTRUMENTS)
    assert caught.value.reason is Reason.FILE_TOO_LARGE


@pytest.mark.negative
@given(st.binary(max_size=60))
def test_only_the_typed_error_leaves(junk: bytes) -> None:
    for data in (junk, b"asset,amount\nbtc," + junk):
        with contextlib.suppress(VerificationError):
            parse_reserves(data, INSTRUMENTS)
