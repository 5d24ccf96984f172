"""Accounts from one or many files become one snapshot: unique ids, nonces joined, values in range."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from api.importers.csv_files import open_csv
from api.importers.prices import PriceFile, WholePrices, whole_prices
from prover.errors import InputError
from prover.positions import find_overflow
from prover.snapshot import (
    OVERFLOW_EXPECTED,
    USER_ID_EXPECTED,
    Bytes,
    Flags,
    Int64,
    Snapshot,
    first_bad_user_id,
    seal,
)
from prover.snapshot_meta import FILE_NAME_CHARACTERS_MAX, ZERO_DIGEST, SnapshotMeta, SourceFile
from verifier.instruments import SPOT, Instrument
from verifier.tree import ENTRIES_MAX

NONCE_EXPECTED: Final = "a nonce of 64 lowercase hex digits"
NONCE_PATTERN: Final = r"^[0-9a-f]{64}$"


@dataclass(frozen=True, slots=True)
class InvalidUser:
    """A user whose account cannot be counted, and where they stand."""

    file: str
    row: int
    user_id: str
    reason: str


@dataclass(slots=True)
class ImportLog:
    """What an import did beyond reading. `prices`: None where there are none; `dropped`: users left out on demand."""

    prices: WholePrices | None = None
    dropped: list[InvalidUser] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """What the files do not say. `time` None: now. `ledger_state` None: computed with `ledger_salt`, None:
    drawn. `log` is filled in by the import.

    Raises:
        InputError: naming the option that is out of range.
    """

    exchange: str
    sequence: int = 0
    time: str | None = None
    previous: str | None = None
    quote: str = "USDT"
    value_decimals: int | None = None
    exact_prices: bool = False
    ledger_state: str | None = None
    ledger_salt: str | None = None
    nonces: Path | None = None
    log: ImportLog = field(default_factory=ImportLog, compare=False)

    def __post_init__(self) -> None:
        # Before any file is read: an option out of range should not cost a minute first.
        placeholder = Market(self.value_decimals or 0, (Instrument("x", SPOT, 0, 0),), ZERO_DIGEST)
        self.meta(placeholder, ()).check_options()
        if self.ledger_state is not None and self.ledger_salt is not None:
            raise InputError(field="--ledger-salt", got=self.ledger_salt, expected="no salt with --ledger-state")

    def market(self, prices: PriceFile) -> Market:
        """The prices of a file as whole coefficients, the way these options ask for."""
        self.log.prices = whole = whole_prices(prices, self.value_decimals, exact=self.exact_prices)
        return Market(whole.value_decimals, whole.instruments, prices.sha256)

    def meta(self, market: Market, source: Sequence[SourceFile]) -> SnapshotMeta:
        """The snapshot's own words; `seal` fills in counts, salt and (unless given) the ledger state."""
        return SnapshotMeta(
            exchange=self.exchange,
            sequence=self.sequence,
            time=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if self.time is None else self.time,
            ledger_state=ZERO_DIGEST if self.ledger_state is None else self.ledger_state,
            ledger_salt=ZERO_DIGEST if self.ledger_salt is None else self.ledger_salt,
            previous=ZERO_DIGEST if self.previous is None else self.previous,
            oracle_evidence=market.oracle_evidence,
            quote=self.quote,
            value_decimals=market.value_decimals,
            instruments=market.instruments,
            accounts=0,
            entries=0,
            source=tuple(source),
        )

    def salt(self) -> str:
        """Salt for the ledger state: the given one, a fresh one, or zeros where the state itself is given."""
        if self.ledger_state is not None:
            return ZERO_DIGEST
        return os.urandom(32).hex() if self.ledger_salt is None else self.ledger_salt


@dataclass(frozen=True, slots=True)
class Market:
    """What the accounts are counted in. `oracle_evidence`: SHA-256 of the price file, or zeros."""

    value_decimals: int
    instruments: tuple[Instrument, ...]
    oracle_evidence: str


class Accounts:
    """Collects accounts in the order of the files.

    Args:
        id_column: what the source calls the user's id, for messages.
        first_file: to name where there are no accounts at all.
    """

    def __init__(self, id_column: str, first_file: Path) -> None:
        self.id_column = id_column
        self.first_file = first_file
        self._ids: list[pa.Array] = []
        self._lines: list[npt.NDArray[np.uint32]] = []
        self._counts: list[Int64] = []
        self._positions: list[npt.NDArray[np.uint16]] = []
        self._amounts: list[npt.NDArray[np.uint64]] = []
        self._files: list[Path] = []
        self._starts: list[int] = []
        self._size = 0

    def add(
        self,
        file: Path,
        ids: pa.Array,
        lines: npt.NDArray[np.uint32],
        counts: Int64,
        positions: npt.NDArray[np.uint16],
        amounts: npt.NDArray[np.uint64],
    ) -> None:
        """Appends accounts of `counts` entries each, taken in turn from `positions` and `amounts` (no zeros)."""
        self._files.append(file)
        self._starts.append(self._size)
        self._size += len(ids)
        self._ids.append(ids)
        self._lines.append(lines)
        self._counts.append(counts)
        self._positions.append(positions)
        self._amounts.append(amounts)
        if len(ids) and (bad := first_bad_user_id(ids)) is not None:
            raise self._error(self._starts[-1] + bad, str(ids[bad].as_py()), USER_ID_EXPECTED)
        if len(ids) and int(counts.max()) > ENTRIES_MAX:
            bad = int(counts.argmax())
            got = f"an account with {int(counts[bad])} entries"
            raise InputError(file=file, row=int(lines[bad]), got=got, expected=f"at most {ENTRIES_MAX}")

    def build(
        self,
        options: ImportOptions,
        market: Market,
        source: Sequence[SourceFile],
        nonces: tuple[Bytes, Flags] | None = None,
    ) -> Snapshot:
        """The finished snapshot.

        Raises:
            InputError: no accounts, an id twice, a nonce for nobody, an account or total of 2^112 value
                units.
        """
        if not self._size:
            raise InputError(file=self.first_file, got="no accounts", expected="at least one")
        user_ids = pa.chunked_array(self._ids, pa.string())
        if pc.count_distinct(user_ids).as_py() != self._size:
            self._report_duplicate(user_ids)
        if nonces is None:
            nonces = _no_nonces(self._size) if options.nonces is None else read_nonces(options.nonces, user_ids)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate(self._counts))])
        positions, amounts = np.concatenate(self._positions), np.concatenate(self._amounts)
        overflow = find_overflow(offsets, positions, amounts, market.instruments, market.value_decimals)
        if overflow is not None:
            index, got = overflow
            file, line = (None, None) if index is None else self._place(index)
            raise InputError(file=file, row=line, got=got, expected=OVERFLOW_EXPECTED)
        return seal(
            Snapshot(
                meta=options.meta(market, source),
                user_ids=user_ids,
                nonces=nonces[0],
                has_nonce=nonces[1],
                lines=np.concatenate(self._lines),
                offsets=offsets,
                positions=positions,
                amounts=amounts,
            ),
            options.salt(),
        )

    def _place(self, index: int) -> tuple[Path, int]:
        """File and line of account `index`."""
        part = bisect_right(self._starts, index) - 1
        # An empty part starts where the next one does; bisect_right takes the last of them, which has the
        # account.
        return self._files[part], int(self._lines[part][index - self._starts[part]])

    def _error(self, index: int, got: str, expected: str) -> InputError:
        file, line = self._place(index)
        return InputError(file=file, row=line, field=self.id_column, got=got, expected=expected)

    def _report_duplicate(self, user_ids: pa.ChunkedArray) -> None:
        seen: dict[str, int] = {}
        for index, name in enumerate(user_ids.to_pylist()):
            first = seen.setdefault(name, index)
            if first != index:
                file, line = self._place(first)
                raise self._error(index, name, f"each id once (first at {file}:{line})")


def read_nonces(path: Path, user_ids: pa.ChunkedArray) -> tuple[Bytes, Flags]:
    """Joins `user_id,nonce` to the accounts: (n, 32) uint8 with zeros where none, and who has one.

    Raises:
        InputError: an id twice, or of nobody (the user would look for an id that is not in the tree), a bad
            nonce.
    """
    file = open_csv(path)
    file.require(("user_id", "nonce"))
    lines: dict[str, int] = {}
    digits: list[str] = []

    for line, row in file.rows():
        if row["user_id"] in lines:
            expected = f"each id once (first on line {lines[row['user_id']]})"
            raise InputError(file=path, row=line, field="user_id", got=row["user_id"], expected=expected)
        if not is_nonce(row["nonce"]):
            raise InputError(file=path, row=line, field="nonce", got=row["nonce"], expected=NONCE_EXPECTED)
        lines[row["user_id"]] = line
        digits.append(row["nonce"])
    places = pc.index_in(user_ids, value_set=pa.array(list(lines), pa.string()))
    has_nonce = pc.is_valid(places).to_numpy().astype(bool)
    used = np.zeros(len(lines), bool)
    found = pc.drop_null(places).to_numpy()
    used[found] = True
    for (name, line), is_used in zip(lines.items(), used.tolist(), strict=True):
        if not is_used:
            expected = "the id of an account of this snapshot"
            raise InputError(file=path, row=line, field="user_id", got=name, expected=expected)
    nonces = np.zeros((len(user_ids), 32), np.uint8)
    nonces[has_nonce] = np.frombuffer(bytes.fromhex("".join(digits)), np.uint8).reshape(-1, 32)[found]
    return nonces, has_nonce


def is_nonce(text: str) -> bool:
    """Whether `text` is a nonce as `solvent nonce` prints it."""
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


def source_file(path: Path, sha256: str) -> SourceFile:
    """How a snapshot names a file it came from: the name without its folder, all unprintable as `?`."""
    name = "".join(c if c.isprintable() else "?" for c in path.name)
    return SourceFile(name[:FILE_NAME_CHARACTERS_MAX], sha256)


def _no_nonces(accounts: int) -> tuple[Bytes, Flags]:
    return np.zeros((accounts, 32), np.uint8), np.zeros(accounts, bool)
