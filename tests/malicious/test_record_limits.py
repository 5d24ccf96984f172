"""How much an account's record carries at most, and why only the totals record's carries count towards the losses."""

from __future__ import annotations

from functools import cache
from unittest.mock import patch

import pytest

from circuits import registry, solvency
from circuits.builder import AirBuilder, Expr
from tests.malicious.cases import Case
from tests.malicious.cases_records import LOSSES, records_in
from tests.malicious.cheating_prover import CheatingProver
from tests.malicious.forge import Forge, Forged, Leg
from tests.malicious.proving import refuse
from tests.malicious.published import Published
from tests.malicious.risk_world import RISK
from tests.malicious.rows import Words, carries_of, limbs, number
from tests.malicious.sheet import broken_labels, columns_of, unbalanced
from tests.malicious.world import World, make_world
from verifier.air import ConstraintSystem
from verifier.field import P
from verifier.legs import AMOUNT_CAP, balanced_digits
from verifier.params import TEST
from verifier.stark import verify_stark

pytestmark = pytest.mark.negative


def leg(digits: Words) -> Leg:
    return Leg(0, AMOUNT_CAP, balanced_digits(1), (digits,))


def crowd(digits: Words, legs: int, amount: int, accounts: int, *last: int) -> World:
    """Accounts that hold the same amount of every leg with these digits, and one with other legs' coefficients."""
    table = (*(leg(digits) for _ in range(legs)), *(leg(balanced_digits(value)) for value in last))
    entries = [tuple((i, amount) for i in range(legs))] * accounts
    return make_world([*entries, ()], table, levels=1, circuit=RISK)


def test_4095_entries_at_the_largest_digits() -> None:
    """What five bytes and five digits come to, below 2^112: the carries of account and totals are in range."""
    digit = -128
    world = crowd((*[digit] * 5, 0, 0), 4095, 2**40 - 1, 1)
    forged = Forge(world.plan).build()
    records = records_in(forged)
    value = 4095 * (2**40 - 1) * number([digit] * 5, 8)
    assert records.value(0, 0) == value
    assert forged.losses == [max(0, -value)]
    assert max(map(abs, records.coefficients[0][0])) == 4095 * 5 * 255 * abs(digit)
    assert max(map(abs, records.of[0][0].carries)) > 2**21
    assert columns_of(forged, world) == {}
    published = Published.by(forged)
    assert broken_labels(world, {}, published) == set()
    assert unbalanced(world, forged, {}) == []
    relation = published.relation()
    verify_stark(relation, TEST, CheatingProver(world).prove(relation, {}).proof.to_bytes())


def test_records_have_room_for_more_than_any_account_needs() -> None:
    """|A_k| of 4,095 entries, the digit and both carries stay below p (02b, D)."""
    most = 4095 * 7 * 255 * 128
    largest = 65535 + 255 * 2**15 - 2**22
    assert most + 255 + 257 * max(largest, 2**22) < P
    assert 255 * 2**21 // 4 + 65_535 + 257 * max(largest, 2**22) < P  # totals: at most N / R accounts below zero
    assert most / 255 < 2**22 - 2**19  # an honest carry


@cache
def ungated() -> ConstraintSystem:
    """The circuit in which the carries of all records count towards the losses."""

    class Ungated(AirBuilder):
        asked = 0

        def public(self, name: str) -> Expr:
            """The first question is that of `records`; the others are those of `losses`."""
            if name != "next_in_totals_record":
                return super().public(name)
            self.asked += 1
            return super().public(name) if self.asked == 1 else Expr(self, 1, {})

    with patch.object(solvency, "AirBuilder", Ungated):
        return solvency.solvency_circuit("ungated", registry.records_of(RISK))


LOSS = P * 256**5 + 10**6


def published_without_the_modulus(forged: Forged) -> None:
    """The losses' carry of -8,323,072 is that of two healthy accounts and the totals record together."""
    records = records_in(forged)
    forged.lose([10**6])
    words = [word for limb in limbs(10**6, 8) for word in (limb, 0)]
    rest = [a - b for a, b in zip(records.lost(0), words, strict=True)]
    wanted = [*carries_of(rest, 256, {5: -1}), 0]
    others = [sum(column) for column in zip(*(record[0].carries for record in records.of), strict=True)]
    mine = [a - b for a, b in zip(wanted, others, strict=True)]
    assert min(wanted) < -(2**22) <= min(mine) and max(mine) <= 4_227_071
    records.totals[0].carries = mine


def test_carries_of_accounts_do_not_help_the_totals() -> None:
    """Counted together, they hide a loss of p * 256^5; counted apart, as they are, they do not."""
    steps = (2**50, 2**24, 1)
    world = crowd((*[-128] * 6, 1), 2700, 2**48 - 1, 2, *(-step for step in steps))
    first, rest = divmod(LOSS, steps[0])
    parts = (first, *divmod(rest, steps[1]))
    plan = world.plan.holding("account 2", *((2700 + i, part) for i, part in enumerate(parts)))
    assert Forge(plan).build().losses == [LOSS]
    forged = Forge(plan).then(published_without_the_modulus).build()
    columns, published, cheater = columns_of(forged, world), Published.by(forged), CheatingProver(world)
    assert unbalanced(world, forged, columns) == []
    refuse(Case(forged), {LOSSES}, world, cheater, columns)
    assert broken_labels(world, columns, published, ungated()) == set()
    relation = published.relation(ungated())
    verify_stark(relation, TEST, cheater.prove(relation, columns).proof.to_bytes())
