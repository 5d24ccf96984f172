"""How applications are served over HTTP: with heads of requests that end; and here, for as long as a caller needs."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

HEAD_BYTES_MAX: Final = 2**16
"""Of a request line and headers: eight times what proxies take."""


class Bounded(HttpToolsProtocol):
    """The server's own protocol, which would keep a request line or headers of any length, and would go on writing an
    answer when its connection is closed, if more requests have come in before."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._is_head, self._head_bytes = True, 0
        self._answering: RequestResponseCycle | None = None

    def data_received(self, data: bytes) -> None:
        """Breaks off where a head does not end."""
        if self._is_head and self._head_bytes > HEAD_BYTES_MAX:
            self.send_400_response("The head of the request is too long.")
            return
        self._head_bytes += len(data)
        super().data_received(data)

    def on_message_begin(self) -> None:
        """A head begins in what was received last."""
        self._is_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """What follows is a body, which is read as the application asks for it."""
        self._is_head = False
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """The last answer."""
        super().send_400_response(msg)
        self._forget()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody waits for answers."""
        super().connection_lost(exc)
        self._forget()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def _forget(self) -> None:
        self.pipeline.clear()
        if self._answering is not None:
            self._answering.disconnected = True
            self._answering.message_event.set()


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """The URL of the application on a free port of 127.0.0.1, served by a thread; its lifespan is the caller's."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="error", lifespan="off", timeout_graceful_shutdown=2, http=Bounded)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
