"""The verifier's field against galois, an implementation that shares nothing with it."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

import galois
import pytest

from verifier import field
from verifier.field import Ext, P

EDGES = (0, 1, 2, P // 2, P // 2 + 1, P - 2, P - 1)
ONE: Ext = (1, 0, 0, 0, 0)


@cache
def base() -> Any:
    return galois.GF(P, compile="python-calculate")


@cache
def modulus() -> Any:
    return galois.Poly([1, 0, 0, 1, 0, P - 1], field=base())  # X^5 + X^2 - 1


def polynomial(element: Ext) -> Any:
    return galois.Poly(base()(list(reversed(element))))


def elements(count: int) -> list[Ext]:
    draw = random.Random(8)
    out: list[Ext] = [tuple(draw.randrange(P) for _ in range(5)) for _ in range(count)]  # type: ignore[misc]
    return [*out, ONE, (0, 1, 0, 0, 0), (P - 1,) * 5, (0, 0, 0, 0, P - 1), tuple(draw.choices(EDGES, k=5))]  # type: ignore[list-item]


def words(remainder: Any) -> Ext:
    coefficients = [int(c) for c in reversed(remainder.coeffs)]
    return tuple([*coefficients, 0, 0, 0, 0][:5])  # type: ignore[return-value]


def test_the_constants_are_what_they_are_called() -> None:
    assert galois.is_prime(P)
    assert galois.is_primitive_root(field.GENERATOR, P)
    assert (P - 1) % 2**field.TWO_ADICITY == 0
    assert (P - 1) >> field.TWO_ADICITY & 1
    assert int(base()(field.GENERATOR) ** 127) == field.TWO_ADIC_ROOT
    assert modulus().is_irreducible()


@pytest.mark.parametrize("log2_order", [0, 1, 9, 17, 24])
def test_roots_of_unity_have_their_order(log2_order: int) -> None:
    root = base()(field.root_of_unity(log2_order))
    assert root ** (1 << log2_order) == 1
    assert log2_order == 0 or root ** (1 << log2_order >> 1) == P - 1
    assert log2_order == 24 or root == base()(field.root_of_unity(log2_order + 1)) ** 2


def test_sums_and_products() -> None:
    drawn = elements(20)
    for a, b in zip(drawn, reversed(drawn), strict=True):
        assert polynomial(field.ext_add(a, b)) == polynomial(a) + polynomial(b)
        assert polynomial(field.ext_sub(a, b)) == polynomial(a) - polynomial(b)
        assert field.ext_mul(a, b) == words(polynomial(a) * polynomial(b) % modulus())
        assert field.ext_scale(a, b[0]) == words(polynomial(a) * polynomial(field.lift(b[0])))


def test_inverses_and_powers() -> None:
    for a in elements(10):
        assert field.ext_mul(a, field.ext_inverse(a)) == ONE
        gcd, inverse, _ = galois.egcd(polynomial(a), modulus())
        assert gcd == polynomial(ONE)
        assert field.ext_inverse(a) == words(inverse % modulus())
        assert field.ext_pow(a, 11) == words(pow(polynomial(a), 11, modulus()))
    assert field.ext_pow(field.ext_zero, 0) == ONE
    assert field.ext_batch_inverse(elements(5)) == [field.ext_inverse(a) for a in elements(5)]
    assert field.ext_batch_inverse([]) == []
    for values in ([field.ext_zero], [ONE, field.ext_zero, ONE]):
        with pytest.raises(ZeroDivisionError):
            field.ext_batch_inverse(values)


def test_horner() -> None:
    coefficients, point = elements(6), elements(1)[0]
    expected, power = field.ext_zero, ONE
    for coefficient in coefficients:
        expected = field.ext_add(expected, field.ext_mul(coefficient, power))
        power = field.ext_mul(power, point)
    assert field.ext_horner(coefficients, point) == expected
    assert field.ext_horner([], point) == field.ext_zero


def test_every_element_of_the_base_field_lifts_to_its_residue() -> None:
    for word in (*EDGES, P, P + 1, -1, 2**64):
        assert field.lift(word) == (word % P, 0, 0, 0, 0)
