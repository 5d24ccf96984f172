"""The circuits by name. A registered circuit never changes: a new meaning is a new name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from circuits.gadgets.records import RecordLayout
from circuits.solvency import solvency_circuit
from verifier import solvency
from verifier.air import ConstraintSystem
from verifier.poseidon import INSTANCES


def records_of(name: str) -> RecordLayout | None:
    """The value records of a registered circuit."""
    known = solvency.CIRCUITS[name]
    return RecordLayout(known.lenses, known.record_rows) if known.lenses else None


CIRCUITS: Mapping[str, Callable[[], ConstraintSystem]] = MappingProxyType(
    {
        name: partial(solvency_circuit, name, records_of(name), INSTANCES[known.tree_hash])
        for name, known in solvency.CIRCUITS.items()
    }
)
