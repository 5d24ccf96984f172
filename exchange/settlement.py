"""The orderly end of a market: all its orders out, all its positions closed at one price that nobody chooses."""

from __future__ import annotations

from operator import attrgetter

from exchange.codes import Reject
from exchange.commands import Settle
from exchange.events import Closed, Event, OrderClosed, Settled
from exchange.oracle import price_refusal
from exchange.rules.breakers import mean_price
from exchange.rules.modes import Action, Trigger
from exchange.rules.oracle import Use
from exchange.state import Ledger
from exchange.watch import market_refusal


def decide_settle(ledger: Ledger, command: Settle) -> tuple[Event, ...] | Reject:
    """`venue.settlement_ms` after delisting, at the mean of the rolling window's marks."""
    number, now = command.market, command.time_ms
    refused = market_refusal(ledger, command.account, number, Action.SETTLE)
    if refused is not None:
        return refused
    price = mean_price(ledger.windows[number], now)
    if price is None or now - ledger.price_time_ms > ledger.venue.price_age_ms_max:
        return Reject.PRICE_STALE
    doubtful = price_refusal(ledger, number, Use.SETTLE, now)
    if doubtful is not None:
        return doubtful
    delisted_ms = ledger.signs[number, int(Trigger.DELISTED)]  # nothing else leads to a mode that lets markets settle
    if now < delisted_ms + ledger.venue.settlement_ms or not is_open(ledger, number):
        return Reject.NO_SETTLEMENT_DUE
    book = ledger.books[number]
    orders = sorted((*book.bids, *book.asks), key=attrgetter("id"))
    closed = (OrderClosed(order.id, order.account, number, order.rest, Closed.SETTLED) for order in orders)
    return (*closed, Settled(number, price))


def is_open(ledger: Ledger, number: int) -> bool:
    """Whether there is anything left to settle."""
    book = ledger.books[number]
    return ledger.open_interest[number] > 0 or bool(book.bids.keys or book.asks.keys)
