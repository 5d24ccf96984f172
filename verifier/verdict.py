"""The solvency verdict: plain integer arithmetic over proved outputs, never trusted from a file.

Every check has a name, two sides, a relation and a result; the verdict is the conjunction of those that decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from verifier.instruments import COST_BASIS, PERPETUAL, SPOT, Bucket, Instrument
from verifier.legs import edge, with_haircut
from verifier.statement import DISCLOSED, STRICT, Losses, Statement, Totals, units

if TYPE_CHECKING:
    from verifier.prices import PriceEvidence

SOLVENT, INSOLVENT = "solvent", "insolvent"
NO_RESERVES = "liabilities proved, no reserves given"
NO_EVIDENCE = bytes(32)
"""A statement's `oracle_evidence` where no price file is named."""


RESERVES_COVER = ": reserves cover balances net of debts"
"""End of the name of the check that every asset gets."""


@dataclass(frozen=True)
class Check:
    """One comparison `left relation right`.

    Args:
        left, right: exact decimal numbers in whole units of `unit`.
        relation: ">=", "<=", "=" or ">".
        note: what the sides are, and the ratios.
        decides: whether the verdict depends on it. What a scenario would cost makes nobody insolvent today.
    """

    name: str
    left: str
    right: str
    relation: str
    ok: bool
    note: str
    unit: str
    decides: bool = True


@dataclass(frozen=True)
class FundValue:
    """What the opened account of the insurance fund can pay, in value units, never negative.

    Args:
        today: at the statement's prices.
        stressed: in each scenario.
    """

    today: int
    stressed: tuple[int, ...] = ()


def check_solvency(
    statement: Statement, reserves: Sequence[int] | None, fund: FundValue | None = None
) -> tuple[Check, ...]:
    """All checks of a statement.

    1. per spot asset: reserves >= long - short, when reserves are given. To the quote currency belongs the net cost
       basis of all positions too: it is what open positions still owe to closed ones, and the other way round;
    2. the reserves' value >= total liability - what the fund pays of the shortfall, when reserves are given: net
       balances alone would let debts that nobody will pay stand for other people's money;
    3. per perpetual: long = short;
    4. collateral: each haircut curve applied to the sum over all accounts covers all spot debts, and what cost bases
       owe on balance. Splitting junk over many accounts, each within the first tier, gains nothing here;
    5. under policy `strict` total shortfall and total margin deficit are 0; under `disclosed` each is at most the fund;
    6. per instrument in which something is owed to the exchange: its price is above zero. Otherwise a debt costs its
       debtor no equity, and any debt may be invented to net away what the exchange itself owes. Only a failed one
       is listed;
    7. per scenario, without deciding: shortfall and margin deficit are at most the fund.

    Args:
        statement: parsed; that its proof is good is somebody else's check.
        reserves: atoms per instrument as `verifier.reserves` returns them, or None where none were given.
        fund: from the fund's opened account; None, where it is not opened, counts as nothing.
    """
    checks = []
    claims = _claims(statement)
    for i, (instrument, totals) in enumerate(zip(statement.instruments, statement.totals, strict=True)):
        if instrument.kind == SPOT and reserves is not None:
            checks.append(_reserves_cover(instrument, totals, claims[i], reserves[i]))
        elif instrument.kind == PERPETUAL:
            checks.append(_positions_match(instrument, totals, statement))
        if instrument.price == 0 and totals.short > 0:
            checks.append(_no_price(instrument, statement))
    if reserves is not None:
        checks.append(_value_covers(statement, reserves, fund))
    if any(bucket.tiers for instrument in statement.instruments for bucket in instrument.buckets):
        checks.append(_collateral_covers(statement))
    checks.append(_shortfall(statement, fund))
    if statement.total_margin_deficit is not None:
        checks.append(_margin_deficit(statement, statement.total_margin_deficit, fund))
    for i, losses in enumerate(statement.losses):
        checks += _stress(statement, i, losses, fund)
    return tuple(checks)


def caveats(
    statement: Statement,
    reserves: Sequence[int] | None,
    fund: FundValue | None = None,
    evidence: PriceEvidence | None = None,
) -> tuple[str, ...]:
    """What the checks do not settle, one sentence each.

    Args:
        reserves, fund: as for `check_solvency`.
        evidence: of the prices, checked; None where the statement names none.
    """
    out = []
    if evidence is None:
        out.append("prices are the exchange's own and not checked here: no price file is named")
    elif not evidence.trusted:
        out.append(
            f"prices follow from {evidence.sources} signed sources of the exchange's own choice: only sources that you "
            "name yourself show that they are the market's"
        )
    if statement.total_margin_deficit is None:
        out.append("margins are not proved: accounts may lack the collateral that their debts need")
    if fund is None and (statement.policy == DISCLOSED or statement.losses):
        out.append("the insurance fund's account is not opened: it counts as nothing")
    if reserves is not None:
        table = zip(statement.instruments, statement.totals, _claims(statement), reserves, strict=True)
        netted = [i.symbol for i, t, claim, held in table if i.kind == SPOT and claim <= held < t.long]
        if netted:
            count = "1 asset is" if len(netted) == 1 else f"{len(netted)} assets are"
            out.append(f"{count} covered only because debts are netted: {', '.join(netted)}")
    return tuple(out)


def verdict(checks: Sequence[Check], reserves_given: bool) -> str:
    """`SOLVENT`, `INSOLVENT`, or `NO_RESERVES` where nothing that decides fails but the reserves are unknown."""
    if not all(check.ok for check in checks if check.decides):
        return INSOLVENT
    return SOLVENT if reserves_given else NO_RESERVES


def proved(statement: Statement) -> str:
    """What a statement's circuit shows of each account, in words."""
    if statement.total_margin_deficit is None:
        return "equity only"
    count = len(statement.scenarios)
    if not count:
        return "equity and margins"
    return f"equity, margins and {count} stress {'scenario' if count == 1 else 'scenarios'}"


def spoken(outcome: str, statement: Statement, evidence: PriceEvidence | None) -> str:
    """A verdict as it is printed: its word alone would say too much."""
    if outcome == INSOLVENT:
        return outcome
    if outcome == SOLVENT and evidence is None:
        outcome += " at the exchange's own prices"
    elif outcome == SOLVENT and evidence is not None:
        whose = "trusted sources" if evidence.trusted else "sources of the exchange's choice"
        outcome += f" at prices signed by {evidence.sources} {whose}"
    return f"{outcome} (proved: {proved(statement)})"


def open_interest(statement: Statement) -> tuple[tuple[Instrument, int, int], ...]:
    """Per perpetual: the instrument, its long positions in atoms, and their value in value units."""
    pairs = zip(statement.instruments, statement.totals, strict=True)
    return tuple((i, t.long, t.long * i.price) for i, t in pairs if i.kind == PERPETUAL)


def _claims(statement: Statement) -> list[int]:
    """Per instrument what accounts are owed net of what they owe, in atoms, signed.

    What a position gained moves to the quote balance when it is closed, while the other side's loss stays in its cost
    basis until that is closed too. So only their sum is what was paid in, and what has to be there.
    """
    table = list(zip(statement.instruments, statement.totals, strict=True))
    claims = [totals.long - totals.short for _, totals in table]
    basis = _net_cost_basis(statement)
    for j, (instrument, _) in enumerate(table):
        if instrument.kind == SPOT and instrument.symbol.lower() == statement.quote.lower() and instrument.price:
            claims[j] += -(-basis // instrument.price)
    return claims


def _net_cost_basis(statement: Statement) -> int:
    """What accounts were credited for open positions less what they were charged, in value units, signed."""
    pairs = zip(statement.instruments, statement.totals, strict=True)
    return sum(i.price * (t.long - t.short) for i, t in pairs if i.kind == COST_BASIS)


def _reserves_cover(instrument: Instrument, totals: Totals, claim: int, held: int) -> Check:
    return Check(
        name=instrument.symbol + RESERVES_COVER,
        left=units(held, instrument.decimals),
        right=units(claim, instrument.decimals),
        relation=">=",
        ok=held >= claim,
        note=f"ratio {_percent(held, claim, 'net balance is not positive')}, "
        f"without netting debts {_percent(held, totals.long, 'nothing owed')}"
        + ("" if claim == totals.long - totals.short else "; net of the cost basis of open positions too"),
        unit=instrument.symbol,
    )


def _no_price(instrument: Instrument, statement: Statement) -> Check:
    """The failed check of an instrument without a price in which somebody owes something."""
    name = f"{instrument.symbol}: what is owed in it has a price"
    note = "a debt that costs its debtor nothing can be invented"
    return Check(name, "0", "0", ">", False, note, statement.quote)


def _positions_match(instrument: Instrument, totals: Totals, statement: Statement) -> Check:
    value = units(totals.long * instrument.price, statement.value_decimals)
    return Check(
        name=f"{instrument.symbol}: long positions equal short positions",
        left=units(totals.long, instrument.decimals),
        right=units(totals.short, instrument.decimals),
        relation="=",
        ok=totals.long == totals.short,
        note=f"open interest {units(totals.long, instrument.decimals)} {instrument.symbol}, worth {value} "
        f"{statement.quote}; the venue's own hedge and vault accounts are in the tree",
        unit=instrument.symbol,
    )


def _value_covers(statement: Statement, reserves: Sequence[int], fund: FundValue | None) -> Check:
    value = sum(i.price * held for i, held in zip(statement.instruments, reserves, strict=True))
    # The fund pays for accounts under water and for nothing else: a fund that nobody needs has to be there in full.
    paid = min(statement.total_shortfall, fund.today if fund else 0)
    owed = statement.total_liability - paid
    note = f"at the statement's prices, ratio {_percent(value, owed, 'nothing owed')}"
    if paid:
        note += f"; the insurance fund pays {units(paid, statement.value_decimals)} of the shortfall"
    return Check(
        name="value of the reserves covers the total liability" + (" less the insurance fund's part" if paid else ""),
        left=units(value, statement.value_decimals),
        right=units(owed, statement.value_decimals),
        relation=">=",
        ok=value >= owed,
        note=note,
        unit=statement.quote,
    )


def _collateral_covers(statement: Statement) -> Check:
    collateral = 0
    # On balance a cost basis below zero lowers what the quote currency has to cover, so it is a debt like the others.
    debts = max(0, -_net_cost_basis(statement))
    for instrument, totals in zip(statement.instruments, statement.totals, strict=True):
        if instrument.kind == SPOT:
            debts += instrument.price * totals.short
            for bucket, amount in zip(instrument.buckets, totals.buckets, strict=True):
                collateral += _after_haircut(bucket, amount, instrument.price, statement.value_decimals)
    return Check(
        name="collateral of all accounts together, after haircuts, covers all debts",
        left=units(collateral, statement.value_decimals),
        right=units(debts, statement.value_decimals),
        relation=">=",
        ok=collateral >= debts,
        note=f"each curve applied to the sum over all accounts, ratio {_percent(collateral, debts, 'no debts')}",
        unit=statement.quote,
    )


def _after_haircut(bucket: Bucket, amount: int, price: int, value_decimals: int) -> int:
    """What one holding of `amount` atoms, however large, counts as collateral, in value units."""
    out = below = 0
    for tier in bucket.tiers:
        above = edge(tier, price, value_decimals)
        reached = amount if above is None else min(amount, above)
        out += (reached - below) * with_haircut(price, tier.ratio)
        below = reached
    return out


def _shortfall(statement: Statement, fund: FundValue | None) -> Check:
    if statement.policy == STRICT:
        return _none_allowed("no account is under water", "total shortfall", statement.total_shortfall, statement)
    name = "debts above what their debtors hold are within the insurance fund"
    return _within_fund(name, "total shortfall", statement.total_shortfall, fund.today if fund else None, statement)


def _margin_deficit(statement: Statement, deficit: int, fund: FundValue | None) -> Check:
    if statement.policy == STRICT:
        return _none_allowed("no account lacks margin", "total margin deficit", deficit, statement)
    name = "margins that accounts lack are within the insurance fund"
    return _within_fund(name, "total margin deficit", deficit, fund.today if fund else None, statement)


def _stress(statement: Statement, index: int, losses: Losses, fund: FundValue | None) -> tuple[Check, Check]:
    scenario, value = statement.scenarios[index].name, fund.stressed[index] if fund else None
    what = f"in the scenario {scenario}"
    return (
        _within_fund(
            f"stress {scenario}: losses within the insurance fund",
            f"total shortfall {what}",
            losses.shortfall,
            value,
            statement,
            decides=False,
        ),
        _within_fund(
            f"stress {scenario}: margin deficits within the insurance fund",
            f"total margin deficit {what}",
            losses.margin_deficit,
            value,
            statement,
            decides=False,
        ),
    )


def _none_allowed(name: str, what: str, amount: int, statement: Statement) -> Check:
    shown = units(amount, statement.value_decimals)
    return Check(name, shown, "0", "=", amount == 0, f"{what}; policy strict allows none", statement.quote)


def _within_fund(
    name: str, what: str, amount: int, fund: int | None, statement: Statement, *, decides: bool = True
) -> Check:
    """`fund` is its value where the amount was lost, None where its account is not opened."""
    note = f"{what}; policy disclosed" if decides else f"{what}; shown, decides nothing"
    return Check(
        name=name,
        left=units(amount, statement.value_decimals),
        right=units(fund or 0, statement.value_decimals),
        relation="<=",
        ok=amount <= (fund or 0),
        note=note + ("" if fund is not None else "; no insurance fund is opened"),
        unit=statement.quote,
        decides=decides,
    )


def _percent(part: int, whole: int, otherwise: str) -> str:
    """`part / whole` rounded down to hundredths of a percent; `otherwise` says why it is not defined."""
    if whole <= 0:
        return f"not defined ({otherwise})"
    hundredths = part * 10_000 // whole
    return f"{hundredths // 100}.{hundredths % 100:02d} %"
