"""Databases of the service: SQLite in WAL mode or PostgreSQL, through SQLAlchemy, with numbered migrations.

A transaction on SQLite begins by taking the write lock, and a commit returns when it is on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError

from prover.errors import InputError

Migration = Callable[[sa.Connection], None]
"""Takes the schema from one version to the next, in one transaction."""

_VERSIONS: Final = sa.Table(
    "schema_version",
    sa.MetaData(),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
)


def database_url(place: str) -> str:
    """SQLAlchemy's URL of a database that is named by a URL, or by an SQLite file."""
    return place if "://" in place else f"sqlite:///{Path(place).absolute()}"


class Database:
    """One database, whose schema is at its newest version.

    Args:
        url: SQLAlchemy's.
        migrations: version i + 1 is reached by the first i + 1 of them.
        create: whether an empty database is made; otherwise there has to be one.
    """

    def __init__(self, url: str, migrations: Sequence[Migration], create: bool) -> None:
        try:
            self.engine = sa.create_engine(url)
        except (ArgumentError, ModuleNotFoundError) as error:
            raise InputError(got=str(error), expected="the URL of an SQLite or PostgreSQL database") from None
        self.place = self.engine.url.render_as_string(hide_password=True)
        self._is_sqlite = self.engine.dialect.name == "sqlite"
        if self._is_sqlite:
            self.place = self.engine.url.database or self.place
            if not create and not Path(self.place).is_file():
                raise InputError(file=self.place, got="no such file", expected="a database of this service")
            sa.event.listen(self.engine, "connect", _durable)
            sa.event.listen(self.engine, "begin", _immediate)
        try:
            self._migrate(migrations, create)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """All of it or nothing.

        Raises:
            InputError: the database cannot be read or written: gone, read-only, full, locked for too long.
        """
        try:
            with self.engine.begin() as connection:
                yield connection
        except sa.exc.IntegrityError:
            raise
        except DBAPIError as error:
            raise self.failed(error.orig) from error

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection that changes nothing and waits for nobody. Raises as `transaction`."""
        options = {"solvent_reads": True}
        try:
            with self.engine.connect().execution_options(**options) as connection:
                yield connection
        except DBAPIError as error:
            raise self.failed(error.orig) from error

    def lookup(self, query: sa.Select[Any]) -> Lookup:
        """One query, to be run for each of many requests."""
        return Lookup(self, query)

    def failed(self, error: BaseException | None) -> InputError:
        """What a driver's error is to a user."""
        what = str(error).strip().splitlines()[0]
        return InputError(file=self.place, got=what, expected="a database that works")

    def close(self) -> None:
        """Ends all connections; what is committed stays."""
        self.engine.dispose()

    def _migrate(self, migrations: Sequence[Migration], create: bool) -> None:
        with self.reading() as connection:
            has_schema = sa.inspect(connection).has_table(_VERSIONS.name)
            version = _version(connection) if has_schema else 0
        if create == has_schema:
            got = "one that is in use" if create else "one without our tables"
            raise InputError(file=self.place, got=got, expected="an empty database" if create else "ours")
        if version > len(migrations):
            expected = f"version {len(migrations)} or older: this program is too old for it"
            raise InputError(file=self.place, got=f"a database of version {version}", expected=expected)
        if version == len(migrations):
            return
        with self.transaction() as connection:
            _VERSIONS.create(connection, checkfirst=True)
            version = _version(connection)  # somebody else may have been faster
            for number, migration in enumerate(migrations[version:], start=version + 1):
                migration(connection)
                connection.execute(_VERSIONS.insert(), {"version": number})


class Lookup:
    """A query with one value in its answer, as text that is compiled once, on a connection of its own.

    Through `Database.reading` half of a request's time would go into taking a connection, a transaction and the
    statement apart again. The connection commits by itself, so each answer is what is committed by then.
    """

    def __init__(self, database: Database, query: sa.Select[Any]) -> None:
        compiled = query.compile(dialect=database.engine.dialect)
        self._database, self._text, self._names = database, str(compiled), compiled.positiontup
        self._lock = Lock()
        self._connection: sa.Connection | None = None

    def __call__(self, **values: Any) -> Any:
        """The first column of the first row, None where there is no row. Raises InputError: the database fails."""
        given = values if self._names is None else tuple(values[name] for name in self._names)
        with self._lock:
            try:
                cursor = self._cursor()
                try:
                    cursor.execute(self._text, given)
                    row = cursor.fetchone()
                finally:
                    cursor.close()
            except self._database.engine.dialect.loaded_dbapi.Error as error:
                self.close()  # the next one begins with a new connection
                raise self._database.failed(error) from error
        return None if row is None else row[0]

    def _cursor(self) -> Any:
        if self._connection is None:
            self._connection = self._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        return self._connection.connection.cursor()

    def close(self) -> None:
        """Gives the connection back."""
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None


def _version(connection: sa.Connection) -> int:
    newest = sa.select(sa.func.coalesce(sa.func.max(_VERSIONS.c.version), 0))
    return int(connection.execute(newest).scalar_one())


def tables(*made: sa.Table) -> Migration:
    """The migration that makes these tables."""

    def migrate(connection: sa.Connection) -> None:
        for table in made:
            table.create(connection)

    return migrate


def _durable(connection: Any, _record: Any) -> None:
    """A commit returns when the write-ahead log is on disk; we begin transactions ourselves."""
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _immediate(connection: sa.Connection) -> None:
    reads = connection.get_execution_options().get("solvent_reads", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
