"""The real prover with masks and challenges of our choice, and with what it used and showed kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import numpy.typing as npt

from prover.kernels.field import from_mont, to_mont
from prover.progress import Phases
from prover.prove import Prover
from prover.randomness import Randomness
from tests.verifier.toy_circuits import Case
from verifier.field import Ext, P
from verifier.params import HIDDEN_ROWS, ProofParams
from verifier.proof import Proof
from verifier.stark import Relation
from verifier.transcript import Transcript

Words = npt.NDArray[np.uint32]
BASE, LOOKUP, CHUNKS, R = "base hidden rows", "lookup hidden rows", "quotient masks", "mask polynomial"
"""Labels of all masks that are words of the field."""
SALTS = "salts"
MASKS = (BASE, LOOKUP, CHUNKS, R)


class ScriptedRandomness(Randomness):
    """Streams of one proof, some of which are given or zero."""

    def __init__(self, seed: bytes, given: Mapping[str, Words] | None = None, zero: Collection[str] = ()) -> None:
        super().__init__(seed)
        self.given, self.zero = dict(given or {}), frozenset(zero)

    def derive(self, *context: bytes) -> ScriptedRandomness:
        return ScriptedRandomness(self.bytes(f"derived {context!r}", 32), self.given, self.zero)

    def words(self, label: str, count: int) -> Words:
        if label in self.zero:
            return np.zeros(count, np.uint32)
        if label in self.given:
            return self.given[label].reshape(count).copy()
        return super().words(label, count)

    def salts(self, label: str, count: int) -> Words:
        return np.zeros((count, 4), np.uint32) if SALTS in self.zero else super().salts(label, count)


@dataclass
class Challenges:
    """What one proof drew, by label; positions in the order drawn."""

    drawn: dict[str, tuple[Ext, ...]] = field(default_factory=dict)
    positions: tuple[int, ...] = ()

    @property
    def zeta(self) -> Ext:
        return self.drawn["zeta"][0]


class ScriptedTranscript(Transcript):
    """Draws what is written down, and writes down what is not."""

    script: Challenges

    def draw(self, label: str) -> tuple[Ext, ...]:
        return self.script.drawn.setdefault(label, super().draw(label))

    def draw_positions(self, label: str) -> tuple[int, ...]:
        drawn = super().draw_positions(label)
        self.script.positions = self.script.positions or drawn
        return self.script.positions


def programmed(relation: Relation, params: ProofParams, challenges: Challenges) -> ScriptedTranscript:
    """A transcript that draws these challenges, whatever is absorbed."""
    start = ScriptedTranscript.start(relation.system, params, relation.log2_rows, relation.binding)
    transcript = cast("ScriptedTranscript", start)
    transcript.script = challenges
    return transcript


class ScriptedProver(Prover):
    """Keeps its matrices, Montgomery words: `lookup` (5 E, N), `quotient` (20, B, N), `codeword` (5, B, N)."""

    lookup: Words
    quotient_values: Words
    codeword: Words

    def open_and_batch(self, lookup: Words, quotient: Words) -> tuple[list[Ext], int, Words]:
        openings, nonce, codeword = super().open_and_batch(lookup, quotient)
        self.lookup, self.quotient_values, self.codeword = lookup, quotient, codeword
        return openings, nonce, codeword


@dataclass(frozen=True)
class Shown:
    """A proof and the challenges under which it was made."""

    proof: Proof
    challenges: Challenges

    @property
    def positions(self) -> list[int]:
        return sorted(set(self.challenges.positions))


@dataclass(frozen=True)
class Run(Shown):
    """One proof and how it came about. base, lookup: columns on the trace, canonical; the others Montgomery."""

    base: Words
    lookup: Words
    quotient: Words
    codeword: Words


def run(case: Case, params: ProofParams, random: Randomness, challenges: Challenges | None = None) -> Run:
    """Prove with the given streams, under the given challenges or the real ones."""
    columns = np.array(case.columns, np.uint32)
    base = np.concatenate([columns, np.zeros((len(columns), HIDDEN_ROWS), np.uint32)], axis=1)
    to_mont(base)
    relation, script = case.relation, challenges or Challenges()
    prover = ScriptedProver(relation, params, base, random, Phases())
    prover.transcript = programmed(relation, params, script)
    proof = prover.prove()
    return Run(proof, script, from_mont(prover.base), from_mont(prover.lookup), prover.quotient_values, prover.codeword)


def words_of(elements: Collection[Ext]) -> Words:
    """(n, 5)."""
    return np.array(list(elements), np.uint32).reshape(-1, 5)


def subtract(a: npt.NDArray[np.uint32], b: npt.NDArray[np.uint32]) -> Words:
    """Modulo p, of words in the same form."""
    return np.asarray((a.astype(np.uint64) + np.uint64(P) - b) % np.uint64(P), np.uint32)
