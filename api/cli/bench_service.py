"""`solvent bench --service`: requests a second to a real `solvent serve`, whose every answer is compared.

Server and load generator share the machine, as the goals ask for. The generator keeps `CONNECTIONS` requests under way
(closed loop), so latency is the time that a user behind all others waits.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import uvloop

from api.cli.bench import synthetic_snapshot
from api.cli.bench_result import machine, versions
from api.cli.output import ACCEPTED, REJECTED, Output
from api.notes import log_key
from api.publish import publish
from api.store import Store
from api.tokens import Tokens
from prover.bundle_store import BundleStore
from prover.bundle_writer import write_store
from prover.files import write_whole
from prover.prices import load_key, new_key
from prover.publication import private_folder, prove_directory
from verifier.receipt import parse_receipt

CONNECTIONS: Final = 64
SECONDS: Final = 5.0
USERS: Final = 2_000
START_SECONDS_MAX: Final = 30.0
ORIGIN: Final = "bench.example/solvency"
GOALS: Final = {"requests_per_second": 2_000, "p99_ms": 25.0, "start_seconds": 2.0}
"""For artefacts and bundles on two cores, load generator on the same machine."""


@dataclass(frozen=True)
class Ask:
    """A request as bytes, and the body that has to come back."""

    request: bytes
    body: bytes

    @classmethod
    def get(cls, path: str, body: bytes, token: str | None = None) -> Ask:
        shown = "" if token is None else f"Authorization: Bearer {token}\r\n"
        return cls(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{shown}\r\n".encode(), body)


@dataclass
class Tally:
    """What came back: milliseconds of each good answer, and how many were wrong."""

    asks: Sequence[Ask]
    milliseconds: list[float] = field(default_factory=list)
    wrong: int = 0
    sent: int = 0
    is_over: bool = False

    def next(self) -> Ask:
        self.sent += 1
        return self.asks[self.sent % len(self.asks)]


class _Client(asyncio.Protocol):
    """One connection, with one request under way at a time."""

    def __init__(self, tally: Tally) -> None:
        self._tally, self._buffer = tally, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._send()

    def _send(self) -> None:
        self._ask, self._buffer, self._started = self._tally.next(), b"", time.perf_counter()
        self._transport.write(self._ask.request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, blank, body = self._buffer.partition(b"\r\n\r\n")
        if not blank or len(body) < _length(head):
            return
        self._tally.milliseconds.append((time.perf_counter() - self._started) * 1000)
        self._tally.wrong += body != self._ask.body or not head.startswith(b"HTTP/1.1 200 ")
        if self._tally.is_over:
            self._transport.close()
        else:
            self._send()

    def connection_lost(self, _: Exception | None) -> None:
        self._tally.wrong += not self._tally.is_over


def _length(head: bytes) -> int:
    lower = head.lower()
    return int(lower.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])


async def _load(port: int, tally: Tally, seconds: float) -> float:
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    made = [await loop.create_connection(lambda: _Client(tally), "127.0.0.1", port) for _ in range(CONNECTIONS)]
    await asyncio.sleep(seconds)
    tally.is_over = True
    elapsed = time.perf_counter() - started
    await asyncio.sleep(0.2)  # for what is under way
    for transport, _ in made:
        transport.close()
    return elapsed


def run_service_bench(runs: int, workers: int, output: Output) -> int:
    """Prove a small publication, serve it, and ask for it; prints medians over the runs."""
    with tempfile.TemporaryDirectory(prefix="solvent-bench-") as folder:
        site = _Site(Path(folder))
        with output.progress() as progress:
            site.make(progress)
        with site.serving(workers) as (port, start_seconds, process):
            points = [
                _measured(name, asks, port, process, runs) for name, asks in site.asks(_fetched(port, site)).items()
            ]
    good = all(not point["wrong"] for point in points)
    data = {
        "verdict": "every answer right" if good else "wrong answers",
        "connections": CONNECTIONS, "workers": workers, "runs": runs, "start_seconds": round(start_seconds, 2),
        "goals": GOALS, "machine": machine(), "versions": versions(), "points": points,
    }  # fmt: skip
    output.json(data)
    _print(data, output)
    return ACCEPTED if good else REJECTED


def _print(data: dict[str, Any], output: Output) -> None:
    rows = [
        (p["name"], str(p["bytes"]), f"{p['requests_per_second']:,.0f}", f"{p['median_ms']:.1f}", f"{p['p99_ms']:.1f}",
         f"{p['server_cpu_ms']:.3f}", f"{p['wrong']}")
        for p in data["points"]
    ]  # fmt: skip
    columns = ("what", "bytes", "requests/s", "median ms", "p99 ms", "server CPU ms", "wrong")
    output.table(columns, rows, right=columns[1:])
    start, goal = data["start_seconds"], GOALS
    output.line(f"{data['connections']} connections, {data['workers']} workers, medians of {data['runs']} runs")
    output.line(f"Ready {start:.2f} s after the start (goal {goal['start_seconds']:.0f})")
    words = f"goal for artefacts and bundles: {goal['requests_per_second']:,} a second, p99 {goal['p99_ms']:.0f} ms"
    output.line(
        f"{data['verdict'].capitalize()}; {words}", mood="good" if data["verdict"].startswith("every") else "bad"
    )


def _measured(name: str, asks: Sequence[Ask], port: int, process: int, runs: int) -> dict[str, Any]:
    """Medians over the runs; the first one only warms up."""
    rates, medians, tails, costs, wrong = [], [], [], [], 0
    for number in range(runs + 1):
        tally, before = Tally(asks), _cpu_seconds(process)
        elapsed = uvloop.run(_load(port, tally, SECONDS if number else 1.0))
        wrong += tally.wrong
        if number:
            times = sorted(tally.milliseconds)
            rates.append(len(times) / elapsed)
            medians.append(statistics.median(times))
            tails.append(times[len(times) * 99 // 100])
            costs.append((_cpu_seconds(process) - before) / len(times) * 1000)
    middle = statistics.median
    return {
        "name": name, "bytes": len(asks[0].body), "requests_per_second": middle(rates), "median_ms": middle(medians),
        "p99_ms": middle(tails), "server_cpu_ms": middle(costs), "wrong": wrong,
    }  # fmt: skip


def _cpu_seconds(process: int) -> float:
    """Processor time of the server and its workers so far."""
    total = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if process in (int(stat.parent.name), int(fields[1])):
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


class _Site:
    """A publication with bundles and tokens for all users, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def make(self, progress: Any) -> None:
        folder, snapshot = self.folder, synthetic_snapshot(USERS, 3, 4, 1)
        prove_directory(snapshot, folder / "proved", progress=progress)
        write_store(folder / "proved", private_folder(folder / "proved"), folder / "bundles")
        write_whole(folder / "log.pem", new_key())
        key = load_key(folder / "log.pem")
        with closing(Store.create(str(folder / "store"), log_key(ORIGIN, key))) as store:
            publish(folder / "proved", store, key)
        users = [snapshot.user_id(number) for number in range(USERS)]
        with closing(Tokens(str(folder / "tokens.db"), create=True)) as tokens:
            self.tokens = dict(zip(users, tokens.issue(users), strict=True))

    @contextmanager
    def serving(self, workers: int) -> Iterator[tuple[int, float, int]]:
        """Port, seconds until it was ready, and process of a server of its own."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        words = ["serve", "--store", "store", "--bundles", "bundles", "--tokens", "tokens.db", "--quiet"]
        words += ["--bundle-rate", "0", "--port", str(port), "--workers", str(workers)]
        started = time.perf_counter()
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        command = [sys.executable, "-m", "api.cli", *words]
        with subprocess.Popen(command, cwd=self.folder, env=environment, stderr=subprocess.DEVNULL) as process:
            try:
                _wait(port, process, started)
                yield port, time.perf_counter() - started, process.pid
            finally:
                process.send_signal(signal.SIGTERM)

    def asks(self, receipt: bytes) -> dict[str, list[Ask]]:
        """What is asked for, each with the answer that is right."""
        store = BundleStore.open(self.folder / "bundles")
        bundles = {user: store.get(user) or b"" for user in self.tokens}
        artefacts = sorted((self.folder / "store" / "artefacts").rglob("*/*"), key=lambda path: path.stat().st_size)
        statement = parse_receipt(receipt).statement
        around = receipt.partition(parse_receipt(receipt).bundle.removesuffix(b"\n"))
        small = artefacts[0]
        return {
            "artefact": [Ask.get(f"/artefacts/{small.name}", small.read_bytes())],
            "statement": [Ask.get(f"/publications/{_sequence(statement)}/statement.json", statement)],
            "bundle": [Ask.get("/bundle", bundles[user], token) for user, token in self.tokens.items()],
            "receipt": [
                Ask.get("/receipt", around[0] + bundles[user].removesuffix(b"\n") + around[2], token)
                for user, token in self.tokens.items()
            ],
        }


def _sequence(statement: bytes) -> int:
    from verifier.statement import parse_statement

    return parse_statement(statement).sequence


def _fetched(port: int, site: _Site) -> bytes:
    """One user's receipt, with which the others are composed."""
    from api.fetch import fetch_receipt

    return fetch_receipt(f"http://127.0.0.1:{port}", next(iter(site.tokens.values())))


def _wait(port: int, process: subprocess.Popen[bytes], started: float) -> None:
    while time.perf_counter() - started < START_SECONDS_MAX and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=1.0):
                return
        except (OSError, urllib.error.URLError):
            time.sleep(0.02)
    raise RuntimeError(f"the server was not ready within {START_SECONDS_MAX:.0f} s")
