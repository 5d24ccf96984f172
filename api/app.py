"""The HTTP service, read side: what a store shows, for everybody, with answers that caches may keep.

Nothing here is secret, and nothing is changed: the same paths and bytes as `solvent export` writes.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi import Path as PathParameter
from fastapi.exceptions import RequestValidationError
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException

from api.answers import PROBLEM_TYPE, Shelf, answer, load, problem
from api.observing import METRICS_TYPE, Observed, exposition, log_requests
from api.reading import (
    BINARY,
    JSON,
    LATEST,
    LATEST_FORMAT,
    NAME_PATTERN,
    PUBLICATIONS,
    PUBLICATIONS_FORMAT,
    SEQUENCE_END,
    TILE_PATTERN,
    ReadSide,
)
from api.store import Store
from verifier.log.tiles import CHECKPOINT_FILE

STORE_VARIABLE: Final = "SOLVENT_STORE"
"""Where workers, which are processes of their own, find their store."""
ACCESS_LOG_VARIABLE: Final = "SOLVENT_ACCESS_LOG"
"""Set where they are to write a line per request."""

Handler = TypeVar("Handler", bound=Callable[..., Awaitable[Response]])
Sha256 = Annotated[str, PathParameter(pattern="^[0-9a-f]{64}$", description="SHA-256 of the contents, hex")]
Sequence = Annotated[int, PathParameter(ge=0, lt=SEQUENCE_END, description="sequence number of the publication")]
Name = Annotated[str, PathParameter(pattern=f"^{NAME_PATTERN}$", description="file of the publication")]
TilePath = Annotated[str, PathParameter(pattern=f"^{TILE_PATTERN}$", description="LEVEL/INDEX, as in tlog-tiles")]
_HEX: Final = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_ROW: Final = {"index": {"type": "integer"}, "sequence": {"type": "integer"}, "statement": _HEX, "manifest": _HEX}
_LATEST_SCHEMA: Final = {
    "type": "object",
    "properties": {
        **_ROW,
        "format": {"const": LATEST_FORMAT},
        "exchange": {"type": "string"},
        "log_size": {"type": "integer"},
    },
    "required": [*_ROW, "format", "exchange", "log_size"],
    "additionalProperties": False,
}
_PUBLICATIONS_SCHEMA: Final = {
    "type": "object",
    "properties": {
        "format": {"const": PUBLICATIONS_FORMAT},
        "publications": {
            "type": "array",
            "items": {"type": "object", "properties": _ROW, "required": [*_ROW], "additionalProperties": False},
        },
    },
    "required": ["format", "publications"],
    "additionalProperties": False,
}
_BINARY_SCHEMA: Final = {"type": "string", "format": "binary"}


def make_app(store: Store) -> FastAPI:
    """The service over an open store, which is closed when the service ends."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        store.close()

    app = FastAPI(
        title="Solvent", summary="Published proofs of solvency and their transparency log", lifespan=lifespan,
        docs_url=None, redoc_url=None,
    )  # fmt: skip
    registry = CollectorRegistry()
    _add_problems(app)
    _add_reads(app, ReadSide(store))
    _add_metrics(app, registry)
    app.add_middleware(Observed, registry=registry)
    return app


def from_environment() -> FastAPI:
    """For workers: the store is named by `SOLVENT_STORE`."""
    if ACCESS_LOG_VARIABLE in os.environ:
        log_requests()
    return make_app(Store(os.environ[STORE_VARIABLE]))


def _add_reads(app: FastAPI, side: ReadSide) -> None:
    shelf = Shelf()

    def send(request: Request, path: str) -> Response:
        loaded = shelf.get(path)
        if loaded is None:
            resource = side.get(path)
            if resource is None:
                return problem(404, "there is no such file, or it is not published yet")
            loaded = load(resource)
            if resource.is_immutable:
                shelf.keep(path, loaded)
        return answer(request, loaded)

    @_read(app, "/checkpoint", "The newest checkpoint: size and root of the log, signed", "text/plain")
    async def checkpoint(request: Request) -> Response:
        return send(request, CHECKPOINT_FILE)

    @_read(app, "/tile/{path:path}", "Hashes or entries of the log, c2sp.org/tlog-tiles", BINARY)
    async def tile(request: Request, path: TilePath) -> Response:
        return send(request, f"tile/{path}")

    @_read(app, f"/{LATEST}", "Which publication is the newest", JSON, _LATEST_SCHEMA)
    async def latest(request: Request) -> Response:
        return send(request, LATEST)

    @_read(app, f"/{PUBLICATIONS}", "All publications", JSON, _PUBLICATIONS_SCHEMA)
    async def publications(request: Request) -> Response:
        return send(request, PUBLICATIONS)

    @_read(app, "/publications/{sequence}/{name:path}", "A file of a publication", "*/*")
    async def publication(request: Request, sequence: Sequence, name: Name) -> Response:
        return send(request, f"publications/{sequence}/{name}")

    @_read(app, "/artefacts/{sha256}", "A file by what is in it", BINARY)
    async def artefact(request: Request, sha256: Sha256) -> Response:
        return send(request, f"artefacts/{sha256}")

    @app.head("/health", include_in_schema=False)
    @app.get("/health", summary="Whether the process is there")
    async def health() -> Mapping[str, str]:
        return {"status": "ok"}

    unready: dict[int | str, dict[str, Any]] = {503: {"description": "not yet", "content": {PROBLEM_TYPE: {}}}}

    @app.head("/ready", include_in_schema=False, response_model=None)
    @app.get("/ready", summary="Whether there is something to show", responses=unready, response_model=None)
    async def ready() -> Response | Mapping[str, str | int]:
        if side.get(CHECKPOINT_FILE) is None:
            return problem(503, "nothing is published yet")
        return {"status": "ready", "log_size": side.size}


def _add_metrics(app: FastAPI, registry: CollectorRegistry) -> None:
    text: dict[int | str, dict[str, Any]] = {200: {"description": "metrics", "content": {"text/plain": {}}}}

    @app.head("/metrics", include_in_schema=False)
    @app.get("/metrics", summary="Counts and times by route, for Prometheus", responses=text, response_class=Response)
    async def metrics() -> Response:
        return Response(exposition(registry), headers={"content-type": METRICS_TYPE, "cache-control": "no-store"})


def _read(
    app: FastAPI, path: str, summary: str, media_type: str, schema: Mapping[str, Any] = _BINARY_SCHEMA
) -> Callable[[Handler], Handler]:
    """GET with what it may answer, and HEAD."""
    none: dict[str, Any] = {"content": {PROBLEM_TYPE: {"schema": {"type": "object"}}}}
    responses: dict[int | str, dict[str, Any]] = {
        200: {"description": "all of it", "content": {media_type: {"schema": schema}}},
        206: {"description": "the range that was asked for", "content": {media_type: {}}},
        304: {"description": "as it was"},
        404: {"description": "no such file"} | none,
        416: {"description": "outside of it"} | none,
        422: {"description": "not a path of this form"} | none,
    }

    def register(handler: Handler) -> Handler:
        app.head(path, include_in_schema=False, response_class=Response)(handler)
        app.get(path, summary=summary, responses=responses, response_class=Response)(handler)
        return handler

    return register


def _add_problems(app: FastAPI) -> None:
    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> Response:
        headers = {"Allow": "GET, HEAD"} if error.status_code == 405 else error.headers
        return problem(error.status_code, str(error.detail), headers)

    @app.exception_handler(RequestValidationError)
    async def malformed(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return problem(422, f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}")

    @app.exception_handler(Exception)
    async def broken(_: Request, _error: Exception) -> Response:
        return problem(500, "this is our fault; it is in the service's log")
