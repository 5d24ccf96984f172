"""`solvent witness`: cosign a log's checkpoints, for somebody who is not the exchange."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from api.cli.log import new_key_file
from api.cli.options import Json, require_file
from api.cli.output import ACCEPTED, Output
from prover.errors import InputError

app = typer.Typer(
    help="A witness of transparency logs (c2sp.org/tlog-witness): it cosigns what continues what it cosigned before."
)

State = Annotated[
    str, typer.Option(metavar="FILE|URL", help="The witness's memory: an SQLite file, or a database URL.")
]
Name = Annotated[str, typer.Option(metavar="NAME", help="Of the witness, like witness.example/w1.")]
Key = Annotated[Path, typer.Option(metavar="FILE", help="The witness's private key.")]


@app.command()
def keygen(
    out: Annotated[Path, typer.Option(metavar="FILE", help="Private key to write (PEM), readable for you only.")],
    name: Name,
    json: Json = False,
) -> int:
    """Draw a witness's key. The verifier key that is printed belongs into policy files."""
    from api.notes import witness_key
    from prover.prices import load_key, new_key

    output = Output(json)
    vkey = witness_key(name, load_key(new_key_file(out, new_key()))).vkey
    output.json({"verdict": "drawn", "vkey": vkey, "private_key": str(out)})
    output.line(vkey)
    output.note(f"The private key is in {out}. A policy line: witness NAME {vkey} URL")
    return ACCEPTED


@app.command()
def init(state: State, name: Name, key: Key, json: Json = False) -> int:
    """Make a new witness's memory. One that lost its memory needs a new key, too: it could cosign a second history."""
    from api.database import database_url
    from api.witness import Witness
    from prover.prices import load_key

    output = Output(json)
    witness = Witness(database_url(state), name, load_key(key), (), create=True)
    witness.close()
    output.json({"verdict": "made", "vkey": witness.key.vkey})
    output.line(f"Memory made for {witness.key.vkey}")
    return ACCEPTED


@app.command()
def serve(
    state: State,
    name: Name,
    key: Key,
    logs: Annotated[Path, typer.Option(metavar="FILE", help="A policy file: its log lines are the logs to watch.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8601,
) -> int:
    """Answer POST /add-checkpoint and GET /ORIGIN-HASH/checkpoint until interrupted."""
    import uvicorn

    from api.database import database_url
    from api.serving import Bounded
    from api.witness import Witness, make_app
    from prover.prices import load_key
    from verifier.log.policy import read_policy

    output = Output(False)
    require_file(logs, "a policy file")
    policy = read_policy(logs)
    if not policy.logs:
        raise InputError(file=logs, got="a policy without logs", expected="at least one line `log VKEY`")
    with closing(Witness(database_url(state), name, load_key(key), policy.logs)) as witness:
        for log in policy.logs:
            output.note(f"Watching {log.vkey}")
        output.note(f"Witness {witness.key.vkey} at http://{host}:{port}")
        uvicorn.run(make_app(witness), host=host, port=port, log_level="warning", http=Bounded)
    return ACCEPTED
