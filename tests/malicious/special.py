"""The special rows in plain Python, so that a test can cheat anywhere: the twin of `prover.outputs`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.malicious.rows import Row, Words, centered, encode_carry, limbs, number
from verifier.field import P

OUTPUT_END = 2**128
POSITIONS, LOW = 16, 8
NO_WRAPS: Mapping[int, int] = {}


@dataclass(frozen=True)
class Mask:
    """A mask per output, eight words of 16 bits each, and the eight words that its chain starts from."""

    start: Words
    words: tuple[Words, ...]

    def value(self, output: int) -> int:
        return number(self.words[output])


@dataclass(frozen=True)
class Layout:
    """Where the special rows stand.

    Args:
        totals: how many outputs come before the liability. lenses: how many come after it.
    """

    totals: int
    lenses: int
    masked: bool

    @property
    def outputs(self) -> int:
        return self.totals + 1 + self.lenses

    @property
    def masks(self) -> int:
        return self.outputs if self.masked else 0

    def mask_out(self, output: int) -> int:
        return output

    def mask_in(self, output: int) -> int:
        return self.masks + output

    def carry(self, output: int) -> int:
        return 2 * self.masks + output

    @property
    def root(self) -> int:
        return self.carry(self.outputs)

    def loss(self, lens: int) -> int:
        return self.root + 1 + lens

    @property
    def count(self) -> int:
        return self.loss(self.lenses)

    def in_bytes(self, output: int) -> bool:
        """Whether the verifier takes seven bytes and the rest, not eight words: totals of a single shard."""
        return output < self.totals and not self.masked

    def output_of(self, row: int) -> int | None:
        """The output that a special row counts to; None on any other row."""
        if row < self.root:
            return row % self.outputs
        return row - self.root + self.totals if row < self.count else None


def mask_chain(mask: Mask, instance: str) -> list[Row]:
    """One row per output, hashed."""
    rows: list[Row] = []
    for output, words in enumerate(mask.words):
        row = Row({"total_id": output}, instance=instance).put("b", words).put("u", words)
        rows.append(row.put("h", rows[-1].digest if rows else mask.start))
    return rows


def chain_digest(rows: Sequence[Row]) -> Words:
    return rows[-1].digest if rows else (0,) * 8


def hash_masks(rows: Sequence[Row], first: int, count: int) -> Words:
    """Fill the chaining values of rows first + 1 .. first + count - 1; the digest."""
    for at in range(first + 1, first + count):
        rows[at].put("h", rows[at - 1].digest)
    return rows[first + count - 1].digest


def brought(rows: Sequence[Row], layout: Layout, output: int) -> list[int]:
    """By position, what all rows but the carries bring to an output."""
    out = [0] * POSITIONS
    for row in rows[layout.count :]:
        if row["is_entry"] and row["total_id"] == output:
            for k, byte in enumerate(row.read("y", 8)):
                out[k] += row["is_entry"] * centered(byte)
    special = [(layout.root, 1, "d", 7)] if output == layout.totals else []
    special += [(layout.loss(output - layout.totals - 1), 1, "u", 7)] if output > layout.totals else []
    if layout.masked:
        special += [(layout.mask_out(output), 1, "b", 8), (layout.mask_in(output), -1, "b", 8)]
    for at, sign, prefix, count in special:
        for j, word in enumerate(rows[at].read(prefix, count)):
            out[2 * j] += sign * centered(word)
    return out


def digits(published: int, in_bytes: bool) -> list[int]:
    if in_bytes:
        return [*limbs(published, 7, 8), published >> 56, *[0] * 8]
    return [word for limb in limbs(published, 8) for word in (limb, 0)]


def fit_output(
    rows: Sequence[Row], layout: Layout, output: int, published: int | None = None, wraps: Mapping[int, int] = NO_WRAPS
) -> int:
    """Write the carries from what the rows bring to the published output; by default, to what it comes to.

    Args:
        wraps: position -> multiples of p that the identity silently carries there.
    """
    coefficients = brought(rows, layout, output)
    exact = number(coefficients, 8) + P * number([wraps.get(k, 0) for k in range(POSITIONS)], 8)
    published = (exact % OUTPUT_END) if published is None else published
    rest = [a - b for a, b in zip(coefficients, digits(published, layout.in_bytes(output)), strict=True)]
    write_carries(rows, layout, output, carries(rest, layout.masked, wraps))
    return published


def carries(coefficients: Sequence[int], masked: bool, wraps: Mapping[int, int]) -> list[int]:
    """c with coefficients[k] + wraps[k] p + c[k-1] - 256 c[k] = 0; eight of them where there are no masks."""
    out, carry = [], 0
    for k, coefficient in enumerate(coefficients[: POSITIONS if masked else LOW]):
        carry, rest = divmod(coefficient + wraps.get(k, 0) * P + carry, 256)
        assert rest == 0, f"no carries: coefficient {k} leaves {rest}"
        out.append(carry)
    return out


def write_carries(rows: Sequence[Row], layout: Layout, output: int, carries: Sequence[int]) -> None:
    for k, carry in enumerate(carries):
        if k < LOW:
            row = rows[layout.carry(output)]
            row[f"u{k}"], row[f"y{k}"] = encode_carry(carry)
            continue
        row = rows[layout.mask_out(output) if k < 12 else layout.mask_in(output)]
        shifted = carry + 2**15
        row[f"y{2 * (k % 4)}"], row[f"y{2 * (k % 4) + 1}"] = shifted & 255, shifted >> 8


def read_carries(rows: Sequence[Row], layout: Layout, output: int) -> list[int]:
    """The carries that stand in the rows, as integers of least magnitude."""
    row = rows[layout.carry(output)]
    out = [centered(row[f"u{k}"]) + (centered(row[f"y{k}"]) << 15) - 2**22 for k in range(LOW)]
    for at in (layout.mask_out(output), layout.mask_in(output)) if layout.masked else ():
        y = [centered(word) for word in rows[at].read("y", 8)]
        out += [low + (high << 8) - 2**15 for low, high in zip(y[::2], y[1::2], strict=True)]
    return out
