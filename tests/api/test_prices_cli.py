"""`solvent prices`: from keys to evidence, and back to a verdict."""

from __future__ import annotations

import hashlib
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from prover.errors import InputError
from prover.prices import load_evidence, simulate_evidence, sources_text
from prover.snapshot import Snapshot
from tests.api.files import Command, refusal, write
from tests.verifier.small_tree import publication
from verifier.quotes import parse_signed_quotes, read_sources

TIME = "2026-11-22T12:00:00Z"
NAMES = ("alpha", "beta", "gamma")
QUOTES = (
    "symbol,price\nBTC,65100.220\nETH,3620.5\n",
    "price,symbol\n65101,btc\n3620.6,eth\n",
    "symbol,price\nbtc,7\neth,7\n",
)
INSTRUMENTS = "symbol,kind,decimals,price\nbtc,spot,8,1\neth,spot,8,0\nusdt,spot,6,9\n"
ACCOUNTS = "user_id,asset,side,amount\na,btc,long,1.5\nb,usdt,long,10\n"


@pytest.fixture
def signed(command: Command, tmp_path: Path) -> list[Path]:
    """Signed quotes of three sources, and their keys beside them; the third one is off."""
    out = []
    for name, text in zip(NAMES, (*QUOTES[:2], QUOTES[0].replace("3620.5", "9999")), strict=True):
        key, quotes = tmp_path / f"{name}.pem", tmp_path / f"{name}.json"
        code, drawn = command("prices", "keygen", "--out", key)
        assert (code, drawn["verdict"]) == (0, "drawn")
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        csv = write(tmp_path / f"{name}.csv", text)
        words = ("prices", "sign", csv, "--key", key, "--source", name, "--time", TIME, "--out", quotes)
        code, result = command(*words)
        assert (code, result["public_key"], result["prices"]) == (0, drawn["public_key"], 2)
        out.append(quotes)
    return out


@pytest.fixture
def sources(signed: list[Path], tmp_path: Path) -> Path:
    """The file that an auditor keeps."""
    quotes = [parse_signed_quotes(path.read_bytes()) for path in signed]
    return write(tmp_path / "sources.txt", "".join(f"{q.source} {q.key.hex()} 1\n" for q in quotes))


@pytest.fixture
def prices(command: Command, signed: list[Path], sources: Path, tmp_path: Path) -> Path:
    """A price file in which all three agree."""
    csv = write(tmp_path / "again.csv", QUOTES[0])
    key = tmp_path / "gamma.pem"
    command("prices", "sign", csv, "--key", key, "--source", "gamma", "--time", TIME, "--out", signed[2], "--force")
    out = tmp_path / "prices.json"
    code, result = command("prices", "assemble", *signed, "--out", out, "--sources", sources)
    assert (code, result["sources"]) == (0, list(NAMES))
    return out


@pytest.fixture
def snapshot(command: Command, prices: Path, tmp_path: Path) -> Path:
    """What is imported at the medians."""
    filled, out = tmp_path / "filled.csv", tmp_path / "snapshot"
    csv = write(tmp_path / "instruments.csv", INSTRUMENTS)
    code, result = command("prices", "fill", csv, "--prices", prices, "--time", TIME, "--out", filled)
    assert (code, result["quoted"], result["stale"]) == (0, 2, [])
    assert filled.read_text() == "symbol,kind,decimals,price\nbtc,spot,8,65100.22\neth,spot,8,3620.5\nusdt,spot,6,1\n"
    accounts = write(tmp_path / "accounts.csv", ACCOUNTS)
    words = ("--accounts", accounts, "--instruments", filled, "--exchange", "acme", "--time", TIME, "--out", out)
    assert command("import", "table", *words)[0] == 0
    return out


def test_the_group_shows_its_help(command: Command) -> None:
    code, text = command("prices", text=True)
    assert code == 0
    assert all(word in text for word in ("keygen", "sign", "assemble", "fill", "check"))


def test_from_keys_to_a_verdict(command: Command, prices: Path, snapshot: Path, sources: Path) -> None:
    code, found = command("prices", "check", prices, "--snapshot", snapshot)
    assert (code, found["verdict"]) == (0, "prices follow from sources that were not checked")
    assert found["unquoted"] == ["usdt"]
    assert found["sha256"] == hashlib.sha256(prices.read_bytes()).hexdigest()
    assert found["prices"][0] == {
        "symbol": "btc",
        "price": "65100.22",
        "low": "65100.22",
        "high": "65101",
        "spread_percent": "0.01",
        "sources": ["alpha", "gamma", "beta"],
        "dropped": {},
    }
    code, found = command("prices", "check", prices, "--snapshot", snapshot, "--sources", sources)
    assert (code, found["verdict"], found["trusted"]) == (0, "prices follow", True)
    code, text = command("prices", "check", prices, "--snapshot", snapshot, text=True)
    assert code == 0
    assert "One by definition: usdt" in text


def test_the_prover_reads_the_same(prices: Path, snapshot: Path, sources: Path) -> None:
    meta = Snapshot.load(snapshot).meta
    assert load_evidence(prices, meta) == prices.read_bytes()
    assert load_evidence(prices, meta, read_sources(sources.read_bytes())) == prices.read_bytes()


def test_check_against_a_publication(command: Command, tmp_path: Path) -> None:
    statement = publication().statement
    data, named = simulate_evidence(statement)
    statement = replace(statement, oracle_evidence=hashlib.sha256(data).digest())
    folder = tmp_path / "published"
    folder.mkdir()
    write(folder / "statement.json", statement.to_bytes())
    file = write(folder / "prices.json", data)
    listed = write(tmp_path / "sources.txt", sources_text(named))
    assert command("prices", "check", file, "--against", folder, "--sources", listed)[0] == 0
    other = write(tmp_path / "other.json", simulate_evidence(statement, 3)[0])
    code, found = command("prices", "check", other, "--against", folder)
    assert (code, found["verdict"], found["reason"]) == (1, "rejected", "price-evidence")


def test_dropped_quotes_are_shown(command: Command, tmp_path: Path) -> None:
    """Four agree, one is a tenth off."""
    signed = []
    for i, price in enumerate(("100", "100", "100.5", "100", "110")):
        key, csv = tmp_path / f"{i}.pem", write(tmp_path / f"{i}.csv", f"symbol,price\nx,{price}\n")
        command("prices", "keygen", "--out", key)
        signed.append(tmp_path / f"{i}.json")
        command("prices", "sign", csv, "--key", key, "--source", f"s{i}", "--time", TIME, "--out", signed[-1])
    out, snapshot = tmp_path / "prices.json", tmp_path / "snapshot"
    assert command("prices", "assemble", *signed, "--out", out)[0] == 0
    table = write(tmp_path / "instruments.csv", "symbol,kind,decimals,price\nx,spot,0,100\n")
    accounts = write(tmp_path / "accounts.csv", "user_id,asset,side,amount\na,x,long,1\n")
    words = ("--accounts", accounts, "--instruments", table, "--exchange", "acme", "--time", TIME, "--out", snapshot)
    assert command("import", "table", *words)[0] == 0
    code, found = command("prices", "check", out, "--snapshot", snapshot)
    assert (code, found["prices"][0]["dropped"]) == (0, {"s4": "110"})
    assert found["prices"][0]["spread_percent"] == "0.50"
    assert "s4 110" in command("prices", "check", out, "--snapshot", snapshot, text=True)[1]


def test_fill_keeps_the_other_columns_of_a_token_file(command: Command, prices: Path, tmp_path: Path) -> None:
    tiers = '"[0-1000:100,1000-2000:90]"'
    header = "symbol,usdt_price,loan_tiers_ratio,margin_tiers_ratio,portfolio_tiers_ratio"
    csv = write(tmp_path / "assets.csv", f"{header}\nbtc,1,{tiers},,\n")
    out = tmp_path / "out.csv"
    assert command("prices", "fill", csv, "--prices", prices, "--time", TIME, "--out", out)[0] == 0
    assert out.read_text() == f"{header}\nbtc,65100.22,{tiers},,\n"


# What is refused


@pytest.mark.negative
def test_prices_that_do_not_follow(command: Command, prices: Path, snapshot: Path, tmp_path: Path) -> None:
    meta = Snapshot.load(snapshot).meta
    wrong = replace(meta, instruments=(replace(meta.instruments[0], price=1), *meta.instruments[1:]))
    with pytest.raises(InputError) as caught:
        load_evidence(prices, wrong)
    assert refusal(caught.value, tmp_path).startswith("prices.json: got prices: price of btc: expected ")
    late = replace(meta, time="2026-11-22T12:05:01Z")
    with pytest.raises(InputError, match="price of btc: expected fresh quotes"):
        load_evidence(prices, late)
    with pytest.raises(InputError, match="No such file"):
        load_evidence(tmp_path / "none.json", meta)


@pytest.mark.negative
def test_a_source_that_disagrees_stops_three(command: Command, signed: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "prices.json"
    assert command("prices", "assemble", *signed, "--out", out)[0] == 0
    csv = write(tmp_path / "instruments.csv", INSTRUMENTS)
    words = ("prices", "fill", csv, "--prices", out, "--time", TIME, "--out", tmp_path / "filled.csv")
    code, found = command(*words)
    assert code == 2
    assert "price of eth" in found["error"]
    assert not (tmp_path / "filled.csv").exists()


BAD_ROWS = {
    "zero": ("btc,0", 'bad.csv:2 column "price": got "0", expected a price above zero'),
    "negative": ("btc,-1", 'bad.csv:2 column "price": got "-1", expected a decimal number'),
    "exponent": ("btc,1e5", 'bad.csv:2 column "price": got "1e5", expected a decimal number'),
    "too-fine": (f"btc,0.{'0' * 30}1", 'bad.csv:2 column "price": got'),
    "too-large": (f"btc,{'9' * 49}", 'bad.csv:2 column "price": got'),
    "twice": ("btc,1\nBTC,1", 'bad.csv:3 column "symbol": got "BTC", expected each symbol once'),
    "no-symbol": ("b tc,1", 'bad.csv:2 column "symbol": got "b tc"'),
}


@pytest.mark.negative
@pytest.mark.parametrize(("row", "line"), BAD_ROWS.values(), ids=BAD_ROWS.keys())
def test_bad_quotes_are_not_signed(command: Command, signed: list[Path], tmp_path: Path, row: str, line: str) -> None:
    csv = write(tmp_path / "bad.csv", f"symbol,price\n{row}\n")
    out = tmp_path / "bad.json"
    code, found = command("prices", "sign", csv, "--key", tmp_path / "alpha.pem", "--source", "alpha", "--out", out)
    assert code == 2
    assert found["error"].replace(f"{tmp_path}/", "").startswith(line)
    assert not out.exists()


@pytest.mark.negative
@pytest.mark.parametrize(
    ("option", "value"), [("--source", "al pha"), ("--time", "yesterday"), ("--quote", "US D"), ("--source", "a" * 65)]
)
def test_bad_options_are_named(command: Command, signed: list[Path], tmp_path: Path, option: str, value: str) -> None:
    options = {"--source": "alpha", "--time": TIME, "--quote": "USDT", "--out": str(tmp_path / "x.json")} | {
        option: value
    }
    words = [word for pair in options.items() for word in pair]
    code, found = command("prices", "sign", tmp_path / "alpha.csv", "--key", tmp_path / "alpha.pem", *words)
    assert (code, found["field"]) == (2, option)


@pytest.mark.negative
def test_only_ed25519_keys(command: Command, signed: list[Path], tmp_path: Path) -> None:
    other = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for text in (other, b"", b"secret words"):
        key = write(tmp_path / "other.pem", text)
        words = ("--key", key, "--source", "alpha", "--out", tmp_path / "x.json")
        code, found = command("prices", "sign", tmp_path / "alpha.csv", *words)
        assert code == 2
        assert "an unencrypted Ed25519 private key" in found["error"]
        assert "secret" not in found["error"]
    assert command("prices", "sign", tmp_path / "alpha.csv", "--key", tmp_path / "no", *words[2:])[0] == 2


@pytest.mark.negative
def test_nothing_is_replaced_unasked(command: Command, signed: list[Path], tmp_path: Path) -> None:
    key, quotes = tmp_path / "alpha.pem", signed[0]
    before = key.read_bytes(), quotes.read_bytes()
    assert command("prices", "keygen", "--out", key)[0] == 2
    assert command("prices", "sign", tmp_path / "alpha.csv", "--key", key, "--source", "alpha", "--out", quotes)[0] == 2
    assert command("prices", "assemble", *signed, "--out", quotes)[0] == 2
    assert before == (key.read_bytes(), quotes.read_bytes())


@pytest.mark.negative
def test_assemble_takes_good_quotes_of_listed_sources_only(
    command: Command, signed: list[Path], sources: Path, tmp_path: Path
) -> None:
    out = ("--out", tmp_path / "out.json")
    code, found = command("prices", "assemble", *signed[:2], *out)
    assert (code, "3 to 32 sources" in found["error"]) == (2, True)
    code, found = command("prices", "assemble", *signed, *out, "--age-max", "3601")
    assert (code, found["field"]) == (2, "--age-max")
    forged = write(tmp_path / "forged.json", signed[0].read_bytes().replace(b"65100", b"65200"))
    code, found = command("prices", "assemble", forged, *signed[1:], *out)
    assert (code, "signature" in found["error"]) == (2, True)
    code, found = command("prices", "assemble", signed[0], *signed, *out)
    assert (code, "each once" in found["error"]) == (2, True)
    fewer = write(tmp_path / "fewer.txt", sources.read_text().replace("gamma", "delta"))
    code, found = command("prices", "assemble", *signed, *out, "--sources", fewer)
    assert (code, "a source that" in found["error"]) == (2, True)
    bad = write(tmp_path / "bad.txt", "nonsense\n")
    code, found = command("prices", "assemble", *signed, *out, "--sources", bad)
    assert (code, "sources line 1" in found["error"]) == (2, True)
    assert not (tmp_path / "out.json").exists()


@pytest.mark.negative
def test_check_wants_something_to_check_against(command: Command, prices: Path, snapshot: Path) -> None:
    assert command("prices", "check", prices)[0] == 2
    assert command("prices", "check", prices, "--snapshot", snapshot, "--against", snapshot)[0] == 2
    assert command("prices", "check", snapshot, "--snapshot", snapshot)[0] == 2


@pytest.mark.negative
def test_an_evidence_with_strange_instruments_file(command: Command, prices: Path, tmp_path: Path) -> None:
    csv = write(tmp_path / "strange.csv", "name,value\nbtc,1\n")
    code, found = command("prices", "fill", csv, "--prices", prices, "--out", tmp_path / "out.csv")
    assert (code, "a column symbol and price" in found["error"]) == (2, True)
