"""Words and bytes, and the reader that never runs past the end."""

from __future__ import annotations

import pytest

from tests.verifier.toy_proofs import expect
from verifier.encoding import Reader, as_exts, pack_exts, pack_words, unpack_words
from verifier.errors import MalformedProof, Reason
from verifier.field import P


def test_words_are_little_endian_and_come_back() -> None:
    assert pack_words((1, 0x01020304)) == bytes.fromhex("0100000004030201")
    words = (0, 1, P - 1)
    assert unpack_words(b"xx" + pack_words(words), "words", 2) == words
    assert unpack_words(b"", "nothing") == ()


def test_an_element_is_five_words_from_the_lowest_coefficient() -> None:
    elements = ((1, 2, 3, 4, 5), (6, 7, 8, 9, 10))
    assert pack_exts(elements) == pack_words(range(1, 11))
    assert as_exts(range(1, 11)) == elements


@pytest.mark.negative
@pytest.mark.parametrize("word", [P, P + 1, 2**31, 2**32 - 1])
def test_a_word_has_one_spelling(word: int) -> None:
    with pytest.raises(MalformedProof) as caught:
        unpack_words(pack_words((0, word, P)), "words")
    expect(Reason.NON_CANONICAL, caught.value)
    if caught.value.where["word"] != 1:
        pytest.fail("names the wrong word")


@pytest.mark.negative
def test_the_reader_stops_at_the_end() -> None:
    reader = Reader(pack_words((7, 2**31, 5)) + b"z")
    for asked, reason in ((14, Reason.MALFORMED), (2**62, Reason.MALFORMED)):
        with pytest.raises(MalformedProof) as caught:
            reader.take(asked, "piece")
        expect(reason, caught.value)
    if (reader.u32("first"), reader.u64("second")) != (7, 2**31 + (5 << 32)):
        pytest.fail("a failed take must not consume")
    with pytest.raises(MalformedProof) as caught:
        reader.finish("the file")
    expect(Reason.TRAILING_BYTES, caught.value)
    reader.take(1, "rest")
    reader.finish("the file")


@pytest.mark.negative
@pytest.mark.parametrize("value", [0, 5, 2**32 - 1])
def test_counts_have_bounds(value: int) -> None:
    with pytest.raises(MalformedProof) as caught:
        Reader(value.to_bytes(4, "little")).count(1, 4, "positions")
    expect(Reason.MALFORMED, caught.value)
