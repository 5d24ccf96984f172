"""Cheats of the design reviews that break a constraint, beyond those that `test_every_constraint` makes one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from tests.malicious.cases import Case
from tests.malicious.cases_accounts import IDENTITY
from tests.malicious.cases_tree import MERGE, NODE, VALUE, dummy_with_value, moved_up, node_without_children
from tests.malicious.cheating_prover import CheatingProver
from tests.malicious.forge import Dummy, Forge, Forged, Node, Plan
from tests.malicious.proving import accept, refuse
from tests.malicious.rows import Item, Row, Words, limbs, number
from tests.malicious.sheet import AT, columns_of, unbalanced
from tests.malicious.world import ACTIVE, World
from verifier.tree import PathStep, climb

pytestmark = pytest.mark.negative
LAST_ROW = "the last active row ends a chain or none"


def absorbs(words: Sequence[int] = range(8)) -> set[str]:
    return {f"merge absorbs the value digest[{i}]" for i in words}


# -- accounts ---------------------------------------------------------------------------------------------------------


def sign_of(name: str, sign: int) -> Callable[[Plan], Forge]:
    """The account says that its equity has the other sign, and emits accordingly."""

    def forge(plan: Plan) -> Forge:
        def flip(rows: list[Row]) -> None:
            assert rows[-1]["cap0"] == 1 - sign
            rows[-1]["cap0"] = sign
            rows[-1].put("d", [(1 - sign) * limb for limb in rows[-1].read("u", 7)])

        return Forge(plan).edit(name, flip)

    return forge


@pytest.mark.parametrize(
    ("name", "sign"), [("account 2", 0), ("account 9", 1)], ids=["debt as equity", "equity as debt"]
)
def test_a_flipped_sign(name: str, sign: int, world: World, cheater: CheatingProver) -> None:
    refuse(Case(sign_of(name, sign)(world.plan).build()), {IDENTITY}, world, cheater)


def test_a_sum_of_all_accounts_beyond_112_bits_has_no_witness(world: World, cheater: CheatingProver) -> None:
    """02b R8: no carry leaves the seventh limb, so the sum cannot wrap at 2^112."""
    plan = world.plan.holding("account 9", (6, 2**57 + 2**56)).holding("account 11", (6, 2**57 + 2**56))
    forge = Forge(plan)
    exact = sum(number(forge.item(f"account {i}").value) for i in range(12))
    forged = forge.build()
    assert number(forged.root.value) == exact - 2**112
    refuse(Case(forged), {IDENTITY}, world, cheater)


def test_an_account_cut_off_by_the_end_of_the_trace(world: World, cheater: CheatingProver) -> None:
    """02a finding 6: its entries count towards the totals, and it never closes."""

    def move(forged: Forged) -> None:
        rows = forged.chain("account 11")[:3]
        for i, row in enumerate(rows):
            forged.placed[ACTIVE - 3 + i] = replace(row, cells=dict(row.cells))
            row.cells.clear()

    plan = world.plan.with_spare().instead("account 11", "spare")
    forge = Forge(plan).edit("account 11", lambda rows: rows.pop()).then(move)
    refuse(Case(forge.build()), {LAST_ROW}, world, cheater)


# -- nodes ------------------------------------------------------------------------------------------------------------


def test_a_merge_on_the_last_row_commits_to_nothing(world: World, cheater: CheatingProver) -> None:
    forge = node_without_children(world.plan)
    made = forge.chains["nobody"]()
    made[1].linked = False
    made[1].put("h", made[0].digest).put("b", (1, 2, 3, 4, 5, 6, 7, 8))
    forge.chains["nobody"] = lambda: []
    forge.foreign["nobody"] = Item.of(made[1])
    forge.then(lambda forged: forged.placed.update({ACTIVE - 2: made[0], ACTIVE - 1: made[1]}))
    # It follows a child without being one, too: a real one would need nine rows more, and say nothing new.
    refuse(Case(forge.build()), {LAST_ROW, "next child and merge follow a child"}, world, cheater)


def test_the_value_digest_of_another_node(world: World, cheater: CheatingProver) -> None:
    forge = Forge(world.plan)
    other = forge.rows_and_items("node 1.1")[0][VALUE].digest

    def steal(rows: list[Row]) -> None:
        rows[MERGE].put("b", other).linked = False

    refuse(Case(forge.edit(NODE, steal).build()), absorbs(), world, cheater)


def test_no_value_row(world: World, cheater: CheatingProver) -> None:
    """The rows of the node end with merge; whatever comes next is taken for its value row."""

    def cut(rows: list[Row]) -> None:
        rows[MERGE].linked = False
        rows.pop()

    broken = {"merge is followed by its value row", "the value row is tagged", *absorbs()}
    broken |= {f"the value row holds the sum[{j}]" for j in range(7)}
    refuse(Case(Forge(world.plan).edit(NODE, cut).build()), broken, world, cheater)


def test_a_dummy_that_takes_seven_off_the_liability(world: World, cheater: CheatingProver) -> None:
    """02b R7: its value is the field element -7; the sums above it are right."""
    forge = Forge(world.plan).edit("dummy 0.0", lambda rows: rows[0].put("d", (-7,)))
    forged = forge.build()
    assert number(forged.root.value) == number(Forge(world.plan).build().root.value) - 7
    refuse(Case(forged), {"a dummy emits zero[0]"}, world, cheater)
    assert number(dummy_with_value(world.plan, 0).build().root.value) > number(forged.root.value)


def test_a_node_that_contains_itself(world: World, cheater: CheatingProver) -> None:
    """02a finding 7, with the hash switched off in its last round: the level on the tree bus still forbids a cycle."""
    digest = (1, 2, 3, 4, 5, 6, 7, 8)
    children = ("itself", *(f"aside {i}" for i in range(7)))
    plan = world.plan.first("round", Node(1, children, (5,) * 8))
    for i in range(7):
        plan = plan.put(f"aside {i}", Dummy(0, (i,) * 8))
    forge = Forge(plan)
    forge.foreign["itself"] = Item(0, digest, (0,) * 7)

    def close(rows: list[Row]) -> None:
        rows[MERGE].put("b", rows[VALUE].digest)
        for before, row in pairwise(rows[:VALUE]):
            row.put("h", before.digest)
        faults = {132 + i: want - got for i, (want, got) in enumerate(zip(digest, rows[MERGE].digest, strict=True))}
        rows[MERGE].faults.update(faults)

    forged = forge.edit("round", close).build()
    assert {v.label for v in unbalanced(world, forged, columns_of(forged, world))} == {"tree emit", "tree consume"}
    hash_ = {f"permutation full round 8[{i}]" for i in range(8)}
    refuse(Case(forged), {"running_sum last", *hash_}, world, cheater)


# -- one kind poses as another (02a finding 1) ------------------------------------------------------------------------


def test_an_account_poses_as_the_node_above_a_victim(world: World, cheater: CheatingProver) -> None:
    """Its identity is the victim's leaf. The circuit forbids its level; the victim sees through it by itself, too."""
    victim = Forge(world.plan).item("account 9")
    plan = world.plan.put("account 6", replace(world.plan.account("account 6"), identity=victim.digest, entries=()))
    forge = Forge(moved_up(plan, "account 6"))
    forge.edit("account 6", lambda rows: [row.cells.update(level=1) for row in rows])
    forged = forge.build()
    refuse(Case(forged), {"an account has level 0"}, world, cheater)

    end: Words = forged.chain("account 6")[1].read("b", 8)
    step = PathStep(0, (end, *[(0,) * 8] * 6), (0,) * 8)
    assert climb(victim.digest, 0, [step]) != forge.item("account 6").digest


def test_an_account_with_the_initial_value_of_a_node(world: World, cheater: CheatingProver) -> None:
    forge = Forge(world.plan).edit("account 9", lambda rows: rows[0].put("h", (2, 1)))
    refuse(Case(forge.build()), {"is_open initial value[0]", "is_open initial value[1]"}, world, cheater)


def test_a_node_in_the_place_of_an_account_is_worth_nothing(world: World, cheater: CheatingProver) -> None:
    """A node of level 0 needs children of level -1; only dummies are that low. Harmless, and accepted (02b, A)."""
    children = tuple(f"below {i}" for i in range(8))
    plan = world.plan.first("low node", Node(0, children, (5,) * 8)).instead("dummy 0.0", "low node")
    plan = plan.without("dummy 0.0")
    for i in range(8):
        plan = plan.put(f"below {i}", Dummy(-1, (i,) * 8))
    accept(Forge(plan).build(), world, cheater)
    low = Forge(plan).edit("below 3", lambda rows: rows[0].put("d", (1,)))
    refuse(Case(low.build()), {"a dummy emits zero[0]"}, world, cheater)


# -- padding --------------------------------------------------------------------------------------------


def test_every_active_row_holds_a_permutation(world: World, cheater: CheatingProver) -> None:
    """02a finding 20: the hash is not gated, so padding and special rows obey it; hidden rows obey nothing."""
    for row in (2, world.used + 5, ACTIVE - 1):
        columns = {AT["sbox7"]: world.honest[AT["sbox7"]].copy()}
        columns[AT["sbox7"]][row] ^= 1
        later = {f"permutation partial round {k}" for k in range(9, 21)}
        broken = {"permutation partial round 8", *later, *(f"permutation full round 5[{i}]" for i in range(16))}
        refuse(Case(Forge(world.plan).build()), broken, world, cheater, columns)
    columns = {AT["sbox7"]: world.honest[AT["sbox7"]].copy()}
    columns[AT["sbox7"]][ACTIVE] ^= 1
    accept(Forge(world.plan).build(), world, cheater, columns=columns)


def test_a_negative_sign_of_nothing_is_harmless(world: World, cheater: CheatingProver) -> None:
    """The account whose equity is zero may call it negative."""
    forge = Forge(world.plan)

    def negative(rows: list[Row]) -> None:
        assert limbs(0, 7) == rows[-1].read("u", 7)
        rows[-1]["cap0"] = 1

    accept(forge.edit("account 4", negative).build(), world, cheater)
