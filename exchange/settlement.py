"""The orderly end of a market: all its orders out, all its positions closed at one price that nobody chooses."""

from __future__ import annotations

from exchange.codes import Reject
from exchange.commands import Settle
from exchange.events import Closed, Event, OrderClosed, Settled
from exchange.oracle import price_refusal
from exchange.rules.breakers import mean_price
from exchange.rules.modes import Action, Trigger
from exchange.rules.oracle import Use
from exchange.state import FUND, Ledger
from exchange.watch import permission


def decide_settle(ledger: Ledger, command: Settle) -> tuple[Event, ...] | Reject:
    """`venue.settlement_ms` after delisting, at the mean of the rolling window's marks."""
    number, now = command.market, command.time_ms
    if command.account != FUND:
        return Reject.ACCOUNT_RESERVED
    if not 0 <= number < len(ledger.marks):
        return Reject.MARKET_UNKNOWN
    if not permission(ledger, number, Action.SETTLE):
        return Reject.MODE_FORBIDS
    doubtful = price_refusal(ledger, number, Use.SETTLE, now)
    price = mean_price(ledger.windows[number], now)
    if price is None or now - ledger.price_time_ms > ledger.venue.price_age_ms_max:
        return Reject.PRICE_STALE
    if doubtful is not None:
        return doubtful
    delisted = ledger.signs.get((number, int(Trigger.DELISTED)))
    if delisted is None or now < delisted + ledger.venue.settlement_ms or not is_open(ledger, number):
        return Reject.NO_SETTLEMENT_DUE
    orders = sorted(order.id for side in (ledger.books[number].bids, ledger.books[number].asks) for order in side)
    closed = [ledger.orders[id] for id in orders]
    events: list[Event] = [OrderClosed(one.id, one.account, number, one.rest, Closed.SETTLED) for one in closed]
    return (*events, Settled(number, price))


def is_open(ledger: Ledger, number: int) -> bool:
    """Whether there is anything left to settle."""
    book = ledger.books[number]
    return ledger.open_interest[number] > 0 or bool(book.bids.keys or book.asks.keys)
