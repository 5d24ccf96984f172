"""The reserves file beside a proof: what the exchange says it holds, per asset. A claim, not signed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from verifier.canonical import refuse, require_size, shown
from verifier.errors import BadReserves, Reason
from verifier.instruments import SPOT, Instrument

HEADER = "asset,amount"
RESERVES_BYTES_MAX = 2**20
WHOLE_DIGITS_MAX = 40
"""No amount that exists has more; bounds the work on a hostile file."""

_AMOUNT = re.compile(r"(0|[1-9][0-9]*)(?:\.([0-9]+))?")


def parse_reserves(data: bytes, instruments: Sequence[Instrument]) -> tuple[int, ...]:
    """Read `asset,amount` lines.

    The first line is exactly `asset,amount`. Each other line is a spot symbol of the statement and an amount in
    whole units (not atoms): digits, optionally a point and at most the asset's decimals; no sign, exponent, space,
    quote or leading zero. Lines end in LF; the last one may lack it. An asset without a line has no reserves.

    Returns:
        Atoms per instrument, in the order of the table; 0 for what is not spot.

    Raises:
        MalformedProof: FILE_TOO_LARGE.
        BadReserves: RESERVES, with the line.
    """
    require_size(data, RESERVES_BYTES_MAX, "reserves")
    if not data.isascii() or b"\r" in data:
        raise BadReserves(Reason.RESERVES, "reserves: expected plain ASCII with LF line ends (no BOM, no CR)")
    lines = data.decode("ascii").removesuffix("\n").split("\n")
    if lines[0] != HEADER:
        refuse("reserves line 1", HEADER, lines[0], Reason.RESERVES)
    index = {instrument.symbol: i for i, instrument in enumerate(instruments) if instrument.kind == SPOT}
    atoms: dict[int, int] = {}
    for number, line in enumerate(lines[1:], start=2):
        # From the right: a symbol may contain a comma, an amount cannot.
        symbol, comma, amount = line.rpartition(",")
        if not comma:
            refuse(f"reserves line {number}", HEADER, line, Reason.RESERVES)
        if symbol not in index:
            refuse(f"reserves line {number}, asset", "a spot asset of the statement", symbol, Reason.RESERVES)
        if index[symbol] in atoms:
            refuse(f"reserves line {number}, asset", "each asset once", symbol, Reason.RESERVES)
        where = f"reserves line {number}, amount of {shown(symbol)}"
        atoms[index[symbol]] = _atoms(amount, instruments[index[symbol]].decimals, where)
    return tuple(atoms.get(i, 0) for i in range(len(instruments)))


def _atoms(text: str, decimals: int, where: str) -> int:
    match = _AMOUNT.fullmatch(text)
    whole, fraction = (match[1], match[2] or "") if match else ("", "")
    if not match or len(whole) > WHOLE_DIGITS_MAX or len(fraction) > decimals:
        refuse(where, f"a plain decimal number with at most {decimals} decimals", text, Reason.RESERVES)
    return int(whole + fraction.ljust(decimals, "0"))
