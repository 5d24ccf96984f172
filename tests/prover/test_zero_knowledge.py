"""What is revealed of a column is jointly uniform: the rank argument of docs/zero-knowledge.md, computed."""

from __future__ import annotations

import random

import numpy as np
import numpy.typing as npt
import pytest

from prover.outputs import MaskPair, Masks, ShardOutputs
from prover.randomness import Randomness
from prover.tree import compress_words
from tests.prover.test_outputs import LENSES, TOTALS, special_rows
from verifier.errors import UnacceptableParameters
from verifier.field import GENERATOR, Ext, P, ext_inverse, ext_mul, ext_pow, ext_scale, ext_sub, lift, root_of_unity
from verifier.params import HIDDEN_ROWS, PROFILES, ProofParams
from verifier.solvency import OUTPUT_BYTES, OUTPUT_END

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


# -- what shards publish of their totals ------------------------------------------------------------------------------

SHARDS, OUTPUTS = 3, TOTALS + 1 + LENSES
Parts = list[tuple[npt.NDArray[np.int64], int]]
"""By shard: sums of the amounts' bytes, and liability and loss."""


def publish(parts: Parts, seed: bytes) -> list[ShardOutputs]:
    """What each shard shows, under the masks of a seed."""
    random, count = Randomness(seed), len(parts)
    pairs = [MaskPair.of(random, shard, count, OUTPUTS) if count > 1 else None for shard in range(count)]
    return [special_rows(sums, value, pair)[2] for (sums, value), pair in zip(parts, pairs, strict=True)]


def exact(sums: npt.NDArray[np.int64], value: int) -> list[int]:
    totals = [sum(int(part) << (8 * k) for k, part in enumerate(row)) for row in sums]
    return [*totals, value, value]


def parts_of(*shares: int) -> Parts:
    """The same accounts, 60 in all, otherwise dealt to the shards; the first asset has one holder."""
    whale = np.array([[200] * 8, [0] * 8], np.int64)
    return [(whale * (i == 0) + 7 * share, 10**20 * share) for i, share in enumerate(shares)]


def chi_square(counts: npt.NDArray[np.int64]) -> float:
    """In units of its standard deviation above its mean, for uniform counts."""
    expected, freedom = counts.sum() / len(counts), len(counts) - 1
    return float((((counts - expected) ** 2 / expected).sum() - freedom) / (2 * freedom) ** 0.5)


def test_what_a_shard_publishes_is_uniform_whatever_it_holds() -> None:
    """Over many runs, byte by byte: of a shard with a whale, of an empty one, and of the difference of both."""
    runs = [publish(parts_of(50, 10, 0), seed.to_bytes(2, "little")) for seed in range(800)]
    shown = np.array([[each.outputs for each in run] for run in runs], object)
    for numbers in (shown[:, 0], shown[:, 2], (shown[:, 0] - shown[:, 2]) % OUTPUT_END):
        packed = b"".join(int(number).to_bytes(OUTPUT_BYTES, "little") for number in numbers.ravel())
        octets = np.frombuffer(packed, np.uint8).reshape(-1, OUTPUT_BYTES)
        assert octets.shape == (800 * OUTPUTS, OUTPUT_BYTES)
        assert max(chi_square(np.bincount(column, minlength=256)) for column in octets.T) < 5
        assert chi_square(np.bincount(octets.ravel(), minlength=256)) < 5


def test_what_is_published_differs_by_the_accounts_alone_under_equal_masks() -> None:
    """So the masks are the same words whatever the accounts, digests included, and cancel in the sum."""
    first, second = parts_of(50, 10, 0), parts_of(20, 20, 20)
    one, two = publish(first, b"seed"), publish(second, b"seed")
    for shard in range(SHARDS):
        assert (one[shard].mask_in, one[shard].mask_out) == (two[shard].mask_in, two[shard].mask_out)
        moved = [a - b for a, b in zip(exact(*first[shard]), exact(*second[shard]), strict=True)]
        shown = [(a - b) % OUTPUT_END for a, b in zip(one[shard].outputs, two[shard].outputs, strict=True)]
        assert shown == [difference % OUTPUT_END for difference in moved]
        assert all(a != b for a, b in zip(one[shard].outputs, exact(*first[shard]), strict=True))
    for parts, run in ((first, one), (second, two)):
        expected = [sum(column) for column in zip(*(exact(*part) for part in parts), strict=True)]
        assert [sum(column) % OUTPUT_END for column in zip(*(each.outputs for each in run), strict=True)] == expected


def test_a_single_shard_publishes_its_totals_and_no_masks() -> None:
    parts = parts_of(60)
    assert publish(parts, b"seed") == [ShardOutputs(tuple(exact(*parts[0])), (0,) * 8, (0,) * 8)]


def test_digests_of_masks_hide_them_by_their_start() -> None:
    """Equal masks under other starts have digests that look like any others."""
    starts = Randomness(b"starts").words("start", 8 * 20_000).reshape(-1, 8)
    digests = compress_words(starts, np.full((20_000, 8), 7, np.uint32))
    assert len(np.unique(digests, axis=0)) == 20_000
    for column in digests.T.astype(np.int64):
        assert chi_square(np.bincount(column * 64 // P, minlength=64)) < 5
    random = Randomness(b"seed")
    drawn = Masks.draw(random, 0, OUTPUTS)
    assert len(drawn.start) == 8 and drawn.start.max() >= 2**30
    seen = publish(parts_of(1, 1), b"seed")[0].mask_out
    state = drawn.start[None]
    for words in drawn.words:
        state = compress_words(state, words[None])
    assert seen == tuple(state[0].tolist())


def test_masks_are_shared_by_neighbours_and_by_nobody_else() -> None:
    """Within a run and over two runs of the same accounts: no mask and no digest comes twice."""
    words: set[int] = set()
    digests: set[tuple[int, ...]] = set()
    for seed in (b"one", b"two"):
        random, run = Randomness(seed), publish(parts_of(50, 10, 0), seed)
        pairs = [MaskPair.of(random, shard, SHARDS, OUTPUTS) for shard in range(SHARDS)]
        for shard in range(SHARDS):
            after = (shard + 1) % SHARDS
            assert pairs[shard].out.values == pairs[after].into.values
            assert run[shard].mask_out == run[after].mask_in
            words |= {*pairs[shard].out.values, *(int(word) << 128 for word in pairs[shard].out.start)}
            digests.add(run[shard].mask_out)
    assert len(words) == 2 * SHARDS * (OUTPUTS + 8)
    assert len(digests) == 2 * SHARDS
