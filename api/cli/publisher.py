"""`solvent publisher`: publications are handed in over HTTP, from the machines that prove to the one that publishes."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated

import typer

from api.cli.log import StorePlace, new_key_file
from api.cli.options import Json, read_secret, require_file
from api.cli.output import ACCEPTED, Output

KEY_BYTES = 32
GRACE_SECONDS = 60
WRITE_KEY = "a key that `solvent publisher keygen` wrote"

app = typer.Typer(help="Take publications over HTTP, verify and publish them; draw users' tokens. Not for the public.")
WriteKey = Annotated[Path, typer.Option(metavar="FILE", help="What `solvent publisher keygen` wrote.")]


@app.command()
def keygen(
    out: Annotated[Path, typer.Option(metavar="FILE", help="Key to write, readable for you only.")], json: Json = False
) -> int:
    """Draw the key that machines show which hand publications in."""
    new_key_file(out, secrets.token_urlsafe(KEY_BYTES).encode() + b"\n")
    output = Output(json)
    output.json({"verdict": "drawn", "write_key": str(out)})
    output.line(f"Key in {out}. Next: solvent publisher serve --write-key {out} .., solvent publish DIR --to URL")
    return ACCEPTED


@app.command()
def serve(
    store: StorePlace,
    key: Annotated[Path, typer.Option(metavar="FILE", help="The log's private key.")],
    write_key: WriteKey,
    witnesses: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Policy whose witnesses are asked, as for `solvent publish`.")
    ] = None,
    validators: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Demand their certificate in each publication.")
    ] = None,
    tokens: Annotated[
        str | None, typer.Option(metavar="FILE|URL", help="Also draw and revoke users' tokens in this database.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8602,
    quiet: Annotated[bool, typer.Option("--quiet", help="No line per request on standard error.")] = False,
) -> int:
    """Answer PUT /files, POST /publications and /tokens until asked to stop; what is under way is finished first.

    One process: publications are one after the other. Readers are served by `solvent serve`, from the same store.
    """
    import sys

    import uvicorn

    from api.cli.validator import read_validators
    from api.log import require_key
    from api.observing import Observer
    from api.serving import Bounded
    from api.store import Store
    from api.tokens import Tokens
    from api.writing import Publisher, make_app
    from prover.prices import load_key
    from verifier.log.policy import read_policy

    if witnesses is not None:
        require_file(witnesses, "a policy file")
    shown, private = read_secret(write_key, WRITE_KEY), load_key(key)
    policy = None if witnesses is None else read_policy(witnesses)
    members = None if validators is None else read_validators(validators)
    opened = Store(store)
    require_key(opened, private)
    publisher = Publisher(opened, private, shown, policy, members, None if tokens is None else Tokens(tokens))
    Output(False).note(f"Publishing into {store} what is handed in at http://{host}:{port}/")
    made = make_app(publisher, Observer(None if quiet else sys.stderr))
    uvicorn.run(
        made, host=host, port=port, log_level="warning", access_log=False, server_header=False, http=Bounded,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )  # fmt: skip
    return ACCEPTED
