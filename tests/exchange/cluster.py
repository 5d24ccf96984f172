"""A private PostgreSQL server in a temporary folder, reached over a Unix socket; nothing of the machine is used."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

import psycopg

SOCKET_PATH_MAX: Final = 90
START_SECONDS_MAX: Final = 60.0


def binaries() -> Path | None:
    """The newest folder with `initdb` and `postgres`, or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    on_path = shutil.which("postgres")
    candidates = [*found, *([Path(on_path).parent] if on_path else [])]
    return next((path for path in candidates if (path / "initdb").exists() and (path / "postgres").exists()), None)


def reason_to_skip() -> str | None:
    """Why there can be no server here; None if there can."""
    if binaries() is None:
        return "PostgreSQL's server programs are not installed"
    if os.geteuid() == 0 and _user() is None:
        return "root may not run PostgreSQL, and there is no user postgres"
    return None


def _user() -> int | None:
    """Who runs the server: the present user, or postgres instead of root."""
    if os.geteuid() != 0:
        return os.geteuid()
    try:
        return pwd.getpwnam("postgres").pw_uid
    except KeyError:
        return None


class Cluster:
    """A server that can be killed and started again on the same data."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="solvent-pg-"))
        if len(str(self.folder)) > SOCKET_PATH_MAX:
            raise RuntimeError(f"{self.folder}: too long for the path of a Unix socket")
        self._user = _user() if os.geteuid() == 0 else None
        if self._user is not None:
            os.chown(self.folder, self._user, -1)
        programs = binaries()
        assert programs is not None
        self._programs = programs
        self._server: subprocess.Popen[bytes] | None = None
        self._schemas = 0
        arguments = ["-D", self._data, "-A", "trust", "-U", "solvent", "-E", "UTF8", "--no-locale", "--no-sync"]
        done = subprocess.run(
            [programs / "initdb", *arguments], capture_output=True, text=True, check=False, user=self._user, cwd="/"
        )
        assert done.returncode == 0, done.stderr
        self.start()

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def start(self) -> None:
        """Starts the server and waits until it answers: after a kill that includes its own recovery."""
        options = ["-D", self._data, "-k", str(self.folder), "-c", "listen_addresses="]
        small = ["-c", "shared_buffers=8MB", "-c", "max_connections=20", "-c", "logging_collector=off"]
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [self._programs / "postgres", *options, *small], stdout=log, stderr=log, user=self._user, cwd="/"
            )
        end = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                self.execute("public", "select 1")
                return
            except psycopg.OperationalError:
                assert time.monotonic() < end and self._server.poll() is None, (self.folder / "log").read_text()
                time.sleep(0.05)

    def kill(self) -> None:
        """kill -9 of every process of the server, as if the machine had lost power but for the disk's own cache."""
        assert self._server is not None
        pid = self._server.pid
        children = subprocess.run(["ps", "--ppid", str(pid), "-o", "pid="], capture_output=True, text=True, check=False)
        for each in (pid, *map(int, children.stdout.split())):
            try:
                os.kill(each, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._server.wait()
        self._server = None

    def stop(self) -> None:
        """Ends the server and removes its folder."""
        if self._server is not None:
            self._server.send_signal(signal.SIGQUIT)
            self._server.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def new_schema(self) -> str:
        """Name of an empty schema: a journal of its own, without the thousand files of a new database."""
        self._schemas += 1
        name = f"journal{self._schemas}"
        self.execute("public", f"create schema {name}")
        return name

    def url(self, schema: str) -> str:
        """For SQLAlchemy."""
        return f"postgresql+psycopg://solvent@/postgres?host={self.folder}&options=-csearch_path%3D{schema}"

    def execute(self, schema: str, statement: str) -> list[tuple[object, ...]]:
        """Runs a statement by another way than the journal's own."""
        where = f"host={self.folder} user=solvent dbname=postgres options=-csearch_path={schema}"
        with psycopg.connect(where, autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []
