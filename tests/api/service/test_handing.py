"""Bundles over HTTP: one's own for a token, and for everybody else one answer, of one size, after the same work."""

from __future__ import annotations

import io
import json
import random
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from api.app import make_app
from api.handing import BLOCK_BYTES, PADDING_BYTES_MIN, Bundles
from api.observing import Observer
from api.publish import publish
from api.serving import served
from api.store import Store
from api.tokens import Tokens
from prover.errors import InputError
from tests.api.publishing.made_up import new_store
from tests.api.service.stored import stored
from tests.api.web.publications import read
from tests.prover.test_bundle_store import named_publication
from tests.verifier.log.signers import LOG_KEY, policy_text
from tests.verifier.small_tree import Builder, make_accounts
from verifier.inclusion import check_bundle
from verifier.receipt import check_user_file, parse_receipt

OF = named_publication()
Reply = tuple[int, dict[str, str], bytes]
"""Status, headers in small letters, body."""


@dataclass(frozen=True)
class Site:
    url: str
    folder: Path
    tokens: Tokens
    log: io.StringIO
    given: dict[str, str]
    """A token per user."""

    def get(
        self, path: str = "/bundle", token: str | None = None, scheme: str = "Bearer"
    ) -> tuple[int, dict[str, str], bytes]:
        headers = {} if token is None else {"Authorization": f"{scheme} {token}"}
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url + path, headers=headers), timeout=20) as answer:
                return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("handing")
    public, bundles = stored(OF, folder)
    store = new_store(folder / "store")
    publish(public, store, LOG_KEY, None, verify=read)
    tokens, log = Tokens(str(folder / "tokens.db"), create=True), io.StringIO()
    users = [account.user_id for account in OF.accounts if account.user_id.isprintable()]
    given = dict(zip(users, tokens.issue(users), strict=True))
    with served(make_app(store, Bundles([bundles], tokens), Observer(log))) as url:
        yield Site(url, folder, tokens, log, given)
    store.close()


def test_everybody_gets_their_own(site: Site) -> None:
    for user, token in list(site.given.items())[:12]:
        for path in ("/bundle", f"/bundles/{OF.statement.sequence}"):
            status, headers, body = site.get(path, token)
            assert status == 200
            assert check_bundle(body, OF.statement, user_id=user).compared
            assert headers["cache-control"] == "no-store"
            assert headers["content-disposition"] == f'attachment; filename="bundle-{OF.statement.sequence}.json"'
            assert "access-control-allow-origin" not in headers
            assert PADDING_BYTES_MIN <= len(headers["padding"]) < PADDING_BYTES_MIN + BLOCK_BYTES


def test_a_receipt_holds_the_same_bundle_and_its_log(site: Site, tmp_path: Path) -> None:
    (tmp_path / "policy").write_text(policy_text())
    for user, token in list(site.given.items())[:3]:
        for path in ("/receipt", f"/receipts/{OF.statement.sequence}"):
            status, headers, body = site.get(path, token)
            assert status == 200 and headers["cache-control"] == "no-store"
            assert headers["content-disposition"] == f'attachment; filename="receipt-{OF.statement.sequence}.json"'
            report, against = check_user_file(body, log_policy=tmp_path / "policy", user_id=user)
            assert report.compared and against is not None and against.logged[-1].ok
            assert parse_receipt(body).bundle == site.get(token=token)[2]


@pytest.mark.parametrize("path", ["/bundle", "/receipt"])
def test_accounts_of_usual_size_look_alike(site: Site, path: str) -> None:
    sizes, lengths = set(), set()
    for token in list(site.given.values())[9:30]:
        _, headers, body = site.get(path, token)
        sizes.add(sum(len(k) + len(v) for k, v in headers.items()) + len(body))
        lengths.add(len(body))
    assert len(sizes) == 1 < len(lengths)


def test_padding_is_as_long_in_packed_headers(site: Site) -> None:
    """HTTP/2 and HTTP/3, in front of the service, code headers by Huffman and refer to those sent before."""
    eight_bits = set("&*,;XZ")  # RFC 7541, appendix B, where digits take five or six
    token, sent = site.given["plain"], set()
    for _ in range(3):
        _, headers, _ = site.get(token=token)
        assert set(headers["padding"]) <= eight_bits
        # 256 and more take three bytes for their length, and fewer than 16,511 no more.
        assert len(headers["padding"]) >= 0x7F + 0x80
        sent.add(headers["padding"])
    assert len(sent) == 3


def _wrong(site: Site) -> list[tuple[str | None, str]]:
    good = site.given["plain"]
    flipped = ("B" if good[0] == "A" else "A") + good[1:]
    return [(None, "Bearer"), ("", "Bearer"), (flipped, "Bearer"), (good, "Basic"), (good[:-1], "Bearer"),
            (good + "A", "Bearer"),
            ("x" * 43, "Bearer"), ("plain", "Bearer"), ("x" * 5000, "Bearer"), ("' OR 1=1 --", "Bearer")]  # fmt: skip


@pytest.mark.negative
def test_all_others_get_one_answer(site: Site) -> None:
    answers = set()
    for token, scheme in _wrong(site):
        for path in ("/bundle", f"/bundles/{OF.statement.sequence}", "/bundles/9999", "/receipt", "/receipts/9999"):
            status, headers, body = site.get(path, token, scheme)
            headers.pop("date")
            answers.add((status, tuple(sorted(headers.items())), body))
    ((status, headers_seen, body),) = answers
    assert status == 401 and dict(headers_seen)["www-authenticate"].startswith("Bearer")
    assert json.loads(body)["status"] == 401


def test_a_refusal_takes_the_same_work(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked up does not depend on why there is no bundle."""
    from prover.bundle_store import BundleStore

    bundles = Bundles([site.folder / "bundles"], site.tokens)
    work: list[str] = []
    real_get, real_user = BundleStore.get, Tokens.user_of

    def get(store: BundleStore, user: str) -> bytes | None:
        work.append("get")
        return real_get(store, user)

    def user_of(tokens: Tokens, token: str) -> str | None:
        work.append("user")
        return real_user(tokens, token)

    monkeypatch.setattr(BundleStore, "get", get)
    monkeypatch.setattr(Tokens, "user_of", user_of)
    store = bundles.of(OF.statement.digest)
    for token, at in ((None, store), ("x" * 43, store), (site.given["plain"], None), (None, None)):
        work.clear()
        bundles.fetch(token, at)
        assert work == ["user", "get"]


def test_a_refusal_takes_the_same_time(site: Site) -> None:
    """Processor time, the best of many: a token that is nearly right takes as long as one that is not."""
    bundles = Bundles([site.folder / "bundles"], site.tokens)
    store = bundles.of(OF.statement.digest)
    good = site.given["plain"]

    def best(token: str) -> float:
        times = []
        for _ in range(300):
            start = time.process_time_ns()
            bundles.fetch(token, store)
            times.append(time.process_time_ns() - start)
        return min(times)

    near, far = best(good[:-1] + ("A" if good[-1] != "A" else "B")), best("x" * 43)
    assert max(near, far) < 1.5 * min(near, far)


def test_a_user_without_a_bundle(site: Site) -> None:
    (token,) = site.tokens.issue(["newcomer"])
    status, headers, _ = site.get(token=token)
    assert (status, headers["content-type"]) == (404, "application/problem+json")
    assert site.get("/bundles/9999", site.given["plain"])[0] == 404
    assert site.get("/bundles/x", token)[0] == 422
    assert site.tokens.revoke("newcomer") == 1
    assert site.get(token=token)[0] == 401


def test_nothing_about_users_is_kept(site: Site) -> None:
    token = site.given["zoë"]
    site.get(token=token)
    said = site.log.getvalue()
    lines = [json.loads(line) for line in said.splitlines()]
    assert {line["route"] for line in lines} >= {"/bundle"}
    assert set(lines[-1]) == {"time", "method", "route", "status", "ms"}
    database = b"".join(path.read_bytes() for path in site.folder.glob("tokens.db*"))
    _, _, metrics = site.get("/metrics")
    for secret in (token, site.given["plain"]):
        assert secret not in said and secret.encode() not in database + metrics
    assert b'solvent_requests_total{worker="' in metrics and b"zo" not in metrics.replace(b"horizon", b"")


def test_wrong_places(site: Site, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="in use"):
        Tokens(str(site.folder / "tokens.db"), create=True)
    with pytest.raises(InputError, match="no such file"):
        Tokens(str(tmp_path / "none.db"))
    with pytest.raises(InputError, match="a second store"):
        Bundles([site.folder / "bundles"] * 2, site.tokens)
    with pytest.raises(InputError, match="list of files"):
        Bundles([tmp_path], site.tokens)
    for user in ("", "a\nb", "x" * 257):
        with pytest.raises(InputError, match="printable"):
            site.tokens.issue([user])
    assert site.tokens.issue([]) == []
    assert len(site.tokens.issue(["a", "x" * 256])) == 2


def test_two_publications(tmp_path: Path) -> None:
    """Each store answers for its own sequence number, the newest by default."""
    source = random.Random(9)
    accounts = make_accounts(3, source)
    store, tokens = new_store(tmp_path / "store"), Tokens(str(tmp_path / "tokens.db"), create=True)
    one = Builder(source).build(accounts)
    other = one.stating(sequence=8, previous=one.statement.digest)
    folders = []
    for of in (one, other):
        folder = tmp_path / str(of.statement.sequence)
        folder.mkdir()
        public, bundles = stored(of, folder)
        folders.append(bundles)
        publish(public, store, LOG_KEY, None, verify=read)
    (token,) = tokens.issue(["user-1"])
    with served(make_app(store, Bundles(folders, tokens))) as url:
        here = Site(url, tmp_path, tokens, io.StringIO(), {})
        assert check_bundle(here.get("/bundles/7", token)[2], one.statement).compared
        assert check_bundle(here.get("/bundles/8", token)[2], other.statement).compared
        assert here.get("/bundle", token)[2] == here.get("/bundles/8", token)[2]
        assert isinstance(store, Store)
    store.close()
