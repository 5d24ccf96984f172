"""Hands a publication in to a publisher over HTTP: `solvent publish --to`, the other end of `api.writing`."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

from prover.errors import InputError
from prover.progress import Progress
from verifier.canonical import is_deep
from verifier.errors import Reason, SolvencyError, VerificationError
from verifier.manifest import LOG_PROOF_FILE, MANIFEST_FILE, File, digest_file, role_of, walk
from verifier.verdict import INSOLVENT

TIMEOUT_SECONDS: Final = 600.0
"""A publication is verified before the answer comes: some seconds a million accounts."""
ANSWER_BYTES_MAX: Final = 2**26


class Refused(VerificationError):
    """The publisher refused the publication, with the verifier's own reason."""


class NotPublished(SolvencyError):
    """The publication verifies, and says that the exchange is insolvent."""


def upload(directory: Path, url: str, write_key: str, progress: Progress | None = None) -> dict[str, Any]:
    """Hand a publication in: files that the publisher lacks, and the list of all of them.

    Args:
        directory: what `solvent prove` wrote.
        url: of the publisher.

    Returns:
        Its answer, as `api.publish.Published.to_json`.

    Raises:
        InputError: a file that does not belong there; no such publisher, another key, a publisher that is busy.
        Refused, NotPublished: what the publisher's verifier found.
    """
    files = [digest_file(directory, name) for name in walk(directory) if name not in (MANIFEST_FILE, LOG_PROOF_FILE)]
    for file in files:
        if role_of(file.name) is None or (directory / file.name).is_symlink():
            expected = "only files that belong into a publication"
            raise InputError(file=directory / file.name, got="something else", expected=expected)
    listing = json.dumps({"files": [{"name": file.name, "sha256": file.sha256.hex()} for file in files]}).encode()
    to = _Publisher(url.rstrip("/"), write_key)
    status, answer = to.ask("POST", "/publications", listing)
    if status == 409 and "missing" in answer:
        _put(to, directory, [file for file in files if file.sha256.hex() in answer["missing"]], progress)
        status, answer = to.ask("POST", "/publications", listing)
    if status in (200, 201, 202):
        return answer
    reason = answer.get("reason")
    if reason in [one.value for one in Reason]:
        raise Refused(Reason(reason), str(answer.get("detail")))
    if reason == INSOLVENT:
        raise NotPublished(str(answer.get("detail")))
    raise InputError(file=url, got=f"answer {status}: {answer.get('detail')}", expected="a publication that is taken")


def _put(to: _Publisher, directory: Path, missing: list[File], progress: Progress | None) -> None:
    for number, file in enumerate(missing, start=1):
        status, answer = to.ask("PUT", f"/files/{file.sha256.hex()}", directory / file.name)
        if status not in (200, 201):
            raise InputError(file=file.name, got=f"answer {status}: {answer.get('detail')}", expected="to be taken")
        if progress is not None:
            progress("upload", number / len(missing))


class _Publisher:
    def __init__(self, url: str, write_key: str) -> None:
        if not url.startswith(("https://", "http://")):
            raise InputError(file=url, got="another address", expected="one of http or https")
        self._url, self._key = url, write_key

    def ask(self, method: str, path: str, body: bytes | Path) -> tuple[int, dict[str, Any]]:
        """Status and answer; a file is sent as it is read."""
        address = self._url + path
        size = len(body) if isinstance(body, bytes) else body.stat().st_size
        headers = {"Authorization": f"Bearer {self._key}", "Content-Length": str(size)}
        headers["Content-Type"] = "application/json" if isinstance(body, bytes) else "application/octet-stream"
        try:
            if isinstance(body, bytes):
                return self._send(urllib.request.Request(address, body, headers, method=method))
            with body.open("rb") as stream:
                return self._send(urllib.request.Request(address, stream, headers, method=method))
        except (OSError, ValueError, http.client.HTTPException) as error:
            got = str(error) or type(error).__name__
            raise InputError(file=address, got=got, expected="a publisher that answers") from None

    @staticmethod
    def _send(request: urllib.request.Request) -> tuple[int, dict[str, Any]]:
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
                return answer.status, _object(answer.read(ANSWER_BYTES_MAX) or b"{}")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _object(error.read(ANSWER_BYTES_MAX))


def _object(raw: bytes) -> dict[str, Any]:
    """What an answer says. Raises ValueError for anything but a JSON object."""
    text = raw.decode()
    answer = None if is_deep(text) else json.loads(text)
    if not isinstance(answer, dict):
        raise ValueError("an answer that is no JSON object")
    return answer
