"""Store and witness on a real PostgreSQL server: the same behaviour, kills and races included."""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from api.cli import main
from api.notes import log_key
from api.store import Store
from api.tokens import Tokens
from api.witness import Refused, Witness
from prover.errors import InputError
from prover.files import Step, no_step
from tests.api.publishing.made_up import published, write_publication
from tests.api.publishing.test_publish import entry
from tests.api.publishing.test_witness import request
from tests.api.publishing.victims import killed_at
from tests.exchange.cluster import Cluster, reason_to_skip
from tests.verifier.log.signers import LOG_KEY, LOG_VKEY, ORIGIN, key_of, policy, root, signed
from verifier.log.check import audit
from verifier.log.checkpoint import parse_checkpoint

WHY = reason_to_skip()
pytestmark = pytest.mark.skipif(WHY is not None, reason=WHY or "")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    made = Cluster()
    yield made
    made.stop()


@pytest.fixture
def server(cluster: Cluster) -> str:
    """The URL of an empty schema."""
    return cluster.url(cluster.new_schema())


@pytest.fixture
def store(server: str, tmp_path: Path) -> Iterator[Store]:
    made = Store.create(server, log_key(ORIGIN, LOG_KEY), tmp_path / "files")
    yield made
    made.close()


def test_tokens(server: str) -> None:
    tokens = Tokens(server, create=True)
    ann, bob = tokens.issue(["ann", "bob"])
    reader = Tokens(server)
    assert (reader.user_of(ann), reader.user_of(bob), reader.user_of("x")) == ("ann", "bob", None)
    assert tokens.revoke("ann") == 1
    assert (reader.user_of(ann), reader.user_of(bob)) == (None, "bob")
    with reader._database.engine.connect() as connection:
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        connection.exec_driver_sql(others)
    with pytest.raises(InputError, match="expected a database that works"):
        reader.user_of(bob)
    assert reader.user_of(bob) == "bob", "the next request has a new connection"
    for one in (reader, tokens):
        one.close()


def test_publications_by_url(store: Store, server: str, tmp_path: Path) -> None:
    for sequence in (1, 2, 3):
        assert published(store, write_publication(tmp_path / f"p{sequence}", sequence)).is_shown
    again = Store(server)
    assert (again.files, again.vkey, again.size) == (store.files, LOG_VKEY.vkey, 3)
    assert not published(again, tmp_path / "p2").is_new
    assert len(audit(again.log, policy()).entries) == 3
    again.close()
    with pytest.raises(InputError, match="one that is in use"):
        Store.create(server, LOG_VKEY, tmp_path / "other")


def test_the_commands_take_a_url(server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = str(tmp_path / "log.pem")
    assert main(["log", "keygen", "--out", key, "--origin", ORIGIN]) == 0
    words = ["log", "init", "--store", server, "--key", key, "--origin", ORIGIN]
    assert main(words) == 2
    assert main([*words, "--files", str(tmp_path / "files")]) == 0
    assert main(["export", server, str(tmp_path / "out")]) == 2
    assert "at least one publication" in capsys.readouterr().err


def test_one_index_one_entry(store: Store, server: str) -> None:
    """Publishers on two machines, where no lock of the file system helps."""
    other, outcomes = Store(server), []

    def add(place: Store, sequence: int) -> None:
        try:
            place.append(0, entry(sequence))
            outcomes.append("added")
        except InputError as error:
            outcomes.append(str(error.got))

    threads = [threading.Thread(target=add, args=(place, i)) for i, place in enumerate((store, other), start=1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["added", "another publisher's entry"]
    assert store.size == 1
    other.close()


def act(server: str, directory: Path, step: Step) -> None:
    published(Store(server, step), directory)


def test_killed_at_every_write(cluster: Cluster, tmp_path: Path) -> None:
    directory = write_publication(tmp_path / "p1", 1)
    notes = set()
    for number in range(1, 60):
        server = cluster.url(cluster.new_schema())
        files = tmp_path / f"files{number}"
        Store.create(server, LOG_VKEY, files).close()
        died = killed_at(number, partial(act, server, directory))
        store = Store(server)
        notes.add(store.signed())
        assert published(store, directory).index == 0
        notes.add(store.signed())
        assert len(audit(store.log, policy()).entries) == 1
        store.close()
        shutil.rmtree(files)
        if not died:
            assert number > 20
            assert len(notes - {None}) == 1, "two checkpoints of one size"
            return
    pytest.fail("there is no end of steps")


def witness_at(server: str, step: Step = no_step, create: bool = False) -> Witness:
    return Witness(server, "w1", key_of("w1"), (LOG_VKEY,), create=create, step=step)


@pytest.mark.parametrize("known", [0, 1])
def test_a_race_rolls_nothing_back(server: str, known: int) -> None:
    """Both have read the old size before either records a new one: PostgreSQL lets them, the rule does not."""
    barrier = threading.Barrier(2, timeout=5)
    first = witness_at(server, create=True)
    if known:
        first.add_checkpoint(request(0, known))

    def meet(name: str) -> None:
        if name == "checked":
            barrier.wait()

    racers = [witness_at(server, step=meet) for _ in range(2)]
    answers: list[tuple[int, str]] = []

    def submit(witness: Witness, size: int) -> None:
        try:
            answers.append((200, witness.add_checkpoint(request(known, size))))
        except Refused as error:
            answers.append((error.status, error.text))

    threads = [threading.Thread(target=submit, args=pair) for pair in zip(racers, (3, 5), strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(status for status, _ in answers) == [200, 409]
    note = first.checkpoint(hashlib.sha256(ORIGIN.encode()).hexdigest())
    size = parse_checkpoint(note)[0].size
    assert (409, f"{size}\n") in answers
    with pytest.raises(Refused) as caught:
        first.add_checkpoint(b"old %d\n\n" % size + signed(size, root("another history")))
    assert caught.value.status == 422
    for each in (first, *racers):
        each.close()


@pytest.mark.negative
def test_a_server_that_is_killed_costs_a_line_and_nothing_else(cluster: Cluster, store: Store, tmp_path: Path) -> None:
    published(store, write_publication(tmp_path / "p1", 1))
    second = write_publication(tmp_path / "p2", 2)
    cluster.kill()
    with pytest.raises(InputError, match="a database that works"):
        published(store, second)
    cluster.start()
    done = published(store, second)
    assert (done.index, done.is_new, done.is_shown) == (1, True, True)
    assert len(audit(store.log, policy()).entries) == 2
