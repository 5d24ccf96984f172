"""Addresses and labels: one key for all spellings, and nothing that is not an address."""

from __future__ import annotations

import pytest

from api.reserves.networks import EVM, OTHER, asset_of, decode_address, network_of
from api.reserves.results import Undecodable
from tests.api.reserves.signed import bitcoin_address, decoded, ethereum_address, solana_address
from verifier.reserves_evidence import ADDRESS_CHARACTERS_MAX

BAD = {
    "BTC": (
        "",
        "bc1qz5s0ppmjpcvprqpdakdu8qqcm2v3z8us334at7",  # checksum
        "12vieiAHxBe4qCUrwvfb2kRkDuc8kQ2VZ3",  # checksum
        "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx",  # test network
        "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn",  # test network
        " bc1qz5s0ppmjpcvprqpdakdu8qqcm2v3z8us334at6",
        "bc1qz5s0ppmjpcvprqpdakdu8qqcm2v3z8us334at6\n",
        "bc1Qz5s0ppmjpcvprqpdakdu8qqcm2v3z8us334at6",  # both cases
        "0x1a642f0e3c3af545e7acbd38b07251b3990914f1",
        "b" * 200,
    ),
    "ETH": (
        "",
        "1a642f0e3c3af545e7acbd38b07251b3990914f1",
        "0x1a642f0e3c3af545e7acbd38b07251b3990914f",
        "0x1a642f0e3c3af545e7acbd38b07251b3990914f1a",
        "0x1A642f0E3c3aF545E7AcBD38b07251B3990914F1",  # one capital is wrong
        "0X1a642f0e3c3af545e7acbd38b07251b3990914f1",
        bitcoin_address("p2wpkh"),
        "0x" + "ab" * 48,  # a validator's key in a row that is not staked
    ),
    "SOL": ("", solana_address()[:-1] + "0", solana_address()[:20], solana_address() + "1", "1" * 44, "l" * 44),
    "NEAR": ("", "alice.near", "ab" * 31, "ab" * 33),
    "APTOS": ("", "0xabc", "0x" + "zz" * 32),
}


@pytest.mark.parametrize(("network", "text"), [(name, text) for name, texts in BAD.items() for text in texts])
def test_what_is_no_address_does_not_decode(network: str, text: str) -> None:
    with pytest.raises(Undecodable):
        decode_address(network_of(network), text)


def test_all_spellings_of_an_address_are_one() -> None:
    segwit = bitcoin_address("p2wpkh")
    assert decoded("BTC", segwit) == decoded("BTC", segwit.upper())
    checksummed = ethereum_address()
    lower = checksummed.lower()
    assert decoded("ETH", checksummed) == decoded("ETH", lower) == decoded("ETH", "0x" + lower[2:].upper())
    assert decoded("ETH", checksummed).text == lower
    assert decoded("NEAR", "AB" * 32).text == "ab" * 32
    assert decoded("APTOS", "AB" * 32) == decoded("APTOS", "0x" + "ab" * 32)


def test_a_staked_row_names_a_validator() -> None:
    key = decode_address(network_of("ETH"), "0x" + "Ab" * 48, staked=True)
    assert (key.text, len(key.key)) == ("0x" + "ab" * 48, 48)
    with pytest.raises(Undecodable):
        decode_address(network_of("ETH"), ethereum_address(), staked=True)


def test_addresses_of_other_networks_are_short() -> None:
    longest = "x" * ADDRESS_CHARACTERS_MAX
    assert decoded("TON", longest).key == longest.encode()
    with pytest.raises(Undecodable, match="visible ASCII characters"):
        decoded("TON", longest + "x")


def test_networks_have_one_name() -> None:
    assert network_of(" ethereum ") == network_of("ERC20") == network_of("ETH")
    assert network_of("eth").family == EVM
    assert network_of("TON").family == OTHER
    assert len({network_of(name).chain_id for name in ("ETH", "OPTIMISM", "BSC", "POLYGON", "BASE", "ARBITRUM")}) == 6
    for bad in ("", "two words", "x" * 33, "ÄTH"):
        with pytest.raises(Undecodable):
            network_of(bad)


@pytest.mark.parametrize(
    ("coin", "asset"),
    [
        ("BTC", "BTC"), ("usdt", "USDT"), ("USDT-ERC20", "USDT"), ("USDT-TRC20", "USDT"), ("ETH-ARBITRUM", "ETH"),
        ("USDT-POLY", "USDT"), ("A-B", "A-B"), ("-ETH", "-ETH"), ("USDT-TON", "USDT"), ("ETH", "ETH"),
    ],
)  # fmt: skip
def test_labels_name_assets(coin: str, asset: str) -> None:
    assert asset_of(coin) == asset
