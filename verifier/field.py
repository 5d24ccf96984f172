"""KoalaBear and its degree-5 extension in plain integers.

p = 2^31 - 2^24 + 1; multiplicative generator 3; two-adicity 24. The extension is F_p[X] / (X^5 + X^2 - 1), 154.9 bits;
an element is five canonical words, the coefficient of X^0 first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

P = 2**31 - 2**24 + 1
GENERATOR = 3
TWO_ADICITY = 24
TWO_ADIC_ROOT = 1791270792
"""A root of unity of order 2^24: GENERATOR ** 127."""
EXTENSION_DEGREE = 5

Ext = tuple[int, int, int, int, int]

ext_zero: Ext = (0, 0, 0, 0, 0)
ext_one: Ext = (1, 0, 0, 0, 0)


def root_of_unity(log2_order: int) -> int:
    """The root of order 2**log2_order that both sides use."""
    return pow(TWO_ADIC_ROOT, 1 << (TWO_ADICITY - log2_order), P)


def lift(word: int) -> Ext:
    """A base field element as an extension element."""
    return (word % P, 0, 0, 0, 0)


def ext_add(a: Ext, b: Ext) -> Ext:
    return ((a[0] + b[0]) % P, (a[1] + b[1]) % P, (a[2] + b[2]) % P, (a[3] + b[3]) % P, (a[4] + b[4]) % P)


def ext_sub(a: Ext, b: Ext) -> Ext:
    return ((a[0] - b[0]) % P, (a[1] - b[1]) % P, (a[2] - b[2]) % P, (a[3] - b[3]) % P, (a[4] - b[4]) % P)


def ext_scale(a: Ext, k: int) -> Ext:
    """`a` times a base field element."""
    return (a[0] * k % P, a[1] * k % P, a[2] * k % P, a[3] * k % P, a[4] * k % P)


def ext_mul(a: Ext, b: Ext) -> Ext:
    """Product modulo X^5 + X^2 - 1, so X^5 = 1 - X^2, X^6 = X - X^3, X^7 = X^2 - X^4, X^8 = X^3 + X^2 - 1."""
    a0, a1, a2, a3, a4 = a
    b0, b1, b2, b3, b4 = b
    c5 = a1 * b4 + a2 * b3 + a3 * b2 + a4 * b1
    c6 = a2 * b4 + a3 * b3 + a4 * b2
    c7 = a3 * b4 + a4 * b3
    c8 = a4 * b4
    return (
        (a0 * b0 + c5 - c8) % P,
        (a0 * b1 + a1 * b0 + c6) % P,
        (a0 * b2 + a1 * b1 + a2 * b0 - c5 + c7 + c8) % P,
        (a0 * b3 + a1 * b2 + a2 * b1 + a3 * b0 - c6 + c8) % P,
        (a0 * b4 + a1 * b3 + a2 * b2 + a3 * b1 + a4 * b0 - c7) % P,
    )


def ext_pow(a: Ext, exponent: int) -> Ext:
    """`a ** exponent` for exponent >= 0."""
    out = ext_one
    while exponent:
        if exponent & 1:
            out = ext_mul(out, a)
        a = ext_mul(a, a)
        exponent >>= 1
    return out


_ORDER_OVER_P = (P**5 - 1) // (P - 1)


def ext_inverse(a: Ext) -> Ext:
    """1 / a: a ** (1 + p + ... + p^4) is the norm, a base field element. Raises ZeroDivisionError for zero."""
    cofactor = ext_pow(a, _ORDER_OVER_P - 1)
    norm = ext_mul(a, cofactor)[0]
    if norm == 0:
        raise ZeroDivisionError("inverse of zero in the extension field")
    return ext_scale(cofactor, pow(norm, -1, P))


def ext_batch_inverse(values: Sequence[Ext]) -> list[Ext]:
    """Inverses of many non-zero elements with one inversion (Montgomery's trick)."""
    prefix = [ext_one]
    for value in values:
        prefix.append(ext_mul(prefix[-1], value))
    running = ext_inverse(prefix[-1])
    out = [ext_zero] * len(values)
    for i in range(len(values) - 1, -1, -1):
        out[i] = ext_mul(running, prefix[i])
        running = ext_mul(running, values[i])
    return out


def ext_horner(coefficients: Iterable[Ext], point: Ext) -> Ext:
    """Polynomial with the given coefficients, lowest first, at `point`."""
    total = ext_zero
    for coefficient in reversed(tuple(coefficients)):
        total = ext_add(ext_mul(total, point), coefficient)
    return total
