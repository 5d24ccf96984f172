"""What happened, as facts: the journal holds these, and `evolve` applies them without a choice of its own.

An accepted command gives one frame: a header and its events. The bytes are the packed structs below, little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

from exchange.commands import Quoted
from exchange.errors import JournalBroken


class Closed(IntEnum):
    """Why an order, or the rest of it, is no longer in the book."""

    CANCELLED = 1
    SELF_TRADE = 2
    REDUCE_ONLY = 3
    IMMEDIATE = 4
    LIQUIDATED = 5
    SETTLED = 6


class AccountOpened(NamedTuple):
    """`user_id` now has account number `account`."""

    account: int
    user_id: str


class Deposited(NamedTuple):
    """`amount` atoms came in from outside."""

    account: int
    asset: int
    amount: int


class Withdrawn(NamedTuple):
    """`amount` atoms went out."""

    account: int
    asset: int
    amount: int


class FundTransferred(NamedTuple):
    """`amount` quote atoms went from `account` to the insurance fund."""

    account: int
    amount: int


class Traded(NamedTuple):
    """`lots` changed hands at `price` ticks; `side` is the taker's. Fees in quote atoms, negative = rebate."""

    market: int
    maker_order: int
    maker: int
    taker: int
    side: int
    price: int
    lots: int
    maker_fee: int
    taker_fee: int


class OrderOpened(NamedTuple):
    """An order entered the book with `lots`."""

    order: int
    account: int
    market: int
    side: int
    price: int
    lots: int
    flags: int


class OrderClosed(NamedTuple):
    """The rest of a resting order, `lots`, left the book untraded."""

    order: int
    account: int
    market: int
    lots: int
    reason: int


class OrderExpired(NamedTuple):
    """`lots` of an incoming order were neither traded nor put into the book."""

    account: int
    market: int
    lots: int
    reason: int


class PricesSet(NamedTuple):
    """Prices from here on; as in the command `SetPrices`."""

    assets: tuple[int, ...]
    marks: tuple[int, ...]


class QuotesTaken(NamedTuple):
    """Where the prices set just before come from.

    Attributes:
        quotes, evidence: as in the command `SubmitQuotes`.
        qualities: per asset, `rules.oracle.Quality`; a price that may not mark anything has stayed as it was.
        premiums: per market, ticks: the own book over the index now, what the average takes in.
        elsewhere: per market, ticks: the sources' price of the perpetual, 0 where there is none to rely on.
    """

    quotes: tuple[Quoted, ...]
    qualities: tuple[int, ...]
    premiums: tuple[int, ...]
    elsewhere: tuple[int, ...]
    evidence: bytes


class FundingPaid(NamedTuple):
    """Every position of `market` paid or received `rate_ppm` of its value at `mark`; the rounding went to the fund."""

    market: int
    rate_ppm: int
    mark: int


class FundReason(IntEnum):
    """Why money moved between an account and the insurance fund."""

    FEE = 1
    """What a liquidation fill brought above the bankruptcy price, up to the fee; below 0: what it brought less."""
    LOSS = 2
    """The fund fills an account up to nothing, before its position is taken over or when all is sold."""


class FundSettled(NamedTuple):
    """`amount` quote atoms went from `account` to the insurance fund; below 0, from the fund to the account."""

    account: int
    amount: int
    reason: int


class Deleveraged(NamedTuple):
    """Not in the book: `account` traded `lots` (signed) with `counterparty` for `cash` quote atoms (> 0: received)."""

    market: int
    account: int
    counterparty: int
    lots: int
    cash: int


class SignSeen(NamedTuple):
    """A trigger of `rules.modes` was seen now in `market` (-1: the whole venue), or, with `seen` 0, taken back."""

    market: int
    trigger: int
    seen: int


class ModeSet(NamedTuple):
    """`market` (-1: the whole venue) is in `mode` of `rules.modes` from here on."""

    market: int
    mode: int


class IsolatedOpened(NamedTuple):
    """`account` is from here on the isolated account of `parent` in `market`."""

    account: int
    parent: int
    market: int


class MarginMoved(NamedTuple):
    """`amount` quote atoms went from `account` to `receiver`: one of them is the other's isolated account."""

    account: int
    receiver: int
    amount: int


class LiquidationCounted(NamedTuple):
    """What a step of a liquidation took from the caps that hold until the next prices, in quote atoms."""

    market: int
    account: int
    notional: int
    fund_paid: int


class LossShared(NamedTuple):
    """`payer` gave up `amount` quote atoms of unrealised profit for what `account` owed and nobody else could pay."""

    account: int
    payer: int
    amount: int


class AuctionTraded(NamedTuple):
    """Two resting orders traded `lots` at `price` ticks, the auction's one price. Fees in quote atoms."""

    market: int
    buy_order: int
    sell_order: int
    buyer: int
    seller: int
    price: int
    lots: int
    buyer_fee: int
    seller_fee: int


class Settled(NamedTuple):
    """Every position of `market` was closed at `price` ticks."""

    market: int
    price: int


Event: TypeAlias = (
    AccountOpened
    | Deposited
    | Withdrawn
    | FundTransferred
    | Traded
    | OrderOpened
    | OrderClosed
    | OrderExpired
    | PricesSet
    | QuotesTaken
    | FundingPaid
    | FundSettled
    | Deleveraged
    | SignSeen
    | ModeSet
    | IsolatedOpened
    | MarginMoved
    | LiquidationCounted
    | LossShared
    | AuctionTraded
    | Settled
)


class Frame(NamedTuple):
    """One accepted command as the journal has it; `command_account` and `client_id` make repeats recognisable."""

    time_ms: int
    command_account: int
    client_id: int
    events: tuple[Event, ...]


FRAME: Final = struct.Struct("<IqqQ")
_USER_ID: Final = struct.Struct("<BqH")
_PRICES: Final = struct.Struct("<BHH")
_QUOTES: Final = struct.Struct("<BHHHI")
_QUOTED: Final = struct.Struct("<HHqqq")
ACCOUNT_OPENED: Final = 1
PRICES_SET: Final = 2
QUOTES_TAKEN: Final = 15

_LAYOUTS: Final[tuple[tuple[int, Callable[..., Event], str], ...]] = (
    (3, Deposited, "qHq"),
    (4, Withdrawn, "qHq"),
    (5, FundTransferred, "qq"),
    (6, Traded, "Hqqqbqqqq"),
    (7, OrderOpened, "qqHbqqB"),
    (8, OrderClosed, "qqHqB"),
    (9, OrderExpired, "qHqB"),
    (10, FundingPaid, "Hqq"),
    (11, FundSettled, "qqB"),
    (12, Deleveraged, "Hqqqq"),
    (13, SignSeen, "qBB"),
    (14, ModeSet, "qB"),
    (16, IsolatedOpened, "qqH"),
    (17, MarginMoved, "qqq"),
    (18, LiquidationCounted, "Hqqq"),
    (19, LossShared, "qqq"),
    (20, AuctionTraded, "Hqqqqqqqq"),
    (21, Settled, "Hq"),
)
PACKERS: Final[dict[object, tuple[Callable[..., bytes], int]]] = {
    event: (struct.Struct("<B" + layout).pack, kind) for kind, event, layout in _LAYOUTS
}
"""Per event type: what packs (kind, *fields), and the kind."""


def packer_alone(event: object) -> tuple[Callable[..., bytes], int]:
    """What packs a frame of one such event in one go, (1, *header, kind, *fields), and the kind."""
    kind, layout = next((kind, layout) for kind, of, layout in _LAYOUTS if of is event)
    return struct.Struct(FRAME.format + "B" + layout).pack, kind


_UNPACKERS: Final = {kind: (event, struct.Struct("<B" + layout)) for kind, event, layout in _LAYOUTS}


def _pack_account_opened(kind: int, account: int, user_id: str) -> bytes:
    text = user_id.encode()
    return _USER_ID.pack(kind, account, len(text)) + text


def _pack_prices_set(kind: int, assets: tuple[int, ...], marks: tuple[int, ...]) -> bytes:
    counts = (len(assets), len(marks))
    return _PRICES.pack(kind, *counts) + struct.pack(f"<{sum(counts)}q", *assets, *marks)


def _pack_quotes_taken(
    kind: int,
    quotes: tuple[Quoted, ...],
    qualities: tuple[int, ...],
    premiums: tuple[int, ...],
    elsewhere: tuple[int, ...],
    evidence: bytes,
) -> bytes:
    head = _QUOTES.pack(kind, len(quotes), len(qualities), len(premiums), len(evidence))
    rows = b"".join(_QUOTED.pack(*quote) for quote in quotes)
    marks = struct.pack(f"<{2 * len(premiums)}q", *premiums, *elsewhere)
    return b"".join((head, rows, bytes(qualities), marks, evidence))


PACKERS[AccountOpened] = (_pack_account_opened, ACCOUNT_OPENED)
PACKERS[PricesSet] = (_pack_prices_set, PRICES_SET)
PACKERS[QuotesTaken] = (_pack_quotes_taken, QUOTES_TAKEN)


def pack_event(event: Event) -> bytes:
    """Bytes of one event."""
    pack, kind = PACKERS[type(event)]
    return pack(kind, *event)


def pack_frame(frame: Frame) -> bytes:
    """Bytes of one frame."""
    header = FRAME.pack(len(frame.events), frame.time_ms, frame.command_account, frame.client_id)
    return header + b"".join(map(pack_event, frame.events))


def unpack_frames(payload: bytes) -> Iterator[Frame]:
    """The frames of a block, in order.

    Raises:
        JournalBroken: anything but whole frames of known events.
    """
    at = 0
    try:
        while at < len(payload):
            count, time_ms, account, client_id = FRAME.unpack_from(payload, at)
            at += FRAME.size
            events: list[Event] = []
            for _ in range(count):
                event, at = _unpack_event(payload, at)
                events.append(event)
            yield Frame(time_ms, account, client_id, tuple(events))
    except (struct.error, KeyError, UnicodeDecodeError, IndexError) as error:
        raise JournalBroken(f"unreadable frame near byte {at}: {error}") from None


def _unpack_event(payload: bytes, at: int) -> tuple[Event, int]:
    kind = payload[at]
    if kind == ACCOUNT_OPENED:
        _, account, length = _USER_ID.unpack_from(payload, at)
        at += _USER_ID.size + length
        if at > len(payload):
            raise IndexError("user id is cut")
        return AccountOpened(account, payload[at - length : at].decode()), at
    if kind == PRICES_SET:
        _, assets, marks = _PRICES.unpack_from(payload, at)
        at += _PRICES.size
        values = struct.unpack_from(f"<{assets + marks}q", payload, at)
        return PricesSet(values[:assets], values[assets:]), at + 8 * (assets + marks)
    if kind == QUOTES_TAKEN:
        return _unpack_quotes_taken(payload, at)
    make, layout = _UNPACKERS[kind]
    return make(*layout.unpack_from(payload, at)[1:]), at + layout.size


def _unpack_quotes_taken(payload: bytes, at: int) -> tuple[Event, int]:
    _, quotes, assets, markets, length = _QUOTES.unpack_from(payload, at)
    at += _QUOTES.size
    end = at + quotes * _QUOTED.size
    rows = tuple(map(Quoted._make, _QUOTED.iter_unpack(payload[at:end])))
    marks = struct.unpack_from(f"<{2 * markets}q", payload, end + assets)
    at = end + assets + 16 * markets + length
    if at > len(payload):
        raise IndexError("quotes are cut")
    qualities = tuple(payload[end : end + assets])
    return QuotesTaken(rows, qualities, marks[:markets], marks[markets:], payload[at - length : at]), at
