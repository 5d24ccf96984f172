"""The journal in a real PostgreSQL server: the same promises as in SQLite, and the server itself may be killed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from exchange.engine import Done, Engine
from exchange.errors import JournalBroken, LedgerError
from exchange.journal import Journal, journal_url
from exchange.recovery import recover
from exchange.state import Ledger
from exchange.statehash import state_bytes, state_hash
from tests.exchange.flow import batches
from tests.exchange.journals import FIRST, LAST, audited, journal_at, recorded, reopened
from tests.exchange.venues import venue

psycopg = pytest.importorskip("psycopg", reason="needs the extra postgres")

from tests.exchange import cluster as clusters  # noqa: E402
from tests.exchange import crash  # noqa: E402

pytestmark = pytest.mark.skipif(clusters.reason_to_skip() is not None, reason=str(clusters.reason_to_skip()))


@pytest.fixture(scope="module")
def cluster() -> Iterator[clusters.Cluster]:
    server = clusters.Cluster()
    yield server
    server.stop()


@pytest.mark.parametrize("checkpoint", [None, 4])
def test_recovery_and_audit(cluster: clusters.Cluster, checkpoint: int | None) -> None:
    url = cluster.url(cluster.new_schema())
    ledger = recorded(url, checkpoint=checkpoint)
    journal = journal_at(url)
    found = recover(journal)
    assert state_bytes(found.ledger) == state_bytes(ledger)
    assert (found.checkpoint > 0) == (checkpoint is not None)
    assert all(audited(journal, found.ledger).values())


def test_both_databases_hold_the_same_chain(cluster: clusters.Cluster, tmp_path: Path) -> None:
    links = []
    for url in (cluster.url(cluster.new_schema()), journal_url(tmp_path / "journal.db")):
        recorded(url, 100)
        journal = journal_at(url)
        links.append([block.link for block in journal.blocks()])
    assert links[0] == links[1]


DAMAGES: list[tuple[str, str]] = [
    (f"update blocks set payload = set_byte(payload, 7, 255 - get_byte(payload, 7)) {FIRST}", "broken link"),
    (f"update blocks set payload = substring(payload from 1 for 99) {FIRST}", "broken link"),
    (f"update blocks set link = set_byte(link, 0, 255 - get_byte(link, 0)) {LAST}", "broken link"),
    (f"update blocks set time_ms = time_ms + 1 {FIRST}", "broken link"),
    (f"delete from blocks {FIRST}", "is missing"),
    ("update header set value = 'x' where key = 'format'", "format"),
    ("drop table blocks", "not a journal|unreadable"),
]


@pytest.mark.negative
@pytest.mark.parametrize(("statement", "message"), DAMAGES)
def test_damage_stops_the_replay(cluster: clusters.Cluster, statement: str, message: str) -> None:
    schema = cluster.new_schema()
    recorded(cluster.url(schema), 100)
    cluster.execute(schema, statement)
    with pytest.raises(JournalBroken, match=message):
        reopened(cluster.url(schema))


def test_a_torn_last_block_is_cut_and_said(cluster: clusters.Cluster) -> None:
    schema = cluster.new_schema()
    ledger = recorded(cluster.url(schema))
    cluster.execute(schema, f"update blocks set payload = substring(payload from 1 for length(payload) - 1) {LAST}")
    journal, cut = reopened(cluster.url(schema))
    assert journal.frames_cut > 0 and cut.sequence == ledger.sequence - journal.frames_cut


def test_an_empty_schema_is_no_journal_and_a_journal_is_not_made_twice(cluster: clusters.Cluster) -> None:
    schema = cluster.new_schema()
    with pytest.raises(JournalBroken, match=r"not a journal|unreadable"):
        journal_at(cluster.url(schema))
    journal_at(cluster.url(schema), venue()).close()
    with pytest.raises(LedgerError, match="there is a journal already"):
        journal_at(cluster.url(schema), venue())


def test_two_writers_cannot_both_go_on(cluster: clusters.Cluster) -> None:
    url = cluster.url(cluster.new_schema())
    recorded(url, 50)
    engines = [Engine(ledger, journal) for journal, ledger in (reopened(url), reopened(url))]
    batch = batches(60, 9, 10**6)[0][60:]
    assert any(isinstance(answer, Done) for answer in engines[0].submit(batch))
    with pytest.raises(LedgerError, match="could not be written"):
        engines[1].submit(batch)


@pytest.mark.negative
def test_a_server_that_does_not_write_to_disk_is_refused(cluster: clusters.Cluster) -> None:
    url = cluster.url(cluster.new_schema())
    for setting in ("fsync", "full_page_writes"):
        cluster.execute("public", f"alter system set {setting} = off")
        cluster.execute("public", "select pg_reload_conf(), pg_sleep(0.3)")
        try:
            with pytest.raises(LedgerError, match=f"{setting} is off"):
                journal_at(url, venue())
        finally:
            cluster.execute("public", f"alter system reset {setting}")
            cluster.execute("public", "select pg_reload_conf(), pg_sleep(0.3)")


def test_a_relaxed_role_still_waits_for_the_disk(cluster: clusters.Cluster) -> None:
    schema = cluster.new_schema()
    cluster.execute(schema, "alter role solvent set synchronous_commit = off")
    assert cluster.execute(schema, "show synchronous_commit") == [("off",)]
    journal = journal_at(cluster.url(schema), venue())
    assert journal._connection.exec_driver_sql("show synchronous_commit").scalar() == "on"
    cluster.execute(schema, "alter role solvent reset synchronous_commit")


@pytest.mark.negative
def test_no_server_is_said(cluster: clusters.Cluster) -> None:
    with pytest.raises(LedgerError, match="cannot be reached"):
        Journal(f"postgresql+psycopg://solvent@/none?host={cluster.folder}/nowhere")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the victims are forked")
def test_killed_writers_lose_nothing_that_was_acknowledged(cluster: clusters.Cluster) -> None:
    said = crash.main(20, 5, lambda _: cluster.url(cluster.new_schema()))
    assert said.startswith("20 kills")


def test_a_killed_server_loses_nothing_that_was_acknowledged(cluster: clusters.Cluster) -> None:
    url = cluster.url(cluster.new_schema())
    stream = batches(400, 3, 20)
    undisturbed, hashes = Engine(Ledger(venue()), journal_at(cluster.url(cluster.new_schema()), venue())), {}
    for batch in stream:
        undisturbed.submit(batch)
        hashes[undisturbed.ledger.sequence] = state_hash(undisturbed.ledger)
    journal = journal_at(url, venue())
    engine = Engine(Ledger(venue()), journal)
    for number, batch in enumerate(stream):
        if number % 7 == 6:
            cluster.kill()
            with pytest.raises(LedgerError, match="could not be written"):
                engine.submit(batch)
            acknowledged = journal.sequence
            cluster.start()
            journal, ledger = reopened(url)
            engine = Engine(ledger, journal)
            assert engine.ledger.sequence == acknowledged
        engine.submit(batch)
        assert state_hash(engine.ledger) == hashes[engine.ledger.sequence]
    journal.close()
