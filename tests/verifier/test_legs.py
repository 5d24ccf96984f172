"""The leg table, and the numbers that the proof system gets from a statement."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.verifier.small_tree import INSTRUMENTS, Publication, publication
from verifier import solvency
from verifier.errors import BadStatement, InvariantBroken, Reason
from verifier.field import Ext, P, ext_add, ext_inverse, ext_mul, ext_pow, ext_scale, ext_sub, lift
from verifier.legs import AMOUNT_CAP, Leg, balanced_digits, check_legs, derive_legs
from verifier.statement import PRICE_END, Instrument, Totals
from verifier.tree import limbs16

PRICES = st.integers(0, PRICE_END - 1)


@given(PRICES)
def test_legs_of_an_instrument(price: int) -> None:
    legs = derive_legs([Instrument("a", "spot", 0, 1), Instrument("b", "spot", 0, price)])
    check_legs(legs)
    assert [(leg.index, leg.instrument, leg.side, leg.total) for leg in legs] == [
        (0, 0, "long", 0),
        (1, 0, "short", 1),
        (2, 1, "long", 2),
        (3, 1, "short", 3),
    ]
    assert [leg.price_coefficient for leg in legs] == [1, -1, price, -price]
    assert {leg.cap for leg in legs} == {2**63 - 1}


@given(st.integers(-PRICE_END + 1, PRICE_END - 1))
def test_balanced_digits(value: int) -> None:
    digits = balanced_digits(value)
    assert len(digits) == 7
    assert all(-128 <= digit <= 127 for digit in digits)
    assert sum(digit * 256**i for i, digit in enumerate(digits)) == value


@pytest.mark.negative
def test_digits_that_do_not_suffice() -> None:
    with pytest.raises(BadStatement, match="7 digits"):
        balanced_digits(2**55)


BROKEN: list[tuple[str, dict[str, Any], str]] = [
    ("number", {"index": 1}, "number 1"),
    ("cap too large", {"cap": AMOUNT_CAP + 1}, "cap"),
    ("cap zero", {"cap": 0}, "cap"),
    ("side", {"side": "both"}, "neither long nor short"),
    ("wrong sign", {"side": "short"}, "does not suit side short"),
    ("price 2^54", {"price_coefficient": PRICE_END}, "does not suit side long"),
    ("digits of another price", {"digits": (0,) * 7}, "digits"),
    ("two prices, one total", {"total": 2}, "total 2 has two price coefficients"),
]


@pytest.mark.negative
@pytest.mark.parametrize(("change", "words"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN])
def test_a_leg_table_that_breaks_a_rule(change: dict[str, Any], words: str) -> None:
    legs: list[Leg] = list(derive_legs(INSTRUMENTS))
    legs[0] = replace(legs[0], **change)
    with pytest.raises(BadStatement, match=words) as caught:
        check_legs(legs)
    assert caught.value.reason is Reason.INSTRUMENT_TABLE


def test_public_columns_follow_the_table() -> None:
    statement = publication().statement
    columns = solvency.public_columns(statement)
    assert set(columns) == {"is_total_row", "total_row_id", "leg_id", "leg_total"} | {
        f"leg_{name}" for name in [*(f"cap{i}" for i in range(4)), *(f"digit{i}" for i in range(7))]
    }
    assert columns["is_total_row"] == (1,) * 6
    assert columns["total_row_id"] == columns["leg_id"] == columns["leg_total"] == tuple(range(6))
    for i, leg in enumerate(derive_legs(INSTRUMENTS)):
        assert sum(columns[f"leg_cap{k}"][i] << (16 * k) for k in range(4)) == leg.cap
        digits = [columns[f"leg_digit{k}"][i] for k in range(7)]
        assert all(0 <= digit < P for digit in digits)
        signed = [digit - P if digit > P // 2 else digit for digit in digits]
        assert sum(digit * 256**k for k, digit in enumerate(signed)) == leg.price_coefficient


def rows_of_totals(small: Publication, r: Ext, alpha: Ext, beta: Ext) -> Ext:
    """What the trace adds: a fraction per entry, and one per total row that moves carries between the bytes."""
    out = lift(0)
    byte_sums = [[0] * 8 for _ in range(2 * len(INSTRUMENTS))]
    for account in small.accounts:
        for leg, amount in account.entries:
            bytes_ = amount.to_bytes(8, "little")
            byte_sums[leg] = [a + b for a, b in zip(byte_sums[leg], bytes_, strict=True)]
            out = ext_add(out, fraction(polynomial(list(bytes_), r), 5, (leg,), alpha, beta))
    for leg, sums in enumerate(byte_sums):
        carries, carry = [], 0
        for byte_sum in sums[:7]:
            carry = (byte_sum + carry) >> 8
            carries.append(carry)
        moved = ext_mul(ext_sub(lift(256), r), polynomial(carries, r))
        out = ext_sub(out, fraction(moved, 5, (leg,), alpha, beta))
    return out


def polynomial(coefficients: list[int], at: Ext) -> Ext:
    out = lift(0)
    for i, coefficient in enumerate(coefficients):
        out = ext_add(out, ext_scale(ext_pow(at, i), coefficient))
    return out


def fraction(numerator: Ext, tag: int, values: tuple[int, ...], alpha: Ext, beta: Ext) -> Ext:
    """numerator / (alpha - tag - sum beta^(k+1) value_k), written out."""
    denominator = ext_sub(alpha, lift(tag))
    for k, value in enumerate(values):
        denominator = ext_sub(denominator, ext_scale(ext_pow(beta, k + 1), value))
    return ext_mul(numerator, ext_inverse(denominator))


def draw(source: random.Random) -> tuple[Ext, Ext, Ext]:
    one, two, three = ([source.randrange(P) for _ in range(5)] for _ in range(3))
    return ((*one,), (*two,), (*three,))  # type: ignore[return-value]


def test_terminal_is_the_sum_over_the_rows() -> None:
    """Entries and total rows as the circuit adds them, and the root's own emission."""
    small = publication()
    challenges = draw(random.Random(1))
    value = limbs16(small.statement.total_liability, 7)
    root = fraction(lift(1), 4, (6, *small.statement.root, *value), *challenges[1:])
    expected = ext_add(rows_of_totals(small, *challenges), root)
    assert solvency.terminal(small.statement, *challenges) == expected


@pytest.mark.negative
def test_terminal_depends_on_every_output() -> None:
    statement = publication().statement
    challenges = draw(random.Random(2))
    terminals = {solvency.terminal(statement, *challenges)}
    changes: list[dict[str, Any]] = [
        {"levels": 7},
        {"root": (*statement.root[:7], (statement.root[7] + 1) % P)},
        {"total_liability": statement.total_liability + 1},
        {"total_liability": statement.total_liability + 2**111},
    ]
    for j, pair in enumerate(statement.totals):
        for amount in (1, 2**56, P * 2**56 - 256 * P * 2**48 + 2**80):
            for side in ({"long": pair.long + amount}, {"short": pair.short + amount}):
                totals = list(statement.totals)
                totals[j] = replace(pair, **side)
                changes.append({"totals": tuple(totals)})
    for change in changes:
        terminals.add(solvency.terminal(replace(statement, **change), *challenges))
    assert len(terminals) == len(changes) + 1


def test_largest_total_has_a_canonical_top_digit() -> None:
    """N 2^64 >> 56 stays below p for every N: T and T + p 2^56 would otherwise share a terminal (02b R1)."""
    assert P > ((2**21 * 2**64 - 1) >> 56)
    statement = replace(publication().statement, totals=(Totals(0, 0),) * 3)
    forged = replace(statement, totals=(Totals(P << 56, 0), *statement.totals[1:]))
    challenges = draw(random.Random(3))
    assert solvency.terminal(forged, *challenges) == solvency.terminal(statement, *challenges)


@pytest.mark.negative
def test_zero_denominators_are_arithmetic_errors() -> None:
    """`verify_stark` turns them into a refusal."""
    statement = publication().statement
    r, _, beta = draw(random.Random(4))
    hit = ext_add(lift(5), ext_scale(beta, 3))
    with pytest.raises(ZeroDivisionError):
        solvency.terminal(statement, r, hit, beta)


def test_relation_carries_the_statement(monkeypatch: pytest.MonkeyPatch) -> None:
    statement = publication().statement
    systems: dict[str, Any] = {statement.circuit: object()}
    monkeypatch.setattr(solvency, "constraint_system", systems.__getitem__)
    made = solvency.relation(statement)
    assert made.system is systems[statement.circuit]
    assert made.publics == solvency.public_columns(statement)
    assert (made.log2_rows, made.binding) == (17, statement.digest)
    challenges = draw(random.Random(5))
    assert made.terminal(*challenges) == solvency.terminal(statement, *challenges)


@pytest.mark.parametrize("name", solvency.CIRCUITS)
def test_registered_circuits_have_the_pinned_keys(name: str) -> None:
    system = solvency.constraint_system(name)
    assert (system.name, system.digest) == (name, solvency.pinned_digest(name))
    columns = solvency.public_columns(publication().statement)
    assert [column for column, _ in system.publics] == list(columns)


@pytest.mark.negative
def test_a_damaged_installation_stops(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    name = "solvency_equity_v1"
    with pytest.raises(InvariantBroken, match="pins no digest"):
        solvency.pinned_digest("solvency_equity_v0")
    monkeypatch.setattr(solvency, "__file__", str(tmp_path / "solvency.py"))
    solvency.constraint_system.cache_clear()
    with pytest.raises(InvariantBroken, match="cannot be read"):
        solvency.constraint_system(name)
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / solvency.CIRCUITS[name].key_file).write_bytes(b"{}\n")
    with pytest.raises(InvariantBroken, match="not the pinned one"):
        solvency.constraint_system(name)
