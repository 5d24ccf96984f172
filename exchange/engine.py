"""The sequencer: commands in, decided one after the other; answers out, but only when their frames are on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple, TypeAlias

from exchange.codes import Reject
from exchange.commands import CancelOrder, Command, PlaceOrder
from exchange.decide import decide
from exchange.events import Event
from exchange.short import Add, apply, cancel, place_plain
from exchange.state import Ledger, client_key


class Done(NamedTuple):
    """Accepted as frame `sequence`."""

    sequence: int
    events: tuple[Event, ...]


class Repeated(NamedTuple):
    """The client's id was accepted before, as frame `sequence`; nothing happened now."""

    sequence: int


SHORT: Final[dict[object, Callable[[Ledger, Any, Add], tuple[Event, ...] | None]]] = {
    PlaceOrder: place_plain,
    CancelOrder: cancel,
}
"""Per command type, what decides, applies and packs the plain ones at once."""
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

    def __init__(self, ledger: Ledger, sink: Sink, *, short_ways: bool = True) -> None:
        """Works on `ledger`; without `short_ways` every command is decided in full, with the same outcome."""
        self.ledger = ledger
        self._sink = sink
        self._shorts = SHORT if short_ways else {}
        self._failed = False

    def submit(self, commands: Iterable[Command]) -> list[Answer]:
        """Answers to a batch, in order, when everything accepted is durable.

        Raises:
            RuntimeError: the journal failed earlier; recover from it.
        """
        if self._failed:
            raise RuntimeError("the journal failed: recover the ledger from it")
        ledger = self.ledger
        first = ledger.sequence + 1
        answers: list[Answer] = []
        parts: list[bytes] = []
        # Whatever goes wrong between here and the end of the commit leaves memory and disk apart.
        self._failed = True
        self._work(commands, answers.append, parts.append)
        frames = ledger.sequence + 1 - first
        if frames:
            self._sink.append(first, frames, ledger.time_ms, b"".join(parts))
        self._failed = False
        return answers

    def _work(self, commands: Iterable[Command], answer: Callable[[Answer], None], add: Add) -> None:
        ledger, shorts, new, full = self.ledger, self._shorts, tuple.__new__, self._in_full
        for command in commands:
            short = shorts.get(type(command))
            events = short(ledger, command, add) if short is not None else None
            answer(full(command, add) if events is None else new(Done, (ledger.sequence, events)))

    def _in_full(self, command: Command, add: Add) -> Answer:
        ledger = self.ledger
        key = client_key(command[1], command[2])
        if key in ledger.answered:
            return Repeated(ledger.answered[key])
        events = decide(ledger, command)
        if isinstance(events, Reject):
            return events
        apply(ledger, command, key, events, add)
        return Done(ledger.sequence, events)
