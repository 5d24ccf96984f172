"""The solvency verdict: plain integer arithmetic over proved outputs, never trusted from a file.

Every check has a name, two sides, a relation and a result; the verdict is their conjunction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from verifier.statement import PERPETUAL, SPOT, STRICT, Instrument, Statement, Totals, units

SOLVENT, INSOLVENT = "solvent", "insolvent"
NO_RESERVES = "liabilities proved, no reserves given"
SPOKEN = {SOLVENT: "solvent at the exchange's own prices"}
"""How a verdict is printed where its word alone would say too much."""
NO_EVIDENCE = bytes(32)
"""A statement's `oracle_evidence` where no price file is named."""


@dataclass(frozen=True)
class Check:
    """One comparison `left relation right`.

    Args:
        left, right: exact decimal numbers in whole units of `unit`.
        relation: ">=", "=" or ">".
        note: what the sides are, and the ratios.
    """

    name: str
    left: str
    right: str
    relation: str
    ok: bool
    note: str
    unit: str


def check_solvency(statement: Statement, reserves: Sequence[int] | None) -> tuple[Check, ...]:
    """All checks of a statement.

    1. per spot asset: reserves >= long - short, when reserves are given;
    2. the reserves' value >= total liability, when reserves are given: net balances alone would let debts that
       nobody will pay stand for other people's money;
    3. per perpetual: long = short;
    4. total shortfall = 0 under policy `strict`; under `disclosed` it is shown, and check 2 has to cover it;
    5. per instrument in which something is owed to the exchange: its price is above zero. Otherwise a debt costs its
       debtor no equity, and any debt may be invented to net away what the exchange itself owes. Only a failed one
       is listed.

    Args:
        statement: parsed; that its proof is good is somebody else's check.
        reserves: atoms per instrument as `verifier.reserves` returns them, or None where none were given.
    """
    checks = []
    for i, (instrument, totals) in enumerate(zip(statement.instruments, statement.totals, strict=True)):
        if instrument.kind == SPOT and reserves is not None:
            checks.append(_reserves_cover(instrument, totals, reserves[i]))
        elif instrument.kind == PERPETUAL:
            checks.append(_positions_match(instrument, totals))
        if instrument.price == 0 and totals.short > 0:
            checks.append(_no_price(instrument, statement))
    if reserves is not None:
        checks.append(_value_covers(statement, reserves))
    checks.append(_shortfall(statement))
    return tuple(checks)


def caveats(statement: Statement, reserves: Sequence[int] | None) -> tuple[str, ...]:
    """What the checks do not settle, one sentence each; the first is always there.

    Args:
        reserves: as for `check_solvency`.
    """
    named = "no price file is named" if statement.oracle_evidence == NO_EVIDENCE else "the price file named is not read"
    out = [f"prices are the exchange's own and not checked here: {named}"]
    if reserves is not None:
        table = zip(statement.instruments, statement.totals, reserves, strict=True)
        netted = [i.symbol for i, t, held in table if i.kind == SPOT and t.long - t.short <= held < t.long]
        if netted:
            count = "1 asset is" if len(netted) == 1 else f"{len(netted)} assets are"
            out.append(f"{count} covered only because debts are netted: {', '.join(netted)}")
    return tuple(out)


def verdict(checks: Sequence[Check], reserves_given: bool) -> str:
    """`SOLVENT`, `INSOLVENT`, or `NO_RESERVES` where nothing fails but the reserves are unknown."""
    if not all(check.ok for check in checks):
        return INSOLVENT
    return SOLVENT if reserves_given else NO_RESERVES


def _reserves_cover(instrument: Instrument, totals: Totals, held: int) -> Check:
    net = totals.long - totals.short
    return Check(
        name=f"{instrument.symbol}: reserves cover balances net of debts",
        left=units(held, instrument.decimals),
        right=units(net, instrument.decimals),
        relation=">=",
        ok=held >= net,
        note=f"ratio {_percent(held, net, 'net balance is not positive')}, "
        f"without netting debts {_percent(held, totals.long, 'nothing owed')}",
        unit=instrument.symbol,
    )


def _no_price(instrument: Instrument, statement: Statement) -> Check:
    """The failed check of an instrument without a price in which somebody owes something."""
    name = f"{instrument.symbol}: what is owed in it has a price"
    note = "a debt that costs its debtor nothing can be invented"
    return Check(name, "0", "0", ">", False, note, statement.quote)


def _positions_match(instrument: Instrument, totals: Totals) -> Check:
    return Check(
        name=f"{instrument.symbol}: long positions equal short positions",
        left=units(totals.long, instrument.decimals),
        right=units(totals.short, instrument.decimals),
        relation="=",
        ok=totals.long == totals.short,
        note="the venue's own hedge and vault accounts are in the tree",
        unit=instrument.symbol,
    )


def _value_covers(statement: Statement, reserves: Sequence[int]) -> Check:
    value = sum(i.price * held for i, held in zip(statement.instruments, reserves, strict=True))
    return Check(
        name="value of the reserves covers the total liability",
        left=units(value, statement.value_decimals),
        right=units(statement.total_liability, statement.value_decimals),
        relation=">=",
        ok=value >= statement.total_liability,
        note=f"at the statement's prices, ratio {_percent(value, statement.total_liability, 'nothing owed')}",
        unit=statement.quote,
    )


def _shortfall(statement: Statement) -> Check:
    shown = units(statement.total_shortfall, statement.value_decimals)
    if statement.policy == STRICT:
        name, right, relation, ok = "no account is under water", "0", "=", statement.total_shortfall == 0
        note = "total shortfall; policy strict allows none"
    else:
        # Shown rather than decided: it counts as an asset of nobody, and the value check does without it.
        name, right, relation, ok = "debts above collateral are disclosed", "0", ">=", True
        note = "total shortfall; policy disclosed: the reserves have to cover all liabilities without it"
    return Check(name, shown, right, relation, ok, note, statement.quote)


def _percent(part: int, whole: int, otherwise: str) -> str:
    """`part / whole` rounded down to hundredths of a percent; `otherwise` says why it is not defined."""
    if whole <= 0:
        return f"not defined ({otherwise})"
    hundredths = part * 10_000 // whole
    return f"{hundredths // 100}.{hundredths % 100:02d} %"
