"""The transcript: by the book, in order, and every challenge depends on everything before it."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.verifier.reference_prover import ReferenceProver, SeededRandomness
from tests.verifier.toy_circuits import fibonacci_system, ledger, ledger_system
from tests.verifier.toy_proofs import FREE, expect, honest, verify
from verifier import stark
from verifier.errors import InvariantBroken, Reason, UnacceptableParameters
from verifier.field import Ext, P
from verifier.params import TEST
from verifier.protocol import ABSORB, DRAW, GRIND, POSITIONS, PROTOCOL, Step, schedule
from verifier.transcript import Transcript, TranscriptOrderError

GOLDEN = Path(__file__).with_name("golden_transcript.txt")

STEPS = (
    Step(ABSORB, "a", 3),
    Step(GRIND, "work", bits=6),
    Step(DRAW, "one", 1),
    Step(DRAW, "many", 7),
    Step(ABSORB, "b", 0),
    Step(DRAW, "none", 0),
    Step(POSITIONS, "where", 11, 9),
)


def blake(data: bytes) -> bytes:
    return hashlib.blake2s(data, person=b"SolvTrns").digest()


class ByTheBook:
    """Section 2 of the protocol once more, in other words."""

    def __init__(self) -> None:
        self.state = blake(b"")

    def absorb(self, label: bytes, data: bytes) -> None:
        self.state = blake(self.state + b"\0" + bytes([len(label)]) + label + struct.pack("<Q", len(data)) + data)

    def stream(self, label: bytes, blocks: int) -> list[int]:
        self.state = blake(self.state + b"\1" + bytes([len(label)]) + label)
        data = b"".join(blake(self.state + b"\2" + struct.pack("<Q", i)) for i in range(blocks))
        return [word for (word,) in struct.iter_unpack("<I", data)]

    def exts(self, label: bytes, count: int) -> list[int]:
        words = [word & 0x7FFFFFFF for word in self.stream(label, count + 2)]
        return [word for word in words if word < P][: 5 * count]


def test_by_the_book() -> None:
    transcript, book = Transcript(STEPS), ByTheBook()
    transcript.absorb("a", b"xyz")
    book.absorb(b"a", b"xyz")
    nonce = transcript.find_nonce("work")
    transcript.grind("work", nonce)
    book.absorb(b"work", struct.pack("<Q", nonce))
    assert blake(book.state + b"\3")[0] % 64 == 0
    assert list(transcript.draw_one("one")) == book.exts(b"one", 1)
    assert [word for element in transcript.draw("many") for word in element] == book.exts(b"many", 7)
    transcript.absorb("b", b"")
    book.absorb(b"b", b"")
    assert transcript.draw("none") == ()
    book.stream(b"none", 0)
    assert list(transcript.draw_positions("where")) == [word % 512 for word in book.stream(b"where", 2)][:11]
    assert transcript.state == book.state
    transcript.finish()


def test_words_at_or_above_p_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = [P, P + 5, 2**31 + P, 1, 2**31 + 2, P - 1, 2**32 - 1, 4, 5]
    monkeypatch.setattr(Transcript, "_stream", lambda self, label: iter(stream))
    transcript = Transcript((Step(DRAW, "x", 1),))
    assert transcript.draw_one("x") == (1, 2, P - 1, 4, 5)


def test_the_nonce_found_is_the_least() -> None:
    first = Transcript(STEPS)
    first.absorb("a", b"abc")
    nonce = first.find_nonce("work")
    assert first.find_nonce("work") == nonce
    for smaller in range(nonce):
        other = Transcript(STEPS)
        other.absorb("a", b"abc")
        with pytest.raises(UnacceptableParameters):
            other.grind("work", smaller)
    first.grind("work", nonce)


@pytest.mark.negative
def test_without_work_the_nonce_is_zero_and_still_absorbed() -> None:
    steps = (Step(GRIND, "work", bits=0), Step(DRAW, "x", 1))
    for nonce in (1, 2**64 - 1):
        with pytest.raises(UnacceptableParameters) as caught:
            Transcript(steps).grind("work", nonce)
        expect(Reason.GRINDING, caught.value)
    transcript = Transcript(steps)
    before = transcript.state
    transcript.grind("work", transcript.find_nonce("work"))
    if transcript.state == before:
        pytest.fail("the nonce was not absorbed")


@pytest.mark.negative
def test_any_other_order_is_our_bug() -> None:
    def fresh() -> Transcript:
        return Transcript(STEPS)

    def after(transcript: Transcript) -> Transcript:
        transcript.absorb("a", b"xyz")
        return transcript

    wrong: list[Callable[[], object]] = [
        lambda: fresh().absorb("b", b""),
        lambda: fresh().absorb("a", b"xy"),
        lambda: fresh().absorb("a", b"wxyz"),
        lambda: fresh().draw("one"),
        lambda: fresh().grind("work", 0),
        lambda: fresh().find_nonce("work"),
        lambda: after(fresh()).absorb("a", b"xyz"),
        lambda: after(fresh()).draw("one"),
        lambda: after(fresh()).absorb("work", bytes(8)),
        lambda: after(fresh()).finish(),
        lambda: fresh().finish(),
        lambda: Transcript(()).absorb("a", b""),
        lambda: Transcript((Step(DRAW, "x", 4),)).draw_positions("x"),
        lambda: Transcript((Step(POSITIONS, "x", 4, 5),)).draw("x"),
    ]
    for use in wrong:
        with pytest.raises(TranscriptOrderError):
            use()
    if not issubclass(TranscriptOrderError, InvariantBroken):
        pytest.fail("an order error is never a refusal of somebody's data")


def play(pieces: dict[str, bytes]) -> dict[str, object]:
    """All challenges of a schedule when every label absorbs the given piece; nonces are zero, there is no work."""
    out: dict[str, object] = {}
    transcript = Transcript(schedule(ledger_system(), FREE, 10))
    for step in schedule(ledger_system(), FREE, 10):
        if step.kind == ABSORB:
            transcript.absorb(step.label, pieces.get(step.label, bytes(step.count)))
        elif step.kind == GRIND:
            transcript.grind(step.label, 0)
        elif step.kind == DRAW:
            out[step.label] = transcript.draw(step.label)
        else:
            out[step.label] = transcript.draw_positions(step.label)
    transcript.finish()
    return out


def test_every_challenge_depends_on_every_byte_before_it() -> None:
    """Statement, parameters, circuit, every root, every opening, the final polynomial: first and last byte of each."""
    steps = schedule(ledger_system(), FREE, 10)
    plain = play({})
    for index, step in enumerate(steps):
        if step.kind != ABSORB:
            continue
        for byte in (0, step.count - 1):
            changed = bytearray(step.count)
            changed[byte] ^= 1
            other = play({step.label: bytes(changed)})
            for position, later in enumerate(steps):
                if later.kind in (DRAW, POSITIONS):
                    assert (other[later.label] != plain[later.label]) is (position > index), (step.label, later.label)


def test_no_two_challenges_of_a_proof_are_equal() -> None:
    elements: list[Ext] = []
    for label, drawn in play({}).items():
        if label != "queries":
            elements += drawn  # type: ignore[arg-type]
    assert len(set(elements)) == len(elements) > 30


def test_start_binds_protocol_circuit_parameters_rows_and_statement() -> None:
    statement = bytes(range(32))

    def state(transcript: Transcript) -> bytes:
        return transcript.state

    plain = state(Transcript.start(ledger_system(), TEST, 10, statement))
    book = ByTheBook()
    book.absorb(b"protocol", PROTOCOL)
    book.absorb(b"circuit", ledger_system().digest)
    book.absorb(b"parameters", TEST.digest)
    book.absorb(b"rows", struct.pack("<I", 10))
    book.absorb(b"statement", statement)
    assert plain == book.state
    others = {
        state(Transcript.start(fibonacci_system(), TEST, 10, statement)),
        state(Transcript.start(ledger_system(), replace(TEST, queries=5), 10, statement)),
        state(Transcript.start(ledger_system(), TEST, 11, statement)),
        state(Transcript.start(ledger_system(), TEST, 10, statement[::-1])),
    }
    assert len(others | {plain}) == 5


def test_the_schedule_does_each_thing_once() -> None:
    labels = [step.label for step in schedule(ledger_system(), TEST, 10)]
    assert len(set(labels)) == len(labels)


class Recording(Transcript):
    """Notes label, kind, count and the state after every step."""

    log: list[str]

    def __init__(self, steps: tuple[Step, ...]) -> None:
        super().__init__(steps)
        self.log = []

    def _advance(self, kind: str, label: str) -> Step:
        self._note()
        step = super()._advance(kind, label)
        self.log.append(f"{step.kind} {step.label!r} count {step.count} bits {step.bits}")
        return step

    def _note(self) -> None:
        if self.log and "->" not in self.log[-1]:
            self.log[-1] += f" -> {self.state.hex()[:16]}"

    def finish(self) -> None:
        self._note()
        super().finish()
        logs.append("\n".join(self.log) + "\n")


logs: list[str] = []


class RecordingProver(ReferenceProver):
    def start(self) -> Transcript:
        return Recording.start(self.system, self.params, self.log2_rows, self.relation.binding)


def test_both_sides_walk_the_golden_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reviewed file: prover and verifier share the class that fixes the order, so they could share a mistake."""
    logs.clear()
    case = ledger()
    proof = RecordingProver(case.relation, TEST, case.columns, SeededRandomness(b"toy")).prove()
    assert proof == honest("ledger")
    monkeypatch.setattr(stark, "Transcript", Recording)
    verify(case, proof)
    golden = GOLDEN.read_text(encoding="ascii")
    assert logs == [golden, golden]
