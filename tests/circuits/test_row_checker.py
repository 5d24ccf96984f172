"""The row checker: names the row and the label, reads every kind of constraint, and only where it holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from circuits.builder import AirBuilder
from circuits.check import Violation, Witness, check_buses, check_rows, public_matrix, terminal_of
from verifier.air import ALWAYS, FIRST, LAST, TRANSITION, ConstraintSystem
from verifier.errors import InvariantBroken
from verifier.field import Ext, ext_add, ext_inverse, ext_mul, ext_scale, ext_sub, lift

ROWS, ACTIVE = 16, 12
R, ALPHA, BETA, TERMINAL = (3, 1, 4, 1, 5), (9, 2, 6, 5, 3), (5, 8, 9, 7, 9), (0, 0, 0, 0, 0)
SCALARS: tuple[Ext, ...] = (R, ALPHA, BETA, TERMINAL)


def counter() -> ConstraintSystem:
    """n counts, `square` holds its square, `public` is the row number; numbers are looked up in the public column."""
    air = AirBuilder(("n", "square", "times"), (("public", "last"),))
    n, square = air.row("n"), air.row("square")
    air.require(FIRST, "starts at 0", n)
    air.require(TRANSITION, "counts", air.next("n") - n - 1)
    air.require(LAST, "ends at 11", n - 11)
    air.require(ALWAYS, "square", n * n - square)
    air.accumulate("horner", n, air.scalar("r"), air.next("n"))
    air.fraction("number", 1, air.fingerprint(1, [n]))
    air.fraction("table", -1 * air.row("times"), air.fingerprint(1, [air.public("public")]))
    air.fraction("square of", air.row("times"), air.fingerprint(2, [square]))
    return air.finish("counter", 1)


SYSTEM = counter()


def witness(**changes: tuple[int, int]) -> Witness:
    """The honest trace; `column=(row, value)` changes one cell. Rows from ACTIVE on hold nonsense."""
    n = np.arange(ROWS)
    base = np.stack([n, n * n, np.ones(ROWS, np.int64)]).astype(np.uint32)
    base[:, ACTIVE:] = 77
    for name, (row, value) in changes.items():
        base[SYSTEM.columns.index(name), row] = value
    return Witness(base, public_matrix(SYSTEM, {"public": range(ACTIVE)}, ROWS), ACTIVE, SCALARS)


def horner(extra: tuple[int, Ext] | None = None) -> np.ndarray[tuple[int, int], np.dtype[np.uint32]]:
    """Extension columns: the accumulator is right, the others are zero; `extra` changes one value."""
    out, value = np.zeros((5 * len(SYSTEM.extension_columns), ROWS), np.uint32), lift(0)
    for row in range(ACTIVE):
        value = ext_add(ext_mul(value, R), lift(row)) if row else lift(0)
        out[:5, row] = value
    if extra is not None:
        row, delta = extra
        out[:5, row] = ext_add((*(int(x) for x in out[:5, row]),), delta)  # type: ignore[arg-type]
    return out


def test_an_honest_trace_has_nothing_to_name() -> None:
    assert check_rows(SYSTEM, witness()) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"square": (0, 1)}, [(0, "square")]),
        ({"square": (5, 0)}, [(5, "square")]),
        ({"square": (ACTIVE - 1, 0)}, [(ACTIVE - 1, "square")]),
        ({"n": (0, 7), "square": (0, 49)}, [(0, "counts"), (0, "starts at 0")]),
        ({"n": (4, 7), "square": (4, 49)}, [(3, "counts"), (4, "counts")]),
        ({"n": (11, 3), "square": (11, 9)}, [(10, "counts"), (11, "ends at 11")]),
        ({"square": (ACTIVE, 1), "n": (ACTIVE, 5)}, []),
    ],
)
def test_row_and_label_are_named(changes: dict[str, tuple[int, int]], expected: list[tuple[int, str]]) -> None:
    assert check_rows(SYSTEM, witness(**changes)) == [Violation(row, label) for row, label in expected]


def test_a_violation_reads_as_a_line() -> None:
    assert str(Violation(12, "square")) == "row 12: square"


def test_no_more_than_the_limit() -> None:
    wrong = witness()
    wrong.base[1, :ACTIVE] += 1
    assert [v.row for v in check_rows(SYSTEM, wrong)] == list(range(ACTIVE))
    assert [v.row for v in check_rows(SYSTEM, wrong, limit=3)] == [0, 1, 2]


def test_extension_columns_are_checked_when_they_are_there() -> None:
    accumulator = {"horner first", "horner step"}
    assert not accumulator & {v.label for v in check_rows(SYSTEM, replace(witness(), extension=horner()), 1000)}
    for row, expected in ((0, [(0, "horner first"), (0, "horner step")]), (6, [(r, "horner step") for r in (5, 6)])):
        found = check_rows(SYSTEM, replace(witness(), extension=horner((row, (0, 0, 0, 0, 1)))), 1000)
        assert [v for v in found if v.label in accumulator] == [Violation(*item) for item in expected]


def supplied() -> list[tuple[Ext, Ext]]:
    """What the squares sum up to: one fraction each."""
    return [(lift(1), ext_sub(ext_sub(ALPHA, lift(2)), ext_scale(BETA, row * row))) for row in range(ACTIVE)]


def test_buses_balance_or_name_the_first_row_that_touches_the_tuple() -> None:
    assert check_buses(SYSTEM, witness(), supplied()) == []
    assert check_buses(SYSTEM, witness(n=(4, 5)), supplied()) == [Violation(4, "number"), Violation(4, "table")]
    assert check_buses(SYSTEM, witness(square=(4, 17)), supplied()) == [
        Violation(-1, "verifier's fraction 4"),
        Violation(4, "square of"),
    ]
    assert check_buses(SYSTEM, witness(times=(4, 2)), supplied()) == [Violation(4, "number"), Violation(4, "square of")]
    assert check_buses(SYSTEM, witness(times=(ACTIVE, 9)), supplied()) == []
    more = [*supplied(), (lift(1), (1, 2, 3, 4, 5))]
    assert check_buses(SYSTEM, witness(), more) == [Violation(-1, "verifier's fraction 12")]
    assert len(check_buses(SYSTEM, witness(), [], limit=5)) == 5


def test_the_terminal_is_the_sum_of_the_fractions() -> None:
    one, two = ((1, 2, 3, 4, 5), (5, 4, 3, 2, 1)), ((7, 0, 0, 0, 0), (0, 1, 0, 0, 0))
    expected = ext_add(ext_mul(one[0], ext_inverse(one[1])), ext_mul(two[0], ext_inverse(two[1])))
    assert terminal_of([one, two]) == expected
    assert terminal_of([]) == lift(0)
    with pytest.raises(ZeroDivisionError):
        terminal_of([one, (lift(1), lift(0))])


def test_public_columns_are_padded_as_they_say() -> None:
    air = AirBuilder(("a",), (("zeros", "zero"), ("stays", "last"), ("again", "repeat"), ("one", "repeat")))
    air.require(ALWAYS, "a", air.row("a"))
    system = air.finish("padded", 0)
    given = {"zeros": [5, 6], "stays": [7, 8], "again": [9, 1], "one": [4]}
    expected = [[5, 6, 0, 0], [7, 8, 8, 8], [9, 1, 9, 1], [4, 4, 4, 4]]
    assert public_matrix(system, given, 4).tolist() == expected
    wrong = AirBuilder(("a",), (("zeros", "sometimes"),))
    wrong.require(ALWAYS, "a", wrong.row("a"))
    with pytest.raises(InvariantBroken, match="padded in an unknown way"):
        wrong.finish("padded", 0)


def test_a_public_column_of_extension_elements() -> None:
    """Its five coordinates are columns; x, the field's generator, puts them together."""
    air = AirBuilder(("a",), tuple((f"e{k}", "repeat") for k in range(5)))
    air.require(ALWAYS, "a is e", air.row("a") - air.extension_public("e"))
    system = air.finish("extension", 0)
    publics = public_matrix(system, {f"e{k}": [7, (0, 3)[k == 2]] for k in range(5)}, 4)
    publics[1:, 0] = 0
    scalars = tuple((0, 1, 0, 0, 0) if name == "x" else (0, 0, 0, 0, 0) for name in system.scalars)
    base = np.array([[7, 0, 7, 0]], np.uint32)
    found = check_rows(system, Witness(base, publics, 4, scalars, np.zeros((0, 4), np.uint32)))
    assert [v.row for v in found] == [1, 2, 3]  # (0, 0, 3, 0, 0), and twice an element with more than its first word
    publics[1:, 2], publics[:, (1, 3)] = 0, 0
    assert check_rows(system, Witness(base, publics, 4, scalars, np.zeros((0, 4), np.uint32))) == []
