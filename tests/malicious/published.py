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
from tests.malicious.rows import Item, limbs
from tests.malicious.world import LOG2_ROWS, ROWS, Array
from verifier.air import ConstraintSystem
from verifier.field import Ext, P, ext_horner, ext_mul, ext_one, ext_pow, ext_scale, ext_sub, ext_zero, lift
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
    """What a statement would say: the leg table, the totals, the losses and the root with the liability.

    Args:
        silent: buses, "totals" or "tree", to which the verifier adds nothing (where the circuit has them switched off).
    """

    circuit: str
    legs: tuple[Leg, ...]
    total_count: int
    totals: tuple[int, ...]
    root: Item
    losses: tuple[int, ...] = ()
    silent: frozenset[str] = frozenset()

    @classmethod
    def by(cls, forged: Forged, unchecked: Collection[str] = ()) -> Published:
        silent = {name for name, label in (("totals", "totals"), ("tree", "tree consume")) if label in unchecked}
        plan = forged.plan
        totals, losses = tuple(forged.totals), tuple(forged.losses)
        return cls(plan.circuit, plan.legs, plan.total_count, totals, forged.root, losses, frozenset(silent))

    @property
    def records(self) -> RecordLayout | None:
        return records_of(self.circuit)

    def publics(self) -> dict[str, list[int]]:
        """The public columns that are known before any challenge."""
        out = {"is_total_row": [1] * self.total_count, "total_row_id": list(range(self.total_count))}
        if self.records is not None:
            rows = self.records.rows
            out["starts_record"] = [1] + [0] * (rows - 1)
            out["ends_record"] = [0] * (rows - 1) + [1]
            out["in_totals_record"] = [1] * rows
            out["next_in_totals_record"] = [1] * (rows - 1)
        return out

    def derived(self, scalars: Mapping[str, Ext]) -> dict[str, list[int]]:
        """The others: a fingerprint per leg, and r^(lowest position of the next row)."""
        rows = leg_rows(self.legs, scalars["beta"])
        out = {f"leg_row{k}": [row[k] for row in rows] for k in range(5)}
        if self.records is not None:
            count, window = self.records.rows, self.records.window
            weights = [ext_pow(scalars["r"], window * (count - 1 - (row + 1) % count)) for row in range(count)]
            out |= {f"next_weight{k}": [weight[k] for weight in weights] for k in range(5)}
        return out

    def losses_at(self, r: Ext) -> Ext:
        digits = [byte for loss in self.losses for byte in limbs(loss, 16, 8)]
        return ext_horner(map(lift, digits), r)

    def scalars(self) -> tuple[Ext, ...]:
        """Of the checkers; the terminal value is of no use to them."""
        known = {"x": (0, 1, 0, 0, 0), "losses": self.losses_at(SCALARS[0])}
        known |= dict(zip(("r", "alpha", "beta"), SCALARS, strict=True))
        return tuple(known.get(name, ext_zero) for name in system_of(self.circuit).scalars)

    def fractions(self, r: Ext, alpha: Ext, beta: Ext) -> list[Fraction]:
        """The verifier's own: one per total, and the root."""
        out = []
        for total_id, amount in enumerate(() if "totals" in self.silent else self.totals):
            digits = [*limbs(amount, 7, 8), amount >> 56]
            numerator = ext_horner([lift(digit) for digit in digits], r)
            out.append((numerator, fingerprint(alpha, beta, 5, [total_id])))
        if "tree" not in self.silent:
            root = [self.root.level, *self.root.digest, *self.root.value]
            out.append((ext_one, fingerprint(alpha, beta, 4, root)))
        return out

    def relation(self, system: ConstraintSystem | None = None, binding: bytes = b"statement" + bytes(23)) -> Relation:
        return Relation(
            system=system or system_of(self.circuit),
            log2_rows=LOG2_ROWS,
            publics=self.publics(),
            terminal=lambda r, alpha, beta: terminal_of(self.fractions(r, alpha, beta)),
            binding=binding,
            derived=self.derived,
            losses=self.losses_at,
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
