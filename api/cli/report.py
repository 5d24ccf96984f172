"""How a verified publication is shown: the checks that decide, what stress would cost, the verdict and its caveats."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from api.cli.output import Output

if TYPE_CHECKING:
    from verifier.inclusion import Step
    from verifier.report import Report

ASSETS_SHOWN: Final = 10
"""Assets that are covered get a line each up to this many; whatever fails always does."""


def print_report(report: Report, output: Output, quorum: str | None = None) -> None:
    """Each check with both sides, the verdict, and what it leaves open. `quorum`: what validators certified."""
    from verifier.verdict import RESERVES_COVER

    statement = report.statement
    output.line(f"{statement.exchange}, sequence {statement.sequence}, {statement.time}, policy {statement.policy}")
    output.line(f"Statement {report.statement_digest}")
    output.line(
        f"Proof accepted: profile {report.profile}, {report.soundness_bits} provable bits, "
        f"{report.proof_bytes} bytes, checked in {report.seconds:.1f} s"
    )
    output.line(f"Circuit {statement.circuit}, tree hash {statement.tree_hash}")
    output.line(f"Reserves {'sha256 ' + report.reserves_sha256 if report.reserves_sha256 else 'none'}")
    if report.signed:
        output.line(f"Signed {report.signed.summary}")
    output.line(f"Prices {report.evidence.summary if report.evidence else 'without a price file'}")
    output.line(f"Insurance fund {report.fund.summary if report.fund else 'not opened'}")
    if quorum is not None:
        output.line(f"Validators: {quorum}")
    assets = [c for c in report.checks if c.ok and c.name.endswith(RESERVES_COVER)]
    folded = assets[ASSETS_SHOWN:]
    rows = [
        ("ok" if c.ok else "FAIL", c.name, f"{c.left} {c.relation} {c.right} {c.unit}", c.note)
        for c in report.checks
        if c not in folded and c.decides
    ]
    output.table(("", "check", "left and right side", "note"), rows)
    if folded:
        output.line(f"ok   {len(folded)} more assets{RESERVES_COVER} (--json has each)")
    _print_stress(report, output)
    output.line(f"Verdict: {report.spoken}", mood="good" if report.accepted else "bad")
    for caveat in report.caveats:
        output.line(f"  caveat: {caveat}")


def print_steps(steps: Iterable[Step], output: Output) -> None:
    """A line for each step of a check."""
    for step in steps:
        output.line(f"  {'ok  ' if step.ok else 'SKIP'} {step.name}: {step.detail}")


def _print_stress(report: Report, output: Output) -> None:
    """What each scenario would cost, proved, against the insurance fund at that scenario's prices. Decides nothing."""
    shown = [check for check in report.checks if not check.decides]
    rows = [
        (
            "ok" if short.ok and margin.ok else "note",
            scenario.name,
            f"{short.left} {short.unit}",
            f"{margin.left} {margin.unit}",
            f"{short.right} {short.unit}",
        )
        for scenario, short, margin in zip(report.statement.scenarios, shown[::2], shown[1::2], strict=True)
    ]
    numbers = ("accounts would owe", "would lack in margin", "insurance fund then")
    output.table(("", "stress scenario", *numbers), rows, right=numbers)
