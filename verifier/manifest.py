"""The manifest of a publication: digest, length and role of each file, and the evidence tree over them.

The tree is the one that the library `merkletools` builds, made safe around it: a leaf is the digest of a domain tag,
the number of files, the file's own number, its length, name and digest, so no inner node can be taken for a leaf, nor
a leaf for another one; the root is hashed once more with the number of files. Here everything is recomputed: which
sibling stands on which side follows from number and count, never from the proof.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from verifier.canonical import SAFE_INTEGER_END, Record, dumps, read_document, refuse, shown
from verifier.errors import Reason
from verifier.files import opened, read_file
from verifier.statement import EXCHANGE_CHARACTERS_MAX

FORMAT, ENTRY_FORMAT, FILE_PROOF_FORMAT = "solvent/manifest/v1", "solvent/log-entry/v1", "solvent/file-proof/v1"
MANIFEST_FILE, LOG_PROOF_FILE = "manifest.json", "log.tlog-proof"
MANIFEST_BYTES_MAX = 2**26
FILES_MAX = 2**18
FILE_BYTES_END = 2**40
ENTRY_BYTES_MAX, FILE_PROOF_BYTES_MAX = 2**16, 2**14
LEAF_DOMAIN, ROOT_DOMAIN = b"solvent/evidence-leaf/v1\0", b"solvent/evidence-root/v1\0"
ROLES = (
    (re.compile(r"statement\.json"), "statement"),
    (re.compile(r"shards/[0-9]{6}\.json"), "shard"),
    (re.compile(r"shards/[0-9]{6}\.proof"), "shard-proof"),
    (re.compile(r"reserves\.csv"), "reserves"),
    (re.compile(r"reserves-evidence\.json"), "reserves-evidence"),
    (re.compile(r"prices\.json"), "prices"),
    (re.compile(r"fund\.json"), "fund"),
    (re.compile(r"risk\.json"), "risk"),
    (re.compile(r"quorum\.json"), "quorum"),
)
"""What may be published, by its path in the publication, and as what. Nothing else may: it could be a secret."""
_BLOCK_BYTES = 2**20
_FIELDS = ("exchange", "sequence", "statement", "previous")


class Stated(Protocol):
    """What a manifest repeats of its statement; `digest` and `previous` are 32 bytes."""

    @property
    def exchange(self) -> str: ...
    @property
    def sequence(self) -> int: ...
    @property
    def digest(self) -> bytes: ...
    @property
    def previous(self) -> bytes: ...


@dataclass(frozen=True)
class File:
    """One file of a publication.

    Args:
        name: path in the publication, with `/`.
        size: in bytes.
        sha256: 32 bytes.
    """

    name: str
    size: int
    sha256: bytes

    @property
    def role(self) -> str:
        """What the file is; empty where the name is none of a publication, which no manifest that was read has."""
        return role_of(self.name) or ""

    @property
    def data(self) -> dict[str, Any]:
        """The JSON form."""
        return {"name": self.name, "role": self.role, "bytes": self.size, "sha256": self.sha256.hex()}


@dataclass(frozen=True)
class Manifest:
    """A publication's files, and which statement they belong to.

    Args:
        statement, previous: digests of the statement and of the one before, 32 bytes, as the statement has them.
        files: sorted by name.
    """

    exchange: str
    sequence: int
    statement: bytes
    previous: bytes
    files: tuple[File, ...]

    @property
    def evidence(self) -> bytes:
        """Root of the evidence tree, 32 bytes."""
        return evidence_root(leaves(self.files))

    def to_bytes(self) -> bytes:
        """`manifest.json`."""
        return dumps(
            {
                "format": FORMAT,
                "exchange": self.exchange,
                "sequence": self.sequence,
                "statement": self.statement.hex(),
                "previous": self.previous.hex(),
                "files": [file.data for file in self.files],
                "evidence": self.evidence.hex(),
            }
        )

    @property
    def entry(self) -> Entry:
        """What the log holds of it."""
        digest = hashlib.sha256(self.to_bytes()).digest()
        return Entry(self.exchange, self.sequence, self.statement, self.previous, digest, self.evidence)


@dataclass(frozen=True)
class Entry:
    """One publication in the log: its statement, and digests of 32 bytes that lead to every file."""

    exchange: str
    sequence: int
    statement: bytes
    previous: bytes
    manifest: bytes
    evidence: bytes

    def to_bytes(self) -> bytes:
        """The log entry."""
        return dumps(
            {
                "format": ENTRY_FORMAT,
                "exchange": self.exchange,
                "sequence": self.sequence,
                "statement": self.statement.hex(),
                "previous": self.previous.hex(),
                "manifest": self.manifest.hex(),
                "evidence": self.evidence.hex(),
            }
        )


def role_of(name: str) -> str | None:
    """What the file of this name is in a publication; None for what does not belong into one."""
    return next((role for pattern, role in ROLES if pattern.fullmatch(name)), None)


def make_manifest(statement: Stated, files: Sequence[File]) -> Manifest:
    """The manifest of these files, in any order."""
    ordered = tuple(sorted(files, key=lambda file: file.name))
    return Manifest(statement.exchange, statement.sequence, statement.digest, statement.previous, ordered)


def parse_manifest(data: bytes) -> Manifest:
    """Read manifest.json; its evidence root is recomputed. No file is looked at.

    Raises:
        MalformedProof: encoding, keys, types, an unknown name.
        BadManifest: MANIFEST: no files, unsorted or repeated names, another role or root than these files have.
    """
    top = read_document(data, MANIFEST_BYTES_MAX, "manifest", FORMAT, (*_FIELDS, "files", "evidence"))
    items = top.records("files", ("name", "role", "bytes", "sha256"), FILES_MAX, Reason.MANIFEST)
    files = tuple(_read_file_record(item) for item in items)
    for item, (one, other) in zip(items[1:], pairwise(files), strict=True):
        if one.name >= other.name:
            refuse(item.where("name"), f"a name after {one.name}", other.name, Reason.MANIFEST)
    if not any(file.role == "statement" for file in files):
        refuse(top.where("files"), "a statement among them", "none", Reason.MANIFEST)
    manifest = Manifest(*_head(top), files)
    if manifest.evidence != top.raw("evidence", 32):
        refuse(top.where("evidence"), manifest.evidence.hex(), top.raw("evidence", 32).hex(), Reason.MANIFEST)
    return manifest


def parse_entry(data: bytes, where: str = "log entry") -> Entry:
    """Read a log entry. Raises MalformedProof."""
    top = read_document(data, ENTRY_BYTES_MAX, where, ENTRY_FORMAT, (*_FIELDS, "manifest", "evidence"))
    return Entry(*_head(top), top.raw("manifest", 32), top.raw("evidence", 32))


def check_directory(directory: Path, statement: Stated) -> Manifest:
    """Whether the directory holds exactly the files of its manifest.json, which belongs to `statement`.

    Raises:
        MalformedProof: as `parse_manifest`; FILE_MISSING.
        BadManifest: MANIFEST: another statement, another length or digest of a file, a file that is not listed.
    """
    manifest = read_manifest(read_file(directory / MANIFEST_FILE, MANIFEST_BYTES_MAX), statement)
    listed = {file.name: file for file in manifest.files}
    for name in walk(directory):
        if name not in listed and name not in (MANIFEST_FILE, LOG_PROOF_FILE):
            refuse(shown(name), "only files that the manifest lists", "one more", Reason.MANIFEST)
    for file in manifest.files:
        check_file(file, digest_file(directory, file.name))
    return manifest


def read_manifest(data: bytes, statement: Stated) -> Manifest:
    """A manifest.json that belongs to `statement`. No file is looked at.

    Raises:
        MalformedProof: as `parse_manifest`.
        BadManifest: MANIFEST: that of another statement, or as `parse_manifest`.
    """
    manifest = parse_manifest(data)
    for name, expected, got in (
        ("exchange", statement.exchange, manifest.exchange),
        ("sequence", statement.sequence, manifest.sequence),
        ("statement", statement.digest.hex(), manifest.statement.hex()),
        ("previous", statement.previous.hex(), manifest.previous.hex()),
    ):
        if expected != got:
            refuse(f"manifest.{name}", f"{expected}, as in the statement", got, Reason.MANIFEST)
    return manifest


def check_file(expected: File, got: File) -> None:
    """Whether a file is the one that the manifest lists. Raises BadManifest."""
    if got.size != expected.size:
        refuse(expected.name, f"{expected.size} bytes", got.size, Reason.MANIFEST)
    if got.sha256 != expected.sha256:
        refuse(expected.name, f"SHA-256 {expected.sha256.hex()}", got.sha256.hex(), Reason.MANIFEST)


def walk(directory: Path) -> list[str]:
    """The paths of all files below the directory, with `/`, sorted; links are not followed into directories."""
    found = []
    for folder, _, names in os.walk(directory):
        found += [(Path(folder) / name).relative_to(directory).as_posix() for name in names]
    return sorted(found)


def digest_file(directory: Path, name: str) -> File:
    """Length and digest of a regular file as it is.

    Raises:
        MalformedProof: FILE_MISSING.
    """
    digest, size = hashlib.sha256(), 0
    with opened(directory / name, name) as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
            size += len(block)
    return File(name, size, digest.digest())


def leaf(file: File, index: int, count: int) -> bytes:
    """The evidence tree's leaf for file number `index` of `count`; what is hashed is never 64 bytes long."""
    name, role = file.name.encode(), file.role.encode()
    numbers = b"".join(n.to_bytes(8, "little") for n in (count, index, file.size, len(name), len(role)))
    return hashlib.sha256(LEAF_DOMAIN + numbers + name + role + file.sha256).digest()


def leaves(files: Sequence[File]) -> list[bytes]:
    """All leaves, in the order of the manifest."""
    return [leaf(file, index, len(files)) for index, file in enumerate(files)]


def evidence_root(digests: Sequence[bytes]) -> bytes:
    """Root over at least one leaf: pairs from the left, an odd one at the end moves up as it is; then the count."""
    count, level = len(digests), list(digests)
    while len(level) > 1:
        pairs = [hashlib.sha256(level[i] + level[i + 1]).digest() for i in range(0, len(level) - 1, 2)]
        level = pairs + level[len(level) & ~1 :]
    return wrap(level[0] if level else b"", count)


def wrap(root: bytes, count: int) -> bytes:
    """The evidence root: the library's root and the number of leaves."""
    return hashlib.sha256(ROOT_DOMAIN + count.to_bytes(8, "little") + root).digest()


def check_file_proof(data: bytes, got: File, evidence: bytes) -> File:
    """Whether one file is in the evidence tree, without the other files and without the manifest.

    Args:
        data: a file proof, `solvent/file-proof/v1`.
        got: length and digest of the file at hand; its name is not compared.
        evidence: root, 32 bytes, from a log entry.

    Returns:
        The file as listed, with its name and role.

    Raises:
        MalformedProof: encoding, keys, types.
        BadManifest: MANIFEST: it is not that file, or the path does not lead to the root.
    """
    top = read_document(data, FILE_PROOF_BYTES_MAX, "file proof", FILE_PROOF_FORMAT, ("file", "index", "count", "path"))
    file = _read_file_record(top.record("file", ("name", "role", "bytes", "sha256")))
    count = top.integer("count", 1, FILES_MAX)
    index = top.integer("index", 0, count - 1)
    path = [item.raw("digest", 32) for item in top.records("path", ("digest",), FILES_MAX.bit_length())]
    check_file(file, got)
    digest, position, width, used = leaf(file, index, count), index, count, 0
    while width > 1:
        if position ^ 1 < width:
            if used == len(path):
                refuse(top.where("path"), "a sibling more", f"{used}", Reason.MANIFEST)
            pair = (path[used], digest) if position & 1 else (digest, path[used])
            digest, used = hashlib.sha256(pair[0] + pair[1]).digest(), used + 1
        position, width = position >> 1, (width + 1) >> 1
    if used != len(path):
        refuse(top.where("path"), f"{used} siblings", len(path), Reason.MANIFEST)
    if wrap(digest, count) != evidence:
        refuse(top.where("path"), f"a path to the root {evidence.hex()}", wrap(digest, count).hex(), Reason.MANIFEST)
    return file


def _head(top: Record) -> tuple[str, int, bytes, bytes]:
    exchange = top.text("exchange", EXCHANGE_CHARACTERS_MAX)
    sequence = top.integer("sequence", 0, SAFE_INTEGER_END - 1)
    return exchange, sequence, top.raw("statement", 32), top.raw("previous", 32)


def _read_file_record(item: Record) -> File:
    name = item.text("name", 64)
    role = role_of(name)
    if role is None:
        refuse(item.where("name"), "a file that belongs into a publication", name)
    item.choice("role", (role,), Reason.MANIFEST)
    return File(name, item.integer("bytes", 0, FILE_BYTES_END - 1), item.raw("sha256", 32))
