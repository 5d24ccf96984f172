"""The registered circuits: their key files, their sizes, and the properties on which the soundness argument rests."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

import verifier.keys
from circuits import buses
from circuits.check import check_buses, check_rows
from circuits.equity import COLUMNS, PUBLICS
from circuits.export import key_files
from circuits.registry import CIRCUITS
from prover.prove import prove
from prover.randomness import Randomness
from tests.malicious.forge import Forge
from tests.malicious.rows import POSEIDON1, POSEIDON2
from tests.malicious.sheet import SCALARS, Published, broken_labels, columns_of, full_witness, neighbourhood, unbalanced
from tests.malicious.world import World, make_world
from verifier import solvency
from verifier.air import FIRST, LAST, ConstraintSystem
from verifier.params import TEST
from verifier.stark import verify_stark

each_circuit = pytest.mark.parametrize("name", CIRCUITS)
INSTANCES = {"solvency_equity_v1": POSEIDON1, "solvency_equity_v1_poseidon2": POSEIDON2}


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
    assert solvency.CIRCUITS[name].tree_hash == INSTANCES[name]


# -- sizes and degrees ------------------------------------------------------------------------------------------------


@each_circuit
def test_sizes(name: str) -> None:
    system = CIRCUITS[name]()
    assert (len(system.columns), len(system.extension_columns)) == (200, 12)
    assert system.opened_words == (200, 60)
    assert len(system.constraints) == 272
    assert len(system.fractions) == 21
    assert system.columns == COLUMNS
    assert system.publics == PUBLICS
    assert len({*system.columns, *system.extension_columns}) == 212


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
    assert {system.nodes[index] for index in unused} <= {("scalar", 0), ("scalar", 1), ("scalar", 2), ("scalar", 3)}


@each_circuit
def test_tuples_and_accumulators_hold_nothing_that_is_committed_after_the_challenges(name: str) -> None:
    """02a finding 5: with a tuple or an S(r) that is chosen after r, alpha and beta, any leg would match."""
    system = CIRCUITS[name]()
    roots = {n for f in system.fractions for n in (f.numerator, f.denominator)}
    roots |= {n for a in system.accumulators for n in (a.first, a.keep, a.add)}
    nodes = [system.nodes[index] for index in used_nodes(system, roots)]
    assert all(node[1] < len(system.columns) for node in nodes if node[0] == "column")
    assert all(system.scalars[node[1]] != "terminal" for node in nodes if node[0] == "scalar")


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


@pytest.fixture(scope="module", params=CIRCUITS)
def honest(request: pytest.FixtureRequest) -> tuple[ConstraintSystem, World]:
    return CIRCUITS[request.param](), make_world(instance=INSTANCES[request.param])


def test_an_honest_witness_satisfies_every_row_and_every_bus(honest: tuple[ConstraintSystem, World]) -> None:
    """All 130,560 active rows, as the prover's own witness builder fills them."""
    system, world = honest
    instance = INSTANCES[system.name]
    forged = Forge(world.plan, instance).build()
    assert columns_of(forged, world) == {}, "the plain twin of the witness builder disagrees"
    published = Published.by(forged)
    witness = full_witness(world, published, system)
    assert check_rows(system, witness) == []
    assert check_buses(system, witness, published.fractions(*SCALARS)) == []
    assert unbalanced(world, forged, {}, system=system) == []


def test_an_honest_proof_is_accepted(honest: tuple[ConstraintSystem, World]) -> None:
    system, world = honest
    relation = Published.by(Forge(world.plan, INSTANCES[system.name]).build()).relation(system)
    proof = prove(relation, TEST, world.base.copy(), Randomness(b"honest"))
    verify_stark(relation, TEST, proof.to_bytes())


def test_the_witness_of_one_hash_does_not_satisfy_the_other(honest: tuple[ConstraintSystem, World]) -> None:
    system, world = honest
    (other,) = (CIRCUITS[name]() for name in CIRCUITS if name != system.name)
    published = Published.by(Forge(world.plan, INSTANCES[system.name]).build())
    labels = broken_labels(world, {}, published, other, neighbourhood(range(world.used)))
    assert labels
    assert all(label.startswith("permutation") for label in labels)
