"""The verifier of one STARK: the numbered steps of `docs/protocol.md`, section 5."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import mul

from verifier.air import ALWAYS, FIRST, KEEP_LAST, LAST, REPEAT, TRANSITION, ConstraintSystem, combine, evaluate
from verifier.encoding import pack_exts
from verifier.errors import (
    BadStatement,
    BrokenCommitment,
    ConstraintFailure,
    InvariantBroken,
    MalformedProof,
    Reason,
)
from verifier.field import (
    EXTENSION_DEGREE,
    Ext,
    P,
    ext_add,
    ext_batch_inverse,
    ext_inverse,
    ext_mul,
    ext_one,
    ext_pow,
    ext_scale,
    ext_sub,
    ext_zero,
    lift,
    root_of_unity,
)
from verifier.fri import LayerDomain, check_layers, layer_domains
from verifier.hashing import leaf_digest
from verifier.merkle import multiproof_root
from verifier.params import HIDDEN_ROWS, QUOTIENT_CHUNKS, ProofParams
from verifier.proof import TREES, Opening, Proof, parse_proof
from verifier.transcript import Transcript

Terminal = Callable[[Ext, Ext, Ext], Ext]

_BASIS: tuple[Ext, ...] = (
    (1, 0, 0, 0, 0),
    (0, 1, 0, 0, 0),
    (0, 0, 1, 0, 0),
    (0, 0, 0, 1, 0),
    (0, 0, 0, 0, 1),
)


@dataclass(frozen=True)
class Relation:
    """What a proof is about, as the verifier sees it: all of it is computed from the accepted statement.

    Args:
        publics: words of public columns of the circuit for the rows 0 .. k-1; the circuit's pad follows.
        terminal: (r, alpha, beta) -> the sum of all fractions; may raise ArithmeticError where none exists.
        binding: digest (32 bytes) of the statement.
        derived: scalars by name -> the public columns that depend on challenges, as in `publics`.
        scalars: (r, alpha, beta) -> further scalars of the circuit, by name.
    """

    system: ConstraintSystem
    log2_rows: int
    publics: Mapping[str, Sequence[int]]
    terminal: Terminal
    binding: bytes
    derived: Callable[[Mapping[str, Ext]], Mapping[str, Sequence[int]]] = lambda scalars: {}
    scalars: Callable[[Ext, Ext, Ext], Mapping[str, Ext]] = lambda r, alpha, beta: {}

    def public_values(self, scalars: Sequence[Ext]) -> dict[str, Sequence[int]]:
        """First rows of every public column, the scalars being those of the circuit in its order.

        Raises:
            InvariantBroken: these are not the circuit's public columns.
        """
        named = dict(zip(self.system.scalars, scalars, strict=True))
        out = {**self.publics, **self.derived(named)}
        if out.keys() != {name for name, _ in self.system.publics}:
            raise InvariantBroken(f"circuit {self.system.name}: the public columns are {sorted(out)}")
        for name, pad in self.system.publics:
            if pad == REPEAT and (len(out[name]) & -len(out[name]) != len(out[name]) or HIDDEN_ROWS % len(out[name])):
                raise InvariantBroken(f"public column {name} repeats {len(out[name])} rows")
        return out


def verify_stark(relation: Relation, params: ProofParams, data: bytes) -> None:
    """Accept a proof by returning.

    Args:
        params: the caller's choice; nothing in the proof can change it.
        data: the proof file, untrusted.

    Raises:
        VerificationError: the one reason and where. Nothing else, whatever `data` holds.
    """
    system, log2_rows = relation.system, relation.log2_rows
    params.check_rows(log2_rows)
    proof = parse_proof(data, system, params, log2_rows)
    transcript = Transcript.start(system, params, log2_rows, relation.binding)  # step 1
    challenges = draw_lookup_challenges(transcript, proof.base_root, proof.lookup_nonce)  # step 2
    scalars = evaluate_scalars(relation, *challenges)  # step 3
    transcript.absorb("lookup root", proof.lookup_root)  # step 4
    transcript.grind("constraint grind", proof.constraint_nonce)
    weights = transcript.draw("constraint weights")
    zeta = draw_zeta(transcript, proof.quotient_root, proof.zeta_nonce)  # step 5
    transcript.absorb("openings", pack_exts(proof.openings))  # step 6
    check_identity(relation, params, scalars, weights, zeta, proof.openings)  # step 7
    transcript.grind("batching grind", proof.batching_nonce)  # step 8
    batch = Batch.of(system, log2_rows, zeta, proof.openings, transcript.draw("batching weights"))
    folds = []
    for layer, (root, nonce) in enumerate(zip(proof.fri_roots, proof.fri_nonces, strict=True)):  # step 9
        transcript.absorb(f"fri root {layer}", root)
        transcript.grind(f"fri grind {layer}", nonce)
        folds.append(transcript.draw(f"fri folds {layer}"))
    transcript.absorb("fri final", pack_exts(proof.final))  # step 10
    transcript.grind("query grind", proof.query_nonce)  # step 11
    positions = sorted(set(transcript.draw_positions("queries")))
    check_openings(params, log2_rows, positions, proof)  # step 12
    domains = layer_domains(params, log2_rows)
    values = batch.evaluate(domains[0], positions, proof.trees)
    check_layers(domains, values, proof.fri_roots, folds, proof.layers, proof.final)  # step 13
    transcript.finish()  # step 14; `parse_proof` has refused leftover bytes


def draw_lookup_challenges(transcript: Transcript, base_root: bytes, nonce: int) -> tuple[Ext, Ext, Ext]:
    """Step 2: r, alpha, beta."""
    transcript.absorb("base root", base_root)
    transcript.grind("lookup grind", nonce)
    r, alpha, beta = transcript.draw_one("r"), transcript.draw_one("alpha"), transcript.draw_one("beta")
    _refuse_base_field("r", r)
    return r, alpha, beta


def draw_zeta(transcript: Transcript, quotient_root: bytes, nonce: int) -> Ext:
    """Step 5. Outside the base field, zeta is in neither the trace domain nor the evaluation domain."""
    transcript.absorb("quotient root", quotient_root)
    transcript.grind("zeta grind", nonce)
    zeta = transcript.draw_one("zeta")
    _refuse_base_field("zeta", zeta)
    return zeta


def _refuse_base_field(name: str, element: Ext) -> None:
    if not any(element[1:]):
        raise ConstraintFailure(Reason.OUT_OF_DOMAIN_POINT, f"{name} lies in the base field", challenge=name)


def evaluate_scalars(relation: Relation, r: Ext, alpha: Ext, beta: Ext) -> tuple[Ext, ...]:
    """Step 3: the scalars of the circuit, in its order."""
    known = {"r": r, "alpha": alpha, "beta": beta, "x": _BASIS[1], **relation.scalars(r, alpha, beta)}
    if "terminal" in relation.system.scalars:
        try:
            known["terminal"] = relation.terminal(r, alpha, beta)
        except ArithmeticError as error:
            raise ConstraintFailure(
                Reason.OUT_OF_DOMAIN_POINT, f"the terminal does not exist at these challenges: {error}"
            ) from None
    unknown = set(relation.system.scalars) - known.keys()
    if unknown:
        raise InvariantBroken(f"circuit {relation.system.name}: unknown scalars {sorted(unknown)}")
    return tuple(known[name] for name in relation.system.scalars)


def evaluate_publics(relation: Relation, scalars: Sequence[Ext], point: Ext) -> list[Ext]:
    """Public columns at `point`: pad + sum (value - pad) L_i(point), L_i(x) = w^i (x^N - 1) / (N (x - w^i)).

    A column of m rows that repeats is the one that interpolates them on the m-th roots of unity, taken at x^(N / m).

    Raises:
        BadStatement: CAPACITY when a column is longer than the active rows.
    """
    system, rows = relation.system, 1 << relation.log2_rows
    columns = relation.public_values(scalars)
    longest = max((len(columns[name]) for name, pad in system.publics if pad != REPEAT), default=0)
    if longest > rows - HIDDEN_ROWS:
        raise BadStatement(
            Reason.CAPACITY,
            f"a public column has {longest} rows, {rows - HIDDEN_ROWS} are active",
            rows=longest,
        )
    basis = _lagrange_basis(relation.log2_rows, longest, point)
    repeated: dict[int, list[list[int]]] = {}
    out = []
    for name, pad in system.publics:
        values = columns[name]
        if pad == REPEAT:
            log2_period = len(values).bit_length() - 1
            if log2_period not in repeated:
                folded = ext_pow(point, rows >> log2_period)
                repeated[log2_period] = _lagrange_basis(log2_period, 1 << log2_period, folded)
            out.append(_dot(values, repeated[log2_period]))
            continue
        below = values[-1] if pad == KEEP_LAST and values else 0
        out.append(ext_add(lift(below), _dot([value - below for value in values], basis)))
    return out


def _lagrange_basis(log2_rows: int, count: int, point: Ext) -> list[list[int]]:
    """L_0 .. L_(count - 1) of the subgroup of that order at a point outside the base field, by coordinate."""
    rows, root, powers = 1 << log2_rows, root_of_unity(log2_rows), [1] * count
    for i in range(1, count):
        powers[i] = powers[i - 1] * root % P
    inverses = ext_batch_inverse([ext_sub(point, lift(power)) for power in powers])
    common = ext_scale(ext_sub(ext_pow(point, rows), ext_one), pow(rows, -1, P))
    basis = [ext_mul(common, ext_scale(inverse, power)) for power, inverse in zip(powers, inverses, strict=True)]
    return [[element[k] for element in basis] for k in range(EXTENSION_DEGREE)]


def _dot(words: Sequence[int], columns: Sequence[Sequence[int]]) -> Ext:
    """Sum of word * element, the elements given coordinate by coordinate; one reduction per coordinate."""
    c0, c1, c2, c3, c4 = columns
    return (
        sum(map(mul, words, c0)) % P,
        sum(map(mul, words, c1)) % P,
        sum(map(mul, words, c2)) % P,
        sum(map(mul, words, c3)) % P,
        sum(map(mul, words, c4)) % P,
    )


def domain_multipliers(log2_rows: int, point: Ext) -> dict[str, Ext]:
    """What turns each kind of constraint's value into its quotient, at a point outside the base field."""
    rows, root = 1 << log2_rows, root_of_unity(log2_rows)
    active = rows - HIDDEN_ROWS
    hidden, power = ext_one, pow(root, active, P)
    for _ in range(HIDDEN_ROWS):
        hidden = ext_mul(hidden, ext_sub(point, lift(power)))
        power = power * root % P
    # 1 / Z_A(x) = prod_{i >= A} (x - w^i) / (x^N - 1)
    always = ext_mul(hidden, ext_inverse(ext_sub(ext_pow(point, rows), ext_one)))
    from_last = ext_sub(point, lift(pow(root, active - 1, P)))
    return {
        ALWAYS: always,
        TRANSITION: ext_mul(always, from_last),
        FIRST: ext_inverse(ext_sub(point, ext_one)),
        LAST: ext_inverse(from_last),
    }


def check_identity(
    relation: Relation,
    params: ProofParams,
    scalars: Sequence[Ext],
    weights: Sequence[Ext],
    zeta: Ext,
    openings: Sequence[Ext],
) -> None:
    """Step 7: the constraints, divided by where they must vanish, are the committed quotient at zeta.

    Raises:
        ConstraintFailure: CONSTRAINTS.
    """
    system = relation.system
    here, following, chunks = split_openings(system, openings)
    values = evaluate(
        system,
        here,
        dict(zip(system.next_row_columns, following, strict=True)),
        evaluate_publics(relation, scalars, zeta),
        scalars,
    )
    claimed = ext_zero
    step = ext_pow(zeta, params.chunk_coefficients(relation.log2_rows))
    for chunk in reversed(chunks):
        claimed = ext_add(ext_mul(claimed, step), chunk)
    expected = ext_zero
    for domain, multiplier in domain_multipliers(relation.log2_rows, zeta).items():
        chosen = [(c.node, w) for c, w in zip(system.constraints, weights, strict=True) if c.domain == domain]
        part = combine(values, [node for node, _ in chosen], [weight for _, weight in chosen])
        expected = ext_add(expected, ext_mul(multiplier, part))
    if expected != claimed:
        raise ConstraintFailure(Reason.CONSTRAINTS, "the constraints do not give the committed quotient at zeta")


def split_openings(
    system: ConstraintSystem, openings: Sequence[Ext]
) -> tuple[Sequence[Ext], Sequence[Ext], Sequence[Ext]]:
    """Openings, or their weights: all columns at zeta, next-row columns at w zeta, chunks at zeta."""
    columns = len(system.all_columns)
    return openings[:columns], openings[columns:-QUOTIENT_CHUNKS], openings[-QUOTIENT_CHUNKS:]


@dataclass(frozen=True)
class Batch:
    """Step 8: G(x) = R(x) + (sum weight f(x) - constant) / (x - zeta) + the same at w zeta.

    Args:
        points: zeta and w zeta.
        words: per point five lists, one a coordinate: the weight of each word of an opened position (base
            columns, then the coordinates of the extension columns and of the quotient's chunks).
        constants: per point the sum of weight * claimed value.
    """

    points: tuple[Ext, Ext]
    words: tuple[Sequence[Sequence[int]], Sequence[Sequence[int]]]
    constants: tuple[Ext, Ext]

    @classmethod
    def of(
        cls,
        system: ConstraintSystem,
        log2_rows: int,
        zeta: Ext,
        openings: Sequence[Ext],
        weights: Sequence[Ext],
    ) -> Batch:
        """Sort the claims by point and spread the weights over words, once for all positions."""
        here, following, chunks = split_openings(system, weights)
        at_next = [ext_zero] * len(system.all_columns)
        for column, weight in zip(system.next_row_columns, following, strict=True):
            at_next[column] = weight
        no_chunks = (ext_zero,) * QUOTIENT_CHUNKS
        values, next_values, chunk_values = split_openings(system, openings)
        return cls(
            points=(zeta, ext_scale(zeta, root_of_unity(log2_rows))),
            words=(
                _spread(len(system.columns), (*here, *chunks)),
                _spread(len(system.columns), (*at_next, *no_chunks)),
            ),
            constants=(
                _sum_of_products((*here, *chunks), (*values, *chunk_values)),
                _sum_of_products(following, next_values),
            ),
        )

    def evaluate(self, domain: LayerDomain, positions: Sequence[int], trees: Sequence[Opening]) -> dict[int, Ext]:
        """G at every position, from the opened rows of the three trees."""
        points = [lift(domain.point(position)) for position in positions]
        inverses = [ext_batch_inverse([ext_sub(x, claim) for x in points]) for claim in self.points]
        out = {}
        for i, position in enumerate(positions):
            base, lookup, quotient = (tree.rows[i] for tree in trees)
            row = (*base, *lookup, *quotient[: EXTENSION_DEGREE * QUOTIENT_CHUNKS])
            m0, m1, m2, m3, m4 = quotient[EXTENSION_DEGREE * QUOTIENT_CHUNKS :]
            value: Ext = (m0, m1, m2, m3, m4)
            for words, constant, inverse in zip(self.words, self.constants, inverses, strict=True):
                value = ext_add(value, ext_mul(ext_sub(_dot(row, words), constant), inverse[i]))
            out[position] = value
        return out


def _spread(base_columns: int, weights: Sequence[Ext]) -> list[list[int]]:
    """Weights of words from weights of columns, transposed: word j of an element counts weight * X^j."""
    words = list(weights[:base_columns])
    words += [ext_mul(weight, unit) for weight in weights[base_columns:] for unit in _BASIS]
    return [list(coordinate) for coordinate in zip(*words, strict=True)]


def _sum_of_products(left: Sequence[Ext], right: Sequence[Ext]) -> Ext:
    total = ext_zero
    for a, b in zip(left, right, strict=True):
        total = ext_add(total, ext_mul(a, b))
    return total


def check_openings(params: ProofParams, log2_rows: int, positions: Sequence[int], proof: Proof) -> None:
    """Step 12: the opened rows are those committed to before zeta was known.

    Raises:
        MalformedProof: another number of positions.
        BrokenCommitment: COMMITMENT.
    """
    if len(positions) != len(proof.trees[0].messages):
        raise MalformedProof(
            Reason.MALFORMED,
            f"the proof opens {len(proof.trees[0].messages)} positions, expected {len(positions)}",
        )
    roots, depth = (proof.base_root, proof.lookup_root, proof.quotient_root), params.log2_points(log2_rows)
    for name, root, opening in zip(TREES, roots, proof.trees, strict=True):
        digests = [leaf_digest(message) for message in opening.messages]
        if multiproof_root(depth, positions, digests, opening.siblings) != root:
            raise BrokenCommitment(Reason.COMMITMENT, f"the {name} tree's leaves do not hash to its root", tree=name)
