"""`solvent log`: the transparency log that publications are in, for the exchange and for everybody else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.options import Json, require_directory, require_file, require_free
from api.cli.output import ACCEPTED, Output
from api.cli.report import print_steps
from prover.files import write_whole

if TYPE_CHECKING:
    from verifier.log.findings import Finding

app = typer.Typer(
    help="The transparency log: every publication is in it, in one order, and nobody is shown another one."
)

Policy = Annotated[
    Path,
    typer.Option(metavar="FILE", help="Whom you believe: log and witness keys, and the quorum (c2sp.org/tlog-policy)."),
]
StorePlace = Annotated[str, typer.Option("--store", metavar="DIR|URL", help="The publisher's store.")]
LogFolder = Annotated[Path, typer.Argument(metavar="DIR", help="The log's folder, as published: checkpoint and tile/.")]


@app.command()
def keygen(
    out: Annotated[Path, typer.Option(metavar="FILE", help="Private key to write (PEM), readable for you only.")],
    origin: Annotated[str, typer.Option(metavar="NAME", help="Of the log, like exchange.example/solvency.")],
    json: Json = False,
) -> int:
    """Draw the log's key. The line printed belongs into everybody's policy file; keep the key file secret."""
    from api.notes import log_key
    from prover.prices import load_key, new_key

    output = Output(json)
    data = new_key_file(out, new_key())
    vkey = log_key(origin, load_key(data)).vkey
    output.json({"verdict": "drawn", "vkey": vkey, "private_key": str(out)})
    output.line(f"log {vkey}")
    output.note(f"The private key is in {out}: whoever has it can sign in the log's name.")
    return ACCEPTED


@app.command()
def init(
    store: StorePlace,
    key: Annotated[Path, typer.Option(metavar="FILE", help="The log's private key.")],
    origin: Annotated[str, typer.Option(metavar="NAME", help="Of the log, as given to keygen.")],
    files: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for the files, where --store is a database URL.")
    ] = None,
    json: Json = False,
) -> int:
    """Make an empty store: metadata in SQLite, or at a PostgreSQL URL; artefacts and the log's tiles in a folder."""
    from api.notes import log_key
    from api.store import Store
    from prover.prices import load_key

    output = Output(json)
    made = Store.create(store, log_key(origin, load_key(key)), files)
    made.close()
    output.json({"verdict": "made", "vkey": made.vkey, "files": str(made.files)})
    output.line(f"Store made, files in {made.files}. Next: solvent publish DIR --store {store} --key {key}")
    return ACCEPTED


@app.command()
def verify(
    publication: Annotated[
        Path, typer.Argument(metavar="DIR", help="A publication, with its manifest.json and log.tlog-proof.")
    ],
    policy: Policy,
    json: Json = False,
) -> int:
    """Is this publication in the log? Checks files, log signature, witnesses, inclusion; `solvent verify` the rest."""
    from verifier.log.findings import logged
    from verifier.log.policy import read_policy

    require_directory(publication, "a publication directory")
    require_file(policy, "a policy file")
    return _say(logged(publication, read_policy(policy)), Output(json))


@app.command()
def consistency(
    seen: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A checkpoint of the log that you saw before.")],
    log: LogFolder,
    policy: Policy,
    json: Json = False,
) -> int:
    """Has the log only grown since? Keep the checkpoint of each visit: nothing older can be rewritten unnoticed."""
    from verifier.log.findings import continued
    from verifier.log.policy import read_policy

    require_file(seen, "a checkpoint")
    require_directory(log, "a log's folder")
    require_file(policy, "a policy file")
    return _say(continued(seen, log, read_policy(policy)), Output(json))


@app.command()
def audit(log: LogFolder, policy: Policy, json: Json = False) -> int:
    """Is the log whole, and one chain of publications? Reads every entry."""
    from verifier.log.findings import audited
    from verifier.log.policy import read_policy

    require_directory(log, "a log's folder")
    require_file(policy, "a policy file")
    return _say(audited(log, read_policy(policy)), Output(json))


@app.command()
def fraud(
    one: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="One checkpoint.")],
    other: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="Another one of the same size.")],
    policy: Policy,
    json: Json = False,
) -> int:
    """Do two checkpoints prove that the log signed two histories? Exit code 0: they do, for everybody, for ever."""
    from verifier.log.findings import convicted
    from verifier.log.policy import read_policy

    for path in (one, other):
        require_file(path, "a checkpoint")
    require_file(policy, "a policy file")
    return _say(convicted(one, other, read_policy(policy)), Output(json))


def new_key_file(out: Path, pem: bytes) -> Path:
    """Write a private key where nothing is; an older one is never replaced. Raises InputError."""
    require_free(out)
    write_whole(out, pem)
    return out


def _say(finding: Finding, output: Output) -> int:
    output.json(finding.to_json())
    print_steps(finding.steps, output)
    output.line(f"Verdict: {finding.verdict}", mood="good")
    return ACCEPTED
