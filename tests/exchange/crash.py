"""kill -9 at random moments: run as a program, it makes victims, kills them, recovers and compares.

    python -m tests.exchange.crash POINTS SEED FOLDER

A victim works through a fixed stream of commands and says after each answered batch how far it is. Nothing that it
said may be missing afterwards, and the recovered state is one that an undisturbed run passes through.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from exchange.commands import Command
from exchange.engine import Engine, Sink
from exchange.journal import Journal, journal_url
from exchange.recovery import recover
from exchange.state import Ledger
from exchange.statehash import state_hash
from tests.exchange.flow import batches
from tests.exchange.venues import venue

COMMANDS, BATCH = 900, 30
CHECKPOINT_EVERY = 7
WAIT_SECONDS_MAX = 0.004


def victim(url: str, stream: Sequence[list[Command]], said: int) -> None:
    """Never returns to its caller's code: the process ends here, or is killed."""
    journal = Journal(url)
    engine = Engine(recover(journal).ledger, journal)
    for number, batch in enumerate(stream):
        engine.submit(batch)
        os.write(said, engine.ledger.sequence.to_bytes(8, "little"))
        if number % CHECKPOINT_EVERY == 3:
            journal.add_checkpoint(engine.ledger)
    os._exit(0)


def killed(url: str, stream: Sequence[list[Command]], chance: random.Random) -> int:
    """Forks a victim, kills it after a random number of answers and a random moment; the last sequence it said."""
    heard, said = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            victim(url, stream, said)
        finally:
            os._exit(1)
    os.close(said)
    answers = chance.randrange(len(stream))
    told = b""
    while len(told) < 8 * answers and (piece := os.read(heard, 8)):
        told += piece
    time.sleep(chance.random() * WAIT_SECONDS_MAX)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while piece := os.read(heard, 4096):
        told += piece
    os.close(heard)
    return int.from_bytes(told[-8:], "little") if told else 0


def main(points: int, seed: int, new_url: Callable[[int], str]) -> str:
    """Stops with an AssertionError at the first loss. `new_url` says where the n-th journal goes."""
    chance = random.Random(seed)
    stream = batches(COMMANDS, seed, BATCH)
    undisturbed = Engine(Ledger(venue()), Sink())
    passes = {0: state_hash(undisturbed.ledger)}
    for batch in stream:
        undisturbed.submit(batch)
        passes[undisturbed.ledger.sequence] = state_hash(undisturbed.ledger)
    last = undisturbed.ledger.sequence
    point, journals = 0, 0
    while point < points:
        journals += 1
        url = new_url(journals)
        Journal(url, venue()).close()
        sequence = 0
        while sequence < last and point < points:  # the same journal is killed again, further on
            said = killed(url, stream, chance)
            journal = Journal(url)
            ledger = recover(journal).ledger
            journal.close()
            point, sequence = point + 1, max(sequence, said)
            assert ledger.sequence >= sequence, f"frame {sequence} was acknowledged, the journal ends with {ledger}"
            sequence = ledger.sequence
            assert state_hash(ledger) == passes[sequence], f"another state at frame {sequence}"
    return f"{points} kills, {journals} journals: nothing lost"


if __name__ == "__main__":
    folder = Path(sys.argv[3])
    print(main(int(sys.argv[1]), int(sys.argv[2]), lambda number: journal_url(folder / f"journal-{number}.db")))
