"""Isolated margin: an account of its own for one market, and what is in it is all that can be lost there."""

from __future__ import annotations

import pytest

from exchange.codes import Reject
from exchange.commands import (
    Command,
    Deposit,
    FundTransfer,
    MoveMargin,
    OpenAccount,
    OpenIsolated,
    PlaceOrder,
    Withdraw,
)
from exchange.engine import Engine, Sink
from exchange.events import IsolatedOpened, MarginMoved
from exchange.liquidator import set_prices
from exchange.state import FUND, QUOTE, Ledger
from exchange.statehash import ledger_from_bytes, state_bytes
from tests.exchange.venues import (
    ALICE,
    BOB,
    BTC_SPOT,
    BUY,
    ETH_PERP,
    MARKS,
    PERP,
    RICH,
    SELL,
    UNIT,
    Desk,
    btc_at,
    check_invariants,
    venue,
)

P = MARKS[PERP]
APART = 5
"""Number of the isolated account in `desk`."""


def desk(margin: int = 40 * UNIT) -> Desk:
    """Alice (rich) holds `margin` apart for BTC-PERP."""
    new = Desk()
    assert new.accept(OpenIsolated(next(new.time), ALICE, 0, PERP)) == (IsolatedOpened(APART, ALICE, PERP),)
    if margin:
        moved = new.accept(MoveMargin(next(new.time), ALICE, 0, APART, margin))
        assert moved == (MarginMoved(ALICE, APART, margin),)
    return new


def test_a_loss_stays_apart() -> None:
    new = desk()
    new.accept(Deposit(next(new.time), FUND, 0, 0, 100 * UNIT))
    new.trade(APART, BOB, P, 10)
    set_prices(new.engine, btc_at(next(new.time), -80_000))  # -48 USDT on 40
    ledger = new.ledger
    check_invariants(ledger)
    assert ledger.size[PERP][APART] == 0 == new.equity(APART)
    assert ledger.balance[QUOTE][ALICE] == RICH - 40 * UNIT
    assert ledger.balance[QUOTE][FUND] < 100 * UNIT  # it paid: the parent did not


def test_money_elsewhere_is_no_margin_here_and_the_other_way_round() -> None:
    new = desk()
    assert new.refuse(new.order(APART, BUY, P, 14)) is Reject.MARGIN_TOO_LOW  # 42 of 40
    new.accept(new.order(APART, BUY, P, 13))
    new.accept(MoveMargin(next(new.time), ALICE, 0, APART, 10 * UNIT))
    new.accept(new.order(APART, BUY, P, 1))


def test_what_comes_back_is_free_and_settled() -> None:
    new = desk()
    new.trade(APART, BOB, P, 10)
    assert new.refuse(MoveMargin(next(new.time), ALICE, 0, APART, -11 * UNIT)) is Reject.MARGIN_TOO_LOW
    new.accept(btc_at(next(new.time), 10_000))  # 6 USDT unrealised: not out before it is settled
    assert new.refuse(MoveMargin(next(new.time), ALICE, 0, APART, -10 * UNIT)) is Reject.MARGIN_TOO_LOW
    new.trade(BOB, APART, new.ledger.marks[PERP], 10)
    free = new.ledger.balance[QUOTE][APART]
    assert free > 45 * UNIT
    new.accept(MoveMargin(next(new.time), ALICE, 0, APART, -free))
    assert new.ledger.balance[QUOTE][APART] == 0


def test_a_single_atom_goes_in_and_comes_back() -> None:
    new = desk(0)
    assert new.accept(MoveMargin(next(new.time), ALICE, 0, APART, 1)) == (MarginMoved(ALICE, APART, 1),)
    assert new.accept(MoveMargin(next(new.time), ALICE, 0, APART, -1)) == (MarginMoved(APART, ALICE, 1),)


def test_a_restart_keeps_what_belongs_to_whom() -> None:
    new = desk()
    new.trade(APART, BOB, P, 1)
    copy = ledger_from_bytes(new.ledger.venue, state_bytes(new.ledger))
    assert copy.risk.isolated == {APART: (ALICE, PERP)} and copy.risk.isolated_of == {(ALICE, PERP): APART}
    assert copy.user_ids[APART] == "user-0|BTC-PERP"
    assert state_bytes(copy) == state_bytes(new.ledger)


REFUSALS: list[tuple[Command, Reject]] = [
    (OpenIsolated(99, FUND, 0, PERP), Reject.ACCOUNT_RESERVED),
    (OpenIsolated(99, 77, 0, PERP), Reject.ACCOUNT_UNKNOWN),
    (OpenIsolated(99, -1, 0, PERP), Reject.ACCOUNT_UNKNOWN),
    (OpenIsolated(99, ALICE, 0, -1), Reject.MARKET_UNKNOWN),
    (MoveMargin(99, -1, 0, APART, 1), Reject.ACCOUNT_UNKNOWN),
    (OpenIsolated(99, APART + 1, 0, PERP), Reject.ACCOUNT_UNKNOWN),
    (OpenIsolated(99, ALICE, 0, 3), Reject.MARKET_UNKNOWN),
    (OpenIsolated(99, ALICE, 0, BTC_SPOT), Reject.MARKET_KIND),
    (OpenIsolated(99, APART, 0, ETH_PERP), Reject.ACCOUNT_ISOLATED),
    (OpenIsolated(99, ALICE, 0, PERP), Reject.ISOLATED_EXISTS),
    (MoveMargin(99, ALICE, 0, APART, 0), Reject.AMOUNT_NOT_POSITIVE),
    (MoveMargin(99, ALICE, 0, APART, -(1 << 62)), Reject.AMOUNT_TOO_LARGE),
    (MoveMargin(99, ALICE, 0, BOB, 1), Reject.ACCOUNT_UNKNOWN),
    (MoveMargin(99, 77, 0, APART, 1), Reject.ACCOUNT_UNKNOWN),
    (MoveMargin(99, APART + 1, 0, APART, 1), Reject.ACCOUNT_UNKNOWN),
    (MoveMargin(99, BOB, 0, APART, -1), Reject.ISOLATED_NOT_OWN),
    (MoveMargin(99, FUND, 0, APART, 1), Reject.ISOLATED_NOT_OWN),
    (MoveMargin(99, ALICE, 0, APART, 2 * RICH), Reject.BALANCE_TOO_LOW),
    (MoveMargin(99, ALICE, 0, APART, -41 * UNIT), Reject.BALANCE_TOO_LOW),
    (Deposit(99, APART, 0, 0, 1), Reject.ACCOUNT_ISOLATED),
    (Withdraw(99, APART, 0, 0, 1), Reject.ACCOUNT_ISOLATED),
    (FundTransfer(99, APART, 0, 1), Reject.ACCOUNT_ISOLATED),
    (OpenAccount(99, 0, 0, "user-0|ETH-PERP"), Reject.USER_ID_INVALID),
    (OpenAccount(99, 0, 0, "x" * 96), Reject.USER_ID_INVALID),
]


@pytest.mark.parametrize(("command", "code"), REFUSALS)
def test_the_first_reason_wins(command: Command, code: Reject) -> None:
    new = desk()
    before = state_bytes(new.ledger)
    assert new.refuse(command) is code
    assert state_bytes(new.ledger) == before


def test_the_first_user_is_unknown_before_it_is_there() -> None:
    engine = Engine(Ledger(venue()), Sink())
    assert engine.submit([OpenIsolated(1, ALICE, 0, PERP)]) == [Reject.ACCOUNT_UNKNOWN]
    assert engine.submit([PlaceOrder(1, ALICE, 0, PERP, BUY, P, 1, 0)]) == [Reject.ACCOUNT_UNKNOWN]


@pytest.mark.parametrize("flags", [0, 4])
def test_it_trades_in_its_market_only(flags: int) -> None:
    """By the short way (plain orders) and by the long one."""
    new = desk()
    new.accept(new.order(APART, BUY, P - 10, 1, flags=flags))
    assert new.refuse(new.order(APART, SELL, MARKS[1] + 9, 1, ETH_PERP, flags)) is Reject.MARKET_ISOLATED
    assert new.refuse(new.order(APART, BUY, P, 1, BTC_SPOT, flags)) is Reject.MARKET_ISOLATED
