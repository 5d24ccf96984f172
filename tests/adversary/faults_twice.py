"""What is sent to the service twice: publications, requests to a witness, tokens; one after the other, or at once."""

from __future__ import annotations

import random
import tempfile
import threading
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from api.publish import publish
from api.serving import served
from api.tokens import Tokens
from api.upload import upload
from api.witness import Refused
from api.writing import make_app
from prover.errors import InputError
from tests.adversary.faults_stores import no_tracebacks
from tests.adversary.faults_sweep import Counts
from tests.adversary.score import Score
from tests.api.publishing.made_up import new_store, verify, write_publication
from tests.api.publishing.test_crash import checkpoints
from tests.api.publishing.test_witness import new_witness, request
from tests.api.publishing.test_writing import KEY, serving
from tests.verifier.log.signers import LOG_KEY

TIMES: Final = {"short": 4, "nightly": 60}


def publications(counts: Counts, folder: Path, times: int, chance: random.Random) -> None:
    """Any publication again at any time: one entry each, one checkpoint per size, the same answers."""
    with closing(new_store(folder / "store")) as store:
        seen: dict[int, int] = {}
        for sequence in range(1, 4):
            write_publication(folder / f"p{sequence}", sequence)
            for number in range(times):
                again = sequence if not number else chance.randrange(1, sequence + 1)
                done = publish(folder / f"p{again}", store, LOG_KEY, verify=verify)

                def once(
                    done: Any = done, again: int = again, is_first: bool = not number, size: int = sequence
                ) -> None:
                    assert done.is_new == is_first and done.is_shown
                    assert seen.setdefault(again, done.index) == done.index, "another place in the log"
                    assert store.size == size

                counts.notes["publication"] += 1
                counts.judge(f"publication {again} again", once)
    assert len(checkpoints(folder / "store")) == 3


def at_once(counts: Counts, folder: Path, times: int) -> None:
    """The same publication by several clients at once, over HTTP: one of them makes it new, nobody makes it two."""
    publisher = serving(folder)
    answers: list[object] = []

    def hand_in(directory: Path, url: str) -> None:
        try:
            answers.append(upload(directory, url, KEY))
        except InputError as error:
            answers.append(error)

    with closing(publisher.store), no_tracebacks(), served(make_app(publisher)) as url:
        for sequence in range(1, 1 + max(1, times // 4)):
            directory = write_publication(folder / f"q{sequence}", sequence)
            answers.clear()
            threads = [threading.Thread(target=hand_in, args=(directory, url)) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            done = upload(directory, url, KEY)

            def one(
                done: dict[str, Any] = done, got: tuple[object, ...] = tuple(answers), sequence: int = sequence
            ) -> None:
                assert (done["index"], done["is_new"]) == (sequence - 1, False) or not any(
                    isinstance(answer, dict) for answer in got
                )
                new = [answer for answer in got if isinstance(answer, dict) and answer["is_new"]]
                assert len(new) <= 1, "new twice"
                assert publisher.store.size == sequence
                for answer in got:
                    assert isinstance(answer, dict) or "503" in str(answer), answer

            counts.notes["publication at once"] += len(threads)
            counts.judge(f"publication {sequence} at once", one)


def witness(counts: Counts, folder: Path, times: int, chance: random.Random) -> None:
    """Old requests again, in any order, between new ones: taken for the next size only, and sizes never shrink."""
    sent = [(0, 1)]
    with closing(new_witness(folder)) as made:
        size = 0
        for _ in range(10 * times):
            old, new = chance.choice(sent) if chance.random() < 0.7 else (size, min(size + chance.randrange(4), 300))
            sent.append((old, max(new, 1)))
            try:
                made.add_checkpoint(request(old, max(new, 1)))
                is_taken, told = True, size
            except Refused as error:
                is_taken, told = False, int(error.text) if error.status == 409 else -1

            def right(is_taken: bool = is_taken, old: int = old, told: int = told, size: int = size) -> None:
                assert is_taken == (old == size), "taken though another size is next"
                assert told == size, "another size than the witness knows"

            counts.notes["witness request"] += 1
            counts.judge(f"witness: {old} to {new} at {size}", right)
            size = max(new, 1) if is_taken else size


def tokens(counts: Counts, folder: Path, times: int) -> None:
    """Issued twice: both are good. Revoked twice: void, and stays so."""
    with closing(Tokens(str(folder / "tokens.db"), create=True)) as made:
        for number in range(times):
            user = f"user-{number}"
            drawn = made.issue([user]) + made.issue([user, user])

            def issued(drawn: list[str] = drawn, user: str = user) -> None:
                assert len(set(drawn)) == 3 and {made.user_of(token) for token in drawn} == {user}
                assert (made.revoke(user), made.revoke(user)) == (3, 0)
                assert {made.user_of(token) for token in drawn} == {None}

            counts.notes["token"] += 1
            counts.judge(f"tokens of {user}", issued)


def run(size: str, seed: int) -> list[Score]:
    counts, chance, times = Counts("faults: handed in twice", seed), random.Random(seed), TIMES[size]
    with tempfile.TemporaryDirectory() as name:
        for part in ("one by one", "at once"):
            (Path(name) / part).mkdir()
        publications(counts, Path(name) / "one by one", times, chance)
        at_once(counts, Path(name) / "at once", times)
        witness(counts, Path(name), times, chance)
        tokens(counts, Path(name), times)
    return [counts.score()]
