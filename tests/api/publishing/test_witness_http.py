"""The log and its witnesses over HTTP: what is asked, what is refused, and a quorum before readers see anything."""

from __future__ import annotations

import base64
import hashlib
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from api import witnesses
from api.serving import served
from api.store import Store
from api.witness import REQUEST_BYTES_MAX, Refused, make_app
from prover.files import Step
from tests.api.publishing.babbler import NO_HTTP, babbling
from tests.api.publishing.made_up import new_store, published, write_publication
from tests.api.publishing.test_witness import NOW, line_of, new_witness, request, tiles
from tests.api.publishing.victims import killed_at
from tests.verifier.log.signers import ORIGIN, policy_text, signed
from verifier.log.checkpoint import open_checkpoint, parse_checkpoint
from verifier.log.policy import Policy, parse_policy


def policy_with(urls: dict[str, str], k: int) -> Policy:
    lines = policy_text(*urls, k=k).splitlines()
    with_urls = [f"{line} {urls[line.split()[1]]}" if line.startswith("witness ") else line for line in lines]
    return parse_policy(("\n".join(with_urls) + "\n").encode())


def post(url: str, body: bytes) -> tuple[int, str, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body)) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def test_over_http(tmp_path: Path) -> None:
    witness = new_witness(tmp_path)
    with served(make_app(witness)) as url:
        status, kind, text = post(f"{url}/add-checkpoint", request(0, 3))
        assert (status, kind) == (200, "text/plain; charset=utf-8")
        assert line_of(witness, text, signed(3, tiles(3).root())) == NOW
        assert post(f"{url}/add-checkpoint", request(0, 3)) == (409, "text/x.tlog.size", "3\n")
        assert post(f"{url}/add-checkpoint", b"nonsense")[0] == 400
        assert post(f"{url}/add-checkpoint", bytes(REQUEST_BYTES_MAX + 1))[0] == 413
        with urllib.request.urlopen(f"{url}/{hashlib.sha256(ORIGIN.encode()).hexdigest()}/checkpoint") as answer:
            assert parse_checkpoint(answer.read())[0].size == 3
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"{url}/{'0' * 64}/checkpoint")
        with caught.value as error:
            assert error.code == 404
    witness.close()


def test_readers_see_a_publication_when_its_quorum_has_cosigned(tmp_path: Path) -> None:
    store, one, two = new_store(tmp_path / "store"), new_witness(tmp_path, "w1"), new_witness(tmp_path, "w2")
    first, second = (write_publication(tmp_path / f"p{i}", i) for i in (1, 2))
    with served(make_app(one)) as url1:
        with served(make_app(two)) as url2:
            both = policy_with({"w1": url1, "w2": url2 + "/"}, 2)
            done = published(store, first, both)
            assert (done.is_shown, [a.why for a in done.answers]) == (True, ["cosigned", "cosigned"])
        done = published(store, second, policy_with({"w1": url1, "w2": url2}, 2))
        assert (done.is_shown, done.is_new) == (False, True)
        assert [(a.witness, a.line is not None) for a in done.answers] == [("w1", True), ("w2", False)]
        assert "cannot be reached" in done.answers[1].why
        shown = store.shown()
        assert shown is not None
        assert shown.size == 1
        open_checkpoint((store.log / "checkpoint").read_bytes(), both)
        with served(make_app(two)) as url2:  # it is back
            both = policy_with({"w1": url1, "w2": url2}, 2)
            done = published(store, second, both)
            assert (done.is_shown, done.is_new, done.index) == (True, False, 1)
            assert [a.why for a in done.answers] == ["cosigned before", "cosigned"]
    opened = open_checkpoint((store.log / "checkpoint").read_bytes(), both)
    assert (opened.checkpoint.size, len(opened.witnesses)) == (2, 2)
    for each in (store, one, two):
        each.close()


def test_a_witness_that_knows_more_than_we_thought_is_asked_again(tmp_path: Path) -> None:
    store, witness = new_store(tmp_path / "store"), new_witness(tmp_path)
    for sequence in (1, 2):
        published(store, write_publication(tmp_path / f"p{sequence}", sequence))
    with served(make_app(witness)) as url:
        policy = policy_with({"w1": url}, 1)
        note = store.signed() or b""
        witness.add_checkpoint(b"old 0\n\n" + note)
        # Its answer was lost: the store believes that it knows nothing.
        assert published(store, tmp_path / "p2", policy).is_shown
    for each in (store, witness):
        each.close()


@pytest.mark.negative
@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (200, "", "no cosignature"),
        (200, "nonsense\n", "no cosignature"),
        (200, f"— w1 {base64.b64encode(bytes(76)).decode()}\n", "without a cosignature"),
        (200, "forged", "no cosignature"),
        (409, "many\n", "does not say which"),
        (409, "5\n", "this store is an older one"),
        (409, "0\n", "still disagrees"),
        (500, "broken", "answered 500"),
        (301, "elsewhere", "answered 301"),
    ],
)
def test_witnesses_that_answer_wrongly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, body: str, why: str
) -> None:
    policy = policy_with({"w1": "http://127.0.0.1:9"}, 1)
    if body == "forged":
        forger = new_witness(tmp_path)
        line = forger.add_checkpoint(request(0, 3))  # good, but of another checkpoint
        forger.close()
        body = line
    monkeypatch.setattr(witnesses, "_post", lambda *_: (status, body))
    store = new_store(tmp_path / "store")
    done = published(store, write_publication(tmp_path / "p1", 1), policy)
    assert (done.is_shown, done.is_new) == (False, True)
    assert why in done.answers[0].why
    assert store.cosignatures(1) == {}
    store.close()


@pytest.mark.negative
@pytest.mark.parametrize("raw", NO_HTTP)
def test_a_witness_that_speaks_no_http_costs_its_own_cosignature_only(tmp_path: Path, raw: bytes) -> None:
    store, witness = new_store(tmp_path / "store"), new_witness(tmp_path, "w1")
    with served(make_app(witness)) as url, babbling(raw) as other:
        policy = policy_with({"w1": url, "w2": other, "w3": "http://[::1"}, 1)
        done = published(store, write_publication(tmp_path / "p1", 1), policy)
    assert done.is_shown
    assert [answer.why.partition(":")[0] for answer in done.answers] == ["cosigned", *["cannot be reached"] * 2]
    for each in (store, witness):
        each.close()


@pytest.mark.negative
def test_only_http_is_spoken(tmp_path: Path) -> None:
    store = new_store(tmp_path / "store")
    policy = policy_with({"w1": "file:///etc/hosts"}, 1)
    done = published(store, write_publication(tmp_path / "p1", 1), policy)
    assert "no http" in done.answers[0].why
    store.close()


def test_killed_while_witnesses_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cosignatures are kept by the store like all else."""

    def direct(folder: Path) -> Callable[..., tuple[int, str]]:
        def post(asked: Any, body: bytes, _timeout: float) -> tuple[int, str]:
            witness = new_witness(folder, asked.name)
            try:
                return 200, witness.add_checkpoint(body)
            except Refused as error:
                return error.status, error.text
            finally:
                witness.close()

        return post

    policy = policy_with({"w1": "http://w1", "w2": "http://w2"}, 2)
    directory = write_publication(tmp_path / "p1", 1)
    for number in range(20, 60):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.setattr(witnesses, "_post", direct(folder))
        new_store(folder / "store").close()
        died = killed_at(number, partial(_publish, folder / "store", directory, policy))
        store = Store(str(folder / "store"))
        shown = store.shown()
        if shown is not None:
            open_checkpoint((store.log / "checkpoint").read_bytes(), policy)
        done = published(store, directory, policy)
        assert (done.is_shown, store.size) == (True, 1)
        open_checkpoint((store.log / "checkpoint").read_bytes(), policy)
        store.close()
        if not died:
            return
    pytest.fail("there is no end of steps")


def _publish(place: Path, directory: Path, policy: Policy, step: Step) -> None:
    published(Store(str(place), step), directory, policy)


def test_nobody_waits_for_a_witness_that_drips(tmp_path: Path) -> None:
    store = new_store(tmp_path / "store")
    published(store, write_publication(tmp_path / "p1", 1))
    with babbling(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 60, pause_seconds=0.05) as url:
        (answer,) = witnesses.collect(store, policy_with({"w1": url}, 1), timeout=0.2)
    assert (answer.line, answer.why) == (None, "no answer within 0.6 s"), "all of it would have taken 4 s"
    store.close()
