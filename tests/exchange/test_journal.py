"""The journal: what is acknowledged is there, what is damaged is seen, and recovery gives the same state."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from exchange.engine import Done, Engine, Repeated
from exchange.errors import JournalBroken, LedgerError
from exchange.events import Deposited, Frame, pack_frame, unpack_frames
from exchange.evolve import evolve_frame
from exchange.journal import FORMAT, LOG_PAGES, Journal, chain
from exchange.recovery import recover
from exchange.state import FUND, QUOTE, Ledger
from exchange.statehash import state_bytes, state_hash
from tests.exchange.flow import batches
from tests.exchange.journals import FIRST, LAST, audited, journal_at, recorded, reopened
from tests.exchange.venues import ALICE, venue

START_BYTES = 80_000
"""Longer than what an empty journal leaves in the log."""


def edit(path: Path, statement: str, *values: object) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement, values)
    connection.close()


@pytest.mark.parametrize("checkpoint", [None, 4])
def test_recovery_gives_the_same_state(tmp_path: Path, checkpoint: int | None) -> None:
    path = tmp_path / "journal.db"
    ledger = recorded(path, checkpoint=checkpoint)
    journal = journal_at(path)
    found = recover(journal)
    assert state_bytes(found.ledger) == state_bytes(ledger)
    assert (found.checkpoint > 0) == (checkpoint is not None)
    assert found.checkpoint + found.frames_replayed == journal.sequence == ledger.sequence
    whole = recover(journal, from_start=True)
    assert whole.checkpoint == 0 and state_hash(whole.ledger) == state_hash(ledger)
    journal.close()


def test_recovery_as_of_any_frame_starts_from_the_last_checkpoint_before_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    last = recorded(path, checkpoint=4).sequence
    journal = journal_at(path)
    there = recover(journal).checkpoint
    by_frame, hashes = Ledger(venue()), {}
    for block in journal.blocks():
        for frame in unpack_frames(block.payload):
            evolve_frame(by_frame, frame)
            hashes[by_frame.sequence] = state_hash(by_frame)
    for until in (1, there - 1, there, there + 1, last, last + 9):
        found = recover(journal, until=until)
        assert found.checkpoint == (there if until >= there else 0) and found.ledger.sequence == min(until, last)
        assert state_hash(found.ledger) == hashes[min(until, last)]


def test_the_engine_goes_on_where_the_journal_ends(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    whole = Engine(Ledger(venue()), journal_at(tmp_path / "whole.db", venue()))
    all_batches = batches(600, 3, 60)
    for batch in all_batches:
        whole.submit(batch)
    first = Engine(Ledger(venue()), journal_at(path, venue()))
    for batch in all_batches[:5]:
        first.submit(batch)
    journal, ledger = reopened(path)
    second = Engine(ledger, journal)
    # The clients do not know what was answered and send the last batch again.
    again = second.submit(all_batches[4])
    assert not any(isinstance(answer, Done) for answer in again)
    assert any(isinstance(answer, Repeated) for answer in again)
    for batch in all_batches[5:]:
        second.submit(batch)
    assert state_hash(second.ledger) == state_hash(whole.ledger)


def test_a_torn_last_block_is_cut_and_said(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    ledger = recorded(path)
    edit(path, f"update blocks set payload = substr(payload, 1, length(payload) - 1) {LAST}")
    journal, cut = reopened(path)
    assert journal.frames_cut > 0
    assert cut.sequence == journal.sequence == ledger.sequence - journal.frames_cut
    journal.close()
    assert reopened(path)[0].frames_cut == 0


def test_a_log_torn_at_any_byte_is_a_state_that_was_passed(tmp_path: Path) -> None:
    """What a power cut leaves of SQLite's write-ahead log: any beginning of it."""
    path, chance = tmp_path / "journal.db", random.Random(3)
    engine = Engine(Ledger(venue()), journal_at(path, venue()))
    passed = {0: state_hash(engine.ledger)}
    for batch in batches(400, 1, 20):
        engine.submit(batch)
        passed[engine.ledger.sequence] = state_hash(engine.ledger)
    log = Path(f"{path}-wal").read_bytes()
    assert len(log) > 10**5
    ends = set()
    for number in range(60):
        copy = tmp_path / f"copy{number}.db"
        copy.write_bytes(path.read_bytes())
        Path(f"{copy}-wal").write_bytes(log[: chance.randrange(START_BYTES, len(log))])
        journal, ledger = reopened(copy)
        journal.close()
        assert state_hash(ledger) == passed[ledger.sequence]
        ends.add(ledger.sequence)
    assert len(ends) > 10


DAMAGES: list[tuple[str, str]] = [
    (f"update blocks set payload = zeroblob(length(payload)) {FIRST}", "broken link"),
    (f"update blocks set payload = zeroblob(length(payload)) {LAST}", "broken link"),
    (f"update blocks set payload = substr(payload, 1, 99) {FIRST}", "broken link"),
    (f"update blocks set link = zeroblob(32) {LAST}", "broken link"),
    (f"update blocks set time_ms = time_ms + 1 {FIRST}", "broken link"),
    (f"delete from blocks {FIRST}", "is missing"),
    ("delete from blocks where first_sequence = (select first_sequence from blocks limit 1 offset 2)", "is missing"),
    ("update header set value = 'x' where key = 'format'", "format"),
    ("update header set value = replace(value, '\"test\"', '\"other\"') where key = 'venue'", "broken link"),
    ("delete from header where key = 'venue'", "format"),
    ("drop table blocks", "not a journal|unreadable"),
]


@pytest.mark.negative
@pytest.mark.parametrize(("statement", "message"), DAMAGES)
def test_damage_stops_the_replay(tmp_path: Path, statement: str, message: str) -> None:
    path = tmp_path / "journal.db"
    recorded(path, count=300)
    edit(path, statement)
    with pytest.raises(JournalBroken, match=message):
        reopened(path)


@pytest.mark.negative
def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(JournalBroken, match="not a journal"):
        journal_at(path)
    with pytest.raises(JournalBroken, match="no journal at"):
        journal_at(tmp_path / "missing.db")
    with pytest.raises(JournalBroken, match=r"no journal at $"):
        journal_at("sqlite://")


def _other_state(state: bytes) -> bytes:
    return state[:-1] + bytes([state[-1] ^ 1])


@pytest.mark.parametrize("damage", [_other_state, lambda state: state[:-9], lambda state: state + b"x"])
def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "journal.db"
    ledger = recorded(path, checkpoint=4)
    with sqlite3.connect(path) as connection:
        (state,) = connection.execute("select state from checkpoints").fetchone()
    connection.close()
    edit(path, "update checkpoints set state = ?", damage(state))
    journal = journal_at(path)
    found = recover(journal)
    assert len(found.checkpoints_refused) == 1 and found.checkpoint == 0
    assert state_hash(found.ledger) == state_hash(ledger)


def test_a_checkpoint_of_another_chain_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    ledger = recorded(path, checkpoint=4)
    edit(path, "update checkpoints set link = zeroblob(32)")
    found = recover(journal_at(path))
    assert found.checkpoint == 0 and state_hash(found.ledger) == state_hash(ledger)


def test_links_and_format_are_those_of_every_version() -> None:
    assert FORMAT == "solvent/journal/v1"
    assert chain(bytes(32), 1, 2, 3, b"x").hex() == "53167327128c3515d79cc74ebf815777ea3f8b68dc3fb6c67734d3d20390944b"


def test_blocks_of_one_frame_are_read_from_any_of_them(tmp_path: Path) -> None:
    journal = journal_at(tmp_path / "journal.db", venue())
    frame = pack_frame(Frame(5, 0, 0, (Deposited(FUND, QUOTE, 1),)))
    for number in range(1, 6):
        journal.append(number, 1, 0, frame)
    blocks = list(journal.blocks())
    assert [block.first_sequence for block in blocks] == [1, 2, 3, 4, 5]
    assert list(journal.blocks(2, blocks[1].link)) == blocks[2:]


def test_a_checkpoint_is_renewed_and_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    recorded(path, checkpoint=4)
    journal, ledger = reopened(path)
    (old,) = (found.sequence for found in journal.checkpoints())
    for _ in range(2):
        journal.add_checkpoint(ledger)
        assert [found.sequence for found in journal.checkpoints()] == [ledger.sequence, old]


def test_a_checkpoint_within_a_block_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    recorded(path, checkpoint=4)
    edit(path, "update checkpoints set sequence = sequence - 1")
    assert list(journal_at(path).checkpoints()) == []


@pytest.mark.negative
def test_blocks_that_go_while_they_are_read_are_missed(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    recorded(path, count=50)
    journal = journal_at(path)
    edit(path, "delete from blocks")
    with pytest.raises(JournalBroken, match="frame 1 is missing"):
        list(journal.blocks())


def test_two_writers_cannot_both_go_on(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    recorded(path, count=50)
    engines = [Engine(ledger, journal) for journal, ledger in (reopened(path), reopened(path))]
    batch = batches(60, 9, 10**6)[0][60:]
    assert any(isinstance(answer, Done) for answer in engines[0].submit(batch))
    with pytest.raises(LedgerError, match="could not be written"):
        engines[1].submit(batch)
    with pytest.raises(RuntimeError, match="recover"):
        engines[1].submit([])
    assert state_hash(reopened(path)[1]) == state_hash(engines[0].ledger)


def test_a_commit_waits_for_the_disk(tmp_path: Path) -> None:
    journal = journal_at(tmp_path / "journal.db", venue())
    settings = {"journal_mode": "wal", "synchronous": 2, "wal_autocheckpoint": LOG_PAGES}
    for name, value in settings.items():
        assert journal._connection.exec_driver_sql(f"PRAGMA {name}").scalar() == value


def test_a_journal_is_not_made_over_another(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    recorded(path, count=50)
    with pytest.raises(LedgerError, match="there is a journal already"):
        journal_at(path, venue())


@pytest.mark.negative
def test_a_full_disk_costs_a_checkpoint_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    recorded(path, count=50)
    journal, ledger = reopened(path)
    connection = journal._connection
    pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    connection.rollback()
    with pytest.raises(LedgerError, match="checkpoint could not be written"):
        journal.add_checkpoint(ledger)
    connection.exec_driver_sql("PRAGMA max_page_count = 100000")
    connection.rollback()
    assert journal.add_checkpoint(ledger) == state_hash(ledger)
    assert recover(journal).checkpoint == ledger.sequence


@pytest.mark.negative
def test_a_disk_that_cannot_be_used_is_no_broken_journal() -> None:
    with pytest.raises(LedgerError, match="cannot be reached: unable to open") as caught:
        journal_at(Path("/proc/journal.db"), venue())
    assert caught.type is LedgerError


@pytest.mark.negative
def test_a_journal_that_cannot_be_made_is_no_broken_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal.db"
    recorded(path, count=50)

    def full(*_: object) -> None:
        raise OperationalError("create", None, sqlite3.OperationalError("database or disk is full"))

    monkeypatch.setattr(sa.MetaData, "create_all", full)
    monkeypatch.setattr(Journal, "_open", full)
    with pytest.raises(LedgerError, match="could not be made: database or disk is full") as caught:
        journal_at(tmp_path / "new.db", venue())
    assert caught.type is LedgerError
    with pytest.raises(JournalBroken, match="not a journal: database or disk is full"):
        journal_at(path)


def test_frames_must_follow_and_checkpoints_must_stand_at_the_end(tmp_path: Path) -> None:
    journal = journal_at(tmp_path / "journal.db", venue())
    with pytest.raises(LedgerError, match="does not follow"):
        journal.append(2, 1, 0, b"")
    ledger = Ledger(venue())
    ledger.sequence = 1
    with pytest.raises(LedgerError, match="checkpoint"):
        journal.add_checkpoint(ledger)


@pytest.mark.parametrize(("said", "written"), [(1, 2), (2, 1)])
def test_a_block_holds_as_many_frames_as_it_says(tmp_path: Path, said: int, written: int) -> None:
    journal = journal_at(tmp_path / "journal.db", venue())
    journal.append(1, said, 0, written * pack_frame(Frame(5, 0, 0, (Deposited(FUND, QUOTE, 1),))))
    with pytest.raises(JournalBroken, match="another number than the block says"):
        recover(journal)


def test_the_audit_agrees_with_the_books(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    recorded(path, count=3000, size=500)
    journal, ledger = reopened(path)
    checks = audited(journal, ledger)
    assert len(checks) == 19 and all(checks.values()), checks
    assert ledger.open_interest[0] > 0 and ledger.orders


def test_the_audit_finds_a_single_atom(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    recorded(path, count=300)
    journal, ledger = reopened(path)
    ledger.balance[QUOTE][ALICE] += 1
    ledger.balance[QUOTE][ALICE + 1] -= 1
    failed = [name for name, ok in audited(journal, ledger).items() if not ok]
    assert failed == ["cash: accounts that agree"]
    ledger.balance[QUOTE][ALICE] -= 2
    assert "usdt: deposits - withdrawals = held" in [n for n, ok in audited(journal, ledger).items() if not ok]
    ledger.size[0][ALICE] += 1
    assert "BTC-PERP: positions sum to zero" in [n for n, ok in audited(journal, ledger).items() if not ok]
