"""Crashes of ten small venues: what they come to is pinned, and what must hold does after every command."""

from __future__ import annotations

from collections import Counter

import pytest

from exchange.events import AuctionTraded, Deleveraged, FundSettled, LiquidationCounted, Settled
from exchange.liquidator import due
from exchange.risk import account_risk
from exchange.rules.rounding import PPM
from exchange.state import FIRST_USER, Ledger
from tests.exchange.storms import Storm
from tests.exchange.venues import check_invariants

STEPS = 4_000
RARE = (AuctionTraded, Deleveraged, FundSettled, LiquidationCounted, Settled)
DIGESTS = {
    1: "311a7f1baf66ecbd0198cf04f9b4bb080e8c0d740ea165a5fb33aa8a8c219ea5",
    2: "8314f9910b50116ac646aeb3712d87528c7898816b4b69ecbc0a40d3a1991b95",
    3: "c9b6ed63a601c35c3a46b515131639cb12dc0a321525979beda3ea211ba4f84d",
    4: "97ebfd0419e903863e6d2a8d91ed9bc8c4874c6acdfc0d90925cf81b6b71a9b6",
    5: "b805800643031a45d269771b369a9a6be755bf21b838009442c04b0329cecf93",
    6: "e05f868e71623a62a11e850d3330a168751c151f18a951b1d28ddad91ed07091",
    7: "fe2857f1c233bd6531d27193db92711ea63b5c85814318e0880269b753ceeec9",
    8: "8aeedc06ffe8d2281e7e76ee9b1f74e686a16c7c7fd7ac4b6354fd7afe3129c2",
    9: "1f2ac3f31294a81e3568593a4758639ad99b76370771d2f6a9c3abc941fd14db",
    10: "a8e626470f69dc5a4ebff123bcbf1f793ea350b6215b1a10f5592e886e296f51",
}


@pytest.mark.parametrize("short_ways", [True, False])
@pytest.mark.parametrize("seed", DIGESTS)
def test_what_a_storm_comes_to(seed: int, short_ways: bool) -> None:
    """All answers, the journal and the final state; `test_known_answers` says when a digest may change."""
    assert Storm(seed, short_ways=short_ways).run(STEPS) == DIGESTS[seed]


@pytest.mark.parametrize("seed", DIGESTS)
def test_sums_locks_books_and_bounds_hold_after_every_command(seed: int) -> None:
    storm = Storm(seed)
    storm.watch = check_invariants
    storm.run(900)


@pytest.mark.parametrize("seed", DIGESTS)
def test_who_is_due_are_those_without_their_maintenance_margin_the_least_healthy_first(seed: int) -> None:
    storm, found = Storm(seed), Counter[int]()

    def watch(ledger: Ledger) -> None:
        ratios = []
        for account in range(FIRST_USER, len(ledger.user_ids)):
            risk = account_risk(ledger, account)
            if risk.equity < risk.maintenance:
                ratios.append((risk.equity * PPM // max(risk.maintenance, 1), account))
        assert due(ledger) == [account for _, account in sorted(ratios)]
        found[len(ratios)] += 1

    storm.watch = watch
    storm.run(700)


def test_storms_get_everywhere() -> None:
    """Each layer of the waterfall and each way out of a halt is taken, or the digests say little."""
    seen = Counter[str]()
    for seed in DIGESTS:
        storm = Storm(seed)
        storm.run(STEPS)
        seen.update(storm.seen)
    assert min(seen[kind.__name__] for kind in RARE) >= 5, seen
