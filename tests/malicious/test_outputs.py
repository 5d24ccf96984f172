"""What a shard publishes: cheats with totals, masks, carries, root and losses, each with the rule that stops it.

Those that a shard alone and one of several can try are named in both, and proved in the latter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from circuits.gadgets.chains import SELECTOR_COLUMNS as SELECTORS
from tests.malicious.cases import Case
from tests.malicious.cases_outputs import SIDES, first_mask, rehash
from tests.malicious.cases_records import LOSSES
from tests.malicious.cases_tree import bump
from tests.malicious.cheating_prover import CheatingProver
from tests.malicious.cheats_outputs import ALONE, CHEATS, ONE_OF_SEVERAL, with_root_level, with_wrap
from tests.malicious.forge import Forge, Forged
from tests.malicious.proving import BUS, accept, refuse
from tests.malicious.published import Published
from tests.malicious.risk_world import STRESS, risk_world
from tests.malicious.rows import ZEROS, Words
from tests.malicious.sheet import broken_labels, broken_rows, columns_of, unbalanced
from tests.malicious.special import POSITIONS, read_carries
from tests.malicious.world import World
from tests.malicious.wrong_records import WRONG_LOSSES, losing
from verifier.errors import ConstraintFailure
from verifier.field import P
from verifier.params import TEST
from verifier.stark import verify_stark

pytestmark = pytest.mark.negative
EVERY = [(name, where) for name, made in CHEATS.items() for where in made.worlds]
NO_SELECTOR, ROOT = "special rows carry no selector", "the root and its level are public"
Exchange = tuple[World, CheatingProver]


@pytest.fixture
def exchanges(
    world: World, cheater: CheatingProver, masked: World, masked_cheater: CheatingProver
) -> dict[str, Exchange]:
    return {ALONE: (world, cheater), ONE_OF_SEVERAL: (masked, masked_cheater)}


@pytest.mark.parametrize(("name", "where"), EVERY)
def test_a_cheat_is_named_and_refused(name: str, where: str, exchanges: dict[str, Exchange]) -> None:
    cheat, (world, cheater) = CHEATS[name].cheat, exchanges[where]
    forged = cheat.forge(world.plan).build()
    columns = columns_of(forged, world)
    assert broken_labels(world, columns, Published.by(forged)) == set()
    assert {v.label for v in unbalanced(world, forged, columns)} == cheat.named
    if where == CHEATS[name].worlds[-1]:
        refuse(Case(forged), BUS, world, cheater, columns)


@pytest.mark.parametrize("name", CHEATS)
def test_without_its_rule_the_cheat_is_proved(name: str, exchanges: dict[str, Exchange]) -> None:
    cheat, (world, cheater) = CHEATS[name].cheat, exchanges[CHEATS[name].worlds[-1]]
    accept(cheat.forge(world.plan).build(), world, cheater, *cheat.rules)


# -- carries ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, -1])
def test_every_carry_has_a_range_of_its_own(times: int, masked: World) -> None:
    """p more or less at any position needs one carry out of its range, and no other carry is."""
    for position in range(POSITIONS):
        forged = with_wrap(masked.plan, position, times).build()
        layout, carries = forged.layout, read_carries(forged.rows, forged.layout, 0)
        low, high = (-(2**22), 4_227_071) if position < 8 else (-(2**15), 2**15 - 1)
        assert [k for k, c in enumerate(carries) if not low <= c <= high and k == position] == [position]
        row = layout.carry(0) if position < 8 else (layout.mask_out(0) if position < 12 else layout.mask_in(0))
        first = 2 * (position % 4)
        label = f"u{position} is below 2^16" if position < 8 else f"y{first}, y{first + 1} are bytes"
        found = unbalanced(masked, forged, columns_of(forged, masked))
        assert (row, label) in {(v.row, v.label) for v in found}


# -- special rows are special rows ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SELECTORS)
def test_a_selector_on_a_special_row(name: str, masked: World) -> None:
    """No account, node or dummy, and above all no entry and no child, shares a row with a published output."""
    layout = masked.plan.layout
    rows = [layout.mask_out(2), layout.mask_in(2), layout.carry(4), layout.root]

    def select(forged: Forged) -> None:
        for row in rows:
            forged.rows[row][name] = 1

    forged = Forge(masked.plan).then(select).build()
    found = broken_rows(masked, columns_of(forged, masked), Published.by(forged))
    assert {v.row for v in found if v.label == NO_SELECTOR} == set(rows)


def test_a_selector_on_a_loss_row(risk: World) -> None:
    at = risk.plan.layout.loss(0)
    forged = Forge(risk.plan).then(lambda forged: forged.rows[at].cells.update(is_dummy=1)).build()
    found = broken_rows(risk, columns_of(forged, risk), Published.by(forged))
    assert (at, NO_SELECTOR) in {(v.row, v.label) for v in found}


def test_every_special_row_counts_to_its_own_output(masked: World, risk: World) -> None:
    """Two masks, two carries, the root, a loss: moved to the next output, they are named where they stand."""
    for world in (masked, risk):
        layout, label = world.plan.layout, "special rows count to their public output"
        for row in range(layout.count):
            forged = Forge(world.plan).then(lambda forged, row=row: bump(forged.rows[row], "total_id")).build()  # type: ignore[misc]
            found = broken_rows(world, columns_of(forged, world), Published.by(forged))
            assert [(v.row, v.label) for v in found] == [(row, label)]


@pytest.mark.parametrize("side", SIDES)
def test_masks_of_both_sides_are_bound(side: str, masked: World) -> None:
    """The forgeries of `cases_outputs` take turns; here each word of either side is named."""
    for word in range(8):

        def hash_another(forged: Forged, word: int = word) -> None:
            forged.rows[first_mask(forged, side) + 2][f"u{word}"] ^= 1

        def start_anew(forged: Forged, word: int = word) -> None:
            bump(forged.rows[first_mask(forged, side) + 3], f"h{word}")
            rehash(forged, side, after=3)

        for change, label in ((hash_another, "a mask's words are below 2^16"), (start_anew, "masks are chained")):
            forged = Forge(masked.plan).then(change).build()
            found = broken_labels(masked, columns_of(forged, masked), Published.by(forged))
            assert found == {f"{label}[{word}]"}


# -- what the verifier computes from the document ---------------------------------------------------------------------


@pytest.mark.parametrize("by", [1, -1])
def test_a_root_of_another_level(by: int, masked: World, masked_cheater: CheatingProver) -> None:
    refuse(Case(with_root_level(masked.plan, by).build()), {ROOT}, masked, masked_cheater)


DOCUMENTS: dict[str, Callable[[Published], Published]] = {
    "another root": lambda p: replace(p, root=other(p.root)),
    "a level more": lambda p: replace(p, levels=p.levels + 1),
    "other masks out": lambda p: replace(p, mask_out=other(p.mask_out)),
    "other masks in": lambda p: replace(p, mask_in=other(p.mask_in)),
    "no masks in": lambda p: replace(p, mask_in=ZEROS),
    "masks exchanged": lambda p: replace(p, mask_out=p.mask_in, mask_in=p.mask_out),
    "an output one more": lambda p: replace(p, outputs=(p.outputs[0] + 1, *p.outputs[1:])),
    "outputs exchanged": lambda p: replace(p, outputs=(p.outputs[1], p.outputs[0], *p.outputs[2:])),
}


def other(words: Words) -> Words:
    return ((words[0] + 1) % P, *words[1:])


@pytest.mark.parametrize("name", DOCUMENTS)
def test_an_honest_proof_under_another_document(
    name: str, masked: World, masked_proof: tuple[Published, bytes]
) -> None:
    """Even if the document's digest, which the proof binds, is left as it was."""
    published, proof = masked_proof
    verify_stark(published.relation(), TEST, proof)
    with pytest.raises(ConstraintFailure):
        verify_stark(DOCUMENTS[name](published).relation(), TEST, proof)


@pytest.fixture(scope="module")
def masked_proof(masked: World, masked_cheater: CheatingProver) -> tuple[Published, bytes]:
    published = Published.by(Forge(masked.plan).build())
    return published, masked_cheater.prove(published.relation(), {}).proof.to_bytes()


# -- losses of one shard of several -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def masked_stress() -> Exchange:
    world = risk_world(STRESS, 1)
    return world, CheatingProver(world)


def test_a_shard_with_losses(masked_stress: Exchange) -> None:
    world, cheater = masked_stress
    accept(Forge(world.plan).build(), world, cheater)


@pytest.mark.parametrize("name", ["one less", "shortfall and deficit exchanged"])
def test_masked_losses_that_are_not_the_accounts(name: str, masked_stress: Exchange) -> None:
    world, cheater = masked_stress
    forged = Forge(world.plan).then(losing(WRONG_LOSSES[name][1])).build()
    refuse(Case(forged), {LOSSES}, world, cheater)


def test_loss_rows_exchanged(masked_stress: Exchange) -> None:
    """Rows and all: each still brings its own lens, which is why the row's output is public."""
    world, cheater = masked_stress
    one, two = (world.plan.layout.loss(lens) for lens in (1, 2))

    def swap(forged: Forged) -> None:
        forged.rows[one], forged.rows[two] = forged.rows[two], forged.rows[one]

    forged = Forge(world.plan).then(swap).build()
    refuse(Case(forged), {LOSSES, "special rows count to their public output"}, world, cheater)


def test_a_published_loss_one_less_than_its_row(masked_stress: Exchange) -> None:
    world, cheater = masked_stress
    output = world.plan.layout.totals + 1

    def change(forged: Forged) -> None:
        forged.publish(output, forged.losses[0] - 1)

    forged = Forge(world.plan).then(change).build()
    columns = columns_of(forged, world)
    assert {v.label for v in unbalanced(world, forged, columns)} == {"totals"}
    refuse(Case(forged), BUS, world, cheater, columns)
    accept(forged, world, cheater, "totals")
