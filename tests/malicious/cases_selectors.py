"""Forgeries of selectors. One that is not a bit changes how many there are on its row, so most break two labels."""

from __future__ import annotations

from dataclasses import replace

from tests.malicious.cases import Case, also, breaks
from tests.malicious.cases_tree import NODE, bump, with_seven_children
from tests.malicious.forge import Forge, Plan, fit_equity, fit_sum
from tests.malicious.rows import Row

ONE = "at most one selector"
WHY = "2 is a number of selectors, too; and a chain counts how many rows go on before and after"
ACCOUNT_GOES_ON, ACCOUNT_FOLLOWS = (
    "entry and close follow open or entry",
    "open and entry are followed by entry or close",
)
NODE_GOES_ON, NODE_FOLLOWS = "next child and merge follow a child", "a child is followed by next child or merge"


def twice(plan: Plan, name: str, level: int) -> Plan:
    """A chain that is consumed twice, the second time in the place of a dummy."""
    dummy = next(n for n in plan.chains if n.startswith(f"dummy {level}.") and n != name)
    return plan.instead(dummy, name).without(dummy)


@breaks("is_dummy is a bit")
def two_dummies_in_one(plan: Plan) -> Case:
    forge = Forge(twice(plan, "dummy 0.1", 0)).edit("dummy 0.1", lambda rows: bump(rows[0], "is_dummy"))
    return also(forge, ONE, why=WHY)


@breaks("is_close is a bit")
def leaf_counted_twice(plan: Plan) -> Case:
    forge = Forge(twice(plan, "account 9", 0)).edit("account 9", lambda rows: bump(rows[-1], "is_close"))
    return also(forge, ONE, ACCOUNT_FOLLOWS, why=WHY)


@breaks("is_merge is a bit")
def node_counted_twice(plan: Plan) -> Case:
    forge = Forge(twice(plan, NODE, 1)).edit(NODE, lambda rows: bump(rows[8], "is_merge"))
    return also(forge, ONE, NODE_FOLLOWS, why=WHY)


@breaks("is_open is a bit")
def opened_twice(plan: Plan) -> Case:
    def change(rows: list[Row]) -> None:
        rows[0]["is_open"] = 2
        fit_equity(rows, open_times=2)

    return also(Forge(plan).edit("account 0", change), ONE, ACCOUNT_GOES_ON, why=WHY)


@breaks("is_entry is a bit")
def entry_counted_twice(plan: Plan) -> Case:
    """Twice in equity and total, once in the leaf."""

    def change(rows: list[Row]) -> None:
        rows[1]["is_entry"] = 2
        rows[1]["count"] = rows[2]["count"] = rows[2]["b1"] = 2
        rows[1]["u5"] = 32
        fit_equity(rows, open_times=2)

    forge = Forge(plan.holding("account 11", (0, 1))).edit("account 11", change)
    return also(forge, ONE, ACCOUNT_GOES_ON, ACCOUNT_FOLLOWS, why=WHY)


@breaks("is_first_child is a bit")
def first_child_counted_twice(plan: Plan) -> Case:
    first = plan.node(NODE).children[0]

    def change(rows: list[Row]) -> None:
        rows[0]["is_first_child"] = 2
        fit_sum(rows)

    forge = Forge(plan.put("again", plan.chains[first])).edit(NODE, change)
    return also(forge, ONE, NODE_GOES_ON, why=WHY)


@breaks("is_next_child is a bit")
def next_child_counted_twice(plan: Plan) -> Case:
    """Seven children with a count of eight. What came before counts twice in the sum, too: here, a dummy."""
    plan, name = with_seven_children(plan.put("twin", plan.chains["dummy 0.1"]))
    plan = plan.without("dummy 0.1").instead("dummy 0.1", "twin") if "dummy 0.1" in plan.node(name).children else plan
    node = plan.node(name)
    dummy = next(child for child in node.children if not child.startswith("account"))
    account = next(child for child in node.children if child.startswith("account"))
    others = [child for child in node.children if child not in (dummy, account)]
    plan = plan.put(name, replace(node, children=(dummy, account, *others)))
    plan = plan.put("again", plan.chains[account])

    def change(rows: list[Row]) -> None:
        rows[1]["is_next_child"] = 2
        for row in rows[1:8]:
            bump(row, "count")
        fit_sum(rows)

    return also(Forge(plan).edit(name, change), ONE, NODE_FOLLOWS, NODE_GOES_ON, why=WHY)


@breaks(ONE)
def account_poses_as_dummy(plan: Plan) -> Case:
    """An open row that emits, as a dummy does."""
    name, dummy = "account 0", "dummy 0.0"
    plan = plan.instead(name, f"{name}#1").instead(dummy, f"{name}#0").without(dummy)
    forge = Forge(plan).edit(name, lambda rows: bump(rows[0], "is_dummy"))
    why = "two kinds that start a chain want two tags in the initial value; two that continue it want two predecessors"
    return also(forge, "is_dummy initial value[0]", why=why)
