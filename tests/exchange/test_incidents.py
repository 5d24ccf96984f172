"""Real incidents, driven through the ledger by commands: what a venue's books make of them. Facts as reported.

The rules alone are tested in rules/test_incidents.py.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from exchange.audit import Auditor, alarm
from exchange.codes import Reject
from exchange.commands import (
    CancelOrder,
    Command,
    Deposit,
    Flag,
    FundTransfer,
    Liquidate,
    OpenAccount,
    PlaceOrder,
    SetPrices,
    Settle,
    Signal,
    SubmitQuotes,
    Withdraw,
)
from exchange.engine import Answer, Done, Engine, Sink
from exchange.events import Deleveraged, Frame, FundReason, FundSettled, ModeSet, Settled, Traded, unpack_frames
from exchange.invariants import broken
from exchange.liquidator import due, set_prices
from exchange.metrics import risk_metrics
from exchange.risk import account_risk, left_after_leaving
from exchange.rules.modes import Mode, Trigger
from exchange.rules.oracle import Quality
from exchange.shards import VersionMismatch, summed, valued
from exchange.state import FEES, FUND, QUOTE, VENUE_WIDE, Ledger
from exchange.venue import Asset, HaircutTier, MarginTier, Oracle, Source, Venue
from tests.exchange.oracles import BTC, OracleDesk, oracle_venue, quotes
from tests.exchange.venues import (
    ALICE,
    BOB,
    BTC_SPOT,
    BUY,
    CAROL,
    ETH_PERP,
    MARKS,
    PERP,
    PRICES,
    SELL,
    UNIT,
    Desk,
    venue,
)

P = MARKS[PERP]
MINUTE = 60_000


class Journalled(Desk):
    """A desk at any venue, whose frames are kept and audited after every command."""

    def __init__(self, definition: Venue, users: int = 3, cash: int = 0) -> None:
        self.frames: list[Frame] = []
        frames = self.frames

        class Kept(Sink):
            def append(self, first_sequence: int, count: int, time_ms: int, payload: bytes) -> None:
                frames.extend(unpack_frames(payload))

        self.engine, self.time = Engine(Ledger(definition.check()), Kept()), itertools.count(1)
        self.auditor = Auditor(definition)
        self.accept(SetPrices(next(self.time), 0, 0, PRICES, MARKS))
        for user in range(users):
            self.accept(OpenAccount(next(self.time), 0, 0, f"user-{user}"))
            if cash:
                self.accept(Deposit(next(self.time), user + 2, 0, QUOTE, cash))

    def ask(self, command: Command) -> Answer:
        answer = super().ask(command)
        self.check()
        return answer

    def check(self) -> None:
        """The audit agrees, and every invariant holds."""
        self.auditor.read(self.frames[self.auditor.sequence :])
        assert [check for check in self.auditor.compare(self.ledger) if not check.ok] == []
        assert broken(self.ledger) == []

    def fall(self, ppm: int, at_ms: int | None = None) -> list[Answer]:
        """BTC at its first price less `ppm`, and the liquidations that follow."""
        mark = P - P * ppm // 1_000_000
        time_ms = next(self.time) if at_ms is None else at_ms
        assets = (UNIT, mark * 100_000, PRICES[2])
        answers = set_prices(self.engine, SetPrices(time_ms, 0, 0, assets, (mark, MARKS[1], mark)))
        self.check()
        return answers


def with_market(number: int = PERP, **changes: Any) -> Venue:
    base = venue()
    markets = list(base.markets)
    markets[number] = replace(markets[number], **changes)
    return replace(base, markets=tuple(markets))


def events_of(answers: list[Answer]) -> list[Any]:
    return [event for answer in answers if isinstance(answer, Done) for event in answer.events]


def test_okex_2018_the_market_refuses_a_position_beyond_its_depth() -> None:
    """416 M USD long in one account, against a book and a fund that could not take it."""
    cap = 10**6 * UNIT  # where a position has to be paid in full
    desk = Journalled(with_market(interest_lower=cap // 4, interest_upper=cap), 3, 10**12)
    desk.trade(ALICE, BOB, P, 16_000)  # 960,000 USDT on 1,000,000
    desk.accept(SetPrices(next(desk.time), 0, 0, PRICES, MARKS))
    assert desk.refuse(desk.order(CAROL, BUY, P, 30_000)) is Reject.MARGIN_TOO_LOW
    plain = Journalled(venue(), 3, 10**12)
    plain.trade(ALICE, BOB, P, 16_000)
    plain.accept(SetPrices(next(plain.time), 0, 0, PRICES, MARKS))
    plain.accept(plain.order(CAROL, BUY, P, 30_000))  # by size tiers alone it would have gone through


def test_okex_2018_forced_in_the_loss_goes_down_the_waterfall_and_nothing_is_lost() -> None:
    """Fund, then what the treasury put into it, then the winners; the sum of everything stays to the atom."""
    desk = Journalled(venue(), 3)
    for account, amount in ((ALICE, 33_000 * UNIT), (BOB, 10**12), (CAROL, 10**12)):
        desk.accept(Deposit(next(desk.time), account, 0, QUOTE, amount))
    desk.trade(ALICE, BOB, P, 10_000)
    desk.accept(Deposit(next(desk.time), FUND, 0, QUOTE, 1_000 * UNIT))  # its own entry, not hidden in a price
    desk.accept(FundTransfer(next(desk.time), CAROL, 0, 500 * UNIT))
    answers = desk.fall(60_000)
    kinds = [type(event) for event in events_of(answers) if type(event) in (FundSettled, Deleveraged)]
    assert kinds == [FundSettled, Deleveraged], "the fund first, the winners last"
    assert desk.ledger.balance[QUOTE][FUND] == 0
    assert desk.equity(ALICE) == 0


HONEST = [9150, 9148, 9152, 9151, 9149, 9150]


@pytest.mark.parametrize("bad", [0, 1, 9_999_999])
def test_deribit_2019_one_bad_source_of_seven_liquidates_nobody(bad: int) -> None:
    scale = PRICES[BTC] // 9150
    desk = OracleDesk(3, 0, weights=[1] * 7)
    desk.submit([price * scale for price in [*HONEST, 9150]])
    for account, amount in ((ALICE, 24 * UNIT), (BOB, 10**12)):
        desk.accept(Deposit(next(desk.time), account, 0, QUOTE, amount))
    mark = desk.ledger.marks[PERP]
    desk.trade(ALICE, BOB, mark, 7)  # 420 USDT on 24: 5.7 %, and 2.5 % are asked for
    before = desk.btc
    desk.submit([price * scale for price in [*HONEST, bad]])
    assert min(HONEST) * scale <= desk.btc <= max(HONEST) * scale
    assert abs(desk.btc - before) * 1000 <= 5 * before
    assert due(desk.ledger) == []
    desk.submit([0] * 7)
    assert due(desk.ledger) == [] and desk.btc == before


NAMES = ["alameda", "allow_negative", "insurance-fund-2", "root", "FTX", "vip", "0", "-1"]


@pytest.mark.parametrize("name", NAMES)
def test_ftx_2019_no_name_exempts_from_anything(name: str) -> None:
    desk = Journalled(venue(), 2, 10**10)
    desk.accept(OpenAccount(next(desk.time), 0, 0, name))
    account = desk.ledger.account_of[name]
    assert desk.refuse(desk.order(account, BUY, P, 1)) is Reject.MARGIN_TOO_LOW
    assert desk.refuse(Withdraw(next(desk.time), account, 0, QUOTE, 1)) is Reject.BALANCE_TOO_LOW
    desk.accept(Deposit(next(desk.time), account, 0, QUOTE, 33 * UNIT))
    desk.trade(account, ALICE, P, 10)
    desk.accept(desk.order(BOB, BUY, P - P * 3 // 100, 50))
    desk.fall(34_000)
    assert desk.ledger.size[PERP][account] == 0, "and liquidated like everybody"


def test_ftx_2019_even_the_venues_own_rows_have_no_other_way() -> None:
    desk = Journalled(venue(), 1, 10**10)
    for account in (FUND, FEES):
        assert desk.refuse(desk.order(account, BUY, P, 1)) is Reject.ACCOUNT_RESERVED
    assert desk.refuse(Withdraw(next(desk.time), FUND, 0, QUOTE, 1)) is Reject.ACCOUNT_RESERVED
    assert desk.refuse(Withdraw(next(desk.time), FEES, 0, QUOTE, 1)) is Reject.BALANCE_TOO_LOW
    # State that a decision about an account can depend on is numbers in columns: there is no flag.
    assert {column.typecode for column in desk.ledger.columns()} == {"q"}


def test_ftx_2019_the_published_fund_is_the_ledgers_and_its_events_sum() -> None:
    desk = Journalled(venue(), 3)
    for account, amount in ((ALICE, 33 * UNIT), (BOB, 10**12), (CAROL, 10**12)):
        desk.accept(Deposit(next(desk.time), account, 0, QUOTE, amount))
    desk.accept(Deposit(next(desk.time), FUND, 0, QUOTE, 50 * UNIT))
    desk.trade(ALICE, BOB, P, 10)
    desk.accept(desk.order(CAROL, BUY, P - P * 49 // 1000, 50))
    desk.fall(34_000)
    moved = sum(e.amount for frame in desk.frames for e in frame.events if type(e) is FundSettled)
    published = risk_metrics(desk.ledger)["fund"]
    assert published == desk.ledger.balance[QUOTE][FUND] == 50 * UNIT + moved != 50 * UNIT


def test_bitmex_2021_parts_at_different_prices_are_a_version_mismatch_and_not_a_loss() -> None:
    desk = Journalled(venue(), 6, 10**10)
    for account in range(3, 8):
        desk.trade(account, ALICE, P, 10 * account)
    accounts = len(desk.ledger.user_ids)
    one = valued(desk.ledger, 0, 4)
    desk.fall(20_000)
    other = valued(desk.ledger, 4, accounts)
    assert one.positions + other.positions != 0, "added up it would look like money lost"
    with pytest.raises(VersionMismatch):
        summed([one, other])
    assert summed([valued(desk.ledger, 0, 4), other]).positions == 0


def test_bitmex_2023_debit_and_credit_are_one_event_and_an_atom_too_many_stops_the_venue() -> None:
    desk = Journalled(venue(), 3, 10**9)
    events = desk.accept(FundTransfer(next(desk.time), ALICE, 0, 7))
    assert len(events) == 1
    desk.ledger.balance[QUOTE][BOB] += 1
    checks = desk.auditor.compare(desk.ledger)
    failed = {check.name: check.detail for check in checks if not check.ok}
    assert failed["cash: accounts that agree"] == f"account {BOB}"
    command = alarm(checks, next(desk.time))
    assert command is not None
    (answer,) = desk.engine.submit([command])  # the next frame
    assert isinstance(answer, Done) and ModeSet(VENUE_WIDE, Mode.WITHDRAW_GATED) in answer.events
    later = desk.engine.submit([Withdraw(10**6, BOB, 0, QUOTE, 1), desk.order(BOB, BUY, P, 1)._replace(time_ms=10**6)])
    assert later == [Reject.MODE_FORBIDS] * 2
    desk.ledger.balance[QUOTE][BOB] -= 1
    assert alarm(desk.auditor.compare(desk.ledger), 0) is not None, "the alarm itself is not in the audit yet"
    desk.check()
    assert alarm(desk.auditor.compare(desk.ledger), 0) is None


def crashed(path_ppm: list[int], step_ms: int, **changes: Any) -> tuple[Journalled, list[Any]]:
    """100 accounts of 3 to 30 times leverage go down a path, a thin book bids on the way."""
    desk = Journalled(replace(venue(), breaker_ppm=1_000_000, venue_breaker_ppm=1_000_000, **changes), 2, 10**13)
    commands: list[Command] = []
    for user in range(100):
        commands.append(OpenAccount(200, 0, 0, f"trader-{user}"))
    desk.engine.submit(commands)
    for user in range(100):
        account, leverage = 4 + user, 3 + user % 28
        value = 600 * UNIT
        orders: list[Command] = [
            Deposit(300, account, 0, QUOTE, value * 107 // (100 * min(leverage, 19)) + UNIT),
            PlaceOrder(300, 2, 0, PERP, SELL if user % 7 else BUY, P, 10, 0),
            PlaceOrder(300, account, 0, PERP, BUY if user % 7 else SELL, P, 10, int(Flag.IMMEDIATE)),
        ]
        assert all(isinstance(answer, Done) for answer in desk.engine.submit(orders))
    desk.check()
    found = []
    for step, ppm in enumerate(path_ppm):
        time_ms = 1_000 + step * step_ms
        mark = P - P * ppm // 1_000_000
        bids = [PlaceOrder(time_ms, 3, 0, PERP, BUY, mark - 9 - n, 8, 0) for n in range(5)]
        desk.engine.submit(bids)
        found.extend(events_of(desk.fall(ppm, time_ms)))
        desk.engine.submit([Liquidate(time_ms, FUND, 0, account) for account in due(desk.ledger)])
        desk.check()
    return desk, found


def test_china_ban_2021_a_third_in_an_hour_is_conserved_and_what_it_cost_is_on_record() -> None:
    """ETH fell 31 % within 60 minutes, 10 % from one minute to the next low."""
    path = [5_000 * n for n in range(8)] + [310_000] * 3
    desk, events = crashed(path, MINUTE)
    paid = -sum(e.amount for e in events if type(e) is FundSettled and e.reason == FundReason.LOSS)
    taken = [e for e in events if type(e) is Deleveraged]
    assert sum(type(e) is Traded for e in events) > 20
    assert taken and paid > 0
    flat = [a for a in range(4, 104) if not desk.ledger.size[PERP][a]]
    assert len(flat) > 60 and all(desk.equity(account) >= 0 for account in flat)


def test_drift_2022_what_may_leave_is_covered_at_every_step_of_minus_95_percent() -> None:
    """LUNA from 10 to 0.5: winners may take out what is theirs, and the vault has it."""
    desk, _ = crashed([], MINUTE)
    ledger = desk.ledger
    vault = ledger.deposited[QUOTE] - ledger.withdrawn[QUOTE]
    accounts = range(len(ledger.user_ids))
    for step in range(1, 96):
        time_ms = 10_000 + step * MINUTE
        mark = P - P * step // 100
        desk.engine.submit([PlaceOrder(time_ms, 3, 0, PERP, BUY, mark, 600, 0)])
        desk.fall(10_000 * step, time_ms)
        desk.engine.submit([CancelOrder(time_ms, 3, 0, order) for order in list(ledger.orders)])
        if step == 50:  # a winner closes half way down, against a newcomer's bid, and takes the profit
            desk.engine.submit([PlaceOrder(time_ms, 3, 0, PERP, SELL, mark + 1, 30, 0)])
            winner = next(account for account in accounts if account > 3 and ledger.size[PERP][account] < 0)
            desk.engine.submit([PlaceOrder(time_ms, winner, 0, PERP, BUY, mark + 1, 10, int(Flag.REDUCE_ONLY))])
            assert not ledger.size[PERP][winner]
        leaving = sum(max(0, left_after_leaving(ledger, account, QUOTE, 0)) for account in accounts)
        debts = sum(max(0, -account_risk(ledger, account).equity) for account in accounts)
        assert leaving <= vault + debts and debts == 0, step
    before = ledger.balance[QUOTE][winner]
    desk.accept(Withdraw(10_000 + 96 * MINUTE, winner, 0, QUOTE, before))
    assert ledger.deposited[QUOTE] - ledger.withdrawn[QUOTE] == vault - before


def mango() -> tuple[OracleDesk, int]:
    """Two wallets of 5 M USDT: one long, one short, 480,000 lots at 6,000 on a market whose price is theirs to move."""
    desk = OracleDesk(3, 0)
    for account in (ALICE, BOB):
        desk.accept(Deposit(next(desk.time), account, 0, QUOTE, 5_000_000 * UNIT))
    lots = 160_000  # 9.6 M USDT: what 5 M carry here
    for _ in range(2):
        desk.trade(ALICE, BOB, P, lots // 2)
    return desk, lots


def test_mango_2022_profit_on_a_pumped_price_does_not_leave() -> None:
    """Bought spot with 4 M until the price was 24 times higher, and borrowed 116 M on the profit."""
    desk, lots = mango()
    pumped = PRICES[BTC] * 3  # as far as this venue lets a price go
    desk.submit(pumped)
    assert desk.ledger.oracle.qualities[BTC] >= Quality.JUMPED
    time_ms = next(desk.time)
    assert desk.refuse(Withdraw(time_ms, ALICE, 0, QUOTE, UNIT)) in (Reject.PRICE_UNRELIABLE, Reject.MODE_FORBIDS)
    assert desk.refuse(desk.order(ALICE, BUY, 0, 1)) is Reject.MODE_FORBIDS
    # And once everybody believes the price: unrealised profit still is no money.
    for _ in range(200):
        desk.wait(10 * MINUTE)
        desk.submit(pumped)
    assert desk.ledger.oracle.qualities[BTC] == Quality.VALID
    profit = desk.equity(ALICE) - 5_000_000 * UNIT
    assert profit > 3 * 5_000_000 * UNIT and desk.ledger.size[PERP][ALICE] == lots
    left = left_after_leaving(desk.ledger, ALICE, QUOTE, 0)
    settled = desk.ledger.balance[QUOTE][ALICE]
    assert settled < 5_001_000 * UNIT, "the deposit, and rebates for resting orders"
    assert left == settled - account_risk(desk.ledger, ALICE).initial
    assert desk.refuse(Withdraw(next(desk.time), ALICE, 0, QUOTE, left + 1)) is Reject.MARGIN_TOO_LOW


def test_mango_2022_the_market_carries_no_more_than_its_depth() -> None:
    desk = Journalled(with_market(interest_lower=2_000_000 * UNIT, interest_upper=8_000_000 * UNIT), 2)
    for account in (ALICE, BOB):
        desk.accept(Deposit(next(desk.time), account, 0, QUOTE, 5_000_000 * UNIT))
    opened = 0
    for _ in range(20):
        answers = [desk.ask(desk.order(ALICE, BUY, P, 10_000)), desk.ask(desk.order(BOB, SELL, P, 10_000))]
        if not all(isinstance(answer, Done) for answer in answers):
            break
        opened += 10_000
        desk.accept(SetPrices(next(desk.time), 0, 0, PRICES, MARKS))
    assert opened * 6_000_000 * 10 < 8_000_000 * UNIT * 10 and 0 < opened < 200_000


def test_dydx_2023_many_wallets_are_one_market() -> None:
    """YFI: open interest from 0.8 M to 67 M over wallets that each were within their limit."""
    lower, upper = 500_000 * UNIT, 2_000_000 * UNIT
    desk = Journalled(with_market(interest_lower=lower, interest_upper=upper), 1, 10**14)
    refused_at = 0
    for wallet in range(60):
        desk.accept(OpenAccount(next(desk.time), 0, 0, f"wallet-{wallet}"))
        account = desk.ledger.account_of[f"wallet-{wallet}"]
        desk.accept(Deposit(next(desk.time), account, 0, QUOTE, 12_000 * UNIT))
        desk.accept(desk.order(ALICE, SELL, P, 1_000))
        answer = desk.ask(desk.order(account, BUY, P, 1_000))  # 60,000 USDT, five times
        if answer is Reject.MARGIN_TOO_LOW:
            refused_at = desk.ledger.open_interest[PERP] * desk.ledger.lot_values[PERP]
            break
        desk.accept(SetPrices(next(desk.time), 0, 0, PRICES, MARKS))
    assert lower < refused_at < upper
    calm = desk.order(ALICE, SELL, MARKS[ETH_PERP], 1, ETH_PERP)
    desk.accept(calm)  # the other market is not concerned


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
