"""Address lists as OKX publishes them: a CSV with coin, network, height, address, balance, message and signatures.

What stands above the header (OKX puts its own totals there) is not read: totals are computed here. Fields are stripped
of blanks, the message is not. Rows may end early, as OKX's do: what is missing is empty.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from api.reserves.networks import Network, asset_of, decode_address, network_of
from api.reserves.results import Undecodable
from prover.errors import InputError
from verifier.reserves_evidence import ADDRESSES_MAX, DECIMALS, WHOLE_DIGITS_MAX
from verifier.statement import units

FILE_BYTES_MAX: Final = 1 << 26
_NUMBER = re.compile(r"(0|[1-9][0-9]*)(?:\.([0-9]+))?")
_COIN = re.compile(r"[!-~]{1,32}")
_HEIGHT = re.compile(r"0|[1-9][0-9]{0,14}")
_COLUMNS: Final[Mapping[str, str]] = {
    "coin": "coin",
    "network": "network",
    "snapshot height": "height",
    "height": "height",
    "address": "address",
    "amount": "amount",
    "balance": "amount",
    "message": "message",
    "signature": "signature1",
    "signature1": "signature1",
    "signature2": "signature2",
    "redeem script/public key": "public_key",
    "public key": "public_key",
    "eoa1": "owner1",
    "eoa2": "owner2",
    "type": "type",
}
_LIST: Final = ("coin", "network", "address")
_SIGNED: Final = (*_LIST, "height", "amount", "message", "signature1")
NOT_STAKED: Final = ("", "non staking")


@dataclass(frozen=True, slots=True)
class Row:
    """One address, as the file has it: nothing here is checked but its shape.

    Args:
        line: of the file, the first one is 1.
        asset: what the coin's label stands for, in capitals.
        amount: in 10^-DECIMALS units.
        signatures: one, or two where two keys sign.
        public_key: or a redeem script; empty where there is none.
        owners: addresses whose keys sign for a contract.
        staked: kind of staking, in lower case; empty for none.
    """

    line: int
    asset: str
    network: Network
    height: int
    address: str
    amount: int
    message: str
    signatures: tuple[str, ...]
    public_key: str
    owners: tuple[str, ...]
    staked: str


def read_rows(path: Path) -> list[Row]:
    """All signed addresses of a file.

    Raises:
        InputError: file, line, column, what was there and what was expected.
    """
    rows = [_row(path, line, fields) for line, fields in _records(path, _SIGNED)]
    if not rows:
        raise InputError(file=path, got="no row", expected="at least one address")
    return rows


def read_addresses(path: Path) -> list[tuple[int, Network, str, bool]]:
    """Line, network, address and whether it is staked: for challenges, before anything is signed."""
    return [
        (line, _network(path, line, fields), fields["address"], fields.get("type", "").lower() not in NOT_STAKED)
        for line, fields in _records(path, _LIST)
    ]


def read_amounts(path: Path) -> dict[tuple[str, str, bytes], tuple[int, int]]:
    """Height and amount by asset, network and decoded address: a file of somebody who looked at the ledgers.

    Raises:
        InputError: as `read_rows`, or an address twice.
    """
    out: dict[tuple[str, str, bytes], tuple[int, int]] = {}
    for line, fields in _records(path, (*_LIST, "height", "amount")):
        row = _row(path, line, {"message": "", **fields})
        try:
            address = decode_address(row.network, row.address, staked=bool(row.staked))
        except Undecodable as error:
            raise InputError(file=path, row=line, field="address", got=row.address, expected=str(error)) from None
        key = (row.asset, row.network.name, address.key)
        if key in out:
            raise InputError(file=path, row=line, field="address", got=row.address, expected="each address once")
        out[key] = (row.height, row.amount)
    return out


def parse_units(text: str) -> int | None:
    """A plain decimal number of units to 10^-DECIMALS units; None for anything else."""
    match = _NUMBER.fullmatch(text) if len(text) <= WHOLE_DIGITS_MAX + DECIMALS + 1 else None
    if match is None or len(match[1]) > WHOLE_DIGITS_MAX or len(match[2] or "") > DECIMALS:
        return None
    return int(match[1] + (match[2] or "").ljust(DECIMALS, "0"))


def shown_units(amount: int) -> str:
    """The other way round."""
    return units(amount, DECIMALS)


def _row(path: Path, line: int, fields: Mapping[str, str]) -> Row:
    amount = parse_units(fields["amount"])
    if amount is None:
        expected = f"a plain decimal number with at most {DECIMALS} decimals"
        raise InputError(file=path, row=line, field="amount", got=fields["amount"], expected=expected)
    if not _HEIGHT.fullmatch(fields["height"]):
        raise InputError(file=path, row=line, field="height", got=fields["height"], expected="a block's height")
    staked = fields.get("type", "").lower()
    return Row(
        line=line,
        asset=asset_of(fields["coin"]),
        network=_network(path, line, fields),
        height=int(fields["height"]),
        address=fields["address"],
        amount=amount,
        message=fields["message"],
        signatures=_present(fields, "signature1", "signature2"),
        public_key=fields.get("public_key", ""),
        owners=_present(fields, "owner1", "owner2"),
        staked="" if staked in NOT_STAKED else staked,
    )


def _present(fields: Mapping[str, str], *names: str) -> tuple[str, ...]:
    return tuple(fields[name] for name in names if fields.get(name))


def _network(path: Path, line: int, fields: Mapping[str, str]) -> Network:
    if not _COIN.fullmatch(fields["coin"]):
        expected = "1 to 32 visible ASCII characters"
        raise InputError(file=path, row=line, field="coin", got=fields["coin"], expected=expected)
    try:
        return network_of(fields["network"])
    except Undecodable as error:
        raise InputError(file=path, row=line, field="network", got=fields["network"], expected=str(error)) from None


def _records(path: Path, required: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    columns: list[str] | None = None
    count = 0
    for line, raw in _lines(path):
        if columns is None:
            columns = _header(path, line, raw, required)
            continue
        if not any(field.strip() for field in raw):
            continue
        if len(raw) > len(columns):
            got, expected = f"{len(raw)} fields", f"at most {len(columns)}, as in the header"
            raise InputError(file=path, row=line, got=got, expected=expected)
        count += 1
        if count > ADDRESSES_MAX:
            raise InputError(file=path, row=line, got="more rows", expected=f"at most {ADDRESSES_MAX}")
        padded = [*raw, *[""] * (len(columns) - len(raw))]
        yield (
            line,
            {
                name: text if name == "message" else text.strip(" \t")
                for name, text in zip(columns, padded, strict=True)
            },
        )
    if columns is None:
        raise InputError(file=path, got="no header", expected=f"a line that names {', '.join(required)}")


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise InputError(file=path, got="a larger file", expected=f"at most {FILE_BYTES_MAX} bytes")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(file=path, got=error.strerror or str(error), expected="a file that can be read") from None
    except UnicodeDecodeError:
        raise InputError(file=path, got="other bytes", expected="text in UTF-8") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for fields in reader:
            yield reader.line_num, fields
    except csv.Error as error:
        raise InputError(file=path, row=reader.line_num, got=str(error), expected="CSV") from None


def _header(path: Path, line: int, raw: Sequence[str], required: Sequence[str]) -> list[str] | None:
    """Columns by our names, where this line is the header; None where it stands above it."""
    if not {"coin", "address"} <= {field.strip().lower() for field in raw}:
        return None
    names = [re.sub(r"\s*/\s*", "/", re.sub(r"\s+", " ", field.strip().lower())) for field in raw]
    while names and not names[-1]:
        names.pop()
    columns = []
    for name in names:
        if name not in _COLUMNS or _COLUMNS[name] in columns:
            expected = f"each column once, of {', '.join(_COLUMNS)}"
            raise InputError(file=path, row=line, field=name, got=name, expected=expected)
        columns.append(_COLUMNS[name])
    for name in required:
        if name not in columns:
            raise InputError(file=path, row=line, field=name, expected="this column to be there")
    return columns
