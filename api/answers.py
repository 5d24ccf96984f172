"""HTTP answers for stored things: conditional and partial requests, and errors as RFC 9457 problems."""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import FastAPI, Request, Response
from fastapi import Path as PathParameter
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from api.page import POLICY
from api.paths import SEQUENCE_END
from api.reading import Resource
from prover.errors import InputError

SequenceNumber = Annotated[int, PathParameter(ge=0, lt=SEQUENCE_END, description="sequence number of the publication")]
PROBLEM_TYPE: Final = "application/problem+json"
KEPT_BYTES_MAX, KEPT_FILE_BYTES_MAX = 2**26, 2**20
"""Small files are kept in memory, up to this much of them."""
BLOCK_BYTES: Final = 2**18
PACKED_BYTES_MIN: Final = 512
_LOG: Final = logging.getLogger("uvicorn.error")
_TEXTS: Final = ("text/", "application/json")
_FOREVER, _SOON = "public, max-age=31536000, immutable", "public, max-age=1, must-revalidate"
_COMMON: Final = {
    "Accept-Ranges": "bytes",
    "Access-Control-Allow-Origin": "*",  # a page saved to disk may fetch, too: all of this is public
    "X-Content-Type-Options": "nosniff",
}
_PAGE: Final = {"Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'", "Referrer-Policy": "no-referrer"}
_RANGE: Final = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


@dataclass(frozen=True)
class Loaded:
    """A resource with its length and entity tag; `content` is a file only where it is large.

    Args:
        packed: the same, compressed with gzip; None where that saves little.
    """

    content: bytes | Path
    size: int
    headers: Mapping[str, str]
    etag: str
    packed: Loaded | None = None

    @property
    def kept_bytes(self) -> int:
        """What it takes in memory."""
        return self.size + (self.packed.size if self.packed else 0)


class Shelf:
    """Loaded resources that never change, the least used thrown out first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Loaded] = OrderedDict()
        self._bytes = 0

    def get(self, path: str) -> Loaded | None:
        """What is kept for a path."""
        if path not in self._kept:
            return None
        self._kept.move_to_end(path)
        return self._kept[path]

    def keep(self, path: str, loaded: Loaded) -> None:
        """Keeps it, if it is small."""
        if loaded.size > KEPT_FILE_BYTES_MAX or path in self._kept:
            return
        self._kept[path] = loaded
        self._bytes += loaded.kept_bytes
        while self._bytes > KEPT_BYTES_MAX:
            self._bytes -= self._kept.popitem(last=False)[1].kept_bytes


def load(resource: Resource) -> Loaded:
    """Read a resource, unless it is large. Large ones are artefacts, whose digest is known."""
    content: bytes | Path = resource.content
    if isinstance(content, Path):
        size = content.stat().st_size
        if size <= KEPT_FILE_BYTES_MAX or resource.sha256 is None:
            content = content.read_bytes()
    if isinstance(content, bytes):
        size = len(content)
    digest = resource.sha256 or hashlib.sha256(content if isinstance(content, bytes) else b"").hexdigest()
    etag = f'"{digest}"'
    cache = _FOREVER if resource.is_immutable else _SOON
    more = _PAGE if resource.media_type.startswith("text/html") else {}
    headers = {**_COMMON, **more, "ETag": etag, "Cache-Control": cache, "Content-Type": resource.media_type}
    packed = _packed(content) if isinstance(content, bytes) and resource.media_type.startswith(_TEXTS) else None
    if packed is None:
        return Loaded(content, size, headers, etag)
    headers["Vary"] = "Accept-Encoding"
    tag = f'"{digest}-gzip"'  # another representation has another strong tag
    smaller = Loaded(packed, len(packed), {**headers, "ETag": tag, "Content-Encoding": "gzip"}, tag)
    return Loaded(content, size, headers, etag, smaller)


@lru_cache(64)
def _packed(content: bytes) -> bytes | None:
    """Compressed, where a tenth is saved. All of it is public: no secret shares a stream with what a reader chose."""
    packed = gzip.compress(content, 6, mtime=0) if len(content) >= PACKED_BYTES_MIN else content
    return packed if len(packed) < len(content) * 9 // 10 else None


def answer(request: Request, loaded: Loaded) -> Response:
    """200, 206, 304 or 416, as the request asks for. A range is one; several are answered with all of it."""
    ask = request.headers
    if loaded.packed is not None and "range" not in ask and _takes_gzip(ask.get("accept-encoding", "")):
        loaded = loaded.packed
    if "if-none-match" in ask and _names(ask["if-none-match"], loaded.etag):
        headers = {k: v for k, v in loaded.headers.items() if k not in ("Content-Type", "Content-Encoding")}
        return Response(None, 304, headers)
    first, last, status = 0, loaded.size - 1, 200
    headers = dict(loaded.headers)
    if "range" in ask and request.method == "GET" and ask.get("if-range", loaded.etag) == loaded.etag:
        asked = _range(ask["range"], loaded.size)
        if asked == ():
            return problem(
                416, "no byte of it is in that range", {**_COMMON, "Content-Range": f"bytes */{loaded.size}"}
            )
        if asked:
            first, last, status = asked[0], asked[1], 206
            headers["Content-Range"] = f"bytes {first}-{last}/{loaded.size}"
    headers["Content-Length"] = str(last - first + 1)
    if request.method == "HEAD":
        return Response(None, status, headers)
    if isinstance(loaded.content, bytes):
        return Response(loaded.content[first : last + 1], status, headers)
    return StreamingResponse(_blocks(loaded.content, first, last + 1), status, headers)


def problem(
    status: int, detail: str, headers: Mapping[str, str] | None = None, more: Mapping[str, object] | None = None
) -> Response:
    """An error, RFC 9457; `more` are members of its own."""
    title = HTTPStatus(status).phrase
    body = json.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail, **(more or {})})
    return Response(body, status, {**(headers or {}), "Content-Type": PROBLEM_TYPE, "Cache-Control": "no-store"})


def add_scheme(app: FastAPI, name: str, description: str) -> None:
    """Says in the application's description which bearer token its paths with `security` of this name take."""
    described, scheme = app.openapi, {"type": "http", "scheme": "bearer", "description": description}

    def with_scheme() -> dict[str, Any]:
        document = described()
        document.setdefault("components", {})["securitySchemes"] = {name: scheme}
        return document

    app.openapi = with_scheme  # type: ignore[method-assign]


def add_problems(app: FastAPI) -> None:
    """All that goes wrong is answered as a problem."""

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> Response:
        # GET and HEAD are two routes of one path, and the framework names the methods of one of them.
        allow = {"Allow": "GET, HEAD"} if (error.headers or {}).get("Allow") == "HEAD" else {}
        return problem(error.status_code, str(error.detail), {**(error.headers or {}), **allow})

    @app.exception_handler(RequestValidationError)
    async def malformed(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return problem(422, f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}")

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, _error: ClientDisconnect) -> Response:
        return problem(400, "the request was broken off")  # which nobody hears

    @app.exception_handler(InputError)
    @app.exception_handler(OSError)
    async def failed(_: Request, error: Exception) -> Response:
        _LOG.error("%s", error)  # one line, which names the file
        return problem(503, "the service cannot use its disk or its database", {"Retry-After": "5"})

    @app.exception_handler(Exception)
    async def broken(_: Request, _error: Exception) -> Response:
        return problem(500, "this is our fault; it is in the service's log")


def _takes_gzip(header: str) -> bool:
    for part in header.lower().split(","):
        name, _, quality = part.replace(" ", "").partition(";q=")
        if name == "gzip":
            return quality.strip("0.") != "" or not quality
    return False


def _names(header: str, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return "*" in tags or etag in tags


def _range(header: str, size: int) -> tuple[int, int] | tuple[()] | None:
    """First and last byte; () where there is none of them; None where the header is to be ignored."""
    match = _RANGE.fullmatch(header)
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        length = min(int(match[2]), size)
        return (size - length, size - 1) if length else ()
    first, last = int(match[1]), int(match[2]) if match[2] else size - 1
    if match[2] and first > last:
        return None
    return (first, min(last, size - 1)) if first < size else ()


async def _blocks(path: Path, first: int, end: int) -> AsyncIterator[bytes]:
    stream = await run_in_threadpool(path.open, "rb")
    try:
        await run_in_threadpool(stream.seek, first)
        while first < end:
            block = await run_in_threadpool(stream.read, min(BLOCK_BYTES, end - first))
            first += len(block)
            yield block
    finally:
        stream.close()
