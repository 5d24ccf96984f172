"""The builder: what an author writes becomes nodes, once each, of the right degree and under labels of their own."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from circuits.builder import AirBuilder, Expr, total
from verifier.air import ALWAYS, FIRST, LAST, TRANSITION, ConstraintSystem, evaluate
from verifier.errors import InvariantBroken
from verifier.field import Ext, P, ext_add, ext_mul, ext_scale, ext_sub, lift

HERE, NEXT, PUBLIC = (3, 5, 7), {0: 11, 1: 13, 2: 17}, (19,)
SCALARS: tuple[Ext, ...] = ((2, 3, 5, 7, 11), (13, 17, 19, 23, 29), (31, 37, 41, 43, 47), (1, 1, 1, 1, 1))


def builder() -> AirBuilder:
    return AirBuilder(("a", "b", "c"), (("p", "zero"),))


def value(air: AirBuilder, expr: Expr) -> Ext:
    """The value of an expression at one made-up point."""
    air.require(TRANSITION, "it", expr)
    system = air.finish("one", 1)
    following = {column: lift(word) for column, word in NEXT.items()}
    values = evaluate(system, [lift(word) for word in HERE], following, [lift(word) for word in PUBLIC], SCALARS)
    return values[system.constraints[0].node]


def test_arithmetic_is_that_of_the_field() -> None:
    air = builder()
    a, b, c, p = air.row("a"), air.row("b"), air.next("c"), air.public("p")
    expr = (a + 2) * (3 - b) - c * p * -4 + 5 * a + (a - a) * c + 0 * b + 7
    assert value(air, expr) == lift((3 + 2) * (3 - 5) + 17 * 19 * 4 + 5 * 3 + 7)


def test_products_with_constants_make_no_node() -> None:
    air = builder()
    a = air.row("a")
    made = len(air._nodes)
    constant = Expr(air, 6, {})
    for expr in (a * 6, 6 * a, a * constant, constant * a):
        assert (expr.constant, expr.terms) == (0, {0: 6})
    assert (a * 0).terms == {} == (a * P).terms == (a - a).terms
    assert (constant * constant).constant == 36
    assert len(air._nodes) == made


def test_equal_nodes_are_made_once() -> None:
    air = builder()
    a, b = air.row("a"), air.row("b")
    first, second = (a + 1) * (b + 2), (b + 2) * (a + 1)
    assert first.terms == second.terms
    made = len(air._nodes)
    assert air.row("a").terms == a.terms
    assert air.power("r", 5).terms == air.power("r", 5).terms
    assert len(air._nodes) == made + 5  # r, r^2, r^3, r^4, r^5


def test_powers_polynomials_and_fingerprints() -> None:
    r, alpha, beta, _ = SCALARS
    air = builder()
    a, b = air.row("a"), air.row("b")
    r2, r4 = ext_mul(r, r), ext_mul(ext_mul(r, r), ext_mul(r, r))
    assert value(air, air.polynomial([a, 9, b], step=2)) == ext_add(
        ext_add(lift(3), ext_scale(r2, 9)), ext_scale(r4, 5)
    )
    air = builder()
    assert value(air, air.polynomial([1, 1], start=1)) == ext_add(r, r2)
    air = builder()
    tuple_ = ext_add(ext_add(lift(4), ext_scale(beta, 3)), ext_scale(ext_mul(beta, beta), 8))
    assert value(air, air.fingerprint(4, [air.row("a"), 8])) == ext_sub(alpha, tuple_)


def test_random_expressions_agree_with_integers() -> None:
    draw = random.Random(5)
    for _ in range(50):
        air = builder()
        leaves = [air.row(name) for name in "abc"] + [air.next("a"), air.public("p")]
        numbers = [*HERE, NEXT[0], PUBLIC[0]]
        expr, expected, degree = leaves[0], numbers[0], 1
        for _ in range(12):
            k = draw.randrange(len(leaves))
            step = draw.choice(("+", "-", "*", "scale", "shift")) if degree < 3 else draw.choice(("+", "-", "scale"))
            if step == "+":
                expr, expected = expr + leaves[k], expected + numbers[k]
            elif step == "-":
                expr, expected = leaves[k] - expr, numbers[k] - expected
            elif step == "*":
                expr, expected, degree = expr * leaves[k], expected * numbers[k], degree + 1
            else:
                c = draw.randrange(-5, P)
                expr, expected = (expr * c, expected * c) if step == "scale" else (c + expr, c + expected)
        assert value(air, expr) == lift(expected)


def test_degrees_and_next_rows_are_read_off_the_graph() -> None:
    air = builder()
    a, b, c = air.row("a"), air.next("b"), air.row("c")
    air.require(ALWAYS, "one", a + air.power("r", 9))
    air.require(TRANSITION, "three", a * b * c - a)
    system = air.finish("degrees", 0)
    assert [system.degrees[constraint.node] for constraint in system.constraints] == [1, 3]
    assert system.next_row_columns == (1,)


def test_labels_of_a_list_carry_its_index() -> None:
    air = builder()
    air.require_all(ALWAYS, "each", [air.row("a"), air.row("b")])
    assert [c.label for c in air.finish("list", 0).constraints] == ["each[0]", "each[1]"]


def refused(air: AirBuilder, match: str) -> None:
    with pytest.raises(InvariantBroken, match=match):
        air.finish("refused", 0)


def test_what_is_refused() -> None:
    air = builder()
    air.require(ALWAYS, "same", air.row("a"))
    air.require(ALWAYS, "same", air.row("b"))
    refused(air, "label is used twice")
    air = builder()
    air.require(ALWAYS, "too high", air.row("a") * air.row("a") * air.row("b") * air.row("c"))
    refused(air, "too high has degree above 3")
    for domain, reach in ((ALWAYS, "a"), (FIRST, "a"), (LAST, "b")):
        air = builder()
        air.require(domain, "looks ahead", air.next(reach))
        refused(air, "looks ahead reads the next row")
    for domain in (FIRST, LAST):
        air = builder()
        air.require(domain, "too high", air.row("a") * air.row("a") * air.row("b"))
        refused(air, "too high has degree above 2")
    air = builder()
    air.require("sometimes", "when", air.row("a"))
    refused(air, "when has degree")
    air = builder()
    for label in ("one", "two"):
        air.fraction(label, 1, air.fingerprint(1, [air.row("a")]))
    refused(air, "must be odd")
    air = builder()
    air.fraction("ahead", 1, air.fingerprint(1, [air.next("a")]))
    refused(air, "reads the next row")
    for wrong in ("row", "next", "public", "scalar"):
        with pytest.raises(ValueError, match=r"not in"):
            getattr(builder(), wrong)("unknown")


def bus() -> ConstraintSystem:
    air = builder()
    for name in "abc":
        air.fraction(f"look up {name}", 1, air.fingerprint(1, [air.row(name)]))
    air.accumulate("sum", air.row("a"), air.next("b"), air.next("c"))
    return air.finish("bus", 1)


def test_a_bus_closes_with_helpers_and_a_running_sum() -> None:
    system = bus()
    assert system.extension_columns == ("sum", "helper0", "running_sum")
    assert [(c.label, c.domain) for c in system.constraints] == [
        ("sum first", FIRST),
        ("sum step", TRANSITION),
        ("helper0 look up a + look up b", ALWAYS),
        ("running_sum first", FIRST),
        ("running_sum step", TRANSITION),
        ("running_sum last", LAST),
    ]
    assert system.value_tuple_width == 2
    assert [f.label for f in system.fractions] == ["look up a", "look up b", "look up c"]
    assert [a.column for a in system.accumulators] == ["sum"]


def test_a_system_survives_its_own_file_and_no_other() -> None:
    system = bus()
    assert ConstraintSystem.from_bytes(system.to_bytes()) == system
    assert ConstraintSystem.from_bytes(system.to_bytes()).digest == system.digest
    with pytest.raises(InvariantBroken, match="not canonical"):
        ConstraintSystem.from_bytes(system.to_bytes() + b"\n")
    forward = replace(system, nodes=(("product", 0, 1), *system.nodes[1:]))
    with pytest.raises(InvariantBroken, match="node 0 is malformed"):
        ConstraintSystem.from_bytes(forward.to_bytes())


def test_total_adds_up() -> None:
    air = builder()
    assert value(air, total([air.row("a"), air.row("b"), air.row("c")])) == lift(15)
