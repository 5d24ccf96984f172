"""`solvent fetch`: what arrives is what the manifest says, or nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response

import api.fetch
from api.app import make_app
from api.cli import main
from api.fetch import fetch_log, fetch_publication
from api.reading import ReadSide
from api.serving import served
from api.store import Store
from prover.errors import InputError
from tests.api.publishing.babbler import NO_HTTP, babbling
from tests.api.publishing.made_up import new_store, published, verify, write_publication
from tests.verifier.log.signers import policy, policy_text
from verifier.errors import Reason, VerificationError
from verifier.log.check import audit, check_logged


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = new_store(tmp_path / "store")
    for sequence in (1, 2):
        published(made, write_publication(tmp_path / f"p{sequence}", sequence))
    yield made
    made.close()


def lying(store: Store, lie: Callable[[str, bytes], bytes | int]) -> FastAPI:
    """A server that changes what it sends: other bytes, or a status."""
    app, side = FastAPI(), ReadSide(store)

    @app.get("/{path:path}")
    def answer(request: Request, path: str) -> Response:
        resource = side.get(path)
        if resource is None:
            return Response(status_code=404)
        content = resource.content if isinstance(resource.content, bytes) else resource.content.read_bytes()
        told = lie(path, content)
        return Response(status_code=told) if isinstance(told, int) else Response(told)

    return app


def test_from_a_server_to_what_can_be_checked(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "policy").write_text(policy_text())
    with served(make_app(Store(str(store.files)))) as url:
        assert main(["fetch", url + "/", "--out", str(tmp_path / "new"), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["sequence"] == 2
        assert main(["fetch", url, "--out", str(tmp_path / "old"), "--sequence", "1"]) == 0
        assert main(["fetch", url, "--out", str(tmp_path / "log"), "--log"]) == 0
        assert main(["fetch", url, "--out", str(tmp_path / "x"), "--sequence", "7"]) == 2
        assert "answer 404" in capsys.readouterr().err
        assert main(["fetch", url, "--out", str(tmp_path / "new")]) == 2
        assert main(["fetch", url, "--out", str(tmp_path / "x"), "--log", "--sequence", "1"]) == 2
    for name, index in (("old", 0), ("new", 1)):
        found = check_logged(tmp_path / name, verify(tmp_path / name).statement, policy())
        assert (found.index, found.opened.checkpoint.size) == (index, 2)
    assert len(audit(tmp_path / "log", policy()).entries) == 2
    assert main(["fetch", url, "--out", str(tmp_path / "x")]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert url in error and "expected an answer" in error
    assert not [path for path in tmp_path.iterdir() if path.name.startswith((".", "x"))]


@pytest.mark.negative
@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        (lambda p, d: d + b"x" if p.endswith("reserves.csv") else d, Reason.MANIFEST),
        (lambda p, d: d[:-1] if p.endswith(".proof") else d, Reason.MANIFEST),
        (lambda p, d: d.replace(b"btc", b"eth") if p.endswith("reserves.csv") else d, Reason.MANIFEST),
        (lambda p, d: d.replace(b"proof", b"prxxf") if p.endswith("manifest.json") else d, Reason.MALFORMED),
        (lambda p, d: d.replace(b"reserves.csv", b"../../../x.y") if p.endswith("manifest.json") else d, None),
        (lambda p, d: b"{}" if p == "latest.json" else d, Reason.NON_CANONICAL),
        (lambda p, d: 500 if p.endswith("statement.json") else d, None),
        (lambda p, d: bytes(2**20) if p.endswith("log.tlog-proof") else d, None),
    ],
)
def test_nothing_is_kept_of_what_is_wrong(
    store: Store, tmp_path: Path, lie: Callable[[str, bytes], bytes | int], reason: Reason | None
) -> None:
    with served(lying(store, lie)) as url, pytest.raises((VerificationError, InputError)) as caught:
        fetch_publication(url, tmp_path / "out" / "new")
    if reason is not None:
        assert getattr(caught.value, "reason", None) is reason
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.negative
@pytest.mark.parametrize("raw", NO_HTTP[:2])
def test_what_is_no_http_is_no_answer(tmp_path: Path, raw: bytes) -> None:
    with babbling(raw) as url, pytest.raises(InputError, match="expected an answer"):
        fetch_log(url, tmp_path / "log")
    with pytest.raises(InputError, match="expected an answer"):
        fetch_log("http://[::1", tmp_path / "log")


@pytest.mark.negative
def test_a_publication_that_claims_to_be_huge_is_not_downloaded(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sum(path.stat().st_size for path in (tmp_path / "p2").rglob("*") if path.is_file())
    with served(make_app(Store(str(store.files)))) as url:
        monkeypatch.setattr("api.fetch.PUBLICATION_BYTES_MAX", size)
        assert fetch_publication(url, tmp_path / "out") == 2
        monkeypatch.setattr("api.fetch.PUBLICATION_BYTES_MAX", size - 1)
        with pytest.raises(InputError, match=f"got {size} bytes, expected at most {size - 1}"):
            fetch_publication(url, tmp_path / "more")


@pytest.mark.negative
def test_no_more_is_read_than_a_file_may_have(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, counts = api.fetch._read, list[int]()

    def counted(answer: Any, count: int, address: str) -> bytes:
        if address.endswith("reserves.csv"):
            counts.append(count)
        return read(answer, count, address)

    monkeypatch.setattr("api.fetch._read", counted)
    app = lying(store, lambda p, d: d + bytes(2**20) if p.endswith("reserves.csv") else d)
    size = (tmp_path / "p2" / "reserves.csv").stat().st_size
    with served(app) as url, pytest.raises(VerificationError):
        fetch_publication(url, tmp_path / "out")
    assert counts == [size + 1, 0]


@pytest.mark.negative
def test_only_a_new_folder_is_made(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("empty", "link"):
        with pytest.raises(InputError, match="expected a new folder"):
            fetch_log("http://127.0.0.1:9", tmp_path / name)


@pytest.mark.negative
def test_a_log_that_claims_to_be_endless_is_not_downloaded(store: Store, tmp_path: Path) -> None:
    app = lying(store, lambda p, d: d.replace(b"\n2\n", b"\n9000000000\n"))
    with served(app) as url, pytest.raises(InputError, match="9000000000 entries"):
        fetch_log(url, tmp_path / "log")
    with pytest.raises(InputError, match="http or https"):
        fetch_log("file:///etc", tmp_path / "log")
