"""A small exchange with every kind of account, its honest trace, and how it came about."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

import verifier.legs
from circuits.registry import records_of
from prover.kernels.field import from_mont
from prover.outputs import MaskPair, Masks
from prover.randomness import Randomness
from prover.witness import Accounts, Legs, TraceWitness, build_witness, finish
from tests.malicious.forge import EQUITY, Account, Dummy, Leg, Node, Plan, Spec
from tests.malicious.rows import Words
from tests.malicious.special import Mask
from verifier.field import P
from verifier.legs import AMOUNT_CAP, balanced_digits
from verifier.params import HIDDEN_ROWS
from verifier.poseidon import INSTANCES
from verifier.solvency import CIRCUITS, SpecialRows

Array = npt.NDArray[np.uint32]
LOG2_ROWS = 17
"""The least: the tables have 2^16 rows, and 512 of 2^16 rows are hidden (02a finding 19)."""
ROWS, ACTIVE = 1 << LOG2_ROWS, (1 << LOG2_ROWS) - HIDDEN_ROWS
LEVELS, SHARDS = 2, 3
PRICES = (3, 5_926_535_897_932_384, 1, 2**54 - 1)

ENTRIES: tuple[tuple[tuple[int, int], ...], ...] = (
    (),
    ((0, 2**40), (1, 77), (2, 10**9), (3, 4242), (4, 10**12), (5, 2**33 + 5), (6, 9**9), (7, 123_456_789)),
    ((1, 10**6), (3, 7 * 10**8), (7, 31_337)),
    ((0, AMOUNT_CAP),),
    ((2, 555_555), (3, 555_555)),
    ((4, 1), (6, 2**40)),
    (),
    ((0, 5), (1, 3)),
    ((5, 10**5),),
    ((6, 2**44 + 12_345),),
    ((2, 2**50), (7, 2**31)),
    ((0, 1000), (4, 65_536)),
)
"""Zero entries; all legs; below zero; the largest amount; exactly zero; and others, of which number 8 only owes."""


def legs_for(prices: Sequence[int], cap: int = AMOUNT_CAP) -> tuple[Leg, ...]:
    signed = [sign * price for price in prices for sign in (1, -1)]
    return tuple(Leg(i, cap, balanced_digits(price)) for i, price in enumerate(signed))


def legs_of(table: Sequence[verifier.legs.Leg]) -> tuple[Leg, ...]:
    """The verifier's table."""
    return tuple(Leg(leg.total, leg.cap, leg.digits, leg.lens_digits) for leg in table)


def arrays(accounts: Sequence[Account], legs: Sequence[Leg]) -> tuple[Accounts, Legs]:
    entries = [entry for account in accounts for entry in account.entries]
    witness = Accounts(
        identities=np.array([a.identity for a in accounts], np.uint32),
        blindings=np.array([a.blinding for a in accounts], np.uint32),
        offsets=np.cumsum([0, *(len(a.entries) for a in accounts)]),
        legs=np.array([leg for leg, _ in entries], np.uint16),
        amounts=np.array([amount for _, amount in entries], np.uint64),
    )
    table = Legs(
        digits=np.array([leg.digits for leg in legs], np.int64),
        caps=np.array([leg.cap for leg in legs], np.uint64),
        total_ids=np.array([leg.total for leg in legs], np.int64),
        lens_digits=np.array([leg.lens_digits for leg in legs], np.int64).reshape(len(legs), -1, 7),
    )
    return witness, table


def make_accounts(entries: Sequence[tuple[tuple[int, int], ...]], seed: int = 7) -> list[Account]:
    draw = random.Random(seed)

    def words(count: int) -> Words:
        return tuple(draw.randrange(P) for _ in range(count))

    return [Account(words(8), words(6), held) for held in entries]


def plan_of(
    accounts: Sequence[Account], legs: tuple[Leg, ...], circuit: str, witness: TraceWitness, masks: MaskPair | None
) -> Plan:
    """The chains of a built witness by name, with the randomness of its tree."""
    chains: dict[str, Spec] = {f"account {i}": account for i, account in enumerate(accounts)}
    for level in witness.tree.levels:
        below = level.level - 1
        names = [f"account {i}" if below == 0 else f"node {below}.{i}" for i in range(level.items)]
        names += [f"dummy {below}.{i}" for i in range(len(level.dummy_blocks))]
        for i, slots in enumerate(level.source):
            children = tuple(names[slot] for slot in slots)
            chains[f"node {level.level}.{i}"] = Node(level.level, children, _words(level.value_random[i]))
        for i, block in enumerate(level.dummy_blocks):
            chains[f"dummy {below}.{i}"] = Dummy(below, _words(block))
    both = (masks.out, masks.into) if masks is not None else ()
    return Plan(legs, total_count(legs), chains, circuit, tuple(map(plain_mask, both)))


def plain_mask(mask: Masks) -> Mask:
    return Mask(_words(mask.start), tuple(_words(row) for row in mask.words))


def special_rows(legs: Sequence[Leg], circuit: str, masked: bool) -> SpecialRows:
    lenses = CIRCUITS[circuit].lenses
    return SpecialRows(total_count(legs) + 1 + lenses, lenses, masked)


def total_count(legs: Sequence[Leg]) -> int:
    return 1 + max(leg.total for leg in legs)


def _words(array: Array) -> Words:
    return tuple(int(word) for word in array)


@dataclass(frozen=True)
class World:
    """An honest shard.

    Args:
        honest: (columns, N) canonical, hidden rows included. base: the same in Montgomery form.
        used: rows that are not padding.
    """

    plan: Plan
    honest: Array
    base: Array
    used: int


def make_world(
    entries: Sequence[tuple[tuple[int, int], ...]] = ENTRIES,
    legs: tuple[Leg, ...] | None = None,
    levels: int = LEVELS,
    circuit: str = EQUITY,
    shard: int | None = None,
) -> World:
    """`shard`: number of the shard, of a publication of `SHARDS` shards; None for a publication of one."""
    accounts, table = make_accounts(entries), legs or legs_for(PRICES)
    instance, seed = INSTANCES[CIRCUITS[circuit].tree_hash], Randomness(b"an honest exchange")
    special = special_rows(table, circuit, shard is not None)
    masks = None if shard is None else MaskPair.of(seed, shard, SHARDS, special.outputs)
    witness = build_witness(
        *arrays(accounts, table), special, levels, LOG2_ROWS, seed, instance, records_of(circuit), masks
    )
    finish(witness.trace, instance)
    plan = plan_of(accounts, table, circuit, witness, masks)
    return World(plan, from_mont(witness.trace), witness.trace, witness.used_rows)
