"""Decides on orders: which trades they lead to, what goes into the book, or why they are refused."""

from __future__ import annotations

from typing import Final

from exchange.codes import Reject
from exchange.commands import FLAGS_END, CancelOrder, Flag, PlaceOrder
from exchange.events import Closed, Event, OrderClosed, OrderExpired, OrderOpened
from exchange.locks import spot_lock
from exchange.matching import Match, match
from exchange.reopening import crosses_own
from exchange.risk import account_risk, asset_collateral, exposure, initial_excess, initial_requirement
from exchange.rules.margin import Change, Risk, may_change
from exchange.rules.modes import Action, Permission
from exchange.rules.tiers import requirement
from exchange.state import FIRST_USER, QUOTE, Ledger
from exchange.venue import PERPETUAL
from exchange.watch import is_calling, permission

_new = tuple.__new__
# Plain ints: looking a member up costs more than the check it is for.
FILL_OR_KILL: Final = int(Flag.FILL_OR_KILL)
POST_ONLY: Final = int(Flag.POST_ONLY)
REDUCE_ONLY: Final = int(Flag.REDUCE_ONLY)
_AT_ONCE: Final = int(Flag.IMMEDIATE) | FILL_OR_KILL
_EXCLUSIVE: Final = (int(Flag.IMMEDIATE), FILL_OR_KILL, POST_ONLY)


def decide_place(ledger: Ledger, command: PlaceOrder) -> tuple[Event, ...] | Reject:
    """Checks in the order of the codes; matching happens before the checks that need its outcome."""
    refused = _early_refusal(ledger, command)
    if refused is not None:
        return refused
    _, account, _, number, side, price, lots, flags = command
    low, high = ledger.bands[number]
    limit, worst = price, high if side > 0 else low
    if price == 0:
        limit = worst
    elif (price - worst) * side > 0:
        return Reject.PRICE_OUTSIDE_BAND
    if flags & REDUCE_ONLY:
        lots = min(lots, -side * ledger.size[number][account])
        if lots <= 0:
            return Reject.REDUCE_ONLY_WOULD_INCREASE
    calling = is_calling(ledger, number)
    if calling and crosses_own(ledger, command):
        return Reject.WOULD_CROSS_OWN
    found = Match(lots) if calling else match(ledger, number, account, side, limit, lots, flags)
    if flags & POST_ONLY and found.rest < lots:
        return Reject.POST_ONLY_WOULD_TAKE
    if flags & FILL_OR_KILL and found.rest:
        return Reject.FILL_OR_KILL_UNFILLED
    resting = 0 if found.self_trade or price == 0 or flags & _AT_ONCE else found.rest
    if resting and ledger.open_orders[account] >= ledger.venue.open_orders_max:
        return Reject.ORDERS_TOO_MANY
    perpetual = ledger.venue.markets[number].kind == PERPETUAL
    refused = (_perpetual_refusal if perpetual else _spot_refusal)(ledger, command, lots, found, resting)
    if refused is not None:
        return refused
    if resting:
        opened = _new(OrderOpened, (ledger.next_order, account, number, side, price, resting, flags))
        return (*found.events, opened) if found.events else (opened,)
    if found.rest:
        reason = Closed.SELF_TRADE if found.self_trade else Closed.IMMEDIATE
        return (*found.events, OrderExpired(account, number, found.rest, reason))
    return tuple(found.events)


def _early_refusal(ledger: Ledger, command: PlaceOrder) -> Reject | None:
    _, account, _, number, side, price, lots, flags = command
    if price < 0:
        return Reject.PRICE_OUT_OF_RANGE
    if lots < 1:
        return Reject.LOTS_OUT_OF_RANGE
    if (side != 1 and side != -1) or (flags and _contradict(flags, price)):
        return Reject.FLAGS_CONTRADICT
    if not FIRST_USER <= account < len(ledger.user_ids):
        return Reject.ACCOUNT_RESERVED if 0 <= account < FIRST_USER else Reject.ACCOUNT_UNKNOWN
    if not 0 <= number < len(ledger.marks):
        return Reject.MARKET_UNKNOWN
    if account in ledger.risk.isolated and ledger.risk.isolated[account][1] != number:
        return Reject.MARKET_ISOLATED
    market = ledger.venue.markets[number]
    if flags & REDUCE_ONLY and market.kind != PERPETUAL:
        return Reject.MARKET_KIND
    if not ledger.marks[number]:
        return Reject.PRICE_MISSING
    if ledger.effective_modes[number] and not _mode_allows(ledger, command):
        return Reject.MODE_FORBIDS
    if price > market.price_max or lots > market.order_lots_max:
        return Reject.ORDER_TOO_LARGE
    return None


def _mode_allows(ledger: Ledger, command: PlaceOrder) -> bool:
    _, account, _, number, side, price, lots, flags = command
    calling = is_calling(ledger, number)
    if calling and (price == 0 or flags & _AT_ONCE):
        return False
    only_rests = calling or flags & POST_ONLY  # in a call nothing trades on arrival
    action = Action.REDUCE if flags & REDUCE_ONLY else Action.POST if only_rests else Action.TAKE
    permitted = permission(ledger, number, action)
    if permitted is not Permission.REDUCING:
        return permitted is Permission.YES
    promised = ledger.buys[number] if side > 0 else ledger.sells[number]
    return ledger.venue.markets[number].kind == PERPETUAL and _within(ledger, command, lots + promised[account])


def _within(ledger: Ledger, command: PlaceOrder, lots: int) -> bool:
    """Whether `lots` in the command's direction are at most the position that they would close."""
    return -command.side * ledger.size[command.market][command.account] >= lots


def decide_cancel(ledger: Ledger, command: CancelOrder) -> tuple[Event, ...] | Reject:
    """An order that traded or was cancelled is unknown: the client reads the feed."""
    account = command.account
    if not 0 <= account < len(ledger.user_ids):
        return Reject.ACCOUNT_UNKNOWN
    order = ledger.orders.get(command.order)
    if order is None:
        return Reject.ORDER_UNKNOWN
    if order.account != account:
        return Reject.ORDER_NOT_OWN
    return (_new(OrderClosed, (order.id, account, order.market, order.rest, int(Closed.CANCELLED))),)


def _contradict(flags: int, price: int) -> bool:
    if not 0 <= flags < FLAGS_END or sum(1 for flag in _EXCLUSIVE if flags & flag) > 1:
        return True
    return price == 0 and bool(flags & POST_ONLY)


def _perpetual_refusal(ledger: Ledger, command: PlaceOrder, lots: int, found: Match, resting: int) -> Reject | None:
    """Margin on the exact outcome: the trades found, and the rest in the book."""
    _, account, _, number, side, _, _, _ = command
    size, buys, sells = ledger.size[number][account], ledger.buys[number][account], ledger.sells[number][account]
    filled = lots - found.rest
    size_after = size + side * filled
    buys_after, sells_after = (buys + resting, sells) if side > 0 else (buys, sells + resting)
    lot_value = ledger.lot_values[number]
    change = 0
    if filled:
        worse = found.traded * ledger.venue.markets[number].tick_lot_atoms - filled * lot_value
        change = -side * worse - found.fees
    most = ledger.spare[account] + change - (filled + resting) * ledger.lot_margins[number]
    if most < 0 or ledger.spare_version[account] != ledger.price_version:
        excess = initial_excess(ledger, account) + change
        excess += initial_requirement(ledger, number, exposure(size, buys, sells) * lot_value)
        for event in found.events:
            if type(event) is OrderClosed and event.account == account:
                buys_after -= event.lots if side < 0 else 0
                sells_after -= event.lots if side > 0 else 0
        excess -= initial_requirement(ledger, number, exposure(size_after, buys_after, sells_after) * lot_value)
        if excess < 0 and not _reduces(ledger, command, filled, resting, found):
            return Reject.MARGIN_TOO_LOW
    position_max = ledger.venue.markets[number].position_lots_max
    if (size_after + buys_after if side > 0 else sells_after - size_after) > position_max:
        return Reject.POSITION_TOO_LARGE
    return None


def _reduces(ledger: Ledger, command: PlaceOrder, filled: int, resting: int, found: Match) -> bool:
    """Whether an order that leaves too little margin is let through because it can only reduce the position.

    With all of the account's orders on its side it must not be larger than the position, and the account's
    risk must not get worse by what trades now.
    """
    account, number, side = command.account, command.market, command.side
    size = ledger.size[number][account]
    promised = ledger.buys[number][account] if side > 0 else ledger.sells[number][account]
    if not _within(ledger, command, filled + resting + promised):
        return False
    market = ledger.venue.markets[number]
    before = account_risk(ledger, account)
    lot_value = ledger.lot_values[number]
    equity = before.equity + side * (filled * lot_value - found.traded * market.tick_lot_atoms) - found.fees
    old, new = abs(size) * lot_value, abs(size + side * filled) * lot_value
    maintenance = ledger.tables.maintenance[number]
    after = Risk(
        equity,
        before.initial - initial_requirement(ledger, number, old) + initial_requirement(ledger, number, new),
        before.maintenance - requirement(old, maintenance) + requirement(new, maintenance),
    )
    # Open orders may be what uses up the margin: then the positions alone are still covered, and closing is free.
    return may_change(before, after) is Change.OK or (before.equity >= before.initial and after.equity >= 0)


def _spot_refusal(ledger: Ledger, command: PlaceOrder, lots: int, found: Match, resting: int) -> Reject | None:
    """Money for the exact outcome, and the margin that is left when it is gone."""
    account, side = command.account, command.side
    market = ledger.venue.markets[command.market]
    filled, spent = lots - found.rest, 0
    locked = spot_lock(market, side, command.price, resting, resting)[1] if resting else 0
    freed = 0
    for event in found.events:
        if type(event) is OrderClosed:  # the account's own: reduce-only orders are for perpetuals
            order = ledger.orders[event.order]
            freed += spot_lock(market, -side, order.price, order.lots, order.rest)[1]
    quote_free = ledger.balance[QUOTE][account] - ledger.locked[QUOTE][account]
    held = ledger.balance[market.asset][account] - ledger.locked[market.asset][account]
    value = found.traded * market.tick_lot_atoms
    if side > 0:
        spent = value + found.fees + locked
        if spent > quote_free:
            return Reject.BALANCE_TOO_LOW
        held_after, excess_change = held + filled * market.lot_atoms + freed, -spent
    else:
        held_after = held - filled * market.lot_atoms - locked
        if held_after < 0:
            return Reject.BALANCE_TOO_LOW
        excess_change = value - found.fees + freed
    most = ledger.spare[account] - (spent if side > 0 else lots * ledger.lot_margins[command.market] + found.fees)
    if most >= 0 and ledger.spare_version[account] == ledger.price_version:
        return None
    excess_change += asset_collateral(ledger, market.asset, held_after) - asset_collateral(ledger, market.asset, held)
    return Reject.MARGIN_TOO_LOW if excess_change < 0 and initial_excess(ledger, account) + excess_change < 0 else None
