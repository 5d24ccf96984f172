"""The scan of all accounts at new prices: equity, what margin and haircuts ask for, and who is to be liquidated.

Accounts are rows of int64 columns, as the ledger keeps them. They are worked through in blocks that fit the cache:
per block, each asset and each market adds to equity and requirement. `plain_scan` is the twin in plain integers.

No number may wrap. The kernels report a bound of what they saw, and `scan` raises before anyone uses a result in which
one could have: the largest term, times the number of terms of an account's sum, has to stay below 2^63.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ParamSpec, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

from exchange.rules.errors import RuleInputError
from exchange.rules.haircuts import counted
from exchange.rules.rounding import PPM, value
from exchange.rules.tiers import RateTiers, requirement

Int64Array = NDArray[np.int64]
BLOCK_ACCOUNTS = 8_192
"""Accounts per block: its columns and scratch space take half a megabyte, half of a core's second-level cache."""
SUM_END = 2**63
UNIT_MAX = 3_037_000_499
"""Largest unit: (unit - 1)^2 < 2^63."""
WHOLE_END = 2**51
"""Most whole units of an asset: what a float's quotient is off by is then far below 1."""
_PPM_INVERSE = 1.0 / PPM

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class AssetColumn:
    """Balances of one asset other than the quote asset.

    Args:
        amount: atoms per account, int64.
        price: quote atoms per `unit` atoms.
        lost, debt_margin: see `haircuts.counted`.
    """

    amount: Int64Array
    price: int
    unit: int
    lost: RateTiers
    debt_margin: RateTiers


@dataclass(frozen=True, slots=True)
class MarketColumn:
    """Positions in one market.

    Args:
        size: lots per account, signed, int64.
        cost: signed entry cost in quote atoms, int64.
        mark: quote atoms per lot at the mark price.
        maintenance: maintenance rates by notional.
    """

    size: Int64Array
    cost: Int64Array
    mark: int
    maintenance: RateTiers


@dataclass(frozen=True, slots=True)
class Scan:
    """Per account, in quote atoms.

    Args:
        equity: all assets and positions at their full values, int64.
        required: maintenance margin and what haircuts and debts' margins take, int64, >= 0. Health = equity - required.
        liquidatable: `required` > 0 and equity < `required`, as bool.
        count: how many are.
    """

    equity: Int64Array
    required: Int64Array
    liquidatable: NDArray[np.bool_]
    count: int


def scan(quote: Int64Array, assets: Sequence[AssetColumn], markets: Sequence[MarketColumn]) -> Scan:
    """Equity, requirement and liquidatable flag of every account. A position of 0 lots has cost 0.

    Args:
        quote: balance of the quote asset per account, int64.
        assets: the other assets.
        markets: all markets, at the marks of one price version.

    Raises:
        RuleInputError: prices or amounts with which an int64 could wrap, or columns of different lengths.
    """
    accounts = len(quote)
    columns = [column for market in markets for column in (market.size, market.cost)] + [one.amount for one in assets]
    if any(len(column) != accounts for column in columns):
        raise RuleInputError(f"columns of {sorted({len(column) for column in columns})} accounts: expected {accounts}")
    for asset in assets:
        if not 0 < asset.unit <= UNIT_MAX or not 0 <= asset.price < SUM_END:
            raise RuleInputError(f"asset price {asset.price} per {asset.unit}: expected a unit up to {UNIT_MAX}")
    for market in markets:
        if abs(market.mark) >= SUM_END:
            raise RuleInputError(f"mark {market.mark} quote atoms per lot: expected below 2^63")
    equity = np.empty(accounts, np.int64)
    required = np.empty(accounts, np.int64)
    flags = np.empty(accounts, np.bool_)
    scratch = np.empty((5, BLOCK_ACCOUNTS), np.int64)
    asset_tables = [(_table(asset.lost), _table(asset.debt_margin)) for asset in assets]
    market_tables = [_table(market.maintenance) for market in markets]
    money = count = 0
    amounts, sizes = [0] * len(assets), [0] * len(markets)
    for start in range(0, accounts, BLOCK_ACCOUNTS):
        block = slice(start, min(start + BLOCK_ACCOUNTS, accounts))
        total, asked = equity[block], required[block]
        money |= _begin(quote[block], total, asked)
        for n, asset in enumerate(assets):
            amounts[n] |= _add_asset(
                asset.amount[block], asset.price, asset.unit, *asset_tables[n], total, asked, scratch
            )
        for n, market in enumerate(markets):
            seen, costs = _add_market(
                market.size[block], market.cost[block], market.mark, market_tables[n], total, asked, scratch
            )
            sizes[n] |= seen
            money |= costs
        count += _flag(total, asked, flags[block])
    _check_sums(assets, markets, _bound(money), list(map(_bound, amounts)), list(map(_bound, sizes)))
    return Scan(equity, required, flags, count)


def _bound(bits: int) -> int:
    """Upper bound of the magnitudes whose bits were joined; |-2^63| is negative in 64 bits."""
    return bits if bits >= 0 else SUM_END


def _check_sums(
    assets: Sequence[AssetColumn], markets: Sequence[MarketColumn], money: int, amounts: Sequence[int],
    sizes: Sequence[int],
) -> None:  # fmt: skip
    """Refuse sums that may have wrapped.

    An account's equity has at most 1 + assets + 2 markets terms, its requirement fewer and smaller ones: rates are at
    most 1. Terms are bounded by the largest amount, size or cost anywhere.
    """
    terms = [money, 1]
    for asset, amount in zip(assets, amounts, strict=True):
        if amount >= WHOLE_END * asset.unit:
            raise RuleInputError(f"amounts up to {amount} per {asset.unit}: expected below 2^51 units")
        terms.append(-value(-amount, asset.price, asset.unit))
    terms += [abs(market.mark) * size for market, size in zip(markets, sizes, strict=True)]
    if max(terms) * (1 + len(assets) + 2 * len(markets)) >= SUM_END:
        raise RuleInputError(f"an amount of up to {max(terms)} quote atoms: expected sums below 2^63 in the scan")


def _table(tiers: RateTiers) -> Int64Array:
    """Tiers as rows (lower bound, rate, deduction // PPM, deduction % PPM); bounds from 2^63 on never bind."""
    rows = [
        (lower, rate, *divmod(deduction, PPM))
        for lower, rate, deduction in zip(tiers.lower, tiers.rate_ppm, tiers.deduction, strict=True)
        if lower < SUM_END
    ]
    return np.array(rows, np.int64)


def _compiled(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    compiler = numba.njit(cache=True, nogil=True, error_model="numpy", boundscheck=False)
    return cast(Callable[_Arguments, _Result], compiler(function))


def _inlined(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    compiler = numba.njit(
        forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, error_model="numpy", boundscheck=False
    )  # type: ignore[call-overload]
    return cast(Callable[_Arguments, _Result], compiler(function))


@_inlined
def _divided(x: int, divisor: int, inverse: float) -> int:
    """floor(x / divisor) for |x / divisor| < 2^51: the float only guesses, within 1; the remainder decides.

    So the result is exact and the same on every machine; unlike a 64-bit division it works on whole vectors.
    """
    quotient = int(np.float64(x) * inverse)
    rest = x - quotient * divisor
    return quotient + (1 if rest >= divisor else 0) - (1 if rest < 0 else 0)


@_inlined
def _add_requirement(notional: Int64Array, seen: int, table: Int64Array, scratch: Int64Array, out: Int64Array) -> None:
    """Add `tiers.requirement` of each 0 <= notional < 2^63 to `out`, without a product above 2^63.

    With notional = q PPM + r and deduction = d PPM + e it is q rate - d + ceil((r rate - e) / PPM), r rate < 2^40.
    Rate, d and e are summed up tier by tier, for whole vectors, as far as any notional reaches; `seen` bounds them.
    """
    rate, whole, part = scratch[1], scratch[2], scratch[3]
    for i in range(len(notional)):
        rate[i] = table[0, 1]
        whole[i] = 0
        part[i] = 0
    for n in range(1, len(table)):
        lower = table[n, 0]
        if 0 <= seen < lower:
            break
        more_rate = table[n, 1] - table[n - 1, 1]
        more_whole = table[n, 2] - table[n - 1, 2]
        more_part = table[n, 3] - table[n - 1, 3]
        for i in range(len(notional)):
            reached = notional[i] >= lower
            rate[i] += more_rate if reached else 0
            whole[i] += more_whole if reached else 0
            part[i] += more_part if reached else 0
    for i in range(len(notional)):
        millions = _divided(notional[i], 1_000_000, _PPM_INVERSE)
        rest = notional[i] - millions * 1_000_000
        rounded_up = rest * rate[i] - part[i] + 999_999
        out[i] += millions * rate[i] - whole[i] + _divided(rounded_up, 1_000_000, _PPM_INVERSE)


@_compiled
def _begin(quote: Int64Array, equity: Int64Array, required: Int64Array) -> int:
    """equity = quote, required = 0; returns all bits of |quote| joined."""
    bits = 0
    for i in range(len(quote)):
        equity[i] = quote[i]
        required[i] = 0
        bits |= abs(quote[i])
    return bits


@_compiled
def _add_asset(
    amount: Int64Array, price: int, unit: int, lost: Int64Array, debt_margin: Int64Array, equity: Int64Array,
    required: Int64Array, scratch: Int64Array,
) -> int:  # fmt: skip
    """Add the value of amounts to `equity`, what haircuts or margins take to `required`; returns the bits of |amount|.

    floor(amount price / unit) = a price + b P + floor(b p / unit) with amount = a unit + b and price = P unit + p.
    """
    bits = held = owed = 0
    inverse = 1.0 / unit
    price_whole = price // unit
    price_part = price - price_whole * unit
    holdings, debts = scratch[0][: len(amount)], scratch[4][: len(amount)]
    for i in range(len(amount)):
        whole = _divided(amount[i], unit, inverse)
        part = amount[i] - whole * unit
        worth = whole * price + part * price_whole + _divided(part * price_part, unit, inverse)
        equity[i] += worth
        holdings[i] = max(worth, 0)
        debts[i] = max(-worth, 0)
        bits |= abs(amount[i])
        held |= holdings[i]
        owed |= debts[i]
    _add_requirement(holdings, held, lost, scratch, required)
    if owed != 0:
        _add_requirement(debts, owed, debt_margin, scratch, required)
    return bits


@_compiled
def _add_market(
    size: Int64Array, cost: Int64Array, mark: int, maintenance: Int64Array, equity: Int64Array, required: Int64Array,
    scratch: Int64Array,
) -> tuple[int, int]:  # fmt: skip
    """Add value - cost of positions to `equity`, maintenance margin to `required`; returns bits of |size|, |cost|."""
    sizes = costs = seen = 0
    notional = scratch[0][: len(size)]
    for i in range(len(size)):
        worth = size[i] * mark
        equity[i] += worth - cost[i]
        notional[i] = abs(worth)
        sizes |= abs(size[i])
        costs |= abs(cost[i])
        seen |= notional[i]
    _add_requirement(notional, seen, maintenance, scratch, required)
    return sizes, costs


@_compiled
def _flag(equity: Int64Array, required: Int64Array, flags: NDArray[np.bool_]) -> int:
    """flags = accounts to be liquidated (`liquidation.is_liquidatable`); returns how many."""
    count = 0
    for i in range(len(equity)):
        flagged = required[i] > 0 and equity[i] < required[i]
        flags[i] = flagged
        count += flagged
    return count


def plain_scan(
    quote: Sequence[int], assets: Sequence[AssetColumn], markets: Sequence[MarketColumn]
) -> list[tuple[int, int, bool]]:
    """(equity, required, liquidatable) of every account: what `scan` computes, slowly and obviously."""
    rows: list[tuple[int, int, bool]] = []
    for i, cash in enumerate(quote):
        equity, required = int(cash), 0
        for asset in assets:
            worth = value(int(asset.amount[i]), asset.price, asset.unit)
            equity += worth
            required += worth - counted(worth, asset.lost, asset.debt_margin)
        for market in markets:
            worth = int(market.size[i]) * market.mark
            equity += worth - int(market.cost[i])
            required += requirement(abs(worth), market.maintenance)
        rows.append((equity, required, 0 < required > equity))
    return rows
