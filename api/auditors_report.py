"""The auditor's report: one verified publication as an HTML page to print; no script, nothing from elsewhere."""

from __future__ import annotations

import hashlib
import html
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from verifier.params import accepted_profile
from verifier.report import Report
from verifier.solvency import constraint_system
from verifier.soundness import ACCOUNT_TREE_BITS, Shape, rounds
from verifier.statement import units
from verifier.verdict import Check

STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em;color:#111;background:#fff}
h1{font-size:1.5em;margin:0 0 .2em}h2{font-size:1.1em;margin:1.8em 0 .5em;break-after:avoid}
.verdict{border:2px solid #15803d;border-radius:6px;padding:.6em 1em;font-size:1.15em}.bad{border-color:#b91c1c}
table{border-collapse:collapse;width:100%;font-size:.9em}tr{break-inside:avoid}
th,td{padding:.25em .8em .25em 0;text-align:left;vertical-align:top;border-bottom:1px solid #d1d5db}
th{color:#374151}code{font-size:.9em;word-break:break-all}.fail{color:#b91c1c;font-weight:600}
li{margin:.2em 0}@media print{body{margin:0;max-width:none;font-size:11px}}
"""
Row = Sequence[str]


def report_html(report: Report, publication: Path, quorum: str | None = None) -> bytes:
    """Every check with its inputs and its result, parameters and bits, and what the checks leave open.

    Args:
        report: of this publication, verified.
        publication: its directory, whose files are listed with their digests.
        quorum: what the validators' certificate shows, in words; None where none was asked for.
    """
    statement = report.statement
    verdict = "verdict" if report.accepted else "verdict bad"
    parts = [
        f"<h1>Solvency of {_text(statement.exchange)}</h1>",
        f"<p>Sequence {statement.sequence}, {_text(statement.time)}, verified in {report.seconds:.1f} s.</p>",
        f'<p class="{verdict}">{_text(report.spoken)}</p>',
        _list("What the checks leave open", report.caveats),
        _table("Checks", ("", "check", "left", "", "right", "unit", "how"), map(_check_row, report.checks)),
        _table("Proof", ("what", "value"), _proof_rows(report, quorum)),
        _table("Rounds of the proof", ("challenge", "provable bits", "of them proof of work"), _round_rows(report)),
        _table("Totals", ("instrument", "held by users", "owed by users"), _total_rows(report)),
        _table("Files", ("file", "bytes", "SHA-256"), _file_rows(publication)),
        "<p>Repeat it: <code>python -m verifier DIR</code>, with Python and nothing else.</p>",
    ]
    title = f"{statement.exchange}, sequence {statement.sequence}"
    head = f'<meta charset="utf-8"><title>{_text(title)}</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'.encode()


def _text(value: object) -> str:
    return html.escape(str(value))


def _table(title: str, columns: Row, rows: Iterable[Row]) -> str:
    head = "".join(f'<th scope="col">{_text(column)}</th>' for column in columns)
    body = "".join("<tr>" + "".join(_cell(cell) for cell in row) + "</tr>" for row in rows)
    return f"<h2>{_text(title)}</h2><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(text: str) -> str:
    return f'<td class="fail">{text}</td>' if text == "FAIL" else f"<td>{_text(text)}</td>"


def _list(title: str, items: Sequence[str]) -> str:
    return f"<h2>{_text(title)}</h2><ul>" + "".join(f"<li>{_text(item)}</li>" for item in items) + "</ul>"


def _check_row(check: Check) -> Row:
    mark = "ok" if check.ok else "FAIL" if check.decides else "note"
    return mark, check.name, check.left, check.relation, check.right, check.unit, check.note


def _proof_rows(report: Report, quorum: str | None) -> list[Row]:
    statement, params = report.statement, accepted_profile(report.profile)
    return [
        ("statement", report.statement_digest),
        ("root of all accounts", statement.root.hex()),
        ("circuit", f"{statement.circuit}, digest {statement.circuit_digest.hex()}"),
        ("tree hash", f"{statement.tree_hash}, {ACCOUNT_TREE_BITS} bits against collisions"),
        ("profile", f"{report.profile}: {params.queries} queries at rate 1/{params.blowup}"),
        ("provable bits", str(report.soundness_bits)),
        ("proofs", f"{statement.shards} of 2^{statement.log2_rows} rows, {report.proof_bytes} bytes"),
        ("total liability", f"{units(statement.total_liability, statement.value_decimals)} {statement.quote}"),
        ("total shortfall", f"{units(statement.total_shortfall, statement.value_decimals)} {statement.quote}"),
        ("policy", statement.policy),
        ("ledger state", statement.ledger_state.hex()),
        ("previous publication", statement.previous.hex()),
        ("prices", report.evidence.summary if report.evidence else "no price file"),
        ("insurance fund", report.fund.summary if report.fund else "not opened"),
        ("reserves", f"SHA-256 {report.reserves_sha256}" if report.reserves_sha256 else "none"),
        ("validators", quorum or "no certificate asked for"),
    ]


def _round_rows(report: Report) -> list[Row]:
    shape = Shape.of(constraint_system(report.statement.circuit))
    found = rounds(shape, accepted_profile(report.profile), report.statement.log2_rows)
    return [(each.name, f"{each.bits:.1f}", str(each.grinding_bits)) for each in found]


def _total_rows(report: Report) -> list[Row]:
    pairs = zip(report.statement.instruments, report.statement.totals, strict=True)
    return [(i.symbol, units(t.long, i.decimals), units(t.short, i.decimals)) for i, t in pairs]


def _file_rows(publication: Path) -> list[Row]:
    rows: list[Row] = []
    for path in sorted(path for path in publication.rglob("*") if path.is_file()):
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        rows.append((str(path.relative_to(publication)), str(path.stat().st_size), digest))
    return rows
