"""The log's side of c2sp.org/tlog-witness: asking witnesses to cosign the newest checkpoint."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from threading import Thread
from typing import Any, Final

from api.store import Store
from verifier.canonical import shown
from verifier.errors import Reason, VerificationError
from verifier.log.check import reader
from verifier.log.checkpoint import Checkpoint, parse_checkpoint, parse_number
from verifier.log.note import Note, VerifierKey, parse_signature, verified
from verifier.log.policy import Policy, Witness
from verifier.log.proof import pack_digests
from verifier.log.tiles import Tiles

TIMEOUT_SECONDS: Final = 10.0
ANSWER_BYTES_MAX: Final = 2**16
ATTEMPTS_MAX: Final = 3


@dataclass(frozen=True)
class Answer:
    """One witness's answer: a cosignature line, or why there is none."""

    witness: str
    line: str | None
    why: str


class _Failed(Exception):
    """Why a witness gave no cosignature."""


def collect(store: Store, policy: Policy, timeout: float = TIMEOUT_SECONDS) -> tuple[Answer, ...]:
    """Ask all witnesses of a policy that have a URL for their cosignature of the newest checkpoint, and keep those.

    Witnesses that cosigned it before are not asked again. One that is down, slow or wrong costs nothing but its own
    cosignature: after `ATTEMPTS_MAX` times `timeout` seconds nobody waits for it, however it spreads its answer.
    """
    note = store.signed()
    if note is None:
        return ()
    checkpoint, _ = parse_checkpoint(note)
    have = store.cosignatures(checkpoint.size)
    asked = [w for w in policy.witnesses if w.url is not None and w.key.vkey not in have]
    sizes = [store.cosigned_size(witness.key.vkey) for witness in asked]
    tiles = reader(store.log)

    answered: dict[str, Answer] = {}

    def ask_one(witness: Witness, old_size: int) -> None:
        try:
            line = ask(witness, note, old_size, Tiles(tiles, checkpoint.size), timeout)
        except _Failed as error:
            answered[witness.name] = Answer(witness.name, None, str(error))
        else:
            answered[witness.name] = Answer(witness.name, line, "cosigned")

    # A socket's timeout is one for each piece that arrives, hence threads that are left behind, and not joined at exit.
    threads = [Thread(target=ask_one, args=pair, daemon=True) for pair in zip(asked, sizes, strict=True)]
    end = time.monotonic() + ATTEMPTS_MAX * timeout
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    late = f"no answer within {ATTEMPTS_MAX * timeout:g} s"
    answers = [Answer(w.name, have[w.key.vkey], "cosigned before") for w in policy.witnesses if w.key.vkey in have]
    for witness in asked:
        answer = answered.get(witness.name) or Answer(witness.name, None, late)
        if answer.line is not None:
            store.add_cosignature(checkpoint.size, witness.key.vkey, answer.line)
        answers.append(answer)
    return tuple(sorted(answers, key=lambda answer: answer.witness))


def ask(witness: Witness, note: bytes, old_size: int, tiles: Tiles, timeout: float = TIMEOUT_SECONDS) -> str:
    """One witness's cosignature line of a checkpoint, checked.

    Args:
        note: the checkpoint, signed by the log.
        old_size: that the witness knows, as far as we know; it corrects us.
    """
    checkpoint, parsed = parse_checkpoint(note)
    for _ in range(ATTEMPTS_MAX):
        status, body = _post(witness, add_checkpoint_body(old_size, tiles, note), timeout)
        if status == 200:
            return _cosignature(witness.key, parsed, body)
        if status != 409:
            raise _Failed(f"answered {status}: {shown(body)}")
        old_size = _corrected(checkpoint, body)
    raise _Failed(f"still disagrees about its size after {ATTEMPTS_MAX} attempts")


def add_checkpoint_body(old_size: int, tiles: Tiles, note: bytes) -> bytes:
    """The request."""
    return f"old {old_size}\n{pack_digests(tiles.consistency(old_size))}\n".encode() + note


def _corrected(checkpoint: Checkpoint, body: str) -> int:
    try:
        size = parse_number(body.removesuffix("\n"), "size")
    except VerificationError:
        raise _Failed(f"knows another size, and does not say which: {shown(body)}") from None
    if size > checkpoint.size:
        raise _Failed(f"has seen {size} entries of this log, which has {checkpoint.size}: this store is an older one")
    return size


def _cosignature(key: VerifierKey, note: Note, body: str) -> str:
    """The witness's line, which has to be good; lines by other keys are ignored."""
    try:
        lines = tuple(parse_signature(line, "answer") for line in body.removesuffix("\n").split("\n"))
        good = verified(Note(note.text, lines), [key], Reason.COSIGNATURE)
    except VerificationError as error:
        raise _Failed(f"answered with what is no cosignature: {error}") from None
    if not good:
        raise _Failed(f"answered without a cosignature by {key.vkey}")
    return good[0][1].line


def _post(witness: Witness, body: bytes, timeout: float) -> tuple[int, str]:
    url = f"{(witness.url or '').rstrip('/')}/add-checkpoint"
    if not url.startswith(("https://", "http://")):
        raise _Failed(f"no http or https address: {shown(url)}")
    try:
        request = urllib.request.Request(url, body, {"Content-Type": "text/plain; charset=utf-8"})
        try:
            answer = _OPENER.open(request, timeout=timeout)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            return answer.status, answer.read(ANSWER_BYTES_MAX).decode("utf-8", "replace")
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _Failed(f"cannot be reached: {shown(str(error))}") from None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A witness is where the policy says it is."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER: Final = urllib.request.build_opener(_NoRedirects())
