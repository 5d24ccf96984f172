"""The statement: every rule has its refusal, and no byte can change unnoticed."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.verifier.small_tree import INSTRUMENTS, STRESS, edited, publication, risk_publication
from verifier import solvency
from verifier.canonical import dumps
from verifier.errors import BadStatement, Reason, UnacceptableParameters, VerificationError
from verifier.instruments import BUCKETS_MAX, INSTRUMENTS_MAX, LEGS_MAX, Bucket, Instrument, Scenario, Tier
from verifier.legs import check_legs
from verifier.params import HIDDEN_ROWS
from verifier.statement import (
    LEVELS_MAX,
    LOG2_ROWS_MAX,
    LOG2_ROWS_MIN,
    SHORTFALL_END,
    STATEMENT_BYTES_MAX,
    Losses,
    Statement,
    Totals,
    levels_for,
    parse_statement,
    units,
)

ROWS = 2**17


@pytest.fixture(scope="module")
def statement() -> Statement:
    return publication().statement


def with_table(statement: Statement, instruments: list[Instrument], totals: list[Totals]) -> Statement:
    """The same statement with another table; its shortfall follows."""
    changed = replace(statement, instruments=tuple(instruments), totals=tuple(totals), total_shortfall=0)
    return replace(changed, total_shortfall=changed.total_liability - changed.net_value)


def refused(data: bytes) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        parse_statement(data)
    return caught.value


def test_parse_and_write_are_inverse(statement: Statement) -> None:
    data = statement.to_bytes()
    assert parse_statement(data) == statement
    assert parse_statement(data).to_bytes() == data
    assert statement.digest == hashlib.sha256(data).digest()


@pytest.mark.parametrize("circuit", solvency.CIRCUITS)
def test_all_registered_circuits_are_taken(circuit: str) -> None:
    proves = solvency.CIRCUITS[circuit]
    honest = (risk_publication if proves.lenses else publication)(circuit).statement
    data = honest.to_bytes()
    assert parse_statement(data) == honest
    assert parse_statement(data).to_bytes() == data
    check_legs(honest.legs)


def test_the_largest_statement_fits(statement: Statement) -> None:
    table = [Instrument(f"{j:032d}", "spot", 30, 0) for j in range(INSTRUMENTS_MAX)]
    totals = [Totals(ROWS * 2**64 - 1, ROWS * 2**64 - 1)] * INSTRUMENTS_MAX
    big = with_table(statement, table, totals)
    assert parse_statement(big.to_bytes()) == big


def test_the_largest_tables_fit() -> None:
    """As many tiers as legs have numbers, in the longest spelling, with ten scenarios and all totals at their bound."""
    tiers = tuple(Tier(10**19 + t, 10_000) for t in range(12))
    buckets = tuple(Bucket(f"{k:032d}", tiers) for k in range(2))
    margin = tuple(Tier(10**19 + t if t < 3 else None, 10_000) for t in range(4))
    end = ROWS * 2**64
    table = [Instrument(f"{j:032d}", "spot", 30, 2**54 - 1, buckets, margin) for j in range(INSTRUMENTS_MAX)]
    totals = [Totals(2 * end - 2, end - 1, (end - 1, end - 1))] * INSTRUMENTS_MAX
    scenarios = tuple(Scenario(f"{k:064d}", (2**54 - 1,) * INSTRUMENTS_MAX) for k in range(10))
    losses = (Losses(2**112 - 1, 2**112 - 1),) * 10
    base = risk_publication("solvency_stress_v1_10").statement
    base = replace(base, scenarios=scenarios, losses=losses, total_liability=2**112 - 1)
    with pytest.raises(VerificationError) as caught:
        parse_statement(with_table(base, table, totals).to_bytes())
    assert "total_shortfall" in str(caught.value)  # all that is wrong: nobody owes so little
    assert INSTRUMENTS_MAX * (2 * 13 + 5) <= LEGS_MAX
    assert len(with_table(base, table, totals).to_bytes()) < STATEMENT_BYTES_MAX


def test_total_amounts_are_in_the_order_of_their_ids() -> None:
    statement = risk_publication().statement
    btc, perp, cost, usdt = statement.totals
    assert statement.total_amounts == (
        *btc.buckets,
        btc.short,
        *(perp.long, perp.short, cost.long, cost.short),
        *usdt.buckets,
        usdt.short,
    )
    assert len(statement.total_amounts) == statement.legs[-1].total + 1
    assert publication().statement.total_amounts == tuple(
        x for t in publication().statement.totals for x in (t.long, t.short)
    )


def test_bounds_hold_at_their_edges(statement: Statement) -> None:
    edge = with_table(statement, [Instrument("a", "spot", 0, 2**54 - 1)], [Totals(0, ROWS * 2**64 - 1)])
    edge = replace(edge, exchange="é" * 128, sequence=2**53 - 1, value_decimals=30)
    for sequence in (0, edge.sequence):
        edge = replace(edge, sequence=sequence)
        assert parse_statement(edge.to_bytes()) == edge
    assert (2**54 - 1) * (2**85 - 1) * BUCKETS_MAX * INSTRUMENTS_MAX + 2**112 < SHORTFALL_END


def test_levels_are_a_function_of_the_rows() -> None:
    assert [levels_for(rows) for rows in range(17, 22)] == [6, 6, 6, 7, 7]
    assert LEVELS_MAX == 7
    for rows in range(LOG2_ROWS_MIN, LOG2_ROWS_MAX + 1):
        levels = levels_for(rows)
        assert 3 * 8**levels >= 2**rows > 3 * 8 ** (levels - 1)


def test_total_rows_and_leg_table_fit_in_every_capacity() -> None:
    """A statement needs no check of its own for this: the bounds on the table already give it."""
    assert (BUCKETS_MAX + 1) * INSTRUMENTS_MAX <= 2**LOG2_ROWS_MIN - HIDDEN_ROWS
    assert LEGS_MAX <= 2**LOG2_ROWS_MIN - HIDDEN_ROWS


def setter(*path: str | int, value: object) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = value

    return change


def outputs(key: str, value: object) -> Callable[[Any], None]:
    return setter("outputs", key, value=value)


def instrument(key: str, value: object) -> Callable[[Any], None]:
    return setter("instruments", 1, key, value=value)


MALFORMED, CAPACITY, TABLE = Reason.MALFORMED, Reason.CAPACITY, Reason.INSTRUMENT_TABLE
RANGE, ARITHMETIC, CIRCUIT = Reason.OUTPUT_RANGE, Reason.ARITHMETIC, Reason.UNKNOWN_CIRCUIT
REFUSED: list[tuple[str, Callable[[Any], object], Reason]] = [
    ("another format", setter("format", value="solvent/statement/v2"), Reason.UNKNOWN_VERSION),
    ("another protocol", setter("protocol", value="solvent/2"), Reason.UNKNOWN_VERSION),
    ("format of another type", setter("format", value=1), Reason.UNKNOWN_VERSION),
    ("no format", lambda d: d.pop("format"), MALFORMED),
    ("a key too few", lambda d: d.pop("previous"), MALFORMED),
    ("a key too many", setter("comment", value="hello"), MALFORMED),
    ("a key too many inside", setter("outputs", "extra", value="0"), MALFORMED),
    ("an unknown circuit", setter("circuit", value="solvency_equity_v0"), CIRCUIT),
    ("circuit as a list", setter("circuit", value=[]), CIRCUIT),
    ("another registered circuit", setter("circuit", value="solvency_equity_v1_poseidon2"), CIRCUIT),
    ("a circuit of their own", setter("circuit_digest", value="00" * 32), CIRCUIT),
    ("another tree hash", setter("tree_hash", value="poseidon2-koalabear-16"), CIRCUIT),
    ("exchange without name", setter("exchange", value=""), MALFORMED),
    ("exchange with a control character", setter("exchange", value="ac\x1b[2Jme"), MALFORMED),
    ("negative sequence", setter("sequence", value=-1), MALFORMED),
    ("sequence true", setter("sequence", value=True), MALFORMED),
    ("sequence as text", setter("sequence", value="7"), MALFORMED),
    ("no such day", setter("time", value="2026-02-29T00:00:00Z"), MALFORMED),
    ("hour 24", setter("time", value="2026-02-28T24:00:00Z"), MALFORMED),
    ("leap second", setter("time", value="2026-02-28T23:59:60Z"), MALFORMED),
    ("year 0", setter("time", value="0000-02-28T23:59:00Z"), MALFORMED),
    ("another zone", setter("time", value="2026-11-22T00:00:00+00:00"), MALFORMED),
    ("fraction of a second", setter("time", value="2026-11-22T00:00:0.0Z"), MALFORMED),
    ("time without T", setter("time", value="2026-11-22 00:00:00Z"), MALFORMED),
    ("digits that are not ASCII", setter("time", value="٢٠٢٦-11-22T00:00:00Z"), MALFORMED),
    ("upper-case digest", setter("ledger_state", value="AB" * 32), MALFORMED),
    ("short digest", setter("previous", value="00" * 31), MALFORMED),
    ("unknown policy", setter("policy", value="lenient"), MALFORMED),
    ("value decimals out of range", setter("value", "decimals", value=31), MALFORMED),
    ("no instrument", setter("instruments", value=[]), TABLE),
    ("symbol twice", instrument("symbol", "btc"), TABLE),
    ("symbol twice but for its case", instrument("symbol", "BTC"), TABLE),
    ("the same, capitals first", setter("instruments", 0, "symbol", value="ETH"), TABLE),
    ("symbol with a space", instrument("symbol", "e th"), MALFORMED),
    ("symbol too long", instrument("symbol", "e" * 33), MALFORMED),
    ("unknown kind", instrument("kind", "option"), TABLE),
    ("a kind the circuit does not prove", instrument("kind", "perpetual"), TABLE),
    ("another one", instrument("kind", "cost-basis"), TABLE),
    ("decimals above 30", instrument("decimals", 31), TABLE),
    ("negative decimals", instrument("decimals", -1), TABLE),
    ("price 2^54", instrument("price", str(2**54)), TABLE),
    ("negative price", instrument("price", "-1"), MALFORMED),
    ("price 1.0", instrument("price", "1.0"), MALFORMED),
    ("price 01", instrument("price", "01"), MALFORMED),
    ("price as a number", instrument("price", 1), MALFORMED),
    ("rows 2^16", setter("capacity", "log2_rows", value=16), CAPACITY),
    ("rows 2^22", setter("capacity", "log2_rows", value=22), CAPACITY),
    ("a level more", setter("capacity", "levels", value=7), CAPACITY),
    ("buckets under an equity circuit", instrument("buckets", [{"name": "free", "tiers": []}]), TABLE),
    ("margin under an equity circuit", instrument("margin", [{"to": None, "ratio": 1}]), TABLE),
    ("a scenario under an equity circuit", setter("scenarios", value=[{"name": "a", "values": ["1"] * 3}]), TABLE),
    ("a margin deficit under an equity circuit", outputs("total_margin_deficit", "0"), MALFORMED),
    ("losses without a scenario", outputs("losses", [{"shortfall": "0", "margin_deficit": "0"}]), MALFORMED),
    ("totals of buckets that are not there", setter("outputs", "totals", 0, "buckets", value=["1"]), RANGE),
    ("a level less", setter("capacity", "levels", value=5), CAPACITY),
    ("another capacity policy", setter("capacity", "policy", value="capacity/v2"), CAPACITY),
    ("more rows than levels suit", setter("capacity", "log2_rows", value=20), CAPACITY),
    ("totals of fewer instruments", lambda d: d["outputs"]["totals"].pop(), MALFORMED),
    ("a total of 2^17 * 2^64", setter("outputs", "totals", 0, "long", value=str(ROWS * 2**64)), RANGE),
    ("a short total of the same", setter("outputs", "totals", 2, "short", value=str(ROWS * 2**64)), RANGE),
    ("liability 2^112", outputs("total_liability", str(2**112)), RANGE),
    ("shortfall beyond any sum", outputs("total_shortfall", str(SHORTFALL_END)), RANGE),
    ("shortfall one too many", lambda d: add(d, "total_shortfall", 1), ARITHMETIC),
    ("liability one too few", lambda d: add(d, "total_liability", -1), ARITHMETIC),
    ("price changed afterwards", instrument("price", "36205600001"), ARITHMETIC),
    ("prices swapped", lambda d: swap(d, "price"), ARITHMETIC),
    ("a root of 31 bytes", outputs("root", "00" * 31), MALFORMED),
    ("no shard", setter("capacity", "shards", value=0), Reason.CAPACITY),
    ("too many shards", setter("capacity", "shards", value=2**16 + 1), Reason.CAPACITY),
]


def copy(document: Any, key: str, source: int, target: int) -> None:
    document["instruments"][target][key] = document["instruments"][source][key]


def add(document: Any, key: str, amount: int) -> None:
    document["outputs"][key] = str(int(document["outputs"][key]) + amount)


def swap(document: Any, key: str) -> None:
    one, two = document["instruments"][:2]
    one[key], two[key] = two[key], one[key]


@pytest.mark.negative
@pytest.mark.parametrize(("change", "reason"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED])
def test_what_breaks_a_rule_is_refused(statement: Statement, change: Callable[[Any], object], reason: Reason) -> None:
    error = refused(edited(statement.to_bytes(), change))
    assert error.reason is reason, str(error)
    assert "\n" not in str(error)


@pytest.mark.negative
def test_too_many_instruments(statement: Statement) -> None:
    table = [Instrument(str(j), "spot", 0, 0) for j in range(INSTRUMENTS_MAX + 1)]
    error = refused(with_table(statement, table, [Totals(0, 0)] * len(table)).to_bytes())
    assert error.reason is Reason.INSTRUMENT_TABLE


@pytest.mark.negative
def test_negative_shortfall_cannot_be_written(statement: Statement) -> None:
    """More assets than liabilities exist at these prices: impossible, as liability >= equity for each account."""
    rich = replace(statement, totals=tuple(Totals(t.long, 0) for t in statement.totals))
    poor = replace(rich, total_liability=rich.net_value - 1, total_shortfall=0)
    assert refused(poor.to_bytes()).reason is Reason.ARITHMETIC
    assert refused(replace(poor, total_shortfall=-1).to_bytes()).reason is Reason.MALFORMED


@pytest.mark.negative
def test_forged_total_of_r1_is_refused(statement: Statement) -> None:
    """02b R1: T + m p 2^56 has the same residues as T; under the bound N 2^64 there is no such T."""
    p = 2**31 - 2**24 + 1
    one, *rest = statement.totals
    forged = with_table(statement, list(INSTRUMENTS), [replace(one, short=one.short + p * 2**56), *rest])
    forged = replace(forged, total_shortfall=0, total_liability=0)
    assert refused(forged.to_bytes()).reason is Reason.OUTPUT_RANGE
    assert p * 2**56 >= 2**LOG2_ROWS_MAX * 2**64


@pytest.mark.negative
def test_classes_follow_reasons(statement: Statement) -> None:
    data = statement.to_bytes()
    assert isinstance(refused(edited(data, setter("circuit", value="x"))), UnacceptableParameters)
    assert isinstance(refused(edited(data, lambda d: add(d, "total_shortfall", 1))), BadStatement)


@pytest.mark.negative
@pytest.mark.parametrize("circuit", ["solvency_equity_v1", STRESS])
def test_every_flipped_byte_is_refused_or_names_another_statement(circuit: str) -> None:
    statement = (risk_publication if circuit == STRESS else publication)(circuit).statement
    data = statement.to_bytes()
    seen = {statement.digest}
    for i in range(len(data)):
        for flip in (1, 2, 0x20, 0x80):
            changed = data[:i] + bytes([data[i] ^ flip]) + data[i + 1 :]
            try:
                other = parse_statement(changed)
            except VerificationError:
                continue
            assert other.to_bytes() == changed
            assert other.digest not in seen
            seen.add(other.digest)


@pytest.mark.negative
def test_symbols_and_decimals_swapped_after_proving_change_the_digest(statement: Statement) -> None:
    """06 attack 19: such a statement may still be well formed, but the transcript starts from another digest."""
    for change in (instrument("symbol", "doge"), lambda d: swap(d, "symbol"), instrument("decimals", 9)):
        other = parse_statement(edited(statement.to_bytes(), change))
        assert other.digest != statement.digest


@pytest.mark.negative
@given(st.binary(max_size=64), st.integers(0, 4500))
def test_only_the_typed_error_leaves(junk: bytes, at: int) -> None:
    data = risk_publication().statement.to_bytes()
    for changed in (junk, data[:at] + junk, data[:at] + junk + data[at + len(junk) :]):
        with contextlib.suppress(VerificationError):
            parse_statement(changed)


def test_values_in_whole_units_of_the_quote_currency() -> None:
    data = edited(publication().statement.to_bytes(), setter("value", "decimals", value=0))
    assert parse_statement(data).value_decimals == 0


def test_the_header_is_the_statement_without_its_outputs() -> None:
    statement = publication().statement
    header = json.loads(statement.to_bytes())
    del header["outputs"]
    header["format"] = "solvent/header/v1"
    assert statement.header_digest == hashlib.sha256(dumps(header)).digest()


def test_levels_for_few_rows() -> None:
    assert [levels_for(log2_rows) for log2_rows in (0, 1, 2, 4, 5, 7, 8)] == [0, 0, 1, 1, 2, 2, 3]


@pytest.mark.parametrize(
    ("amount", "decimals", "text"),
    [
        (0, 0, "0"),
        (5, 0, "5"),
        (-5, 0, "-5"),
        (0, 8, "0"),
        (1, 8, "0.00000001"),
        (-1230, 2, "-12.3"),
        (10**8, 8, "1"),
        (2**112, 16, "519229685853482762.8530496329220096"),
    ],
)
def test_units(amount: int, decimals: int, text: str) -> None:
    assert units(amount, decimals) == text
