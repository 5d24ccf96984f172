"""Range checks on every active row of every kind: cells below 2^16, and bytes in pairs.

The tables are constrained counters on the same trace, so the verifier evaluates nothing of size 2^16 (02a finding 19).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from circuits.builder import AirBuilder
from circuits.buses import TAG_PAIR, TAG_U16
from verifier.air import FIRST, LAST, TRANSITION

TABLE_COLUMNS = ("mu_u16", "mu_pair", "mu_leg", "table_n", "table_high")


def require_counters(air: AirBuilder) -> None:
    """table_n counts 0 .. 65535 and table_high is its high byte; both may stand still, neither may skip."""
    n, high = air.row("table_n"), air.row("table_high")
    step, high_step = air.next("table_n") - n, air.next("table_high") - high
    air.require(FIRST, "table_n starts at 0", n)
    air.require(FIRST, "table_high starts at 0", high)
    air.require(TRANSITION, "table_n steps by 0 or 1", step * (step - 1))
    air.require(TRANSITION, "table_high steps by 0 or 1", high_step * (high_step - 1))
    air.require(TRANSITION, "table_high steps only with table_n", high_step * (step - 1))
    air.require(TRANSITION, "table_high steps only after a low byte of 255", high_step * (n - 256 * high - 255))
    air.require(LAST, "table_n ends at 65535", n - 65535)
    air.require(LAST, "table_high ends at 255", high - 255)


def look_up_cells(air: AirBuilder, u16_columns: Sequence[str], byte_pairs: Iterable[tuple[str, str]]) -> None:
    """Look up u cells, and bytes two by two: the tuple (one, other), never one + 256 * other."""
    for name in u16_columns:
        air.fraction(f"{name} is below 2^16", 1, air.fingerprint(TAG_U16, [air.row(name)]))
    for one, other in byte_pairs:
        tuple_ = [air.row(one), air.row(other)]
        air.fraction(f"{one}, {other} are bytes", 1, air.fingerprint(TAG_PAIR, tuple_))


def look_up_tables(air: AirBuilder) -> None:
    """The other side of all these lookups, with private multiplicities."""
    n, high_byte = air.row("table_n"), air.row("table_high")
    air.fraction("u16 table", -1 * air.row("mu_u16"), air.fingerprint(TAG_U16, [n]))
    pair = [n - 256 * high_byte, high_byte]
    air.fraction("byte pair table", -1 * air.row("mu_pair"), air.fingerprint(TAG_PAIR, pair))
