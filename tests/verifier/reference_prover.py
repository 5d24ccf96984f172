"""The slow twin of the prover: `docs/protocol.md`, section 5, word for word in plain Python, for any circuit.

Written for heights of about 2^10. Every step is a method that a malicious prover of the tests overrides. Randomness
is injected, so that a faster prover can be compared with this one byte by byte.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tests.verifier.reference_polynomials import (
    Exts,
    Vector,
    Words,
    add_polynomials,
    as_elements,
    coordinates,
    domain_multipliers_on,
    elements,
    evaluate_nodes,
    ext_interpolate,
    ext_values_on,
    interpolate,
    multiply,
    negate,
    shift_up,
    split,
    values_on,
)
from verifier.encoding import pack_exts, pack_words
from verifier.field import (
    EXTENSION_DEGREE,
    GENERATOR,
    Ext,
    P,
    ext_add,
    ext_batch_inverse,
    ext_horner,
    ext_mul,
    ext_scale,
    ext_sub,
    ext_zero,
    lift,
    root_of_unity,
)
from verifier.fri import layer_domains
from verifier.hashing import SALT_BYTES, leaf_digest, node_digest
from verifier.params import HIDDEN_ROWS, ProofParams
from verifier.proof import Opening, Proof
from verifier.stark import Relation, evaluate_scalars
from verifier.transcript import Transcript


class Randomness(Protocol):
    """Where the prover's secrets come from. Labels and order are those of the fast prover."""

    def words(self, label: str, count: int) -> Words:
        """Uniform canonical words."""
        ...

    def salts(self, label: str, count: int) -> list[bytes]:
        """Salts of 16 bytes."""
        ...


@dataclass(frozen=True)
class SeededRandomness:
    """SHAKE-256 of seed and label; words >= p are skipped."""

    seed: bytes

    def words(self, label: str, count: int) -> Words:
        stream = hashlib.shake_256(self.seed + b"words " + label.encode()).digest(4 * (count + count // 32 + 64))
        words = [word & 0x7FFFFFFF for (word,) in struct.iter_unpack("<I", stream)]
        return [word for word in words if word < P][:count]

    def salts(self, label: str, count: int) -> list[bytes]:
        stream = hashlib.shake_256(self.seed + b"salts " + label.encode()).digest(SALT_BYTES * count)
        return [stream[i : i + SALT_BYTES] for i in range(0, len(stream), SALT_BYTES)]


# Polynomials. Base polynomials are lists of words, extension polynomials lists of elements, lowest first.


class Tree:
    """A whole Merkle tree; leaf i is message i."""

    def __init__(self, messages: Sequence[bytes]) -> None:
        self.messages = messages
        self.levels = [[leaf_digest(message) for message in messages]]
        while len(self.levels[-1]) > 1:
            below = self.levels[-1]
            self.levels.append([node_digest(below[i], below[i + 1]) for i in range(0, len(below), 2)])

    @property
    def root(self) -> bytes:
        return self.levels[-1][0]

    def open(self, indices: Sequence[int]) -> Opening:
        """Leaves at the given distinct ascending indices, with their multiproof."""
        siblings, known = [], list(indices)
        for level in self.levels[:-1]:
            siblings += [level[i ^ 1] for i in known if i ^ 1 not in known]
            known = sorted({i >> 1 for i in known})
        return Opening(tuple(self.messages[i] for i in indices), tuple(siblings))


class ReferenceProver:
    """One proof of one relation. Step numbers are those of the protocol; columns are lists over the trace's rows.

    Args:
        witness: words of each base column, in the circuit's order, on the active rows.
    """

    def __init__(
        self, relation: Relation, params: ProofParams, witness: Sequence[Sequence[int]], randomness: Randomness
    ) -> None:
        self.relation, self.params, self.randomness = relation, params, randomness
        self.system, self.log2_rows = relation.system, relation.log2_rows
        self.rows, self.points = 1 << self.log2_rows, 1 << params.log2_points(self.log2_rows)
        self.active = self.rows - HIDDEN_ROWS
        self.witness = witness
        self.transcript = self.start()
        self.publics: list[Words] = []

    def prove(self) -> bytes:
        """The proof file."""
        transcript = self.transcript
        base = self.base_columns()
        base_polynomials = [interpolate(column) for column in base]
        base_values = [self.lde(polynomial) for polynomial in base_polynomials]
        base_tree = self.commit("base", [list(row) for row in zip(*base_values, strict=True)])
        lookup_nonce, challenges = self.lookup_challenges(base_tree.root)  # step 2
        scalars = evaluate_scalars(self.relation, *challenges)  # step 3
        self.publics = self.public_columns(scalars)
        extension = self.extension_columns(base, scalars)  # step 4
        extension_polynomials = [ext_interpolate(column) for column in extension]
        extension_values = [self.ext_lde(polynomial) for polynomial in extension_polynomials]
        lookup_tree = self.commit("lookup", self.flat_rows(extension_values))
        transcript.absorb("lookup root", lookup_tree.root)
        constraint_nonce = self.grind("constraint grind")
        weights = self.constraint_weights(transcript.draw("constraint weights"))
        quotient = self.quotient(base_polynomials, extension_polynomials, scalars, weights)
        chunks, mask = self.chunks(quotient), self.mask()
        chunk_values = [self.ext_lde(chunk) for chunk in chunks]
        mask_values = self.mask_values(mask)
        quotient_tree = self.commit("quotient", self.flat_rows([*chunk_values, mask_values]))
        zeta_nonce, zeta = self.draw_zeta(quotient_tree.root)  # step 5
        polynomials = [[lift(word) for word in polynomial] for polynomial in base_polynomials]
        polynomials += extension_polynomials
        openings = self.openings(polynomials, chunks, zeta)  # step 6
        transcript.absorb("openings", pack_exts(openings))
        batching_nonce = self.grind("batching grind")  # step 8
        batching = transcript.draw("batching weights")
        columns = [[lift(word) for word in column] for column in base_values] + extension_values
        layer = self.combine(columns, chunk_values, mask_values, zeta, openings, batching)
        fri_trees, fri_nonces = [], []
        for k in range(self.params.fri_layers(self.log2_rows)):  # step 9
            tree, nonce, layer = self.fri_layer(k, layer)
            fri_trees.append(tree)
            fri_nonces.append(nonce)
        final = self.final_polynomial(layer)  # step 10
        transcript.absorb("fri final", pack_exts(final))
        query_nonce = self.grind("query grind")  # step 11
        positions = sorted(set(transcript.draw_positions("queries")))
        proof = Proof(
            base_root=base_tree.root,
            lookup_nonce=lookup_nonce,
            lookup_root=lookup_tree.root,
            constraint_nonce=constraint_nonce,
            quotient_root=quotient_tree.root,
            zeta_nonce=zeta_nonce,
            openings=tuple(openings),
            batching_nonce=batching_nonce,
            fri_roots=tuple(tree.root for tree in fri_trees),
            fri_nonces=tuple(fri_nonces),
            final=tuple(final),
            query_nonce=query_nonce,
            trees=tuple(tree.open(positions) for tree in (base_tree, lookup_tree, quotient_tree)),  # step 12
            layers=self.open_layers(fri_trees, positions),  # step 13
        )
        transcript.finish()
        return self.publish(proof).to_bytes()

    # Steps

    def start(self) -> Transcript:
        """Step 1."""
        return Transcript.start(self.system, self.params, self.log2_rows, self.relation.binding)

    def public_columns(self, scalars: Sequence[Ext]) -> list[Words]:
        """Public columns on all rows, the pad included."""
        columns = self.relation.public_values(scalars)
        out = []
        for name, pad in self.system.publics:
            given = list(columns[name])
            if pad == "repeat":
                out.append(given * (self.rows // len(given)))
                continue
            below = given[-1] if pad == "last" and given else 0
            out.append(given + [below] * (self.rows - len(given)))
        return out

    def base_columns(self) -> list[Words]:
        """The witness, then the hidden rows."""
        hidden = self.randomness.words("base hidden rows", HIDDEN_ROWS * len(self.system.columns))
        blocks = [hidden[i : i + HIDDEN_ROWS] for i in range(0, len(hidden), HIDDEN_ROWS)]
        return [list(column) + block for column, block in zip(self.witness, blocks, strict=True)]

    def lookup_challenges(self, base_root: bytes) -> tuple[int, tuple[Ext, Ext, Ext]]:
        """Step 2: nonce; r, alpha, beta."""
        transcript = self.transcript
        transcript.absorb("base root", base_root)
        nonce = self.grind("lookup grind")
        return nonce, (transcript.draw_one("r"), transcript.draw_one("alpha"), transcript.draw_one("beta"))

    def extension_columns(self, base: Sequence[Words], scalars: Sequence[Ext]) -> list[Exts]:
        """Accumulators, helpers, running sum on the active rows; then the hidden rows."""
        system = self.system
        wanted = [node for a in system.accumulators for node in (a.first, a.keep, a.add)]
        wanted += [node for f in system.fractions for node in (f.numerator, f.denominator)]
        values = evaluate_nodes(system, wanted, base, 1, self.publics, scalars)
        exts = {node: as_elements(values[node]) for node in wanted}
        columns = []
        for accumulator in system.accumulators:
            column = [exts[accumulator.first][0]]
            for i in range(self.active - 1):
                kept = ext_mul(exts[accumulator.keep][i], column[-1])
                column.append(ext_add(kept, exts[accumulator.add][i]))
            columns.append(column)
        terms = []
        for fraction in system.fractions:
            inverses = ext_batch_inverse(exts[fraction.denominator][: self.active])
            numerators = exts[fraction.numerator][: self.active]
            terms.append([ext_mul(n, inverse) for n, inverse in zip(numerators, inverses, strict=True)])
        if terms:
            helpers = [add_polynomials(a, b) for a, b in zip(terms[:-1:2], terms[1::2], strict=True)]
            steps, running = add_polynomials(*helpers, terms[-1]), [ext_zero]
            for i in range(self.active - 1):
                running.append(ext_add(running[-1], steps[i]))
            columns += [*helpers, running]
        block = EXTENSION_DEGREE * HIDDEN_ROWS
        hidden = self.randomness.words("lookup hidden rows", block * len(columns))
        return [
            column + elements(split(hidden[block * i : block * (i + 1)], HIDDEN_ROWS))
            for i, column in enumerate(columns)
        ]

    def constraint_weights(self, drawn: Sequence[Ext]) -> Sequence[Ext]:
        return drawn

    def quotient(
        self,
        base_polynomials: Sequence[Words],
        extension_polynomials: Sequence[Exts],
        scalars: Sequence[Ext],
        weights: Sequence[Ext],
    ) -> Exts:
        """Coefficients of Q, from its values on a coset of 4 N points."""
        system, size = self.system, 4 * self.rows
        columns: list[Vector] = [values_on(polynomial, GENERATOR, size) for polynomial in base_polynomials]
        columns += [ext_values_on(polynomial, GENERATOR, size) for polynomial in extension_polynomials]
        publics = [values_on(interpolate(column), GENERATOR, size) for column in self.publics]
        nodes = [constraint.node for constraint in system.constraints]
        values = evaluate_nodes(system, nodes, columns, size // self.rows, publics, scalars)
        multipliers = domain_multipliers_on(self.log2_rows, GENERATOR, size)
        total = [ext_zero] * size
        for constraint, weight in zip(system.constraints, weights, strict=True):
            part = multiply(values[constraint.node], multipliers[constraint.domain])
            total = [ext_add(x, ext_mul(weight, y)) for x, y in zip(total, as_elements(part), strict=True)]
        return self.trim(ext_interpolate(total, GENERATOR))

    def trim(self, quotient: Exts) -> Exts:
        """A true quotient fits in three chunks."""
        limit = 3 * self.params.chunk_coefficients(self.log2_rows)
        if any(any(coefficient) for coefficient in quotient[limit:]):
            raise ValueError("the witness does not satisfy the constraints")
        return quotient[:limit]

    def chunks(self, quotient: Exts) -> list[Exts]:
        """Masked splitting; every chunk is padded to N coefficients."""
        m, size = self.params.mask_coefficients, self.params.chunk_coefficients(self.log2_rows)
        words = self.randomness.words("quotient masks", 2 * EXTENSION_DEGREE * m)
        first, second = (elements(split(half, m)) for half in split(words, EXTENSION_DEGREE * m))
        chunks = [
            add_polynomials(quotient[:size], shift_up(first, size)),
            add_polynomials(quotient[size : 2 * size], negate(first), shift_up(second, size)),
            add_polynomials(quotient[2 * size :], negate(second)),
        ]
        return [chunk + [ext_zero] * (self.rows - len(chunk)) for chunk in chunks]

    def mask(self) -> Exts:
        """R."""
        return elements(split(self.randomness.words("mask polynomial", EXTENSION_DEGREE * self.rows), self.rows))

    def mask_values(self, mask: Exts) -> Exts:
        return self.ext_lde(mask)

    def draw_zeta(self, quotient_root: bytes) -> tuple[int, Ext]:
        self.transcript.absorb("quotient root", quotient_root)
        nonce = self.grind("zeta grind")
        return nonce, self.transcript.draw_one("zeta")

    def openings(self, polynomials: Sequence[Exts], chunks: Sequence[Exts], zeta: Ext) -> Exts:
        following = ext_scale(zeta, root_of_unity(self.log2_rows))
        out = [ext_horner(polynomial, zeta) for polynomial in polynomials]
        out += [ext_horner(polynomials[column], following) for column in self.system.next_row_columns]
        return out + [ext_horner(chunk, zeta) for chunk in chunks]

    def combine(
        self,
        columns: Sequence[Exts],
        chunks: Sequence[Exts],
        mask: Exts,
        zeta: Ext,
        openings: Sequence[Ext],
        weights: Sequence[Ext],
    ) -> Exts:
        """Values of G on D, claim by claim."""
        following = ext_scale(zeta, root_of_unity(self.log2_rows))
        opened = [(column, zeta) for column in columns]
        opened += [(columns[i], following) for i in self.system.next_row_columns]
        opened += [(chunk, zeta) for chunk in chunks]
        sums = {zeta: [ext_zero] * self.points, following: [ext_zero] * self.points}
        for (values, point), claimed, weight in zip(opened, openings, weights, strict=True):
            difference = [ext_mul(weight, ext_sub(value, claimed)) for value in values]
            sums[point] = [ext_add(a, b) for a, b in zip(sums[point], difference, strict=True)]
        domain = layer_domains(self.params, self.log2_rows)[0]
        points = [lift(domain.point(position)) for position in range(self.points)]
        out = mask
        for point, values in sums.items():
            inverses = ext_batch_inverse([ext_sub(x, point) for x in points])
            out = [ext_add(a, ext_mul(b, c)) for a, b, c in zip(out, values, inverses, strict=True)]
        return out

    def fri_layer(self, k: int, layer: Exts) -> tuple[Tree, int, Exts]:
        """Step 9: commit to a layer, draw three challenges, fold three times."""
        per_coset = len(layer) // self.params.blowup
        eighth = per_coset // 8
        leaves = []
        for leaf in range(len(layer) // 8):
            coset, offset = divmod(leaf, eighth)
            first = coset * per_coset + offset
            leaves.append([word for t in range(8) for word in layer[first + t * eighth]])
        tree = self.commit(f"fri {k}", leaves)
        self.transcript.absorb(f"fri root {k}", tree.root)
        nonce = self.grind(f"fri grind {k}")
        shift = pow(GENERATOR, 8**k, P)
        for beta in self.transcript.draw(f"fri folds {k}"):
            layer, shift = self.fold(layer, shift, beta), shift * shift % P
        return tree, nonce, layer

    def fold(self, layer: Exts, shift: int, beta: Ext) -> Exts:
        """One binary fold of (B, M) values at shift * w^(c + B i) to (B, M / 2)."""
        blowup, half = self.params.blowup, len(layer) // self.params.blowup // 2
        root = root_of_unity(len(layer).bit_length() - 1)
        inverse_two = pow(2, -1, P)
        out = []
        for coset in range(blowup):
            for i in range(half):
                here, opposite = layer[coset * 2 * half + i], layer[coset * 2 * half + i + half]
                x = shift * pow(root, coset + blowup * i, P) % P
                even = ext_scale(ext_add(here, opposite), inverse_two)
                odd = ext_scale(ext_sub(here, opposite), inverse_two * pow(x, -1, P))
                out.append(ext_add(even, ext_mul(beta, odd)))
        return out

    def final_polynomial(self, layer: Exts) -> Exts:
        """Step 10, from the first coset; an honest prover gets the same from each."""
        size = self.params.final_coefficients(self.log2_rows)
        return ext_interpolate(layer[:size], layer_domains(self.params, self.log2_rows)[-1].shift)

    def open_layers(self, trees: Sequence[Tree], positions: Sequence[int]) -> tuple[Opening, ...]:
        out = []
        known = list(positions)
        for tree, domain in zip(trees, layer_domains(self.params, self.log2_rows), strict=False):
            known = sorted({domain.place(position)[0] for position in known})
            out.append(tree.open(known))
        return tuple(out)

    def publish(self, proof: Proof) -> Proof:
        return proof

    # Tools

    def lde(self, polynomial: Words) -> Words:
        """Values on D: position c N + i stands at 3 w_n^(c + B i)."""
        root = root_of_unity(self.params.log2_points(self.log2_rows))
        out: Words = []
        for coset in range(self.params.blowup):
            out += values_on(polynomial, GENERATOR * pow(root, coset, P) % P, self.rows)
        return out

    def ext_lde(self, polynomial: Exts) -> Exts:
        return elements([self.lde(column) for column in coordinates(polynomial)])

    def flat_rows(self, columns: Sequence[Exts]) -> list[Words]:
        """Per position the words of all extension columns."""
        return [[word for column in columns for word in column[i]] for i in range(self.points)]

    def commit(self, label: str, rows: Sequence[Words]) -> Tree:
        salts = self.randomness.salts(label, len(rows))
        return Tree([salt + pack_words(row) for salt, row in zip(salts, rows, strict=True)])

    def grind(self, label: str) -> int:
        """Find and absorb the least nonce."""
        nonce = self.transcript.find_nonce(label)
        self.transcript.grind(label, nonce)
        return nonce
