"""The witness: the specification's answers, its atomic rule under races and kills, and the log's side of it."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from api.notes import log_key
from api.witness import Refused, Witness
from api.witnesses import add_checkpoint_body
from prover.errors import InputError
from prover.files import Step, no_step
from tests.api.publishing.victims import Failing, killed_at
from tests.verifier.log.signers import LOG_VKEY, ORIGIN, key_of, policy_text, root, signed
from tests.verifier.log.test_tree import LARGE_FILES
from verifier.errors import Reason
from verifier.log.checkpoint import open_checkpoint, parse_checkpoint
from verifier.log.note import ED25519, Note, VerifierKey, cosigned_at, parse_signature, parse_vkey, verified
from verifier.log.policy import parse_policy
from verifier.log.tiles import Tiles

NOW = 1_800_000_000


def tiles(size: int) -> Tiles:
    return Tiles(LARGE_FILES.__getitem__, size)


def request(old: int, size: int) -> bytes:
    return add_checkpoint_body(old, tiles(size), signed(size, tiles(size).root()))


def new_witness(
    folder: Path,
    name: str = "w1",
    step: Step = no_step,
    clock: Callable[[], float] = lambda: NOW,
    create: bool | None = None,
) -> Witness:
    """A witness, made if there is none."""
    file = folder / f"{name}.db"
    make = not file.exists() if create is None else create
    return Witness(f"sqlite:///{file}", name, key_of(name), (LOG_VKEY,), create=make, clock=clock, step=step)


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[Witness]:
    made = new_witness(tmp_path)
    yield made
    made.close()


def line_of(witness: Witness, line: str, note: bytes) -> int:
    """When the line says that it was cosigned, checked."""
    text = parse_checkpoint(note)[1].text
    signature = parse_signature(line.removesuffix("\n"), "line")
    assert verified(Note(text, (signature,)), [witness.key], Reason.COSIGNATURE)
    return cosigned_at(signature) or 0


# The tests of a public implementation, github.com/FiloSottile/torchwood @ 341dc2f (cmd/litewitness/testdata): the same
# log, requests and answers. Only "unknown log" is 404 in today's specification; it was 403 in that version.
SIGSUM = "sigsum.org/v1/tree/4d6d8825a6bb689d459628312889dfbb0bcd41b5211d9e1ce768b0ff0309e562"
SIGSUM_KEY = bytes.fromhex("ffdc2d4d98e4124d3feaf788c0c2f9abfd796083d1f0495437f302ec79cf100f")
A, B, C, D = (base64.b64encode(bytes([42, i]) + bytes(30)).decode() for i in range(4))
THREE = "RcCI1Nk56ZcSmIEfIn0SleqtV7uvrlXNccFx595Iwl0="
FIVE = "QrtXrQZCCvpIgsSmOsah7HdICzMLLyDfxToMql9WTjY="
PAIR, TAIL = "+fUDV+k970B4I3uKrqJM4aP1lloPZP8mvr2Z4wRw2LI=", base64.b64encode(b"\x2a\x04" + bytes(30)).decode()
MIDDLE = "wgiIFdZfYNv6WU1OllBKsWnLYIS/DBMqt8Uh/S4OukE="
SIGNED_1 = "UgIom7fPZTqpxWWhyjWduBvTvGVqsokMbqTArsQilegKoFBJQjUFAmQ0+YeSPM3wfUQMFSzVnnNuWRTYrajXpNUbIQY="
SIGNED_3 = "UgIom2VbtIcdFbwFAy1n7s6IkAxIY6J/GQOTuZF2ORV39d75cbAj2aQYwyJre36kezNobZs4SUUdrcawfAB8WVrx6go="
SIGNED_5 = "UgIomw/EOJmWi0i1FQsOj+etB7F8IccFam/jgd6wzRns4QPVmyEZtdvl1U2KEmLOZ/ASRcWJi0tW90dJWAShei7sDww="


def sigsum(old: int, proof: list[str], size: int, root: str, signature: str, origin: str = SIGSUM) -> bytes:
    lines = [f"old {old}", *proof, "", origin, str(size), root, "", f"— {origin} {signature}", ""]
    return "\n".join(lines).encode()


def test_a_public_implementation_s_test(tmp_path: Path) -> None:
    key = VerifierKey(SIGSUM, ED25519, SIGSUM_KEY)
    assert parse_vkey(key.vkey, ED25519) == key
    witness = Witness(f"sqlite:///{tmp_path / 'w.db'}", "example.com/witness", key_of("w"), (key,), create=True)
    steps: list[tuple[bytes, int, str]] = [
        (sigsum(0, [], 1, A, SIGNED_1), 200, "— example.com/witness"),
        (sigsum(1, [B, C], 3, THREE, SIGNED_3.replace("6go=", "6gx=")), 400, ""),  # not canonical base64
        (sigsum(1, [B, C], 3, THREE, SIGNED_1), 403, "signature"),
        (sigsum(1, [B, C], 3, THREE, SIGNED_3, SIGSUM[:-1] + "3"), 404, "origin"),
        (sigsum(1, [], 3, THREE, SIGNED_3), 422, "consistency proof"),
        (sigsum(1, [B, base64.b64encode(b"\x2a\x02" + bytes(28) + b"\x01\x00").decode()], 3, THREE, SIGNED_3), 422, ""),
        (sigsum(1, [B, C], 3, THREE, SIGNED_3), 200, "— example.com/witness"),
        (sigsum(1, [B, PAIR, TAIL], 5, FIVE, SIGNED_5), 409, "3\n"),
        (sigsum(3, [C, D, MIDDLE, TAIL], 5, FIVE, SIGNED_5), 200, "— example.com/witness"),
        (sigsum(0, [], 5, FIVE, SIGNED_5), 409, "5\n"),
    ]
    for body, status, text in steps:
        try:
            got = 200, witness.add_checkpoint(body)
        except Refused as error:
            got = error.status, error.text
        assert got[0] == status, got
        assert got[1].startswith(text) if status in (200, 409) else text in got[1]
    note = witness.checkpoint(hashlib.sha256(SIGSUM.encode()).hexdigest())
    assert parse_checkpoint(note)[0].size == 5
    witness.close()


def test_cosignatures_are_the_specification_s(witness: Witness) -> None:
    line = witness.add_checkpoint(request(0, 7))
    assert line_of(witness, line, signed(7, tiles(7).root())) == NOW
    assert line_of(witness, witness.add_checkpoint(request(7, 7)), signed(7, tiles(7).root())) == NOW
    note = witness.checkpoint(hashlib.sha256(ORIGIN.encode()).hexdigest())
    opened = open_checkpoint(note, parse_policy(policy_text("w1", k=1).encode()))
    assert (opened.checkpoint.size, opened.witnesses) == (7, (("w1", NOW),))
    witness.add_checkpoint(request(7, 300))
    with pytest.raises(Refused) as caught:
        witness.checkpoint("00" * 32)
    assert caught.value.status == 404


def test_a_clock_that_jumps_back_makes_no_newer_cosignature_older(tmp_path: Path) -> None:
    times = [NOW, NOW - 3600, 0]
    witness = new_witness(tmp_path, clock=lambda: times.pop(0))
    seen = [
        line_of(witness, witness.add_checkpoint(request(*sizes)), signed(sizes[1], tiles(sizes[1]).root()))
        for sizes in ((0, 1), (1, 2), (2, 3))
    ]
    assert seen == [NOW, NOW, NOW]
    witness.close()


EMPTY = base64.b64encode(hashlib.sha256(b"").digest()).decode()
NOTE_7 = signed(7, tiles(7).root())


@pytest.mark.negative
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"old 0\n" + NOTE_7, 400),
        (b"old 00\n\n" + NOTE_7, 400),
        (b"old -1\n\n" + NOTE_7, 400),
        (b"old 0 \n\n" + NOTE_7, 400),
        (b"OLD 0\n\n" + NOTE_7, 400),
        (b"0\n\n" + NOTE_7, 400),
        (b"old 7\nnot base64\n\n" + NOTE_7, 400),
        (b"old 7\n" + b"\n".join([A.encode()] * 64) + b"\n\n" + NOTE_7, 400),
        (b"old 7\n\n" + NOTE_7[:-9], 400),
        (b"old 8\n\n" + NOTE_7, 400),
        (b"old 3\n\n" + NOTE_7, 409),
        (b"old 7\n" + b"\n".join([A.encode()] * 63) + b"\n\n" + NOTE_7, 409),
        (b"old 0\n" + A.encode() + b"\n\n" + NOTE_7, 422),
        (b"old 0\n\n" + signed(7, tiles(7).root(), origin="example.com/other"), 404),
        (b"old 0\n\n" + signed(7, tiles(7).root(), key=key_of("thief")), 403),
        (b"old 0\n\n" + signed(0, root("something")), 422),
    ],
)
def test_answers_to_bad_requests(witness: Witness, body: bytes, status: int) -> None:
    with pytest.raises(Refused) as caught:
        witness.add_checkpoint(body)
    assert caught.value.status == status
    assert caught.value.text == ("0\n" if status == 409 else caught.value.text)
    witness.add_checkpoint(request(0, 7))


@pytest.mark.negative
def test_two_histories_are_not_cosigned(witness: Witness) -> None:
    witness.add_checkpoint(request(0, 7))
    for body in (
        b"old 7\n\n" + signed(7, root("another history")),
        add_checkpoint_body(7, tiles(8), signed(8, root("another history"))),
        b"old 7\n\n" + signed(8, tiles(8).root()),
        add_checkpoint_body(6, tiles(8), signed(8, tiles(8).root())).replace(b"old 6", b"old 7"),
    ):
        with pytest.raises(Refused) as caught:
            witness.add_checkpoint(body)
        assert caught.value.status == 422
    with pytest.raises(Refused, match="7"):
        witness.add_checkpoint(request(0, 5))


def test_a_race_rolls_nothing_back(tmp_path: Path) -> None:
    """Design 6, item 50, and the race of c2sp.org/tlog-witness: N is checked, N + K comes between, N is stored."""
    inside, go_on = threading.Event(), threading.Event()

    def stall(name: str) -> None:
        if name == "in transaction":
            inside.set()
            go_on.wait(5)

    first = new_witness(tmp_path)
    first.add_checkpoint(request(0, 1))
    slow, answers = new_witness(tmp_path, step=stall), []

    def submit(witness: Witness, body: bytes) -> None:
        try:
            answers.append((200, witness.add_checkpoint(body)))
        except Refused as error:
            answers.append((error.status, error.text))

    threads = [threading.Thread(target=submit, args=(slow, request(1, 3)))]
    threads[0].start()
    assert inside.wait(5)
    threads.append(threading.Thread(target=submit, args=(first, request(1, 5))))
    threads[1].start()
    threads[1].join(0.2)
    assert threads[1].is_alive(), "the second request did not wait for the first one"
    go_on.set()
    for thread in threads:
        thread.join()
    assert sorted(status for status, _ in answers) == [200, 409]
    assert (409, "3\n") in answers
    note = first.checkpoint(hashlib.sha256(ORIGIN.encode()).hexdigest())
    assert parse_checkpoint(note)[0].size == 3
    for each in (first, slow):
        each.close()


def test_many_at_once_are_one_after_the_other(tmp_path: Path) -> None:
    witness = new_witness(tmp_path)
    witness.add_checkpoint(request(0, 1))
    cosigned: list[int] = []

    def climb(seed: int) -> None:
        size = 1
        for i in range(6):
            target = size + 1 + (seed * 7 + i * 3) % 5
            try:
                witness.add_checkpoint(request(size, target))
                cosigned.append(target)
                size = target
            except Refused as error:
                assert error.status == 409, error.text
                size = int(error.text)

    threads = [threading.Thread(target=climb, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(cosigned)) == len(cosigned), "one size was the next one twice"
    note = witness.checkpoint(hashlib.sha256(ORIGIN.encode()).hexdigest())
    assert parse_checkpoint(note)[0].size == max(cosigned)
    witness.close()


def submit(folder: Path, step: Step) -> None:
    new_witness(folder, step=step).add_checkpoint(request(3, 7))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the victims are forked")
def test_killed_at_every_write_it_forgets_nothing_that_it_gave_away(tmp_path: Path) -> None:
    for number in range(1, 10):
        folder = tmp_path / str(number)
        folder.mkdir()
        witness = new_witness(folder)
        witness.add_checkpoint(request(0, 3))
        witness.close()
        died = killed_at(number, partial(submit, folder))
        witness = new_witness(folder)
        size = parse_checkpoint(witness.checkpoint(hashlib.sha256(ORIGIN.encode()).hexdigest()))[0].size
        assert size in (3, 7)
        if not died:
            assert size == 7
        with pytest.raises(Refused):
            witness.add_checkpoint(b"old %d\n\n" % size + signed(size, root("another history")))
        assert witness.add_checkpoint(request(size, 7))
        witness.close()
        if not died:
            assert number > 3
            return
    pytest.fail("there is no end of steps")


@pytest.mark.negative
def test_a_full_disk_costs_a_cosignature_and_nothing_else(tmp_path: Path) -> None:
    witness = new_witness(tmp_path, step=Failing(2))
    with pytest.raises(OSError, match="No space"):
        witness.add_checkpoint(request(0, 3))
    assert witness.add_checkpoint(request(0, 5))
    witness.close()


@pytest.mark.negative
def test_without_its_memory_it_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        new_witness(tmp_path, create=False)
    new_witness(tmp_path).close()
    with pytest.raises(InputError, match="one that is in use"):
        new_witness(tmp_path, create=True)


# The log's side, over HTTP


def test_another_log_s_key_is_another_log(tmp_path: Path) -> None:
    witness = Witness(
        f"sqlite:///{tmp_path / 'w.db'}",
        "w",
        key_of("w"),
        (LOG_VKEY, log_key("example.com/other", key_of("other"))),
        create=True,
    )
    witness.add_checkpoint(request(0, 5))
    other = signed(2, root("its own"), origin="example.com/other", key=key_of("other"))
    assert witness.add_checkpoint(b"old 0\n\n" + other)
    witness.add_checkpoint(request(5, 6))
    witness.close()
