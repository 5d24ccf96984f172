"""Sizes that are published: few classes, room to grow, and every shard fits in them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prover.capacity import (
    COST_UNIT,
    SHARDS_MAX,
    Capacity,
    Int64,
    account_costs,
    choose_capacity,
    rows_needed,
    shard_classes,
)
from prover.errors import InputError
from prover.shards.split import shard_bounds
from verifier.params import HIDDEN_ROWS
from verifier.statement import levels_for
from verifier.tree import ENTRIES_MAX

SPECIAL = 50


def three(accounts: int) -> Int64:
    return np.full(accounts, 3, np.int64)


def chosen(accounts: int, previous: tuple[int, int] | None = None, **given_sizes: int) -> tuple[int, int]:
    before = None if previous is None else Capacity(*previous)
    capacity = choose_capacity(three(accounts), SPECIAL, previous=before, **given_sizes)
    return capacity.log2_rows, capacity.shards


def test_the_classes() -> None:
    classes = list(shard_classes())
    assert classes[:24] == [*range(1, 17), 18, 20, 22, 24, 26, 28, 30, 32]
    assert classes[-1] == SHARDS_MAX == 65_536
    assert all(after * 8 <= before * 9 for before, after in pairwise(classes[7:]))


def test_one_shard_while_the_accounts_fit_then_many_of_one_size() -> None:
    assert chosen(1) == (17, 1)
    assert [chosen(n) for n in (17_700, 18_000, 35_500, 36_000, 1_000_000)] == [
        (17, 1), (18, 1), (18, 1), (18, 2), (18, 26),
    ]  # fmt: skip


def test_a_class_does_not_tell_the_number_of_accounts() -> None:
    assert len({chosen(n) for n in range(800_000, 870_000, 7_000)}) <= 2


def test_a_publication_keeps_its_size_while_it_fits_and_is_not_far_too_large() -> None:
    assert chosen(39_000) == (18, 2)
    assert chosen(39_000, (18, 1)) == (18, 1)
    assert chosen(42_000, (18, 1)) == (18, 2)
    assert chosen(1_000_000, (18, 64)) == (18, 64)
    assert chosen(500_000, (18, 64)) == (18, 13)
    assert chosen(9_000, (18, 1)) == (17, 1)
    assert chosen(16_000, (18, 1)) == (18, 1)
    assert chosen(1_000_000, (18, 26)) == (18, 26)
    assert chosen(1_000_000, (20, 8)) == (20, 8)
    assert chosen(1_000_000, (20, 8), log2_rows=18) == (18, 26)


def test_what_is_given_is_not_chosen() -> None:
    assert chosen(1000, log2_rows=20, shards=7) == (20, 7)
    assert chosen(1000, log2_rows=20) == (20, 1)
    assert chosen(100_000, log2_rows=17) == (17, 6)
    assert chosen(100_000, shards=3) == (18, 3)
    assert chosen(100_000, shards=1) == (20, 1)


@pytest.mark.negative
@pytest.mark.parametrize(
    ("log2_rows", "shards", "line"),
    [
        (16, None, '--log2-rows: got "16", expected 17 to 21'),
        (22, 1, '--log2-rows: got "22", expected 17 to 21'),
        (None, 0, '--shards: got "0", expected 1 to 9'),
        (17, 10, '--shards: got "10", expected 1 to 9'),
    ],
)
def test_sizes_out_of_range_are_refused(log2_rows: int | None, shards: int | None, line: str) -> None:
    with pytest.raises(InputError) as caught:
        choose_capacity(three(9), SPECIAL, log2_rows=log2_rows, shards=shards)
    assert str(caught.value) == line


@pytest.mark.negative
def test_too_many_accounts_for_the_shards_given() -> None:
    with pytest.raises(InputError, match="expected no more than 1 shards hold"):
        choose_capacity(three(400_000), SPECIAL, shards=1)


def test_room_for_what_every_shard_has_and_for_one_account_more() -> None:
    assert chosen(100_000, log2_rows=17) == (17, 6)
    assert choose_capacity(three(100_000), 30_000, log2_rows=17) == Capacity(17, 7)
    # 30.5 accounts are an equal share of two shards, and would fit; 31, which one of them gets, would not.
    heavy = np.full(61, ENTRIES_MAX, np.int64)
    assert choose_capacity(heavy, SPECIAL, log2_rows=17) == Capacity(17, 3)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32),
    st.integers(1, 60_000),
    st.sampled_from([0.0, 0.0002, 0.01]),
    st.sampled_from([0, 4, 8]),
    st.none() | st.sampled_from([17, 18]),
)
def test_every_shard_fits(seed: int, accounts: int, heavy: float, record_rows: int, log2_rows: int | None) -> None:
    random = np.random.default_rng(seed)
    entries = np.where(random.random(accounts) < heavy, ENTRIES_MAX, random.integers(0, 9, accounts))
    capacity = choose_capacity(entries, SPECIAL, record_rows, log2_rows=log2_rows)
    bounds = shard_bounds(account_costs(entries, record_rows), capacity.shards)
    assert (np.diff(bounds) > 0).all()
    levels, room = levels_for(capacity.log2_rows), (1 << capacity.log2_rows) - HIDDEN_ROWS
    part = 7 / 8 if capacity.shards == 1 else 31 / 32
    for start, stop in pairwise(bounds.tolist()):
        total = int(entries[start:stop].sum())
        assert rows_needed(stop - start, total, SPECIAL, levels, record_rows) <= room * part + 1


def test_costs_are_what_the_rows_come_to() -> None:
    costs = account_costs(np.array([3, 0, 20], np.int64))
    assert costs.tolist() == [45, 24, 164]
    assert account_costs(np.array([3, 0, 20], np.int64), 8).tolist() == [56, 56, 164]
    many = rows_needed(8**6, 3 * 8**6, 0, 6)
    assert abs(many * COST_UNIT - 45 * 8**6) <= 17 * 6 * COST_UNIT
