"""A PostgreSQL server of the tests' own: a fresh cluster behind a socket in a temporary folder."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from glob import glob
from pathlib import Path


def missing() -> str | None:
    """Why there can be no server here; None where there can."""
    if _binary("initdb") is None or _binary("pg_ctl") is None:
        return "no PostgreSQL server is installed"
    if os.geteuid() == 0 and shutil.which("runuser") is None:
        return "PostgreSQL does not run as root, and there is no runuser"
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "no driver: pip install psycopg"
    return None


@contextmanager
def cluster() -> Iterator[str]:
    """The URL of an empty database while the server runs."""
    folder = Path(tempfile.mkdtemp(prefix="solvent-pg-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        data, log = folder / "data", folder / "log"
        _run("initdb", "-D", str(data), "-A", "trust", "-U", "solvent", "--no-sync", "-E", "UTF8")
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c max_connections=40"
        _run("pg_ctl", "-D", str(data), "-l", str(log), "-o", options, "-w", "start")
        try:
            yield f"postgresql+psycopg://solvent@/postgres?host={folder}"
        finally:
            _run("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(name: str, *arguments: str) -> None:
    command = [_binary(name) or name, *arguments]
    if os.geteuid() == 0:
        command = ["runuser", "-u", "postgres", "--", *command]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd="/", check=False)
    assert done.returncode == 0, f"{name} as {getpass.getuser()}: {done.stderr}"


def _binary(name: str) -> str | None:
    found = shutil.which(name)
    return found or max(glob(f"/usr/lib/postgresql/*/bin/{name}"), default=None)
