"""How large a publication is: a policy with slack and hysteresis, never the number of users (02a finding 16).

A publication is S shards of 2^k rows each. Both are public, so both come from few classes: one shard of 2^17 or 2^18
rows while the accounts fit, above that S shards of 2^18 rows with S = 1 .. 7 or m * 2^e, m in 8 .. 15.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from prover.errors import InputError
from verifier.params import HIDDEN_ROWS
from verifier.statement import LOG2_ROWS_MAX, LOG2_ROWS_MIN, levels_for
from verifier.tree import ENTRIES_MAX

Int64 = npt.NDArray[np.int64]

GROW_SLACK = 8
"""A new size of one shard leaves at least 1/8 of the rows free."""
GROW_SLACK_SHARDS = 32
"""Several leave 1/32: what one adds is worth more, and the way to the next class is up to an eighth in any case."""
SHRINK_FACTOR = 4
"""An earlier, larger size is kept until less than a quarter of it is in use."""
SHARD_LOG2_ROWS = 18
"""Rows of a shard where there are several: its trace stays near the processor, and lost work stays small."""
SHARDS_MAX = 1 << 16
CLASSES_PER_DOUBLING = 8
COST_UNIT = 7
"""Costs are counted in sevenths of a row: an account of e entries takes e + 2 rows and 10/7 rows of tree."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What is public of the size: `shards` proofs of 2^`log2_rows` rows each."""

    log2_rows: int
    shards: int

    @property
    def rows(self) -> int:
        """Of all shards together."""
        return self.shards << self.log2_rows


def rows_needed(accounts: int, entries: int, special_rows: int, levels: int, record_rows: int = 0) -> int:
    """Active rows of a trace: special, accounts (entries + 2), nodes (10), dummies (1); or what the records take.

    Args:
        special_rows: those that do not depend on the accounts: outputs, masks, lenses.
    """
    rows, items = special_rows + entries + 2 * accounts, accounts
    for _ in range(levels):
        nodes = max(1, -(-items // 8))
        rows += 10 * nodes + (8 * nodes - items)
        items = nodes
    return max(rows, record_rows * (accounts + 1))


def account_costs(entries: Int64, record_rows: int = 0) -> Int64:
    """(n,) what each account takes of a trace, in sevenths of a row, tree and record included.

    Args:
        entries: (n,) entries of each account as they are proved, one per leg.
    """
    costs: Int64 = np.maximum(COST_UNIT * (entries + 2) + 10, COST_UNIT * record_rows)
    return costs


def shard_classes() -> Iterator[int]:
    """1 .. 7, then m * 2^e for m = 8 .. 15, up to `SHARDS_MAX`: from there each is at most an eighth above the last."""
    yield from range(1, CLASSES_PER_DOUBLING)
    step = 1
    while True:
        for m in range(CLASSES_PER_DOUBLING, 2 * CLASSES_PER_DOUBLING):
            if m * step > SHARDS_MAX:
                return
            yield m * step
        step *= 2


def choose_capacity(
    entries: Int64,
    special_rows: int,
    record_rows: int = 0,
    *,
    previous: Capacity | None = None,
    log2_rows: int | None = None,
    shards: int | None = None,
) -> Capacity:
    """The published size, the least class with slack.

    Args:
        entries: (n,) entries of each account as they are proved, one per leg.
        special_rows, record_rows: of the circuit and its outputs, per shard.
        previous: size of the publication before, kept while the accounts fit and it is not four times too large.
        log2_rows, shards: what is given is not chosen; both given are returned as they are.

    Raises:
        InputError: the accounts fit in no class, or `log2_rows` or `shards` is out of range.
    """
    _require_range("--log2-rows", log2_rows, LOG2_ROWS_MIN, LOG2_ROWS_MAX)
    _require_range("--shards", shards, 1, min(SHARDS_MAX, len(entries)))
    if log2_rows is not None and shards is not None:
        return Capacity(log2_rows, shards)
    total_rows = -(-int(account_costs(entries, record_rows).sum()) // COST_UNIT)
    totals = len(entries), int(entries.sum())

    def need(capacity: Capacity) -> int:
        levels = levels_for(capacity.log2_rows)
        if capacity.shards == 1:
            return rows_needed(*totals, special_rows, levels, record_rows)
        return _most_rows(total_rows, capacity.shards, special_rows, levels, record_rows)

    def fits(capacity: Capacity, slack: bool) -> bool:
        free = (1 << capacity.log2_rows) - HIDDEN_ROWS
        part = GROW_SLACK if capacity.shards == 1 else GROW_SLACK_SHARDS
        return need(capacity) <= free - (free // part if slack else 0)

    allowed = previous is not None and log2_rows in (None, previous.log2_rows) and shards in (None, previous.shards)
    if previous is not None and allowed and previous.shards <= len(entries):
        is_too_large = total_rows <= previous.rows // SHRINK_FACTOR
        if not is_too_large and fits(previous, slack=False):
            return previous
    for capacity in _ladder(log2_rows, shards):
        if fits(capacity, slack=True):
            return capacity
    raise InputError(
        got=f"{totals[0]} accounts with {totals[1]} entries",
        expected=f"no more than {SHARDS_MAX if shards is None else shards} shards hold",
    )


def _most_rows(total_rows: int, shards: int, special_rows: int, levels: int, record_rows: int) -> int:
    """No shard takes more, dealt as `prover.shards.split` does: an equal share and one account more.

    A level of n items has at most n / 8 + 7 / 8 nodes, so 1.25 n + 15.75 rows: 10/7 rows per account in all, and 17 per
    level. The records begin with one that is no account's.
    """
    heaviest = max(ENTRIES_MAX + 4, record_rows)
    return -(-total_rows // shards) + heaviest + special_rows + 17 * levels + record_rows


def _ladder(log2_rows: int | None, shards: int | None) -> Iterator[Capacity]:
    """Sizes that may be chosen, smallest first."""
    if shards is not None:
        yield from (Capacity(log2, shards) for log2 in range(LOG2_ROWS_MIN, LOG2_ROWS_MAX + 1))
        return
    if log2_rows is None:
        yield from (Capacity(log2, 1) for log2 in range(LOG2_ROWS_MIN, SHARD_LOG2_ROWS))
    yield from (Capacity(log2_rows or SHARD_LOG2_ROWS, number) for number in shard_classes())


def _require_range(option: str, value: int | None, low: int, high: int) -> None:
    if value is not None and not low <= value <= high:
        raise InputError(field=option, got=str(value), expected=f"{low} to {high}")
