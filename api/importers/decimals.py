"""Decimal strings to integers, exactly. No float on the way, in the slow reading and in the fast one."""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from verifier.legs import AMOUNT_CAP
from verifier.statement import units

DIGITS_MAX: Final = 38
"""What Arrow's 128-bit decimals hold; longer numbers take the slow reading."""
TEXT_MAX: Final = 200

_NUMBER = re.compile(r"(0|[1-9][0-9]*)(?:\.([0-9]+))?")
FLOAT_PATTERN: Final = r"^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$"
"""What a float prints as: for columns that we only look at, never use."""


class BadNumber(ValueError):
    """A text is not the number we need. `expected` says in words what would have been."""

    def __init__(self, expected: str) -> None:
        super().__init__(expected)
        self.expected = expected


def parse_amount(text: str, decimals: int) -> int:
    """Units with at most `decimals` decimals (more only if they are zeros) to atoms. This is the definition.

    No sign, exponent, separator, blank or superfluous leading zero; a digit on both sides of the point.

    Raises:
        BadNumber: not such a number, or more than 2^63 - 1 atoms.
    """
    match = _NUMBER.fullmatch(text) if len(text) <= TEXT_MAX else None
    fraction = "" if match is None else (match[2] or "").rstrip("0")
    if match is None or len(fraction) > decimals:
        raise BadNumber(f"a decimal number with at most {decimals} decimals" if decimals else "a whole number, no sign")
    atoms = int(match[1] + fraction.ljust(decimals, "0"))
    if atoms > AMOUNT_CAP:
        raise BadNumber(f"at most 2^63 - 1 atoms, {units(AMOUNT_CAP, decimals)}")
    return atoms


def parse_price(text: str) -> tuple[int, int]:
    """A price as (mantissa, decimals), mantissa without trailing zeros: 100 is (1, -2). Zero is (0, 0).

    Raises:
        BadNumber: not a decimal number, or a negative one.
    """
    match = _NUMBER.fullmatch(text) if len(text) <= TEXT_MAX else None
    if match is None:
        raise BadNumber("a decimal number")
    fraction = match[2] or ""
    digits = match[1] + fraction
    kept = digits.rstrip("0")
    return (int(kept), len(fraction) - (len(digits) - len(kept))) if kept else (0, 0)


def parse_amounts(texts: pa.Array, decimals: int) -> tuple[npt.NDArray[np.uint64], tuple[int, BadNumber] | None]:
    """`parse_amount` for a whole column (string, no nulls).

    Returns:
        Atoms (uint64), and the first text that is not an amount with the reason, or None.
    """
    # 19 digits before the point hold every amount; both sides together stay within DIGITS_MAX.
    fraction = rf"[0-9]{{1,{decimals}}}0{{0,{DIGITS_MAX - 19 - decimals}}}" if decimals else "0{1,19}"
    plain = pc.match_substring_regex(texts, rf"^(0|[1-9][0-9]{{0,18}})(\.{fraction})?$")
    atoms, high = _atoms(texts if pc.all(plain).as_py() is not False else pc.if_else(plain, texts, "0"), decimals)
    suspects = ~plain.to_numpy(zero_copy_only=False).astype(bool) | (high != 0) | (atoms > AMOUNT_CAP)
    for index in np.flatnonzero(suspects).tolist():
        try:
            atoms[index] = parse_amount(texts[index].as_py(), decimals)
        except BadNumber as error:
            return atoms, (index, error)
    return atoms, None


def first_not_matching(texts: pa.Array, pattern: str) -> int | None:
    """Index of the first text that `pattern` (RE2) does not match, or None."""
    good = pc.match_substring_regex(texts, pattern)
    if pc.all(good).as_py() is not False:
        return None
    return int(pc.index(good, pa.scalar(False)).as_py())


def _atoms(texts: pa.Array, decimals: int) -> tuple[npt.NDArray[np.uint64], Any]:
    """Low and high half of each number times `10**decimals`; Arrow parses a 128-bit decimal exactly."""
    numbers = pc.cast(texts, pa.decimal128(DIGITS_MAX, decimals))
    start, stop = numbers.offset, numbers.offset + len(numbers)
    halves = np.frombuffer(numbers.buffers()[1], np.uint64).reshape(-1, 2)[start:stop]
    return halves[:, 0].copy(), halves[:, 1]
