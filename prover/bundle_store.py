"""All users' bundles in one folder, each found by its user's id in constant time. Secret: it shows every balance.

    store.json        format, statement, counts, length and SHA-256 of every other file (canonical JSON)
    key.bin           32 random bytes
    index.bin         an open-addressed hash table of SLOT
    segments/NNNNNN   bundles, one after the other, exactly as users get them

A user is found under BLAKE2b-128 of their id, keyed with key.bin: whoever has the index without the key cannot test
guessed ids, and no choice of ids makes one part of the table crowded. The table is sorted by home slot, and no bundle
stands further than `reach` slots behind its home: a look-up reads one short run of the table and one bundle.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prover.errors import InputError
from verifier.canonical import Record, dumps, read_document
from verifier.errors import Reason, VerificationError

FORMAT = "solvent/bundle-store/v1"
META_FILE, KEY_FILE, INDEX_FILE, SEGMENTS = "store.json", "key.bin", "index.bin", "segments"
KEY_BYTES = 32
META_BYTES_MAX = 2**24
SEGMENTS_MAX = 2**16
SLOT = np.dtype(
    [("high", "<u8"), ("low", "<u8"), ("segment", "<u4"), ("offset", "<u4"), ("length", "<u4"), ("check", "<u4")]
)
"""A user's key in two halves, where the bundle stands, and its CRC-32. An empty slot has length 0."""

Table = npt.NDArray[Any]


def segment_name(number: int) -> str:
    """Name of a segment's file within the store."""
    return f"{SEGMENTS}/{number:06d}"


def keyed_hash(key: bytes) -> hashlib.blake2b:
    """A hash that a user id goes into to give the 16 bytes under which its bundle stands."""
    return hashlib.blake2b(digest_size=16, key=key, person=b"solvent/bundle/1")


def home_slot(high: Any, capacity: int) -> Any:
    """The slot at which the search for a key begins, for one key or an array of uint64; grows with the key.

    Args:
        high: first half of the key, below 2^64. capacity: below 2^32.
    """
    return (high >> 32) * capacity >> 32


@dataclass(frozen=True)
class FileDigest:
    """Length and SHA-256 of one file of the store."""

    bytes: int
    sha256: str

    def __str__(self) -> str:
        return f"{self.bytes} bytes with SHA-256 {self.sha256}"

    @classmethod
    def of(cls, path: Path) -> FileDigest:
        """Of a file on disk. Raises OSError."""
        with path.open("rb") as stream:
            return cls(path.stat().st_size, hashlib.file_digest(stream, "sha256").hexdigest())

    @classmethod
    def read(cls, item: Record) -> FileDigest:
        return cls(item.integer("bytes", 0, 2**48), item.raw("sha256", 32).hex())

    def data(self) -> dict[str, object]:
        return {"bytes": self.bytes, "sha256": self.sha256}


@dataclass(frozen=True)
class StoreMeta:
    """store.json.

    Args:
        statement: digest of the publication's statement, hex.
        capacity: home slots of the table. reach: most slots between a bundle and its home.
        index, key, segments: of the other files.
    """

    statement: str
    users: int
    capacity: int
    reach: int
    index: FileDigest
    key: FileDigest
    segments: tuple[FileDigest, ...]

    @property
    def slots(self) -> int:
        """Of the whole table: a search never leaves it."""
        return self.capacity + self.reach + 1

    @property
    def total_bytes(self) -> int:
        """Of all bundles."""
        return sum(segment.bytes for segment in self.segments)

    def to_bytes(self) -> bytes:
        """The file."""
        return dumps(
            {
                "format": FORMAT,
                "statement": self.statement,
                "users": self.users,
                "capacity": self.capacity,
                "reach": self.reach,
                "index": self.index.data(),
                "key": self.key.data(),
                "segments": [segment.data() for segment in self.segments],
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> StoreMeta:
        """Raises VerificationError (MALFORMED, NON_CANONICAL, ..) with the field at fault."""
        keys, parts = ("statement", "users", "capacity", "reach", "index", "key", "segments"), ("bytes", "sha256")
        top = read_document(data, META_BYTES_MAX, "store", FORMAT, keys)
        return cls(
            statement=top.raw("statement", 32).hex(),
            users=top.integer("users", 0, 2**31 - 1),
            capacity=top.integer("capacity", 1, 2**32 - 1),
            reach=top.integer("reach", 0, 2**31 - 1),
            index=FileDigest.read(top.record("index", parts)),
            key=FileDigest.read(top.record("key", parts)),
            segments=tuple(FileDigest.read(item) for item in top.records("segments", parts, SEGMENTS_MAX)),
        )


@dataclass(frozen=True)
class BundleStore:
    """A store opened for reading. Threads and processes may share it: nothing is changed or kept between look-ups."""

    folder: Path
    meta: StoreMeta
    _key: bytes
    _table: Table

    @classmethod
    def open(cls, folder: Path) -> BundleStore:
        """Check the list of files, their lengths and the key. Bundles are checked as they are read; all by `check`.

        Raises:
            InputError: this is no store, or a file is missing, cut, or of another format.
        """
        meta = _read_meta(folder)
        for name, expected in _files(meta).items():
            _require(folder / name, lambda path: path.stat().st_size, expected.bytes, "bytes")
        _require(folder / KEY_FILE, FileDigest.of, meta.key)
        if meta.index.bytes != meta.slots * SLOT.itemsize:
            raise _damaged(folder / META_FILE, f"an index of {meta.index.bytes} bytes", f"{meta.slots} slots")
        table: Table = np.asarray(np.memmap(folder / INDEX_FILE, SLOT, "r"))  # slices of a plain array cost less
        return cls(folder, meta, (folder / KEY_FILE).read_bytes(), table)

    def get(self, user_id: str) -> bytes | None:
        """A user's bundle, None for an unknown user; in constant time: a run of the index, and the bundle.

        Raises:
            InputError: what stands there is not what was written.
        """
        hashed = keyed_hash(self._key)
        hashed.update(user_id.encode("utf-8", "surrogatepass"))
        key = struct.unpack(">QQ", hashed.digest())
        home = home_slot(key[0], self.meta.capacity)
        run = self._table[home : home + self.meta.reach + 1]
        slots = [run[place].item() for place in np.flatnonzero(run["low"] == key[1])]
        found = next((slot for slot in slots if slot[:2] == key and slot[4]), None)
        if found is None:
            return None
        segment, offset, length, check = found[2:]
        path = f"{self.folder}/{segment_name(segment)}"
        try:
            descriptor = os.open(path, os.O_RDONLY)
            try:
                data = os.pread(descriptor, length, offset)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise _damaged(Path(path), error.strerror or "nothing readable", "a segment of the store") from None
        if zlib.crc32(data) != check:
            raise _damaged(Path(path), f"a damaged bundle at byte {offset}", "what was written")
        return data

    def shortest(self, sample: int = 2**14) -> int:
        """Length in bytes of the shortest bundle among those in the first `sample` slots; 0 where these are empty."""
        lengths = self._table["length"][:sample]
        return int(lengths[lengths > 0].min(initial=2**32 - 1)) % (2**32 - 1)

    def check(self, progress: Callable[[float], None] = lambda fraction: None) -> None:
        """Read everything once.

        Raises:
            InputError: a file is not what was written; the first one is named.
        """
        files, done = _files(self.meta), 0
        for name, expected in files.items():
            _require(self.folder / name, FileDigest.of, expected)
            done += expected.bytes
            progress(done / sum(each.bytes for each in files.values()))


def _files(meta: StoreMeta) -> dict[str, FileDigest]:
    named = {segment_name(number): segment for number, segment in enumerate(meta.segments)}
    return {KEY_FILE: meta.key, INDEX_FILE: meta.index, **named}


def _read_meta(folder: Path) -> StoreMeta:
    path = folder / META_FILE
    try:
        with path.open("rb") as stream:
            return StoreMeta.parse(stream.read(META_BYTES_MAX + 1))
    except OSError:
        raise InputError(file=path, got="nothing readable", expected="the list of files of a bundle store") from None
    except VerificationError as error:
        if error.reason is Reason.UNKNOWN_VERSION:
            raise InputError(file=path, got="another format", expected=FORMAT) from None
        raise _damaged(path, str(error), "the list of files of a bundle store") from None


def _require(path: Path, measure: Callable[[Path], object], expected: object, unit: str = "") -> None:
    try:
        got = measure(path)
    except OSError as error:
        raise _damaged(path, error.strerror or "nothing readable", f"{expected} {unit}".rstrip()) from None
    if got != expected:
        raise _damaged(path, f"{got} {unit}".rstrip(), f"{expected} {unit}".rstrip())


def _damaged(path: Path, got: str, expected: str) -> InputError:
    return InputError(file=path, got=got, expected=f"{expected} (write the store again with `solvent bundles`)")
