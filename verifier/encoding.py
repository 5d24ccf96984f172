"""Binary in and out: little-endian words, and a reader that never runs past the end."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from itertools import chain

from verifier.errors import MalformedProof, Reason
from verifier.field import EXTENSION_DEGREE, Ext, P


def pack_words(words: Sequence[int]) -> bytes:
    """Canonical words as u32 little-endian."""
    return struct.pack(f"<{len(words)}I", *words)


def pack_exts(elements: Iterable[Ext]) -> bytes:
    """Extension elements, five words each, the coefficient of X^0 first."""
    return pack_words(tuple(chain.from_iterable(elements)))


def as_exts(words: Sequence[int]) -> tuple[Ext, ...]:
    """Group words by five."""
    return tuple(zip(*(iter(words),) * EXTENSION_DEGREE, strict=True))


class Reader:
    """Consumes `data` from the front. Every length is compared with what is left before anything is built.

    Raises:
        MalformedProof: MALFORMED for missing bytes, NON_CANONICAL for a word >= p, TRAILING_BYTES at the end.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset = 0

    def take(self, count: int, what: str) -> bytes:
        end = self._offset + count
        left = len(self._data) - self._offset
        if count > left:
            raise MalformedProof(
                Reason.MALFORMED,
                f"{what} needs {count} bytes at offset {self._offset}, {left} are left",
                what=what,
                offset=self._offset,
            )
        piece = self._data[self._offset : end]
        self._offset = end
        return piece

    def u32(self, what: str) -> int:
        return int.from_bytes(self.take(4, what), "little")

    def u64(self, what: str) -> int:
        return int.from_bytes(self.take(8, what), "little")

    def count(self, least: int, most: int, what: str) -> int:
        """A u32 within bounds known beforehand."""
        value = self.u32(what)
        if not least <= value <= most:
            raise MalformedProof(
                Reason.MALFORMED,
                f"{what} is {value}, expected {least} to {most}",
                what=what,
                offset=self._offset - 4,
            )
        return value

    def exts(self, count: int, what: str) -> tuple[Ext, ...]:
        words = unpack_words(self.take(4 * EXTENSION_DEGREE * count, what), what)
        return as_exts(words)

    def finish(self, what: str) -> None:
        left = len(self._data) - self._offset
        if left:
            raise MalformedProof(
                Reason.TRAILING_BYTES,
                f"{left} bytes follow the end of {what}",
                what=what,
                offset=self._offset,
            )


def unpack_words(data: bytes, what: str, offset: int = 0) -> tuple[int, ...]:
    """The canonical words in `data` from byte `offset` on.

    Raises:
        MalformedProof: NON_CANONICAL when one is >= p.
    """
    words = struct.unpack_from(f"<{(len(data) - offset) // 4}I", data, offset)
    if words and max(words) >= P:
        index = next(i for i, word in enumerate(words) if word >= P)
        raise MalformedProof(
            Reason.NON_CANONICAL,
            f"word {index} of {what} is {words[index]}, not below {P}",
            what=what,
            word=index,
        )
    return words
