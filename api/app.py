"""The HTTP service, read side: what a store shows, for everybody, with answers that caches may keep.

Nothing here is secret, and nothing is changed: the same paths and bytes as `solvent export` writes.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi import Path as PathParameter
from fastapi.responses import RedirectResponse

from api.answers import PROBLEM_TYPE, SequenceNumber, Shelf, add_problems, answer, load, problem
from api.handing import Bundles, add_bundles
from api.limits import RateLimit
from api.observing import METRICS_TYPE, Observer, Watched
from api.page import PAGE_FILE
from api.paths import (
    BINARY,
    JSON,
    LATEST,
    LATEST_FORMAT,
    NAME_PATTERN,
    PAGE,
    PUBLICATIONS,
    PUBLICATIONS_FORMAT,
    TILE_PATTERN,
)
from api.reading import ReadSide
from api.settings import Settings
from api.store import Store
from api.tokens import Tokens
from verifier.log.tiles import CHECKPOINT_FILE

Handler = TypeVar("Handler", bound=Callable[..., Awaitable[Response]])
Send = Callable[[Request, str], Response]
Sha256 = Annotated[str, PathParameter(pattern="^[0-9a-f]{64}$", description="SHA-256 of the contents, hex")]
Name = Annotated[str, PathParameter(pattern=f"^{NAME_PATTERN}$", description="file of the publication")]
PageName = Annotated[str, PathParameter(pattern=r"^[a-z0-9_]+\.(html|css|js|json)$", description="file of the page")]
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


def make_app(store: Store, bundles: Bundles | None = None, observer: Observer | None = None) -> FastAPI:
    """The service.

    Args:
        store: open; closed when the service ends, and so is `bundles`.
        bundles: of users, for their tokens; None: none are served.
        observer: sees each answer; None makes one that writes no log.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        store.close()
        if bundles is not None:
            bundles.close()

    app = FastAPI(
        title="Solvent", summary="Published proofs of solvency and their transparency log", lifespan=lifespan,
        docs_url=None, redoc_url=None,
    )  # fmt: skip
    observer = observer or Observer()
    app.add_middleware(Watched, observer=observer)
    add_problems(app)
    side = ReadSide(store)
    send = _sender(side)
    if bundles is not None:  # first, as routes are tried in order
        add_bundles(app, bundles, side)
    _add_reads(app, send)
    _add_page(app, send)
    _add_state(app, side, observer)
    return app


def from_environment() -> FastAPI:
    """For workers: what to serve is in the environment."""
    settings = Settings.get()
    bundles = None
    if settings.tokens is not None:
        limit = None if settings.limit is None else RateLimit(Path(settings.limit), settings.bundle_rate)
        bundles = Bundles([Path(folder) for folder in settings.bundles], Tokens(settings.tokens), limit)
    return make_app(Store(settings.store), bundles, Observer(sys.stderr if settings.is_logging else None))


def _sender(side: ReadSide) -> Send:
    """What answers a request for a path of the read side."""
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

    return send


def _add_page(app: FastAPI, send: Send) -> None:
    @_read(app, "/page/{name}", "A file of the page on which users check their balance", "*/*")
    async def page_file(request: Request, name: PageName) -> Response:
        return send(request, PAGE + name)

    @app.api_route("/page/", methods=["GET", "HEAD"], include_in_schema=False)
    async def page(request: Request) -> Response:
        return send(request, PAGE + PAGE_FILE)

    @app.get("/", include_in_schema=False)
    async def root() -> Response:
        return RedirectResponse("page/")


def _add_reads(app: FastAPI, send: Send) -> None:
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
    async def publication(request: Request, sequence: SequenceNumber, name: Name) -> Response:
        return send(request, f"publications/{sequence}/{name}")

    @_read(app, "/artefacts/{sha256}", "A file by what is in it", BINARY)
    async def artefact(request: Request, sha256: Sha256) -> Response:
        return send(request, f"artefacts/{sha256}")


def _add_state(app: FastAPI, side: ReadSide, observer: Observer) -> None:
    """What operators ask."""

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

    text: dict[int | str, dict[str, Any]] = {200: {"description": "counts and times", "content": {"text/plain": {}}}}

    @app.get("/metrics", summary="For Prometheus", responses=text, response_class=Response)
    async def metrics() -> Response:
        newest = next(side.statements(), (0, b""))[0]
        body = observer.text({"log_size": side.size, "newest_sequence": newest})
        return Response(body, 200, {"Content-Type": METRICS_TYPE, "Cache-Control": "no-store"})


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
