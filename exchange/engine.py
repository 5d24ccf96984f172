"""The sequencer: commands in, decided one after the other; answers out, but only when their frames are on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple, TypeAlias

from exchange.codes import Reject
from exchange.commands import CLIENT_ID_MAX, CancelOrder, Command, PlaceOrder
from exchange.decide import TIME_MS_END, decide
from exchange.events import FRAME, PACK_ALONE, PACKERS, Event
from exchange.evolve import EVOLVERS
from exchange.short import cancel, place_plain
from exchange.state import Ledger


class Done(NamedTuple):
    """Accepted as frame `sequence`."""

    sequence: int
    events: tuple[Event, ...]


class Repeated(NamedTuple):
    """The client's id was accepted before, as frame `sequence`; nothing happened now."""

    sequence: int


HANDLERS: Final = {kind: (*PACKERS[kind], EVOLVERS[kind]) for kind in EVOLVERS}
"""Per event type: what packs it, its number, and what applies it."""
SHORT: Final[dict[object, Callable[[Ledger, Any], tuple[Event, ...] | None]]] = {
    PlaceOrder: place_plain,
    CancelOrder: cancel,
}
"""Per command type, what decides and applies the plain ones at once."""
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

    def _work(
        self, commands: Iterable[Command], answer: Callable[[Answer], None], add: Callable[[bytes], None]
    ) -> None:
        ledger = self.ledger
        answered, keys, kept = ledger.answered, ledger.answered_order, ledger.venue.client_ids_kept
        remember, forget, pack_header, new = keys.append, keys.popleft, FRAME.pack, tuple.__new__
        alone, handlers, shorts = PACK_ALONE, HANDLERS, self._shorts
        for command in commands:
            time_ms, account, client_id = command[0], command[1], command[2]
            key = account << 64 | client_id if client_id else 0
            if key in answered:
                answer(Repeated(answered[key]))
                continue
            short, events = shorts.get(type(command)), None
            if short and ledger.time_ms <= time_ms < TIME_MS_END and 0 <= client_id <= CLIENT_ID_MAX:
                events = short(ledger, command)
            applied = events is not None  # a short way has done it already
            if events is None:
                decision = decide(ledger, command)
                if isinstance(decision, Reject):
                    answer(decision)
                    continue
                events = decision
            # `begin_frame`, without the call
            sequence = ledger.sequence = ledger.sequence + 1
            ledger.time_ms = time_ms
            if key:
                answered[key] = sequence
                remember(key)
                if len(keys) > kept:
                    del answered[forget()]
            if applied and len(events) == 1:
                event = events[0]
                pack, number = alone[type(event)]
                add(pack(1, time_ms, account, client_id, number, *event))
            else:
                add(pack_header(len(events), time_ms, account, client_id))
                for event in events:
                    pack, number, apply = handlers[type(event)]
                    add(pack(number, *event))
                    if not applied:
                        apply(ledger, event)
            answer(new(Done, (sequence, events)))
