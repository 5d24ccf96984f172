"""Attacks on statement and tree, by their number in `tests/attacks.py`, that are tried nowhere else."""

from __future__ import annotations

import random

import pytest

from tests.malicious.cases_records import records_in, with_records
from tests.malicious.cheating_prover import CheatingProver
from tests.malicious.forge import Forge, Plan
from tests.malicious.proving import accept
from tests.malicious.published import leg_tuple
from tests.malicious.risk_world import CASH_OWED, COIN, FREE, INSTRUMENTS, leg_of, statement_of, table_of
from tests.malicious.rows import number
from tests.malicious.world import World
from verifier.field import P
from verifier.statement import parse_statement

pytestmark = pytest.mark.negative


def test_4_no_two_tuples_of_the_leg_table_meet() -> None:
    """A debt less and a price more are other words of the tuple, as any two numbers are: nothing is packed."""
    draw, seen = random.Random(4), set()
    for circuit in ("solvency_risk_v1", "solvency_stress_v1_3"):
        for leg in table_of(circuit):
            words = leg_tuple(leg.index, leg)  # type: ignore[arg-type]
            assert len(words) == 13 + 7 * len(leg.lens_digits)
            assert all(0 <= word < P for word in words)
            seen.add(tuple(words))
            other = list(words)
            other[draw.randrange(len(words))] += 1
            assert tuple(other) not in seen
    assert len(seen) == 2 * len(table_of("solvency_risk_v1"))


def junk(plan: Plan) -> Plan:
    """Free coins worth half a million units, which count nothing, and a debt of 400,000 in cash."""
    debt = 400_000 * 10**6
    return plan.holding("account 6", (leg_of(FREE), 10**6), (leg_of(CASH_OWED), debt))


def test_9_junk_against_good_debt_shows_the_debt_and_the_deficit(risk: World, risk_cheater: CheatingProver) -> None:
    """Equity is above zero, so nothing is short at market prices; the debt and all of it as a deficit are published."""
    honest, forged = Forge(risk.plan).build(), Forge(junk(risk.plan)).build()
    debt, price = 400_000 * 10**6, INSTRUMENTS[3].price
    assert debt * price < 10**6 * COIN
    assert forged.totals[CASH_OWED] - honest.totals[CASH_OWED] == debt
    assert forged.losses[0] - honest.losses[0] == debt * price
    liability = number(forged.root.value) - number(honest.root.value)
    assert liability == (10**6 - 12_345_678) * COIN - debt * price
    statement = parse_statement(statement_of(forged).to_bytes())
    assert (statement.totals[3].short, statement.total_margin_deficit) == (forged.totals[CASH_OWED], forged.losses[0])
    accept(forged, risk, risk_cheater)


def test_24_what_helps_as_collateral_is_held(risk: World) -> None:
    """There is no bucket beside a holding: collateral is an entry, and every entry is in its instrument's total."""
    more = risk.plan.holding("account 6", (leg_of(FREE), 12_345_678), (leg_of(FREE) + 1, 100))
    before, after = (statement_of(Forge(plan).build()) for plan in (risk.plan, more))
    assert after.totals[0].long - before.totals[0].long == 100
    assert after.total_liability - before.total_liability == 100 * COIN
    kept = with_records(more, lambda records: None).build()
    assert records_in(kept).value(6, 0) == 100 * COIN
