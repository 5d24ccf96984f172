"""Forgeries of the tables and the extension columns."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import numpy.typing as npt

from tests.malicious.cases import Case, breaks
from tests.malicious.cases_tree import MERGE, NODE, smaller_sum
from tests.malicious.cheating_prover import Lookup
from tests.malicious.forge import Dummy, Forge, Forged, Node, Plan
from tests.malicious.world import ACTIVE
from verifier.field import ext_sub, ext_zero

LAST = 65535
INDEX = np.arange(ACTIVE)
Counter = npt.NDArray[np.int64]


def unused_high_byte(plan: Plan) -> int:
    """A byte that no pair of the honest witness has above."""
    rows = Forge(plan).build().rows
    used = {row[f"y{i}"] for row in rows for i in (1, 3, 5, 7)}
    return min(set(range(1, 255)) - used)


def counting(plan: Plan, n: Counter, high: Counter) -> Forge:
    """The honest witness over forged tables."""
    counters = n.tolist(), high.tolist()
    return Forge(plan).then(lambda forged: setattr(forged, "counters", counters))


@breaks("table_n starts at 0")
def table_with_minus_one(plan: Plan) -> Forge:
    """-1 is below 2^16, so that a leg may come twice; and (-1, 0) is a pair of bytes."""
    n = np.minimum(INDEX - 1, LAST)
    return counting(plan, n, np.maximum(n, 0) >> 8)


@breaks("table_n steps by 0 or 1")
def table_that_jumps_back(plan: Plan) -> Forge:
    n = np.minimum(np.where(INDEX < 6, INDEX, INDEX - 7), LAST)
    return counting(plan, n, np.maximum(n, 0) >> 8)


@breaks("table_n ends at 65535")
def table_with_one_more(plan: Plan) -> Forge:
    n = np.minimum(INDEX, LAST + 1)
    return counting(plan, n, np.minimum(n >> 8, 255))


@breaks("table_high ends at 255")
def pairs_with_more_than_a_byte(plan: Plan) -> Forge:
    """(256, 254) and above are pairs of bytes. Nobody has a byte 255 above, for those pairs are lost."""
    plan = plan.holding("account 3", (0, 2**62 - 2**56))
    n = np.minimum(INDEX, LAST)
    return counting(plan, n, np.minimum(n >> 8, 254))


@breaks("table_high steps by 0 or 1")
def pairs_with_negative_bytes(plan: Plan) -> Forge:
    h, n = unused_high_byte(plan), np.minimum(INDEX, LAST)
    return counting(plan, n, np.where(n >> 8 == h, h + 1, n >> 8))


@breaks("table_high steps only with table_n")
def pair_with_a_byte_of_minus_one(plan: Plan) -> Forge:
    n = np.minimum(np.where(INDEX <= 255, INDEX, INDEX - 1), LAST)
    return counting(plan, n, np.where(INDEX == 256, 1, n >> 8))


@breaks("table_high steps only after a low byte of 255")
def pair_by_an_early_step(plan: Plan) -> Forge:
    h, n = unused_high_byte(plan), np.minimum(INDEX, LAST)
    return counting(plan, n, np.where(n == 256 * h + 255, h + 1, n >> 8))


@breaks("table_high starts at 0")
def pairs_from_minus_256(plan: Plan) -> Forge:
    """Pairs (-256, 1) .. (255, 1), and none with 0 above: so every pair of the witness has something above."""
    forge = Forge(two_large_accounts(plan))
    n = np.minimum(INDEX, LAST)

    def change(forged: Forged) -> None:
        for row, i in product((*forged.rows, forged.padding), (1, 3, 5, 7)):
            if row[f"y{i}"] == 0:
                row[f"y{i}"] = 1
        forged.counters = n.tolist(), np.maximum(n >> 8, 1).tolist()

    return forge.then(change)


def two_large_accounts(plan: Plan) -> Plan:
    """One level; its node carries out of limbs 1, 3 and 5, and all amounts have something in bytes 1, 3, 5 and 7."""
    amounts = (0x10B6DCD07D4BEDC, 0x104B6828A9A021E)
    people = {
        f"account {i}": replace(plan.account(f"account {i}"), entries=((6, amount),))
        for i, amount in enumerate(amounts)
    }
    dummies = {f"dummy 0.{i}": Dummy(0, (i, 1, 2, 3, 4, 5, 6, 7)) for i in range(6)}
    root = {"node 1.0": Node(1, (*people, *dummies), (1, 2, 3, 4, 5, 6, 7, 8))}
    return replace(plan, chains={**people, **root, **dummies})


# -- extension columns: the base columns are wrong, and one lie in an extension column makes up for it ----------------


def missing_total(plan: Plan) -> Forged:
    """A published total is one atom more than the accounts hold."""

    def change(forged: Forged) -> None:
        forged.totals[1] += 1

    return Forge(plan).then(change).build()


@breaks("value first")
def value_starts_elsewhere(plan: Plan) -> Case:
    return Case(Forge(plan).build(), cheat=lambda lookup: lookup.add("value", 0, 1, (1, 2, 3, 4, 5)))


@breaks("value step")
def value_jumps(plan: Plan) -> Case:
    """The sum of a node is too small, and `value` jumps where it closes."""
    forged = smaller_sum(plan).build()
    at = forged.at[NODE] + MERGE

    def cheat(lookup: Lookup) -> None:
        lookup.add("value", at, at + 1, ext_sub(ext_zero, lookup.value("value", at)))

    return Case(forged, cheat=cheat)


@breaks(r"helper(\d+) .*")
def helper_lies(plan: Plan, number: int) -> Case:
    def cheat(lookup: Lookup) -> None:
        lookup.add(f"helper{number}", 70, 71, lookup.missing)
        lookup.add("running_sum", 71, ACTIVE, lookup.missing)

    return Case(missing_total(plan), cheat=cheat)


@breaks("running_sum first")
def sum_starts_elsewhere(plan: Plan) -> Case:
    return Case(missing_total(plan), cheat=lambda lookup: lookup.add("running_sum", 0, ACTIVE, lookup.missing))


@breaks("running_sum step")
def sum_jumps(plan: Plan) -> Case:
    return Case(missing_total(plan), cheat=lambda lookup: lookup.add("running_sum", 71, ACTIVE, lookup.missing))


@breaks("running_sum last")
def sum_ends_elsewhere(plan: Plan) -> Case:
    return Case(missing_total(plan))
