"""Forgeries of the hash and of the tree: permutation, initial values, chaining, nodes, dummies, value rows."""

from __future__ import annotations

from dataclasses import replace

from circuits.poseidon.instance import FIRST_ROUND_OFFSETS, LAST_ROUND_OFFSETS, SBOX_OFFSET
from tests.malicious.cases import Case, also, breaks
from tests.malicious.forge import Forge, Forged, Plan, fit_sum
from tests.malicious.rows import Item, Row
from tests.malicious.world import ACTIVE
from verifier.tree import TAG_VALUE

MERGE, VALUE = 8, 9
"""Rows of a node."""
NODE = "node 1.0"


def bump(row: Row, name: str, by: int = 1) -> Row:
    row[name] += by
    return row


def root_with_fault(plan: Plan, cell: int) -> Forge:
    """The published root is not the hash of its children: one cell of its last permutation is off by one."""
    return Forge(plan).edit(plan.root, lambda rows: rows[MERGE].faults.update({cell: 1}))


@breaks(r"permutation full round (\d)\[(\d+)\]")
def full_round(plan: Plan, number: int, word: int) -> Forge:
    return root_with_fault(plan, (*FIRST_ROUND_OFFSETS, *LAST_ROUND_OFFSETS)[number - 1] + word)


@breaks(r"permutation partial round (\d+)")
def partial_round(plan: Plan, number: int) -> Forge:
    return root_with_fault(plan, SBOX_OFFSET + number - 1)


@breaks(r"is_open initial value\[(\d)\]")
def account_initial_value(plan: Plan, word: int) -> Forge:
    return Forge(plan).edit("account 3", lambda rows: bump(rows[0], f"h{word}"))


@breaks(r"is_first_child initial value\[(\d)\]")
def node_initial_value(plan: Plan, word: int) -> Forge:
    return Forge(plan).edit(NODE, lambda rows: bump(rows[0], f"h{word}"))


@breaks(r"is_dummy initial value\[(\d)\]")
def dummy_initial_value(plan: Plan, word: int) -> Forge:
    return Forge(plan).edit("dummy 0.0", lambda rows: bump(rows[0], f"h{word}"))


@breaks(r"chaining value\[(\d)\]")
def chaining_value(plan: Plan, word: int) -> Forge:
    """The identity of an account is not in its leaf: its first entry starts from another chaining value."""

    def change(rows: list[Row]) -> None:
        rows[1].put("h", rows[0].digest).chained = False
        bump(rows[1], f"h{word}")

    return Forge(plan).edit("account 3", change)


def moved_up(plan: Plan, name: str) -> Plan:
    """An account's leaf stands beside the nodes of level 1; a new dummy takes its place."""
    return plan.with_spare().instead(name, "spare").instead("dummy 1.0", name).without("dummy 1.0")


@breaks("an account has level 0")
def account_poses_as_node(plan: Plan) -> Forge:
    return Forge(moved_up(plan, "account 3")).edit("account 3", lambda rows: [bump(row, "level") for row in rows])


@breaks("level is kept along a chain")
def account_climbs(plan: Plan) -> Forge:
    return Forge(moved_up(plan, "account 3")).edit("account 3", lambda rows: bump(rows[-1], "level"))


def with_seven_children(plan: Plan) -> tuple[Plan, str]:
    """A node that leaves out its first dummy, which is gone."""
    name = plan.parent("dummy 0.0")
    node = plan.node(name)
    children = tuple(child for child in node.children if child != "dummy 0.0")
    return plan.put(name, replace(node, children=children)).without("dummy 0.0"), name


@breaks("a node has exactly its arity of children")
def arity_seven(plan: Plan) -> Forge:
    return Forge(with_seven_children(plan)[0])


@breaks("first child starts the count")
def arity_seven_by_a_late_start(plan: Plan) -> Forge:
    plan, name = with_seven_children(plan)
    return Forge(plan).edit(name, lambda rows: [bump(row, "count") for row in rows[:MERGE]])


@breaks("count along a chain")
def arity_nine_by_a_child_that_is_not_counted(plan: Plan) -> Forge:
    plan = plan.with_spare()
    node = plan.node(NODE)
    forge = Forge(plan.put(NODE, replace(node, children=(*node.children, "spare"))))
    return forge.edit(NODE, lambda rows: [bump(row, "count", -1) for row in rows[5 : MERGE + 2]])


@breaks(r"merge absorbs the value digest\[(\d)\]")
def value_digest(plan: Plan, word: int) -> Forge:
    def change(rows: list[Row]) -> None:
        rows[MERGE].put("b", rows[VALUE].digest).linked = False
        bump(rows[MERGE], f"b{word}")

    return Forge(plan).edit(NODE, change)


@breaks("the value row is tagged")
def value_row_tag(plan: Plan) -> Forge:
    return Forge(plan).edit(NODE, lambda rows: bump(rows[VALUE], "h0"))


@breaks(r"the value row holds the sum\[(\d)\]")
def value_row_sum(plan: Plan, limb: int) -> Forge:
    """An auditor who has the sum of this node opened sees another one."""
    return Forge(plan).edit(NODE, lambda rows: bump(rows[VALUE], f"b{limb}"))


@breaks(r"merge emits its sum\[(\d)\]")
def emitted_sum(plan: Plan, limb: int) -> Forge:
    """The node above adds up another sum than the node committed to."""
    return Forge(plan).edit(NODE, lambda rows: bump(rows[MERGE], f"d{limb}"))


@breaks(r"a dummy emits zero\[(\d)\]")
def dummy_with_value(plan: Plan, limb: int) -> Forge:
    return Forge(plan).edit("dummy 0.0", lambda rows: bump(rows[0], f"d{limb}", 7))


def nobody(level: int) -> list[Row]:
    """A node without children, after a row of no kind that pretends to be its eighth child."""
    rows = [Row({"level": level, "count": 7}), Row({"is_merge": 1, "level": level, "count": 7})]
    return [*rows, Row({"b7": 99}).put("h", (4, 1, 2, 3, 4, 5, 6, 7))]


@breaks("next child and merge follow a child")
def node_without_children(plan: Plan) -> Forge:
    forge = Forge(plan.instead("dummy 1.0", "nobody").without("dummy 1.0"))
    forge.chains["nobody"] = lambda: nobody(1)
    return forge


def swallowed(plan: Plan, name: str) -> tuple[Forge, Row]:
    """A first child that takes a leaf off the tree bus; whether its chain ever ends is up to the caller."""
    forge = Forge(plan.with_spare().instead(name, "spare"))
    item = forge.item(name)
    row = Row({"is_first_child": 1, "level": 1}).put("h", (2, 1))
    return forge, row.put("b", item.digest).put("d", item.value)


@breaks("a child is followed by next child or merge")
def node_that_never_ends(plan: Plan) -> Forge:
    forge, row = swallowed(plan, "account 9")
    forge.chains["swallow"] = lambda: [row]
    return forge


@breaks("the last active row ends a chain or none")
def node_cut_at_the_last_row(plan: Plan) -> Forge:
    forge, row = swallowed(plan, "account 9")
    return forge.then(lambda forged: forged.placed.update({ACTIVE - 1: row}))


@breaks("the first row starts a chain or none")
def node_from_nowhere(plan: Plan) -> Case:
    """A merge on row 0 has any sum, if only the carries there are its limbs: nothing was accumulated yet."""
    empty = {name: replace(plan.account(name), entries=()) for name in plan.chains if name.startswith("account")}
    plan = replace(plan, chains={**plan.chains, **empty}).instead("dummy 1.0", "nobody").without("dummy 1.0")
    value = Row({"b7": 99}).put("h", (TAG_VALUE, *range(7)))
    merge = Row({"is_merge": 1, "level": 1, "count": 7}).put("b", value.digest)
    forge = Forge(plan)
    forge.foreign["nobody"] = Item.of(merge)

    def start(forged: Forged) -> None:
        forged.rows[0].cells |= merge.cells
        forged.rows[1].cells |= value.cells

    return also(forge.then(start), "special rows carry no selector", why="row 0 is a special row of every shard")


@breaks("merge is followed by its value row")
def dummy_as_value_row(plan: Plan) -> Case:
    """One row commits to a node's sum and is a dummy."""
    elsewhere = next(name for name in plan.chains if name.startswith("dummy 0") and plan.parent(name) != NODE)
    forge = Forge(plan.instead(elsewhere, f"{NODE}#1").without(elsewhere).instead(NODE, f"{NODE}#0"))

    def change(rows: list[Row]) -> None:
        rows[VALUE]["is_dummy"] = 1
        rows[VALUE].put("h", (3, 0, 0, 0, 0, 0, 0, 0))

    why = "every kind with a selector starts with its own tag or continues a chain that must not be continued"
    return also(forge.edit(NODE, change), "the value row is tagged", why=why)


@breaks("the value identity holds where a chain closes")
def smaller_sum(plan: Plan) -> Forge:
    """A node's sum is less than what its children come to."""
    return Forge(plan).edit(NODE, lambda rows: fit_sum(rows, total=10**6))
