"""Canonical JSON: one spelling per value, and every other one refused by name."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifier.canonical import _ERRORS as ERRORS
from verifier.canonical import NESTING_MAX, Record, dumps, hex_words, is_deep, loads, read_document, shown
from verifier.errors import NotIncluded, Reason, VerificationError
from verifier.field import P

NON_SURROGATE = st.text(st.characters(codec="utf-8"))
VALUES = st.recursive(
    st.integers(-(2**53) + 1, 2**53 - 1) | NON_SURROGATE,
    lambda inner: st.lists(inner) | st.dictionaries(NON_SURROGATE, inner),
    max_leaves=20,
)

REFUSED = [
    (b'{"a":1,"a":1}\n', Reason.MALFORMED, "duplicate key"),
    (b'{"a":{"b":1,"b":2}}\n', Reason.MALFORMED, "duplicate key"),
    (b'{"a":1.0}\n', Reason.MALFORMED, "only integers"),
    (b'{"a":1e3}\n', Reason.MALFORMED, "only integers"),
    (b'{"a":NaN}\n', Reason.MALFORMED, "only integers"),
    (b'{"a":-Infinity}\n', Reason.MALFORMED, "only integers"),
    (b'{"a":9007199254740992}\n', Reason.MALFORMED, "2^53"),
    (b'{"a":-9007199254740992}\n', Reason.MALFORMED, "2^53"),
    (b'{"a":' + b"9" * 100_000 + b"}\n", Reason.MALFORMED, "2^53"),
    (b"[" * 200_000, Reason.MALFORMED, "nested"),
    (b'{"a":' * 100_000, Reason.MALFORMED, "nested"),
    (b"", Reason.MALFORMED, "not JSON"),
    (b"\n", Reason.MALFORMED, "not JSON"),
    (b'{"a":1\n', Reason.MALFORMED, "not JSON"),
    (b'{"a":01}\n', Reason.MALFORMED, "not JSON"),
    (b'{"a":"\x01"}\n', Reason.MALFORMED, "not JSON"),
    (b'{"a":1}\nx', Reason.TRAILING_BYTES, "after the document"),
    (b'{"a":1}{"a":1}\n', Reason.TRAILING_BYTES, "after the document"),
    (b'{"a":1}\n\x00', Reason.TRAILING_BYTES, "after the document"),
    (b'{"a":1}', Reason.NON_CANONICAL, "one newline"),
    (b'{"a":1}\n\n', Reason.NON_CANONICAL, "one newline"),
    (b'{"a":1}\r\n', Reason.NON_CANONICAL, "one newline"),
    (b'{"a": 1}\n', Reason.NON_CANONICAL, "no spaces"),
    (b'{"b":1,"a":2}\n', Reason.NON_CANONICAL, "sorted keys"),
    (b'{"a":-0}\n', Reason.NON_CANONICAL, "plain numbers"),
    (b'{"a":"\\u0041"}\n', Reason.NON_CANONICAL, "expected"),
    (b'{"a":"\\u00E9"}\n', Reason.NON_CANONICAL, "expected"),
    (b'{"a":"\\/"}\n', Reason.NON_CANONICAL, "expected"),
    (b'{"a":"\\ud800"}\n', Reason.NON_CANONICAL, "surrogate"),
    (b'{"\\udfff":1}\n', Reason.NON_CANONICAL, "surrogate"),
    ('{"a":"é"}\n'.encode(), Reason.NON_CANONICAL, "not ASCII"),
    (b"\xef\xbb\xbf{}\n", Reason.NON_CANONICAL, "not ASCII"),
]


@given(VALUES)
def test_every_value_has_one_spelling(value: Any) -> None:
    data = dumps(value)
    assert loads(data, len(data)) == value
    assert dumps(loads(data, len(data))) == data


@pytest.mark.negative
@pytest.mark.parametrize(("data", "reason", "words"), REFUSED)
def test_other_spellings_are_refused(data: bytes, reason: Reason, words: str) -> None:
    with pytest.raises(VerificationError, match=words.replace("^", r"\^")) as caught:
        loads(data, 2**20, "file")
    assert caught.value.reason is reason
    assert str(caught.value).startswith(f"{reason.value}: file: ")


@pytest.mark.negative
@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
def test_nesting_is_limited_whatever_the_interpreter_allows(opening: bytes) -> None:
    """A library may raise the recursion limit, and the decoder would then run out of stack: no error, but a crash."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000_000)
    try:
        with pytest.raises(VerificationError) as caught:
            loads(opening * 200_000, 2**23)
    finally:
        sys.setrecursionlimit(before)
    assert (caught.value.reason, "nested too deeply" in str(caught.value)) == (Reason.MALFORMED, True)


def test_what_nests() -> None:
    deepest = b"[" * NESTING_MAX + b"]" * NESTING_MAX + b"\n"
    assert dumps(loads(deepest, 2**10)) == deepest
    with pytest.raises(VerificationError, match="nested too deeply"):
        loads(b"[" + deepest[:-1] + b"]\n", 2**10)
    for first in (b"[]", b"{}", b'"a"', b"1"):
        with pytest.raises(VerificationError, match="after the document"):
            loads(first + b"[" * 100, 2**10)
    for blanks in ("", " ", "\n\t\r "):
        assert is_deep(blanks + "[" * (NESTING_MAX + 1)) and not is_deep(blanks + "[" * NESTING_MAX)
    flat = dumps([["[{"] * 100, '\\"[' * 100, "{" * 100, "]" * 100])
    assert dumps(loads(flat, 2**12)) == flat


@pytest.mark.negative
@pytest.mark.parametrize("end", [b"", b"\\"])
def test_an_open_string_is_looked_at_once(end: bytes) -> None:
    """Escaped quotes without end: from each of them to the end would be a square."""
    with pytest.raises(VerificationError, match="not JSON"):
        loads(b'"' + b'\\"' * 1_000_000 + end, 2**22)


def test_size_is_limited_before_anything_is_read() -> None:
    with pytest.raises(VerificationError) as caught:
        loads(b"[" * 11, 10)
    assert caught.value.reason is Reason.FILE_TOO_LARGE


@pytest.mark.negative
@pytest.mark.parametrize("data", [b"[]\n", b'"format"\n', b"1\n", b"null\n"])
def test_a_document_is_an_object(data: bytes) -> None:
    with pytest.raises(VerificationError, match="doc: expected an object") as caught:
        read_document(data, 100, "doc", "format/v1", ())
    assert caught.value.reason is Reason.MALFORMED


@pytest.mark.negative
@given(st.binary(max_size=200) | st.text('{}[]":,01-.eE\\un \n').map(str.encode))
def test_only_the_typed_error_leaves(data: bytes) -> None:
    with contextlib.suppress(VerificationError):
        assert dumps(loads(data, 200)) == data


def record(value: object) -> Record:
    return Record({"x": value}, "doc", ("x",))


def test_printable_does_not_depend_on_the_interpreter() -> None:
    """What any Python calls printable is, and also what Unicode has yet to assign; no known invisible character is."""
    for character in map(chr, range(0x110000)):
        if character.isprintable():
            assert record(character).text("x", 1) == character
    assert record("\U0001fae9\u0378").text("x", 2)  # of Unicode 16, and of none yet


BAD_FIELDS: list[tuple[Any, list[object], str]] = [
    (lambda r: r.integer("x", 0, 7), [8, -1, True, "1", None, [1]], "from 0 to 7"),
    (
        lambda r: r.decimal("x", 0, 10, Reason.ENTRIES),
        ["01", "+1", "-1", "", "1.0", "1e1", " 1", "\u0661", 1],
        "decimal",
    ),
    (lambda r: r.decimal("x", 0, 10, Reason.ENTRIES), ["1" * 61], "decimal"),
    (lambda r: r.decimals("x", 2, 0, 10, Reason.MALFORMED), [["1"], ["1"] * 3, {}, "11", None], "a list of 2 decimal"),
    (
        lambda r: r.decimals("x", 2, 0, 10, Reason.ENTRIES),
        [["1", "01"], ["1", 1], ["1", None]],
        r"x\[1\]: expected a dec",
    ),
    (lambda r: r.text("x", 3), ["", "abcd", "a\n", "\ud800", "a\u202e", "\U00013439", 5, None], "printable"),
    (lambda r: r.string("x", 3), ["abcd", 5, None], "at most 3"),
    (lambda r: r.symbol("x"), ["a b", "é"], "visible ASCII"),
    (lambda r: r.symbol("x"), ["a" * 33], "1 to 32"),
    (lambda r: r.choice("x", ("a", "b")), ["c", 1, None, ["a"]], "'a' or 'b'"),
    (lambda r: r.raw("x", 2), ["abc", "ABCD", "abcg", "abcde", 1234], "4 lower-case hex"),
    (lambda r: r.words("x", 1), ["0000000", "zzzzzzzz"], "8 lower-case hex"),
    (lambda r: r.record("x", ("y",)), [[], 1, "y"], "an object"),
    (lambda r: r.record("x", ("y",)), [{}], "y is missing"),
    (lambda r: r.record("x", ("y",)), [{"y": 1, "z": 1}], "unknown key 'z'"),
    (lambda r: r.records("x", ("y",), 1), [{}, [{"y": 1}, {"y": 1}]], "at most 1"),
    (lambda r: r.records("x", ("y",), 1), [[1]], r"doc\.x\[0\]: expected an object"),
]
CASES = [(getter, value, words) for getter, values, words in BAD_FIELDS for value in values]


@pytest.mark.negative
@pytest.mark.parametrize(("getter", "value", "words"), CASES)
def test_a_getter_names_the_field(getter: Any, value: object, words: str) -> None:
    with pytest.raises(VerificationError, match=words) as caught:
        getter(record(value))
    assert caught.value.reason is Reason.MALFORMED
    assert "doc.x" in str(caught.value)
    assert str(caught.value).isascii()


@pytest.mark.negative
def test_ranges_have_the_callers_reason_and_its_class() -> None:
    with pytest.raises(NotIncluded) as caught:
        record("10").decimal("x", 0, 10, Reason.ENTRIES)
    assert caught.value.reason is Reason.ENTRIES
    assert dict(caught.value.where) == {"field": "doc.x", "expected": "from 0 to 9", "got": "'10'"}


@pytest.mark.parametrize("value", [5, None, "text", {"a": 1}])
def test_what_is_no_list_of_records_is_refused(value: object) -> None:
    with pytest.raises(VerificationError, match="a list of at most 3 objects"):
        record(value).records("x", (), 3)


def test_lists_of_decimals_and_nulls() -> None:
    assert record(["0", "9"]).decimals("x", 2, 0, 10, Reason.ENTRIES) == (0, 9)
    assert record([]).decimals("x", 0, 0, 10, Reason.ENTRIES) == ()
    with pytest.raises(NotIncluded, match=r"doc\.x\[1\]: expected from 0 to 9"):
        record(["0", "10"]).decimals("x", 2, 0, 10, Reason.ENTRIES)
    assert record(None).is_null("x")
    others: list[object] = [0, "", "null", [], False]
    assert not any(record(value).is_null("x") for value in others)


def test_the_longest_values_are_taken() -> None:
    assert record("abc").text("x", 3) == record("abc").string("x", 3) == "abc"
    assert record("a\n").string("x", 2) == "a\n"
    assert record("a" * 32).symbol("x") == "a" * 32
    assert record("9" * 60).decimal("x", 0, 10**60, Reason.ENTRIES) == 10**60 - 1


@pytest.mark.negative
def test_words_are_below_p() -> None:
    """06 attack 18: x + p fits in 32 bits and must not stand for x."""
    assert record(hex_words((0, P - 1))).words("x", 2) == (0, P - 1)
    for word in (P, P + 5, 2**32 - 1):
        with pytest.raises(VerificationError) as caught:
            record(hex_words((0, word))).words("x", 2)
        assert caught.value.reason is Reason.NON_CANONICAL


def test_shown_is_short_and_ascii() -> None:
    assert shown("é\n") == r"'\xe9\n'"
    assert shown("x" * 78) == f"'{'x' * 78}'"
    assert shown("x" * 79) == f"'{'x' * 79}..."


@pytest.mark.parametrize(("empty", "words"), [([], "a JSON list"), ({}, "a JSON dict")])
def test_shown_does_not_print_what_nests(empty: list[object] | dict[str, object], words: str) -> None:
    deep: object = empty
    for _ in range(100_000):
        deep = [deep] if isinstance(empty, list) else {"a": deep}
    assert shown(deep) == words


def test_every_reason_has_its_class() -> None:
    """Those of files and of the proof itself are raised by name elsewhere, or are malformed proofs."""
    files = {Reason.FILE_MISSING, Reason.FILE_TOO_LARGE, Reason.MALFORMED, Reason.NON_CANONICAL, Reason.TRAILING_BYTES}
    proof = {Reason.GRINDING, Reason.OUT_OF_DOMAIN_POINT, Reason.CONSTRAINTS, Reason.COMMITMENT}
    fri = {Reason.FRI_LAYER, Reason.FRI_FOLD, Reason.FRI_FINAL}
    assert set(Reason) - ERRORS.keys() == files | proof | fri | {Reason.UNKNOWN_VERSION}


def test_dumps_is_what_other_languages_write() -> None:
    assert dumps({"b": [1, "é"], "a": {}}) == b'{"a":{},"b":[1,"\\u00e9"]}\n'
    assert json.loads(dumps({"n": 2**53 - 1})) == {"n": 2**53 - 1}
