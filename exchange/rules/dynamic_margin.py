"""Initial margin that follows volatility without feeding a crash.

EMIR's technical standard 153/2013, Art. 28(1), names three ways to keep margins from being procyclical: a buffer that
may be used up in stress, a weight of at least 25 % for stressed observations, and a floor from ten years of history.
All three are here, and margins move in bounded steps. Only *initial* margin moves: maintenance margin depends on size
alone, so a change of parameters never liquidates anyone.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

from exchange.rules.rounding import PPM, ceil_div, clamp


@dataclass(frozen=True, slots=True)
class VolatilityPolicy:
    """Parameters of one market.

    Args:
        decay_ppm: weight that the variance so far keeps per observation (EWMA).
        horizon: observations that a margin has to outlast; volatility grows with its square root.
        multiple_ppm: how many standard deviations are covered, in ppm of one.
        stressed_ppm: volatility per observation in the stressed period.
        stressed_weight_ppm: its weight; EMIR asks for 250,000 or more.
        floor_ppm: least margin, from the longest history.
        buffer_ppm: share added in quiet times, used up while the target rises; EMIR asks for 250,000 or more.
        step_up_ppm, step_down_ppm: most that the margin rises or falls per step, of the notional.
        cap_ppm: most margin of all.
    """

    decay_ppm: int
    horizon: int
    multiple_ppm: int
    stressed_ppm: int
    stressed_weight_ppm: int
    floor_ppm: int
    buffer_ppm: int
    step_up_ppm: int
    step_down_ppm: int
    cap_ppm: int


def return_ppm(price: int, before: int) -> int:
    """Simple return in ppm, rounded away from zero."""
    move = price - before
    return ceil_div(move * PPM, before) if move >= 0 else -ceil_div(-move * PPM, before)


def variance_after(variance: int, move_ppm: int, policy: VolatilityPolicy) -> int:
    """Variance in ppm^2 after a return: decay * variance + (1 - decay) * return^2, rounded up. Source: RiskMetrics."""
    return ceil_div(variance * policy.decay_ppm + move_ppm * move_ppm * (PPM - policy.decay_ppm), PPM)


def bare_target_ppm(variance: int, policy: VolatilityPolicy) -> int:
    """Margin that today's and stressed volatility ask for, before buffer, floor and steps; rounded up."""
    now_ppm = isqrt(variance * policy.horizon) + 1
    then_ppm = isqrt(policy.stressed_ppm * policy.stressed_ppm * policy.horizon) + 1
    weight = policy.stressed_weight_ppm
    mixed = ceil_div(now_ppm * (PPM - weight) + then_ppm * weight, PPM)
    return max(policy.floor_ppm, ceil_div(mixed * policy.multiple_ppm, PPM))


def next_margin_ppm(current_ppm: int, variance: int, policy: VolatilityPolicy) -> int:
    """The next initial margin rate: towards the target, by one bounded step.

    The bare target plus its buffer is where the margin falls to; the bare target alone is what makes it rise. Between
    the two it stays: the buffer is being used up. Source: EMIR RTS 153/2013, Art. 28(1)(a)-(c).
    """
    bare = bare_target_ppm(variance, policy)
    full = bare + ceil_div(bare * policy.buffer_ppm, PPM)
    aim = min(clamp(current_ppm, bare, full), policy.cap_ppm)
    return clamp(aim, current_ppm - policy.step_down_ppm, current_ppm + policy.step_up_ppm)
