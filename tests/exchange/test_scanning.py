"""The scan and the deleveraging queue: the fast ways say what the slow and obvious ones do."""

from __future__ import annotations

import random

import pytest

from exchange.commands import Deposit, OpenAccount, SetPrices
from exchange.engine import Done
from exchange.risk import account_risk
from exchange.rules.adl import allocate, rank
from exchange.scanning import candidates, scan_accounts
from exchange.state import QUOTE, Ledger
from tests.exchange.venues import BUY, ETH_PERP, MARKS, PERP, PRICES, SELL, UNIT, Desk


def crowded(seed: int) -> Ledger:
    """40 accounts with positions of all sizes in two markets, after a fall of 4 %."""
    chance = random.Random(seed)
    desk = Desk(2, 10**13, None)
    commands = [OpenAccount(9, 0, 0, f"more {n}") for n in range(38)]
    desk.engine.submit(commands)
    for account in range(4, 42):
        desk.engine.submit([Deposit(9, account, 0, QUOTE, chance.randrange(10, 400) * UNIT)])
        desk.engine.submit([Deposit(9, account, 0, 1, chance.choice((0, 1, 50_000)) or 1)])
        for market in (PERP, ETH_PERP):
            side = chance.choice((BUY, SELL))
            price = MARKS[market] + chance.randrange(-3, 4) * 100
            lots = chance.randrange(1, 40)
            rest, take = desk.order(2, -side, price, lots, market), desk.order(account, side, price, lots, market)
            answers = desk.engine.submit([rest._replace(time_ms=9), take._replace(time_ms=9, flags=1)])
            assert isinstance(answers[0], Done)
    marks = (MARKS[0] * 96 // 100, MARKS[1] * 96 // 100, MARKS[2])
    desk.engine.submit([SetPrices(10, 0, 0, (UNIT, PRICES[1] * 96 // 100, PRICES[2]), marks)])
    return desk.ledger


@pytest.mark.parametrize("seed", range(6))
def test_the_scan_is_the_account_by_account_figure(seed: int) -> None:
    ledger = crowded(seed)
    found = scan_accounts(ledger)
    for account in range(len(ledger.user_ids)):
        risk = account_risk(ledger, account)
        assert int(found.equity[account] - found.required[account]) == risk.equity - risk.maintenance
        assert bool(found.liquidatable[account]) or risk.equity >= risk.maintenance or risk.equity < 0


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("size", [-60, 60])
def test_the_short_queue_allocates_like_the_whole_one(seed: int, size: int) -> None:
    ledger = crowded(seed)
    for market in (PERP, ETH_PERP):
        everybody = rank(candidates(ledger, market, size, 10**12))
        assert len(everybody) > 5
        for lots in (1, 7, 30, 60):
            near = rank(candidates(ledger, market, size, lots))
            assert near == everybody[: len(near)]
            part = lots if size > 0 else -lots
            assert allocate(near, part) == allocate(everybody, part)
