"""The low-degree proof of a cheating prover: `prover.fri` with folds and a last polynomial to choose."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from prover.commit import Commitment
from prover.fri import FriProof
from prover.kernels.field import ext_array, ext_of_array
from prover.kernels.fold import fold8
from prover.kernels.merkle_hash import fri_leaf_columns
from prover.kernels.ntt import SHIFT, interpolate_coset
from prover.randomness import Randomness
from tests.malicious.world import Array
from verifier.encoding import pack_exts
from verifier.field import Ext, P
from verifier.params import ProofParams
from verifier.transcript import Transcript

Fold = Callable[[int, Array, Array, int], Array]
"""Number of the layer, its values (5, B, M), challenges (3, 5) and shift: the next layer (5, B, M / 8)."""
Final = Callable[[Array, int, int], list[Ext]]
"""The last layer, its shift, and how many coefficients to make of it."""


def true_fold(layer: int, values: Array, betas: Array, shift: int) -> Array:
    return fold8(values, betas, shift)


def cut_off(values: Array, shift: int, size: int) -> list[Ext]:
    """The lowest coefficients; all that there are, if the degree is as low as it should be."""
    coefficients = interpolate_coset(values, shift=shift)
    return [ext_of_array(coefficients, i) for i in range(size)]


def low_degree(
    codeword: Array,
    params: ProofParams,
    log2_rows: int,
    transcript: Transcript,
    random: Randomness,
    fold: Fold = true_fold,
    final: Final = cut_off,
) -> FriProof:
    """Steps 9 and 10 for G (5, B, N), whatever its degree."""
    roots, nonces, layers, shapes, shift = [], [], [], [], SHIFT
    for k in range(params.fri_layers(log2_rows)):
        layer = Commitment(fri_leaf_columns(codeword), random, f"fri {k}")
        transcript.absorb(f"fri root {k}", layer.root)
        nonces.append(grind(transcript, f"fri grind {k}"))
        betas = np.ascontiguousarray(ext_array(list(transcript.draw(f"fri folds {k}"))).T)
        shapes.append((codeword.shape[2], codeword.shape[1]))
        codeword = fold(k, codeword, betas, shift)
        roots.append(layer.root)
        layers.append(layer)
        shift = pow(shift, 8, P)
    coefficients = tuple(final(codeword, shift, params.final_coefficients(log2_rows)))
    transcript.absorb("fri final", pack_exts(coefficients))
    return FriProof(tuple(roots), tuple(nonces), coefficients, tuple(layers), tuple(shapes))


def grind(transcript: Transcript, label: str) -> int:
    """Find and absorb a nonce."""
    nonce = transcript.find_nonce(label)
    transcript.grind(label, nonce)
    return nonce
