"""The naive twin of the order book: one list, searched from end to end, written from the rules."""

from __future__ import annotations

from dataclasses import dataclass

from exchange.commands import Flag


@dataclass
class TwinOrder:
    id: int
    account: int
    side: int
    price: int
    rest: int
    reduce_only: bool


class TwinBook:
    """One perpetual market. `place` answers None (refused) or what happened, as tuples."""

    def __init__(self) -> None:
        self.orders: list[TwinOrder] = []
        self.position: dict[int, int] = {}
        self.next_id = 1

    def place(self, account: int, side: int, price: int, lots: int, flags: int) -> list[tuple[object, ...]] | None:
        if flags & Flag.REDUCE_ONLY:
            lots = min(lots, -side * self.position.get(account, 0))
            if lots <= 0:
                return None
        kept = ([TwinOrder(**vars(order)) for order in self.orders], dict(self.position))
        log, rest, self_trade = self._sweep(account, side, price, lots, flags)
        if (flags & Flag.FILL_OR_KILL and rest) or (flags & Flag.POST_ONLY and rest < lots):
            self.orders, self.position = kept
            return None
        if rest and not self_trade and not flags & (Flag.IMMEDIATE | Flag.FILL_OR_KILL):
            self.orders.append(TwinOrder(self.next_id, account, side, price, rest, bool(flags & Flag.REDUCE_ONLY)))
            log.append(("opened", self.next_id, rest))
            self.next_id += 1
        elif rest:
            log.append(("expired", rest))
        return log

    def _sweep(
        self, account: int, side: int, price: int, lots: int, flags: int
    ) -> tuple[list[tuple[object, ...]], int, bool]:
        log: list[tuple[object, ...]] = []
        while lots:
            others = [order for order in self.orders if order.side == -side and side * (price - order.price) >= 0]
            if not others:
                break
            best = min(others, key=lambda order: (side * order.price, order.id))
            if best.account == account:
                if not flags & Flag.CANCEL_RESTING:
                    return log, lots, True
                log.append(("closed", best.id, best.rest))
                self.orders.remove(best)
                continue
            can = best.rest
            if best.reduce_only:
                can = min(can, max(0, -best.side * self.position.get(best.account, 0)))
            traded = min(can, lots)
            if traded:
                log.append(("traded", best.id, best.price, traded))
                self.position[account] = self.position.get(account, 0) + side * traded
                self.position[best.account] = self.position.get(best.account, 0) - side * traded
                best.rest -= traded
                lots -= traded
            if best.rest and traded == can:
                log.append(("closed", best.id, best.rest))
                best.rest = 0
            if not best.rest:
                self.orders.remove(best)
        return log, lots, False

    def cancel(self, id: int) -> bool:
        found = [order for order in self.orders if order.id == id]
        for order in found:
            self.orders.remove(order)
        return bool(found)

    def depth(self) -> list[tuple[int, int, int, int]]:
        ordered = sorted(self.orders, key=lambda order: (order.side, -order.side * order.price, order.id))
        return [(order.side, order.price, order.id, order.rest) for order in ordered]
