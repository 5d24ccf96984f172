"""`solvent simulate` and `replay`: real code on a made-up crash; files that are no bars are refused."""

from __future__ import annotations

import gzip
import json
import sqlite3
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from api.cli import main
from api.feed import Feed
from api.importers.bars import read_markets
from api.importers.depth import read_depth
from exchange.commands import SubmitQuotes
from prover.errors import InputError
from prover.snapshot import Snapshot

BITSTAMP = Path(__file__).parents[2] / "data" / "market" / "bitstamp_BTCUSD_1h_20200305_20200319.csv"
HEADER = "open_time_ms,open,high,low,close,volume\n"
CRASH = [60_000, 60_100, 59_000, 57_500, 55_000, 54_800, 52_900, 54_000]


def bars_file(folder: Path, name: str = "BTCUSDT_1m.csv", scale: float = 1.0, start_ms: int = 0) -> Path:
    """A bar a minute through `CRASH`, each from one price to the next with a little on both ends."""
    rows = []
    for number, (first, last) in enumerate(pairwise(CRASH)):
        prices = (first, max(first, last) + 40, min(first, last) - 60, last)
        text = ",".join(f"{price * scale:.2f}" for price in prices)
        rows.append(f"{1_600_000_000_000 + start_ms + 60_000 * number},{text},1.0\n")
    path = folder / name
    data = (HEADER + "".join(rows)).encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(capsys.readouterr().out)
    return data


def simulated(folder: Path, out: str, *extra: str) -> int:
    files = [bars_file(folder), bars_file(folder, "ETHUSDT_1m.csv.gz", 0.05)]
    words = [word for file in files for word in ("--market", str(file))]
    return main(["simulate", *words, "--accounts", "300", "--out", str(folder / out), "--json", *extra])


def test_a_crash_is_worked_off_and_the_audit_agrees(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulated(tmp_path, "run", "--snapshot-every", "3") == 0
    data = said(capsys)
    assert data["verdict"] == "audit passed" and data["totals"]["liquidations"] > 10
    assert all(check["ok"] for check in data["audit"]) and len(data["audit"]) == 20
    assert data["totals"]["bars_not_normal"] > 0  # 12 % in five minutes halts
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["state_hash"] == data["state_hash"]
    assert len(report["series"]["mark_BTC"]) == len(CRASH) - 1
    page = (tmp_path / "run" / "report.html").read_text()
    assert page.count("<svg") == 9 and "http" not in page
    snapshots = sorted((tmp_path / "run" / "snapshots").iterdir())
    assert len(snapshots) == 2
    totals = {
        instrument.symbol: total
        for snapshot in [Snapshot.load(snapshots[1])]
        for instrument, total in zip(snapshot.meta.instruments, snapshot.totals(), strict=True)
    }
    assert totals["BTC-PERP"][0] == totals["BTC-PERP"][1] > 0

    assert main(["replay", str(tmp_path / "run"), "--json"]) == 0
    again = said(capsys)
    assert again["verdict"] == "same state" and again["state_hash"] == data["state_hash"]
    signed = again["audit"][-1]
    assert signed["name"] == "quotes that signed documents support"
    assert signed["left"] == signed["right"] == str(1 + 4 * (len(CRASH) - 1))


def test_black_thursday_keeps_the_books_straight_at_every_price(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bitstamp's hours from 12 March 2020 08:00 UTC: from 7,260 to 3,850 USD in eighteen hours."""
    header, *rows = BITSTAMP.read_text().splitlines(keepends=True)
    path = tmp_path / BITSTAMP.name
    path.write_text(header + "".join(row for row in rows if 1_584_000_000 <= int(row[:10]) < 1_584_075_600))
    assert main(["simulate", "--market", str(path), "--accounts", "400", "--out", str(tmp_path / "run"), "--json"]) == 0
    data = said(capsys)
    assert data["invariants_broken"] == [] and all(check["ok"] for check in data["audit"])
    assert data["totals"]["bars"] == 21 and data["totals"]["liquidations"] > 20
    series = json.loads((tmp_path / "run" / "report.json").read_text())["series"]
    assert min(series["mark_BTC"]) < 5_300 and series["mark_BTC"][0] > 7_000
    # A fifth within a quarter of an hour is a jump: that price alone liquidates nobody, and nobody may grow.
    assert "jumped" in series["price_quality_BTC"] and "reduce_only" in series["mode_BTC"]
    assert data["totals"]["fund_paid"] > 0 and data["totals"]["deleveraged"] > 0


def test_a_broken_invariant_is_an_exit_code_and_stands_in_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exchange.simulate.broken", lambda ledger: ["usdt: held 1, came in less went out 2"])
    assert simulated(tmp_path, "run") == 1
    data = said(capsys)
    assert data["verdict"] == "audit failed" and len(data["invariants_broken"]) == 4 * (len(CRASH) - 1)
    assert "usdt: held 1" in (tmp_path / "run" / "report.html").read_text()


def depth_file(folder: Path, rows: str) -> Path:
    path = folder / "BTCUSDT-bookDepth.csv"
    path.write_text("timestamp,percentage,depth,notional,weighted_avg_price\n" + rows)
    return path


def depth_rows(time: str, *notionals: int) -> str:
    return "".join(f"{time},{n},1.0,{value}.5,2\n" for n, value in enumerate(notionals, start=1))


def test_makers_follow_a_real_books_depth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A book that is all but gone after two minutes: what liquidations then find is not there."""
    full = (240_000_000, 430_000_000, 520_000_000, 650_000_000, 760_000_000)
    empty = tuple(value // 2_000 for value in full)
    rows = depth_rows("2020-09-13 12:26:40", *full) + depth_rows("2020-09-13 12:27:00", *full)
    rows += "".join(depth_rows(f"2020-09-13 12:{minute}:40", *empty) for minute in (28,))
    depth = read_depth(depth_file(tmp_path, rows + "2020-09-13 12:28:40,-1,1,5,2\n"))
    assert depth.at(1_600_000_000_000)[:2] == pytest.approx((1.0, 190 / 240), rel=1e-6)  # type: ignore[index]
    assert depth.at(1_600_000_000_000 - 1) is None and depth.at(1_600_001_000_000) is None
    assert simulated(tmp_path, "deep") == 0
    deep = said(capsys)["totals"]
    assert simulated(tmp_path, "thin", "--depth", str(depth_file(tmp_path, rows))) == 0
    thin = said(capsys)["totals"]
    assert thin["liquidated"] < deep["liquidated"] / 2 and thin["deleveraged"] > deep["deleveraged"]


BAD_DEPTH: list[tuple[str, str]] = [
    ("", "no time with all rows"),
    ("2025-10-10,1,1,1,1\n", "a time as 2025-10-10 21:15:00"),
    ("2025-10-10 00:00:00,1,1,-1,1\n", "a number above 0"),
    ("2025-10-10 00:00:00,1,1,nan,1\n", "a number above 0"),
    ("2025-10-10 00:00:00,1,1\n", "5 fields"),
]


@pytest.mark.negative
@pytest.mark.parametrize(("rows", "message"), BAD_DEPTH)
def test_depth_that_is_none_is_refused(tmp_path: Path, rows: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_depth(depth_file(tmp_path, rows))
    (tmp_path / "other.csv").write_text("time,price\n")
    with pytest.raises(InputError, match="as the first columns"):
        read_depth(tmp_path / "other.csv")


def test_the_same_seed_gives_the_same_state(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hashes = []
    for out, seed in (("a", "5"), ("b", "5"), ("c", "6")):
        assert simulated(tmp_path, out, "--seed", seed) == 0
        hashes.append(said(capsys)["state_hash"])
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.negative
def test_replay_tells_when_journal_or_report_were_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulated(tmp_path, "run") == 0
    capsys.readouterr()
    report = tmp_path / "run" / "report.json"
    data = json.loads(report.read_text())
    report.write_text(json.dumps({**data, "state_hash": "00" * 32}))
    assert main(["replay", str(tmp_path / "run"), "--json"]) == 1
    assert said(capsys)["verdict"] == "rejected"
    report.write_text(json.dumps(data))
    with sqlite3.connect(tmp_path / "run" / "journal.db") as connection:
        connection.execute("update blocks set time_ms = time_ms + 1 where first_sequence = 1")
    connection.close()
    assert main(["replay", str(tmp_path / "run"), "--json"]) == 1
    assert "broken link" in said(capsys)["message"]
    report.write_text("[]")
    assert main(["replay", str(tmp_path / "run"), "--json"]) == 2
    assert "report" in said(capsys)["error"]


@pytest.mark.negative
def test_replay_tells_when_prices_rest_on_other_documents(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    take = Feed.command

    def taller(self: Feed, time_ms: int) -> SubmitQuotes:
        """A sequencer that makes the first source's first quote a tick higher than it was signed."""
        command = take(self, time_ms)
        first = command.quotes[0]
        return command._replace(quotes=(first._replace(price=first.price + 1), *command.quotes[1:]))

    monkeypatch.setattr(Feed, "command", taller)
    assert simulated(tmp_path, "run") == 0  # the ledger cannot know
    capsys.readouterr()
    assert main(["replay", str(tmp_path / "run"), "--json"]) == 1
    found = said(capsys)["audit"]
    assert [check["name"] for check in found if not check["ok"]] == ["quotes that signed documents support"]
    assert found[-1]["right"] == "0"


@pytest.mark.negative
def test_an_existing_folder_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run").mkdir()
    assert simulated(tmp_path, "run") == 2
    assert "does not exist yet" in said(capsys)["error"]
    assert list((tmp_path / "run").iterdir()) == []


ROW = "1600000000000,10.0,11.0,9.0,10.5,1\n"
BAD: list[tuple[str, str, str]] = [
    ("prices.csv", HEADER + ROW, "no symbol"),
    ("BTCUSDT.csv", "time,open,high,low,close\n", "open_time_ms or open_time_s"),
    ("BTCUSDT.csv", HEADER + ROW, "two or more common times"),
    ("BTCUSDT.csv", HEADER + ROW + ROW, "rising times"),
    ("BTCUSDT.csv", HEADER + "1600000000000,10.0,11.0,9.0\n", "6 fields"),
    ("BTCUSDT.csv", HEADER + "x,10.0,11.0,9.0,10.5,1\n", "a whole number"),
    ("BTCUSDT.csv", HEADER + "1,nan,11.0,9.0,10.5,1\n", "a price above 0"),
    ("BTCUSDT.csv", HEADER + "1,10.0,-1,9.0,10.5,1\n", "a price above 0"),
    ("BTCUSDT.csv", HEADER + "1,10.0,10.2,9.0,10.5,1\n", "low <= open"),
    ("BTCUSDT.csv", HEADER + ROW + "1600000060000,10,1000,9,10,1\n", "5 times the first"),
    ("BTCUSDT.csv", HEADER + "1,1e-7,1e-7,1e-7,1e-7,1\n2,1e-7,1e-7,1e-7,1e-7,1\n", "a first price of"),
    ("BTCUSDT.csv", HEADER + '1,"10.0\n', "CSV"),
]


@pytest.mark.negative
@pytest.mark.parametrize(("name", "text", "message"), BAD)
def test_bars_that_are_none_are_refused_with_file_and_field(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_markets([path])


@pytest.mark.negative
def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_markets([tmp_path / "BTCUSDT.csv"])
    packed = bars_file(tmp_path, "BTCUSDT.csv.gz")
    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(InputError, match="damaged gzip"):
        read_markets([packed])
    packed.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(InputError, match="UTF-8"):
        read_markets([packed])
    file = bars_file(tmp_path)
    with pytest.raises(InputError, match="another symbol"):
        read_markets([file, file])


def test_bars_are_cut_to_the_common_times_and_scaled_to_ticks(tmp_path: Path) -> None:
    late = bars_file(tmp_path, "ETH_USDT_1m.csv", 0.05, start_ms=120_000)
    bars, times = read_markets([bars_file(tmp_path), late])
    assert len(times) == len(CRASH) - 3 == len(bars[0].opens) == len(bars[1].opens)
    assert [(bar.symbol, bar.magnitude, bar.tick_decimals) for bar in bars] == [("BTC", 4, 2), ("ETH", 3, 3)]
    assert bars[0].opens[0] == 5_900_000 and bars[1].opens[0] == 3_000_000
