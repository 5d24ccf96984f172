"""The registered circuits: their key files, their sizes, and the properties on which the soundness argument rests."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

import verifier.keys
from circuits import buses
from circuits.check import check_buses, check_rows
from circuits.export import key_files
from circuits.gadgets.outputs import LOSS_PUBLICS
from circuits.gadgets.records import RECORD_PUBLICS
from circuits.registry import CIRCUITS, records_of
from circuits.solvency import COLUMNS, PUBLICS
from prover.prove import prove
from prover.randomness import Randomness
from tests.malicious.forge import EQUITY, Forge
from tests.malicious.published import SCALARS, Published
from tests.malicious.risk_world import risk_world
from tests.malicious.rows import POSEIDON1, POSEIDON2
from tests.malicious.sheet import broken_labels, columns_of, full_witness, neighbourhood, unbalanced
from tests.malicious.world import World, make_world
from verifier import solvency
from verifier.air import FIRST, LAST, ConstraintSystem
from verifier.params import HIDDEN_ROWS, TEST
from verifier.stark import verify_stark

each_circuit = pytest.mark.parametrize("name", CIRCUITS)
POSEIDON2_EQUITY = "solvency_equity_v1_poseidon2"
# base columns, extension columns, constraints, fractions
SIZES = {
    EQUITY: (200, 12, 291, 21),
    POSEIDON2_EQUITY: (200, 12, 291, 21),
    "solvency_risk_v1": (220, 19, 307, 29),
    "solvency_stress_v1_1": (260, 27, 323, 45),
    "solvency_stress_v1_3": (298, 29, 341, 49),
    "solvency_stress_v1_10": (494, 57, 425, 105),
}


# -- key files --------------------------------------------------------------------------------------------------------


def test_the_key_files_are_what_the_circuits_say() -> None:
    """`make keys` would change nothing, and the verifier accepts exactly these bytes."""
    folder = Path(verifier.keys.__file__).parent
    exported = key_files()
    assert {path.name for path in folder.glob("*.json")} == set(exported)
    for file, data in exported.items():
        assert (folder / file).read_bytes() == data
        assert hashlib.sha256(data).hexdigest() == verifier.keys.PINS[file.removesuffix(".json")]
    assert set(verifier.keys.PINS) == set(CIRCUITS) == set(solvency.CIRCUITS)


@each_circuit
def test_the_verifier_reads_the_circuit_that_was_written(name: str) -> None:
    built, read = CIRCUITS[name](), solvency.constraint_system(name)
    assert read == built
    assert read.digest == built.digest
    assert solvency.CIRCUITS[name].tree_hash == (POSEIDON2 if name == POSEIDON2_EQUITY else POSEIDON1)


# -- sizes and degrees ------------------------------------------------------------------------------------------------


@each_circuit
def test_sizes(name: str) -> None:
    system, layout = CIRCUITS[name](), records_of(name)
    sizes = (len(system.columns), len(system.extension_columns), len(system.constraints), len(system.fractions))
    assert sizes == SIZES[name]
    assert system.opened_words == (sizes[0], 5 * sizes[1])
    assert len({*system.columns, *system.extension_columns}) == sizes[0] + sizes[1]
    if layout is None:
        assert (system.columns, system.publics) == (COLUMNS, PUBLICS)
        return
    assert (system.columns, system.publics) == ((*COLUMNS, *layout.columns), (*PUBLICS, *RECORD_PUBLICS, *LOSS_PUBLICS))
    known = solvency.CIRCUITS[name]
    assert (layout.lenses, layout.rows) == (known.lenses, known.record_rows)
    assert layout.lenses == 1 + 2 * known.scenarios
    assert layout.rows * layout.window == solvency.LENS_POSITIONS
    # The last record ends with the last active row only if records divide what is hidden.
    assert HIDDEN_ROWS % layout.rows == 0
    assert sizes[0] == 200 + layout.lenses * (8 + 3 * layout.window)


NOTHING: tuple[object, ...] = ("zero",)


def digest_of(meaning: tuple[object, ...]) -> str:
    return hashlib.sha256(repr(meaning).encode()).hexdigest()


ZERO_MEANING = digest_of(NOTHING)


def meanings(system: ConstraintSystem) -> list[str]:
    """A digest of what each node computes, in names instead of numbers: equal for equal formulas of two circuits.

    There are no loss rows: their selector is 0, and what it gates is left out.
    """
    out: list[str] = []
    for node in system.nodes:
        kind: str = node[0]
        meaning: tuple[object, ...] = (kind,)
        if kind == "column":
            meaning = (kind, system.all_columns[node[1]], node[2])
        elif kind == "public":
            meaning = (kind, *system.publics[node[1]]) if system.publics[node[1]][0] != "is_loss" else NOTHING
        elif kind == "scalar":
            meaning = (kind, system.scalars[node[1]])
        elif kind == "linear":
            meaning = (kind, node[1], *sorted((out[child], c) for c, child in node[2] if out[child] != ZERO_MEANING))
        else:
            factors = sorted(out[child] for child in node[1:])
            meaning = (kind, *factors) if ZERO_MEANING not in factors else NOTHING
        out.append(digest_of(meaning))
    return out


@pytest.mark.parametrize("name", [name for name in CIRCUITS if records_of(name)])
def test_records_come_on_top_of_what_equity_proves(name: str) -> None:
    """Every constraint and every fraction of the equity circuit is there, word for word, but for the longer leg tuple
    and the loss rows; so what is shown of them there holds here."""
    equity, system = CIRCUITS[EQUITY](), CIRCUITS[name]()
    ours, theirs = meanings(system), meanings(equity)
    constraints = {c.label: (c.domain, ours[c.node]) for c in system.constraints}
    for constraint in equity.constraints:
        if not constraint.label.startswith(("helper", "running_sum")):
            assert constraints[constraint.label] == (constraint.domain, theirs[constraint.node]), constraint.label
    fractions = {f.label: (ours[f.numerator], ours[f.denominator]) for f in system.fractions}
    for fraction in equity.fractions:
        numerator, denominator = fractions[fraction.label]
        assert numerator == theirs[fraction.numerator]
        assert (denominator == theirs[fraction.denominator]) == (fraction.label != "entry leg"), fraction.label
    layout = records_of(name)
    assert layout is not None
    looked_up = {f"{cell} is below 2^16" for cell in layout.cells("low")}
    looked_up |= {f"{a}, {b} are bytes" for a, b in zip(layout.cells("byte"), layout.cells("high"), strict=True)}
    assert fractions.keys() == {f.label for f in equity.fractions} | looked_up


@each_circuit
def test_degrees(name: str) -> None:
    system = CIRCUITS[name]()
    degrees = {c.label: system.degrees[c.node] for c in system.constraints}
    assert set(degrees.values()) <= {1, 2, 3}
    assert max(degrees[c.label] for c in system.constraints if c.domain in (FIRST, LAST)) <= 2
    assert len(degrees) == len(system.constraints)


def used_nodes(system: ConstraintSystem, roots: set[int]) -> set[int]:
    found: set[int] = set()
    for index in range(len(system.nodes) - 1, -1, -1):
        node = system.nodes[index]
        if index in roots or index in found:
            found.add(index)
            found.update(child for _, child in node[2]) if node[0] == "linear" else None
            found.update(node[1:]) if node[0] == "product" else None
    return found


@each_circuit
def test_every_node_is_used(name: str) -> None:
    system = CIRCUITS[name]()
    roots = {c.node for c in system.constraints} | {n for f in system.fractions for n in (f.numerator, f.denominator)}
    roots |= {n for a in system.accumulators for n in (a.first, a.keep, a.add)}
    unused = set(range(len(system.nodes))) - used_nodes(system, roots)
    assert {system.nodes[index][0] for index in unused} <= {"scalar"}


@each_circuit
def test_tuples_and_accumulators_hold_nothing_that_is_committed_after_the_challenges(name: str) -> None:
    """02a finding 5: with a tuple or an S(r) that is chosen after r, alpha and beta, any leg would match."""
    system = CIRCUITS[name]()
    roots = {n for f in system.fractions for n in (f.numerator, f.denominator)}
    roots |= {n for a in system.accumulators for n in (a.first, a.keep, a.add)}
    nodes = [system.nodes[index] for index in used_nodes(system, roots)]
    late = ("terminal", "root", "mask_out", "mask_in")
    assert all(node[1] < len(system.columns) for node in nodes if node[0] == "column")
    assert all(system.scalars[node[1]] not in late for node in nodes if node[0] == "scalar")


def degree_in(system: ConstraintSystem, scalar: str) -> list[int]:
    out: list[int] = []
    for node in system.nodes:
        if node[0] == "linear":
            out.append(max((out[child] for _, child in node[2]), default=0))
        elif node[0] == "product":
            out.append(out[node[1]] + out[node[2]])
        else:
            out.append(int(node == ("scalar", system.scalars.index(scalar))))
    return out


@each_circuit
def test_what_the_soundness_table_reads_is_true(name: str) -> None:
    """Its terms: the highest power of r in an identity, and of beta in a denominator, plus one for the tag."""
    system = CIRCUITS[name]()
    in_r, in_beta = degree_in(system, "r"), degree_in(system, "beta")
    highest = max(in_r[n] for a in system.accumulators for n in (a.first, a.keep, a.add))
    assert highest <= system.row_polynomial_degree
    assert max(in_r[f.numerator] for f in system.fractions) <= system.row_polynomial_degree
    assert all(in_r[f.denominator] == 0 == in_beta[f.numerator] for f in system.fractions)
    assert max(in_beta[f.denominator] for f in system.fractions) + 1 == system.value_tuple_width


def test_every_bus_has_a_tag_of_its_own() -> None:
    tags = {name: value for name, value in vars(buses).items() if name.startswith("TAG_")}
    assert len(set(tags.values())) == len(tags) == 5
    assert 0 not in tags.values()
    assert (buses.TAG_TREE, buses.TAG_TOTAL) == (solvency.TAG_TREE, solvency.TAG_TOTAL)


# -- honest witnesses -------------------------------------------------------------------------------------------------


SHARDS = [(name, None) for name in CIRCUITS] + [(EQUITY, 1), (POSEIDON2_EQUITY, 1), ("solvency_risk_v1", 1)]
"""Circuits, and the number of a shard of several; None for one shard alone."""


@pytest.fixture(scope="module", params=SHARDS, ids=lambda param: f"{param[0]}-{param[1]}")
def world(request: pytest.FixtureRequest) -> World:
    name, shard = request.param
    return risk_world(name, shard) if records_of(name) else make_world(circuit=name, shard=shard)


def test_an_honest_witness_satisfies_every_row_and_every_bus(world: World) -> None:
    """All 130,560 active rows, as the prover's own witness builder fills them."""
    system, forged = CIRCUITS[world.plan.circuit](), Forge(world.plan).build()
    assert columns_of(forged, world) == {}, "the plain twin of the witness builder disagrees"
    published = Published.by(forged)
    witness = full_witness(world, published)
    assert check_rows(system, witness) == []
    if world.plan.circuit == EQUITY:
        assert check_buses(system, witness, published.fractions(*SCALARS)) == []
    assert unbalanced(world, forged, {}) == []


def test_an_honest_proof_is_accepted(world: World) -> None:
    relation = Published.by(Forge(world.plan).build()).relation()
    proof = prove(relation, TEST, world.base.copy(), Randomness(b"honest"))
    verify_stark(relation, TEST, proof.to_bytes())


@pytest.mark.parametrize(("name", "other"), [(EQUITY, POSEIDON2_EQUITY), (POSEIDON2_EQUITY, EQUITY)])
def test_the_witness_of_one_hash_does_not_satisfy_the_other(name: str, other: str) -> None:
    world = make_world(circuit=name)
    published = Published.by(Forge(world.plan).build())
    labels = broken_labels(world, {}, published, CIRCUITS[other](), neighbourhood(range(world.used)))
    assert labels
    assert all(label.startswith("permutation") for label in labels)
