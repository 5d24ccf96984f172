"""Finds who is to be liquidated, over all accounts at once, and lets the engine do it step by step."""

from __future__ import annotations

from typing import Final

import numpy as np

from exchange.commands import Command, Liquidate, SetPrices, Settle, SubmitQuotes, Uncross
from exchange.engine import Answer, Done, Engine
from exchange.rules.modes import Trigger
from exchange.rules.rounding import PPM
from exchange.scanning import scan_accounts
from exchange.settlement import is_open
from exchange.state import FIRST_USER, FUND, Ledger
from exchange.watch import is_calling

ROUNDS_MAX: Final = 8
"""Steps of one account per price: a large position is closed over several prices, not into one thin book."""


def due(ledger: Ledger) -> list[int]:
    """Accounts to liquidate, the least healthy first, equal ones by number."""
    result = scan_accounts(ledger)
    (found,) = np.nonzero(result.liquidatable | (result.equity < 0))
    ratios = []
    for account in found.tolist():
        if account >= FIRST_USER:
            equity, required = int(result.equity[account]), int(result.required[account])
            ratios.append((equity * PPM // max(required, 1), account))
    return [account for _, account in sorted(ratios)]


def due_of_markets(ledger: Ledger, time_ms: int) -> list[Command]:
    """Auctions that end and markets that settle by `time_ms`, by number of market."""
    commands: list[Command] = []
    venue = ledger.venue
    for (number, trigger), since in sorted(ledger.signs.items()):
        if trigger == Trigger.REOPENING and is_calling(ledger, number) and time_ms >= since + venue.auction_ms:
            commands.append(Uncross(time_ms, FUND, 0, number))
        elif trigger == Trigger.DELISTED and time_ms >= since + venue.settlement_ms and is_open(ledger, number):
            commands.append(Settle(time_ms, FUND, 0, number))
    return commands


def set_prices(engine: Engine, command: SetPrices | SubmitQuotes, rounds: int = ROUNDS_MAX) -> list[Answer]:
    """New prices, then auctions and settlements that are due, and the liquidations that follow: all journalled."""
    answers = engine.submit([command])
    return answers + work_off(engine, command.time_ms, rounds) if isinstance(answers[0], Done) else answers


def work_off(engine: Engine, time_ms: int, rounds: int = ROUNDS_MAX) -> list[Answer]:
    """Ends what is due of auctions and markets, then liquidates until nobody is due or nothing more can be done.

    After each round the accounts are scanned again, because trades and the fund may have changed anybody.
    """
    answers = engine.submit(due_of_markets(engine.ledger, time_ms))
    for _ in range(rounds):
        steps = engine.submit([Liquidate(time_ms, FUND, 0, account) for account in due(engine.ledger)])
        answers.extend(steps)
        if not any(isinstance(answer, Done) for answer in steps):
            break
    return answers
