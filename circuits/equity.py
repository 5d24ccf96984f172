"""`solvency_equity_v1`: every account counted, equity exact with its sign, totals exact, sums bound by the tree.

200 base columns and 12 extension columns; entries + 2 + 10/7 rows per account. The tree: docs/protocol.md, section 6.
"""

from __future__ import annotations

from circuits.builder import AirBuilder
from circuits.gadgets.chains import (
    DIGIT_COLUMNS,
    SELECTOR_COLUMNS,
    link_tree,
    require_chaining,
    require_selectors,
    require_value_row,
)
from circuits.gadgets.entries import CAP_COLUMNS, LEG_PUBLICS, look_up_legs, require_entries
from circuits.gadgets.permutation import PERMUTATION_COLUMNS, require_permutation
from circuits.gadgets.ranges import TABLE_COLUMNS, look_up_cells, require_counters
from circuits.gadgets.values import ROW_POLYNOMIAL_DEGREE, accumulate_values, require_liability, sum_totals
from verifier.air import ConstraintSystem
from verifier.poseidon import DEFAULT, Instance

BYTE_COLUMNS = tuple(f"y{i}" for i in range(8))
U16_COLUMNS = tuple(f"u{i}" for i in range(10))
COLUMNS = (
    *PERMUTATION_COLUMNS,
    *SELECTOR_COLUMNS,
    "level",
    "count",
    *BYTE_COLUMNS,
    *U16_COLUMNS,
    "total_id",
    *CAP_COLUMNS,
    *DIGIT_COLUMNS,
    *TABLE_COLUMNS,
)
PUBLICS = (("is_total_row", "zero"), ("total_row_id", "zero"), *((name, "last") for name in LEG_PUBLICS))


def solvency_equity(name: str, instance: Instance = DEFAULT) -> ConstraintSystem:
    """The circuit over the given instance of the tree hash."""
    air = AirBuilder(COLUMNS, PUBLICS)
    require_permutation(air, instance)
    require_selectors(air)
    require_chaining(air)
    require_value_row(air)
    require_entries(air)
    require_liability(air)
    require_counters(air)
    accumulate_values(air)
    look_up_cells(air, U16_COLUMNS, BYTE_COLUMNS)
    look_up_legs(air)
    link_tree(air)
    sum_totals(air)
    return air.finish(name, ROW_POLYNOMIAL_DEGREE)
