"""Long files in the shapes that cost most to read: time and memory stay in proportion to their length.

A reader that compares everything with everything, or keeps a hundred bytes for each of a file, is found here.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice

from tests.adversary.bundles import remembered_hashes
from tests.adversary.score import AS_IT_SHOULD_BE, Score, Tally
from tests.adversary.spread import peak_mib
from tests.adversary.targets_service import ALL, SERVICE_TARGETS
from verifier.canonical import dumps
from verifier.inclusion import BUNDLE_BYTES_MAX
from verifier.log.note import NOTE_BYTES_MAX
from verifier.log.policy import POLICY_BYTES_MAX
from verifier.log.proof import PROOF_BYTES_MAX
from verifier.manifest import MANIFEST_BYTES_MAX
from verifier.opening import OPENING_BYTES_MAX
from verifier.prices import PRICES_BYTES_MAX
from verifier.quotes import SIGNED_QUOTES_BYTES_MAX
from verifier.receipt import RECEIPT_BYTES_MAX
from verifier.reserves import RESERVES_BYTES_MAX
from verifier.reserves_evidence import EVIDENCE_BYTES_MAX
from verifier.shards import SHARD_BYTES_MAX
from verifier.statement import STATEMENT_BYTES_MAX

IMPORTED_BYTES = 2**21
"""Importers read files of the exchange's own, of any length."""
LIMITS: Mapping[str, int] = {
    "statement": STATEMENT_BYTES_MAX,
    "shard": SHARD_BYTES_MAX,
    "bundle": BUNDLE_BYTES_MAX,
    "opening": OPENING_BYTES_MAX,
    "receipt": RECEIPT_BYTES_MAX,
    "manifest": MANIFEST_BYTES_MAX,
    "note": NOTE_BYTES_MAX,
    "checkpoint": NOTE_BYTES_MAX,
    "policy": POLICY_BYTES_MAX,
    "log_proof": PROOF_BYTES_MAX,
    "reserves": RESERVES_BYTES_MAX,
    "reserves_evidence": EVIDENCE_BYTES_MAX,
    "prices": PRICES_BYTES_MAX,
    "quotes": SIGNED_QUOTES_BYTES_MAX,
    **dict.fromkeys((name for name in SERVICE_TARGETS if name not in ("quorum", "witness_request")), IMPORTED_BYTES),
}
MOST_BYTES = {"short": 2**15, "nightly": 2**23}
"""What is made of them: cost in proportion to length shows before 64 MiB, of which some shapes would need 2 GiB."""
SECONDS, SECONDS_PER_MIB = 3.0, 1.0
"""Of the processor; the first is for what does not depend on the length: 4,095 entries of an account take two."""
MIB, MIB_PER_MIB = 64, 64
"""Memory beside the file: an empty list of three bytes takes 64, and its place in a list eight."""


def _whole(start: bytes, item: bytes, end: bytes = b"") -> Callable[[int], bytes]:
    """One item again and again, up to the wanted length."""
    return lambda size: start + item * max(1, (size - len(start) - len(end)) // len(item)) + end


def _counted(start: bytes, item: str, end: bytes) -> Callable[[int], bytes]:
    """Items with a number in them, no two the same."""

    def make(size: int) -> bytes:
        numbers: Iterator[int] = iter(range(1, size))
        items = (item.format(number).encode() for number in numbers)
        return start + b"".join(islice(items, max(1, (size - 64) // (len(item) + 5)))) + end

    return make


SHAPES: Mapping[str, Callable[[int], bytes]] = {
    "empty lists": _whole(b"[", b"[],", b"0]\n"),
    "brackets": _whole(b"", b"["),
    "closing brackets": _whole(b"", b"]"),
    "numbers": _whole(b"[", b"0,", b"0]\n"),
    "objects": _whole(b"[", b'{"":0},', b"0]\n"),
    "one key again": _whole(b"{", b'"a":0,', b'"b":0}\n'),
    "other keys, one again": _counted(b"{", '"k{}":0,', b'"z":0,"z":0}\n'),
    "one string": _whole(b'"', b"a", b'"\n'),
    "escapes": _whole(b'"', b"\\ud83d\\ude00", b'"\n'),
    "quotes and backslashes": _whole(b"", b'"\\'),
    "digits": _whole(b"", b"9"),
    "blanks": _whole(b"0", b" ", b"x"),
    "lines": _whole(b"", b"a,b\n"),
    "empty lines": _whole(b"\xe2\x80\x94 ", b"\n"),
    "columns": _counted(b"", "c{},", b"c1\n1\n"),
    "quoted": _whole(b"", b'"","",'),
}
Measured = tuple[float, int, str]
"""Seconds of the processor, MiB more than before, what came out."""


def filled(name: str, size: int) -> bytes:
    """An honest document whose lists repeat what they hold, as long as the file may be."""
    document = json.loads(ALL[name].honest()[0])
    lists = [key for key, value in document.items() if isinstance(value, list) and value]
    for key in lists:
        item = len(dumps(document[key]))
        document[key] = document[key] * max(1, size // (len(lists) * item))
    return dumps(document)


def inputs(name: str, size: int) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """All shapes, made when needed."""
    for shape, make in SHAPES.items():
        yield shape, partial(make, size)
    honest = ALL[name].honest()[0]
    if honest.startswith(b"{"):
        yield "its own lists", partial(filled, name, size)
    yield "itself again", lambda: honest * (size // len(honest) + 1)


def measure(name: str, data: bytes) -> Measured:
    """In this process."""
    target = ALL[name]
    before, began, outcome = peak_mib(), time.process_time(), AS_IT_SHOULD_BE
    try:
        with remembered_hashes():
            target(data)
    except Exception as error:
        outcome = f"{type(error).__name__} escaped: {error}"[:200]
    return time.process_time() - began, peak_mib() - before, outcome


def _apart(name: str, data: bytes) -> Measured:
    """In a process of its own, so that one measurement of memory does not hide the next."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(measure, (name, data))


def read_all(name: str, size: str, seed: int) -> Score:
    """All shapes for one reader."""
    tally = Tally(f"large files, {name}", seed, seconds_max=float("inf"))
    longest = min(LIMITS[name], MOST_BYTES[size])
    for shape, make in inputs(name, longest):
        data = make()[:longest]
        seconds, mib, outcome = measure(name, data) if size == "short" else _apart(name, data)
        length = len(data) / 2**20
        if seconds > SECONDS + SECONDS_PER_MIB * length or mib > MIB + MIB_PER_MIB * length:
            outcome = f"{length:.1f} MiB took {seconds:.1f} s and {mib} MiB"
        tally.judged(shape, outcome, seconds)
        tally.notes["most MiB"] = max(tally.notes["most MiB"], mib)
    return tally.score()


def run(size: str, seed: int) -> list[Score]:
    """One score for each reader."""
    return [read_all(name, size, seed) for name in LIMITS]
