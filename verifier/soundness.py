"""Provable bits of a proof, round by round: `python -m verifier.soundness` prints `docs/soundness.md`.

Everything is in the unique-decoding regime, where theorems exist; no conjecture enters. A cheating prover may repeat
any round by changing what it commits to, so the figure of a proof is its weakest round, that round's proof of work
included, and not the sum of the rounds.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from fractions import Fraction

from verifier.air import ConstraintSystem
from verifier.field import EXTENSION_DEGREE, P
from verifier.params import FOLD_ARITY_LOG2, PROFILES, ProofParams
from verifier.poseidon import DIGEST_WORDS

FIELD_SIZE = P**EXTENSION_DEGREE
OUTSIDE_BASE_FIELD = FIELD_SIZE - P
"""r and zeta are drawn from these elements."""
POINTS_PER_COLUMN = 2
"""A column is opened at zeta and at most at w zeta."""
PUBLIC_TERMS_MAX = 1 << 15
"""Fractions that the verifier adds itself: up to nine totals per instrument for 2,048 instruments, and 22 more."""
HEIGHTS_LOG2 = (17, 20, 21)
ACCOUNT_TREE_BITS = math.floor(10 * DIGEST_WORDS * math.log2(P) / 2) / 10
"""Of the account tree's binding: a collision of digests of eight words, 30.99 bits each. No profile changes it."""


@dataclass(frozen=True)
class Shape:
    """What the bounds need to know of a circuit.

    Args:
        constraints: how many.
        degree: of the highest constraint.
        fractions: LogUp terms per row.
        value_tuple_width: values in the widest bus tuple, the tag not counted.
        row_polynomial_degree: highest power of r that one row adds to an accumulator or numerator.
    """

    constraints: int
    degree: int
    fractions: int
    value_tuple_width: int
    row_polynomial_degree: int

    @classmethod
    def of(cls, system: ConstraintSystem) -> Shape:
        return cls(
            constraints=len(system.constraints),
            degree=max((system.degrees[constraint.node] for constraint in system.constraints), default=1),
            fractions=len(system.fractions),
            value_tuple_width=system.value_tuple_width,
            row_polynomial_degree=system.row_polynomial_degree,
        )

    def within(self, other: Shape) -> bool:
        """No figure is above the other's, so no bound is worse."""
        return (
            self.constraints <= other.constraints
            and self.degree <= other.degree
            and self.fractions <= other.fractions
            and self.value_tuple_width <= other.value_tuple_width
            and self.row_polynomial_degree <= other.row_polynomial_degree
        )


CEILING = Shape(constraints=1024, degree=3, fractions=128, value_tuple_width=192, row_polynomial_degree=512)
"""Every registered circuit stays below this, so the published table holds for all of them."""


@dataclass(frozen=True)
class Round:
    """One round of the protocol.

    Args:
        name: the challenge.
        bits: -log2 of the chance to cheat in this round, its proof of work included.
        grinding_bits: the part of `bits` that is proof of work.
    """

    name: str
    bits: float
    grinding_bits: int


def rounds(
    shape: Shape, params: ProofParams, log2_rows: int, public_terms: int = PUBLIC_TERMS_MAX
) -> tuple[Round, ...]:
    """All rounds in the order of the protocol.

    Args:
        public_terms: fractions that the verifier adds to the sum itself.
    """
    rows, points = 1 << log2_rows, 1 << params.log2_points(log2_rows)
    out = [
        _round("r, alpha, beta", _lookup_error(shape, rows, public_terms), params.lookup_grinding_bits),
        _round("constraint weights", Fraction(shape.constraints, FIELD_SIZE), params.constraint_grinding_bits),
        _round("zeta", _zeta_error(shape, rows, points), params.zeta_grinding_bits),
        _round("batching weights", _line_error(params, points), params.batching_grinding_bits),
    ]
    for layer in range(params.fri_layers(log2_rows)):
        error = sum(
            (_line_error(params, points >> (FOLD_ARITY_LOG2 * layer + fold)) for fold in range(1, FOLD_ARITY_LOG2 + 1)),
            Fraction(0),
        )
        out.append(_round(f"fri folds {layer}", error, params.fold_grinding_bits))
    # (1 - gamma)^q
    query_bits = -params.queries * math.log2(1 - _radius(params))
    out.append(Round("queries", query_bits + params.query_grinding_bits, params.query_grinding_bits))
    return tuple(out)


def soundness_bits(shape: Shape, params: ProofParams, log2_rows: int, public_terms: int = PUBLIC_TERMS_MAX) -> int:
    """Provable bits of a whole proof: those of its weakest round, rounded down."""
    return math.floor(min(each.bits for each in rounds(shape, params, log2_rows, public_terms)))


def _radius(params: ProofParams) -> Fraction:
    """gamma = (1 - rho) / 2, the unique-decoding radius."""
    return (1 - Fraction(1, params.blowup)) / 2


def _line_error(params: ProofParams, points: int) -> Fraction:
    """Challenges for which a line, or an affine space, comes closer to the code than its generators: gamma n + 1.

    [Ben-Sasson, Carmon, Haboeck, Kopparty, Saraf: ePrint 2025/2055, Corollary 1.4]
    """
    return Fraction(_radius(params) * points + 1, FIELD_SIZE)


def _lookup_error(shape: Shape, rows: int, public_terms: int) -> Fraction:
    """LogUp: terms (W + 2); and a false row polynomial has few roots r, counted for every row and public term."""
    terms = shape.fractions * rows + public_terms
    lookups = terms * (shape.value_tuple_width + 2) if shape.fractions else 0
    return Fraction(lookups + shape.row_polynomial_degree * (rows + public_terms), OUTSIDE_BASE_FIELD)


def _zeta_error(shape: Shape, rows: int, points: int) -> Fraction:
    """A false identity between polynomials of degree d (N + c - 1) + N - 1 holds at few points.

    [Haboeck: ePrint 2022/1216, Theorem 8]
    """
    degree = shape.degree * (rows + POINTS_PER_COLUMN - 1) + rows - 1
    return Fraction(degree, min(OUTSIDE_BASE_FIELD, FIELD_SIZE - rows - points))


def _round(name: str, error: Fraction, grinding_bits: int) -> Round:
    bits = math.log2(error.denominator) - math.log2(error.numerator) if error else math.inf
    return Round(name, bits + grinding_bits, grinding_bits)


_HEAD = """# Soundness, round by round

Generated by `python -m verifier.soundness > docs/soundness.md`; a test compares. Provable bits, no conjecture: unique
decoding, radius gamma = (1 - rho) / 2, field F of p^5 = 2^154.9 elements, n = B N points, rounded down. A round's
proof of work is included. The figure of a proof is its weakest round (round-by-round soundness, Fiat-Shamir).

| round | chance to cheat, before proof of work |
|---|---|
| r, alpha, beta | ((L N + t)(W + 2) + d_r (N + t)) / (F - p): LogUp and row polynomials in r |
| constraint weights | C / F (independent weights would even give 1 / F) |
| zeta | (d (N + 1) + N - 1) / (F - N - n): DEEP-ALI, two points per column (ePrint 2022/1216, Theorem 8) |
| batching weights | (gamma n + 1) / F: independent weights (ePrint 2025/2055, Corollary 1.4) |
| fri folds k | the same, summed over three binary folds to n / 2, n / 4, n / 8 points of that layer |
| queries | (1 - gamma)^q |

L fractions a row, t more of the verifier's own, tuples of W values, row polynomials of degree d_r, C constraints of
degree d. Value records pack all accounts into one polynomial in r; each row adds less than d_r to its degree.

Hashes count as random oracles: BLAKE2s-256 has 128 bits against collisions, an upper limit of every profile.

**The account tree is another matter.** Its digests are eight words of 30.99 bits, so a collision costs {tree_bits}
bits, its hash counting as ideal, too; one leaf with two sets of balances costs no more. An inclusion, or the
opening of a node's sum, is therefore worth at most {tree_whole} bits, whatever the profile, `high` included. That
the totals are the sums over the accounts in the proof does not rest on it with one shard; that one account's
balances are the only ones behind its leaf does. With several shards the totals rest on it too: neighbouring shards
have to use the same masks, and a digest of this hash is what they share.

The figure of a publication is that of one of its proofs, however many shards it has: a cheating prover has to break
one of them, and each attempt, at whichever, has the chance of the table.

Two steps of the argument need more than plain correlated agreement, which speaks of how close a whole line is to
the code. Three folds follow one commitment, with none between them; and layer 0 is compared with the columns'
combination position by position. Both use *mutual* correlated agreement: wherever a combination agrees with its
codeword, every one of its parts agrees with one of its own, so that a single set of consistent positions serves all
the folds. Within the unique-decoding radius this follows from plain correlated agreement: a codeword that close is
unique, so the parts' ones combine to the line's; and a position where a part disagrees is made good by one
challenge at most, gamma n in all. Even n exceptional challenges for a line (ePrint 2020/654) instead of gamma n + 1
would lower single rounds by at most two bits and no figure of a proof: a test computes that.

The polynomials that FRI admits after division by (x - zeta) have degree N instead of N - 1; that moves gamma by
1 / (2 n), less than 0.001 bits in all queries together at 2^17 rows. It is left out of the table.

The figures below hold for every circuit with C <= {constraints}, d <= {degree}, L <= {fractions}, t <= {public_terms},
W <= {value_tuple_width}, d_r <= {row_polynomial_degree}. A test holds every registered circuit to that.

"""


def document() -> str:
    """`docs/soundness.md`: the table of every profile at the usual heights."""
    parts = [
        _HEAD.format(
            **vars(CEILING),
            public_terms=PUBLIC_TERMS_MAX,
            tree_bits=ACCOUNT_TREE_BITS,
            tree_whole=math.floor(ACCOUNT_TREE_BITS),
        )
    ]
    for params in PROFILES.values():
        parts.append(
            f"## `{params.name}`: rate 1/{params.blowup}, {params.queries} queries\n\n"
            f"| round | proof of work | {' | '.join(f'2^{log2_rows} rows' for log2_rows in HEIGHTS_LOG2)} |\n"
            f"|---|---|{'---|' * len(HEIGHTS_LOG2)}\n"
        )
        columns = [rounds(CEILING, params, log2_rows) for log2_rows in HEIGHTS_LOG2]
        tallest = max(columns, key=len)
        names = [each.name for each in tallest]
        for i, name in enumerate(names):
            cells = [next((_shown(each) for each in column if each.name == name), "") for column in columns]
            parts.append(f"| {name} | {tallest[i].grinding_bits} | {' | '.join(cells)} |\n")
        totals = [str(soundness_bits(CEILING, params, log2_rows)) for log2_rows in HEIGHTS_LOG2]
        parts.append(f"| **the proof** | | {' | '.join(f'**{total}**' for total in totals)} |\n\n")
    return "".join(parts).rstrip() + "\n"


def _shown(each: Round) -> str:
    return f"{math.floor(each.bits * 10) / 10:.1f}"


if __name__ == "__main__":
    sys.stdout.write(document())
