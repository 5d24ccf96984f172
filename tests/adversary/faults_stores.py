"""What is kept on disk, store by store: how it is written, what it acknowledges, what has to be there afterwards."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from unittest import mock

from api.cli import main
from api.cli.bench import synthetic_snapshot
from api.limits import RateLimit
from api.log import log_proof
from api.serving import served
from api.store import Store
from api.tokens import Tokens
from api.upload import upload
from api.witness import Refused
from api.writing import make_app
from exchange.engine import Engine, Sink
from exchange.journal import Journal, journal_url
from exchange.recovery import recover
from exchange.state import Ledger
from exchange.statehash import state_hash
from prover import publication as prover_publication
from prover.bundle_store import META_FILE, BundleStore
from prover.bundle_writer import write_store
from prover.errors import InputError
from prover.executors.inline import InlineExecutor
from prover.prices import load_key
from prover.private import PrivateStore
from prover.publication import prove_directory
from prover.shards.run import run_shards
from tests.adversary.faults_traced import Say
from tests.api.publishing.made_up import new_store, published, write_publication
from tests.api.publishing.test_crash import checkpoints
from tests.api.publishing.test_witness import new_witness, request
from tests.api.publishing.test_writing import KEY, serving
from tests.exchange.flow import batches
from tests.exchange.venues import venue
from tests.prover.shards.crash import SHARDS, work
from tests.prover.shards.fake import begin, outputs, prove
from tests.prover.test_bundle_store import published as bundles_published
from tests.verifier.log.signers import ORIGIN, root, signed
from tests.verifier.small_tree import publication
from verifier.log.checkpoint import parse_checkpoint
from verifier.report import read_statement

COMMANDS, BATCH, SEED = 240, 40, 11
VOID = b"bob's token is void"


@dataclass(frozen=True)
class Kept:
    """Something that is kept on disk.

    Args:
        name: for people.
        prepare: makes what is there before, in an empty folder.
        act: changes it, and acknowledges.
        check: raises AssertionError where something acknowledged is missing, doubled or another, or where the work
            cannot be taken up again; may change the folder.
        errors: what may come out of `act` when the disk fails.
    """

    name: str
    prepare: Callable[[Path], object]
    act: Callable[[Path, Say], None]
    check: Callable[[Path, list[bytes]], None]
    errors: tuple[str, ...] = ("InputError", "OSError")


# the ledger's journal


@cache
def _passed() -> dict[int, bytes]:
    """State hashes by frame, after each batch of a run that nothing disturbs."""
    engine = Engine(Ledger(venue()), Sink())
    found = {0: state_hash(engine.ledger)}
    for batch in batches(COMMANDS, SEED, BATCH):
        engine.submit(batch)
        found[engine.ledger.sequence] = state_hash(engine.ledger)
    return found


def _new_journal(folder: Path) -> None:
    _passed()
    Journal(journal_url(folder / "journal.db"), venue()).close()


def _trade(folder: Path, say: Say) -> None:
    journal = Journal(journal_url(folder / "journal.db"))
    engine = Engine(recover(journal).ledger, journal)
    for number, batch in enumerate(batches(COMMANDS, SEED, BATCH)):
        engine.submit(batch)
        say(b"%d" % engine.ledger.sequence)
        if number % 3 == 1:
            journal.add_checkpoint(engine.ledger)
    journal.close()


def _journal_is_whole(folder: Path, said: list[bytes]) -> None:
    passed = _passed()
    with closing(Journal(journal_url(folder / "journal.db"))) as journal:
        found = recover(journal)
        assert found.ledger.sequence >= int(said[-1] if said else 0), "an acknowledged frame is lost"
        assert state_hash(found.ledger) == passed[found.ledger.sequence], "a state that was never passed"
        assert found.checkpoints_refused == (), "a checkpoint that was not written whole"
        assert state_hash(recover(journal, from_start=True).ledger) == state_hash(found.ledger)
        engine = Engine(found.ledger, journal)
        for batch in batches(COMMANDS, SEED, BATCH):  # the clients send everything again under its ids
            engine.submit(batch)
    with closing(Journal(journal_url(folder / "journal.db"))) as journal:
        assert state_hash(recover(journal).ledger) == passed[max(passed)], "something was applied twice, or not at all"


# publisher, log and witness


def _new_log(folder: Path) -> None:
    for sequence in (1, 2):
        write_publication(folder / f"p{sequence}", sequence)
    with closing(new_store(folder / "store")) as store:
        published(store, folder / "p1")


def _publish(folder: Path, say: Say) -> None:
    with closing(Store(str(folder / "store"))) as store:
        if published(store, folder / "p2").is_shown:
            say(b"shown")


@cache
def _expected_log() -> dict[int, bytes]:
    with _new_folder() as folder:
        _new_log(folder)
        _publish(folder, lambda _: None)
        return checkpoints(folder / "store")


def _log_is_one(folder: Path, said: list[bytes]) -> None:
    expected, after = _expected_log(), checkpoints(folder / "store")
    assert after.items() <= expected.items(), "a second head of one size"
    assert 1 in after and (not said or after == expected), "what was shown is lost"
    with closing(Store(str(folder / "store"))) as store:
        if said:
            assert (store.log / "checkpoint").read_bytes() == expected[2], "readers see an older head"
            assert store.find(2) is not None
        done = published(store, folder / "p2")
        assert (done.index, store.size, done.is_shown) == (1, 2, True)
        assert log_proof(store, 1)
        for file in done.manifest.files:
            assert store.artefact(file.sha256).is_file(), "a file of a publication is lost"
    assert checkpoints(folder / "store") == expected


def _new_memory(folder: Path) -> None:
    with closing(new_witness(folder)) as witness:
        witness.add_checkpoint(request(0, 3))


def _cosign(folder: Path, say: Say) -> None:
    with closing(new_witness(folder, create=False)) as witness:
        for old, new in ((3, 7), (7, 7), (7, 20)):
            witness.add_checkpoint(request(old, new))
            say(b"%d" % new)


def _witness_remembers(folder: Path, said: list[bytes]) -> None:
    with closing(new_witness(folder, create=False)) as witness:
        note = witness.checkpoint(hashlib.sha256(ORIGIN.encode()).hexdigest())
        size = parse_checkpoint(note)[0].size
        assert size in (3, 7, 20) and size >= int(said[-1] if said else 3), "a size that was cosigned is forgotten"
        try:
            witness.add_checkpoint(b"old %d\n\n" % size + signed(size, root("another history")))
        except Refused as error:
            assert error.status == 422
        else:
            raise AssertionError("two histories are cosigned")
        assert witness.add_checkpoint(request(size, 20))


def _hand_in(folder: Path, say: Say) -> None:
    publisher = serving(folder)
    with closing(publisher.store), no_tracebacks(), served(make_app(publisher)) as url:
        if upload(folder / "p2", url, KEY)["index"] == 1:
            say(b"shown")


class Tracebacks(logging.Handler):
    """Collects what a server's log says of exceptions; errors that are one line are as they should be."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info or "Traceback" in record.getMessage():
            self.seen.append(repr(record.exc_info[1]) if record.exc_info else record.getMessage())


@contextmanager
def no_tracebacks() -> Iterator[Tracebacks]:
    """Raises RuntimeError: a server of this process logged one."""
    logger, handler = logging.getLogger("uvicorn.error"), Tracebacks()
    kept, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        logger.propagate = kept
        if handler.seen:
            raise RuntimeError(f"{len(handler.seen)} tracebacks, the first: {handler.seen[0]}")


# what the prover keeps


def _run(folder: Path, say: Say) -> None:
    with begin(folder / "run", SHARDS) as run:
        run_shards(run, run.tasks(), prove, InlineExecutor(), lambda done, _: say(b"%d" % done))


@cache
def _expected_outputs() -> dict[str, bytes]:
    with _new_folder() as folder:
        work(folder / "run")
        return outputs(folder / "run")


def _run_goes_on(folder: Path, said: list[bytes]) -> None:
    with begin(folder / "run", SHARDS) as run:
        assert len(run.finished) >= int(said[-1] if said else 0), "a finished shard is lost"
    work(folder / "run")
    assert outputs(folder / "run") == _expected_outputs(), "another result"


def _with_secrets(folder: Path) -> None:
    bundles_published(publication(), folder)


def _with_bundles(folder: Path) -> None:
    _with_secrets(folder)
    write_store(folder / "out", folder / "out.private", folder / "bundles")


def _bundle(folder: Path, say: Say) -> None:
    write_store(folder / "out", folder / "out.private", folder / "bundles", force=True)
    say(b"written")


def _bundles_are_whole(folder: Path, said: list[bytes]) -> None:
    place = folder / "bundles"
    assert place.exists() or not said, "the store is lost"
    if not place.exists():
        write_store(folder / "out", folder / "out.private", place)
    _read_bundles(place)


def _bundles_were_never_away(folder: Path, said: list[bytes]) -> None:
    """Between the two renames the old store has a name that starts with a dot."""
    if not (folder / "bundles").exists():
        aside = [place for place in folder.glob(".bundles.*/bundles")] + [
            place for place in folder.glob(".bundles.*") if (place / META_FILE).exists()
        ]
        assert aside, "neither the old store nor the new one is there"
        _read_bundles(aside[0])
    _bundles_are_whole(folder, said)


SNAPSHOT = synthetic_snapshot(3, 2, 4, 1)


def _proved(folder: Path) -> None:
    """All shards are proved, and nothing is published yet. In a process of its own: kernels start threads."""
    child = os.fork()
    if child == 0:
        try:
            with mock.patch.object(prover_publication, "write_private", side_effect=OSError(28, "made up")):
                prove_directory(SNAPSHOT, folder / "out")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert (folder / "out.work").exists()
    (folder / "before").mkdir()
    for path in (folder / "out.work" / "done").rglob("*.npy"):
        shutil.copyfile(path, folder / "before" / path.name)


def _prove(folder: Path, say: Say) -> None:
    prove_directory(SNAPSHOT, folder / "out")
    say(b"published")


def _publication_or_run_is_there(folder: Path, said: list[bytes]) -> None:
    """Each publication that can be seen has its store; before, there is the finished run."""
    out, private, done = folder / "out", folder / "out.private", folder / "out.work" / "done" / "000000"
    if out.exists() or said:
        statement = read_statement(out)
        store = PrivateStore.open(private)
        assert store.statement == statement.digest.hex(), "the store of another publication"
        for path in (*out.rglob("*"), *private.rglob("*")):
            assert path.is_dir() or path.stat().st_size, f"{path}: empty"
        for name in (path.name for path in (folder / "before").iterdir() if path.stem != "keys"):
            kept = private / "shards" / "000000" / name
            assert kept.read_bytes() == (folder / "before" / name).read_bytes(), f"{name}: another one"
    else:
        for path in (folder / "before").iterdir():
            assert (done / path.name).read_bytes() == path.read_bytes(), "the finished shard is lost"


def _read_bundles(place: Path) -> None:
    store, small = BundleStore.open(place), publication()
    store.check()
    for index, account in enumerate(small.accounts):
        assert store.get(account.user_id) == small.bundle(index), "another bundle"


# what commands write


def command(*words: object) -> str:
    """Runs a command in this process; its standard output.

    Raises:
        InputError: it failed with exit code 2 and one line.
        RuntimeError: it failed in another way.
    """
    spoken, complaint = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(spoken), contextlib.redirect_stderr(complaint):
        code = main([str(word) for word in words])
    lines = complaint.getvalue().splitlines()
    if code == 0:
        return spoken.getvalue()
    if code == 2 and len(lines) == 1 and lines[0].startswith("solvent: "):
        raise InputError(got=lines[0], expected="a disk that works")
    raise RuntimeError(f"exit code {code}: {complaint.getvalue()}")


def _draw_key(folder: Path, say: Say) -> None:
    command("log", "keygen", "--origin", ORIGIN, "--out", folder / "log.pem")
    say(hashlib.sha256((folder / "log.pem").read_bytes()).digest())


def _key_is_whole(folder: Path, said: list[bytes]) -> None:
    path = folder / "log.pem"
    if path.exists():
        load_key(path)
    for digest in said:
        assert hashlib.sha256(path.read_bytes()).digest() == digest, "another key"
    if not path.exists():
        assert not said, "the key is lost"
        command("log", "keygen", "--origin", ORIGIN, "--out", path)


def _new_tokens(folder: Path) -> None:
    with closing(Tokens(str(folder / "tokens.db"), create=True)) as tokens:
        (folder / "old").write_text(tokens.issue(["bob"])[0])


def _issue(folder: Path, say: Say) -> None:
    place = ("--tokens", folder / "tokens.db")
    for user in ("ann", "eve"):
        say(command("token", "issue", user, *place).encode())
    command("token", "revoke", "bob", *place)
    say(VOID)


def _tokens_are_known(folder: Path, said: list[bytes]) -> None:
    with closing(Tokens(str(folder / "tokens.db"))) as tokens:
        for message in said:
            if message == VOID:
                assert tokens.user_of((folder / "old").read_text()) is None, "a void token is good again"
            else:
                token, user = message.decode().split()
                assert tokens.user_of(token) == user, "a token is lost"
        (drawn,) = tokens.issue(["zoe"])
        assert tokens.user_of(drawn) == "zoe"


def _make_limit(folder: Path, say: Say) -> None:
    RateLimit.make(folder / "limit")
    say(b"made")


def _limit_counts(folder: Path, _said: list[bytes]) -> None:
    (folder / "limit").unlink(missing_ok=True)  # each service makes its own, in a new folder
    RateLimit.make(folder / "limit")
    with closing(RateLimit(folder / "limit", 1)) as limit:
        assert limit.wait_seconds("a", 1.0) == 0.0


def _key_for_log(folder: Path) -> None:
    command("log", "keygen", "--origin", ORIGIN, "--out", folder / "log.pem")


def _init_log(folder: Path, say: Say) -> None:
    command("log", "init", "--store", folder / "store", "--origin", ORIGIN, "--key", folder / "log.pem")
    say(b"made")


def _log_is_made(folder: Path, said: list[bytes]) -> None:
    if not said:  # what was left half is taken away by hand, as the message says
        shutil.rmtree(folder / "store", ignore_errors=True)
        _init_log(folder, lambda _: None)
    with closing(Store(str(folder / "store"))) as store:
        assert (store.origin, store.size) == (ORIGIN, 0)


@contextmanager
def _new_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def _nothing(_folder: Path) -> None:
    """An empty folder."""


LEDGER, LOG, WITNESS = (
    Kept("ledger journal", _new_journal, _trade, _journal_is_whole, ("LedgerError",)),
    Kept("publisher: store, log, database", _new_log, _publish, _log_is_one),
    Kept("witness", _new_memory, _cosign, _witness_remembers),
)
ALL = (
    LEDGER,
    LOG,
    WITNESS,
    Kept("write side over HTTP", _new_log, _hand_in, _log_is_one),
    Kept("prover run folder", _nothing, _run, _run_goes_on),
    Kept("bundle store", _with_secrets, _bundle, _bundles_are_whole),
    Kept("bundle store replaced", _with_bundles, _bundle, _bundles_were_never_away),
    Kept("publication and private store", _proved, _prove, _publication_or_run_is_there),
    Kept("key file", _nothing, _draw_key, _key_is_whole),
    Kept("tokens", _new_tokens, _issue, _tokens_are_known),
    Kept("new log", _key_for_log, _init_log, _log_is_made),
    Kept("rate limit", _nothing, _make_limit, _limit_counts),
)
