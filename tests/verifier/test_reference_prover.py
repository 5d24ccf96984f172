"""The slow prover's own tools, by definition: it is the measure for the fast one."""

from __future__ import annotations

import random

import pytest

from tests.verifier.reference_polynomials import (
    domain_multipliers_on,
    evaluate_nodes,
    ext_interpolate,
    ext_values_on,
    interpolate,
    ntt,
    values_on,
)
from tests.verifier.reference_prover import SeededRandomness
from tests.verifier.toy_circuits import ledger, ledger_system
from tests.verifier.toy_proofs import prove
from verifier.air import evaluate
from verifier.encoding import as_exts
from verifier.field import P, lift, root_of_unity
from verifier.params import TEST
from verifier.stark import domain_multipliers, evaluate_scalars

R, ALPHA, BETA = as_exts(range(1, 16))


def horner(polynomial: list[int], point: int) -> int:
    return sum(c * pow(point, i, P) for i, c in enumerate(polynomial)) % P


@pytest.mark.parametrize("log2_size", range(1, 7))
def test_the_transform_is_evaluation(log2_size: int) -> None:
    rng, size, root = random.Random(log2_size), 1 << log2_size, root_of_unity(log2_size)
    polynomial = [rng.randrange(P) for _ in range(size)]
    assert ntt(polynomial, root) == [horner(polynomial, pow(root, i, P)) for i in range(size)]
    short = polynomial[: size - 1]
    values = values_on(short, 3, size)
    assert values == [horner(short, 3 * pow(root, i, P) % P) for i in range(size)]
    assert interpolate(values, 3) == [*short, 0]
    elements = list(as_exts([rng.randrange(P) for _ in range(5 * size)]))
    assert ext_interpolate(ext_values_on(elements, 9, size), 9) == elements


def test_nodes_over_rows_are_nodes_at_points() -> None:
    """The vectors of the prover against the one evaluation that the verifier uses."""
    case, system = ledger(), ledger_system()
    scalars = evaluate_scalars(case.relation, R, ALPHA, BETA)
    rng = random.Random(7)
    columns = [list(column) for column in case.columns]
    extension = [list(as_exts([rng.randrange(P) for _ in range(5 * 512)])) for _ in system.extension_columns]
    publics = [[rng.randrange(P) for _ in range(512)] for _ in system.publics]
    wanted = [constraint.node for constraint in system.constraints]
    got = evaluate_nodes(system, wanted, [*columns, *extension], 1, publics, scalars)
    for row in (0, 1, 300, 511):
        here = [lift(column[row]) for column in columns] + [column[row] for column in extension]
        after = [lift(column[(row + 1) % 512]) for column in columns]
        after += [column[(row + 1) % 512] for column in extension]
        following = {index: after[index] for index in system.next_row_columns}
        expected = evaluate(system, here, following, [lift(column[row]) for column in publics], scalars)
        for node in wanted:
            value = got[node][row]
            assert (lift(value) if isinstance(value, int) else value) == expected[node]


def test_multipliers_agree_with_the_verifier() -> None:
    """At base points of the prover's coset, which the verifier's function takes as well as any other."""
    values = domain_multipliers_on(10, 3, 4096)
    for index in (0, 1, 4095):
        point = 3 * pow(root_of_unity(12), index, P) % P
        expected = domain_multipliers(10, lift(point))
        assert {name: lift(column[index]) for name, column in values.items()} == expected


def test_randomness_is_uniform_words_and_salts_by_label() -> None:
    source = SeededRandomness(b"seed")
    words = source.words("a", 5000)
    assert len(words) == 5000 and max(words) < P and words == SeededRandomness(b"seed").words("a", 5000)
    assert words[:4] != source.words("b", 4) and words[:4] != SeededRandomness(b"other").words("a", 4)
    assert words[:4] == source.words("a", 4)
    salts = source.salts("a", 300)
    assert len(set(salts)) == 300 and {len(salt) for salt in salts} == {16}


def test_every_secret_is_drawn_once_with_its_label_and_count() -> None:
    """What a fast prover has to ask for, in this order, to give the same bytes."""
    asked: list[tuple[str, int]] = []

    class Listening(SeededRandomness):
        def words(self, label: str, count: int) -> list[int]:
            asked.append((label, count))
            return super().words(label, count)

        def salts(self, label: str, count: int) -> list[bytes]:
            asked.append((f"salts {label}", count))
            return super().salts(label, count)

    from tests.verifier.reference_prover import ReferenceProver

    case = ledger()
    proof = ReferenceProver(case.relation, TEST, case.columns, Listening(b"toy")).prove()
    assert proof == prove(case)
    assert asked == [
        ("base hidden rows", 512 * 5),
        ("salts base", 2048),
        ("lookup hidden rows", 512 * 5 * 4),
        ("salts lookup", 2048),
        ("quotient masks", 2 * 5 * 9),
        ("mask polynomial", 5 * 1024),
        ("salts quotient", 2048),
        ("salts fri 0", 256),
        ("salts fri 1", 32),
    ]
