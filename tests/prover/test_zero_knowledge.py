"""What is revealed of a column is jointly uniform: the rank argument of docs/zero-knowledge.md, computed."""

from __future__ import annotations

import random

import numpy as np
import numpy.typing as npt
import pytest

from prover.randomness import Randomness
from verifier.errors import UnacceptableParameters
from verifier.field import GENERATOR, Ext, P, ext_inverse, ext_mul, ext_pow, ext_scale, ext_sub, lift, root_of_unity
from verifier.params import HIDDEN_ROWS, PROFILES, ProofParams

LOG2_ROWS = 17


def factors(point: Ext) -> list[Ext]:
    """How the hidden rows enter the value at a point: L_i(point) up to one common factor."""
    root = root_of_unity(LOG2_ROWS)
    out = []
    for i in range((1 << LOG2_ROWS) - HIDDEN_ROWS, 1 << LOG2_ROWS):
        power = pow(root, i, P)
        out.append(ext_scale(ext_inverse(ext_sub(point, lift(power))), power))
    return out


def rank(matrix: npt.NDArray[np.uint64]) -> int:
    """Rank over the field, by elimination."""
    rows, found = matrix.copy(), 0
    for column in range(rows.shape[1]):
        pivots = np.flatnonzero(rows[found:, column])
        if len(pivots) == 0:
            continue
        rows[[found, found + pivots[0]]] = rows[[found + pivots[0], found]]
        rows[found] = rows[found] * np.uint64(pow(int(rows[found, column]), -1, P)) % np.uint64(P)
        below = rows[found + 1 :, column].copy()
        rows[found + 1 :] = (
            rows[found + 1 :] + np.uint64(P) * np.uint64(P) - below[:, None] * rows[found]
        ) % np.uint64(P)
        found += 1
        if found == len(rows):
            break
    return found


def test_everything_revealed_of_a_column_is_masked() -> None:
    params, rng = PROFILES["fast"], random.Random(7)
    domain_root = root_of_unity(LOG2_ROWS + params.log2_blowup)
    root = root_of_unity(LOG2_ROWS)
    positions = rng.sample(range(1 << (LOG2_ROWS + params.log2_blowup)), params.queries)
    points = [GENERATOR * pow(domain_root, position, P) % P for position in positions]
    zeta: Ext = (rng.randrange(P), rng.randrange(1, P), rng.randrange(P), rng.randrange(P), rng.randrange(P))
    rows = []
    for point in [*points, *(x * root % P for x in points)]:
        base = [
            pow(point - pow(root, i, P), -1, P) * pow(root, i, P) % P
            for i in range((1 << LOG2_ROWS) - 512, 1 << LOG2_ROWS)
        ]
        rows.append(base)
    for claim in (zeta, ext_scale(zeta, root)):
        values = factors(claim)
        scale = ext_pow(claim, 1 << LOG2_ROWS)
        masked = [ext_mul(value, ext_sub(scale, lift(1))) for value in values]
        rows += [[value[k] for value in masked] for k in range(5)]
    revealed = np.array(rows, np.uint64)
    assert len(revealed) == 2 * (params.queries + 5) <= HIDDEN_ROWS
    assert rank(revealed) == len(revealed)


def test_more_queries_than_the_hidden_rows_cover_are_refused() -> None:
    most = HIDDEN_ROWS // 2 - 5
    ProofParams("x", 1, most, 0, 0, 0, 0, 0, 0).check_rows(LOG2_ROWS)
    with pytest.raises(UnacceptableParameters, match="cannot hide"):
        ProofParams("x", 1, most + 1, 0, 0, 0, 0, 0, 0).check_rows(LOG2_ROWS)


def test_streams_differ_by_label_seed_and_context() -> None:
    one, two = Randomness(b"one"), Randomness(b"two")
    streams = [one.bytes("a", 64), one.bytes("b", 64), two.bytes("a", 64), one.derive(b"x").bytes("a", 64)]
    streams += [Randomness(b"on", b"e").bytes("a", 64), one.derive(b"x", b"y").bytes("a", 64)]
    assert len(set(streams)) == len(streams)
    assert one.bytes("a", 32) == one.bytes("a", 64)[:32]


def test_words_are_canonical_and_cover_the_field() -> None:
    words = Randomness(b"words").words("w", 1 << 20).astype(np.int64)
    assert words.max() < P
    counts = np.bincount(words * 64 // P, minlength=64)
    expected = (1 << 20) / 64
    assert (np.abs(counts - expected) < 6 * expected**0.5).all()
