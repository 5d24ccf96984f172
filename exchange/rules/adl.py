"""Auto-deleveraging: which opposite positions take over a bankrupt one, how much of each, at which price.

Everything is exact and public: from the ledger's numbers anyone recomputes rank, amounts and cash.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from exchange.rules.errors import RuleInputError
from exchange.rules.rounding import PPM, ceil_div

_NO_CAPITAL = -(1 << 256)
"""Score of an account without equity: it is not asked, since closing its position would not be paid for."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A position against a bankrupt one.

    Args:
        account: its number.
        size: signed, of the sign opposite to the bankrupt position.
        score: of `score`.
        unhedged: how much of |size| the account's other positions in the same underlying do not offset.
    """

    account: int
    size: int
    score: int
    unhedged: int


@dataclass(frozen=True, slots=True)
class Part:
    """What one candidate closes: `closed` > 0 of its |size|."""

    account: int
    closed: int


def unrealised(size: int, value: int, entry_cost: int) -> int:
    """Profit of a position in quote atoms: signed value less signed cost; 0 for no position."""
    return value - entry_cost if size else 0


def score(profit: int, profit_base: int, exposure: int, exposure_base: int) -> int:
    """Rank of a candidate, larger first, in parts of PPM^2, rounded down.

    profit / profit base * exposure / exposure base for a profit; for a loss profit / profit base divided by that
    leverage, so that the best capitalised losers come last.
    Source: BitMEX (profit over |entry cost|, |value| over account equity); Binance's score is the same with wallet
    balance and maintenance margin. Hyperliquid's mark/entry suits longs only; a profit share serves both sides.

    Args:
        profit: unrealised profit of the position.
        profit_base: what it is measured against: |entry cost| of the position, > 0.
        exposure: |value| of the position, > 0.
        exposure_base: equity of the account.
    """
    if exposure_base <= 0 or profit_base <= 0 or exposure <= 0:
        return _NO_CAPITAL
    if profit >= 0:
        return profit * exposure * PPM * PPM // (profit_base * exposure_base)
    return profit * exposure_base * PPM * PPM // (profit_base * exposure)


def rank(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Candidates by falling score, equal ones by rising account number; those without capital are left out."""
    return sorted(
        (one for one in candidates if one.score > _NO_CAPITAL and one.size), key=lambda one: (-one.score, one.account)
    )


def allocate(ranked: Sequence[Candidate], size: int, lot: int = 1) -> tuple[list[Part], int]:
    """Close a bankrupt position of `size` against candidates in order; the last one in part. Returns what is left.

    Nobody closes more than they hold: positions shrink and never flip. Source: BitMEX, Hyperliquid.

    Raises:
        RuleInputError: a candidate on the bankrupt position's own side.
    """
    left = abs(size)
    parts: list[Part] = []
    for one in ranked:
        _check_side(one, size)
        taken = min(left, abs(one.size)) // lot * lot
        if taken:
            parts.append(Part(one.account, taken))
            left -= taken
    return parts, left


def allocate_unhedged_first(ranked: Sequence[Candidate], size: int, lot: int = 1) -> tuple[list[Part], int]:
    """Like `allocate`, but in two passes: first what no other position of the same account offsets, then the rest.

    Closing an unhedged part lowers the account's net exposure; closing one leg of a hedge raises it, which hurt hedged
    traders on 10 October 2025. Parts keep the order of the rank, one per account.
    """
    left = abs(size)
    taken = dict.fromkeys((one.account for one in ranked), 0)
    for first_pass in (True, False):
        for one in ranked:
            _check_side(one, size)
            limit = min(abs(one.size), one.unhedged) if first_pass else abs(one.size)
            more = max(0, min(left, limit - taken[one.account])) // lot * lot
            taken[one.account] += more
            left -= more
    return [Part(account, closed) for account, closed in taken.items() if closed], left


def _check_side(one: Candidate, size: int) -> None:
    if one.size * size >= 0:
        raise RuleInputError(f"account {one.account} holds {one.size} against {size}: expected the other sign")


def unhedged_size(size: int, other_delta: int) -> int:
    """How much of |size| is not offset by the account's signed exposure elsewhere in the same underlying, >= 0."""
    offset = -other_delta if size > 0 else other_delta
    return max(0, abs(size) - max(0, offset))


def closing_cash(quote: int, parts: Sequence[Part]) -> list[int]:
    """Cash of each part such that together they pay exactly what the bankrupt account receives.

    All fill at one price, the bankruptcy price; part i gets -(Q_i - Q_(i-1)), Q_i = floor(quote * closed up to i / all
    closed). Within one atom of the price each; their sum is -quote: nothing is created or lost.

    Args:
        quote: signed cash of the bankrupt account for all parts together, from `liquidation.bankruptcy_quote`.
    """
    whole = sum(part.closed for part in parts)
    cash: list[int] = []
    before = running = 0
    for part in parts:
        running += part.closed
        upto = quote * running // whole
        cash.append(before - upto)
        before = upto
    return cash


def quintiles(ranked: Sequence[Candidate]) -> dict[int, int]:
    """Lights that show each account how near it is to being deleveraged: 20 (next) to 100, in percent.

    By the size held by it and by everyone ranked before it, rounded up to fifths. Source: BitMEX, ADL indicator.
    """
    whole = sum(abs(one.size) for one in ranked)
    lights: dict[int, int] = {}
    running = 0
    for one in ranked:
        running += abs(one.size)
        lights[one.account] = 20 * ceil_div(5 * running, whole)
    return lights
