"""A transcript that treats one step of the schedule otherwise than it should: what weak Fiat-Shamir would look like.

Each way lets a prover know a challenge before it has to say what the challenge is for. The prover's own walk is not
changed: with the same transcript on both sides everything fits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from verifier.transcript import Transcript, _expand

LEFT_OUT, LATE, OTHER = "left out", "after the next step", "something else"
WAYS = (LEFT_OUT, LATE, OTHER)


@dataclass(frozen=True)
class Cheat:
    """What happens to the step `label`.

    Args:
        way: it does not enter the state; it enters after the step that follows it; or something else enters, its bytes
            with all bits turned round, or for a challenge another label.
    """

    label: str
    way: str


def cheating_transcript(cheat: Cheat) -> type[Transcript]:
    """The class, to be put in the place of `Transcript` on the prover's side, on the verifier's, or on both."""

    class Cheating(Transcript):
        _owed: Callable[[], object] | None = None

        def _absorb(self, label: str, data: bytes) -> None:
            if label != cheat.label:
                super()._absorb(label, data)
                self._pay()
            elif cheat.way == OTHER:
                super()._absorb(label, bytes(byte ^ 0xFF for byte in data))
            elif cheat.way == LATE:
                self._owed = lambda: Transcript._absorb(self, label, data)

        def _stream(self, label: str) -> Iterator[int]:
            if label != cheat.label:
                out = super()._stream(label)
                self._pay()
                return out
            if cheat.way == OTHER:
                return super()._stream(f"{label}?")
            if cheat.way == LATE:
                self._owed = lambda: Transcript._stream(self, label)
            return _expand(self.state)

        def _pay(self) -> None:
            owed, self._owed = self._owed, None
            if owed is not None:
                owed()

    return Cheating
