"""Exact integers by polynomial identities at the random point r (02a finding 2, 02b sections B and D).

An account's equity is A(256) for A(X) = sum over entries of x(X) S(X), x the amount's bytes and S the price digits. Its
sign and magnitude v are committed, and A(r) = (1 - 2 sign) v(r) - (r - 256) c(r) with carries c. No coefficient wraps:
4,095 entries give |A_k| <= 4095 * 7 * 255 * 128 = 935,625,600; + 65,535 + 257 * 4,259,711 = 2,030,436,862 < p.
"""

from __future__ import annotations

from circuits.builder import AirBuilder, Expr
from circuits.gadgets.chains import DIGIT_COLUMNS, VALUE_LIMBS
from verifier.air import ALWAYS

CARRIES = 13
CARRY_OFFSET = 2**22
CARRY_HIGH = 2**15
"""A signed carry is u16 + 2^15 * byte - 2^22: at least -2^22 and at most 4,227,071."""
ROW_POLYNOMIAL_DEGREE = 16
"""Highest power of r that one row adds outside the records: the carries of a mask row (`outputs`)."""


def _read(air: AirBuilder, rotation: int, prefix: str, indices: range) -> list[Expr]:
    read = air.next if rotation else air.row
    return [read(f"{prefix}{i}") for i in indices]


def amount_polynomial(air: AirBuilder, rotation: int) -> Expr:
    """x(r), x the bytes of an entry's amount."""
    return air.polynomial(_read(air, rotation, "y", range(8)))


def _digits(air: AirBuilder, rotation: int) -> Expr:
    """Price digits on an entry, value limbs on a child: S(r)."""
    return air.polynomial(_read(air, rotation, "d", range(VALUE_LIMBS)))


def _open_terms(air: AirBuilder, rotation: int) -> Expr:
    """Low parts of carries 0..9 and high parts of carries 0..4."""
    low = air.polynomial(_read(air, rotation, "u", range(10)))
    high = air.polynomial(_read(air, rotation, "y", range(5)))
    return (air.scalar("r") - 256) * (low + CARRY_HIGH * high)


def _close_terms(air: AirBuilder, rotation: int) -> Expr:
    """-(1 - 2 sign) v, and the rest of the carries. With d = (1 - sign) v the signed value is the linear 2 d - v."""
    v = _read(air, rotation, "u", range(VALUE_LIMBS))
    d = _read(air, rotation, "d", range(VALUE_LIMBS))
    value = air.polynomial([a - 2 * b for a, b in zip(v, d, strict=True)], step=2)
    low = air.polynomial(_read(air, rotation, "u", range(7, 10)), start=10)
    high = air.polynomial(_read(air, rotation, "y", range(8)), start=5)
    offset = air.polynomial([CARRY_OFFSET] * CARRIES)
    return value + (air.scalar("r") - 256) * (low + CARRY_HIGH * high - offset)


def _merge_terms(air: AirBuilder, rotation: int) -> Expr:
    """-(sum) and six non-negative byte carries in base 2^16; no carry leaves limb 6 (02b R4)."""
    limbs = air.polynomial(_read(air, rotation, "u", range(VALUE_LIMBS)))
    carries = air.polynomial(_read(air, rotation, "y", range(6)))
    return (air.scalar("r") - 2**16) * carries - limbs


def accumulate_values(air: AirBuilder) -> None:
    """One accumulator serves accounts (equity) and nodes (sum of the children); it is zero where the chain closes."""
    keep = air.next("is_entry") + air.next("is_close") + air.next("is_next_child") + air.next("is_merge")
    children = air.next("is_first_child") + air.next("is_next_child")
    add = air.next("is_entry") * amount_polynomial(air, 1) * _digits(air, 1) + children * _digits(air, 1)
    add = add + air.next("is_open") * _open_terms(air, 1) + air.next("is_close") * _close_terms(air, 1)
    add = add + air.next("is_merge") * _merge_terms(air, 1)
    first = air.row("is_first_child") * _digits(air, 0) + air.row("is_open") * _open_terms(air, 0)
    air.accumulate("value", first, keep, add)
    closes = air.row("is_close") + air.row("is_merge")
    air.require(ALWAYS, "the value identity holds where a chain closes", closes * air.extension("value"))


def require_liability(air: AirBuilder) -> None:
    """sign is a bit (in cap0) and the emitted liability is (1 - sign) v."""
    close, sign = air.row("is_close"), air.row("cap0")
    air.require(ALWAYS, "the sign of equity is a bit", close * sign * (sign - 1))
    for j in range(VALUE_LIMBS):
        liability = air.row(f"d{j}") - (1 - sign) * air.row(f"u{j}")
        air.require(ALWAYS, f"liability is the positive part of equity[{j}]", close * liability)


__all__ = [
    "CARRIES",
    "CARRY_HIGH",
    "CARRY_OFFSET",
    "DIGIT_COLUMNS",
    "ROW_POLYNOMIAL_DEGREE",
    "VALUE_LIMBS",
    "accumulate_values",
    "amount_polynomial",
    "require_liability",
]
