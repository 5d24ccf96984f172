"""Risk metrics and invariants against figures that are worked out account by account."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from exchange.invariants import broken
from exchange.metrics import DISTANCE_BOUNDS_PPM, Shock, risk_metrics
from exchange.risk import account_risk
from exchange.rules.rounding import PPM
from exchange.state import QUOTE, Ledger
from tests.exchange.test_scanning import crowded
from tests.exchange.venues import ETH_PERP, PERP, Desk


def full_equity(ledger: Ledger, account: int, prices: list[int], lot_values: list[int]) -> int:
    total = ledger.balance[QUOTE][account]
    for asset in (1, 2):
        total += ledger.balance[asset][account] * prices[asset] // ledger.tables.units[asset]
    for market in ledger.tables.perpetuals:
        total += ledger.size[market][account] * lot_values[market] - ledger.cost[market][account]
    return total


def test_sums_and_scenarios_are_those_of_the_accounts_one_by_one() -> None:
    ledger = crowded(3)
    fall = [ledger.prices[0], *(price * 7 // 10 for price in ledger.prices[1:])]
    lots = [value * 7 // 10 for value in ledger.lot_values]
    found = risk_metrics(ledger, [Shock("-30 %", tuple(fall), tuple(lots))])
    accounts = range(len(ledger.user_ids))
    risks = [account_risk(ledger, account) for account in accounts]
    assert found["initial_margin"] == sum(risk.initial for risk in risks)
    assert found["maintenance_margin"] >= sum(risk.maintenance for risk in risks)  # and what haircuts take
    assert found["margin_deficit"] == sum(max(0, risk.maintenance - risk.equity) for risk in risks) > 0
    now = [full_equity(ledger, account, ledger.prices, ledger.lot_values) for account in accounts]
    assert found["shortfall"] == -sum(min(0, worth) for worth in now)
    assert found["equity"] == sum(max(0, worth) for worth in now)
    assert found["margin_use_ppm"] == found["initial_margin"] * PPM // found["equity"] > 0
    interest = sum(market["open_interest"] for market in found["markets"])
    assert found["fund_to_interest_ppm"] == found["fund"] * PPM // interest
    then = [full_equity(ledger, account, fall, lots) for account in accounts]
    (scenario,) = found["scenarios"]
    assert scenario["shortfall"] == -sum(min(0, worth) for worth in then) > 0
    assert scenario["fund_left"] == found["fund"] - scenario["shortfall"]
    assert found["scenarios"][0]["margin_deficit"] > found["margin_deficit"]


def test_concentration_and_distance_count_everybody_once() -> None:
    ledger = crowded(4)
    found = risk_metrics(ledger)
    for row, number in zip(found["markets"], (PERP, ETH_PERP), strict=True):
        sizes = list(ledger.size[number])
        lots = sum(size for size in sizes if size > 0)
        assert row["open_interest"] == lots * ledger.lot_values[number]
        top = sorted(map(abs, sizes), reverse=True)[:10]
        assert row["top_share_ppm"] == sum(top) * PPM // (2 * lots)
        longs = [size for size in sizes if size > 0]
        assert row["concentration_long_ppm"] == sum(size**2 for size in longs) * PPM // lots**2
        assert (row["accounts_long"], row["accounts_short"]) == (len(longs), sum(size < 0 for size in sizes))
    classes = found["liquidation_distance"]
    held = [a for a in range(2, len(ledger.user_ids)) if any(size[a] for size in ledger.size)]
    assert sum(row["accounts"] for row in classes) == len(held)
    assert [row["below_ppm"] for row in classes] == [*DISTANCE_BOUNDS_PPM, None]
    due = [a for a in held if account_risk(ledger, a).equity < account_risk(ledger, a).maintenance]
    assert classes[0]["accounts"] == len(due) > 0


def test_an_empty_venue_has_metrics() -> None:
    found = risk_metrics(Desk(1, 0).ledger)
    assert found["fund_to_interest_ppm"] is None and found["margin_use_ppm"] == 0 == found["shortfall"]


def spoil_balance(ledger: Ledger) -> None:
    ledger.balance[QUOTE][3] += 1


def spoil_size(ledger: Ledger) -> None:
    ledger.size[PERP][3] += 1


def spoil_interest(ledger: Ledger) -> None:
    ledger.open_interest[PERP] -= 1


def spoil_cost(ledger: Ledger) -> None:
    ledger.cost[PERP][1] += 5
    ledger.balance[QUOTE][1] += 5


def spoil_lock(ledger: Ledger) -> None:
    ledger.locked[1][3] = ledger.balance[1][3] + 1


def spoil_negative_lock(ledger: Ledger) -> None:
    ledger.locked[QUOTE][3] = -1


def test_quote_money_may_be_less_than_what_is_promised() -> None:
    """A loss does not cancel spot orders."""
    ledger = crowded(1)
    ledger.locked[QUOTE][3] = ledger.balance[QUOTE][3] + 1
    assert broken(ledger) == []


SPOILS: list[tuple[Callable[[Ledger], None], str]] = [
    (spoil_balance, "usdt: held"),
    (spoil_size, "BTC-PERP: positions sum to 1 lots"),
    (spoil_interest, "BTC-PERP: open interest"),
    (spoil_cost, "BTC-PERP: flat account 1 carries a cost of 5"),
    (spoil_lock, "btc: account 3 holds"),
    (spoil_negative_lock, "usdt: account 3 holds"),
]


@pytest.mark.parametrize(("spoil", "name"), SPOILS)
def test_each_invariant_names_what_broke(spoil: Callable[[Ledger], None], name: str) -> None:
    ledger = crowded(1)
    assert broken(ledger) == []
    spoil(ledger)
    assert broken(ledger)[0].startswith(name)
