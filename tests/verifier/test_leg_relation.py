"""What the proof system gets from the leg table: public columns, fingerprints, the terminal and the keys."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from tests.verifier.small_tree import (
    EQUITY,
    INSTRUMENTS,
    STRESS,
    Builder,
    Publication,
    publication,
    risk_publication,
)
from verifier import solvency
from verifier.errors import InvariantBroken
from verifier.field import Ext, P, ext_add, ext_inverse, ext_mul, ext_pow, ext_scale, ext_sub, lift
from verifier.statement import Totals
from verifier.tree import limbs16

# ---------------------------------------------------------------------------------- what the proof system gets


@pytest.mark.parametrize("circuit", solvency.CIRCUITS)
def test_public_columns_follow_the_tables(circuit: str) -> None:
    proves = solvency.CIRCUITS[circuit]
    statement = (risk_publication if proves.lenses else publication)(circuit).statement
    columns = solvency.public_columns(statement)
    outputs = len(statement.total_amounts) + 1 + proves.lenses
    liability, lenses = outputs - proves.lenses - 1, tuple(range(outputs - proves.lenses, outputs))
    assert columns["is_mask_out"] == columns["is_mask_in"] == columns["mask_goes_on"] == ()
    assert columns["ends_mask_out"] == columns["ends_mask_in"] == ()
    assert columns["is_carry"] == (1,) * outputs
    assert columns["is_root"] == (0,) * outputs + (1,)
    assert columns["output"] == (*range(outputs), liability, *lenses)
    if proves.lenses:
        assert columns["is_loss"] == (0,) * (outputs + 1) + (1,) * proves.lenses
    rows = proves.record_rows
    assert ("starts_record" in columns) == bool(rows)
    if rows:
        assert columns["in_totals_record"] == (1,) * rows
        assert columns["starts_record"] == (1,) + (0,) * (rows - 1)
        assert columns["ends_record"] == columns["starts_record"][::-1]
        assert columns["next_in_totals_record"] == (1,) * (rows - 1)


@pytest.mark.parametrize("circuit", [EQUITY, STRESS])
def test_several_shards_have_masks_before_the_carries(circuit: str) -> None:
    proves = solvency.CIRCUITS[circuit]
    statement = replace((risk_publication if proves.lenses else publication)(circuit).statement, shards=3)
    columns, outputs = solvency.public_columns(statement), len(statement.outputs)
    ids = tuple(range(outputs))
    assert columns["is_mask_out"] == (1,) * outputs
    assert columns["is_mask_in"] == (0,) * outputs + (1,) * outputs
    assert columns["mask_goes_on"] == (*(1,) * (outputs - 1), 0) * 2
    assert columns["ends_mask_out"] == (0,) * (outputs - 1) + (1,)
    assert columns["ends_mask_in"] == (0,) * (2 * outputs - 1) + (1,)
    assert columns["is_carry"] == (0,) * (2 * outputs) + (1,) * outputs
    assert columns["output"][: 3 * outputs] == ids * 3
    assert statement.special_rows.count == len(columns["output"]) == 3 * outputs + 1 + proves.lenses


@pytest.mark.parametrize("circuit", [EQUITY, STRESS])
def test_a_row_of_the_leg_table_is_one_fingerprint(circuit: str) -> None:
    proves = solvency.CIRCUITS[circuit]
    statement = (risk_publication if proves.lenses else publication)(circuit).statement
    r, _, beta = draw(random.Random(9))
    columns = solvency.challenge_columns(statement, statement.legs, {"r": r, "beta": beta})
    assert len(columns) == (15 if proves.record_rows else 5)
    for j, leg in enumerate(statement.legs):
        values = [leg.index, leg.total, *limbs16(leg.cap, 4), *leg.digits, *(d for ds in leg.lens_digits for d in ds)]
        expected = lift(3)
        for k, value in enumerate(values):
            expected = ext_add(expected, ext_scale(ext_pow(beta, k + 1), value))
        assert tuple(columns[f"leg_row{k}"][j] for k in range(5)) == expected
    if proves.record_rows:
        weights = [tuple(columns[f"next_weight{k}"][i] for k in range(5)) for i in range(proves.record_rows)]
        window = 16 // proves.record_rows
        lowest = [window * (proves.record_rows - 1 - row) for row in range(proves.record_rows)]
        assert weights == [ext_pow(r, at) for at in (*lowest[1:], lowest[0])]


def test_weights_of_the_loss_rows() -> None:
    statement = risk_publication().statement
    r = draw(random.Random(10))[0]
    columns = solvency.challenge_columns(statement, statement.legs, {"r": r, "beta": r})
    rows = statement.special_rows
    for row in range(rows.count - 1):
        lens = row + 1 - rows.first_loss
        expected = ext_pow(r, 16 * lens) if lens >= 0 else lift(0)
        assert tuple(columns[f"next_loss_weight{k}"][row] for k in range(5)) == expected


def test_outputs_are_totals_liability_and_losses() -> None:
    statement = risk_publication().statement
    one, two = statement.losses
    lost = (one.shortfall, one.margin_deficit, two.shortfall, two.margin_deficit)
    expected = (statement.total_margin_deficit, *lost, 0, 0)
    assert statement.outputs == (*statement.total_amounts, statement.total_liability, *expected)
    assert publication().statement.outputs[statement.liability_output :] == ()
    assert publication().statement.outputs[-1] == publication().statement.total_liability


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
    """Entries and carry rows as the circuit adds them, and the liability that the root row brings."""
    small = publication()
    r, alpha, beta = draw(random.Random(1))
    value = limbs16(small.statement.total_liability, 7)
    brought = polynomial(list(value), ext_mul(r, r))
    liability = fraction(brought, 5, (small.statement.liability_output,), alpha, beta)
    expected = ext_add(rows_of_totals(small, r, alpha, beta), liability)
    assert terminal_of(small, r, alpha, beta) == expected


def terminal_of(small: Publication, *challenges: Ext) -> Ext:
    return solvency.relation(small.statement, small.shard).terminal(*challenges)


def test_masked_outputs_are_words_at_even_positions() -> None:
    small = Builder(random.Random(12), shards=3).build(publication().accounts)
    r, alpha, beta = draw(random.Random(13))
    expected = lift(0)
    for number, output in enumerate(small.shard.outputs):
        words = [output >> (16 * j) & 0xFFFF for j in range(8)]
        expected = ext_add(expected, fraction(polynomial(words, ext_mul(r, r)), 5, (number,), alpha, beta))
    assert terminal_of(small, r, alpha, beta) == expected


def test_digests_of_root_and_masks_are_scalars() -> None:
    small = Builder(random.Random(12), shards=3).build(publication().accounts)
    r, alpha, beta = draw(random.Random(14))
    scalars = solvency.relation(small.statement, small.shard).scalars(r, alpha, beta)
    words = {
        "root": (*small.shard.root, small.statement.levels + 1),
        "mask_out": small.shard.mask_out,
        "mask_in": small.shard.mask_in,
    }
    for name, values in words.items():
        assert scalars[name] == ext_mul(beta, polynomial(list(values), beta))


@pytest.mark.negative
def test_terminal_depends_on_every_output() -> None:
    small = publication()
    statement = small.statement
    challenges = draw(random.Random(2))
    terminals = {terminal_of(small, *challenges)}
    changes: list[dict[str, Any]] = [
        {"total_liability": statement.total_liability + 1},
        {"total_liability": statement.total_liability + 2**111},
    ]
    for j, pair in enumerate(statement.totals):
        for amount in (1, 2**56, P * 2**56 - 256 * P * 2**48 + 2**80):
            for more in ((amount, 0), (0, amount)):
                totals = list(statement.totals)
                totals[j] = Totals(pair.long + more[0], pair.short + more[1])
                changes.append({"totals": tuple(totals)})
    for change in changes:
        terminals.add(terminal_of(small.stating(**change), *challenges))
    assert len(terminals) == len(changes) + 1


def test_largest_total_has_a_canonical_top_digit() -> None:
    """N 2^64 >> 56 stays below p for every N: T and T + p 2^56 would otherwise share a terminal (02b R1)."""
    assert P > ((2**21 * 2**64 - 1) >> 56)
    small = publication().stating(totals=(Totals(0, 0),) * 3)
    forged = small.stating(totals=(Totals(P << 56, 0), *small.statement.totals[1:]))
    challenges = draw(random.Random(3))
    assert terminal_of(forged, *challenges) == terminal_of(small, *challenges)


@pytest.mark.negative
def test_zero_denominators_are_arithmetic_errors() -> None:
    """`verify_stark` turns them into a refusal."""
    r, _, beta = draw(random.Random(4))
    hit = ext_add(lift(5), ext_scale(beta, 3))
    with pytest.raises(ZeroDivisionError):
        terminal_of(publication(), r, hit, beta)


def test_relation_carries_the_statement(monkeypatch: pytest.MonkeyPatch) -> None:
    small = publication()
    statement = small.statement
    systems: dict[str, Any] = {statement.circuit: object()}
    monkeypatch.setattr(solvency, "constraint_system", systems.__getitem__)
    made = solvency.relation(statement, small.shard)
    assert made.system is systems[statement.circuit]
    assert made.publics == solvency.public_columns(statement)
    assert (made.log2_rows, made.binding) == (17, small.shard.digest)
    challenges = draw(random.Random(5))
    scalars = {"r": challenges[0], "beta": challenges[2]}
    assert made.derived(scalars) == solvency.challenge_columns(statement, statement.legs, scalars)
    assert made.scalars(*challenges) == solvency.digest_scalars(statement, small.shard, challenges[2])


@pytest.mark.parametrize("name", solvency.CIRCUITS)
def test_registered_circuits_have_the_pinned_keys(name: str) -> None:
    system = solvency.constraint_system(name)
    assert (system.name, system.digest) == (name, solvency.pinned_digest(name))
    proves = solvency.CIRCUITS[name]
    statement = (risk_publication if proves.lenses else publication)(name).statement
    scalars = dict(zip(("r", "alpha", "beta"), draw(random.Random(6)), strict=True))
    columns = solvency.public_columns(statement) | solvency.challenge_columns(statement, statement.legs, scalars)
    assert {column for column, _ in system.publics} == set(columns)


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
