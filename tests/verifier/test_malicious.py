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
from tests.verifier.toy_circuits import LOG2_ROWS, Case, fibonacci, fibonacci_system
from tests.verifier.toy_proofs import FREE, honest, parsed, prove, refused, verify
from verifier import fri, stark, transcript
from verifier.encoding import as_exts
from verifier.errors import Reason, VerificationError
from verifier.field import Ext, P, ext_add, ext_mul, ext_pow, ext_sub, ext_zero, lift
from verifier.fri import LayerDomain, layer_domains
from verifier.params import TEST
from verifier.proof import Opening, Proof
from verifier.protocol import ABSORB, GRIND, schedule
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


# Proof of work and order.

STEPS = schedule(fibonacci_system(), FREE, LOG2_ROWS)
GRINDS = tuple(step.label for step in STEPS if step.kind == GRIND)
ABSORBED = tuple(step.label for step in STEPS if step.kind == ABSORB)


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


@pytest.mark.parametrize("label", ABSORBED)
def test_nothing_may_be_chosen_after_its_challenge(label: str) -> None:
    """Whatever is not absorbed could be changed afterwards; the verifier absorbs it and draws something else."""
    before_zeta = ABSORBED.index(label) <= ABSORBED.index("quotient root")
    reason = Reason.CONSTRAINTS if before_zeta else Reason.COMMITMENT
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
