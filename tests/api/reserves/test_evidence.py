"""Published evidence: it is checked again from its own bytes, and nothing in it can be changed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from api.reserves.evidence import check_again, evidence_bytes, reserves_bytes
from api.reserves.results import Status
from api.reserves.verify import verify_rows
from prover.errors import InputError
from tests.api.reserves.signed import (
    Case,
    bitcoin_address,
    challenges,
    ethereum_address,
    rows,
    sign_bip322,
    sign_eip191,
    verified_list,
)
from verifier.canonical import dumps
from verifier.errors import Reason, VerificationError
from verifier.instruments import SPOT, Instrument

CONTRACT = "0x" + "cc" * 20


@cache
def evidence() -> bytes:
    """Of the honest list and one address that is inconclusive."""
    contract = replace(Case("ETH", "ETH", CONTRACT, "5").row(99), signatures=("0x" + "12" * 130,))
    return evidence_bytes(verified_list([*rows(), contract], [("ETH", CONTRACT)]))


def spot(symbol: str, decimals: int) -> Instrument:
    return Instrument(symbol, SPOT, decimals, 1, (), ())


def test_it_is_checked_again() -> None:
    report = check_again(evidence())
    assert (len(report.of(Status.VERIFIED)), len(report.of(Status.INCONCLUSIVE))) == (7, 1)
    assert (report.source, report.totals) == ("claimed", verified_list().totals)


def test_what_a_source_left_open_stays_open() -> None:
    class Half:
        name = "node"

        def balances(self, block: object, wanted: list[Any]) -> list[int | None]:
            return [None if row.asset == "SOL" else row.amount for row, _ in wanted]

    report = verify_rows(rows(), challenges(), Half())  # type: ignore[arg-type]
    again = check_again(evidence_bytes(report))
    assert (again.totals, again.source) == (report.totals, "node")
    assert "SOL" not in again.totals


def _address(document: dict[str, Any], index: int) -> dict[str, Any]:
    entry: dict[str, Any] = document["addresses"][index]
    return entry


def _swap(document: dict[str, Any]) -> None:
    one, two = _address(document, 1), _address(document, 2)
    one["signature1"], two["signature1"] = two["signature1"], one["signature1"]


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], object], Reason]] = {
    "another sequence": (lambda d: d.update(sequence=8), Reason.SIGNATURE),
    "another exchange": (lambda d: d.update(exchange="Zeta"), Reason.SIGNATURE),
    "another block": (lambda d: d["blocks"][0].update(hash="11" * 32), Reason.SIGNATURE),
    "another height": (lambda d: d["blocks"][0].update(height=1), Reason.SIGNATURE),
    "another key's signature": (
        lambda d: _address(d, 1).update(signature1=sign_bip322("x", bitcoin_address("p2wpkh"))), Reason.SIGNATURE
    ),
    "a static message's signature": (lambda d: _address(d, 4).update(signature1=sign_eip191("I am")), Reason.SIGNATURE),
    "no signature": (lambda d: _address(d, 1).update(signature1=None), Reason.SIGNATURE),
    "signatures swapped": (_swap, Reason.SIGNATURE),
    "another address": (lambda d: _address(d, 1).update(address=bitcoin_address("p2wpkh", 77)), Reason.SIGNATURE),
    "an address twice": (lambda d: d["addresses"].append(_address(d, 1)), Reason.SIGNATURE),
    "a larger amount": (lambda d: _address(d, 1).update(amount="2"), Reason.RESERVES),
    "a larger total": (lambda d: d["totals"][0].update(amount="5"), Reason.RESERVES),
    "an inconclusive address counted": (lambda d: _address(d, 7).update(result="verified"), Reason.RESERVES),
    "another scheme": (lambda d: _address(d, 4).update(scheme="EIP-712"), Reason.RESERVES),
    "another reason": (lambda d: _address(d, 7).update(reason="fine"), Reason.RESERVES),
    "a network without a block": (lambda d: d["blocks"].pop(0), Reason.RESERVES),
    "another result": (lambda d: _address(d, 1).update(result="failed"), Reason.MALFORMED),
    "another source": (lambda d: d.update(balances="oracle"), Reason.MALFORMED),
    "another spelling": (lambda d: _address(d, 4).update(address=ethereum_address()), Reason.NON_CANONICAL),
    "small letters": (lambda d: _address(d, 4).update(asset="eth"), Reason.NON_CANONICAL),
    "another number": (lambda d: _address(d, 1).update(amount="1.50"), Reason.MALFORMED),
    "another format": (lambda d: d.update(format="solvent/reserves-evidence/v2"), Reason.UNKNOWN_VERSION),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_refused(name: str) -> None:
    change, reason = CHANGES[name]
    document = json.loads(evidence())
    change(document)
    with pytest.raises(VerificationError) as caught:
        check_again(dumps(document))
    assert caught.value.reason is reason


def test_an_address_may_be_taken_back_but_then_it_does_not_count() -> None:
    # Nobody can tell from here whether the source knew the balance; less is counted, never more.
    document = json.loads(evidence())
    _address(document, 6).update(
        result="inconclusive", reason="signed, but the source of balances (claimed) does not know it"
    )
    with pytest.raises(VerificationError) as caught:
        check_again(dumps(document))
    assert caught.value.reason is Reason.RESERVES
    document["totals"] = [t for t in document["totals"] if t["asset"] != "SOL"]
    assert "SOL" not in check_again(dumps(document)).totals


def test_reserves_for_a_table_of_assets() -> None:
    report = verified_list()
    table = (spot("btc", 8), spot("eth", 8), spot("usdt", 6), spot("usdc", 6))
    data, left_out = reserves_bytes(report, table)
    # Cut, never rounded up: 3.058959708849230328.
    assert data == b"asset,amount\nbtc,4.75\neth,3.0589597\nusdt,1000000\n"
    assert left_out == ("SOL",)
    data, left_out = reserves_bytes(report, None)
    assert data == b"asset,amount\nBTC,4.75\nETH,3.058959708849230328\nSOL,12\nUSDT,1000000\n"
    assert left_out == ()


def test_a_file_that_no_verifier_would_read_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.reserves.evidence.EVIDENCE_BYTES_MAX", 1000)
    with pytest.raises(InputError, match="fewer addresses"):
        evidence_bytes(verified_list())


def test_flipped_bits_change_nothing_that_counts() -> None:
    data, source = evidence(), random.Random(20261126)
    before = check_again(data)
    for _ in range(60):
        at = source.randrange(len(data))
        flipped = bytearray(data)
        flipped[at] ^= 1 << source.randrange(8)
        try:
            after = check_again(bytes(flipped))
        except VerificationError:
            continue
        # What is left is another spelling of the same signature (hex in capitals), and says the same.
        assert (after.totals, after.challenges) == (before.totals, before.challenges)
