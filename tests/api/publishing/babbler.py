"""A server on 127.0.0.1, in a thread of this process, that speaks no HTTP."""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

NO_HTTP = (
    b"nonsense\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
)
"""What breaks off in the status line, in a good answer, and in an error's body."""


@contextmanager
def babbling(answer: bytes, pause_seconds: float = 0.0) -> Iterator[str]:
    """The URL of a server that answers whatever it hears with these bytes, slowly if there is a pause after each."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(2**16)
            if not pause_seconds:
                self.request.sendall(answer)
                return
            with suppress(OSError):  # the other side has gone
                for byte in answer:
                    self.request.sendall(bytes([byte]))
                    time.sleep(pause_seconds)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
