"""The low-degree proof: commit, fold by eight, repeat; then open what the queries ask for. Steps 9 to 13."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from prover.commit import Commitment
from prover.kernels.field import ext_array, ext_of_array
from prover.kernels.fold import fold8
from prover.kernels.grind import search_nonce
from prover.kernels.merkle_hash import fri_leaf_columns
from prover.kernels.ntt import SHIFT, interpolate_coset
from prover.randomness import Randomness
from verifier.encoding import pack_exts
from verifier.errors import InvariantBroken
from verifier.field import Ext, P
from verifier.params import ProofParams
from verifier.proof import Opening
from verifier.transcript import Transcript

Words = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class FriProof:
    """Roots and nonces per layer, the final coefficients, and the layers' trees for opening."""

    roots: tuple[bytes, ...]
    nonces: tuple[int, ...]
    final: tuple[Ext, ...]
    layers: tuple[Commitment, ...]
    leaf_counts: tuple[tuple[int, int], ...]

    def open(self, positions: Sequence[int]) -> tuple[Opening, ...]:
        """The leaves of every layer above the given positions of the evaluation domain."""
        out = []
        for layer, (length, _) in zip(self.layers, self.leaf_counts, strict=True):
            eighth = length // 8
            positions = sorted({p // length * eighth + p % length % eighth for p in positions})
            out.append(layer.open(positions))
        return tuple(out)


def prove_low_degree(
    codeword: Words,
    params: ProofParams,
    log2_rows: int,
    transcript: Transcript,
    random: Randomness,
    at: Callable[[float], None],
) -> FriProof:
    """Steps 9 and 10 for G (5, B, N)."""
    roots, nonces, layers, shapes = [], [], [], []
    shift, count = SHIFT, params.fri_layers(log2_rows)
    for k in range(count):
        layer = Commitment(fri_leaf_columns(codeword), random, f"fri {k}")
        transcript.absorb(f"fri root {k}", layer.root)
        nonces.append(transcript.find_nonce(f"fri grind {k}", search_nonce))
        transcript.grind(f"fri grind {k}", nonces[-1])
        betas = ext_array(list(transcript.draw(f"fri folds {k}"))).T
        shapes.append((codeword.shape[2], codeword.shape[1]))
        codeword = fold8(codeword, np.ascontiguousarray(betas), shift)
        roots.append(layer.root)
        layers.append(layer)
        shift = pow(shift, 8, P)
        at((k + 1) / (count + 1))
    coefficients = interpolate_coset(codeword, shift=shift)
    size = params.final_coefficients(log2_rows)
    if coefficients[:, size:].any():
        raise InvariantBroken("the last FRI polynomial has too high a degree: the batched quotient is not low-degree")
    final = tuple(ext_of_array(coefficients, i) for i in range(size))
    transcript.absorb("fri final", pack_exts(final))
    return FriProof(tuple(roots), tuple(nonces), final, tuple(layers), tuple(shapes))
