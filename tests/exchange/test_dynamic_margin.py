"""Initial margin that follows volatility inside the engine: in steps, back slowly, and never a reason to liquidate."""

from __future__ import annotations

import itertools
from dataclasses import replace

from exchange.codes import Reject
from exchange.liquidator import due
from exchange.risk import account_risk, initial_excess
from exchange.rules.dynamic_margin import VolatilityPolicy, bare_target_ppm, next_margin_ppm
from exchange.statehash import ledger_from_bytes, state_bytes
from exchange.venue import Venue, venue_from_json
from tests.exchange.venues import ALICE, BOB, BUY, MARKS, PERP, SELL, UNIT, Desk, btc_at, venue

P = MARKS[PERP]
MINUTE = 60_000
POLICY = VolatilityPolicy(
    decay_ppm=900_000,
    horizon=12,
    multiple_ppm=3_000_000,
    stressed_ppm=2_000,
    stressed_weight_ppm=250_000,
    floor_ppm=30_000,
    buffer_ppm=250_000,
    step_up_ppm=20_000,
    step_down_ppm=5_000,
    cap_ppm=500_000,
)


def volatile(**changes: int) -> Venue:
    plain = venue(breaker_ppm=1_000_000, venue_breaker_ppm=1_000_000, **changes)
    first, *others = plain.markets
    return replace(plain, markets=(replace(first, volatility=POLICY), *others)).check()


def desk(cash: int = 1_000 * UNIT) -> Desk:
    return Desk(2, cash, definition=volatile())


def price(new: Desk, minute: int, ppm: int) -> None:
    new.accept(btc_at(minute * MINUTE, ppm))


def test_the_first_price_sets_the_margin_of_quiet_times_and_the_spans_between_observations_are_kept() -> None:
    new = desk()
    quiet = bare_target_ppm(0, POLICY) * 125 // 100
    assert new.ledger.risk.floors == [quiet, 0, 0]
    price(new, 1, 30_000)  # too early to be observed
    assert new.ledger.risk.variances[PERP] == 0
    price(new, 6, 30_000)
    assert new.ledger.risk.variances[PERP] == 90_000_000


def test_it_rises_by_steps_and_falls_by_smaller_ones() -> None:
    new = desk()
    seen = [new.ledger.risk.floors[PERP]]
    moves = [0, 40_000, -40_000, 40_000, -40_000, *[-40_000] * 40]
    for number, ppm in enumerate(moves, 1):
        price(new, 5 * number + 1, ppm)
        seen.append(new.ledger.risk.floors[PERP])
    steps = [after - before for before, after in itertools.pairwise(seen)]
    assert max(steps) == POLICY.step_up_ppm and min(steps) == -POLICY.step_down_ppm
    top = seen.index(max(seen))
    assert max(seen) > 2 * seen[0] and seen[top + 5] > seen[top] * 3 // 4 and seen[-1] < max(seen)
    # The same steps as the rule alone makes of the variances that the ledger has seen.
    assert seen[-1] == next_margin_ppm(seen[-2], new.ledger.risk.variances[PERP], POLICY)


def test_it_is_asked_of_new_positions_and_of_what_leaves_but_never_liquidates() -> None:
    new = desk(100 * UNIT)
    new.trade(ALICE, BOB, P, 30)  # 1,800 USDT, margin 90
    before = account_risk(new.ledger, ALICE)
    assert initial_excess(new.ledger, ALICE) >= 0
    for number in range(1, 7):  # up and down, at the end where it was
        price(new, 5 * number + 1, 25_000 * (number % 2))
    after = account_risk(new.ledger, ALICE)
    assert new.ledger.risk.floors[PERP] > 80_000
    assert (after.equity, after.maintenance) == (before.equity, before.maintenance)
    assert after.initial > before.initial and initial_excess(new.ledger, ALICE) < 0
    assert due(new.ledger) == []
    order = new.order(ALICE, BUY, P - 60, 1)._replace(time_ms=31 * MINUTE)
    assert new.refuse(order) is Reject.MARGIN_TOO_LOW
    new.accept(order._replace(side=SELL, price=P + 60))  # but out it may


def test_checkpoint_and_definition_carry_it() -> None:
    new = desk()
    price(new, 6, 40_000)
    copy = ledger_from_bytes(new.ledger.venue, state_bytes(new.ledger))
    assert copy.risk.floors == new.ledger.risk.floors and copy.lot_margins == new.ledger.lot_margins
    assert state_bytes(copy) == state_bytes(new.ledger)
    assert venue_from_json(volatile().to_json()) == volatile()
