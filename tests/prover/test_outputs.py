"""The special rows at their extremes: every carry in range, no coefficient wraps, and the plain twin says the same."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
import numpy.typing as npt
import pytest

from circuits.gadgets import outputs
from circuits.gadgets.outputs import LOW_CARRIES, SMALL_CARRY_OFFSET
from circuits.gadgets.values import CARRY_HIGH, CARRY_OFFSET
from circuits.solvency import COLUMNS
from prover.outputs import MaskPair, Masks, ShardOutputs, fill_special_rows
from prover.randomness import Randomness
from prover.tree import Tree
from tests.malicious import special as twin
from tests.malicious.rows import POSEIDON1, Row, Words, limbs, number
from tests.malicious.world import Array, plain_mask
from verifier.field import P
from verifier.instruments import BUCKETS_MAX, INSTRUMENTS_MAX
from verifier.params import HIDDEN_ROWS
from verifier.poseidon import DEFAULT
from verifier.solvency import CIRCUITS, OUTPUT_END, SpecialRows
from verifier.statement import LOG2_ROWS_MAX, LOG2_ROWS_MIN, SHARDS_MAX
from verifier.tree import VALUE_BITS

MOST_ROWS = 1 << LOG2_ROWS_MAX
AT = {name: index for index, name in enumerate(COLUMNS)}
LARGEST_CARRY = 65_535 + 255 * CARRY_HIGH - CARRY_OFFSET
TOTALS, LENSES = 2, 1
TOP = 2**VALUE_BITS - 1


def constant_masks(word: int) -> Masks:
    return Masks(np.zeros(8, np.uint32), np.full((TOTALS + 1 + LENSES, 8), word, np.uint32))


def filled(byte: int, rows: int, value: int, masks: MaskPair | None) -> tuple[Array, SpecialRows, ShardOutputs]:
    """Special rows of a shard in which `rows` amounts have all bytes equal; liability and loss are `value`."""
    return special_rows(np.full((TOTALS, 8), byte * rows, np.int64), value, masks)


def special_rows(
    sums: npt.NDArray[np.int64], value: int, masks: MaskPair | None
) -> tuple[Array, SpecialRows, ShardOutputs]:
    """(columns, special rows) of a trace without its accounts. `sums`: (totals, 8) of bytes."""
    special = SpecialRows(TOTALS + 1 + LENSES, LENSES, masks is not None)
    trace = np.zeros((len(COLUMNS), special.count), np.uint32)
    levels = [SimpleNamespace(sums=np.array([limbs(value, 7)], np.uint32))]
    tree = cast(Tree, SimpleNamespace(root=np.arange(8, dtype=np.uint32), levels=levels, total=value))
    return trace, special, fill_special_rows(trace, special, sums, tree, 7, (value,) * LENSES, masks, DEFAULT)


def rows_of_twin(byte: int, rows: int, value: int, masks: MaskPair | None) -> tuple[list[Row], list[int]]:
    """The same by `tests.malicious.special`; one row stands for all entries of a total."""
    layout = twin.Layout(TOTALS, LENSES, masks is not None)
    both = (masks.out, masks.into) if masks is not None else ()
    out = [row for mask in both for row in twin.mask_chain(plain_mask(mask), POSEIDON1)]
    out += [Row({"total_id": layout.output_of(row) or 0}) for row in range(len(out), layout.count)]
    out[layout.root].put("b", range(8)).put("d", limbs(value, 7))["level"] = 8
    out[layout.loss(0)].put("u", limbs(value, 7))
    for total in range(TOTALS):
        out.append(Row({"is_entry": rows, "total_id": total}).put("y", [byte] * 8))
    return out, [twin.fit_output(out, layout, output) for output in range(layout.outputs)]


EXTREMES = [
    (byte, rows, value, masks)
    for byte, rows in ((255, MOST_ROWS), (0, 0), (255, 1))
    for value in (0, TOP)
    for masks in (None, (0, 0), (65_535, 0), (0, 65_535), (65_535, 65_535))
]


@pytest.mark.parametrize(("byte", "rows", "value", "words"), EXTREMES)
def test_at_the_extremes(byte: int, rows: int, value: int, words: tuple[int, int] | None) -> None:
    """More rows than a trace has entries, bytes of 255, masks of all ones or zeros: the identity is one of integers."""
    masks = None if words is None else MaskPair(*map(constant_masks, words))
    trace, special, public = filled(byte, rows, value, masks)
    plain, published = rows_of_twin(byte, rows, value, masks)
    assert list(public.outputs) == published
    layout = twin.Layout(TOTALS, LENSES, masks is not None)
    assert special.count == layout.count
    for at in range(layout.count):
        for name, word in plain[at].cells.items():
            assert trace[AT[name], at] == word, (at, name)
    for output in range(layout.outputs):
        carries = twin.read_carries(plain, layout, output)
        assert all(-CARRY_OFFSET <= carry <= LARGEST_CARRY for carry in carries[:LOW_CARRIES])
        assert all(abs(carry) < SMALL_CARRY_OFFSET // 2 for carry in carries[LOW_CARRIES:])
        assert identity(twin.brought(plain, layout, output), carries, published[output], layout.in_bytes(output))


def identity(brought: list[int], carries: list[int], published: int, in_bytes: bool) -> bool:
    """Every coefficient is zero as an integer, and no sum on the way reaches p."""
    digits = twin.digits(published, in_bytes)
    carries = [*carries, *[0] * (twin.POSITIONS - len(carries))]
    before = [0, *carries[:-1]]
    parts = zip(brought, before, carries, digits, strict=True)
    return all(abs(a) + abs(b) + 256 * abs(c) + d < P and a + b - 256 * c - d == 0 for a, b, c, d in parts)


def test_no_coefficient_wraps() -> None:
    """The worst case of `circuits.gadgets.outputs`, with every cell at the end of its range, honest or not."""
    assert max(LARGEST_CARRY, CARRY_OFFSET, SMALL_CARRY_OFFSET) == LARGEST_CARRY == 4_227_071
    worst = 255 * MOST_ROWS + 3 * 65_535 + 257 * LARGEST_CARRY
    assert worst == 1_621_327_612 < P
    assert f"{worst:,}" in (outputs.__doc__ or "")
    # One shard: position 7 has all that is above it, and position 8 nothing but the carry out of 7.
    top_digit = (1 << 64 + LOG2_ROWS_MAX) - 1 >> 56
    assert 255 * MOST_ROWS + top_digit + 257 * LARGEST_CARRY > P > 255 * MOST_ROWS + top_digit + LARGEST_CARRY


def test_special_rows_fit_in_the_smallest_trace() -> None:
    """With the largest instrument table and the most lenses."""
    lenses = max(circuit.lenses for circuit in CIRCUITS.values())
    outputs = INSTRUMENTS_MAX * (BUCKETS_MAX + 1) + 1 + lenses
    assert SpecialRows(outputs, lenses, masked=True).count < (1 << LOG2_ROWS_MIN) - HIDDEN_ROWS


def test_no_sum_over_shards_reaches_the_modulus() -> None:
    """So what is published modulo 2^128 is the sum itself: totals, and liabilities and losses of 112 bits a shard."""
    assert SHARDS_MAX * MOST_ROWS * (2**63 - 1) < OUTPUT_END
    assert SHARDS_MAX * TOP < OUTPUT_END <= (SHARDS_MAX + 1) * TOP


@pytest.mark.parametrize("seed", range(20))
def test_random_masks_against_the_twin(seed: int) -> None:
    source = Randomness(b"outputs", bytes([seed]))
    byte, rows = source.bytes("byte", 1)[0], int.from_bytes(source.bytes("rows", 3)[:3], "little") % MOST_ROWS
    value = int.from_bytes(source.bytes("value", VALUE_BITS // 8), "little")
    masks = MaskPair.of(source, 1, 3, TOTALS + 1 + LENSES)
    trace, _, public = filled(byte, rows, value, masks)
    plain, published = rows_of_twin(byte, rows, value, masks)
    layout = twin.Layout(TOTALS, LENSES, True)
    assert list(public.outputs) == published
    assert public.mask_out == twin.chain_digest(plain[: layout.masks])
    assert public.mask_in == twin.chain_digest(plain[layout.masks : 2 * layout.masks])
    total = number([byte * rows] * 8, 8)
    expected: Words = (total, total, value, value)
    pairs = zip(expected, masks.out.values, masks.into.values, strict=True)
    assert published == [(own + out - into) % OUTPUT_END for own, out, into in pairs]
    for output in range(layout.outputs):
        carries = twin.read_carries(plain, layout, output)
        assert identity(twin.brought(plain, layout, output), carries, published[output], False)
    names = [*(f"{prefix}{i}" for prefix in "hbuy" for i in range(8)), "total_id", *(f"d{i}" for i in range(7))]
    for at in range(layout.count):
        assert [int(trace[AT[name], at]) for name in names] == [plain[at][name] for name in names]
