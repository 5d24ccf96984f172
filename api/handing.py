"""The user side of the service: one's own bundle, for a token, and nothing else about anybody.

No URL names a user, so none is in a log, and nobody can ask for another one. Whoever has no good token gets one and the
same answer, after the same work. Answers are padded to few lengths, which say little about an account.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI, Request, Response

from api.answers import PROBLEM_TYPE, SequenceNumber, add_scheme, problem
from api.limits import RateLimit
from api.paths import BUNDLE, BUNDLES, RECEIPT, RECEIPTS
from api.reading import ReadSide
from api.tokens import Tokens
from prover.bundle_store import BundleStore
from prover.errors import InputError
from verifier.errors import InvariantBroken
from verifier.manifest import LOG_PROOF_FILE, MANIFEST_FILE
from verifier.receipt import around_bundle
from verifier.report import STATEMENT_FILE

BLOCK_BYTES: Final = 2048
"""What a bundle is longer than the shortest one is padded to a multiple of this, which is some sixteen entries. The
padding is a header: a bundle has one spelling. Proxies take headers of 4 kB."""
PADDING_BYTES_MIN: Final = 256
"""From here on HTTP/2 and HTTP/3 write a length in three bytes (RFC 7541, 5.1)."""
_PADDING: Final = bytes(b"XZ&*,;"[byte % 6] for byte in range(256))
"""Eight bits each also where a proxy packs headers by Huffman's code (RFC 7541, appendix B): a 0 would take five, and
the length would show. Drawn anew, so that no table of headers that were sent before shortens them either."""
CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="bundles"'}
_PRIVATE: Final = {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}
_NOBODY: Final = "\0"
"""No user id, as it is not printable: what is looked up where there is no user."""


class Bundles:
    """The stores of bundles, by the publication that they belong to."""

    def __init__(self, folders: Sequence[Path], tokens: Tokens, limit: RateLimit | None = None) -> None:
        """Raises InputError: no store of bundles, or two of one publication."""
        self._tokens, self._limit = tokens, limit
        self._stores: dict[bytes, BundleStore] = {}
        self._shortest: dict[bytes, int] = {}
        for folder in folders:
            store = BundleStore.open(folder)
            statement = bytes.fromhex(store.meta.statement)
            if statement in self._stores:
                raise InputError(file=folder, got="a second store of one publication", expected="one for each")
            self._stores[statement] = store
            self._shortest[statement] = store.shortest()

    def close(self) -> None:
        """Ends the connections."""
        self._tokens.close()
        if self._limit is not None:
            self._limit.close()

    def wait_seconds(self, address: str) -> float:
        """How long this address has to wait before it is answered again, 0 where it need not."""
        return 0.0 if self._limit is None else self._limit.wait_seconds(address)

    def of(self, statement: bytes | None) -> BundleStore | None:
        """The store of a publication."""
        return None if statement is None else self._stores.get(statement)

    def padding(self, length: int, store: BundleStore) -> str:
        """What makes the answer as long as that for others."""
        # A little below the shortest one seen, as some that were not looked at have shorter names.
        short = (self._shortest[bytes.fromhex(store.meta.statement)] - 64 - length) % BLOCK_BYTES
        return os.urandom(PADDING_BYTES_MIN + short).translate(_PADDING).decode("ascii")

    def fetch(self, token: str | None, store: BundleStore | None) -> tuple[bool, bytes | None]:
        """Whether the token is good, and its user's bundle. The same work is done whichever is missing."""
        user = self._tokens.user_of(token or "")
        any_store = store or next(iter(self._stores.values()), None)
        bundle = any_store.get(_NOBODY if user is None else user) if any_store else None
        return user is not None, bundle if store else None


class _Receipts:
    """What stands around a bundle in the receipts of a publication; the same for all of its users."""

    def __init__(self, side: ReadSide) -> None:
        self._side = side
        self._made = lru_cache(16)(self._make)

    def around(self, sequence: int, bundle: bytes) -> bytes:
        """The receipt with this bundle, of a publication that is shown."""
        # The log proof changes with the log's size, the other files do not.
        before, after = self._made(sequence, self._read(sequence, LOG_PROOF_FILE))
        return before + bundle.removesuffix(b"\n") + after

    def _make(self, sequence: int, log_proof: bytes) -> tuple[bytes, bytes]:
        return around_bundle(self._read(sequence, STATEMENT_FILE), self._read(sequence, MANIFEST_FILE), log_proof)

    def _read(self, sequence: int, name: str) -> bytes:
        found = self._side.get(f"publications/{sequence}/{name}")
        if found is None:
            raise InvariantBroken(f"publication {sequence} is shown without its {name}")
        return found.content if isinstance(found.content, bytes) else found.content.read_bytes()


def add_bundles(app: FastAPI, bundles: Bundles, side: ReadSide) -> None:
    """The routes."""

    def send(request: Request, kind: str, sequence: int, store: BundleStore | None) -> Response:
        wait = bundles.wait_seconds(request.client.host if request.client else "")
        if wait:
            return problem(429, "too many requests from one address", {"Retry-After": str(math.ceil(wait))})
        is_known, bundle = bundles.fetch(_token(request), store)
        if not is_known:
            return problem(401, "this needs the token that you were given with your account", CHALLENGE)
        if bundle is None or store is None:
            return problem(404, "there is no bundle for you in this publication")
        name = f'attachment; filename="{kind}-{sequence}.json"'
        more = {"Content-Disposition": name, "Padding": bundles.padding(len(bundle), store)}
        body = bundle if kind == BUNDLE else receipts.around(sequence, bundle)
        return Response(body, 200, {**_PRIVATE, **more})

    def newest() -> tuple[int, BundleStore | None]:
        found = ((sequence, bundles.of(statement)) for sequence, statement in side.statements())
        return next((pair for pair in found if pair[1] is not None), (0, None))

    receipts = _Receipts(side)

    def add(kind: str, plural: str, what: str) -> None:
        @_route(app, f"/{kind}", f"{what} in the newest publication that has bundles")
        async def newest_one(request: Request) -> Response:
            return send(request, kind, *newest())

        @_route(app, f"/{plural}/{{sequence}}", f"{what} in a publication")
        async def one(request: Request, sequence: SequenceNumber) -> Response:
            return send(request, kind, sequence, bundles.of(side.statement(sequence)))

    add(BUNDLE, BUNDLES, "My bundle")
    add(RECEIPT, RECEIPTS, "My receipt, which is the bundle with statement and log proof in one file,")
    add_scheme(app, "token", "a token that `solvent token issue` printed")


def _token(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _route(app: FastAPI, path: str, summary: str) -> Callable[[Any], Any]:
    bundle = {"application/json": {"schema": {"type": "object"}}}
    none: dict[str, Any] = {"content": {PROBLEM_TYPE: {"schema": {"type": "object"}}}}
    responses: dict[int | str, dict[str, Any]] = {
        200: {"description": "the bundle, which is secret", "content": bundle},
        401: {"description": "no token, or none of ours"} | none,
        429: {"description": "too many requests from one address"} | none,
        404: {"description": "no bundle for this user"} | none,
        422: {"description": "not a path of this form"} | none,
    }
    # Read by hand: the framework's own way takes as long as the look-ups.
    security: dict[str, Any] = {"security": [{"token": []}]}
    return app.get(path, summary=summary, responses=responses, response_class=Response, openapi_extra=security)
