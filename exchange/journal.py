"""The journal: frames on disk before anybody hears of them, in blocks that are chained by hash.

Kept through SQLAlchemy: SQLite in WAL mode by default, or PostgreSQL by URL. One block is one commit. Tables:
`header` (key, value), `blocks` and `checkpoints` as below. The chain starts with the digest of the venue's definition.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError, OperationalError, SQLAlchemyError

from exchange.engine import Sink
from exchange.errors import JournalBroken, LedgerError
from exchange.state import Ledger
from exchange.statehash import hash_of_bytes, state_bytes
from exchange.venue import Venue, venue_from_json

FORMAT: Final = "solvent/journal/v1"
LINK_PERSON: Final = b"solvent/journal"
READ_BLOCKS: Final = 64
LOG_PAGES: Final = 8_000
"""SQLite copies its log into the file when it is longer than this: 32 MB."""
_LINKED: Final = struct.Struct("<32sQQq")

_METADATA: Final = sa.MetaData()
_HEADER: Final = sa.Table(
    "header",
    _METADATA,
    sa.Column("key", sa.String(32), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
_BLOCKS: Final = sa.Table(
    "blocks",
    _METADATA,
    sa.Column("first_sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("frames", sa.BigInteger, nullable=False),
    sa.Column("time_ms", sa.BigInteger, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("link", sa.LargeBinary, nullable=False),
)
_CHECKPOINTS: Final = sa.Table(
    "checkpoints",
    _METADATA,
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("link", sa.LargeBinary, nullable=False),
    sa.Column("state_hash", sa.LargeBinary, nullable=False),
    sa.Column("state", sa.LargeBinary, nullable=False),
)


_INSERT: Final = _BLOCKS.insert()


class Block(NamedTuple):
    """Frames `first_sequence` to `first_sequence + frames - 1`; `link` covers them and all before."""

    first_sequence: int
    frames: int
    time_ms: int
    payload: bytes
    link: bytes


class Checkpoint(NamedTuple):
    """The whole state after frame `sequence`."""

    sequence: int
    link: bytes
    state_hash: bytes
    state: bytes


def chain(previous: bytes, first_sequence: int, frames: int, time_ms: int, payload: bytes) -> bytes:
    """Link of a block, 32 bytes."""
    digest = hashlib.blake2b(digest_size=32, person=LINK_PERSON)
    digest.update(_LINKED.pack(previous, first_sequence, frames, time_ms))
    digest.update(payload)
    return digest.digest()


class Journal(Sink):
    """An open journal, with one writer.

    Attributes:
        venue: the definition that it was made for.
        sequence: the last frame in it.
        link: of the last block.
        frames_cut: frames of a torn last block, removed when the journal was opened.
    """

    def __init__(self, url: str, venue: Venue | None = None) -> None:
        """Opens the journal at `url` (SQLite or PostgreSQL); with `venue`, makes an empty one.

        Raises:
            JournalBroken: it is not a journal, or its end is damaged in a way that tearing does not explain.
            LedgerError: a journal is to be made where one is; the server cannot be reached, or does not write to disk.
        """
        self.sequence, self.link, self.frames_cut = 0, b"", 0
        self._engine = sa.create_engine(url)
        if self._engine.dialect.name == "sqlite":
            sa.event.listen(self._engine, "connect", _durable)
            file = self._engine.url.database or ""
            if venue is None and not Path(file).is_file():
                raise JournalBroken(f"no journal at {file}")
        self._connection = self._connect()
        try:
            if venue is not None:
                self._create(venue)
            self._open()
        except DatabaseError as error:
            self._engine.dispose()
            if venue is not None:
                raise LedgerError(f"the journal could not be made: {error.orig}") from None
            raise JournalBroken(f"not a journal: {error.orig}") from None
        except LedgerError:
            self.close()
            raise

    def append(self, first_sequence: int, frames: int, time_ms: int, payload: bytes) -> None:
        """Writes one block and returns when it is on disk.

        Raises:
            LedgerError: the frames do not follow the last ones, or the database refused.
        """
        if first_sequence != self.sequence + 1:
            raise LedgerError(f"frame {first_sequence} does not follow {self.sequence}")
        link = chain(self.link, first_sequence, frames, time_ms, payload)
        row = {
            "first_sequence": first_sequence,
            "frames": frames,
            "time_ms": time_ms,
            "size_bytes": len(payload),
            "payload": payload,
            "link": link,
        }
        try:
            with self._connection.begin():
                self._connection.execute(_INSERT, row)
        except SQLAlchemyError as error:
            raise LedgerError(f"the journal could not be written: {type(error).__name__}") from error
        self.sequence += frames
        self.link = link

    def blocks(self, after: int = 0, link: bytes | None = None) -> Iterator[Block]:
        """Blocks with frames later than `after`, each link checked.

        Args:
            after: the last frame of a block, or 0.
            link: of that block; None only with 0.

        Raises:
            JournalBroken: a gap, or a link that is not that of its block.
        """
        previous = self.venue.digest() if link is None else link
        while after < self.sequence:
            query = _BLOCKS.select().where(_BLOCKS.c.first_sequence > after)
            rows = self._rows(query.order_by(_BLOCKS.c.first_sequence).limit(READ_BLOCKS))
            if not rows:
                raise JournalBroken(f"frame {after + 1} is missing")
            for row in rows:
                block = Block(row.first_sequence, row.frames, row.time_ms, bytes(row.payload), bytes(row.link))
                if block.first_sequence != after + 1:
                    raise JournalBroken(f"frame {after + 1} is missing")
                if chain(previous, *block[:4]) != block.link:
                    raise JournalBroken(f"frames from {after + 1}: broken link")
                yield block
                after, previous = after + block.frames, block.link

    def add_checkpoint(self, ledger: Ledger) -> bytes:
        """Stores the state of `ledger`, which has applied exactly this journal, and returns its hash.

        Raises:
            LedgerError: the ledger stands elsewhere, or the database refused: the journal goes on without it.
        """
        if ledger.sequence != self.sequence:
            raise LedgerError(f"a checkpoint of frame {ledger.sequence} in a journal that ends with {self.sequence}")
        state = state_bytes(ledger)
        digest = hash_of_bytes(state)
        row = {"sequence": self.sequence, "link": self.link, "state_hash": digest, "state": state}
        try:
            with self._connection.begin():
                self._connection.execute(_CHECKPOINTS.delete().where(_CHECKPOINTS.c.sequence == self.sequence))
                self._connection.execute(_CHECKPOINTS.insert(), row)
        except SQLAlchemyError as error:
            raise LedgerError(f"the checkpoint could not be written: {type(error).__name__}") from error
        return digest

    def checkpoints(self) -> Iterator[Checkpoint]:
        """Checkpoints, newest first, that stand at the end of a block and carry its link."""
        for (sequence,) in self._rows(sa.select(_CHECKPOINTS.c.sequence).order_by(_CHECKPOINTS.c.sequence.desc())):
            (row,) = self._rows(_CHECKPOINTS.select().where(_CHECKPOINTS.c.sequence == sequence))
            ends = _BLOCKS.select().where(_BLOCKS.c.first_sequence + _BLOCKS.c.frames == sequence + 1)
            if any(bytes(block.link) == bytes(row.link) for block in self._rows(ends)):
                yield Checkpoint(sequence, bytes(row.link), bytes(row.state_hash), bytes(row.state))

    def close(self) -> None:
        """Ends the connection; what is committed stays."""
        self._connection.close()
        self._engine.dispose()

    def _connect(self) -> sa.Connection:
        try:
            connection = self._engine.connect()
        except DatabaseError as error:
            self._engine.dispose()
            if self._engine.dialect.name == "sqlite" and not isinstance(error, OperationalError):
                # Where the first statements are part of it; operational is a disk that is full or fails.
                raise JournalBroken(f"not a journal: {error.orig}") from None
            raise LedgerError(f"the journal's database cannot be reached: {error.orig}") from None
        if self._engine.dialect.name == "postgresql":
            # What a role or the server's file may have turned off: an answer promises that the block is on disk.
            connection.exec_driver_sql("SET synchronous_commit = on")
            connection.commit()
            for setting in ("fsync", "full_page_writes"):
                if connection.exec_driver_sql(f"SHOW {setting}").scalar() != "on":
                    connection.close()
                    self._engine.dispose()
                    raise LedgerError(f"the database does not keep what it confirms: {setting} is off, expected on")
            connection.rollback()
        return connection

    def _create(self, venue: Venue) -> None:
        if sa.inspect(self._connection).has_table("header"):
            raise LedgerError("there is a journal already")
        self._connection.rollback()
        with self._connection.begin():
            _METADATA.create_all(self._connection)
            rows = [{"key": "format", "value": FORMAT}, {"key": "venue", "value": venue.to_json()}]
            self._connection.execute(_HEADER.insert(), rows)

    def _open(self) -> None:
        header = {row.key: row.value for row in self._rows(_HEADER.select())}
        if header.get("format") != FORMAT or "venue" not in header:
            raise JournalBroken(f"format {header.get('format')!r}, expected {FORMAT!r}")
        self.venue = venue_from_json(header["venue"])
        last = self._last()
        if last is not None and len(last.payload) < last.size_bytes:
            with self._connection.begin():
                torn = _BLOCKS.c.first_sequence == last.first_sequence
                self._connection.execute(_BLOCKS.delete().where(torn))
            self.frames_cut = int(last.frames)
            last = self._last()
        self.sequence = 0 if last is None else int(last.first_sequence + last.frames - 1)
        self.link = self.venue.digest() if last is None else bytes(last.link)

    def _last(self) -> Any:
        rows = self._rows(_BLOCKS.select().order_by(_BLOCKS.c.first_sequence.desc()).limit(1))
        return rows[0] if rows else None

    def _rows(self, query: Any) -> list[Any]:
        try:
            rows = list(self._connection.execute(query))
            self._connection.rollback()
        except DatabaseError as error:
            raise JournalBroken(f"unreadable: {error.orig}") from None
        return rows


def journal_url(path: Path) -> str:
    """The URL of a journal in an SQLite file."""
    return f"sqlite:///{path}"


def _durable(connection: Any, _record: Any) -> None:
    """A commit returns when the write-ahead log is on disk."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute(f"PRAGMA wal_autocheckpoint={LOG_PAGES}")
    cursor.close()
