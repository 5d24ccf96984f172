"""Whom a price file may speak for: sources that the caller names, and what liars among them can do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import assume, example, given
from hypothesis import strategies as st

from prover.prices import public_key, simulate_evidence
from tests.verifier.test_prices import KEYS, NAMES, PRICES, SOURCES, TIME, Table, honest, packed, refused, trusted
from verifier.errors import BadPrices
from verifier.prices import (
    ONE,
    Evidence,
    Rules,
    agree,
    check_evidence,
    weighted_median,
)
from verifier.quotes import (
    SOURCES_BYTES_MAX,
    SignedQuotes,
    Source,
    check_sources,
    price_of,
    read_sources,
)

# Sources that the caller names


@pytest.mark.negative
def test_only_the_callers_sources_keys_and_weights() -> None:
    data = packed(honest())
    named = trusted([1] * 4)
    check_evidence(data, Table(), named)
    for other in (
        {name: source for name, source in named.items() if name != NAMES[3]},
        named | {NAMES[0]: Source(public_key(KEYS[9]))},
        named | {NAMES[0]: Source(public_key(KEYS[0]), 2)},
    ):
        assert refused(data, named=other).reason is SOURCES


@pytest.mark.negative
def test_keys_that_the_exchange_made_itself() -> None:
    """Made-up sources pass among themselves, and never against a list."""
    data, named = simulate_evidence(Table())
    assert not check_evidence(data, Table()).trusted
    assert refused(data, named=trusted([1] * 5)).reason is SOURCES
    assert check_evidence(data, Table(), named).trusted


@pytest.mark.negative
def test_missing_sources_count_as_absent_weight() -> None:
    check_evidence(packed(honest(4)), Table(), trusted([1] * 6))
    assert refused(packed(honest(3)), named=trusted([1] * 6)).reason is PRICES


@pytest.mark.negative
def test_a_list_of_sources_in_which_a_median_means_little() -> None:
    data = packed(honest(3))
    for named in (trusted([1, 1]), trusted([1, 1, 2]), trusted([1, 1, 0]), trusted([1, 1, 10_001]), {}):
        assert refused(data, named=named).reason is SOURCES
    twins = trusted([1, 1, 1]) | {"twin": Source(public_key(KEYS[0]))}
    assert refused(data, named=twins).reason is SOURCES


def test_a_file_of_sources() -> None:
    lines = [f"{NAMES[i]} {public_key(KEYS[i]).hex()}" for i in range(3)]
    text = f"# mine\n\n{lines[0]}\n{lines[1]} 2\n{lines[2]} 2\n"
    sources = read_sources(text.encode())
    assert sources == trusted([1, 2, 2])
    check_sources(sources, "test")
    assert read_sources(text.ljust(SOURCES_BYTES_MAX, "#").encode()) == sources
    assert read_sources(text.replace(NAMES[0], "s" * 64).encode()).keys() == {"s" * 64, *NAMES[1:3]}


def test_the_greatest_weights_and_the_most_sources() -> None:
    check_sources(trusted([10_000] * 3), "test")
    keys = [public_key(Ed25519PrivateKey.from_private_bytes(bytes([i]) * 32)) for i in range(33)]
    check_sources({f"s{i:02d}": Source(keys[i], 1) for i in range(32)}, "test")
    with pytest.raises(BadPrices, match="3 to 32 sources"):
        check_sources({f"s{i:02d}": Source(keys[i], 1) for i in range(33)}, "test")


@pytest.mark.negative
@pytest.mark.parametrize("weights", [[1, 1, 1, 0], [1, 1, -1, 1], [10_001, 10_000, 10_000]])
def test_weights_out_of_range(weights: list[int]) -> None:
    with pytest.raises(BadPrices, match="from 1 to 10000"):
        check_sources(trusted(weights), "test")


@pytest.mark.negative
@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(" ", "  ", 1),
        lambda text: text + text.splitlines()[0] + "\n",
        lambda text: text.replace("source-00", "söurce"),
        lambda text: text.replace("source-00", "s" * 65),
        lambda text: text.replace("\n", " 0\n", 1),
        lambda text: text.replace("\n", " 1.5\n", 1),
        lambda text: text.replace("\n", " 10001\n", 1),
        lambda text: text.upper(),
        lambda text: text.splitlines()[0],
        lambda text: "x " + "00" * 32 + "\n" + text,
        lambda text: text + "#" * SOURCES_BYTES_MAX,
        lambda text: "",
    ],
)
def test_a_bad_file_of_sources(change: Callable[[str], str]) -> None:
    text = "".join(f"{NAMES[i]} {public_key(KEYS[i]).hex()}\n" for i in range(3))
    with pytest.raises(BadPrices) as caught:
        read_sources(change(text).encode())
    assert caught.value.reason is SOURCES


# Liars


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(1, 5)), min_size=1, max_size=9))
def test_the_weighted_median_is_a_median(quotes: list[tuple[int, int]]) -> None:
    single = sorted(price for price, weight in quotes for _ in range(weight))
    assert weighted_median(sorted(quotes)) == single[(len(single) - 1) // 2]
    assert weighted_median([]) is None


def test_price_texts() -> None:
    assert price_of("1") == ONE
    assert price_of("0." + "0" * 29 + "1") == 1
    assert price_of("9" * 48) == (10**48 - 1) * ONE
    assert price_of("0") is None


@dataclass(frozen=True)
class Market:
    """Sources by number: weight, price, who lies, and whose quotes the exchange leaves out."""

    weights: list[int]
    prices: list[int]
    lies: list[bool]
    left_out: list[bool]

    def part(self, of: Callable[[int], bool]) -> Fraction:
        """Share of all weight."""
        numbers = range(len(self.weights))
        return Fraction(sum(self.weights[i] for i in numbers if of(i)), sum(self.weights))

    @property
    def liars(self) -> Fraction:
        return self.part(lambda i: self.lies[i])

    def price(self) -> int | None:
        """What a verifier takes that names all of these sources; None where it refuses."""
        present = [i for i in range(len(self.weights)) if not self.left_out[i]]
        quotes = tuple(
            SignedQuotes(NAMES[i], "usdt", TIME, {"x": self.prices[i]}, {}, public_key(KEYS[i]), b"") for i in present
        )
        evidence = Evidence(Rules(300, 1000, 3), quotes, tuple(self.weights[i] for i in present))
        try:
            checks, _ = agree(evidence, "usdt", TIME, ["x"], trusted(self.weights))
        except BadPrices:
            return None
        return checks[0].price

    @property
    def honest_prices(self) -> list[int]:
        return [self.prices[i] for i in range(len(self.prices)) if not self.lies[i] and not self.left_out[i]]


@st.composite
def markets(draw: st.DrawFn) -> Market:
    count = draw(st.integers(3, 9))

    def each(strategy: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(strategy, min_size=count, max_size=count))

    prices = each(st.one_of(st.integers(950, 1050), st.integers(1, 3000)))
    return Market(
        each(st.integers(1, 5)), prices, each(st.booleans()), each(st.sampled_from([False, False, False, True]))
    )


SPREAD_OUT = Market(
    [2, 2, 1, 1, 1, 1, 2, 2], [91, 91, 91, 100, 100, 100, 130, 130], [True] * 3 + [False] * 5, [False] * 8
)
"""Dropping 130 as an outlier and taking the median again would give 91, below every honest quote."""


@pytest.mark.negative
@given(markets())
@example(SPREAD_OUT)
def test_less_than_half_of_the_weight_stays_within_the_honest_range(market: Market) -> None:
    market = replace(market, left_out=[out and lies for out, lies in zip(market.left_out, market.lies, strict=True)])
    assume(market.liars < Fraction(1, 2))
    price = market.price()
    assert price is None or min(market.honest_prices) <= price <= max(market.honest_prices)


@pytest.mark.negative
@given(markets())
def test_less_than_a_third_does_whatever_is_left_out(market: Market) -> None:
    assume(market.liars < Fraction(1, 3))
    price = market.price()
    assert price is None or min(market.honest_prices) <= price <= max(market.honest_prices)


@pytest.mark.negative
@given(markets())
def test_less_than_two_thirds_stays_near_an_honest_quote_whatever_is_left_out(market: Market) -> None:
    assume(market.liars < Fraction(2, 3))
    price = market.price()
    assert price is None or any(10 * abs(each - price) <= price for each in market.honest_prices)


def test_those_properties_are_not_empty() -> None:
    assert SPREAD_OUT.price() == 100
    quiet = Market([1] * 5, [1000, 1001, 999, 2000, 3000], [False] * 5, [False] * 5)
    assert quiet.price() is None, "three fifths do not suffice"
    assert replace(quiet, prices=[1000, 1001, 999, 1002, 3000]).price() == 1001
    # A third of the weight is enough once the exchange leaves out a third: the bound is sharp.
    third = Market([1] * 9, [1050] * 3 + [1000] * 6, [True] * 3 + [False] * 6, [False] * 6 + [True] * 3)
    assert third.price() == 1000
    assert replace(third, prices=[950] * 3 + [1000] * 6).price() == 950
