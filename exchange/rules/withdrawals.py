"""Limits on how fast money leaves the venue."""

from __future__ import annotations

from exchange.rules.rounding import PPM


def withdrawal_baseline(total_value: int, baseline_min: int, baseline_ppm: int) -> int:
    """Quote atoms that may leave per period: a share of everything held, rounded down, at least `baseline_min`."""
    return max(baseline_min, total_value * baseline_ppm // PPM)


def withdrawal_capacity(capacity: int, baseline: int, elapsed_ms: int, period_ms: int) -> int:
    """Capacity of a limiter after some time: it moves towards the baseline and never crosses it.

    By max(baseline, |capacity - baseline|) * elapsed / period, rounded down: an empty limiter is full again after one
    period. A withdrawal takes its amount out of the capacity, a deposit adds it.
    Source: dYdX v4, `x/ratelimit`, `CalculateNewCapacityList`.
    """
    step = max(baseline, capacity - baseline) * elapsed_ms // period_ms
    return min(baseline, capacity + step) if capacity <= baseline else max(baseline, capacity - step)
