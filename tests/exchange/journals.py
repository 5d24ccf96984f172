"""Journals of the small venue, in a file or on a server: written, opened again, audited, and closed after the test."""

from __future__ import annotations

from pathlib import Path

from exchange.audit import Auditor
from exchange.engine import Engine
from exchange.events import unpack_frames
from exchange.journal import Journal, journal_url
from exchange.recovery import recover
from exchange.state import Ledger
from exchange.venue import Venue
from tests.exchange.flow import batches
from tests.exchange.venues import venue

FIRST = "where first_sequence = (select min(first_sequence) from blocks)"
LAST = "where first_sequence = (select max(first_sequence) from blocks)"
OPENED: list[Journal] = []
"""What `conftest` closes."""


def journal_at(place: Path | str, definition: Venue | None = None) -> Journal:
    """`place`: a file, or the URL of a database."""
    journal = Journal(journal_url(place) if isinstance(place, Path) else place, definition)
    OPENED.append(journal)
    return journal


def recorded(
    place: Path | str, count: int = 400, seed: int = 1, size: int = 50, checkpoint: int | None = None
) -> Ledger:
    """A journal, closed, with a checkpoint after so many batches; the ledger that wrote it."""
    journal = journal_at(place, venue())
    engine = Engine(Ledger(venue()), journal)
    for number, batch in enumerate(batches(count, seed, size)):
        engine.submit(batch)
        if number == checkpoint:
            journal.add_checkpoint(engine.ledger)
    journal.close()
    return engine.ledger


def reopened(place: Path | str) -> tuple[Journal, Ledger]:
    journal = journal_at(place)
    return journal, recover(journal).ledger


def audited(journal: Journal, ledger: Ledger) -> dict[str, bool]:
    """Per check of the audit whether it holds."""
    auditor = Auditor(journal.venue)
    for block in journal.blocks():
        auditor.read(unpack_frames(block.payload))
    return {check.name: check.ok for check in auditor.compare(ledger)}
