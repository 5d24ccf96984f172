"""Plots: every value is inside the frame, extremes survive the thinning, names cannot break out."""

from __future__ import annotations

import re

import pytest

from api.cli.plots import HEIGHT, LEFT, TOP, WIDTH, bar_plot, line_plot, short, strip_plot

TIMES = [1_760_000_000_000 + 60_000 * n for n in range(5_000)]


def points(svg: str) -> list[tuple[float, float]]:
    (text,) = re.findall(r'points="([^"]*)"', svg)
    return [(float(x), float(y)) for x, _, y in (pair.partition(",") for pair in text.split())]


def test_a_spike_of_one_bar_is_still_there_after_thinning() -> None:
    line = [100.0 + n % 7 for n in range(5_000)]
    line[3_333] = 20.0
    drawn = points(line_plot("price", TIMES, {"mark": line}, from_zero=False))
    assert len(drawn) < 2_500
    lowest = max(y for _, y in drawn)
    assert abs(next(x for x, y in drawn if y == lowest) - LEFT - (WIDTH - LEFT - 4) * 3_333 / 4_999) < 0.1
    assert all(LEFT <= x <= WIDTH and TOP - 0.1 <= y <= TOP + HEIGHT + 0.1 for x, y in drawn)


@pytest.mark.parametrize("line", [[0.0, 0.0], [5.0, 5.0], [-3.0, 2.0], [1e12, 2e12], [0.000_1, 0.000_2]])
def test_any_range_has_labels_and_fits(line: list[float]) -> None:
    drawn = line_plot("x", TIMES[:2], {"x": line})
    assert all(TOP - 0.1 <= y <= TOP + HEIGHT + 0.1 for _, y in points(drawn))
    assert 2 <= drawn.count("<line ") <= 8


def test_bars_that_share_a_pixel_add_up_and_stack() -> None:
    svg = bar_plot("liquidated", TIMES, {"book": [1.0] * 5_000, "taken over": [0.0] * 4_999 + [50.0]})
    rects = re.findall(r'y="([0-9.]+)" width="[0-9.]+" height="([0-9.]+)"', svg)
    assert len(rects) == (WIDTH - LEFT - 4) // 2 + 1
    assert min(float(y) for y, _ in rects) >= TOP - 0.1


def test_strips_merge_neighbours_and_name_only_what_occurs() -> None:
    svg = strip_plot("mode", TIMES[:6], {"BTC": [0, 0, 2, 2, 0, 0]}, {"normal": "#0f0", "odd": "#00f", "halt": "#f00"})
    assert svg.count("<rect") == 3 and "halt" in svg and "odd" not in svg


def test_names_are_text_and_numbers_are_short() -> None:
    svg = line_plot("<b>", TIMES[:2], {"<script>": [0.0, 1.0], "b": [1.0, 2.0]})
    assert "<script>" not in svg and "&lt;script&gt;" in svg
    assert [short(x) for x in (0, 1_234, 12_340, 1.5e6, 2e9, -0.25)] == [
        "0", "1,234", "12.34 k", "1.5 M", "2 bn", "-0.25",
    ]  # fmt: skip
