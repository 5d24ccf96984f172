"""The prover of one STARK. The numbered steps are those of docs/protocol.md, section 5, and of `verifier.stark`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from circuits.check import public_matrix
from prover.commit import Commitment, Extended
from prover.deep import batched_quotient, open_columns
from prover.fri import prove_low_degree
from prover.kernels.field import empty_words, ext_of_array, running_sum, to_mont
from prover.kernels.grind import search_nonce
from prover.kernels.ntt import lde_from_coefficients
from prover.kernels.rowkernels import RowKernels
from prover.kernels.threads import run_ranges
from prover.progress import Phases
from prover.quotient import masked_chunks, quotient_coefficients, quotient_values
from prover.randomness import Randomness
from verifier.encoding import pack_exts
from verifier.errors import InvariantBroken
from verifier.field import Ext, ext_add
from verifier.params import HIDDEN_ROWS, ProofParams
from verifier.proof import Proof
from verifier.stark import Relation, evaluate_scalars
from verifier.transcript import Transcript

Words = npt.NDArray[np.uint32]


def prove(
    relation: Relation, params: ProofParams, base: Words, random: Randomness, phases: Phases | None = None
) -> Proof:
    """A proof that `base` satisfies the relation.

    Args:
        base: (columns, N) Montgomery words. The last 512 rows are overwritten with random ones.
        random: fresh for this statement and witness. Two proofs of the same statement with other parameters share no
            stream, because each proof derives its own.

    Raises:
        InvariantBroken: the witness does not satisfy the relation.
    """
    params.check_rows(relation.log2_rows)
    return Prover(relation, params, base, random, phases or Phases()).prove()


class Prover:
    """One proof under way; each method is a run of steps, and what later steps need is kept."""

    def __init__(
        self, relation: Relation, params: ProofParams, base: Words, random: Randomness, phases: Phases
    ) -> None:
        self.relation, self.params, self.base, self.phases = relation, params, base, phases
        self.system, self.log2_rows = relation.system, relation.log2_rows
        self.random = proof_randomness(random, relation, params)
        hide_rows(base, self.random)
        self.kernels = RowKernels(self.system)
        self.transcript = Transcript.start(self.system, params, self.log2_rows, relation.binding)  # step 1

    def prove(self) -> Proof:
        """All steps in order."""
        transcript, phases = self.transcript, self.phases
        base = self.extend(self.base, self.in_next_row(len(self.base), 1))
        base_tree = self.commit("base", base.values)  # step 2
        lookup_nonce = self.grind("lookup grind")
        with phases.phase("lookups"):  # steps 3 and 4
            scalars, publics, lookup_rows = self.lookup_rows()
        lookup = self.extend(lookup_rows, self.in_next_row(len(lookup_rows), 5))
        lookup_tree = self.commit("lookup", lookup.values)
        constraint_nonce = self.grind("constraint grind")
        quotient = self.quotient(base, lookup, publics, scalars)  # step 5
        quotient_tree = self.commit("quotient", quotient)
        zeta_nonce = self.grind("zeta grind")
        with phases.phase("openings"):  # steps 6 to 8
            openings, batching_nonce, codeword = self.open_and_batch(lookup_rows, quotient)
        with phases.phase("fri"):  # steps 9 to 11
            fri = prove_low_degree(codeword, self.params, self.log2_rows, transcript, self.random, phases.at)
            query_nonce = self.grind("query grind")
        with phases.phase("queries"):  # steps 12 to 14
            positions = sorted(set(transcript.draw_positions("queries")))
            trees = tuple(tree.open(positions) for tree in (base_tree, lookup_tree, quotient_tree))
            layers = fri.open(positions)
            transcript.finish()
        return Proof(
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
            trees=trees,
            layers=layers,
        )

    def in_next_row(self, width: int, words: int) -> npt.NDArray[np.bool_]:
        """Which of `width` base columns (1 word) or lookup columns (5 words) a constraint reads a row later."""
        first = 0 if words == 1 else len(self.system.columns)
        columns = np.arange(width) // words + first
        return np.isin(columns, self.system.next_row_columns)

    def extend(self, columns: Words, following: npt.NDArray[np.bool_]) -> Extended:
        """Columns (w, N) on the domain; `following` marks those that a constraint reads a row later."""
        with self.phases.phase("extend"):
            return Extended(columns, self.params.blowup, following, self.phases.at)

    def commit(self, name: str, values: Words) -> Commitment:
        """The tree over the rows of `values` (w, B, N), its root absorbed."""
        with self.phases.phase("commit"):
            tree = Commitment(values.reshape(len(values), values.shape[1] * values.shape[2]), self.random, name)
            self.transcript.absorb(f"{name} root", tree.root)
        return tree

    def grind(self, label: str) -> int:
        nonce = self.transcript.find_nonce(label, search_nonce)
        self.transcript.grind(label, nonce)
        return nonce

    def lookup_rows(self) -> tuple[dict[str, Ext], Words, Words]:
        """Scalars of the circuit; the public columns, and the extension columns on the trace."""
        r, alpha, beta = (self.transcript.draw_one(name) for name in ("r", "alpha", "beta"))
        values = evaluate_scalars(self.relation, r, alpha, beta)
        scalars = dict(zip(self.system.scalars, values, strict=True))
        publics = public_matrix(self.system, self.relation.public_values(values), 1 << self.log2_rows)
        to_mont(publics)
        return scalars, publics, lookup_columns(self.kernels, self.base, publics, scalars, self.random)

    def quotient(self, base: Extended, lookup: Extended, publics: Words, scalars: dict[str, Ext]) -> Words:
        """The three masked chunks and the mask R on the domain: (20, B, N)."""
        weights = self.transcript.draw("constraint weights")
        extended = self.extend(publics, np.zeros(len(publics), np.bool_))
        with self.phases.phase("constraints"):
            values = quotient_values(self.kernels, base, lookup, extended, scalars, weights, self.phases.at)
        with self.phases.phase("extend"):
            chunks = masked_chunks(quotient_coefficients(*values), self.params, self.log2_rows, self.random)
            return lde_from_coefficients(chunks, self.log2_rows, self.params.blowup)

    def open_and_batch(self, lookup: Words, quotient: Words) -> tuple[list[Ext], int, Words]:
        """Values out of the domain, the nonce after them, and the batched quotient G (5, B, N)."""
        zeta = self.transcript.draw_one("zeta")
        openings = open_columns(self.system, self.base, lookup, quotient, zeta, self.log2_rows)
        self.phases.at(0.4)
        self.transcript.absorb("openings", pack_exts(openings))
        nonce = self.grind("batching grind")
        weights = self.transcript.draw("batching weights")
        codeword = batched_quotient(self.system, self.params, self.base, lookup, quotient, zeta, openings, weights)
        return openings, nonce, codeword


def proof_randomness(random: Randomness, relation: Relation, params: ProofParams) -> Randomness:
    """The streams of one proof."""
    return random.derive(relation.system.digest, params.digest, relation.binding)


def hide_rows(base: Words, random: Randomness) -> None:
    """Overwrite the hidden rows of the base columns (columns, N), in place, with uniform words."""
    hidden = random.words("base hidden rows", len(base) * HIDDEN_ROWS).reshape(len(base), HIDDEN_ROWS)
    to_mont(hidden)
    base[:, -HIDDEN_ROWS:] = hidden


def lookup_columns(
    kernels: RowKernels, base: Words, publics: Words, scalars: dict[str, Ext], random: Randomness
) -> Words:
    """The extension columns (5 E, N): accumulators, helpers, running sum; hidden rows random.

    Raises:
        InvariantBroken: a denominator is zero, or the sum of all fractions is not the terminal value.
    """
    system, rows = kernels.system, base.shape[1]
    active, width = rows - HIDDEN_ROWS, 5 * len(system.extension_columns)
    out = empty_words(width, rows)
    following, accumulators = base[:, 1:], 5 * len(system.accumulators)
    kernels.accumulator_columns(base, following, publics, scalars, out[:accumulators], active)
    if system.fractions:
        bus = out[accumulators:]
        zeros: list[int] = []

        def fill(start: int, stop: int) -> None:
            zeros.append(kernels.logup_columns(base, following, publics, scalars, bus, start, stop))

        run_ranges(fill, active, 1 << 12)
        if max(zeros) >= 0:
            raise InvariantBroken(f"row {max(zeros)}: a bus denominator is zero: prove again with a fresh seed")
        summands = np.ascontiguousarray(bus[-5:, :active])
        sums = running_sum(summands)
        end = ext_add(ext_of_array(sums, active - 1), ext_of_array(summands, active - 1))
        if end != scalars["terminal"]:
            raise InvariantBroken("the buses do not balance: the witness contradicts the statement")
        bus[-5:, :active] = sums
    hidden = random.words("lookup hidden rows", width * HIDDEN_ROWS).reshape(width, HIDDEN_ROWS)
    to_mont(hidden)
    out[:, active:] = hidden
    return out
