"""kill -9 and a full disk at every write of a publication: nothing is lost, and no size ever has two checkpoints."""

from __future__ import annotations

import os
import shutil
from functools import partial
from pathlib import Path

import pytest

from api.log import log_proof
from api.store import Store
from prover.errors import InputError
from prover.files import Step
from tests.api.publishing.made_up import digest_of, new_store, published, write_publication
from tests.api.publishing.victims import Failing, killed_at
from tests.verifier.log.signers import policy
from verifier.errors import Reason, VerificationError
from verifier.log.check import audit
from verifier.log.checkpoint import parse_checkpoint

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the victims are forked")

STEPS_MAX = 60


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed process loses nothing that it wrote: only a power cut would, and here is none."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two publications, and stores with none and one of them in the log; and what a third would be."""
    folder = tmp_path_factory.mktemp("before")
    for sequence in (1, 2):
        write_publication(folder / f"p{sequence}", sequence)
    write_publication(folder / "other1", 1, "other")
    write_publication(folder / "other2", 2, "other", digest_of(1))
    new_store(folder / "store0").close()
    shutil.copytree(folder / "store0", folder / "store1")
    store = Store(str(folder / "store1"))
    published(store, folder / "p1")
    store.close()
    return folder


def checkpoints(place: Path) -> dict[int, bytes]:
    """Everything under the log's signature that could be seen, by size."""
    store = Store(str(place))
    found: dict[int, bytes] = {}
    with store._database.reading() as connection:
        for size, note in connection.exec_driver_sql("SELECT size, note FROM checkpoints"):
            found[size] = bytes(note)
    shown = store.log / "checkpoint"
    if shown.exists():
        size = parse_checkpoint(shown.read_bytes())[0].size
        assert found[size] == shown.read_bytes(), "readers see what the database does not know"
        assert len(audit(store.log, policy()).entries) == size, "readers see a log that is not whole"
    store.close()
    return found


def act(place: Path, directory: Path, step: Step) -> None:
    published(Store(str(place), step), directory)


@pytest.mark.parametrize("number", [1, 2])
def test_killed_at_every_write(before: Path, tmp_path: Path, number: int) -> None:
    start, directory = before / f"store{number - 1}", before / f"p{number}"
    reference = tmp_path / "reference"
    shutil.copytree(start, reference)
    store = Store(str(reference))
    published(store, directory)
    store.close()
    expected = checkpoints(reference)
    for step in range(1, STEPS_MAX):
        place = tmp_path / str(step)
        shutil.copytree(start, place)
        died = killed_at(step, partial(act, place, directory))
        after = checkpoints(place)
        assert after.items() <= expected.items()
        # What was begun is finished: the same publication, once, under the same checkpoints.
        again = tmp_path / f"{step}-again"
        shutil.copytree(place, again)
        store = Store(str(again))
        done = published(store, directory)
        assert (done.index, store.size, done.is_shown) == (number - 1, number, True)
        assert log_proof(store, done.index)
        store.close()
        assert checkpoints(again) == expected
        # Or the exchange changes its mind: only as long as nothing was logged, and still one checkpoint per size.
        store = Store(str(place))
        logged = store.size == number
        if logged:
            with pytest.raises(VerificationError) as caught:
                published(store, before / f"other{number}")
            assert caught.value.reason is Reason.LOG_ENTRY
        else:
            assert published(store, before / f"other{number}").is_new
        store.close()
        for size, note in checkpoints(place).items():
            assert after.get(size, note) == note, "a second checkpoint of one size"
        if not died:
            assert step > 20, "too few writes are steps"
            assert after == expected
            return
    pytest.fail("there is no end of steps")


def test_a_full_disk_at_every_write(before: Path, tmp_path: Path) -> None:
    for step in range(1, STEPS_MAX):
        place = tmp_path / str(step)
        shutil.copytree(before / "store1", place)
        store = Store(str(place), Failing(step))
        try:
            done = published(store, before / "p2")
        except (OSError, InputError) as error:
            assert "No space left" in str(error) or "a full disk" in str(error)
        else:
            assert done.is_shown
            store.close()
            return
        assert published(store, before / "p2").is_shown  # the same process, once there is room
        assert store.size == 2
        store.close()
        assert len(checkpoints(place)) == 2
        assert not [path for path in place.rglob(".*")]
    pytest.fail("there is no end of steps")
