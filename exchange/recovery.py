"""From a journal back to the ledger: the newest checkpoint that can be trusted, and the frames after it."""

from __future__ import annotations

from typing import NamedTuple

from exchange.errors import InvariantBroken, JournalBroken
from exchange.events import unpack_frames
from exchange.evolve import evolve_frame
from exchange.journal import Journal
from exchange.state import Ledger
from exchange.statehash import hash_of_bytes, ledger_from_bytes


class Recovery(NamedTuple):
    """A ledger that stands where its journal ends.

    Attributes:
        frames_replayed: after the checkpoint.
        checkpoint: sequence of the checkpoint used; 0 = none.
        checkpoints_refused: sequences of damaged ones that were passed over.
    """

    ledger: Ledger
    frames_replayed: int
    checkpoint: int
    checkpoints_refused: tuple[int, ...]


def recover(journal: Journal, *, from_start: bool = False, until: int | None = None) -> Recovery:
    """Rebuilds the ledger.

    Args:
        from_start: replay everything, whatever checkpoints there are.
        until: the ledger as it was after this frame; None: after the last one.

    Raises:
        JournalBroken: a broken link, a gap, or a frame that cannot be read or applied: replay stops there.
    """
    ledger, link, refused = Ledger(journal.venue), None, []
    for checkpoint in () if from_start else journal.checkpoints():
        if until is not None and checkpoint.sequence > until:
            continue
        try:
            if hash_of_bytes(checkpoint.state) != checkpoint.state_hash:
                raise JournalBroken("its hash differs")
            ledger, link = ledger_from_bytes(journal.venue, checkpoint.state), checkpoint.link
            break
        except JournalBroken:
            refused.append(checkpoint.sequence)
    start = ledger.sequence
    for block in journal.blocks(start, link):
        if until is not None and ledger.sequence >= until:
            break
        replay(ledger, block.payload, until)
        end = block.first_sequence + block.frames - 1
        if ledger.sequence != (end if until is None else min(end, until)):
            raise JournalBroken(f"frames from {block.first_sequence}: another number than the block says")
    return Recovery(ledger, ledger.sequence - start, start, tuple(refused))


def replay(ledger: Ledger, payload: bytes, until: int | None = None) -> None:
    """Applies the frames of a block whose link was checked, at most up to frame `until`.

    Raises:
        JournalBroken: an event that does not fit the state.
    """
    for frame in unpack_frames(payload):
        if ledger.sequence == until:
            return
        try:
            evolve_frame(ledger, frame)
        except (KeyError, IndexError, OverflowError, InvariantBroken) as error:
            raise JournalBroken(f"frame {ledger.sequence}: {type(error).__name__}: {error}") from None
