"""The prover of one STARK. The numbered steps are those of docs/protocol.md, section 5, and of `verifier.stark`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from circuits.check import public_matrix
from prover.commit import Commitment, Extended
from prover.deep import batched_quotient, open_columns
from prover.fri import prove_low_degree
from prover.kernels.field import ext_of_array, running_sum, to_mont
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
        base: (columns, N) Montgomery words, its last 512 rows uniformly random.
        random: fresh for this statement and witness.

    Raises:
        InvariantBroken: the witness does not satisfy the relation.
    """
    phases = phases or Phases()
    system, log2_rows = relation.system, relation.log2_rows
    params.check_rows(log2_rows)
    kernels = RowKernels(system)
    publics = public_matrix(system, relation.publics, 1 << log2_rows)
    to_mont(publics)

    transcript = Transcript.start(system, params, log2_rows, relation.binding)  # step 1
    with phases.phase("extend"):
        base_extended = Extended(base, params.blowup, phases.at)
        publics_extended = Extended(publics, params.blowup)
    with phases.phase("commit"):  # step 2
        base_tree = Commitment(_leaves(base_extended.values), random, "base")
        transcript.absorb("base root", base_tree.root)
        lookup_nonce = _grind(transcript, "lookup grind")
    r, alpha, beta = (transcript.draw_one(name) for name in ("r", "alpha", "beta"))

    with phases.phase("lookups"):  # steps 3 and 4
        scalars = dict(zip(system.scalars, evaluate_scalars(relation, r, alpha, beta), strict=True))
        lookup = lookup_columns(kernels, base, publics, scalars, random)
        phases.at(0.4)
        lookup_extended = Extended(lookup, params.blowup)
        phases.at(0.8)
        lookup_tree = Commitment(_leaves(lookup_extended.values), random, "lookup")
        transcript.absorb("lookup root", lookup_tree.root)
        constraint_nonce = _grind(transcript, "constraint grind")
    weights = transcript.draw("constraint weights")

    with phases.phase("constraints"):  # step 5
        values = quotient_values(kernels, base_extended, lookup_extended, publics_extended, scalars, weights, phases.at)
        del publics_extended
        chunks = masked_chunks(quotient_coefficients(*values), params, log2_rows, random)
        quotient = lde_from_coefficients(chunks, log2_rows, params.blowup)
        quotient_tree = Commitment(_leaves(quotient), random, "quotient")
        transcript.absorb("quotient root", quotient_tree.root)
        zeta_nonce = _grind(transcript, "zeta grind")
    zeta = transcript.draw_one("zeta")

    with phases.phase("openings"):  # steps 6 to 8
        openings = open_columns(system, base, lookup, quotient, zeta, log2_rows)
        phases.at(0.4)
        transcript.absorb("openings", pack_exts(openings))
        batching_nonce = _grind(transcript, "batching grind")
        batching = transcript.draw("batching weights")
        codeword = batched_quotient(system, params, base, lookup, quotient, zeta, openings, batching)
    with phases.phase("fri"):  # steps 9 to 11
        fri = prove_low_degree(codeword, params, log2_rows, transcript, random, phases.at)
        query_nonce = _grind(transcript, "query grind")
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


def _leaves(values: Words) -> Words:
    return values.reshape(len(values), values.shape[1] * values.shape[2])


def _grind(transcript: Transcript, label: str) -> int:
    nonce = transcript.find_nonce(label)
    transcript.grind(label, nonce)
    return nonce


def lookup_columns(
    kernels: RowKernels, base: Words, publics: Words, scalars: dict[str, Ext], random: Randomness
) -> Words:
    """The extension columns (5 E, N): accumulators, helpers, running sum; hidden rows random.

    Raises:
        InvariantBroken: a denominator is zero, or the sum of all fractions is not the terminal value.
    """
    system, rows = kernels.system, base.shape[1]
    active, width = rows - HIDDEN_ROWS, 5 * len(system.extension_columns)
    out = np.zeros((width, rows), np.uint32)
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
