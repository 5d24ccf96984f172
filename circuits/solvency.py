"""The solvency circuits: every account counted, equity exact with its sign, totals exact, sums bound by the tree.

`solvency_equity_v1` has 200 base columns and 12 extension columns; entries + 2 + 10/7 rows per account. The risk and
stress circuits add value records beside the same rows (`gadgets.records`). The tree: docs/protocol.md, section 6.
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
from circuits.gadgets.outputs import LOSS_PUBLICS, OUTPUT_PUBLICS, require_outputs, sum_outputs
from circuits.gadgets.permutation import PERMUTATION_COLUMNS, require_permutation
from circuits.gadgets.ranges import TABLE_COLUMNS, look_up_cells, look_up_tables, require_counters
from circuits.gadgets.records import RECORD_PUBLICS, RecordLayout, accumulate_records, require_records
from circuits.gadgets.values import ROW_POLYNOMIAL_DEGREE, accumulate_values, require_liability
from verifier.air import ConstraintSystem
from verifier.poseidon import DEFAULT, Instance
from verifier.solvency import LENS_POSITIONS

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
PUBLICS = (*OUTPUT_PUBLICS, *LEG_PUBLICS)


def solvency_circuit(name: str, records: RecordLayout | None = None, instance: Instance = DEFAULT) -> ConstraintSystem:
    """The circuit over the given instance of the tree hash, with or without value records."""
    columns = COLUMNS if records is None else (*COLUMNS, *records.columns)
    air = AirBuilder(columns, PUBLICS if records is None else (*PUBLICS, *RECORD_PUBLICS, *LOSS_PUBLICS))
    lenses = 0 if records is None else records.lenses
    require_permutation(air, instance)
    require_selectors(air)
    require_chaining(air)
    require_value_row(air)
    require_entries(air)
    require_liability(air)
    require_outputs(air, lenses)
    require_counters(air)
    accumulate_values(air)
    if records is not None:
        require_records(air, records)
        accumulate_records(air, records)
        look_up_cells(air, records.cells("low"), zip(records.cells("byte"), records.cells("high"), strict=True))
    look_up_cells(air, U16_COLUMNS, zip(BYTE_COLUMNS[::2], BYTE_COLUMNS[1::2], strict=True))
    look_up_tables(air)
    look_up_legs(air, () if records is None else records.digits)
    link_tree(air)
    sum_outputs(air, lenses)
    return air.finish(name, ROW_POLYNOMIAL_DEGREE + LENS_POSITIONS * lenses)
