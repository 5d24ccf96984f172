"""Workers on several machines, by Dask (extra `[cluster]`). How to run and to secure them: docs/cluster.md.

A Dask scheduler runs whatever code its clients send, so whoever can connect to it owns its workers. Hence TLS with
certificates on both sides, except on this machine's own loopback interface.
"""

from __future__ import annotations

import ipaddress
import logging
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from prover.errors import InputError
from prover.executors import (
    DEATHS_MAX,
    Result,
    Task,
    WorkersDied,
    deaf_to_interrupts,
    single_thread,
    task_words,
)
from prover.kernels.threads import processors

AHEAD: Final = 2
"""Tasks per worker that are with the scheduler at once, so that no worker waits for the next."""
LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: whom we trust, and who we are."""

    authority: Path
    certificate: Path
    key: Path

    def require(self) -> None:
        """All three can be read.

        Raises:
            InputError: naming the one that cannot.
        """
        for path in (self.authority, self.certificate, self.key):
            if not os.access(path, os.R_OK):
                raise InputError(file=path, got="no file", expected="a PEM file that can be read")


@dataclass(frozen=True, slots=True)
class ClusterExecutor:
    """See `prover.executors.Executor`.

    Args:
        address: of a scheduler; None starts a cluster of processes on this machine, which ends with the run.
        workers: of such a cluster; None means one for each processor this process may run on.
        tls: needed for every address off this machine.
    """

    address: str | None = None
    workers: int | None = None
    tls: TlsFiles | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and (self.workers < 1 or self.address is not None):
            expected = "at least 1" if self.address is None else "no number of workers beside a scheduler's address"
            raise InputError(field="--workers", got=str(self.workers), expected=expected)
        if self.address is not None:
            check_address(self.address, self.tls is not None)
        if self.tls is not None:
            self.tls.require()

    @property
    def processes(self) -> int:
        return 0 if self.address is not None else self.workers or processors()

    def run(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Generator[tuple[Task, Result], None, None]:
        """A task whose worker dies is given to another one, as often as the scheduler allows (ours: up to three)."""
        with self._client() as client:
            yield from _results(client, function, iter(tasks))

    @contextmanager
    def _client(self) -> Iterator[Any]:
        from distributed import Client, LocalCluster
        from distributed.security import Security

        if self.address is not None:
            security = None
            if self.tls is not None:
                security = Security(
                    require_encryption=True,
                    tls_ca_file=str(self.tls.authority),
                    tls_client_cert=str(self.tls.certificate),
                    tls_client_key=str(self.tls.key),
                )
            try:
                client = Client(self.address, security=security)
            except (OSError, ValueError) as error:
                got = str(error).splitlines()[0] or "no answer"
                raise InputError(file=self.address, got=got, expected="a Dask scheduler that can be reached") from None
            with client:
                yield client
            return
        import dask

        # Keys of its own: other users of this machine can reach the loopback interface, too. One task per worker: the
        # scheduler counts a death against all that the worker held.
        settings = {"allowed-failures": DEATHS_MAX - 1, "worker-saturation": 1.0}
        with dask.config.set({f"distributed.scheduler.{name}": value for name, value in settings.items()}):
            with deaf_to_interrupts():
                cluster = LocalCluster(
                    n_workers=self.processes,
                    threads_per_worker=1,
                    processes=True,
                    host=f"tls://{LOOPBACK}",
                    security=Security.temporary(),
                    dashboard_address=None,
                    scheduler_kwargs={"dashboard_address": f"{LOOPBACK}:0"},  # its own default, 8787, may be taken
                    worker_dashboard_address=None,
                    memory_limit=0,
                    silence_logs=logging.CRITICAL,
                    env=single_thread(),
                )
            with cluster, Client(cluster) as client:
                yield client


def check_address(address: str, has_tls: bool) -> None:
    """TLS everywhere but on this machine.

    Raises:
        InputError: another protocol, no host or port, or TLS without files.
    """
    try:
        parts = urlsplit(address)
        host, has_port = parts.hostname or "", parts.port is not None
    except ValueError:
        host, has_port = "", False
    if not host or not has_port or parts.scheme not in ("tls", "tcp"):
        raise InputError(field="--scheduler", got=address, expected="tls://HOST:PORT, or tcp:// on this machine")
    if parts.scheme == "tcp" and not _is_loopback(host):
        raise InputError(field="--scheduler", got=address, expected="tls:// for every machine but this one")
    if (parts.scheme == "tls") != has_tls:
        expected = "a certificate, its key and an authority with tls://, and none of them with tcp://"
        raise InputError(field="--scheduler", got=address, expected=expected)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _results(
    client: Any, function: Callable[[Any], Any], tasks: Iterator[Any]
) -> Generator[tuple[Any, Any], None, None]:
    from distributed import as_completed
    from distributed.scheduler import KilledWorker

    under_way: dict[Any, Any] = {}
    given_up: list[str] = []

    def submit_next() -> list[Any]:
        for task in tasks:
            future = client.submit(_alone, function, task, pure=False)
            under_way[future] = task
            return [future]
        return []

    ahead = AHEAD * max(1, sum(client.nthreads().values()))
    # Results are fetched as they come, so that they do not die with a worker.
    first = [future for _ in range(ahead) for future in submit_next()]
    finished = as_completed(first, with_results=True, raise_errors=False)
    try:
        for future, result in finished:
            task = under_way.pop(future)
            error = future.exception() if future.status == "error" else None
            if error is not None and not isinstance(error, KilledWorker):
                raise error
            finished.update(submit_next())
            if error is None:
                yield task, result
            else:
                given_up.append(task_words(task))
    finally:
        client.cancel(list(under_way), force=True)
    if given_up:
        raise WorkersDied(given_up)


def _alone(function: Callable[[Any], Any], task: Any) -> Any:
    """In a worker: one thread, whatever its environment was when it was started."""
    os.environ.update(single_thread())
    return function(task)
