"""Polynomials and a circuit's nodes on whole domains in plain Python, for the slow twin of the prover."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import TypeAlias, TypeGuard

from verifier.air import ALWAYS, FIRST, LAST, TRANSITION, ConstraintSystem
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
from verifier.params import HIDDEN_ROWS

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


def evaluate_nodes(
    system: ConstraintSystem,
    wanted: Iterable[int],
    columns: Sequence[Vector],
    step: int,
    publics: Sequence[Words],
    scalars: Sequence[Ext],
) -> dict[int, Vector]:
    """Values of the wanted nodes, and of those below them, at every point.

    Args:
        columns: values of each column, base and extension, at every point; what no wanted node reads may be missing.
        step: the next row of point i is point i + step, cyclically.
    """
    size = len(columns[0])
    needed = set(wanted)
    for index in range(len(system.nodes) - 1, -1, -1):
        node = system.nodes[index]
        if index in needed and node[0] == "linear":
            needed.update(child for _, child in node[2])
        elif index in needed and node[0] == "product":
            needed.update(node[1:])
    out: dict[int, Vector] = {}
    for index in sorted(needed):
        node = system.nodes[index]
        if node[0] == "column":
            column, offset = columns[node[1]], step * node[2]
            out[index] = [*column[offset:], *column[:offset]]
        elif node[0] == "public":
            out[index] = publics[node[1]]
        elif node[0] == "scalar":
            out[index] = [scalars[node[1]]] * size
        elif node[0] == "linear":
            out[index] = linear(node[1], [(c, out[child]) for c, child in node[2]], size)
        else:
            out[index] = multiply(out[node[1]], out[node[2]])
    return out


@cache
def domain_multipliers_on(log2_rows: int, shift: int, size: int) -> dict[str, Words]:
    """Multiplier of each kind of constraint at shift * w^i, w of order `size`."""
    rows, root = 1 << log2_rows, root_of_unity(log2_rows)
    points = [shift * power % P for power in powers(root_of_unity(size.bit_length() - 1), size)]
    hidden = [1]  # the product of (X - w_N^i) over the hidden rows, lowest coefficient first
    for i in range(rows - HIDDEN_ROWS, rows):
        row = pow(root, i, P)
        hidden = [(a - row * b) % P for a, b in zip([0, *hidden], [*hidden, 0], strict=True)]
    numerators = values_on(hidden, shift, size)
    always = [h * pow(pow(x, rows, P) - 1, -1, P) % P for h, x in zip(numerators, points, strict=True)]
    last = pow(root, rows - HIDDEN_ROWS - 1, P)
    return {
        ALWAYS: always,
        TRANSITION: [z * (x - last) % P for z, x in zip(always, points, strict=True)],
        FIRST: [pow(x - 1, -1, P) for x in points],
        LAST: [pow(x - last, -1, P) for x in points],
    }
