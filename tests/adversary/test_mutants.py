"""The mutation tool changes what it should, takes each change back, and estimates with the right interval."""

from __future__ import annotations

import ast

import pytest

from tests.adversary.mutation_results import EXPLAINED, explanations, in_rounds, interval, modules, population
from tests.adversary.operators import mutants_of

SOURCE = '''
"""Text."""
LIMIT: int = 3

class Box:
    def get(self, word: str, start=0) -> str:
        """Text."""
        if start < LIMIT and not word:
            raise ValueError(Reason.A, "text 1")
        check(start)
        for left, right in zip(word, word, strict=True):
            start += 2
        return word[start:]
'''
CHANGES = """
- | constant | 3 -> 4
- | constant | 0 -> 1
Box.get | condition | start < LIMIT and (not word) -> True
Box.get | condition | start < LIMIT and (not word) -> False
Box.get | boolean | start < LIMIT and (not word) -> start < LIMIT or not word
Box.get | operand | start < LIMIT and (not word) -> not word
Box.get | operand | start < LIMIT and (not word) -> start < LIMIT
Box.get | compare | start < LIMIT -> start <= LIMIT
Box.get | unary | not word -> word
Box.get | reason | Reason.A -> Reason.MALFORMED
Box.get | delete | check(start) -> pass
Box.get | delete | start += 2 -> pass
Box.get | arithmetic | start += 2 -> start -= 2
Box.get | constant | 2 -> 3
Box.get | return | word[start:] -> None
Box.get | slice | start -> start + 1
Box.get | slice | start: -> start:-1
"""


def test_every_change_is_made_and_taken_back() -> None:
    tree = ast.parse(SOURCE)
    plain = ast.dump(tree)
    found = mutants_of("box.py", tree)
    assert [mutant.text.removeprefix("box.py | ") for mutant in found] == CHANGES.strip().splitlines()
    seen = set()
    for mutant in found:
        with mutant.applied():
            seen.add(ast.dump(tree))
            compile(tree, "box.py", "exec")
        assert ast.dump(tree) == plain
    assert len(seen) == len(found)


def test_every_module_is_tried_to_the_same_share() -> None:
    mutants = {file: found for file, (_, found) in population(modules("verifier", ["*/merkle.py", "*/fri.py"])).items()}
    order = [mutant.key for mutant in in_rounds(mutants)]
    assert len(set(order)) == len(order) == sum(map(len, mutants.values()))
    first = order[: len(order) // 2]
    for found in mutants.values():
        share = sum(mutant.key in first for mutant in found) / len(found)
        assert share == pytest.approx(0.5, abs=0.1)


def test_interval() -> None:
    low, high = interval(95, 100, 10**6)
    assert (round(low, 3), round(high, 3)) == (0.888, 0.978)  # Wilson's, from tables
    assert interval(95, 100, 100) == (0.95, 0.95)
    assert low < interval(95, 100, 200)[0] < interval(95, 100, 200)[1] < high


def test_explained_survivors_are_mutants() -> None:
    """An explanation does not outlive the line that it is about."""
    named = explanations()
    files = sorted({key.split(" | ")[0] for key in named})
    known = {mutant.key for _, found in population(files).values() for mutant in found}
    assert named.keys() <= known, f"{EXPLAINED.name}: {sorted(named.keys() - known)}"
