"""A key file: what a constraint system may be, refused at import where it is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.verifier.toy_circuits import fibonacci, ledger
from verifier.air import ALWAYS, FIRST, ConstraintSystem
from verifier.errors import InvariantBroken

SYSTEM = ledger().relation.system


def test_a_key_file_reads_back() -> None:
    for system in (SYSTEM, fibonacci().relation.system):
        assert ConstraintSystem.from_bytes(system.to_bytes()).digest == system.digest


def next_row(raw: dict[str, Any]) -> int:
    """A node that reads the next row."""
    raw["nodes"].append(["column", 0, 1])
    return len(raw["nodes"]) - 1


def product_with_next_row(first: int) -> Callable[[dict[str, Any]], int]:
    """The first or the second factor reads the next row."""

    def make(raw: dict[str, Any]) -> int:
        later = next_row(raw)
        raw["nodes"].append(["product", later, 0] if first else ["product", 0, later])
        return len(raw["nodes"]) - 1

    return make


def sum_with_next_row(raw: dict[str, Any]) -> int:
    raw["nodes"].append(["linear", 0, [[1, 0], [1, next_row(raw)]]])
    return len(raw["nodes"]) - 1


def cube(raw: dict[str, Any]) -> int:
    """A node of degree three."""
    raw["nodes"] += [["column", 0, 0], ["product", len(raw["nodes"]), len(raw["nodes"])]]
    raw["nodes"].append(["product", len(raw["nodes"]) - 1, len(raw["nodes"]) - 2])
    return len(raw["nodes"]) - 1


def sum_with_a_cube(raw: dict[str, Any]) -> int:
    """A node whose degree is that of its highest part."""
    raw["nodes"].append(["linear", 0, [[1, cube(raw)], [1, 0]]])
    return len(raw["nodes"]) - 1


def constraint(domain: str, make: Callable[[dict[str, Any]], int]) -> Callable[[dict[str, Any]], object]:
    return lambda raw: raw["constraints"].append(["one more", domain, make(raw)])


def fraction(part: int) -> Callable[[dict[str, Any]], object]:
    def change(raw: dict[str, Any]) -> None:
        raw["fractions"][0][part] = next_row(raw)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw["nodes"].append(["column", 99, 0]), "is malformed"),
        (lambda raw: raw["nodes"].append(["column", -1, 0]), "is malformed"),
        (lambda raw: raw["nodes"].append(["product", 0, -1]), "is malformed"),
        (lambda raw: raw["nodes"].append(["linear", 0, [[1, -1]]]), "is malformed"),
        (lambda raw: raw["nodes"].append(["column", 0, 2]), "is malformed"),
        (lambda raw: raw["nodes"].append(["product", 0, len(raw["nodes"])]), "is malformed"),
        (lambda raw: raw["publics"].__setitem__(0, [raw["publics"][0][0], "twos"]), "padded in an unknown way"),
        (lambda raw: raw["constraints"].append(list(raw["constraints"][0])), "used twice"),
        (constraint("sometimes", lambda raw: 0), "has degree above"),
        (constraint(FIRST, cube), "has degree above 2"),
        (constraint(FIRST, sum_with_a_cube), "has degree above 2"),
        (constraint(ALWAYS, next_row), "reads the next row, but is no transition"),
        (constraint(ALWAYS, product_with_next_row(0)), "reads the next row, but is no transition"),
        (constraint(ALWAYS, product_with_next_row(1)), "reads the next row, but is no transition"),
        (constraint(ALWAYS, sum_with_next_row), "reads the next row, but is no transition"),
        (fraction(1), "reads the next row"),
        (fraction(2), "reads the next row"),
    ],
)
def test_systems_that_are_none(change: Callable[[dict[str, Any]], object], message: str) -> None:
    raw = json.loads(SYSTEM.to_bytes())
    change(raw)
    data = json.dumps(raw, separators=(",", ":"), sort_keys=True).encode() + b"\n"
    with pytest.raises(InvariantBroken, match=message):
        ConstraintSystem.from_bytes(data)


def test_a_cube_is_allowed_where_two_factors_are_divided_out() -> None:
    raw = json.loads(SYSTEM.to_bytes())
    constraint(ALWAYS, cube)(raw)
    ConstraintSystem.from_bytes(json.dumps(raw, separators=(",", ":"), sort_keys=True).encode() + b"\n")


def test_another_spelling_of_a_key_is_refused() -> None:
    with pytest.raises(InvariantBroken, match="not canonical"):
        ConstraintSystem.from_bytes(SYSTEM.to_bytes() + b"\n")
