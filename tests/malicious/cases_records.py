"""Forgeries of value records: signs, carries, the polynomials of entries, records and losses."""

from __future__ import annotations

from collections.abc import Callable

from circuits.gadgets.records import RecordLayout
from circuits.registry import records_of
from tests.malicious.cases import Case, also, breaks
from tests.malicious.cheating_prover import Lookup
from tests.malicious.forge import Forge, Forged, Plan
from tests.malicious.records import Records
from tests.malicious.risk_world import UNDER_WATER
from tests.malicious.rows import limbs, number
from tests.malicious.world import ACTIVE
from verifier.field import Ext, ext_inverse, ext_mul, ext_pow, ext_sub, ext_zero
from verifier.solvency import LENS_POSITIONS

VALUES = "the records are the accounts' values"
LOSSES = "the losses are those of the loss rows"
LOSER = int(UNDER_WATER.removeprefix("account "))
"""Below zero under every lens that is in use, by a multiple of three."""
WRAP = 256**LENS_POSITIONS


def layout_of(plan: Plan) -> RecordLayout:
    layout = records_of(plan.circuit)
    assert layout is not None
    return layout


def records_in(forged: Forged) -> Records:
    assert forged.records is not None
    return forged.records


def with_records(plan: Plan, change: Callable[[Records], object]) -> Forge:
    """A change to the records; what they lose is what the loss rows say, and is published."""

    def change_and_publish(forged: Forged) -> None:
        records = records_in(forged)
        change(records)
        forged.lose([number(records.lost(lens), 8) for lens in range(records.layout.lenses)])
        records.fit_totals(forged.losses)

    return Forge(plan).then(change_and_publish)


@breaks(r"lens(\d+)_negative is a bit")
def sign_of_two(plan: Plan, lens: int) -> Forge:
    """With sign 2 a record says -3 v and adds 2 v to the losses: a third of a deficit is gone."""

    def change(records: Records) -> None:
        values, value = records.of[LOSER][lens], records.value(LOSER, lens)
        assert value % 3 == 0
        values.sign, values.bytes = 2, list(limbs(abs(value) // 3, LENS_POSITIONS, 8))
        values.fit(records.coefficients[LOSER][lens])

    return with_records(plan, change)


@breaks(r"lens(\d+)_negative is kept in a record")
def sign_that_changes_inside(plan: Plan, lens: int) -> Forge:
    """The lowest bytes count up, the others down: more is lost than there is."""

    def change(records: Records) -> None:
        values, bits = records.of[LOSER][lens], 8 * records.layout.window
        high, low = divmod(-records.value(LOSER, lens), 1 << bits)
        values.sign = 1
        if low:
            values.bytes = list(limbs(((high + 1) << bits) + (1 << bits) - low, LENS_POSITIONS, 8))
        values.negative[-1] = 0
        values.fit(records.coefficients[LOSER][lens])

    return with_records(plan, change)


@breaks(r"lens(\d+)_negative is 0 in the totals record")
def loss_of_nobody(plan: Plan, lens: int) -> Forge:
    def change(records: Records) -> None:
        records.totals[lens].sign, records.totals[lens].bytes[0] = 1, 5

    return with_records(plan, change)


@breaks(r"lens (\d+) has no carry at the top")
def carry_out_of_the_record(plan: Plan, lens: int) -> Forge | Case:
    """A deficit D is shown as 2^128 - D; the carry of -1 goes to the next lens, or to the account before."""

    def change(records: Records) -> None:
        values = records.of[LOSER][lens]
        values.sign, values.bytes = 0, list(limbs(WRAP + records.value(LOSER, lens), LENS_POSITIONS, 8))
        carries = [0]
        for coefficient, byte in zip(records.coefficients[LOSER][lens], values.bytes, strict=True):
            carries.append((coefficient - byte + carries[-1]) // 256)
        assert carries[-1] == -1
        values.carries = carries[1:]
        account, after = (LOSER, lens + 1) if lens + 1 < records.layout.lenses else (LOSER - 1, 0)
        lowest, *others = records.coefficients[account][after]
        records.of[account][after].claim([lowest - 1, *others])

    def change_idle(records: Records) -> None:
        values = records.of[LOSER][lens]
        values.carries = [*values.carries[:-1], 1]

    if any(any(leg.lens_digits[lens]) for leg in plan.legs):
        return with_records(plan, change)
    why = "where nobody has a value, no bytes make up for a carry"
    return also(with_records(plan, change_idle), VALUES, why=why)


# -- extension columns: a deficit is hidden, or published one too small, and a jump makes up for it -------------------


def hidden_deficit(plan: Plan) -> Forge:
    """The record of an account below zero says nothing."""
    return with_records(plan, lambda records: records.of.__setitem__(LOSER, records.blank()))


def published_less(plan: Plan) -> Forge:
    """The loss row says so, too, and everything fits it but the records."""
    return Forge(plan).then(lambda forged: forged.lose([forged.losses[0] - 1, *forged.losses[1:]]))


def difference(lookup: Lookup, name: str, target: str) -> Ext:
    """By how much one of the two columns falls short of the other on the last row."""
    return ext_sub(lookup.value(target, ACTIVE - 1), lookup.value(name, ACTIVE - 1))


@breaks(VALUES)
def deficit_of_nobody(plan: Plan) -> Forge:
    return hidden_deficit(plan)


@breaks(LOSSES)
def losses_one_less(plan: Plan) -> Forge:
    return published_less(plan)


@breaks("entries first")
def entries_start_elsewhere(plan: Plan) -> Case:
    """What is there from the start moves up with every account."""
    forged = hidden_deficit(plan).build()
    opened = [at for at, row in enumerate(forged.rows) if row["is_open"]]

    def cheat(lookup: Lookup) -> None:
        step = ext_pow(lookup.scalars["r"], LENS_POSITIONS * layout_of(plan).lenses)
        steps = ext_pow(step, len(opened))
        delta = ext_mul(difference(lookup, "entries", "records"), ext_inverse(steps))
        for start, stop in zip([0, *opened], [*opened, ACTIVE], strict=True):
            lookup.add("entries", start, stop, delta)
            delta = ext_mul(delta, step)

    return Case(forged, cheat=cheat)


@breaks("records first")
def records_start_elsewhere(plan: Plan) -> Case:
    layout = layout_of(plan)

    def cheat(lookup: Lookup) -> None:
        within = ext_pow(lookup.scalars["r"], layout.window)
        between = ext_pow(lookup.scalars["r"], LENS_POSITIONS * (layout.lenses - 1) + layout.window)
        deltas: list[Ext] = [(1, 0, 0, 0, 0)]
        while len(deltas) < ACTIVE:
            deltas.append(ext_mul(deltas[-1], within if len(deltas) % layout.rows else between))
        scale = ext_mul(difference(lookup, "records", "entries"), ext_inverse(deltas[-1]))
        lookup.add_each("records", 0, ACTIVE, [ext_mul(scale, delta) for delta in deltas])

    return Case(hidden_deficit(plan).build(), cheat=cheat)


@breaks("entries step")
def entries_jump(plan: Plan) -> Case:
    forged = hidden_deficit(plan).build()

    def cheat(lookup: Lookup) -> None:
        lookup.add("entries", len(forged.rows), ACTIVE, difference(lookup, "entries", "records"))

    return Case(forged, cheat=cheat)


@breaks("records step")
def records_jump(plan: Plan) -> Case:
    def cheat(lookup: Lookup) -> None:
        lookup.add("records", ACTIVE - 1, ACTIVE, difference(lookup, "records", "entries"))

    return Case(hidden_deficit(plan).build(), cheat=cheat)


@breaks("losses first")
def losses_start_elsewhere(plan: Plan) -> Case:
    def cheat(lookup: Lookup) -> None:
        lookup.add("losses", 0, ACTIVE, ext_sub(ext_zero, lookup.value("losses", ACTIVE - 1)))

    return Case(published_less(plan).build(), cheat=cheat)


@breaks("losses step")
def losses_jump(plan: Plan) -> Case:
    def cheat(lookup: Lookup) -> None:
        lookup.add("losses", 71, ACTIVE, ext_sub(ext_zero, lookup.value("losses", ACTIVE - 1)))

    return Case(published_less(plan).build(), cheat=cheat)
