"""The prover of a cheating exchange: the walk of `prover.prove`, without its self-checks, and with steps to override.

It does everything right but what the cheat is about: the codeword is of low degree, every opening is true, and a
quotient exists for all constraints but those in `skipped`. So a proof of it is refused for the cheat or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

import numpy as np

from circuits.check import public_matrix
from prover.commit import Commitment, Extended
from prover.deep import batched_quotient, open_columns
from prover.kernels import threads
from prover.kernels.field import ext_array, ext_of_array, from_mont, running_sum, to_mont
from prover.kernels.ntt import lde_from_coefficients
from prover.kernels.rowkernels import RowKernels
from prover.kernels.threads import run_ranges
from prover.prove import proof_randomness
from prover.quotient import masked_chunks, quotient_coefficients, quotient_values
from prover.randomness import Randomness
from tests.malicious.low_degree import grind, low_degree
from tests.malicious.sheet import Columns
from tests.malicious.world import ACTIVE, LOG2_ROWS, ROWS, Array, World
from verifier import stark
from verifier.encoding import pack_exts
from verifier.field import Ext, P, ext_add, ext_sub, ext_zero
from verifier.params import TEST, ProofParams
from verifier.proof import Proof
from verifier.stark import Relation, evaluate_scalars
from verifier.transcript import Transcript


@dataclass(frozen=True)
class Lookup:
    """The extension columns of one proof, for a cheat to change in place.

    Args:
        words: (5 E, N) Montgomery. names: of the extension columns. scalars: of the circuit, by name.
        missing: by how much the sum of all fractions falls short of the terminal value; zero for an honest witness.
    """

    words: Array
    names: tuple[str, ...]
    missing: Ext
    scalars: Mapping[str, Ext]

    def column(self, name: str) -> Array:
        """(5, N), a view."""
        at = 5 * self.names.index(name)
        return self.words[at : at + 5]

    def value(self, name: str, row: int) -> Ext:
        return ext_of_array(self.column(name), row)

    def add(self, name: str, start: int, stop: int, delta: Ext) -> None:
        """Add `delta` on rows start .. stop - 1."""
        self.add_each(name, start, stop, [delta])

    def add_each(self, name: str, start: int, stop: int, deltas: Sequence[Ext]) -> None:
        """Add one element on each of the rows start .. stop - 1."""
        part = self.column(name)[:, start:stop]
        part[...] = (part.astype(np.uint64) + ext_array(list(deltas))) % np.uint64(P)


Cheat = Callable[[Lookup], object]


@dataclass(frozen=True)
class Attempt:
    """A forged proof, with the scalars and extension columns that went into it."""

    proof: Proof
    scalars: tuple[Ext, ...]
    lookup: Lookup

    def extension(self, rows: Array) -> Array:
        """(5 E, rows) canonical, for the row checker."""
        return from_mont(np.ascontiguousarray(self.lookup.words[:, rows]))


class CheatingProver:
    """Proves forged traces that are given as changes to the world's honest trace; extends only what changed."""

    def __init__(self, world: World, params: ProofParams = TEST) -> None:
        self.world, self.params = world, params
        self.base = world.base.copy()
        self.extended = Extended(self.base, params.blowup)
        self._kernels: dict[bytes, RowKernels] = {}

    def prove(
        self,
        relation: Relation,
        columns: Columns,
        skipped: Collection[str] = (),
        cheat: Cheat | None = None,
        seed: bytes = b"cheat",
    ) -> Attempt:
        """A proof of the forged trace.

        Args:
            skipped: labels of constraints that the prover leaves out of the quotient.
            cheat: changes the extension columns before they are committed.
        """
        with _one_thread_per_worker(), self._forged(columns):
            random = proof_randomness(Randomness(seed), relation, self.params)
            return self._walk(relation, skipped, cheat, random)

    def lookups(
        self, relation: Relation, columns: Columns, challenges: Sequence[Ext], cheat: Cheat | None = None
    ) -> Lookup:
        """The extension columns of the forged trace at these challenges, and no proof."""
        system, values = relation.system, evaluate_scalars(relation, *challenges)
        kernels = self._kernels.setdefault(system.digest, RowKernels(system))
        with _one_thread_per_worker():
            before = {column: self.base[column].copy() for column in columns}
            for column, words in columns.items():
                self.base[column] = words
                to_mont(self.base[column])
            publics = public_matrix(system, relation.public_values(values), ROWS)
            to_mont(publics)
            scalars = dict(zip(system.scalars, values, strict=True))
            lookup = self._lookup_columns(kernels, publics, scalars, Randomness(b"lookups"))
            for column, words in before.items():
                self.base[column] = words
        if cheat is not None:
            cheat(lookup)
        return lookup

    @contextmanager
    def _forged(self, columns: Columns) -> Iterator[None]:
        """Puts the changed columns in place, and the honest ones back."""
        at = sorted(columns)
        parts = (self.base, self.extended.values, self.extended.small, self.extended.small_next)
        saved = [part[at] for part in parts]
        if at:
            changed = np.stack([columns[column] for column in at])
            to_mont(changed)
            extended = Extended(changed, self.params.blowup)
            for part, new in zip(parts, (changed, extended.values, extended.small, extended.small_next), strict=True):
                part[at] = new
        try:
            yield
        finally:
            for part, old in zip(parts, saved, strict=True):
                part[at] = old

    def _walk(self, relation: Relation, skipped: Collection[str], cheat: Cheat | None, random: Randomness) -> Attempt:
        system, params = relation.system, self.params
        kernels = self._kernels.setdefault(system.digest, RowKernels(system))
        transcript = Transcript.start(system, params, LOG2_ROWS, relation.binding)  # step 1
        base_tree = Commitment(_leaves(self.extended.values), random, "base")  # step 2
        transcript.absorb("base root", base_tree.root)
        lookup_nonce = grind(transcript, "lookup grind")
        r, alpha, beta = (transcript.draw_one(name) for name in ("r", "alpha", "beta"))

        all_scalars = evaluate_scalars(relation, r, alpha, beta)  # steps 3 and 4
        scalars = dict(zip(system.scalars, all_scalars, strict=True))
        publics = public_matrix(system, relation.public_values(all_scalars), ROWS)
        to_mont(publics)
        lookup = self._lookup_columns(kernels, publics, scalars, random)
        if cheat is not None:
            cheat(lookup)
        lookup_extended = Extended(lookup.words, params.blowup)
        lookup_tree = Commitment(_leaves(lookup_extended.values), random, "lookup")
        transcript.absorb("lookup root", lookup_tree.root)
        constraint_nonce = grind(transcript, "constraint grind")
        weights = self.chosen_weights(relation, skipped, transcript.draw("constraint weights"))

        values = quotient_values(  # step 5
            kernels,
            self.extended,
            lookup_extended,
            Extended(publics, params.blowup),
            scalars,
            weights,
            lambda part: None,
        )
        chunks = masked_chunks(quotient_coefficients(*values), params, LOG2_ROWS, random)
        quotient = lde_from_coefficients(chunks, LOG2_ROWS, params.blowup)
        quotient_tree = Commitment(_leaves(quotient), random, "quotient")
        transcript.absorb("quotient root", quotient_tree.root)
        zeta_nonce = grind(transcript, "zeta grind")
        zeta = transcript.draw_one("zeta")

        openings = open_columns(system, self.base, lookup.words, quotient, zeta, LOG2_ROWS)  # steps 6 to 8
        openings = self.claim(relation, all_scalars, zeta, openings)
        transcript.absorb("openings", pack_exts(openings))
        batching_nonce = grind(transcript, "batching grind")
        batching = transcript.draw("batching weights")
        codeword = batched_quotient(system, params, self.base, lookup.words, quotient, zeta, openings, batching)
        fri = low_degree(codeword, params, LOG2_ROWS, transcript, random)  # steps 9 to 11
        query_nonce = grind(transcript, "query grind")
        positions = sorted(set(transcript.draw_positions("queries")))  # steps 12 to 14
        proof = Proof(
            base_root=base_tree.root,
            lookup_nonce=lookup_nonce,
            lookup_root=lookup_tree.root,
            constraint_nonce=constraint_nonce,
            quotient_root=quotient_tree.root,
            zeta_nonce=zeta_nonce,
            openings=tuple(openings),
            batching_nonce=batching_nonce,
            fri_roots=fri.roots,
            fri_nonces=fri.nonces,
            final=fri.final,
            query_nonce=query_nonce,
            trees=tuple(tree.open(positions) for tree in (base_tree, lookup_tree, quotient_tree)),
            layers=fri.open(positions),
        )
        return Attempt(proof, all_scalars, lookup)

    def chosen_weights(self, relation: Relation, skipped: Collection[str], drawn: Sequence[Ext]) -> Sequence[Ext]:
        """The weights of the constraints in the quotient; zero for those that the witness breaks."""
        return without(relation, skipped, drawn)

    def claim(self, relation: Relation, scalars: Sequence[Ext], zeta: Ext, openings: list[Ext]) -> list[Ext]:
        """What the prover says the values at zeta are: the truth, unless overridden."""
        return openings

    def _lookup_columns(
        self, kernels: RowKernels, publics: Array, scalars: Mapping[str, Ext], random: Randomness
    ) -> Lookup:
        """As `prover.prove.lookup_columns`, but sums that miss the terminal value are committed all the same."""
        system = kernels.system
        out = np.zeros((5 * len(system.extension_columns), ROWS), np.uint32)
        following, accumulators = self.base[:, 1:], 5 * len(system.accumulators)
        kernels.accumulator_columns(self.base, following, publics, scalars, out[:accumulators], ACTIVE)
        bus = out[accumulators:]

        def fill(start: int, stop: int) -> None:
            kernels.logup_columns(self.base, following, publics, scalars, bus, start, stop)

        run_ranges(fill, ACTIVE, 1 << 12)
        summands = np.ascontiguousarray(bus[-5:, :ACTIVE])
        sums = running_sum(summands)
        end = ext_add(ext_of_array(sums, ACTIVE - 1), ext_of_array(summands, ACTIVE - 1))
        bus[-5:, :ACTIVE] = sums
        hidden = random.words("lookup hidden rows", len(out) * (ROWS - ACTIVE)).reshape(len(out), ROWS - ACTIVE)
        to_mont(hidden)
        out[:, ACTIVE:] = hidden
        return Lookup(out, system.extension_columns, ext_sub(scalars["terminal"], end), scalars)


@contextmanager
def _one_thread_per_worker() -> Iterator[None]:
    """Several test processes share the processors already: threads on top of them only cost time."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        yield
        return
    with patch.object(threads, "thread_count", lambda: 1):
        yield


def _leaves(values: Array) -> Array:
    return values.reshape(len(values), values.shape[1] * values.shape[2])


def without(relation: Relation, skipped: Collection[str], weights: Sequence[Ext]) -> list[Ext]:
    """The weights with zero for every skipped constraint."""
    labels = [constraint.label for constraint in relation.system.constraints]
    return [ext_zero if label in skipped else weight for label, weight in zip(labels, weights, strict=True)]


@contextmanager
def verifier_without(skipped: Collection[str]) -> Iterator[None]:
    """A verifier that does not check some constraints: the control that shows what alone stops a forgery."""
    honest = stark.check_identity

    def check_rest(
        relation: Relation,
        params: ProofParams,
        scalars: Sequence[Ext],
        weights: Sequence[Ext],
        zeta: Ext,
        openings: Sequence[Ext],
    ) -> None:
        honest(relation, params, scalars, without(relation, skipped, weights), zeta, openings)

    with patch.object(stark, "check_identity", check_rest):
        yield
