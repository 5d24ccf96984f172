"""Forgeries of the special rows of a masked shard: selectors, outputs, masks and their digests, the root."""

from __future__ import annotations

from dataclasses import replace

from tests.malicious.cases import breaks
from tests.malicious.cases_tree import bump
from tests.malicious.forge import Forge, Forged, Plan
from tests.malicious.rows import Row
from tests.malicious.special import hash_masks

SIDES = ("out", "in")


def first_mask(forged: Forged, side: str) -> int:
    """Row of the first mask that goes out or comes in."""
    return forged.layout.mask_out(0) if side == "out" else forged.layout.mask_in(0)


def rehash(forged: Forged, side: str, after: int = 0) -> None:
    """Chain the masks from that of output `after` on, and publish the digest."""
    first = first_mask(forged, side) + after
    setattr(forged, f"mask_{side}", hash_masks(forged.rows, first, forged.layout.outputs - after))


def put_word(forged: Forged, side: str, output: int, word: int, value: int) -> None:
    """Another word of a mask; its digest and what is published of the output follow."""
    row = forged.rows[first_mask(forged, side) + output]
    row[f"b{word}"] = row[f"u{word}"] = value
    rehash(forged, side)
    forged.fit(output)


@breaks("special rows carry no selector")
def dummy_on_a_carry_row(plan: Plan) -> Forge:
    def move(forged: Forged) -> None:
        rows, at = forged.rows, forged.at["dummy 0.0"]
        rows[forged.layout.carry(0)].cells |= {name: word for name, word in rows[at].cells.items() if name[0] in "hbi"}
        rows[at] = Row()

    return Forge(plan).then(move)


@breaks("special rows count to their public output")
def carry_rows_swapped(plan: Plan) -> Forge:
    def swap(forged: Forged) -> None:
        first, second = forged.layout.carry(0), forged.layout.carry(1)
        forged.rows[first], forged.rows[second] = forged.rows[second], forged.rows[first]

    return Forge(plan).then(swap)


@breaks(r"a mask's words are below 2\^16\[(\d)\]")
def mask_word_of_17_bits(plan: Plan, word: int) -> Forge:
    """The word that is hashed and counted is not the one that is range-checked."""
    side = SIDES[word % 2]

    def change(forged: Forged) -> None:
        put_word(forged, side, 2, word, 65_541)
        forged.rows[first_mask(forged, side) + 2][f"u{word}"] = 5

    return Forge(plan).then(change)


@breaks(r"masks are chained\[(\d)\]")
def masks_that_no_digest_binds(plan: Plan, word: int) -> Forge:
    """The chain starts anew at the fourth output: the first three masks may be any."""
    side = SIDES[word % 2]

    def change(forged: Forged) -> None:
        bump(forged.rows[first_mask(forged, side) + 3], f"h{word}")
        rehash(forged, side, after=3)

    return Forge(plan).then(change)


@breaks("the chain of masks (out|in) ends in its public digest")
def another_mask_than_the_neighbour_s(plan: Plan, side: str) -> Forge:
    """A thousand atoms, or so, are masked away: the shard before or after does not know of it."""

    def change(forged: Forged) -> None:
        kept = getattr(forged, f"mask_{side}")
        word = forged.rows[first_mask(forged, side) + 1]["b0"]
        put_word(forged, side, 1, 0, (word + 1000) % 2**16)
        setattr(forged, f"mask_{side}", kept)

    return Forge(plan).then(change)


@breaks("the root and its level are public")
def another_root(plan: Plan) -> Forge:
    """The root that users are shown is not that of the tree that was counted."""

    def change(forged: Forged) -> None:
        first, *words = forged.root.digest
        forged.root = replace(forged.root, digest=(first + 1, *words))

    return Forge(plan).then(change)
