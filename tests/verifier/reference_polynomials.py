"""Polynomials over the field and its extension in plain Python, for the slow twin of the prover."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TypeAlias, TypeGuard

from verifier.field import (
    EXTENSION_DEGREE,
    Ext,
    P,
    ext_add,
    ext_mul,
    ext_scale,
    ext_sub,
    ext_zero,
    lift,
    root_of_unity,
)

Words: TypeAlias = list[int]
Exts: TypeAlias = list[Ext]
Vector: TypeAlias = Words | Exts


@cache
def powers(root: int, count: int) -> Words:
    """root^0 .. root^(count - 1)."""
    out = [1]
    while len(out) < count:
        out.append(out[-1] * root % P)
    return out


@cache
def twiddles(root: int, size: int) -> list[Words]:
    """Per stage of `ntt`, for each of its size / 2 butterflies, the factor of the difference."""
    line, stages = powers(root, size // 2), []
    width = 1
    while width < size:
        stages.append([line[i - i % width] for i in range(size // 2)])
        width *= 2
    return stages


def ntt(coefficients: Words, root: int) -> Words:
    """Values at root^0, root^1, ..; root has the order of the length (Stockham: sorted at every stage)."""
    size, half, values = len(coefficients), len(coefficients) // 2, coefficients
    for stage, factors in enumerate(twiddles(root, size)):
        width, low, high = 1 << stage, values[:half], values[half:]
        sums = [(a + b) % P for a, b in zip(low, high, strict=True)]
        differences = [(a - b) * w % P for a, b, w in zip(low, high, factors, strict=True)]
        values = []
        for i in range(0, half, width):
            values += sums[i : i + width]
            values += differences[i : i + width]
    return values


def values_on(coefficients: Words, shift: int, size: int) -> Words:
    """Values at shift * w^i, w of order `size`, a power of two >= the number of coefficients."""
    scaled, power = [], 1
    for coefficient in coefficients:
        scaled.append(coefficient * power % P)
        power = power * shift % P
    return ntt(scaled + [0] * (size - len(scaled)), root_of_unity(size.bit_length() - 1))


def interpolate(values: Words, shift: int = 1) -> Words:
    """Coefficients of the polynomial with these values at shift * w^i."""
    size = len(values)
    raw = ntt(values, pow(root_of_unity(size.bit_length() - 1), -1, P))
    inverse, power = pow(shift, -1, P), pow(size, -1, P)
    out = []
    for word in raw:
        out.append(word * power % P)
        power = power * inverse % P
    return out


def coordinates(elements: Sequence[Ext]) -> list[Words]:
    """(elements) -> (5 coordinates, elements)."""
    return [[element[k] for element in elements] for k in range(EXTENSION_DEGREE)]


def elements(columns: Sequence[Words]) -> Exts:
    """Undoes `coordinates`."""
    return list(zip(*columns, strict=True))


def ext_values_on(coefficients: Exts, shift: int, size: int) -> Exts:
    return elements([values_on(column, shift, size) for column in coordinates(coefficients)])


def ext_interpolate(values: Exts, shift: int = 1) -> Exts:
    return elements([interpolate(column, shift) for column in coordinates(values)])


def split(words: Words, size: int) -> list[Words]:
    return [words[i : i + size] for i in range(0, len(words), size)]


def add_polynomials(*polynomials: Exts) -> Exts:
    out = [ext_zero] * max(map(len, polynomials))
    for polynomial in polynomials:
        for i, coefficient in enumerate(polynomial):
            out[i] = ext_add(out[i], coefficient)
    return out


def shift_up(polynomial: Exts, count: int) -> Exts:
    """Times X^count."""
    return [ext_zero] * count + polynomial


def negate(polynomial: Exts) -> Exts:
    return [ext_sub(ext_zero, coefficient) for coefficient in polynomial]


# Constraint nodes over many points at once: a vector of words where no challenge is involved, of elements otherwise.


def as_elements(vector: Vector) -> Exts:
    return [lift(x) if isinstance(x, int) else x for x in vector]


def only_words(vector: Vector) -> TypeGuard[Words]:
    return isinstance(vector[0], int)


def multiply(a: Vector, b: Vector) -> Vector:
    if only_words(a) and only_words(b):
        return [x * y % P for x, y in zip(a, b, strict=True)]
    return [ext_mul(x, y) for x, y in zip(as_elements(a), as_elements(b), strict=True)]


def linear(constant: int, terms: Sequence[tuple[int, Vector]], size: int) -> Vector:
    words, total = [constant] * size, [ext_zero] * size
    for c, vector in terms:
        if only_words(vector):
            words = [(x + c * y) % P for x, y in zip(words, vector, strict=True)]
        else:
            total = [ext_add(x, ext_scale(y, c)) for x, y in zip(total, as_elements(vector), strict=True)]
    if all(only_words(vector) for _, vector in terms):
        return words
    return [ext_add(x, lift(y)) for x, y in zip(total, words, strict=True)]
