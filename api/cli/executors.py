"""Who proves the shards of a large snapshot: options of `solvent prove`, and `solvent shard` for one alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.options import Json, require_directory
from api.cli.output import ACCEPTED, Output
from prover.errors import InputError

if TYPE_CHECKING:
    from prover.executors import Executor

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
Cluster = Annotated[
    bool, typer.Option("--cluster", help="Prove on Dask workers (extra [cluster], docs/cluster.md) instead.")
]
Scheduler = Annotated[
    str | None, typer.Option(metavar="URL", help="With --cluster: tls://HOST:PORT; default: workers on this machine.")
]
Tls = Annotated[
    Path | None, typer.Option(metavar="DIR", help="With a scheduler: ca.pem, cert.pem and key.pem; docs/cluster.md.")
]

Restart = Annotated[
    bool, typer.Option("--restart", help="Throw an unfinished run in DIR.work away instead of going on with it.")
]


def choose_executor(workers: int | None, cluster: bool, scheduler: str | None, tls: Path | None) -> Executor | None:
    """What the options ask for; None leaves it to the prover.

    Raises:
        InputError: they contradict each other, or a certificate is missing.
    """
    if not cluster:
        for option, value in (("--scheduler", scheduler), ("--tls", tls)):
            if value is not None:
                raise InputError(field=option, got=str(value), expected="--cluster with it")
        if workers is None:
            return None
        from prover.executors.local import LocalExecutor

        return LocalExecutor(workers)
    from prover.executors.cluster import ClusterExecutor, TlsFiles

    files = None if tls is None else TlsFiles(tls / "ca.pem", tls / "cert.pem", tls / "key.pem")
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
