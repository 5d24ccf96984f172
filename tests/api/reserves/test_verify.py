"""Whole lists: what counts, and every forgery by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from api.reserves.balances import Claimed
from api.reserves.challenge import Block, Challenges
from api.reserves.files import Row, parse_units
from api.reserves.networks import decode_address, network_of
from api.reserves.results import Status
from api.reserves.verify import total, verify_rows
from tests.api.reserves.signed import (
    Case,
    bitcoin_address,
    challenge_for,
    challenges,
    decoded,
    ethereum_address,
    outcome_of,
    rows,
    sign_bip322,
    sign_eip191,
    solana_address,
    verified_list,
)

P2SH, P2WPKH, P2TR, LEGACY, ETH, USDT, SOL = range(7)
"""Rows of the honest list."""
Change = Callable[[Row], Row]


def re_signed(network: str, address: str, sign: Callable[[str], str], **changes: object) -> Change:
    """A challenge of something else, signed in earnest by the right key."""
    asked = challenge_for(network, address, **changes)  # type: ignore[arg-type]
    return lambda row: replace(row, message=asked.text, signatures=(sign(asked.text),))


def by_bitcoin(message: str) -> str:
    return sign_bip322(message, bitcoin_address("p2wpkh"))


SEGWIT = bitcoin_address("p2wpkh")
FORGERIES: dict[str, tuple[int, Change, str]] = {
    "replay of the last sequence": (P2WPKH, re_signed("BTC", SEGWIT, by_bitcoin, sequence=6), "another sequence 6"),
    "replay at another exchange": (P2WPKH, re_signed("BTC", SEGWIT, by_bitcoin, exchange="Zeta"), "exchange Zeta"),
    "replay of another height": (P2WPKH, re_signed("BTC", SEGWIT, by_bitcoin, height=869_999), "block height 869999"),
    "replay from another fork": (P2WPKH, re_signed("BTC", SEGWIT, by_bitcoin, hash="11" * 32), "another block hash"),
    "replay of the last sequence, EVM": (
        ETH, re_signed("ETH", ethereum_address(), sign_eip191, sequence=6), "another sequence 6"
    ),
    "a static message": (
        ETH,
        lambda row: replace(row, message="I am an OKX address", signatures=(sign_eip191("I am an OKX address"),)),
        "the message is not a challenge",
    ),
    "the challenge of another address": (
        P2WPKH, lambda row: replace(row, message=challenge_for("BTC", bitcoin_address("p2tr")).text), "another address"
    ),
    "no message": (SOL, lambda row: replace(row, message=""), "the message is not a challenge"),
    "the balance of another height": (SOL, lambda row: replace(row, height=1), "the balance is of height 1, expected"),
    "an address that does not decode": (
        P2WPKH, lambda row: replace(row, address=SEGWIT[:-1] + "7"), "the address does not decode"
    ),
    "an address of another network": (ETH, lambda row: replace(row, address=SEGWIT), "the address does not decode"),
    "an address that nobody challenged": (
        P2WPKH, lambda row: replace(row, address=bitcoin_address("p2wpkh", 77)), "not among the challenges"
    ),
    "a network without a block": (
        ETH, lambda row: replace(row, network=network_of("BASE")), "no block of BASE is in the challenges"
    ),
    "no signature": (ETH, lambda row: replace(row, signatures=()), "no signature"),
    "a signature that does not decode": (
        ETH, lambda row: replace(row, signatures=("signed",)), "the signature does not decode"
    ),
    "another key, Bitcoin": (
        P2TR,
        lambda row: replace(row, signatures=(sign_bip322(row.message, bitcoin_address("p2tr", 77), 77),)),
        "not a signature of this address",
    ),
    "another key, EVM": (
        ETH, lambda row: replace(row, signatures=(sign_eip191(row.message, b"\x03" * 32),)), "signed by another key"
    ),
    "another key, Ed25519": (SOL, lambda row: replace(row, signatures=("1" * 64,)), "signed by another key"),
    "an owner that is none": (
        ETH, lambda row: replace(row, owners=("0x12",)), "an owner or public key does not decode"
    ),
    "a public key that is none": (SOL, lambda row: replace(row, public_key="zz"), "public key does not decode"),
}  # fmt: skip


def test_the_honest_list() -> None:
    report = verified_list()
    assert report.accepted
    assert [result.outcome.status for result in report.results] == [Status.VERIFIED] * 7
    schemes = [result.outcome.scheme for result in report.results]
    assert schemes == [
        "BIP-322 full", "BIP-322 simple", "BIP-322 simple", "signmessage", "EIP-191", "EIP-712", "Ed25519"
    ]  # fmt: skip
    sums = {asset: total(parts) for asset, parts in report.totals.items()}
    wanted = {"BTC": "4.75", "ETH": "3.058959708849230328", "SOL": "12", "USDT": "1000000"}
    assert sums == {asset: parse_units(text) for asset, text in wanted.items()}
    (part,) = report.totals["BTC"]
    assert (part.block.height, part.block.hash[-2:], part.addresses) == (870_000, "5e", 4)


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_fails_and_refuses_the_list(name: str) -> None:
    index, change, reason = FORGERIES[name]
    outcome = outcome_of(change, index)
    assert outcome.status == Status.FAILED
    assert reason in outcome.reason
    changed = list(rows())
    changed[index] = change(changed[index])
    report = verified_list(changed)
    assert not report.accepted
    assert [result.outcome.status == Status.FAILED for result in report.results].count(True) == 1
    # What failed is in no total.
    left = sum(row.amount for i, row in enumerate(rows()) if i != index)
    assert sum(total(parts) for parts in report.totals.values()) == left


@pytest.mark.parametrize(
    ("index", "address"),
    [(P2WPKH, SEGWIT), (P2WPKH, SEGWIT.upper()), (ETH, ethereum_address()), (ETH, ethereum_address().lower())],
)
def test_an_address_twice_fails_in_any_spelling(index: int, address: str) -> None:
    again = replace(rows()[index], line=99, address=address)
    report = verified_list([*rows(), again])
    (result,) = report.of(Status.FAILED)
    assert (result.row.line, f"stands on line {rows()[index].line} already" in result.outcome.reason) == (99, True)
    assert report.totals == verified_list().totals


def test_an_asset_under_two_labels_is_one() -> None:
    # "USDT" and "USDT-ERC20" on one address would count the same tokens twice.
    again = Case("USDT", "ETH", ethereum_address(), "1000000").row(99)
    assert [result.row.line for result in verified_list([*rows(), again]).of(Status.FAILED)] == [99]


def test_one_signature_for_two_addresses_fails() -> None:
    other = bitcoin_address("p2wpkh", 77)
    asked = challenge_for("BTC", other)
    copied = replace(rows()[P2WPKH], line=99, address=other, message=asked.text)
    with_prefix_dropped = replace(copied, signatures=(copied.signatures[0].removeprefix("smp"),))
    for row in (copied, with_prefix_dropped):
        (result,) = verified_list([*rows(), row], [("BTC", other)]).of(Status.FAILED)
        assert "stands on line 3 already for another address" in result.outcome.reason


def test_what_needs_a_node_is_inconclusive_and_counts_nothing() -> None:
    contract, validator = "0x" + "cc" * 20, "0x" + "ab" * 48
    base = Case("ETH", "ETH", contract, "10")
    signed = base.row(99)
    staked = replace(signed, address=validator, staked="native eth staking")
    changes: list[tuple[str, Row]] = [
        ("a contract's signature", replace(signed, signatures=("0x" + "12" * 130,))),
        ("only a node knows", replace(signed, owners=(ethereum_address(),))),
        ("several signatures: a contract's", replace(signed, signatures=(signed.signatures[0], "0x" + "34" * 65))),
    ]
    for reason, row in changes:
        report = verified_list([*rows(), row], [("ETH", contract)])
        (result,) = report.of(Status.INCONCLUSIVE)
        assert reason in result.outcome.reason
        assert report.accepted
        assert report.totals == verified_list().totals
    strangers = replace(changes[2][1], owners=("0x" + "dd" * 20,))  # whose first signature is not that owner's
    assert verified_list([strangers], [("ETH", contract)]).results[0].outcome.reason.startswith("signed by another key")
    asked = challenges([("ETH", contract)])
    key = decode_address(network_of("ETH"), validator, staked=True)
    asked = replace(asked, addresses=(*asked.addresses, (network_of("ETH"), key)))
    message = next(c.text for c in asked.all() if c.address.text == validator)
    report = verify_rows([replace(staked, message=message)], asked, Claimed())
    assert "native eth staking" in report.of(Status.INCONCLUSIVE)[0].outcome.reason
    assert report.totals == {}


def test_bitcoin_counts_bitcoin_only_and_one_signature() -> None:
    other = replace(rows()[P2WPKH], asset="ETH")
    two = replace(rows()[P2WPKH], signatures=(*rows()[P2WPKH].signatures, *rows()[P2TR].signatures))
    assert "BTC only" in verified_list([other]).results[0].outcome.reason
    assert "expected one BIP-322 signature" in verified_list([two]).results[0].outcome.reason
    assert verified_list([other, two]).totals == {}


def test_a_network_that_nobody_here_knows_is_inconclusive() -> None:
    block = Block(network_of("TON"), 5, "11" * 32)
    address = "UQB1CKrUWm7qf41Z1GeEE6AgVVj5cH6y6x1aRmWe6q4mj1fn"
    asked = Challenges.make("Acme Ltd", 7, [block], [(block.network, decoded("TON", address))])
    (challenge,) = asked.all()
    row = replace(rows()[SOL], network=block.network, address=address, height=5, message=challenge.text)
    report = verify_rows([row], asked, Claimed())
    assert report.results[0].outcome.status == Status.INCONCLUSIVE
    assert report.totals == {}


def test_two_networks_of_one_asset_are_two_parts() -> None:
    report = verified_list([*rows(), Case("BTC", "ETH", ethereum_address(), "2").row(99)])
    assert [(part.block.network.name, part.addresses) for part in report.totals["BTC"]] == [("BTC", 4), ("ETH", 1)]


def test_solana_addresses_are_keys() -> None:
    assert verified_list([replace(rows()[SOL], address=solana_address(b"\x04" * 32))]).of(Status.FAILED)
