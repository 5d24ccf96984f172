"""Write the bundles of all users of a publication into a new bundle store, on all processors."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from prover.bundle_store import (
    INDEX_FILE,
    KEY_BYTES,
    KEY_FILE,
    META_FILE,
    SEGMENTS,
    SLOT,
    FileDigest,
    StoreMeta,
    Table,
    home_slot,
    keyed_hash,
    segment_name,
)
from prover.bundles import open_pair
from prover.errors import InputError
from prover.files import sync
from prover.kernels.text import STEP_BYTES, AccountText, Bytes, Int64, Runs, ShardText, bundle_texts, step_texts
from prover.kernels.threads import thread_count
from prover.private import ShardStore
from prover.progress import Progress
from prover.staging import put_in_place, require_apart, require_place, staged
from verifier.canonical import dumps
from verifier.errors import InvariantBroken
from verifier.inclusion import check_bundle, make_bundle_bytes
from verifier.shards import Place
from verifier.statement import Statement
from verifier.tree import ARITY

PHASE = "bundles"
SEGMENT_BYTES = 2**24
"""About one segment; small enough that both cores stay busy with one shard, and that little memory is taken."""
AMOUNT_DIGITS = 20
CHECKED = 4
"""Bundles of a store, drawn at random, that the verifier checks before the store is put in place."""

_SAFE = np.zeros(256, np.bool_)
_SAFE[0x20:0x7F] = True
_SAFE[[0x22, 0x5C]] = False
"""Bytes that JSON writes as they are: printable ASCII without quote and backslash."""


@dataclass(frozen=True)
class Shard:
    """One tree, and what all of its bundles share."""

    store: ShardStore
    text: ShardText

    @classmethod
    def of(cls, statement: Statement, store: ShardStore) -> Shard:
        """Render what is shared: about 1 % of the shard's bundles."""
        steps, starts, items = [np.zeros((0, STEP_BYTES), np.uint8)], [], store.accounts
        for level in range(2, store.levels + 1):
            items = len(store.array(f"source{level - 1}"))
            starts.append(sum(map(len, steps)))
            steps.append(_steps(store, level, 0, items))
        constants, legs_text = bundle_constants(statement, store.place)
        return cls(store, ShardText(constants, legs_text, np.concatenate(steps), np.array(starts, np.int64)))

    def sizes(self) -> Int64:
        """(accounts,): estimates of the bundles' bytes, hardly ever too low."""
        fixed = len(self.text.constants.text) + 112 + (STEP_BYTES + 1) * self.store.levels
        entry = AMOUNT_DIGITS + 12 + int(np.diff(self.text.legs_text.offsets).max(initial=0))
        names = np.diff(self.store.array("user_offsets"))
        return np.asarray(fixed + entry * np.diff(self.store.array("offsets")) + names, np.int64)

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Accounts of one segment each, whole nodes at a time."""
        ends = np.cumsum(self.sizes())
        cuts = np.searchsorted(ends, np.arange(SEGMENT_BYTES, int(ends[-1]), SEGMENT_BYTES)) // ARITY * ARITY
        yield from pairwise(np.unique([0, *cuts.tolist(), len(ends)]).tolist())

    def render(self, start: int, stop: int) -> tuple[Runs, Bytes, Int64]:
        """User ids (UTF-8) of accounts start .. stop - 1, their bundles one after the other, and where each ends.

        `start` is a multiple of 8. The account of number i is that of trace order.
        """
        array = self.store.array
        names = np.asarray(array("user_offsets")[start : stop + 1])
        users = Runs(np.array(array("user_ids")[names[0] : names[-1]]), names - names[0])
        offsets = np.array(array("offsets")[start : stop + 1])
        legs, amounts = (np.array(array(name)[offsets[0] : offsets[-1]]) for name in ("legs", "amounts"))
        sound = (np.diff(offsets) >= 0).all() and len(legs) == len(amounts) == offsets[-1] - offsets[0]
        if not sound or legs.max(initial=0) >= len(self.text.legs_text.offsets) - 1:
            raise damaged(self.store)
        blindings = np.array(array("blindings")[start:stop], "<u4").view(np.uint8)
        accounts = AccountText(
            escaped(users), blindings, np.array(array("nonces")[start:stop]), offsets, legs, amounts,
            _steps(self.store, 1, start, stop - start),
        )  # fmt: skip
        text, ends = bundle_texts(self.text, accounts, start)
        return users, text, ends


@dataclass(frozen=True)
class Segment:
    """A segment on disk, and its users' slots in no order."""

    file: FileDigest
    slots: Table


def write_store(
    public: Path, private: Path, out: Path, *, force: bool = False, progress: Progress | None = None
) -> StoreMeta:
    """Write all bundles of a publication to the folder `out` (mode 700), which appears whole or not at all.

    Args:
        public: the published directory. private: its private store.
        force: replace an earlier store at `out`.

    Raises:
        InputError: the two do not belong together, `out` is inside one of them or taken, or the disk is too small.
        VerificationError: a bundle is refused by the verifier: the private store is damaged.
    """
    for other in (public, private):
        require_apart(other, out)
    require_place(out, META_FILE, force)
    statement, stores = _stores(public, private)
    report = progress or (lambda phase, fraction: None)
    key = secrets.token_bytes(KEY_BYTES)
    with staged(out) as fresh:
        (fresh / SEGMENTS).mkdir()
        parts: list[Segment] = []
        users, done = sum(store.accounts for store in stores), 0
        report(PHASE, 0.0)
        for part in _in_parallel(_tasks(statement, stores, fresh, key)):
            parts.append(part)
            done += len(part.slots)
            report(PHASE, 0.99 * done / users)
        meta = _finish(fresh, key, parts, statement, private)
        replaced = put_in_place(fresh, out)
        sync(out.parent)
    if replaced is not None:
        shutil.rmtree(replaced)
    report(PHASE, 1.0)
    return meta


def _stores(public: Path, private: Path) -> tuple[Statement, list[ShardStore]]:
    """The statement, and what is kept of each of its shards."""
    statement, store = open_pair(public, private)
    return statement, [store.shard(index) for index in range(statement.shards)]


def _tasks(statement: Statement, stores: list[ShardStore], folder: Path, key: bytes) -> Iterator[Callable[[], Segment]]:
    """One per segment. A shard is opened when its turn comes; the disk has to hold what is left."""
    number = 0
    for position, store in enumerate(stores):
        shard = Shard.of(statement, store)
        needed = int(shard.sizes().sum()) * (len(stores) - position)
        free = shutil.disk_usage(folder).free
        if free < needed:
            got = f"{free / 1e9:.1f} GB free"
            raise InputError(file=folder.parent, got=got, expected=f"{needed / 1e9:.1f} GB for the bundles")
        for start, stop in shard.ranges():
            yield partial(write_segment, shard, start, stop, folder, number, key)
            number += 1


def write_segment(shard: Shard, start: int, stop: int, folder: Path, number: int, key: bytes) -> Segment:
    """Bundles of accounts start .. stop - 1 as segment `number`, on disk when this returns."""
    users, text, ends = shard.render(start, stop)
    slots = np.zeros(stop - start, SLOT)
    hashed, names, bundles = keyed_hash(key), users.text.data, text.data
    digests, checks = [], []
    for (a, b), (c, d) in zip(pairwise(users.offsets.tolist()), pairwise(ends.tolist()), strict=True):
        own = hashed.copy()
        own.update(names[a:b])
        digests.append(own.digest())
        checks.append(zlib.crc32(bundles[c:d]))
    halves = np.frombuffer(b"".join(digests), ">u8").reshape(-1, 2)
    slots["high"], slots["low"], slots["segment"] = halves[:, 0], halves[:, 1], number
    slots["offset"], slots["length"], slots["check"] = ends[:-1], np.diff(ends), checks
    write_synced(folder / segment_name(number), bundles)
    return Segment(FileDigest(len(text), hashlib.sha256(bundles).hexdigest()), slots)


def hash_table(slots: Table) -> tuple[Table, int, int]:
    """(table, capacity, reach) over filled slots in any order; half of the table stays empty.

    In the order of the keys, linear probing puts each bundle into its home or the first slot after the one before.

    Raises:
        InputError: a key occurs twice.
    """
    capacity = 2 * len(slots)
    slots = slots[np.lexsort((slots["low"], slots["high"]))]
    if ((slots["high"][1:] == slots["high"][:-1]) & (slots["low"][1:] == slots["low"][:-1])).any():
        raise InputError(got="one user id on two accounts", expected="each user id once in the private store")
    homes, numbers = home_slot(slots["high"], capacity).astype(np.int64), np.arange(len(slots))
    places = np.maximum.accumulate(homes - numbers) + numbers
    reach = int((places - homes).max())
    table = np.zeros(capacity + reach + 1, SLOT)
    table[places] = slots
    return table, capacity, reach


def bundle_constants(statement: Statement, place: Place) -> tuple[Runs, Runs]:
    """The text around what differs between bundles, and what follows the amount in an entry, leg by leg.

    Both are cut out of bundles that the verifier's own function writes. A quote inside a JSON string has a backslash
    before it, so no name can look like one of the marks.
    """

    def bundle(entries: list[tuple[int, int]]) -> bytes:
        return make_bundle_bytes(statement, user_id="", nonce=b"", blinding=(), entries=entries, path=(), place=place)

    runs, rest = [], bundle([])
    for mark in (b'"blinding":"', b'"entries":[', b'"nonce":"', b'"path":[', b'"user_id":"'):
        at = rest.index(mark) + len(mark)
        runs.append(rest[:at])
        rest = rest[at:]
    head = b'{"amount":"'
    legs = [dumps(entry)[:-1] for entry in json.loads(bundle([(leg.index, 0) for leg in statement.legs]))["entries"]]
    if not all(leg.startswith(head + b"0") for leg in legs):
        raise InvariantBroken("an entry of a bundle does not begin with its amount")
    return Runs.of([*runs, rest, head]), Runs.of([leg[len(head) + 1 :] for leg in legs])


def escaped(users: Runs) -> Runs:
    """User ids as they stand between the quotes of canonical JSON."""
    if _SAFE[users.text].all():
        return users
    names = [users.part(i).decode() for i in range(len(users.offsets) - 1)]
    return Runs.of([dumps(name)[1:-2] for name in names])


def write_synced(path: Path, data: bytes | memoryview) -> None:
    """A new file, on disk when this returns. Raises OSError that names the file, also where writing fails."""
    try:
        with path.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None


def damaged(store: ShardStore) -> InputError:
    """What to say of a private store whose arrays do not fit together."""
    return InputError(file=store.folder, got="arrays that do not fit together", expected="an undamaged private store")


def _steps(store: ShardStore, level: int, first: int, count: int) -> Bytes:
    """Texts of the steps from items first .. first + count - 1 of the level below to `level`."""
    nodes = slice(first // ARITY, -(-(first + count) // ARITY))
    source, children, values = (
        store.array(f"{name}{level}")[nodes] for name in ("source", "children", "value_digests")
    )
    text, written = step_texts(source, children, values, first, count)
    if written != count:
        raise damaged(store)
    return text


def _in_parallel(tasks: Iterator[Callable[[], Segment]]) -> Iterator[Segment]:
    """Results in order. A few tasks wait at any time, so that memory stays bounded; the first failure ends all."""
    threads = thread_count()
    pool = ThreadPoolExecutor(threads)
    waiting: deque[Future[Segment]] = deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(task))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _finish(folder: Path, key: bytes, parts: list[Segment], statement: Statement, private: Path) -> StoreMeta:
    """Index, key and list of files; and a look at a few bundles through the verifier's eyes."""
    slots = np.concatenate([part.slots for part in parts])
    table, capacity, reach = hash_table(slots)
    data = table.view(np.uint8).data
    write_synced(folder / INDEX_FILE, data)
    write_synced(folder / KEY_FILE, key)
    meta = StoreMeta(
        statement=statement.digest.hex(),
        users=len(slots),
        capacity=capacity,
        reach=reach,
        index=FileDigest(len(data), hashlib.sha256(data).hexdigest()),
        key=FileDigest(len(key), hashlib.sha256(key).hexdigest()),
        segments=tuple(part.file for part in parts),
    )
    for slot in slots[[secrets.randbelow(len(slots)) for _ in range(CHECKED)]]:
        with (folder / segment_name(int(slot["segment"]))).open("rb") as stream:
            stream.seek(int(slot["offset"]))
            check_bundle(stream.read(int(slot["length"])), statement)
    write_synced(folder / META_FILE, meta.to_bytes())
    sync(folder / SEGMENTS)
    sync(folder)
    return meta
