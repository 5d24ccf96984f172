"""Provers that cheat where low degree is shown: codewords far from it, false folds, last polynomials to measure.

What is far is committed to: the mask of the quotient tree is no polynomial, so that G is none, and every opening of it
is true. The walk is the ordinary prover's, on the toy circuits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from unittest.mock import patch

import numpy as np

from prover.commit import Extended
from prover.fri import FriProof
from prover.kernels.field import ext_of_array, to_mont
from prover.kernels.fold import fold8
from prover.progress import Phases
from prover.prove import Prover, Words
from prover.randomness import Randomness
from tests.malicious.low_degree import cut_off, low_degree
from tests.malicious.world import Array
from tests.verifier.toy_circuits import Case
from verifier.errors import Reason
from verifier.field import Ext, P, ext_add, ext_scale, ext_sub, ext_zero
from verifier.fri import layer_domains
from verifier.params import HIDDEN_ROWS, ProofParams
from verifier.transcript import Transcript

MASK = slice(15, 20)
"""Rows of the quotient's matrix that hold R."""


class FriCheater(Prover):
    """The ordinary prover; what follows G is for the subclasses to choose.

    Attributes:
        error: (5, B, N) Montgomery, what is added to the mask, and so to G.
    """

    error: Array

    def errors(self, shape: tuple[int, ...]) -> Array:
        return np.zeros(shape, np.uint32)

    def quotient(self, base: Extended, lookup: Extended, publics: Words, scalars: dict[str, Ext]) -> Words:
        out = super().quotient(base, lookup, publics, scalars)
        self.error = self.errors(out[MASK].shape)
        out[MASK] = _add(out[MASK], self.error)
        return out

    def clean(self, codeword: Array) -> Array:
        """G without its errors."""
        return _add(codeword, (np.uint32(P) - self.error) % np.uint32(P))

    def fold(self, layer: int, values: Array, betas: Array, shift: int) -> Array:
        return fold8(values, betas, shift)

    def final(self, values: Array, shift: int, size: int) -> list[Ext]:
        return cut_off(values, shift, size)

    def low_degree(
        self,
        codeword: Words,
        params: ProofParams,
        log2_rows: int,
        transcript: Transcript,
        random: Randomness,
        at: Callable[[float], None],
    ) -> FriProof:
        return low_degree(codeword, params, log2_rows, transcript, random, self.fold, self.final)


def fri_proof(case: Case, params: ProofParams, kind: type[FriCheater], seed: bytes = b"far") -> bytes:
    """The proof file of a cheating prover."""
    columns = np.array(case.columns, np.uint32)
    base = np.concatenate([columns, np.zeros((len(columns), HIDDEN_ROWS), np.uint32)], axis=1)
    to_mont(base)
    prover = kind(case.relation, params, base, Randomness(seed), Phases())
    with patch("prover.prove.prove_low_degree", prover.low_degree):
        return prover.prove().to_bytes()


def _add(a: Array, b: Array) -> Array:
    return ((a.astype(np.uint64) + b) % np.uint64(P)).astype(np.uint32)


def _noise(shape: tuple[int, ...], label: str) -> Array:
    return Randomness(b"errors").words(label, int(np.prod(shape))).reshape(shape)


# -- far from low degree ----------------------------------------------------------------------------------------------


class FarOnOneCoset(FriCheater):
    """Two polynomials of low degree, one on each coset. The last polynomial is that of the first."""

    kept = 0

    def errors(self, shape: tuple[int, ...]) -> Array:
        out = super().errors(shape)
        out[:, 1] = 12_345
        return out

    def final(self, values: Array, shift: int, size: int) -> list[Ext]:
        domain = layer_domains(self.params, self.log2_rows)[-1]
        coset = np.ascontiguousarray(values[:, self.kept : self.kept + 1])
        return cut_off(coset, domain.point(self.kept * size), size)


class FarOnTheOtherCoset(FarOnOneCoset):
    kept = 1


class RandomErrors(FriCheater):
    """A quarter of all positions is wrong; the last polynomial is that of all others.

    Attributes:
        right: the layer as it would be without the errors.
    """

    right: Array

    def errors(self, shape: tuple[int, ...]) -> Array:
        wrong = _noise(shape[1:], "where") % np.uint32(4) == 0
        return np.asarray(_noise(shape, "what") * wrong)

    def fold(self, layer: int, values: Array, betas: Array, shift: int) -> Array:
        true = values if layer else self.clean(values)
        self.right = fold8(self.right if layer else true, betas, shift)
        return fold8(values, betas, shift)

    def final(self, values: Array, shift: int, size: int) -> list[Ext]:
        return cut_off(self.right, shift, size)


class RepairedErrors(RandomErrors):
    """The same errors, left out of the first fold: every later layer is of low degree."""

    def fold(self, layer: int, values: Array, betas: Array, shift: int) -> Array:
        return fold8(values if layer else self.clean(values), betas, shift)

    def final(self, values: Array, shift: int, size: int) -> list[Ext]:
        return cut_off(values, shift, size)


# -- folds and last polynomials ---------------------------------------------------------------------------------------


def false_fold(number: int) -> type[FriCheater]:
    """One layer is folded with challenges of the prover's own."""

    class FalseFold(FriCheater):
        def fold(self, layer: int, values: Array, betas: Array, shift: int) -> Array:
            return fold8(values, np.ascontiguousarray(betas[::-1]) if layer == number else betas, shift)

    return FalseFold


class FitsWhatIsAsked(FriCheater):
    """Knows the queries before the last polynomial, which it draws through them: G is noise everywhere."""

    def errors(self, shape: tuple[int, ...]) -> Array:
        return _noise(shape, "what")

    def final(self, values: Array, shift: int, size: int) -> list[Ext]:
        domains = layer_domains(self.params, self.log2_rows)
        asked = set(_foreseen(self.transcript, size))
        for domain in domains[:-1]:
            asked = {domain.place(position)[0] for position in asked}
        rows = values.shape[2]
        points = {domains[-1].point(p): ext_of_array(values[:, p // rows], p % rows) for p in asked}
        return through(points, size)


def _foreseen(transcript: Transcript, size: int) -> tuple[int, ...]:
    """The positions that a transcript will ask for which does not absorb the last polynomial."""
    ahead = type(transcript)(transcript._steps)
    ahead._next, ahead.state = transcript._next, transcript.state
    ahead.absorb("fri final", bytes(20 * size))
    ahead.grind("query grind", ahead.find_nonce("query grind"))
    return ahead.draw_positions("queries")


def through(points: dict[int, Ext], size: int) -> list[Ext]:
    """Coefficients, `size` of them, of the least polynomial through (x, value), by Newton.

    Raises:
        ValueError: there is none.
    """
    if len(points) > size:
        raise ValueError("too many points for a polynomial of that degree")
    out: list[Ext] = [ext_zero] * size
    product: list[int] = [1]
    for x, value in points.items():
        here = ext_zero
        for coefficient in reversed(out):
            here = ext_add(ext_scale(here, x), coefficient)
        below = sum(c * pow(x, i, P) for i, c in enumerate(product)) % P
        factor = ext_scale(ext_sub(value, here), pow(below, -1, P))
        out = [ext_add(c, ext_scale(factor, product[i]) if i < len(product) else ext_zero) for i, c in enumerate(out)]
        product = [(a - x * b) % P for a, b in zip([0, *product], [*product, 0], strict=True)]
    return out


@dataclass(frozen=True)
class Expected:
    """Why a cheat is refused, and in which layer, where the refusal says one."""

    reason: Reason
    layer: int | None = None


def cheats(layers: int) -> dict[str, tuple[type[FriCheater], Expected]]:
    """All of them for a proof of so many layers, by name."""
    out: dict[str, tuple[type[FriCheater], Expected]] = {
        "far on one coset": (FarOnOneCoset, Expected(Reason.FRI_FINAL)),
        "far on the other coset": (FarOnTheOtherCoset, Expected(Reason.FRI_FINAL)),
        "random errors": (RandomErrors, Expected(Reason.FRI_FINAL)),
        "random errors, repaired": (RepairedErrors, Expected(Reason.FRI_FOLD, 1)),
    }
    for k in range(layers):
        last = k == layers - 1
        out[f"false fold {k}"] = false_fold(k), Expected(Reason.FRI_FINAL) if last else Expected(Reason.FRI_FOLD, k + 1)
    return out
