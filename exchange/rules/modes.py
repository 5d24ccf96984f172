"""Modes of operation: what may still be done when something is wrong. All of it is data, and a test reads it back.

A mode belongs to a market, an asset or the venue; the strictest applies. Modes are entered and left by rule.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum


class Mode(IntEnum):
    """From everything allowed to orderly end. Each allows at most what the one before does, but for the forced closings
    (DELEVERAGE, SETTLE) of the last."""

    NORMAL = 0
    POST_ONLY = 1
    """Orders that open risk must not trade on arrival: the book refills before it trades. Who reduces may take."""
    REDUCE_ONLY = 2
    """Positions may shrink, not grow."""
    CANCEL_ONLY = 3
    """Nothing trades; orders may be taken out, money still leaves."""
    WITHDRAW_GATED = 4
    """As before, and withdrawals wait: the books are being checked."""
    SETTLEMENT = 5
    """Positions are closed at the settlement price. Then the market is gone; money leaves as the venue's mode says."""


class Action(IntEnum):
    """What commands amount to."""

    TAKE = 0
    """An order that may trade on arrival: limit, market, IOC, FOK."""
    POST = 1
    """An order that only rests: post-only."""
    REDUCE = 2
    """A reduce-only order that may trade on arrival."""
    CANCEL = 3
    DEPOSIT = 4
    WITHDRAW = 5
    TRANSFER = 6
    """Between accounts or into isolated margin."""
    LIQUIDATE = 7
    DELEVERAGE = 8
    FUNDING = 9
    PRICE = 10
    """New oracle or mark prices."""
    SETTLE = 11
    """Close positions at the settlement price."""
    OPEN_ACCOUNT = 12
    AUCTION = 13
    """Uncross the orders of a call auction."""
    LIST = 14
    """New assets or markets, changed parameters."""


class Permission(IntEnum):
    """An entry of the matrix."""

    NO = 0
    REDUCING = 1
    """Only if no position grows by it, whatever trades."""
    YES = 2


_N, _R, _Y = Permission.NO, Permission.REDUCING, Permission.YES
MATRIX: tuple[tuple[Permission, ...], ...] = (
    # TAKE POST REDUCE CANCEL DEPOSIT WITHDRAW TRANSFER LIQUIDATE DELEVERAGE FUNDING PRICE SETTLE OPEN AUCTION LIST
    (_Y, _Y, _Y, _Y, _Y, _Y, _Y, _Y, _Y, _Y, _Y, _N, _Y, _Y, _Y),  # NORMAL
    (_R, _Y, _Y, _Y, _Y, _Y, _Y, _Y, _Y, _Y, _Y, _N, _Y, _Y, _Y),  # POST_ONLY
    (_R, _R, _Y, _Y, _Y, _Y, _Y, _Y, _Y, _Y, _Y, _N, _Y, _Y, _N),  # REDUCE_ONLY
    (_N, _N, _N, _Y, _Y, _Y, _N, _N, _N, _N, _Y, _N, _N, _N, _N),  # CANCEL_ONLY
    (_N, _N, _N, _Y, _Y, _N, _N, _N, _N, _N, _Y, _N, _N, _N, _N),  # WITHDRAW_GATED
    (_N, _N, _N, _Y, _N, _N, _N, _N, _Y, _N, _Y, _Y, _N, _N, _N),  # SETTLEMENT
)
"""MATRIX[mode][action]. While nothing trades (cancel-only) nobody is liquidated: they could not defend themselves.
A halt ends in a call for an auction: the market is in post-only, collects orders, and one price for all opens it.
Source: modes of Drift (market status), dYdX v4 (clob pair status), CME (pre-open), Hyperliquid (post-only start)."""


def allowed(mode: Mode, action: Action) -> Permission:
    """What a mode says about an action."""
    return MATRIX[mode][action]


def strictest(modes: Iterable[Mode]) -> Mode:
    """The mode that applies where several do: their join in the lattice, NORMAL for none."""
    return max(modes, default=Mode.NORMAL)


class Trigger(IntEnum):
    """What the venue notices by itself."""

    ORACLE_UNCERTAIN = 0
    ORACLE_DIVERGENT = 1
    ORACLE_STALE = 2
    BAND_BREACH = 3
    WINDOW_BREACH = 4
    VENUE_BREACH = 5
    FUND_LOW = 6
    DELEVERAGED = 7
    RESTARTED = 8
    AUDIT_MISMATCH = 9
    REPLICA_DIVERGED = 10
    DELISTED = 11
    REOPENING = 12
    """A halt has ended: orders are collected, and one price for all reopens the market."""


class Scope(IntEnum):
    """Where a mode applies."""

    MARKET = 0
    VENUE = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """What a trigger does: the mode, where, and when it ends after the trigger's last sign (None: never by time)."""

    mode: Mode
    scope: Scope
    quiet_ms: int | None


MINUTE_MS = 60_000
TRIGGERS: dict[Trigger, Entry] = {
    Trigger.ORACLE_UNCERTAIN: Entry(Mode.REDUCE_ONLY, Scope.MARKET, 1 * MINUTE_MS),
    Trigger.ORACLE_DIVERGENT: Entry(Mode.REDUCE_ONLY, Scope.MARKET, 5 * MINUTE_MS),
    Trigger.ORACLE_STALE: Entry(Mode.REDUCE_ONLY, Scope.MARKET, 1 * MINUTE_MS),
    Trigger.BAND_BREACH: Entry(Mode.POST_ONLY, Scope.MARKET, 1 * MINUTE_MS),
    Trigger.WINDOW_BREACH: Entry(Mode.CANCEL_ONLY, Scope.MARKET, 2 * MINUTE_MS),
    Trigger.VENUE_BREACH: Entry(Mode.CANCEL_ONLY, Scope.VENUE, 5 * MINUTE_MS),
    Trigger.FUND_LOW: Entry(Mode.REDUCE_ONLY, Scope.VENUE, 10 * MINUTE_MS),
    Trigger.DELEVERAGED: Entry(Mode.REDUCE_ONLY, Scope.MARKET, 5 * MINUTE_MS),
    Trigger.RESTARTED: Entry(Mode.POST_ONLY, Scope.VENUE, 1 * MINUTE_MS),
    Trigger.AUDIT_MISMATCH: Entry(Mode.WITHDRAW_GATED, Scope.VENUE, None),
    Trigger.REPLICA_DIVERGED: Entry(Mode.WITHDRAW_GATED, Scope.VENUE, None),
    Trigger.DELISTED: Entry(Mode.SETTLEMENT, Scope.MARKET, None),
    Trigger.REOPENING: Entry(Mode.POST_ONLY, Scope.MARKET, None),
}
"""Automatic entries and exits. An audit that does not add up never ends by time: only by an audit that does;
a reopening ends by its auction."""


def mode_of(signs: Iterable[tuple[Trigger, int]], now_ms: int, scope: Scope) -> Mode:
    """The mode of a market or the venue from (trigger, time of its last sign in ms), at a time.

    Leaves one step at a time by itself: as each trigger goes quiet, the next strictest applies.
    """
    return strictest(
        entry.mode
        for trigger, time_ms in signs
        if (entry := TRIGGERS[trigger]).scope == scope and (entry.quiet_ms is None or now_ms < time_ms + entry.quiet_ms)
    )
