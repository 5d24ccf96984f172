"""How large a trace is published: a policy with slack and hysteresis, never the number of users (02a finding 16)."""

from __future__ import annotations

from prover.errors import InputError
from verifier.statement import LOG2_ROWS_MAX, LOG2_ROWS_MIN, levels_for

HIDDEN_ROWS = 512
GROW_SLACK = 8
"""A new size leaves at least 1/8 of the rows free."""
SHRINK_FACTOR = 4
"""An earlier, larger size is kept until less than a quarter of it is in use."""


def rows_needed(accounts: int, entries: int, totals: int, levels: int, record_rows: int = 0) -> int:
    """Active rows of a trace: totals, accounts (entries + 2), nodes (10), dummies (1); or what the records take."""
    rows, items = totals + entries + 2 * accounts, accounts
    for _ in range(levels):
        nodes = max(1, -(-items // 8))
        rows += 10 * nodes + (8 * nodes - items)
        items = nodes
    return max(rows, record_rows * (accounts + 1))


def choose_log2_rows(
    accounts: int, entries: int, totals: int, previous: int | None = None, record_rows: int = 0
) -> int:
    """The published trace size.

    Args:
        totals: published totals of the statement. record_rows: of the circuit.
        previous: size of the publication before, kept while it fits and is not four times too large.

    Raises:
        InputError: the accounts do not fit in one proof.
    """
    for log2_rows in range(LOG2_ROWS_MIN, LOG2_ROWS_MAX + 1):
        capacity = (1 << log2_rows) - HIDDEN_ROWS
        need = rows_needed(accounts, entries, totals, levels_for(log2_rows), record_rows)
        if previous == log2_rows and need <= capacity:
            return log2_rows
        if previous is not None and previous > log2_rows and need > (1 << previous) // SHRINK_FACTOR:
            continue
        if need <= capacity - capacity // GROW_SLACK:
            return log2_rows
    raise InputError(
        got=f"{accounts} accounts with {entries} entries",
        expected=f"no more than one proof of 2^{LOG2_ROWS_MAX} rows holds (about 320,000 accounts with 3 entries)",
    )
