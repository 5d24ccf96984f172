"""A ledger's snapshot as a folder: what `solvent prove` needs, and the venue's risk metrics at the same moment."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Final

from api.feed import evidence_of
from api.importers.ledger import ledger_snapshot
from api.importers.scenarios import default_file, read_scenarios
from exchange.metrics import Shock, risk_metrics
from exchange.rules.oracle import Quality
from exchange.state import QUOTE, Ledger
from exchange.venue import PERPETUAL
from prover.errors import InputError
from prover.snapshot import Snapshot
from verifier.errors import VerificationError
from verifier.instruments import Scenario
from verifier.statement import units

RISK_FORMAT: Final = "solvent/risk/v1"
PRICES_FILE: Final = "prices.json"
SCENARIOS_FILE: Final = "scenarios.json"
RISK_FILE: Final = "risk.json"
HOLDINGS_FILE: Final = "holdings.csv"


def write_ledger_snapshot(
    ledger: Ledger, out: Path, *, scenarios: Path | None = None, at_marks: bool = False
) -> dict[str, Any]:
    """Writes the folder, whole or not at all, and returns the risk metrics.

    Args:
        out: must not exist. Besides the snapshot: `prices.json` (of a venue with an oracle), `scenarios.json`,
            `risk.json`, and `holdings.csv` (per asset what came in less what went out, as a file of reserves).
        scenarios: the stress scenarios; None: those that come with the program.
        at_marks: value perpetuals at the venue's marks, and leave the price file out.

    Raises:
        InputError: `out` is taken, prices that signed quotes do not support, or a bad scenario file.
    """
    scenarios = default_file() if scenarios is None else scenarios
    evidence = None if at_marks or not ledger.venue.oracle.sources else _evidence(ledger)
    snapshot = ledger_snapshot(ledger, evidence=evidence)
    meta = snapshot.meta
    shocks = read_scenarios(scenarios, meta.instruments, meta.value_decimals, meta.quote)
    data = risk_data(ledger, snapshot, shocks)
    snapshot.write(out)
    try:
        if evidence is not None:
            (out / PRICES_FILE).write_bytes(evidence)
        shutil.copyfile(scenarios, out / SCENARIOS_FILE)
        (out / HOLDINGS_FILE).write_text(_holdings(ledger))
        (out / RISK_FILE).write_text(json.dumps(data, indent=1) + "\n")
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise
    return data


def risk_data(ledger: Ledger, snapshot: Snapshot, scenarios: tuple[Scenario, ...]) -> dict[str, Any]:
    """The metrics with their format and units; money in atoms of the quote asset."""
    shocks = [_shock(ledger, snapshot, scenario) for scenario in scenarios]
    quote = ledger.venue.assets[QUOTE]
    head = {"format": RISK_FORMAT, "venue": ledger.venue.name, "quote": quote.symbol, "quote_decimals": quote.decimals}
    qualities = {
        asset.symbol: Quality(quality).name.lower()
        for asset, quality in zip(ledger.venue.assets, ledger.oracle.qualities, strict=True)
    }
    return {**head, **risk_metrics(ledger, shocks), "price_quality": qualities}


def _evidence(ledger: Ledger) -> bytes:
    try:
        return evidence_of(ledger.venue, ledger.oracle.evidence)
    except VerificationError as error:
        got = f"evidence: {error}"
        raise InputError(got=got, expected="signed quotes behind the ledger's last prices (or --at-marks)") from None


def _shock(ledger: Ledger, snapshot: Snapshot, scenario: Scenario) -> Shock:
    """A scenario in the ledger's units: whole quote atoms, rounded down."""
    meta = snapshot.meta
    values = dict(zip((instrument.symbol for instrument in meta.instruments), scenario.values, strict=True))
    scale = 10 ** (meta.value_decimals - ledger.venue.assets[QUOTE].decimals)
    prices = [values[asset.symbol] * asset.unit_atoms // scale for asset in ledger.venue.assets]
    lots = [values[market.symbol] // scale if market.kind == PERPETUAL else 0 for market in ledger.venue.markets]
    return Shock(scenario.name, tuple(prices), tuple(lots))


def _holdings(ledger: Ledger) -> str:
    rows = ["asset,amount"]
    for number, asset in enumerate(ledger.venue.assets):
        rows.append(f"{asset.symbol},{units(ledger.deposited[number] - ledger.withdrawn[number], asset.decimals)}")
    return "\n".join(rows) + "\n"
