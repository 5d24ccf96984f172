"""The insurance fund: one account of the tree, opened to everybody, and what it is worth.

A bundle like a user's own (`verifier.inclusion`), for a reserved user id: that id is in the leaf, so no other account
can pose as the fund, and the balance is the one that was counted, never a number from a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from verifier.inclusion import Balance, check_bundle
from verifier.legs import SHORT
from verifier.statement import Statement, units

FUND_USER_ID = "insurance-fund"
"""Reserved: the user id of the fund's account, at every exchange."""


@dataclass(frozen=True)
class Fund:
    """The opened account.

    Args:
        equity: at the statement's prices, in value units, signed.
        scenario_equities: the same at the values of each of the statement's scenarios.
        balances: as the bundle lists them.
        quote, value_decimals: one value unit is 10^-value_decimals of `quote`.
    """

    equity: int
    scenario_equities: tuple[int, ...]
    balances: tuple[Balance, ...]
    quote: str
    value_decimals: int

    @property
    def value(self) -> int:
        """What the fund can pay, in value units: its equity, or nothing where it is in debt itself."""
        return max(0, self.equity)

    @property
    def scenario_values(self) -> tuple[int, ...]:
        """What it can pay in each scenario: its own assets fall with the others."""
        return tuple(max(0, equity) for equity in self.scenario_equities)

    @property
    def summary(self) -> str:
        """One line for a report."""
        amount = f"{units(self.value, self.value_decimals)} {self.quote}"
        if self.equity < 0:
            lacks = units(-self.equity, self.value_decimals)
            return f"worth {amount}: its account owes {lacks} {self.quote} more than it holds"
        return f"worth {amount} at the statement's prices, from its opened account"


def check_fund(data: bytes, statement: Statement) -> Fund:
    """Check the opened account of the insurance fund against an accepted statement.

    Args:
        data: fund.json, a bundle as `verifier.inclusion` reads it.

    Raises:
        VerificationError: as `verifier.inclusion.check_bundle`; ACCOUNT_ID where it is another user's account.
    """
    balances = check_bundle(data, statement, user_id=FUND_USER_ID).balances
    symbols = [instrument.symbol for instrument in statement.instruments]

    def equity(values: Sequence[int]) -> int:
        by_symbol = dict(zip(symbols, values, strict=True))
        return sum((-1 if b.side == SHORT else 1) * by_symbol[b.symbol] * b.atoms for b in balances)

    return Fund(
        equity=equity([instrument.price for instrument in statement.instruments]),
        scenario_equities=tuple(equity(scenario.values) for scenario in statement.scenarios),
        balances=balances,
        quote=statement.quote,
        value_decimals=statement.value_decimals,
    )
