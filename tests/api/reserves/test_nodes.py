"""Balances from nodes: a fake one on 127.0.0.1 answers, and whatever does not fit the challenge is refused."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from api.reserves.balances import FileBalances
from api.reserves.files import Row, parse_units, shown_units
from api.reserves.networks import Address
from api.reserves.nodes import NodeBalances, Token
from api.reserves.results import Status
from api.reserves.verify import verify_rows
from prover.errors import InputError
from tests.api.files import write
from tests.api.publishing.babbler import NO_HTTP, babbling
from tests.api.reserves.signed import BLOCKS, KINDS, bitcoin_address, challenges, decoded, ethereum_address, rows

BITCOIN, ETHEREUM, SOLANA = BLOCKS
SCRIPTS = {kind: decoded("BTC", bitcoin_address(kind)).key.hex() for kind in KINDS}
AMOUNTS = {"p2pkh": "0.25", "p2sh-p2wpkh": "1.5", "p2wpkh": "1.5", "p2tr": "1.50000000"}
HUGE = ("1E999999999", "-1e-999999999", "0e999999999")
"""Amounts that would be a gigabyte long if they were written out."""
BEYOND = "1E99999999999999999999"
WEI = 3_058959708849230328
TOKEN = Token(bytes.fromhex("dac17f958d2ee523a2206206994597c13d831ec7"), 6)
Answer = Callable[[Any], Any]


class Fake:
    """A node: answers by method, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[Any]]] = []
        self.authorization = ""
        self.raw: bytes | None = None
        outputs = [
            # One satoshi by itself: JSON readers that go through doubles would print 1e-08.
            {"scriptPubKey": SCRIPTS["p2wpkh"], "amount": "0.00000001"},
            {"scriptPubKey": SCRIPTS["p2wpkh"], "amount": "1.49999999"},
            *({"scriptPubKey": SCRIPTS[k], "amount": AMOUNTS[k]} for k in KINDS if k != "p2wpkh"),
        ]
        self.answers: dict[str, Answer] = {
            "getblockhash": lambda p: BITCOIN.hash if p == [BITCOIN.height] else None,
            "scantxoutset": lambda p: {"bestblock": BITCOIN.hash, "unspents": outputs},
            "eth_chainId": lambda p: "0x1",
            "eth_getBlockByHash": lambda p: {"number": hex(ETHEREUM.height)} if p[0] == "0x" + ETHEREUM.hash else None,
            "eth_getBalance": lambda p: hex(WEI),
            "eth_call": lambda p: f"0x{1_000_000 * 10**6:064x}",  # a whole word
        }

    def reply(self, body: bytes) -> bytes:
        request = json.loads(body)
        self.asked.append((request["method"], request["params"]))
        answer = self.answers.get(request["method"])
        if answer is None:
            return b'{"id":1,"error":{"code":-32601,"message":"Method not found"},"result":null}'
        result = json.dumps(answer(request["params"]))
        for text in {"0.00000001", "1.49999999", BEYOND, *HUGE, *AMOUNTS.values()}:
            result = result.replace(f'"{text}"', text)  # numbers, as Bitcoin Core writes them
        return f'{{"id":1,"error":null,"result":{result}}}'.encode()


@pytest.fixture
def fake() -> Iterator[tuple[Fake, str]]:
    node = Fake()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            node.authorization = self.headers.get("Authorization", "")
            data = node.raw if node.raw is not None else node.reply(body)
            self.send_response(200 if data != b"500" else 500)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield node, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def source(url: str, *, token: bool = True) -> NodeBalances:
    tokens = {("USDT", "ETH"): TOKEN} if token else {}
    return NodeBalances({"BTC": url, "ETH": url}, tokens)


def wanted(network: str) -> list[tuple[Row, Address]]:
    return [(row, decoded(network, row.address)) for row in rows() if row.network.name == network]


def test_balances_of_a_block(fake: tuple[Fake, str]) -> None:
    node, url = fake
    report = verify_rows(rows(), challenges(), source(url))
    statuses = [result.outcome.status for result in report.results]
    assert statuses == [Status.VERIFIED] * 6 + [Status.INCONCLUSIVE]  # no node of Solana was given
    assert report.source == "node"
    assert "SOL" not in report.totals
    at = {"blockHash": "0x" + ETHEREUM.hash, "requireCanonical": True}
    account = ethereum_address().lower()
    assert ("eth_getBalance", [account, at]) in node.asked
    call = {"to": "0x" + TOKEN.contract.hex(), "data": "0x70a08231" + "0" * 24 + account[2:]}
    assert ("eth_call", [call, at]) in node.asked
    scans = [params for method, params in node.asked if method == "scantxoutset"]
    assert scans == [["start", [{"desc": f"raw({SCRIPTS[k]})"} for k in (*KINDS[1:], "p2pkh")]]]  # one for all


def test_a_node_that_disagrees_decides(fake: tuple[Fake, str]) -> None:
    node, url = fake
    node.answers["eth_getBalance"] = lambda p: hex(WEI - 1)
    report = verify_rows(rows(), challenges(), source(url))
    (result,) = report.of(Status.FAILED)
    assert result.outcome.reason == (
        "signed, but the balance is 3.058959708849230328, expected 3.058959708849230327 as the node has it"
    )
    assert "ETH" not in report.totals


def test_a_token_without_a_contract_is_not_known(fake: tuple[Fake, str]) -> None:
    report = verify_rows(rows(), challenges(), source(fake[1], token=False))
    assert [r.row.asset for r in report.of(Status.INCONCLUSIVE)] == ["USDT", "SOL"]
    assert "does not know it" in report.of(Status.INCONCLUSIVE)[0].outcome.reason


def holding(amount: str) -> Answer:
    """An output of one of the scripts that were asked for."""
    return lambda p: {"bestblock": BITCOIN.hash, "unspents": [{"scriptPubKey": SCRIPTS["p2tr"], "amount": amount}]}


CHANGED: dict[str, tuple[str, str, Answer, str]] = {
    "another fork, Bitcoin": ("BTC", "getblockhash", lambda p: "11" * 32, "as the block's hash"),
    "another tip": ("BTC", "scantxoutset", lambda p: {"bestblock": "11" * 32, "unspents": []}, "as its tip"),
    "an output of somebody else": (
        "BTC",
        "scantxoutset",
        lambda p: {"bestblock": BITCOIN.hash, "unspents": [{"scriptPubKey": "6a", "amount": 1}]},
        "an output that was not asked for",
    ),
    "an output without an amount": (
        "BTC",
        "scantxoutset",
        holding("1"),
        "or without an amount",
    ),
    "an output whose script is a list": (
        "BTC",
        "scantxoutset",
        lambda p: {"bestblock": BITCOIN.hash, "unspents": [{"scriptPubKey": ["6a"], "amount": 1}]},
        "an output that was not asked for",
    ),
    **{f"an amount of {text}": ("BTC", "scantxoutset", holding(text), "or without an amount") for text in HUGE},
    "an exponent that no library reads": ("BTC", "scantxoutset", holding(BEYOND), "no JSON to scantxoutset"),
    "no list of outputs": ("BTC", "scantxoutset", lambda p: {"bestblock": BITCOIN.hash}, "what scantxoutset returns"),
    "no outputs": ("BTC", "scantxoutset", lambda p: True, "expected what scantxoutset returns"),
    "another chain": ("ETH", "eth_chainId", lambda p: "0x38", "56 as its chain id"),
    "no such block": ("ETH", "eth_getBlockByHash", lambda p: None, "None as the block's height"),
    "another height": ("ETH", "eth_getBlockByHash", lambda p: {"number": "0x1"}, "0x1 as the block's height"),
    "no number": ("ETH", "eth_getBalance", lambda p: 5, "expected a number in hex"),
    "no prefix": ("ETH", "eth_getBalance", lambda p: hex(WEI)[2:], "expected a number in hex"),
    "a long number": ("ETH", "eth_getBalance", lambda p: f"0x{WEI:065x}", "expected a number in hex"),
    "no hex": ("ETH", "eth_getBalance", lambda p: "0xzz", "expected a number in hex"),
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_node_that_does_not_fit_is_refused(name: str, fake: tuple[Fake, str]) -> None:
    network, method, answer, message = CHANGED[name]
    fake[0].answers[method] = answer
    block = next(b for b in BLOCKS if b.network.name == network)
    with pytest.raises(InputError) as caught:
        source(fake[1]).balances(block, wanted(network))
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"the node of {network} at 127.0.0.1:")


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b"null", b"500", b'{"error":{"code":1},"result":1}', b"<html>"])
def test_what_is_no_answer_is_refused(raw: bytes, fake: tuple[Fake, str]) -> None:
    fake[0].raw = raw
    with pytest.raises(InputError, match=r"the node of BTC at .* to getblockhash, expected a"):
        source(fake[1]).balances(BITCOIN, wanted("BTC"))


def test_no_depth_of_nesting_crashes(fake: tuple[Fake, str], any_depth: None) -> None:
    fake[0].raw = b'{"result":' + b"[" * 200_000
    with pytest.raises(InputError, match="no JSON to getblockhash, expected a result"):
        source(fake[1]).balances(BITCOIN, wanted("BTC"))


@pytest.mark.parametrize("raw", NO_HTTP)
def test_what_is_no_http_is_refused(raw: bytes) -> None:
    with babbling(raw) as url, pytest.raises(InputError, match="the node of BTC at"):
        source(url).balances(BITCOIN, wanted("BTC"))


def test_a_password_is_sent_and_not_shown(fake: tuple[Fake, str]) -> None:
    node, url = fake
    secret = url.replace("http://", "http://user:p%40ss@")
    source(secret).balances(BITCOIN, wanted("BTC"))
    assert node.authorization == "Basic " + base64.b64encode(b"user:p@ss").decode()
    node.raw = b"500"
    with pytest.raises(InputError) as caught:
        source(secret).balances(BITCOIN, wanted("BTC"))
    assert "p%40ss" not in str(caught.value)
    assert "p@ss" not in str(caught.value)


def test_nobody_there_and_no_url() -> None:
    with pytest.raises(InputError, match="expected an answer"):
        source("http://127.0.0.1:9").balances(BITCOIN, wanted("BTC"))
    with pytest.raises(InputError, match="expected an answer"):
        source("http://" + "a" * 64).balances(BITCOIN, wanted("BTC"))  # no name of a host
    for url in ("ftp://127.0.0.1", "127.0.0.1:8332", "http://", "file:///etc/passwd", "http://[::1", "http://a:b"):
        with pytest.raises(InputError, match="with http or https"):
            source(url).balances(BITCOIN, wanted("BTC"))


def test_a_node_is_not_asked_about_nothing() -> None:
    report = verify_rows(rows()[-1:], challenges(), source("http://127.0.0.1:9"))  # an address of Solana
    assert len(report.of(Status.INCONCLUSIVE)) == 1


def test_networks_of_another_kind_have_no_node(fake: tuple[Fake, str]) -> None:
    with pytest.raises(InputError, match="a network of Bitcoin's or Ethereum's kind"):
        NodeBalances({"SOL": fake[1]}).balances(SOLANA, wanted("SOL"))


def test_a_file_as_source(tmp_path: Path) -> None:
    lines = ["coin,network,height,address,amount"]
    lines += [f"{r.asset},{r.network.name},{r.height},{r.address},{shown_units(r.amount)}" for r in rows()[:-1]]
    path = write(tmp_path / "seen.csv", "\n".join(lines) + "\n")
    report = verify_rows(rows(), challenges(), FileBalances(path))
    assert [result.outcome.status for result in report.results] == [Status.VERIFIED] * 6 + [Status.INCONCLUSIVE]
    less = write(tmp_path / "less.csv", path.read_text().replace(",0.25", ",0.24"))
    (result,) = verify_rows(rows(), challenges(), FileBalances(less)).of(Status.FAILED)
    assert "expected 0.24 as the file has it" in result.outcome.reason
    old = write(tmp_path / "old.csv", path.read_text().replace("870000", "869999"))
    with pytest.raises(InputError, match="got height 869999"):
        verify_rows(rows(), challenges(), FileBalances(old))
    assert parse_units("0.24") != rows()[3].amount
