"""A tuple left out of its bus, counted twice or once too often, or on another bus: for every fraction of a circuit.

The trace is honest. The prover says something else of one row where it adds up the fractions, and lets the running sum
go on from there. So what is broken is the constraint on that helper, or on the step of the running sum, and where the
sum ends.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from circuits.check import Witness, Words, _evaluate
from prover.kernels.field import from_mont
from tests.malicious.cases import Case
from tests.malicious.cheating_prover import CheatingProver, Lookup
from tests.malicious.forge import Forge
from tests.malicious.published import SCALARS, Published, system_of
from tests.malicious.sheet import broken_labels, cells, neighbourhood
from tests.malicious.world import ACTIVE, Array, World
from verifier.air import ConstraintSystem
from verifier.field import Ext, ext_inverse, ext_mul, ext_sub, ext_zero, lift

WAYS = ("left out", "twice", "once too often", "on another bus")


@dataclass(frozen=True)
class BusCheat:
    """What is said of the fraction `label`, which is number `number` of the circuit."""

    label: str
    number: int
    way: str

    def broken(self, system: ConstraintSystem) -> frozenset[str]:
        """The constraints that it breaks."""
        helper = f"helper{self.number // 2} "
        last = self.number == len(system.fractions) - 1
        (named,) = ["running_sum step"] if last else [c.label for c in system.constraints if c.label.startswith(helper)]
        return frozenset({"running_sum last", named})

    def lie(self, numerator: Ext, denominator: Ext) -> Ext:
        """What is added to the sum."""
        inverse = ext_inverse(denominator)
        true = ext_mul(numerator, inverse)
        if self.way == "left out":
            return ext_sub(ext_zero, true)
        if self.way == "twice":
            return true
        if self.way == "once too often":
            return inverse
        next_tag = ext_inverse(ext_sub(denominator, lift(1)))
        return ext_sub(ext_mul(numerator, next_tag), true)


def bus_cheats(system: ConstraintSystem) -> list[BusCheat]:
    """All of them for a circuit."""
    return [BusCheat(f.label, number, way) for number, f in enumerate(system.fractions) for way in WAYS]


class BusLiar:
    """Tells the lies about one honest exchange."""

    def __init__(self, world: World, seed: int = 0) -> None:
        self.world, self.seed, self.system = world, seed, system_of(world.plan.circuit)
        self.forged = Forge(world.plan).build()
        self.published = Published.by(self.forged)
        rows = np.arange(len(self.forged.rows), dtype=np.uint32)  # tables are in use on their first rows, too
        found = self._values(rows, self.published.scalars(), [f.numerator for f in self.system.fractions])
        self._rows = [np.flatnonzero(value.reshape(-1, len(rows)).any(axis=0)).tolist() for value in found]

    def _values(self, rows: Array, scalars: tuple[Ext, ...], nodes: list[int]) -> list[Words]:
        publics = self.published.public_rows(self.system, rows, scalars)
        witness = Witness(cells({}, self.world, rows), publics, len(rows), scalars)
        values = _evaluate(self.system, witness, np.arange(len(rows)), set(nodes))
        return [values[node] for node in nodes]

    def row(self, cheat: BusCheat) -> int:
        """Where the lie is told: some row on which the fraction counts."""
        return random.Random(f"{self.seed} {cheat}").choice(self._rows[cheat.number])

    def case(self, cheat: BusCheat) -> Case:
        """The honest witness, with the lie put into the extension columns."""
        row, fraction = self.row(cheat), self.system.fractions[cheat.number]

        def tell(lookup: Lookup) -> None:
            scalars = tuple(lookup.scalars[name] for name in self.system.scalars)
            found = self._values(np.array([row], np.uint32), scalars, [fraction.numerator, fraction.denominator])
            delta = cheat.lie(*(_element(value) for value in found))
            if cheat.number < len(self.system.fractions) - 1:
                lookup.add(f"helper{cheat.number // 2}", row, row + 1, delta)
            lookup.add("running_sum", row + 1, ACTIVE, delta)

        return Case(self.forged, cheat=tell)

    def named(self, cheats: list[BusCheat], prover: CheatingProver) -> list[set[str]]:
        """What the row checker says of each, at its own challenges."""
        honest = prover.lookups(self.published.relation(), {}, SCALARS)
        scalars, out = tuple(honest.scalars[name] for name in self.system.scalars), []
        for cheat in cheats:
            lookup = Lookup(honest.words.copy(), honest.names, honest.missing, honest.scalars)
            tell = self.case(cheat).cheat
            if tell is not None:
                tell(lookup)
            rows = neighbourhood([self.row(cheat)])
            extension = from_mont(np.ascontiguousarray(lookup.words[:, rows]))
            out.append(broken_labels(self.world, {}, self.published, None, rows, scalars, extension))
        return out


def _element(value: Words) -> Ext:
    v0, v1, v2, v3, v4 = (*value.reshape(-1).tolist(), 0, 0, 0, 0)[:5]
    return (v0, v1, v2, v3, v4)
