"""What a forged witness publishes, and what a verifier computes from it: the twin of `verifier.solvency`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from circuits.check import public_matrix, terminal_of
from circuits.gadgets.records import RecordLayout
from circuits.registry import CIRCUITS, records_of
from tests.malicious.forge import EQUITY, Forged, Leg
from tests.malicious.rows import Words, limbs, number
from tests.malicious.special import OUTPUT_END, Layout, digits
from tests.malicious.world import LOG2_ROWS, ROWS, Array
from verifier.air import ConstraintSystem
from verifier.field import Ext, P, ext_horner, ext_mul, ext_pow, ext_scale, ext_sub, ext_zero, lift
from verifier.stark import Relation

SYSTEM = CIRCUITS[EQUITY]()
SCALARS: tuple[Ext, Ext, Ext] = (
    (1534233191, 902116543, 77812211, 1211112233, 2010203040),
    (998877661, 1717171717, 66554433, 1029384756, 565656565),
    (314159265, 358979323, 846264338, 327950288, 419716939),
)
"""r, alpha, beta for the checkers; a proof draws its own."""
Fraction = tuple[Ext, Ext]


@cache
def system_of(circuit: str) -> ConstraintSystem:
    return CIRCUITS[circuit]()


@dataclass(frozen=True)
class Published:
    """What a statement and the document of a shard would say.

    Args:
        outputs: modulo 2^128, masks included.
        silent: buses, "totals", to which the verifier adds nothing (where the circuit has them switched off).
    """

    circuit: str
    legs: tuple[Leg, ...]
    layout: Layout
    outputs: tuple[int, ...]
    root: Words
    levels: int
    mask_out: Words
    mask_in: Words
    silent: frozenset[str] = frozenset()

    @classmethod
    def by(cls, forged: Forged, unchecked: Collection[str] = ()) -> Published:
        parts = (*forged.totals, number(forged.root.value), *forged.losses)
        return cls(
            circuit=forged.plan.circuit,
            legs=forged.plan.legs,
            layout=forged.layout,
            outputs=tuple((part + forged.mask(output)) % OUTPUT_END for output, part in enumerate(parts)),
            root=forged.root.digest,
            levels=forged.root.level,
            mask_out=forged.mask_out,
            mask_in=forged.mask_in,
            silent=frozenset({"totals"} & set(unchecked)),
        )

    @property
    def records(self) -> RecordLayout | None:
        return records_of(self.circuit)

    def publics(self) -> dict[str, list[int]]:
        """The public columns that are known before any challenge."""
        layout, count = self.layout, self.layout.count
        masks, ends = range(layout.outputs if layout.masked else 0), range(1, layout.masks)
        chosen = {
            "is_mask_out": {layout.mask_out(o) for o in masks},
            "is_mask_in": {layout.mask_in(o) for o in masks},
            "mask_goes_on": {layout.mask_out(o) - 1 for o in ends} | {layout.mask_in(o) - 1 for o in ends},
            "ends_mask_out": {layout.mask_out(o) for o in masks[-1:]},
            "ends_mask_in": {layout.mask_in(o) for o in masks[-1:]},
            "is_carry": {layout.carry(o) for o in range(layout.outputs)},
            "is_root": {layout.root},
        }
        if self.records is not None:
            chosen["is_loss"] = {layout.loss(lens) for lens in range(layout.lenses)}
        out = {name: [int(row in rows) for row in range(count)] for name, rows in chosen.items()}
        out["output"] = [layout.output_of(row) or 0 for row in range(count)]
        if self.records is not None:
            rows = self.records.rows
            out["starts_record"] = [1] + [0] * (rows - 1)
            out["ends_record"] = [0] * (rows - 1) + [1]
            out["in_totals_record"] = [1] * rows
            out["next_in_totals_record"] = [1] * (rows - 1)
        return out

    def derived(self, scalars: Mapping[str, Ext]) -> dict[str, list[int]]:
        """A fingerprint per leg; r^(lowest position of the next row); r^(16 lens) before each loss row."""
        rows = leg_rows(self.legs, scalars["beta"])
        out = {f"leg_row{k}": [row[k] for row in rows] for k in range(5)}
        if self.records is not None:
            count, window, r = self.records.rows, self.records.window, scalars["r"]
            weights = [ext_pow(r, window * (count - 1 - (row + 1) % count)) for row in range(count)]
            out |= {f"next_weight{k}": [weight[k] for weight in weights] for k in range(5)}
            losses = {self.layout.loss(lens) - 1: ext_pow(r, 16 * lens) for lens in range(self.layout.lenses)}
            weights = [losses.get(row, ext_zero) for row in range(self.layout.count)]
            out |= {f"next_loss_weight{k}": [weight[k] for weight in weights] for k in range(5)}
        return out

    def digests(self, r: Ext, alpha: Ext, beta: Ext) -> dict[str, Ext]:
        """sum of beta^(k + 1) e_k of the root with its level, and of the digests of the masks."""
        words = {"root": (*self.root, self.levels + 1), "mask_out": self.mask_out, "mask_in": self.mask_in}
        return {name: ext_sub(ext_zero, fingerprint(ext_zero, beta, 0, e)) for name, e in words.items()}

    def scalars(self) -> tuple[Ext, ...]:
        """Of the checkers; the terminal value is of no use to them."""
        known = {"x": (0, 1, 0, 0, 0), **self.digests(*SCALARS)}
        known |= dict(zip(("r", "alpha", "beta"), SCALARS, strict=True))
        return tuple(known.get(name, ext_zero) for name in system_of(self.circuit).scalars)

    def fractions(self, r: Ext, alpha: Ext, beta: Ext) -> list[Fraction]:
        """The verifier's own: one per output."""
        out = []
        for output, amount in enumerate(() if "totals" in self.silent else self.outputs):
            coefficients = digits(amount, self.layout.in_bytes(output))
            out.append((ext_horner(map(lift, coefficients), r), fingerprint(alpha, beta, 5, [output])))
        return out

    def relation(self, system: ConstraintSystem | None = None, binding: bytes = b"statement" + bytes(23)) -> Relation:
        return Relation(
            system=system or system_of(self.circuit),
            log2_rows=LOG2_ROWS,
            publics=self.publics(),
            terminal=lambda r, alpha, beta: terminal_of(self.fractions(r, alpha, beta)),
            binding=binding,
            derived=self.derived,
            scalars=self.digests,
        )

    def public_rows(self, system: ConstraintSystem, rows: Array, scalars: Sequence[Ext] = ()) -> Array:
        """(public columns, rows) words, from the scalars of the checkers unless others are given."""
        values = self.relation(system).public_values(scalars or self.scalars())
        return np.ascontiguousarray(public_matrix(system, values, ROWS)[:, rows])


def leg_tuple(index: int, leg: Leg) -> list[int]:
    """A row of the leg table as it goes over the bus."""
    digits = [digit for lens in leg.lens_digits for digit in lens]
    return [word % P for word in (index, leg.total, *limbs(leg.cap, 4), *leg.digits, *digits)]


@lru_cache(maxsize=16)
def leg_rows(legs: tuple[Leg, ...], beta: Ext) -> list[Ext]:
    """tag + sum of beta^(k + 1) e_k of every row of the leg table."""
    return [ext_sub(ext_zero, fingerprint(ext_zero, beta, 3, leg_tuple(index, leg))) for index, leg in enumerate(legs)]


def fingerprint(alpha: Ext, beta: Ext, tag: int, values: Iterable[int]) -> Ext:
    out, power = ext_sub(alpha, lift(tag)), beta
    for value in values:
        out = ext_sub(out, ext_scale(power, value % P))
        power = ext_mul(power, beta)
    return out
