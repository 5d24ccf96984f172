"""Worked examples of venues: each agrees with the rules, or stands in the table of deviations with its reason."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import tests.exchange.rules.order_book_venue_rules  # noqa: F401 - puts its rules into RULES
from tests.exchange.rules.venue_rules import RULES

VECTORS = Path(__file__).parent.parent / "vectors"
FILE = json.loads((VECTORS / "venue_examples.json").read_text(encoding="utf-8"))
EXAMPLES: list[dict[str, Any]] = FILE["examples"]
DEVIATIONS: dict[str, dict[str, Any]] = {
    row["id"]: row for row in json.loads((VECTORS / "deviations.json").read_text(encoding="utf-8"))["deviations"]
}
COUNT = 169
"""Examples in all, with those that cannot be shipped."""


def agree(expected: Any, found: Any, tolerance: float) -> bool:
    """Whether a result has the expected numbers; a mapping may hold more than is expected."""
    if isinstance(expected, dict):
        return all(agree(one, found[name], tolerance) for name, one in expected.items())
    if isinstance(expected, list):
        return len(expected) == len(found) and all(
            agree(one, other, tolerance) for one, other in zip(expected, found, strict=True)
        )
    if (isinstance(expected, str) and "/" not in expected) or isinstance(found, str):
        return bool(expected == found)
    return abs(Fraction(str(expected)) - Fraction(found)) <= Fraction(str(tolerance))


def result(example: dict[str, Any]) -> Any:
    group = example["id"].partition("/")[0]
    inputs = {"env": FILE["dydx_environment"], **example["inputs"]}
    found = RULES[group](inputs)
    if group == "deribit.index_capped_median" and not isinstance(example["expected"], dict):
        return found["mean"]
    return found


@pytest.mark.parametrize("example", EXAMPLES, ids=[example["id"] for example in EXAMPLES])
def test_example(example: dict[str, Any]) -> None:
    found = result(example)
    deviation = DEVIATIONS.get(example["id"])
    if deviation is None:
        assert agree(example["expected"], found, example["tolerance"]), (example["expected"], found)
    else:
        assert found == deviation["ours"]
        assert not agree(example["expected"], found, example["tolerance"]), "it agrees: take it out of the table"


def test_every_example_is_shipped_or_listed_with_a_reason() -> None:
    ids = [example["id"] for example in EXAMPLES]
    assert len(set(ids)) == len(ids)
    held_back = set(DEVIATIONS) - set(ids)
    assert len(ids) + len(held_back) == COUNT
    assert all(DEVIATIONS[name]["ours"] is None for name in held_back)
    assert all(len(row["reason"]) > 20 for row in DEVIATIONS.values())
    assert {name.partition("/")[0] for name in ids} == set(RULES)


def test_the_table_of_deviations_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    by_id = {example["id"]: example for example in EXAMPLES}
    with capsys.disabled():
        print(f"\n{len(EXAMPLES) - len(set(DEVIATIONS) & set(by_id))} of {COUNT} worked examples agree; the others:")
        for name, row in sorted(DEVIATIONS.items()):
            expected = by_id[name]["expected"] if name in by_id else "-"
            print(f"  {name}: source {expected}, ours {row['ours']}. {row['reason']}")


def test_the_comparison_can_fail() -> None:
    assert not agree(1, Fraction(2), 0.5)
    assert not agree([1], [1, 2], 0)
    assert not agree("error", 3, 0)
    assert agree("1/3", Fraction(1, 3), 0)
