"""Chains of rows: accounts (O E* Z), nodes (F N7 M and a value row V), dummies (D). Layout: design 02b, section B.

A chain's kind and level are in its initial value, which whoever recomputes the chain knows; nothing opaque comes
first (02a finding 1). V has no selector: it is the row after M, linked by next-row constraints (02b R5).
"""

from __future__ import annotations

from circuits.builder import AirBuilder, Expr, total
from circuits.buses import TAG_TREE
from circuits.gadgets.permutation import BLOCK_COLUMNS, CHAIN_COLUMNS, digest
from verifier.air import ALWAYS, FIRST, LAST, TRANSITION
from verifier.tree import ARITY, TAG_ACCOUNT, TAG_DUMMY, TAG_END, TAG_NODE, TAG_VALUE

SELECTOR_COLUMNS = ("is_open", "is_entry", "is_close", "is_first_child", "is_next_child", "is_merge", "is_dummy")
VALUE_LIMBS = 7
DIGIT_COLUMNS = tuple(f"d{i}" for i in range(7))


def any_selector(air: AirBuilder, rotation: int = 0) -> Expr:
    """1 on rows of the seven kinds, 0 on special rows, value rows and padding."""
    read = air.next if rotation else air.row
    return total(read(name) for name in SELECTOR_COLUMNS)


def require_selectors(air: AirBuilder) -> None:
    """Selectors are bits and exclude each other; rows follow in the order of their chain; no chain is cut."""
    for name in SELECTOR_COLUMNS:
        s = air.row(name)
        air.require(ALWAYS, f"{name} is a bit", s * (s - 1))
    some = any_selector(air)
    air.require(ALWAYS, "at most one selector", some * (some - 1))

    in_account, in_node = air.row("is_open") + air.row("is_entry"), air.row("is_first_child") + air.row("is_next_child")
    account_goes_on = air.next("is_entry") + air.next("is_close")
    node_goes_on = air.next("is_next_child") + air.next("is_merge")
    air.require(TRANSITION, "entry and close follow open or entry", account_goes_on * (1 - in_account))
    air.require(TRANSITION, "open and entry are followed by entry or close", in_account * (1 - account_goes_on))
    air.require(TRANSITION, "next child and merge follow a child", node_goes_on * (1 - in_node))
    air.require(TRANSITION, "a child is followed by next child or merge", in_node * (1 - node_goes_on))
    air.require(TRANSITION, "merge is followed by its value row", air.row("is_merge") * any_selector(air, 1))
    inside = air.row("is_entry") + air.row("is_close") + air.row("is_next_child") + air.row("is_merge")
    air.require(FIRST, "the first row starts a chain or none", inside)
    air.require(LAST, "the last active row ends a chain or none", in_account + in_node + air.row("is_merge"))


def continues(air: AirBuilder) -> Expr:
    """1 when the next row absorbs another block of this row's chain."""
    return total(air.next(name) for name in ("is_entry", "is_close", "is_next_child", "is_merge"))


def require_chaining(air: AirBuilder) -> None:
    """Initial values, chaining, level and counter; the fixed arity; the end block."""
    level, count = air.row("level"), air.row("count")
    zero = Expr(air, 0, {})
    kinds: tuple[tuple[str, list[Expr | int]], ...] = (
        ("is_open", [TAG_ACCOUNT]),
        ("is_first_child", [TAG_NODE, level]),
        ("is_dummy", [TAG_DUMMY, level]),
    )
    for name, start in kinds:
        initial = [zero + value for value in start] + [zero] * (len(CHAIN_COLUMNS) - len(start))
        gated = (air.row(name) * (air.row(h) - iv) for h, iv in zip(CHAIN_COLUMNS, initial, strict=True))
        air.require_all(ALWAYS, f"{name} initial value", gated)
    air.require(ALWAYS, "an account has level 0", air.row("is_open") * level)
    air.require(ALWAYS, "open starts the count", air.row("is_open") * count)
    air.require(ALWAYS, "first child starts the count", air.row("is_first_child") * count)
    air.require(ALWAYS, "a node has exactly its arity of children", air.row("is_merge") * (count - (ARITY - 1)))

    gate = continues(air)
    output = digest(air)
    air.require_all(
        TRANSITION, "chaining value", (gate * (air.next(h) - o) for h, o in zip(CHAIN_COLUMNS, output, strict=True))
    )
    air.require(TRANSITION, "level is kept along a chain", gate * (air.next("level") - level))
    counted = air.next("is_entry") + air.next("is_next_child")
    air.require(TRANSITION, "count along a chain", gate * (air.next("count") - count - counted))

    close = air.row("is_close")
    air.require(ALWAYS, "the last block is tagged", close * (air.row("b0") - TAG_END))
    air.require(ALWAYS, "the last block has the count", close * (air.row("b1") - count))


def require_value_row(air: AirBuilder) -> None:
    """The row after merge commits to the node's sum: h = (tag, 7 random), block = (7 limbs, 1 random)."""
    merge = air.row("is_merge")
    links = (merge * (air.row(b) - o) for b, o in zip(BLOCK_COLUMNS, digest(air, 1), strict=True))
    air.require_all(TRANSITION, "merge absorbs the value digest", links)
    air.require(TRANSITION, "the value row is tagged", merge * (air.next("h0") - TAG_VALUE))
    limbs = (merge * (air.next(f"b{j}") - air.row(f"u{j}")) for j in range(VALUE_LIMBS))
    air.require_all(TRANSITION, "the value row holds the sum", limbs)
    shown = (merge * (air.row(f"d{j}") - air.row(f"u{j}")) for j in range(VALUE_LIMBS))
    air.require_all(ALWAYS, "merge emits its sum", shown)
    nothing = (air.row("is_dummy") * air.row(f"d{j}") for j in range(VALUE_LIMBS))
    air.require_all(ALWAYS, "a dummy emits zero", nothing)


def link_tree(air: AirBuilder) -> None:
    """Each closed chain is consumed exactly once, one level up, with its value; the root row consumes the root."""
    value = [air.row(name) for name in DIGIT_COLUMNS]
    emitted = air.row("is_close") + air.row("is_merge") + air.row("is_dummy")
    air.fraction("tree emit", emitted, air.fingerprint(TAG_TREE, [air.row("level"), *digest(air), *value]))
    consumed = air.row("is_first_child") + air.row("is_next_child") + air.public("is_root")
    child = [air.row(name) for name in BLOCK_COLUMNS]
    air.fraction("tree consume", -1 * consumed, air.fingerprint(TAG_TREE, [air.row("level") - 1, *child, *value]))
