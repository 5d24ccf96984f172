"""The ledger's state: columns indexed by account, open orders, prices and counters. Only `evolve` writes to it."""

from __future__ import annotations

from array import array
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Final, TypeAlias

from exchange.book import Book, BookSide, Order
from exchange.oraclememory import OracleMemory
from exchange.riskmemory import RiskMemory
from exchange.rules.breakers import new_window
from exchange.rules.margin import initial_margin, open_interest_scale_ppm
from exchange.rules.rounding import PPM, ceil_div
from exchange.rules.tiers import rate_tiers
from exchange.tables import Tables
from exchange.venue import Venue

FUND: Final = 0
"""Account number of the insurance fund: a row like any other, so the published fund is the one in the books."""
FEES: Final = 1
"""Account number of the venue's fee income."""
FIRST_USER: Final = 2
"""The accounts below are the venue's own."""
RESERVED_USER_IDS: Final = ("insurance-fund", "fee-income")
ISOLATED_MARK: Final = "|"
"""Between the user id and the market's symbol in the id of an isolated account; in no other id."""
OWN_ORDERS_SLACK: Final = 64
"""Lists of own orders are cleared of gone ones when they are longer than this, and mostly gone."""
VENUE_WIDE: Final = -1
"""In the place of a market number: the whole venue."""
QUOTE: Final = 0
"""Asset number of the settlement asset."""


Gate: TypeAlias = (
    "tuple[int, int, int, int, int, BookSide, list[int], array[int], array[int], dict[int, OrderedDict[int, Order]]]"
)
"""What a plain order of one side of a perpetual market needs: lowest and highest price, most lots of an order and of a
position, margin per lot, the side where it would rest, keys of the side that it would meet, promised lots, positions,
levels of the side that it would meet."""


def client_key(account: int, client_id: int) -> int:
    """One number for an account's client id; 0 where there is none."""
    return account << 64 | client_id if client_id else 0


class Ledger:
    """All that the next decision depends on.

    Columns are `array('q')`: a scalar read gives an int, a write outside int64 raises OverflowError instead of
    wrapping, and NumPy sees the same memory without a copy.

    Attributes:
        sequence: frames applied.
        next_order: number of the next order.
        balance, locked: per asset, per account: atoms; `locked` is the part promised to open spot orders.
        size, cost: per market, per account: lots held (signed) and quote atoms paid for them.
        buys, sells: per market, per account: lots in open orders.
        open_orders: per account.
        deposited, withdrawn: per asset, atoms since the beginning.
        open_interest: per market, lots long.
        scales: per market, ppm of the way to full payment that open interest has raised initial margins, as of the
            last prices: between two prices no trade of others changes anybody's margin.
        risk: see `RiskMemory`.
        prices: per asset, quote atoms per whole unit; 0 = no price yet.
        marks: per market, ticks; 0 = no price yet.
        price_time_ms: of the last `PricesSet`.
        oracle: qualities, averages and evidence behind the prices.
        signs: (market or VENUE_WIDE, trigger) -> time of its last sign.
        modes, venue_mode: of each market, of the venue; effective_modes: the stricter of both.
        windows: per market, the marks of the breaker's rolling window.
        answered: client_key -> sequence of its frame, the last `venue.client_ids_kept` of them.
        lot_values, lot_margins, bands: per market, derived from the marks: quote atoms that a lot is worth; the most
            that one more lot can add to an initial margin; lowest and highest price that the band allows.
        gates: (market, side) -> what `short.place_plain` asks for; missing: the market is shut, or not for short ways.
        own_orders: per account, numbers of its orders in rising order, among them some that are gone.
        spare, spare_version: per account, a lower bound of `risk.initial_excess`; valid while its version equals
            `price_version`. It spares most orders the exact figure, and never decides against one.
    """

    __slots__ = (
        "account_of",
        "answered",
        "answered_order",
        "balance",
        "bands",
        "books",
        "buys",
        "cost",
        "deposited",
        "effective_modes",
        "gates",
        "locked",
        "lot_margins",
        "lot_values",
        "marks",
        "modes",
        "next_order",
        "open_interest",
        "open_orders",
        "oracle",
        "orders",
        "own_orders",
        "price_time_ms",
        "price_version",
        "prices",
        "risk",
        "scales",
        "sells",
        "sequence",
        "signs",
        "size",
        "spare",
        "spare_version",
        "tables",
        "time_ms",
        "user_ids",
        "venue",
        "venue_mode",
        "windows",
        "withdrawn",
    )

    def __init__(self, venue: Venue) -> None:
        assets, markets = len(venue.assets), len(venue.markets)
        self.venue = venue
        self.tables = Tables(venue)
        self.sequence = 0
        self.time_ms = 0
        self.next_order = 1
        self.balance = [array("q") for _ in range(assets)]
        self.locked = [array("q") for _ in range(assets)]
        self.size = [array("q") for _ in range(markets)]
        self.cost = [array("q") for _ in range(markets)]
        self.buys = [array("q") for _ in range(markets)]
        self.sells = [array("q") for _ in range(markets)]
        self.open_orders = array("q")
        self.deposited = [0] * assets
        self.withdrawn = [0] * assets
        self.open_interest = [0] * markets
        self.prices = [0] * assets
        self.marks = [0] * markets
        self.orders: dict[int, Order] = {}
        self.own_orders: list[list[int]] = []
        self.gates: dict[tuple[int, int], Gate] = {}
        self.books = [Book() for _ in range(markets)]
        self.user_ids: list[str] = []
        self.account_of: dict[str, int] = {}
        self.answered: dict[int, int] = {}
        self.answered_order: deque[int] = deque()
        self.risk = RiskMemory(venue)
        self.price_version = 1
        self.price_time_ms = 0
        self.oracle = OracleMemory(venue)
        self.scales = [0] * markets
        self.lot_values = [0] * markets
        self.lot_margins = [0] * markets
        self.bands = [(0, 0)] * markets
        self.signs: dict[tuple[int, int], int] = {}
        self.modes = [0] * markets
        self.venue_mode = 0
        self.effective_modes = [0] * markets
        self.windows = [new_window(venue.breaker_span_ms, venue.breaker_slots)] * markets
        self.spare: list[int] = []
        self.spare_version: list[int] = []
        for user_id in RESERVED_USER_IDS:
            self.add_account(user_id)

    def columns(self) -> list[array[int]]:
        """Every column, in a fixed order: what the state hash and a checkpoint hold."""
        return [
            *self.balance,
            *self.locked,
            *self.size,
            *self.cost,
            *self.buys,
            *self.sells,
            self.open_orders,
        ]

    def add_account(self, user_id: str) -> None:
        """Appends an empty row to every column."""
        self.account_of[user_id] = len(self.user_ids)
        self.user_ids.append(user_id)
        for column in self.columns():
            column.append(0)
        self.own_orders.append([])
        self.spare.append(0)
        self.spare_version.append(0)

    def add_order(self, order: Order) -> None:
        """A new order, into its book and its account's list."""
        self.orders[order.id] = order
        self.books[order.market].add(order)
        own = self.own_orders[order.account]
        own.append(order.id)
        if len(own) > OWN_ORDERS_SLACK:
            self.forget_gone(order.account)

    def forget_gone(self, account: int) -> None:
        """Clears an account's list of orders that are gone, if they are most of it."""
        own = self.own_orders[account]
        if len(own) > 4 * self.open_orders[account]:
            own[:] = [id for id in own if id in self.orders]

    def set_mode(self, market: int, mode: int) -> None:
        """The mode of a market, or of the venue with VENUE_WIDE."""
        if market == VENUE_WIDE:
            self.venue_mode = mode
        else:
            self.modes[market] = mode
        self.effective_modes[:] = [max(own, self.venue_mode) for own in self.modes]
        self._set_gates()

    def set_prices(self, prices: Sequence[int], marks: Sequence[int], scales: Sequence[int] | None = None) -> None:
        """New prices, and what is derived from them.

        Args:
            scales: how far open interest has raised initial margins; None: taken from the open interest now.
        """
        self.prices[:] = prices
        self.marks[:] = marks
        self.price_version += 1
        for number, market in enumerate(self.venue.markets):
            mark = marks[number]
            lot_value = mark * market.tick_lot_atoms
            self.lot_values[number] = lot_value
            # Tiers are marginal and rise: no lot needs more margin than one in the last tier. A lot sold on a spot
            # market takes away at most its full value; 2 atoms are for roundings.
            spot_value = ceil_div(market.lot_atoms * prices[market.asset], self.tables.units[market.asset]) + 2
            notional = self.open_interest[number] * lot_value
            scale = open_interest_scale_ppm(notional, market.interest_lower, market.interest_upper)
            self.scales[number] = scale if scales is None else scales[number]
            margin = initial_margin(
                lot_value,
                rate_tiers([(0, self.tables.initial[number].rate_ppm[-1])]),
                self.scales[number],
                self.risk.floors[number],
            )
            self.lot_margins[number] = margin if market.margin else spot_value
            low = ceil_div(mark * (PPM - market.band_ppm), PPM)
            high = mark * (PPM + market.band_ppm) // PPM
            self.bands[number] = (max(1, low), min(market.price_max, high))
        self._set_gates()

    def _set_gates(self) -> None:
        self.gates.clear()
        for number in self.tables.perpetuals:
            if self.marks[number] and not self.effective_modes[number]:
                market, book, (low, high) = self.venue.markets[number], self.books[number], self.bands[number]
                limits = (market.order_lots_max, market.position_lots_max, self.lot_margins[number])
                for side, own, other, promised in (
                    (1, book.bids, book.asks, self.buys[number]),
                    (-1, book.asks, book.bids, self.sells[number]),
                ):
                    # An order may be worse for itself than the band's near edge, but not better than the far one.
                    span = (1, high) if side > 0 else (low, market.price_max)
                    columns = (promised, self.size[number])
                    self.gates[number, side] = (*span, *limits, own, other.keys, *columns, other.levels)
