"""The publisher's side: what enters the log, in which order, and what never does."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa

from api.database import Database
from api.log import log_proof, show, sign_new, write_tiles
from api.notes import log_key, sign_checkpoint
from api.publish import Insolvent, publish
from api.store import MIGRATIONS, Store
from api.witnesses import collect
from prover.errors import InputError
from prover.files import PUBLIC_MODE, write_once, write_whole
from tests.api.publishing.made_up import (
    digest_of,
    insolvent,
    new_store,
    published,
    verify,
    write_publication,
)
from tests.verifier.log.signers import LOG_KEY, LOG_VKEY, ORIGIN, key_of, policy, signed
from verifier.errors import BadStatement, InvariantBroken, Reason, VerificationError
from verifier.log.check import audit, check_continues, check_logged, reader
from verifier.log.checkpoint import Checkpoint, parse_checkpoint
from verifier.log.policy import parse_policy
from verifier.log.proof import check_log_proof, parse_log_proof
from verifier.log.tiles import Tiles, pack_entries, tiles_of
from verifier.log.tree import leaf_hash, node_hash
from verifier.manifest import Entry, parse_manifest
from verifier.report import Report


def entry(sequence: int) -> Entry:
    previous = digest_of(sequence - 1) if sequence > 1 else bytes(32)
    return Entry("test", sequence, digest_of(sequence), previous, bytes(32), bytes(32))


def test_a_publication_can_be_read_back_whole(tmp_path: Path) -> None:
    store = new_store(tmp_path / "store")
    directory = write_publication(tmp_path / "p1", 1)
    done = published(store, directory)
    assert (done.index, done.is_new, done.is_shown, done.answers) == (0, True, True, ())
    [logged] = store.entries(0, 10)
    manifest = parse_manifest(store.manifest_bytes(logged.entry.manifest))
    assert manifest == done.manifest
    back = tmp_path / "back"
    (back / "shards").mkdir(parents=True)
    for file in manifest.files:
        assert hashlib.sha256(store.artefact(file.sha256).read_bytes()).digest() == file.sha256
        shutil.copy(store.artefact(file.sha256), back / file.name)
    (back / "manifest.json").write_bytes(manifest.to_bytes())
    (back / "log.tlog-proof").write_bytes(log_proof(store, 0))
    checked = check_logged(back, verify(back).statement, policy())
    assert (checked.index, checked.opened.checkpoint.size) == (0, 1)
    assert [step.ok for step in checked.steps] == [True, True, False, True]
    store.close()


def test_a_history_grows_and_stays_consistent(tmp_path: Path) -> None:
    store = new_store(tmp_path / "store")
    seen = []
    for sequence in range(1, 8):
        published(store, write_publication(tmp_path / f"p{sequence}", sequence))
        seen.append((store.log / "checkpoint").read_bytes())
        for note in seen:
            check_continues(note, store.log, policy())
        for index in range(sequence):
            leaf = leaf_hash(store.entries(index, index + 1)[0].data)
            check_log_proof(parse_log_proof(log_proof(store, index)), leaf, policy())
    assert [e.sequence for e in audit(store.log, policy()).entries] == list(range(1, 8))
    files = {path.relative_to(store.log).as_posix() for path in store.log.rglob("*") if path.is_file()}
    assert files == {"checkpoint", *(tile.path for size in range(1, 8) for tile in tiles_of(size))}
    assert list((store.files / "staging").iterdir()) == []
    store.close()


def test_again_is_no_second_entry(tmp_path: Path) -> None:
    store = new_store(tmp_path / "store")
    directory = write_publication(tmp_path / "p1", 1)
    first = published(store, directory)
    again = published(store, directory)
    assert (again.is_new, again.index, again.manifest) == (False, 0, first.manifest)
    published(store, write_publication(tmp_path / "p2", 2))
    assert published(store, directory).index == 0
    assert store.size == 2
    store.close()


@pytest.mark.negative
@pytest.mark.parametrize(
    ("sequence", "variant", "previous", "what"),
    [
        (2, "other", None, "the one that is published"),  # two statements of one number (design 6, item 21)
        (1, "", bytes(31) + b"\1", "the one that is published"),
        (3, "", digest_of(1), "the statement before"),
        (3, "", bytes(32), "the statement before"),
        (0, "", digest_of(2), "one after 2"),  # an old one replayed (item 20)
    ],
)
def test_what_does_not_follow_is_not_published(
    tmp_path: Path, sequence: int, variant: str, previous: bytes | None, what: str
) -> None:
    store = new_store(tmp_path / "store")
    for number in (1, 2):
        published(store, write_publication(tmp_path / f"p{number}", number))
    directory = write_publication(tmp_path / "wrong", sequence, variant, previous)
    with pytest.raises(VerificationError, match=what) as caught:
        published(store, directory)
    assert caught.value.reason is Reason.LOG_ENTRY
    assert store.size == 2
    store.close()


@pytest.mark.negative
def test_what_the_verifier_refuses_leaves_nothing(tmp_path: Path) -> None:
    def refusing(_: Path) -> Report:
        raise BadStatement(Reason.ARITHMETIC, "a test")

    store = new_store(tmp_path / "store")
    directory = write_publication(tmp_path / "p1", 1)
    with pytest.raises(BadStatement):
        publish(directory, store, LOG_KEY, verify=refusing)
    with pytest.raises(Insolvent, match="insolvent"):
        publish(directory, store, LOG_KEY, verify=insolvent)
    (directory / "private.json").write_text("secret")
    with pytest.raises(InputError, match=r"private\.json"):
        publish(directory, store, LOG_KEY, verify=verify)
    (directory / "private.json").unlink()
    (tmp_path / "secret").write_text("secret")
    (directory / "fund.json").symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match=r"fund\.json: got a link"):
        publish(directory, store, LOG_KEY, verify=verify)
    assert (store.size, store.signed(), store.shown()) == (0, None, None)
    assert [path for path in store.files.rglob("*") if path.is_file() and path.parent.name == "artefacts"] == []
    store.close()


def test_the_bytes_that_were_verified_are_published(tmp_path: Path) -> None:
    """The exchange's directory changes while the verifier looks at it."""
    directory = write_publication(tmp_path / "p1", 1)

    def slow(staged: Path) -> Report:
        report = verify(staged)
        (directory / "reserves.csv").write_text("asset,amount\nbtc,1000000\n")
        return report

    store = new_store(tmp_path / "store")
    done = publish(directory, store, LOG_KEY, verify=slow)
    reserves = next(file for file in done.manifest.files if file.role == "reserves")
    assert store.artefact(reserves.sha256).read_text() == "asset,amount\nbtc,1\n"
    store.close()


@pytest.mark.negative
def test_one_key_one_publisher_at_a_time(tmp_path: Path) -> None:
    store = new_store(tmp_path / "store")
    directory = write_publication(tmp_path / "p1", 1)
    with pytest.raises(InputError, match="expected that of"):
        publish(directory, store, key_of("thief"), verify=verify)
    second = Store(str(tmp_path / "store"))
    with second.publishing(), pytest.raises(InputError, match="one publisher at a time"):
        published(store, directory)
    with store._database.transaction():  # readers wait for nobody
        Store(str(tmp_path / "store")).close()
    with pytest.raises(InputError, match="another publisher"):
        store.append(0, entry(1))
        second.append(0, entry(2))
    for each in (store, second):
        each.close()


@pytest.mark.negative
def test_a_second_checkpoint_of_one_size_is_never_recorded(tmp_path: Path) -> None:
    store = new_store(tmp_path / "store")
    published(store, write_publication(tmp_path / "p1", 1))
    note = store.signed()
    assert note is not None
    store.record(1, note)
    with pytest.raises(InvariantBroken, match="another checkpoint of size 1"):
        store.record(1, note.replace(b"\n1\n", b"\n2\n"))
    store.close()


@pytest.mark.negative
def test_a_database_from_a_copy_signs_no_second_history(tmp_path: Path) -> None:
    store = new_store(tmp_path / "store")
    published(store, write_publication(tmp_path / "p1", 1))
    store.close()
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    store = Store(str(tmp_path / "store"))
    published(store, write_publication(tmp_path / "p2", 2))
    store.close()
    for name in ("store.db", "store.db-wal", "store.db-shm"):
        (tmp_path / "store" / name).unlink(missing_ok=True)
        if (tmp_path / "copy" / name).exists():
            shutil.copy(tmp_path / "copy" / name, tmp_path / "store" / name)
    store = Store(str(tmp_path / "store"))
    with pytest.raises(InvariantBroken, match="2 entries that this database does not know"):
        published(store, write_publication(tmp_path / "other", 2, "other"))
    (store.log / "checkpoint").write_bytes(signed(1, bytes(32)))  # of a size that it knows, with another root
    with pytest.raises(InvariantBroken, match="1 entries that this database does not know"):
        published(store, tmp_path / "other")
    (store.log / "checkpoint").unlink()  # not even then: the tiles are there
    with pytest.raises(InvariantBroken, match="never changes"):
        published(store, tmp_path / "other")
    store.close()


@pytest.mark.negative
def test_a_damaged_manifest_is_not_read(tmp_path: Path) -> None:
    store = new_store(tmp_path / "store")
    assert (show(store), collect(store, policy())) == (False, ())  # nothing yet
    with pytest.raises(InputError, match="entry 0 of a log that shows 0"):
        log_proof(store, 0)
    digest = published(store, write_publication(tmp_path / "p1", 1)).manifest.entry.manifest
    store.artefact(digest).write_bytes(b"{}")
    with pytest.raises(InvariantBroken, match="damaged"):
        store.manifest_bytes(digest)
    store.close()


@pytest.mark.negative
def test_files_that_never_change_do_not_and_private_ones_are(tmp_path: Path) -> None:
    write_once(tmp_path / "file", b"one")
    write_once(tmp_path / "file", b"one")
    with pytest.raises(InvariantBroken, match="never changes"):
        write_once(tmp_path / "file", b"two")
    write_whole(tmp_path / "folder" / "own", b"for the owner alone")
    write_whole(tmp_path / "all", b"for all", PUBLIC_MODE)
    modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ("folder/own", "all", "file")]
    assert modes == [0o600, 0o644, 0o644]


def test_tiles_of_a_large_log_are_those_of_its_entries(tmp_path: Path) -> None:
    """Across two levels: 600 entries, straight into the store."""
    store = new_store(tmp_path / "store")
    with store._database.transaction() as connection:
        table = sa.table("publications", sa.column("log_index"), sa.column("sequence"), sa.column("entry"))
        entries = [entry(i).to_bytes() for i in range(600)]
        rows = [{"log_index": i, "sequence": i, "entry": data} for i, data in enumerate(entries)]
        connection.execute(table.insert(), rows)
    sizes = (1, 2, 255, 256, 257, 511, 512, 513, 600)
    for size in sizes:
        write_tiles(store, size)
    hashes = [leaf_hash(data) for data in entries]
    tiles = Tiles(reader(store.log), 600)
    assert [tiles.leaf(i) for i in range(600)] == hashes
    assert {path.relative_to(store.log).as_posix() for path in store.log.rglob("*") if path.is_file()} == {
        tile.path for size in sizes for tile in tiles_of(size)
    }
    store.record(599, sign_checkpoint(Checkpoint(ORIGIN, 599, bytes(32)), LOG_KEY))
    sign_new(store, LOG_KEY)
    assert parse_checkpoint(store.signed() or b"")[0].root == tiles.root()
    with pytest.raises(InvariantBroken, match="entries from 512: 88 instead of 89"):
        write_tiles(store, 601)
    store.close()


@pytest.mark.negative
def test_a_rewritten_log_is_found(tmp_path: Path) -> None:
    """Item 22: history rewritten between two checks."""
    for name, variant in (("honest", ""), ("rewritten", "other")):
        store = new_store(tmp_path / name)
        published(store, write_publication(tmp_path / f"{name}-1", 1, variant))
        second = write_publication(tmp_path / f"{name}-2", 2, previous=digest_of(1, variant))
        published(store, second)
        store.close()
    seen = (tmp_path / "honest" / "log" / "checkpoint").read_bytes()
    check_continues(seen, tmp_path / "honest" / "log", policy())
    with pytest.raises(VerificationError) as caught:
        check_continues(seen, tmp_path / "rewritten" / "log", policy())
    assert caught.value.reason is Reason.LOG_CONSISTENCY


@pytest.mark.negative
def test_a_shortened_log_is_found(tmp_path: Path) -> None:
    store = new_store(tmp_path / "store")
    published(store, write_publication(tmp_path / "p1", 1))
    shutil.copytree(store.log, tmp_path / "short")
    published(store, write_publication(tmp_path / "p2", 2))
    seen = (store.log / "checkpoint").read_bytes()
    store.close()
    with pytest.raises(VerificationError) as caught:
        check_continues(seen, tmp_path / "short", policy())
    assert caught.value.reason is Reason.LOG_CONSISTENCY


@pytest.mark.negative
def test_tiles_of_another_tree_are_found(tmp_path: Path) -> None:
    store = new_store(tmp_path / "store")
    for sequence in (1, 2, 3):
        published(store, write_publication(tmp_path / f"p{sequence}", sequence))
    log = tmp_path / "log"
    for path in ("tile/0/000.p/3", "tile/entries/000.p/3"):
        shutil.copytree(store.log, log)
        data = (log / path).read_bytes()
        (log / path).write_bytes(data[:-3] + bytes([data[-3] ^ 1]) + data[-2:])
        with pytest.raises(VerificationError) as caught:
            audit(log, policy())
        assert caught.value.reason is Reason.LOG_CONSISTENCY
        (log / path).unlink()
        with pytest.raises(VerificationError) as caught:
            audit(log, policy())
        assert caught.value.reason is Reason.FILE_MISSING
        shutil.rmtree(log)
    store.close()


@pytest.mark.negative
def test_entries_and_tiles_changed_together_are_found(tmp_path: Path) -> None:
    store = new_store(tmp_path / "store")
    published(store, write_publication(tmp_path / "p1", 1))
    data = entry(1).to_bytes()
    (store.log / "tile/entries/000.p/1").write_bytes(pack_entries([data]))
    (store.log / "tile/0/000.p/1").write_bytes(leaf_hash(data))
    with pytest.raises(VerificationError, match="the checkpoint's root") as caught:
        audit(store.log, policy())
    assert caught.value.reason is Reason.LOG_CONSISTENCY
    store.close()


@pytest.mark.negative
def test_two_logs_are_not_one_history(tmp_path: Path) -> None:
    store = new_store(tmp_path / "store")
    published(store, write_publication(tmp_path / "p1", 1))
    other = log_key("example.com/other", key_of("other"))
    both = parse_policy(f"log {LOG_VKEY.vkey}\nlog {other.vkey}\nquorum none\n".encode())
    # The other log's checkpoint of the same tree.
    seen = signed(1, store.shown().root, "example.com/other", key_of("other"))  # type: ignore[union-attr]
    with pytest.raises(VerificationError) as caught:
        check_continues(seen, store.log, both)
    assert caught.value.reason is Reason.LOG_ORIGIN
    store.close()


@pytest.mark.negative
@pytest.mark.parametrize(
    ("second", "what"),
    [
        (Entry("test", 2, digest_of(2), digest_of(7), bytes(32), bytes(32)), "entry 1, previous"),
        (Entry("test", 1, digest_of(2), digest_of(1), bytes(32), bytes(32)), "entry 1, sequence"),
        (Entry("another", 2, digest_of(2), digest_of(1), bytes(32), bytes(32)), "entry 1, exchange"),
    ],
)
def test_a_log_that_is_no_chain_is_found(tmp_path: Path, second: Entry, what: str) -> None:
    """A publisher without our rules."""
    entries = [entry(1).to_bytes(), second.to_bytes()]
    hashes = [leaf_hash(data) for data in entries]
    write_whole(tmp_path / "tile/entries/000.p/2", pack_entries(entries))
    write_whole(tmp_path / "tile/0/000.p/2", b"".join(hashes))
    write_whole(tmp_path / "checkpoint", signed(2, node_hash(*hashes)))
    with pytest.raises(VerificationError, match=what) as caught:
        audit(tmp_path, policy())
    assert caught.value.reason is Reason.LOG_ENTRY


def test_an_older_store_is_brought_up_to_date(tmp_path: Path) -> None:
    (tmp_path / "store" / "log").mkdir(parents=True)
    url = f"sqlite:///{tmp_path / 'store' / 'store.db'}"
    old = Database(url, MIGRATIONS[:1], create=True)
    with old.transaction() as connection:
        for key, value in (("origin", LOG_VKEY.name), ("vkey", LOG_VKEY.vkey), ("files", str(tmp_path / "store"))):
            connection.execute(sa.text("INSERT INTO settings VALUES (:k, :v)"), {"k": key, "v": value})
        connection.execute(sa.text("INSERT INTO publications VALUES (0, 1, :e)"), {"e": entry(1).to_bytes()})
    old.close()
    store = Store(str(tmp_path / "store"))
    assert [logged.entry for logged in store.entries(0, 9)] == [entry(1)]
    assert store.cosignatures(1) == {}
    store.close()
    with pytest.raises(InputError, match="too old for it"):
        Database(url, MIGRATIONS[:1], create=False)


@pytest.mark.negative
def test_places_that_are_no_store(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        Store(str(tmp_path / "nothing"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(InputError, match="a new or empty folder"):
        new_store(tmp_path / "full")
    (tmp_path / "empty").mkdir()
    new_store(tmp_path / "empty").close()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "store.db").write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(InputError, match="a database that works"):
        Store(str(tmp_path / "bad"))
    with pytest.raises(InputError, match="--files"):
        Store.create("sqlite:///x.db", LOG_VKEY)
    for url in ("nonsense://x", "mysql://x", "sqlite://x"):
        with pytest.raises(InputError, match="URL of an SQLite or PostgreSQL"):
            Store(url)


@pytest.mark.negative
def test_a_database_that_cannot_be_written(tmp_path: Path) -> None:
    store = new_store(tmp_path / "store")
    engine = store._database.engine
    engine.dispose()
    # As on a read-only disk, also for root.
    sa.event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA query_only=ON"))
    with pytest.raises(InputError, match=r"store\.db.*readonly"):
        published(store, write_publication(tmp_path / "p1", 1))
    assert store.size == 0
    store.close()
