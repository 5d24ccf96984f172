"""Pairs of witnesses that differ as much as they can and have one statement, for the toy circuits."""

from __future__ import annotations

from tests.verifier.toy_circuits import BLOCK, LOG2_ROWS, Case, active_rows, blocks_of, ledger_of

Pair = tuple[Case, Case]


def ledgers(log2_rows: int = LOG2_ROWS) -> Pair:
    """Everybody has the same; or half have the least and half the most, and the table counts at its end."""
    rows = range(active_rows(log2_rows))
    slots = [5 if i < 2 else (0, 7)[i // 4 % 2] for i in rows]
    flags = [1 - i % 2 for i in rows]
    extremes = [64 if i < 4 or i >= len(rows) - 4 else (1, 127)[i // 2 % 2] for i in rows]
    late = [max(0, i - len(rows) + 256) for i in rows]
    equal = ledger_of([64] * len(rows), slots, flags, [min(i, 255) for i in rows], log2_rows)
    return equal, ledger_of(extremes, slots, flags, late, log2_rows)


def losers(log2_rows: int = LOG2_ROWS) -> Pair:
    """Every block loses the same; or one loses everything and the others are zero."""
    count = active_rows(log2_rows)
    equal = blocks_of([10] * count, [int(i >= BLOCK) for i in range(count)], log2_rows)
    one = [int(BLOCK <= i < 2 * BLOCK) for i in range(count)]
    return equal, blocks_of([10 * (count // BLOCK - 1) * each for each in one], one, log2_rows)
