"""A ledger's snapshot: the same accounts, the same equity to the last value unit, the same totals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from api.cli import main
from api.feed import evidence_of
from api.importers.ledger import ledger_snapshot
from api.importers.scenarios import read_scenarios
from api.ledger_snapshots import write_ledger_snapshot
from exchange.commands import MoveMargin, OpenIsolated
from exchange.engine import Engine, Sink
from exchange.events import unpack_frames
from exchange.evolve import evolve_frame
from exchange.journal import Journal, journal_url
from exchange.recovery import recover
from exchange.risk import account_risk
from exchange.state import QUOTE, Ledger
from exchange.statehash import state_hash
from prover.errors import InputError
from prover.positions import first_positions, position_sides
from prover.publication import prove_directory
from prover.snapshot import Snapshot
from prover.snapshot_meta import SnapshotMeta
from tests.api.test_simulate import simulated
from tests.exchange.flow import batches
from tests.exchange.venues import ALICE, BOB, MARKS, PERP, Desk, venue
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


def test_an_isolated_account_is_a_row_of_its_own() -> None:
    desk = Desk(2, 10**9)
    desk.accept(OpenIsolated(next(desk.time), ALICE, 0, PERP))
    isolated = len(desk.ledger.user_ids) - 1
    desk.accept(MoveMargin(next(desk.time), ALICE, 0, isolated, 10**8))
    desk.trade(isolated, BOB, MARKS[PERP], 5)
    snapshot = ledger_snapshot(desk.ledger)
    assert snapshot.user_id(isolated) == desk.ledger.user_ids[isolated] != snapshot.user_id(ALICE)
    scale = 10 ** (snapshot.meta.value_decimals - 6)
    assert equities(snapshot) == [worth * scale for worth in ledger_worth(desk.ledger)]


def ledger_worth(ledger: Ledger) -> list[int]:
    """Quote atoms per account, at full values and the ledger's marks."""
    return [
        ledger.balance[QUOTE][account]
        + sum(
            ledger.size[market][account] * ledger.lot_values[market] - ledger.cost[market][account]
            for market in ledger.tables.perpetuals
        )
        for account in range(len(ledger.user_ids))
    ]


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


SCENARIOS = {
    "format": "solvent/scenarios/v1",
    "scenarios": [{"name": "Half", "shock": {"all": "-0.5"}}, {"name": "A tenth up", "shock": {"all": "0.1"}}],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated crash with snapshots of its own after bars 3 and 6."""
    folder = tmp_path_factory.mktemp("crash")
    assert simulated(folder, "run", "--snapshot-every", "3") == 0
    return folder / "run"


def unsalted(meta: SnapshotMeta) -> SnapshotMeta:
    return replace(meta, ledger_salt="", ledger_state="")


def command(*words: str | Path) -> int:
    return main(["snapshot", *map(str, words), "--json"])


def test_a_snapshot_of_the_ledger_is_proved_at_signed_prices_and_its_totals_are_the_ledgers(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "stress.json").write_text(json.dumps(SCENARIOS))
    folder, out = tmp_path / "snapshot", tmp_path / "publication"
    assert command(run, "--out", folder, "--scenarios", tmp_path / "stress.json") == 0
    risk = json.loads((folder / "risk.json").read_text())
    assert json.loads(capsys.readouterr().out)["sequence"] == risk["sequence"]
    snapshot = Snapshot.load(folder)
    meta = snapshot.meta
    scenarios = read_scenarios(folder / "scenarios.json", meta.instruments, meta.value_decimals, meta.quote)
    prove_directory(
        snapshot,
        out,
        policy="disclosed",
        scenarios=scenarios,
        prices=folder / "prices.json",
        reserves=folder / "holdings.csv",
    )
    report = verify_directory(out)
    assert report.solvent, [check for check in report.checks if not check.ok]
    statement = report.statement
    journal = Journal(journal_url(run / "journal.db"))
    ledger = recover(journal).ledger
    journal.close()
    proved = dict(zip((i.symbol for i in statement.instruments), statement.totals, strict=True))
    for number in ledger.tables.perpetuals:
        market = proved[ledger.venue.markets[number].symbol]
        assert market.long == market.short == ledger.open_interest[number] > 0
    for number, asset in enumerate(ledger.venue.assets):
        inside = ledger.deposited[number] - ledger.withdrawn[number]
        assert proved[asset.symbol].long - proved[asset.symbol].short == inside
    scale = 10 ** (meta.value_decimals - 6)
    rounded = 10**4 * len(ledger.user_ids)  # a hundredth of a quote unit per account
    for loss, row in zip(statement.losses, risk["scenarios"], strict=True):
        assert abs(loss.shortfall - row["shortfall"] * scale) <= rounded * scale
        assert abs(loss.margin_deficit - row["margin_deficit"] * scale) <= rounded * scale
    assert risk["scenarios"][0]["shortfall"] > 0
    assert risk["fund"] == ledger.balance[QUOTE][0]


def test_a_snapshot_by_replay_is_the_one_that_was_taken_on_the_way(run: Path, tmp_path: Path) -> None:
    for taken in sorted((run / "snapshots").iterdir()):
        assert command(run, "--sequence", str(int(taken.name)), "--out", tmp_path / taken.name) == 0
        live, again = Snapshot.load(taken), Snapshot.load(tmp_path / taken.name)
        assert unsalted(live.meta) == unsalted(again.meta)
        assert np.array_equal(live.amounts, again.amounts) and np.array_equal(live.positions, again.positions)
        for name in ("prices.json", "risk.json", "holdings.csv", "scenarios.json"):
            assert (taken / name).read_bytes() == (tmp_path / taken.name / name).read_bytes()


def test_replay_up_to_a_frame_is_the_ledger_as_it_was(run: Path) -> None:
    journal = Journal(journal_url(run / "journal.db"))
    step_by_step = Ledger(journal.venue)
    last = journal.sequence
    wanted = {1, 7, 350, last // 3, last // 2, last - 1, last}
    for block in journal.blocks():
        for frame in unpack_frames(block.payload):
            evolve_frame(step_by_step, frame)
            if step_by_step.sequence in wanted:
                found = recover(journal, until=step_by_step.sequence)
                assert state_hash(found.ledger) == state_hash(step_by_step)
                assert (found.checkpoint > 0) == (step_by_step.sequence == last)
    journal.close()


def test_a_snapshot_does_not_stop_the_venue(tmp_path: Path) -> None:
    """Taken of an open journal from the side, while its one writer goes on; nobody's state is another for it."""
    writer = Journal(journal_url(tmp_path / "journal.db"), venue())
    engine = Engine(Ledger(venue()), writer)
    undisturbed = Engine(Ledger(venue()), Sink())
    for number, batch in enumerate(batches(600, 5, 60)):
        engine.submit(batch)
        undisturbed.submit(batch)
        if number in (3, 7):
            out = tmp_path / f"at-{engine.ledger.sequence}"
            where = (tmp_path / "journal.db", f"sqlite:///{tmp_path / 'journal.db'}")[number > 3]
            assert command(where, "--out", out) == 0
            assert Snapshot.load(out).meta.sequence == engine.ledger.sequence
    assert state_hash(engine.ledger) == state_hash(undisturbed.ledger) == state_hash(recover(writer).ledger)
    writer.close()


@pytest.mark.negative
def test_snapshots_that_cannot_be_taken_are_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(run, "--sequence", "99999999", "--out", tmp_path / "a") == 2
    assert command(tmp_path / "no.db", "--out", tmp_path / "a") == 2
    assert command(run, "--sequence", "1", "--out", run) == 2
    (tmp_path / "text").write_text("no journal")
    capsys.readouterr()
    assert command(tmp_path / "text", "--out", tmp_path / "a") == 1
    assert "not a journal" in json.loads(capsys.readouterr().out)["message"]
    assert not (tmp_path / "a").exists()


@pytest.mark.negative
def test_prices_without_signed_quotes_need_a_word(run: Path, tmp_path: Path) -> None:
    journal = Journal(journal_url(run / "journal.db"))
    ledger = recover(journal).ledger
    journal.close()
    evidence = ledger.oracle.evidence
    documents = evidence.splitlines(keepends=True)
    late = evidence_of(ledger.venue, evidence)
    for broken_evidence in (b"", b"".join(documents[:2]), evidence.replace(b"BTC-PERP", b"BTC-PERQ")):
        ledger.oracle.evidence = broken_evidence
        with pytest.raises(InputError, match="evidence"):
            write_ledger_snapshot(ledger, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    write_ledger_snapshot(ledger, tmp_path / "out", at_marks=True)
    assert not (tmp_path / "out" / "prices.json").exists()
    marks = {i.symbol: i.price for i in Snapshot.load(tmp_path / "out").meta.instruments}
    assert marks["BTC-PERP"] % ledger.lot_values[0] == 0
    ledger.time_ms += 200_000
    with pytest.raises(InputError, match="evidence"):
        ledger_snapshot(ledger, evidence=late)  # too old by then
