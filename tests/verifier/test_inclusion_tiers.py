"""A user's bundle under margin rules: tiers and buckets follow the table, and worth is what the proof counts."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.verifier.small_tree import (
    RISK_INSTRUMENTS,
    SCENARIOS,
    STRESS,
    Builder,
    edited,
    equity,
    publication,
    risk_publication,
    value,
)
from tests.verifier.test_inclusion import BORROWER, BULL, ENTRIES, FUND, MALFORMED, PATH, VICTIM, refused
from verifier.errors import Reason
from verifier.inclusion import check_bundle


def test_a_bundle_under_margins_in_words() -> None:
    """Tiers of one bucket are one balance (design 1.5); positions and their cost are told apart from holdings."""
    small = risk_publication()
    reports = [check_bundle(small.bundle(i), small.statement) for i in range(4)]
    assert [[str(balance) for balance in report.balances] for report in reports] == [
        ["holds 10000000 usdt in bucket loan"],
        [
            "holds 1.38248385 btc in bucket loan",
            "holds 0.00000006 btc in bucket free",
            "holds 0.000007 usdt in bucket margin",
            "owes 8000 usdt",
        ],
        [
            "is long 0.1541 btc-perp",
            "was charged 1000 cost for open positions",
            "holds 100 usdt in bucket loan",
        ],
        [
            "is short 0.1541 btc-perp",
            "was credited 1000 cost for open positions",
            "holds 10000 usdt in bucket loan",
        ],
    ]
    assert len(small.accounts[BORROWER].entries) == 7
    assert str(reports[BORROWER].worth) == (
        "equity 1000.00067574602 USDT, health -2840.000028901032 USDT (after haircuts and margins)"
    )


def test_worth_is_what_the_proof_counts() -> None:
    small = risk_publication()
    legs, deficit = small.statement.legs, 0
    for i, account in enumerate(small.accounts):
        worth = check_bundle(small.bundle(i), small.statement).worth
        assert worth is not None
        assert worth.health is not None
        assert worth.equity == value(account, [leg.price_coefficient for leg in legs])
        assert worth.health == value(account, [leg.lens_coefficients[0] for leg in legs]) <= worth.equity
        deficit += max(0, -worth.health)
    assert deficit == small.statement.total_margin_deficit
    assert check_bundle(small.bundle(0)).worth is None
    plain = publication()
    worth = check_bundle(plain.bundle(VICTIM), plain.statement).worth
    assert worth is not None
    assert (worth.equity, worth.health) == (equity(plain.accounts[VICTIM]), None)
    assert str(worth).startswith("equity ") and "health" not in str(worth)


def test_worth_in_json() -> None:
    small, plain = risk_publication(), publication()
    shown = check_bundle(small.bundle(BULL), small.statement).to_json()
    assert shown["worth"] == {"equity": "103.1943902", "health": "52.87192014", "quote": "USDT"}
    assert shown["balances"][0]["kind"] == "perpetual"
    assert check_bundle(plain.bundle(0), plain.statement).to_json()["worth"]["health"] is None
    assert check_bundle(plain.bundle(0)).to_json()["worth"] is None


def entry(at: int, key: str, value: object) -> Callable[[Any], None]:
    return lambda bundle: bundle["entries"][at].__setitem__(key, value)


def exceed(bundle: Any) -> None:
    """One atom more than the first tier holds, taken from the second one: the balance stays the same."""
    first, second = bundle["entries"][:2]
    first["amount"] = str(int(first["amount"]) + 1)
    second["amount"] = str(int(second["amount"]) - 1)


def next_curve(bundle: Any) -> None:
    """The tail of bucket loan booked as the first leg of the next bucket."""
    bundle["entries"][3]["leg"] = 4
    del bundle["entries"][4]


def swap_tiers(bundle: Any) -> None:
    bundle["entries"][0], bundle["entries"][1] = bundle["entries"][1], bundle["entries"][0]


def other_split(bundle: Any) -> None:
    """From the second tier to the tail: within all caps and of the same sum, but another leaf."""
    second, tail = bundle["entries"][1], bundle["entries"][3]
    second["amount"] = str(int(second["amount"]) - 1)
    tail["amount"] = str(int(tail["amount"]) + 1)


TAMPERED_TIERS: list[tuple[str, Callable[[Any], object], Reason, str]] = [
    ("a cap exceeded by one", exceed, ENTRIES, "[0].amount: expected at most the cap 4608279"),
    ("a tier twice", lambda b: b["entries"].insert(1, dict(b["entries"][0])), ENTRIES, "[1].leg: expected more than 0"),
    ("tiers in another order", swap_tiers, ENTRIES, "[1].leg: expected more than 1"),
    ("a leg of the next curve", next_curve, ENTRIES, "[3].bucket: expected 'free'"),
    ("a leg of the next instrument", entry(6, "leg", 20), ENTRIES, "[6].leg: expected one of the table's 20 legs"),
    ("a perpetual's leg", entry(5, "leg", 8), ENTRIES, "[5].symbol: expected 'btc-perp'"),
    ("a tier's leg for another tier's", entry(5, "leg", 18), PATH, "the root"),
    ("another bucket", entry(0, "bucket", "free"), ENTRIES, "[0].bucket: expected 'loan'"),
    ("no bucket", entry(0, "bucket", None), ENTRIES, "[0].bucket: expected 'loan'"),
    ("a bucket for a debt", entry(6, "bucket", "loan"), ENTRIES, "[6].bucket: expected None"),
    ("a bucket that is a number", entry(0, "bucket", 0), MALFORMED, "[0].bucket"),
    ("another kind", entry(0, "kind", "perpetual"), ENTRIES, "[0].kind: expected 'spot'"),
    ("an unknown kind", entry(0, "kind", "option"), ENTRIES, "[0].kind: expected 'spot' or"),
    ("another side", entry(6, "side", "long"), ENTRIES, "[6].side: expected 'short'"),
    ("other decimals", entry(0, "decimals", 6), ENTRIES, "[0].decimals: expected 8"),
    ("another split of the same balance", other_split, PATH, "the root"),
    ("the amounts of two tiers in one entry", lambda b: b["entries"].pop(2), PATH, "the root"),
]


@pytest.mark.negative
@pytest.mark.parametrize(
    ("tamper", "reason", "words"), [t[1:] for t in TAMPERED_TIERS], ids=[t[0] for t in TAMPERED_TIERS]
)
def test_tiers_and_buckets_are_the_tables(tamper: Callable[[Any], object], reason: Reason, words: str) -> None:
    """06 attacks 10, 11 and 24."""
    small = risk_publication()
    error = refused(edited(small.bundle(BORROWER), tamper), small.statement)
    assert error.reason is reason, str(error)
    assert words in str(error)


@pytest.mark.negative
def test_a_cap_exceeded_in_the_tree_itself() -> None:
    """No proof has such a leaf; the user's own check does not lean on that. Only the cap refuses it."""
    honest = risk_publication()
    legs = honest.statement.legs
    account = replace(honest.accounts[BORROWER], entries=((0, legs[0].cap + 1), (19, 1)))
    source = random.Random(5)
    forged = Builder(source, STRESS, RISK_INSTRUMENTS, SCENARIOS).build([account])
    error = refused(forged.bundle(0), forged.statement)
    assert error.reason is ENTRIES
    assert f"at most the cap {legs[0].cap}" in str(error)
    good = replace(account, entries=((0, legs[0].cap), (19, 1)))
    fine = Builder(source, STRESS, RISK_INSTRUMENTS, SCENARIOS).build([good])
    assert check_bundle(fine.bundle(0), fine.statement).compared


@pytest.mark.negative
def test_another_circuits_bundle_is_another_statements() -> None:
    """The same tables without scenarios: leaves may be equal, the statement is not."""
    small, other = risk_publication(), risk_publication("solvency_risk_v1")
    assert refused(other.bundle(FUND), small.statement).reason is Reason.WRONG_STATEMENT
