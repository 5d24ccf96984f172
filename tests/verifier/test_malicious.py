"""The prover is the adversary: its own code with one thing cheated, offered to the honest verifier.

Each cheat aims at one check. Where that check can be taken out by itself, the same proof is then accepted, which shows
that nothing else would have stopped it (`only_stopped_by`).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest

from tests.verifier.reference_polynomials import Exts, Words
from tests.verifier.reference_prover import ReferenceProver, SeededRandomness, Tree
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
from tests.verifier.toy_proofs import FREE, honest, parsed, prove, refused, verify
from verifier import fri, stark, transcript
from verifier.encoding import as_exts
from verifier.errors import Reason, VerificationError
from verifier.field import Ext, P, ext_add, ext_inverse, ext_mul, ext_pow, ext_scale, ext_sub, ext_zero, lift
from verifier.fri import LayerDomain, layer_domains
from verifier.params import TEST
from verifier.proof import Opening, Proof
from verifier.protocol import GRIND
from verifier.stark import Batch
from verifier.transcript import Transcript

pytestmark = pytest.mark.negative

ONE: Ext = (1, 0, 0, 0, 0)


def nothing(*args: object, **kwargs: object) -> None:
    """A check that checks nothing."""


def only_stopped_by(
    patch: pytest.MonkeyPatch, target: str, instead: Callable[..., object], case: Case, data: bytes
) -> None:
    """With this one check replaced, the forged proof passes."""
    with patch.context() as inner:
        inner.setattr(target, instead)
        verify(case, data)


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


# Proof of work and order.

GRINDS = (
    "lookup grind",
    "constraint grind",
    "zeta grind",
    "batching grind",
    "fri grind 0",
    "fri grind 1",
    "query grind",
)


class Lazy(ReferenceProver):
    """Absorbs a nonce that shows no work, for one label."""

    skipped = ""

    def grind(self, label: str) -> int:
        if label != self.skipped:
            return super().grind(label)
        nonce = int(self.transcript.find_nonce(label) == 0)
        self.transcript._advance(GRIND, label)
        self.transcript._absorb(label, struct.pack("<Q", nonce))
        return nonce


@pytest.mark.parametrize("label", GRINDS)
def test_skipped_work_is_refused(label: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the check of this nonce stops it."""
    forged = prove(fibonacci(), prover=type("Lazy", (Lazy,), {"skipped": label}))
    error = refused(Reason.GRINDING, fibonacci(), forged)
    if error.where["label"] != label:
        pytest.fail(f"refused at {error.where['label']}")
    only_stopped_by(monkeypatch, "verifier.transcript._work", lambda state, bits: 0, fibonacci(), forged)


def forgetting(label: str) -> type[ReferenceProver]:
    """A prover that absorbs zeros under one label."""

    class Forgetful(Transcript):
        def _absorb(self, name: str, data: bytes) -> None:
            super()._absorb(name, bytes(len(data)) if name == label else data)

    class Prover(ReferenceProver):
        def start(self) -> Transcript:
            return Forgetful.start(self.system, self.params, self.log2_rows, self.relation.binding)

    return Prover


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ("protocol", Reason.CONSTRAINTS),
        ("circuit", Reason.CONSTRAINTS),
        ("parameters", Reason.CONSTRAINTS),
        ("rows", Reason.CONSTRAINTS),
        ("statement", Reason.CONSTRAINTS),
        ("base root", Reason.CONSTRAINTS),
        ("lookup root", Reason.CONSTRAINTS),
        ("quotient root", Reason.CONSTRAINTS),
        ("openings", Reason.COMMITMENT),
        ("fri root 0", Reason.COMMITMENT),
        ("fri final", Reason.COMMITMENT),
    ],
)
def test_nothing_may_be_chosen_after_its_challenge(label: str, reason: Reason) -> None:
    """Whatever is not absorbed could be changed afterwards; the verifier absorbs it and draws something else."""
    refused(reason, fibonacci(), prove(fibonacci(), FREE, prover=forgetting(label)), FREE)


# Points in the base field.


@pytest.mark.parametrize("name", ["r", "zeta"])
def test_a_challenge_in_the_base_field_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the check of the challenge stops this: 12345 is in neither domain, and the proof is fine."""
    draw_one = Transcript.draw_one

    def unlucky(self: Transcript, label: str) -> Ext:
        drawn = draw_one(self, label)
        return lift(12345) if label == name else drawn

    monkeypatch.setattr(Transcript, "draw_one", unlucky)
    proof = prove(fibonacci())
    refused(Reason.OUT_OF_DOMAIN_POINT, fibonacci(), proof)
    only_stopped_by(monkeypatch, "verifier.stark._refuse_base_field", nothing, fibonacci(), proof)


@pytest.mark.parametrize("zeta", [0, 1, 3, P - 1])
def test_zeta_in_a_domain_is_a_clean_refusal(zeta: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """1 is a row of the trace, 3 a point of D."""
    proof = honest("fibonacci")
    monkeypatch.setattr(Transcript, "draw_one", lambda self, label: self.draw(label) and lift(zeta))
    refused(Reason.OUT_OF_DOMAIN_POINT, fibonacci(), proof)


# The quotient and the openings.


class SwappedChunks(ReferenceProver):
    def chunks(self, quotient: Exts) -> list[Exts]:
        first, second, third = super().chunks(quotient)
        return [second, first, third]


def test_swapped_chunks_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Step 7 alone: the chunks are polynomials and truly opened."""
    forged = prove(fibonacci(), prover=SwappedChunks)
    refused(Reason.CONSTRAINTS, fibonacci(), forged)
    only_stopped_by(monkeypatch, "verifier.stark.check_identity", nothing, fibonacci(), forged)


class Liar(ReferenceProver):
    """Opens two chunks falsely so that the identity holds all the same, and divides by x - zeta as if true."""

    def openings(self, polynomials: Sequence[Exts], chunks: Sequence[Exts], zeta: Ext) -> Exts:
        self.truth = super().openings(polynomials, chunks, zeta)
        step = ext_pow(zeta, self.params.chunk_coefficients(self.log2_rows))
        *others, first, second, third = self.truth
        return [*others, ext_add(first, step), ext_sub(second, ONE), third]


class SmoothLiar(Liar):
    """The same, but its G is the polynomial that belongs to the truth."""

    def combine(
        self,
        columns: Sequence[Exts],
        chunks: Sequence[Exts],
        mask: Exts,
        zeta: Ext,
        openings: Sequence[Ext],
        weights: Sequence[Ext],
    ) -> Exts:
        return super().combine(columns, chunks, mask, zeta, self.truth, weights)


def test_a_false_opening_leaves_no_polynomial() -> None:
    refused(Reason.FRI_FINAL, fibonacci(), prove(fibonacci(), prover=Liar))


def test_a_false_opening_behind_a_true_polynomial(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the comparison of layer 0 with the verifier's own G stops this."""
    forged = prove(fibonacci(), prover=SmoothLiar)
    error = refused(Reason.FRI_FOLD, fibonacci(), forged)
    if error.where["layer"] != 0:
        pytest.fail(str(error))
    only_stopped_by(monkeypatch, "verifier.stark.check_layers", believing_layer_zero, fibonacci(), forged)


def believing_layer_zero(
    domains: Sequence[LayerDomain],
    values: Mapping[int, Ext],
    roots: Sequence[bytes],
    folds: Sequence[Sequence[Ext]],
    layers: Sequence[Opening],
    final: Sequence[Ext],
) -> None:
    """The check of the layers with G taken from the prover."""
    leaves = sorted({domains[0].place(position)[0] for position in values})
    rows = {leaf: as_exts(row) for leaf, row in zip(leaves, layers[0].rows, strict=True)}
    places = {position: domains[0].place(position) for position in values}
    believed = {position: rows[leaf][slot] for position, (leaf, slot) in places.items()}
    fri.check_layers(domains, believed, roots, folds, layers, final)


def test_a_false_opening_fails_at_every_position() -> None:
    """A lie changes G by weight * lie / (x - point), which is zero nowhere: one query would do."""
    system, size = fibonacci_system(), 2048
    zeta = (3, 1, 4, 1, 5)
    openings = list(as_exts(range(35)))
    weights = as_exts(range(100, 135))
    domain = layer_domains(TEST, 10)[0]
    trees = [Opening(tuple(bytes(16 + 4 * words) for _ in range(size)), ()) for words in (2, 0, 20)]
    honest_values = Batch.of(system, 10, zeta, openings, weights).evaluate(domain, range(size), trees)
    for index in range(len(openings)):
        lie = [*openings[:index], ext_add(openings[index], (0, 0, 1, 0, 0)), *openings[index + 1 :]]
        values = Batch.of(system, 10, zeta, lie, weights).evaluate(domain, range(size), trees)
        if any(values[position] == honest_values[position] for position in range(size)):
            pytest.fail(f"a lie about opening {index} goes unnoticed at a position")


class SharedCoefficient(ReferenceProver):
    """Gives the mask the coefficient of the first claim."""

    def combine(
        self,
        columns: Sequence[Exts],
        chunks: Sequence[Exts],
        mask: Exts,
        zeta: Ext,
        openings: Sequence[Ext],
        weights: Sequence[Ext],
    ) -> Exts:
        scaled = [ext_mul(weights[0], value) for value in mask]
        return super().combine(columns, chunks, scaled, zeta, openings, weights)


def test_the_mask_has_its_own_coefficient() -> None:
    error = refused(Reason.FRI_FOLD, fibonacci(), prove(fibonacci(), prover=SharedCoefficient))
    if error.where["layer"] != 0:
        pytest.fail(str(error))


class NoMask(ReferenceProver):
    def mask(self) -> Exts:
        return [ext_zero] * self.rows


def test_a_zero_mask_is_the_provers_own_loss() -> None:
    """It gives away secrets and forges nothing: the verifier cannot and need not refuse it."""
    verify(fibonacci(), prove(fibonacci(), prover=NoMask))
    if not all(any(row[15:]) for row in parsed("fibonacci").trees[2].rows):
        pytest.fail("the honest prover's mask is zero somewhere")


# Degree.


class Noise(ReferenceProver):
    """Commits to a mask that is no polynomial at all."""

    def mask_values(self, mask: Exts) -> Exts:
        words = SeededRandomness(b"noise").words("noise", 5 * self.points)
        return list(as_exts(words))


class OneDegreeTooMany(ReferenceProver):
    """Adds X^N to the mask."""

    def mask_values(self, mask: Exts) -> Exts:
        domain = layer_domains(self.params, self.log2_rows)[0]
        extra = [pow(domain.point(position), self.rows, P) for position in range(self.points)]
        return [ext_add(value, lift(power)) for value, power in zip(super().mask_values(mask), extra, strict=True)]


@pytest.mark.parametrize("prover", [Noise, OneDegreeTooMany])
def test_what_is_no_polynomial_of_low_degree_is_refused(
    prover: type[ReferenceProver], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the final polynomial stops this: every fold is true."""
    forged = prove(fibonacci(), prover=prover)
    error = refused(Reason.FRI_FINAL, fibonacci(), forged)
    if error.where["position"] not in range(16, 32):
        pytest.fail("the final polynomial was made from the first coset and must fail on the second")


class FalseFinal(ReferenceProver):
    def final_polynomial(self, layer: Exts) -> Exts:
        first, *others = super().final_polynomial(layer)
        return [ext_add(first, ONE), *others]


def test_a_false_final_polynomial(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the final check stops this: with the constant put right it passes."""
    evaluate_final = fri.evaluate_final

    def repaired(coefficients: Sequence[Ext], point: int) -> Ext:
        return ext_sub(evaluate_final(coefficients, point), ONE)

    forged = prove(fibonacci(), prover=FalseFinal)
    refused(Reason.FRI_FINAL, fibonacci(), forged)
    only_stopped_by(monkeypatch, "verifier.fri.evaluate_final", repaired, fibonacci(), forged)


class FalseFold(ReferenceProver):
    """Folds the second layer with a challenge of its own."""

    def fold(self, layer: Exts, shift: int, beta: Ext) -> Exts:
        return super().fold(layer, shift, ext_add(beta, ONE) if shift == 3 else beta)


def test_a_false_fold() -> None:
    """Only the comparison of layer 1 with the fold of layer 0 stops this: the final polynomial fits layer 1."""
    error = refused(Reason.FRI_FOLD, fibonacci(), prove(fibonacci(), prover=FalseFold))
    if error.where["layer"] != 1:
        pytest.fail(str(error))


# Commitments.


class WideLeaves(ReferenceProver):
    """Commits to base rows with one more word, and publishes them without it."""

    def commit(self, label: str, rows: Sequence[Words]) -> Tree:
        return super().commit(label, [[*row, 0] for row in rows] if label == "base" else rows)

    def publish(self, proof: Proof) -> Proof:
        base, lookup, quotient = proof.trees
        cut = replace(base, messages=tuple(message[:-4] for message in base.messages))
        return replace(proof, trees=(cut, lookup, quotient))


class MovedWord(ReferenceProver):
    """Commits to the second base column in the lookup tree, and publishes it in its place."""

    def commit(self, label: str, rows: Sequence[Words]) -> Tree:
        if label == "base":
            self.moved = [row[1:] for row in rows]
            return super().commit(label, [row[:1] for row in rows])
        return super().commit(label, self.moved if label == "lookup" else rows)

    def publish(self, proof: Proof) -> Proof:
        base, lookup, quotient = proof.trees
        pairs = zip(base.messages, lookup.messages, strict=True)
        joined = replace(base, messages=tuple(one + other[16:] for one, other in pairs))
        emptied = replace(lookup, messages=tuple(message[:16] for message in lookup.messages))
        return replace(proof, trees=(joined, emptied, quotient))


@pytest.mark.parametrize("prover", [WideLeaves, MovedWord])
def test_rows_are_committed_to_as_wide_as_the_circuit(
    prover: type[ReferenceProver], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the hash of the leaves stops this: every word is the honest one."""
    forged = prove(fibonacci(), prover=prover)
    refused(Reason.COMMITMENT, fibonacci(), forged)
    only_stopped_by(monkeypatch, "verifier.stark.check_openings", nothing, fibonacci(), forged)


def resalted(opening: Opening) -> Opening:
    first, *others = opening.messages
    return replace(opening, messages=(bytes([first[0] ^ 1]) + first[1:], *others))


@pytest.mark.parametrize("tree", range(3))
def test_a_leaf_of_no_tree(tree: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the root of this tree stops this: the salt enters nothing but the hash."""
    proof = parsed("fibonacci")
    trees = [resalted(opening) if i == tree else opening for i, opening in enumerate(proof.trees)]
    forged = replace(proof, trees=tuple(trees)).to_bytes()
    error = refused(Reason.COMMITMENT, fibonacci(), forged)
    if error.where["tree"] != ("base", "lookup", "quotient")[tree]:
        pytest.fail(str(error))
    only_stopped_by(monkeypatch, "verifier.stark.check_openings", nothing, fibonacci(), forged)


@pytest.mark.parametrize("layer", range(2))
def test_a_leaf_of_no_layer(layer: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the root of this layer stops this."""
    proof = parsed("fibonacci")
    layers = [resalted(opening) if i == layer else opening for i, opening in enumerate(proof.layers)]
    forged = replace(proof, layers=tuple(layers)).to_bytes()
    error = refused(Reason.FRI_LAYER, fibonacci(), forged)
    if error.where["layer"] != layer:
        pytest.fail(str(error))
    only_stopped_by(monkeypatch, "verifier.fri._check_commitment", nothing, fibonacci(), forged)


def test_the_checks_that_were_taken_out_are_back() -> None:
    if transcript._work(bytes(32), 32) == 0 or stark._refuse_base_field is nothing:
        pytest.fail("a patch has leaked")
    with pytest.raises(VerificationError):
        verify(fibonacci(), honest("ledger"))
