"""The cheats of the design reviews that a bus stops: numbers out of range, foreign legs, and trees that do not add up.

Those with published numbers are in `cheats_outputs`.

Each names the lookup that catches it. With that lookup switched off, the same witness satisfies the circuit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.malicious.cases_accounts import CAP, amount_and_slack, capped
from tests.malicious.cases_tree import MERGE, NODE, bump
from tests.malicious.forge import Dummy, Edit, Forge, Forged, Node, Plan, fit_equity, fit_sum
from tests.malicious.rows import Item, Row, limbs, number
from verifier.field import P

TREE = ("tree emit", "tree consume")


@dataclass(frozen=True)
class Cheat:
    """A forgery that satisfies every constraint.

    Args:
        named: what the bus checker says.
        rules: the lookups without which nothing is wrong.
    """

    forge: Callable[[Plan], Forge]
    named: frozenset[str]
    rules: tuple[str, ...]


CHEATS: dict[str, Cheat] = {}


def caught_by(*rules: str, named: tuple[str, ...] = ()) -> Callable[[Callable[[Plan], Forge]], Callable[[Plan], Forge]]:
    """Register a cheat by the name of its function; the checker names the rules unless `named` says otherwise."""

    def register(forge: Callable[[Plan], Forge]) -> Callable[[Plan], Forge]:
        CHEATS[forge.__name__] = Cheat(forge, frozenset(named or rules), rules)
        return forge

    return register


def in_account(plan: Plan, name: str, change: Edit) -> Forge:
    """A change to an account's rows; its equity is fitted again."""

    def change_and_fit(rows: list[Row]) -> None:
        change(rows)
        fit_equity(rows)

    return Forge(plan).edit(name, change_and_fit)


# -- amounts (06-adversary 2, 4; 02a findings 2 and 3) ----------------------------------------------------------------


@caught_by("y0, y1 are bytes", "u0 is below 2^16")
def amount_below_zero(plan: Plan) -> Forge:
    """-5 atoms as a byte of p - 5; the slack is then above the cap."""

    def change(rows: list[Row]) -> None:
        rows[1].put("y", (-5, 0)).put("u", (65535 + 5, 65535, 65535, 32767))
        rows[1]["b1"] = -5

    return in_account(plan, "account 7", change)


@caught_by("y0, y1 are bytes")
def byte_of_256(plan: Plan) -> Forge:
    """The same amount in another form: harmless, and refused all the same."""
    return in_account(plan.holding("account 7", (0, 256)), "account 7", lambda rows: rows[1].put("y", (256, 0)))


@caught_by("u3 is below 2^16")
def amount_of_2_64_minus_1(plan: Plan) -> Forge:
    def change(rows: list[Row]) -> None:
        amount_and_slack(rows[1], 2**64 - 1, (0, 0, 0, 32767 - 65535))

    return in_account(plan, "account 7", change)


@caught_by("u0 is below 2^16")
def one_above_a_small_cap(plan: Plan) -> Forge:
    return in_account(capped(plan), "account 7", lambda rows: amount_and_slack(rows[1], CAP + 1, (-1, 0, 0, 0)))


# -- legs (02a finding 4; 06-adversary 10, 11, 12) --------------------------------------------------------------------


@caught_by("u4 is below 2^16")
def leg_twice_with_a_gap_of_minus_one(plan: Plan) -> Forge:
    return Forge(plan.holding("account 4", (2, 100), (2, 23)))


@caught_by("u4 is below 2^16")
def legs_out_of_order(plan: Plan) -> Forge:
    return Forge(plan.holding("account 4", (3, 100), (2, 100)))


@caught_by("entry leg")
def better_price(plan: Plan) -> Forge:
    return in_account(plan, "account 9", lambda rows: bump(rows[1], "d6"))


@caught_by("entry leg")
def debt_at_the_price_of_a_holding(plan: Plan) -> Forge:
    long_digits = plan.legs[0].digits
    return in_account(plan, "account 8", lambda rows: rows[1].put("d", long_digits))


@caught_by("entry leg")
def debt_counted_towards_another_total(plan: Plan) -> Forge:
    return Forge(plan).edit("account 8", lambda rows: rows[1].cells.update(total_id=4))


@caught_by("entry leg")
def leg_outside_the_table(plan: Plan) -> Forge:
    return Forge(plan).edit("account 8", lambda rows: rows[1].cells.update(b0=len(plan.legs)))


@caught_by("entry leg")
def cap_of_one_s_own(plan: Plan) -> Forge:
    def change(rows: list[Row]) -> None:
        amount_and_slack(rows[1], CAP + 1, (0, 0, 0, 0))
        rows[1].put("cap", limbs(CAP + 1, 4))

    return in_account(capped(plan), "account 7", change)


# -- carries (02a finding 2, 02b R4 and R7) ---------------------------------------------------------------------------


@caught_by("u9 is below 2^16")
def debt_plus_the_modulus(plan: Plan) -> Forge:
    """Equity as debt + p * 256^9: a carry of 8,323,072 does it, which is below 2^23."""

    def change(rows: list[Row]) -> None:
        fit_equity(rows, wraps={9: 1})
        assert number(rows[-1].read("u", 7)) > P * 256**9 * 99 // 100
        assert rows[-1]["cap0"] == 0

    return Forge(plan).edit("account 2", change)


@caught_by("y0, y1 are bytes")
def node_sum_plus_the_modulus(plan: Plan) -> Forge:
    """A carry of 32,512 adds p to the sum of a node. It is below 2^16: u cells would not do for these carries."""

    def change(rows: list[Row]) -> None:
        fit_sum(rows, wraps={0: 1})
        assert rows[MERGE]["y0"] - 32512 in range(9)

    return Forge(plan).edit(NODE, change)


@caught_by("y0, y1 are bytes")
def node_sum_minus_the_modulus(plan: Plan) -> Forge:
    return Forge(plan).edit(NODE, lambda rows: fit_sum(rows, wraps={0: -1}))


@caught_by("u6 is below 2^16")
def total_plus_the_modulus_by_a_wrapped_carry(plan: Plan) -> Forge:
    """T + p * 2^48, within the bounds of a statement, for a carry of 8,323,072 in a carry row."""

    def change(forged: Forged) -> None:
        before = forged.totals[0]
        forged.fit(0, {6: 1})
        assert forged.totals[0] == before + (P << 48) < 2 ** (64 + 17)

    return Forge(plan).then(change)


# -- the tree (02a findings 1, 6, 7, 8; 06-adversary 1, 6, 13, 17, 25) -------------------------------------------------


@caught_by(*TREE, named=("tree consume",))
def leaf_that_nobody_made(plan: Plan) -> Forge:
    """A user's leaf with a valid path, and no account behind it."""
    forge = Forge(plan.instead("dummy 0.0", "stranger").without("dummy 0.0"))
    forge.foreign["stranger"] = Item(0, (9, 8, 7, 6, 5, 4, 3, 2), (0,) * 7)
    return forge


@caught_by(*TREE, named=("tree emit",))
def leaf_that_nobody_counts(plan: Plan) -> Forge:
    return Forge(plan.with_spare().instead("account 9", "spare"))


@caught_by(*TREE, named=("tree emit",))
def node_that_nobody_counts(plan: Plan) -> Forge:
    """A disconnected chain."""
    plan = plan.first("aside", Node(1, tuple(f"aside {i}" for i in range(8)), (5,) * 8))
    for i in range(8):
        plan = plan.put(f"aside {i}", Dummy(0, (i,) * 8))
    return Forge(plan)


@caught_by(*TREE, named=("tree emit",))
def leaf_counted_twice(plan: Plan) -> Forge:
    return Forge(plan.instead("dummy 0.0", "account 9").without("dummy 0.0"))


@caught_by(*TREE)
def leaf_below_the_root(plan: Plan) -> Forge:
    """Wrong level: an account stands where a node of level 1 should."""
    plan = plan.with_spare().instead("account 9", "spare")
    return Forge(plan.instead("dummy 1.0", "account 9").without("dummy 1.0"))


def child_edited(plan: Plan, name: str, change: Callable[[Row], object]) -> Forge:
    node = plan.parent(name)
    slot = plan.node(node).children.index(name)

    def edit(rows: list[Row]) -> None:
        change(rows[slot])
        fit_sum(rows)

    return Forge(plan).edit(node, edit)


@caught_by(*TREE)
def smaller_value_of_a_child(plan: Plan) -> Forge:
    return child_edited(plan, "account 9", lambda row: bump(row, "d0", -1))


@caught_by(*TREE)
def aliased_value_of_a_child(plan: Plan) -> Forge:
    """The same number in other limbs: the sum is right, the tuple is not."""
    return child_edited(plan, "account 9", lambda row: (bump(row, "d0", 2**16), bump(row, "d1", -1)))


@caught_by(*TREE)
def value_of_another_child(plan: Plan) -> Forge:
    """Values of two users exchanged: the sum is right."""
    node = plan.node(plan.parent("account 9"))
    rich = node.children.index("account 9")
    other = next(i for i, child in enumerate(node.children) if child.startswith("account") and i != rich)

    def swap(rows: list[Row]) -> None:
        one, two = rows[rich].read("d", 7), rows[other].read("d", 7)
        rows[rich].put("d", two)
        rows[other].put("d", one)

    return Forge(plan).edit(plan.parent("account 9"), swap)
