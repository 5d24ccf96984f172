"""The buses: one tag each, so that a tuple of one bus never equals a tuple of another."""

from verifier.solvency import TAG_LEG, TAG_TOTAL, TAG_TREE

TAG_U16 = 1
"""(n): a number below 2^16."""
TAG_PAIR = 2
"""(low, high): two bytes."""

# The verifier computes tuples of three buses itself, and so defines their tags:
# TAG_LEG (leg, total id, 4 cap limbs, 7 price digits, 7 digits per lens), a row of the public leg table;
# TAG_TREE (level, 8 digest words, 7 value limbs), a node emitted below and consumed above;
# TAG_TOTAL (total id), an amount that counts towards a published total.
__all__ = ["TAG_LEG", "TAG_PAIR", "TAG_TOTAL", "TAG_TREE", "TAG_U16"]
