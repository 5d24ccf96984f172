"""What the service says about itself: metrics for Prometheus, and one JSON line per request where that is asked for.

Requests are counted and logged by route, never by path: nothing here says who fetched what.
"""

from __future__ import annotations

import json
import logging
import os
import time
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SHARED_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Names the folder where several workers add up their counts; the library's own name."""
ACCESS_LOGGER: Final = "solvent.access"
METRICS_TYPE: Final = CONTENT_TYPE_LATEST
_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
_OTHER: Final = "other"


class Observed:
    """Around an app: counts and times its answers.

    Args:
        app: any ASGI app.
        registry: where the metrics are; one per app, so that two apps in one process do not add up.
    """

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        self._app = app
        self._log = logging.getLogger(ACCESS_LOGGER)
        names = ("route", "method", "status")
        self._requests = Counter("solvent_requests", "Answers", names, registry=registry)
        self._seconds = Histogram(
            "solvent_request_seconds", "Time to the last byte", ("route",), buckets=_BUCKETS, registry=registry
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, size = time.perf_counter(), 500, 0

        async def observe(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                size += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, observe)
        finally:
            self._note(scope, status, size, time.perf_counter() - started)

    def _note(self, scope: Scope, status: int, size: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", _OTHER)
        method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST") else _OTHER
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
        if self._log.isEnabledFor(logging.INFO):
            line: dict[str, Any] = {"time": round(time.time(), 3), "method": method, "route": route}
            self._log.info(json.dumps(line | {"status": status, "bytes": size, "ms": round(seconds * 1e3, 3)}))


def exposition(registry: CollectorRegistry) -> bytes:
    """The metrics as Prometheus reads them, of all workers if there are several."""
    if SHARED_VARIABLE in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def log_requests() -> None:
    """Write the request lines to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger(ACCESS_LOGGER)
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)
