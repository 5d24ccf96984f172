"""Where a log keeps its hashes and entries: c2sp.org/tlog-tiles, and how proofs are put together from them.

Nothing is checked here. Tiles come from whoever serves them: a proof made of wrong ones does not lead to the root of a
signed checkpoint, which `verifier.log.tree` finds out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from verifier.canonical import refuse
from verifier.errors import Reason
from verifier.log.tree import DIGEST_BYTES, EMPTY_ROOT, SIZE_END, node_hash

TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
ENTRY_BYTES_MAX = 2**16 - 1
"""An entry's length stands in 16 bits."""
ENTRIES_BYTES_MAX = TILE_WIDTH * (ENTRY_BYTES_MAX + 2)
CHECKPOINT_FILE = "checkpoint"
_LEVELS = (None, *range(SIZE_END.bit_length() // TILE_HEIGHT))
"""Of tiles: bundles of entries, then those of hashes from the leaves up."""

Read = Callable[[str], bytes]
"""The contents of a file by its path below the log's prefix."""


@dataclass(frozen=True)
class Tile:
    """`width` consecutive hashes of one tile; `level` None for a bundle of entries."""

    level: int | None
    index: int
    width: int

    @property
    def path(self) -> str:
        """Below the log's prefix, with `/`."""
        digits = f"{self.index:03d}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        parts = [digits[i : i + 3] for i in range(0, len(digits), 3)]
        name = "/".join([f"x{part}" for part in parts[:-1]] + [parts[-1]])
        level = "entries" if self.level is None else str(self.level)
        return f"tile/{level}/{name}" + ("" if self.width == TILE_WIDTH else f".p/{self.width}")


def tiles_of(size: int) -> Iterator[Tile]:
    """Every tile and bundle of a tree of this size, those of one level from left to right."""
    for level in _LEVELS:
        count = size >> TILE_HEIGHT * (level or 0)
        for index in range(-(-count // TILE_WIDTH)):
            yield Tile(level, index, min(TILE_WIDTH, count - index * TILE_WIDTH))


def newest_tiles(size: int) -> Iterator[Tile]:
    """Those of them that a tree with one leaf fewer does not have: they end at the right edge."""
    for level in _LEVELS:
        count, rest = divmod(size, 1 << TILE_HEIGHT * (level or 0))
        if count and not rest:
            yield Tile(level, (count - 1) // TILE_WIDTH, (count - 1) % TILE_WIDTH + 1)


def pack_entries(entries: Sequence[bytes]) -> bytes:
    """A bundle: each entry behind its length, 16 bits big-endian."""
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def unpack_entries(data: bytes, count: int, where: str) -> list[bytes]:
    """The `count` entries of a bundle.

    Raises:
        MalformedProof: MALFORMED.
    """
    entries, at = [], 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if end > len(data):
            refuse(where, "whole entries", f"{len(data) - at} bytes at the end")
        entries.append(data[at + 2 : end])
        at = end
    if len(entries) != count:
        refuse(where, f"{count} entries", f"{len(entries)} of them")
    return entries


class Tiles:
    """The tree of `size` leaves, out of its tiles.

    Args:
        read: raises VerificationError where there is no such tile.
    """

    def __init__(self, read: Read, size: int) -> None:
        self.size = size
        self._read = read
        self._kept: dict[tuple[int, int], bytes] = {}

    def root(self) -> bytes:
        """Of the whole tree."""
        return self._range(0, self.size) if self.size else EMPTY_ROOT

    def inclusion(self, index: int) -> list[bytes]:
        """Proof for the leaf at `index`, RFC 6962, section 2.1.1."""
        proof, start, end = [], 0, self.size
        while end - start > 1:
            middle = start + _left(end - start)
            if index < middle:
                proof.append(self._range(middle, end))
                end = middle
            else:
                proof.append(self._range(start, middle))
                start = middle
        return proof[::-1]

    def consistency(self, old_size: int) -> list[bytes]:
        """Proof that the first `old_size` leaves, of at least one, are a prefix, RFC 6962, section 2.1.2."""
        if old_size in (0, self.size):
            return []
        proof, start, end = [], 0, self.size
        while old_size != end:
            middle = start + _left(end - start)
            if old_size <= middle:
                proof.append(self._range(middle, end))
                end = middle
            else:
                proof.append(self._range(start, middle))
                start = middle
        if start:
            proof.append(self._range(start, end))
        return proof[::-1]

    def leaf(self, index: int) -> bytes:
        """The leaf hash at `index`."""
        return self._node(0, index)

    def entries(self, index: int) -> list[bytes]:
        """All entries of the bundle with this index."""
        tile = Tile(None, index, min(TILE_WIDTH, self.size - index * TILE_WIDTH))
        return unpack_entries(self._read(tile.path), tile.width, tile.path)

    def _range(self, start: int, end: int) -> bytes:
        """Root of the leaves from `start` to `end`, which is a subtree of the tree."""
        width = end - start
        if width & (width - 1):
            middle = start + _left(width)
            return node_hash(self._range(start, middle), self._range(middle, end))
        level = width.bit_length() - 1
        return self._node(level, start >> level)

    def _node(self, level: int, index: int) -> bytes:
        """Root of the complete subtree of 2^level leaves."""
        tile_level, above = divmod(level, TILE_HEIGHT)
        if not above:
            return self._hash(tile_level, index)
        if (hit := self._kept.get((level, index))) is None:
            hit = node_hash(self._node(level - 1, 2 * index), self._node(level - 1, 2 * index + 1))
            self._kept[level, index] = hit
        return hit

    def _hash(self, tile_level: int, index: int) -> bytes:
        key = tile_level * TILE_HEIGHT, index
        if key not in self._kept:
            first = index // TILE_WIDTH * TILE_WIDTH
            count = self.size >> TILE_HEIGHT * tile_level
            tile = Tile(tile_level, first // TILE_WIDTH, min(TILE_WIDTH, count - first))
            data = self._read(tile.path)
            if len(data) != DIGEST_BYTES * tile.width:
                refuse(tile.path, f"{DIGEST_BYTES * tile.width} bytes", len(data), Reason.MALFORMED)
            for i in range(tile.width):
                self._kept[key[0], first + i] = data[DIGEST_BYTES * i : DIGEST_BYTES * (i + 1)]
        return self._kept[key]


def _left(width: int) -> int:
    """The largest power of two below `width`, which is above 1."""
    return 1 << (width - 1).bit_length() - 1
