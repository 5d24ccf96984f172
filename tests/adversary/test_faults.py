"""The faults in their short size, and those that were found by it, one by one."""

from __future__ import annotations

import errno
import random
import shutil
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from api import writing
from api.serving import HEAD_BYTES_MAX, served
from exchange.codes import Reject
from exchange.commands import CancelOrder, SetPrices
from exchange.engine import Done
from exchange.intake import Intake
from exchange.state import FUND
from tests.adversary import faults, faults_clock, faults_http, faults_ledger, faults_twice
from tests.adversary.faults_disk import CUTS
from tests.adversary.faults_stores import ALL, LOG, Kept, no_tracebacks
from tests.adversary.faults_sweep import Bench, Counts, record
from tests.adversary.faults_traced import Say, reason_to_skip
from tests.adversary.score import Score
from tests.api.publishing.made_up import write_publication
from tests.api.publishing.test_writing import Desk as Publishing
from tests.api.publishing.test_writing import serving
from tests.exchange.venues import MARKS, PRICES, Desk

SEED = 20_261_126
LONG = {"bundle store", "bundle store replaced", "publication and private store", "write side over HTTP", "new log"}
"""Left to the nightly size: most of their time goes into other work than writing."""
SHORT = [each for each in ALL if each.name not in LONG]
traced = pytest.mark.skipif(reason_to_skip() is not None, reason=str(reason_to_skip()))


Scored = Callable[[Iterable[Score]], None]


@traced
@pytest.mark.parametrize("kept", SHORT, ids=lambda kept: kept.name)
def test_a_store_survives(kept: Kept, scored: Scored) -> None:
    scored(faults.stores("short", SEED, (kept,)))


@pytest.mark.parametrize("part", [faults_clock.run, faults_twice.run, faults_ledger.run, faults_http.run])
def test_other_faults(part: Callable[[str, int], list[Score]], scored: Scored) -> None:
    scored(part("short", SEED))


# what was found


@traced
def test_what_readers_see_survives_a_power_cut(tmp_path: Path) -> None:
    """New folders of artefacts were not synced: a publication that was shown could lose its files."""
    bench = Bench.of(LOG, tmp_path / "log")
    recording = record(bench)
    for cut in CUTS.values():
        shutil.rmtree(bench.place)
        recording.write(cut(recording.changes, random.Random(SEED)), bench.place)
        bench.kept.check(bench.place, recording.told(len(recording.changes)))


def test_a_disk_that_fails_is_one_line_and_503(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    publisher = serving(tmp_path)
    directory = write_publication(tmp_path / "p1", 1)
    with no_tracebacks(), served(writing.make_app(publisher)) as url:
        desk = Publishing(url, publisher, tmp_path)
        desk.put((directory / "statement.json").read_bytes())
        monkeypatch.setattr(writing, "adopt", full)
        status, answer = desk.ask("PUT", "/files/" + "ab" * 32, b"")
        assert status == 422, answer
        empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        status, answer = desk.ask("PUT", f"/files/{empty}", b"")
        assert (status, answer["title"]) == (503, "Service Unavailable")
        assert not [path for path in publisher.incoming.iterdir() if path.name.startswith(".")]
    publisher.store.close()


@pytest.mark.negative
def test_a_head_that_does_not_end_is_broken_off(tmp_path: Path) -> None:
    publisher = serving(tmp_path)
    with no_tracebacks(), served(writing.make_app(publisher)) as url:
        split = urlsplit(url)
        with socket.create_connection((split.hostname or "", split.port or 0), timeout=20) as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nX: ")
            sent, answer = 0, b""
            try:
                while sent < 100 * HEAD_BYTES_MAX:
                    connection.sendall(b"y" * HEAD_BYTES_MAX)
                    sent += HEAD_BYTES_MAX
                answer = connection.recv(100)
            except ConnectionError:
                answer = b"HTTP/1.1 400"  # what was answered before it was broken off is lost with the rest
            assert answer.startswith(b"HTTP/1.1 400") and sent < 100 * HEAD_BYTES_MAX
    publisher.store.close()


def test_a_flood_of_cancels_does_not_turn_the_venue_away() -> None:
    desk = Desk(10)
    intake = Intake(desk.engine, orders_max=5, urgent_max=10, account_max=3, batch=4)
    answers = [intake.offer(CancelOrder(0, 2 + number % 10, 0, 1)) for number in range(20)]
    assert answers == [1, 2, 3, 4, 5, *[Reject.OVERLOADED] * 15]
    price = intake.offer(SetPrices(0, FUND, 0, PRICES, MARKS))
    assert price == 6
    assert [ticket for _ in range(2) for ticket, _ in intake.work(1_000)] == [1, 2, 3, 4, 5, price]


def test_a_clock_that_is_set_back_stops_no_cancel() -> None:
    desk = Desk()
    intake = Intake(desk.engine, orders_max=5, urgent_max=5, account_max=5, batch=5)
    for says in (9_000, 2, 9_001):
        intake.offer(SetPrices(0, FUND, 0, PRICES, MARKS))
        ((_, answer),) = intake.work(says)
        assert isinstance(answer, Done) and desk.ledger.time_ms >= 9_000


def test_a_limit_outlasts_a_clock_that_is_set_back(tmp_path: Path) -> None:
    counts = Counts("limit", SEED)
    faults_clock.limit(counts, tmp_path, 40, random.Random(SEED))
    assert counts.score().clean


# the tool itself


def _careless(folder: Path, say: Say) -> None:
    """Nothing is synced, a full disk passes unnoticed, and other errors come as they are."""
    try:
        (folder / "new").write_bytes(b"whole")
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise KeyError("as it is") from None
    (folder / "new").replace(folder / "kept")
    say(b"kept")


def _kept(folder: Path, said: list[bytes]) -> None:
    assert not said or (folder / "kept").read_bytes() == b"whole"


@traced
def test_what_is_wrong_would_be_seen() -> None:
    careless = Kept("careless", lambda folder: (folder / "kept").write_bytes(b"old"), _careless, _kept)
    kills, cuts, failures = faults.stores("nightly", SEED, (careless,))
    assert kills.clean and cuts.accepted and not cuts.foreign
    assert failures.accepted and failures.foreign
