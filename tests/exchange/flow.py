"""A seeded stream of commands that fits its ledger: what a busy and slightly clumsy market sends."""

from __future__ import annotations

import random
from collections.abc import Iterator

from exchange.commands import (
    CancelOrder,
    Command,
    Deposit,
    FundTransfer,
    Liquidate,
    OpenAccount,
    PayFunding,
    PlaceOrder,
    SetPrices,
    Signal,
    Withdraw,
)
from exchange.rules.modes import Trigger
from tests.exchange.venues import MARKS, PRICES, UNIT


def commands(count: int, seed: int, accounts: int = 20) -> Iterator[Command]:
    """Accounts and money, then `count` commands; client ids are the command's number. Never looks at a ledger."""
    chance = random.Random(seed)
    number = 0

    def header(account: int) -> tuple[int, int, int]:
        nonlocal number
        number += 1
        return number * 1_000, account, number

    yield SetPrices(*header(0), PRICES, MARKS)
    for user in range(accounts):
        yield OpenAccount(*header(0), f"user-{user}")
    for account in range(2, accounts + 2):
        yield Deposit(*header(account), 0, chance.randrange(10**8, 10**11))
        yield Deposit(*header(account), 1, chance.randrange(10**5, 10**8))
    marks = list(MARKS)
    for _ in range(count):
        account = 2 + chance.randrange(accounts)
        kind = chance.random()
        if kind < 0.55:
            market, side = chance.randrange(3), chance.choice((1, -1))
            price = marks[market] - side * chance.randrange(-marks[market] // 300, marks[market] // 100)
            flags = chance.choice((0, 0, 0, 1, 2, 4, 8, 16))
            yield PlaceOrder(*header(account), market, side, price, chance.randrange(1, 30), flags)
        elif kind < 0.85:
            yield CancelOrder(*header(account), 1 + chance.randrange(max(1, number // 2)))
        elif kind < 0.9:
            yield Withdraw(*header(account), chance.randrange(2), chance.randrange(1, 10**7))
        elif kind < 0.92:
            yield FundTransfer(*header(account), chance.randrange(1, UNIT))
        elif kind < 0.95:
            yield PayFunding(*header(0), chance.randrange(2), chance.randrange(-200, 201))
        elif kind < 0.97:
            yield Liquidate(*header(0), account)
        elif kind < 0.975:
            yield Signal(*header(0), chance.randrange(3), Trigger.ORACLE_UNCERTAIN, chance.randrange(2))
        else:
            scale = chance.randrange(950_000, 1_050_000)
            marks = [mark * scale // 10**6 for mark in MARKS]
            assets = (UNIT, *(price * scale // 10**6 for price in PRICES[1:]))
            yield SetPrices(*header(0), assets, tuple(marks))


def batches(count: int, seed: int, size: int) -> list[list[Command]]:
    """The same stream in batches."""
    stream = list(commands(count, seed))
    return [stream[at : at + size] for at in range(0, len(stream), size)]
