"""The circuits by name. A registered circuit never changes: a new meaning is a new name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from circuits.equity import solvency_equity
from verifier.air import ConstraintSystem
from verifier.poseidon import INSTANCES

CIRCUITS: Mapping[str, Callable[[], ConstraintSystem]] = MappingProxyType(
    {
        "solvency_equity_v1": lambda: solvency_equity("solvency_equity_v1"),
        "solvency_equity_v1_poseidon2": lambda: solvency_equity(
            "solvency_equity_v1_poseidon2", INSTANCES["poseidon2-koalabear-16"]
        ),
    }
)
