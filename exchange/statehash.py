"""The ledger's state as canonical bytes, their hash, and back. The same state gives the same bytes on every machine."""

from __future__ import annotations

import hashlib
import struct
import sys
from array import array
from dataclasses import replace
from typing import Final

from exchange.book import Order
from exchange.errors import JournalBroken
from exchange.state import VENUE_WIDE, Ledger, client_key
from exchange.venue import Venue

STATE_PERSON: Final = b"solvent/state"
_COUNTERS: Final = struct.Struct("<QqqQQQQ")
_ORDER: Final = struct.Struct("<qqHbqqqB")
_SIGN: Final = struct.Struct("<qBq")
_ANSWERED: Final = struct.Struct("<qQQ")


def state_bytes(ledger: Ledger) -> bytes:
    """Counters, sums, prices, modes, oracle, user ids, columns, open orders by number, remembered client ids by age."""
    parts = [
        ledger.venue.digest(),
        _COUNTERS.pack(
            ledger.sequence,
            ledger.time_ms,
            ledger.price_time_ms,
            ledger.next_order,
            len(ledger.user_ids),
            len(ledger.orders),
            len(ledger.answered_order),
        ),
    ]
    for numbers in (
        ledger.deposited,
        ledger.withdrawn,
        ledger.open_interest,
        ledger.prices,
        ledger.marks,
        ledger.scales,
    ):
        parts.append(struct.pack(f"<{len(numbers)}q", *numbers))
    parts.append(ledger.risk.to_bytes())
    parts.append(struct.pack(f"<{len(ledger.modes) + 1}B", *ledger.modes, ledger.venue_mode))
    for window in ledger.windows:
        parts.append(struct.pack(f"<q{2 * len(window.highs)}q", window.last_slot, *window.highs, *window.lows))
    parts.append(len(ledger.signs).to_bytes(2, "little"))
    for (market, trigger), time_ms in sorted(ledger.signs.items()):
        parts.append(_SIGN.pack(market, trigger, time_ms))
    parts.append(ledger.oracle.to_bytes())
    for user_id in ledger.user_ids:
        text = user_id.encode()
        parts.append(len(text).to_bytes(2, "little") + text)
    parts.extend(map(_column_bytes, ledger.columns()))
    for number in sorted(ledger.orders):
        order = ledger.orders[number]
        fields = (number, order.account, order.market, order.side, order.price, order.lots, order.rest, order.flags)
        parts.append(_ORDER.pack(*fields))
    for key in ledger.answered_order:
        parts.append(_ANSWERED.pack(*divmod(key, 1 << 64), ledger.answered[key]))
    return b"".join(parts)


def state_hash(ledger: Ledger) -> bytes:
    """32 bytes that stand for the whole state."""
    return hash_of_bytes(state_bytes(ledger))


def hash_of_bytes(state: bytes) -> bytes:
    """`state_hash` of the ledger that `state` was made from."""
    return hashlib.blake2b(state, digest_size=32, person=STATE_PERSON).digest()


def ledger_from_bytes(venue: Venue, state: bytes) -> Ledger:
    """The ledger that `state_bytes` was made from.

    Raises:
        JournalBroken: bytes of another venue, cut or too long.
    """
    try:
        return _read(venue, memoryview(state))
    except (struct.error, ValueError, IndexError, OverflowError) as error:
        raise JournalBroken(f"unreadable checkpoint: {error}") from None


def _read(venue: Venue, state: memoryview) -> Ledger:
    ledger = Ledger(venue)
    if bytes(state[:32]) != venue.digest():
        raise ValueError("it is of another venue")
    counters = _COUNTERS.unpack_from(state, 32)
    ledger.sequence, ledger.time_ms, ledger.price_time_ms, ledger.next_order, accounts, orders, answered = counters
    at = 32 + _COUNTERS.size
    for numbers in (
        ledger.deposited,
        ledger.withdrawn,
        ledger.open_interest,
        ledger.prices,
        ledger.marks,
        ledger.scales,
    ):
        layout = struct.Struct(f"<{len(numbers)}q")
        numbers[:] = layout.unpack_from(state, at)
        at += layout.size
    at = ledger.risk.read(state, at)
    ledger.set_prices(tuple(ledger.prices), tuple(ledger.marks), tuple(ledger.scales))
    at = ledger.oracle.read(state, _read_modes(ledger, state, at))
    for account in range(accounts):
        stop = at + 2 + int.from_bytes(state[at : at + 2], "little")
        user_id = bytes(state[at + 2 : stop]).decode()
        at = stop
        if account >= len(ledger.user_ids):
            ledger.add_account(user_id)
        elif ledger.user_ids[account] != user_id:
            raise ValueError(f"account {account} has another user id")
    for column in ledger.columns():
        _fill_column(column, state[at : at + 8 * accounts])
        at += 8 * accounts
    for _ in range(orders):
        id, account, market, side, price, lots, rest, flags = _ORDER.unpack_from(state, at)
        at += _ORDER.size
        order = Order(id, account, market, side, price, lots, flags)
        order.rest = rest
        ledger.add_order(order)
    for _ in range(answered):
        account, client_id, sequence = _ANSWERED.unpack_from(state, at)
        at += _ANSWERED.size
        key = client_key(account, client_id)
        ledger.answered[key] = sequence
        ledger.answered_order.append(key)
    if at != len(state):
        raise ValueError(f"{len(state)} bytes, expected {at}")
    return ledger


def _read_modes(ledger: Ledger, state: memoryview, at: int) -> int:
    layout = struct.Struct(f"<{len(ledger.modes) + 1}B")
    *modes, venue_mode = layout.unpack_from(state, at)
    at += layout.size
    for market, mode in enumerate((venue_mode, *modes), VENUE_WIDE):
        ledger.set_mode(market, mode)
    slots = ledger.venue.breaker_slots
    layout = struct.Struct(f"<q{2 * slots}q")
    for number, window in enumerate(ledger.windows):
        last, *prices = layout.unpack_from(state, at)
        at += layout.size
        ledger.windows[number] = replace(
            window, last_slot=last, highs=tuple(prices[:slots]), lows=tuple(prices[slots:])
        )
    count = int.from_bytes(state[at : at + 2], "little")
    at += 2
    for _ in range(count):
        market, trigger, time_ms = _SIGN.unpack_from(state, at)
        at += _SIGN.size
        ledger.signs[market, trigger] = time_ms
    return at


def _column_bytes(column: array[int]) -> bytes:
    if sys.byteorder == "big":
        column = array("q", column)
        column.byteswap()
    return column.tobytes()


def _fill_column(column: array[int], data: memoryview) -> None:
    fresh = array("q")
    fresh.frombytes(data)
    if sys.byteorder == "big":
        fresh.byteswap()
    column[:] = fresh
