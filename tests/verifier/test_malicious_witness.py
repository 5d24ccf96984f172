"""A malicious prover whose witness is false: for every constraint, lookup and total one that breaks it and no other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest

from tests.verifier.reference_polynomials import Exts, Words
from tests.verifier.reference_prover import ReferenceProver
from tests.verifier.test_malicious import ONE, nothing, only_stopped_by
from tests.verifier.toy_circuits import (
    BLOCK,
    Case,
    blocks,
    blocks_of,
    blocks_system,
    fibonacci,
    fibonacci_system,
    ledger,
    ledger_of,
    ledger_system,
)
from tests.verifier.toy_proofs import prove, refused, verify
from verifier.errors import Reason
from verifier.field import Ext, P, ext_add, ext_inverse, ext_mul, ext_pow, ext_scale, ext_sub, ext_zero

# The witness: for every constraint label a proof that leaves it out, with a witness that breaks it and no other.


class Unconstrained(ReferenceProver):
    """Leaves one constraint out. The parent's `trim` still shows that the witness satisfies all the others."""

    label = ""

    def constraint_weights(self, drawn: Sequence[Ext]) -> Sequence[Ext]:
        labels = [constraint.label for constraint in self.system.constraints]
        index = labels.index(self.label)
        return [*drawn[:index], ext_zero, *drawn[index + 1 :]]

    def extension_columns(self, base: Sequence[Words], scalars: Sequence[Ext]) -> list[Exts]:
        columns = super().extension_columns(base, scalars)
        if self.label in LOOKUP_CHEATS:
            LOOKUP_CHEATS[self.label](columns, scalars)
        return columns


def prove_without(label: str, case: Case) -> bytes:
    return prove(case, prover=type("Without", (Unconstrained,), {"label": label}))


def fibonacci_of(a0: int = 7, b0: int = 1, slip_a: int = 0, slip_b: int = 0, miss_end: int = 0) -> Case:
    """A run with false starts, slips at row 300, or a public end that it misses."""
    a, b = [a0], [b0]
    while len(a) < 512:
        late = len(a) == 300
        a.append((b[-1] + slip_a * late) % P)
        b.append((a[-2] + b[-1] + slip_b * late) % P)
    publics = {"start": (7,), "end": ((b[-1] + miss_end) % P,)}
    return Case(replace(fibonacci().relation, publics=publics), {"a": a, "b": b})


BROKEN_FIBONACCI: Mapping[str, Callable[[], Case]] = {
    "a starts": lambda: fibonacci_of(a0=8),
    "b starts at 1": lambda: fibonacci_of(b0=2),
    "a' = b": lambda: fibonacci_of(slip_a=1),
    "b' = a + b": lambda: fibonacci_of(slip_b=1),
    "b ends": lambda: fibonacci_of(miss_end=1),
}


def ledger_with(**columns: Sequence[int]) -> Case:
    witness = ledger().witness
    return ledger_of(
        columns.get("amounts", witness["amount"]),
        columns.get("slots", witness["slot"]),
        columns.get("flags", witness["flag"]),
        columns.get("table", witness["n"]),
    )


def edited(column: str, changes: Mapping[int, int]) -> list[int]:
    return [changes.get(row, value) for row, value in enumerate(ledger().witness[column])]


def unequal_pair() -> Case:
    return ledger_with(amounts=edited("amount", {1: 5}))


def one_use_hidden() -> Case:
    """The multiplicity of 3 is one too small: the sum is too large by 1 / (alpha - 1 - 3 beta)."""
    case = ledger()
    return Case(case.relation, {**case.witness, "m": edited("m", {3: case.witness["m"][3] - 1})})


def shifted_pairs() -> Case:
    """Flags 0, 1, 0, 1, ..: row 0 stands alone with value 0, then the pairs follow."""
    amounts, slots = ledger().witness["amount"], ledger().witness["slot"]
    return ledger_with(flags=[row % 2 for row in range(512)], amounts=[0, *amounts[:-1]], slots=[0, 0, 0, *slots[2:-1]])


BROKEN_LEDGER: Mapping[str, Callable[[], Case]] = {
    "n starts at 0": lambda: ledger_with(table=[min(row + 1, 255) for row in range(512)]),
    "n counts": lambda: ledger_with(table=[min(row + (row > 128), 255) for row in range(512)]),
    "n ends at 255": lambda: ledger_with(table=[min(row, 254) for row in range(512)]),
    "flag starts at 1": shifted_pairs,
    "flag alternates": lambda: ledger_with(flags=edited("flag", {511: 1})),
    "slot is 0, 1 or top": lambda: ledger_with(slots=edited("slot", {100: 9, 101: 9})),
    "acc starts": unequal_pair,
    "acc steps": unequal_pair,
    "a pair balances": unequal_pair,
    "h0 is the sum of its fractions": lambda: ledger_with(amounts=edited("amount", {100: 200, 101: 200})),
    "h1 is the sum of its fractions": one_use_hidden,
    "sum starts at 0": one_use_hidden,
    "sum steps": one_use_hidden,
    "sum ends at terminal": one_use_hidden,
}


def blocks_with_flags(changes: Mapping[int, int]) -> Case:
    witness = blocks().witness
    return blocks_of(witness["digit"], [changes.get(row, flag) for row, flag in enumerate(witness["flag"])])


def one_more_is_published() -> Case:
    """r^3 too much."""
    relation = blocks().relation

    def more(r: Ext, alpha: Ext, beta: Ext) -> dict[str, Ext]:
        return {"losses": ext_add(relation.scalars(r, alpha, beta)["losses"], ext_pow(r, BLOCK - 1))}

    return Case(replace(relation, scalars=more), blocks().witness)


BROKEN_BLOCKS: Mapping[str, Callable[[], Case]] = {
    "flag is a bit": lambda: blocks_with_flags(dict.fromkeys(range(40, 44), 2)),
    "no flag on the highest digit of all": lambda: blocks_with_flags(dict.fromkeys(range(4), 1)),
    "flag is kept in a block": lambda: blocks_with_flags({41: 1}),
    "packed starts": blocks,
    "packed steps": blocks,
    "lost starts": one_more_is_published,
    "lost steps": one_more_is_published,
    "lost are the losses": one_more_is_published,
}


def surplus(scalars: Sequence[Ext], value: int) -> Ext:
    """1 / (alpha - 1 - value beta)."""
    _, alpha, beta, _ = scalars
    return ext_inverse(ext_sub(ext_sub(alpha, ONE), ext_scale(beta, value)))


def raise_sum(columns: list[Exts], start: int, amount: Ext) -> None:
    columns[3][start:512] = [ext_add(value, amount) for value in columns[3][start:512]]


def repair_start(columns: list[Exts], scalars: Sequence[Ext]) -> None:
    columns[0][0] = ext_sub(columns[0][0], columns[0][1])
    columns[0][1] = ext_zero


def repair_step(columns: list[Exts], scalars: Sequence[Ext]) -> None:
    columns[0][1] = ext_zero


def repair_helper(helper: int, row: int, value: int, times: int) -> Callable[[list[Exts], Sequence[Ext]], None]:
    def repair(columns: list[Exts], scalars: Sequence[Ext]) -> None:
        gap = ext_scale(surplus(scalars, value), -times % P)
        columns[helper][row] = ext_add(columns[helper][row], gap)
        raise_sum(columns, row + 1, gap)

    return repair


def repair_sum(start: int) -> Callable[[list[Exts], Sequence[Ext]], None]:
    return lambda columns, scalars: raise_sum(columns, start, ext_scale(surplus(scalars, 3), P - 1))


def repair_packed(start: int) -> Callable[[list[Exts], Sequence[Ext]], None]:
    """One more from a row on, and what follows from it."""

    def repair(columns: list[Exts], scalars: Sequence[Ext]) -> None:
        delta = ONE
        for row in range(start, 512):
            columns[0][row] = ext_add(columns[0][row], delta)
            delta = ext_mul(delta, ext_pow(scalars[0], 2 if row % BLOCK == BLOCK - 1 else 1))

    return repair


def repair_lost(start: int) -> Callable[[list[Exts], Sequence[Ext]], None]:
    def repair(columns: list[Exts], scalars: Sequence[Ext]) -> None:
        more = ext_pow(scalars[0], BLOCK - 1)
        columns[1][start:512] = [ext_add(value, more) for value in columns[1][start:512]]

    return repair


LOOKUP_CHEATS: Mapping[str, Callable[[list[Exts], Sequence[Ext]], None]] = {
    "acc starts": repair_start,
    "acc steps": repair_step,
    "h0 is the sum of its fractions": repair_helper(1, 100, 400, 2),
    "h1 is the sum of its fractions": repair_helper(2, 3, 3, 1),
    "sum starts at 0": repair_sum(0),
    "sum steps": repair_sum(200),
    "packed starts": repair_packed(0),
    "packed steps": repair_packed(200),
    "lost starts": repair_lost(0),
    "lost steps": repair_lost(200),
}


BROKEN: Mapping[str, Callable[[], Case]] = {**BROKEN_FIBONACCI, **BROKEN_LEDGER, **BROKEN_BLOCKS}


def test_every_constraint_has_its_case() -> None:
    systems = (fibonacci_system(), BROKEN_FIBONACCI), (ledger_system(), BROKEN_LEDGER), (blocks_system(), BROKEN_BLOCKS)
    for system, cases in systems:
        if cases.keys() != {constraint.label for constraint in system.constraints}:
            pytest.fail(f"{system.name}: a constraint without a case")


@pytest.mark.parametrize("label", BROKEN)
def test_a_disabled_constraint_is_noticed(label: str) -> None:
    case = BROKEN[label]()
    refused(Reason.CONSTRAINTS, case, prove_without(label, case))


def test_the_identity_alone_stops_a_false_witness(monkeypatch: pytest.MonkeyPatch) -> None:
    """Step 7: all columns and chunks are polynomials, truly opened."""
    case = fibonacci_of(slip_a=1)
    forged = prove_without("a' = b", case)
    only_stopped_by(monkeypatch, "verifier.stark.check_identity", nothing, case, forged)


class AnyQuotient(ReferenceProver):
    """Commits to the lowest coefficients of a quotient that is no polynomial."""

    def trim(self, quotient: Exts) -> Exts:
        return quotient[: 3 * self.params.chunk_coefficients(self.log2_rows)]


@pytest.mark.parametrize("row", [0, 1, 510, 511])
def test_a_wrong_cell_has_no_quotient(row: int) -> None:
    case = fibonacci()
    column = list(case.witness["a"])
    column[row] += 1
    forged = Case(case.relation, {**case.witness, "a": column})
    with pytest.raises(ValueError, match="does not satisfy"):
        prove(forged)
    refused(Reason.CONSTRAINTS, case, prove(forged, prover=AnyQuotient))


def test_hidden_rows_obey_nothing() -> None:
    """Transitions stop at the last active row: otherwise the random rows, the first of them at least, would fail."""
    verify(fibonacci(), prove(fibonacci(), seed=b"any other hidden rows"))


@pytest.mark.parametrize(
    "cheat",
    [
        lambda: ledger_with(amounts=edited("amount", {100: 200, 101: 200})),
        lambda: ledger_with(slots=edited("slot", {100: 0, 101: 0, 102: 1, 103: 1, 104: 0, 105: 0})),
        lambda: ledger_with(amounts=edited("amount", {100: P - 1, 101: P - 1})),
    ],
    ids=["not in the table", "moved to another slot", "negative"],
)
def test_lookups_and_totals_hold(cheat: Callable[[], Case]) -> None:
    """The public totals are those of the honest ledger; multiplicities are chosen as well as they can be."""
    refused(Reason.CONSTRAINTS, ledger(), prove(Case(ledger().relation, cheat().witness), prover=AnyQuotient))


def test_a_wrapped_multiplicity_does_not_help() -> None:
    """-1 use of a value, and one more of the next: multiplicities are words modulo p, the sum is not fooled."""
    uses = ledger().witness["m"]
    forged = Case(ledger().relation, {**ledger().witness, "m": edited("m", {0: P - 1, 8: uses[8] + 1})})
    refused(Reason.CONSTRAINTS, ledger(), prove(forged, prover=AnyQuotient))


def test_true_totals_of_another_ledger() -> None:
    """The proof is honest for its own terminal; everything absorbed is the same. Only the terminal differs."""
    other = ledger_with(amounts=edited("amount", {100: 3, 101: 3}))
    forged = prove(other)
    verify(other, forged)
    refused(Reason.CONSTRAINTS, ledger(), forged)
