"""Changed proofs of toy circuits and of the circuits in use: parts damaged, exchanged, repeated, taken from elsewhere.

Most proofs here carry no proof of work: with it nearly every change would be refused before the check that it is for.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial

from tests.adversary.mutate import Change, change_bytes
from tests.adversary.proof_changes import Section, change_proof, change_section, sections
from tests.adversary.score import Score, Tally
from tests.adversary.spread import peak_mib, spread
from tests.verifier.toy_proofs import CASES, FREE, prove
from verifier.params import TEST, ProofParams
from verifier.proof import Proof, parse_proof
from verifier.shards import Shard
from verifier.solvency import relation as relation_of
from verifier.stark import Relation, verify_stark
from verifier.statement import Statement

COUNTS = {"short": 300, "nightly": 20_000}
CHUNK = 500
TOYS, IN_USE = "proofs of toy circuits", "proofs of circuits in use"
SECONDS_MAX = 2.0
MEMORY_MIB_MAX = 64
"""What all refusals together may add to the memory of the process."""
MOST_MIB = "most MiB added"


@dataclass(frozen=True)
class Target:
    """Honest proofs of one relation, for which changed ones are offered.

    Args:
        proofs: two of them, made with other randomness.
        stranger: one for another statement of the same circuit.
    """

    name: str
    relation: Relation
    params: ProofParams
    proofs: tuple[bytes, bytes]
    stranger: bytes

    @cached_property
    def parsed(self) -> tuple[Proof, ...]:
        relation = self.relation
        return tuple(
            parse_proof(data, relation.system, self.params, relation.log2_rows)
            for data in (*self.proofs, self.stranger)
        )

    @cached_property
    def sections(self) -> tuple[list[Section], ...]:
        return tuple(map(sections, self.parsed))

    def change(self, source: random.Random) -> Change:
        """Something that is no honest proof of the relation."""
        number = source.randrange(2)
        data, kind = self.proofs[number], source.random()
        if kind < 0.5:
            return change_section(data, self.sections[number], source)
        if kind < 0.85:
            other = self.parsed[source.choice((1 - number, 2))]
            return change_proof(self.parsed[number], other, source)
        if kind < 0.99:
            return change_bytes(data, source, other=source.choice((self.proofs[1 - number], self.stranger)))
        return Change("a proof of another statement", self.stranger)

    def verify(self, data: bytes) -> None:
        verify_stark(self.relation, self.params, data)


@dataclass(frozen=True)
class Real:
    """Proofs of a circuit in use, as they travel between processes."""

    statement: Statement
    shard: Shard
    proofs: tuple[bytes, bytes]
    stranger: bytes

    @property
    def target(self) -> Target:
        relation = relation_of(self.statement, self.shard)
        return Target(self.statement.circuit, relation, FREE, self.proofs, self.stranger)


@cache
def toy(name: str, params: ProofParams) -> Target:
    """A toy circuit; the stranger's statement has another digest and the same values."""
    case = CASES[name]()
    other = replace(case, relation=replace(case.relation, binding=bytes(reversed(case.relation.binding))))
    proofs = prove(case, params), prove(case, params, b"again")
    return Target(f"{name}, {params.name}", case.relation, params, proofs, prove(other, params))


def real_circuits() -> list[Real]:
    """Equity, risk and stress circuits over the small exchanges of the malicious prover; takes a minute, and 2 GB."""
    from prover.prove import prove as prove_real
    from prover.randomness import Randomness
    from tests.malicious.documents import equity_statement, only_shard, shard_of
    from tests.malicious.risk_world import RISK, STRESS, honest, risk_world, statement_of
    from tests.malicious.world import make_world

    made = []
    for world in (make_world(), risk_world(RISK), risk_world(STRESS)):
        forged = honest(world)
        if world.plan.circuit in (RISK, STRESS):
            statement = statement_of(forged)
            shard = only_shard(statement, forged.root.digest)
        else:
            statement = equity_statement([forged])
            shard = shard_of(statement, forged)
        relation = relation_of(statement, shard)
        elsewhere = replace(relation, binding=bytes(32))
        one, two, stranger = (
            prove_real(about, FREE, world.base.copy(), Randomness(seed)).to_bytes()
            for about, seed in ((relation, b"one"), (relation, b"two"), (elsewhere, b"one"))
        )
        made.append(Real(statement, shard, (one, two), stranger))
    return made


def attempts(name: str, targets: Sequence[Target], seed: int, count: int, number: int) -> Score:
    """`count` changed proofs, the targets in turn; the same for the same seed and number."""
    source = random.Random(f"{name} {seed} {number}")
    tally = Tally(name, seed, seconds_max=SECONDS_MAX)
    for target in targets:
        for data in target.proofs:
            target.verify(data)
    before = peak_mib()
    while tally.tried < count:
        target = targets[tally.tried % len(targets)]
        change = target.change(source)
        if change.data not in target.proofs:
            case = f"chunk {number}, case {tally.tried}, {target.name}, {change.name}"
            tally.attempt(case, lambda: target.verify(change.data))  # noqa: B023
    return tally.bounded(MOST_MIB, peak_mib() - before, MEMORY_MIB_MAX)


def toy_chunk(seed: int, count: int, number: int) -> Score:
    targets = [toy(name, params) for name in CASES for params in (FREE, TEST)]
    return attempts(TOYS, targets, seed, count, number)


def real_chunk(reals: Sequence[Real], seed: int, count: int, number: int) -> Score:
    return attempts(IN_USE, [real.target for real in reals], seed, count, number)


def run(size: str, seed: int) -> list[Score]:
    """Two of the toy circuits, or everything: nightly 20,000, half of them of circuits in use."""
    count = COUNTS[size]
    if size == "short":
        two = [toy(name, FREE) for name in ("fibonacci", "blocks")]
        return [attempts(TOYS, two, seed, count, 0)]
    chunks = count // 2 // CHUNK
    return [
        spread(TOYS, partial(toy_chunk, seed, CHUNK), chunks),
        spread(IN_USE, partial(real_chunk, real_circuits(), seed, CHUNK), chunks),
    ]
