"""A venue in real markets: bars set the index, a population trades, and liquidations press the book that sets the mark.

Closed loop: what liquidations leave of the makers' ladder moves the book's middle, and with it the mark of the next
step, until the makers have quoted again. Everything that reaches the ledger is an ordinary command in its journal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from exchange.commands import PayFunding, SubmitQuotes
from exchange.engine import Answer, Done, Engine
from exchange.events import Deleveraged, FundSettled, OrderOpened, Traded
from exchange.invariants import broken
from exchange.liquidator import work_off
from exchange.population import MAKERS, Population
from exchange.rules.mark import average_of
from exchange.rules.rounding import PPM, clamp
from exchange.scanning import scan_accounts
from exchange.state import FIRST_USER, FUND, QUOTE
from exchange.venue import PERPETUAL, SPOT, Asset, HaircutTier, MarginTier, Market, Oracle, Source, Venue

QUOTE_DECIMALS: Final = 6
ASSET_DECIMALS: Final = 8
FUNDING_MS: Final = 8 * 3_600_000
FUNDING_PPM_MAX: Final = 750
PRICE_MAX: Final = 10**8
FIRST_DEPTH: Final = 400
"""While first positions are taken the ladder is this many times deeper: they stand for months of trading."""


@dataclass(frozen=True, slots=True)
class Bars:
    """One market's bars. Prices are in ticks of 10^-tick_decimals quote units.

    Attributes:
        magnitude: floor(log10 of the first price): one lot is 10^(1 - magnitude) of the asset.
    """

    symbol: str
    tick_decimals: int
    magnitude: int
    opens: tuple[int, ...]
    highs: tuple[int, ...]
    lows: tuple[int, ...]
    closes: tuple[int, ...]


@dataclass(slots=True)
class Row:
    """What one bar did; money in quote atoms, prices in ticks per market.

    Attributes:
        open_interest: quote atoms per market.
        modes, qualities: per market, the strictest mode and the worst quality of the price (`rules.oracle`) in the bar.
        venue_mode: the strictest of the venue itself.
        liquidations: steps; liquidated, deleveraged: value traded in the book, and taken over.
        fund_paid: what the fund paid for losses.
        bad_debt: what accounts below zero owe at the end of the bar.
    """

    time_ms: int
    index: list[int]
    marks: list[int]
    open_interest: list[int]
    fund: int
    bad_debt: int
    modes: list[int]
    qualities: list[int]
    venue_mode: int = 0
    liquidations: int = 0
    liquidated: int = 0
    deleveraged: int = 0
    fund_paid: int = 0
    trades: int = 0
    commands: int = 0
    refused: int = 0


@dataclass(slots=True)
class Simulation:
    """A run in progress.

    Attributes:
        rows: one per bar.
        broken: invariants of the ledger that did not hold after some price, with the time; empty as it should be.
        quote: what the sources say at a time when the index of every market, in ticks, is as given.
        after_bar: called with the bar's number when it is done.
    """

    engine: Engine
    population: Population
    bars: Sequence[Bars]
    times_ms: Sequence[int]
    quote: Callable[[int, Sequence[int]], SubmitQuotes]
    after_bar: Callable[[int], None] = lambda number: None
    rows: list[Row] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    _next_funding_ms: int = 0

    def run(self) -> None:
        """Opens the venue and goes through all bars."""
        self._open()
        step_ms = self.times_ms[1] - self.times_ms[0] if len(self.times_ms) > 1 else 60_000
        for number, time_ms in enumerate(self.times_ms):
            row = Row(time_ms, [], [], [], 0, 0, [0] * len(self.bars), [0] * len(self.bars))
            for part, prices in enumerate(self._path(number)):
                self._step(row, number, time_ms + step_ms * part // 4, prices)
            self._measure(row, number)
            self.rows.append(row)
            self.after_bar(number)

    def _open(self) -> None:
        first, time_ms = [bar.opens[0] for bar in self.bars], self.times_ms[0]
        self._next_funding_ms = (time_ms // FUNDING_MS + 1) * FUNDING_MS
        self.engine.submit([self.quote(time_ms, first)])
        self.engine.submit(self.population.openings(time_ms))
        wide = [self.population.requote(time_ms, n, price, 0.0, FIRST_DEPTH) for n, price in enumerate(first)]
        for number, commands in enumerate(wide):
            self.population.remember(number, _opened(self.engine.submit(commands)))
        self.engine.submit(self.population.first_positions(time_ms))

    def _path(self, number: int) -> list[list[int]]:
        """Four prices per bar: open, the nearer extreme, the other one, close."""
        paths = []
        for bar in self.bars:
            open_, high, low, close = bar.opens[number], bar.highs[number], bar.lows[number], bar.closes[number]
            extremes = [high, low] if high - open_ <= open_ - low else [low, high]
            paths.append([open_, *extremes, close])
        return [list(prices) for prices in zip(*paths, strict=True)]

    def _step(self, row: Row, number: int, time_ms: int, index: list[int]) -> None:
        ledger = self.engine.ledger
        before = ledger.marks[0]
        self._count(row, self.engine.submit([self.quote(time_ms, index)]))
        move = ledger.marks[0] / before - 1.0
        averages = map(average_of, ledger.oracle.premiums)
        premiums = [average * PPM // price for average, price in zip(averages, index, strict=False)]
        # Makers are faster than liquidations: these find quotes around the new price, and what they leave of them
        # stays until the next one.
        for market, bar in enumerate(self.bars):
            # Makers follow half of the premium: without further pressure it halves with every step.
            centre = clamp(index[market] * (2 * PPM + premiums[market]) // (2 * PPM), 1, PRICE_MAX)
            bar_range = (bar.highs[number] - bar.lows[number]) / bar.opens[number]
            for book in (market, len(self.bars) + market):
                answers = self.engine.submit(self.population.requote(time_ms, book, centre, bar_range))
                self.population.remember(book, _opened(answers))
                self._count(row, answers)
        self._count(row, work_off(self.engine, time_ms))
        crowd = clamp(len(self.population.kinds) // 500, 5, 200)
        self._count(row, self.engine.submit(self.population.orders(time_ms, crowd, move)))
        if time_ms >= self._next_funding_ms:
            self._next_funding_ms += FUNDING_MS
            rates = [clamp(100 + premium, -FUNDING_PPM_MAX, FUNDING_PPM_MAX) for premium in premiums]
            commands = [PayFunding(time_ms, FUND, 0, market, rate) for market, rate in enumerate(rates)]
            self._count(row, self.engine.submit(commands))
        self.broken.extend(f"{time_ms} ms: {text}" for text in broken(ledger))
        self._note_modes(row)

    def _note_modes(self, row: Row) -> None:
        ledger = self.engine.ledger
        row.venue_mode = max(row.venue_mode, ledger.venue_mode)
        for number, market in enumerate(ledger.venue.markets[: len(self.bars)]):
            row.modes[number] = max(row.modes[number], ledger.effective_modes[number])
            row.qualities[number] = max(row.qualities[number], ledger.oracle.qualities[market.asset])

    def _count(self, row: Row, answers: Sequence[Answer]) -> None:
        ledger = self.engine.ledger
        row.commands += len(answers)
        for answer in answers:
            if not isinstance(answer, Done):
                row.refused += 1
                continue
            touched = False
            for event in answer.events:
                if type(event) is Traded:
                    row.trades += 1
                elif type(event) is Deleveraged:
                    row.deleveraged += abs(event.lots) * ledger.lot_values[event.market]
                    touched = True
                elif type(event) is FundSettled:
                    row.fund_paid += max(0, -event.amount)
                    touched = True
            if touched:
                row.liquidations += 1
                row.liquidated += sum(
                    event.lots * event.price * ledger.venue.markets[event.market].tick_lot_atoms
                    for event in answer.events
                    if type(event) is Traded
                )

    def _measure(self, row: Row, number: int) -> None:
        ledger = self.engine.ledger
        row.index = [bar.closes[number] for bar in self.bars]
        row.marks = ledger.marks[: len(self.bars)]
        interest = zip(ledger.open_interest[: len(self.bars)], ledger.lot_values, strict=False)
        row.open_interest = [lots * value for lots, value in interest]
        row.fund = ledger.balance[QUOTE][FUND]
        equity = scan_accounts(ledger).equity[FIRST_USER:]
        row.bad_debt = int(-equity[equity < 0].sum())


def venue_for(bars: Sequence[Bars], sources: tuple[Source, ...], name: str = "simulated") -> Venue:
    """A venue with a perpetual market per file, the assets as collateral, and prices from these sources.

    The perpetuals come first, in the order of the bars; then a spot market per asset, so that collateral can be sold.
    """
    assets = [Asset("usdt", QUOTE_DECIMALS)]
    perpetuals, spots = [], []
    million = 10 ** (QUOTE_DECIMALS + 6)
    margin = (
        MarginTier(3 * million // 10, 10_000, 5_000),
        MarginTier(3 * million, 25_000, 12_500),
        MarginTier(30 * million, 50_000, 25_000),
        MarginTier(None, 100_000, 50_000),
    )
    for bar in bars:
        haircut = (HaircutTier(5 * million, 950_000), HaircutTier(50 * million, 900_000))
        assets.append(Asset(bar.symbol.lower(), ASSET_DECIMALS, haircut))
        lot_atoms = 10 ** (ASSET_DECIMALS + 1 - bar.magnitude)
        tick_lot = 10 ** (QUOTE_DECIMALS - bar.tick_decimals + 1 - bar.magnitude)
        limits = (PRICE_MAX, 10**8, 10**9)
        shape = (len(assets) - 1, lot_atoms, tick_lot, *limits)
        perpetuals.append(Market(f"{bar.symbol}-PERP", PERPETUAL, *shape, -20, 450, 50_000, margin))
        spots.append(Market(f"{bar.symbol}-SPOT", SPOT, *shape, 100, 450, 50_000))
    oracle = Oracle(sources, step_ppm=150_000, deviation_ppm=300_000)
    return Venue(name, tuple(assets), (*perpetuals, *spots), open_orders_max=1_000, oracle=oracle).check()


def _opened(answers: Sequence[Answer]) -> list[int]:
    makers = range(FIRST_USER, FIRST_USER + MAKERS)
    return [
        event.order
        for answer in answers
        if isinstance(answer, Done)
        for event in answer.events
        if type(event) is OrderOpened and event.account in makers
    ]
