"""Who proves the shards of a large snapshot: options of `solvent prove`, and `solvent shard` for one alone."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.options import Json, require_directory
from api.cli.output import ACCEPTED, Output
from prover.errors import InputError

if TYPE_CHECKING:
    from prover.executors import Executor as Chosen

Shards = Annotated[
    int | None,
    typer.Option(metavar="N", help="Proofs to split the accounts over; default: the capacity policy, never the count."),
]
Log2Rows = Annotated[
    int | None, typer.Option("--log2-rows", metavar="K", help="Rows of a proof are 2^K, 17 to 21; default: the policy.")
]
Workers = Annotated[
    int | None, typer.Option(metavar="N", help="Processes at once, one thread each; default: one per processor.")
]


class Who(StrEnum):
    """Who proves the shards."""

    LOCAL = "local"
    DASK = "dask"


Executor = Annotated[
    Who | None,
    typer.Option(
        help="local: processes on this machine, for several shards the default; dask: Dask workers (extra [cluster])."
    ),
]
Scheduler = Annotated[
    str | None, typer.Option(metavar="URL", help="With dask: tls://HOST:PORT; default: workers on this machine.")
]
TlsAuthority = Annotated[Path | None, typer.Option("--tls-ca", metavar="PEM", help="With tls://: whom to trust.")]
TlsCertificate = Annotated[Path | None, typer.Option("--tls-cert", metavar="PEM", help="With tls://: who we are.")]
TlsKey = Annotated[Path | None, typer.Option("--tls-key", metavar="PEM", help="With tls://: its key.")]
OnlyInputs = Annotated[
    bool,
    typer.Option("--only-inputs", help="Write the shards' inputs to DIR.work and stop: other processes prove them."),
]
Restart = Annotated[
    bool, typer.Option("--restart", help="Throw an unfinished run in DIR.work away instead of going on with it.")
]


def choose_executor(
    who: Who | None, workers: int | None, scheduler: str | None, tls: tuple[Path | None, Path | None, Path | None]
) -> Chosen | None:
    """What the options ask for; None leaves it to the prover.

    Args:
        tls: authority, certificate and key.

    Raises:
        InputError: they contradict each other, or a certificate is missing.
    """
    if who is not Who.DASK:
        if scheduler is not None or any(tls):
            raise InputError(field="--executor", got="local", expected="dask with a scheduler or certificates")
        if who is None and workers is None:
            return None
        from prover.executors.local import LocalExecutor

        return LocalExecutor(workers)
    from prover.executors.cluster import ClusterExecutor, TlsFiles

    authority, certificate, key = tls
    files = None
    if authority is not None and certificate is not None and key is not None:
        files = TlsFiles(authority, certificate, key)
    elif any(tls):
        raise InputError(field="--tls-key", got="not all three", expected="--tls-ca, --tls-cert and --tls-key together")
    return ClusterExecutor(scheduler, workers, files)


def shard(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder, DIR.work, of `solvent prove`.")],
    index: Annotated[int, typer.Option(metavar="I", help="Number of the shard, from 0.")],
    json: Json = False,
) -> int:
    """Prove one shard of a run that has begun, for schedulers that start a process for each.

    `solvent prove`, run again with its own options, takes over what is finished. docs/cluster.md has a manifest for
    Kubernetes.
    """
    from prover.shards.prove import prove_task
    from prover.shards.run import run_one
    from prover.warm import compile_kernels

    output = Output(json)
    require_directory(run, "a run folder")
    with output.progress() as progress:
        compile_kernels(lambda fraction: progress("compile", fraction))
        result = run_one(run, index, prove_task)
    output.json({"verdict": "proved", "shard": index, "files": result.files, "phase_seconds": result.seconds})
    output.line(f"Shard {index} proved in {sum(result.seconds.values()):.1f} s")
    return ACCEPTED
