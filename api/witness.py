"""A witness, c2sp.org/tlog-witness: it cosigns a log's checkpoint once it has seen that it continues the last one.

What it promises is in one rule: comparing the old size with what it cosigned last, and recording the new size, are one
step that nothing comes between, and that is on disk before the cosignature is given away. So it never cosigns two
histories of a log, whoever asks at the same time, and whenever it is stopped.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI, Request, Response
from fastapi import Path as PathParameter
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import IntegrityError
from starlette.requests import ClientDisconnect

from api.database import Database, tables
from api.notes import cosign, witness_key
from prover.errors import InputError
from prover.files import Step, no_step
from verifier.errors import Reason, VerificationError
from verifier.log.checkpoint import Opened, open_signed, parse_digest, parse_number, with_signatures
from verifier.log.note import NOTE_BYTES_MAX, Note, VerifierKey
from verifier.log.tree import PROOF_DIGESTS_MAX, check_consistency

REQUEST_BYTES_MAX: Final = NOTE_BYTES_MAX + 4096
SIZE_TYPE: Final = "text/x.tlog.size"
TEXT_TYPE: Final = "text/plain; charset=utf-8"

_LOGS: Final = sa.Table(
    "logs",
    sa.MetaData(),
    sa.Column("origin_hash", sa.String(64), primary_key=True),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("root", sa.LargeBinary, nullable=False),
    sa.Column("time", sa.BigInteger, nullable=False),
    sa.Column("note", sa.LargeBinary, nullable=False),
)
MIGRATIONS: Final = (tables(_LOGS),)


class Refused(Exception):
    """An answer other than a cosignature.

    Args:
        status: of HTTP.
        text: for the log's operator.
        media_type: of the text.
    """

    def __init__(self, status: int, text: str, media_type: str = TEXT_TYPE) -> None:
        super().__init__(text)
        self.status, self.text, self.media_type = status, text + "\n", media_type


class Witness:
    """A witness's memory and key.

    Args:
        url: of its database. A witness that lost it has to take another key: it could cosign a second history.
        name: of the witness.
        logs: the keys of the logs that it knows.
        clock: seconds since 1970.
        create: whether it has never been at work, and the database is to be made.
        step: called at each write, for tests.
    """

    def __init__(
        self,
        url: str,
        name: str,
        key: Ed25519PrivateKey,
        logs: tuple[VerifierKey, ...],
        create: bool = False,
        clock: Callable[[], float] = time.time,
        step: Step = no_step,
    ) -> None:
        self.key = witness_key(name, key)
        self._private, self._logs, self._clock, self._step = key, logs, clock, step
        self._database = Database(url, MIGRATIONS, create)

    def close(self) -> None:
        """Ends the connections; what is committed stays."""
        self._database.close()

    def add_checkpoint(self, body: bytes) -> str:
        """The cosignature line for a request, once the checkpoint is recorded.

        Raises:
            Refused: with the status that the specification asks for.
            InputError: the database does not work; nothing was cosigned.
        """
        old_size, proof, note = _parse_request(body)
        opened = self._open(note)
        size = opened.checkpoint.size
        if old_size > size:
            raise Refused(400, f"old size {old_size} is above the checkpoint's {size}")
        self._step("before")
        try:
            with self._database.transaction() as connection:
                line = self._advance(connection, opened, old_size, proof)
        except IntegrityError:
            raise Refused(409, str(self._size(opened)), SIZE_TYPE) from None  # two first checkpoints at once
        self._step("committed")
        return line

    def checkpoint(self, origin_hash: str) -> bytes:
        """The newest checkpoint that was cosigned for a log.

        Args:
            origin_hash: SHA-256 of its origin, hex.

        Raises:
            Refused: 404: none was.
        """
        with self._database.reading() as connection:
            row = connection.execute(_LOGS.select().where(_LOGS.c.origin_hash == origin_hash)).first()
        if row is None:
            raise Refused(404, "no checkpoint of a log with this origin hash")
        return bytes(row.note)

    def _open(self, note: bytes) -> Opened:
        try:
            return open_signed(note, self._logs)
        except VerificationError as error:
            statuses = {Reason.LOG_ORIGIN: 404, Reason.LOG_SIGNATURE: 403, Reason.LOG_CONSISTENCY: 422}
            raise Refused(statuses.get(error.reason, 400), str(error)) from None

    def _advance(self, connection: sa.Connection, opened: Opened, old_size: int, proof: tuple[bytes, ...]) -> str:
        """Compare and record, in one transaction. The cosignature leaves only after the commit."""
        head = opened.checkpoint
        where = _LOGS.c.origin_hash == _hash(head.origin)
        row = connection.execute(_LOGS.select().where(where)).first()
        size = 0 if row is None else int(row.size)
        if old_size != size:
            raise Refused(409, str(size), SIZE_TYPE)
        old_root = hashlib.sha256(b"").digest() if row is None else bytes(row.root)
        try:
            check_consistency(size, old_root, head.size, head.root, proof)
        except VerificationError as error:
            raise Refused(422, str(error)) from None
        self._step("checked")
        # A clock that was set back must not make the newer of two cosignatures the older one.
        moment = max(int(self._clock()), 1 if row is None else int(row.time))
        own = [s for s in opened.note.signatures if opened.log.is_of(s)]
        signature = cosign(head.text, moment, self.key.name, self._private)
        note = with_signatures(Note(head.text, tuple(own[:1])), [signature.line])
        values = {"size": head.size, "root": head.root, "time": moment, "note": note}
        if row is None:
            first = values | {"origin_hash": _hash(head.origin), "origin": head.origin}
            connection.execute(_LOGS.insert(), first)
        else:
            # On PostgreSQL another transaction may have come between: then this changes no row.
            changed = connection.execute(_LOGS.update().where(where, _LOGS.c.size == size).values(**values))
            if changed.rowcount != 1:
                raise Refused(409, str(self._size(opened)), SIZE_TYPE)
        self._step("in transaction")
        return signature.line + "\n"

    def _size(self, opened: Opened) -> int:
        with self._database.reading() as connection:
            where = _LOGS.c.origin_hash == _hash(opened.checkpoint.origin)
            row = connection.execute(_LOGS.select().where(where)).first()
        return 0 if row is None else int(row.size)


def _parse_request(body: bytes) -> tuple[int, tuple[bytes, ...], bytes]:
    """Old size, consistency proof and checkpoint. Raises Refused: 400."""
    head, _, note = body.partition(b"\n\n")  # without an empty line there is no checkpoint
    lines = head.decode("ascii", "replace").split("\n")
    if not lines[0].startswith("old ") or len(lines) - 1 > PROOF_DIGESTS_MAX:
        raise Refused(400, "expected the old size, a proof of at most 63 lines, an empty line, a checkpoint")
    try:
        old_size = parse_number(lines[0].removeprefix("old "), "old size")
        return old_size, tuple(parse_digest(line, "consistency proof") for line in lines[1:]), note
    except VerificationError as error:
        raise Refused(400, str(error)) from None


def make_app(witness: Witness) -> FastAPI:
    """The HTTP interface of a witness: one prefix for submission and monitoring."""
    app = FastAPI(title="Solvent witness", description="c2sp.org/tlog-witness", docs_url=None, redoc_url=None)
    texts: dict[int | str, dict[str, Any]] = {
        status: {"description": what, "content": {"text/plain": {}}}
        for status, what in (
            (400, "not a request"),
            (403, "not signed by the log"),
            (404, "unknown log"),
            (409, "the witness knows another size, which is the body"),
            (413, "too long"),
            (422, "not consistent with what was cosigned before"),
            (503, "the witness's database does not work"),
        )
    }

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> Response:
        return Response(error.text, error.status, {"content-type": error.media_type})  # as it is, without a charset

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, _error: ClientDisconnect) -> Response:
        return Response("the request was broken off\n", 400, media_type=TEXT_TYPE)  # which nobody hears

    @app.exception_handler(InputError)
    async def failed(_: Request, _error: InputError) -> Response:
        return Response("the witness's database does not work\n", 503, media_type=TEXT_TYPE)

    request_body = {"required": True, "content": {"text/plain": {"schema": {"type": "string"}}}}

    @app.post("/add-checkpoint", responses=texts, response_class=Response, openapi_extra={"requestBody": request_body})
    async def add_checkpoint(request: Request) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > REQUEST_BYTES_MAX:
                raise Refused(413, f"expected at most {REQUEST_BYTES_MAX} bytes")
        line = await run_in_threadpool(witness.add_checkpoint, body)
        return Response(line, media_type=TEXT_TYPE)

    @app.get("/{origin_hash}/checkpoint", responses={404: texts[404]}, response_class=Response)
    def checkpoint(origin_hash: Annotated[str, PathParameter(pattern="^[0-9a-f]{64}$")]) -> Response:
        return Response(witness.checkpoint(origin_hash), media_type=TEXT_TYPE)

    @app.get("/health")
    def health() -> Mapping[str, str]:
        return {"status": "ok", "vkey": witness.key.vkey}

    return app


def _hash(origin: str) -> str:
    return hashlib.sha256(origin.encode()).hexdigest()
