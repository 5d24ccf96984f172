"""The addresses behind reserves, as far as the verifier alone looks at them."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import pytest

from verifier.canonical import Record, dumps
from verifier.errors import BadReserves, Reason, VerificationError
from verifier.instruments import PERPETUAL, SPOT
from verifier.reserves_evidence import HEIGHT_MAX, check_reserves_evidence, parse_reserves_evidence, read_amount

HASHES = {"BTC": "5e" * 32, "ETH": "ab" * 32}
HEIGHTS = {"BTC": 870_000, "ETH": 21_000_000}
RESERVES = b"asset,amount\nbtc,3.5\nusdt,10\n"
STATEMENT: Any = SimpleNamespace(
    exchange="Acme",
    sequence=7,
    instruments=(
        SimpleNamespace(symbol="btc", kind=SPOT, decimals=8),
        SimpleNamespace(symbol="btc-perp", kind=PERPETUAL, decimals=8),
        SimpleNamespace(symbol="usdt", kind=SPOT, decimals=6),
    ),
)


def address(asset: str, network: str, text: str, amount: str, result: str = "verified") -> dict[str, Any]:
    others = ("signature2", "public_key", "owner1", "owner2", "staked", "reason")
    return dict.fromkeys(others) | {
        "asset": asset, "network": network, "address": text, "amount": amount, "signature1": "smpAA==",
        "result": result, "scheme": "BIP-322 simple",
    }  # fmt: skip


def part(network: str, amount: str, addresses: int) -> dict[str, Any]:
    return {
        "network": network, "height": HEIGHTS[network], "hash": HASHES[network], "amount": amount,
        "addresses": addresses,
    }  # fmt: skip


DOCUMENT: dict[str, Any] = {
    "format": "solvent/reserves-evidence/v1",
    "exchange": "Acme",
    "sequence": 7,
    "balances": "node",
    "blocks": [{"network": name, "height": HEIGHTS[name], "hash": HASHES[name]} for name in HASHES],
    "addresses": [
        address("BTC", "BTC", "one", "1.5"),
        address("BTC", "BTC", "two", "2"),
        address("USDT", "ETH", "three", "10.0000009"),
        address("USDT", "ETH", "four", "99", "inconclusive"),
        address("SOL", "ETH", "three", "4"),
    ],
    "totals": [
        {"asset": "BTC", "amount": "3.5", "parts": [part("BTC", "3.5", 2)]},
        {"asset": "SOL", "amount": "4", "parts": [part("ETH", "4", 1)]},
        {"asset": "USDT", "amount": "10.0000009", "parts": [part("ETH", "10.0000009", 1)]},
    ],
}


def refused(change: Callable[[dict[str, Any]], object], reserves: bytes = RESERVES) -> VerificationError:
    document = deepcopy(DOCUMENT)
    change(document)
    with pytest.raises(VerificationError) as caught:
        check_reserves_evidence(dumps(document), reserves, STATEMENT)
    return caught.value


def test_it_agrees_with_a_statement_and_its_reserves() -> None:
    found = check_reserves_evidence(dumps(DOCUMENT), RESERVES, STATEMENT)
    assert (found.verified, found.inconclusive, found.balances) == (4, 1, "node")
    blocks = f"BTC 870000 ({'5e' * 32}), ETH 21000000 ({'ab' * 32})"
    assert found.summary == f"4 addresses signed, 1 not counted, balances from nodes, at {blocks}"
    data = found.to_json()
    assert data.keys() == {"summary", "balances", "verified", "inconclusive", "sha256", "totals"}
    assert data["totals"]["BTC"] == [
        {"network": "BTC", "height": 870_000, "hash": "5e" * 32, "amount": "3.5", "addresses": 2}
    ]
    assert "solvent reserves check" in found.caveat
    assert "own figure" not in found.caveat


def test_who_says_what_is_there() -> None:
    found = parse_reserves_evidence(dumps(DOCUMENT | {"balances": "claimed"}))
    assert "what they hold is the exchange's own figure" in found.caveat
    assert "the exchange's word" in found.summary


def test_nothing_signed() -> None:
    empty = DOCUMENT | {"addresses": [], "totals": []}
    found = check_reserves_evidence(dumps(empty), b"asset,amount\n", STATEMENT)
    assert (found.verified, found.summary) == (0, "0 addresses signed, balances from nodes, at no block")


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("exchange", lambda d: d.update(exchange="Zeta")),
        ("sequence", lambda d: d.update(sequence=6)),
    ],
)
def test_another_statements_evidence_is_refused(field: str, change: Callable[[dict[str, Any]], object]) -> None:
    error = refused(change)
    assert isinstance(error, BadReserves)
    assert error.where["field"] == f"reserves-evidence.{field}"


@pytest.mark.parametrize(
    "reserves",
    [
        b"asset,amount\nbtc,3.5\n",  # signed and not in the file
        b"asset,amount\nbtc,3.50000001\nusdt,10\n",  # more than is signed
        b"asset,amount\nbtc,3.4\nusdt,10\n",
        b"asset,amount\nbtc,3.5\nusdt,10.000001\n",  # rounded up
    ],
)
def test_other_reserves_than_signed_ones_are_refused(reserves: bytes) -> None:
    error = refused(lambda d: None, reserves)
    assert error.reason is Reason.RESERVES
    assert "the total of the signed addresses" in str(error)


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], object], Reason]] = {
    "a total that is no sum": (lambda d: d["totals"][0].update(amount="4"), Reason.RESERVES),
    "a part that is no sum": (
        lambda d: (d["totals"][0].update(amount="4"), d["totals"][0]["parts"][0].update(amount="4")), Reason.RESERVES
    ),
    "another count": (lambda d: d["totals"][0]["parts"][0].update(addresses=3), Reason.RESERVES),
    "no addresses": (lambda d: d["totals"][0]["parts"][0].update(addresses=0), Reason.MALFORMED),
    "a part of nothing": (lambda d: d["totals"].append({"asset": "ETH", "amount": "1", "parts": [part("ETH", "1", 1)]}),
                          Reason.RESERVES),
    "a total left out": (lambda d: d["totals"].pop(), Reason.RESERVES),
    "a total twice": (lambda d: d["totals"].append(d["totals"][0]), Reason.RESERVES),
    "a network twice": (lambda d: d["totals"][0]["parts"].append(part("BTC", "3.5", 2)), Reason.RESERVES),
    "another height": (lambda d: d["totals"][0]["parts"][0].update(height=1), Reason.RESERVES),
    "another hash": (lambda d: d["totals"][0]["parts"][0].update(hash="11" * 32), Reason.RESERVES),
    "a network twice, and the sum of both": (
        lambda d: d["totals"][0].update(amount="7", parts=[part("BTC", "3.5", 2)] * 2), Reason.RESERVES
    ),
    "a height below zero": (lambda d: d["blocks"][0].update(height=-1), Reason.MALFORMED),
    "a height beyond all": (lambda d: d["blocks"][0].update(height=HEIGHT_MAX + 1), Reason.MALFORMED),
    "a part's height below zero": (lambda d: d["totals"][0]["parts"][0].update(height=-1), Reason.MALFORMED),
    "a part's height beyond all": (
        lambda d: d["totals"][0]["parts"][0].update(height=HEIGHT_MAX + 1), Reason.MALFORMED
    ),
    "a long hash": (lambda d: d["blocks"][0].update(hash="5e" * 32 + "5"), Reason.MALFORMED),
    "a part's long hash": (lambda d: d["totals"][0]["parts"][0].update(hash="5e" * 32 + "5"), Reason.MALFORMED),
    "a long address": (lambda d: d["addresses"][0].update(address="a" * 129), Reason.MALFORMED),
    "a long asset": (lambda d: d["addresses"][0].update(asset="A" * 33), Reason.MALFORMED),
    "a long exchange": (lambda d: d.update(exchange="a" * 129), Reason.MALFORMED),
    "a sequence below zero": (lambda d: d.update(sequence=-1), Reason.MALFORMED),
    "too many networks": (lambda d: d["blocks"].extend([d["blocks"][0]] * 63), Reason.MALFORMED),
    "too many parts": (lambda d: d["totals"][0]["parts"].extend([part("BTC", "1", 1)] * 64), Reason.MALFORMED),
    "too many digits": (lambda d: d["addresses"][0].update(amount="1" * 41), Reason.MALFORMED),
    "no block": (lambda d: d["blocks"].pop(0), Reason.RESERVES),
    "an address twice": (lambda d: d["addresses"].append(d["addresses"][0]), Reason.RESERVES),
    "an inconclusive one counted": (lambda d: d["addresses"][3].update(result="verified"), Reason.RESERVES),
    "a failed one": (lambda d: d["addresses"][3].update(result="failed"), Reason.MALFORMED),
    "small letters": (lambda d: d["addresses"][0].update(asset="btc"), Reason.NON_CANONICAL),
    "another number": (lambda d: d["addresses"][0].update(amount="1.50"), Reason.MALFORMED),
    "a negative number": (lambda d: d["addresses"][0].update(amount="-1"), Reason.MALFORMED),
    "too many decimals": (lambda d: d["addresses"][0].update(amount="0." + "1" * 31), Reason.MALFORMED),
    "no source": (lambda d: d.update(balances="somebody"), Reason.MALFORMED),
    "another key": (lambda d: d.update(more=1), Reason.MALFORMED),
    "another format": (lambda d: d.update(format="solvent/reserves-evidence/v0"), Reason.UNKNOWN_VERSION),
}  # fmt: skip


@pytest.mark.negative
@pytest.mark.parametrize("name", CHANGES)
def test_a_file_that_contradicts_itself_is_refused(name: str) -> None:
    change, reason = CHANGES[name]
    assert refused(change).reason is reason


@pytest.mark.negative
@pytest.mark.parametrize(("bound", "count"), [("ADDRESSES_MAX", 5), ("ASSETS_MAX", 3)])
def test_lists_have_a_greatest_length(monkeypatch: pytest.MonkeyPatch, bound: str, count: int) -> None:
    monkeypatch.setattr(f"verifier.reserves_evidence.{bound}", count)
    parse_reserves_evidence(dumps(DOCUMENT))
    monkeypatch.setattr(f"verifier.reserves_evidence.{bound}", count - 1)
    assert refused(lambda d: None).reason is Reason.MALFORMED


@pytest.mark.negative
def test_parts_are_sorted() -> None:
    """BTC on two networks, once in their order and once not."""

    def on_two(names: list[str]) -> bytes:
        document = deepcopy(DOCUMENT)
        document["addresses"][1]["network"] = "ETH"
        parts = {"BTC": part("BTC", "1.5", 1), "ETH": part("ETH", "2", 1)}
        document["totals"][0]["parts"] = [parts[name] for name in names]
        return dumps(document)

    check_reserves_evidence(on_two(["BTC", "ETH"]), RESERVES, STATEMENT)
    with pytest.raises(BadReserves, match="each network once, sorted"):
        check_reserves_evidence(on_two(["ETH", "BTC"]), RESERVES, STATEMENT)


def test_the_first_sequence() -> None:
    document = deepcopy(DOCUMENT)
    document["sequence"] = 0
    assert parse_reserves_evidence(dumps(document)).sequence == 0


def test_the_longest_amount() -> None:
    assert read_amount(Record({"amount": "1" * 40 + "." + "1" * 30}, "row", {"amount"})) == int("1" * 70)


def test_an_address_counted_twice_is_refused_even_where_the_sums_fit() -> None:
    def twice(document: dict[str, Any]) -> None:
        document["addresses"].append(document["addresses"][1])
        document["totals"][0] = {"asset": "BTC", "amount": "5.5", "parts": [part("BTC", "5.5", 3)]}

    error = refused(twice, b"asset,amount\nbtc,5.5\nusdt,10\n")
    assert error.where["field"] == "reserves-evidence.addresses[5].address"


def test_nothing_but_refusals_escapes() -> None:
    data, source = dumps(DOCUMENT), random.Random(20261126)
    for _ in range(1500):
        flipped = bytearray(data)
        for _ in range(source.randrange(1, 4)):
            flipped[source.randrange(len(data))] = source.randrange(256)
        with contextlib.suppress(VerificationError):
            check_reserves_evidence(bytes(flipped), RESERVES, STATEMENT)
