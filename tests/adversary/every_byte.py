"""Every byte of one small file of each kind, changed in a few ways: nothing that is published may say something else.

A statement and the documents of its shards are checked together, as `verify_directory` does before it looks at proofs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tests.adversary import seeds
from tests.adversary.bundles import policy_file, remembered_hashes
from tests.adversary.proofs import toy
from tests.adversary.score import Score, Tally
from tests.adversary.seeds import Published
from tests.verifier.toy_proofs import FREE
from verifier.inclusion import check_bundle
from verifier.log.check import check_documents
from verifier.log.checkpoint import open_checkpoint
from verifier.manifest import check_file_proof
from verifier.receipt import check_user_file
from verifier.shards import check_shards, parse_shard
from verifier.statement import parse_statement

SECONDS_MAX = 2.0
WAYS: tuple[Callable[[int], int], ...] = (
    lambda byte: byte ^ 0x01,
    lambda byte: (byte + 1) % 256,
    lambda byte: byte ^ 0x20,
    lambda byte: byte ^ 0x80,
)
"""The last bit, the next byte (another digit, another letter), the other case, and no ASCII."""
SMALL_BYTES, SAMPLE = 1_500, 60
"""The short size changes every byte of files up to this size and a sample of larger ones, one way each."""
USER = 3


@dataclass(frozen=True)
class Subject:
    """A file, and the check that accepts it and nothing else in its place."""

    data: bytes
    check: Callable[[bytes], object]


def _statement(data: bytes) -> None:
    made = seeds.full()
    statement = parse_statement(data)
    check_shards(statement, [parse_shard(shard.to_bytes(), statement, i) for i, shard in enumerate(made.shards)])


def _shard(data: bytes) -> None:
    made = seeds.full()
    documents = [shard.to_bytes() for shard in made.shards]
    documents[1] = data
    check_shards(made.statement, [parse_shard(one, made.statement, i) for i, one in enumerate(documents)])


def _bundle(data: bytes) -> None:
    account = seeds.full().accounts[USER]
    check_bundle(data, seeds.full().statement, user_id=account.user_id, nonce=account.nonce)


def _receipt(data: bytes) -> None:
    account = seeds.full().accounts[USER]
    with policy_file() as path:
        check_user_file(data, log_policy=path, user_id=account.user_id, nonce=account.nonce)


def _manifest(data: bytes) -> None:
    check_documents(data, Published.of(False).log_proof, seeds.full().statement, seeds.policy())


def _log_proof(data: bytes) -> None:
    check_documents(Published.of(False).manifest.to_bytes(), data, seeds.full().statement, seeds.policy())


def _file_proof(data: bytes) -> None:
    manifest = Published.of(False).manifest
    check_file_proof(data, manifest.files[1], manifest.evidence)


SUBJECTS: Mapping[str, Callable[[], Subject]] = {
    "proof": lambda: Subject(toy("fibonacci", FREE).proofs[0], toy("fibonacci", FREE).verify),
    "statement": lambda: Subject(seeds.full().statement.to_bytes(), _statement),
    "shard document": lambda: Subject(seeds.full().shards[1].to_bytes(), _shard),
    "bundle": lambda: Subject(seeds.full().bundle(USER), _bundle),
    "receipt": lambda: Subject(seeds.receipt(False, USER), _receipt),
    "manifest": lambda: Subject(Published.of(False).manifest.to_bytes(), _manifest),
    "log proof": lambda: Subject(Published.of(False).log_proof, _log_proof),
    "checkpoint": lambda: Subject(Published.of(False).checkpoint, lambda data: open_checkpoint(data, seeds.policy())),
    "file proof": lambda: Subject(Published.of(False).file_proof, _file_proof),
}
"""One file of each kind, by its name."""


def changed(seed: int, size: str, name: str) -> Score:
    """All bytes in all ways, or what the short size takes of them."""
    subject = SUBJECTS[name]()
    tally = Tally(f"every byte of a {name}", seed, seconds_max=SECONDS_MAX)
    source = random.Random(f"every byte {seed} {name}")
    data = subject.data
    places: Sequence[int] = range(len(data))
    if size == "short" and len(data) > SMALL_BYTES:
        places = source.sample(places, SAMPLE)
    with remembered_hashes():
        subject.check(data)
        for place in places:
            ways = WAYS if size == "nightly" else (source.choice(WAYS),)
            for byte in {way(data[place]) for way in ways}:
                forged = data[:place] + bytes([byte]) + data[place + 1 :]
                tally.attempt(f"byte {place} is {byte}", lambda: subject.check(forged))  # noqa: B023
    return tally.score()


def run(size: str, seed: int) -> list[Score]:
    """One score for each kind of file."""
    return [changed(seed, size, name) for name in SUBJECTS]
