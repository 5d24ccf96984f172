"""What operators see of the service: counts and times per route, and a line per request. Nothing about users.

Routes are named by their pattern, so no sequence, digest or query is kept, and no address, token or length of a bundle.
"""

from __future__ import annotations

import json
import os
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

BOUNDS_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"))


class Observer:
    """Counts what passes, and says so on `log`, one JSON object a line, unless that is None."""

    def __init__(self, log: TextIO | None = None) -> None:
        self._log = log
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._buckets: dict[str, list[int]] = {}
        self._seconds: dict[str, float] = {}

    def note(self, route: str, method: str, status: int, seconds: float) -> None:
        """One answered request."""
        method = method if method in _METHODS else "other"
        self._requests[route, method, status] += 1
        self._buckets.setdefault(route, [0] * (len(BOUNDS_SECONDS) + 1))[bisect_left(BOUNDS_SECONDS, seconds)] += 1
        self._seconds[route] = self._seconds.get(route, 0.0) + seconds
        if self._log is not None:
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            said = {"time": now, "method": method, "route": route, "status": status, "ms": round(seconds * 1000, 2)}
            self._log.write(json.dumps(said) + "\n")

    def text(self, gauges: Mapping[str, float]) -> str:
        """All numbers in Prometheus' text format."""
        worker = f'worker="{os.getpid()}"'
        lines = ["# TYPE solvent_requests_total counter"]
        for (route, method, status), count in sorted(self._requests.items()):
            labels = f'{worker},route="{route}",method="{method}",status="{status}"'
            lines.append(f"solvent_requests_total{{{labels}}} {count}")
        lines.append("# TYPE solvent_request_seconds histogram")
        for route, counts in sorted(self._buckets.items()):
            total = 0
            for bound, count in zip((*map(str, BOUNDS_SECONDS), "+Inf"), counts, strict=True):
                total += count
                lines.append(f'solvent_request_seconds_bucket{{{worker},route="{route}",le="{bound}"}} {total}')
            lines.append(f'solvent_request_seconds_sum{{{worker},route="{route}"}} {self._seconds[route]:.6f}')
            lines.append(f'solvent_request_seconds_count{{{worker},route="{route}"}} {total}')
        for name, value in gauges.items():
            lines += [f"# TYPE solvent_{name} gauge", f"solvent_{name} {value:g}"]
        return "".join(line + "\n" for line in lines)


class Watched:
    """An ASGI application whose answers an observer sees."""

    def __init__(self, app: ASGIApp, observer: Observer) -> None:
        self._app = app
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, started = 500, time.perf_counter()

        async def seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, seen)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            self._observer.note(route, scope["method"], status, time.perf_counter() - started)
