"""`solvent serve`: the read side of a store over HTTP."""

from __future__ import annotations

import os
import tempfile
from typing import Annotated

import typer

from api.cli.log import StorePlace
from api.cli.output import ACCEPTED, Output

GRACE_SECONDS = 10


def serve(
    store: StorePlace,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8600,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    access_log: Annotated[
        bool, typer.Option("--access-log", help="A JSON line per request on standard error: route, status, time.")
    ] = False,
) -> int:
    """Answer GET for what is published: checkpoint, tiles, publications, artefacts; /health, /ready and /metrics.

    Stops in order when asked to: what is being answered is answered.
    """
    with tempfile.TemporaryDirectory(prefix="solvent-metrics-") as counts:
        if workers > 1:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = counts  # read when the library is imported
        return _serve(store, host, port, workers, access_log)


def _serve(store: str, host: str, port: int, workers: int, access_log: bool) -> int:
    import uvicorn

    from api.app import ACCESS_LOG_VARIABLE, STORE_VARIABLE
    from api.store import Store

    Store(store).close()  # a wrong one is said here, not by each worker
    os.environ[STORE_VARIABLE] = store
    if access_log:
        os.environ[ACCESS_LOG_VARIABLE] = "1"
    Output(False).note(f"Serving {store} at http://{host}:{port}")
    uvicorn.run(
        "api.app:from_environment", factory=True, host=host, port=port, workers=workers, log_level="warning",
        access_log=False, timeout_graceful_shutdown=GRACE_SECONDS, server_header=False,
    )  # fmt: skip
    return ACCEPTED
