"""Sharding: a journal replayed in parts, by market, and valuations of parts of the accounts; both put together again.

Events name their market, so matching needs no other one: a shard holds the books and positions of its markets and
what those changed of everybody's money. Sums over shards are the ledger, whatever their number.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from exchange.errors import LedgerError
from exchange.events import (
    AccountOpened,
    Deposited,
    Event,
    Frame,
    FundSettled,
    FundTransferred,
    IsolatedOpened,
    LossShared,
    MarginMoved,
    ModeSet,
    PricesSet,
    QuotesTaken,
    SignSeen,
    Withdrawn,
)
from exchange.evolve import begin_frame, evolve
from exchange.scanning import total, view
from exchange.state import Ledger, client_key
from exchange.venue import Venue

EVERYWHERE: Final = (AccountOpened, IsolatedOpened, PricesSet, QuotesTaken, SignSeen, ModeSet)
"""Events that every shard applies."""
_OF_ACCOUNTS: Final = (Deposited, Withdrawn, FundTransferred, FundSettled, MarginMoved, LossShared)


class VersionMismatch(LedgerError):
    """Parts that were valued at different sequence numbers or prices: no statement about money, and never a loss."""


def shard_of(event: Event, count: int) -> int | None:
    """Which of `count` shards applies an event; None: all of them."""
    if isinstance(event, EVERYWHERE):
        return None
    return (event.account if isinstance(event, _OF_ACCOUNTS) else event.market) % count


def replayed(venue: Venue, frames: Iterable[Frame], count: int) -> list[Ledger]:
    """The shards after these frames, each from the events of its own markets alone."""
    shards = [Ledger(venue) for _ in range(count)]
    for frame in frames:
        for shard in shards:
            begin_frame(shard, frame.time_ms, client_key(frame.command_account, frame.client_id))
        for event in frame.events:
            number = shard_of(event, count)
            for shard in shards if number is None else (shards[number],):
                evolve(shard, event)
    return shards


def together(shards: Sequence[Ledger]) -> Ledger:
    """The whole ledger. What all shards hold alike comes from the first, which is changed and returned.

    Raises:
        VersionMismatch: shards at different sequence numbers.
    """
    first = shards[0]
    if len({shard.sequence for shard in shards}) != 1:
        raise VersionMismatch(f"shards at sequences {[shard.sequence for shard in shards]}: expected one")
    for shard in shards[1:]:
        for column, part in zip(first.columns(), shard.columns(), strict=True):
            column[:] = array("q", map(int.__add__, column, part))
        for asset in range(len(first.deposited)):
            first.deposited[asset] += shard.deposited[asset]
            first.withdrawn[asset] += shard.withdrawn[asset]
        first.next_order = max(first.next_order, shard.next_order)
        for account, closed in shard.risk.closed_of.items():
            first.risk.closed_of[account] = first.risk.closed_of.get(account, 0) + closed
    for market in range(len(first.marks)):
        first.open_interest[market] = sum(shard.open_interest[market] for shard in shards)
        owner = shards[market % len(shards)]
        first.scales[market] = owner.scales[market]
        first.risk.closed[market] = owner.risk.closed[market]
        first.risk.lost[market] = owner.risk.lost[market]
    for number, order in sorted((number, order) for shard in shards[1:] for number, order in shard.orders.items()):
        first.orders.pop(number, None)
        first.add_order(order)
    return first


class Valuation(NamedTuple):
    """What a range of accounts is worth, and at which prices.

    Attributes:
        sequence, marks, prices: of the ledger that it was made from.
        positions: value of all positions, quote atoms: 0 over all accounts.
        held: value of everything, quote atoms.
    """

    sequence: int
    prices: tuple[int, ...]
    marks: tuple[int, ...]
    positions: int
    held: int


def valued(ledger: Ledger, start: int, stop: int) -> Valuation:
    """Accounts `start` to `stop` (excluded)."""
    positions = 0
    held = sum(ledger.balance[0][start:stop])
    for asset in range(1, len(ledger.prices)):
        atoms = sum(ledger.balance[asset][start:stop])
        held += atoms * ledger.prices[asset] // ledger.tables.units[asset]
    for number in ledger.tables.perpetuals:
        positions += total(view(ledger.size[number])[start:stop]) * ledger.lot_values[number]
        held -= sum(ledger.cost[number][start:stop])
    return Valuation(ledger.sequence, tuple(ledger.prices), tuple(ledger.marks), positions, held + positions)


def summed(parts: Sequence[Valuation]) -> Valuation:
    """All parts together.

    Raises:
        VersionMismatch: not all of one sequence number and one vector of prices: said, not counted as a loss.
    """
    versions = {(part.sequence, part.prices, part.marks) for part in parts}
    if len(versions) != 1:
        raise VersionMismatch(f"{len(versions)} versions of sequence and prices: expected one")
    positions, held = sum(part.positions for part in parts), sum(part.held for part in parts)
    return parts[0]._replace(positions=positions, held=held)
