"""The independent audit: each check fails when what it compares is changed by one, and names the account."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from exchange.audit import Auditor, alarm
from exchange.codes import Reject
from exchange.commands import (
    Command,
    Deposit,
    Liquidate,
    MoveMargin,
    OpenAccount,
    OpenIsolated,
    PayFunding,
    PlaceOrder,
    Signal,
    SubmitQuotes,
)
from exchange.engine import Done, Engine
from exchange.events import Frame, PricesSet, QuotesTaken
from exchange.liquidator import due
from exchange.rules.modes import Trigger
from exchange.state import FEES, FUND, QUOTE, VENUE_WIDE, Ledger
from exchange.venue import Asset, HaircutTier
from tests.exchange.journalled import Journalled
from tests.exchange.oracles import oracle_venue, quotes
from tests.exchange.venues import ALICE, BOB, BUY, ETH_PERP, MARKS, PERP, PRICES, SELL, UNIT, Tape, btc_at, venue


def busy() -> tuple[Ledger, list[Frame]]:
    """Money in and into isolated margin, trades in all markets, fees, funding, a liquidation that pays the fund.

    Prices follow from quotes, of which one says nothing, and two are as late and as early as they may be.
    """
    tape = Tape()
    engine = Engine(Ledger(oracle_venue()), tape)

    def priced(time_ms: int, fall: int) -> SubmitQuotes:
        row = [0 if n == 1 else PRICES[1] * (100 - fall) // 100 + n for n in range(5)]
        eth = [0 if n == 3 else PRICES[2] + more for n, more in enumerate((0, 2, 3, 9, 1))]  # half of 8 at + 1
        said = quotes(time_ms, {1: row, 2: eth}, {0: 60_000})
        early = [quote._replace(time_ms=time_ms + 1_000) if quote.source == 2 else quote for quote in said]
        return SubmitQuotes(time_ms, 0, 0, tuple(early), b"")

    def order(account: int, market: int, side: int, price: int, lots: int) -> Command:
        return PlaceOrder(10**6, account, 0, market, side, price, lots, 0)

    commands: list[Command] = [priced(10**6, 0)]
    commands += [OpenAccount(10**6, 0, 0, name) for name in ("alice", "bob", "carol", "dave")]
    commands += [Deposit(10**6, 2, 0, 0, 33 * UNIT), Deposit(10**6, 3, 0, 0, 10**12), Deposit(10**6, 4, 0, 0, 10**12)]
    commands += [Deposit(10**6, 3, 0, 1, 10**8), Deposit(10**6, FUND, 0, 0, UNIT)]
    commands += [order(2, PERP, BUY, MARKS[0], 10), order(3, PERP, SELL, MARKS[0], 10)]
    commands += [order(4, ETH_PERP, BUY, MARKS[1], 7), order(3, ETH_PERP, SELL, MARKS[1], 7)]
    commands += [order(3, 2, SELL, MARKS[2], 3), order(4, 2, BUY, MARKS[2], 2)]
    commands += [OpenIsolated(10**6, 3, 0, PERP), MoveMargin(10**6, 3, 0, 6, 7 * UNIT)]
    commands += [PayFunding(10**6, 0, 0, PERP, 37), order(4, PERP, BUY, MARKS[0] * 97 // 100, 20)]
    commands += [priced(10**6 + 1000, 4), Liquidate(10**6 + 1000, FUND, 0, 2), priced(10**6 + 2000, 3)]
    assert all(isinstance(answer, Done) for answer in engine.submit(commands))
    return engine.ledger, tape.frames


def audited(frames: list[Frame]) -> Auditor:
    auditor = Auditor(oracle_venue())
    auditor.read(frames)
    return auditor


def test_a_busy_venue_adds_up() -> None:
    ledger, frames = busy()
    auditor = audited(frames)
    checks = auditor.compare(ledger)
    assert [check for check in checks if not check.ok] == [] and len(checks) == 20
    assert alarm(checks, 5) is None
    assert {check.detail for check in checks} == {""}
    assert auditor.prices_read == 6 and auditor.cash[FEES] > 0 and auditor.cash[FUND] > UNIT


def balance(ledger: Ledger) -> None:
    ledger.balance[QUOTE][3] += 1


def moved(ledger: Ledger) -> None:
    ledger.balance[QUOTE][3] += 1
    ledger.balance[QUOTE][4] -= 1


def fund(ledger: Ledger) -> None:
    ledger.balance[QUOTE][FUND] -= 1


def fees(ledger: Ledger) -> None:
    ledger.balance[QUOTE][FEES] -= 1


def held(ledger: Ledger) -> None:
    ledger.balance[1][4] += 1


def promised(ledger: Ledger) -> None:
    ledger.locked[1][4] = ledger.balance[1][4] + 1


def size(ledger: Ledger) -> None:
    ledger.size[ETH_PERP][3] += 1


def interest(ledger: Ledger) -> None:
    ledger.open_interest[PERP] += 1


def mark(ledger: Ledger) -> None:
    ledger.marks[PERP] += 1


def sequence(ledger: Ledger) -> None:
    ledger.sequence += 1


CHANGES: list[tuple[Callable[[Ledger], None], set[str]]] = [
    (sequence, {"sequence"}),
    (balance, {"usdt: deposits - withdrawals = held", "cash: accounts that agree"}),
    (moved, {"cash: accounts that agree"}),
    (fund, {"usdt: deposits - withdrawals = held", "cash: accounts that agree", "insurance fund"}),
    (fees, {"usdt: deposits - withdrawals = held", "cash: accounts that agree", "fee income"}),
    (held, {"btc: deposits - withdrawals = held", "btc: accounts that agree"}),
    (promised, {"btc: accounts below what they promised"}),
    (size, {"ETH-PERP: positions sum to zero", "ETH-PERP: accounts that agree"}),
    (interest, {"BTC-PERP: open interest"}),
    (mark, {"prices and marks that agree"}),
]


@pytest.mark.parametrize(("change", "names"), CHANGES)
def test_one_atom_is_found_and_the_account_named(change: Callable[[Ledger], None], names: set[str]) -> None:
    ledger, frames = busy()
    auditor = audited(frames)
    change(ledger)
    checks = auditor.compare(ledger)
    assert {check.name for check in checks if not check.ok} == names
    details = [
        check.detail for check in checks if not check.ok and "that agree" in check.name and "marks" not in check.name
    ]
    assert all(detail.startswith("account ") for detail in details)
    command = alarm(checks, 77)
    assert command is not None
    assert command == Signal(77, FUND, 0, VENUE_WIDE, Trigger.AUDIT_MISMATCH, 1)
    agree = [check for check in checks if not check.ok and check.name.startswith("cash: accounts")]
    assert all(check.right == check.left - check.detail.count("account") for check in agree)


def test_of_many_accounts_that_differ_the_first_five_are_named() -> None:
    ledger, frames = busy()
    auditor = audited(frames)
    for account in range(7):
        ledger.balance[QUOTE][account] += 1
    (check,) = (check for check in auditor.compare(ledger) if check.name == "cash: accounts that agree")
    assert check.detail == "account 0, account 1, account 2, account 3, account 4" and check.left - check.right == 7


def test_a_wrapped_price_is_that_of_its_underlying() -> None:
    base = oracle_venue()
    wrapped = Asset("wbeth", 8, (HaircutTier(None, 900_000),), underlying=2, ratio_ppm=1_080_000)
    sol = Asset("sol", 8, (HaircutTier(None, 900_000),))
    definition = replace(base, assets=(*base.assets, wrapped, sol)).check()
    for other in (0, 1):
        tape = Tape()
        engine = Engine(Ledger(definition), tape)
        said = {1: [PRICES[1]] * 5, 2: [PRICES[2]] * 5, 4: [150 * UNIT] * 5}
        engine.submit([SubmitQuotes(10**6, 0, 0, quotes(10**6, said), b"")])
        own = SubmitQuotes(10**6, 0, 0, quotes(10**6, {3: [PRICES[2]] * 5}), b"")
        assert engine.submit([own]) == [Reject.ASSET_UNKNOWN]
        prices, *rest = tape.frames[0].events
        assert isinstance(prices, PricesSet)
        changed = prices._replace(assets=(*prices.assets[:3], prices.assets[3] + other, prices.assets[4]))
        auditor = Auditor(definition)
        auditor.read([tape.frames[0]._replace(events=(changed, *rest))])
        assert auditor.prices_read == 4 and auditor.prices_follow == 4 - other


def test_the_newest_quotes_of_the_smallest_quorum_are_enough() -> None:
    definition, tape = oracle_venue([1] * 4, quorum_ppm=750_000), Tape()
    said = quotes(10**6, {1: [9, 10, 11, 0], 2: [1, 1, 11, 0]})
    older = tuple(quote._replace(price=99, time_ms=quote.time_ms - 1) for quote in said)
    too_few, nothing = said[:2] + said[4:6], ()
    engine = Engine(Ledger(definition), tape)
    engine.submit(SubmitQuotes(10**6, 0, 0, one, b"") for one in ((*said, *older[::4]), too_few, nothing))
    found = [event.assets[1:] for frame in tape.frames for event in frame.events if type(event) is PricesSet]
    assert found == [(10, 1)] * 3
    auditor = Auditor(definition)
    auditor.read(tape.frames)
    assert auditor.prices_follow == auditor.prices_read == 6


@pytest.mark.parametrize(("account", "lost"), [(4, 10**13), (5, 1)])
def test_who_is_below_zero_without_being_on_the_list_is_named(account: int, lost: int) -> None:
    ledger, frames = busy()
    auditor = audited(frames)
    auditor.cash[account] -= lost
    failed = {check.name: check.detail for check in auditor.compare(ledger) if not check.ok}
    assert failed["accounts below zero outside liquidation"] == f"account {account}"


def test_who_is_below_zero_and_due_for_liquidation_is_no_fault() -> None:
    desk = Journalled(venue())
    desk.deposit(33 * UNIT, 10**12, 10**12)
    desk.trade(ALICE, BOB, MARKS[PERP], 10)
    desk.accept(btc_at(next(desk.time), -60_000))  # audited, as every command
    assert desk.equity(ALICE) < 0


def test_who_owes_an_atom_and_nothing_else_is_on_the_list() -> None:
    ledger, frames = busy()
    auditor = audited(frames)
    auditor.cash[5] -= 1
    ledger.balance[QUOTE][5] -= 1
    assert "accounts below zero outside liquidation" not in {c.name for c in auditor.compare(ledger) if not c.ok}


def test_what_other_assets_are_worth_keeps_an_account_above_zero() -> None:
    desk = Journalled(venue())
    desk.deposit(UNIT, 10**12, 10**12)
    desk.accept(Deposit(next(desk.time), ALICE, 0, 1, 10**5))  # 60 USDT
    desk.trade(ALICE, BOB, MARKS[PERP], 10)
    desk.accept(btc_at(next(desk.time), -20_000))  # 12 lost
    desk.trade(BOB, ALICE, desk.ledger.marks[PERP], 10)
    assert desk.ledger.balance[QUOTE][ALICE] < 0 and due(desk.ledger) == []


def test_quotes_of_the_first_millisecond_count() -> None:
    tape = Tape()
    engine = Engine(Ledger(oracle_venue()), tape)
    engine.submit([SubmitQuotes(0, 0, 0, quotes(0, {1: [PRICES[1]] * 5, 2: [PRICES[2]] * 5}), b"")])
    auditor = audited(tape.frames)
    assert auditor.prices_follow == auditor.prices_read == 2 and auditor.prices == list(PRICES)


def test_without_sources_nothing_is_said_of_quotes() -> None:
    checks = Auditor(venue()).compare(Ledger(venue()))
    assert all(check.ok for check in checks) and not any("quotes" in check.name for check in checks)


@pytest.mark.parametrize("asset", [1, 2])
def test_a_price_that_is_not_the_median_of_its_quotes_is_found(asset: int) -> None:
    ledger, frames = busy()
    at = max(n for n, frame in enumerate(frames) if type(frame.events[0]) is PricesSet)
    prices, taken = frames[at].events[0], frames[at].events[1]
    assert isinstance(prices, PricesSet) and isinstance(taken, QuotesTaken)
    other = list(prices.assets)
    other[asset] += 1
    frames[at] = frames[at]._replace(events=(prices._replace(assets=tuple(other)), *frames[at].events[1:]))
    failed = [check for check in audited(frames).compare(ledger) if not check.ok]
    assert {check.name for check in failed} == {"prices and marks that agree", "prices that follow from their quotes"}
    late = tuple(quote._replace(time_ms=quote.time_ms - 10**6 + 1) for quote in taken.quotes)
    frames[at] = frames[at]._replace(events=(prices, taken._replace(quotes=late), *frames[at].events[2:]))
    names = {check.name for check in audited(frames).compare(ledger) if not check.ok}
    assert names == {"prices that follow from their quotes"}, "without recent quotes the price would have stayed"
