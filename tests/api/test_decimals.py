"""Decimal strings become integers exactly, and the fast reading agrees with the slow one on everything."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from api.importers.decimals import BadNumber, parse_amount, parse_amounts, parse_price

TOP = 2**63 - 1
GOOD = [
    ("0", 8, 0),
    ("1", 8, 10**8),
    ("0.00000001", 8, 1),
    ("0.10000000000", 8, 10**7),
    ("0.1" + "0" * 60, 8, 10**7),
    ("92233720368.54775807", 8, TOP),
    ("9223372036854775807", 0, TOP),
    ("9223372036854775807.000", 0, TOP),
    ("9.223372036854775807", 18, TOP),
]
BAD = [
    *("", " ", "1 ", " 1", "+1", "-1", "-0", "1e5", "1E-3", "0x1", "1_000", "1,000", "1.", ".5", "1.2.3", "NaN", "inf"),
    *("-inf", "Infinity", "null", "01", "00.5", "\u0661", "1\n", "1\x00", "\u00bd", "1'000"),
    *("0.000000001", "1.123456789", "92233720368.54775808", "92233720369", "1" * 30, "1" * 500, "0." + "0" * 500 + "1"),
]


@pytest.mark.parametrize(("text", "decimals", "atoms"), GOOD)
def test_amounts(text: str, decimals: int, atoms: int) -> None:
    assert parse_amount(text, decimals) == atoms
    values, bad = parse_amounts(pa.array([text]), decimals)
    assert values.tolist() == [atoms]
    assert bad is None


@pytest.mark.negative
@pytest.mark.parametrize("text", BAD)
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(BadNumber):
        parse_amount(text, 8)
    values, bad = parse_amounts(pa.array(["1", text, text]), 8)
    assert len(values) == 3
    assert bad is not None
    assert bad[0] == 1


@pytest.mark.negative
def test_the_messages() -> None:
    for text, decimals, expected in [
        ("1e5", 8, "a decimal number with at most 8 decimals"),
        ("1.5", 0, "a whole number, no sign"),
        ("92233720368.54775808", 8, "at most 2^63 - 1 atoms, 92233720368.54775807"),
    ]:
        with pytest.raises(BadNumber) as caught:
            parse_amount(text, decimals)
        assert caught.value.expected == expected


NUMBERS = st.from_regex(r"\A[0-9]{1,21}(\.[0-9]{1,22})?\Z", fullmatch=True)
TEXTS = st.one_of(NUMBERS, st.text("0123456789.-+eE ", max_size=8), st.text(max_size=5))


@given(st.lists(TEXTS, min_size=1, max_size=20), st.integers(0, 18))
@example(["0." + "0" * 17 + "1", "1"], 18)
def test_fast_and_slow_agree(texts: list[str], decimals: int) -> None:
    encodable = [text.encode("utf-8", "replace").decode() for text in texts]
    slow: list[int] = []
    first_bad = None
    for index, text in enumerate(encodable):
        try:
            slow.append(parse_amount(text, decimals))
        except BadNumber as error:
            first_bad = (index, error.expected)
            break
    padded = pa.array(["7", *encodable])  # a slice: offsets inside Arrow's buffers must be honoured
    values, bad = parse_amounts(padded.slice(1), decimals)
    assert (None if bad is None else (bad[0], bad[1].expected)) == first_bad
    if first_bad is None:
        assert values.tolist() == slow
        assert values.dtype == np.uint64
        assert slow == [Fraction(text) * 10**decimals for text in encodable]


@given(st.from_regex(r"\A(0|[1-9][0-9]{0,20})(\.[0-9]{1,25})?\Z", fullmatch=True))
def test_prices(text: str) -> None:
    mantissa, decimals = parse_price(text)
    assert Fraction(mantissa) / Fraction(10) ** decimals == Fraction(text)
    assert mantissa % 10 or (mantissa, decimals) == (0, 0)


@pytest.mark.negative
@pytest.mark.parametrize("text", ["", "-1", "+1", "1e5", "NaN", " 1", "1.", "01", "1" * 201])
def test_what_is_no_price(text: str) -> None:
    with pytest.raises(BadNumber):
        parse_price(text)
