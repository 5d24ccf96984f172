"""Bundles in bulk: byte for byte those made one by one, found by user id, and nothing taken that is damaged."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from prover import bundle_writer
from prover.bundle_store import INDEX_FILE, KEY_FILE, META_FILE, SLOT, BundleStore, home_slot, segment_name
from prover.bundle_writer import bundle_constants, escaped, hash_table, write_store
from prover.bundles import make_bundle
from prover.errors import InputError
from prover.kernels.text import Runs
from prover.private import PrivateStore
from tests.prover.test_fund_bundle import store as private_store
from tests.verifier.small_tree import Builder, Publication, edited, make_accounts, publication, risk_publication
from verifier.errors import Reason, VerificationError
from verifier.statement import parse_statement

NAMES = ("plain", 'a "quoted" one', "back\\slash", "zoë", "日本", "🙂 smile", "tilde ~", "x" * 200, "0")


@cache
def named_publication() -> Publication:
    """Seventy accounts, which are three levels of the tree, with names that JSON has to escape."""
    source = random.Random(5)
    accounts = [
        replace(account, user_id=NAMES[i] if i < len(NAMES) else account.user_id, entries=held(account.entries))
        for i, account in enumerate(make_accounts(70, source))
    ]
    return Builder(source).build(accounts)


def held(entries: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """The same amounts, none of them owed."""
    return tuple({leg & ~1: amount for leg, amount in entries}.items())


def published(small: Publication, folder: Path) -> tuple[Path, Path]:
    """A publication's statement and its private store in `folder`."""
    public, private = folder / "out", folder / "out.private"
    for each in (public, private):
        each.mkdir()
    (public / "statement.json").write_bytes(small.statement.to_bytes())
    private_store(small, private)
    return public, private


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several segments for a few accounts."""
    monkeypatch.setattr(bundle_writer, "SEGMENT_BYTES", 34_000)


@pytest.mark.parametrize("make", [publication, risk_publication, named_publication])
@pytest.mark.usefixtures("small_segments")
def test_every_bundle_is_the_one_made_alone(make: Callable[[], Publication], tmp_path: Path) -> None:
    small = make()
    public, private = published(small, tmp_path)
    progress: list[tuple[str, float]] = []
    meta = write_store(public, private, tmp_path / "store", progress=lambda *at: progress.append(at))
    assert (meta.users, meta.statement) == (len(small.accounts), small.statement.digest.hex())
    assert len(meta.segments) == {11: 2, 4: 1, 70: 9}[meta.users]
    assert [fraction for _, fraction in progress] == sorted(fraction for _, fraction in progress)
    assert (progress[0], progress[-1]) == (("bundles", 0.0), ("bundles", 1.0))
    store = BundleStore.open(tmp_path / "store")
    store.check()
    for index, account in enumerate(small.accounts):
        data = store.get(account.user_id)
        assert data == small.bundle(index)
        assert data == make_bundle(public, private, account.user_id)
    for stranger in ("nobody", "", "plain ", "\ud800"):
        assert store.get(stranger) is None
    assert meta.total_bytes == sum(len(small.bundle(index)) for index in range(meta.users))
    assert (tmp_path / "store").stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out.private", "store"]


@pytest.mark.usefixtures("small_segments")
def test_several_trees_fill_one_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under one statement here, which is why the verifier's look is left out: it knows one root."""
    first = publication()
    second = replace(named_publication(), statement=first.statement, shards=first.shards)
    renamed = tuple(replace(account, user_id=f"other {i}") for i, account in enumerate(second.accounts))
    second = replace(second, accounts=renamed)
    public, private = published(first, tmp_path)
    (tmp_path / "more").mkdir()
    stores = [PrivateStore.open(private).shard(0), private_store(second, tmp_path / "more").shard(0)]
    monkeypatch.setattr(bundle_writer, "_stores", lambda *_: (first.statement, stores))
    monkeypatch.setattr(bundle_writer, "CHECKED", 0)
    assert write_store(public, private, tmp_path / "store").users == 81
    store = BundleStore.open(tmp_path / "store")
    for small in (first, second):
        for index, account in enumerate(small.accounts):
            assert store.get(account.user_id) == small.bundle(index)


def test_two_stores_share_no_key(tmp_path: Path) -> None:
    public, private = published(publication(), tmp_path)
    for name in ("one", "two"):
        write_store(public, private, tmp_path / name)
    tables = [np.fromfile(tmp_path / name / INDEX_FILE, SLOT) for name in ("one", "two")]
    keys = [set(table["high"][table["length"] > 0].tolist()) for table in tables]
    assert len(keys[0]) == len(keys[1]) == 11
    assert not keys[0] & keys[1]


def test_the_template_survives_any_name() -> None:
    statement = replace(publication().statement, exchange='"nonce":" "path":[ "entries":[ \\')
    constants, legs = bundle_constants(parse_statement(statement.to_bytes()), publication().place)
    assert constants.part(0) == b'{"blinding":"'
    assert constants.part(3) == b'","path":['
    assert len(legs.offsets) == 1 + len(statement.legs)


def test_escaping() -> None:
    names = ["a", "", "~ !", 'q"', "é"]
    assert [escaped(Runs.of([n.encode()])).part(0) for n in names] == [b"a", b"", b"~ !", b'q\\"', b"\\u00e9"]
    plain = Runs.of([b"a", b"", b"bc"])
    assert escaped(plain) is plain


# -- the hash table -------------------------------------------------------------------------------------------------


def filled(highs: Any) -> Any:
    slots = np.zeros(len(highs), SLOT)
    slots["high"], slots["low"], slots["length"] = highs, np.arange(len(highs)), 1
    return slots


@pytest.mark.parametrize("spread", [1, 64])
def test_every_key_stands_within_reach_of_its_home(spread: int) -> None:
    """With keys as a hash gives them, and with all of them crowded into a 64th of the table."""
    draw = np.random.default_rng(spread)
    highs = (2**64 - 1) - draw.integers(0, 2**64 // spread, 3000, dtype=np.uint64, endpoint=False)
    table, capacity, reach = hash_table(filled(highs))
    assert (capacity, len(table)) == (6000, 6000 + reach + 1)
    for low, high in enumerate(highs):
        home = home_slot(high, capacity)
        run = table[home : home + reach + 1]
        assert low in run["low"][(run["high"] == high) & (run["length"] > 0)]
    assert np.count_nonzero(table["length"]) == 3000
    if spread == 1:
        assert reach < 40  # two pages at most, in fact one


@pytest.mark.negative
def test_one_user_twice_is_refused() -> None:
    slots = filled(np.array([5, 7, 5], np.uint64))
    slots["low"] = 0
    with pytest.raises(InputError, match="one user id on two accounts"):
        hash_table(slots)


# -- where it may stand, and what is left of a failure --------------------------------------------------------------


@pytest.mark.negative
@pytest.mark.parametrize("place", ["out/store", "out", "out.private/store", "."])
def test_a_store_never_stands_in_a_publication(tmp_path: Path, place: str) -> None:
    public, private = published(publication(), tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match="apart from"):
        write_store(public, private, tmp_path / place)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.negative
def test_force_replaces_a_store_and_nothing_else(tmp_path: Path) -> None:
    public, private = published(publication(), tmp_path)
    store, other = tmp_path / "store", tmp_path / "other"
    first = write_store(public, private, store)
    with pytest.raises(InputError, match="--force"):
        write_store(public, private, store)
    assert write_store(public, private, store, force=True).index != first.index
    other.mkdir()
    (other / "mine").touch()
    with pytest.raises(InputError, match="replaces no other"):
        write_store(public, private, other, force=True)


@pytest.mark.negative
def test_the_stores_of_two_publications_do_not_mix(tmp_path: Path) -> None:
    public, _ = published(publication(), tmp_path)
    (tmp_path / "second").mkdir()
    _, private = published(named_publication(), tmp_path / "second")
    with pytest.raises(InputError, match="another publication"):
        write_store(public, private, tmp_path / "store")


@pytest.mark.negative
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("name", [segment_name(1), INDEX_FILE, META_FILE])
@pytest.mark.usefixtures("small_segments")
def test_nothing_is_left_of_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, name: str
) -> None:
    public, private = published(publication(), tmp_path)
    write = bundle_writer.write_synced

    def failing(path: Path, data: bytes) -> None:
        if str(path).endswith(name):
            raise error
        write(path, data)

    monkeypatch.setattr(bundle_writer, "write_synced", failing)
    with pytest.raises(type(error)):
        write_store(public, private, tmp_path / "store")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out.private"]


@pytest.mark.negative
def test_a_full_disk_is_reported_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    public, private = published(publication(), tmp_path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*/segments/000000'"):
        write_store(public, private, tmp_path / "store")
    assert not (tmp_path / "store").exists()


@pytest.mark.negative
def test_a_disk_too_small_is_named_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    public, private = published(publication(), tmp_path)
    usage = SimpleNamespace(free=3000 * 11)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match=r"0\.0 GB free, expected .* GB for the bundles"):
        write_store(public, private, tmp_path / "store")
    assert not (tmp_path / "store").exists()


@pytest.mark.negative
def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    """The command itself, stopped from outside while it waits for its disk."""
    public, _ = published(publication(), tmp_path)
    code = (
        "import sys, time\n"
        "from prover import bundle_writer\n"
        "from api.cli import main\n"
        "write = bundle_writer.write_synced\n"
        "def slow(path, data):\n"
        "    write(path, data)\n"
        "    print('writing', flush=True)\n"
        "    time.sleep(1)\n"
        "bundle_writer.write_synced = slow\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    words = [sys.executable, "-c", code, "bundles", str(public), "--out", str(tmp_path / "store")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert said == "writing\n"
    assert (process.returncode, errors) == (130, "solvent: interrupted\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out.private"]


# -- damage ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path: Path, small_segments: None) -> Path:
    public, private = published(publication(), tmp_path)
    write_store(public, private, tmp_path / "store")
    return tmp_path / "store"


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.negative
@pytest.mark.parametrize("name", [segment_name(0), segment_name(1), INDEX_FILE, KEY_FILE])
def test_a_missing_or_cut_file_is_found_on_opening(kept: Path, name: str) -> None:
    size = (kept / name).stat().st_size
    os.truncate(kept / name, size - 1)
    with pytest.raises(InputError, match=f"got {size - 1} bytes, expected {size} bytes") as caught:
        BundleStore.open(kept)
    assert caught.value.file == str(kept / name)
    (kept / name).unlink()
    with pytest.raises(InputError, match="No such file"):
        BundleStore.open(kept)


@pytest.mark.negative
def test_another_key_is_found_on_opening(kept: Path) -> None:
    flip(kept / KEY_FILE, 3)
    with pytest.raises(InputError, match=KEY_FILE):
        BundleStore.open(kept)


@pytest.mark.negative
@pytest.mark.parametrize("name", [segment_name(1), INDEX_FILE])
def test_a_flipped_bit_is_found_by_the_check(kept: Path, name: str) -> None:
    flip(kept / name, 17)
    with pytest.raises(InputError, match=r"with SHA-256 .* expected .* with SHA-256") as caught:
        BundleStore.open(kept).check()
    assert caught.value.file == str(kept / name)


@pytest.mark.negative
def test_a_damaged_bundle_is_not_served(kept: Path) -> None:
    store, users = BundleStore.open(kept), [account.user_id for account in publication().accounts]
    flip(kept / segment_name(0), 100)
    with pytest.raises(InputError, match="a damaged bundle at byte 0"):
        store.get(users[0])
    assert store.get(users[1]) == publication().bundle(1)
    (kept / segment_name(1)).unlink()
    with pytest.raises(InputError, match="No such file"):
        store.get(users[10])


@pytest.mark.negative
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda meta: meta.update(format="solvent/bundle-store/v2"), "another format"),
        (lambda meta: meta.update(users=-1), r"store\.users"),
        (lambda meta: meta["segments"][0].pop("sha256"), "sha256 is missing"),
        (lambda meta: meta.update(capacity=23), "an index of"),
        (lambda meta: meta.update(reach=2**31 - 1), "an index of"),
    ],
)
def test_a_changed_list_is_refused(kept: Path, change: Callable[[Any], object], words: str) -> None:
    (kept / META_FILE).write_bytes(edited((kept / META_FILE).read_bytes(), change))
    with pytest.raises(InputError, match=words):
        BundleStore.open(kept)


@pytest.mark.negative
def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing readable"):
        BundleStore.open(tmp_path)
    (tmp_path / META_FILE).write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        BundleStore.open(tmp_path)


def change_array(private: Path, name: str, change: Callable[[Any], object]) -> None:
    array = np.load(private / "shards" / "000000" / f"{name}.npy")
    change(array)
    np.save(private / "shards" / "000000" / f"{name}.npy", array)


@pytest.mark.negative
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("legs", lambda legs: legs.__setitem__(3, 6)),
        ("offsets", lambda offsets: offsets.__setitem__(4, 0)),
        ("offsets", lambda offsets: offsets.__setitem__(-1, 10**6)),
        ("source1", lambda source: source.__setitem__((0, 3), 2)),
        ("source2", lambda source: source.__setitem__((0, 1), 99)),
    ],
)
def test_a_damaged_private_store_is_refused(tmp_path: Path, name: str, change: Callable[[Any], object]) -> None:
    public, private = published(publication(), tmp_path)
    change_array(private, name, change)
    with pytest.raises(InputError, match="do not fit together"):
        write_store(public, private, tmp_path / "store")
    assert not (tmp_path / "store").exists()


@pytest.mark.negative
def test_the_verifier_has_a_look_before_the_store_is_in_place(tmp_path: Path) -> None:
    public, private = published(publication(), tmp_path)
    change_array(private, "blindings", lambda blindings: blindings.__iadd__(1))
    with pytest.raises(VerificationError) as caught:
        write_store(public, private, tmp_path / "store")
    assert caught.value.reason is Reason.PATH
    assert PrivateStore.open(private).accounts == 11
    assert not (tmp_path / "store").exists()
