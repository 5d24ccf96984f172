"""The tree hash against independent oracles: the Grain generator, galois, the known answers, and damaged tables."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, islice
from typing import Any

import galois
import numpy as np
import pytest

from verifier import poseidon, poseidon_constants
from verifier.errors import InvariantBroken
from verifier.field import P
from verifier.poseidon import (
    DEFAULT,
    INSTANCES,
    Instance,
    PoseidonBroken,
    compress,
    constants_digest,
    permute,
    self_test,
)

FIELD = galois.GF(P)
POSEIDON1, POSEIDON2 = INSTANCES["poseidon1-koalabear-16"], INSTANCES["poseidon2-koalabear-16"]
INPUTS = ([0] * 16, [P - 1] * 16, [0, P - 1] * 8, [pow(3, 1000 + i, P) for i in range(16)])

each_instance = pytest.mark.parametrize("instance", INSTANCES.values(), ids=list(INSTANCES))


def grain(width: int, full_rounds: int, partial_rounds: int) -> Iterator[int]:
    """Field elements of the Grain LFSR, as the Poseidon paper defines it, for a 31-bit prime field and x^alpha."""
    fields = ((1, 2), (0, 4), (31, 12), (width, 12), (full_rounds, 10), (partial_rounds, 10), (2**30 - 1, 30))
    state = [int(bit) for value, size in fields for bit in f"{value:0{size}b}"]

    def step() -> int:
        bit = state[62] ^ state[51] ^ state[38] ^ state[23] ^ state[13] ^ state[0]
        del state[0]
        state.append(bit)
        return bit

    def kept_bit() -> int:
        while not step():
            step()
        return step()

    for _ in range(160):
        step()
    while True:
        word = int("".join(str(kept_bit()) for _ in range(31)), 2)
        if word < P:
            yield word


def test_round_constants_come_from_grain() -> None:
    assert tuple(islice(grain(16, 8, 20), 448)) == poseidon_constants.GRAIN_STREAM
    rows = POSEIDON2.round_constants
    external, internal = rows[:4] + rows[24:], rows[4:24]
    assert [word for row in external for word in row] == list(
        poseidon_constants.GRAIN_STREAM[:64] + poseidon_constants.GRAIN_STREAM[84:148]
    )
    assert [row[0] for row in internal] == list(poseidon_constants.GRAIN_STREAM[64:84])
    assert not any(word for row in internal for word in row[1:])


def test_default_is_poseidon1() -> None:
    assert (DEFAULT.name, DEFAULT.width, DEFAULT.alpha) == ("poseidon1-koalabear-16", 16, 3)
    assert (DEFAULT.full_rounds, DEFAULT.partial_rounds) == (8, 20)
    assert np.gcd(DEFAULT.alpha, P - 1) == 1, "the S-box must be a bijection"
    assert permute(DEFAULT, range(16))[:2] == [610090613, 935319874]
    assert compress(range(8), range(8, 16))[:2] == [610090613, 935319875]


def galois_permute(instance: Instance, state: list[int]) -> list[int]:
    """Both permutations as their papers write them, with matrices built from their short descriptions."""
    stream = iter(poseidon_constants.GRAIN_STREAM)
    words = FIELD(state)
    if instance is POSEIDON1:
        row = poseidon_constants.POSEIDON1_MDS_FIRST_ROW
        mds = FIELD(np.array([np.roll(row, i) for i in range(16)]))
        for r in range(28):
            words += FIELD(list(islice(stream, 16)))
            boxes = slice(16) if r < 4 or r >= 24 else slice(1)
            words[boxes] = words[boxes] ** 3
            words = mds @ words
        return [int(word) for word in words]
    m4 = np.array([np.roll((2, 3, 1, 1), i) for i in range(4)])
    external = FIELD(np.kron(np.ones((4, 4), dtype=int) + np.eye(4, dtype=int), m4))
    half = FIELD(2) ** -1
    diagonal = [-FIELD(2), FIELD(1), FIELD(2), half, FIELD(3), FIELD(4), -half, -FIELD(3), -FIELD(4)]
    diagonal += [half**8, half**3, half**24, -(half**8), -(half**3), -(half**4), -(half**24)]
    internal = FIELD.Ones((16, 16)) + FIELD(np.diag([int(word) for word in diagonal]))
    words = external @ words
    for r in range(28):
        if 4 <= r < 24:
            words[0] = (words[0] + FIELD(next(stream))) ** 3
            words = internal @ words
        else:
            words = external @ ((words + FIELD(list(islice(stream, 16)))) ** 3)
    return [int(word) for word in words]


@each_instance
def test_permutation_equals_galois(instance: Instance) -> None:
    for state in INPUTS:
        assert permute(instance, state) == galois_permute(instance, list(state))


@each_instance
def test_compress_feeds_the_chaining_value_forward(instance: Instance) -> None:
    for state in INPUTS:
        h, block = state[:8], state[8:]
        expected = [(word + before) % P for word, before in zip(permute(instance, state), h, strict=False)]
        assert compress(h, block, instance) == expected
    assert compress(range(8), range(8, 16)) == compress(range(8), range(8, 16), POSEIDON1)
    assert compress(range(8), range(8, 16)) != compress(range(8), range(8, 16), POSEIDON2)
    assert compress(range(8), range(8, 16)) != compress(range(8, 16), range(8))


@pytest.mark.negative
@each_instance
@pytest.mark.parametrize(
    ("h", "block"),
    [
        ([0] * 7, [0] * 9),
        ([0] * 9, [0] * 7),
        ([0] * 8, [0] * 7),
        ([0] * 8, [0] * 9),
        ([], [0] * 16),
        ([P] + [0] * 7, [0] * 8),
        ([0] * 8, [0] * 7 + [P]),
        ([0] * 8, [-1] + [0] * 7),
    ],
)
def test_wrong_words_are_refused(instance: Instance, h: list[int], block: list[int]) -> None:
    with pytest.raises(InvariantBroken):
        compress(h, block, instance)


# -- matrices -------------------------------------------------------------------------------------------------------


def test_poseidon1_matrix_is_mds() -> None:
    """No zero minor: every one of size 1 and 2, and a sample of each larger size."""
    matrix = np.array(POSEIDON1.full_matrix, dtype=np.int64)
    assert matrix.all()
    for (i, j), (k, m) in ((rows, columns) for rows in _pairs() for columns in _pairs()):
        assert (matrix[i, k] * matrix[j, m] - matrix[i, m] * matrix[j, k]) % P
    random = np.random.default_rng(16)
    for size in range(3, 17):
        for _ in range(10):
            rows, columns = (random.choice(16, size, replace=False) for _ in range(2))
            assert np.linalg.det(FIELD(matrix[np.ix_(rows, columns)]))


def _pairs() -> Iterator[tuple[int, ...]]:
    return combinations(range(16), 2)


def test_poseidon2_matrices() -> None:
    m4 = np.array(poseidon_constants.POSEIDON2_M4, dtype=np.int64)
    for size in range(1, 5):
        for rows in combinations(range(4), size):
            for columns in combinations(range(4), size):
                assert np.linalg.det(FIELD(m4[np.ix_(rows, columns)])), "M4 must be MDS"
    external, internal = (FIELD(np.array(m)) for m in (POSEIDON2.full_matrix, POSEIDON2.partial_matrix))
    assert POSEIDON2.initial_matrix == POSEIDON2.full_matrix
    assert np.array_equal(external, FIELD(np.kron(np.ones((4, 4), dtype=int) + np.eye(4, dtype=int), m4)))
    assert np.linalg.det(external)
    assert np.linalg.det(internal)


@each_instance
def test_no_difference_passes_16_partial_rounds_unseen(instance: Instance) -> None:
    """Word 0 of 16 consecutive partial rounds determines the state, also when only every k-th round is looked at."""
    matrix = FIELD(np.array(instance.partial_matrix))
    power = matrix
    for _ in range(8):
        seen = [FIELD([1] + 15 * [0])]
        for _ in range(15):
            seen.append(seen[-1] @ power)
        assert np.linalg.matrix_rank(FIELD(np.array(seen))) == 16
        power = power @ matrix


def test_poseidon2_internal_matrix_has_no_invariant_subspace() -> None:
    """The minimal polynomials of M, M^2, ..., M^32 are irreducible of degree 16, as the Poseidon2 paper asks."""
    matrix = FIELD(np.array(POSEIDON2.partial_matrix))
    krylov = [FIELD([1] + 15 * [0])]
    for _ in range(16):
        krylov.append(krylov[-1] @ matrix)
    # X^16 = sum of tail[k] * X^k modulo the minimal polynomial of M.
    tail = [int(c) for c in np.linalg.solve(FIELD(np.array(krylov[:16])).T, krylov[16])]

    def times(a: list[int], b: list[int]) -> list[int]:
        product = [0] * 31
        for i, x in enumerate(a):
            for j, y in enumerate(b):
                product[i + j] += x * y
        for top in range(30, 15, -1):
            for k in range(16):
                product[top - 16 + k] += product[top] % P * tail[k]
        return [word % P for word in product[:16]]

    def power(base: list[int], exponent: int) -> list[int]:
        out = [1] + 15 * [0]
        for bit in f"{exponent:b}":
            out = times(out, out)
            out = times(out, base) if bit == "1" else out
        return out

    x = [0, 1] + 14 * [0]
    half_way = power(x, P**8)
    assert power(half_way, P**8) == x
    difference = [(a - b) % P for a, b in zip(half_way, x, strict=True)]
    multiples = [difference]
    for _ in range(15):
        multiples.append(times(multiples[-1], x))
    assert np.linalg.det(FIELD(np.array(multiples))), "Rabin: X^(p^8) - X must be prime to the polynomial"
    ratio = power(x, P**8 - 1)
    for k in range(1, 33):
        assert power(ratio, k) != [1] + 15 * [0], f"X^{k} lies in a proper subfield"


# -- damaged tables -------------------------------------------------------------------------------------------------


@each_instance
def test_pinned_digest_covers_every_number(instance: Instance) -> None:
    assert constants_digest(instance) == instance.digest
    digests = {instance.digest}
    rows = instance.round_constants
    for position in range(28 * 16):
        row, column = divmod(position, 16)
        changed = (*rows[row][:column], (rows[row][column] + 1) % P, *rows[row][column + 1 :])
        digests.add(constants_digest(replace(instance, round_constants=(*rows[:row], changed, *rows[row + 1 :]))))
    for name in ("width", "alpha", "full_rounds", "partial_rounds"):
        digests.add(constants_digest(replace(instance, **{name: getattr(instance, name) + 1})))
    other = POSEIDON1.full_matrix if instance is POSEIDON2 else POSEIDON2.partial_matrix
    digests.add(constants_digest(replace(instance, initial_matrix=other)))
    digests.add(constants_digest(replace(instance, full_matrix=other)))
    digests.add(constants_digest(replace(instance, partial_matrix=other)))
    digests.add(constants_digest(replace(instance, name=instance.name + "x")))
    assert len(digests) == 1 + 448 + 4 + 3 + 1


@pytest.mark.negative
@each_instance
def test_self_test_refuses(instance: Instance) -> None:
    wrong_rounds = replace(instance, full_rounds=6, partial_rounds=22)
    answer = (range(16), permute(instance, range(16)))
    assert self_test(instance, answer) is instance
    with pytest.raises(PoseidonBroken, match="pinned digest"):
        self_test(wrong_rounds, answer)
    with pytest.raises(PoseidonBroken, match="known answer"):
        self_test(replace(wrong_rounds, digest=constants_digest(wrong_rounds)), answer)


DAMAGE: dict[str, Any] = {
    "GRAIN_STREAM": (poseidon_constants.GRAIN_STREAM[0] ^ 1, *poseidon_constants.GRAIN_STREAM[1:]),
    "POSEIDON1_MDS_FIRST_ROW": (1, *poseidon_constants.POSEIDON1_MDS_FIRST_ROW[:-1]),
    "POSEIDON2_M4": poseidon_constants.POSEIDON2_M4[::-1],
    "POSEIDON2_INTERNAL_DIAGONAL": poseidon_constants.POSEIDON2_INTERNAL_DIAGONAL[::-1],
    "POSEIDON1_KNOWN_ANSWER": (range(16), range(16)),
    "POSEIDON2_KNOWN_ANSWER": (range(16), range(16)),
    "POSEIDON1_DIGEST": "0" * 64,
    "POSEIDON2_DIGEST": "0" * 64,
}


@pytest.mark.negative
@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_table_cannot_be_imported(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poseidon_constants, name, DAMAGE[name])
    spec = importlib.util.spec_from_file_location("damaged_poseidon", poseidon.__file__)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "damaged_poseidon", module)
    with pytest.raises(ImportError, match="koalabear-16: the"):
        spec.loader.exec_module(module)
