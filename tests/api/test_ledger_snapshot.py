"""A ledger's snapshot: the same accounts, the same equity to the last value unit, the same totals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from api.importers.ledger import ledger_snapshot
from exchange.engine import Engine, Sink
from exchange.risk import account_risk
from exchange.state import QUOTE, Ledger
from prover.errors import InputError
from prover.positions import first_positions, position_sides
from prover.publication import prove_directory
from prover.snapshot import Snapshot
from tests.exchange.flow import batches
from tests.exchange.venues import venue
from verifier import verify_directory
from verifier.instruments import SPOT
from verifier.legs import LONG, derive_legs


def busy_ledger() -> Ledger:
    engine = Engine(Ledger(venue()), Sink())
    for batch in batches(1500, 7, 500):
        engine.submit(batch)
    return engine.ledger


def equities(snapshot: Snapshot) -> list[int]:
    """Value units per account, from the snapshot alone."""
    sides = position_sides(snapshot.meta.instruments)
    worth = []
    for start, stop in zip(snapshot.offsets[:-1].tolist(), snapshot.offsets[1:].tolist(), strict=True):
        total = 0
        for at in range(start, stop):
            side = sides[int(snapshot.positions[at])]
            value = int(snapshot.amounts[at]) * snapshot.meta.instruments[side.instrument].price
            total += value if side.side == LONG else -value
        worth.append(total)
    return worth


def test_equity_of_every_account_is_the_ledgers() -> None:
    ledger = busy_ledger()
    snapshot = ledger_snapshot(ledger)
    scale = 10 ** (snapshot.meta.value_decimals - 6)
    exact = []
    for account in range(len(ledger.user_ids)):
        total = ledger.balance[QUOTE][account] * scale
        for asset in (1, 2):
            total += ledger.balance[asset][account] * ledger.prices[asset] * scale // ledger.tables.units[asset]
        for market in ledger.tables.perpetuals:
            total += (ledger.size[market][account] * ledger.lot_values[market] - ledger.cost[market][account]) * scale
        exact.append(total)
    assert equities(snapshot) == exact
    assert snapshot.user_id(0) == "insurance-fund"


def test_totals_are_the_ledgers_and_positions_cancel() -> None:
    ledger = busy_ledger()
    snapshot = ledger_snapshot(ledger)
    totals = dict(zip((i.symbol for i in snapshot.meta.instruments), snapshot.totals(), strict=True))
    for number, asset in enumerate(ledger.venue.assets):
        held, owed = totals[asset.symbol]
        assert held - owed == ledger.deposited[number] - ledger.withdrawn[number]
    for number in ledger.tables.perpetuals:
        held, owed = totals[ledger.venue.markets[number].symbol]
        assert held == owed == ledger.open_interest[number]
    held, owed = totals["usdt-cost"]
    assert held == owed
    assert sum(map(sum, ledger.cost)) != 0  # so marking mattered


def test_health_in_the_proof_is_at_most_the_ledgers() -> None:
    ledger = busy_ledger()
    snapshot = ledger_snapshot(ledger)
    legs = derive_legs("solvency_risk_v1", snapshot.meta.value_decimals, snapshot.meta.instruments, ())
    by_total: dict[int, list[tuple[int, int]]] = {}
    for leg in legs:
        by_total.setdefault(leg.total, []).append((leg.cap, leg.lens_coefficients[0]))
    scale = 10 ** (snapshot.meta.value_decimals - 6)
    for account in range(len(ledger.user_ids)):
        health = 0
        for at in range(int(snapshot.offsets[account]), int(snapshot.offsets[account + 1])):
            left = int(snapshot.amounts[at])
            for cap, coefficient in by_total[int(snapshot.positions[at])]:
                health += min(left, cap) * coefficient
                left -= min(left, cap)
        risk = account_risk(ledger, account)
        # The ledger rounds to quote atoms against the account, twice per asset and once per market; the proof does not.
        assert health <= (risk.equity - risk.maintenance + 6) * scale


def test_the_snapshot_survives_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    snapshot = ledger_snapshot(busy_ledger(), salt="11" * 32)
    snapshot.write(path)
    again = Snapshot.load(path)
    assert again.meta == snapshot.meta and np.array_equal(again.amounts, snapshot.amounts)
    spot = [instrument for instrument in snapshot.meta.instruments if instrument.kind == SPOT]
    assert len(spot) == 3 and int(first_positions(snapshot.meta.instruments)[-1]) == 12


def test_a_ledger_without_prices_has_no_snapshot() -> None:
    with pytest.raises(InputError, match="prices"):
        ledger_snapshot(Ledger(venue()))


def test_a_proof_of_the_ledger_is_accepted_and_says_solvent(tmp_path: Path) -> None:
    ledger = busy_ledger()
    reserves = tmp_path / "reserves.csv"
    rows = ["asset,amount"]
    for number, asset in enumerate(ledger.venue.assets):
        here = ledger.deposited[number] - ledger.withdrawn[number]
        rows.append(f"{asset.symbol},{here // asset.unit_atoms}.{here % asset.unit_atoms:0{asset.decimals}d}")
    reserves.write_text("\n".join(rows) + "\n")
    out = tmp_path / "publication"
    prove_directory(ledger_snapshot(ledger), out, policy="disclosed", reserves=reserves)
    report = verify_directory(out)
    assert report.solvent, [check for check in report.checks if not check.ok]
    proved = dict(zip((i.symbol for i in report.statement.instruments), report.statement.totals, strict=True))
    for number in ledger.tables.perpetuals:
        assert proved[ledger.venue.markets[number].symbol].long == ledger.open_interest[number]
    for number, asset in enumerate(ledger.venue.assets):
        assert proved[asset.symbol].long - proved[asset.symbol].short == (
            ledger.deposited[number] - ledger.withdrawn[number]
        )
