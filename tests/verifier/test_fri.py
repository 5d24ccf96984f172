"""Folding against polynomials, the places of points, and every check of a layer on its own."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import pytest

from tests.verifier.reference_polynomials import Exts, add_polynomials, ext_interpolate, ext_values_on
from tests.verifier.reference_prover import Tree
from tests.verifier.toy_proofs import RATE_QUARTER, expect
from verifier.encoding import as_exts, pack_words
from verifier.errors import Reason, VerificationError
from verifier.field import Ext, P, ext_add, ext_horner, ext_mul, lift, root_of_unity
from verifier.fri import LayerDomain, check_layers, evaluate_final, fold_leaf, layer_domains
from verifier.params import TEST, ProofParams
from verifier.proof import Opening

LOG2_ROWS = 10


def random_exts(rng: random.Random, count: int) -> list[Ext]:
    return list(as_exts([rng.randrange(P) for _ in range(5 * count)]))


def fold_polynomial(polynomial: Exts, beta: Ext) -> Exts:
    """f = even(x^2) + x odd(x^2) becomes even + beta odd."""
    return add_polynomials(polynomial[0::2], [ext_mul(beta, odd) for odd in polynomial[1::2]])


@pytest.mark.parametrize("params", [TEST, RATE_QUARTER], ids=lambda params: params.name)
def test_a_leaf_folds_like_the_polynomial(params: ProofParams) -> None:
    rng = random.Random(1)
    polynomial, folds = random_exts(rng, 1 << 6), random_exts(rng, 3)
    folded = polynomial
    for beta in folds:
        folded = fold_polynomial(folded, beta)
    domain = LayerDomain(params.log2_blowup, 6, 3)
    below = LayerDomain(params.log2_blowup, 3, pow(3, 8, P))
    for leaf in range(params.blowup << 3):
        first = domain.first_position(leaf)
        values = [ext_horner(polynomial, lift(domain.point(first + slot * 8))) for slot in range(8)]
        out = fold_leaf(values, pow(domain.point(first), -1, P), folds)
        assert out == ext_horner(folded, lift(below.point(leaf))) == evaluate_final(folded, below.point(leaf))


@pytest.mark.parametrize("params", [TEST, RATE_QUARTER], ids=lambda params: params.name)
def test_points_stand_where_the_protocol_says(params: ProofParams) -> None:
    for layer, domain in enumerate(layer_domains(params, LOG2_ROWS)):
        size = 1 << domain.log2_rows
        root = root_of_unity(domain.log2_rows + params.log2_blowup)
        shift = pow(3, 8**layer, P)
        expected = [shift * pow(root, c + params.blowup * i, P) % P for c in range(params.blowup) for i in range(size)]
        assert [domain.point(position) for position in range(params.blowup * size)] == expected
        assert len(set(expected)) == len(expected)
    assert domain.log2_rows == LOG2_ROWS - 6


def test_no_point_of_the_domain_is_a_row_of_the_trace() -> None:
    domain = layer_domains(TEST, LOG2_ROWS)[0]
    assert all(pow(domain.point(position), 1 << LOG2_ROWS, P) != 1 for position in range(2 << LOG2_ROWS))


def test_leaves_partition_the_positions() -> None:
    domain = layer_domains(TEST, LOG2_ROWS)[0]
    places = [domain.place(position) for position in range(2 << LOG2_ROWS)]
    assert len(set(places)) == len(places)
    assert {slot for _, slot in places} == set(range(8))
    assert max(leaf for leaf, _ in places) == (2 << LOG2_ROWS) // 8 - 1
    for position, (leaf, slot) in enumerate(places):
        assert domain.first_position(leaf) + slot * (1 << LOG2_ROWS) // 8 == position


@dataclass(frozen=True)
class Run:
    """Arguments of `check_layers` for one honest polynomial of 2^10 coefficients."""

    values: dict[int, Ext]
    roots: tuple[bytes, ...]
    folds: tuple[tuple[Ext, ...], ...]
    layers: tuple[Opening, ...]
    final: tuple[Ext, ...]

    def check(self) -> None:
        check_layers(layer_domains(TEST, LOG2_ROWS), self.values, self.roots, self.folds, self.layers, self.final)


def honest_run() -> Run:
    rng = random.Random(2)
    polynomial = random_exts(rng, 1 << LOG2_ROWS)
    domains = layer_domains(TEST, LOG2_ROWS)
    positions = [5, 130, 1029, 2047]
    values = {position: ext_horner(polynomial, lift(domains[0].point(position))) for position in positions}
    roots, folds, layers, known = [], [], [], positions
    for domain in domains[:-1]:
        per_coset = 1 << domain.log2_rows
        column = [
            value
            for coset in range(2)
            for value in ext_values_on(polynomial, domain.point(coset * per_coset), per_coset)
        ]
        rows = []
        for leaf in range(len(column) // 8):
            first = domain.first_position(leaf)
            rows.append([word for t in range(8) for word in column[first + t * per_coset // 8]])
        tree = Tree([bytes(16) + pack_words(row) for row in rows])
        known = sorted({domain.place(position)[0] for position in known})
        roots.append(tree.root)
        layers.append(tree.open(known))
        betas = random_exts(rng, 3)
        folds.append(tuple(betas))
        for beta in betas:
            polynomial = fold_polynomial(polynomial, beta)
    return Run(values, tuple(roots), tuple(folds), tuple(layers), tuple(polynomial))


@pytest.fixture(scope="module")
def run() -> Run:
    return honest_run()


def refuse(run: Run, reason: Reason) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        run.check()
    expect(reason, caught.value)
    return caught.value


def test_an_honest_polynomial_passes(run: Run) -> None:
    run.check()


@pytest.mark.negative
@pytest.mark.parametrize("position", [5, 130, 1029, 2047])
def test_g_is_compared_with_layer_zero_at_every_position(run: Run, position: int) -> None:
    """Only the comparison of the first layer with the verifier's own G stops this."""
    values = {**run.values, position: ext_add(run.values[position], (0, 0, 0, 0, 1))}
    error = refuse(replace(run, values=values), Reason.FRI_FOLD)
    if (error.where["layer"], error.where["position"]) != (0, position):
        pytest.fail(str(error))


@pytest.mark.negative
def test_a_layer_is_compared_with_the_fold_of_the_one_before(run: Run) -> None:
    """Only the comparison of layer 1 stops this: both layers are committed to, the final polynomial fits layer 1."""
    changed = ((ext_add(run.folds[0][0], (1, 0, 0, 0, 0)), *run.folds[0][1:]), run.folds[1])
    error = refuse(replace(run, folds=changed), Reason.FRI_FOLD)
    if error.where["layer"] != 1:
        pytest.fail(str(error))


@pytest.mark.negative
def test_the_last_fold_is_compared_with_the_final_polynomial(run: Run) -> None:
    """Only the final check stops these: all layers agree with each other."""
    for index in (0, len(run.final) - 1):
        final = list(run.final)
        final[index] = ext_add(final[index], (0, 1, 0, 0, 0))
        refuse(replace(run, final=tuple(final)), Reason.FRI_FINAL)
    refuse(replace(run, folds=(run.folds[0], run.folds[0])), Reason.FRI_FINAL)


@pytest.mark.negative
@pytest.mark.parametrize("layer", [0, 1])
def test_leaves_hash_to_the_root_of_their_layer(run: Run, layer: int) -> None:
    """Only the commitment of the layer stops these: the words are the honest ones."""
    opening = run.layers[layer]
    salted = replace(opening, messages=(b"\1" + opening.messages[0][1:], *opening.messages[1:]))
    moved = replace(opening, siblings=(opening.siblings[1], opening.siblings[0], *opening.siblings[2:]))
    for changed in (salted, moved):
        layers = [*run.layers]
        layers[layer] = changed
        error = refuse(replace(run, layers=tuple(layers)), Reason.FRI_LAYER)
        if error.where["layer"] != layer:
            pytest.fail(str(error))


@pytest.mark.negative
@pytest.mark.parametrize("layer", [0, 1])
def test_exactly_the_asked_leaves_are_opened(run: Run, layer: int) -> None:
    opening = run.layers[layer]
    for messages in (opening.messages[:-1], (*opening.messages, opening.messages[-1])):
        layers = [*run.layers]
        layers[layer] = replace(opening, messages=messages)
        refuse(replace(run, layers=tuple(layers)), Reason.MALFORMED)


@pytest.mark.negative
def test_values_of_a_leaf_do_not_commute(run: Run) -> None:
    """Two of the eight values swapped, and the tree made for it: the fold differs."""
    opening = run.layers[1]
    rows = [list(as_exts(row)) for row in opening.rows]
    rows[0][2], rows[0][3] = rows[0][3], rows[0][2]
    inverse = pow(5, -1, P)
    if fold_leaf(rows[0], inverse, run.folds[1]) == fold_leaf(as_exts(opening.rows[0]), inverse, run.folds[1]):
        pytest.fail("the order of the values does not matter")


def test_interpolation_of_the_last_layer_is_the_final_polynomial(run: Run) -> None:
    """What the prover sends: both cosets give the same coefficients."""
    domain = layer_domains(TEST, LOG2_ROWS)[-1]
    values = [evaluate_final(run.final, domain.point(position)) for position in range(32)]
    root = root_of_unity(5)
    assert ext_interpolate(values[:16], domain.shift) == list(run.final)
    assert ext_interpolate(values[16:], domain.shift * root % P) == list(run.final)
