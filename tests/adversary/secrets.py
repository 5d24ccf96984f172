"""What a proof tells of its witness: nothing. Explained by other witnesses, compared with chance, told from nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from prover.randomness import Randomness
from tests.adversary.battery import LEVEL, Result, classifier, permutation_tail, told_apart, two_samples, uniform
from tests.adversary.explain import explain, prove
from tests.adversary.real_shards import Published, holdings, imagined, published, stacked
from tests.adversary.score import Score
from tests.adversary.scripted import BASE, MASKS, SALTS, R, ScriptedRandomness
from tests.adversary.scripted import run as proved
from tests.adversary.simulator import Simulator, accept
from tests.adversary.views import Suspect, View, end_of, sample
from tests.adversary.witnesses import Pair, ledgers, losers
from tests.verifier.toy_circuits import LOG2_ROWS
from tests.verifier.toy_proofs import FREE
from verifier.params import HIDDEN_ROWS, PROFILES, ProofParams

PAIRS: dict[str, Callable[[int], Pair]] = {"ledger": ledgers, "blocks": losers}
Streams = Callable[[bytes], ScriptedRandomness]
"""The streams of a prover by seed, sound or broken."""


@dataclass(frozen=True)
class Size:
    """How many of each.

    Args:
        proofs: of each witness of a toy circuit; as many are simulated.
        broken: likewise, of each broken prover.
        explained: of each witness, by the other one, for the queries of every profile.
        shards: of each witness of a real circuit.
    """

    proofs: int
    broken: int
    explained: int
    shards: int


MANY = 500
"""Proofs of each witness, from which on two queries often enough meet in one point."""
SIZES = {"short": Size(60, 30, 1, 0), "nightly": Size(MANY, 60, 20, 20)}


def honest(seed: bytes) -> ScriptedRandomness:
    return ScriptedRandomness(seed)


def without(*labels: str) -> Streams:
    """A prover some of whose masks are zero."""
    return lambda seed: ScriptedRandomness(seed, zero=labels)


def reused(columns: int) -> Streams:
    """A prover whose base columns have the same hidden rows in every proof."""
    once = Randomness(b"used twice").words(BASE, columns * HIDDEN_ROWS)
    return lambda seed: ScriptedRandomness(seed, given={BASE: once})


def samples(pair: Pair, count: int, seed: int, streams: Streams = honest) -> tuple[View, View]:
    """`count` proofs of each witness, every one under a seed of its own."""
    suspects = [Suspect(case, FREE) for case in pair]
    one, two = (
        sample((proved(case, FREE, streams(b"%d %d %d" % (seed, which, i))) for i in range(count)), suspects)
        for which, case in enumerate(pair)
    )
    return one, two


def simulated(pair: Pair, count: int, seed: int) -> View:
    """`count` proofs without a witness, each accepted by the verifier for the challenges that it came with."""
    relation, made = pair[0].relation, []
    for i in range(count):
        made.append(Simulator(relation, FREE, Randomness(b"%d simulated %d" % (seed, i))).prove())
        accept(relation, FREE, made[-1])
    return sample(made, [Suspect(case, FREE) for case in pair])


def compared(one: View, two: View, seed: int) -> list[Result]:
    """Tests that tell the witness of one sample from that of the other."""
    results = [
        Result(f"{name}: {each.name}", each.p_values)
        for name in one
        for each in two_samples(one[name], two[name], end_of(name))
    ]
    for name in one:
        _, p_value = classifier(one[name], two[name], seed)
        results.append(Result(f"{name}: classifier", np.array([p_value])))
    return results


def against_chance(*of: View) -> list[Result]:
    """Tests that tell what is shown from uniform words."""
    return [
        Result(f"{name}: {each.name}", each.p_values)
        for name in of[0]
        for each in uniform(np.concatenate([each[name] for each in of]), end_of(name))
    ]


# -- the nightly run --------------------------------------------------------------------------------------------------


def run(size: str, seed: int) -> list[Score]:
    """All parts, "short" or "nightly"; `accepted` counts tests that told two witnesses apart, or that saw no fault."""
    of = SIZES[size]
    parts: list[tuple[str, Callable[[], _Outcome]]] = [
        *((f"secrets: {name}, explained", lambda name=name: _explained(name, of, seed)) for name in PAIRS),
        *((f"secrets: {name}, compared", lambda name=name: _distributions(name, of, seed)) for name in PAIRS),
        *((f"secrets: {name}, simulated", lambda name=name: _simulations(name, of, seed)) for name in PAIRS),
        *((f"secrets: {name}, broken", lambda name=name: broken(name, of, seed)) for name in PAIRS),
    ]
    if of.shards:
        parts.append(("secrets: shards, compared", lambda: _shards(of, seed)))
    return [_score(name, part, seed) for name, part in parts]


@dataclass(frozen=True)
class _Outcome:
    tried: int
    failed: list[str]
    notes: dict[str, int]


def _score(name: str, part: Callable[[], _Outcome], seed: int) -> Score:
    started = time.monotonic()
    try:
        outcome, foreign = part(), 0
    except Exception as error:
        print(f"{name}, seed {seed}: {type(error).__name__}: {error}", file=sys.stderr)
        outcome, foreign = _Outcome(0, [], {}), 1
    for failure in outcome.failed[:10]:
        print(f"{name}, seed {seed}: {failure}", file=sys.stderr)
    return Score(name, outcome.tried, len(outcome.failed), foreign, time.monotonic() - started, seed, outcome.notes)


def _explained(name: str, of: Size, seed: int) -> _Outcome:
    """Proofs of either witness, each explained by the other one, with the queries of every profile."""
    failed, tried = [], 0
    for params in (FREE, *(without_work(profile) for profile in PROFILES.values())):
        pair = PAIRS[name](least_rows(params))
        for i in range(of.explained):
            for mine, other in (pair, pair[::-1]):
                tried += 1
                key = b"%d %d" % (seed, i)
                left = explain(prove(mine, params, key), other, params, key)
                failed += [f"{params.name}: the other witness cannot show {part}" for part in left]
    return _Outcome(tried, failed, {})


def _distributions(name: str, of: Size, seed: int) -> _Outcome:
    one, two = samples(PAIRS[name](LOG2_ROWS), of.proofs, seed)
    return _tested(one, two, seed, {"proofs": 2 * of.proofs})


def _simulations(name: str, of: Size, seed: int) -> _Outcome:
    """Proofs without a witness against proofs of either one."""
    pair = PAIRS[name](LOG2_ROWS)
    made = simulated(pair, of.proofs, seed)
    outcomes = [_tested(made, real, seed, {}) for real in samples(pair, of.proofs, seed + 1)]
    failed = [failure for outcome in outcomes for failure in outcome.failed]
    return _Outcome(of.proofs + sum(outcome.tried for outcome in outcomes), failed, {"proofs": 3 * of.proofs})


def _tested(one: View, two: View, seed: int, notes: dict[str, int]) -> _Outcome:
    told, chance = compared(one, two, seed), against_chance(one, two)
    tried = sum(result.p_values.size for result in (*told, *chance))
    return _Outcome(tried, told_apart(told) + told_apart(chance), notes)


def broken(name: str, of: Size, seed: int) -> _Outcome:
    """Every fault is seen by the part of the suite that should see it."""
    pair = PAIRS[name](LOG2_ROWS)
    apart = partial(compared, seed=seed)
    faults: list[tuple[str, Streams, Callable[..., list[Result]], int]] = [
        ("no hidden rows", without(BASE), apart, of.broken),
        ("hidden rows used again", reused(len(pair[0].columns)), against_chance, of.broken),
        ("no mask polynomial", without(R), against_chance, of.broken),
        ("no salts", without(SALTS), against_chance, of.broken),
    ]
    if of.proofs >= MANY:
        faults.append(("witnesses by hidden rows used again", reused(len(pair[0].columns)), apart, of.proofs))
    missed = []
    for fault, streams, tests, count in faults:
        one, two = samples(pair, count, seed, streams)
        if not told_apart(tests(one, two)):
            missed.append(f"{fault}: not seen")
    for label in MASKS:
        key = b"%d broken" % seed
        if not explain(prove(pair[0], FREE, key, [label]), pair[1], FREE, key, [label]):
            missed.append(f"no {label}: the other witness explains the proof")
    return _Outcome(len(faults) + len(MASKS), missed, {})


def _shards(of: Size, seed: int) -> _Outcome:
    """Two witnesses turn and turn about, so that what the machine does besides falls on both; and shards of nobody."""
    made: tuple[list[Published], list[Published]] = ([], [])
    for i in range(of.shards):
        for which, accounts in enumerate(holdings()):
            made[which].append(published(accounts, b"%d %d %d" % (seed, which, i)))
    nobody = stacked([imagined(b"%d nobody %d" % (seed, i)) for i in range(of.shards)])
    one, two = (stacked(part) for part in made)
    outcomes = [_tested(one, two, seed, {}), _tested(one, nobody, seed, {}), _tested(two, nobody, seed, {})]
    failed = [failure for outcome in outcomes for failure in outcome.failed]
    documents = {len(each.shard.to_bytes()) for part in made for each in part}
    failed += [] if len(documents) == 1 else ["documents of shards differ in length"]
    one_bytes, two_bytes = (np.array([each.proof_bytes for each in part], np.float64) for part in made)
    failed += [] if permutation_tail(one_bytes, two_bytes, seed) > LEVEL else ["proofs are longer for one witness"]
    one_seconds, two_seconds = (np.array([each.seconds for each in part]) for part in made)
    notes = {
        "proofs": 3 * of.shards,
        "median seconds, per mille of the other's": round(
            1000 * float(np.median(one_seconds) / np.median(two_seconds))
        ),
        "chance of as long a difference, per mille": round(1000 * permutation_tail(one_seconds, two_seconds, seed)),
    }
    return _Outcome(2 + of.shards + sum(outcome.tried for outcome in outcomes), failed, notes)


def without_work(params: ProofParams) -> ProofParams:
    """The same queries without grinding."""
    return ProofParams(params.name, params.log2_blowup, params.queries, 0, 0, 0, 0, 0, 0)


def least_rows(params: ProofParams) -> int:
    """log2 of the smallest trace that the profile takes and the toy circuits fill."""
    return max(LOG2_ROWS, (3 * params.mask_coefficients + HIDDEN_ROWS - 2).bit_length())
