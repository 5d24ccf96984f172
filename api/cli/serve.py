"""`solvent serve`: the read side of a store over HTTP."""

from __future__ import annotations

import os
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
) -> int:
    """Answer GET for what is published: checkpoint, tiles, publications, artefacts. Stops when asked to, in order."""
    import uvicorn

    from api.app import STORE_VARIABLE
    from api.store import Store

    Store(store).close()  # a wrong one is said here, not by each worker
    os.environ[STORE_VARIABLE] = store
    Output(False).note(f"Serving {store} at http://{host}:{port}")
    uvicorn.run(
        "api.app:from_environment", factory=True, host=host, port=port, workers=workers, log_level="warning",
        access_log=False, timeout_graceful_shutdown=GRACE_SECONDS, server_header=False,
    )  # fmt: skip
    return ACCEPTED
