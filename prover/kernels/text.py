"""The text of inclusion bundles, many users at a time: hex, decimal numbers, and runs of bytes that are copied.

The bytes are those of `verifier.inclusion.make_bundle_bytes`. What differs between users is written into place; the
rest comes as ready-made runs of bytes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from prover.kernels.registry import compiled, inlined, kernel
from verifier.canonical import dumps
from verifier.inclusion import path_data
from verifier.tree import ARITY, BLINDING_WORDS, PathStep

Bytes = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint32]

_DIGEST_BYTES = 32
_DIGEST_TEXT = 2 * _DIGEST_BYTES
_BLINDING_BYTES = 4 * BLINDING_WORDS


class Runs(NamedTuple):
    """Byte strings of any lengths in one array: number i is text[offsets[i] : offsets[i + 1]]."""

    text: Bytes
    offsets: Int64

    @classmethod
    def of(cls, parts: list[bytes]) -> Runs:
        """From separate byte strings."""
        offsets = np.cumsum([0, *map(len, parts)], dtype=np.int64)
        return cls(np.array(bytearray(b"".join(parts)), np.uint8), offsets)

    def part(self, number: int) -> bytes:
        """One of them."""
        return self.text[self.offsets[number] : self.offsets[number + 1]].tobytes()


class ShardText(NamedTuple):
    """What the bundles of a shard share.

    Args:
        constants: the text before each varying part and after the last (BLINDING .. END), then that before an amount.
        legs_text: what follows the amount in an entry, by leg.
        steps: (.., STEP_BYTES) path steps from the items of all levels above the accounts, one level after the other;
            step_starts: where each level begins.
    """

    constants: Runs
    legs_text: Runs
    steps: Bytes
    step_starts: Int64


class AccountText(NamedTuple):
    """What differs between the bundles of n accounts.

    Args:
        users: n user ids, escaped for JSON.
        blindings, nonces: (n, 24) and (n, 32) bytes.
        offsets: (n + 1,), of which offsets[0] is the first entry given; legs, amounts: their entries.
        steps: (n, STEP_BYTES), from these accounts up.
    """

    users: Runs
    blindings: Bytes
    nonces: Bytes
    offsets: Int64
    legs: npt.NDArray[np.uint16]
    amounts: npt.NDArray[np.uint64]
    steps: Bytes


def _step(position: int, siblings: list[tuple[int, ...]], value: tuple[int, ...]) -> bytes:
    return dumps(path_data([PathStep(position, tuple(siblings), value)])[0])[:-1]


_NO_STEP = _step(0, [(0,) * 8] * (ARITY - 1), (0,) * 8)
_STEP = np.array(bytearray(_NO_STEP), np.uint8)
_STEP_PLACES = np.array([_NO_STEP.index(mark) + len(mark) for mark in (b'"position":', b'"siblings":"', b'"value":"')])
"""Where position, siblings and value stand. Handed to kernels: what they refer to would be frozen in Numba's cache."""
STEP_BYTES = len(_NO_STEP)

BLINDING, ENTRIES, NONCE, PATH, USER_ID, END = range(6)
"""Runs of a bundle's constant text, each named after what follows it: a blinding, entries, .., a user id, nothing."""


# -- plain twins ----------------------------------------------------------------------------------------------------


def _step_texts_twin(source: Words, children: Words, values: Words, first: int, count: int) -> tuple[Bytes, int]:
    out, written = np.zeros((count, STEP_BYTES), np.uint8), 0
    for node in range(len(source)):
        digests = [tuple(int(word) for word in child) for child in children[node]]
        for position, item in enumerate(source[node].tolist()):
            if first <= item < first + count and not out[item - first].any():
                siblings = digests[:position] + digests[position + 1 :]
                text = _step(position, siblings, tuple(int(word) for word in values[node]))
                out[item - first] = np.frombuffer(text, np.uint8)
                written += 1
    return out, written


def _bundle_texts_twin(shard: ShardText, accounts: AccountText, first: int) -> tuple[Bytes, Int64]:
    constants, (offsets, legs, amounts) = shard.constants, (accounts.offsets, accounts.legs, accounts.amounts)
    entry_head = constants.part(END + 1)
    bundles = []
    for i in range(len(accounts.steps)):
        held = range(int(offsets[i] - offsets[0]), int(offsets[i + 1] - offsets[0]))
        entries = [entry_head + str(int(amounts[e])).encode() + shard.legs_text.part(int(legs[e])) for e in held]
        item, path = first + i, [accounts.steps[i].tobytes()]
        for start in shard.step_starts.tolist():
            item //= ARITY
            path.append(shard.steps[start + item].tobytes())
        blinding, nonce = (part[i].tobytes().hex().encode() for part in (accounts.blindings, accounts.nonces))
        varying = blinding, b",".join(entries), nonce, b",".join(path), accounts.users.part(i)
        bundles.append(b"".join(constants.part(k) + part for k, part in enumerate(varying)) + constants.part(END))
    runs = Runs.of(bundles)
    return runs.text, runs.offsets


# -- kernels --------------------------------------------------------------------------------------------------------


@kernel(twin=_step_texts_twin)
def step_texts(source: Words, children: Words, values: Words, first: int, count: int) -> tuple[Bytes, int]:
    """JSON of the path step from each of the items first .. first + count - 1 of a level to the node above it.

    Args:
        source: (nodes, 8) item in each slot of the nodes above these items; other numbers are passed over.
        children, values: (nodes, 8, 8) digests in slot order and (nodes, 8) value digests, canonical words.

    Returns:
        (count, STEP_BYTES) text, and how many steps were written: `count` if each item has its slot. An item's first
        slot counts.
    """
    out = np.zeros((count, STEP_BYTES), np.uint8)
    # Copies, small ones: code is compiled once, and not again for read-only arrays.
    digests = [np.array(part, "<u4").view(np.uint8) for part in (children, values)]
    return out, _fill_steps(np.array(source, np.uint32), digests[0], digests[1], first, _STEP, _STEP_PLACES, out)


@kernel(twin=_bundle_texts_twin)
def bundle_texts(shard: ShardText, accounts: AccountText, first: int) -> tuple[Bytes, Int64]:
    """Bundles of the n accounts first .. first + n - 1 of a shard. Works on the calling thread without the lock.

    Returns:
        All text, and the offsets (n + 1,) of each bundle in it.
    """
    lengths = np.zeros(len(accounts.steps) + 1, np.int64)
    _measure(shard, accounts, lengths)
    ends = np.cumsum(lengths)
    out = np.empty(int(ends[-1]), np.uint8)
    _fill_bundles(shard, accounts, first, ends, out)
    return out, ends


@inlined
def _hex(data: Bytes, at: int, count: int, out: Bytes, to: int) -> int:
    """`count` bytes from `at` as lower-case hex; returns where the text ends."""
    for k in range(count):
        high, low = np.uint8(data[at + k] >> 4), np.uint8(data[at + k] & 15)
        out[to + 2 * k] = high + 48 + (39 if high > 9 else 0)
        out[to + 2 * k + 1] = low + 48 + (39 if low > 9 else 0)
    return to + 2 * count


@inlined
def _copy(data: Bytes, start: int, stop: int, out: Bytes, to: int) -> int:
    for k in range(stop - start):
        out[to + k] = data[start + k]
    return to + stop - start


@inlined
def _digits(amount: np.uint64) -> int:
    """Decimal digits: at most 20, and 1 for zero."""
    count, limit = 1, np.uint64(10)
    while count < 20 and amount >= limit:
        count += 1
        limit *= np.uint64(10)  # 10^20 wraps, but is not looked at
    return count


@inlined
def _decimal(amount: np.uint64, out: Bytes, to: int) -> int:
    end = to + _digits(amount)
    for k in range(end - 1, to - 1, -1):
        rest = amount // np.uint64(10)
        out[k] = np.uint8(48 + (amount - rest * np.uint64(10)))
        amount = rest
    return end


@compiled
def _fill_steps(
    source: Words, children: Bytes, values: Bytes, first: int, template: Bytes, places: Int64, out: Bytes
) -> int:
    digests = np.empty(ARITY * _DIGEST_TEXT, np.uint8)
    written = 0
    for node in range(len(source)):
        for slot in range(ARITY):
            _hex(children[node, slot], 0, _DIGEST_BYTES, digests, slot * _DIGEST_TEXT)
        for slot in range(ARITY):
            item = np.int64(source[node, slot]) - first
            if item < 0 or item >= len(out) or out[item, 0]:
                continue
            step = out[item]
            _copy(template, 0, len(template), step, 0)
            step[places[0]] = 48 + slot
            at = _copy(digests, 0, slot * _DIGEST_TEXT, step, places[1])
            _copy(digests, (slot + 1) * _DIGEST_TEXT, ARITY * _DIGEST_TEXT, step, at)
            _hex(values[node], 0, _DIGEST_BYTES, step, places[2])
            written += 1
    return written


@compiled
def _measure(shard: ShardText, accounts: AccountText, lengths: Int64) -> None:
    """lengths[i + 1]: bytes of bundle i."""
    constants, legs_text = shard.constants.offsets, shard.legs_text.offsets
    users, offsets = accounts.users.offsets, accounts.offsets
    step_bytes = shard.steps.shape[1]
    path_bytes = step_bytes + (step_bytes + 1) * len(shard.step_starts)
    fixed = constants[END + 1] + 2 * (_BLINDING_BYTES + _DIGEST_BYTES) + path_bytes
    head = constants[END + 2] - constants[END + 1]
    for i in range(len(lengths) - 1):
        length = fixed + users[i + 1] - users[i]
        for e in range(offsets[i] - offsets[0], offsets[i + 1] - offsets[0]):
            leg = np.int64(accounts.legs[e])
            length += head + _digits(accounts.amounts[e]) + legs_text[leg + 1] - legs_text[leg]
        lengths[i + 1] = length + max(0, offsets[i + 1] - offsets[i] - 1)


@compiled
def _fill_bundles(shard: ShardText, accounts: AccountText, first: int, ends: Int64, out: Bytes) -> None:
    fixed, bounds = shard.constants.text, shard.constants.offsets
    legs_text, users, offsets = shard.legs_text, accounts.users, accounts.offsets
    for i in range(len(accounts.steps)):
        to = _copy(fixed, bounds[BLINDING], bounds[BLINDING + 1], out, ends[i])
        to = _hex(accounts.blindings[i], 0, _BLINDING_BYTES, out, to)
        to = _copy(fixed, bounds[ENTRIES], bounds[ENTRIES + 1], out, to)
        for e in range(offsets[i] - offsets[0], offsets[i + 1] - offsets[0]):
            if e > offsets[i] - offsets[0]:
                out[to] = 44  # a comma
                to += 1
            leg = np.int64(accounts.legs[e])
            to = _copy(fixed, bounds[END + 1], bounds[END + 2], out, to)
            to = _decimal(accounts.amounts[e], out, to)
            to = _copy(legs_text.text, legs_text.offsets[leg], legs_text.offsets[leg + 1], out, to)
        to = _copy(fixed, bounds[NONCE], bounds[NONCE + 1], out, to)
        to = _hex(accounts.nonces[i], 0, _DIGEST_BYTES, out, to)
        to = _copy(fixed, bounds[PATH], bounds[PATH + 1], out, to)
        to = _copy(accounts.steps[i], 0, accounts.steps.shape[1], out, to)
        item = first + i
        for level in range(len(shard.step_starts)):
            item //= ARITY
            out[to] = 44
            to = _copy(shard.steps[shard.step_starts[level] + item], 0, shard.steps.shape[1], out, to + 1)
        to = _copy(fixed, bounds[USER_ID], bounds[USER_ID + 1], out, to)
        to = _copy(users.text, users.offsets[i], users.offsets[i + 1], out, to)
        _copy(fixed, bounds[END], bounds[END + 1], out, to)
