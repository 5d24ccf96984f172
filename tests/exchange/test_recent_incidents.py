"""Incidents of 2023 to 2025, driven through the ledger by commands. Facts as reported."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from exchange.codes import Reject
from exchange.commands import (
    Command,
    Deposit,
    Flag,
    OpenAccount,
    PlaceOrder,
    Settle,
    Signal,
    SubmitQuotes,
    Withdraw,
)
from exchange.engine import Done, Engine, Sink
from exchange.events import Deleveraged, FundSettled, Settled
from exchange.liquidator import due
from exchange.risk import account_risk, left_after_leaving
from exchange.rules.modes import Trigger
from exchange.state import FUND, QUOTE, Ledger
from exchange.venue import Asset, HaircutTier, MarginTier, Oracle, Source, Venue
from tests.exchange.journalled import MINUTE, Journalled, P, crashed, events_of
from tests.exchange.oracles import OracleDesk, oracle_venue, quotes
from tests.exchange.venues import (
    ALICE,
    BOB,
    BTC_SPOT,
    BUY,
    CAROL,
    PERP,
    PRICES,
    SELL,
    UNIT,
    venue,
)


def usdc_venue() -> Venue:
    """ETH's place taken by a stablecoin: seven sources, one of them a venue on which it loses its peg."""
    base = oracle_venue([1] * 7)
    coin = Asset("usdc", 6, (HaircutTier(None, 950_000),))
    markets = (replace(base.markets[0]), replace(base.markets[2]))
    return replace(base, assets=(base.assets[0], base.assets[1], coin), markets=markets).check()


def test_usdc_2023_one_venues_print_liquidates_nobody_but_a_real_loss_counts() -> None:
    """USDC at 0.8748 on one venue while others traded near 0.97."""
    engine = Engine(Ledger(usdc_venue()), Sink())

    def prices(time_ms: int, usdc: list[int]) -> SubmitQuotes:
        return SubmitQuotes(time_ms, 0, 0, quotes(time_ms, {1: [PRICES[1]] * 7, 2: usdc}), b"")

    def done(*commands: Command) -> None:
        assert all(isinstance(answer, Done) for answer in engine.submit(commands)), commands

    done(prices(10**6, [UNIT] * 7))
    done(*(OpenAccount(10**6, 0, 0, name) for name in ("alice", "bob")))
    done(Deposit(10**6, ALICE, 0, 2, 33 * UNIT), Deposit(10**6, BOB, 0, 0, 10**12))
    done(PlaceOrder(10**6, BOB, 0, 0, SELL, P, 5, 0), PlaceOrder(10**6, ALICE, 0, 0, BUY, P, 5, 0))  # 300 USDT on 31
    ledger = engine.ledger
    print_ = [970_000, 969_000, 971_000, 970_500, 969_500, 970_000, 874_800]
    done(prices(10**6 + 1_000, print_))
    assert ledger.prices[2] == 970_000 and due(ledger) == []
    equity = account_risk(ledger, ALICE).equity
    assert equity < 33 * UNIT * 95 // 100 - 135_000, "it reacts"
    for step in range(1, 8):  # everybody's price falls, in steps: then it is true
        done(prices(10**6 + 1_000 + step * 120_000, [970_000 - step * 90_000] * 7))
    assert ledger.prices[2] == 340_000 and account_risk(ledger, ALICE).equity < equity // 2


def test_hyperliquid_2025_a_whale_cannot_withdraw_itself_into_liquidation() -> None:
    """160,000 ETH left near liquidation by withdrawing 17 M; the backstop lost 4 M."""
    desk = Journalled(venue(), 2, 15 * 10**12)
    desk.trade(ALICE, BOB, P, 100_000)
    desk.fall(-90_000, next(desk.time) + 10 * MINUTE)
    free = left_after_leaving(desk.ledger, ALICE, QUOTE, 0)
    after = next(desk.time) + 20 * MINUTE
    assert desk.refuse(Withdraw(after, ALICE, 0, QUOTE, free + 1)) is Reject.MARGIN_TOO_LOW
    desk.accept(Withdraw(after, ALICE, 0, QUOTE, free))
    risk = account_risk(desk.ledger, ALICE)
    assert risk.equity >= risk.initial >= 2 * risk.maintenance, "far from liquidation when the last atom has left"
    # Maintenance grows with size.
    small = Journalled(venue(), 2, 10**13)
    small.trade(ALICE, BOB, P, 100)
    of_small = account_risk(small.ledger, ALICE).maintenance
    assert account_risk(desk.ledger, ALICE).maintenance > 1_000 * of_small * 109 // 100
    # And its liquidation pays the fee.
    time_ms = after + 10 * MINUTE
    mark = P + P * 9 // 100
    for _ in range(6):
        time_ms += 10 * MINUTE
        mark -= P * 3 // 100
        desk.engine.submit([PlaceOrder(time_ms, BOB, 0, PERP, BUY, mark - 1, 99_000, 0)])
        desk.fall(-(mark - P) * 1_000_000 // P, time_ms)
    assert desk.ledger.balance[QUOTE][FUND] > 0


def test_jelly_2025_a_delisted_market_settles_at_a_price_that_nobody_chooses() -> None:
    """4 M USD at 0.0095, pumped 4.3-fold; validators delisted and settled at a price of their choice."""
    assert Settle._fields == ("time_ms", "account", "client_id", "market"), "the command has no price"
    desk = Journalled(replace(venue(), breaker_ppm=1_000_000, venue_breaker_ppm=1_000_000), 2, 10**12)
    desk.trade(ALICE, BOB, P, 1_000)
    for minute in range(1, 10):
        desk.fall(0, minute * MINUTE)
    desk.accept(Signal(9 * MINUTE, FUND, 0, PERP, int(Trigger.DELISTED), 1))
    assert desk.refuse(Settle(10 * MINUTE, FUND, 0, PERP)) is Reject.NO_SETTLEMENT_DUE
    for minute in range(10, 14):
        desk.fall(0, minute * MINUTE)
    spiked = 14 * MINUTE + 30_000
    answers = desk.fall(-800_000, spiked)  # at the last moment; the settlement follows by itself
    found = [event for event in events_of(answers) if type(event) is Settled]
    assert len(found) == 1 and P <= found[0].price <= P + P * 800_000 // 1_000_000 // 4
    assert not any(desk.ledger.size[PERP])
    desk.check()


def test_october_2025_a_wrapped_asset_is_worth_its_conversion_and_not_the_own_books_print() -> None:
    """wBETH printed 430 on the venue's book with ETH at 3,800 and a ratio of 1.08."""
    base = oracle_venue()
    wrapped = Asset("wbeth", 8, (HaircutTier(None, 900_000),), underlying=2, ratio_ppm=1_080_000)
    spot = replace(base.markets[BTC_SPOT], symbol="WBETH-USDT", asset=3)
    found = replace(base, assets=(*base.assets, wrapped), markets=(*base.markets, spot)).check()
    desk = OracleDesk(0)
    desk.engine = Engine(Ledger(found), Sink())
    eth = 3_800 * UNIT
    desk.submit(eth=eth)
    for name in ("alice", "bob", "carol"):
        desk.accept(OpenAccount(next(desk.time), 0, 0, name))
    desk.accept(Deposit(next(desk.time), ALICE, 0, 3, 10**7))  # 0.1 wBETH, 410 USDT, counted with 369
    for account in (BOB, CAROL):
        desk.accept(Deposit(next(desk.time), account, 0, 0, 10**12))
        desk.accept(Deposit(next(desk.time), account, 0, 3, 10**9))
    desk.trade(ALICE, BOB, P, 50)  # 3,000 USDT
    assert desk.ledger.prices[3] == eth * 108 // 100
    number, mark = 3, desk.ledger.marks[3]
    # The own book is sold down to the edge of its band, again and again.
    for _ in range(5):
        low = desk.ledger.bands[number][0]
        desk.accept(desk.order(BOB, BUY, low, 2, number))
        desk.accept(desk.order(CAROL, SELL, low, 2, number, Flag.IMMEDIATE))
        desk.wait(MINUTE)
        desk.submit(eth=eth)
        assert desk.ledger.prices[3] == eth * 108 // 100 and due(desk.ledger) == []
    assert desk.ledger.marks[3] >= mark * 95 // 100
    desk.submit(eth=eth + 50 * UNIT)
    assert desk.ledger.prices[3] == (eth + 50 * UNIT) * 108 // 100
    desk.submit(eth=eth)
    risk = account_risk(desk.ledger, ALICE)
    assert risk.equity >= risk.maintenance
    assert risk.equity - 369 * UNIT + 10**7 * 430 * UNIT // 10**8 * 9 // 10 < risk.maintenance, "the print would have"


def test_october_2025_every_liquidation_of_the_ledger_is_in_the_feed() -> None:
    """A venue's public feed showed one liquidation per second and symbol."""
    desk, events = crashed([4_000 * n for n in range(60)], 10_000)
    fed = [event for event in events if type(event) in (FundSettled, Deleveraged)]
    journalled = [event for frame in desk.frames for event in frame.events if type(event) in (FundSettled, Deleveraged)]
    assert fed == journalled[-len(fed) :] and len(fed) == len(journalled) > 20
    assert desk.auditor.sequence == desk.ledger.sequence == len(desk.frames), "no frame is missing"


def test_october_2025_deleveraging_comes_after_the_fund_is_deterministic_and_partial_on_the_last() -> None:
    """34,983 deleveraging events on 162 coins, 2.1 bn USD."""

    def run() -> tuple[Journalled, list[Any]]:
        desk = Journalled(venue(), 0)
        desk.accept(Deposit(next(desk.time), FUND, 0, QUOTE, 100 * UNIT))
        for name, cash in (("loser", 330 * UNIT), *((f"winner-{n}", (40 + 7 * n) * UNIT) for n in range(12))):
            desk.accept(OpenAccount(next(desk.time), 0, 0, name))
            desk.accept(Deposit(next(desk.time), len(desk.ledger.user_ids) - 1, 0, QUOTE, cash))
        for winner in range(3, 15):
            desk.trade(2, winner, P, 8 if winner < 14 else 12)
        return desk, events_of(desk.fall(90_000))

    desk, events = run()
    kinds = [type(event) for event in events if type(event) in (FundSettled, Deleveraged)]
    first = kinds.index(Deleveraged)
    assert set(kinds[:first]) == {FundSettled} and set(kinds[first:]) == {Deleveraged}
    assert desk.ledger.balance[QUOTE][FUND] == 0
    taken = [event for event in events if type(event) is Deleveraged]
    sizes = {event.counterparty: abs(event.lots) for event in taken}
    assert sum(sizes.values()) == 100 and len(sizes) == len(taken)
    left = [account for account in sizes if desk.ledger.size[PERP][account]]
    assert len(left) <= 1 and desk.ledger.size[PERP][2] == 0
    assert run()[1] == events


def test_the_tiers_used_here_are_the_venues() -> None:
    """So that a change of the test venue does not quietly turn these tests into others."""
    assert venue().markets[PERP].margin == (MarginTier(10**12, 50_000, 25_000), MarginTier(None, 100_000, 50_000))
    assert Oracle((Source("a", "0" * 64, 1),)).sources[0].weight == 1
