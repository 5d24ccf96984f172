"""`solvent serve` and `token`: a store over HTTP for everybody, and bundles for their users."""

from __future__ import annotations

import socket
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from api.cli.log import StorePlace
from api.cli.options import Json
from api.cli.output import ACCEPTED, Output
from prover.errors import InputError

GRACE_SECONDS = 10

token = typer.Typer(help="Tokens with which users fetch their bundles from `solvent serve`.")
TokenPlace = Annotated[str, typer.Option("--tokens", metavar="FILE|URL", help="Database of the tokens' digests.")]


def serve(
    store: StorePlace,
    bundles: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="What `solvent bundles` wrote; once per publication."),
    ] = None,
    tokens: Annotated[str | None, typer.Option(metavar="FILE|URL", help="Users' tokens; goes with --bundles.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8600,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    bundle_rate: Annotated[
        float, typer.Option(min=0, metavar="N", help="Bundles per second and address, over all workers; 0: no limit.")
    ] = 20,
    proxy: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDRESS", help="A reverse proxy in front, whose X-Forwarded-For is believed."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No line per request on standard error.")] = False,
) -> int:
    """Answer GET for what is published: the page, checkpoint, tiles, publications, artefacts; and users' own bundles.

    Runs until it is asked to stop (SIGTERM, Ctrl-C); requests under way are answered first.
    """
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    from api.limits import RateLimit
    from api.serving import Bounded
    from api.settings import Settings
    from api.store import Store

    Store(store).close()  # a wrong one is said here, not by each worker
    folders = bundles or []
    if bool(folders) != (tokens is not None):
        raise InputError(field="--tokens", expected="both --bundles and --tokens, or neither")
    if tokens is not None:
        _require_bundles(folders, tokens)
    Output(False).note(f"Serving {store} at http://{host}:{port}/")
    config = uvicorn.Config(
        "api.app:from_environment", factory=True, host=host, port=port, workers=workers, log_level="warning",
        access_log=False, http=Bounded, timeout_graceful_shutdown=GRACE_SECONDS, server_header=False,
        proxy_headers=bool(proxy), forwarded_allow_ips=proxy,
    )  # fmt: skip
    listener = config.bind_socket()
    # Headers and body are two writes: without this the second one of a worker waits 40 ms for an acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with tempfile.TemporaryDirectory(prefix="solvent-serve-") as folder:
        limit = Path(folder) / "limit" if bundle_rate and folders else None
        if limit is not None:
            RateLimit.make(limit)
        shared = None if limit is None else str(limit)
        Settings(store, tuple(map(str, folders)), tokens, not quiet, shared, bundle_rate).put()
        if workers == 1:
            uvicorn.Server(config).run(sockets=[listener])
        else:
            Multiprocess(config, [listener]).run()
    return ACCEPTED


def _require_bundles(folders: list[Path], tokens: str) -> None:
    from api.handing import Bundles
    from api.tokens import Tokens

    Bundles(folders, Tokens(tokens)).close()


@token.command()
def init(tokens: TokenPlace, json: Json = False) -> int:
    """Make an empty database of tokens."""
    from api.tokens import Tokens

    Tokens(tokens, create=True).close()
    output = Output(json)
    output.json({"verdict": "made", "tokens": tokens})
    output.line(f"Made. Next: solvent token issue --tokens {tokens} USER..")
    return ACCEPTED


@token.command()
def issue(
    users: Annotated[list[str], typer.Argument(metavar="USER..", help="Users' ids, as in the imported files.")],
    tokens: TokenPlace,
    json: Json = False,
) -> int:
    """Draw a token for each user, and print it once: only its digest is kept."""
    from api.tokens import Tokens

    with closing(Tokens(tokens)) as opened:
        drawn = opened.issue(users)
    output = Output(json)
    output.json(
        {"verdict": "issued", "tokens": [{"user_id": u, "token": t} for u, t in zip(users, drawn, strict=True)]}
    )
    for user, text in zip(users, drawn, strict=True):
        output.line(f"{text} {user}")
    return ACCEPTED


@token.command()
def revoke(
    user: Annotated[str, typer.Argument(metavar="USER", help="The user's id.")], tokens: TokenPlace, json: Json = False
) -> int:
    """Make all tokens of a user void, at once."""
    from api.tokens import Tokens

    with closing(Tokens(tokens)) as opened:
        count = opened.revoke(user)
    output = Output(json)
    output.json({"verdict": "revoked", "user_id": user, "tokens": count})
    output.line(f"{count} tokens of {user} are void")
    return ACCEPTED
