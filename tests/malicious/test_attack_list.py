"""The attacks on statement and tree, 1 to 25 of the list that the design keeps, and where each is tried.

Those that are tried nowhere else are here. 20 to 22 are about a ledger of proofs: there is none yet.
"""

from __future__ import annotations

import importlib
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

TRIED: dict[int, tuple[str, ...]] = {
    1: ("cases_tree.smaller_sum", "cases_tree.emitted_sum", "cases_tree.value_row_sum"),
    2: ("cheats.amount_below_zero", "cheats.amount_of_2_64_minus_1", "cheats_records.deficit_in_a_byte_below_zero"),
    3: (
        "test_limits.test_r1_a_total_that_wraps_the_field_is_stopped_by_its_bound_alone",
        "cheats_outputs.total_plus_the_modulus_by_a_carry",
    ),
    4: ("test_attack_list.test_4_no_two_tuples_of_the_leg_table_meet", "cheats.aliased_value_of_a_child"),
    5: (
        "test_shards.CHANGES",
        "test_shards.test_a_proof_of_another_shard",
        "cases_outputs.another_mask_than_the_neighbour_s",
        "cheats_outputs.mask_word_read_in_two_ways",
    ),
    6: ("cheats.leaf_that_nobody_made", "cheats.node_that_nobody_counts"),
    7: ("cheats.leaf_counted_twice", "cases_selectors.leaf_counted_twice"),
    8: ("cheats.leaf_that_nobody_counts", "cases_accounts.dropped_close"),
    9: ("test_attack_list.test_9_junk_against_good_debt_shows_the_debt_and_the_deficit",),
    10: (
        "cheats_records.haircut_of_the_tier_before",
        "cheats_records.curve_of_another_instrument",
        "cheats_records.leg_of_the_next_instrument",
        "cheats_records.one_atom_above_the_first_tier",
        "cheats_records.first_tier_with_the_cap_of_the_second",
        "cheats_records.first_tier_twice",
        "cheats_records.tiers_in_another_order",
        "test_risk_cheats.test_any_other_split_over_tiers_only_loses_health",
    ),
    11: ("cheats.leg_outside_the_table",),
    12: ("cheats_records.value_moved_between_instruments", "cheats.debt_counted_towards_another_total"),
    13: ("cheats.value_of_another_child", "wrong_records.moved_deficit"),
    14: ("test_every_constraint.LABELS", "test_every_record_constraint.LABELS"),
    15: ("cases_accounts.hashed_one_amount_summed_another",),
    16: ("changed_statements.AFTERWARDS",),
    17: ("cases_tree.account_poses_as_node", "test_forgeries.test_an_account_poses_as_the_node_above_a_victim"),
    18: ("cheats.byte_of_256",),
    19: ("test_risk_statement.test_a_statement_changed_after_proving_is_refused",),
    23: ("test_limits.test_no_value_commitment_is_used_twice",),
    24: (
        "cheats_records.collateral_counted_towards_the_free_coins",
        "cheats_records.free_coins_published_as_collateral",
        "test_attack_list.test_24_what_helps_as_collateral_is_held",
        "changed_statements.bucket_more",
    ),
    25: ("test_forgeries.test_a_node_that_contains_itself", "cases_tree.node_that_never_ends"),
}


@pytest.mark.parametrize("number_", TRIED)
def test_each_attack_is_tried(number_: int) -> None:
    for place in TRIED[number_]:
        module, _, name = place.partition(".")
        assert hasattr(importlib.import_module(f"tests.malicious.{module}"), name), place


def test_the_list_is_whole() -> None:
    assert set(range(1, 26)) - set(TRIED) == {20, 21, 22}


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
