"""Crashes of ten small venues: what they come to is pinned, and what must hold does after every command."""

from __future__ import annotations

from collections import Counter

import pytest

from exchange.events import AuctionTraded, Deleveraged, FundSettled, LiquidationCounted, LossShared, Settled
from exchange.liquidator import due
from exchange.risk import account_risk
from exchange.rules.rounding import PPM
from exchange.state import FIRST_USER, Ledger
from tests.exchange.storms import Storm
from tests.exchange.venues import check_invariants

STEPS = 8_000
RARE = (AuctionTraded, Deleveraged, FundSettled, LiquidationCounted, LossShared, Settled)
DIGESTS = {
    1: ("0fb3215484689aab318c225916161ef3ed82afd37c3b3c3b96e9925857498689", 4297),
    2: ("2809b93cff355115da76d1b4959ca6e826507e179e3a3cb2c9fa5d15f4fc63e3", 4762),
    3: ("03424cc2454fb3c55ee0912186a2b19e9d84fd16f615938244535ea6d2262422", 3807),
    4: ("4b2f829a6d5b1302ed32d04d2419c6a81675eb6cfe5ba8ec00e7b3400b80ad1e", 4472),
    5: ("ea03c245abb4012ee976f94c806c64877c25f668445dfa1d6083c1aa9aa0f12a", 4586),
    6: ("1ea2d4bebcbab51f211b5f6f2bb2661e742bb80b2025dd429e6a4a120468d52b", 3952),
    7: ("3fb17c7f0444cec0e2a20077339360ec8d3761fad1c2ef3c5af5cce259d63060", 4529),
    8: ("0a3fafcf02b46ac26316de5ff9c2363d5910b9ec8278ecfb9d71f7ddb4c1cdf9", 4876),
    9: ("a99d76d31d7cf376a080132e68da5fa32c4c0bfbdd113fc64aeae47252f68bd3", 3285),
    10: ("226bedcad85e71bb2bd1505fa56edeede869a1cd95973d1649692ebe4a28cda6", 3853),
}
"""Seed -> digest of the run, and how many of its commands took a short way."""


@pytest.mark.parametrize("short_ways", [True, False])
@pytest.mark.parametrize("seed", DIGESTS)
def test_what_a_storm_comes_to(seed: int, short_ways: bool) -> None:
    """All answers, the journal and the final state; `test_known_answers` says when a digest may change.

    How many commands take a short way is nobody's promise, but less of them is less speed.
    """
    storm, (digest, short) = Storm(seed, short_ways=short_ways), DIGESTS[seed]
    assert storm.run(STEPS) == digest
    assert storm.short == (short if short_ways else 0)


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
