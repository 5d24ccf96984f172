"""The waterfall of a loss, and how its last step divides what is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exchange.rules.errors import RuleInputError
from exchange.rules.rounding import ceil_div, pro_rata


@dataclass(frozen=True, slots=True)
class Waterfall:
    """What each layer pays, in order, and what remains; together exactly the loss."""

    paid: tuple[int, ...]
    remaining: int


def waterfall(loss: int, layers: Sequence[int]) -> Waterfall:
    """Let layers pay a loss in order, each at most what it can. Quote atoms.

    Order of the venue: insurance fund (at most its cap per block and market), treasury injection if there is one,
    auto-deleveraging at the bankruptcy price, socialised loss. A layer that holds less than 0 pays nothing.

    Raises:
        RuleInputError: a loss below 0.
    """
    if loss < 0:
        raise RuleInputError(f"loss {loss}: expected at least 0")
    paid: list[int] = []
    for available in layers:
        part = min(loss, max(0, available))
        paid.append(part)
        loss -= part
    return Waterfall(tuple(paid), loss)


def fund_capacity(balance: int, paid_this_block: int, loss_cap_per_block: int) -> int:
    """What the fund may still pay in a market in this block, in quote atoms.

    Source: dYdX v4's `max_quantums_insurance_lost`, here per market: many wallets would get round one per account.
    """
    return max(0, min(balance, loss_cap_per_block - paid_this_block))


def socialise(loss: int, profits: Sequence[int]) -> list[int]:
    """What each account gives up of its profit to cover a loss: in proportion, exact in sum, at most its profit.

    Accounts without profit give nothing. Source: OKEx's clawback of 2018, which this makes the last step by rule.

    Raises:
        RuleInputError: the loss is larger than all profits: then the venue settles, it does not socialise.
    """
    claims = [max(0, profit) for profit in profits]
    if loss > sum(claims):
        raise RuleInputError(f"loss {loss} is above all profits, {sum(claims)}: expected at most them")
    return pro_rata(loss, claims)


def loss_per_unit(loss: int, base_long: int, base_short: int, unit: int) -> int:
    """Quote atoms that every position pays per `unit` of size so that a loss is covered, rounded up.

    The other form of socialising, over open positions of both sides, booked as funding.
    Source: Drift v2, `calculate_funding_rate_deltas_to_resolve_bankruptcy`.
    """
    total = base_long + abs(base_short)
    if total <= 0:
        raise RuleInputError(f"open interest {total}: expected above 0 to spread a loss over")
    return ceil_div(loss * unit, total)


def pay_from_pool(claims: Sequence[int], pool: int) -> list[int]:
    """Settle profits only against losses that are realised: each claim's part of a pool, rounded down in sum.

    What is not paid stays a claim, is unrealised profit, and is not withdrawable. Source: Drift v2's settled-PnL
    pool, the lesson of Drift v1 in May 2022.
    """
    wanted = sum(claims)
    return list(claims) if wanted <= pool else pro_rata(max(0, pool), claims)
