"""The insurance fund's account: opened, valued as the proof counts it, and nobody else's."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.verifier.small_tree import (
    INSTRUMENTS,
    RISK_INSTRUMENTS,
    SCENARIOS,
    STRESS,
    Account,
    Builder,
    Publication,
    edited,
    publication,
    risk_publication,
    words,
)
from verifier.errors import Reason, VerificationError
from verifier.fund import FUND_USER_ID, check_fund
from verifier.inclusion import check_bundle

FUND = 0
"""Number of the fund's account in `risk_publication`."""


@pytest.fixture(scope="module")
def small() -> Publication:
    return risk_publication()


def make(*entries: tuple[int, int], user_id: str = FUND_USER_ID) -> Publication:
    """A publication with the fund and one customer, under a circuit with scenarios."""
    source = random.Random(5)
    fund = Account(user_id, source.randbytes(32), words(source, 6), entries)
    customer = Account("user-1", source.randbytes(32), words(source, 6), ((16, 10**12),))
    return Builder(source, STRESS, RISK_INSTRUMENTS, SCENARIOS).build([fund, customer])


def refused(data: bytes, small: Publication) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        check_fund(data, small.statement)
    return caught.value


def test_the_fund_is_worth_its_equity(small: Publication) -> None:
    fund = check_fund(small.bundle(FUND), small.statement)
    assert fund.value == fund.equity == 10**13 * 10**10
    assert fund.scenario_values == (10**23, 10**23)
    assert [str(balance) for balance in fund.balances] == ["holds 10000000 usdt in bucket loan"]
    assert fund.summary == ("worth 10000000 USDT at the statement's prices, from its opened account")


def test_both_sides_all_buckets_and_tiers_count_and_scenarios_have_their_own_values() -> None:
    """All of btc's tiers and buckets at one price; a debt, a position and its cost with their signs."""
    entries = ((0, 46), (1, 100), (4, 54), (5, 7), (8, 2), (15, 500), (16, 10**9), (18, 3))
    small = make(*entries)
    fund = check_fund(small.bundle(FUND), small.statement)
    amounts = (46 + 100 + 54 - 7, 2, -500, 10**9 + 3)
    prices = [instrument.price for instrument in RISK_INSTRUMENTS]
    assert fund.equity == sum(amount * price for amount, price in zip(amounts, prices, strict=True))
    assert fund.scenario_equities == tuple(
        sum(amount * value for amount, value in zip(amounts, scenario.values, strict=True)) for scenario in SCENARIOS
    )
    worth = check_bundle(small.bundle(FUND), small.statement).worth
    assert worth is not None
    assert fund.equity == worth.equity


def test_a_fund_in_debt_is_worth_nothing_and_says_so() -> None:
    small = make((5, 10), (16, 10))
    fund = check_fund(small.bundle(FUND), small.statement)
    assert fund.equity == 10 * 10**10 - 10 * RISK_INSTRUMENTS[0].price < 0
    assert fund.value == 0
    assert "worth 0 USDT: its account owes 0.000641" in fund.summary


def test_a_fund_may_fail_in_a_scenario_only() -> None:
    """A fund that holds what falls is not there when it is needed."""
    small = make((0, 1000), (17, 0 + 5), (19, 60_000))
    fund = check_fund(small.bundle(FUND), small.statement)
    assert fund.equity > 0
    assert fund.scenario_equities[1] < 0
    assert fund.scenario_values[1] == 0


def test_an_empty_fund() -> None:
    small = make()
    fund = check_fund(small.bundle(FUND), small.statement)
    assert (fund.value, fund.balances) == (0, ())


def test_under_an_equity_circuit() -> None:
    accounts = list(publication().accounts)
    accounts[3] = replace(accounts[3], user_id=FUND_USER_ID, entries=((0, 5), (5, 3)))
    small = Builder(random.Random(6)).build(accounts)
    fund = check_fund(small.bundle(3), small.statement)
    assert fund.equity == 5 * INSTRUMENTS[0].price - 3 * INSTRUMENTS[2].price
    assert fund.scenario_values == ()


# Forged funds: each is refused by one check


@pytest.mark.negative
def test_a_customers_account_is_not_the_fund(small: Publication) -> None:
    for i in range(1, len(small.accounts)):
        assert refused(small.bundle(i), small).reason is Reason.ACCOUNT_ID


@pytest.mark.negative
def test_a_customers_account_under_the_funds_name(small: Publication) -> None:
    """The id is in the leaf."""
    for i in range(1, len(small.accounts)):
        assert refused(small.bundle(i, user_id=FUND_USER_ID), small).reason is Reason.PATH


@pytest.mark.negative
@pytest.mark.parametrize(
    "name", ["Insurance-Fund", "insurance_fund", "insurance-fund ", "insurance-fund2", "insurance"]
)
def test_names_that_look_like_it(name: str) -> None:
    small = make((16, 10**12), user_id=name)
    assert refused(small.bundle(FUND), small).reason is Reason.ACCOUNT_ID
    assert refused(small.bundle(FUND, user_id=FUND_USER_ID), small).reason is Reason.PATH


@pytest.mark.negative
def test_the_fund_of_another_statement(small: Publication) -> None:
    other = make((16, 10**15))
    assert refused(other.bundle(FUND), small).reason is Reason.WRONG_STATEMENT
    relabelled = replace(other, statement=small.statement)
    assert refused(relabelled.bundle(FUND), small).reason is Reason.PATH
    later = replace(small, statement=replace(small.statement, sequence=8))
    assert refused(small.bundle(FUND), later).reason is Reason.WRONG_STATEMENT


def entry(key: str, value: object) -> Callable[[Any], None]:
    return lambda bundle: bundle["entries"][0].__setitem__(key, value)


@pytest.mark.negative
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (entry("amount", str(10**13 + 1)), Reason.PATH),
        (entry("amount", str(10**15)), Reason.PATH),
        (entry("amount", str(2**63)), Reason.ENTRIES),
        (entry("symbol", "btc"), Reason.ENTRIES),
        (entry("bucket", "margin"), Reason.ENTRIES),
        (entry("decimals", 0), Reason.ENTRIES),
        (entry("side", "short"), Reason.ENTRIES),
        (lambda bundle: bundle["entries"].append(bundle["entries"][0]), Reason.ENTRIES),
        (lambda bundle: bundle.__setitem__("value", "1000000000"), Reason.MALFORMED),
        (lambda bundle: bundle.__setitem__("nonce", "00" * 32), Reason.PATH),
        (lambda bundle: bundle["path"].pop(), Reason.PATH_LENGTH),
        (lambda bundle: bundle.__setitem__("exchange", "another"), Reason.WRONG_STATEMENT),
    ],
)
def test_a_changed_bundle(small: Publication, change: Callable[[Any], object], reason: Reason) -> None:
    error = refused(edited(small.bundle(FUND), change), small)
    assert error.reason is reason, str(error)
