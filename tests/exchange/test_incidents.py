"""Real incidents, driven through the ledger by commands: what a venue's books make of them. Facts as reported.

The rules alone are tested in rules/test_incidents.py.
"""

from __future__ import annotations

from array import array

import pytest

from exchange.audit import alarm
from exchange.codes import Reject
from exchange.commands import (
    CancelOrder,
    Deposit,
    Flag,
    FundTransfer,
    OpenAccount,
    PlaceOrder,
    SetPrices,
    Withdraw,
)
from exchange.engine import Done
from exchange.events import Deleveraged, FundReason, FundSettled, ModeSet, Traded
from exchange.liquidator import due
from exchange.metrics import risk_metrics
from exchange.risk import account_risk, left_after_leaving
from exchange.rules.modes import Mode
from exchange.rules.oracle import Quality
from exchange.shards import VersionMismatch, summed, valued
from exchange.state import FEES, FUND, QUOTE, VENUE_WIDE
from tests.exchange.journalled import MINUTE, Journalled, P, crashed, events_of, with_market
from tests.exchange.oracles import BTC, OracleDesk
from tests.exchange.venues import (
    ALICE,
    BOB,
    BUY,
    CAROL,
    ETH_PERP,
    MARKS,
    PERP,
    PRICES,
    SELL,
    UNIT,
    venue,
)


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
    desk.deposit(33_000 * UNIT, 10**12, 10**12)
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
    desk.deposit(24 * UNIT, 10**12)
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
    assert {column.typecode for column in desk.ledger.columns() if isinstance(column, array)} == {"q"}


def test_ftx_2019_the_published_fund_is_the_ledgers_and_its_events_sum() -> None:
    desk = Journalled(venue(), 3)
    desk.deposit(33 * UNIT, 10**12, 10**12)
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
    desk.deposit(5_000_000 * UNIT, 5_000_000 * UNIT)
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
    desk.deposit(5_000_000 * UNIT, 5_000_000 * UNIT)
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
