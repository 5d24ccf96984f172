"""Challenges: each fits one exchange, snapshot, block and address, and the file cannot say anything else."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from api.reserves.challenge import CHALLENGES_BYTES_MAX, Block, Challenge, Challenges, make_block, parse_challenges
from api.reserves.networks import decode_address, network_of
from api.reserves.results import Undecodable
from tests.api.reserves.signed import BLOCKS, bitcoin_address, challenge_for, challenges, decoded, solana_address
from verifier.canonical import dumps
from verifier.errors import Reason, VerificationError

ADDRESS = bitcoin_address("p2wpkh")
MINE = challenge_for("BTC", ADDRESS)


def test_the_text() -> None:
    block = "870000 " + "00" * 10 + "5e" * 22
    expected = f"solvent/reserves/v1 sequence 7 network BTC block {block} address {ADDRESS} exchange Acme Ltd"
    assert MINE.text == expected
    assert MINE.differs(expected) == ""


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (challenge_for("BTC", ADDRESS, exchange="Acme"), "exchange Acme, expected Acme Ltd"),
        (challenge_for("BTC", ADDRESS, sequence=6), "sequence 6, expected 7"),
        (challenge_for("BTC", ADDRESS, height=869_999), "block height 869999, expected 870000"),
        (challenge_for("BTC", ADDRESS, hash="11" * 32), f"block hash {'11' * 32}, expected"),
        (challenge_for("BTC", bitcoin_address("p2tr")), f"address {bitcoin_address('p2tr')}, expected {ADDRESS}"),
        (challenge_for("SOL", solana_address()), "network SOL, expected BTC"),
    ],
)
def test_a_replay_is_named(other: Any, what: str) -> None:
    assert f"the challenge of another {what}" in MINE.differs(other.text).replace("; ", " the challenge of another ")


@pytest.mark.parametrize(
    "message", ["", "I am an OKX address", MINE.text + " ", MINE.text + "\n", " " + MINE.text, MINE.text.upper()]
)
def test_no_other_text_is_the_challenge(message: str) -> None:
    assert MINE.differs(message)


def test_a_static_message_is_named() -> None:
    assert "whoever saw it once can show it again" in MINE.differs("I am an OKX address")


def test_typed_data_has_the_same_fields() -> None:
    mine = challenge_for("ETH", "0x" + "11" * 20)
    data = mine.typed_data
    assert data is not None
    assert data["domain"]["chainId"] == 1
    assert data["message"] == {
        "exchange": "Acme Ltd", "sequence": 7, "network": "ETH", "blockHeight": 21_000_000,
        "blockHash": "0x" + "ab" * 32, "account": "0x" + "11" * 20,
    }  # fmt: skip
    assert MINE.typed_data is None
    # A validator's key, and what is 20 bytes long elsewhere, are no account.
    tron = Challenge("Acme Ltd", 7, Block(network_of("TRX"), 1, "ab" * 32), decoded("TRX", "T" * 20))
    validator = decode_address(network_of("ETH"), "0x" + "11" * 48, staked=True)
    assert tron.typed_data is None is replace(mine, address=validator).typed_data


def test_the_file_reads_back() -> None:
    made = challenges()
    assert parse_challenges(made.to_bytes()) == made
    assert [c.text for c in parse_challenges(made.to_bytes()).all()] == [c.text for c in made.all()]
    # In any order, each address once.
    twice = Challenges.make("Acme Ltd", 7, reversed(BLOCKS), [*reversed(made.addresses), *made.addresses])
    assert twice == made


def _first(document: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = document["challenges"][0]
    return entry


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], object], Reason]] = {
    "another text": (lambda d: _first(d).update(message="I am an address"), Reason.RESERVES),
    "another sequence": (lambda d: d.update(sequence=8), Reason.RESERVES),
    "another exchange": (lambda d: d.update(exchange="Acme"), Reason.RESERVES),
    "another block": (lambda d: d["blocks"][0].update(height=1), Reason.RESERVES),
    "typed data": (lambda d: _first(d).update(typed_data={"domain": None}), Reason.RESERVES),
    "an address twice": (lambda d: d["challenges"].append(_first(d)), Reason.RESERVES),
    "not sorted": (lambda d: d["challenges"].reverse(), Reason.RESERVES),
    "no block": (lambda d: d["blocks"].pop(0), Reason.RESERVES),
    "blocks not sorted": (lambda d: d["blocks"].reverse(), Reason.MALFORMED),
    "a block twice": (lambda d: d["blocks"].insert(0, d["blocks"][0]), Reason.MALFORMED),
    "no hash": (lambda d: d["blocks"][0].update(hash="11"), Reason.MALFORMED),
    "no address": (lambda d: _first(d).update(address="bc1nothing"), Reason.RESERVES),
    "another spelling": (lambda d: _first(d).update(address=ADDRESS.upper()), Reason.NON_CANONICAL),
    "another name": (lambda d: d["blocks"][0].update(network="bitcoin"), Reason.NON_CANONICAL),
    "no name": (lambda d: d["blocks"][0].update(network="$"), Reason.MALFORMED),
    "another format": (lambda d: d.update(format="solvent/reserves-challenges/v2"), Reason.UNKNOWN_VERSION),
    "another key": (lambda d: d.update(more=1), Reason.MALFORMED),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_file_is_refused(name: str) -> None:
    change, reason = CHANGES[name]
    document = json.loads(challenges().to_bytes())
    change(document)
    with pytest.raises(VerificationError) as caught:
        parse_challenges(dumps(document))
    assert caught.value.reason is reason


def test_blocks_from_people() -> None:
    bitcoin, solana = network_of("BTC"), network_of("SOL")
    assert make_block(bitcoin, 1, "0x" + "AB" * 32).hash == "ab" * 32
    assert make_block(solana, 1, "5fnnDKrNDQPX8eEcDJ3rqSCHVEDZzqRQjLnkoUWSNmCv").hash.startswith("5fnn")
    for network, text in ((bitcoin, "5fnnDKrNDQPX8eEcDJ3rqSCHVEDZzqRQjLnkoUWSNmCv"), (solana, "l"), (bitcoin, "")):
        with pytest.raises(Undecodable):
            make_block(network, 1, text)


def test_a_large_file_is_refused() -> None:
    with pytest.raises(VerificationError) as caught:
        parse_challenges(b" " * (CHALLENGES_BYTES_MAX + 1))
    assert caught.value.reason is Reason.FILE_TOO_LARGE


def test_the_address_of_a_challenge_is_its_one_spelling() -> None:
    assert decoded("BTC", ADDRESS.upper()).text == ADDRESS
