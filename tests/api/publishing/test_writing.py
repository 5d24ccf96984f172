"""The write side over HTTP: only with the key, only what verifies, and again whatever was interrupted."""

from __future__ import annotations

import hashlib
import http.client
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from api import writing
from api.reading import ReadSide
from api.serving import served
from api.store import Store
from api.tokens import Tokens
from api.upload import NotPublished, Refused, upload
from api.writing import Publisher, make_app
from prover.errors import InputError
from tests.api.files import Run
from tests.api.publishing.babbler import babbling
from tests.api.publishing.made_up import insolvent, new_store, verify, write_publication
from tests.api.publishing.test_openapi import run_schemathesis
from tests.verifier.log.signers import LOG_KEY, policy
from verifier.errors import Reason, VerificationError

KEY = "k" * 43


@dataclass(frozen=True)
class Desk:
    url: str
    publisher: Publisher
    folder: Path

    def ask(self, method: str, path: str, body: object = b"", key: str | None = KEY, **headers: str) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=20)
        connection.request(method, path, data, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text or b"null")

    def put(self, data: bytes) -> dict[str, str]:
        """A file for a list, called statement.json."""
        digest = hashlib.sha256(data).hexdigest()
        assert self.ask("PUT", f"/files/{digest}", data)[0] in (200, 201)
        return {"name": "statement.json", "sha256": digest}

    @property
    def shown(self) -> int:
        return ReadSide(self.publisher.store).size


def serving(folder: Path, **changes: Any) -> Publisher:
    store = Store(str(folder / "store")) if (folder / "store").exists() else new_store(folder / "store")
    return replace(Publisher(store, LOG_KEY, KEY, verify=verify), **changes)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    publisher = serving(tmp_path, tokens=Tokens(str(tmp_path / "tokens.db"), create=True))
    with served(make_app(publisher)) as url:
        yield Desk(url, publisher, tmp_path)
    publisher.store.close()


def test_a_publication_is_handed_in(desk: Desk) -> None:
    seen: list[float] = []
    first = write_publication(desk.folder / "p1", 1)
    done = upload(first, desk.url, KEY, lambda _, share: seen.append(share))
    assert (done["verdict"], done["sequence"], done["index"], done["is_new"]) == ("published", 1, 0, True)
    assert desk.shown == 1 and seen[-1] == 1.0 and len(seen) == 3
    again = upload(first, desk.url, KEY, lambda *_: pytest.fail("nothing is sent twice"))
    assert (again["index"], again["is_new"], again["manifest"]) == (0, False, done["manifest"])
    second = write_publication(desk.folder / "p2", 2)
    assert upload(second, desk.url + "/", KEY)["index"] == 1
    assert [path.name for path in desk.publisher.incoming.iterdir()] == []


def test_an_interrupted_hand_in_goes_on(desk: Desk) -> None:
    directory = write_publication(desk.folder / "p1", 1)
    desk.put((directory / "statement.json").read_bytes())
    sent: list[float] = []
    assert upload(directory, desk.url, KEY, lambda _, share: sent.append(share))["is_new"]
    assert sent == [0.5, 1.0], "one file of three was there"


@pytest.mark.negative
def test_nothing_without_the_key(desk: Desk) -> None:
    digest = hashlib.sha256(b"x").hexdigest()
    asks: list[tuple[str, str, object]] = [
        ("PUT", f"/files/{digest}", b"x"),
        ("POST", "/publications", {"files": []}),
        ("POST", "/tokens", {"users": ["a"]}),
        ("POST", "/tokens/revoke", {"user_id": "a"}),
    ]
    for method, path, body in asks:
        for key in (None, "", KEY[:-1], KEY + "k", KEY.upper()):
            status, answer = desk.ask(method, path, body, key)
            assert (status, answer["detail"]) == (401, "this needs the publisher's key")
        assert desk.ask(method, path, body, None, Authorization=f"Basic {KEY}")[0] == 401
    assert list(desk.publisher.incoming.iterdir()) == []
    with pytest.raises(InputError, match="answer 401"):
        upload(write_publication(desk.folder / "p1", 1), desk.url, "other")


@pytest.mark.negative
def test_files_that_are_not_taken(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.sha256(b"x").hexdigest()
    status, answer = desk.ask("PUT", f"/files/{digest}", b"y")
    assert status == 422 and hashlib.sha256(b"y").hexdigest() in answer["detail"]
    assert desk.ask("PUT", f"/files/{digest}0", b"x")[0] == 422
    assert desk.ask("PUT", "/files/..%2f..%2fstore.db", b"x")[0] in (404, 422)
    monkeypatch.setattr(writing, "FILE_BYTES_MAX", 3)
    assert desk.ask("PUT", f"/files/{digest}", b"long")[0] == 413
    connection = http.client.HTTPConnection(urlsplit(desk.url).netloc, timeout=20)
    headers = {"Authorization": f"Bearer {KEY}", "Transfer-Encoding": "chunked"}
    connection.request("PUT", f"/files/{digest}", b"1\r\nx\r\n0\r\n\r\n", headers)
    assert connection.getresponse().status == 411
    connection.close()
    assert list(desk.publisher.incoming.iterdir()) == []


@pytest.mark.negative
def test_lists_that_are_none(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    good = desk.put(b"{}")
    for body, what in (
        (b"", "body"),
        (b"[" * 10_000, "body"),
        ({}, "files"),
        ({"files": []}, "files"),
        ({"files": [good], "more": 1}, "more"),
        ({"files": [good | {"sha256": "00"}]}, "files.0.sha256"),
        ({"files": [good | {"name": "../statement.json"}]}, "files.0.name"),
        ({"files": [good | {"name": "secrets.json"}]}, "secrets.json"),
        ({"files": [good, good]}, "statement.json: no file of a publication, or twice"),
    ):
        status, answer = desk.ask("POST", "/publications", body)
        assert status == 422 and answer["detail"].startswith(what), (body, answer)
    status, answer = desk.ask("POST", "/publications", {"files": [good | {"sha256": "ab" * 32}]})
    assert (status, answer["missing"]) == (409, ["ab" * 32])
    monkeypatch.setattr(writing, "LIST_BYTES_MAX", 20)
    assert desk.ask("POST", "/publications", {"files": [good]})[0] == 413


@pytest.mark.negative
@pytest.mark.parametrize("body", [b"[]", b"null", b"nonsense", b"[" * 200_000])
def test_a_publisher_that_answers_nonsense(body: bytes, tmp_path: Path, any_depth: None) -> None:
    answer = b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    directory = write_publication(tmp_path / "p1", 1)
    with babbling(answer) as url, pytest.raises(InputError, match="expected a publisher that answers"):
        upload(directory, url, KEY)


@pytest.mark.negative
def test_what_does_not_verify_is_not_published(tmp_path: Path, run: Run) -> None:
    def refuse(directory: Path) -> Any:
        raise VerificationError(Reason.CONSTRAINTS, "a bad proof")

    directory = write_publication(tmp_path / "p1", 1)
    for judge, reason in ((refuse, Reason.CONSTRAINTS.value), (insolvent, "insolvent")):
        publisher = serving(tmp_path, verify=judge)
        with served(make_app(publisher)) as url:
            with pytest.raises((Refused, NotPublished)) as caught:
                upload(directory, url, KEY)
            assert reason in str(caught.value)
            (tmp_path / "key").write_text(KEY)
            code, out, _ = run("publish", directory, "--to", url, "--write-key", tmp_path / "key", "--json")
            assert (code, json.loads(out)["verdict"], json.loads(out)["reason"]) == (1, "rejected", reason)
            assert publisher.store.size == 0 and ReadSide(publisher.store).size == 0
        publisher.store.close()


@pytest.mark.negative
def test_another_history_is_refused_and_another_publisher_waited_for(desk: Desk) -> None:
    upload(write_publication(desk.folder / "p1", 1), desk.url, KEY)
    with pytest.raises(Refused) as caught:
        upload(write_publication(desk.folder / "other", 1, "other"), desk.url, KEY)
    assert caught.value.reason is Reason.LOG_ENTRY and desk.shown == 1
    with desk.publisher.store.publishing(), pytest.raises(InputError, match="answer 503"):
        upload(write_publication(desk.folder / "p2", 2), desk.url, KEY)
    assert upload(desk.folder / "p2", desk.url, KEY)["index"] == 1


def test_witnesses_that_are_missing_keep_it_back(tmp_path: Path) -> None:
    publisher = serving(tmp_path, policy=policy("w", k=1))
    with served(make_app(publisher)) as url:
        done = upload(write_publication(tmp_path / "p1", 1), url, KEY)
        assert (done["verdict"], done["reason"]) == ("logged, but not shown", "witness-quorum")
        assert (publisher.store.size, ReadSide(publisher.store).size) == (1, 0)
    publisher.store.close()


def test_a_database_that_fails_is_not_the_callers_fault(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise InputError(file="tokens.db", got="disk I/O error", expected="a database that works")

    monkeypatch.setattr(Tokens, "issue", fails)
    assert desk.ask("POST", "/tokens", {"users": ["ann"]})[0] == 503


def test_tokens(desk: Desk) -> None:
    assert desk.publisher.tokens is not None
    status, answer = desk.ask("POST", "/tokens", {"users": ["ann", "bob"]})
    assert status == 201 and [row["user_id"] for row in answer["tokens"]] == ["ann", "bob"]
    token = answer["tokens"][0]["token"]
    assert desk.publisher.tokens.user_of(token) == "ann"
    assert desk.ask("POST", "/tokens/revoke", {"user_id": "ann"}) == (200, {"tokens": 1})
    assert desk.publisher.tokens.user_of(token) is None
    assert desk.ask("POST", "/tokens", {"users": ["a\u200bb"]})[0] == 422


def test_what_a_stopped_run_left_is_cleared(tmp_path: Path) -> None:
    publisher = serving(tmp_path)
    make_app(publisher)
    whole = publisher.incoming / ("ab" * 32)
    whole.write_bytes(b"put, and not yet published")
    (publisher.incoming / ".part").write_bytes(b"half")
    (publisher.incoming / "tmp").mkdir()
    make_app(publisher)
    assert list(publisher.incoming.iterdir()) == [whole]
    publisher.store.close()


def test_schemathesis_finds_nothing(desk: Desk) -> None:
    # No schema says which digests were put before, or which body has a digest: random ones are rightly refused.
    run_schemathesis(desk.url, desk.folder, "-H", f"Authorization: Bearer {KEY}",
                     "--exclude-checks", "positive_data_acceptance")  # fmt: skip


def test_from_the_command_line(tmp_path: Path, run: Run) -> None:
    assert run("publisher", "keygen", "--out", tmp_path / "write.key")[0] == 0
    assert (tmp_path / "write.key").stat().st_mode & 0o777 == 0o600
    assert run("publisher", "keygen", "--out", tmp_path / "write.key")[0] == 2
    publisher = serving(tmp_path, write_key=(tmp_path / "write.key").read_text().strip())
    directory = write_publication(tmp_path / "p1", 1)
    with served(make_app(publisher)) as url:
        to = ("--to", url, "--write-key", tmp_path / "write.key")
        code, out, _ = run("publish", directory, *to)
        assert code == 0 and "Log entry 0\n" in out and "Verdict: published, sequence 1" in out
        (directory / "secrets.json").write_text("{}")
        assert run("publish", directory, *to)[0] == 2
        shutil.rmtree(directory)
        other = write_publication(tmp_path / "other", 1, "other")
        code, out, _ = run("publish", other, *to, "--json")
        assert (code, json.loads(out)["reason"]) == (1, "log-entry")
        for words in (to[:2], (*to, "--store", tmp_path), to[2:], ("--store", tmp_path)):
            code, _, err = run("publish", other, *words)
            assert code == 2 and ("--write-key" in err or "--store" in err)
        (tmp_path / "write.key").write_text("")
        assert run("publish", other, *to)[0] == 2
    publisher.store.close()
