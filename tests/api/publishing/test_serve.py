"""`solvent serve` as a process: it ends in order."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from api.cli import main
from tests.api.publishing.made_up import new_store, published, write_publication

LARGE = 8 * 2**20


@pytest.fixture
def place(tmp_path: Path) -> Path:
    directory = write_publication(tmp_path / "p1", 1)
    (directory / "shards" / "000000.proof").write_bytes(bytes(LARGE))
    store = new_store(tmp_path / "store")
    published(store, directory)
    store.close()
    return tmp_path / "store"


@contextmanager
def serving(place: Path, *more: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """Port and process, once it answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    command = [sys.executable, "-m", "api.cli", "serve", "--store", str(place), "--port", str(port), *more]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(600):
            try:
                get(port, "/ready")
                break
            except OSError:
                time.sleep(0.05)
        yield port, process
    finally:
        process.kill()
        process.communicate()


def get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return str(answer.read().decode())


def test_what_is_being_answered_is_answered(place: Path) -> None:
    with serving(place) as (port, process):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(
                b"GET /publications/1/shards/000000.proof HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            )
            received = len(connection.recv(1000))
            process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            while part := connection.recv(2**16):
                received += len(part)
        assert LARGE < received < LARGE + 2000
        process.communicate(timeout=30)
        assert process.returncode in (0, -signal.SIGTERM)


@pytest.mark.negative
def test_a_wrong_store_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--store", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
