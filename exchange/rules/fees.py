"""Trading fees: rounded up, so that the venue never pays for rounding; what is over goes to its account."""

from __future__ import annotations

from dataclasses import dataclass

from exchange.rules.errors import RuleInputError
from exchange.rules.rounding import PPM, ceil_div, floor_to


@dataclass(frozen=True, slots=True)
class TradeFees:
    """Quote atoms of one fill: what each side pays (a rebate is below 0) and what the venue keeps, their sum."""

    maker: int
    taker: int
    venue: int


def fee(notional: int, rate_ppm: int) -> int:
    """ceil(notional * rate): a fee is rounded up, a rebate (rate below 0) towards zero. Quote atoms.

    Source: dYdX v4, `GetFeeQuoteQuantums` (`BigMulPpm`, rounding up).
    """
    return ceil_div(notional * rate_ppm, PPM)


def telescoped(filled_before: int, fill: int, rate_ppm: int) -> int:
    """The fee of one fill of an order, such that all its fills together pay `fee` of the whole, however it was cut.

    Args:
        filled_before: notional of the order's earlier fills at the same rate.
        fill: notional of this one.
    """
    return fee(filled_before + fill, rate_ppm) - fee(filled_before, rate_ppm)


def check_rates(maker_ppm: int, taker_ppm: int) -> None:
    """Refuse rates with which the venue could pay out more than it takes.

    Raises:
        RuleInputError: a taker rate below 0, or a rebate above it. Otherwise both sides of a fill, each rounded up, add
            up to 0 or more.
    """
    if taker_ppm < 0 or maker_ppm + taker_ppm < 0:
        raise RuleInputError(f"maker {maker_ppm} ppm, taker {taker_ppm} ppm: expected taker >= 0 and rebate <= taker")


def trade_fees(notional: int, maker_ppm: int, taker_ppm: int) -> TradeFees:
    """Both sides' fees for a fill; the venue's part is their sum, rounding included, and is never negative."""
    maker, taker = fee(notional, maker_ppm), fee(notional, taker_ppm)
    return TradeFees(maker, taker, maker + taker)


def check_price_and_size(price: int, size: int, tick: int, lot: int) -> bool:
    """Whether an order's price and size are positive multiples of the market's tick and lot."""
    return price > 0 and size > 0 and floor_to(price, tick) == price and floor_to(size, lot) == size
