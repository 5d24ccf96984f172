"""One address may ask so often, counted over all processes; others do not notice."""

from __future__ import annotations

import multiprocessing
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from api.app import make_app
from api.handing import Bundles
from api.limits import BURST_SECONDS, RateLimit
from api.publish import publish
from api.serving import served
from api.tokens import Tokens
from tests.api.publishing.made_up import new_store
from tests.api.service.stored import stored
from tests.api.web.forgeries import sharded
from tests.api.web.publications import read
from tests.verifier.log.signers import LOG_KEY


@pytest.fixture
def path(tmp_path: Path) -> Path:
    RateLimit.make(tmp_path / "limit")
    return tmp_path / "limit"


def test_a_burst_and_then_the_rate(path: Path) -> None:
    limit = RateLimit(path, 2)
    burst = 2 * BURST_SECONDS + 1
    assert [limit.wait_seconds("a", 100.0) for _ in range(burst)] == [0.0] * burst
    assert limit.wait_seconds("a", 100.0) == pytest.approx(0.5)
    assert limit.wait_seconds("b", 100.0) == 0.0
    assert limit.wait_seconds("a", 100.5) == 0.0 < limit.wait_seconds("a", 100.6)
    assert [limit.wait_seconds("a", 100.0 + 1000) for _ in range(burst)] == [0.0] * burst, "no more than one burst"
    assert limit.wait_seconds("a", 100.0 + 1000) > 0
    limit.close()


def _ask(path: Path, count: int) -> int:
    limit = RateLimit(path, 0.001)
    return sum(limit.wait_seconds("a", 50.0) == 0.0 for _ in range(count))


def test_processes_share_it(path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        answered = pool.starmap(_ask, [(path, 300), (path, 300)])
    assert sum(answered) == 2, "one, and one that was saved up"


def test_rare_requests_are_not_refused(path: Path) -> None:
    limit = RateLimit(path, 0.01)
    assert [limit.wait_seconds("a", 100.0 * number) for number in range(1, 5)] == [0.0] * 4
    limit.close()


@pytest.mark.negative
def test_over_http(path: Path, tmp_path: Path) -> None:
    of = sharded(1, 0)
    public, bundles = stored(of, tmp_path)
    store, tokens = new_store(tmp_path / "store"), Tokens(str(tmp_path / "tokens.db"), create=True)
    publish(public, store, LOG_KEY, None, verify=read)
    (token,) = tokens.issue([of.accounts[1].user_id])
    seen = []
    limit = RateLimit(path, 0.5)
    with served(make_app(store, Bundles([bundles], tokens, limit))) as url:
        for shown in (token, "wrong") * 3:
            request = urllib.request.Request(url + "/bundle", headers={"Authorization": f"Bearer {shown}"})
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:
                    seen.append(answer.status)
            except urllib.error.HTTPError as error:
                seen.append(error.code)
                assert error.code == 401 or 0 < int(error.headers["Retry-After"]) <= BURST_SECONDS
        assert urllib.request.urlopen(url + "/latest.json", timeout=20).status == 200, "what is public stays so"
    assert seen == [200, 401, 200, 429, 429, 429]
    store.close()
