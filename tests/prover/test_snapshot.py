"""Snapshots on disk: what is written is what is read, and nothing else is read."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prover.errors import InputError, quoted
from prover.positions import find_overflow
from prover.snapshot import ACCOUNTS_FILE, META_FILE, SCHEMA, Snapshot, seal
from prover.snapshot_meta import SnapshotMeta, SourceFile
from verifier.canonical import dumps
from verifier.instruments import Bucket, Instrument, Tier

SALT = "5a" * 32
META = SnapshotMeta(
    exchange="test",
    sequence=7,
    time="2026-01-02T03:04:05Z",
    ledger_state="00" * 32,
    ledger_salt="00" * 32,
    previous="11" * 32,
    oracle_evidence="22" * 32,
    quote="USDT",
    value_decimals=8,
    instruments=(Instrument("btc", "spot", 8, 65000), Instrument("eth", "spot", 18, 3000)),
    accounts=0,
    entries=0,
    source=(SourceFile("users.csv", "33" * 32),),
)
TOP = 2**63 - 1


def snapshot_of(accounts: list[tuple[str, bytes | None, dict[int, int]]], meta: SnapshotMeta = META) -> Snapshot:
    """From (user id, nonce, amount by leg)."""
    entries = [sorted(each[2].items()) for each in accounts]
    nonces = np.frombuffer(b"".join(nonce or bytes(32) for _, nonce, _ in accounts), np.uint8).reshape(-1, 32)
    names = pa.array([name for name, _, _ in accounts], pa.string())
    half = len(accounts) // 2
    return seal(
        Snapshot(
            meta=meta,
            user_ids=pa.chunked_array([names.slice(0, half), names.slice(half)]),  # chunks must not show
            nonces=nonces,
            has_nonce=np.array([nonce is not None for _, nonce, _ in accounts], bool),
            lines=np.arange(2, 2 + len(accounts), dtype=np.uint32),
            offsets=np.cumsum([0, *map(len, entries)]).astype(np.int64),
            positions=np.array([leg for each in entries for leg, _ in each], np.uint16),
            amounts=np.array([amount for each in entries for _, amount in each], np.uint64),
        ),
        SALT,
    )


THREE = snapshot_of([("a", None, {0: 5, 3: TOP}), ("bé", b"\x07" * 32, {}), ("c d", None, {2: 1})])


def check_same(one: Snapshot, other: Snapshot) -> None:
    assert one.meta == other.meta
    assert one.user_ids.to_pylist() == other.user_ids.to_pylist()
    for name in ("nonces", "has_nonce", "lines", "offsets", "positions", "amounts"):
        left, right = getattr(one, name), getattr(other, name)
        assert left.dtype == right.dtype
        assert np.array_equal(left, right)


ACCOUNTS = st.dictionaries(
    st.text("abcdé", min_size=1, max_size=6),
    st.tuples(
        st.none() | st.binary(min_size=32, max_size=32),
        st.dictionaries(st.integers(0, 3), st.integers(1, TOP), max_size=4),
    ),
    min_size=1,
    max_size=8,
).map(lambda drawn: [(name, nonce, entries) for name, (nonce, entries) in drawn.items()])


@settings(deadline=None)
@given(ACCOUNTS)
def test_written_and_read_back(
    tmp_path_factory: pytest.TempPathFactory, accounts: list[tuple[str, bytes | None, dict[int, int]]]
) -> None:
    path = tmp_path_factory.mktemp("s") / "snap"
    snapshot = snapshot_of(accounts)
    snapshot.write(path)
    check_same(Snapshot.load(path), snapshot)


def test_many_batches(tmp_path: Path) -> None:
    snapshot = snapshot_of([(f"u{i}", bytes([i % 256]) * 32 if i % 3 else None, {i % 4: i + 1}) for i in range(70_000)])
    snapshot.write(tmp_path / "snap")
    loaded = Snapshot.load(tmp_path / "snap")
    check_same(loaded, snapshot)
    assert loaded.find("u69999") == 69_999
    assert loaded.user_id(65_536) == "u65536"


def test_the_ledger_state_by_its_definition() -> None:
    message = b"solvent/ledger-state/v1" + bytes.fromhex(SALT) + struct.pack("<3Q", 3, 3, 2)
    for symbol, decimals in (("btc", 8), ("eth", 18)):
        record = f'{{"buckets":[],"decimals":{decimals},"kind":"spot","margin":[],"symbol":"{symbol}"}}\n'.encode()
        message += struct.pack("<I", len(record)) + record
    names = [b"a", "bé".encode(), b"c d"]
    message += struct.pack("<3I", *map(len, names)) + b"".join(names)
    message += bytes([0, 1, 0]) + bytes(32) + b"\x07" * 32 + bytes(32)
    message += struct.pack("<3H", 2, 0, 1) + struct.pack("<3H", 0, 3, 2) + struct.pack("<3Q", 5, TOP, 1)
    assert THREE.meta.ledger_state == hashlib.sha256(message).hexdigest()


def test_totals() -> None:
    many = snapshot_of([(f"u{i}", None, {0: TOP, 1: 3, 2: TOP - i}) for i in range(9)])
    assert many.totals() == [(9 * TOP, 27), (9 * TOP - 36, 0)]


MARGIN = (Tier(1000, 500), Tier(None, 2500))
RISK = replace(
    META,
    instruments=(
        Instrument("basis", "cost-basis", 2, 10**6),
        Instrument("btc", "spot", 8, 65000, (Bucket("free", ()), Bucket("m", (Tier(None, 9500),))), MARGIN),
        Instrument("btc-perp", "perpetual", 8, 65000, (), MARGIN),
    ),
)
"""Positions: basis 0 1, btc free 2, m 3, short 4, btc-perp 5 6."""


def test_buckets_and_margins_are_kept_and_bound(tmp_path: Path) -> None:
    snapshot = snapshot_of([("a", None, {1: 7, 2: 5, 3: 6, 5: 1}), ("b", None, {0: 1, 4: 2, 6: 1})], RISK)
    snapshot.write(tmp_path / "snap")
    check_same(Snapshot.load(tmp_path / "snap"), snapshot)
    assert snapshot.total_amounts() == [1, 7, 5, 6, 2, 1, 1]
    assert snapshot.totals() == [(1, 7), (11, 2), (1, 1)]
    btc = RISK.instruments[1]
    for other in (replace(btc, margin=()), replace(btc, buckets=(btc.buckets[0], replace(btc.buckets[1], name="n")))):
        instruments = (RISK.instruments[0], other, RISK.instruments[2])
        changed = seal(replace(snapshot, meta=replace(RISK, instruments=instruments)), SALT)
        assert changed.meta.ledger_state != snapshot.meta.ledger_state
    reprised = replace(RISK, instruments=(RISK.instruments[0], replace(btc, price=1), RISK.instruments[2]))
    assert seal(replace(snapshot, meta=reprised), SALT).meta.ledger_state == snapshot.meta.ledger_state


@pytest.mark.negative
def test_a_health_of_2_to_the_112_value_units_is_refused() -> None:
    price = 2**54 - 1
    table = (Instrument("a", "spot", 8, price, (Bucket("all", (Tier(None, 10_000),)),), (Tier(None, 10_000),)),)
    offsets = np.array([0, 2], np.int64)
    # Equity is far below the bound; with a margin of 100 % on the debt health is not.
    positions, amounts = np.array([0, 1], np.uint16), np.array([2**58, 2**58], np.uint64)
    health = 2**58 * price - 2**58 * 2 * price
    assert abs(health) < 2**112
    assert find_overflow(offsets, positions, amounts, table, 8) is None
    amounts = np.array([2**59, 2**59], np.uint64)
    found = find_overflow(offsets, positions, amounts, table, 8)
    assert found == (0, f"an account with a health of {-(2**59) * price} value units")


def test_find() -> None:
    assert THREE.find("c d") == 2
    with pytest.raises(InputError, match='--account: got "zoe", expected the id of an account in the snapshot'):
        THREE.find("zoe")
    with pytest.raises(InputError):
        THREE.find("\ud800")


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    THREE.write(tmp_path / "snap")
    assert (tmp_path / "snap").stat().st_mode & 0o777 == 0o700
    assert sorted(part.name for part in tmp_path.iterdir()) == ["snap"]


def test_overwriting(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "snap"
    THREE.write(path)
    with pytest.raises(InputError, match="got something that exists"):
        THREE.write(path)
    other = snapshot_of([("x", None, {})])
    other.write(path, overwrite=True)
    check_same(Snapshot.load(path), other)


@pytest.mark.negative
def test_nothing_but_a_snapshot_is_overwritten(tmp_path: Path) -> None:
    THREE.write(tmp_path / "snap")
    (tmp_path / "link").symlink_to(tmp_path / "snap")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    THREE.write(tmp_path / "more")
    (tmp_path / "more" / "notes.txt").write_text("mine")
    for name in ("link", "file", "folder", "more"):
        with pytest.raises(InputError, match="got something that exists"):
            THREE.write(tmp_path / name, overwrite=True)
    assert (tmp_path / "file").read_text() == "mine"
    assert (tmp_path / "more" / "notes.txt").read_text() == "mine"


@pytest.mark.negative
def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    THREE.write(tmp_path / "snap")
    for error in (OSError(28, "No space left on device"), KeyboardInterrupt()):

        def fail(*_: object, error: BaseException = error) -> None:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(SnapshotMeta, "to_bytes", fail)
            with pytest.raises(InputError if isinstance(error, OSError) else KeyboardInterrupt):
                THREE.write(tmp_path / "other")
        assert [part.name for part in tmp_path.iterdir()] == ["snap"]


def saved(tmp_path: Path) -> Path:
    THREE.write(tmp_path / "snap")
    return tmp_path / "snap"


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        Snapshot.load(path)
    return str(caught.value).replace(f"{path.parent}/", "")


ROW = {"symbol": "a", "kind": "spot", "decimals": 8, "price": "1", "buckets": [], "margin": []}
CHANGES: dict[str, tuple[Any, str]] = {
    "format": ({"format": "solvent/snapshot/v2"}, "unknown-version: snapshot.format"),
    "extra-key": ({"x": 1}, "malformed: snapshot: unknown key 'x'"),
    "sequence": ({"sequence": -1}, "snapshot.sequence: expected an integer from 0"),
    "sequence-type": ({"sequence": True}, "snapshot.sequence: expected an integer from 0"),
    "time": ({"time": "2026-13-01T00:00:00Z"}, "snapshot.time: expected a UTC time"),
    "hex": ({"previous": "AB" * 32}, "snapshot.previous: expected 64 lower-case hex digits"),
    "order": (
        {"instruments": json.loads(META.to_bytes())["instruments"][::-1]},
        "snapshot.instruments: expected symbols in strictly increasing order",
    ),
    "no-instruments": ({"instruments": []}, "snapshot.instruments: expected at least one"),
    "price": (
        {"instruments": [ROW | {"price": str(2**54)}]},
        "snapshot.instruments[0].price: expected from 0 to",
    ),
    "cost-basis": (
        {"instruments": [ROW | {"kind": "cost-basis", "price": "2"}]},
        "snapshot.instruments[0].price: expected 10^0, one unit of the quote currency per unit",
    ),
    "no-buckets": (
        {"instruments": [ROW, ROW | {"symbol": "b", "kind": "perpetual"}]},
        "snapshot.instruments[0].buckets: expected 1 to 8 buckets",
    ),
    "margin": ({"instruments": [ROW | {"margin": [{"to": None, "ratio": 1}]}]}, "expected no margin here"),
    "kind": (
        {"instruments": [ROW | {"kind": "x"}]},
        "snapshot.instruments[0].kind: expected 'spot' or",
    ),
}


@pytest.mark.negative
@pytest.mark.parametrize(("change", "line"), CHANGES.values(), ids=CHANGES.keys())
def test_a_bad_snapshot_json_is_refused(tmp_path: Path, change: dict[str, Any], line: str) -> None:
    path = saved(tmp_path)
    meta = json.loads((path / META_FILE).read_bytes())
    (path / META_FILE).write_bytes(dumps(meta | change))
    found = refusal(path)
    assert found.startswith("snap/snapshot.json: got ")
    assert line in found


@pytest.mark.negative
def test_another_spelling_of_snapshot_json_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path)
    text = (path / META_FILE).read_text()
    for other in (
        text + " ",
        text.replace(":", ": ", 1),
        text.replace("{", '{"format":"x",', 1),
        text[:-1],
        "",
        "[]\n",
    ):
        (path / META_FILE).write_text(other)
        assert refusal(path).startswith("snap/snapshot.json: got ")


def rewritten(path: Path, table: pa.Table) -> Path:
    (path / ACCOUNTS_FILE).unlink()
    with pa.ipc.new_file(path / ACCOUNTS_FILE, table.schema) as writer:
        writer.write_table(table)
    return path


def table_of(**columns: object) -> pa.Table:
    honest = {
        "user_id": ["a", "bé", "c d"],
        "nonce": [None, b"\x07" * 32, None],
        "line": [2, 3, 4],
        "positions": [[0, 3], [], [2]],
        "amounts": [[5, TOP], [], [1]],
    }
    return pa.table([pa.array((honest | columns)[field.name], field.type) for field in SCHEMA], schema=SCHEMA)


TABLES: dict[str, tuple[dict[str, object], str]] = {
    "order": (
        {"positions": [[3, 0], [], [2]]},
        ':1 column "positions": expected strictly increasing positions within an account',
    ),
    "twice": (
        {"positions": [[3, 3], [], [2]]},
        ':1 column "positions": expected strictly increasing positions within an account',
    ),
    "leg": ({"positions": [[0, 3], [], [4]]}, ':3 column "positions": expected positions of the instrument table'),
    "zero": ({"amounts": [[5, 0], [], [1]]}, ':1 column "amounts": expected amounts of 1 to 2^63 - 1 atoms'),
    "63-bits": ({"amounts": [[5, TOP], [], [TOP + 1]]}, ':3 column "amounts": expected amounts of 1 to 2^63 - 1 atoms'),
    "lengths": ({"amounts": [[5], [1], [1]]}, ':1 column "amounts": expected as many amounts as positions'),
    "same-id": ({"user_id": ["a", "b", "a"]}, ' column "user_id": expected every id once'),
    "bad-id": ({"user_id": ["a", "b\n", "c"]}, ':2 column "user_id": got "b\\n", expected 1 to 128 bytes'),
    "content": ({"amounts": [[6, TOP], [], [1]]}, ": got other content, expected the ledger state in snapshot.json"),
    "nonce": ({"nonce": [None, b"\x08" * 32, None]}, ": got other content, expected the ledger state in snapshot.json"),
}


@pytest.mark.negative
@pytest.mark.parametrize(("columns", "line"), TABLES.values(), ids=TABLES.keys())
def test_bad_accounts_are_refused(tmp_path: Path, columns: dict[str, object], line: str) -> None:
    found = refusal(rewritten(saved(tmp_path), table_of(**columns)))
    assert found.startswith("snap/accounts.arrow" + line)


@pytest.mark.negative
@pytest.mark.parametrize(("columns", "line"), TABLES.values(), ids=TABLES.keys())
def test_the_size_of_blocks_changes_no_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: dict[str, object], line: str
) -> None:
    monkeypatch.setattr("prover.positions.BLOCK_ENTRIES", 1)
    assert refusal(rewritten(saved(tmp_path), table_of(**columns))).startswith("snap/accounts.arrow" + line)


def test_overflows_are_found_in_every_block(monkeypatch: pytest.MonkeyPatch) -> None:
    table = (Instrument("a", "spot", 8, 2**54 - 1),)
    offsets, positions = np.arange(4, dtype=np.int64), np.zeros(3, np.uint16)
    for block in (1, 2, 1 << 20):
        monkeypatch.setattr("prover.positions.BLOCK_ENTRIES", block)
        found = find_overflow(offsets, positions, np.array([1, 1, 2**59], np.uint64), table, 8)
        assert found == (2, f"an account worth {2**59 * (2**54 - 1)} value units")
        found = find_overflow(offsets, positions, np.full(3, 2**57, np.uint64), table, 8)
        assert found == (None, f"a total liability of {3 * 2**57 * (2**54 - 1)} value units")


def test_the_helper_above_writes_honest_tables(tmp_path: Path) -> None:
    check_same(Snapshot.load(rewritten(saved(tmp_path), table_of())), THREE)


@pytest.mark.negative
def test_other_shapes_of_the_accounts_file_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path)
    whole = (path / ACCOUNTS_FILE).read_bytes()
    table = table_of()
    assert "expected 3 accounts with 3 entries" in refusal(rewritten(path, table.slice(0, 2)))
    assert refusal(rewritten(path, table.drop_columns(["line"]))).startswith("snap/accounts.arrow: got ['user_id'")
    nullable = pa.schema([field.with_nullable(True) for field in SCHEMA])
    assert "typed" in refusal(rewritten(path, table.cast(nullable)))
    for bad in (b"", b"ARROW1", whole[:-100], whole[: len(whole) // 2]):
        (path / ACCOUNTS_FILE).unlink()
        (path / ACCOUNTS_FILE).write_bytes(bad)
        assert refusal(path).startswith("snap/accounts.arrow: got ")
    (path / ACCOUNTS_FILE).unlink()
    assert refusal(path) == "snap: got no accounts.arrow, expected a snapshot directory"


@pytest.mark.negative
def test_damaged_accounts_never_pass(tmp_path: Path) -> None:
    """Any byte changed: refused with our error, or the byte was padding and the content is the same."""
    path = saved(tmp_path)
    whole = (path / ACCOUNTS_FILE).read_bytes()
    refused = 0
    for position in range(0, len(whole), 7):
        (path / ACCOUNTS_FILE).unlink()
        (path / ACCOUNTS_FILE).write_bytes(whole[:position] + bytes([whole[position] ^ 0x41]) + whole[position + 1 :])
        try:
            loaded = Snapshot.load(path)
        except InputError:
            refused += 1
        else:
            check_same(replace(loaded, lines=THREE.lines), THREE)  # lines only serve messages
    assert refused > 50


ENTRIES = st.lists(st.dictionaries(st.integers(0, 3), st.integers(1, TOP), max_size=4), min_size=1, max_size=5)


@given(ENTRIES, st.integers(0, 2**54 - 1), st.integers(0, 2**54 - 1))
def test_overflow_is_found_exactly(accounts: list[dict[int, int]], price: int, other: int) -> None:
    instruments = (Instrument("a", "spot", 0, price), Instrument("b", "spot", 0, other))
    coefficients = (price, -price, other, -other)
    equities = [sum(coefficients[leg] * amount for leg, amount in each.items()) for each in accounts]
    entries = [sorted(each.items()) for each in accounts]
    found = find_overflow(
        np.cumsum([0, *map(len, entries)]).astype(np.int64),
        np.array([leg for each in entries for leg, _ in each], np.uint16),
        np.array([amount for each in entries for _, amount in each], np.uint64),
        instruments,
        8,
    )
    limit = 2**112
    bad = [index for index, equity in enumerate(equities) if abs(equity) >= limit]
    if bad:
        assert found == (bad[0], f"an account worth {equities[bad[0]]} value units")
    elif sum(e for e in equities if e > 0) >= limit or -sum(e for e in equities if e < 0) >= limit:
        assert found is not None
        assert found[0] is None
    else:
        assert found is None


def test_the_line_of_an_input_error() -> None:
    error = InputError(file="a.csv", row=3, field="e_btc", got="1e5", expected="a number")
    assert str(error) == 'a.csv:3 column "e_btc": got "1e5", expected a number'
    assert str(InputError(field="--time", got="x", expected="y")) == '--time: got "x", expected y'
    assert str(InputError(got="two words", expected="y")) == "got two words, expected y"
    assert quoted("\x1b[31m\u202e\n") == '"\\u001b[31m\\u202e\\n"'
    assert len(quoted("x" * 1000)) <= 82
