"""The page's own implementation against the verifier: the same verdict, reason and field on the same bytes."""

from __future__ import annotations

import hashlib
import json
import random
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.page import CONSTANTS_FILE, WEB, constants_js, modules, script
from tests.api.web.code import NODE, judge, needs_node, text
from tests.api.web.forgeries import HOLDER, all_of, at_random, named, outcome, sharded, swapped
from tests.verifier.small_tree import INSTRUMENTS, Publication, edited, publication, risk_publication
from verifier.canonical import UNPRINTABLE
from verifier.errors import VerificationError
from verifier.field import P
from verifier.fund import check_fund
from verifier.inclusion import check_bundle
from verifier.poseidon import compress
from verifier.reserves import parse_reserves
from verifier.statement import Statement, Totals, parse_statement
from verifier.tree import ENTRIES_MAX, account_leaf
from verifier.verdict import FundValue, check_solvency

RESERVES = b"asset,amount\nbtc,12345.5\nusdt,100000000\n"


def test_constants_are_the_verifiers() -> None:
    assert (WEB / CONSTANTS_FILE).read_text("utf-8") == constants_js(), "run `python -m api.page`"


def test_one_script_has_no_imports() -> None:
    assert modules()[-1] == "page.js" and set(modules()) == {path.name for path in WEB.glob("*.js")}
    assert not [line for line in script().splitlines() if line.startswith(("import", "export"))]


def test_printable_characters_are_the_verifiers() -> None:
    found = re.search(r"UNPRINTABLE = new RegExp\(((?:\s+\"[^\n]*)+)", (WEB / "canonical.js").read_text("utf-8"))
    assert found is not None
    ranges = "".join(re.findall(r'"(.*)"', found[1])[:-1]).replace("\\\\", "\\")
    assert re.sub(r"\\u\{(\w+)\}", lambda m: f"\\U{m[1]:>08}", ranges) == UNPRINTABLE.pattern


@needs_node
def test_names_of_modules_do_not_clash(tmp_path: Path) -> None:
    (tmp_path / "page.mjs").write_text(script(), "utf-8")
    subprocess.run([str(NODE), "--check", str(tmp_path / "page.mjs")], check=True, timeout=60)


@needs_node
def test_hashes() -> None:
    source = random.Random(1)
    messages = [source.randbytes(n) for n in (1, 55, 56, 63, 64, 65, 111, 112, 127, 128, 129, 1000)]
    edge = [[P - 1] * 8, [0] * 8, [1] * 8]
    blocks = [(edge[i % 3], edge[i // 3]) for i in range(9)]
    blocks += [([source.randrange(P) for _ in range(8)], [source.randrange(P) for _ in range(8)]) for _ in range(50)]
    answer = judge(hashes=[text(m) for m in messages], compress=blocks)
    assert answer["selfTest"]
    assert answer["hashes"] == [[hashlib.sha256(m).hexdigest(), hashlib.sha512(m).hexdigest()] for m in messages]
    assert answer["compress"] == [compress(h, block) for h, block in blocks]


@needs_node
@pytest.mark.parametrize("shards", [1, 3])
def test_same_outcome_as_the_verifier(shards: int) -> None:
    of = sharded(shards, shards // 2)
    files = all_of(of, {1: 40, 3: 100}[shards], shards)
    answer = judge(statement=text(of.statement.to_bytes()), bundles=[text(data) for data in files])
    got = [(result["reason"], result["field"]) for result in answer["bundles"]]
    assert got == [outcome(data, of.statement) for data in files]
    assert got[:3] == [(None, None)] * 3 and len({reason for reason, _ in got}) > 5


@needs_node
def test_each_forgery_fails_at_its_step() -> None:
    of = sharded()
    forged = named(of)
    answer = judge(statement=text(of.statement.to_bytes()), bundles=[text(data) for data, _, _ in forged.values()])
    got = {name: (r["failed"], r["reason"]) for name, r in zip(forged, answer["bundles"], strict=True)}
    assert got == {name: (step, reason) for name, (_, step, reason) in forged.items()}


@needs_node
def test_without_a_statement() -> None:
    of = sharded()
    files = [of.bundle(HOLDER), swapped(of), *at_random(of.bundle(HOLDER), 30, random.Random(5))]
    answer = judge(bundles=[text(data) for data in files])
    assert [(r["reason"], r["field"]) for r in answer["bundles"]] == [outcome(data, None) for data in files]
    first = answer["bundles"][0]
    assert not first["report"]["compared"] and first["steps"][1]["ok"] is False


@needs_node
def test_whose_account_it_is() -> None:
    of = sharded()
    account = of.accounts[HOLDER]
    ask: dict[str, Any] = {"statement": text(of.statement.to_bytes()), "bundles": [text(of.bundle(HOLDER))]}
    known = {"userId": account.user_id, "nonce": account.nonce.hex()}
    assert judge(**ask, known=known)["bundles"][0]["ok"]
    for wrong in ({"userId": "mallory"}, {"nonce": "00" * 32}):
        result = judge(**ask, known=known | wrong)["bundles"][0]
        assert (result["failed"], result["reason"]) == ("3 account id", "account-id")


@needs_node
def test_what_is_shown_is_what_was_counted() -> None:
    of = sharded()
    (result,) = judge(statement=text(of.statement.to_bytes()), bundles=[text(of.bundle(HOLDER))])["bundles"]
    expected = check_bundle(of.bundle(HOLDER), of.statement).to_json()
    keys = ("symbol", "side", "kind", "bucket", "decimals", "atoms", "amount")
    assert [{key: b[key] for key in keys} for b in result["report"]["balances"]] == [
        {key: b[key] for key in keys} for b in expected["balances"]
    ]
    assert result["report"]["worth"] == expected["worth"]
    assert [step["name"] for step in result["steps"]] == [step["name"] for step in expected["steps"]]


@needs_node
def test_the_largest_account_takes_less_than_a_second() -> None:
    of = publication()
    legs = 2 * len(INSTRUMENTS)
    entries = [{"leg": i, "symbol": "b" * 32, "kind": "spot", "bucket": None, "side": "long", "decimals": 8,
                "amount": str(2**63 - 1 - i)} for i in range(ENTRIES_MAX)]  # fmt: skip
    data = edited(of.bundle(0), lambda value: value.update(entries=entries))
    assert legs < ENTRIES_MAX and len(data) < 2**20
    answer = judge(bundles=[text(data)])
    assert answer["bundles"][0]["failed"] == "7 shard"
    leaf = account_leaf(
        of.accounts[0].identity, [(i, 2**63 - 1 - i) for i in range(ENTRIES_MAX)], of.accounts[0].blinding
    )
    detail = next(step["detail"] for step in answer["bundles"][0]["steps"] if step["name"] == "5 leaf")
    assert detail.endswith("".join(word.to_bytes(4, "little").hex() for word in leaf))
    assert answer["milliseconds"] < 1000


def _statement_outcome(data: bytes) -> tuple[str, str] | None:
    try:
        parse_statement(data)
    except VerificationError as error:
        return error.reason.value, str(error.where["field"])
    return None


@needs_node
def test_statements_are_read_alike() -> None:
    files = []
    for seed, of in enumerate((sharded(), publication(), risk_publication("solvency_risk_v1"))):
        files += [of.statement.to_bytes(), *at_random(of.statement.to_bytes(), 120, random.Random(seed))]
    files += [edited(of.statement.to_bytes(), change) for of, change in _wrong_tables()]
    answer = judge(statements=[text(data) for data in files])["statements"]
    got = [None if one["ok"] else (one["reason"], one["field"]) for one in answer]
    assert got == [_statement_outcome(data) for data in files]
    first = answer[0]["value"]
    assert first["digest"] == sharded().statement.digest.hex()


def _wrong_tables() -> list[tuple[Publication, Callable[[Any], object]]]:
    """Edits of statements that only one rule forbids."""
    of, plain, tier = sharded(), publication(), {"ratio": 100, "to": None}
    return [
        (of, lambda s: s["capacity"].update(shards=65537)),
        (of, lambda s: s.update(time="2026-02-30T00:00:00Z")),
        (of, lambda s: s.update(time="2026-02-28T24:00:00Z")),
        (of, lambda s: s["instruments"][2].update(margin=[tier])),
        (plain, lambda s: s["instruments"][0].update(margin=[tier])),
        (plain, lambda s: s["instruments"][0].update(buckets=[{"name": "x", "tiers": []}])),
        (of, lambda s: s["instruments"][0].update(buckets=[])),
        (of, lambda s: s["instruments"][0].update(margin=[{"ratio": 100, "to": "5"}])),
        (of, lambda s: s["instruments"][0].update(margin=[tier, tier])),
        (of, lambda s: s["instruments"][0]["buckets"][1].update(name="LOAN")),
        (of, lambda s: s["instruments"][0].update(symbol="USDT")),
        (of, lambda s: s["instruments"][2].update(price="1")),
        (of, lambda s: s["scenarios"][1].update(name="BTC -30 %")),
        (of, lambda s: s["scenarios"][1].update(name=" btc")),
        (of, lambda s: s["scenarios"][1]["values"].__setitem__(2, "1")),
        (of, lambda s: s["scenarios"].extend(3 * s["scenarios"])),
        (plain, lambda s: s["outputs"].update(total_margin_deficit="0")),
        (of, lambda s: s["outputs"].update(total_margin_deficit=None)),
        (of, lambda s: s["outputs"]["totals"].pop()),
        (of, lambda s: s["outputs"]["totals"][0].update(long="1")),
        (of, lambda s: s["outputs"]["losses"].pop()),
        (of, lambda s: s["outputs"].update(total_shortfall="1")),
        (of, lambda s: s.update(circuit_digest="00" * 32)),
        (plain, lambda s: s["instruments"][0].update(kind="perpetual")),
    ]


@needs_node
def test_legs_are_derived_alike() -> None:
    """At prices that no ratio divides, so that rounding shows, and at none."""
    source = random.Random(4)
    files = []
    for of in (sharded(), publication(), risk_publication("solvency_risk_v1")):
        prices = [source.randrange(1, 2**50) if i.kind != "cost-basis" else i.price for i in of.statement.instruments]
        prices[-1] = 0
        odd = tuple(replace(i, price=price) for i, price in zip(of.statement.instruments, prices, strict=True))
        scenarios = tuple(replace(s, values=tuple(prices)) for s in of.statement.scenarios)
        changed = replace(of.statement, instruments=odd, scenarios=scenarios)
        liability = changed.net_value + 5
        files += [of.statement, replace(changed, total_liability=liability, total_shortfall=5)]
    answer = judge(statements=[text(statement.to_bytes()) for statement in files])["statements"]
    for statement, one in zip(files, answer, strict=True):
        assert [(leg["cap"], leg["price"], leg["health"], leg["total"]) for leg in one["value"]["legs"]] == [
            (str(leg.cap), str(leg.price_coefficient), next(map(str, leg.lens_coefficients), None), leg.total)
            for leg in statement.legs
        ]


@needs_node
def test_another_tree_hash_is_refused_by_name() -> None:
    of = publication("solvency_equity_v1_poseidon2")
    (one,) = judge(statements=[text(of.statement.to_bytes())])["statements"]
    assert (one["reason"], one["field"]) == ("unknown-circuit", "statement.circuit")


@needs_node
def test_reserves_are_read_alike() -> None:
    statement = sharded().statement
    files = [
        RESERVES, b"asset,amount", b"asset,amount\n", RESERVES + b"btc,1\n", RESERVES + b"\n", b"asset;amount\n",
        b"asset,amount\neth,1\n", b"asset,amount\nbtc,01\n", b"asset,amount\nbtc,1.123456789\n",
        b"asset,amount\nbtc,1e3\n",
        b"asset,amount\r\nbtc,1\r\n", "asset,amount\nbtć,1\n".encode(), b"asset,amount\nbtc,-1\n",
        b"asset,amount\nbtc\n",
        b"asset,amount\nbtc-perp,1\n", b"asset,amount\nbtc," + b"9" * 41 + b"\n", b"asset,amount\nbtc,.5\n",
        b"x" * 2**21,
    ]  # fmt: skip
    answer = judge(statement=text(statement.to_bytes()), reserves=[text(data) for data in files])["reserves"]
    for data, got in zip(files, answer, strict=True):
        try:
            expected = [str(atoms) for atoms in parse_reserves(data, statement.instruments)]
        except VerificationError as error:
            assert (got["ok"], got["reason"]) == (False, error.reason.value), data
        else:
            assert got == {"ok": True, "value": expected}


def _checks(statement: Statement, reserves: bytes | None, fund: bytes | None) -> list[dict[str, object]]:
    held = None if reserves is None else parse_reserves(reserves, statement.instruments)
    opened = None if fund is None else check_fund(fund, statement)
    value = None if opened is None else FundValue(opened.value, opened.scenario_values)
    keys = ("name", "left", "right", "relation", "ok", "unit", "decides")
    return [{key: getattr(check, key) for key in keys} for check in check_solvency(statement, held, value)]


def _with_cost_basis(credited: int, charged: int) -> Publication:
    """What positions owe each other is no whole number of the quote currency's atoms."""
    of = sharded()
    first, perpetual, cost, quote = of.statement.instruments
    totals = (*of.statement.totals[:2], Totals(credited, charged), of.statement.totals[3])
    changed = replace(
        of.statement, instruments=(first, perpetual, cost, replace(quote, price=quote.price - 1)), totals=totals
    )
    liability = changed.net_value + changed.total_shortfall
    scenarios = tuple(replace(s, values=(*s.values[:2], cost.price, s.values[3])) for s in changed.scenarios)
    return replace(of, statement=replace(changed, total_liability=liability, scenarios=scenarios))


def _cases() -> list[tuple[Publication, bytes | None, bytes | None]]:
    of, plain = sharded(), publication()
    free = replace(
        of.statement, instruments=(replace(of.statement.instruments[0], price=0), *of.statement.instruments[1:])
    )
    worthless = of.stating(instruments=free.instruments, total_shortfall=of.statement.total_liability - free.net_value)
    return [
        (of, RESERVES, of.bundle(0)), (of, RESERVES, None), (of, None, of.bundle(0)), (of, None, None),
        (plain, b"asset,amount\nbtc,1\neth,2\nusdt,3\n", None), (plain, None, None),
        (risk_publication("solvency_risk_v1"), RESERVES, risk_publication("solvency_risk_v1").bundle(0)),
        (of.stating(policy="strict"), RESERVES, None), (worthless, RESERVES, None),
        (_with_cost_basis(7, 0), RESERVES, None), (_with_cost_basis(0, 7), RESERVES, None),
    ]  # fmt: skip


@needs_node
def test_the_dashboard_says_what_the_verifier_says() -> None:
    cases = _cases()
    ask = [
        {"statement": text(of.statement.to_bytes()), "reserves": held and text(held), "fund": fund and text(fund)}
        for of, held, fund in cases
    ]
    answer = judge(verdicts=ask)["verdicts"]
    for (of, held, fund), got in zip(cases, answer, strict=True):
        assert got == _checks(of.statement, held, fund), json.dumps(got, indent=1)
    assert {check["ok"] for checks in answer for check in checks} == {True, False}
