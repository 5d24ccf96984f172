"""The special rows of a trace: a shard's totals, masked, with the carries that show it (`circuits.gadgets.outputs`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from circuits.gadgets.outputs import LOW_CARRIES, SMALL_CARRY_OFFSET
from circuits.gadgets.values import CARRY_HIGH, CARRY_OFFSET
from circuits.solvency import COLUMNS
from prover.errors import InputError
from prover.randomness import Randomness
from prover.tree import Tree, compress_words
from verifier.poseidon import DIGEST_WORDS, Instance
from verifier.solvency import OUTPUT_BYTES, OUTPUT_END, OUTPUT_WORDS, TOTAL_BYTES, SpecialRows
from verifier.tree import VALUE_BITS, VALUE_LIMBS, limbs16

Words = npt.NDArray[np.uint32]
Int64 = npt.NDArray[np.int64]
POSITIONS = 2 * OUTPUT_WORDS
_AT = {name: index for index, name in enumerate(COLUMNS)}


@dataclass(frozen=True)
class Masks:
    """The masks that a shard shares with the next one.

    Args:
        start: (8,) uniform words, the chaining value before the first block: 248 bits that hide the masks.
        words: (outputs, 8) uniform words below 2^16, a mask below 2^128 each, lowest word first.
    """

    start: Words
    words: Words

    @classmethod
    def draw(cls, random: Randomness, after: int, outputs: int) -> Masks:
        """The masks between shard `after` and the one that follows: the same for whoever has the run's seed."""
        own = random.derive(b"masks", after.to_bytes(4, "little"))
        words = np.frombuffer(own.bytes("masks", OUTPUT_BYTES * outputs), "<u2").reshape(outputs, OUTPUT_WORDS)
        return cls(own.words("start", DIGEST_WORDS), words.astype(np.uint32))

    @property
    def values(self) -> list[int]:
        """The masks as integers."""
        return [sum(word << (16 * j) for j, word in enumerate(row)) for row in self.words.tolist()]


@dataclass(frozen=True)
class MaskPair:
    """Masks that a shard adds (`out`) and takes away (`into`)."""

    out: Masks
    into: Masks

    @classmethod
    def of(cls, random: Randomness, shard: int, shards: int, outputs: int) -> MaskPair:
        """Of one shard among several; the masks of the last one go into the first."""
        return cls(Masks.draw(random, shard, outputs), Masks.draw(random, (shard - 1) % shards, outputs))


@dataclass(frozen=True)
class ShardOutputs:
    """What a shard publishes: outputs modulo 2^128 and the digests of its masks, zeros where it has none."""

    outputs: tuple[int, ...]
    mask_out: tuple[int, ...]
    mask_in: tuple[int, ...]


def fill_special_rows(
    trace: Words,
    special: SpecialRows,
    byte_sums: Int64,
    tree: Tree,
    levels: int,
    losses: tuple[int, ...],
    masks: MaskPair | None,
    instance: Instance,
) -> ShardOutputs:
    """Write the special rows of a canonical trace, all but permutation cells.

    Args:
        byte_sums: (totals, 8) sums of the bytes of all amounts, each below 255 N.
        losses: per lens, in value units.
        masks: None where there is one shard only.

    Raises:
        InputError: what is lost under a lens has more than 112 bits.
    """
    _root_row(trace, special, tree, levels)
    if max(losses, default=0) >> VALUE_BITS:
        raise InputError(field="losses", got="2^112 or more", expected="less than 2^112 value units in all")
    for lens, loss in enumerate(losses):
        trace[_AT["u0"] : _AT["u0"] + VALUE_LIMBS, special.first_loss + lens] = limbs16(loss, VALUE_LIMBS)
    sums = np.zeros((special.outputs, POSITIONS), np.int64)
    sums[: len(byte_sums), :8] = byte_sums
    for row, value in zip(sums[len(byte_sums) :], (tree.total, *losses), strict=True):
        row[: 2 * VALUE_LIMBS : 2] = limbs16(value, VALUE_LIMBS)
    amounts = [sum(int(part) << (8 * k) for k, part in enumerate(row)) for row in sums.tolist()]
    ids = np.arange(special.outputs)
    carry_rows = special.first_carry + ids
    trace[_AT["total_id"], carry_rows] = ids
    trace[_AT["total_id"], special.root] = len(byte_sums)
    trace[_AT["total_id"], special.first_loss : special.count] = len(byte_sums) + 1 + np.arange(special.lenses)
    if masks is None:
        digits = np.array([_digits(value, o < len(byte_sums)) for o, value in enumerate(amounts)], np.int64)
        _carry_cells(trace, special, sums - digits)
        return ShardOutputs(tuple(amounts), (0,) * DIGEST_WORDS, (0,) * DIGEST_WORDS)
    sums[:, ::2] += masks.out.words.astype(np.int64) - masks.into.words
    pairs = zip(amounts, masks.out.values, masks.into.values, strict=True)
    outputs = tuple((value + out - into) % OUTPUT_END for value, out, into in pairs)
    digits = np.array([_digits(output, False) for output in outputs], np.int64)
    _carry_cells(trace, special, sums - digits)
    mask_out, mask_in = _mask_rows(trace, special, masks, instance)
    return ShardOutputs(outputs, mask_out, mask_in)


def _root_row(trace: Words, special: SpecialRows, tree: Tree, levels: int) -> None:
    first_block, first_digit = _AT["b0"], _AT["d0"]
    trace[first_block : first_block + DIGEST_WORDS, special.root] = tree.root
    trace[first_digit : first_digit + VALUE_LIMBS, special.root] = tree.levels[-1].sums[0]
    trace[_AT["level"], special.root] = levels + 1


def _digits(value: int, in_bytes: bool) -> list[int]:
    """Coefficients of P, as in `verifier.solvency.terminal`: words at even positions, or bytes and the rest."""
    out = [0] * POSITIONS
    if in_bytes:
        out[:TOTAL_BYTES] = [value >> (8 * i) & 0xFF for i in range(TOTAL_BYTES)]
        out[TOTAL_BYTES] = value >> (8 * TOTAL_BYTES)
    else:
        out[::2] = limbs16(value, OUTPUT_WORDS)
    return out


def _carry_cells(trace: Words, special: SpecialRows, differences: Int64) -> None:
    """Carries of (outputs, 16) coefficients that are 0 at 256 modulo 2^128: c_i = (c_(i-1) + d_i) / 256, exact."""
    rows = special.first_carry + np.arange(special.outputs)
    carry: Int64 = np.zeros(special.outputs, np.int64)
    for i in range(POSITIONS):
        carry = (carry + differences[:, i]) >> 8
        if i < LOW_CARRIES:
            shifted = carry + CARRY_OFFSET
            high = np.minimum(shifted // CARRY_HIGH, 255)
            trace[_AT[f"u{i}"], rows] = shifted - high * CARRY_HIGH
            trace[_AT[f"y{i}"], rows] = high
        elif special.masked:
            shifted = carry + SMALL_CARRY_OFFSET
            pair, first = (i - LOW_CARRIES) % 4, 0 if i < LOW_CARRIES + 4 else special.outputs
            at = slice(first, first + special.outputs)
            trace[_AT[f"y{2 * pair}"], at] = shifted & 0xFF
            trace[_AT[f"y{2 * pair + 1}"], at] = shifted >> 8


def _mask_rows(
    trace: Words, special: SpecialRows, masks: MaskPair, instance: Instance
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Both chains of masks; returns their digests."""
    count = special.outputs
    words = np.concatenate([masks.out.words, masks.into.words]).T
    trace[_AT["b0"] : _AT["b0"] + OUTPUT_WORDS, : 2 * count] = words
    trace[_AT["u0"] : _AT["u0"] + OUTPUT_WORDS, : 2 * count] = words
    trace[_AT["total_id"], : 2 * count] = np.tile(np.arange(count), 2)
    state = np.stack([masks.out.start, masks.into.start])
    for o in range(count):
        at = [o, count + o]
        trace[_AT["h0"] : _AT["h0"] + DIGEST_WORDS, at] = state.T
        state = compress_words(state, np.stack([masks.out.words[o], masks.into.words[o]]), instance)
    out, into = (tuple(row) for row in state.tolist())
    return out, into
