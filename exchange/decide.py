"""Decides: a command and the state give events or one reason to refuse. Nothing here changes the state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from exchange.codes import Reject
from exchange.commands import (
    CLIENT_ID_MAX,
    CancelOrder,
    Command,
    Deposit,
    FundTransfer,
    Liquidate,
    MoveMargin,
    OpenAccount,
    OpenIsolated,
    PayFunding,
    PlaceOrder,
    SetPrices,
    Settle,
    Signal,
    SubmitQuotes,
    Uncross,
    Withdraw,
)
from exchange.events import AccountOpened, Event, FundingPaid, PricesSet
from exchange.liquidate import decide_liquidate
from exchange.money import (
    AMOUNT_END,
    decide_deposit,
    decide_fund_transfer,
    decide_move_margin,
    decide_open_isolated,
    decide_withdraw,
)
from exchange.oracle import decide_quotes, price_refusal
from exchange.orders import decide_cancel, decide_place
from exchange.reopening import decide_uncross
from exchange.rules.modes import TRIGGERS, Action, Scope, Trigger
from exchange.rules.oracle import Use
from exchange.settlement import decide_settle
from exchange.state import FUND, ISOLATED_MARK, QUOTE, VENUE_WIDE, Ledger
from exchange.venue import PERPETUAL
from exchange.watch import permission, sign_events, signs_of_prices

Decision: TypeAlias = tuple[Event, ...] | Reject
USER_ID_BYTES_MAX: Final = 95
"""With a market's symbol behind it, as an isolated account's, an id has at most 128."""
TIME_MS_END: Final = 1 << 48
SIGNALS: Final = frozenset(map(int, Trigger)) - {int(Trigger.REOPENING)}
"""What may be said from outside. A market reopens by rule only."""
FUNDING_RATE_PPM_MAX: Final = 40_000
"""4 % per payment: dearer funding is an error of the source, or a way to drain accounts (Hyperliquid: 4 % an hour)."""


def decide(ledger: Ledger, command: Command) -> Decision:
    """Events of an accepted command, or the first reason against it."""
    time_ms = command[0]
    if not (0 <= time_ms < TIME_MS_END and 0 <= command[2] <= CLIENT_ID_MAX):
        return Reject.HEADER_OUT_OF_RANGE
    decision = DECIDERS[type(command)](ledger, command)
    # A reason with a lower number would have come first; the later ones have been looked for in vain or not at all.
    if time_ms < ledger.time_ms and (type(decision) is not Reject or decision > Reject.TIME_GOES_BACK):
        return Reject.TIME_GOES_BACK
    return decision


def _open_account(ledger: Ledger, command: OpenAccount) -> Decision:
    text = command.user_id
    plain = text.isprintable() and text == text.strip() and ISOLATED_MARK not in text
    if not plain or not 1 <= len(text.encode()) <= USER_ID_BYTES_MAX:
        return Reject.USER_ID_INVALID
    if command.account != FUND:
        return Reject.ACCOUNT_RESERVED
    if text in ledger.account_of:
        return Reject.USER_ID_TAKEN
    if not permission(ledger, VENUE_WIDE, Action.OPEN_ACCOUNT):
        return Reject.MODE_FORBIDS
    return (AccountOpened(len(ledger.user_ids), text),)


def _set_prices(ledger: Ledger, command: SetPrices) -> Decision:
    assets, marks = tuple(command.assets), tuple(command.marks)
    markets = ledger.venue.markets
    if len(assets) != len(ledger.prices) or len(marks) != len(markets) or min((*assets, *marks)) < 1:
        return Reject.PRICES_INCOMPLETE
    if assets[QUOTE] != ledger.tables.units[QUOTE] or max(assets) >= AMOUNT_END:
        return Reject.PRICE_OUT_OF_RANGE
    if any(mark > market.price_max for mark, market in zip(marks, markets, strict=True)):
        return Reject.PRICE_OUT_OF_RANGE
    if command.account != FUND:
        return Reject.ACCOUNT_RESERVED
    if ledger.venue.oracle.sources:
        return Reject.QUOTES_REQUIRED
    signs = signs_of_prices(ledger, assets, marks, command.time_ms)
    return (PricesSet(assets, marks), *sign_events(ledger, signs, command.time_ms))


def _signal(ledger: Ledger, command: Signal) -> Decision:
    if command.trigger not in SIGNALS or command.seen not in (0, 1):
        return Reject.TRIGGER_UNKNOWN
    if command.account != FUND:
        return Reject.ACCOUNT_RESERVED
    markets = len(ledger.venue.markets) if TRIGGERS[Trigger(command.trigger)].scope is Scope.MARKET else 0
    if not (0 <= command.market < markets or (command.market == VENUE_WIDE and not markets)):
        return Reject.MARKET_UNKNOWN
    sign = [(command.market, command.trigger)]
    seen, gone = (sign, []) if command.seen else ([], sign)
    return tuple(sign_events(ledger, seen, command.time_ms, gone))


def _pay_funding(ledger: Ledger, command: PayFunding) -> Decision:
    if abs(command.rate_ppm) > FUNDING_RATE_PPM_MAX:
        return Reject.FUNDING_RATE_TOO_LARGE
    if command.account != FUND:
        return Reject.ACCOUNT_RESERVED
    if not 0 <= command.market < len(ledger.venue.markets):
        return Reject.MARKET_UNKNOWN
    if ledger.venue.markets[command.market].kind != PERPETUAL:
        return Reject.MARKET_KIND
    if not ledger.marks[command.market]:
        return Reject.PRICE_MISSING
    if not permission(ledger, command.market, Action.FUNDING):
        return Reject.MODE_FORBIDS
    doubtful = price_refusal(ledger, command.market, Use.FUNDING, command.time_ms)
    if doubtful is not None:
        return doubtful
    return (FundingPaid(command.market, command.rate_ppm, ledger.marks[command.market]),)


DECIDERS: Final[dict[object, Callable[[Ledger, Any], Decision]]] = {
    OpenAccount: _open_account,
    OpenIsolated: decide_open_isolated,
    Deposit: decide_deposit,
    Withdraw: decide_withdraw,
    FundTransfer: decide_fund_transfer,
    MoveMargin: decide_move_margin,
    PlaceOrder: decide_place,
    CancelOrder: decide_cancel,
    SetPrices: _set_prices,
    SubmitQuotes: decide_quotes,
    PayFunding: _pay_funding,
    Liquidate: decide_liquidate,
    Signal: _signal,
    Uncross: decide_uncross,
    Settle: decide_settle,
}
"""Per command type, what decides on it."""
