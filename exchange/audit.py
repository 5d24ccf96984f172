"""The independent audit: what every account must hold, recomputed from the journal's events without `evolve`.

It keeps one signed cash figure per account (balance - cost: what a trade changes by exactly its flow) and knows nothing
of locks, books, realised profit or caches.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from exchange.events import (
    Deleveraged,
    Deposited,
    Event,
    Frame,
    FundingPaid,
    FundSettled,
    FundTransferred,
    Traded,
    Withdrawn,
)
from exchange.state import FEES, FUND, QUOTE, Ledger
from exchange.venue import PERPETUAL, Venue

PPM = 1_000_000


class Check(NamedTuple):
    """One comparison: `left` is the audit's figure, `right` the ledger's."""

    name: str
    left: int
    right: int

    @property
    def ok(self) -> bool:
        """Whether both sides agree."""
        return self.left == self.right


class Auditor:
    """Reads frames in order, then compares with a ledger at the same sequence number."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self.sequence = 0
        self.flows = [[0, 0] for _ in venue.assets]
        self.cash: dict[int, int] = defaultdict(int)
        self.held: list[dict[int, int]] = [defaultdict(int) for _ in venue.assets]
        self.lots: list[dict[int, int]] = [defaultdict(int) for _ in venue.markets]

    def read(self, frames: Iterable[Frame]) -> None:
        """Takes in the next frames."""
        for frame in frames:
            self.sequence += 1
            for event in frame.events:
                self._take(event)

    def _take(self, event: Event) -> None:
        if type(event) is Traded:
            self._trade(event)
        elif type(event) is Deposited or type(event) is Withdrawn:
            leaves = type(event) is Withdrawn
            self.flows[event.asset][leaves] += event.amount
            self._add(event.asset, event.account, -event.amount if leaves else event.amount)
        elif type(event) is FundTransferred or type(event) is FundSettled:
            self.cash[event.account] -= event.amount
            self.cash[FUND] += event.amount
        elif type(event) is FundingPaid:
            self._funding(event)
        elif type(event) is Deleveraged:
            self.lots[event.market][event.account] += event.lots
            self.lots[event.market][event.counterparty] -= event.lots
            self.cash[event.account] += event.cash
            self.cash[event.counterparty] -= event.cash

    def _add(self, asset: int, account: int, amount: int) -> None:
        if asset == QUOTE:
            self.cash[account] += amount
        else:
            self.held[asset][account] += amount

    def _trade(self, event: Traded) -> None:
        market = self.venue.markets[event.market]
        buyer, seller = (event.taker, event.maker) if event.side > 0 else (event.maker, event.taker)
        value = event.lots * event.price * market.tick_lot_atoms
        self.cash[buyer] -= value
        self.cash[seller] += value
        for account, fee in ((event.maker, event.maker_fee), (event.taker, event.taker_fee)):
            self.cash[account] -= fee
            self.cash[FEES] += fee
        per_account = self.lots[event.market] if market.kind == PERPETUAL else self.held[market.asset]
        amount = event.lots if market.kind == PERPETUAL else event.lots * market.lot_atoms
        per_account[buyer] += amount
        per_account[seller] -= amount

    def _funding(self, event: FundingPaid) -> None:
        value = event.mark * self.venue.markets[event.market].tick_lot_atoms
        for account, lots in self.lots[event.market].items():
            # Payers up, receivers down: the exact amount is a whole number of ppm of quote atoms.
            exact = lots * value * event.rate_ppm
            paid = -((-exact) // PPM)
            self.cash[account] -= paid
            self.cash[FUND] += paid

    def compare(self, ledger: Ledger) -> list[Check]:
        """Every check, in a fixed order. All of one kind of account figure is one check: the count that agrees."""
        accounts = range(len(ledger.user_ids))
        checks = [Check("sequence", self.sequence, ledger.sequence)]
        for asset, definition in enumerate(self.venue.assets):
            come, gone = self.flows[asset]
            held = sum(ledger.balance[asset]) - (sum(map(sum, ledger.cost)) if asset == QUOTE else 0)
            checks.append(Check(f"{definition.symbol}: deposits - withdrawals = held", come - gone, held))
            if asset:
                same = sum(self.held[asset].get(a, 0) == ledger.balance[asset][a] for a in accounts)
                checks.append(Check(f"{definition.symbol}: accounts that agree", len(accounts), same))
                below = sum(ledger.balance[asset][a] < ledger.locked[asset][a] for a in accounts)
                checks.append(Check(f"{definition.symbol}: accounts below what they promised", 0, below))
        cash = [ledger.balance[QUOTE][a] - sum(cost[a] for cost in ledger.cost) for a in accounts]
        agree = sum(self.cash.get(a, 0) == cash[a] for a in accounts)
        checks.append(Check("cash: accounts that agree", len(accounts), agree))
        for number, market in enumerate(self.venue.markets):
            if market.kind == PERPETUAL:
                lots, size = self.lots[number], ledger.size[number]
                checks.append(Check(f"{market.symbol}: positions sum to zero", 0, sum(size)))
                same = sum(lots.get(a, 0) == size[a] for a in accounts)
                checks.append(Check(f"{market.symbol}: accounts that agree", len(accounts), same))
                interest = sum(value for value in lots.values() if value > 0)
                checks.append(Check(f"{market.symbol}: open interest", interest, ledger.open_interest[number]))
        return checks
