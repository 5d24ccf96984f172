"""Oracle and mark price: who holds less than half of the weight cannot move them; silence moves nothing."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.rules import mark, oracle
from exchange.rules.errors import RuleInputError
from exchange.rules.oracle import Index, OraclePolicy, Quality, Quote, Use
from exchange.rules.rounding import PPM

NOW = 10_000_000
PRICES = st.integers(1, 10**12)
POINTS = st.lists(st.tuples(PRICES, st.integers(1, 20)), min_size=1, max_size=9)


def policy(total: int = 12, quorum: int = 666_667, step: int = 50_000, deviation: int = 200_000) -> OraclePolicy:
    return OraclePolicy(
        stale_ms=3_000,
        future_ms=500,
        weight_total=total,
        quorum_ppm=quorum,
        confidence_ppm=10_000,
        step_ppm=step,
        deviation_ppm=deviation,
    )


@given(POINTS, st.lists(st.tuples(st.integers(1, 10**15), st.integers(1, 20)), max_size=6))
def test_liars_below_half_the_weight_stay_within_the_honest_range(
    honest: list[tuple[int, int]], liars: list[tuple[int, int]]
) -> None:
    weight = sum(weight for _, weight in honest)
    while liars and sum(weight for _, weight in liars) >= weight:
        liars.pop()
    prices = [price for price, _ in honest]
    both = honest + liars
    assert min(prices) <= oracle.weighted_median(both) <= max(prices)
    lied = sum(weight for _, weight in liars)
    # The capped mean lies within the band around such a median, whatever the liars say.
    band = 5_000
    mean = oracle.capped_mean(both, band)
    assert min(prices) * (PPM - band) // PPM <= mean <= max(prices) * (PPM + band) // PPM
    assert lied < weight


@st.composite
def quotes(draw: st.DrawFn) -> list[Quote]:
    """Honest and lying sources, some late, some silent, some twice; liars below half of the quorum."""
    rows: list[Quote] = []
    for source in range(8):
        weight = (3, 2, 2, 1, 1, 1, 1, 1)[source]
        for _ in range(draw(st.integers(0, 2))):
            lying = source in (5, 6, 7)
            price = draw(st.integers(-5, 10**9) if lying else st.integers(9_900, 10_100))
            rows.append(Quote(source, price, draw(st.integers(0, 50)), NOW - draw(st.integers(-900, 6_000)), weight))
    return rows


@given(quotes(), st.randoms(use_true_random=False))
def test_an_index_with_a_quorum_is_honest_and_does_not_depend_on_order(rows: list[Quote], random: object) -> None:
    index = oracle.aggregate(rows, NOW, policy(), 0, 0)
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert oracle.aggregate(shuffled, NOW, policy(), 0, 0) == index
    voters = oracle.usable(rows, NOW, policy())
    assert len({quote.source for quote in voters}) == len(voters)
    assert all(quote.price > 0 and -500 <= NOW - quote.time_ms <= 3_000 for quote in voters)
    if index.weight * 3 < 12 * 2:
        assert index.quality in (Quality.STALE, Quality.MISSING)
        assert not oracle.permits(index.quality, Use.LIQUIDATE)
    elif index.quality <= Quality.UNCERTAIN:
        assert 9_900 <= index.price <= 10_100, "3 of at least 8 lie"


def fresh(price: int, source: int, weight: int = 1, age: int = 0, confidence: int = 0) -> Quote:
    return Quote(source, price, confidence, NOW - age, weight)


def test_each_quality() -> None:
    three = [fresh(1000, n) for n in range(3)]
    rules = policy(total=3)
    assert oracle.aggregate(three, NOW, rules, 1000, 1000) == Index(1000, Quality.VALID, 0, 3)
    assert oracle.aggregate([], NOW, rules, 1000, 1000) == Index(0, Quality.MISSING, 0, 0)
    assert oracle.aggregate([fresh(0, 1), fresh(-4, 2)], NOW, rules, 1000, 1000).quality is Quality.MISSING
    assert oracle.aggregate(three[:2], NOW, rules, 1000, 1000).quality is Quality.STALE, "2 of 3 is below 66.6667 %"
    assert oracle.aggregate(three[:1], NOW, rules, 1000, 1000).quality is Quality.STALE
    late = [fresh(1000, 0), fresh(1000, 1, age=3_001), fresh(1000, 2, age=-501)]
    assert oracle.aggregate(late, NOW, rules, 1000, 1000).quality is Quality.STALE
    assert oracle.aggregate(three, NOW, rules, 900, 1000).quality is Quality.JUMPED
    assert oracle.aggregate(three, NOW, rules, 1000, 800).quality is Quality.DIVERGENT
    wide = [fresh(980, 0), fresh(1000, 1), fresh(1020, 2)]
    assert oracle.aggregate(wide, NOW, rules, 1000, 1000) == Index(1000, Quality.UNCERTAIN, 20, 3)
    unsure = [fresh(1000, n, confidence=11) for n in range(3)]
    assert oracle.aggregate(unsure, NOW, rules, 1000, 1000) == Index(1000, Quality.UNCERTAIN, 11, 3)


def test_bounds_belong_to_the_better_quality() -> None:
    rules = policy(total=3, quorum=PPM)

    def quality(rows: list[Quote], before: int = 1000, average: int = 1000) -> Quality:
        return oracle.aggregate(rows, NOW, rules, before, average).quality

    three = [fresh(1000, n) for n in range(3)]
    assert quality([fresh(1000, n, confidence=10) for n in range(3)]) is Quality.VALID
    assert quality([fresh(1000, 0), fresh(1000, 1), fresh(1010, 2)]) is Quality.VALID
    assert quality([fresh(1000, 0), fresh(1000, 1), fresh(1011, 2)]) is Quality.UNCERTAIN
    assert quality([fresh(989, 0), fresh(1000, 1), fresh(1000, 2)]) is Quality.UNCERTAIN
    assert quality([fresh(1050, n) for n in range(3)]) is Quality.VALID
    assert quality([fresh(1051, n) for n in range(3)]) is Quality.JUMPED
    assert quality(three, 0, 0) is Quality.VALID, "the first price of all"
    assert quality([fresh(1200, n) for n in range(3)], before=1200) is Quality.VALID
    assert quality([fresh(1201, n) for n in range(3)], before=1200) is Quality.DIVERGENT
    assert quality([fresh(1000, n, age=age) for n, age in enumerate((3_000, -500, 0))]) is Quality.VALID
    assert quality([*three[:2], fresh(1000, 2, weight=0)]) is Quality.STALE
    assert oracle.distance_ppm(4, 3) == 333_334
    newer = [fresh(1000, 0, age=5), fresh(1001, 0, age=4), fresh(999, 0, age=4)]
    assert oracle.aggregate(newer, NOW, rules, 0, 0).price == 1001, "the latest, then the higher of one source"
    assert oracle.weighted_quantile([(1, 3), (2, 1)], 3, 4) == 1
    assert oracle.weighted_quantile([(1, 3), (2, 2)], 3, 4) == 2


VALIDITY = """
           MARK_TO_MARKET REDUCE INCREASE WITHDRAW LIQUIDATE DELEVERAGE FUNDING SETTLE
VALID      yes            yes    yes      yes      yes       yes        yes     yes
UNCERTAIN  yes            yes    no       no       yes       no         yes     no
JUMPED     yes            yes    no       no       no        no         no      no
DIVERGENT  yes            yes    no       no       no        no         no      no
STALE      no             yes    no       no       no        no         no      no
MISSING    no             no     no       no       no        no         no      no
"""


def test_the_validity_matrix_reads_like_this() -> None:
    header, *rows = (line.split() for line in VALIDITY.strip().splitlines())
    assert header == [use.name for use in Use]
    assert [row[0] for row in rows] == [quality.name for quality in Quality]
    for quality, row in zip(Quality, rows, strict=True):
        for use, entry in zip(Use, row[1:], strict=True):
            assert oracle.permits(quality, use) == (entry == "yes"), (quality, use)


def test_a_worse_price_never_permits_more() -> None:
    for use in Use:
        column = [oracle.permits(quality, use) for quality in Quality]
        assert column == sorted(column, reverse=True), use


@given(POINTS, st.integers(0, PPM))
def test_capped_prices_lie_in_the_band_and_only_outliers_move(points: list[tuple[int, int]], band: int) -> None:
    median = oracle.weighted_median(points)
    for (price, _), capped in zip(points, oracle.capped_to_median(points, band), strict=True):
        assert abs(capped - median) * PPM <= median * band
        assert capped == price or abs(price - median) * PPM > median * band


def test_quantiles_need_weight() -> None:
    with pytest.raises(RuleInputError, match="no weight"):
        oracle.weighted_median([])
    assert oracle.weighted_quantile([(5, 1), (1, 1)], 1, 1) == 5


@given(st.integers(0, 10**9), PRICES, st.integers(0, PPM))
def test_a_step_is_bounded(before: int, price: int, step: int) -> None:
    after = oracle.step_towards(before, price, step)
    if before:
        assert abs(after - before) * PPM <= before * step
        assert min(before, price) <= after <= max(before, price)
    else:
        assert after == price


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 1000)), min_size=1, max_size=8), st.integers(1, 100))
def test_time_weighted_average_is_that_of_every_millisecond(steps: list[tuple[int, int]], length: int) -> None:
    samples: list[tuple[int, int]] = []
    time = 0
    for gap, price in steps:
        time += gap if samples else 0
        samples.append((time, price))
    start = time // 2
    prices = [[price for at, price in samples if at <= now][-1] for now in range(start, start + length)]
    assert oracle.time_weighted_average(samples, start, start + length) == sum(prices) // length


@pytest.mark.parametrize(
    ("samples", "start", "end"), [([], 0, 1), ([(5, 1)], 4, 9), ([(0, 1)], 3, 3), ([(0, 1), (7, 2), (5, 3)], 1, 9)]
)
def test_an_average_of_nothing_is_refused(samples: list[tuple[int, int]], start: int, end: int) -> None:
    with pytest.raises(RuleInputError, match="expected"):
        oracle.time_weighted_average(samples, start, end)


@given(st.integers(0, 10**5), st.integers(1, 10**4))
def test_decay_is_the_exponential(elapsed: int, scale: int) -> None:
    found = Fraction(mark.decay(elapsed, scale), 1 << mark.DECAY_BITS)
    assert 0 <= found <= 1
    assert abs(float(found) - math.exp(-elapsed / scale)) < 1e-13


def test_decay_after_a_very_long_time() -> None:
    assert mark.decay(0, 5) == 1 << mark.DECAY_BITS
    assert mark.decay(10**60, 1) == 0
    # To the last bit: replicas of two versions have to agree.
    assert mark.decay(1, 3) == 56_769_459_120_698_987_483_841_973_410
    assert mark.decay(150_000, 150_000) == 29_146_412_150_787_779_157_341_161_354
    assert mark.decay(5_000, 150_000) == 76_630_754_395_401_388_916_047_758_902
    assert mark.decay(1_000_000, 150_000) == 100_828_437_633_696_329_735_077_331


@given(st.lists(st.tuples(PRICES, st.integers(1, 1000)), min_size=1, max_size=20))
def test_an_average_lies_between_its_samples(samples: list[tuple[int, int]]) -> None:
    average = mark.Average(0, 0)
    assert mark.average_of(average) == 0
    for price, elapsed in samples:
        average = mark.averaged(average, price, elapsed, 150)
    prices = [price for price, _ in samples]
    assert min(prices) - 1 <= mark.average_of(average) <= max(prices) + 1


@given(
    st.integers(1000, 10**9),
    st.integers(-500, 500),
    st.one_of(st.none(), PRICES),
    st.integers(0, 100),
    st.lists(st.tuples(PRICES, st.integers(1, 5)), max_size=4),
    st.integers(0, PPM),
)
def test_the_own_book_alone_never_sets_the_mark(
    index: int, premium: int, own: int | None, weight: int, others: list[tuple[int, int]], band: int
) -> None:
    found = mark.mark_price(index, premium, own, weight, others, 2, band)
    assert abs(found - index) * PPM <= index * band
    rest = [mark.within_band(index + premium, index, band), *(price for price, _ in others)]
    low, high = (mark.within_band(price, index, band) for price in (min(rest), max(rest)))
    assert low <= found <= high


@given(PRICES, PRICES, PRICES)
def test_the_book_price_lies_between_bid_and_ask(bid: int, ask: int, last: int) -> None:
    if bid <= ask:
        assert bid <= mark.book_price(bid, ask, last) <= ask


def test_alone_the_own_book_has_no_weight() -> None:
    assert mark.own_weight(3, []) == mark.own_weight(3, [(100, 1)]) == 0
    assert mark.own_weight(3, [(100, 2), (101, 1)]) == 2
