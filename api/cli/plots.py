"""Plots as SVG text, drawn by hand: no script, no requests, one time axis for all of them."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

WIDTH: Final = 960
HEIGHT: Final = 150
LEFT: Final = 64
TOP: Final = 8
BOTTOM: Final = 20
STRIP: Final = 16
POINTS_MAX: Final = 1_600
TIME_LABELS: Final = 7
COLOURS: Final = ("#2563eb", "#ea580c", "#16a34a", "#9333ea")
GREY: Final = "#6b7280"
_INNER = WIDTH - LEFT - 4


def line_plot(
    title: str, times_ms: Sequence[int], lines: Mapping[str, Sequence[float]], *, from_zero: bool = True
) -> str:
    """Lines over time, one value per time; a long line is thinned to the extremes of each group of points."""
    scale = _Scale([value for line in lines.values() for value in line], from_zero)
    drawn = []
    for number, line in enumerate(lines.values()):
        points = " ".join(f"{_x(at, len(line)):.1f},{scale.y(line[at]):.1f}" for at in _kept(line))
        colour = COLOURS[number % len(COLOURS)]
        drawn.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.4" points="{points}"/>')
    return _framed(title, times_ms, lines, scale, drawn)


def bar_plot(title: str, times_ms: Sequence[int], bars: Mapping[str, Sequence[float]]) -> str:
    """Bars over time, one on top of the other; neighbours that share a pixel are added up."""
    columns = min(len(times_ms), _INNER // 2)
    groups = {
        name: [sum(values[len(values) * n // columns : len(values) * (n + 1) // columns]) for n in range(columns)]
        for name, values in bars.items()
    }
    scale = _Scale([sum(parts) for parts in zip(*groups.values(), strict=True)], True)
    drawn = []
    floors = [0.0] * columns
    step = _INNER / columns
    for number, values in enumerate(groups.values()):
        colour = COLOURS[number % len(COLOURS)]
        for at, value in enumerate(values):
            if value:
                top, bottom = scale.y(floors[at] + value), scale.y(floors[at])
                drawn.append(
                    f'<rect x="{LEFT + at * step:.1f}" y="{top:.1f}" width="{max(1.0, step - 0.5):.1f}" '
                    f'height="{max(0.6, bottom - top):.1f}" fill="{colour}"/>'
                )
            floors[at] += value
    return _framed(title, times_ms, bars, scale, drawn)


def strip_plot(
    title: str, times_ms: Sequence[int], strips: Mapping[str, Sequence[int]], colours: Mapping[str, str]
) -> str:
    """One coloured strip per row; a value is the position of its colour. Neighbours of one colour are one rectangle."""
    height = len(strips) * (STRIP + 4)
    palette = list(colours.values())
    drawn = []
    for row, (name, values) in enumerate(strips.items()):
        y = TOP + row * (STRIP + 4)
        drawn.append(f'<text x="{LEFT - 6}" y="{y + 12}" text-anchor="end" {_SMALL}>{html.escape(name)}</text>')
        start = 0
        for at in range(1, len(values) + 1):
            if at == len(values) or values[at] != values[start]:
                x, stop = LEFT + _INNER * start / len(values), LEFT + _INNER * at / len(values)
                drawn.append(
                    f'<rect x="{x:.1f}" y="{y}" width="{max(1.0, stop - x):.1f}" height="{STRIP}" '
                    f'fill="{palette[values[start]]}"/>'
                )
                start = at
    seen = sorted({value for values in strips.values() for value in values})
    names = list(colours)
    legend = "".join(f'<span><i style="background:{palette[value]}"></i>{names[value]}</span>' for value in seen)
    return _figure(title, legend, height + BOTTOM + TOP, [*drawn, *_time_axis(times_ms, TOP + height)])


_SMALL = f'font-size="11" fill="{GREY}"'


class _Scale:
    """Values to pixels, with three to six round numbers to label."""

    def __init__(self, values: Sequence[float], from_zero: bool) -> None:
        low, high = min(values), max(values)
        low = min(low, 0.0) if from_zero else low
        span = (high - low) or abs(high) or 1.0
        step = 10.0 ** math.floor(math.log10(span / 3))
        step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= 5)
        self.low = math.floor(low / step) * step
        self.high = max(math.ceil(high / step) * step, self.low + step)
        self.ticks = [self.low + n * step for n in range(round((self.high - self.low) / step) + 1)]

    def y(self, value: float) -> float:
        """Pixels from the top."""
        return TOP + HEIGHT * (self.high - value) / (self.high - self.low)


def _framed(
    title: str, times_ms: Sequence[int], series: Mapping[str, Sequence[float]], scale: _Scale, drawn: Sequence[str]
) -> str:
    grid = []
    for tick in scale.ticks:
        y = scale.y(tick)
        grid.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{LEFT + _INNER}" y2="{y:.1f}" stroke="#e5e7eb"/>')
        grid.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" {_SMALL}>{short(tick)}</text>')
    legend = "".join(
        f'<span><i style="background:{COLOURS[number % len(COLOURS)]}"></i>{html.escape(name)}</span>'
        for number, name in enumerate(series)
    )
    parts = [*grid, *_time_axis(times_ms, TOP + HEIGHT), *drawn]
    return _figure(title, legend if len(series) > 1 else "", TOP + HEIGHT + BOTTOM, parts)


def _figure(title: str, legend: str, height: int, parts: Sequence[str]) -> str:
    head = f"<figcaption>{html.escape(title)}<b>{legend}</b></figcaption>"
    return f'<figure>{head}<svg viewBox="0 0 {WIDTH} {height}" role="img">{"".join(parts)}</svg></figure>'


def _time_axis(times_ms: Sequence[int], y: int) -> list[str]:
    """Labels at whole steps; the day where it changes, else the time."""
    parts = []
    day = ""
    for n in range(TIME_LABELS):
        at = round((len(times_ms) - 1) * n / (TIME_LABELS - 1))
        moment = datetime.fromtimestamp(times_ms[at] / 1000, UTC)
        today = moment.strftime("%-d %b %Y")
        text = moment.strftime("%H:%M") if today == day else f"{today}, {moment.strftime('%H:%M')}"
        day = today
        anchor = "start" if n == 0 else "end" if n == TIME_LABELS - 1 else "middle"
        parts.append(
            f'<text x="{_x(at, len(times_ms)):.1f}" y="{y + 15}" text-anchor="{anchor}" {_SMALL}>{text}</text>'
        )
    return parts


def _x(at: int, count: int) -> float:
    return LEFT + _INNER * at / max(1, count - 1)


def _kept(line: Sequence[float]) -> list[int]:
    group = max(1, 2 * len(line) // POINTS_MAX)
    kept = {0, len(line) - 1}
    for start in range(0, len(line), group):
        part = range(start, min(start + group, len(line)))
        kept |= {min(part, key=line.__getitem__), max(part, key=line.__getitem__)}
    return sorted(kept)


def short(value: float) -> str:
    """A number in a few characters: 1.2 M, 340 k, 0.5."""
    for limit, letter in ((1e9, "bn"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            scaled = value / (1e3 if letter == "k" else limit)
            return f"{scaled:,.4g} {letter}"
    return f"{value:,.6g}"
