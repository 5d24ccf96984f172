"""What may be asked of the ledger. A command carries its time and its client's id; it decides nothing.

`time_ms`: milliseconds since 1970-01-01 UTC, never falling. `client_id`: 1 to 2^64 - 1, chosen by the client, unique
within the account; 0 means none, and then a repeat is a new command.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

CLIENT_ID_MAX: Final = (1 << 64) - 1
TIME_MS_END: Final = 1 << 48


class Side(IntEnum):
    """Direction of an order; the value is the sign of the position change."""

    BUY = 1
    SELL = -1


class Flag(IntEnum):
    """Properties of an order, added up. Without IMMEDIATE or FILL_OR_KILL the rest of an order goes to the book."""

    IMMEDIATE = 1
    """Immediate or cancel: what does not trade at once expires."""
    FILL_OR_KILL = 2
    """All of it at once, or refused."""
    POST_ONLY = 4
    """Refused if any of it would trade at once."""
    REDUCE_ONLY = 8
    """Never opens or grows a position (perpetual markets)."""
    CANCEL_RESTING = 16
    """Self-trade prevention: cancels the account's own resting order. Without it the rest of the new one expires."""


FLAGS_END: Final = 32


class OpenAccount(NamedTuple):
    """Opens an account for `user_id` (1 to 95 bytes of printable text); its number is in the event."""

    time_ms: int
    account: int
    client_id: int
    user_id: str


class Deposit(NamedTuple):
    """`amount` atoms of `asset` have arrived for `account`."""

    time_ms: int
    account: int
    client_id: int
    asset: int
    amount: int


class Withdraw(NamedTuple):
    """`amount` atoms of `asset` leave the venue."""

    time_ms: int
    account: int
    client_id: int
    asset: int
    amount: int


class FundTransfer(NamedTuple):
    """`amount` atoms of the quote asset go from `account` to the insurance fund."""

    time_ms: int
    account: int
    client_id: int
    amount: int


class PlaceOrder(NamedTuple):
    """An order of `lots` at `price` ticks or better; price 0 = market order: the worst price of the band, at once."""

    time_ms: int
    account: int
    client_id: int
    market: int
    side: int
    price: int
    lots: int
    flags: int


class CancelOrder(NamedTuple):
    """Takes the rest of `order` out of the book."""

    time_ms: int
    account: int
    client_id: int
    order: int


class SetPrices(NamedTuple):
    """New prices: quote atoms per whole unit of each asset (the quote asset's own first), mark in ticks per market."""

    time_ms: int
    account: int
    client_id: int
    assets: tuple[int, ...]
    marks: tuple[int, ...]


class Quoted(NamedTuple):
    """What one source says about one price.

    `symbol`: number of an asset (then `price` is quote atoms per whole unit), or number of assets + number of a
    perpetual market (then ticks, as it trades elsewhere). `confidence`: half width of the source's interval, in the
    same unit. Price 0: the source has none, and no vote.
    """

    source: int
    symbol: int
    price: int
    confidence: int
    time_ms: int


class SubmitQuotes(NamedTuple):
    """All sources' latest quotes, from which index, mark and their quality follow by rule.

    The sequencer has checked the signatures; `evidence` holds the signed documents that the numbers were read from.
    Nothing here looks into it: it is kept for snapshots and auditors.
    """

    time_ms: int
    account: int
    client_id: int
    quotes: tuple[Quoted, ...]
    evidence: bytes


class PayFunding(NamedTuple):
    """Longs of `market` pay `rate_ppm` of the position's value at mark to shorts (negative: shorts pay longs)."""

    time_ms: int
    account: int
    client_id: int
    market: int
    rate_ppm: int


class Liquidate(NamedTuple):
    """One step of liquidating `target`: its orders, then part of its largest position. Refused while it is healthy."""

    time_ms: int
    account: int
    client_id: int
    target: int


class Signal(NamedTuple):
    """Something outside saw `trigger` (`rules.modes`) in `market` (-1: the whole venue); `seen` 0 takes it back."""

    time_ms: int
    account: int
    client_id: int
    market: int
    trigger: int
    seen: int


class OpenIsolated(NamedTuple):
    """Opens an account of `account`'s own whose margin and losses are those of `market` alone."""

    time_ms: int
    account: int
    client_id: int
    market: int


class MoveMargin(NamedTuple):
    """`amount` quote atoms go from `account` into its isolated account `isolated`; below 0, back."""

    time_ms: int
    account: int
    client_id: int
    isolated: int
    amount: int


class Uncross(NamedTuple):
    """Ends the call auction of `market`: one price for all, or a longer call."""

    time_ms: int
    account: int
    client_id: int
    market: int


class Settle(NamedTuple):
    """Closes everything in a delisted `market` at the settlement price, which follows from its last marks."""

    time_ms: int
    account: int
    client_id: int
    market: int


Command: TypeAlias = (
    OpenAccount
    | Deposit
    | Withdraw
    | FundTransfer
    | PlaceOrder
    | CancelOrder
    | SetPrices
    | SubmitQuotes
    | PayFunding
    | Liquidate
    | Signal
    | OpenIsolated
    | MoveMargin
    | Uncross
    | Settle
)
