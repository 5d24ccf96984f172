"""Integer arithmetic shared by the rules: each division says which way it rounds."""

from __future__ import annotations

from collections.abc import Sequence

from exchange.rules.errors import RuleInputError

PPM = 1_000_000
"""Rates are parts of this."""


def ceil_div(numerator: int, denominator: int) -> int:
    """numerator / denominator rounded up, for a denominator above 0."""
    return -(-numerator // denominator)


def value(size: int, price: int, unit: int) -> int:
    """Quote atoms that `size` base atoms are worth at a price per `unit`: rounded down, so that a long counts less
    and a short costs more."""
    return size * price // unit


def cost(size: int, price: int, unit: int) -> int:
    """Quote atoms an account pays to add `size` base atoms; negative is what it receives. Rounded up: buying costs
    the odd atom, selling loses it."""
    return -(-size * price // unit)


def clamp(x: int, low: int, high: int) -> int:
    """The number in low..high that is nearest to x."""
    return low if x < low else min(x, high)


def median_of_three(a: int, b: int, c: int) -> int:
    """The middle one of three numbers."""
    return max(min(a, b), min(max(a, b), c))


def floor_to(x: int, step: int) -> int:
    """The largest multiple of `step` that is at most x."""
    return x - x % step


def ceil_to(x: int, step: int) -> int:
    """The smallest multiple of `step` that is at least x."""
    return x + -x % step


def pro_rata(total: int, weights: Sequence[int]) -> list[int]:
    """Split `total` >= 0 in proportion to the weights; the parts add up to exactly `total`.

    Part i is floor(total * W_i / W) - floor(total * W_(i-1) / W) with W_i the sum of the first i weights: less than one
    atom from the exact share, nobody with weight 0 gets a part, and nobody gets more than ceil(total * w_i / W).

    Raises:
        RuleInputError: negative numbers, or something to split and no weight.
    """
    whole = sum(weights)
    if total < 0 or any(weight < 0 for weight in weights) or (total and not whole):
        raise RuleInputError(f"cannot split {total} over weights that add up to {whole}: expected none below 0")
    parts: list[int] = []
    before = running = 0
    for weight in weights:
        running += weight
        upto = total * running // whole if whole else 0
        parts.append(upto - before)
        before = upto
    return parts
