"""The HTTP service, write side: an exchange's own machines hand in publications, and draw tokens for users.

On another port than the read side, with a key of its own. A publication is a list of files by their digests: those
that are missing are named in the answer and put, and the list is posted again. It goes through `api.publish`, as from
the command line, so what the verifier refuses is shown to nobody. Whatever is interrupted may simply be asked again.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi import Path as PathParameter
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.answers import PROBLEM_TYPE, add_problems, add_scheme, problem
from api.observing import METRICS_TYPE, Observer, Watched
from api.paths import NAME_PATTERN
from api.publish import Insolvent, Published, publish
from api.quorum import Validators
from api.store import Store
from api.tokens import Tokens
from prover.errors import InputError
from prover.files import adopt
from prover.staging import staged
from verifier.errors import Reason, VerificationError
from verifier.inclusion import USER_ID_CHARACTERS_MAX
from verifier.log.policy import Policy
from verifier.manifest import FILES_MAX, role_of
from verifier.report import Report, verify_directory
from verifier.verdict import INSOLVENT

FILE_BYTES_MAX: Final = 2**32
"""Longest file that is taken: a proof of 2^18 rows is below a megabyte."""
LIST_BYTES_MAX: Final = 2**26
USERS_MAX: Final = 2**16
BLOCK_BYTES: Final = 2**20
INCOMING: Final = "incoming"
CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="publisher"'}

Model = TypeVar("Model", bound=BaseModel)
Handler = TypeVar("Handler", bound=Callable[..., Awaitable[Response]])
Sha256 = Annotated[str, PathParameter(pattern="^[0-9a-f]{64}$", description="SHA-256 of the body, hex")]
UserId = Annotated[str, Field(min_length=1, max_length=USER_ID_CHARACTERS_MAX)]


class ListedFile(BaseModel):
    """One file of a publication, by what is in it."""

    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(pattern=f"^{NAME_PATTERN}$", max_length=64)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Listing(BaseModel):
    """All files of a publication."""

    model_config = ConfigDict(extra="forbid")
    files: Annotated[list[ListedFile], Field(min_length=1, max_length=FILES_MAX)]


class Users(BaseModel):
    """Who gets a token."""

    model_config = ConfigDict(extra="forbid")
    users: Annotated[list[UserId], Field(min_length=1, max_length=USERS_MAX)]


class User(BaseModel):
    """Whose tokens become void."""

    model_config = ConfigDict(extra="forbid")
    user_id: UserId


@dataclass(frozen=True)
class Publisher:
    """What the service works with.

    Args:
        store, key: as for `api.publish.publish`.
        write_key: what callers show; kept as a digest.
        policy, validators: as for `api.publish.publish`.
        tokens: of users; None: none are given out here.
        verify: for tests.
    """

    store: Store
    key: Ed25519PrivateKey
    write_key: str
    policy: Policy | None = None
    validators: Validators | None = None
    tokens: Tokens | None = None
    verify: Callable[[Path], Report] = verify_directory

    def require(self, request: Request) -> None:
        """The request has to show the key; every other one takes the same time. Raises HTTPException: 401."""
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        right, got = (
            hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in (self.write_key, shown)
        )
        if not hmac.compare_digest(right, got) or scheme.lower() != "bearer":
            raise HTTPException(401, "this needs the publisher's key", CHALLENGE)

    @property
    def incoming(self) -> Path:
        """Where files wait for their publication."""
        return self.store.files / INCOMING

    def find(self, sha256: str) -> Path | None:
        """An uploaded file, or one that is published already."""
        places = (self.incoming / sha256, self.store.artefact(bytes.fromhex(sha256)))
        return next((path for path in places if path.is_file()), None)

    def publish(self, listing: Sequence[ListedFile]) -> Published:
        """Publish files that are all there, and clear them away. Raises as `api.publish.publish`."""
        with staged(self.incoming / "publication") as folder:
            for file in listing:
                source, target = self.find(file.sha256), folder / file.name
                if source is None:
                    raise InputError(file=file.name, got="a file that was cleared away", expected="it to be put again")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
            done = publish(folder, self.store, self.key, self.policy, self.verify, self.validators)
        for file in listing:
            (self.incoming / file.sha256).unlink(missing_ok=True)
        return done


def make_app(publisher: Publisher, observer: Observer | None = None) -> FastAPI:
    """The service. The publisher's store and tokens are closed when it ends."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        publisher.store.close()
        if publisher.tokens is not None:
            publisher.tokens.close()

    app = FastAPI(
        title="Solvent publisher", summary="Hands publications in", lifespan=lifespan, docs_url=None, redoc_url=None
    )
    observer = observer or Observer()
    app.add_middleware(Watched, observer=observer)
    add_problems(app)
    publisher.incoming.mkdir(exist_ok=True)
    for left in publisher.incoming.iterdir():
        if left.is_dir() or left.name.startswith("."):  # of a run that was stopped
            shutil.rmtree(left) if left.is_dir() else left.unlink()
    _add_files(app, publisher)
    _add_publications(app, publisher)
    if publisher.tokens is not None:
        _add_tokens(app, publisher, publisher.tokens)
    _add_state(app, publisher, observer)
    add_scheme(app, "key", "the key of `solvent publisher keygen`")
    return app


def _add_files(app: FastAPI, publisher: Publisher) -> None:
    body = {"required": True, "content": {"application/octet-stream": {"schema": {"type": "string"}}}}
    answers = {
        200: "it was there",
        201: "it is there",
        411: "no Content-Length",
        413: "longer than is taken",
        503: "the disk is full",
    }

    @_route(app.put, "/files/{sha256}", "Hand in a file of a publication", answers, body)
    async def put(request: Request, sha256: Sha256) -> Response:
        publisher.require(request)
        length = request.headers.get("content-length", "")
        if not length.isdigit():
            return problem(411, "say in Content-Length how long the file is")
        if int(length) > FILE_BYTES_MAX:
            return problem(413, f"at most {FILE_BYTES_MAX} bytes")
        if publisher.find(sha256) is not None:
            return Response(status_code=200)
        descriptor, name = tempfile.mkstemp(prefix=".", dir=publisher.incoming)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                digest = await _receive(request, stream)
            if digest != sha256:
                return problem(422, f"the body's SHA-256 is {digest}")
            await run_in_threadpool(adopt, Path(name), publisher.incoming / sha256)
        finally:
            Path(name).unlink(missing_ok=True)
        return Response(status_code=201)


async def _receive(request: Request, stream: BinaryIO) -> str:
    """Write the body, which is as long as it said; its SHA-256 in hex."""
    digest = hashlib.sha256()
    async for block in request.stream():
        digest.update(block)
        await run_in_threadpool(stream.write, block)
    return digest.hexdigest()


def _add_publications(app: FastAPI, publisher: Publisher) -> None:
    answers = {
        200: "it was published before",
        201: "it is published",
        202: "it is in the log, and some of its witnesses are missing: ask again",
        409: "files are missing, which are named; or it does not follow the last publication",
        413: "longer than is taken",
        503: "another publication is under way, or the disk or the database does not work",
    }

    @_route(app.post, "/publications", "Verify a publication, store it, log it, sign it, show it", answers,
            _described(Listing))  # fmt: skip
    async def post(request: Request) -> Response:
        listing = await _read(request, publisher, Listing)
        seen: set[str] = set()
        for file in listing.files:
            if role_of(file.name) is None or file.name in seen:
                return problem(422, f"{file.name}: no file of a publication, or twice in the list")
            seen.add(file.name)
        missing = sorted({file.sha256 for file in listing.files if publisher.find(file.sha256) is None})
        if missing:
            return problem(409, f"{len(missing)} files are missing", more={"missing": missing})
        return await run_in_threadpool(_published, publisher, listing)


def _published(publisher: Publisher, listing: Listing) -> Response:
    try:
        done = publisher.publish(listing.files)
    except Insolvent as error:
        return problem(422, f"not published: {error.report.spoken}", more={"reason": INSOLVENT})
    except VerificationError as error:
        status = 409 if error.reason is Reason.LOG_ENTRY else 422
        return problem(status, str(error), more={"reason": error.reason.value})
    except InputError as error:
        return problem(503, str(error), {"Retry-After": "5"})
    return _json(202 if not done.is_shown else 201 if done.is_new else 200, done.to_json())


def _add_tokens(app: FastAPI, publisher: Publisher, tokens: Tokens) -> None:
    broken = "the database does not work"
    answers = {201: "drawn; this answer is the only place where they stand", 413: "longer than is taken", 503: broken}

    @_route(app.post, "/tokens", "Draw a token for each of these users", answers, _described(Users))
    async def draw(request: Request) -> Response:
        asked = await _read(request, publisher, Users)
        try:
            drawn = await run_in_threadpool(tokens.issue, asked.users)
        except InputError as error:
            if error.file is not None:  # the database's fault, not the caller's
                raise
            return problem(422, str(error))
        pairs = zip(asked.users, drawn, strict=True)
        return _json(201, {"tokens": [{"user_id": user, "token": token} for user, token in pairs]})

    answers = {200: "void from the next request on", 413: "longer than is taken", 503: broken}

    @_route(app.post, "/tokens/revoke", "Make all tokens of a user void", answers, _described(User))
    async def revoke(request: Request) -> Response:
        asked = await _read(request, publisher, User)
        return _json(200, {"tokens": await run_in_threadpool(tokens.revoke, asked.user_id)})


def _add_state(app: FastAPI, publisher: Publisher, observer: Observer) -> None:
    @app.get("/health", summary="Whether the process is there")
    async def health() -> Mapping[str, str]:
        return {"status": "ok"}

    text: dict[int | str, dict[str, Any]] = {200: {"description": "counts and times", "content": {"text/plain": {}}}}

    @app.get("/metrics", summary="For Prometheus", responses=text, response_class=Response)
    async def metrics() -> Response:
        body = observer.text({"log_size": publisher.store.size})
        return Response(body, 200, {"Content-Type": METRICS_TYPE, "Cache-Control": "no-store"})


async def _read(request: Request, publisher: Publisher, model: type[Model]) -> Model:
    """The body as `model`. Raises HTTPException: 401, 413 or 422, to a caller without the key or with another body."""
    publisher.require(request)
    body = bytearray()
    async for block in request.stream():
        body += block
        if len(body) > LIST_BYTES_MAX:
            raise HTTPException(413, f"at most {LIST_BYTES_MAX} bytes")
    try:
        return model.model_validate_json(bytes(body))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise HTTPException(422, f"{where}: {first['msg']}") from None


def _json(status: int, value: object) -> Response:
    return Response(json.dumps(value), status, {"Content-Type": "application/json", "Cache-Control": "no-store"})


def _described(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema()
    for name, part in schema.pop("$defs", {}).items():  # one level, and used once: put where it is named
        text = json.dumps(schema).replace(json.dumps({"$ref": f"#/$defs/{name}"}), json.dumps(part))
        schema = json.loads(text)
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _route(
    register: Callable[..., Callable[[Handler], Handler]],
    path: str,
    summary: str,
    answers: Mapping[int, str],
    body: object,
) -> Callable[[Handler], Handler]:
    """A path that needs the key and takes a body."""
    refusal = {"content": {PROBLEM_TYPE: {"schema": {"type": "object"}}}}
    words = {**answers, 401: "not the publisher's key", 422: "not a body of this form, or refused"}
    told: dict[int | str, dict[str, Any]] = {
        status: {"description": text} | (refusal if status >= 400 else {}) for status, text in words.items()
    }
    extra = {"security": [{"key": []}], "requestBody": body}
    done = min(answers)
    return register(
        path, summary=summary, responses=told, response_class=Response, openapi_extra=extra, status_code=done
    )
