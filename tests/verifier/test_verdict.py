"""The verdict's arithmetic, and the reserves file that feeds it."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.verifier.small_tree import INSTRUMENTS, publication
from verifier.errors import Reason, VerificationError
from verifier.reserves import RESERVES_BYTES_MAX, parse_reserves
from verifier.statement import Instrument, Statement, Totals
from verifier.verdict import INSOLVENT, NO_RESERVES, SOLVENT, Check, caveats, check_solvency, verdict

TABLE = (Instrument("btc", "spot", 8, 5), Instrument("usdt", "spot", 2, 100))
TOTALS = (Totals(1000, 400), Totals(50, 70))
"""Net value 5 * 600 - 100 * 20 = 1000."""


def statement(**changes: object) -> Statement:
    base = replace(
        publication().statement,
        instruments=TABLE,
        totals=TOTALS,
        policy="strict",
        value_decimals=3,
        total_liability=1000,
        total_shortfall=0,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def under_water(policy: str) -> Statement:
    """Somebody owes 200 value units more than they have, so the others are owed 1200 and not 1000."""
    return statement(policy=policy, total_liability=1200, total_shortfall=200)


def judge(what: Statement, reserves: tuple[int, ...] | None) -> tuple[str, list[Check]]:
    checks = check_solvency(what, reserves)
    return verdict(checks, reserves is not None), [check for check in checks if not check.ok]


def test_exactly_enough_is_solvent() -> None:
    assert judge(statement(), (600, -20)) == (SOLVENT, [])
    assert judge(statement(), (600, 0)) == (SOLVENT, [])


@pytest.mark.negative
def test_one_atom_less_is_not() -> None:
    outcome, failed = judge(statement(), (599, 1000))
    assert outcome == INSOLVENT
    (check,) = failed
    assert check == Check(
        name="btc: reserves cover balances net of debts",
        left="0.00000599",
        right="0.000006",
        relation=">=",
        ok=False,
        note="ratio 99.83 %, without netting debts 59.90 %",
        unit="btc",
    )


def test_ratios_that_are_not_defined() -> None:
    nothing, negative = check_solvency(statement(totals=(Totals(0, 5), Totals(50, 70))), (0, 25))[:2]
    reason = "not defined (net balance is not positive)"
    assert nothing.note == f"ratio {reason}, without netting debts not defined (nothing owed)"
    assert negative.note == f"ratio {reason}, without netting debts 50.00 %"


@pytest.mark.negative
@pytest.mark.parametrize("kind", ["spot", "perpetual"])
def test_debts_without_a_price_are_insolvent(kind: str) -> None:
    """A dummy account with no equity at all can owe any amount of what costs nothing, and so net it away."""
    free = Instrument("junk", kind, 3, 0)
    debts = statement(instruments=(free, *TABLE), totals=(Totals(9, 9), *TOTALS))
    for reserves in ((0, 600, 0), None):
        outcome, (check,) = judge(debts, reserves)
        assert outcome == INSOLVENT
        assert check.name == "junk: what is owed in it has a price"
        assert (check.left, check.relation, check.right, check.unit) == ("0", ">", "0", "USDT")
    for better in (
        replace(debts, instruments=(replace(free, price=1), *TABLE)),
        replace(debts, totals=(Totals(0, 0), *TOTALS)),
    ):
        assert judge(better, (0, 600, 0)) == (SOLVENT, [])


def test_caveats_say_what_the_checks_leave_open() -> None:
    prices = "prices are the exchange's own and not checked here: "
    named, unnamed = statement(), statement(oracle_evidence=bytes(32))
    assert caveats(named, None) == (prices + "the price file named is not read",)
    assert caveats(unnamed, None) == (prices + "no price file is named",)
    assert len(caveats(named, (1000, 50))) == 1
    netted = " covered only because debts are netted: "
    assert caveats(named, (999, 50))[1:] == ("1 asset is" + netted + "btc",)
    assert caveats(named, (600, 0))[1:] == ("2 assets are" + netted + "btc, usdt",)
    # What is not covered at all is a failed check, not a caveat; what is not spot has no reserves.
    assert len(caveats(named, (599, 50))) == 1
    perpetual = statement(instruments=(Instrument("perp", "perpetual", 0, 5),), totals=(Totals(7, 7),))
    assert len(caveats(perpetual, (0,))) == 1


@pytest.mark.negative
def test_value_of_the_reserves_must_cover_the_liabilities() -> None:
    """Each net balance is covered, but only because a debtor who cannot pay is netted against other people's money."""
    disclosed = replace(under_water("disclosed"), totals=(Totals(600, 400), Totals(0, 0)))
    outcome, (check,) = judge(disclosed, (200, 0))
    assert outcome == INSOLVENT
    assert check.name == "value of the reserves covers the total liability"
    assert (check.left, check.right, check.unit) == ("1", "1.2", "USDT")
    assert judge(disclosed, (240, 0)) == (SOLVENT, [])


@pytest.mark.negative
def test_strict_allows_no_shortfall_and_disclosed_shows_it() -> None:
    outcome, failed = judge(under_water("strict"), (10**6, 10**6))
    assert outcome == INSOLVENT
    assert [(check.name, check.left, check.right) for check in failed] == [("no account is under water", "0.2", "0")]
    shown = check_solvency(under_water("disclosed"), (10**6, 10**6))[-1]
    assert (shown.name, shown.left, shown.ok) == ("debts above collateral are disclosed", "0.2", True)


@pytest.mark.negative
def test_perpetuals_must_match() -> None:
    table = (Instrument("perp", "perpetual", 0, 5), Instrument("cost", "cost-basis", 0, 1), TABLE[1])
    matched = statement(instruments=table, totals=(Totals(7, 7), Totals(1, 9), Totals(0, 0)), total_liability=0)
    assert judge(matched, (0, 0, 0)) == (SOLVENT, [])
    open_ = replace(matched, totals=(Totals(8, 7), Totals(1, 9), Totals(0, 0)))
    for reserves in ((0, 0, 0), None):
        outcome, (check,) = judge(open_, reserves)
        assert outcome == INSOLVENT
        assert (check.name, check.relation) == ("perp: long positions equal short positions", "=")


def test_without_reserves_only_the_liabilities_are_judged() -> None:
    assert judge(statement(), None) == (NO_RESERVES, [])
    assert [check.name for check in check_solvency(statement(), None)] == ["no account is under water"]


@pytest.mark.negative
def test_without_reserves_a_broken_policy_is_still_refused() -> None:
    assert judge(under_water("strict"), None)[0] == INSOLVENT


GOOD = [
    (b"asset,amount\n", (0, 0, 0)),
    (b"asset,amount", (0, 0, 0)),
    (b"asset,amount\nbtc,1\n", (10**8, 0, 0)),
    (b"asset,amount\nusdt,0.000001\nbtc,12.30", (1_230_000_000, 0, 1)),
    (b"asset,amount\neth,0\nbtc,0.0\n", (0, 0, 0)),
    (b"asset,amount\nbtc," + b"9" * 40 + b"\n", ((10**40 - 1) * 10**8, 0, 0)),
]


@pytest.mark.parametrize(("data", "atoms"), GOOD)
def test_reserves_are_read_exactly(data: bytes, atoms: tuple[int, ...]) -> None:
    assert parse_reserves(data, INSTRUMENTS) == atoms


def test_a_symbol_may_hold_a_comma() -> None:
    assert parse_reserves(b"asset,amount\na,b,3\n", [Instrument("a,b", "spot", 1, 0)]) == (30,)


BAD = [
    (b"", "line 1"),
    (b"btc,1\n", "line 1"),
    (b"asset, amount\nbtc,1\n", "line 1"),
    (b"Asset,Amount\nbtc,1\n", "line 1"),
    (b"\xef\xbb\xbfasset,amount\n", "no BOM"),
    (b"asset,amount\r\nbtc,1\r\n", "no CR"),
    (b"asset,amount\nbtc,1\n\n", "line 3"),
    (b"asset,amount\nbtc\n", "line 2: expected asset,amount"),
    (b"asset,amount\ndoge,1\n", "line 2, asset: expected a spot asset"),
    (b"asset,amount\nBTC,1\n", "line 2, asset: expected a spot asset"),
    (b"asset,amount\n btc,1\n", "line 2, asset: expected a spot asset"),
    (b'asset,amount\n"btc",1\n', "line 2, asset: expected a spot asset"),
    (b"asset,amount\nbtc,1\neth,1\nbtc,1\n", "line 4, asset: expected each asset once"),
    *(
        (b"asset,amount\nbtc," + text + b"\n", "line 2, amount of 'btc': expected a plain decimal number")
        for text in (b"", b"-1", b"+1", b"01", b"1.", b".5", b"1e3", b"1 ", b" 1", b"1,000", b"0x1", b"NaN", b"1_0")
        if b"," not in text
    ),
    (b"asset,amount\nbtc,1,000\n", "line 2, asset"),
    (b"asset,amount\nbtc,0.000000001\n", "at most 8 decimals"),
    (b"asset,amount\nbtc,1.000000000\n", "at most 8 decimals"),
    (b"asset,amount\nbtc," + b"9" * 41 + b"\n", "plain decimal number"),
]


@pytest.mark.negative
@pytest.mark.parametrize(("data", "words"), BAD)
def test_reserves_that_are_refused(data: bytes, words: str) -> None:
    with pytest.raises(VerificationError) as caught:
        parse_reserves(data, INSTRUMENTS)
    assert caught.value.reason is Reason.RESERVES
    assert words in str(caught.value)


@pytest.mark.negative
def test_reserves_of_what_is_not_spot() -> None:
    with pytest.raises(VerificationError, match="spot asset"):
        parse_reserves(b"asset,amount\nperp,1\n", [Instrument("perp", "perpetual", 0, 1)])


@pytest.mark.negative
def test_reserves_file_too_large() -> None:
    with pytest.raises(VerificationError) as caught:
        parse_reserves(b"x" * (RESERVES_BYTES_MAX + 1), INSTRUMENTS)
    assert caught.value.reason is Reason.FILE_TOO_LARGE


@pytest.mark.negative
@given(st.binary(max_size=60))
def test_only_the_typed_error_leaves(junk: bytes) -> None:
    for data in (junk, b"asset,amount\nbtc," + junk):
        with contextlib.suppress(VerificationError):
            parse_reserves(data, INSTRUMENTS)
