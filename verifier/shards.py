"""Shards of a publication: what each one's proof is about, and how all of them make up the statement's outputs.

docs/protocol.md section 11. A shard's outputs are masked modulo 2^128; the masks are chained from shard to shard and
cancel in the sum. A Merkle-sum tree over the shards binds their order, their number, and every byte of their documents.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from verifier.canonical import Record, dumps, hex_words, read_document, refuse
from verifier.errors import Reason
from verifier.poseidon import DIGEST_WORDS
from verifier.solvency import OUTPUT_BYTES, OUTPUT_END
from verifier.statement import SHARDS_MAX, Statement

FORMAT = "solvent/shard/v1"
SHARD_BYTES_MAX = 2**21
"""24,000 outputs of 16 bytes in hex take 0.8 MB."""
TOP_STEPS_MAX = (SHARDS_MAX - 1).bit_length()
_KEYS = ("header", "shard", "root", "mask_in", "mask_out", "outputs")
_PLACE_KEYS = ("index", "root", "sum", "document", "top")
_NO_MASK = (0,) * DIGEST_WORDS
LEFT, RIGHT = "left", "right"


@dataclass(frozen=True)
class Shard:
    """The public part of one shard; its proof binds the digest of these bytes.

    Args:
        header: digest of the statement without its outputs, 32 bytes.
        index: number of the shard, from 0.
        root: of the shard's account tree, eight words.
        mask_in, mask_out: digests of the masks shared with the shard before and the shard after, eight words each;
            zeros in a publication of one shard, which has no masks.
        outputs: per total id, for the liability, and per lens of the circuit: this shard's part, masked modulo 2^128.
    """

    header: bytes
    index: int
    root: tuple[int, ...]
    mask_in: tuple[int, ...]
    mask_out: tuple[int, ...]
    outputs: tuple[int, ...]

    def to_bytes(self) -> bytes:
        """The file shards/NNNNNN.json."""
        return dumps(
            {
                "format": FORMAT,
                "header": self.header.hex(),
                "shard": self.index,
                "root": hex_words(self.root),
                "mask_in": hex_words(self.mask_in),
                "mask_out": hex_words(self.mask_out),
                "outputs": b"".join(output.to_bytes(OUTPUT_BYTES, "little") for output in self.outputs).hex(),
            }
        )

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the file: what the shard's proof is bound to."""
        return hashlib.sha256(self.to_bytes()).digest()

    def place(self, liability: int) -> Leaf:
        """The shard's leaf of the top tree; `liability` is the number of that output."""
        return Leaf(self.index, self.root, self.outputs[liability], self.digest)


@dataclass(frozen=True)
class Sum:
    """A digest of the top tree, and the sum of the masked liabilities below it modulo 2^128."""

    digest: bytes
    value: int

    @property
    def packed(self) -> bytes:
        return self.digest + self.value.to_bytes(OUTPUT_BYTES, "little")


@dataclass(frozen=True)
class Leaf:
    """What a user needs to know of their shard to find its place in the top tree."""

    index: int
    root: tuple[int, ...]
    value: int
    document: bytes

    @property
    def sum(self) -> Sum:
        """SHA-256(0x00, shard, root, sum, digest of the document)."""
        root = b"".join(word.to_bytes(4, "little") for word in self.root)
        number, value = self.index.to_bytes(4, "little"), self.value.to_bytes(OUTPUT_BYTES, "little")
        return Sum(hashlib.sha256(b"\0" + number + root + value + self.document).digest(), self.value)


def parent(left: Sum, right: Sum) -> Sum:
    """SHA-256(0x01, left digest, left sum, right digest, right sum): both sums are bound, not only their total."""
    digest = hashlib.sha256(b"\1" + left.packed + right.packed).digest()
    return Sum(digest, (left.value + right.value) % OUTPUT_END)


def seal(top: Sum, shards: int) -> bytes:
    """The statement's root: SHA-256(0x02, number of shards, top digest, top sum)."""
    return hashlib.sha256(b"\2" + shards.to_bytes(4, "little") + top.packed).digest()


def _split(count: int) -> int:
    """How many of `count` >= 2 shards lie on the left: the largest power of two below (RFC 6962, section 2.1)."""
    return 1 << (count - 1).bit_length() - 1


def top_sum(leaves: Sequence[Sum]) -> Sum:
    """Root of the Merkle-sum tree over at least one shard."""
    if len(leaves) == 1:
        return leaves[0]
    left = _split(len(leaves))
    return parent(top_sum(leaves[:left]), top_sum(leaves[left:]))


def top_paths(leaves: Sequence[Sum]) -> list[tuple[tuple[str, Sum], ...]]:
    """Side and sum of each sibling, from every leaf to the root."""
    if len(leaves) == 1:
        return [()]
    left = _split(len(leaves))
    below, beside = leaves[:left], leaves[left:]
    one, other = top_sum(below), top_sum(beside)
    return [(*path, (RIGHT, other)) for path in top_paths(below)] + [(*path, (LEFT, one)) for path in top_paths(beside)]


def top_sides(index: int, count: int) -> tuple[str, ...]:
    """On which side each sibling of leaf `index` of `count` stands, from the leaf to the root."""
    if count == 1:
        return ()
    left = _split(count)
    return (*top_sides(index, left), RIGHT) if index < left else (*top_sides(index - left, count - left), LEFT)


@dataclass(frozen=True)
class Place:
    """A shard in the top tree, as bundles and openings carry it.

    Args:
        path: side and sum of each sibling, from the leaf up.
    """

    leaf: Leaf
    path: tuple[tuple[str, Sum], ...]

    @classmethod
    def all(cls, shards: Sequence[Shard], liability: int) -> list[Place]:
        """Of every shard of a publication; `liability` is the number of that output."""
        leaves = [shard.place(liability) for shard in shards]
        return [cls(leaf, path) for leaf, path in zip(leaves, top_paths([leaf.sum for leaf in leaves]), strict=True)]

    def data(self) -> dict[str, object]:
        """The JSON form."""
        return {
            "index": self.leaf.index,
            "root": hex_words(self.leaf.root),
            "sum": self.leaf.value.to_bytes(OUTPUT_BYTES, "little").hex(),
            "document": self.leaf.document.hex(),
            "top": [
                {"side": side, "digest": sibling.digest.hex(), "sum": sibling.packed[32:].hex()}
                for side, sibling in self.path
            ],
        }

    @classmethod
    def from_data(cls, data: object) -> Place:
        """From what `data` gave. Nothing is compared yet."""
        return cls._of(Record(data, "shard", _PLACE_KEYS))

    @classmethod
    def read(cls, top: Record) -> Place:
        """The field `shard` of a bundle or an opening. Nothing is compared yet."""
        return cls._of(top.record("shard", _PLACE_KEYS))

    @classmethod
    def _of(cls, fields: Record) -> Place:
        leaf = Leaf(
            fields.integer("index", 0, SHARDS_MAX - 1),
            fields.words("root", DIGEST_WORDS),
            int.from_bytes(fields.raw("sum", OUTPUT_BYTES), "little"),
            fields.raw("document", 32),
        )
        path = []
        for item in fields.records("top", ("side", "digest", "sum"), TOP_STEPS_MAX, Reason.PATH_LENGTH):
            value = int.from_bytes(item.raw("sum", OUTPUT_BYTES), "little")
            path.append((item.choice("side", (LEFT, RIGHT), Reason.PATH), Sum(item.raw("digest", 32), value)))
        return cls(leaf, tuple(path))

    def check(self, where: str, root: bytes, shards: int) -> None:
        """The shard stands in the top tree of `shards` shards under the statement's `root`.

        Raises:
            VerificationError: PATH_LENGTH or PATH.
        """
        if self.leaf.index >= shards:
            refuse(f"{where}.shard.index", f"below {shards}", self.leaf.index, Reason.PATH)
        sides = top_sides(self.leaf.index, shards)
        if len(self.path) != len(sides):
            refuse(f"{where}.shard.top", f"{len(sides)} steps", len(self.path), Reason.PATH_LENGTH)
        if tuple(side for side, _ in self.path) != sides:
            refuse(f"{where}.shard.top", f"siblings on the sides of shard {self.leaf.index}", "others", Reason.PATH)
        node = self.leaf.sum
        for side, sibling in self.path:
            node = parent(node, sibling) if side == RIGHT else parent(sibling, node)
        computed = seal(node, shards)
        if computed != root:
            refuse(f"{where}.shard", f"the root {root.hex()}", computed.hex(), Reason.PATH)


def parse_shard(data: bytes, statement: Statement, index: int) -> Shard:
    """Read the document of shard `index`.

    Raises:
        VerificationError: the encoding; STATEMENT_MISMATCH where it belongs to another statement or place.
    """
    name = f"shard {index}"
    top = read_document(data, SHARD_BYTES_MAX, name, FORMAT, _KEYS)
    top.choice("header", (statement.header_digest.hex(),), Reason.STATEMENT_MISMATCH)
    number = top.integer("shard", 0, SHARDS_MAX - 1)
    if number != index:
        refuse(top.where("shard"), str(index), number, Reason.STATEMENT_MISMATCH)
    packed = top.raw("outputs", OUTPUT_BYTES * len(statement.outputs))
    return Shard(
        header=statement.header_digest,
        index=index,
        root=top.words("root", DIGEST_WORDS),
        mask_in=top.words("mask_in", DIGEST_WORDS),
        mask_out=top.words("mask_out", DIGEST_WORDS),
        outputs=tuple(
            int.from_bytes(packed[i : i + OUTPUT_BYTES], "little") for i in range(0, len(packed), OUTPUT_BYTES)
        ),
    )


def check_shards(statement: Statement, shards: Sequence[Shard]) -> None:
    """The shards' documents make up the statement: masks cancel, sums are the outputs, the top tree has its root.

    Args:
        shards: all of them, in order, as `parse_shard` returned them. That their proofs are good is somebody else's
            check.

    Raises:
        BadStatement: SHARDS or ARITHMETIC.
    """
    if len(shards) != statement.shards:
        refuse("shards", f"{statement.shards} shards", len(shards), Reason.SHARDS)
    for one, following in zip(shards, (*shards[1:], shards[0]), strict=True):
        if following.mask_in != one.mask_out:
            where = f"shard {following.index}.mask_in"
            refuse(where, f"the masks of shard {one.index}", hex_words(following.mask_in), Reason.SHARDS)
    if statement.shards == 1 and shards[0].mask_out != _NO_MASK:
        refuse("shard 0.mask_out", "zeros, as there is nothing to mask", hex_words(shards[0].mask_out), Reason.SHARDS)
    for number, expected in enumerate(statement.outputs):
        got = sum(shard.outputs[number] for shard in shards) % OUTPUT_END
        if got != expected:
            refuse(f"output {number}", f"{expected}, as the statement says", got, Reason.ARITHMETIC)
    liability = statement.liability_output
    root = seal(top_sum([shard.place(liability).sum for shard in shards]), statement.shards)
    if root != statement.root:
        refuse("statement.outputs.root", root.hex(), statement.root.hex(), Reason.SHARDS)
