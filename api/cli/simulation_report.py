"""What a simulation did, as JSON and as one HTML page with its plots drawn inside: no script, no requests."""

from __future__ import annotations

import html
from typing import Any, Final

from api.cli.plots import bar_plot, line_plot, short, strip_plot
from exchange.rules.modes import Mode
from exchange.rules.oracle import Quality
from exchange.simulate import Simulation

UNIT: Final = 10**6
"""Quote atoms per quote unit in a simulated venue."""
MODE_COLOURS: Final = dict(
    zip(
        (mode.name.lower().replace("_", "-") for mode in Mode),
        ("#d1fae5", "#fde68a", "#fdba74", "#ef4444", "#a855f7", "#374151"),
        strict=True,
    )
)
QUALITY_COLOURS: Final = dict(
    zip(
        (quality.name.lower() for quality in Quality),
        ("#dbeafe", "#fde68a", "#fdba74", "#f97316", "#ef4444", "#374151"),
        strict=True,
    )
)
STYLE: Final = """
body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:980px;padding:0 1em;color:#111;background:#fff}
h1{font-size:1.5em;margin:0}h2{font-size:1.1em;margin:1.8em 0 .4em}p{margin:.3em 0;color:#374151}
.cards{display:grid;grid-template-columns:repeat(4,1fr);gap:8px;margin:1em 0}
.cards div{border:1px solid #e5e7eb;border-radius:6px;padding:8px 10px}
.cards b{display:block;font-size:1.25em;font-variant-numeric:tabular-nums}.cards span{color:#6b7280;font-size:.85em}
.good b{color:#15803d}.bad b{color:#b91c1c}
figure{margin:1.1em 0}figcaption{font-weight:600;font-size:.95em;display:flex;justify-content:space-between}
figcaption b{font-weight:400;font-size:.85em;color:#374151}figcaption i{display:inline-block;width:10px;height:10px;
border-radius:2px;margin:0 5px 0 12px}svg{width:100%;height:auto;font-family:system-ui,sans-serif}
table{border-collapse:collapse;font-size:.9em}
td,th{padding:3px 14px 3px 0;text-align:left;border-bottom:1px solid #f3f4f6}
.n{text-align:right;font-variant-numeric:tabular-nums}code{font-size:.85em;word-break:break-all}
"""


def report_data(simulation: Simulation, extra: dict[str, Any]) -> dict[str, Any]:
    """The JSON report: totals, and one list per figure with an item per bar; money in quote units."""
    rows = simulation.rows
    markets = [bar.symbol for bar in simulation.bars]
    series: dict[str, Any] = {
        "time_ms": [row.time_ms for row in rows],
        "fund": [row.fund / UNIT for row in rows],
        "bad_debt": [row.bad_debt / UNIT for row in rows],
        "liquidations": [row.liquidations for row in rows],
        "liquidated": [row.liquidated / UNIT for row in rows],
        "deleveraged": [row.deleveraged / UNIT for row in rows],
        "fund_paid": [row.fund_paid / UNIT for row in rows],
        "venue_mode": [Mode(row.venue_mode).name.lower() for row in rows],
    }
    for number, (symbol, bar) in enumerate(zip(markets, simulation.bars, strict=True)):
        scale = 10**bar.tick_decimals
        series[f"index_{symbol}"] = [row.index[number] / scale for row in rows]
        series[f"mark_{symbol}"] = [row.marks[number] / scale for row in rows]
        series[f"open_interest_{symbol}"] = [row.open_interest[number] / UNIT for row in rows]
        series[f"mode_{symbol}"] = [Mode(row.modes[number]).name.lower() for row in rows]
        series[f"price_quality_{symbol}"] = [Quality(row.qualities[number]).name.lower() for row in rows]
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
        "bad_debt_most": max(row.bad_debt for row in rows) / UNIT,
        "bad_debt_at_end": rows[-1].bad_debt / UNIT,
        "bars_not_normal": sum(max(row.modes) != Mode.NORMAL for row in rows),
    }
    return {"format": "solvent/simulation/v1", "markets": markets, "totals": totals, **extra, "series": series}


def report_html(simulation: Simulation, data: dict[str, Any]) -> str:
    """The page."""
    good = all(check["ok"] for check in data["audit"]) and not data["invariants_broken"]
    checks = "".join(
        f"<tr><td>{'ok' if check['ok'] else '<b>FAIL</b>'}</td><td>{html.escape(check['name'])}</td>"
        f"<td class=n>{check['left']}</td><td class=n>{check['right']}</td></tr>"
        for check in data["audit"]
    )
    broken = "".join(f"<li>{html.escape(text)}</li>" for text in data["invariants_broken"])
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Simulation</title>"
        f"<style>{STYLE}</style><h1>Simulation of {html.escape(', '.join(data['markets']))}</h1>"
        f"<p>{data['accounts']:,} accounts, seed {data['seed']}, {len(simulation.rows):,} bars; times in UTC, money in "
        f"units of the quote asset.</p>{_cards(data, good)}{''.join(_plots(simulation, data))}"
        f"<h2>Invariants</h2><p>Checked after each of the four prices of every bar: what is held is what came in less "
        f"what went out, positions cancel, flat accounts carry no cost. {'All held.' if not broken else ''}</p>"
        f"<ul>{broken}</ul><h2>Audit, from the journal alone</h2>"
        f"<table><tr><th><th>check<th class=n>audit<th class=n>ledger{checks}</table>"
        f"<p>Journal: {data['sequence']:,} frames, state <code>{html.escape(data['state_hash'])}</code></p></html>\n"
    )


def _cards(data: dict[str, Any], good: bool) -> str:
    totals = data["totals"]
    cards = [
        ("good" if good else "bad", "passed" if good else "FAILED", "audit and invariants"),
        ("", f"{totals['liquidations']:,}", "liquidation steps"),
        ("", short(totals["liquidated"]), "liquidated in the book"),
        ("", short(totals["deleveraged"]), "deleveraged"),
        ("", short(totals["fund_at_end"]), "insurance fund at the end"),
        ("", short(totals["fund_paid"]), "paid by the fund"),
        ("bad" if totals["bad_debt_at_end"] else "good", short(totals["bad_debt_at_end"]), "bad debt at the end"),
        ("", f"{totals['bars_not_normal']:,} of {totals['bars']:,}", "bars not in normal mode"),
    ]
    return (
        "<div class=cards>"
        + "".join(f"<div class='{mood}'><b>{value}</b><span>{name}</span></div>" for mood, value, name in cards)
        + "</div>"
    )


def _plots(simulation: Simulation, data: dict[str, Any]) -> list[str]:
    rows, series, markets = simulation.rows, data["series"], data["markets"]
    times = series["time_ms"]
    parts = []
    for symbol in markets:
        lines = {"index": series[f"index_{symbol}"], "mark": series[f"mark_{symbol}"]}
        parts.append(line_plot(f"{symbol}: index and mark", times, lines, from_zero=False))
    premiums = {
        symbol: [
            100.0 * (mark / index - 1.0)
            for mark, index in zip(series[f"mark_{symbol}"], series[f"index_{symbol}"], strict=True)
        ]
        for symbol in markets
    }
    parts.append(line_plot("Mark over index, percent: what the own book adds", times, premiums))
    forced = {"through the book": series["liquidated"], "deleveraged": series["deleveraged"]}
    parts.append(bar_plot("Liquidated per bar", times, forced))
    modes = {symbol: [row.modes[number] for row in rows] for number, symbol in enumerate(markets)}
    modes["venue"] = [row.venue_mode for row in rows]
    parts.append(strip_plot("Mode, the strictest of each bar", times, modes, MODE_COLOURS))
    qualities = {symbol: [row.qualities[number] for row in rows] for number, symbol in enumerate(markets)}
    parts.append(strip_plot("Quality of the oracle's price, the worst of each bar", times, qualities, QUALITY_COLOURS))
    parts.append(line_plot("Insurance fund", times, {"fund": series["fund"]}, from_zero=False))
    interest = {symbol: series[f"open_interest_{symbol}"] for symbol in markets}
    parts.append(line_plot("Open interest", times, interest))
    title = "Bad debt: what accounts below zero owe"
    if any(series["bad_debt"]):
        parts.append(line_plot(title, times, {"bad debt": series["bad_debt"]}))
    else:
        parts.append(f"<figure><figcaption>{title}</figcaption><p>None at the end of any bar.</p></figure>")
    return parts
