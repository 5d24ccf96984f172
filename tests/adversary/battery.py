"""Tests that tell two sets of numbers apart, or one from uniform: what a stranger could compute from many proofs.

A sample is a matrix (proofs, cells) of words: one row is what one proof shows, one column is the same cell in all
of them. Every test gives a p-value per cell; `told_apart` corrects for their number (Holm, 1979).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint32]
Floats = npt.NDArray[np.float64]
LEVEL = 1e-3
"""Of a whole family of tests: how often an honest prover may be blamed."""
FOLDS = 5
STEPS = 60
"""Of gradient descent in each fold."""


@dataclass(frozen=True)
class Result:
    """p-values (cells,) of one test, by its name."""

    name: str
    p_values: Floats


def told_apart(results: Iterable[Result], level: float = LEVEL) -> list[str]:
    """Names of the tests that still reject after Holm's correction over all p-values together."""
    named = [(float(p), result.name) for result in results for p in result.p_values.ravel()]
    rejected = []
    for rank, (p, name) in enumerate(sorted(named)):
        if p * (len(named) - rank) > level:
            break
        rejected.append(name)
    return rejected


def two_samples(a: Words, b: Words, end: int) -> list[Result]:
    """Whether two samples (n, cells) and (m, cells) below `end` have one distribution, cell by cell and jointly."""
    return [
        *(Result(f"two samples, bit {i}", p) for i, p in enumerate(_bits_differ(a, b))),
        *(
            Result(f"two samples, {name}", _counts_differ(_binned(a, name, end), _binned(b, name, end)))
            for name in _BINNED
        ),
        Result("two samples, Kolmogorov-Smirnov", _ks(np.sort(a, axis=0), np.sort(b, axis=0))),
        Result("two samples, neighbours", _correlations_differ(a, b)),
        Result(
            "two samples, coincidences", np.array([_coincidences_differ(*pair) for pair in zip(a.T, b.T, strict=True)])
        ),
    ]


def uniform(a: Words, end: int) -> list[Result]:
    """Whether every cell of (n, cells) is uniform in 0 .. end - 1, from proof to proof and from cell to cell."""
    return [
        *(Result(f"uniform, {name}", _chi_square(_binned(a, name, end), _expected(name, end))) for name in _BINNED),
        Result("uniform, Kolmogorov-Smirnov", _ks_uniform(np.sort(a, axis=0) / end)),
        Result("uniform, runs", _runs(a, end)),
        Result("uniform, neighbours", two_sided(_correlations(a) * math.sqrt(len(a)))),
        Result("uniform, proof to proof", two_sided(_correlations(a.T) * math.sqrt(a.shape[1]))),
        Result("uniform, coincidences", np.array([coincidences(a, end)])),
    ]


def coincidences(a: Words, end: int) -> float:
    """p-value of how often two proofs show the same word in a cell: Poisson, as often as uniform words would."""
    sorted_ = np.sort(a, axis=0)
    found = int((sorted_[1:] == sorted_[:-1]).sum())
    return poisson_tail(found, a.shape[1] * len(a) * (len(a) - 1) / 2 / end)


def poisson_tail(found: int, mean: float) -> float:
    """P(at least `found`)."""
    if found == 0:
        return 1.0
    terms, term = 0.0, math.exp(found * math.log(mean) - mean - math.lgamma(found + 1))
    for k in range(found + 1, found + 200):
        terms += term
        term *= mean / k
    return min(1.0, terms)


def classifier(a: Words, b: Words, seed: int, bits: int = 32) -> tuple[float, float]:
    """Logistic regression on all bits of all cells, trained on four fifths and asked about the rest, five times over.

    Returns:
        how many of the answers are right, and the one-sided p-value of that for guesses.
    """
    words = np.concatenate([a, b])
    shifts = np.arange(bits, dtype=np.uint32)
    features = (words[:, :, None] >> shifts & np.uint32(1)).reshape(len(words), -1).astype(np.float32) - 0.5
    labels = np.repeat(np.array([0.0, 1.0], np.float32), [len(a), len(b)])
    order = np.random.default_rng(seed).permutation(len(words))
    right = 0
    for fold in range(FOLDS):
        asked = order[fold::FOLDS]
        taught = np.setdiff1d(order, asked)
        weights = _learn(features[taught], labels[taught])
        right += int((((features[asked] @ weights) > 0) == (labels[asked] > 0.5)).sum())
    mean, deviation = len(words) / 2, math.sqrt(len(words)) / 2
    return right / len(words), float(normal_tail(np.array((right - 0.5 - mean) / deviation)))


def permutation_tail(a: Floats, b: Floats, seed: int, shuffles: int = 20_000) -> float:
    """How often medians differ as much when all values are dealt anew; two-sided."""
    random, values = np.random.default_rng(seed), np.concatenate([a, b])
    dealt = random.permuted(np.tile(values, (shuffles, 1)), axis=1)
    found = abs(np.median(a) - np.median(b))
    by_chance = np.abs(np.median(dealt[:, : len(a)], axis=1) - np.median(dealt[:, len(a) :], axis=1))
    return float((np.count_nonzero(by_chance >= found) + 1) / (shuffles + 1))


def _learn(features: npt.NDArray[np.float32], labels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Weights (features,) by plain gradient descent on the logistic loss."""
    weights: npt.NDArray[np.float32] = np.zeros(features.shape[1], np.float32)
    rate = np.float32(16 / features.shape[1])
    for _ in range(STEPS):
        guesses = 1 / (1 + np.exp(-np.clip(features @ weights, -30, 30)))
        weights -= rate * (features.T @ (guesses - labels))
    return weights


def _coincidences_differ(a: Words, b: Words) -> float:
    """Whether equal words are rather found within a sample than across both: binomial, given how many there are."""
    _, inverse = np.unique(np.concatenate([a, b]), return_inverse=True)
    left, right = (np.bincount(part, minlength=len(inverse)) for part in (inverse[: len(a)], inverse[len(a) :]))
    within, across = int((left * (left - 1) + right * (right - 1)).sum()) // 2, int((left * right).sum())
    share = (len(a) * (len(a) - 1) + len(b) * (len(b) - 1)) / ((len(a) + len(b)) * (len(a) + len(b) - 1))
    return min(
        1.0, 2 * min(binomial_tail(within, within + across, share), binomial_tail(across, within + across, 1 - share))
    )


def binomial_tail(found: int, of: int, share: float) -> float:
    """P(at least `found` of `of`)."""
    if found == 0:
        return 1.0
    logs = [
        math.lgamma(of + 1)
        - math.lgamma(k + 1)
        - math.lgamma(of - k + 1)
        + k * math.log(share)
        + (of - k) * math.log1p(-share)
        for k in range(found, of + 1)
    ]
    return min(1.0, sum(map(math.exp, logs)))


# -- counts -----------------------------------------------------------------------------------------------------------

HIGH = "high bits"
_BINNED: Mapping[str, int] = {HIGH: 16, "low bits": 16, "modulo 3": 3, "modulo 5": 5, "modulo 7": 7}
"""Number of bins: equal intervals, or residues."""


def _binned(a: Words, name: str, end: int) -> Floats:
    """(bins, cells) counts."""
    bins = _BINNED[name]
    of = a.astype(np.uint64) * np.uint64(bins) // np.uint64(end) if name == HIGH else a % np.uint32(bins)
    return np.stack([(of == value).sum(axis=0) for value in range(bins)]).astype(np.float64)


def _expected(name: str, end: int) -> Floats:
    """Probability of each bin for a word uniform below `end`."""
    bins = _BINNED[name]
    if name == HIGH:
        return np.diff([-(-i * end // bins) for i in range(bins + 1)]) / end
    return np.array([(end - value + bins - 1) // bins for value in range(bins)]) / end


def _chi_square(counts: Floats, probabilities: Floats) -> Floats:
    expected = counts.sum(axis=0) * probabilities[:, None]
    return chi_square_tail(((counts - expected) ** 2 / expected).sum(axis=0), len(counts) - 1)


def _counts_differ(a: Floats, b: Floats) -> Floats:
    """Two-sample chi-square per cell; a bin that nobody is in counts for nothing."""
    both = np.maximum(a + b, 1e-9)
    ratio = math.sqrt(b.sum(axis=0)[0] / a.sum(axis=0)[0])
    freedom = np.maximum(((a + b) > 0).sum(axis=0) - 1, 1)
    return chi_square_tail(((ratio * a - b / ratio) ** 2 / both).sum(axis=0), freedom)


def _bits_differ(a: Words, b: Words) -> list[Floats]:
    out = []
    for bit in range(32):
        ones, others = ((each >> np.uint32(bit) & np.uint32(1)).mean(axis=0) for each in (a, b))
        pooled = (ones * len(a) + others * len(b)) / (len(a) + len(b))
        spread = np.sqrt(np.maximum(pooled * (1 - pooled), 1e-12) * (1 / len(a) + 1 / len(b)))
        out.append(two_sided((ones - others) / spread))
    return out


# -- order ------------------------------------------------------------------------------------------------------------


def _ks(a: Words, b: Words) -> Floats:
    """Two-sample Kolmogorov-Smirnov of sorted columns."""
    out = []
    for left, right in zip(a.T, b.T, strict=True):
        at = np.concatenate([left, right])
        below = np.searchsorted(left, at, "right") / len(left) - np.searchsorted(right, at, "right") / len(right)
        out.append(float(np.abs(below).max()))
    return kolmogorov_tail(np.array(out), len(a) * len(b) / (len(a) + len(b)))


def _ks_uniform(sorted_: Floats) -> Floats:
    """One-sample Kolmogorov-Smirnov of sorted columns in [0, 1)."""
    steps = np.arange(len(sorted_) + 1)[:, None] / len(sorted_)
    distance = np.maximum(np.abs(sorted_ - steps[1:]), np.abs(sorted_ - steps[:-1])).max(axis=0)
    return kolmogorov_tail(distance, len(sorted_))


def _runs(a: Words, end: int) -> Floats:
    """Runs above and below the middle, in the order in which the proofs were made (Wald, Wolfowitz)."""
    above = a >= end // 2
    changes = (above[1:] != above[:-1]).sum(axis=0)
    count = len(a) - 1
    return two_sided((changes - count / 2) / (math.sqrt(count) / 2))


def _correlations(a: npt.NDArray[np.generic]) -> Floats:
    """Of each column with the next one."""
    values = a.astype(np.float64)
    values -= values.mean(axis=0)
    values /= np.maximum(values.std(axis=0), 1e-9)
    return np.asarray((values[:, 1:] * values[:, :-1]).mean(axis=0), np.float64)


def _correlations_differ(a: Words, b: Words) -> Floats:
    """Fisher's transformation of the correlations of neighbouring cells."""
    left, right = (np.arctanh(np.clip(_correlations(each), -1 + 1e-9, 1 - 1e-9)) for each in (a, b))
    return two_sided((left - right) / math.sqrt(1 / (len(a) - 3) + 1 / (len(b) - 3)))


# -- tails ------------------------------------------------------------------------------------------------------------


def normal_tail(z: Floats) -> Floats:
    """P(Z > z)."""
    return np.asarray([0.5 * math.erfc(float(each) / math.sqrt(2)) for each in np.ravel(z)]).reshape(np.shape(z))


def two_sided(z: Floats) -> Floats:
    """P(|Z| > |z|)."""
    return 2 * normal_tail(np.abs(z))


def chi_square_tail(value: Floats, freedom: int | npt.NDArray[np.int64]) -> Floats:
    """P(X > value), by the cube root of Wilson and Hilferty (1931)."""
    spread = 2 / (9 * np.asarray(freedom, np.float64))
    return normal_tail((np.cbrt(value / freedom) - 1 + spread) / np.sqrt(spread))


def kolmogorov_tail(distance: Floats, count: float) -> Floats:
    """P(D > distance), with the correction of Stephens (1970) for small samples."""
    root = math.sqrt(count)
    scaled = distance * (root + 0.12 + 0.11 / root)
    terms: Sequence[Floats] = [(-1) ** (k - 1) * np.exp(-2 * (k * scaled) ** 2) for k in range(1, 9)]
    return np.where(scaled < 0.2, 1.0, np.clip(2 * np.sum(terms, axis=0), 0, 1))  # the sum starts to matter at 0.3
