"""The service as a whole: its description, what operators see, the page, and the command."""

from __future__ import annotations

import http.client
import io
import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.app import make_app
from api.cli import main
from api.handing import Bundles
from api.observing import BOUNDS_SECONDS, Observer
from api.page import served as page_files
from api.serving import served
from api.settings import VARIABLE, Settings
from api.store import Store
from api.tokens import Tokens
from tests.api.publishing.test_openapi import run_schemathesis
from tests.api.web.publications import published


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("service")
    store, _ = published(place, 2)
    store.close()
    Tokens(str(place / "tokens.db"), create=True).close()
    return place


@pytest.fixture(scope="module")
def log() -> io.StringIO:
    return io.StringIO()


@pytest.fixture(scope="module")
def url(folder: Path, log: io.StringIO) -> Iterator[str]:
    bundles = Bundles([], Tokens(str(folder / "tokens.db")))
    with served(make_app(Store(str(folder / "store")), bundles, Observer(log))) as address:
        yield address


def get(address: str) -> tuple[dict[str, str], bytes]:
    with urllib.request.urlopen(address, timeout=20) as answer:
        return {key.lower(): value for key, value in answer.headers.items()}, answer.read()


def test_nothing_is_found_in_the_description(url: str, tmp_path: Path) -> None:
    """The routes that are not the read side's: every random token is a wrong one."""
    paths = json.loads(get(f"{url}/openapi.json")[1])["paths"]
    assert paths["/bundle"]["get"]["security"] == [{"token": []}]
    assert {"/bundle", "/bundles/{sequence}", "/page/{name}", "/metrics", "/health", "/ready"} < set(paths)
    run_schemathesis(url, tmp_path, "--include-path-regex", "^/(bundle|receipt|page|metrics)")


def test_page_is_served_with_its_policy(url: str) -> None:
    headers, body = get(f"{url}/")  # by way of a redirect
    assert headers["content-type"] == "text/html; charset=utf-8"
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'") and "frame-ancestors 'none'" in policy
    assert b'http-equiv="Content-Security-Policy"' in body and b"<!-- policy -->" not in body
    for name, data in page_files().items():
        headers, body = get(f"{url}/page/{name}")
        assert body == data and headers["x-content-type-options"] == "nosniff"
        assert "immutable" not in headers["cache-control"]


def test_page_names_nothing_elsewhere() -> None:
    for name, data in page_files().items():
        for link in re.findall(rb"https?://[^\s\"']+", data):
            assert link == b"http://www.w3.org/2000/svg", (name, link)


def test_metrics_and_log(url: str, log: io.StringIO) -> None:
    get(f"{url}/publications/7/statement.json")
    headers, body = get(f"{url}/metrics")
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    text = body.decode()
    assert re.search(
        r'total\{worker="\d+",route="/publications/.sequence./.name:path.",method="GET",status="200"\} \d', text
    )
    assert "solvent_log_size 2\n" in text and "solvent_newest_sequence 8\n" in text
    for line in text.splitlines():
        assert re.fullmatch(r"# TYPE \w+ (counter|gauge|histogram)|\w+(\{(\w+=\"[^\"]*\",?)+\})? [0-9.e+-]+", line), (
            line
        )
    said = [json.loads(line) for line in log.getvalue().splitlines()]
    assert any((line["route"], line["status"]) == ("/publications/{sequence}/{name:path}", 200) for line in said)


def test_buckets_add_up() -> None:
    observer = Observer()
    for seconds in (0.0005, 0.001, 0.3, 100.0):
        observer.note("/x", "BREW", 200, seconds)
    text = observer.text({})
    counts = [int(n) for n in re.findall(r"bucket\{[^}]*\} (\d+)", text)]
    assert counts == sorted(counts) and counts[0] == 2 and counts[-1] == 4 and len(counts) == len(BOUNDS_SECONDS) + 1
    assert 'method="other"' in text and "BREW" not in text


def test_settings_reach_the_workers() -> None:
    environment: dict[str, str] = {}
    settings = Settings("store", ("a", "b"), "tokens.db", False)
    settings.put(environment)
    assert list(environment) == [VARIABLE] and Settings.get(environment) == settings


@pytest.mark.parametrize("workers", ["1", "2"])
def test_command_starts_soon_and_stops_in_order(folder: Path, workers: str) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    command = [
        sys.executable,
        "-m",
        "api.cli",
        "serve",
        "--store",
        str(folder / "store"),
        "--port",
        port,
        "--workers",
        workers,
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(600):
            try:
                get(f"http://127.0.0.1:{port}/ready")
                break
            except OSError:
                time.sleep(0.05)
        headers, body = get(f"http://127.0.0.1:{port}/latest.json")
        assert json.loads(body)["sequence"] == 8 and "server" not in headers
        connection, quickest = http.client.HTTPConnection("127.0.0.1", int(port), timeout=20), 1.0
        for number in range(60):
            started = time.perf_counter()
            connection.request("GET", "/latest.json")
            connection.getresponse().read()
            quickest = min(quickest, time.perf_counter() - started if number > 30 else 1.0)
        connection.close()
        assert quickest < 0.03, "headers and body wait for an acknowledgement: TCP_NODELAY is missing"
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode in (0, -signal.SIGTERM)
    assert "Traceback" not in said
    assert any(json.loads(line)["route"] == "/latest.json" for line in said.splitlines() if line.startswith("{"))


@pytest.mark.negative
def test_command_refuses(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = str(folder / "store")
    for words, line in (
        (["--store", str(tmp_path)], "no such file"),
        (["--store", store, "--tokens", "x"], "both --bundles and --tokens"),
        (["--store", store, "--bundles", str(tmp_path)], "both --bundles and --tokens"),
        (["--store", store, "--tokens", str(folder / "tokens.db"), "--bundles", str(tmp_path)], "list of files"),
    ):
        assert main(["serve", *words]) == 2
        assert line in capsys.readouterr().err


def test_token_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = str(tmp_path / "tokens.db")
    assert main(["token", "init", "--tokens", place]) == 0
    capsys.readouterr()
    assert main(["token", "issue", "ann", "bob", "--tokens", place]) == 0
    (ann, _), (bob, _) = (line.split(" ") for line in capsys.readouterr().out.splitlines())
    opened = Tokens(place)
    assert (opened.user_of(ann), opened.user_of(bob)) == ("ann", "bob")
    assert main(["token", "revoke", "ann", "--tokens", place, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tokens"] == 1
    assert (opened.user_of(ann), opened.user_of(bob)) == (None, "bob")
    opened.close()
    assert main(["token", "init", "--tokens", place]) == 2


def test_page_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "page.html"
    assert (
        main(["page", str(folder / "publication-0"), str(folder / "publication-1"), "--out", str(out), "--json"]) == 0
    )
    assert json.loads(capsys.readouterr().out)["publications"] == 2
    text = out.read_text("utf-8")
    assert "script-src 'sha256-" in text.replace("&#x27;", "'") and "connect-src" not in text and ' src="' not in text
    assert main(["page", str(tmp_path), "--out", str(out)]) == 2
    policy = tmp_path / "policy"
    policy.write_text("no policy\n")
    assert main(["page", "--log-policy", str(policy), "--out", str(out)]) == 1
