"""What one proof shows, as words by section, the guesses of somebody who suspects two witnesses among them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from prover.commit import Extended
from prover.kernels.deep import barycentric_weights, evaluate_columns
from prover.kernels.field import from_mont, to_mont
from tests.adversary.scripted import Shown, subtract, words_of
from tests.verifier.toy_circuits import Case
from verifier.field import P
from verifier.hashing import SALT_BYTES
from verifier.params import HIDDEN_ROWS, ProofParams
from verifier.proof import TREES, Proof

Words = npt.NDArray[np.uint32]
View = dict[str, Words]
DIGESTS, SALTS, GUESSES, DOCUMENT, OUTPUTS = "digests", "salts", "guesses", "document", "outputs"
WORD_END = 2**32


def end_of(section: str) -> int:
    """Words of the section are below this."""
    return WORD_END if section in (DIGESTS, SALTS, OUTPUTS) else P


def view(proof: Proof) -> View:
    """All of a proof that is there whatever the positions: of each tree the first and the last leaf that is opened."""
    out = {"openings": words_of(proof.openings).ravel(), "final polynomial": words_of(proof.final).ravel()}
    names = [*TREES, *(f"layer {i}" for i in range(len(proof.layers)))]
    opened = list(zip(names, (*proof.trees, *proof.layers), strict=True))
    for name, opening in opened:
        # Two queries may meet in one leaf of a layer.
        ends = opening.rows[:1] if name not in TREES else (opening.rows[0], opening.rows[-1])
        out[name] = np.array(ends, np.uint32).ravel()
    salts = [each.messages[k][:SALT_BYTES] for name, each in opened for k in ((0, -1) if name in TREES else (0,))]
    roots = [proof.base_root, proof.lookup_root, proof.quotient_root, *proof.fri_roots]
    siblings = [each.siblings[k] for _, each in opened for k in (0, -1) if each.siblings]
    out[SALTS] = np.frombuffer(b"".join(salts), "<u4").astype(np.uint32)
    out[DIGESTS] = np.frombuffer(b"".join([*roots, *siblings]), "<u4").astype(np.uint32)
    return {name: words for name, words in out.items() if words.size}


class Suspect:
    """A witness in somebody's mind: what its base columns would show without masks."""

    def __init__(self, case: Case, params: ProofParams) -> None:
        columns = np.array(case.columns, np.uint32)
        self._columns = np.pad(columns, ((0, 0), (0, HIDDEN_ROWS)))
        to_mont(self._columns)
        extended = from_mont(Extended(self._columns, params.blowup).values)
        self._values = extended.reshape(len(extended), -1)

    def difference(self, of: Shown) -> Words:
        """What is opened of base columns, less that: zero if the suspicion is right and nothing hides it."""
        ends = [of.positions[0], of.positions[-1]]
        rows = np.array([of.proof.trees[0].rows[0], of.proof.trees[0].rows[-1]], np.uint32)
        log2_rows = self._columns.shape[1].bit_length() - 1
        weights = barycentric_weights(of.challenges.zeta, log2_rows)
        outside = from_mont(evaluate_columns(self._columns, weights))
        opened = words_of(of.proof.openings[: len(self._columns)])
        parts = (subtract(rows, self._values[:, ends].T), subtract(opened, outside))
        return np.concatenate([part.ravel() for part in parts])


def sample(shown: Iterable[Shown], suspects: Sequence[Suspect]) -> View:
    """Sections as matrices (proofs, cells)."""
    views = []
    for each in shown:
        guesses = np.concatenate([suspect.difference(each) for suspect in suspects])
        views.append({**view(each.proof), GUESSES: guesses})
    return {name: np.stack([each[name] for each in views]) for name in views[0]}


def pieces(proof: Proof) -> dict[str, list[bytes]]:
    """All words and all digests and salts of a proof; every one of them is random."""
    opened = (*proof.trees, *proof.layers)
    rows = [row for each in opened for row in each.rows]
    elements = [*proof.openings, *proof.final, *rows]
    salts = [message[:SALT_BYTES] for each in opened for message in each.messages]
    roots = [proof.base_root, proof.lookup_root, proof.quotient_root, *proof.fri_roots]
    return {
        "words": [word.to_bytes(4, "little") for element in elements for word in element],
        SALTS: salts,
        DIGESTS: roots + [digest for each in opened for digest in each.siblings],
    }


def shared(one: Proof, two: Proof) -> dict[str, int]:
    """How many pairs of equal words, salts and digests two proofs have."""
    counts = [{name: Counter(parts) for name, parts in pieces(proof).items()} for proof in (one, two)]
    return {name: sum(n * counts[1][name][part] for part, n in parts.items()) for name, parts in counts[0].items()}
