"""Slow, malformed, huge and many requests to each of the servers: honest clients are answered meanwhile."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from api.serving import HEAD_BYTES_MAX
from tests.adversary.faults_servers import PUBLIC, WITNESS, WRITING, Servers, running
from tests.adversary.faults_sweep import Counts
from tests.adversary.score import SLOWEST, Score
from tests.api.publishing.test_witness import request as checkpoint_request

CASES: Final = {"short": 180, "nightly": 20_000}
AT_ONCE: Final = 48
ANSWER_SECONDS: Final = 0.3
"""How long a client waits for an answer to what may not be a request."""
HONEST_SECONDS_MAX: Final = 5.0
MEMORY_BYTES_MAX: Final = 96 * 2**20
"""What all of it together may leave in the servers' memory."""
ENDLESS_BYTES: Final = {"short": 2**25, "nightly": 2**27}
"""Far more than the system's buffers take, some 10 MB, while a server looks away."""
PAUSE_SECONDS: Final = 0.01


@dataclass(frozen=True)
class Case:
    """What a client sends.

    Args:
        kind: class of it.
        server: name.
        pieces: one after the other, with a pause after each but the last.
        answers: statuses of the first answer that are right; empty: any but 5xx. No answer is right, too, unless
            there has to be one.
        must_answer: whether there has to be one.
        half_close: whether the client says that it sends no more.
    """

    kind: str
    server: str
    pieces: tuple[bytes, ...]
    answers: frozenset[int] = frozenset()
    must_answer: bool = False
    half_close: bool = False


def _get(path: bytes, *headers: bytes, method: bytes = b"GET") -> bytes:
    return b"\r\n".join([method + b" " + path + b" HTTP/1.1", b"Host: x", *headers, b"", b""])


def _post(path: bytes, body: bytes, *headers: bytes, method: bytes = b"POST") -> bytes:
    return _get(path, b"Content-Length: %d" % len(body), *headers, method=method) + body


REFUSED: Final = frozenset({400, 401, 403, 404, 405, 409, 411, 413, 415, 416, 422, 426, 501, 505})
NOISE: Final = (b"\0", b"\xff", b"\r", b"\n", b"%00", b"\x7f", b" ", b":", b"\xc0\xaf", b"\x1b[2J")
HONEST: Final = {PUBLIC: b"/checkpoint", WITNESS: b"/health", WRITING: b"/health"}
ROUTES: Final = {
    PUBLIC: (b"/checkpoint", b"/latest.json", b"/publications/1/statement.json", b"/tile/0/000.p/2", b"/bundle"),
    WITNESS: (b"/add-checkpoint", b"/" + hashlib.sha256(b"example.com/log").hexdigest().encode() + b"/checkpoint"),
    WRITING: (b"/files/" + b"ab" * 32, b"/publications", b"/tokens", b"/tokens/revoke"),
}
TRAVERSALS: Final = (
    b"..", b"%2e%2e", b"..%2f", b"%2e%2e%2f", b"..%5c", b"..\\", b"%252e%252e%252f", b"%c0%ae%c0%ae/", b"....//",
    b"%00", b"..%00/", b"%2e%2e/%2e%2e", b".%2e/", b"..;/", b"%u002e%u002e/", b"store.db", b"etc/passwd",
)  # fmt: skip


def _noise(chance: random.Random, server: str) -> Case:
    return Case("binary noise", server, (chance.randbytes(chance.randrange(1, 4096)),), REFUSED)


def _request_line(chance: random.Random, server: str) -> Case:
    path = chance.choice(ROUTES[server])
    line = chance.choice((
        b"GET " + path, b"GET", b"", b"\r\n\r\nGET", b"get " + path + b" HTTP/1.1", b"GET " + path + b" HTTP/0.9",
        b"GET " + path + b" HTTP/9.9", b"GET " + path + b" HTTP/1.1 more", b"GET\t" + path + b"\tHTTP/1.1",
        b"GET http://[::1 HTTP/1.1", b"CONNECT x:443 HTTP/1.1", b"PRI * HTTP/2.0", b"GET * HTTP/1.1",
        b"X" * chance.randrange(1, 9000) + b" / HTTP/1.1", b"GET \xff\xfe HTTP/1.1", b"GET // HTTP/1.1",
        b"GET ? HTTP/1.1",
    ))  # fmt: skip
    return Case("request line", server, (line + b"\r\nHost: x\r\n\r\n",))


def _header(chance: random.Random, server: str) -> Case:
    header = chance.choice((
        b"no colon", b": no name", b" folded: x", b"Name : x", b"X: " + chance.choice(NOISE), b"X\0: y",
        b"Content-Length: -1", b"Content-Length: 1e3", b"Content-Length: +5", b"Content-Length: " + b"9" * 30,
        b"Content-Length: 5\r\nContent-Length: 6", b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: xchunked", b"Transfer-Encoding: chunked, identity", b"Content-Length: 0x10",
        b"Expect: the unexpected", b"Upgrade: websocket\r\nConnection: Upgrade", b"Upgrade: h2c\r\nConnection: Upgrade",
        b"Authorization: Bearer " + chance.randbytes(40).replace(b"\n", b"").replace(b"\r", b""),
        b"Authorization: Bearer", b"Authorization: Bearer " + b"k" * 42, b"Accept-Encoding: " + b"gzip;q=x," * 500,
        b"If-None-Match: " + b'"a",' * 2000, b"Host: y\r\nHost: z", b"X-Forwarded-For: " + b"1.1.1.1," * 900,
    ))  # fmt: skip
    return Case("header", server, (_get(chance.choice(ROUTES[server]), header),))


def _chunks(chance: random.Random, server: str) -> Case:
    body = chance.choice((
        b"zz\r\n", b"-1\r\nx\r\n", b"ffffffffffffffffff\r\nx", b"5\r\nabc\r\n0\r\n\r\n", b"3\r\nabcd\r\n0\r\n\r\n",
        b"3;" + b"x" * 5000 + b"\r\nabc\r\n0\r\n\r\n", b"3\nabc\n0\n\n", b"0\r\nX: y\r\n", b" 3\r\nabc\r\n0\r\n\r\n",
        b"0x3\r\nabc\r\n0\r\n\r\n", b"3\r\nabc", b"\r\n\r\n", b"1\r\nx\r\n" * 500 + b"0\r\n\r\n",
    ))  # fmt: skip
    method = b"PUT" if server == WRITING and chance.random() < 0.5 else b"POST"
    head = _get(chance.choice(ROUTES[server]), b"Transfer-Encoding: chunked", method=method)
    return Case("chunks", server, (head, body), REFUSED, half_close=chance.random() < 0.5)


def _length(chance: random.Random, server: str) -> Case:
    """A body that is shorter or longer than it says."""
    body = chance.randbytes(chance.randrange(1, 200))
    said = max(0, len(body) + chance.choice((-20, -1, 1, 50, 10_000, 2**40)))
    method = b"PUT" if server == WRITING and chance.random() < 0.5 else b"POST"
    key = (b"Authorization: Bearer " + b"k" * 43,) if server == WRITING and chance.random() < 0.5 else ()
    head = _get(chance.choice(ROUTES[server]), b"Content-Length: %d" % said, *key, method=method)
    return Case("length", server, (head, body), REFUSED, half_close=chance.random() < 0.7)


def _path(chance: random.Random, server: str) -> Case:
    parts = [chance.choice(TRAVERSALS) for _ in range(chance.randrange(1, 9))]
    start = chance.choice((b"/", b"/page/", b"/tile/", b"/publications/1/", b"/artefacts/", b"/files/", b"/bundles/"))
    path = start + chance.choice((b"/", b"", b"%2f")).join(parts)
    return Case("path", server, (_get(path.replace(b" ", b"")),), REFUSED | {307})


def _pipeline(chance: random.Random, server: str) -> Case:
    count = chance.randrange(2, 60)
    tail = chance.choice((b"", b"nonsense\r\n\r\n", b"GET / HT"))
    honest = _get(HONEST[server])
    return Case("pipeline", server, (honest * count + tail,), frozenset({200, 400}), must_answer=True)


def _slow(chance: random.Random, server: str) -> Case:
    whole = _get(HONEST[server])
    step = chance.choice((2, 3, 7))
    pieces = tuple(whole[at : at + step] for at in range(0, len(whole), step))
    if chance.random() < 0.4:  # and it never ends
        return Case("slow", server, pieces[:-1], half_close=chance.random() < 0.5)
    return Case("slow", server, pieces, frozenset({200}), must_answer=True)


def _slow_body(chance: random.Random, server: str) -> Case:
    body = b"old 0\n\nnothing" if server == WITNESS else b'{"users":["a"]}'
    whole = _post(chance.choice(ROUTES[server]), body)
    cut = len(whole) - len(body)
    pieces = (whole[:cut], *(whole[at : at + 1] for at in range(cut, len(whole))))
    return Case("slow body", server, pieces[: chance.randrange(2, len(pieces) + 1)], REFUSED)


def _body(chance: random.Random, server: str) -> Case:
    good = checkpoint_request(0, 3)
    body = chance.choice((
        b"", b"[" * 5000, b"{" * 5000, b"null", b'{"files":' + b"[" * 3000, b'{"users":["\\ud800"]}',
        chance.randbytes(500), good, good[: chance.randrange(len(good))], good.replace(b"\n", b"\r\n"), good + good,
        b"old " + b"9" * 400 + good[5:],
        b'{"user_id":1e999}', b'{"users":["a"],"users":["b"]}', b"\xef\xbb\xbf{}",
        '{"users":["é"]}'.encode("utf-16"),
        bytes(chance.randrange(1, 2**18)),
    ))  # fmt: skip
    method = b"PUT" if server == WRITING and chance.random() < 0.3 else b"POST"
    return Case("body", server, (_post(chance.choice(ROUTES[server]), body, method=method),), REFUSED, must_answer=True)


def _method(chance: random.Random, server: str) -> Case:
    method = chance.choice((b"TRACE", b"PROPFIND", b"DELETE", b"PATCH", b"OPTIONS", b"PURGE", b"LOCK", b"NOTIFY"))
    return Case("method", server, (_get(chance.choice(ROUTES[server]), method=method),), REFUSED, must_answer=True)


def _range(chance: random.Random, _server: str) -> Case:
    values = (
        b"bytes=" + b"0-0," * 3000, b"bytes=-0", b"bytes=9-1", b"bytes=" + b"9" * 18 + b"-", b"bytes=--1", b"x=1-2",
        b"bytes=0-" + b"9" * 400, b"bytes=-" + b"9" * 17, b"bytes= 0-1", b"bytes=%d-9" % chance.randrange(99),
    )  # fmt: skip
    answers = frozenset({200, 206, 400, 401, 416})
    case = _get(chance.choice(ROUTES[PUBLIC]), b"Range: " + chance.choice(values))
    return Case("range", PUBLIC, (case,), answers, must_answer=True)


def _mutated(chance: random.Random, server: str) -> Case:
    """A good request in which bytes are changed, lost, doubled or added."""
    path = chance.choice(ROUTES[server])
    whole = bytearray(chance.choice((_get(path), _post(path, b'{"users":["a"]}'), _get(path, b"Range: bytes=0-1"))))
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(whole))
        match chance.randrange(4):
            case 0:
                whole[at] ^= 1 << chance.randrange(8)
            case 1:
                del whole[at : at + chance.randrange(1, 4)]
            case 2:
                whole[at:at] = chance.choice(NOISE)
            case _:
                whole[at:at] = whole[at : at + chance.randrange(1, 30)]
    return Case("mutated", server, (bytes(whole),))


def _huge(chance: random.Random, server: str) -> Case:
    length = chance.randrange(HEAD_BYTES_MAX, 4 * HEAD_BYTES_MAX)
    whole = chance.choice((
        _get(b"/" + b"a" * length), _get(b"/checkpoint?" + b"q" * length), _get(b"/", b"X: " + b"y" * length),
        _get(b"/", *(b"X%d: y" % number for number in range(length // 12))), _get(b"/" + b"%2e" * (length // 3)),
    ))  # fmt: skip
    return Case("huge head", server, (whole,), REFUSED | {200, 307})


MAKERS: Final[tuple[Callable[[random.Random, str], Case], ...]] = (
    _noise, _request_line, _header, _chunks, _length, _path, _pipeline, _slow, _slow_body, _body, _method, _range,
    _mutated, _huge, _mutated, _header,
)  # fmt: skip


def cases(count: int, chance: random.Random) -> Iterator[Case]:
    """All kinds, to all servers, in turn."""
    pairs = ((make, server) for make in MAKERS for server in HONEST)
    for make, server in islice(cycle(list(pairs)), count):
        yield make(chance, server)


@dataclass
class _Attack:
    """Cases under way, and honest clients between them."""

    servers: Servers
    counts: Counts
    is_over: bool = False
    waits: list[float] = field(default_factory=list)

    async def one(self, case: Case, room: asyncio.Semaphore) -> None:
        async with room:
            answer = await self._send(case)
        self.counts.judge(f"{case.kind} to {case.server}: {case.pieces[0][:80]!r}", partial(_right, case, answer))
        self.counts.notes[case.kind] += 1

    async def _send(self, case: Case) -> bytes:
        """The beginning of the answer."""
        split = urlsplit(self.servers.urls[case.server])
        reader, writer = await asyncio.open_connection(split.hostname, split.port)
        answer = b""
        try:
            for number, piece in enumerate(case.pieces):
                writer.write(piece)
                await writer.drain()
                if number < len(case.pieces) - 1:
                    await asyncio.sleep(PAUSE_SECONDS)
            if case.half_close and writer.can_write_eof():
                writer.write_eof()
            answer = await asyncio.wait_for(
                reader.read(4096), HONEST_SECONDS_MAX if case.must_answer else ANSWER_SECONDS
            )
        except (ConnectionError, TimeoutError):
            pass
        finally:
            writer.transport.abort()
        return answer

    async def honest(self, server: str) -> None:
        """Asks again and again until all is over."""
        case = Case("honest", server, (_get(HONEST[server], b"Connection: close"),), frozenset({200}), must_answer=True)
        while not self.is_over:
            started = time.perf_counter()
            answer = await self._send(case)
            self.waits.append(time.perf_counter() - started)
            self.counts.judge(f"honest client of {server}", partial(_right, case, answer))
            self.counts.notes["honest, answered meanwhile"] += 1
            await asyncio.sleep(0.05)

    async def endless(self, length: int) -> None:
        """One header that never ends, at each server."""
        for server, url in self.servers.urls.items():
            split = urlsplit(url)
            reader, writer = await asyncio.open_connection(split.hostname, split.port)
            sent, block = 0, b"y" * 2**16
            try:
                writer.write(b"GET / HTTP/1.1\r\nX: ")
                while sent < length and not reader.at_eof():
                    writer.write(block)
                    await writer.drain()
                    sent += len(block)
            except ConnectionError:
                pass
            finally:
                writer.transport.abort()
            self.counts.judge(f"endless header to {server}", partial(_breaks_off, sent, length))
            self.counts.notes["endless header"] += 1

    async def run(self, count: int, chance: random.Random, endless_bytes: int) -> None:
        honest = [asyncio.create_task(self.honest(server)) for server in HONEST]
        room = asyncio.Semaphore(AT_ONCE)
        try:
            await asyncio.gather(*(self.one(case, room) for case in cases(count, chance)))
            await self.endless(endless_bytes)
        finally:
            self.is_over = True
            await asyncio.gather(*honest)


def _breaks_off(sent: int, length: int) -> None:
    assert sent < length, f"{sent} bytes of one header are taken"


def _right(case: Case, answer: bytes) -> None:
    """The answer is one of those that are right."""
    if not answer:
        assert not case.must_answer, "no answer"
        return
    assert answer.startswith(b"HTTP/1.1 "), f"no HTTP: {answer[:80]!r}"
    status = int(answer[9:12])
    assert status < 500 or status in (501, 503, 505), f"{status}: a fault of the server"
    assert not case.answers or status in case.answers, f"{status} is no answer to this"


def run(size: str, seed: int) -> list[Score]:
    """All cases of a size against servers of their own."""
    counts = Counts("faults: HTTP", seed)
    with tempfile.TemporaryDirectory() as name, running(Path(name)) as servers:
        attack = _Attack(servers, counts)
        asyncio.run(_Attack(servers, Counts("warm", seed)).run(100, random.Random(seed), ENDLESS_BYTES["short"]))
        before, memory = servers.state(), servers.memory_bytes()
        asyncio.run(attack.run(CASES[size], random.Random(seed), ENDLESS_BYTES[size]))
        grown = servers.memory_bytes() - memory
        counts.notes["memory grown, KiB"] = max(0, grown) // 1024
        counts.notes[SLOWEST] = round(1000 * max(attack.waits))

        def unchanged() -> None:
            assert servers.process.poll() is None, "the servers died"
            assert servers.state() == before, "something was changed without a key"
            assert grown < MEMORY_BYTES_MAX, f"memory grew by {grown} bytes"
            assert max(attack.waits) < HONEST_SECONDS_MAX, f"an honest client waited {max(attack.waits):.1f} s"
            raised = [
                line
                for line in servers.log.read_text().splitlines()
                if re.match(r"\w[\w.]*(Error|Exception|\w): ", line)
            ]
            tracebacks = servers.log.read_text().count("Traceback")
            assert not tracebacks, f"{tracebacks} tracebacks: {sorted(set(raised))[:5]}"

        counts.judge("afterwards", unchanged)
    return [counts.score()]


if __name__ == "__main__":
    print(json.dumps(run("short", 1)[0].notes, indent=1))
