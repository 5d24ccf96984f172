"""CSV with nothing left to guess: a header, the same fields in every row, texts as they stand.

Accepted: a UTF-8 byte order mark, LF or CRLF, quoted fields on one line, columns in any order. Everything
else that spreadsheets do is an error with its line.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from prover.errors import InputError

BOM: Final = b"\xef\xbb\xbf"
BLOCK_BYTES: Final = 8 << 20
BLOCK_BYTES_PER_COLUMN: Final = 16 << 10
READ_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class CsvFile:
    """A CSV file whose header is known. `sha256`: of the bytes of the whole file, in hex."""

    path: Path
    header: tuple[str, ...]
    sha256: str

    def require(self, required: Collection[str], optional: Collection[str] = ()) -> None:
        """Raises InputError unless the header has each of `required`, and nothing beyond `optional`."""
        for column in required:
            if column not in self.header:
                raise InputError(file=self.path, row=1, field=column, expected="this column to be there")
        for column in self.header:
            if column not in required and column not in optional:
                names = ", ".join([*required, *(f"{name} (optional)" for name in optional)])
                raise InputError(file=self.path, row=1, field=column, expected=f"only the columns {names}")

    def batches(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Batches of string columns, each with the line of its first row.

        Raises:
            InputError: not UTF-8, a row with more or fewer fields than the header, an unclosed quote.
        """
        line = 2
        try:
            for batch in self._reader():
                if batch.num_rows:
                    if pc.index(batch[0], pa.scalar("")).as_py() >= 0:
                        self._explain()  # an empty line comes out as empty fields
                    yield line, batch
                line += batch.num_rows
        except (pa.ArrowException, UnicodeDecodeError) as error:
            self._explain()
            if line == 2 and "Empty CSV" in str(error):
                return
            raise InputError(file=self.path, got=str(error).splitlines()[0], expected="CSV") from None

    def rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Small files: each row as texts by column, with its line."""
        for first, batch in self.batches():
            for offset, row in enumerate(batch.to_pylist()):
                yield first + offset, row

    def _reader(self) -> arrow_csv.CSVStreamingReader:
        return arrow_csv.open_csv(
            self.path,
            read_options=arrow_csv.ReadOptions(
                column_names=list(self.header),
                skip_rows=1,
                block_size=max(BLOCK_BYTES, BLOCK_BYTES_PER_COLUMN * len(self.header)),
            ),
            parse_options=arrow_csv.ParseOptions(ignore_empty_lines=False),
            convert_options=arrow_csv.ConvertOptions(
                column_types={name: pa.string() for name in self.header}, strings_can_be_null=False
            ),
        )

    def _explain(self) -> None:
        """Only when something is off: reads up to the first bad line, and raises what is wrong with it."""
        with self.path.open("rb") as stream:
            for line, raw in enumerate(stream, 1):
                fields = split_line(self.path, line, raw)
                if len(fields) != len(self.header):
                    got = f"{len(fields)} fields" if fields else "an empty line"
                    raise InputError(
                        file=self.path,
                        row=line,
                        got=got,
                        expected=f"{len(self.header)} fields, as in the header",
                    )


def open_csv(path: Path, leading: Sequence[str] = ()) -> CsvFile:
    """Reads the header, and all bytes once for the digest.

    Args:
        leading: names that the first columns must have. A later column of such a name is another one, and is
            called `NAME (net)` here: one of Binance's tokens has the symbol `id`.

    Raises:
        InputError: no such file, empty, not UTF-8, a column twice, or line ends of old Macintoshes.
    """
    digest = sha256_of_file(path, refuse_bare_returns=True)
    with path.open("rb") as stream:
        raw = stream.readline()
    fields = split_line(path, 1, raw)
    if not fields:
        raise InputError(file=path, row=1, got="an empty line" if raw else "an empty file", expected="a header")
    for index, name in enumerate(leading):
        if fields[index : index + 1] != [name]:
            raise InputError(file=path, row=1, field=name, expected=f"this name for column {index + 1}")
    fields[len(leading) :] = [f"{name} (net)" if name in leading else name for name in fields[len(leading) :]]
    seen: set[str] = set()
    for name in fields:
        if name in seen:
            raise InputError(file=path, row=1, field=name, got=name, expected="each column once")
        seen.add(name)
    return CsvFile(path=path, header=tuple(fields), sha256=digest)


def split_line(path: Path, line: int, raw: bytes) -> list[str]:
    """The fields of one line of bytes, a byte order mark at the start of the file skipped."""
    try:
        text = (raw.removeprefix(BOM) if line == 1 else raw).decode("utf-8")
    except UnicodeDecodeError as error:
        bad = error.object[error.start]
        raise InputError(file=path, row=line, got=f"the byte 0x{bad:02x}", expected="text in UTF-8") from None
    try:
        return next(csv.reader([text.removesuffix("\n").removesuffix("\r")], strict=True), [])
    except csv.Error as error:
        raise InputError(file=path, row=line, got=str(error), expected="quotes that close on their line") from None


def sha256_of_file(path: Path, *, refuse_bare_returns: bool = False) -> str:
    """SHA-256 of a file's bytes, in hex.

    Raises:
        InputError: cannot be read, or (if asked) a carriage return without a line feed, which would shift
            lines.
    """
    digest = hashlib.sha256()
    returns = pairs = 0
    last = b""
    try:
        with path.open("rb") as stream:
            while block := stream.read(READ_BYTES):
                digest.update(block)
                returns += block.count(b"\r")
                pairs += block.count(b"\r\n") + (last == b"\r" and block[:1] == b"\n")
                last = block[-1:]
    except OSError as error:
        raise InputError(file=path, got=error.strerror or str(error), expected="a file that can be read") from None
    if refuse_bare_returns and returns != pairs:
        raise InputError(file=path, got="a carriage return inside a line", expected="lines that end in LF or CRLF")
    return digest.hexdigest()
