"""The circuit with some of its rules switched off: the control that shows what alone stops a forgery."""

from __future__ import annotations

from functools import cache
from unittest.mock import patch

from circuits import registry, solvency
from circuits.builder import AirBuilder, Expr
from tests.malicious.forge import EQUITY
from verifier.air import ConstraintSystem


@cache
def system_without(*rules: str, circuit: str = EQUITY) -> ConstraintSystem:
    """A registered circuit in which the named fractions count nothing and the named constraints are not there."""
    left = set(rules)

    class Weakened(AirBuilder):
        def fraction(self, label: str, numerator: Expr | int, denominator: Expr) -> None:
            left.discard(label)
            super().fraction(label, 0 if label in rules else numerator, denominator)

        def require(self, domain: str, label: str, expr: Expr) -> None:
            left.discard(label)
            if label not in rules:
                super().require(domain, label, expr)

    with patch.object(solvency, "AirBuilder", Weakened):
        name = f"{circuit} without {', '.join(rules)}"
        system = solvency.solvency_circuit(name, registry.records_of(circuit))
    assert not left, f"no such rules: {left}"
    return system
