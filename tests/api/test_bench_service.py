"""`solvent bench --service` counts right answers, and says so of wrong ones."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import uvloop

from api.app import make_app
from api.cli import bench_service as bench
from api.cli.bench_service import Ask, Tally
from api.serving import served
from tests.api.files import Run
from tests.api.publishing.made_up import new_store, published, write_publication


def test_figures_and_checks(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "SECONDS", 0.3)
    monkeypatch.setattr(bench, "USERS", 50)
    code, out, _ = run("bench", "--service", "--runs", "1", "--json")
    data = json.loads(out)
    assert (code, data["verdict"]) == (0, "every answer right")
    assert [point["name"] for point in data["points"]] == ["artefact", "statement", "bundle", "receipt"]
    for point in data["points"]:
        assert point["requests_per_second"] > 0 < point["median_ms"] <= point["p99_ms"]
        assert (point["wrong"], point["bytes"] > 100, point["server_cpu_ms"] >= 0) == (0, True, True)


@pytest.mark.negative
def test_wrong_answers_are_counted(tmp_path: Path) -> None:
    store = new_store(tmp_path / "store")
    published(store, write_publication(tmp_path / "p1", 1))
    with served(make_app(store)) as url:
        right = (store.log / "checkpoint").read_bytes()
        for path, body, wrong in (("/checkpoint", right, False), ("/checkpoint", right[:-1], True), ("/no", b"", True)):
            tally = Tally([Ask.get(path, body)])
            uvloop.run(bench._load(urlsplit(url).port or 0, tally, 0.2))
            assert tally.milliseconds and tally.wrong == (len(tally.milliseconds) if wrong else 0)
    store.close()
