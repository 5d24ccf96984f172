"""The read side over HTTP: entity tags, ranges, caching, problems, and readiness."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import answers
from api.answers import Loaded, Shelf, _range, load
from api.app import make_app
from api.paths import JSON
from api.reading import ReadSide, Resource
from api.serving import served
from api.store import Store
from tests.api.publishing.made_up import new_store, published, write_publication
from tests.verifier.log.signers import policy
from verifier.log.checkpoint import open_checkpoint
from verifier.manifest import parse_manifest


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Site:
    """A running service."""

    store: Store
    port: int
    folder: Path

    def get(self, path: str, method: str = "GET", **headers: str) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    store = new_store(tmp_path / "store")
    published(store, write_publication(tmp_path / "p1", 1))
    with served(make_app(Store(str(tmp_path / "store")))) as url:
        yield Site(store, int(url.rpartition(":")[2]), tmp_path)
    store.close()


def test_every_path_of_an_export_is_served(site: Site) -> None:
    published(site.store, write_publication(site.folder / "p2", 2))
    side = ReadSide(site.store)
    paths = list(side.paths())
    assert len(paths) > 15
    for path in paths:
        resource = side.get(path)
        assert resource is not None
        expected = resource.content if isinstance(resource.content, bytes) else resource.content.read_bytes()
        reply = site.get(f"/{path}")
        assert (reply.status, reply.body) == (200, expected)
        assert reply.headers["content-type"] == resource.media_type
        assert reply.headers["content-length"] == str(len(expected))
        assert reply.headers["etag"] == f'"{hashlib.sha256(expected).hexdigest()}"'
        assert ("immutable" in reply.headers["cache-control"]) is resource.is_immutable
        again = site.get(f"/{path}", If_None_Match=reply.headers["etag"])
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", reply.headers["etag"])
        head = site.get(f"/{path}", "HEAD")
        assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(expected)))


def test_texts_are_compressed_for_those_who_ask(site: Site) -> None:
    plain = site.get("/page/page.js")
    assert "content-encoding" not in plain.headers and plain.headers["vary"] == "Accept-Encoding"
    for ask in ("gzip", "br, GZIP;q=0.5", "gzip; q=1.0, *"):
        packed = site.get("/page/page.js", Accept_Encoding=ask)
        assert packed.headers["content-encoding"] == "gzip" and gzip.decompress(packed.body) == plain.body
        assert packed.headers["content-length"] == str(len(packed.body)) and len(packed.body) < len(plain.body) // 2
        assert packed.headers["etag"] != plain.headers["etag"]
    for ask in ("", "br", "gzip;q=0", "gzip;q=0.000", "xgzip"):
        assert site.get("/page/page.js", Accept_Encoding=ask).body == plain.body
    again = site.get("/page/page.js", Accept_Encoding="gzip", If_None_Match=packed.headers["etag"])
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", packed.headers["etag"])
    assert "content-encoding" not in again.headers
    assert site.get("/page/page.js", If_None_Match=packed.headers["etag"]).status == 200, (
        "that is another representation"
    )
    part = site.get("/page/page.js", Accept_Encoding="gzip", Range="bytes=0-9")
    assert (part.status, part.body) == (206, plain.body[:10])
    proof = site.get("/publications/1/shards/000000.proof", Accept_Encoding="gzip")
    assert "content-encoding" not in proof.headers and "vary" not in proof.headers


def test_what_is_published_meanwhile_is_served(site: Site) -> None:
    assert json.loads(site.get("/latest.json").body)["sequence"] == 1
    assert site.get("/publications/2/statement.json").status == 404
    assert site.get("/page/nothing.js").status == site.get("/index.html").status == 404
    fresh = ReadSide(site.store)
    assert fresh.get("index.html") is None
    assert fresh.get("publications/9/statement.json") is None and fresh.get("publications/1/statement.json")
    assert not fresh._made, "what strangers ask for is not remembered, and files are not kept twice"
    proof = site.get("/publications/1/log.tlog-proof").body
    published(site.store, write_publication(site.folder / "p2", 2))
    assert json.loads(site.get("/latest.json").body)["sequence"] == 2
    assert [row["sequence"] for row in json.loads(site.get("/publications.json").body)["publications"]] == [1, 2]
    assert site.get("/publications/2/statement.json").status == 200
    assert site.get("/publications/1/log.tlog-proof").body != proof
    assert open_checkpoint(site.get("/checkpoint").body, policy()).checkpoint.size == 2
    manifest = parse_manifest(site.get("/publications/2/manifest.json").body)
    for file in manifest.files:
        assert hashlib.sha256(site.get(f"/artefacts/{file.sha256.hex()}").body).digest() == file.sha256


@pytest.mark.parametrize(
    ("ask", "status", "place"),
    [
        ("bytes=0-4", 206, (0, 5)),
        ("bytes=3-", 206, (3, None)),
        ("bytes=3-3", 206, (3, 4)),
        ("bytes=-3", 206, (-3, None)),
        ("bytes=0-999999", 206, (0, None)),
        ("bytes=-999999", 206, (0, None)),
        ("bytes=999999-", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=5-3", 200, (0, None)),
        ("bytes=-", 200, (0, None)),
        ("bytes=0-1,3-4", 200, (0, None)),
        ("lines=0-4", 200, (0, None)),
        ("bytes=a-b", 200, (0, None)),
    ],
)
@pytest.mark.parametrize("large", [False, True])
def test_ranges(
    site: Site, monkeypatch: pytest.MonkeyPatch, large: bool, ask: str, status: int, place: tuple[int, int] | None
) -> None:
    if large:  # streamed from the file in small blocks
        monkeypatch.setattr(answers, "KEPT_FILE_BYTES_MAX", 3)
        monkeypatch.setattr(answers, "BLOCK_BYTES", 4)
    whole = (site.folder / "p1" / "reserves.csv").read_bytes()
    reply = site.get("/publications/1/reserves.csv", Range=ask)
    assert reply.status == status
    if place is None:
        assert reply.headers["content-range"] == f"bytes */{len(whole)}"
        assert reply.headers["content-type"] == "application/problem+json"
    else:
        assert reply.body == whole[slice(*place)]
        assert reply.headers["content-length"] == str(len(reply.body))
    if status == 206:
        first = whole.index(reply.body)
        assert reply.headers["content-range"] == f"bytes {first}-{first + len(reply.body) - 1}/{len(whole)}"


def test_a_range_of_what_has_changed_is_all_of_it(site: Site) -> None:
    etag = site.get("/latest.json").headers["etag"]
    assert site.get("/latest.json", Range="bytes=0-1", If_Range=etag).status == 206
    assert site.get("/latest.json", Range="bytes=0-1", If_Range='"another"').status == 200
    assert site.get("/latest.json", If_None_Match='"another"').status == 200
    assert site.get("/latest.json", "HEAD", Range="bytes=0-1").status == 200  # ranges are for GET


@given(st.integers(1, 50), st.integers(0, 60), st.integers(0, 60))
def test_a_range_is_inside(size: int, first: int, last: int) -> None:
    for header in (f"bytes={first}-{last}", f"bytes={first}-", f"bytes=-{last}"):
        found = _range(header, size)
        if found:
            assert 0 <= found[0] <= found[1] < size


@pytest.mark.negative
@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/nothing", "GET", 404),
        ("/publications/7/statement.json", "GET", 404),
        ("/publications/1/private.json", "GET", 404),
        ("/publications/1/STATEMENT.JSON", "GET", 422),
        ("/publications/one/statement.json", "GET", 422),
        ("/publications/-1/statement.json", "GET", 422),
        (f"/publications/{2**53}/statement.json", "GET", 422),
        ("/publications/1/..%2f..%2fstore.db", "GET", 422),
        ("/publications/1/../../store.db", "GET", 422),
        ("/artefacts/00", "GET", 422),
        (f"/artefacts/{'0' * 64}", "GET", 404),
        ("/tile/0/000.p/9", "GET", 404),
        ("/tile/0/0000", "GET", 422),
        ("/tile/0/..%2f..%2fcheckpoint", "GET", 422),
        ("/checkpoint", "POST", 405),
        ("/checkpoint", "DELETE", 405),
    ],
)
def test_problems(site: Site, path: str, method: str, status: int) -> None:
    reply = site.get(path, method)
    assert reply.status == status
    assert reply.headers["content-type"] == "application/problem+json"
    body = json.loads(reply.body)
    assert (body["type"], body["status"]) == ("about:blank", status)
    assert body["title"] and body["detail"]


def test_health_and_readiness(site: Site, tmp_path: Path) -> None:
    assert json.loads(site.get("/health").body) == {"status": "ok"}
    assert json.loads(site.get("/ready").body) == {"status": "ready", "log_size": 1}
    empty = new_store(tmp_path / "empty")
    with served(make_app(empty)) as url:
        other = Site(empty, int(url.rpartition(":")[2]), tmp_path)
        assert other.get("/ready").status == 503
        assert other.get("/latest.json").status == 404
        assert other.get("/checkpoint").status == 404
        assert json.loads(other.get("/publications.json").body)["publications"] == []


def test_the_description_names_every_answer(site: Site) -> None:
    document = json.loads(site.get("/openapi.json").body)
    assert set(document["paths"]) == {
        "/checkpoint",
        "/tile/{path}",
        "/latest.json",
        "/publications.json",
        "/publications/{sequence}/{name}",
        "/artefacts/{sha256}",
        "/page/{name}",
        "/health",
        "/ready",
        "/metrics",
    }
    for path, methods in document["paths"].items():
        assert set(methods) == {"get"}
        expected = {"200", "503"} if path == "/ready" else {"200"} if path in ("/health", "/metrics") else None
        found = set(methods["get"]["responses"])
        assert found == (expected or {"200", "206", "304", "404", "416", "422"})


def test_the_shelf_holds_so_much_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "KEPT_BYTES_MAX", 100)
    shelf = Shelf()
    for i in range(20):
        shelf.keep(str(i), load(Resource(bytes(10), JSON)))
        shelf.get("0")
    kept = [0, *range(11, 20)]
    assert [i for i in range(20) if shelf.get(str(i)) is not None] == kept
    shelf.keep("19", load(Resource(bytes(10), JSON)))  # counts once
    shelf.keep("large", Loaded(bytes(1), answers.KEPT_FILE_BYTES_MAX + 1, {}, ""))  # and nothing goes for this
    assert [i for i in range(20) if shelf.get(str(i)) is not None] == kept
    assert shelf.get("large") is None
