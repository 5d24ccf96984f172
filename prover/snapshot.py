"""A snapshot: who holds what at one moment, ready to be proved.

A directory with `snapshot.json` and `accounts.arrow`; layout in docs/formats.md. It holds every balance in
the clear, so it is made readable for its owner only.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from prover.errors import InputError
from prover.files import sync
from prover.positions import account_blocks, find_overflow, first_positions
from prover.snapshot_meta import ZERO_DIGEST, SnapshotMeta
from verifier.canonical import dumps
from verifier.instruments import instruments_data
from verifier.legs import AMOUNT_CAP
from verifier.tree import ENTRIES_MAX, VALUE_BITS

USER_ID_BYTES_MAX: Final = 128
USER_ID_EXPECTED: Final = f"1 to {USER_ID_BYTES_MAX} bytes of printable text without blanks around it"
LEDGER_STATE_DOMAIN: Final = b"solvent/ledger-state/v1"

META_FILE: Final = "snapshot.json"
ACCOUNTS_FILE: Final = "accounts.arrow"
BATCH_ACCOUNTS: Final = 1 << 16
SCHEMA: Final = pa.schema(
    [
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("nonce", pa.binary(32)),
        pa.field("line", pa.uint32(), nullable=False),
        pa.field("positions", pa.list_(pa.field("item", pa.uint16(), nullable=False)), nullable=False),
        pa.field("amounts", pa.list_(pa.field("item", pa.uint64(), nullable=False)), nullable=False),
    ]
)

_PLAIN_USER_ID = rf"^[!-~]([ -~]{{0,{USER_ID_BYTES_MAX - 2}}}[!-~])?$"

Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`n` accounts with `m` entries; entries of account i are at `offsets[i]:offsets[i + 1]`.

    Attributes:
        user_ids: string, n, unique.
        nonces: uint8 (n, 32), the client's nonce, zeros where `has_nonce` (n,) is False.
        lines: uint32 (n,), where the account stood in its source file.
        offsets: int64 (n + 1,), from 0 to m.
        positions: uint16 (m,), total ids: per instrument its buckets (or one long side), then its short side;
            strictly increasing within an account.
        amounts: uint64 (m,), atoms, 1 to 2^63 - 1.
    """

    meta: SnapshotMeta
    user_ids: pa.ChunkedArray
    nonces: Bytes
    has_nonce: Flags
    lines: npt.NDArray[np.uint32]
    offsets: Int64
    positions: npt.NDArray[np.uint16]
    amounts: npt.NDArray[np.uint64]

    def user_id(self, index: int) -> str:
        """The name of account `index`."""
        return str(self.user_ids[index].as_py())

    def find(self, user_id: str) -> int:
        """Index of the account of `user_id`.

        Raises:
            InputError: nobody has this id.
        """
        index = int(pc.index(self.user_ids, pa.scalar(user_id, pa.string())).as_py()) if is_user_id(user_id) else -1
        if index < 0:
            raise InputError(field="--account", got=user_id, expected="the id of an account in the snapshot")
        return index

    def total_amounts(self) -> list[int]:
        """Per position id, the atoms of all accounts together, exact."""
        sums = np.zeros((2, int(first_positions(self.meta.instruments)[-1])), np.uint64)
        for half, shift in enumerate((0, 32)):  # 2^32 entries of 32 bits each fit in 64
            np.add.at(sums[half], self.positions, (self.amounts >> np.uint64(shift)) & np.uint64(0xFFFFFFFF))
        return [low + (high << 32) for low, high in zip(*sums.tolist(), strict=True)]

    def totals(self) -> list[tuple[int, int]]:
        """Per instrument: atoms held and atoms owed by all accounts together, exact."""
        amounts, first = self.total_amounts(), first_positions(self.meta.instruments).tolist()
        return [(sum(amounts[start : stop - 1]), amounts[stop - 1]) for start, stop in pairwise(first)]

    def ledger_state(self, salt: str) -> str:
        """SHA-256 of the salted logical content; byte order and layout in docs/formats.md.

        The digest is published. Without 32 secret random bytes in front, whoever knows all accounts but one
        could test guesses for the last.
        """
        digest = hashlib.sha256(LEDGER_STATE_DOMAIN + bytes.fromhex(salt))
        digest.update(np.array([len(self.lines), len(self.positions), len(self.meta.instruments)], "<u8").tobytes())
        for record in instruments_data(self.meta.instruments):
            data = dumps({key: value for key, value in record.items() if key != "price"})
            digest.update(len(data).to_bytes(4, "little") + data)
        for lengths, _ in _utf8(self.user_ids):
            digest.update(lengths.astype("<u4").tobytes())
        for _, text in _utf8(self.user_ids):
            digest.update(text)
        digest.update(self.has_nonce.astype("u1").tobytes())
        digest.update(np.ascontiguousarray(self.nonces).data)
        digest.update(np.diff(self.offsets).astype("<u2").data)
        for array, kind in ((self.positions, "<u2"), (self.amounts, "<u8")):
            digest.update(np.ascontiguousarray(array, kind).data)
        return digest.hexdigest()

    def check(self, file: str) -> None:
        """Structure and ranges, vectorised.

        Raises:
            InputError: naming `file`, and as row the number of the account (first = 1).
        """
        counts = np.diff(self.offsets)
        if not len(counts):
            raise InputError(file=file, got="no accounts", expected="at least one")
        _require(counts <= ENTRIES_MAX, file, "positions", f"at most {ENTRIES_MAX} entries in an account")
        for start, stop in account_blocks(self.offsets):
            self._check_entries(file, start, stop)
        bad = first_bad_user_id(self.user_ids)
        if bad is not None:
            got = self.user_id(bad)
            raise InputError(file=file, row=bad + 1, field="user_id", got=got, expected=USER_ID_EXPECTED)
        if pc.count_distinct(self.user_ids).as_py() != len(counts):
            raise InputError(file=file, field="user_id", expected="every id once")
        overflow = find_overflow(
            self.offsets, self.positions, self.amounts, self.meta.instruments, self.meta.value_decimals
        )
        if overflow is not None:
            index, what = overflow
            raise InputError(file=file, row=None if index is None else index + 1, got=what, expected=OVERFLOW_EXPECTED)

    def _check_entries(self, file: str, start: int, stop: int) -> None:
        """Entries of accounts start .. stop - 1: ranges, and positions that rise."""
        first, last = int(self.offsets[start]), int(self.offsets[stop])
        positions, amounts = self.positions[first:last], self.amounts[first:last]
        account_of_entry = np.repeat(np.arange(start, stop), np.diff(self.offsets[start : stop + 1]))
        rising = np.ones(len(positions), bool)
        rising[1:] = (positions[1:] > positions[:-1]) | (account_of_entry[1:] != account_of_entry[:-1])
        rules = (
            (positions < first_positions(self.meta.instruments)[-1], "positions", "positions of the instrument table"),
            (rising, "positions", "strictly increasing positions within an account"),
            ((amounts >= 1) & (amounts <= AMOUNT_CAP), "amounts", "amounts of 1 to 2^63 - 1 atoms"),
        )
        for good, field, expected in rules:
            if not good.all():
                row = int(account_of_entry[np.argmin(good)]) + 1
                raise InputError(file=file, row=row, field=field, expected=expected)

    def take(self, indices: Int64) -> Snapshot:
        """Some of the accounts, in this order; the ledger state stays that of the whole.

        Args:
            indices: (k,) numbers of accounts.
        """
        counts = self.offsets[indices + 1] - self.offsets[indices]
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
        held = np.repeat(self.offsets[indices] - offsets[:-1], counts) + np.arange(offsets[-1])
        return Snapshot(
            meta=replace(self.meta, accounts=len(indices), entries=int(offsets[-1])),
            user_ids=self.user_ids.take(pa.array(indices)),
            nonces=self.nonces[indices],
            has_nonce=self.has_nonce[indices],
            lines=self.lines[indices],
            offsets=offsets,
            positions=self.positions[held],
            amounts=self.amounts[held],
        )

    @classmethod
    def load(cls, path: Path) -> Snapshot:
        """Reads and checks a snapshot directory, the accounts through a memory map.

        Raises:
            InputError: no such snapshot, or anything in it that `write` would not have written.
        """
        meta_path, accounts_path = path / META_FILE, path / ACCOUNTS_FILE
        for part in (meta_path, accounts_path):
            if not part.is_file():
                raise InputError(file=path, got="no " + part.name, expected="a snapshot directory")
        meta = SnapshotMeta.from_bytes(meta_path.read_bytes(), str(meta_path))
        file = str(accounts_path)
        snapshot = read_accounts(meta, accounts_path)
        found = (len(snapshot.lines), len(snapshot.positions))
        if found != (meta.accounts, meta.entries):
            expected = f"{meta.accounts} accounts with {meta.entries} entries"
            raise InputError(file=file, got=f"{found[0]} accounts with {found[1]} entries", expected=expected)
        snapshot.check(file)
        if meta.ledger_salt != ZERO_DIGEST and snapshot.ledger_state(meta.ledger_salt) != meta.ledger_state:
            raise InputError(file=file, got="other content", expected=f"the ledger state in {META_FILE}")
        return snapshot

    def write(self, path: Path, *, overwrite: bool = False) -> None:
        """Writes the directory under another name and renames it: it exists whole, or not at all.

        Args:
            path: must not exist; with `overwrite` it may be an older snapshot (and nothing else).

        Raises:
            InputError: `path` is taken, or cannot be written.
        """
        replaces = path.exists() or path.is_symlink()
        if replaces and not (overwrite and _is_snapshot(path)):
            raise InputError(file=path, got="something that exists", expected=TAKEN_EXPECTED)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            work = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))  # mode 700
            try:
                new = work / "new"
                new.mkdir(mode=0o700)
                self.write_accounts(new / ACCOUNTS_FILE)
                (new / META_FILE).write_bytes(self.meta.to_bytes())
                for part in (new / ACCOUNTS_FILE, new / META_FILE, new):
                    sync(part)
                if replaces:
                    path.rename(work / "old")
                new.rename(path)
                sync(path.parent)
            finally:
                shutil.rmtree(work, ignore_errors=True)
        except OSError as error:
            raise InputError(file=path, got=_first_line(error), expected="a directory that can be written") from None

    def write_accounts(self, path: Path) -> None:
        """The accounts alone, as an Arrow IPC file."""
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
            for start in range(0, len(self.lines), BATCH_ACCOUNTS):
                writer.write_batch(self._batch(start, min(start + BATCH_ACCOUNTS, len(self.lines))))

    def _batch(self, start: int, stop: int) -> pa.RecordBatch:
        first, last = int(self.offsets[start]), int(self.offsets[stop])
        offsets = pa.array((self.offsets[start : stop + 1] - first).astype(np.int32))
        data = np.ascontiguousarray(self.nonces[start:stop])
        present = np.packbits(self.has_nonce[start:stop], bitorder="little")
        columns = [
            self.user_ids.slice(start, stop - start).combine_chunks(),
            pa.Array.from_buffers(pa.binary(32), stop - start, [pa.py_buffer(present), pa.py_buffer(data)]),
            pa.array(self.lines[start:stop]),
            pa.ListArray.from_arrays(
                offsets, pa.array(self.positions[first:last]), type=SCHEMA.field("positions").type
            ),
            pa.ListArray.from_arrays(offsets, pa.array(self.amounts[first:last]), type=SCHEMA.field("amounts").type),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


OVERFLOW_EXPECTED: Final = f"less than 2^{VALUE_BITS} value units"
TAKEN_EXPECTED: Final = "a path that does not exist yet (or an older snapshot and --force)"


def seal(snapshot: Snapshot, salt: str) -> Snapshot:
    """The same snapshot with counts and ledger state filled in from its content.

    Args:
        salt: 64 hex digits; zeros leave the ledger state as it is.
    """
    meta = replace(snapshot.meta, accounts=len(snapshot.lines), entries=len(snapshot.positions), ledger_salt=salt)
    if salt != ZERO_DIGEST:
        meta = replace(meta, ledger_state=snapshot.ledger_state(salt))
    return replace(snapshot, meta=meta)


def read_accounts(meta: SnapshotMeta, path: Path) -> Snapshot:
    """The accounts of a file that `Snapshot.write_accounts` wrote, through a memory map. Values are not checked.

    Raises:
        InputError: another format, or nulls.
    """
    file = str(path)
    try:
        table = pa.ipc.open_file(pa.memory_map(file)).read_all()
        # Offsets inside a file can point anywhere: nothing touches the data before this.
        table.validate(full=True)
        columns = str(table.schema.names)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(file=file, got=_first_line(error), expected="an Arrow IPC file") from None
    if not table.schema.equals(SCHEMA):
        raise InputError(file=file, got=columns, expected=f"the columns {SCHEMA.names}, typed")
    return _from_table(meta, table, file)


def is_user_id(text: str) -> bool:
    """Whether `text` can name a user: 1 to 128 bytes, printable (so no lone surrogate), no blanks around."""
    printable = text.isprintable() and text == text.strip()
    return printable and 1 <= len(text.encode("utf-8", "replace")) <= USER_ID_BYTES_MAX


def first_bad_user_id(user_ids: pa.ChunkedArray | pa.Array) -> int | None:
    """Index of the first text that cannot name a user, or None. Plain ASCII is the fast way through."""
    if pc.all(pc.match_substring_regex(user_ids, _PLAIN_USER_ID)).as_py() is not False:
        return None
    names: list[str] = user_ids.to_pylist()
    return next((index for index, name in enumerate(names) if not is_user_id(name)), None)


def _from_table(meta: SnapshotMeta, table: pa.Table, file: str) -> Snapshot:
    for name in ("user_id", "line", "positions", "amounts"):
        column = table[name]
        inner = pc.list_flatten(column).null_count if name in ("positions", "amounts") else 0
        if column.null_count or inner:
            raise InputError(file=file, field=name, got="null", expected="a value in every row")
    counts = [pc.list_value_length(table[name]).to_numpy().astype(np.int64) for name in ("positions", "amounts")]
    _require(counts[0] == counts[1], file, "amounts", "as many amounts as positions")
    return Snapshot(
        meta=meta,
        user_ids=table["user_id"],
        nonces=_nonces(table["nonce"]),
        has_nonce=pc.is_valid(table["nonce"]).to_numpy().astype(bool),
        lines=table["line"].to_numpy(),
        offsets=np.concatenate([np.zeros(1, np.int64), np.cumsum(counts[0])]),
        positions=pc.list_flatten(table["positions"]).to_numpy(),
        amounts=pc.list_flatten(table["amounts"]).to_numpy(),
    )


def _nonces(column: pa.ChunkedArray) -> Bytes:
    """(n, 32), zeros where null. Memory that nothing is written to is never taken: most users have no nonce."""
    nonces = np.zeros((len(column), 32), np.uint8)
    start = 0
    for chunk in column.chunks:
        if chunk.null_count < len(chunk):
            given = np.frombuffer(chunk.buffers()[1], np.uint8).reshape(-1, 32)[chunk.offset :][: len(chunk)]
            part = nonces[start : start + len(chunk)]
            np.copyto(part, given, where=chunk.is_valid().to_numpy(zero_copy_only=False)[:, None])
        start += len(chunk)
    return nonces


def _utf8(strings: pa.ChunkedArray) -> Iterator[tuple[Int64, Any]]:
    """Per chunk: lengths in bytes, and the bytes one after the other."""
    for chunk in strings.chunks:
        _, ends, text = chunk.buffers()
        bounds = np.frombuffer(ends, np.int32)[chunk.offset : chunk.offset + len(chunk) + 1].astype(np.int64)
        yield np.diff(bounds), memoryview(text or b"")[bounds[0] : bounds[-1]]


def _require(good: Flags, file: str, field: str, expected: str) -> None:
    if not good.all():
        raise InputError(file=file, row=int(np.argmin(good)) + 1, field=field, expected=expected)


def _is_snapshot(path: Path) -> bool:
    if path.is_symlink() or not path.is_dir() or {part.name for part in path.iterdir()} != {META_FILE, ACCOUNTS_FILE}:
        return False
    try:
        SnapshotMeta.from_bytes((path / META_FILE).read_bytes(), str(path / META_FILE))
    except InputError:
        return False
    return True


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
