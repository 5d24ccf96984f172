"""Inclusion bundles and receipts that the exchange has changed, against an honest publication.

Their encoding is canonical, so a bundle with other bytes says something else: every one that is accepted is a fault.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path
from unittest.mock import patch

import numpy as np

from prover.tree import compress_words
from tests.adversary import seeds
from tests.adversary.mutate import Change, JsonSeed, Place, change_bytes, edit, look, nudge
from tests.adversary.score import Score, Tally
from tests.adversary.spread import spread
from tests.verifier.small_tree import Publication
from verifier.canonical import dumps
from verifier.errors import Reason, VerificationError
from verifier.inclusion import check_bundle
from verifier.log.checkpoint import parse_checkpoint
from verifier.log.proof import parse_log_proof
from verifier.poseidon import DEFAULT, Instance, compress
from verifier.receipt import check_user_file, parse_receipt

COUNTS = {"short": 800, "nightly": 1_000_000}
CHUNK = 5_000
SECONDS_MAX = 2.0
"""A refusal of a few kilobytes takes at most this, hashing included."""
HASHES_KEPT = 1 << 14
OWN_HASH_EVERY = 20
"""Every so many chunks the verifier hashes by itself; otherwise by the prover's kernel."""
_EARLY = frozenset({"format", "exchange", "sequence", "statement", "root"})
"""Fields that have to be the statement's own, letter by letter: changes to them never reach the hashing."""
_STEPS = {
    Reason.WRONG_STATEMENT: "2 statement",
    Reason.ACCOUNT_ID: "3 account id",
    Reason.ENTRIES: "4 entries",
    Reason.PATH_LENGTH: "6 path",
}
SAME_MEANING = "same meaning"


@dataclass(frozen=True)
class User:
    """Who checks a bundle: a publication's account, and what its owner was given."""

    publication: Publication
    index: int
    seed: JsonSeed
    late: tuple[Place, ...]

    @classmethod
    @lru_cache(maxsize=64)
    def of(cls, risky: bool, index: int) -> User:
        publication = seeds.small(risky)
        seed = JsonSeed.of(publication.bundle(index))
        late = tuple(place for place in seed.places if place[0] not in _EARLY)
        return cls(publication, index, seed, late)

    def check(self, data: bytes, knows_own: bool = True) -> object:
        """As the user's program does; `knows_own` False trusts the bundle for id and nonce, as a stranger would."""
        account = self.publication.accounts[self.index]
        own = {"user_id": account.user_id, "nonce": account.nonce} if knows_own else {}
        return check_bundle(data, self.publication.statement, **own)  # type: ignore[arg-type]


def users() -> list[User]:
    """Six accounts of two publications: none, some and many entries."""
    return [
        User.of(risky, index) for risky, index in ((False, 0), (False, 3), (False, 9), (True, 0), (True, 1), (True, 3))
    ]


Made = tuple[Change, bool]
"""A changed bundle, and whether it is offered to somebody who knows their own id and nonce."""


def _anywhere(user: User, source: random.Random) -> Made:
    return user.seed.change(source), source.random() < 0.5


def _late(user: User, source: random.Random) -> Made:
    """One to three changes behind the comparison with the statement."""
    document, names = json.loads(user.seed.data), []
    for _ in range(source.choice((1, 1, 1, 2, 3))):
        try:
            change = nudge if source.random() < 0.8 else edit
            names.append(change(document, source.choice(user.late), source))
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change removed the place
    return Change(" and ".join(names), dumps(document)), False


def _transplant(user: User, source: random.Random) -> Made:
    """Parts of another bundle in the place of the same parts of this one."""
    other = source.choice(users())
    document, donor = json.loads(user.seed.data), json.loads(other.seed.data)
    parts = source.sample(sorted(document), source.choice((1, 2, 3, 5)))
    if source.random() < 0.5:
        parts = [source.choice(user.late) for _ in parts]
    for part in parts:
        place = part if isinstance(part, tuple) else (part,)
        try:
            look(document, place[:-1])[place[-1]] = look(donor, place)
        except (KeyError, IndexError, TypeError):
            continue  # the other one is shorter
    return Change("transplant", dumps(document)), source.random() < 0.5


def _bytes(user: User, source: random.Random) -> Made:
    other = source.choice(users()).seed.data
    return change_bytes(user.seed.data, source, other=other), source.random() < 0.5


def _somebody_elses(user: User, source: random.Random) -> Made:
    """Another user's honest bundle, shown to somebody who knows who they are."""
    return Change("another user's bundle", source.choice(users()).seed.data), True


KINDS: dict[Callable[[User, random.Random], Made], int] = {
    _late: 45,
    _anywhere: 30,
    _transplant: 14,
    _bytes: 10,
    _somebody_elses: 1,
}
RECEIPT_SHARE = 0.03
"""Two signatures in plain Python for each."""


def chunk(seed: int, count: int, number: int) -> Score:
    """`count` cases, the same for the same seed and number."""
    source = random.Random(f"bundles {seed} {number}")
    tally = Tally("bundles", seed, seconds_max=SECONDS_MAX, spoken=step_of)
    honest = {user.seed.data for user in users()}
    receipts = Receipts()
    with remembered_hashes(compress if number % OWN_HASH_EVERY == 0 else _by_kernel):
        for user in users():
            user.check(user.seed.data)
        while tally.tried < count:
            if source.random() < RECEIPT_SHARE:
                receipts.attempt(tally, source)
                continue
            user = source.choice(users())
            (made,) = source.choices(list(KINDS), list(KINDS.values()))
            change, knows_own = made(user, source)
            if change.data == user.seed.data or (change.data in honest and not knows_own):
                continue  # unchanged, or another user's own
            case = f"chunk {number}, case {tally.tried}, {change.name}"
            tally.attempt(case, lambda: user.check(change.data, knows_own))  # noqa: B023
    return tally.score()


def _by_kernel(h: Sequence[int], block: Sequence[int], instance: Instance = DEFAULT) -> list[int]:
    """As `compress`, which is its slow twin: 20 times as fast."""
    words = compress_words(np.array([h], np.uint32), np.array([block], np.uint32), instance)[0]
    return [int(word) for word in words]


@cache
def _memory(hashed: Callable[..., list[int]]) -> Callable[..., tuple[int, ...]]:
    return lru_cache(HASHES_KEPT)(lambda *of: tuple(hashed(*of)))


@contextmanager
def remembered_hashes(hashed: Callable[..., list[int]] = compress) -> Iterator[None]:
    """The tree hash computed once per input: a change high up in a path leaves what is below as it was."""

    def remembered(h: Sequence[int], block: Sequence[int], instance: Instance | None = None) -> list[int]:
        return list(_memory(hashed)(tuple(h), tuple(block), instance or DEFAULT))

    with patch("verifier.tree.compress", remembered):
        yield


def step_of(error: VerificationError) -> str:
    """Which step of docs/protocol.md, section 7, refused, and why."""
    field = str(error.where.get("field", ""))
    step = _STEPS.get(error.reason, "1 file")
    if error.reason in (Reason.PATH, Reason.PATH_LENGTH) and field.startswith("bundle.shard"):
        step = "8 root"
    elif error.reason is Reason.PATH:
        step = "7 shard" if field == "bundle.path" else "6 path"
    elif not field.startswith("bundle"):
        step = "receipt"
    return f"{step}: {error.reason.value}"


class Receipts:
    """Receipts that are changed as documents, in the document inside, or in the text of the log proof."""

    def __init__(self) -> None:
        self.honest = [(risky, index, seeds.receipt(risky, index)) for risky, index in ((False, 3), (True, 1))]
        self.seeds = [JsonSeed.of(data) for _, _, data in self.honest]

    def attempt(self, tally: Tally, source: random.Random) -> None:
        number = source.randrange(len(self.honest))
        risky, index, data = self.honest[number]
        change = self._changed(number, source)
        if change.data == data:
            return
        account = seeds.full(risky).accounts[index]
        with policy_file() as path:

            def check() -> object:
                return check_user_file(change.data, log_policy=path, user_id=account.user_id, nonce=account.nonce)

            if means_the_same(change.data, data):
                tally.notes[SAME_MEANING] += 1
                return
            tally.attempt(f"receipt, case {tally.tried}, {change.name}", check)

    def _changed(self, number: int, source: random.Random) -> Change:
        data = self.honest[number][2]
        if source.random() < 0.4:
            return self.seeds[number].change(source)
        document = json.loads(data)
        part = source.choice(("bundle", "statement", "manifest", "log_proof", "log_proof", "other"))
        if part == "other":
            part = source.choice(("bundle", "statement", "manifest", "log_proof"))
            document[part] = json.loads(self.honest[1 - number][2])[part]
        elif part == "log_proof":
            text = change_bytes(document[part].encode(), source).data
            document[part] = text.decode("utf-8", "replace")
        else:
            # Spliced as bytes: a changed document need not be JSON.
            inner = dumps(document[part]).removesuffix(b"\n")
            made = JsonSeed.of(inner + b"\n").change(source, canonical_share=1.0)
            return Change(f"receipt's {part}, {made.name}", data.replace(inner, made.data.removesuffix(b"\n"), 1))
        return Change(f"receipt's {part}", dumps(document))


@contextmanager
def policy_file() -> Iterator[Path]:
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(seeds.POLICY_TEXT)
        yield Path(file.name)


def means_the_same(data: bytes, honest: bytes) -> bool:
    """The same documents and the same signed tree head, with an opaque `extra` or signatures of strangers besides."""
    try:
        return meaning(data) == meaning(honest)
    except VerificationError:
        return False


def meaning(data: bytes) -> tuple[object, ...]:
    """What a receipt says, signatures apart."""
    receipt = parse_receipt(data)
    proof = parse_log_proof(receipt.log_proof)
    text = parse_checkpoint(proof.checkpoint)[1].text
    return receipt.bundle, receipt.statement, receipt.manifest, proof.index, proof.path, text


def run(size: str, seed: int) -> list[Score]:
    """All of it: 1,000,000 cases nightly."""
    count = COUNTS[size]
    if size == "short":
        return [chunk(seed, count, 0)]
    chunks = -(-count // CHUNK)
    return [spread("bundles", partial(chunk, seed, CHUNK), chunks)]
