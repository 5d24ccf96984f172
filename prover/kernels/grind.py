"""Proof of work: the least nonce whose hash shows enough zero bits, sixteen nonces at a time."""

from __future__ import annotations

import numpy as np

from prover.kernels.field import U32Array, empty_words
from prover.kernels.lanes import WIDTH
from prover.kernels.merkle_hash import (
    BLOCK_WORDS,
    blake2s_block,
    initial_state,
    repeat_words8,
    store_words8,
)
from prover.kernels.registry import compiled, kernel
from verifier.transcript import search_nonce as _search_nonce_twin

_STATE = initial_state(b"SolvTrns")
_ONES, _ZERO = np.uint32(0xFFFFFFFF), np.uint32(0)
_NONCE_BYTES, _BLOCK_BYTES, _WORK_BYTES = 8, 64, 33
_DOMAIN = np.uint32(3)
_NONCES_PER_CALL = 1 << 20


@compiled
def _search(
    prefix: U32Array, first_byte: int, total_bytes: int, mask: np.uint32, initial: U32Array, start: int, stop: int,
    message: U32Array,
) -> int:  # fmt: skip
    """The least nonce in start .. stop - 1, multiples of 16 below 2**32, whose work is done; -1 if none is.

    `prefix`: all blocks of the message with a zero nonce, which begins at byte `first_byte`. `message`: scratch of
    sixteen times as many words and at least 256 more.
    """
    words = prefix.shape[0]
    second = words * WIDTH
    for k in range(words):
        for lane in range(WIDTH):
            message[k * WIDTH + lane] = prefix[k]
    for k in range(8, BLOCK_WORDS):
        for lane in range(WIDTH):
            message[second + k * WIDTH + lane] = _DOMAIN if k == 8 else _ZERO
    at, shift = first_byte // 4, np.uint64(8 * (first_byte % 4))
    chaining = repeat_words8(initial)
    for nonce in range(start, stop, WIDTH):
        for lane in range(WIDTH):
            moved = np.uint64(nonce + lane) << shift
            message[at * WIDTH + lane] = prefix[at] | np.uint32(moved & np.uint64(0xFFFFFFFF))
            message[(at + 1) * WIDTH + lane] = prefix[at + 1] | np.uint32(moved >> np.uint64(32))
        state = chaining
        for block in range(0, words, BLOCK_WORDS):
            end = 4 * (block + BLOCK_WORDS)
            final = _ONES if end >= total_bytes else _ZERO
            state = blake2s_block(state, message, block * WIDTH, np.uint32(min(end, total_bytes)), final)
        store_words8(message, second, state)
        state = blake2s_block(chaining, message, second, np.uint32(_WORK_BYTES), _ONES)
        store_words8(message, second, state)
        for lane in range(WIDTH):
            if message[second + lane] & mask == 0:
                return nonce + lane
    return -1


@kernel(twin=_search_nonce_twin)
def search_nonce(prefix: bytes, bits: int) -> int:
    """The least nonce with which prefix || nonce (8 bytes, little-endian) hashes to a state that shows the work.

    `bits`: 0 to 32. A nonce of 2**32 or more, which no parameters make likely, is left to the plain search.
    """
    total = len(prefix) + _NONCE_BYTES
    padded = (prefix + bytes(_NONCE_BYTES)).ljust(-(-total // _BLOCK_BYTES) * _BLOCK_BYTES, b"\0")
    words = np.frombuffer(padded, "<u4").astype(np.uint32)
    message = empty_words((len(words) + BLOCK_WORDS) * WIDTH)
    mask = np.uint32((1 << bits) - 1)
    for start in range(0, 1 << 32, _NONCES_PER_CALL):
        found = _search(words, len(prefix), total, mask, _STATE, start, start + _NONCES_PER_CALL, message)
        if found >= 0:
            return found
    return _search_nonce_twin(prefix, bits)
