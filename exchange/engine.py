"""The sequencer: commands in, decided one after the other; answers out, but only when their frames are on disk."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple, TypeAlias

from exchange.codes import Reject
from exchange.commands import Command
from exchange.decide import decide
from exchange.events import FRAME, PACKERS, Event
from exchange.evolve import EVOLVERS, begin_frame
from exchange.state import Ledger, client_key


class Done(NamedTuple):
    """Accepted as frame `sequence`."""

    sequence: int
    events: tuple[Event, ...]


class Repeated(NamedTuple):
    """The client's id was accepted before, as frame `sequence`; nothing happened now."""

    sequence: int


HANDLERS: Final = {kind: (*PACKERS[kind], EVOLVERS[kind]) for kind in EVOLVERS}
"""Per event type: what packs it, its number, and what applies it."""
_new = tuple.__new__
Answer: TypeAlias = Done | Repeated | Reject


class Sink:
    """Where frames are made durable; this one forgets them."""

    def append(self, first_sequence: int, frames: int, time_ms: int, payload: bytes) -> None:
        """Returns when `frames` frames, the first numbered `first_sequence`, are on disk."""


class GroupedSink(Sink):
    """Collects frames for one larger commit: for runs where nobody waits for an answer, as a simulation.

    Nothing is durable before `flush`.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._parts: list[bytes] = []
        self._first = self._frames = self._time_ms = 0

    def append(self, first_sequence: int, frames: int, time_ms: int, payload: bytes) -> None:
        """Keeps the frames for the next `flush`."""
        if not self._frames:
            self._first = first_sequence
        self._frames += frames
        self._time_ms = time_ms
        self._parts.append(payload)

    def flush(self) -> None:
        """Hands everything over as one block."""
        if self._frames:
            self._sink.append(self._first, self._frames, self._time_ms, b"".join(self._parts))
            self._parts, self._frames = [], 0


class Engine:
    """A ledger and its journal.

    A batch is decided and applied in memory command by command, then its frames are journalled as one block: that is
    the group commit. If the journal fails, the memory is ahead of the disk: the engine refuses all further work.
    """

    def __init__(self, ledger: Ledger, sink: Sink) -> None:
        self.ledger = ledger
        self._sink = sink
        self._failed = False

    def submit(self, commands: Iterable[Command]) -> list[Answer]:
        """Answers to a batch, in order, when everything accepted is durable.

        Raises:
            RuntimeError: the journal failed earlier; recover from it.
        """
        if self._failed:
            raise RuntimeError("the journal failed: recover the ledger from it")
        ledger, answered = self.ledger, self.ledger.answered
        first = ledger.sequence + 1
        answers: list[Answer] = []
        parts: list[bytes] = []
        add, pack_header = parts.append, FRAME.pack
        # Whatever goes wrong between here and the end of the commit leaves memory and disk apart.
        self._failed = True
        for command in commands:
            time_ms, account, client_id = command[0], command[1], command[2]
            key = client_key(account, client_id)
            if key:
                sequence = answered.get(key)
                if sequence is not None:
                    answers.append(Repeated(sequence))
                    continue
            events = decide(ledger, command)
            if isinstance(events, Reject):
                answers.append(events)
                continue
            add(pack_header(len(events), time_ms, account, client_id))
            begin_frame(ledger, time_ms, key)
            for event in events:
                pack, kind, apply = HANDLERS[type(event)]
                add(pack(kind, *event))
                apply(ledger, event)
            answers.append(_new(Done, (ledger.sequence, events)))
        frames = ledger.sequence + 1 - first
        if frames:
            self._sink.append(first, frames, ledger.time_ms, b"".join(parts))
        self._failed = False
        return answers
