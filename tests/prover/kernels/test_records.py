"""Value records: every word that the kernels write, against integers of any size."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest

from prover.kernels.accounts import OK, TOO_LARGE
from prover.kernels.records import count_pairs, count_words, fill_records, signed_bytes
from verifier.field import P
from verifier.legs import AMOUNT_CAP, balanced_digits
from verifier.solvency import LENS_POSITIONS

Int64 = npt.NDArray[np.int64]
MOST = 2**54 - 1
LIMIT = 2**112
Entries = list[tuple[int, int]]


def coefficients_of(value: int, count: int = LENS_POSITIONS) -> list[int]:
    return [value >> (8 * k) & 255 for k in range(count)]


@pytest.mark.parametrize(
    "value", [0, 1, -1, 255, 256, -256, LIMIT - 1, 1 - LIMIT, 2**111, -(2**104), 12345678901234567]
)
def test_a_number_is_its_sign_and_bytes(value: int) -> None:
    """However it is spread over coefficients."""
    draw = random.Random(value % 1000)
    for _ in range(20):
        coefficients = coefficients_of(value, 14)
        coefficients += [value >> 112, 0]  # -1 below zero, as the bytes are then those of the complement
        for k in range(15):
            carry = draw.randrange(-(2**30), 2**30)
            coefficients[k] += 256 * carry
            coefficients[k + 1] -= carry
        assert sum(c << (8 * k) for k, c in enumerate(coefficients)) == value
        out = np.full(LENS_POSITIONS, 77, np.int64)
        assert signed_bytes(np.array(coefficients, np.int64), out) == int(value < 0)
        assert out.tolist() == coefficients_of(abs(value))


@pytest.mark.parametrize("value", [LIMIT, -LIMIT, 2**120, -(2**127), 2**128 - 1, -(2**128) + 1, 2**130, -(2**131)])
def test_a_number_of_more_than_14_bytes_is_said_to_be_so(value: int) -> None:
    coefficients = [*coefficients_of(value, 15), value >> 120]
    assert signed_bytes(np.array(coefficients, np.int64), np.zeros(LENS_POSITIONS, np.int64)) == -1


def exchange(lenses: int, seed: int) -> tuple[list[list[int]], list[Entries]]:
    """Coefficients per leg and lens, large and small, and accounts, the first of them empty."""
    draw = random.Random(seed)
    table = [[draw.choice((1, -1)) * draw.getrandbits(draw.randrange(1, 55)) for _ in range(lenses)] for _ in range(9)]
    table[0], table[1] = [MOST] * lenses, [-MOST] * lenses
    accounts: list[Entries] = [[]]
    for _ in range(7):
        legs = sorted(draw.sample(range(9), draw.randrange(1, 6)))
        accounts.append([(leg, draw.getrandbits(draw.randrange(1, 50)) + 1) for leg in legs])
    return table, accounts


def filled(
    table: list[list[int]], accounts: list[Entries], rows: int, parts: int = 1
) -> tuple[list[tuple[int, int]], npt.NDArray[np.uint32], npt.NDArray[np.bool_], Int64]:
    """What the kernel returns for each part, the trace with three columns before the records', signs and losses."""
    lenses, counts = len(table[0]), [len(entries) for entries in accounts]
    width = 3 + (8 + 3 * LENS_POSITIONS // rows) * lenses
    height = sum(counts) + 2 * len(counts) + rows * (len(counts) + 1)
    trace = np.full((width, height), 99, np.uint32)
    open_rows = np.cumsum([0, *(count + 2 for count in counts)])[:-1]
    entries = [entry for held in accounts for entry in held]
    digits = np.array([[balanced_digits(value) for value in leg] for leg in table], np.int64)
    negative, losses = np.ones((len(accounts), lenses), np.bool_), np.zeros((lenses, LENS_POSITIONS), np.int64)
    legs, amounts = np.array([e[0] for e in entries], np.uint16), np.array([e[1] for e in entries], np.uint64)
    bounds = [len(accounts) * part // parts for part in range(parts + 1)]
    offsets = np.cumsum([0, *counts])
    returned = [
        fill_records(
            trace, 3, rows, height - 1, open_rows, offsets, legs, amounts, digits, negative, losses, start, stop
        )
        for start, stop in pairwise(bounds)
    ]
    return returned, trace, negative, losses


@pytest.mark.parametrize(("lenses", "rows"), [(1, 4), (3, 4), (7, 8), (2, 16), (2, 1)])
@pytest.mark.parametrize("parts", [1, 3])
def test_every_word_of_a_trace(lenses: int, rows: int, parts: int) -> None:
    table, accounts = exchange(lenses, seed=10 * lenses + rows)
    returned, trace, negative, losses = filled(table, accounts, rows, parts)
    assert returned == [(OK, 0)] * parts
    window, expected = LENS_POSITIONS // rows, np.full(trace.shape, 99, np.uint32)
    at, lost = 0, [0] * lenses
    for i, entries in enumerate(accounts):
        for row, (leg, _) in enumerate(entries, start=at + 1):
            digits = [digit % P for value in table[leg] for digit in balanced_digits(value)]
            expected[3 : 3 + 7 * lenses, row] = digits
        at += len(entries) + 2
        record = trace.shape[1] - 1 - rows * (len(accounts) - i)
        for lens in range(lenses):
            value = sum(table[leg][lens] * amount for leg, amount in entries)
            assert negative[i, lens] == (value < 0)
            lost[lens] += max(0, -value)
            carries = carries_of(entries, table, lens, value)
            for k, byte in enumerate(coefficients_of(abs(value))):
                row, column = record + rows - 1 - k // window, lens * window + k % window
                first = 3 + 7 * lenses
                expected[first + lens, row] = value < 0
                shifted = carries[k] + 2**22
                assert 0 <= shifted < 2**23
                high = shifted >> 15
                cells = (byte, shifted - (high << 15), high)
                for kind, cell in enumerate(cells):
                    expected[first + lenses + kind * lenses * window + column, row] = cell
    assert np.array_equal(trace, expected)
    assert [sum(int(part) << (8 * k) for k, part in enumerate(sums)) for sums in losses] == lost


def carries_of(entries: Entries, table: list[list[int]], lens: int, value: int) -> list[int]:
    """c with A_k + c_(k-1) - 256 c_k = +-v_k, by what is left when the k + 1 lowest positions are taken off."""
    out, sign = [], -1 if value < 0 else 1
    for k in range(LENS_POSITIONS):
        low = 0
        for leg, amount in entries:
            for i, byte in enumerate(coefficients_of(amount, 8)):
                for j, digit in enumerate(balanced_digits(table[leg][lens])):
                    low += byte * digit << (8 * (i + j)) if i + j <= k else 0
        shown = sum(byte << (8 * i) for i, byte in enumerate(coefficients_of(abs(value))) if i <= k)
        carry, rest = divmod(low - sign * shown, 256 ** (k + 1))
        assert rest == 0
        out.append(carry)
    return out


def test_a_value_too_large_names_its_account() -> None:
    """Legs at the largest coefficient and amounts at the cap: one such entry is 2^117."""
    table = [[1, MOST], [-1, -MOST]]
    for leg in (0, 1):
        accounts: list[Entries] = [[(0, 5)], [(leg, AMOUNT_CAP)], [(1, 5)]]
        assert filled(table, accounts, 4)[0] == [(TOO_LARGE, 1)]


def test_the_largest_values_that_fit() -> None:
    amount = (LIMIT - 1) // MOST
    for leg in (0, 1):
        returned, _, negative, losses = filled([[MOST], [-MOST]], [[(leg, amount)]], 4)
        assert (returned, negative.tolist()) == ([(OK, 0)], [[leg == 1]])
        assert sum(int(part) << (8 * k) for k, part in enumerate(losses[0])) == leg * amount * MOST


def test_counts_are_added() -> None:
    draw = np.random.default_rng(3)
    low, high = (draw.integers(0, 256, 5000).astype(np.uint32) for _ in range(2))
    words = draw.integers(0, 1 << 16, 5000).astype(np.uint32)
    words[:3], low[:2], high[:2] = (0, 65535, 65535), (0, 255), (0, 255)
    counts, pairs = np.full(1 << 16, 7, np.int64), np.full(1 << 16, 7, np.int64)
    count_words(words, counts)
    count_pairs(low, high, pairs)
    assert np.array_equal(counts, 7 + np.bincount(words, minlength=1 << 16))
    assert np.array_equal(pairs, 7 + np.bincount(low + 256 * high, minlength=1 << 16))
