"""The cells that may hold anything: every one that a change can leave unnamed, by kind of row, and why it is harmless.

Unnamed means that the same statement, with the same published numbers and the same root, is proved by the changed
trace: what is published enters the checks from outside, and no cell changes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tests.adversary.cells_rows import HIDDEN
from verifier.field import P

U16, BYTE = 2**16, 2**8
CAPS = ("cap0", "cap1", "cap2", "cap3")
DIGITS = ("d?",)
BYTES, WORDS = ("y?",), ("u?",)


@dataclass(frozen=True)
class Free:
    """Cells in which every value below `below` goes unnamed, and no other does.

    Args:
        rows: roles, see `roles`. columns: names or patterns of names.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    below: int
    why: str


WORTHLESS = "worth nothing"
"""Beside other roles: what a row is because of its cells, and not because of its kind."""
SPECIAL = ("mask out", "mask in", "carry")
CHILDREN = ("first child", "next child")
NOTHING = ("value", "padding")
FREE = (
    Free((HIDDEN,), ("*",), P, "No constraint and no fraction reads a hidden row; they are random to hide the others."),
    Free((*SPECIAL, "loss"), ("level", "count", *CAPS, *DIGITS), P, "Special rows are in no chain and no entries."),
    Free(SPECIAL, ("u8", "u9"), U16, "Masks and carries are in u0 .. u7."),
    Free(("loss",), ("u7", "u8", "u9"), U16, "A loss has seven limbs."),
    Free(("loss",), BYTES, BYTE, "Nothing reads bytes on a loss row."),
    Free(("root",), ("count", *CAPS), P, "The root row is no child: it has a level, a digest and a sum, and no place."),
    Free(("root",), WORDS, U16, "The root's sum is in d; u is for carries, of which it has none."),
    Free(("root",), BYTES, BYTE, "As its u."),
    Free(("open",), ("total_id", *CAPS, *DIGITS), P, "Before its entries an account has no amount, cap or price."),
    Free(("open",), ("y5", "y6", "y7"), BYTE, "Five high parts of carries are here, the others on the close row."),
    Free(("first entry",), ("u4",), U16, "The gap to the leg before, of which there is none."),
    Free(("first entry", "later entry"), ("u6", "u7", "u8", "u9"), U16, "Slack, gap and count are in u0 .. u5."),
    Free(("close",), ("total_id", "cap1", "cap2", "cap3"), P, "A close row counts to no total; its sign is in cap0."),
    Free((WORTHLESS,), ("cap0",), 2, "Of an account worth nothing: minus nothing is nothing."),
    Free((*CHILDREN, "merge", "dummy"), ("total_id", *CAPS), P, "Totals and caps are for entries."),
    Free((*CHILDREN, "dummy"), WORDS, U16, "Children bring their value in d, a dummy brings none."),
    Free((*CHILDREN, "dummy"), BYTES, BYTE, "As their u."),
    Free(("dummy",), ("count",), P, "A dummy is one row."),
    Free(("merge",), ("u7", "u8", "u9"), U16, "A sum has seven limbs."),
    Free(("merge",), ("y6", "y7"), BYTE, "A sum has six carries."),
    Free(NOTHING, ("level", "count", "total_id", *CAPS, *DIGITS), P, "Rows without a selector are in no chain or sum."),
    Free(NOTHING, WORDS, U16, "As their level; a value row's limbs are in b, tied to those of the merge row."),
    Free(NOTHING, BYTES, BYTE, "As their u."),
    Free(("no entry",), ("lens*_digit?",), P, "Digits are an entry's; elsewhere no bus and no sum reads them."),
    Free(("totals record",), ("lens*_byte?",), BYTE, "The totals record has carries and no value: its sign is 0."),
)  # fmt: skip
_NAMES = {"is_first_child": "first child", "is_next_child": "next child"}


def roles(before: str, here: str) -> tuple[str, ...]:
    """What a row is, from its pattern and that of the row before."""
    if here == HIDDEN:
        return (HIDDEN,)
    names, after = set(here.split("+")), set(before.split("+"))
    kinds = sorted(name for name in names if name.startswith("is_"))
    if len(kinds) > 1:
        raise ValueError(f"a row of two kinds: {here}")
    kind = _NAMES.get(kinds[0], kinds[0].removeprefix("is_").replace("_", " ")) if kinds else "padding"
    if kind == "padding" and "is_merge" in after:
        kind = "value"
    others = ["totals record"] if "in_totals_record" in names else []
    if kind == "entry":
        return ("first entry" if "is_open" in after else "later entry", *others)
    return (kind, "no entry", *others)


def limit_of(roles_: tuple[str, ...], column: str) -> int:
    """Words below this go unnamed; none, if it is 0."""
    return max((free.below for free in matching(roles_, column)), default=0)


def idle(roles_: tuple[str, ...], columns: Iterable[str]) -> set[tuple[str, int]]:
    """(column, change) that go unnamed, for cells that hold 0: of those that are range-checked, only one more."""
    limits = {name: limit_of(roles_, name) for name in columns}
    return {(name, by) for name, below in limits.items() for by in (1, -1) if below == P or (below and by == 1)}


def matching(roles_: tuple[str, ...], column: str) -> Iterator[Free]:
    """The entries for a column on a row of these roles."""
    for free in FREE:
        if set(free.rows) & set(roles_) and any(fnmatchcase(column, pattern) for pattern in free.columns):
            yield free
