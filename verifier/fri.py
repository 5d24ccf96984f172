"""FRI for the verifier: where the points of a layer stand, how eight values fold into one, and the checks.

One layer is three binary folds f'(x^2) = (f(x) + f(-x)) / 2 + beta (f(x) - f(-x)) / (2 x), each
with its own beta.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from verifier.encoding import as_exts
from verifier.errors import BrokenCommitment, MalformedProof, NotLowDegree, Reason
from verifier.field import GENERATOR, Ext, P, ext_add, ext_mul, ext_scale, ext_sub, ext_zero, root_of_unity
from verifier.hashing import leaf_digest
from verifier.merkle import multiproof_root
from verifier.params import FOLD_ARITY_LOG2, ProofParams
from verifier.proof import Opening

_HALF = (P + 1) // 2
_INVERSE_ROOTS = tuple(
    tuple(pow(root_of_unity(log2_order), -t, P) for t in range(1 << (log2_order - 1)))
    for log2_order in range(FOLD_ARITY_LOG2, 0, -1)
)
"""Per fold of one layer: 1 / w^t for the pairs (t, t + half), w of order 8, 4, 2."""


@dataclass(frozen=True)
class LayerDomain:
    """Points of one FRI layer: position c M + i stands at shift * w^(c + B i), w of order B M, 0 <= i < M.

    Args:
        log2_rows: of M.
        shift: 3^(8^layer).
    """

    log2_blowup: int
    log2_rows: int
    shift: int

    def point(self, position: int) -> int:
        coset, i = divmod(position, 1 << self.log2_rows)
        root = root_of_unity(self.log2_rows + self.log2_blowup)
        return self.shift * pow(root, coset + (i << self.log2_blowup), P) % P

    def place(self, position: int) -> tuple[int, int]:
        """Leaf that holds a position, and which of its eight values it is."""
        coset, i = divmod(position, 1 << self.log2_rows)
        log2_leaves = self.log2_rows - FOLD_ARITY_LOG2
        slot, offset = divmod(i, 1 << log2_leaves)
        return (coset << log2_leaves) + offset, slot

    def first_position(self, leaf: int) -> int:
        """Position of the first of a leaf's eight values."""
        coset, offset = divmod(leaf, 1 << (self.log2_rows - FOLD_ARITY_LOG2))
        return (coset << self.log2_rows) + offset


def layer_domains(params: ProofParams, log2_rows: int) -> tuple[LayerDomain, ...]:
    """Domain of each layer, layer 0 being D itself, and last that of the final polynomial."""
    return tuple(
        LayerDomain(
            params.log2_blowup,
            log2_rows - FOLD_ARITY_LOG2 * layer,
            pow(GENERATOR, 1 << (FOLD_ARITY_LOG2 * layer), P),
        )
        for layer in range(params.fri_layers(log2_rows) + 1)
    )


def fold_leaf(values: Sequence[Ext], inverse_point: int, folds: Sequence[Ext]) -> Ext:
    """The value at x^8 of the next layer.

    Args:
        values: f(x w^t), t = 0 .. 7, w of order 8.
        inverse_point: 1 / x.
        folds: the three challenges, in order.
    """
    row = list(values)
    for beta, roots in zip(folds, _INVERSE_ROOTS, strict=True):
        half = len(roots)
        row = [_fold(row[t], row[t + half], beta, inverse_point * roots[t] % P) for t in range(half)]
        inverse_point = inverse_point * inverse_point % P
    return row[0]


def _fold(here: Ext, opposite: Ext, beta: Ext, inverse_point: int) -> Ext:
    odd = ext_scale(ext_sub(here, opposite), inverse_point)
    return ext_scale(ext_add(ext_add(here, opposite), ext_mul(beta, odd)), _HALF)


def evaluate_final(coefficients: Sequence[Ext], point: int) -> Ext:
    """The final polynomial, lowest coefficient first, at a point of the base field."""
    total = ext_zero
    for coefficient in reversed(coefficients):
        total = ext_add(ext_scale(total, point), coefficient)
    return total


def check_layers(
    domains: Sequence[LayerDomain],
    values: Mapping[int, Ext],
    roots: Sequence[bytes],
    folds: Sequence[Sequence[Ext]],
    layers: Sequence[Opening],
    final: Sequence[Ext],
) -> None:
    """Step 13: follow every queried position down to the final polynomial.

    Args:
        values: G at each queried position, computed by the verifier.
        roots, folds, layers: per layer: commitment, challenges, opened leaves.

    Raises:
        MalformedProof, BrokenCommitment, NotLowDegree.
    """
    for layer, (root, betas, opening) in enumerate(zip(roots, folds, layers, strict=True)):
        domain = domains[layer]
        leaves = sorted({domain.place(position)[0] for position in values})
        _check_commitment(layer, domain, leaves, root, opening)
        rows = {leaf: as_exts(row) for leaf, row in zip(leaves, opening.rows, strict=True)}
        for position, value in values.items():
            leaf, slot = domain.place(position)
            if rows[leaf][slot] != value:
                raise NotLowDegree(
                    Reason.FRI_FOLD,
                    f"layer {layer} disagrees with what it was made from at position {position}",
                    layer=layer,
                    position=position,
                )
        values = {
            leaf: fold_leaf(row, pow(domain.point(domain.first_position(leaf)), -1, P), betas)
            for leaf, row in rows.items()
        }
    for position, value in values.items():
        if evaluate_final(final, domains[-1].point(position)) != value:
            raise NotLowDegree(
                Reason.FRI_FINAL, f"the final polynomial disagrees at position {position}", position=position
            )


def _check_commitment(layer: int, domain: LayerDomain, leaves: Sequence[int], root: bytes, opening: Opening) -> None:
    if len(leaves) != len(opening.messages):
        raise MalformedProof(
            Reason.MALFORMED,
            f"FRI layer {layer} opens {len(opening.messages)} leaves, expected {len(leaves)}",
            layer=layer,
        )
    depth = domain.log2_rows + domain.log2_blowup - FOLD_ARITY_LOG2
    digests = [leaf_digest(message) for message in opening.messages]
    if multiproof_root(depth, leaves, digests, opening.siblings) != root:
        raise BrokenCommitment(
            Reason.FRI_LAYER, f"the leaves of FRI layer {layer} do not hash to its root", layer=layer
        )
