"""The proof file: `docs/protocol.md`, section 4, byte by byte. Parsing is strict, and writing undoes it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from verifier.air import ConstraintSystem
from verifier.encoding import Reader, pack_exts, unpack_words
from verifier.errors import MalformedProof, Reason
from verifier.field import EXTENSION_DEGREE, Ext
from verifier.hashing import DIGEST_BYTES, SALT_BYTES
from verifier.params import QUOTIENT_CHUNKS, ProofParams
from verifier.protocol import opened_values

MAGIC = b"SOLVPRF1"
TREES = ("base", "lookup", "quotient")
FOLD_ARITY = 8


@dataclass(frozen=True)
class Opening:
    """Leaves of one tree in ascending order of index, and the digests that lead to its root.

    Args:
        messages: what was hashed: salt (16 bytes) || words (u32 little-endian).
        siblings: of the multiproof.
    """

    messages: tuple[bytes, ...]
    siblings: tuple[bytes, ...]

    @cached_property
    def rows(self) -> tuple[tuple[int, ...], ...]:
        """The words of each leaf."""
        return tuple(unpack_words(message, "a leaf", SALT_BYTES) for message in self.messages)

    def to_bytes(self) -> bytes:
        parts = (*self.messages, len(self.siblings).to_bytes(4, "little"), *self.siblings)
        return b"".join(parts)


@dataclass(frozen=True)
class Proof:
    """One decoded proof, in the order of the file; nonces are named after the challenge that they precede."""

    base_root: bytes
    lookup_nonce: int
    lookup_root: bytes
    constraint_nonce: int
    quotient_root: bytes
    zeta_nonce: int
    openings: tuple[Ext, ...]
    batching_nonce: int
    fri_roots: tuple[bytes, ...]
    fri_nonces: tuple[int, ...]
    final: tuple[Ext, ...]
    query_nonce: int
    trees: tuple[Opening, ...]
    layers: tuple[Opening, ...]

    def to_bytes(self) -> bytes:
        """The file. Undoes `parse_proof`."""
        parts = [
            MAGIC,
            self.base_root,
            _u64(self.lookup_nonce),
            self.lookup_root,
            _u64(self.constraint_nonce),
        ]
        parts += [
            self.quotient_root,
            _u64(self.zeta_nonce),
            pack_exts(self.openings),
            _u64(self.batching_nonce),
        ]
        for root, nonce in zip(self.fri_roots, self.fri_nonces, strict=True):
            parts += [root, _u64(nonce)]
        parts += [pack_exts(self.final), _u64(self.query_nonce)]
        parts.append(len(self.trees[0].messages).to_bytes(4, "little"))
        parts += [tree.to_bytes() for tree in self.trees]
        for layer in self.layers:
            parts += [len(layer.messages).to_bytes(4, "little"), layer.to_bytes()]
        return b"".join(parts)


def _u64(value: int) -> bytes:
    return value.to_bytes(8, "little")


def leaf_words(system: ConstraintSystem) -> tuple[int, int, int]:
    """Words in a leaf of the base, lookup and quotient tree; the last holds the chunks and the mask."""
    base, lookup = system.opened_words
    return base, lookup, EXTENSION_DEGREE * (QUOTIENT_CHUNKS + 1)


def parse_proof(data: bytes, system: ConstraintSystem, params: ProofParams, log2_rows: int) -> Proof:
    """Decode a proof for exactly this circuit, these parameters and this height.

    Raises:
        MalformedProof: anything missing, out of bounds or left over, or a word >= p.
    """
    reader = Reader(data)
    magic = reader.take(len(MAGIC), "the magic")
    if magic != MAGIC:
        raise MalformedProof(Reason.UNKNOWN_VERSION, f"a proof starts with {MAGIC!r}, not {magic!r}")
    base_root = reader.take(DIGEST_BYTES, "the base root")
    lookup_nonce, lookup_root = reader.u64("a nonce"), reader.take(DIGEST_BYTES, "the lookup root")
    constraint_nonce, quotient_root = reader.u64("a nonce"), reader.take(DIGEST_BYTES, "the quotient root")
    zeta_nonce, openings = reader.u64("a nonce"), reader.exts(opened_values(system), "the openings")
    batching_nonce = reader.u64("a nonce")
    layers = params.fri_layers(log2_rows)
    commits = [(reader.take(DIGEST_BYTES, "an FRI root"), reader.u64("a nonce")) for _ in range(layers)]
    final = reader.exts(params.final_coefficients(log2_rows), "the final polynomial")
    query_nonce = reader.u64("a nonce")
    positions = reader.count(1, params.queries, "the number of positions")
    depth = params.log2_points(log2_rows)
    trees = tuple(
        _opening(reader, positions, words, depth, f"the {name} tree")
        for name, words in zip(TREES, leaf_words(system), strict=True)
    )
    layer_openings = []
    for layer in range(layers):
        what = f"FRI layer {layer}"
        leaves = reader.count(1, params.queries, f"the number of leaves of {what}")
        words = EXTENSION_DEGREE * FOLD_ARITY
        layer_openings.append(_opening(reader, leaves, words, params.layer_depth(log2_rows, layer), what))
    reader.finish("the proof")
    return Proof(
        base_root=base_root,
        lookup_nonce=lookup_nonce,
        lookup_root=lookup_root,
        constraint_nonce=constraint_nonce,
        quotient_root=quotient_root,
        zeta_nonce=zeta_nonce,
        openings=openings,
        batching_nonce=batching_nonce,
        fri_roots=tuple(root for root, _ in commits),
        fri_nonces=tuple(nonce for _, nonce in commits),
        final=final,
        query_nonce=query_nonce,
        trees=trees,
        layers=tuple(layer_openings),
    )


def _opening(reader: Reader, leaves: int, words: int, depth: int, what: str) -> Opening:
    size = SALT_BYTES + 4 * words
    messages = _split(reader.take(leaves * size, f"the leaves of {what}"), size)
    for message in messages:
        unpack_words(message, f"a leaf of {what}", SALT_BYTES)
    count = reader.count(0, leaves * depth, f"the number of digests of {what}")
    return Opening(messages, _split(reader.take(count * DIGEST_BYTES, f"the digests of {what}"), DIGEST_BYTES))


def _split(data: bytes, size: int) -> tuple[bytes, ...]:
    return tuple(data[i : i + size] for i in range(0, len(data), size))


def proof_bytes_max(system: ConstraintSystem, params: ProofParams, log2_rows: int) -> int:
    """No proof is longer: what a caller may read from an untrusted file before giving up."""
    layers = params.fri_layers(log2_rows)
    opened = EXTENSION_DEGREE * 4 * (opened_values(system) + params.final_coefficients(log2_rows))
    head = len(MAGIC) + (3 + layers) * DIGEST_BYTES + (5 + layers) * 8 + opened + 4
    trees = [(words, params.log2_points(log2_rows)) for words in leaf_words(system)]
    trees += [(EXTENSION_DEGREE * FOLD_ARITY, params.layer_depth(log2_rows, layer)) for layer in range(layers)]
    return head + sum(_opening_bytes_max(params.queries, words, depth) for words, depth in trees)


def _opening_bytes_max(leaves: int, words: int, depth: int) -> int:
    return 8 + leaves * (SALT_BYTES + 4 * words + DIGEST_BYTES * depth)
