"""The venue of `solvent demo`'s second half: made-up users of real tokens, with debts, perpetuals and a fund."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import pyarrow as pa

from api.importers.prices import read_binance_assets, whole_prices
from api.importers.scenarios import default_file, read_scenarios
from api.synthetic import synthetic_users, with_perpetuals
from prover.positions import equity_of
from prover.snapshot import Snapshot, seal
from verifier.fund import FUND_USER_ID
from verifier.instruments import Scenario
from verifier.statement import Losses, Statement

TOKENS_FILE: Final = "cex_assets_info_real483.csv"
UNDERLYINGS: Final = ("btc", "eth", "sol")
ACCOUNTS: Final = 1_000
SEED: Final = 2025


def margin_venue(samples: Path) -> Snapshot:
    """1,000 users over 483 tokens at their real prices and haircut curves; the richest account is the fund."""
    prices = read_binance_assets(samples / TOKENS_FILE)
    whole = whole_prices(prices, None)
    table = with_perpetuals(whole.instruments, whole.value_decimals, UNDERLYINGS)
    snapshot = synthetic_users(table, whole.value_decimals, ACCOUNTS, SEED, exchange="demo-venue")
    names: list[str] = snapshot.user_ids.to_pylist()
    worth = equity_of(snapshot.offsets, snapshot.positions, snapshot.amounts, table)
    names[max(range(len(names)), key=worth.of)] = FUND_USER_ID
    return seal(replace(snapshot, user_ids=pa.chunked_array([pa.array(names)])), snapshot.meta.ledger_salt)


def default_scenarios(snapshot: Snapshot) -> tuple[Scenario, ...]:
    """The scenarios that ship with the program, for a snapshot's instruments."""
    meta = snapshot.meta
    return read_scenarios(default_file(), meta.instruments, meta.value_decimals, meta.quote)


def smaller_loss(statement: Statement) -> Statement:
    """The same statement with the largest margin deficit of all scenarios one value unit smaller."""
    worst = max(range(len(statement.losses)), key=lambda s: statement.losses[s].margin_deficit)
    losses = list(statement.losses)
    losses[worst] = Losses(losses[worst].shortfall, losses[worst].margin_deficit - 1)
    return replace(statement, losses=tuple(losses))
