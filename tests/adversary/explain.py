"""Every proof of one witness is a proof of any other one, under other masks: found by solving for them.

This is what zero knowledge means for the words of a proof, shown rather than estimated. Given all that one proof
shows, its challenges, and another witness of the same statement, `explain` computes masks under which the real prover,
run on the other witness, shows the same openings, rows, layers and final polynomial, word for word. Only digests
differ, which hide what is not opened by its salt (docs/zero-knowledge.md).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
import numpy.typing as npt

from prover.kernels.deep import barycentric_weights, evaluate_columns
from prover.kernels.field import from_mont
from prover.kernels.ntt import SHIFT, interpolate_coset
from tests.adversary.linear import Matrix, chunk_map, mask_map, shown, solve
from tests.adversary.scripted import BASE, CHUNKS, LOOKUP, MASKS, Run, ScriptedRandomness, run, subtract
from tests.verifier.toy_circuits import Case
from verifier.field import P, ext_scale
from verifier.params import HIDDEN_ROWS, ProofParams
from verifier.proof import TREES, Opening, Proof

Words = npt.NDArray[np.uint32]


def prove(case: Case, params: ProofParams, seed: bytes, broken: Collection[str] = ()) -> Run:
    """A proof of the real prover, or of one whose streams under some labels are zero."""
    return run(case, params, ScriptedRandomness(seed, zero=broken))


def explain(of: Run, other: Case, params: ProofParams, seed: bytes, broken: Collection[str] = ()) -> list[str]:
    """Parts of the proof that the other witness cannot show, whatever its masks: none, of an honest prover.

    Args:
        seed: of the proof, so that its salts are the same.
        broken: labels of masks that the prover does not draw, which are then zero for the other witness, too.
    """
    given: dict[str, Words] = {}
    for label in MASKS:
        if label not in broken:
            tried = run(other, params, ScriptedRandomness(seed, given, set(MASKS) - set(given)), of.challenges)
            found = _mask(label, of, tried, params)
            if found is None:
                return [f"no {label}"]
            given[label] = found
    last = run(other, params, ScriptedRandomness(seed, given, broken), of.challenges)
    return sorted(differing(of.proof, last.proof))


def differing(one: Proof, two: Proof) -> set[str]:
    """Names of the parts that are not the same, digests and nonces left out."""
    parts: dict[str, tuple[object, object]] = {
        "openings": (one.openings, two.openings),
        "final polynomial": (one.final, two.final),
    }
    pairs: Iterable[tuple[str, Opening, Opening]] = [
        *zip(TREES, one.trees, two.trees, strict=True),
        *((f"layer {i}", *pair) for i, pair in enumerate(zip(one.layers, two.layers, strict=True))),
    ]
    parts |= {name: (left.messages, right.messages) for name, left, right in pairs}
    return {name for name, (left, right) in parts.items() if left != right}


def _mask(label: str, of: Run, tried: Run, params: ProofParams) -> Words | None:
    """The words of a mask which, in place of zeros, make the trial show what the proof shows; None if none do."""
    if label in (BASE, LOOKUP):
        return _hidden_rows(*((of.base, tried.base) if label == BASE else (of.lookup, tried.lookup)), of, params)
    if label == CHUNKS:
        return _chunk_masks(of, tried, params)
    coefficients = from_mont(interpolate_coset(subtract(of.codeword, tried.codeword), shift=SHIFT))
    rows = of.base.shape[1]
    return None if coefficients[:, rows:].any() else np.ascontiguousarray(coefficients[:, :rows])


def _hidden_rows(ours: Words, theirs: Words, of: Run, params: ProofParams) -> Words | None:
    """(columns, 512)."""
    if not len(ours):
        return np.zeros((0, HIDDEN_ROWS), np.uint32)
    positions, zeta = of.positions, of.challenges.zeta
    log2_rows = ours.shape[1].bit_length() - 1
    wanted, had = (shown(each, params, positions, zeta) for each in (ours, theirs))
    found = solve(mask_map(params, log2_rows, positions, zeta), (wanted + np.uint64(P) - had) % np.uint64(P))
    return None if found is None else found.T.astype(np.uint32)


def _chunk_masks(of: Run, tried: Run, params: ProofParams) -> Words | None:
    """(2, 5, m): t_0 from q_0; then t_1 from q_1, from which t_0 is subtracted at the queried points and at zeta."""
    log2_rows = of.base.shape[1].bit_length() - 1
    scaled = chunk_map(params, log2_rows, of.positions, of.challenges.zeta)
    wanted, had = (_chunks_shown(each, log2_rows) for each in (of, tried))
    missing = (wanted + np.uint64(P) - had) % np.uint64(P)
    first = solve(scaled, missing[0])
    if first is None:
        return None
    plain = chunk_map(params, log2_rows, of.positions, of.challenges.zeta, first=0)
    second = solve(scaled, (missing[1] + _times(plain, first)) % np.uint64(P))
    return None if second is None else np.stack([first.T, second.T]).astype(np.uint32)


def _chunks_shown(of: Run, log2_rows: int) -> Matrix:
    """(2, q + 5, 5): the coordinates of q_0 and q_1 at the queried points, and the five words of each at zeta."""
    words = of.quotient[:10]
    at_points = from_mont(np.ascontiguousarray(words.reshape(10, -1)[:, of.positions]))
    weights = barycentric_weights(ext_scale(of.challenges.zeta, pow(SHIFT, -1, P)), log2_rows)
    at_zeta = from_mont(evaluate_columns(np.ascontiguousarray(words[:, 0]), weights))
    both = np.concatenate([at_points, at_zeta], axis=1).astype(np.uint64)
    return both.reshape(2, 5, -1).swapaxes(1, 2)


def _times(matrix: Matrix, values: Matrix) -> Matrix:
    """Product modulo p."""
    return np.stack([(row[:, None] * values % np.uint64(P)).sum(axis=0) for row in matrix]) % np.uint64(P)
