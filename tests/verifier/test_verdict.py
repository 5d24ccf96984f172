"""The verdict's arithmetic, and the reserves file that feeds it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.verifier.small_tree import publication, risk_publication
from verifier.instruments import Bucket, Instrument, Scenario, Tier
from verifier.prices import PriceEvidence, Rules
from verifier.statement import Losses, Statement, Totals, units
from verifier.verdict import (
    INSOLVENT,
    NO_RESERVES,
    SOLVENT,
    Check,
    FundValue,
    caveats,
    check_solvency,
    open_interest,
    proved,
    spoken,
    verdict,
)

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


def judge(what: Statement, reserves: tuple[int, ...] | None, fund: FundValue | None = None) -> tuple[str, list[Check]]:
    checks = check_solvency(what, reserves, fund)
    return verdict(checks, reserves is not None), [check for check in checks if not check.ok and check.decides]


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
@pytest.mark.parametrize("owed", [9, 1])
def test_debts_without_a_price_are_insolvent(kind: str, owed: int) -> None:
    """A dummy account with no equity at all can owe any amount of what costs nothing, and so net it away."""
    free = Instrument("junk", kind, 3, 0)
    debts = statement(instruments=(free, *TABLE), totals=(Totals(owed, owed), *TOTALS))
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


MARGINS = "margins are not proved: accounts may lack the collateral that their debts need"
UNNAMED = "prices are the exchange's own and not checked here: no price file is named"


def evidence(trusted: bool) -> PriceEvidence:
    return PriceEvidence(5, trusted, Rules(60, 100, 3), (), (), (), "00" * 32)


def test_caveats_say_what_the_checks_leave_open() -> None:
    plain = statement()
    assert caveats(plain, None) == caveats(plain, (1000, 50)) == (UNNAMED, MARGINS)
    netted = " covered only because debts are netted: "
    assert caveats(plain, (999, 50))[2:] == ("1 asset is" + netted + "btc",)
    assert caveats(plain, (600, 0))[2:] == ("2 assets are" + netted + "btc, usdt",)
    # What is not covered at all is a failed check, not a caveat; what is not spot has no reserves.
    assert len(caveats(plain, (599, 50))) == 2
    perpetual = statement(instruments=(Instrument("perp", "perpetual", 0, 5),), totals=(Totals(7, 7),))
    assert len(caveats(perpetual, (0,))) == 2


def test_caveats_follow_what_is_proved_and_opened() -> None:
    closed = "the insurance fund's account is not opened: it counts as nothing"
    assert caveats(statement(policy="disclosed"), None) == (UNNAMED, MARGINS, closed)
    assert caveats(statement(policy="disclosed"), None, FundValue(0)) == (UNNAMED, MARGINS)
    assert caveats(risky(), None) == (UNNAMED,)
    assert caveats(stressed(0, 0), None) == (UNNAMED, closed)
    assert caveats(stressed(0, 0), None, FundValue(0, (0,))) == (UNNAMED,)
    assert caveats(risky(), None, None, evidence(True)) == ()
    (chosen,) = caveats(risky(), None, None, evidence(False))
    assert chosen.startswith("prices follow from 5 signed sources of the exchange's own choice")


def test_a_verdict_is_spoken_with_its_prices_and_what_is_proved() -> None:
    own = "solvent at the exchange's own prices (proved: "
    assert spoken(SOLVENT, statement(), None) == own + "equity only)"
    assert spoken(SOLVENT, risky(), None) == own + "equity and margins)"
    assert spoken(SOLVENT, stressed(0, 0), None) == own + "equity, margins and 1 stress scenario)"
    assert proved(risk_publication().statement) == "equity, margins and 2 stress scenarios"
    trusted, chosen = (spoken(SOLVENT, risky(), evidence(trusted)) for trusted in (True, False))
    assert trusted == "solvent at prices signed by 5 trusted sources (proved: equity and margins)"
    assert chosen == "solvent at prices signed by 5 sources of the exchange's choice (proved: equity and margins)"
    assert spoken(INSOLVENT, statement(), evidence(True)) == INSOLVENT
    assert spoken(NO_RESERVES, statement(), evidence(True)) == NO_RESERVES + " (proved: equity only)"


@pytest.mark.negative
def test_value_of_the_reserves_must_cover_the_liabilities() -> None:
    """Each net balance is covered, but only because a debtor who cannot pay is netted against other people's money."""
    disclosed = replace(under_water("disclosed"), totals=(Totals(600, 400), Totals(0, 0)))
    outcome, failed = judge(disclosed, (200, 0))
    assert outcome == INSOLVENT
    value, shortfall = failed
    assert value.name == "value of the reserves covers the total liability"
    assert (value.left, value.right, value.unit) == ("1", "1.2", "USDT")
    assert shortfall.name == "debts above what their debtors hold are within the insurance fund"
    # Own assets beside the accounts' do not replace the fund: what they are held for, nobody has shown.
    assert judge(disclosed, (240, 0))[1] == [shortfall]


@pytest.mark.negative
def test_the_fund_pays_the_shortfall_and_nothing_else() -> None:
    """Total liability 1200 of which 200 are the fund's: those are spent, and the others' 1000 are there."""
    disclosed = replace(under_water("disclosed"), totals=(Totals(600, 400), Totals(0, 0)))
    assert judge(disclosed, (200, 0), FundValue(200)) == (SOLVENT, [])
    check = next(c for c in check_solvency(disclosed, (200, 0), FundValue(200)) if c.name.startswith("value"))
    assert check.name == "value of the reserves covers the total liability less the insurance fund's part"
    assert (check.left, check.right) == ("1", "1")
    assert check.note.endswith("; the insurance fund pays 0.2 of the shortfall")
    # One unit less in the fund: it cannot pay for everything, and the reserves do not cover the rest.
    outcome, (value, shortfall) = judge(disclosed, (200, 0), FundValue(199))
    assert (outcome, value.right) == (INSOLVENT, "1.001")
    assert (shortfall.left, shortfall.relation, shortfall.right) == ("0.2", "<=", "0.199")
    # A fund that is larger than the shortfall does not stand in for reserves: the rest of it has to be there.
    assert judge(disclosed, (199, 0), FundValue(10**9))[0] == INSOLVENT
    whole = statement(totals=(Totals(600, 400), Totals(0, 0)))
    outcome, failed = judge(whole, (199, 0), FundValue(10**9))
    assert (outcome, [check.right for check in failed]) == (INSOLVENT, ["0.000002", "1"])


@pytest.mark.negative
def test_strict_allows_no_shortfall_whatever_the_fund() -> None:
    for fund in (None, FundValue(10**9)):
        outcome, failed = judge(under_water("strict"), (10**6, 10**6), fund)
        assert outcome == INSOLVENT
        assert [(c.name, c.left, c.relation, c.right) for c in failed] == [
            ("no account is under water", "0.2", "=", "0")
        ]
    names = [check.name for check in check_solvency(statement(), (10**6, 10**6))]
    assert names[-1] == "no account is under water"  # no margins under an equity circuit


@pytest.mark.negative
def test_disclosed_is_bounded_by_the_fund() -> None:
    water = under_water("disclosed")
    for fund, solvent in ((None, False), (FundValue(0), False), (FundValue(199), False), (FundValue(200), True)):
        outcome, failed = judge(water, (10**6, 10**6), fund)
        assert (outcome == SOLVENT, not failed) == (solvent, solvent)
    closed, empty = (check_solvency(water, None, fund)[-1] for fund in (None, FundValue(0)))
    assert closed.note == "total shortfall; policy disclosed; no insurance fund is opened"
    assert empty.note == "total shortfall; policy disclosed"
    # Nothing disclosed needs no fund.
    assert judge(statement(policy="disclosed"), (10**6, 10**6)) == (SOLVENT, [])


def risky(**changes: object) -> Statement:
    """The same sums under a circuit that proves margins, in one bucket without a haircut."""
    table = tuple(replace(i, buckets=(Bucket("all", (Tier(None, 10_000),)),)) for i in TABLE)
    totals = tuple(replace(t, buckets=(t.long,)) for t in TOTALS)
    return replace(statement(instruments=table, totals=totals, total_margin_deficit=0), **changes)  # type: ignore[arg-type]


def stressed(shortfall: int, margin_deficit: int) -> Statement:
    return risky(scenarios=(Scenario("crash", (1, 100)),), losses=(Losses(shortfall, margin_deficit),))


@pytest.mark.negative
def test_margin_deficits_under_both_policies() -> None:
    assert judge(risky(), (600, 0)) == (SOLVENT, [])
    outcome, (check,) = judge(risky(total_margin_deficit=1), (600, 0), FundValue(10**9))
    assert (outcome, check.name) == (INSOLVENT, "no account lacks margin")
    assert (check.left, check.relation, check.right) == ("0.001", "=", "0")
    disclosed = risky(total_margin_deficit=70, policy="disclosed")
    for fund, solvent in ((None, False), (FundValue(69), False), (FundValue(70), True)):
        outcome, failed = judge(disclosed, (600, 0), fund)
        assert (outcome == SOLVENT, [c.name for c in failed]) == (
            solvent,
            [] if solvent else ["margins that accounts lack are within the insurance fund"],
        )


@pytest.mark.negative
def test_junk_over_many_accounts_is_not_collateral() -> None:
    """06 attack 9: per account a holding of junk stays within the first tier, over all accounts it does not.

    A thousand dummies hold 10 units of junk each, worth 1 apiece and counted in full up to 10, and owe 9 bitcoin atoms
    each. Every account is healthy, every proved sum is right, reserves in junk are cheap: only this check refuses.
    """
    curve = (Tier(10, 10_000), Tier(20, 5000))
    junk = Instrument("junk", "spot", 0, 1000, (Bucket("loan", curve), Bucket("free", ())))
    coin = Instrument("btc", "spot", 0, 1000, (Bucket("loan", (Tier(None, 10_000),)),))
    forged = risky(
        instruments=(coin, junk),
        totals=(Totals(9500, 9000, (9500,)), Totals(10_000, 0, (10_000, 0))),
        total_liability=10_500_000,
        total_shortfall=0,
    )
    assert forged.net_value == forged.total_liability
    reserves = (500, 10_000)
    assert judge(forged, reserves) == (SOLVENT, [])  # as long as the bitcoin of others is lent with their consent
    bare = replace(forged, instruments=(replace(coin, buckets=(Bucket("free", ()),)), junk))
    outcome, (check,) = judge(bare, reserves)
    assert outcome == INSOLVENT
    assert check.name == "collateral of all accounts together, after haircuts, covers all debts"
    assert (check.left, check.relation, check.right) == ("15", ">=", "9000")


def test_collateral_is_cut_at_the_bounds_and_rounded_down() -> None:
    curve = (Tier(3, 9999), Tier(4, 5000))
    asset = Instrument("a", "spot", 0, 1001, (Bucket("loan", curve), Bucket("rest", (Tier(None, 1),))))
    for amount, counted in ((1, 1000), (2, 2000), (3, 2500), (4, 2500), (10**30, 2500)):
        what = risky(instruments=(asset,), totals=(Totals(amount + 7, 0, (amount, 7)),))
        check = next(c for c in check_solvency(what, None) if c.name.startswith("collateral"))
        # The bound of 3.0 has room for 2 atoms of 1.001; 0.01 % of 1001 is 0 in whole units.
        assert (check.left, check.right, check.ok) == (units(counted, 3), "0", True)


@pytest.mark.negative
def test_collateral_below_debts_by_one_unit() -> None:
    asset = Instrument("a", "spot", 0, 10, (Bucket("loan", (Tier(None, 5000),)),))
    for short, solvent in ((50, True), (51, False)):
        what = risky(instruments=(asset,), totals=(Totals(100, short, (100,)),), total_liability=10 * (100 - short))
        outcome, failed = judge(what, (100,))
        assert (outcome == SOLVENT, len(failed)) == (solvent, not solvent)


def test_without_curves_there_is_no_collateral_check() -> None:
    assert all("collateral" not in check.name for check in check_solvency(statement(), None))
    free = risky(instruments=tuple(replace(i, buckets=(Bucket("free", ()),)) for i in TABLE))
    assert all("collateral" not in check.name for check in check_solvency(free, None))


def test_a_scenario_is_shown_and_decides_nothing() -> None:
    what = stressed(30, 50)
    for fund, results in (
        (None, (False, False)),
        (FundValue(10**9, (29,)), (False, False)),
        (FundValue(0, (30,)), (True, False)),
        (FundValue(0, (50,)), (True, True)),
    ):
        checks = check_solvency(what, (600, 0), fund)
        losses, deficits = checks[-2:]
        assert losses.name == "stress crash: losses within the insurance fund"
        assert deficits.name == "stress crash: margin deficits within the insurance fund"
        assert (losses.left, deficits.left, losses.relation) == ("0.03", "0.05", "<=")
        assert (losses.ok, deficits.ok) == results
        assert not (losses.decides or deficits.decides)
        assert verdict(checks, True) == SOLVENT
        assert "shown, decides nothing" in losses.note
        assert ("no insurance fund is opened" in losses.note) == (fund is None)
        assert losses.right == ("0" if fund is None else units(fund.stressed[0], 3))


def derivatives(basis: Totals, **changes: object) -> Statement:
    """A perpetual, its cost basis with two decimals fewer than the quote currency has, and that."""
    table = (
        Instrument("perp", "perpetual", 0, 5),
        Instrument("cost", "cost-basis", 0, 1000),
        Instrument("usdt", "spot", 2, 10),
    )
    base = statement(instruments=table, totals=(Totals(7, 7), basis, Totals(100, 0)), total_shortfall=0)
    return replace(base, total_liability=base.net_value, **changes)  # type: ignore[arg-type]


def test_open_interest_is_published() -> None:
    what = derivatives(Totals(0, 0))
    assert [(i.symbol, atoms, value) for i, atoms, value in open_interest(what)] == [("perp", 7, 35)]
    (check,) = [c for c in check_solvency(what, (0, 0, 100)) if c.unit == "perp"]
    assert check.note.startswith("open interest 7 perp, worth 0.035 USDT")
    assert open_interest(statement()) == ()


@pytest.mark.negative
def test_the_cost_basis_belongs_to_the_quote_currency() -> None:
    """What winners took out is in quote balances, what losers still owe is in their cost basis, and the other way."""
    for basis, needed in ((Totals(0, 0), 100), (Totals(3, 3), 100), (Totals(0, 1), 0), (Totals(1, 0), 200)):
        what = derivatives(basis)
        assert judge(what, (0, 0, needed)) == (SOLVENT, [])
        note = next(c for c in check_solvency(what, (0, 0, needed)) if c.unit == "usdt").note
        assert ("net of the cost basis" in note) == (basis.long != basis.short)
        if needed:
            outcome, failed = judge(what, (0, 0, needed - 1))
            assert outcome == INSOLVENT
            assert failed[0].name == "usdt: reserves cover balances net of debts"
            assert failed[0].right == units(needed, 2)
    # A coin that is not the quote currency is not touched by it.
    renamed = derivatives(Totals(1, 0), quote="EUR")
    assert [c.right for c in check_solvency(renamed, (0, 0, 200)) if c.unit == "usdt"] == ["1"]


@pytest.mark.negative
def test_a_cost_basis_without_its_currency_is_covered_by_value() -> None:
    """No asset is short of anything; what positions are credited only the value check sees."""
    what = derivatives(Totals(1, 0), quote="EUR")
    outcome, (check,) = judge(what, (0, 0, 199))
    assert (outcome, check.name) == (INSOLVENT, "value of the reserves covers the total liability")
    assert judge(what, (0, 0, 200)) == (SOLVENT, [])


@pytest.mark.negative
def test_a_cost_basis_below_an_atom_is_rounded_against_the_exchange() -> None:
    table = (Instrument("cost", "cost-basis", 3, 1), Instrument("usdt", "spot", 2, 10))
    what = statement(instruments=table, totals=(Totals(1, 0), Totals(100, 0)), total_liability=1001)
    assert [c.right for c in check_solvency(what, (0, 101)) if c.unit == "usdt"] == ["1.01"]
    what = replace(what, totals=(Totals(0, 1), Totals(100, 0)), total_liability=999)
    assert [c.right for c in check_solvency(what, (0, 100)) if c.unit == "usdt"] == ["1"]


@pytest.mark.negative
def test_cost_bases_that_owe_need_collateral_too() -> None:
    """A dummy with junk and a charged cost basis would otherwise take quote currency out past the haircuts."""
    junk = Instrument("junk", "spot", 0, 1000, (Bucket("loan", (Tier(1, 10_000),)),))
    usdt = Instrument("usdt", "spot", 2, 10, (Bucket("free", ()),))
    cost = Instrument("cost", "cost-basis", 0, 1000)
    what = risky(
        instruments=(cost, junk, usdt),
        totals=(Totals(0, 5), Totals(5, 0, (5,)), Totals(500, 0, (500,))),
        total_liability=5000,
    )
    outcome, (check,) = judge(what, (0, 5, 0))
    assert outcome == INSOLVENT
    assert check.name == "collateral of all accounts together, after haircuts, covers all debts"
    assert (check.left, check.right) == ("1", "5")
    credited = replace(what, totals=(Totals(5, 0), *what.totals[1:]), total_liability=15_000)
    assert judge(credited, (0, 5, 1000)) == (SOLVENT, [])


@pytest.mark.negative
def test_each_decision_of_the_small_risk_publication() -> None:
    """One change to one side of each deciding check, and exactly that check fails."""
    what = risk_publication().statement
    btc, usdt = what.totals[0].long, what.totals[3].long - what.totals[3].short
    fund = FundValue(10**23, (10**23, 10**23))
    good = (btc, 0, 0, usdt)
    assert judge(what, good, fund) == (SOLVENT, [])
    table: list[tuple[Statement, tuple[int, ...], FundValue, set[str]]] = [
        (what, (btc - 1, 0, 0, usdt + 10**6), fund, {"btc: reserves"}),
        (what, (btc + 1, 0, 0, usdt - 1), fund, {"usdt: reserves"}),
        (what, good, FundValue(0, fund.stressed), {"margins that"}),
        (replace(what, policy="strict"), good, fund, {"no account lacks"}),
        (replace(what, total_liability=what.total_liability + 1), good, fund, {"value of"}),
        (replace(what, total_shortfall=fund.today + 1), good, fund, {"debts above"}),
        (replace(what, totals=(*what.totals[:1], Totals(5, 6), *what.totals[2:])), good, fund, {"btc-perp: long"}),
    ]
    for forged, reserves, insured, names in table:
        outcome, failed = judge(forged, reserves, insured)
        assert outcome == INSOLVENT
        assert len(failed) == len(names)
        assert all(check.name.startswith(name) for check, name in zip(failed, names, strict=True))


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
