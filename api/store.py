"""The publisher's store: what was published, which checkpoints were signed, who cosigned them, and the files.

A folder with `artefacts/` (files by their SHA-256), `log/` (checkpoint and tiles, as they are served) and a database,
which is SQLite in that folder unless a URL says otherwise. An entry is in the log when its row is committed, and not
before; everything else follows from the rows and can be made again. So whatever is interrupted, one index never has two
entries, one size never two roots, and the next run finishes what the last one began.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from api.database import Database, database_url, tables
from prover.errors import InputError
from prover.files import Step, adopt, make_folder, no_step
from verifier.errors import InvariantBroken
from verifier.files import read_file
from verifier.log.checkpoint import Checkpoint, parse_checkpoint, with_signatures
from verifier.log.note import NOTE_BYTES_MAX, VerifierKey
from verifier.log.tiles import CHECKPOINT_FILE
from verifier.manifest import LOG_PROOF_FILE, MANIFEST_FILE, Entry, digest_file, parse_entry, walk

DATABASE_FILE, ARTEFACTS, LOG, STAGING, LOCK_FILE = "store.db", "artefacts", "log", "staging", "lock"

_METADATA: Final = sa.MetaData()
_SETTINGS: Final = sa.Table(
    "settings",
    _METADATA,
    sa.Column("key", sa.String(32), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
_PUBLICATIONS: Final = sa.Table(
    "publications",
    _METADATA,
    sa.Column("log_index", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("sequence", sa.BigInteger, nullable=False, unique=True),
    sa.Column("entry", sa.LargeBinary, nullable=False),
)
_CHECKPOINTS: Final = sa.Table(
    "checkpoints",
    _METADATA,
    sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("note", sa.LargeBinary, nullable=False),
)
_COSIGNATURES: Final = sa.Table(
    "cosignatures",
    _METADATA,
    sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("witness", sa.String(512), primary_key=True),
    sa.Column("line", sa.Text, nullable=False),
)
MIGRATIONS: Final = (tables(_SETTINGS, _PUBLICATIONS, _CHECKPOINTS), tables(_COSIGNATURES))


@dataclass(frozen=True)
class Logged:
    """An entry, also as bytes, and where it stands in the log."""

    index: int
    entry: Entry
    data: bytes


class Store:
    """An open store.

    Attributes:
        files: the folder.
        origin: of the log.
        vkey: the log's public key.
        step: called at each write, for tests.
    """

    def __init__(self, place: str, step: Step = no_step) -> None:
        """Opens the store at a folder or database URL. Raises InputError: there is none."""
        self.step = step
        self._database = Database(_url(place), MIGRATIONS, create=False)
        with self._database.reading() as connection:
            rows = connection.execute(_SETTINGS.select())
            settings: dict[str, str] = {row.key: row.value for row in rows}
        # A folder may have been moved; with a database elsewhere it stays where it was made.
        self.files = Path(place) if "://" not in place else Path(settings["files"])
        self.origin, self.vkey = settings["origin"], settings["vkey"]

    @classmethod
    def create(cls, place: str, key: VerifierKey, files: Path | None = None) -> Store:
        """Make an empty store.

        Args:
            place: a folder, or a database URL.
            key: of the log, whose origin is the key's name.
            files: the folder, where `place` is a URL.

        Raises:
            InputError: there is something already.
        """
        if ("://" in place) != (files is not None):
            raise InputError(field="--files", expected="a folder for the files where --store is a database URL")
        folder = (Path(place) if files is None else files).absolute()
        if folder.exists() and any(folder.iterdir()):
            raise InputError(file=folder, got="something that exists", expected="a new or empty folder")
        for part in (ARTEFACTS, LOG, STAGING):
            make_folder(folder / part)
        database = Database(_url(place), MIGRATIONS, create=True)
        rows = {"origin": key.name, "vkey": key.vkey, "files": str(folder)}
        with database.transaction() as connection:
            connection.execute(_SETTINGS.insert(), [{"key": k, "value": v} for k, v in rows.items()])
        database.close()
        return cls(place)

    def close(self) -> None:
        """Ends the connections; what is committed stays."""
        self._database.close()

    @contextmanager
    def publishing(self) -> Iterator[None]:
        """One publisher at a time. Raises InputError: another one is at work."""
        with (self.files / LOCK_FILE).open("wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                message = "one publisher at a time: another one is at work"
                raise InputError(file=self.files, got="a store in use", expected=message) from None
            self._clear_staging()  # of a run that was stopped
            try:
                yield
            finally:
                self._clear_staging()

    # entries

    @property
    def size(self) -> int:
        """Number of entries in the log."""
        with self._database.reading() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(_PUBLICATIONS)).scalar_one())

    def entries(self, first: int, end: int) -> list[Logged]:
        """Entries `first` to `end - 1`, in order."""
        return self._logged(_between(first, end))

    def entry_bytes(self, first: int, end: int) -> list[bytes]:
        """The same as they are in the log."""
        with self._database.reading() as connection:
            return [bytes(row.entry) for row in connection.execute(_between(first, end))]

    def find(self, sequence: int) -> Logged | None:
        """The publication with this sequence number."""
        found = self._logged(_PUBLICATIONS.select().where(_PUBLICATIONS.c.sequence == sequence))
        return found[0] if found else None

    def last(self) -> Logged | None:
        """The newest publication."""
        found = self._logged(_PUBLICATIONS.select().order_by(_PUBLICATIONS.c.log_index.desc()).limit(1))
        return found[0] if found else None

    def append(self, index: int, entry: Entry) -> None:
        """Put an entry into the log; on return it stays there for ever.

        Raises:
            InputError: another publisher was faster; nothing is changed.
        """
        row = {"log_index": index, "sequence": entry.sequence, "entry": entry.to_bytes()}
        self.step("entry: before commit")
        try:
            with self._database.transaction() as connection:
                connection.execute(_PUBLICATIONS.insert(), row)
                self.step("entry: in transaction")
        except IntegrityError:
            expected = f"to publish sequence {entry.sequence} as entry {index}"
            raise InputError(file=self._database.place, got="another publisher's entry", expected=expected) from None
        self.step("entry: committed")

    # checkpoints

    def signed(self) -> bytes | None:
        """The newest checkpoint under the log's signature alone; None before the first."""
        with self._database.reading() as connection:
            query = _CHECKPOINTS.select().order_by(_CHECKPOINTS.c.size.desc()).limit(1)
            row = connection.execute(query).first()
        return None if row is None else bytes(row.note)

    def record(self, size: int, note: bytes) -> None:
        """Keep a signed checkpoint, before anybody else sees it.

        Raises:
            InvariantBroken: another one of this size was signed.
        """
        self.step("checkpoint: before commit")
        with self._database.transaction() as connection:
            row = connection.execute(_CHECKPOINTS.select().where(_CHECKPOINTS.c.size == size)).first()
            if row is not None and bytes(row.note) != note:
                raise InvariantBroken(f"another checkpoint of size {size} was signed before")
            if row is None:
                connection.execute(_CHECKPOINTS.insert(), {"size": size, "note": note})
        self.step("checkpoint: committed")

    def cosignatures(self, size: int) -> dict[str, str]:
        """Signature lines of a checkpoint by the witness's vkey."""
        with self._database.reading() as connection:
            rows = connection.execute(_COSIGNATURES.select().where(_COSIGNATURES.c.size == size))
            return {row.witness: row.line for row in rows}

    def cosigned_size(self, witness: str) -> int:
        """The largest size that a witness, by its vkey, cosigned for us; 0 if none."""
        query = sa.select(sa.func.max(_COSIGNATURES.c.size)).where(_COSIGNATURES.c.witness == witness)
        with self._database.reading() as connection:
            return int(connection.execute(query).scalar_one() or 0)

    def add_cosignature(self, size: int, witness: str, line: str) -> None:
        """Keep a witness's newest line."""
        where = (_COSIGNATURES.c.size == size) & (_COSIGNATURES.c.witness == witness)
        self.step("cosignature: before commit")
        with self._database.transaction() as connection:
            connection.execute(_COSIGNATURES.delete().where(where))
            connection.execute(_COSIGNATURES.insert(), {"size": size, "witness": witness, "line": line})
        self.step("cosignature: committed")

    def cosigned(self) -> bytes | None:
        """The newest checkpoint with all signatures there are."""
        note = self.signed()
        if note is None:
            return None
        checkpoint, parsed = parse_checkpoint(note)
        lines = self.cosignatures(checkpoint.size)
        return with_signatures(parsed, [lines[witness] for witness in sorted(lines)])

    def shown(self) -> Checkpoint | None:
        """The checkpoint that readers get; None before the first."""
        path = self.log / CHECKPOINT_FILE
        return parse_checkpoint(read_file(path, NOTE_BYTES_MAX))[0] if path.exists() else None

    def require_newest(self) -> None:
        """The database has to know what was shown: one that was put back from a copy would sign a second history.

        Raises:
            InvariantBroken: it does not.
        """
        shown = self.shown()
        if shown is None:
            return
        with self._database.reading() as connection:
            row = connection.execute(_CHECKPOINTS.select().where(_CHECKPOINTS.c.size == shown.size)).first()
        if row is None or parse_checkpoint(bytes(row.note))[0] != shown:
            raise InvariantBroken(f"readers were shown {shown.size} entries that this database does not know")

    # files

    @property
    def log(self) -> Path:
        """The folder of checkpoint and tiles."""
        return self.files / LOG

    def artefact(self, sha256: bytes) -> Path:
        """Where the file with this digest is, if it is there."""
        name = sha256.hex()
        return self.files / ARTEFACTS / name[:2] / name

    def stage(self, directory: Path) -> Path:
        """A copy of a publication, to be verified and then published, whatever happens to the original meanwhile."""
        folder = Path(tempfile.mkdtemp(dir=self.files / STAGING))
        for name in walk(directory):
            if name not in (MANIFEST_FILE, LOG_PROOF_FILE):
                source = directory / name
                if source.is_symlink():
                    raise InputError(file=source, got="a link", expected="a file")
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, folder / name)
        self.step("staged")
        return folder

    def keep(self, folder: Path, names: Sequence[str]) -> None:
        """Move staged files to where their digests say; on return they are on disk."""
        for name in names:
            path = self.artefact(digest_file(folder, name).sha256)
            if not path.exists():
                adopt(folder / name, path, self.step)

    def manifest_bytes(self, sha256: bytes) -> bytes:
        """The manifest.json with this digest. Raises InvariantBroken: it is damaged."""
        data = self.artefact(sha256).read_bytes()
        if hashlib.sha256(data).digest() != sha256:
            raise InvariantBroken(f"{self.artefact(sha256)}: damaged")
        return data

    def _clear_staging(self) -> None:
        for left in (self.files / STAGING).iterdir():
            shutil.rmtree(left)

    def _logged(self, query: sa.Select[Any]) -> list[Logged]:
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        return [Logged(int(row.log_index), parse_entry(bytes(row.entry)), bytes(row.entry)) for row in rows]


def _between(first: int, end: int) -> sa.Select[Any]:
    index = _PUBLICATIONS.c.log_index
    return sa.select(_PUBLICATIONS).where(index >= first, index < end).order_by(index)


def _url(place: str) -> str:
    return database_url(place if "://" in place else str(Path(place) / DATABASE_FILE))
