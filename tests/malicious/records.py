"""Value records in plain Python, so that a test can cheat anywhere: the twin of `prover.records`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from circuits.gadgets.records import RecordLayout
from tests.malicious.rows import Row, carries_of, centered, encode_carry, limbs, number
from verifier.field import P
from verifier.solvency import LENS_POSITIONS

Cells: TypeAlias = dict[tuple[int, str], int]
NO_WRAPS: Mapping[int, int] = {}
NO_LENS_WRAPS: Mapping[int, Mapping[int, int]] = {}
NO_CARRY = encode_carry(0)


@dataclass
class Values:
    """One lens of a record, lowest position first.

    Args:
        negative: per row of the record, the top row first. low, high: parts of the carries.
    """

    negative: list[int]
    bytes: list[int] = field(default_factory=lambda: [0] * LENS_POSITIONS)
    low: list[int] = field(default_factory=lambda: [NO_CARRY[0]] * LENS_POSITIONS)
    high: list[int] = field(default_factory=lambda: [NO_CARRY[1]] * LENS_POSITIONS)

    @property
    def carries(self) -> list[int]:
        return [centered(low) + (centered(high) << 15) - 2**22 for low, high in zip(self.low, self.high, strict=True)]

    @carries.setter
    def carries(self, carries: Sequence[int]) -> None:
        for k, carry in enumerate(carries):
            self.low[k], self.high[k] = encode_carry(carry)

    @property
    def sign(self) -> int:
        return self.negative[0]

    @sign.setter
    def sign(self, sign: int) -> None:
        self.negative = [sign] * len(self.negative)

    @property
    def lost(self) -> list[int]:
        """What the record adds to the losses, by position: negative times the byte."""
        window = LENS_POSITIONS // len(self.negative)
        signs = [negative for negative in reversed(self.negative) for _ in range(window)]
        return [centered(sign) * centered(byte) for sign, byte in zip(signs, self.bytes, strict=True)]

    @property
    def signed_bytes(self) -> list[int]:
        """What the record says of each position: (1 - 2 negative) times its byte."""
        return [centered(byte) - 2 * lost for byte, lost in zip(self.bytes, self.lost, strict=True)]

    def claim(
        self,
        coefficients: Sequence[int],
        value: int | None = None,
        wraps: Mapping[int, int] = NO_WRAPS,
    ) -> None:
        """Say `value`, and write the carries with which the coefficients come to it; by default, to what they are.

        Args:
            wraps: k -> multiples of p that coefficient k silently carries.
        """
        if value is None:
            value = number(coefficients, 8) + number([wraps.get(k, 0) for k in range(LENS_POSITIONS)], 8) * P
        self.sign = int(value < 0)
        self.bytes = list(limbs(abs(value), LENS_POSITIONS, 8))
        self.fit(coefficients, wraps)

    def fit(self, coefficients: Sequence[int], wraps: Mapping[int, int] = NO_WRAPS) -> None:
        """Write the carries with which the coefficients come to what is said."""
        rest = [a - b for a, b in zip(coefficients, self.signed_bytes, strict=True)]
        self.carries = [*carries_of(rest, 256, wraps), 0]


Record: TypeAlias = list[Values]
"""One account's values, lens by lens."""


@dataclass
class Records:
    """What a trace says of the values of its accounts.

    Args:
        of: the records that end with the last active row, in order.
        totals: the record on the first rows.
        coefficients: per account, lens and position, what its entries come to.
        cells: (row, column) -> a word that is there whatever the records say.
    """

    layout: RecordLayout
    of: list[Record]
    totals: Record
    coefficients: list[list[list[int]]]
    cells: Cells = field(default_factory=dict)

    def fit_totals(self, losses: Sequence[int], wraps: Mapping[int, Mapping[int, int]] = NO_LENS_WRAPS) -> None:
        """Write the carries from what all accounts lose to the limbs of the loss rows; `wraps` by lens."""
        for lens, (values, loss) in enumerate(zip(self.totals, losses, strict=True)):
            words = [word for limb in limbs(loss, LENS_POSITIONS // 2) for word in (limb, 0)]
            rest = [a - b for a, b in zip(self.lost(lens), words, strict=True)]
            values.carries = [*carries_of(rest, 256, wraps.get(lens, {})), 0]

    def lost(self, lens: int) -> list[int]:
        """By position, the sum of the bytes of all values below zero, as the records say."""
        parts = [record[lens].lost for record in (*self.of, self.totals)]
        return [sum(column) for column in zip(*parts, strict=True)]

    def value(self, account: int, lens: int) -> int:
        """What the entries of an account come to."""
        return number(self.coefficients[account][lens], 8)

    def blank(self) -> Record:
        return [Values([0] * self.layout.rows) for _ in range(self.layout.lenses)]


def honest_records(layout: RecordLayout, rows: Sequence[Row]) -> tuple[Records, list[int]]:
    """The records of the accounts whose rows these are, and the losses."""
    coefficients: list[list[list[int]]] = []
    for row in rows:
        if row["is_open"]:
            coefficients.append([[0] * LENS_POSITIONS for _ in range(layout.lenses)])
        if row["is_entry"]:
            for lens in range(layout.lenses):
                for i, byte in enumerate(row.read("y", 8)):
                    for j, digit in enumerate(row.read(f"lens{lens}_digit", 7)):
                        coefficients[-1][lens][i + j] += row["is_entry"] * centered(byte) * centered(digit)
    out = Records(layout, [], [], coefficients)
    out.of, out.totals = [out.blank() for _ in coefficients], out.blank()
    for record, parts in zip(out.of, coefficients, strict=True):
        for values, part in zip(record, parts, strict=True):
            values.claim(part)
    losses = [number(out.lost(lens), 8) for lens in range(layout.lenses)]
    out.fit_totals(losses)
    return out, losses


def record_cells(record: Record, layout: RecordLayout) -> list[dict[str, int]]:
    """The cells of a record by column name, row by row, top row first."""
    out: list[dict[str, int]] = []
    for row in range(layout.rows):
        lowest, cells = layout.window * (layout.rows - 1 - row), {}
        for lens, values in enumerate(record):
            cells[f"lens{lens}_negative"] = values.negative[row] % P
            for i in range(layout.window):
                cells[f"lens{lens}_byte{i}"] = values.bytes[lowest + i] % P
                cells[f"lens{lens}_low{i}"] = values.low[lowest + i] % P
                cells[f"lens{lens}_high{i}"] = values.high[lowest + i] % P
        out.append(cells)
    return out
