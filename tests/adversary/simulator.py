"""Proofs without a witness: the simulator of docs/zero-knowledge.md, step by step.

It is told the statement and chooses all challenges beforehand, which a prover cannot: the oracle is programmed. An
honest verifier that draws these challenges accepts, and nothing tells such a proof from a real one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from unittest.mock import patch

import numpy as np

from prover.fri import prove_low_degree
from prover.kernels.field import ext_of_array, to_mont
from prover.kernels.merkle_hash import MerkleTree
from prover.kernels.ntt import lde_from_coefficients
from prover.randomness import Randomness
from tests.adversary.linear import points_of
from tests.adversary.scripted import Challenges, ScriptedTranscript, Shown, Words, programmed
from verifier import stark
from verifier.air import combine, evaluate
from verifier.encoding import as_exts, pack_exts, pack_words
from verifier.field import Ext, ext_add, ext_inverse, ext_mul, ext_pow, ext_sub, ext_zero, lift
from verifier.fri import layer_domains
from verifier.hashing import leaf_digest
from verifier.params import ProofParams
from verifier.proof import Opening, Proof
from verifier.protocol import DRAW, POSITIONS, schedule
from verifier.stark import Batch, Relation, domain_multipliers, evaluate_publics, evaluate_scalars

Row = tuple[int, ...]


class Simulator:
    """One simulated proof under way, for parameters without grinding."""

    def __init__(self, relation: Relation, params: ProofParams, random: Randomness) -> None:
        self.relation, self.params, self.random = relation, params, random
        self.system, self.log2_rows = relation.system, relation.log2_rows
        self.challenges = self.draw_challenges()
        self.positions = sorted(set(self.challenges.positions))
        drawn = self.challenges.drawn
        self.scalars = evaluate_scalars(relation, *(drawn[name][0] for name in ("r", "alpha", "beta")))

    def draw_challenges(self) -> Challenges:
        """Step 1: all of them, and the positions."""
        steps = schedule(self.system, self.params, self.log2_rows)
        drawn = {step.label: self.elements(f"draw {step.label}", step.count) for step in steps if step.kind == DRAW}
        (queries,) = (step for step in steps if step.kind == POSITIONS)
        words = np.frombuffer(self.random.bytes("positions", 4 * queries.count), "<u4")
        return Challenges(drawn, tuple(int(word) & ((1 << queries.bits) - 1) for word in words))

    def elements(self, label: str, count: int) -> tuple[Ext, ...]:
        """Uniform."""
        return as_exts(self.random.words(label, 5 * count).tolist())

    def prove(self) -> Shown:
        """Steps 2 to 6."""
        rows = self.columns()
        openings = self.elements("openings", len(self.system.all_columns) + len(self.system.next_row_columns))
        base_words = len(self.system.columns)
        quotient, openings = self.quotient(rows, openings)
        own = [[rows[at][:base_words] for at in self.positions], [rows[at][base_words:] for at in self.positions]]
        codeword = self.codeword()
        quotient = self.with_mask(own, quotient, openings, codeword)
        trees, roots = [], []
        for name, leaves in zip(("base", "lookup", "quotient"), (*own, quotient), strict=True):
            opening, root = self.tree(name, leaves)
            trees.append(opening)
            roots.append(root)
        transcript = self.transcript(roots, openings)
        fri = prove_low_degree(codeword, self.params, self.log2_rows, transcript, self.random, lambda part: None)
        proof = Proof(
            base_root=roots[0],
            lookup_nonce=0,
            lookup_root=roots[1],
            constraint_nonce=0,
            quotient_root=roots[2],
            zeta_nonce=0,
            openings=openings,
            batching_nonce=0,
            fri_roots=fri.roots,
            fri_nonces=fri.nonces,
            final=fri.final,
            query_nonce=0,
            trees=tuple(trees),
            layers=fri.open(self.positions),
        )
        return Shown(proof, self.challenges)

    def columns(self) -> dict[int, Row]:
        """Step 2: the words of all columns at the positions and at their successors."""
        wanted = sorted({*self.positions, *map(self.after, self.positions)})
        width = sum(self.system.opened_words)
        words = self.random.words("columns", width * len(wanted)).reshape(-1, width)
        return {at: tuple(row) for at, row in zip(wanted, words.tolist(), strict=True)}

    def after(self, position: int) -> int:
        """The position of w x."""
        rows = 1 << self.log2_rows
        return position // rows * rows + (position + 1) % rows

    def quotient(self, rows: dict[int, Row], columns: tuple[Ext, ...]) -> tuple[list[Row], tuple[Ext, ...]]:
        """Step 3: q_0 and q_1 at the positions and at zeta; q_2 is what the constraints leave. Rows of 15 words."""
        count, out = len(self.system.all_columns), []
        masks = iter(self.elements("chunks", 2 * len(self.positions) + 2))
        for at, x in zip(self.positions, points_of(self.params, self.log2_rows, self.positions), strict=True):
            here, following = (self.values_in(rows[position]) for position in (at, self.after(at)))
            chunks = self.chunks(lift(x), here, [following[i] for i in self.system.next_row_columns], masks)
            out.append(tuple(word for chunk in chunks for word in chunk))
        chunks = self.chunks(self.challenges.zeta, columns[:count], columns[count:], masks)
        return out, (*columns, *chunks)

    def values_in(self, row: Row) -> list[Ext]:
        """The columns' values as elements."""
        width = len(self.system.columns)
        return [*map(lift, row[:width]), *as_exts(row[width:])]

    def chunks(self, x: Ext, here: Sequence[Ext], following: Sequence[Ext], masks: Iterator[Ext]) -> list[Ext]:
        """q_0, q_1, q_2 at x."""
        left, step = self.constraints(x, here, following), ext_pow(x, self.params.chunk_coefficients(self.log2_rows))
        first, second = next(masks), next(masks)
        left = ext_sub(ext_sub(left, first), ext_mul(step, second))
        return [first, second, ext_mul(left, ext_inverse(ext_mul(step, step)))]

    def constraints(self, x: Ext, here: Sequence[Ext], following: Sequence[Ext]) -> Ext:
        """Q(x): docs/protocol.md, step 7."""
        system, weights = self.system, self.challenges.drawn["constraint weights"]
        publics = evaluate_publics(self.relation, self.scalars, x)
        values = evaluate(
            system, here, dict(zip(system.next_row_columns, following, strict=True)), publics, self.scalars
        )
        total = ext_zero
        multipliers = domain_multipliers(self.log2_rows, x)
        for constraint, weight in zip(system.constraints, weights, strict=True):
            part = combine(values, [constraint.node], [weight])
            total = ext_add(total, ext_mul(multipliers[constraint.domain], part))
        return total

    def codeword(self) -> Words:
        """Step 4: G (5, B, N), uniform of degree below N."""
        rows = 1 << self.log2_rows
        coefficients = self.random.words("G", 5 * rows).reshape(5, rows)
        to_mont(coefficients)
        return lde_from_coefficients(coefficients, self.log2_rows, self.params.blowup)

    def with_mask(
        self, own: Sequence[Sequence[Row]], chunks: Sequence[Row], openings: Sequence[Ext], codeword: Words
    ) -> list[Row]:
        """R at the positions: G less the combination of the columns there. Rows of 20 words."""
        batch = Batch.of(
            self.system, self.log2_rows, self.challenges.zeta, openings, self.challenges.drawn["batching weights"]
        )
        domain = layer_domains(self.params, self.log2_rows)[0]
        unmasked = [*own, [(*row, 0, 0, 0, 0, 0) for row in chunks]]
        trees = [Opening(tuple(bytes(16) + pack_words(row) for row in rows), ()) for rows in unmasked]
        combined = batch.evaluate(domain, self.positions, trees)
        flat = codeword.reshape(5, -1)
        return [
            (*row, *ext_sub(ext_of_array(flat, at), combined[at]))
            for row, at in zip(chunks, self.positions, strict=True)
        ]

    def tree(self, name: str, leaves: Sequence[Row]) -> tuple[Opening, bytes]:
        """Step 5: digests of leaves that are not opened are drawn."""
        points = self.params.blowup << self.log2_rows
        digests = np.frombuffer(self.random.bytes(f"digests {name}", 32 * points), "<u4").reshape(points, 8).copy()
        salts = self.random.salts(f"opened {name}", len(leaves)).astype("<u4")
        messages = tuple(salt.tobytes() + pack_words(row) for salt, row in zip(salts, leaves, strict=True))
        for at, message in zip(self.positions, messages, strict=True):
            digests[at] = np.frombuffer(leaf_digest(message), "<u4")
        tree = MerkleTree(digests.astype(np.uint32))
        return Opening(messages, tuple(tree.open(self.positions))), tree.root

    def transcript(self, roots: Sequence[bytes], openings: Sequence[Ext]) -> ScriptedTranscript:
        """Step 6: the programmed oracle, up to the low-degree proof."""
        transcript = programmed(self.relation, self.params, self.challenges)
        labels = ("base root", "lookup root", "quotient root", "openings")
        nonces = ("lookup grind", "constraint grind", "zeta grind", "batching grind")
        draws = (("r", "alpha", "beta"), ("constraint weights",), ("zeta",), ("batching weights",))
        for label, data, nonce, drawn in zip(labels, (*roots, pack_exts(openings)), nonces, draws, strict=True):
            transcript.absorb(label, data)
            transcript.grind(nonce, 0)
            for name in drawn:
                transcript.draw(name)
        return transcript


def accept(relation: Relation, params: ProofParams, shown: Shown) -> None:
    """The verifier's whole walk over the file, under the challenges that the proof came with.

    Raises:
        VerificationError: it refuses.
    """

    class Programmed:
        @staticmethod
        def start(*arguments: object) -> ScriptedTranscript:
            return programmed(relation, params, shown.challenges)

    with patch.object(stark, "Transcript", Programmed):
        stark.verify_stark(relation, params, shown.proof.to_bytes())
