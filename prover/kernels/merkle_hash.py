"""BLAKE2s-256 of sixteen Merkle leaves or nodes at a time, and the tree over them.

A leaf is salt (16 bytes) || canonical words (u32 little-endian), personalised "SolvLeaf"; a node is left || right,
personalised "SolvNode" (RFC 7693; `verifier.hashing` is the same in plain Python). Digests are rows of eight uint32,
the little-endian words of the 32 bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from prover.kernels.field import U32Array, empty_words, int_of_mont
from prover.kernels.lanes import WIDTH, broadcast, canonical, load, store, transpose, word_add, word_rotate, word_xor
from prover.kernels.registry import compiled, inlined, kernel
from prover.kernels.threads import run_ranges
from verifier.hashing import DIGEST_BYTES, SALT_BYTES, leaf_digest, node_digest

DIGEST_WORDS = DIGEST_BYTES // 4
SALT_WORDS = SALT_BYTES // 4
BLOCK_WORDS = 16

_TILE_GROUPS = 16
_TILE = _TILE_GROUPS * WIDTH
"""Rows hashed together: a run of 1 KB of each column is read at once, and message and states stay in 24 KB."""

_IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
_IV0, _IV1, _IV2, _IV3, _IV4, _IV5, _IV6, _IV7 = (np.uint32(word) for word in _IV)
_ONES = np.uint32(0xFFFFFFFF)

_MESSAGE_ORDER = WIDTH * np.array(
    [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
        [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
        [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
        [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
        [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
        [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
        [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
        [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
        [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
    ],
    dtype=np.int64,
).reshape(-1)
"""RFC 7693's message schedule, ten rounds of sixteen, as positions in a block stored word by word."""


def initial_state(person: bytes) -> U32Array:
    """Chaining value before the first block: digest length 32, fan-out 1, depth 1, and the personalisation."""
    state = np.array(_IV, dtype=np.uint32)
    state[0] ^= np.uint32(0x0101_0000 | DIGEST_BYTES)
    state[6:8] ^= np.frombuffer(person, dtype="<u4")
    return state


_LEAF_STATE = initial_state(b"SolvLeaf")
_NODE_STATE = initial_state(b"SolvNode")


@inlined
def _mix(a: Any, b: Any, c: Any, d: Any, x: Any, y: Any) -> Any:
    a = word_add(word_add(a, b), x)
    d = word_rotate(word_xor(d, a), 16)
    c = word_add(c, d)
    b = word_rotate(word_xor(b, c), 12)
    a = word_add(word_add(a, b), y)
    d = word_rotate(word_xor(d, a), 8)
    c = word_add(c, d)
    b = word_rotate(word_xor(b, c), 7)
    return a, b, c, d


@inlined
def blake2s_block(state: Any, message: U32Array, at: int, total_bytes: np.uint32, final: np.uint32) -> Any:
    """One block of sixteen messages: word j of lane l at message[at + 16 j + l]. `final` is 0 or 2**32 - 1.

    Messages are shorter than 2**32 bytes, so the counter's high word is zero.
    """
    zero = word_xor(state[0], state[0])
    v0, v1, v2, v3, v4, v5, v6, v7 = state
    v8, v9, v10, v11 = word_add(zero, _IV0), word_add(zero, _IV1), word_add(zero, _IV2), word_add(zero, _IV3)
    v12, v13 = word_add(zero, word_xor(_IV4, total_bytes)), word_add(zero, _IV5)
    v14, v15 = word_add(zero, word_xor(_IV6, final)), word_add(zero, _IV7)
    for r in range(0, 160, 16):
        o = _MESSAGE_ORDER[r : r + 16]
        v0, v4, v8, v12 = _mix(v0, v4, v8, v12, load(message, at + o[0]), load(message, at + o[1]))
        v1, v5, v9, v13 = _mix(v1, v5, v9, v13, load(message, at + o[2]), load(message, at + o[3]))
        v2, v6, v10, v14 = _mix(v2, v6, v10, v14, load(message, at + o[4]), load(message, at + o[5]))
        v3, v7, v11, v15 = _mix(v3, v7, v11, v15, load(message, at + o[6]), load(message, at + o[7]))
        v0, v5, v10, v15 = _mix(v0, v5, v10, v15, load(message, at + o[8]), load(message, at + o[9]))
        v1, v6, v11, v12 = _mix(v1, v6, v11, v12, load(message, at + o[10]), load(message, at + o[11]))
        v2, v7, v8, v13 = _mix(v2, v7, v8, v13, load(message, at + o[12]), load(message, at + o[13]))
        v3, v4, v9, v14 = _mix(v3, v4, v9, v14, load(message, at + o[14]), load(message, at + o[15]))
    return (
        word_xor(state[0], word_xor(v0, v8)), word_xor(state[1], word_xor(v1, v9)),
        word_xor(state[2], word_xor(v2, v10)), word_xor(state[3], word_xor(v3, v11)),
        word_xor(state[4], word_xor(v4, v12)), word_xor(state[5], word_xor(v5, v13)),
        word_xor(state[6], word_xor(v6, v14)), word_xor(state[7], word_xor(v7, v15)),
    )  # fmt: skip


@inlined
def load_words8(array: U32Array, at: int) -> Any:
    return (
        load(array, at), load(array, at + WIDTH), load(array, at + 2 * WIDTH), load(array, at + 3 * WIDTH),
        load(array, at + 4 * WIDTH), load(array, at + 5 * WIDTH), load(array, at + 6 * WIDTH),
        load(array, at + 7 * WIDTH),
    )  # fmt: skip


@inlined
def store_words8(array: U32Array, at: int, v: Any) -> None:
    store(array, at, v[0])
    store(array, at + WIDTH, v[1])
    store(array, at + 2 * WIDTH, v[2])
    store(array, at + 3 * WIDTH, v[3])
    store(array, at + 4 * WIDTH, v[4])
    store(array, at + 5 * WIDTH, v[5])
    store(array, at + 6 * WIDTH, v[6])
    store(array, at + 7 * WIDTH, v[7])


@inlined
def repeat_words8(words: U32Array) -> Any:
    return (
        broadcast(words[0]), broadcast(words[1]), broadcast(words[2]), broadcast(words[3]),
        broadcast(words[4]), broadcast(words[5]), broadcast(words[6]), broadcast(words[7]),
    )  # fmt: skip


@inlined
def _scatter(state: Any, digests: U32Array, row: int, scratch: U32Array) -> None:
    """Sixteen digests held word by word to sixteen rows of eight words.

    A transposed vector is a digest twice; each store's surplus half is overwritten by the next, and the last row, whose
    surplus would leave the range, goes through `scratch` (at least 16 words).
    """
    rows, at = transpose(state + state), row * DIGEST_WORDS
    store(digests, at, rows[0])
    store(digests, at + 8, rows[1])
    store(digests, at + 16, rows[2])
    store(digests, at + 24, rows[3])
    store(digests, at + 32, rows[4])
    store(digests, at + 40, rows[5])
    store(digests, at + 48, rows[6])
    store(digests, at + 56, rows[7])
    store(digests, at + 64, rows[8])
    store(digests, at + 72, rows[9])
    store(digests, at + 80, rows[10])
    store(digests, at + 88, rows[11])
    store(digests, at + 96, rows[12])
    store(digests, at + 104, rows[13])
    store(digests, at + 112, rows[14])
    store(scratch, 0, rows[15])
    for word in range(DIGEST_WORDS):
        digests[at + 120 + word] = scratch[word]


@compiled
def _hash_tiles(
    columns: U32Array, rows: int, width: int, salts: U32Array, initial: U32Array, digests: U32Array,
    message: U32Array, states: U32Array, start: int, stop: int,
) -> None:  # fmt: skip
    """Leaf digests of rows start..stop; all counts of rows are multiples of 16. Scratch: `message`, `states`."""
    words = SALT_WORDS + width
    for tile in range(start, stop, _TILE):
        groups = min(_TILE, stop - tile) // WIDTH
        for group in range(groups):
            store_words8(states, group * DIGEST_WORDS * WIDTH, repeat_words8(initial))
        for block in range(0, words, BLOCK_WORDS):
            for j in range(BLOCK_WORDS):
                k = block + j - SALT_WORDS
                for group in range(groups):
                    at, row = (group * BLOCK_WORDS + j) * WIDTH, tile + group * WIDTH
                    if k < 0:
                        for lane in range(WIDTH):
                            message[at + lane] = salts[(row + lane) * SALT_WORDS + block + j]
                    elif k < width:
                        store(message, at, canonical(load(columns, k * rows + row)))
                    else:
                        store(message, at, np.uint32(0))
            is_last = block + BLOCK_WORDS >= words
            total_bytes = np.uint32(4 * min(words, block + BLOCK_WORDS))
            for group in range(groups):
                at = group * DIGEST_WORDS * WIDTH
                final = _ONES if is_last else np.uint32(0)
                state = blake2s_block(load_words8(states, at), message, group * BLOCK_WORDS * WIDTH, total_bytes, final)
                store_words8(states, at, state)
        for group in range(groups):
            _scatter(load_words8(states, group * DIGEST_WORDS * WIDTH), digests, tile + group * WIDTH, message)


@compiled
def _hash_pairs(
    children: U32Array, initial: U32Array, parents: U32Array, message: U32Array, start: int, stop: int
) -> None:
    """Digests of node pairs start..stop; all counts are multiples of 16. Scratch: `message` (256,)."""
    chaining = repeat_words8(initial)
    for pair in range(start, stop, WIDTH):
        at = pair * BLOCK_WORDS
        low, high = load_words8(children, at), load_words8(children, at + 8 * WIDTH)
        block = transpose(low + high)
        store_words8(message, 0, block[:8])
        store_words8(message, 8 * WIDTH, block[8:])
        state = blake2s_block(chaining, message, 0, np.uint32(4 * BLOCK_WORDS), _ONES)
        _scatter(state, parents, pair, message)


def _padded(count: int) -> int:
    return -(-count // WIDTH) * WIDTH


def _digest_words(digests: list[bytes]) -> U32Array:
    return np.frombuffer(b"".join(digests), dtype="<u4").astype(np.uint32).reshape(-1, DIGEST_WORDS)


def _hash_rows_twin(matrix: U32Array, salts: U32Array) -> U32Array:
    messages = [
        salts[row].astype("<u4").tobytes()
        + b"".join(int_of_mont(word).to_bytes(4, "little") for word in matrix[:, row])
        for row in range(matrix.shape[1])
    ]
    return _digest_words([leaf_digest(message) for message in messages])


@kernel(twin=_hash_rows_twin)
def hash_rows(matrix: U32Array, salts: U32Array) -> U32Array:
    """Leaf digests (n, 8) of the rows of `matrix` (w, n), Montgomery words in [0, p), with `salts` (n, 4).

    C-contiguous uint32; nothing is overwritten. An array (w, B, N) is hashed as its (w, B * N) view. Threaded.
    """
    width, rows = matrix.shape
    if rows % WIDTH:
        extra = ((0, 0), (0, _padded(rows) - rows))
        return hash_rows(np.pad(matrix, extra), np.pad(salts, extra[::-1]))[:rows]
    digests = empty_words(rows, DIGEST_WORDS)
    flat = matrix.reshape(-1), salts.reshape(-1), digests.reshape(-1)

    def hash_range(start: int, stop: int) -> None:
        message, states = empty_words(_TILE * BLOCK_WORDS), empty_words(_TILE * DIGEST_WORDS)
        _hash_tiles(flat[0], rows, width, flat[1], _LEAF_STATE, flat[2], message, states, start, stop)

    run_ranges(hash_range, rows, _TILE)
    return digests


def fri_leaf_columns(layer: U32Array) -> U32Array:
    """A layer (5, B, M) as leaf columns (40, B * M / 8): leaf c * M / 8 + j holds the values at j + k * M / 8, k < 8.

    Column 5 k + d is coordinate d of value k. The result is a copy: each coset's eighths move side by side.
    """
    coordinates, cosets, length = layer.shape
    eighths = layer.reshape(coordinates, cosets, 8, length // 8).transpose(2, 0, 1, 3)
    return np.ascontiguousarray(eighths).reshape(8 * coordinates, cosets * (length // 8))


def _hash_pairs_twin(children: U32Array) -> U32Array:
    rows = children.astype("<u4")
    nodes = [node_digest(rows[i].tobytes(), rows[i + 1].tobytes()) for i in range(0, len(rows), 2)]
    return _digest_words(nodes)


@kernel(twin=_hash_pairs_twin)
def hash_pairs(children: U32Array) -> U32Array:
    """Node digests (m, 8) of neighbouring digests (2 m, 8), m >= 1; C-contiguous uint32, threaded."""
    count = len(children) // 2
    if count % WIDTH:
        return hash_pairs(np.pad(children, ((0, 2 * (_padded(count) - count)), (0, 0))))[:count]
    parents = empty_words(count, DIGEST_WORDS)
    source, target = children.reshape(-1), parents.reshape(-1)

    def hash_range(start: int, stop: int) -> None:
        _hash_pairs(source, _NODE_STATE, target, empty_words(BLOCK_WORDS * WIDTH), start, stop)

    run_ranges(hash_range, count, 1 << 12)
    return parents


class MerkleTree:
    """A binary tree over a power of two of leaf digests; keeps every layer."""

    def __init__(self, leaves: U32Array) -> None:
        """`leaves`: digests (n, 8), n a power of two; kept, not copied."""
        if len(leaves) < 1 or len(leaves) & (len(leaves) - 1):
            raise ValueError(f"expected a power of two of leaves, got {len(leaves)}")
        self.layers = [leaves]
        while len(self.layers[-1]) > 1:
            self.layers.append(hash_pairs(self.layers[-1]))

    @property
    def root(self) -> bytes:
        """The 32 bytes at the top."""
        return self._digest(len(self.layers) - 1, 0)

    def _digest(self, level: int, index: int) -> bytes:
        return bytes(self.layers[level][index].astype("<u4").data)

    def open(self, indices: Iterable[int]) -> list[bytes]:
        """Sibling digests that prove the leaves at `indices`, as `verifier.merkle.multiproof_root` consumes them.

        From the leaves upwards and in ascending order within a level: every sibling that is not itself known.
        """
        known = sorted(set(indices))
        if known and not 0 <= known[0] <= known[-1] < len(self.layers[0]):
            raise ValueError(f"expected leaf indices below {len(self.layers[0])}, got {known[0]}..{known[-1]}")
        siblings: list[bytes] = []
        for level in range(len(self.layers) - 1):
            present = set(known)
            siblings += [self._digest(level, index ^ 1) for index in known if index ^ 1 not in present]
            known = sorted({index >> 1 for index in known})
        return siblings
