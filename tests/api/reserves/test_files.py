"""Address lists: OKX's layout is read, and what is not understood is refused with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.reserves.files import parse_units, read_addresses, read_amounts, read_rows, shown_units
from prover.errors import InputError
from tests.api.files import write
from tests.api.reserves.signed import bitcoin_address, csv_text, ethereum_address, rows, write_list
from verifier.reserves_evidence import ADDRESSES_MAX

HEADER = (
    "coin,Network,Snapshot Height,address,amount,message,signature1,signature2,redeem script/ public key, eoa1, eoa2"
)
# The layout of OKX's published example (github.com/okx/proof-of-reserves, example/okx_por_example.csv): totals first, a
# blank line, blanks in the header, rows that end early, a contract with two owners.
OKX = f"""\
coin,snapshot height,amount
ETH(ALL),-,6
USDT-TRC20,46095694,5436.9044
ETH,16005122, 5.2834

{HEADER}
ETH,ETH,20914735,0x0cdcdb19a857c2ac24818ca4fdfe38cce071483e,0.058959708849230328,I am an address,0x07,,
ETH,ETH,20914735,0x57e2dcd253527a0f70c6a3de3556f6e6e163f19c,0.1,I am an address,0x07,0xf6,,0x0c,0x16
USDT-TON,TON,43716515,UQB1CKrUWm7qf41Z1GeEE6AgVVj5cH6y6x1aRmWe6q4mj1fn,170.479995,I am an address,0x6c,,6711,,
"""
STAKING = """\
coin,Type,Network,Snapshot Height,address,amount,message,signature1,signature2,redeem script/public key,EOA1,EOA2
ETH,Non Staking,ETH,20914735,0x0c,1,I am,0x07,,,,
ETH,Native ETH Staking,ETH,20914735,0xab,32,I am,0x07,,,0x0c,
"""


def test_the_layout_of_okx(tmp_path: Path) -> None:
    one, two, three = read_rows(write(tmp_path / "okx.csv", OKX))
    assert (one.line, one.asset, one.network.name, one.height, one.signatures) == (7, "ETH", "ETH", 20914735, ("0x07",))
    assert (shown_units(one.amount), one.message, one.owners) == ("0.058959708849230328", "I am an address", ())
    assert (two.signatures, two.owners) == (("0x07", "0xf6"), ("0x0c", "0x16"))
    assert (three.asset, three.network.name, three.public_key) == ("USDT", "TON", "6711")


def test_the_layout_of_okx_with_staking(tmp_path: Path) -> None:
    plain, staked = read_rows(write(tmp_path / "okx.csv", STAKING))
    assert (plain.staked, staked.staked) == ("", "native eth staking")


def test_our_own_lists_read_back(tmp_path: Path) -> None:
    path = write_list(tmp_path / "list.csv", rows())
    read = read_rows(path)
    assert [row.line for row in read] == list(range(6, 13))
    assert [(r.asset, r.address, r.amount, r.message, r.signatures) for r in read] == [
        (r.asset, r.address, r.amount, r.message, r.signatures) for r in rows()
    ]


def test_a_message_keeps_its_blanks(tmp_path: Path) -> None:
    text = "coin,network,height,address,balance,message,signature\n\nBTC, BTC ,1, x ,1, hello ,  s\n , ,\n"
    (row,) = read_rows(write(tmp_path / "list.csv", text))
    assert (row.network.name, row.address, row.message, row.signatures) == ("BTC", "x", " hello ", ("s",))


GOOD = "coin,network,height,address,amount,message,signature1\n"
BAD: dict[str, tuple[str | bytes, str]] = {
    "no header": ("a,b\n1,2\n", "no header"),
    "nothing": ("", "no header"),
    "no row": (GOOD, "expected at least one address"),
    "a column is missing": ("coin,network,address,amount,message,signature1\n", 'column "height"'),
    "an unknown column": (GOOD.replace("message", "memo"), 'column "memo": got "memo"'),
    "a column twice": (GOOD.replace("height", "height,snapshot height"), 'column "snapshot height"'),
    "a field too many": (GOOD + "BTC,BTC,1,x,1,m,s,t\n", ":2: got 8 fields, expected at most 7"),
    "no amount": (GOOD + "BTC,BTC,1,x,,m,s\n", ':2 column "amount": got ""'),
    "a float": (GOOD + "BTC,BTC,1,x,1e3,m,s\n", 'column "amount": got "1e3"'),
    "a negative amount": (GOOD + "BTC,BTC,1,x,-1,m,s\n", 'column "amount": got "-1"'),
    "too many decimals": (GOOD + f"BTC,BTC,1,x,0.{'1' * 31},m,s\n", "at most 30 decimals"),
    "no height": (GOOD + "BTC,BTC,latest,x,1,m,s\n", 'column "height": got "latest"'),
    "no coin": (GOOD + ",BTC,1,x,1,m,s\n", 'column "coin": got ""'),
    "no network": (GOOD + "BTC,two words,1,x,1,m,s\n", 'column "network": got "two words"'),
    "an open quote": (GOOD + 'BTC,BTC,1,x,1,"m,s\n', "expected CSV"),
    "other bytes": (GOOD.encode() + b"\xff\n", "expected text in UTF-8"),
    "too many rows": (GOOD + "BTC,BTC,1,x,1,m,s\n" * (ADDRESSES_MAX + 1), f"expected at most {ADDRESSES_MAX}"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_understood_is_refused(name: str, tmp_path: Path) -> None:
    text, message = BAD[name]
    with pytest.raises(InputError) as caught:
        read_rows(write(tmp_path / "list.csv", text))
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "list.csv"))


def test_addresses_before_anything_is_signed(tmp_path: Path) -> None:
    text = f"coin,network,address\nBTC,bitcoin,{bitcoin_address('p2tr')}\nETH,ETH,{ethereum_address()}\n"
    found = read_addresses(write(tmp_path / "list.csv", text))
    assert [(line, network.name, staked) for line, network, _, staked in found] == [
        (2, "BTC", False),
        (3, "ETH", False),
    ]


def test_amounts_of_somebody_who_looked(tmp_path: Path) -> None:
    text = f"coin,network,height,address,balance\nUSDT-ERC20,ETH,5,{ethereum_address()},2.5\n"
    (found,) = read_amounts(write(tmp_path / "list.csv", text)).items()
    assert found == (("USDT", "ETH", bytes.fromhex(ethereum_address()[2:])), (5, parse_units("2.5")))
    with pytest.raises(InputError, match="each address once"):
        read_amounts(write(tmp_path / "list.csv", text + text.splitlines()[1].replace("-ERC20", "").lower() + "\n"))
    with pytest.raises(InputError, match="0x and 40 hex digits"):
        read_amounts(write(tmp_path / "list.csv", text.replace("0x", "")))


@pytest.mark.parametrize(
    ("text", "units"),
    [("0", 0), ("1", 10**30), ("0.1", 10**29), (f"0.{'0' * 29}1", 1), ("9" * 40, int("9" * 40) * 10**30)],
)
def test_units(text: str, units: int) -> None:
    assert parse_units(text) == units
    assert shown_units(units) == text


@pytest.mark.parametrize(
    "text", ["", "00", "01", ".5", "5.", "+1", "-1", "1e3", "1,000", " 1", "1 ", "٣", "1" * 41, "NaN"]
)
def test_no_other_numbers(text: str) -> None:
    assert parse_units(text) is None


def test_lists_are_as_okx_writes_them() -> None:
    assert HEADER in csv_text(rows()).splitlines()


def test_a_large_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, size = write(tmp_path / "list.csv", OKX), len(OKX)
    monkeypatch.setattr("api.reserves.files.FILE_BYTES_MAX", size)
    monkeypatch.setattr("api.reserves.files.ADDRESSES_MAX", 3)
    assert len(read_rows(path)) == 3
    write(path, OKX + " ")
    with pytest.raises(InputError, match=f"expected at most {size} bytes"):
        read_rows(path)
    with pytest.raises(InputError, match=r"none\.csv: got No such file"):
        read_rows(tmp_path / "none.csv")
