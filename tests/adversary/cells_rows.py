"""Rows of an honest trace by kind: read off selectors and public columns, so that a new kind is found by itself.

A kind is what stands on the row, on the one before and on the one after, and whether the row is at an end of something:
of the active rows, of the hidden ones, of the counting tables.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from circuits.check import public_matrix
from circuits.registry import records_of
from prover.kernels.field import from_mont
from tests.malicious.cheating_prover import CheatingProver
from tests.malicious.forge import Forge
from tests.malicious.published import SCALARS, Published
from tests.malicious.risk_world import risk_world
from tests.malicious.world import ACTIVE, ROWS, Array, World, make_world
from verifier.air import ConstraintSystem
from verifier.field import Ext
from verifier.stark import Relation

Rows = npt.NDArray[np.int64]
Kind = tuple[str, str, str, str]
"""Patterns of the row before, of the row and of the row after, and which end the row is at."""
SHARDS = (None, 1)
"""A publication of one shard, and one shard of several."""
TABLE_END = 2**16 - 1
ENDS = {
    0: "first row",
    1: "second row",
    TABLE_END - 1: "last but one of the tables",
    TABLE_END: "last of the tables",
    TABLE_END + 1: "after the tables",
    ACTIVE - 2: "last active row but one",
    ACTIVE - 1: "last active row",
    ACTIVE: "first hidden row",
    ROWS - 1: "last hidden row",
}
HIDDEN = "hidden"


@dataclass(frozen=True)
class Trace:
    """An honest trace with everything that the checkers read, canonical.

    Args:
        extension: (5 E, N) at the scalars of the checkers. publics: (public columns, N).
    """

    world: World
    prover: CheatingProver
    relation: Relation
    scalars: tuple[Ext, ...]
    extension: Array
    publics: Array

    @classmethod
    def of(cls, world: World, system: ConstraintSystem | None = None, prover: CheatingProver | None = None) -> Trace:
        """`system`: another than the registered one, for which the trace is honest, too. `prover`: of this world."""
        prover = prover or CheatingProver(world)
        relation = Published.by(Forge(world.plan).build()).relation(system)
        lookup = prover.lookups(relation, {}, SCALARS)
        scalars = tuple(lookup.scalars[name] for name in relation.system.scalars)
        publics = public_matrix(relation.system, relation.public_values(scalars), ROWS)
        return cls(world, prover, relation, scalars, from_mont(lookup.words), publics)

    @property
    def system(self) -> ConstraintSystem:
        return self.relation.system

    @property
    def name(self) -> str:
        return f"{self.system.name}, {'one of several shards' if self.world.plan.masks else 'one shard'}"

    @cached_property
    def at(self) -> dict[str, int]:
        """Index of each column, extension columns included."""
        return {name: index for index, name in enumerate(self.system.all_columns)}

    @cached_property
    def patterns(self) -> list[str]:
        """Per row: its selectors, its public bits, and whether its record says anything."""
        columns = {n: self.world.honest[self.at[n]] for n in self.system.columns if n.startswith("is_")}
        columns |= {
            name: self.publics[k] for k, (name, _) in enumerate(self.system.publics) if self.publics[k].max() <= 1
        }
        records = [self.at[n] for n in self.system.columns if n.startswith("lens") and "_byte" in n]
        if records:
            columns["in_use"] = self.world.honest[records].any(axis=0).astype(np.uint32)
        code = sum((words != 0).astype(np.int64) << k for k, words in enumerate(columns.values()))
        names = {c: "+".join(n for k, n in enumerate(columns) if c >> k & 1) for c in np.unique(code).tolist()}
        return [HIDDEN if row >= ACTIVE else names[c] for row, c in enumerate(np.asarray(code).tolist())]

    @cached_property
    def kinds(self) -> dict[Kind, list[int]]:
        """The rows of each kind."""
        out: dict[Kind, list[int]] = {}
        patterns = self.patterns
        for row in range(ROWS):
            around = patterns[row - 1] if row else "", patterns[row], patterns[(row + 1) % ROWS]
            out.setdefault((*around, ENDS.get(row, "")), []).append(row)
        return out

    def sample(self, per_kind: int, seed: int) -> Rows:
        """Ascending rows, `per_kind` of each kind or all that there are."""
        draw = random.Random(f"{seed} {self.name}")
        chosen = [row for rows in self.kinds.values() for row in draw.sample(rows, min(per_kind, len(rows)))]
        return np.array(sorted(chosen), np.int64)


def traces(circuits: Iterable[str], shards: Iterable[int | None] = SHARDS) -> Iterator[Trace]:
    """One trace of each circuit and publication, made when it is its turn."""
    for circuit in circuits:
        for shard in shards:
            yield trace_of(circuit, shard)


@lru_cache(maxsize=1)
def trace_of(circuit: str, shard: int | None) -> Trace:
    """Kept until another one is asked for: each takes half a gigabyte."""
    plain = records_of(circuit) is None
    return Trace.of(make_world(circuit=circuit, shard=shard) if plain else risk_world(circuit, shard))
