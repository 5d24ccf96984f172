"""Cheats with what a shard publishes, and with its masks, that a bus stops: of a shard alone, and of one of several.

Each names the lookup that catches it. With that lookup switched off, the same witness satisfies the circuit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.malicious.cases_outputs import put_word
from tests.malicious.cases_tree import NODE, bump
from tests.malicious.cheats import TREE, Cheat
from tests.malicious.forge import Dummy, Forge, Forged, Node, Plan
from tests.malicious.rows import Row, number
from tests.malicious.special import read_carries
from verifier.field import P

ALONE, ONE_OF_SEVERAL = "alone", "one of several"
LIABILITY = 8
"""Its number among the outputs of the small exchange."""


@dataclass(frozen=True)
class OutputCheat:
    cheat: Cheat
    worlds: tuple[str, ...]


CHEATS: dict[str, OutputCheat] = {}
Maker = Callable[[Plan], Forge]


def caught_by(
    *rules: str, named: tuple[str, ...] = (), worlds: tuple[str, ...] = (ALONE, ONE_OF_SEVERAL)
) -> Callable[[Maker], Maker]:
    """Register a cheat by the name of its function; the checker names the rules unless `named` says otherwise."""

    def register(forge: Maker) -> Maker:
        CHEATS[forge.__name__] = OutputCheat(Cheat(forge, frozenset(named or rules), rules), worlds)
        return forge

    return register


def published(plan: Plan, output: int, by: int) -> Forge:
    """Another number is published than the rows bring."""

    def change(forged: Forged) -> None:
        parts = (*forged.totals, number(forged.root.value))
        forged.publish(output, parts[output] + by)

    return Forge(plan).then(change)


# -- published numbers (02a findings 14 and 15) -----------------------------------------------------------------------


@caught_by("totals")
def total_one_more(plan: Plan) -> Forge:
    return published(plan, 3, 1)


@caught_by("totals", worlds=(ALONE,))
def total_one_less(plan: Plan) -> Forge:
    return published(plan, 3, -1)


@caught_by("totals")
def total_plus_the_modulus(plan: Plan) -> Forge:
    return published(plan, 3, P)


@caught_by("totals")
def total_plus_2_112(plan: Plan) -> Forge:
    return published(plan, 3, 2**112)


@caught_by("totals")
def liability_one_less(plan: Plan) -> Forge:
    return published(plan, LIABILITY, -1)


@caught_by("totals", worlds=(ONE_OF_SEVERAL,))
def liability_plus_the_modulus(plan: Plan) -> Forge:
    return published(plan, LIABILITY, P)


@caught_by("totals", worlds=(ONE_OF_SEVERAL,))
def mask_counted_twice(plan: Plan) -> Forge:
    return published(plan, 2, plan.masks[0].value(2))


@caught_by("totals", worlds=(ONE_OF_SEVERAL,))
def mask_that_comes_in_not_counted(plan: Plan) -> Forge:
    return published(plan, 2, plan.masks[1].value(2))


@caught_by("totals", worlds=(ONE_OF_SEVERAL,))
def outputs_exchanged(plan: Plan) -> Forge:
    """Two totals exchange what is published of them, masks and all."""

    def change(forged: Forged) -> None:
        one, two = (forged.totals[output] + forged.mask(output) for output in (1, 2))
        forged.totals[1], forged.totals[2] = two - forged.mask(1), one - forged.mask(2)

    return Forge(plan).then(change)


# -- carries that wrap the field --------------------------------------------------------------------------------------


def with_wrap(plan: Plan, position: int, times: int = 1) -> Forge:
    """A total T is published as T + times * p * 256^position, modulo 2^128."""

    def change(forged: Forged) -> None:
        before = forged.totals[0]
        forged.fit(0, {position: times})
        assert (forged.totals[0] - before - times * (P << 8 * position)) % 2**128 == 0

    return Forge(plan).then(change)


@caught_by("u0 is below 2^16")
def total_plus_the_modulus_by_a_carry(plan: Plan) -> Forge:
    return with_wrap(plan, 0)


@caught_by("u0 is below 2^16", worlds=(ONE_OF_SEVERAL,))
def total_minus_the_modulus_by_a_carry(plan: Plan) -> Forge:
    return with_wrap(plan, 0, -1)


@caught_by("y0, y1 are bytes", worlds=(ONE_OF_SEVERAL,))
def total_plus_2_64_times_the_modulus(plan: Plan) -> Forge:
    """By a carry of the mask rows: 8,323,072 is not two bytes; the next one, 32,512, would be."""
    return with_wrap(plan, 8)


@caught_by("y6, y7 are bytes", worlds=(ONE_OF_SEVERAL,))
def total_plus_2_120(plan: Plan) -> Forge:
    """p * 2^120 is 2^120 modulo 2^128: the carry out of the highest position is dropped, but not what it may be."""
    return with_wrap(plan, 15)


@caught_by("u0 is below 2^16", worlds=(ONE_OF_SEVERAL,))
def mask_word_read_in_two_ways(plan: Plan) -> Forge:
    """A word near p / 2: the shard before read it as x, this one reads it as x - p, with all carries in range."""

    def change(forged: Forged) -> None:
        into = forged.layout.mask_in(0)
        put_word(forged, "in", 0, 0, 1_060_000_000)
        modulo = forged.totals[0]
        forged.fit(0, {0: 1})
        assert (forged.totals[0] - modulo) % 2**128 == P
        assert all(-(2**22) <= carry <= 4_227_071 for carry in read_carries(forged.rows, forged.layout, 0))
        assert forged.rows[into]["u0"] == forged.rows[into]["b0"] > P - 2**30

    return Forge(plan).then(change)


@caught_by("u3 is below 2^16", worlds=(ONE_OF_SEVERAL,))
def mask_word_below_zero(plan: Plan) -> Forge:
    return Forge(plan).then(lambda forged: put_word(forged, "out", 4, 3, -5))


# -- the root row -----------------------------------------------------------------------------------------------------


@caught_by(*TREE, named=("tree emit",))
def root_of_a_part(plan: Plan) -> Forge:
    """The root row consumes a node below the root, and its level and sum are published: all else is not counted."""
    forge = Forge(plan)

    def change(forged: Forged) -> None:
        forged.root = forge.item(NODE)
        root = forged.rows[forged.layout.root]
        root["level"] = forged.root.level + 1
        root.put("b", forged.root.digest).put("d", forged.root.value)
        forged.fit(LIABILITY)

    return forge.then(change)


def at_the_root(plan: Plan, change: Callable[[Row], object]) -> Forge:
    """A change to the sum that the root row brings; the liability is published accordingly."""

    def change_and_fit(forged: Forged) -> None:
        change(forged.rows[forged.layout.root])
        forged.fit(LIABILITY)

    return Forge(plan).then(change_and_fit)


@caught_by(*TREE)
def smaller_sum_of_the_root(plan: Plan) -> Forge:
    return at_the_root(plan, lambda row: bump(row, "d0", -1))


@caught_by(*TREE, worlds=(ONE_OF_SEVERAL,))
def aliased_sum_of_the_root(plan: Plan) -> Forge:
    """The same number in other limbs; or, with none in range, one that wraps the field."""
    return at_the_root(plan, lambda row: (bump(row, "d0", 2**16), bump(row, "d1", -1)))


@caught_by(*TREE, named=("tree emit",))
def second_root(plan: Plan) -> Forge:
    """A tree of its own, with a row that says of it what the root row says of the other: its selector is public."""
    plan = plan.first("aside", Node(1, tuple(f"aside {i}" for i in range(8)), (5,) * 8))
    for i in range(8):
        plan = plan.put(f"aside {i}", Dummy(0, (i,) * 8))
    forge = Forge(plan)

    def change(forged: Forged) -> None:
        item = forge.item("aside")
        row = Row({"level": item.level + 1, "total_id": LIABILITY}).put("b", item.digest).put("d", item.value)
        forged.placed[len(forged.rows) + 5] = row

    return forge.then(change)


def with_root_level(plan: Plan, by: int) -> Forge:
    """The statement says another number of levels."""
    return Forge(plan).then(lambda forged: setattr(forged, "root", replace(forged.root, level=forged.root.level + by)))
