"""Value records: further signed values per account, each exact, of which the total below zero is published.

A *lens* is one way to value a leg: health, or equity and health under a scenario. Lens s gives every leg seven digits
S_s; an account's value is A_s(256), A_s(X) = sum over its entries of x(X) S_s(X), x the amount's bytes. A *record* of
R rows holds, per lens, the sign and the 16 bytes of the magnitude, and 16 carries, 16 / R positions a row, highest
first. Row i of the trace belongs to a record by its number alone: records have nothing to do with the chains that
share their rows. The records of all accounts, in the order of the accounts, end at the last active row; before them
all is zero, but for the first R rows: the *totals record*, which holds the carries of the published totals.

A_s(X) = (1 - 2 negative) v(X) - (X - 256) c(X) for each lens, packed into one polynomial in X = r: 16 positions a lens,
16 K an account. `entries` gathers its left side along the entries, `records` its right side along the records; they
are equal at the last row. `losses` adds up what is below zero, to what the loss rows bring to the outputs
(`outputs`): it ends at zero. No coefficient wraps: |A_k| <= 935,625,600 (see
`values`) and 255 + 257 * 4,259,711 for digit and carries are 2,030,371,582 < p together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from circuits.builder import AirBuilder, Expr, total
from circuits.gadgets.outputs import LOSS_COLUMNS
from circuits.gadgets.values import CARRY_HIGH, CARRY_OFFSET, amount_polynomial
from verifier.air import ALWAYS, LAST, REPEAT, TRANSITION, ZERO
from verifier.legs import DIGITS
from verifier.solvency import LENS_POSITIONS

RECORD_PUBLICS = (
    ("starts_record", REPEAT),
    ("ends_record", REPEAT),
    ("in_totals_record", ZERO),
    ("next_in_totals_record", ZERO),
    *((f"next_weight{k}", REPEAT) for k in range(5)),
)
"""`next_weight` is r^(position of the next row's lowest byte); positions count within a lens."""


@dataclass(frozen=True)
class RecordLayout:
    """Shape of the records of one circuit.

    Args:
        lenses: K, values per account beside its equity.
        rows: R, rows per account, 4 or 8.
    """

    lenses: int
    rows: int

    @property
    def window(self) -> int:
        """Positions of each lens on one row."""
        return LENS_POSITIONS // self.rows

    def cells(self, kind: str) -> tuple[str, ...]:
        """The columns of one kind, "byte", "low" or "high", lens by lens, lowest position first."""
        return tuple(f"lens{s}_{kind}{i}" for s in range(self.lenses) for i in range(self.window))

    @property
    def digits(self) -> tuple[str, ...]:
        """Digits of an entry's leg, lens by lens."""
        return tuple(f"lens{s}_digit{i}" for s in range(self.lenses) for i in range(DIGITS))

    @property
    def signs(self) -> tuple[str, ...]:
        """1 where the account's value is below zero."""
        return tuple(f"lens{s}_negative" for s in range(self.lenses))

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.digits, *self.signs, *self.cells("byte"), *self.cells("low"), *self.cells("high"))


def _over_lenses(air: AirBuilder, layout: RecordLayout, value: Callable[[int], Expr]) -> Expr:
    return total(air.power("r", LENS_POSITIONS * s) * value(s) for s in range(layout.lenses))


def _window(air: AirBuilder, layout: RecordLayout, read: Callable[[str], Expr], kind: str, lens: int) -> Expr:
    """sum of r^i * cell over one row's positions of a lens."""
    return air.polynomial([read(f"lens{lens}_{kind}{i}") for i in range(layout.window)])


def _carries(air: AirBuilder, layout: RecordLayout, read: Callable[[str], Expr], lens: int) -> Expr:
    """(r - 256) times the signed carries of one row, each low + 2^15 high - 2^22."""
    low, high = (_window(air, layout, read, kind, lens) for kind in ("low", "high"))
    offset = air.polynomial([CARRY_OFFSET] * layout.window)
    return (air.scalar("r") - 256) * (low + CARRY_HIGH * high - offset)


def require_records(air: AirBuilder, layout: RecordLayout) -> None:
    """Signs are bits, constant in a record and 0 in the totals record; no carry leaves a record's highest position."""
    for s, name in enumerate(layout.signs):
        negative = air.row(name)
        air.require(ALWAYS, f"{name} is a bit", negative * (negative - 1))
        change = air.next(name) - negative
        air.require(TRANSITION, f"{name} is kept in a record", (1 - air.public("ends_record")) * change)
        air.require(ALWAYS, f"{name} is 0 in the totals record", air.public("in_totals_record") * negative)
        top = layout.window - 1
        carry = air.row(f"lens{s}_low{top}") + CARRY_HIGH * air.row(f"lens{s}_high{top}") - CARRY_OFFSET
        air.require(ALWAYS, f"lens {s} has no carry at the top", air.public("starts_record") * carry)


def accumulate_records(air: AirBuilder, layout: RecordLayout) -> None:
    """Entries and records are one polynomial; the losses are those of the loss rows."""
    read, here, one, zero = air.next, air.row, Expr(air, 1, {}), Expr(air, 0, {})
    account = air.power("r", LENS_POSITIONS * layout.lenses)
    digits = _over_lenses(air, layout, lambda s: air.polynomial([read(f"lens{s}_digit{i}") for i in range(DIGITS)]))
    keep = one + read("is_open") * (account - 1)
    air.accumulate("entries", zero, keep, read("is_entry") * amount_polynomial(air, 1) * digits)

    def signed(s: int) -> Expr:
        value = _window(air, layout, read, "byte", s)
        return (1 - 2 * read(f"lens{s}_negative")) * value - _carries(air, layout, read, s)

    step, jump = air.power("r", layout.window), LENS_POSITIONS * (layout.lenses - 1) + layout.window
    keep = step + air.public("ends_record") * (air.power("r", jump) - step)
    not_totals = 1 - air.public("next_in_totals_record")
    air.accumulate("records", zero, keep, not_totals * _over_lenses(air, layout, signed))

    published = air.polynomial([read(name) for name in LOSS_COLUMNS], step=2)

    def loss(s: int) -> Expr:
        value = read(f"lens{s}_negative") * _window(air, layout, read, "byte", s)
        return value + air.public("next_in_totals_record") * _carries(air, layout, read, s)

    top = air.power("r", LENS_POSITIONS - layout.window)
    first = top * _over_lenses(air, layout, lambda s: _carries(air, layout, here, s))
    lost = air.extension_public("next_weight") * _over_lenses(air, layout, loss)
    air.accumulate("losses", first, one, lost - air.extension_public("next_loss_weight") * published)
    air.require(LAST, "the records are the accounts' values", air.extension("entries") - air.extension("records"))
    air.require(LAST, "the losses are those of the loss rows", air.extension("losses"))
