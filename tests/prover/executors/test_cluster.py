"""Dask: the same results, one worker's death costs one task, and nothing in the clear off this machine."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

import pytest

from prover.errors import InputError
from prover.executors import WorkersDied
from prover.executors.cluster import ClusterExecutor, TlsFiles, check_address
from prover.executors.local import LocalExecutor
from tests.prover.executors.test_local import act

pytest.importorskip("distributed", reason="the extra [cluster] is not installed")


def test_the_same_results_as_processes_of_our_own(tmp_path: Path) -> None:
    tasks = [("die once" if n == 2 else "die" if n == 5 else "count", n, tmp_path) for n in range(9)]
    found: dict[int, int] = {}
    with pytest.raises(WorkersDied, match=r"\('die', 5, "):
        found.update((task[1], result) for task, result in ClusterExecutor(workers=2).run(act, tasks))
    assert found == {n: -n for n in range(9) if n != 5}
    assert (tmp_path / "5").stat().st_size == 3
    (tmp_path / "again").mkdir()
    again = [("count", n, tmp_path / "again") for n in range(9) if n != 5]
    assert found == {task[1]: result for task, result in LocalExecutor(2).run(act, again)}


def test_two_clusters_on_one_machine(tmp_path: Path) -> None:
    with socket.socket() as taken:
        with suppress(OSError):  # another process has it already
            taken.bind(("127.0.0.1", 8787))
            taken.listen()
        assert list(ClusterExecutor(workers=1).run(act, [("square", 3, tmp_path)])) == [(("square", 3, tmp_path), 9)]


def test_a_scheduler_over_tls(tmp_path: Path) -> None:
    from distributed import LocalCluster
    from distributed.security import Security

    security = Security.temporary()
    files = TlsFiles(tmp_path / "ca.pem", tmp_path / "cert.pem", tmp_path / "key.pem")
    given = security.tls_ca_file, security.tls_client_cert, security.tls_client_key
    for path, pem in zip((files.authority, files.certificate, files.key), given, strict=True):
        path.write_text(pem)
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, host="tls://127.0.0.1", security=security,
        dashboard_address=None, scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
        worker_dashboard_address=None, memory_limit=0,
    ) as cluster:  # fmt: skip
        executor = ClusterExecutor(cluster.scheduler_address, tls=files)
        found = {task[1]: result for task, result in executor.run(act, [("square", n, tmp_path) for n in range(5)])}
        assert found == {n: n * n for n in range(5)}
        ((_, seen),) = executor.run(act, [("environment", 0, tmp_path)])
        assert seen["SOLVENT_THREADS"] == "1"
        with pytest.raises(ValueError, match="no 5"):
            list(executor.run(act, [("wrong", 5, tmp_path)]))


def test_addresses_that_are_safe() -> None:
    for address in ("tcp://127.0.0.1:8786", "tcp://localhost:1", "tcp://[::1]:8786", "tcp://127.9.9.9:1"):
        check_address(address, has_tls=False)
    for address in ("tls://10.0.0.5:8786", "tls://scheduler.example:8786", "tls://127.0.0.1:1"):
        check_address(address, has_tls=True)


@pytest.mark.negative
@pytest.mark.parametrize(
    ("address", "has_tls", "expected"),
    [
        ("tcp://10.0.0.5:8786", False, "tls:// for every machine but this one"),
        ("tcp://10.0.0.5:8786", True, "tls:// for every machine but this one"),
        ("tcp://scheduler.example:8786", False, "tls:// for every machine but this one"),
        ("tcp://localhost.example:8786", False, "tls:// for every machine but this one"),
        ("tcp://0.0.0.0:8786", False, "tls:// for every machine but this one"),
        ("tls://10.0.0.5:8786", False, "a certificate, its key and an authority with tls://"),
        ("tcp://127.0.0.1:8786", True, "none of them with tcp://"),
        ("10.0.0.5:8786", False, "tls://HOST:PORT"),
        ("ws://127.0.0.1:8786", False, "tls://HOST:PORT"),
        ("ucx://127.0.0.1:8786", False, "tls://HOST:PORT"),
        ("tcp://127.0.0.1", False, "tls://HOST:PORT"),
        ("tcp://127.0.0.1:x", False, "tls://HOST:PORT"),
        ("", False, "tls://HOST:PORT"),
    ],
)
def test_addresses_that_are_refused(address: str, has_tls: bool, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        check_address(address, has_tls)
    assert str(caught.value).startswith("--scheduler: got ")
    assert expected in str(caught.value)


@pytest.mark.negative
def test_what_cannot_begin_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--scheduler"):
        ClusterExecutor("tcp://10.0.0.5:8786")
    with pytest.raises(InputError, match=r"a\.pem: got no file, expected a PEM file"):
        ClusterExecutor("tls://10.0.0.5:8786", tls=TlsFiles(*(tmp_path / f"{name}.pem" for name in "abc")))
    with pytest.raises(InputError, match="--workers"):
        ClusterExecutor(workers=0)
    with pytest.raises(InputError, match="no number of workers beside a scheduler's address"):
        ClusterExecutor("tcp://127.0.0.1:1", workers=3)
