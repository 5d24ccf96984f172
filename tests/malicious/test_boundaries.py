"""Domains off by one: a prover that holds constraints to other rows than it should, with a witness that obeys it there.

For every domain of `verifier.air`. The quotient is a polynomial, so only that the verifier's rows are other ones stops
the proof: one that errs in the same way accepts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest

from tests.verifier import reference_prover
from tests.verifier.reference_polynomials import domain_multipliers_on
from tests.verifier.test_malicious_witness import edited, ledger_with
from tests.verifier.toy_circuits import LOG2_ROWS, Case, active_rows, fibonacci
from tests.verifier.toy_proofs import FREE, prove, refused, verify
from verifier import stark
from verifier.air import ALWAYS, DOMAINS, FIRST, LAST, TRANSITION
from verifier.errors import Reason
from verifier.field import GENERATOR, Ext, P, ext_inverse, ext_mul, ext_sub, lift, root_of_unity

pytestmark = pytest.mark.negative
LAST_ROW = active_rows(LOG2_ROWS) - 1


@dataclass(frozen=True)
class Shift:
    """One domain less the row `without`, and with the row `instead`, if that is not None."""

    domain: str
    without: int
    instead: int | None = None

    def at_words(self, right: Mapping[str, list[int]], shift: int, size: int) -> dict[str, list[int]]:
        """Multipliers on the prover's coset."""
        root, out = root_of_unity(size.bit_length() - 1), []
        for i, value in enumerate(right[self.domain]):
            x = shift * pow(root, i, P) % P
            below = 1 if self.instead is None else x - _point(self.instead)
            out.append(value * (x - _point(self.without)) * pow(below, -1, P) % P)
        return {**right, self.domain: out}

    def at_point(self, right: Mapping[str, Ext], point: Ext) -> dict[str, Ext]:
        """Multipliers at zeta."""
        value = ext_mul(right[self.domain], ext_sub(point, lift(_point(self.without))))
        if self.instead is not None:
            value = ext_mul(value, ext_inverse(ext_sub(point, lift(_point(self.instead)))))
        return {**right, self.domain: value}


def _point(row: int) -> int:
    return pow(root_of_unity(LOG2_ROWS), row, P)


SHIFTS = {
    FIRST: Shift(FIRST, 0, 1),
    TRANSITION: Shift(TRANSITION, LAST_ROW - 1),
    LAST: Shift(LAST, LAST_ROW, LAST_ROW - 1),
    ALWAYS: Shift(ALWAYS, LAST_ROW),
}


def _run(a: int, b: int, end: int | None = None, slip: int = 0) -> Case:
    """Fibonacci numbers from (a, b); `slip` is added in the last step, and `end`, or the last one, is public."""
    columns: dict[str, list[int]] = {"a": [a], "b": [b]}
    for row in range(LAST_ROW):
        columns["a"].append(columns["b"][-1])
        columns["b"].append((columns["a"][row] + columns["b"][row] + slip * (row == LAST_ROW - 1)) % P)
    publics = {"start": (7,), "end": (columns["b"][-1] if end is None else columns["b"][end],)}
    return Case(replace(fibonacci().relation, publics=publics), columns)


CASES = {
    FIRST: _run(1, 0),  # 0, 1 on the second row, as they have to be where the public start is 0
    TRANSITION: _run(7, 1, slip=1),
    LAST: _run(7, 1, end=LAST_ROW - 1),
    ALWAYS: ledger_with(slots=edited("slot", {LAST_ROW: 9})),
}


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_domain_off_by_one_is_refused(domain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made from the list of domains: a new one without its case fails."""
    shift, case, right_on, right = SHIFTS[domain], CASES[domain], _multipliers_on(), stark.domain_multipliers
    with monkeypatch.context() as patch:
        patch.setattr(
            reference_prover,
            "domain_multipliers_on",
            lambda rows, start, size: shift.at_words(right_on, start, size),
        )
        forged = prove(case, FREE)
    refused(Reason.CONSTRAINTS, case, forged, FREE)
    monkeypatch.setattr(
        "verifier.stark.domain_multipliers", lambda rows, point: shift.at_point(right(rows, point), point)
    )
    verify(case, forged, FREE)


def _multipliers_on() -> dict[str, list[int]]:
    return domain_multipliers_on(LOG2_ROWS, GENERATOR, 4 << LOG2_ROWS)
