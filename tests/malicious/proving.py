"""What the tests do with a forgery: offer its proof to the verifier, with and without the rule that it breaks."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from prover.kernels.field import from_mont
from tests.malicious.cases import Case
from tests.malicious.cheating_prover import CheatingProver, verifier_without
from tests.malicious.circuits_without import system_without
from tests.malicious.forge import Forged
from tests.malicious.published import SCALARS, Published, system_of
from tests.malicious.sheet import Columns, broken_labels, columns_of, neighbourhood, touched, unbalanced
from tests.malicious.world import World
from verifier.errors import ConstraintFailure, Reason
from verifier.params import TEST
from verifier.stark import verify_stark

BUS = frozenset({"running_sum last"})
"""A sum of fractions that misses the terminal value shows here, when all else is computed as it should be."""
IDENTITY = "the value identity holds where a chain closes"


def refuse(
    case: Case, expected: Iterable[str], world: World, cheater: CheatingProver, columns: Columns | None = None
) -> None:
    """The row checker names exactly `expected`, the verifier refuses, and one that does not check them accepts.

    The prover leaves the broken constraints out of the quotient, so that everything else about the proof is right.
    """
    expected, published = frozenset(expected), Published.by(case.forged)
    columns = columns_of(case.forged, world) if columns is None else columns
    relation = published.relation()
    attempt = cheater.prove(relation, columns, expected, case.cheat)
    rows = neighbourhood({*touched(columns, world).tolist(), *range(len(case.forged.rows) + 1), 70, 71})
    found = broken_labels(world, columns, published, None, rows, attempt.scalars, attempt.extension(rows))
    assert found == expected
    data = attempt.proof.to_bytes()
    with pytest.raises(ConstraintFailure) as refusal:
        verify_stark(relation, TEST, data)
    assert refusal.value.reason is Reason.CONSTRAINTS
    with verifier_without(expected):
        verify_stark(relation, TEST, data)


def name_only(case: Case, expected: Iterable[str], world: World, cheater: CheatingProver) -> None:
    """As `refuse`, as far as the row checker goes."""
    published, columns = Published.by(case.forged), columns_of(case.forged, world)
    lookup = cheater.lookups(published.relation(), columns, SCALARS, case.cheat)
    rows = neighbourhood({*touched(columns, world).tolist(), *range(len(case.forged.rows) + 1), 70, 71})
    extension = from_mont(np.ascontiguousarray(lookup.words[:, rows]))
    scalars = tuple(lookup.scalars[name] for name in published.relation().system.scalars)
    assert broken_labels(world, columns, published, None, rows, scalars, extension) == set(expected)


def accept(forged: Forged, world: World, cheater: CheatingProver, *off: str, columns: Columns | None = None) -> None:
    """The witness satisfies the circuit without the rules in `off`, and its proof is accepted."""
    circuit = world.plan.circuit
    system = system_without(*off, circuit=circuit) if off else system_of(circuit)
    columns = columns_of(forged, world, off) if columns is None else columns
    published = Published.by(forged, off)
    assert broken_labels(world, columns, published, system) == set()
    assert unbalanced(world, forged, columns, system=system, unchecked=off) == []
    relation = published.relation(system)
    verify_stark(relation, TEST, cheater.prove(relation, columns).proof.to_bytes())
