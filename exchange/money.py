"""Decides on money that moves: in, out, to the fund, and between an account and its isolated ones."""

from __future__ import annotations

from typing import Final

from exchange.codes import Reject
from exchange.commands import Deposit, FundTransfer, MoveMargin, OpenIsolated, Withdraw
from exchange.events import Deposited, Event, FundTransferred, IsolatedOpened, MarginMoved, Withdrawn
from exchange.oracle import leaving_refusal
from exchange.risk import left_after_leaving
from exchange.rules.modes import Action
from exchange.state import FIRST_USER, FUND, QUOTE, VENUE_WIDE, Ledger
from exchange.venue import PERPETUAL
from exchange.watch import permission

AMOUNT_END: Final = 1 << 62


def decide_deposit(ledger: Ledger, command: Deposit) -> tuple[Event, ...] | Reject:
    """Any account but an isolated one, the fund included."""
    _, account, _, asset, amount = command
    refused = _refusal(ledger, account, asset, amount)
    if refused is not None:
        return refused
    if not permission(ledger, VENUE_WIDE, Action.DEPOSIT):
        return Reject.MODE_FORBIDS
    if ledger.deposited[asset] - ledger.withdrawn[asset] + amount > ledger.venue.supply_max:
        return Reject.SUPPLY_TOO_LARGE
    return (Deposited(account, asset, amount),)


def decide_withdraw(ledger: Ledger, command: Withdraw) -> tuple[Event, ...] | Reject:
    """What is settled, free of locks and not needed as margin: unrealised profit never leaves."""
    time_ms, account, _, asset, amount = command
    refused = _refusal(ledger, account, asset, amount) or _leaving(
        ledger, account, asset, amount, Action.WITHDRAW, time_ms
    )
    return refused or (Withdrawn(account, asset, amount),)


def decide_fund_transfer(ledger: Ledger, command: FundTransfer) -> tuple[Event, ...] | Reject:
    """By the rule of withdrawals."""
    time_ms, account, _, amount = command
    refused = _refusal(ledger, account, QUOTE, amount) or _leaving(
        ledger, account, QUOTE, amount, Action.TRANSFER, time_ms
    )
    return refused or (FundTransferred(account, amount),)


def decide_open_isolated(ledger: Ledger, command: OpenIsolated) -> tuple[Event, ...] | Reject:
    """One per account and perpetual market."""
    _, account, _, number = command
    if not FIRST_USER <= account < len(ledger.user_ids):
        return Reject.ACCOUNT_RESERVED if 0 <= account < FIRST_USER else Reject.ACCOUNT_UNKNOWN
    if not 0 <= number < len(ledger.marks):
        return Reject.MARKET_UNKNOWN
    if ledger.venue.markets[number].kind != PERPETUAL:
        return Reject.MARKET_KIND
    if account in ledger.risk.isolated:
        return Reject.ACCOUNT_ISOLATED
    if (account, number) in ledger.risk.isolated_of:
        return Reject.ISOLATED_EXISTS
    if not permission(ledger, number, Action.OPEN_ACCOUNT):
        return Reject.MODE_FORBIDS
    return (IsolatedOpened(len(ledger.user_ids), account, number),)


def decide_move_margin(ledger: Ledger, command: MoveMargin) -> tuple[Event, ...] | Reject:
    """Whoever gives it must be able to withdraw it; so an isolated account's profit comes back when it is settled."""
    time_ms, account, _, isolated, signed = command
    amount = abs(signed)
    if amount < 1:
        return Reject.AMOUNT_NOT_POSITIVE
    if amount >= AMOUNT_END:
        return Reject.AMOUNT_TOO_LARGE
    if not 0 <= account < len(ledger.user_ids) or isolated not in ledger.risk.isolated:
        return Reject.ACCOUNT_UNKNOWN
    parent, number = ledger.risk.isolated[isolated]
    if parent != account:
        return Reject.ISOLATED_NOT_OWN
    if not permission(ledger, number, Action.TRANSFER):
        return Reject.MODE_FORBIDS
    giver, receiver = (account, isolated) if signed > 0 else (isolated, account)
    refused = _leaving(ledger, giver, QUOTE, amount, Action.TRANSFER, time_ms)
    return refused or (MarginMoved(giver, receiver, amount),)


def _refusal(ledger: Ledger, account: int, asset: int, amount: int) -> Reject | None:
    if amount < 1:
        return Reject.AMOUNT_NOT_POSITIVE
    if amount >= AMOUNT_END:
        return Reject.AMOUNT_TOO_LARGE
    if not 0 <= account < len(ledger.user_ids):
        return Reject.ACCOUNT_UNKNOWN
    if not 0 <= asset < len(ledger.venue.assets):
        return Reject.ASSET_UNKNOWN
    return Reject.ACCOUNT_ISOLATED if account in ledger.risk.isolated else None


def _leaving(ledger: Ledger, account: int, asset: int, amount: int, action: Action, time_ms: int) -> Reject | None:
    if account == FUND:
        return Reject.ACCOUNT_RESERVED
    if not permission(ledger, VENUE_WIDE, action):
        return Reject.MODE_FORBIDS
    doubtful = leaving_refusal(ledger, account, time_ms)
    if doubtful is not None:
        return doubtful
    if amount > ledger.balance[asset][account] - ledger.locked[asset][account]:
        return Reject.BALANCE_TOO_LOW
    left = left_after_leaving(ledger, account, asset, amount)
    return Reject.MARGIN_TOO_LOW if left < 0 else None
