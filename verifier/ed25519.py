"""Ed25519 signatures, verified strictly: what is accepted here, every conforming library accepts too.

RFC 8032 leaves room, and libraries disagree in it. Accepted is a signature (R, S) of a message M under a key A where A
is a canonical encoding of a point of prime order, S < L, R is not the neutral element, and encode([S]B - [k]A) are the
bytes of R, with k = SHA-512(R, A, M) mod L. That is the equation without cofactor. As A has prime order, so has every
R that solves it: the equation with cofactor then holds as well, and nothing turns on which of the two a library took.
Points are (X, Y, Z, T) with x = X/Z, y = Y/Z, xy = T/Z. Nothing here is secret, so nothing runs in constant time.
"""

from __future__ import annotations

import hashlib
from functools import cache, lru_cache

KEY_BYTES, SIGNATURE_BYTES = 32, 64
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
"""Order of the base point, a prime; the curve has 8 L points."""
D = -121665 * pow(121666, -1, P) % P
_TWICE_D = 2 * D % P
_BASE_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202
_BASE_Y = 4 * pow(5, -1, P) % P
_ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)
_KEY_WIDTH, _BASE_WIDTH = 5, 8
"""Digits of signed windows: odd, below 2^(width - 1) in magnitude."""
_KEYS_KEPT = 256

Point = tuple[int, int, int, int]
_Ready = tuple[int, int, int, int]
"""A point as an addend: Y - X, Y + X, 2 d T, 2 Z."""
_NEUTRAL: Point = (0, 1, 1, 0)


def is_valid(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` (64 bytes) signs `message` under the public key `key` (32 bytes)."""
    if len(signature) != SIGNATURE_BYTES:
        return False
    addends = _key_addends(bytes(key))
    encoded_r, s = signature[:32], int.from_bytes(signature[32:], "little")
    if addends is None or s >= L:
        return False
    k = int.from_bytes(hashlib.sha512(encoded_r + key + message).digest(), "little") % L
    r = _sum_of_multiples(s, k, addends)
    return not _is_neutral(r) and encode(r) == encoded_r


def is_key(key: bytes) -> bool:
    """Whether `key` is a public key: 32 bytes, the canonical encoding of a point of prime order."""
    return _key_addends(bytes(key)) is not None


def decode(data: bytes) -> Point | None:
    """The point of a canonical encoding: 255 bits of y < p, one bit of x; None for anything else."""
    if len(data) != KEY_BYTES:
        return None
    number = int.from_bytes(data, "little")
    y, sign = number & (2**255 - 1), number >> 255
    if y >= P:
        return None
    above, below = (y * y - 1) % P, (D * y * y + 1) % P
    # x = (above / below)^((p + 3) / 8), up to a root of -1, without a division.
    x = above * pow(below, 3, P) * pow(above * pow(below, 7, P), (P - 5) // 8, P) % P
    if (below * x * x - above) % P:
        x = x * _ROOT_OF_MINUS_ONE % P
        if (below * x * x - above) % P:
            return None
    if x == 0 and sign:
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


def encode(point: Point) -> bytes:
    """The canonical encoding."""
    inverse = pow(point[2], -1, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


@lru_cache(_KEYS_KEPT)
def _key_addends(key: bytes) -> tuple[_Ready, ...] | None:
    """Odd multiples of -A; None where `key` is no public key."""
    point = decode(key)
    if point is None or _is_neutral(point):
        return None
    x, y, z, t = point
    addends = _odd_multiples((-x % P, y, z, -t % P), _KEY_WIDTH)
    return addends if _is_neutral(_sum_of_multiples(0, L, addends)) else None


@cache
def _base_addends() -> tuple[_Ready, ...]:
    """Odd multiples of the base point."""
    return _odd_multiples((_BASE_X, _BASE_Y, 1, _BASE_X * _BASE_Y % P), _BASE_WIDTH)


def _odd_multiples(point: Point, width: int) -> tuple[_Ready, ...]:
    """1, 3, 5, .. times the point, as many as signed windows of this width need."""
    twice = _ready(_double(point))
    out = []
    for _ in range(2 ** (width - 2)):
        out.append(_ready(point))
        point = _add(point, twice)
    return tuple(out)


def _sum_of_multiples(s: int, k: int, addends: tuple[_Ready, ...]) -> Point:
    """[s] B + [k] Q, where `addends` are the odd multiples of Q; both factors in [0, 2^253)."""
    digits_s, digits_k = _windows(s, _BASE_WIDTH), _windows(k, _KEY_WIDTH)
    base, total, started = _base_addends(), _NEUTRAL, False
    for i in reversed(range(max(len(digits_s), len(digits_k)))):
        if started:
            total = _double(total)
        for digits, table in ((digits_s, base), (digits_k, addends)):
            digit = digits[i] if i < len(digits) else 0
            if digit:
                started = True
                total = _add(total, table[digit >> 1] if digit > 0 else _negative(table[-digit >> 1]))
    return total


def _windows(number: int, width: int) -> list[int]:
    """Signed digits, lowest first, with sum of digit * 2^i = number: 0 or odd, and most of them 0."""
    digits = []
    while number:
        digit = 0
        if number & 1:
            digit = number & (2**width - 1)
            if digit >> (width - 1):
                digit -= 2**width
            number -= digit
        digits.append(digit)
        number >>= 1
    return digits


def _ready(point: Point) -> _Ready:
    x, y, z, t = point
    return (y - x) % P, (y + x) % P, t * _TWICE_D % P, 2 * z


def _negative(addend: _Ready) -> _Ready:
    return addend[1], addend[0], -addend[2], addend[3]


def _add(point: Point, addend: _Ready) -> Point:
    """Complete addition (RFC 8032, section 5.1.4): right for equal and neutral points as well."""
    x, y, z, t = point
    a, b = (y - x) * addend[0], (y + x) * addend[1]
    c, d = t * addend[2], z * addend[3]
    e, f, g, h = (b - a) % P, (d - c) % P, (d + c) % P, (b + a) % P
    return e * f % P, g * h % P, f * g % P, e * h % P


def _double(point: Point) -> Point:
    x, y, z, _ = point
    a, b, s = x * x, y * y, x + y
    h, g = (a + b) % P, (a - b) % P
    e, f = (h - s * s) % P, (2 * z * z + g) % P
    return e * f % P, g * h % P, f * g % P, e * h % P


def _is_neutral(point: Point) -> bool:
    return point[0] == 0 and point[1] == point[2]
