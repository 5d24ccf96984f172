"""The tree hash: two width-16 Poseidon permutations over KoalaBear and the compression built on them.

Plain integers, canonical words (0 <= word < P) in and out. Importing this module checks every instance against its
pinned digest and its known answer, so a damaged table cannot be used. `poseidon1-koalabear-16` is the default.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import mul
from types import MappingProxyType

from verifier import poseidon_constants as numbers
from verifier.errors import InvariantBroken
from verifier.field import P

WIDTH = 16
DIGEST_WORDS = 8

Matrix = tuple[tuple[int, ...], ...]


class PoseidonBroken(InvariantBroken, ImportError):
    """The tables of this installation are not the ones that were pinned."""


@dataclass(frozen=True)
class Instance:
    """One versioned permutation.

    A round adds 16 constants, raises to the power alpha (every word in a full round, word 0 in a partial one) and
    multiplies by a matrix: `full_rounds / 2` full rounds, `partial_rounds` partial ones, `full_rounds / 2` full ones.
    `initial_matrix` is applied before the first round; None stands for the identity.
    """

    name: str
    width: int
    alpha: int
    full_rounds: int
    partial_rounds: int
    digest: str
    initial_matrix: Matrix | None = field(repr=False)
    full_matrix: Matrix = field(repr=False)
    partial_matrix: Matrix = field(repr=False)
    round_constants: Matrix = field(repr=False)

    def is_full_round(self, round_index: int) -> bool:
        return not self.full_rounds // 2 <= round_index < self.full_rounds // 2 + self.partial_rounds


def constants_digest(instance: Instance) -> str:
    """SHA-256, in hex, of the name and of every number, each as 4 bytes little-endian."""
    identity = tuple(tuple(int(i == j) for j in range(WIDTH)) for i in range(WIDTH))
    shape = (instance.width, instance.alpha, instance.full_rounds, instance.partial_rounds)
    matrices = (instance.initial_matrix or identity, instance.full_matrix, instance.partial_matrix)
    rows = (shape, *(row for matrix in matrices for row in matrix), *instance.round_constants)
    body = b"".join(number.to_bytes(4, "little") for row in rows for number in row)
    return hashlib.sha256(instance.name.encode() + b"\0" + body).hexdigest()


def multiply(matrix: Matrix, vector: Sequence[int]) -> list[int]:
    """Matrix times column vector modulo P."""
    return [sum(map(mul, row, vector)) % P for row in matrix]


def permute(instance: Instance, state: Sequence[int]) -> list[int]:
    """The permutation of 16 canonical words. Raises InvariantBroken for any other input: callers have parsed theirs."""
    if len(state) != WIDTH or not all(0 <= word < P for word in state):
        raise InvariantBroken(f"{instance.name} takes {WIDTH} words below {P}")
    words = list(state) if instance.initial_matrix is None else multiply(instance.initial_matrix, state)
    for round_index, constants in enumerate(instance.round_constants):
        words = [word + constant for word, constant in zip(words, constants, strict=True)]
        if instance.is_full_round(round_index):
            words = multiply(instance.full_matrix, [word * word % P * word for word in words])
        else:
            words[0] = pow(words[0], 3, P)
            words = multiply(instance.partial_matrix, words)
    return words


def compress(h: Sequence[int], block: Sequence[int], instance: Instance | None = None) -> list[int]:
    """Chaining value and block, 8 canonical words each, to 8 words: first half of (permutation + input).

    Both the input that is chained and the output that is kept are the first half: were the kept half that of the block,
    C(h, block) = block would be easy to solve.
    """
    if len(h) != DIGEST_WORDS:
        raise InvariantBroken(f"a chaining value has {DIGEST_WORDS} words, not {len(h)}")
    after = permute(instance or DEFAULT, (*h, *block))
    return [(word + before) % P for word, before in zip(after[:DIGEST_WORDS], h, strict=True)]


def _chunks(stream: Sequence[int]) -> Matrix:
    return tuple(tuple(stream[i : i + WIDTH]) for i in range(0, len(stream), WIDTH))


def _poseidon1() -> Instance:
    first_row = numbers.POSEIDON1_MDS_FIRST_ROW
    mds = tuple(tuple(first_row[(j - i) % WIDTH] for j in range(WIDTH)) for i in range(WIDTH))
    return Instance(
        name="poseidon1-koalabear-16",
        width=WIDTH,
        alpha=3,
        full_rounds=8,
        partial_rounds=20,
        digest=numbers.POSEIDON1_DIGEST,
        initial_matrix=None,
        full_matrix=mds,
        partial_matrix=mds,
        round_constants=_chunks(numbers.GRAIN_STREAM),
    )


def _poseidon2() -> Instance:
    m4, diagonal = numbers.POSEIDON2_M4, numbers.POSEIDON2_INTERNAL_DIAGONAL
    external = tuple(
        tuple(m4[i % 4][j % 4] * (2 if i // 4 == j // 4 else 1) for j in range(WIDTH)) for i in range(WIDTH)
    )
    internal = tuple(tuple((1 + diagonal[i] * (i == j)) % P for j in range(WIDTH)) for i in range(WIDTH))
    stream = numbers.GRAIN_STREAM
    inner = tuple((constant, *(WIDTH - 1) * (0,)) for constant in stream[64:84])
    return Instance(
        name="poseidon2-koalabear-16",
        width=WIDTH,
        alpha=3,
        full_rounds=8,
        partial_rounds=20,
        digest=numbers.POSEIDON2_DIGEST,
        initial_matrix=external,
        full_matrix=external,
        partial_matrix=internal,
        round_constants=(*_chunks(stream[:64]), *inner, *_chunks(stream[84:148])),
    )


def self_test(instance: Instance, known_answer: tuple[Sequence[int], Sequence[int]]) -> Instance:
    """The instance itself, once its pinned digest and its known answer are right; raises PoseidonBroken."""
    if constants_digest(instance) != instance.digest:
        raise PoseidonBroken(f"{instance.name}: the constants do not have the pinned digest")
    before, after = known_answer
    if permute(instance, before) != list(after):
        raise PoseidonBroken(f"{instance.name}: the permutation does not give its known answer")
    return instance


DEFAULT = self_test(_poseidon1(), numbers.POSEIDON1_KNOWN_ANSWER)
INSTANCES: Mapping[str, Instance] = MappingProxyType(
    {instance.name: instance for instance in (DEFAULT, self_test(_poseidon2(), numbers.POSEIDON2_KNOWN_ANSWER))}
)
