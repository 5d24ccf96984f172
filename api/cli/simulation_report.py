"""What a simulation did, as JSON and as one HTML page with its plots drawn inside: no script, no requests."""

from __future__ import annotations

import html
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from exchange.rules.modes import Mode
from exchange.simulate import Row, Simulation

WIDTH: Final = 960
HEIGHT: Final = 200
POINTS_MAX: Final = 1_200
COLOURS: Final = ("#1f5fbf", "#c2410c", "#15803d", "#7e22ce")
UNIT: Final = 10**6
"""Quote atoms per quote unit in a simulated venue."""


def report_data(simulation: Simulation, extra: dict[str, Any]) -> dict[str, Any]:
    """The JSON report: totals, and one list per figure with an item per bar; money in quote units."""
    rows = simulation.rows
    markets = [bar.symbol for bar in simulation.bars]
    scales = [10**bar.tick_decimals for bar in simulation.bars]
    series: dict[str, Any] = {
        "time_ms": [row.time_ms for row in rows],
        "open_interest": [row.open_interest / UNIT for row in rows],
        "fund": [row.fund / UNIT for row in rows],
        "bad_debt": [row.bad_debt / UNIT for row in rows],
        "liquidations": [row.liquidations for row in rows],
        "liquidated": [row.liquidated / UNIT for row in rows],
        "deleveraged": [row.deleveraged / UNIT for row in rows],
        "mode": [Mode(row.mode).name.lower() for row in rows],
    }
    for number, symbol in enumerate(markets):
        series[f"index_{symbol}"] = [row.index[number] / scales[number] for row in rows]
        series[f"mark_{symbol}"] = [row.marks[number] / scales[number] for row in rows]
    totals = {
        "bars": len(rows),
        "commands": sum(row.commands for row in rows),
        "refused": sum(row.refused for row in rows),
        "trades": sum(row.trades for row in rows),
        "liquidations": sum(row.liquidations for row in rows),
        "liquidated": sum(row.liquidated for row in rows) / UNIT,
        "deleveraged": sum(row.deleveraged for row in rows) / UNIT,
        "fund_paid": sum(row.fund_paid for row in rows) / UNIT,
        "fund_at_end": rows[-1].fund / UNIT,
        "bad_debt_at_end": rows[-1].bad_debt / UNIT,
        "bars_not_normal": sum(row.mode != Mode.NORMAL for row in rows),
    }
    return {"format": "solvent/simulation/v1", "markets": markets, "totals": totals, **extra, "series": series}


def report_html(simulation: Simulation, data: dict[str, Any]) -> str:
    """The page."""
    rows, series = simulation.rows, data["series"]
    parts = []
    for symbol in data["markets"]:
        lines = {"index": series[f"index_{symbol}"], "mark": series[f"mark_{symbol}"]}
        parts.append(_plot(f"{symbol}: index and mark", rows, lines, from_zero=False))
    parts.append(_plot("Liquidated per bar, in quote units", rows, {"book": series["liquidated"]}))
    parts.append(_plot("Deleveraged per bar, in quote units", rows, {"deleveraged": series["deleveraged"]}))
    parts.append(_plot("Insurance fund, in quote units", rows, {"fund": series["fund"]}))
    parts.append(_plot("Open interest, in quote units", rows, {"open interest": series["open_interest"]}))
    parts.append(_plot("Bad debt, in quote units", rows, {"bad debt": series["bad_debt"]}))
    modes = " · ".join(f"{mode.value} {mode.name.lower().replace('_', ' ')}" for mode in Mode)
    parts.append(_plot(f"Strictest mode ({modes})", rows, {"mode": [float(row.mode) for row in rows]}))
    checks = "".join(
        f"<tr><td>{'ok' if check['ok'] else 'FAIL'}</td><td>{html.escape(check['name'])}</td>"
        f"<td class=n>{check['left']}</td><td class=n>{check['right']}</td></tr>"
        for check in data["audit"]
    )
    totals = "".join(
        f"<tr><td>{html.escape(name.replace('_', ' '))}</td><td class=n>{_number(value)}</td></tr>"
        for name, value in data["totals"].items()
    )
    return (
        "<!doctype html><meta charset=utf-8><title>Simulation</title><style>"
        "body{font:15px system-ui;margin:2em auto;max-width:960px;color:#111;background:#fff}"
        "td,th{padding:2px 12px 2px 0;text-align:left}.n{text-align:right;font-variant-numeric:tabular-nums}"
        "svg{width:100%;height:auto;background:#fafafa}h2{font-size:1em;margin:1.6em 0 .2em}</style>"
        f"<h1>Simulation of {html.escape(', '.join(data['markets']))}</h1>"
        f"<p>{data['accounts']} accounts, seed {data['seed']}; journal {data['sequence']} frames, "
        f"state {html.escape(data['state_hash'])}.</p>"
        f"<table>{totals}</table>{''.join(parts)}"
        f"<h2>Audit, from the journal alone</h2><table><tr><th><th>check<th>audit<th>ledger{checks}</table>"
    )


def _plot(title: str, rows: Sequence[Row], lines: dict[str, list[float]], *, from_zero: bool = True) -> str:
    """One plot: time to the right; a long run is thinned by keeping each group's extreme points."""
    values = [value for line in lines.values() for value in line]
    low, high = min(values), max(values)
    low = min(low, 0.0) if from_zero else low
    span = (high - low) or 1.0
    drawn, legend = [], []
    for number, (name, line) in enumerate(lines.items()):
        points = " ".join(
            f"{WIDTH * at / max(1, len(line) - 1):.1f},{HEIGHT - HEIGHT * (value - low) / span:.1f}"
            for at, value in _thinned(line)
        )
        colour = COLOURS[number % len(COLOURS)]
        drawn.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.3" points="{points}"/>')
        legend.append(f'<tspan fill="{colour}">{html.escape(name)} </tspan>')
    start, end = (
        datetime.fromtimestamp(row.time_ms / 1000, UTC).strftime("%d %b %Y %H:%M") for row in (rows[0], rows[-1])
    )
    label = 'font-size="12" fill="#444"'
    return (
        f"<h2>{html.escape(title)}</h2><svg viewBox='0 -16 {WIDTH} {HEIGHT + 34}' role=img>"
        f"<text x=0 y=-4 {label}>{_number(high)}</text>"
        f"<text x=0 y={HEIGHT + 14} {label}>{_number(low)}, from {start}</text>"
        f"<text x={WIDTH} y={HEIGHT + 14} text-anchor=end {label}>to {end}</text>"
        f"<text x={WIDTH} y=-4 text-anchor=end font-size=12>{''.join(legend)}</text>{''.join(drawn)}</svg>"
    )


def _thinned(line: list[float]) -> list[tuple[int, float]]:
    group = max(1, 2 * len(line) // POINTS_MAX)
    kept: set[int] = {0, len(line) - 1}
    for start in range(0, len(line), group):
        part = range(start, min(start + group, len(line)))
        kept |= {min(part, key=line.__getitem__), max(part, key=line.__getitem__)}
    return [(at, line[at]) for at in sorted(kept)]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 or value == int(value) else f"{value:,.4g}"
