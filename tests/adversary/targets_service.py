"""Readers outside the verifier that take bytes from outside: quorum files, importers, bodies of requests."""

from __future__ import annotations

import atexit
import io
import shutil
import tempfile
import urllib.request
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from pydantic import BaseModel, ValidationError

from api.importers.bars import read_markets
from api.importers.binance import Invalid, import_binance
from api.importers.depth import read_depth
from api.importers.okx import import_okx
from api.importers.scenarios import read_scenarios
from api.importers.table import import_table
from api.quorum import (
    Certificate,
    State,
    Validator,
    Validators,
    Vote,
    parse_certificate,
    parse_registration,
    parse_validators,
    parse_vote,
)
from api.reserves.evidence import check_again
from api.reserves.files import read_addresses, read_amounts, read_rows
from api.witness import Refused, Witness
from api.witnesses import add_checkpoint_body
from api.writing import Listing, User, Users
from prover.errors import InputError
from tests.adversary import seeds
from tests.adversary.targets import TARGETS, Check, Target, first, same
from tests.api.files import ASSETS, INSTRUMENTS, binance_row, binance_users, options, write
from tests.api.reserves.signed import csv_text, rows
from tests.api.reserves.test_evidence import evidence
from tests.api.reserves.test_nodes import BITCOIN, Fake, source, wanted
from tests.verifier.log.signers import LOG_VKEY, key_of, root, signed
from verifier.errors import VerificationError
from verifier.log.tiles import Tiles

_ROOT = Path(__file__).resolve().parents[2]
_EXAMPLE = _ROOT / "data" / "margin-example"
_SCENARIOS = (_EXAMPLE / "scenarios.json", _ROOT / "data" / "scenarios" / "default.json")
_OKX = b'[{"id":"a","assets":{"BTC":"5","USDT":"-9223372036854775807"}},\n {"id":"b","assets":{"BTC":"0"}}]\n'
_DEPTH = b"timestamp,percentage,depth,notional\n" + b"".join(
    b"2025-10-10 21:15:00,%d.00,1,%d.5\n" % (percent, 100 * percent) for percent in range(1, 6)
)
_BARS = (
    b"open_time_s,open,high,low,close,volume\n1583366400,8755,8760,8750,8751,1\n1583370000,8751,8752,8700,8701.5,2\n"
)


@cache
def folder() -> Path:
    """Where files are written that importers read; gone when the process ends."""
    made = Path(tempfile.mkdtemp(prefix="adversary-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def _file(name: str, use: Callable[[Path], object]) -> Check:
    """The input as a file of this name."""
    return lambda data: use(write(folder() / name, data))


def _quorum(data: bytes) -> object:
    """All four kinds of files; nothing is verified, which takes a second."""

    def again(parse: Callable[[bytes], Any]) -> Check:
        return lambda data: same(data, parse(data).to_bytes())

    return first(data, *map(again, (parse_certificate, parse_vote, parse_validators, parse_registration)))


def _honest_quorum() -> list[bytes]:
    state = State.of(seeds.full().statement)
    keys = [bytes([i]) * 48 for i in (1, 2, 3)]
    members = [Validator(f"validator-{i}", key, bytes(96)) for i, key in enumerate(keys)]
    made = Certificate(state, tuple(keys), bytes(96)), Vote(state, keys[0], bytes(96)), Validators(2, tuple(members))
    return [*(one.to_bytes() for one in made), members[0].to_bytes()]


def _body(data: bytes) -> object:
    """What the write side makes of a body, whoever sends it."""
    models: tuple[type[BaseModel], ...] = (Listing, Users, User)
    for model in models[:-1]:
        try:
            return model.model_validate_json(data)
        except ValidationError:
            continue
    return models[-1].model_validate_json(data)


@cache
def _witness() -> Witness:
    return Witness(f"sqlite:///{folder()}/w.db", "w", key_of("w"), (LOG_VKEY,), create=True, clock=lambda: 1.8e9)


def _honest_requests() -> list[bytes]:
    """Of a first checkpoint, and of one that could follow."""
    return [add_checkpoint_body(0, Tiles(lambda _: b"", 0), signed(1, root("one"))), b"old 1\n" + b"A" * 43 + b"=\n\n"]


def _listed(path: Path) -> object:
    """A list of addresses, read for each purpose."""
    found: list[object] = []
    for read in (read_rows, read_amounts, read_addresses):
        try:
            found.append(read(path))
        except InputError:
            continue
    return found or read_rows(path)


def _node_answer(data: bytes) -> object:
    """What a node of Bitcoin says that it holds, if all else that it says is right."""

    def answer(request: urllib.request.Request, timeout: float) -> io.BytesIO:
        asked = bytes(request.data or b"")  # type: ignore[arg-type]
        return io.BytesIO(data if b"scantxoutset" in asked else Fake().reply(asked))

    with patch("urllib.request.urlopen", answer):
        return source("http://node.example").balances(BITCOIN, wanted("BTC"))


def _honest_answer() -> list[bytes]:
    return [Fake().reply(b'{"method":"scantxoutset","params":[]}')]


def _users_file(path: Path) -> object:
    assets = write(folder() / "assets.csv", ASSETS)
    return import_binance([path], assets, options(), invalid=Invalid.KEEP)


def _assets_file(path: Path) -> object:
    users = write(folder() / "users.csv", binance_users(binance_row(1, "u1", e_btc="1.5", btc="1.5")))
    return import_binance([users], path, options(), invalid=Invalid.KEEP)


def _accounts_file(path: Path) -> object:
    return import_table(path, _EXAMPLE / "instruments.json", options())


def _instruments_file(path: Path) -> object:
    accounts = write(folder() / "accounts.csv", "user_id,asset,side,amount\na,btc,long,1\nb,usd,short,2\n")
    return import_table(accounts, path, options())


def _instruments_json(path: Path) -> object:
    return import_table(_EXAMPLE / "accounts.csv", path, options())


def _nonces_file(path: Path) -> object:
    accounts = write(folder() / "named.csv", "user_id,asset,side,amount\na,btc,long,1\nb,usd,long,2\n")
    return import_table(accounts, write(folder() / "table.csv", INSTRUMENTS), options(nonces=path))


def _scenarios_file(path: Path) -> object:
    return read_scenarios(path, seeds.full(True).statement.instruments, 6, "usdt")


def _imported(name: str, use: Callable[[Path], object], *honest: bytes, bytes_max: int = 4096) -> Target:
    return Target(_file(name, use), lambda: honest, (InputError,), bytes_max=bytes_max)


SERVICE_TARGETS: Mapping[str, Target] = {
    "quorum": Target(_quorum, _honest_quorum),
    "reserves_check": Target(check_again, lambda: [evidence()]),
    "node_answer": Target(_node_answer, _honest_answer, (InputError,)),
    "write_body": Target(
        _body,
        lambda: [
            b'{"files":[{"name":"statement.json","sha256":"%b"}]}' % (b"0" * 64),
            b'{"users":["a"]}',
            b'{"user_id":"a"}',
        ],
        (ValidationError,),
    ),
    "witness_request": Target(
        lambda data: _witness().add_checkpoint(data), _honest_requests, (Refused, VerificationError), bytes_max=4096
    ),
    "binance_users": _imported(
        "u.csv", _users_file, binance_users(binance_row(1, "u1", e_btc="1.5", btc="1.5"), binance_row(2, "u2")).encode()
    ),
    "binance_assets": _imported("a.csv", _assets_file, ASSETS.encode()),
    "table_accounts": _imported("t.csv", _accounts_file, (_EXAMPLE / "accounts.csv").read_bytes()),
    "table_instruments": _imported("i.csv", _instruments_file, INSTRUMENTS.encode()),
    "table_json": _imported("i.json", _instruments_json, (_EXAMPLE / "instruments.json").read_bytes()),
    "nonces": _imported("n.csv", _nonces_file, b"user_id,nonce\na,%b\n" % (b"ab" * 32)),
    "okx_users": _imported("o.json", lambda path: import_okx([path], None, options()), _OKX),
    "okx_prices": _imported(
        "p.csv",
        lambda path: import_okx([write(folder() / "okx.json", _OKX)], path, options()),
        b"symbol,decimals,price\nBTC,8,65000.5\nUSDT,6,1\n",
    ),
    "scenarios": _imported("s.json", _scenarios_file, *(path.read_bytes() for path in _SCENARIOS)),
    "reserves_list": _imported("r.csv", _listed, csv_text(rows()).encode()),
    "depth": _imported("d.csv", read_depth, _DEPTH),
    "bars": _imported("BTCUSD_1h.csv", lambda path: read_markets([path]), _BARS),
}
"""By name. Importers have a kind of error of their own, as have the bodies of requests."""
ALL: Mapping[str, Target] = {**TARGETS, **SERVICE_TARGETS}
