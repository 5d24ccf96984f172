"""Rules of a statement's tables: buckets, tiers, margins and scenarios, each broken alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.verifier.small_tree import edited, risk_publication
from tests.verifier.test_statement import (
    ARITHMETIC,
    CIRCUIT,
    MALFORMED,
    RANGE,
    ROWS,
    TABLE,
    copy,
    outputs,
    refused,
    setter,
    with_table,
)
from verifier import instruments, solvency
from verifier.errors import Reason
from verifier.statement import (
    parse_statement,
)


def bucket(key: str, value: object) -> Callable[[Any], None]:
    """Of the first instrument, whose curve is 300: 100 %, 2000: 80 %, 9000: 50 %."""
    return setter("instruments", 0, "buckets", 0, key, value=value)


def tier(key: str, value: object, at: int = 1) -> Callable[[Any], None]:
    return setter("instruments", 0, "buckets", 0, "tiers", at, key, value=value)


def margin(key: str, value: object, at: int = 1) -> Callable[[Any], None]:
    """1000: 5 %, 5000: 10 %, above: 20 %."""
    return setter("instruments", 0, "margin", at, key, value=value)


def scenario(key: str, value: object, at: int = 0) -> Callable[[Any], None]:
    return setter("scenarios", at, key, value=value)


def stressed(instrument: int, value: object) -> Callable[[Any], None]:
    return setter("scenarios", 0, "values", instrument, value=value)


def move_between_buckets(document: Any) -> None:
    """The sums of the buckets stay as they are, the long side does not follow."""
    document["outputs"]["totals"][0]["long"] = "1"


def test_a_cost_basis_in_units_of_value() -> None:
    """Its price, one unit of the quote currency per atom of as many decimals, is then 1."""

    def change(document: Any) -> None:
        at = next(i for i, one in enumerate(document["instruments"]) if one["kind"] == "cost-basis")
        document["instruments"][at].update(decimals=document["value"]["decimals"], price="1")
        for one in document["scenarios"]:
            one["values"][at] = "1"

    data = edited(risk_publication().statement.to_bytes(), change)
    assert any(one.price == 1 and one.kind == "cost-basis" for one in parse_statement(data).instruments)


TIER = {"to": None, "ratio": 0}
REFUSED_RISK: list[tuple[str, Callable[[Any], object], Reason]] = [
    ("an asset without buckets", setter("instruments", 0, "buckets", value=[]), TABLE),
    ("nine buckets", lambda d: d["instruments"][0].__setitem__("buckets", nine_buckets()), TABLE),
    ("a perpetual with buckets", lambda d: copy(d, "buckets", 0, 1), TABLE),
    ("a cost basis with buckets", lambda d: copy(d, "buckets", 0, 2), TABLE),
    ("a cost basis with margin", lambda d: copy(d, "margin", 0, 2), TABLE),
    ("two buckets of one name", bucket("name", "FREE"), TABLE),
    ("a bucket without a name", bucket("name", ""), MALFORMED),
    ("a bucket with a blank", bucket("name", "lo an"), MALFORMED),
    ("a bucket with a key more", bucket("weight", 1), MALFORMED),
    ("tiers that are no list", bucket("tiers", "100 %"), TABLE),
    ("thirteen tiers", bucket("tiers", [{"to": str(t + 1), "ratio": 0} for t in range(13)]), TABLE),
    ("a bound of 0", tier("to", "0", 0), TABLE),
    ("a bound twice", tier("to", "300"), TABLE),
    ("bounds that decrease", tier("to", "299"), TABLE),
    ("a bound of 2^64", tier("to", str(2**64), 2), TABLE),
    ("a bound that is a number", tier("to", 2000), MALFORMED),
    ("a bound with a point", tier("to", "2000.5"), MALFORMED),
    ("a tier after one without bound", tier("to", None), TABLE),
    ("collateral at more than its value", tier("ratio", 10_001, 0), TABLE),
    ("a negative ratio", tier("ratio", -1, 2), TABLE),
    ("a ratio as text", tier("ratio", "8000"), TABLE),
    ("a ratio true", tier("ratio", True), TABLE),
    ("a haircut that shrinks", tier("ratio", 8001, 2), TABLE),
    ("margin above 100 %", margin("ratio", 10_001, 2), TABLE),
    ("margin that shrinks", margin("ratio", 499), TABLE),
    ("margin that ends", margin("to", "6000", 2), TABLE),
    ("margin with a tier after the last", lambda d: d["instruments"][0]["margin"].append(dict(TIER)), TABLE),
    ("cost basis of slope 1.1", setter("instruments", 2, "price", value="11000000000"), TABLE),
    ("cost basis with more decimals than values", setter("instruments", 2, "decimals", value=17), TABLE),
    ("cost basis with other decimals", setter("instruments", 2, "decimals", value=7), TABLE),
    ("another scale of values", setter("value", "decimals", value=15), TABLE),
    ("four scenarios of three", lambda d: d["scenarios"].extend(d["scenarios"]), TABLE),
    ("a scenario without values", scenario("values", []), TABLE),
    ("a value too many", lambda d: d["scenarios"][0]["values"].append("1"), TABLE),
    ("values that are no list", scenario("values", "1"), TABLE),
    ("a value of 2^54", stressed(0, str(2**54)), TABLE),
    ("a negative value", stressed(0, "-1"), MALFORMED),
    ("a value as a number", stressed(0, 1), MALFORMED),
    ("a cost basis that moves", stressed(2, "9999999999"), TABLE),
    ("a name twice", scenario("name", "BTC to zero"), TABLE),
    ("a name twice, in another case", scenario("name", "BTC TO zero"), TABLE),
    ("no name", scenario("name", ""), MALFORMED),
    ("a blank before the name", scenario("name", " btc"), MALFORMED),
    ("a blank after the name", scenario("name", "btc "), MALFORMED),
    ("a name with a control character", scenario("name", "btc\n"), MALFORMED),
    ("a name of 65 characters", scenario("name", "x" * 65), MALFORMED),
    ("a scenario with a key more", scenario("weight", 1), MALFORMED),
    ("no margin deficit", outputs("total_margin_deficit", None), MALFORMED),
    ("a margin deficit of 2^112", outputs("total_margin_deficit", str(2**112)), RANGE),
    ("a negative margin deficit", outputs("total_margin_deficit", "-1"), MALFORMED),
    ("losses of fewer scenarios", lambda d: d["outputs"]["losses"].pop(), MALFORMED),
    ("losses of more scenarios", lambda d: d["outputs"]["losses"].append(d["outputs"]["losses"][0]), MALFORMED),
    ("losses of many more scenarios", lambda d: d["outputs"]["losses"].extend(d["outputs"]["losses"] * 2), MALFORMED),
    ("a scenario's shortfall of 2^112", setter("outputs", "losses", 0, "shortfall", value=str(2**112)), RANGE),
    ("a scenario's deficit of 2^112", setter("outputs", "losses", 1, "margin_deficit", value=str(2**112)), RANGE),
    ("a bucket's total too few", lambda d: d["outputs"]["totals"][0]["buckets"].pop(), RANGE),
    ("a bucket's total of 2^17 * 2^64", setter("outputs", "totals", 0, "buckets", 0, value=str(ROWS * 2**64)), RANGE),
    ("a long side beyond its buckets", setter("outputs", "totals", 0, "long", value=str(8 * ROWS * 2**64)), RANGE),
    ("a long side that is not the sum", move_between_buckets, ARITHMETIC),
    ("a perpetual's long side out of range", setter("outputs", "totals", 1, "long", value=str(ROWS * 2**64)), RANGE),
    ("an equity circuit", setter("circuit", value="solvency_equity_v1"), CIRCUIT),
    ("a circuit with fewer scenarios", setter("circuit", value="solvency_stress_v1_1"), CIRCUIT),
]


def nine_buckets() -> list[dict[str, object]]:
    return [{"name": str(k), "tiers": []} for k in range(9)]


@pytest.mark.negative
@pytest.mark.parametrize(("change", "reason"), [c[1:] for c in REFUSED_RISK], ids=[c[0] for c in REFUSED_RISK])
def test_what_breaks_a_rule_of_the_tables_is_refused(change: Callable[[Any], object], reason: Reason) -> None:
    error = refused(edited(risk_publication().statement.to_bytes(), change))
    assert error.reason is reason, str(error)
    assert "\n" not in str(error)


@pytest.mark.negative
def test_a_long_side_that_its_buckets_do_not_give() -> None:
    """06 attack 24: the proof binds the buckets, the verdict reads the long side. The shortfall follows the lie."""
    statement = risk_publication().statement
    btc, *rest = statement.totals
    lie = with_table(statement, list(statement.instruments), [replace(btc, long=btc.long - 1), *rest])
    assert lie.total_shortfall == lie.total_liability - lie.net_value > 0
    error = refused(lie.to_bytes())
    assert error.reason is Reason.ARITHMETIC
    assert "the sum of the buckets" in str(error)


@pytest.mark.negative
def test_more_scenarios_than_the_circuit_proves() -> None:
    """The digest of the smaller circuit included: only the count is wrong."""
    smaller = "solvency_stress_v1_1"
    forged = replace(risk_publication().statement, circuit=smaller, circuit_digest=solvency.pinned_digest(smaller))
    assert "at most 1, all that solvency_stress_v1_1 proves" in str(refused(forged.to_bytes()))


@pytest.mark.negative
def test_a_table_with_more_tiers_than_legs_have_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    data = risk_publication().statement.to_bytes()
    rows = (4 + 1 + 4) + (4 + 4) + 2 + (2 + 2 + 1)
    monkeypatch.setattr(instruments, "LEGS_MAX", rows)
    assert parse_statement(data).to_bytes() == data
    monkeypatch.setattr(instruments, "LEGS_MAX", rows - 1)
    assert refused(data).reason is Reason.INSTRUMENT_TABLE
    assert len(risk_publication().statement.legs) <= rows


@pytest.mark.negative
def test_a_curve_changed_after_proving_names_another_statement() -> None:
    """Haircuts, bounds, margins and scenarios are in the digest that the transcript starts from."""
    statement = risk_publication().statement
    changes = (
        tier("ratio", 7000),
        tier("to", "2001"),
        margin("ratio", 600),
        bucket("name", "loans"),
        stressed(0, "455701540001"),
        scenario("name", "btc -29 %"),
        outputs("total_margin_deficit", "0"),
        setter("outputs", "losses", 0, "shortfall", value="0"),
    )
    digests = {parse_statement(edited(statement.to_bytes(), change)).digest for change in changes}
    assert len(digests | {statement.digest}) == len(changes) + 1
