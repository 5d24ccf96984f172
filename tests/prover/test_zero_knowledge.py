"""What is revealed of a column is jointly uniform: the rank argument of docs/zero-knowledge.md, computed."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from circuits.registry import CIRCUITS
from prover.deep import batched_quotient
from prover.outputs import MaskPair, Masks, ShardOutputs
from prover.randomness import Randomness
from prover.tree import compress_words
from tests.adversary.linear import chunk_map, mask_map, points_of, rank, shown
from tests.prover.test_outputs import LENSES, TOTALS, special_rows
from tests.verifier.toy_circuits import ledger
from verifier.encoding import as_exts
from verifier.errors import UnacceptableParameters
from verifier.field import Ext, P, ext_inverse, ext_mul, ext_pow, ext_scale, ext_sub, ext_zero, lift, root_of_unity
from verifier.params import HIDDEN_ROWS, PROFILES, TEST, ProofParams
from verifier.protocol import opened_values
from verifier.solvency import OUTPUT_BYTES, OUTPUT_END

LOG2_ROWS = 17


def spread(count: int, points: int) -> list[int]:
    """Positions anywhere."""
    return random.Random(7).sample(range(points), count)


def dense(count: int, points: int) -> list[int]:
    """Every other position of one coset, so that all successors lie between them."""
    return [points // 2 + 2 * i for i in range(count)]


def chosen(positions: str, params: ProofParams, log2_rows: int) -> list[int]:
    return {"spread": spread, "dense": dense}[positions](params.queries, 1 << (log2_rows + params.log2_blowup))


def some_zeta() -> Ext:
    rng = random.Random(8)
    return (rng.randrange(P), rng.randrange(1, P), rng.randrange(P), rng.randrange(P), rng.randrange(P))


SHAPES = [(PROFILES["fast"], 17), (PROFILES["fast"], 11), (PROFILES["compact"], 10), (PROFILES["high"], 20), (TEST, 10)]
EACH_SHAPE = pytest.mark.parametrize(("params", "log2_rows"), SHAPES, ids=[f"{p.name} 2^{n}" for p, n in SHAPES])


@EACH_SHAPE
@pytest.mark.parametrize("positions", ["spread", "dense"])
def test_everything_revealed_of_a_column_is_masked(params: ProofParams, log2_rows: int, positions: str) -> None:
    """Of a base column or of a coordinate of an extension column, with as many distinct positions as there can be."""
    at = chosen(positions, params, log2_rows)
    revealed = mask_map(params, log2_rows, at, some_zeta())
    assert revealed.shape == (2 * (params.queries + 5), HIDDEN_ROWS)
    # In a small domain the successor of one position is another one: one value, and one row, less to hide.
    distinct = len(np.unique(revealed, axis=0))
    assert rank(revealed) == distinct <= HIDDEN_ROWS
    assert distinct == len(revealed) or (positions == "spread" and log2_rows < 12)


@EACH_SHAPE
def test_everything_revealed_of_a_chunk_is_masked(params: ProofParams, log2_rows: int) -> None:
    """Each coordinate of q_0 and q_1 at the queries, and all five words of it at zeta: not one mask too many."""
    revealed = chunk_map(params, log2_rows, chosen("spread", params, log2_rows), some_zeta())
    assert revealed.shape == (params.queries + 5, params.mask_coefficients)
    assert rank(revealed) == len(revealed) == params.mask_coefficients


def test_one_query_more_than_the_hidden_rows_cover_is_not_masked() -> None:
    most = HIDDEN_ROWS // 2 - 5
    for queries, full in ((most, True), (most + 1, False)):
        params = replace(PROFILES["fast"], queries=queries)
        revealed = mask_map(params, 12, chosen("dense", params, 12), some_zeta())
        assert (rank(revealed) == len(revealed)) is full


def test_the_map_of_the_masks_is_that_of_the_argument() -> None:
    """L_i(x) = w^i (x^N - 1) / (N (x - w^i)), for the kernels from which the map is read; and they are linear."""
    params, log2_rows, zeta = replace(TEST, queries=2), 10, some_zeta()
    at, rows, root = [5, 1500], 1 << log2_rows, root_of_unity(log2_rows)
    found = mask_map(params, log2_rows, at, zeta)
    points = [lift(x) for x in points_of(params, log2_rows, at)]
    points = [*points, *(ext_scale(x, root) for x in points), zeta, ext_scale(zeta, root)]
    for i in (0, 1, HIDDEN_ROWS - 1):
        power = pow(root, rows - HIDDEN_ROWS + i, P)
        values = []
        for x in points:
            top = ext_scale(ext_sub(ext_pow(x, rows), lift(1)), power * pow(rows, -1, P) % P)
            values.append(ext_mul(top, ext_inverse(ext_sub(x, lift(power)))))
        assert found[:, i].tolist() == [*(value[0] for value in values[:4]), *values[4], *values[5]]
    masks = Randomness(b"masks").words("some", HIDDEN_ROWS)
    column = np.pad(masks, (rows - HIDDEN_ROWS, 0))[None]
    expected = (found * masks % np.uint64(P)).sum(axis=1) % np.uint64(P)
    assert shown(column, params, at, zeta)[:, 0].tolist() == expected.tolist()


def test_the_mask_polynomial_enters_what_is_folded_as_it_is() -> None:
    """With columns and chunks of zeros, G is R itself, whatever zeta and the weights are; so G is as uniform as R."""
    system, rows = ledger(10).relation.system, 1 << 10
    width, claims = 5 * len(system.extension_columns), opened_values(system)
    base, lookup = (np.zeros((count, rows), np.uint32) for count in (len(system.columns), width))
    quotient = np.zeros((20, TEST.blowup, rows), np.uint32)
    quotient[15:] = Randomness(b"R").words("R", 5 * TEST.blowup * rows).reshape(5, TEST.blowup, rows)
    weights = as_exts(Randomness(b"w").words("weights", 5 * claims).tolist())
    codeword = batched_quotient(system, TEST, base, lookup, quotient, some_zeta(), [ext_zero] * claims, weights)
    assert (codeword == quotient[15:]).all()


@pytest.mark.parametrize("name", sorted(CIRCUITS))
def test_circuits_read_a_row_and_the_next_one_only(name: str) -> None:
    """So the quotient at x depends on columns at x and at w x: two values a query are the whole budget."""
    assert {node[2] for node in CIRCUITS[name]().nodes if node[0] == "column"} == {0, 1}


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
