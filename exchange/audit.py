"""The independent audit: what every account must hold, recomputed from the journal's events without `evolve`.

It keeps one signed cash figure per account (balance - cost: what a trade changes by exactly its flow) and knows nothing
of locks, books, realised profit or caches. From the quotes in the journal it takes the medians again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from exchange.commands import Signal
from exchange.events import (
    AuctionTraded,
    Deleveraged,
    Deposited,
    Event,
    Frame,
    FundingPaid,
    FundSettled,
    FundTransferred,
    LossShared,
    MarginMoved,
    PricesSet,
    QuotesTaken,
    Settled,
    Traded,
    Withdrawn,
)
from exchange.rules.modes import Trigger
from exchange.rules.rounding import PPM
from exchange.scanning import scan_accounts
from exchange.state import FEES, FUND, QUOTE, VENUE_WIDE, Ledger
from exchange.venue import PERPETUAL, Asset, Venue

NAMED_MAX: Final = 5


class Check(NamedTuple):
    """One comparison: `left` is the audit's figure, `right` the ledger's; `detail` names accounts that differ."""

    name: str
    left: int
    right: int
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Whether both sides agree."""
        return self.left == self.right


class Auditor:
    """Reads frames in order, then compares with a ledger at the same sequence number.

    Attributes:
        flows: per asset, atoms that came in, and that left.
        cash: per account, quote atoms: balance less what its positions cost.
        held, lots: per asset and per market, per account: atoms, and lots (signed; none in a spot market).
        prices, before: per asset, quote atoms per whole unit, and as they were one price earlier.
        marks: per market, ticks.
        prices_read, prices_follow: prices that came with quotes, and how many of them follow from these.
    """

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self.sequence = 0
        self.flows = [[0, 0] for _ in venue.assets]
        self.cash: dict[int, int] = defaultdict(int)
        self.held: list[dict[int, int]] = [defaultdict(int) for _ in venue.assets]
        self.lots: list[dict[int, int]] = [defaultdict(int) for _ in venue.markets]
        self.time_ms = 0
        self.prices = [0] * len(venue.assets)
        self.before = self.prices
        self.marks = [0] * len(venue.markets)
        self.prices_read = self.prices_follow = 0

    def read(self, frames: Iterable[Frame]) -> None:
        """Takes in the next frames."""
        for frame in frames:
            self.sequence += 1
            self.time_ms = frame.time_ms
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
        elif type(event) is PricesSet:
            self.before, self.prices, self.marks = self.prices, list(event.assets), list(event.marks)
        elif type(event) is QuotesTaken:
            self._quoted(event)
        elif type(event) is Deleveraged:
            self.lots[event.market][event.account] += event.lots
            self.lots[event.market][event.counterparty] -= event.lots
            self.cash[event.account] += event.cash
            self.cash[event.counterparty] -= event.cash
        else:
            self._take_rare(event)

    def _take_rare(self, event: Event) -> None:
        if type(event) is MarginMoved:
            self.cash[event.account] -= event.amount
            self.cash[event.receiver] += event.amount
        elif type(event) is LossShared:
            self.cash[event.payer] -= event.amount
            self.cash[event.account] += event.amount
        elif type(event) is AuctionTraded:
            self._exchange(event.market, event.buyer, event.seller, event.lots, event.price)
            self._fees((event.buyer, event.buyer_fee), (event.seller, event.seller_fee))
        elif type(event) is Settled:
            lot_value = event.price * self.venue.markets[event.market].tick_lot_atoms
            for account, lots in self.lots[event.market].items():
                self.cash[account] += lots * lot_value
            self.lots[event.market].clear()

    def _add(self, asset: int, account: int, amount: int) -> None:
        if asset == QUOTE:
            self.cash[account] += amount
        else:
            self.held[asset][account] += amount

    def _trade(self, event: Traded) -> None:
        buyer, seller = (event.taker, event.maker) if event.side > 0 else (event.maker, event.taker)
        self._exchange(event.market, buyer, seller, event.lots, event.price)
        self._fees((event.maker, event.maker_fee), (event.taker, event.taker_fee))

    def _exchange(self, number: int, buyer: int, seller: int, lots: int, price: int) -> None:
        market = self.venue.markets[number]
        value = lots * price * market.tick_lot_atoms
        self.cash[buyer] -= value
        self.cash[seller] += value
        per_account = self.lots[number] if market.kind == PERPETUAL else self.held[market.asset]
        amount = lots if market.kind == PERPETUAL else lots * market.lot_atoms
        per_account[buyer] += amount
        per_account[seller] -= amount

    def _fees(self, *pairs: tuple[int, int]) -> None:
        for account, fee in pairs:
            self.cash[account] -= fee
            self.cash[FEES] += fee

    def _funding(self, event: FundingPaid) -> None:
        value = event.mark * self.venue.markets[event.market].tick_lot_atoms
        for account, lots in self.lots[event.market].items():
            # Payers up, receivers down: the exact amount is a whole number of ppm of quote atoms.
            exact = lots * value * event.rate_ppm
            paid = -((-exact) // PPM)
            self.cash[account] -= paid
            self.cash[FUND] += paid

    def _quoted(self, event: QuotesTaken) -> None:
        """Whether each asset's price is the lower weighted median of its recent quotes, or stayed as it was."""
        oracle, now = self.venue.oracle, self.time_ms
        for asset, definition in enumerate(self.venue.assets):
            if asset == QUOTE:
                continue
            if definition.underlying:
                self._wrapped(asset, definition)
                continue
            newest: dict[int, tuple[int, int]] = {}
            for quote in event.quotes:
                age = now - quote.time_ms
                if quote.symbol == asset and quote.price > 0 and -oracle.future_ms <= age <= oracle.stale_ms:
                    newest[quote.source] = max(newest.get(quote.source, (0, 0)), (quote.time_ms, quote.price))
            votes = sorted((price, oracle.sources[source].weight) for source, (_, price) in newest.items())
            whole, running, median = sum(weight for _, weight in votes), 0, 0
            for price, weight in votes:
                running += weight
                if 2 * running >= whole:
                    median = price
                    break
            enough = whole * PPM >= sum(source.weight for source in oracle.sources) * oracle.quorum_ppm
            self.prices_read += 1
            self.prices_follow += self.prices[asset] == (median if enough else self.before[asset])

    def _wrapped(self, number: int, asset: Asset) -> None:
        self.prices_read += 1
        self.prices_follow += self.prices[number] == self.prices[asset.underlying] * asset.ratio_ppm // PPM

    def _equity(self, account: int) -> int:
        """At full value, at the last prices."""
        total = self.cash.get(account, 0)
        for asset in range(1, len(self.venue.assets)):
            held = self.held[asset].get(account, 0)
            total += held * self.prices[asset] // self.venue.assets[asset].unit_atoms
        for number, market in enumerate(self.venue.markets):
            total += self.lots[number].get(account, 0) * self.marks[number] * market.tick_lot_atoms
        return total

    def compare(self, ledger: Ledger) -> list[Check]:
        """Every check, in a fixed order. All of one kind of account figure is one check: the count that agrees."""
        accounts = range(len(ledger.user_ids))
        checks = [Check("sequence", self.sequence, ledger.sequence)]
        for asset, definition in enumerate(self.venue.assets):
            come, gone = self.flows[asset]
            held = sum(ledger.balance[asset]) - (sum(map(sum, ledger.cost)) if asset == QUOTE else 0)
            checks.append(Check(f"{definition.symbol}: deposits - withdrawals = held", come - gone, held))
            if asset:
                same = {a: (self.held[asset].get(a, 0), ledger.balance[asset][a]) for a in accounts}
                checks.append(_agreeing(f"{definition.symbol}: accounts that agree", same))
                below = sum(ledger.balance[asset][a] < ledger.locked[asset][a] for a in accounts)
                checks.append(Check(f"{definition.symbol}: accounts below what they promised", 0, below))
        cash = {a: (self.cash.get(a, 0), ledger.balance[QUOTE][a] - sum(c[a] for c in ledger.cost)) for a in accounts}
        checks.append(_agreeing("cash: accounts that agree", cash))
        checks.append(Check("insurance fund", self.cash[FUND], ledger.balance[QUOTE][FUND]))
        checks.append(Check("fee income", self.cash[FEES], ledger.balance[QUOTE][FEES]))
        for number, market in enumerate(self.venue.markets):
            if market.kind == PERPETUAL:
                lots, size = self.lots[number], ledger.size[number]
                checks.append(Check(f"{market.symbol}: positions sum to zero", 0, sum(size)))
                checks.append(
                    _agreeing(f"{market.symbol}: accounts that agree", {a: (lots.get(a, 0), size[a]) for a in accounts})
                )
                interest = sum(value for value in lots.values() if value > 0)
                checks.append(Check(f"{market.symbol}: open interest", interest, ledger.open_interest[number]))
        return checks + self._prices_and_debts(ledger)

    def _prices_and_debts(self, ledger: Ledger) -> list[Check]:
        accounts = range(len(ledger.user_ids))
        same = sum(a == b for a, b in zip((*self.prices, *self.marks), (*ledger.prices, *ledger.marks), strict=True))
        checks = [Check("prices and marks that agree", len(self.prices) + len(self.marks), same)]
        if self.venue.oracle.sources:
            checks.append(Check("prices that follow from their quotes", self.prices_read, self.prices_follow))
        # Below zero without being on the list of those to liquidate: nobody.
        listed = scan_accounts(ledger)
        flagged = set(np.flatnonzero(listed.liquidatable | (listed.equity < 0)).tolist())
        unseen = [a for a in accounts if self._equity(a) < 0 and a not in flagged]
        checks.append(Check("accounts below zero outside liquidation", 0, len(unseen), _named(unseen)))
        return checks


def _agreeing(name: str, pairs: Mapping[int, tuple[int, int]]) -> Check:
    differing = [account for account, (left, right) in pairs.items() if left != right]
    return Check(name, len(pairs), len(pairs) - len(differing), _named(differing))


def _named(accounts: Sequence[int]) -> str:
    """The first few of them."""
    return ", ".join(f"account {account}" for account in accounts[:NAMED_MAX])


def alarm(checks: Sequence[Check], time_ms: int) -> Signal | None:
    """The command that gates withdrawals and trading if a check fails; None if all hold."""
    bad = any(not check.ok for check in checks)
    return Signal(time_ms, FUND, 0, VENUE_WIDE, int(Trigger.AUDIT_MISMATCH), 1) if bad else None
