"""Downloading what is published, from a server or a CDN, into folders for `solvent verify` and `solvent log`.

Nothing is believed: lengths and digests are compared as the bytes arrive, and what the files say is for the verifier.
"""

from __future__ import annotations

import hashlib
import http.client
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from api.paths import LATEST, LATEST_FORMAT, RECEIPT, RECEIPTS, SEQUENCE_END
from prover.errors import InputError
from prover.progress import Progress
from verifier.canonical import read_document
from verifier.log.checkpoint import parse_checkpoint
from verifier.log.note import NOTE_BYTES_MAX
from verifier.log.proof import PROOF_BYTES_MAX
from verifier.log.tiles import CHECKPOINT_FILE, ENTRIES_BYTES_MAX, tiles_of
from verifier.manifest import LOG_PROOF_FILE, MANIFEST_BYTES_MAX, MANIFEST_FILE, File, check_file, parse_manifest
from verifier.receipt import RECEIPT_BYTES_MAX

TIMEOUT_SECONDS: Final = 30.0
LATEST_BYTES_MAX: Final = 4096
BLOCK_BYTES: Final = 2**18
PUBLICATION_BYTES_MAX: Final = 2**36
LOG_SIZE_MAX: Final = 2**22
"""More entries than this are not downloaded: what a server says about itself is no reason to fill a disk."""


def fetch_publication(url: str, out: Path, sequence: int | None = None, progress: Progress | None = None) -> int:
    """Download one publication.

    Args:
        url: prefix of the published paths.
        out: folder to make.
        sequence: of the publication; None takes the newest.

    Returns:
        Its sequence number.

    Raises:
        InputError: `out` exists, or the server does not answer as it should.
        VerificationError: a file is not what the manifest says.
    """
    with _new_folder(out) as folder:
        if sequence is None:
            sequence = _latest(_get(url, LATEST, LATEST_BYTES_MAX))
        prefix = f"publications/{sequence}"
        data = _get(url, f"{prefix}/{MANIFEST_FILE}", MANIFEST_BYTES_MAX)
        manifest = parse_manifest(data)
        total = sum(file.size for file in manifest.files)
        if total > PUBLICATION_BYTES_MAX:
            raise InputError(file=url, got=f"{total} bytes", expected=f"at most {PUBLICATION_BYTES_MAX}")
        (folder / MANIFEST_FILE).write_bytes(data)
        done = 0
        for file in manifest.files:
            _save(url, f"{prefix}/{file.name}", folder / file.name, file)
            done += file.size
            if progress is not None:
                progress("download", done / max(total, 1))
        proof = _get(url, f"{prefix}/{LOG_PROOF_FILE}", PROOF_BYTES_MAX)
        (folder / LOG_PROOF_FILE).write_bytes(proof)
    return sequence


def fetch_log(url: str, out: Path, progress: Progress | None = None) -> int:
    """Download a log: its checkpoint and every tile. Returns its size. Raises as `fetch_publication`."""
    with _new_folder(out) as folder:
        note = _get(url, CHECKPOINT_FILE, NOTE_BYTES_MAX)
        size = parse_checkpoint(note)[0].size
        if size > LOG_SIZE_MAX:
            raise InputError(file=url, got=f"{size} entries", expected=f"at most {LOG_SIZE_MAX}")
        (folder / CHECKPOINT_FILE).write_bytes(note)
        tiles = list(tiles_of(size))
        for number, tile in enumerate(tiles, start=1):
            target = folder / tile.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(_get(url, tile.path, ENTRIES_BYTES_MAX))
            if progress is not None:
                progress("download", number / len(tiles))
    return size


def fetch_receipt(url: str, token: str, sequence: int | None = None) -> bytes:
    """Download the receipt of the user whose token it is. Nothing of it is looked at.

    Args:
        sequence: of the publication; None takes the newest that has bundles.

    Raises:
        InputError: the server does not know the token, or does not answer as it should.
    """
    path = RECEIPT if sequence is None else f"{RECEIPTS}/{sequence}"
    return _get(url, path, RECEIPT_BYTES_MAX, {"Authorization": f"Bearer {token}"})


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A folder that is at `out` when all went well, and nowhere otherwise."""
    if out.exists() or out.is_symlink():
        raise InputError(file=out, got="something that exists", expected="a new folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        yield folder
        folder.chmod(0o755)
        folder.rename(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _latest(data: bytes) -> int:
    keys = ("exchange", "index", "log_size", "manifest", "sequence", "statement")
    return read_document(data, LATEST_BYTES_MAX, LATEST, LATEST_FORMAT, keys).integer("sequence", 0, SEQUENCE_END - 1)


def _get(url: str, path: str, limit_bytes: int, headers: Mapping[str, str] | None = None) -> bytes:
    address = _join(url, path)
    with _open(address, headers) as answer:
        data = _read(answer, limit_bytes + 1, address)
    if len(data) > limit_bytes:
        raise InputError(file=address, got="more bytes", expected=f"at most {limit_bytes}")
    return data


def _save(url: str, path: str, target: Path, expected: File) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size, address = hashlib.sha256(), 0, _join(url, path)
    with _open(address) as answer, target.open("wb") as stream:
        # One byte more than listed is enough to see that there are more.
        while block := _read(answer, min(BLOCK_BYTES, expected.size + 1 - size), address):
            digest.update(block)
            size += len(block)
            stream.write(block)
    check_file(expected, File(expected.name, size, digest.digest()))


def _open(address: str, headers: Mapping[str, str] | None = None) -> Any:
    if not address.startswith(("https://", "http://")):
        raise InputError(file=address, got="another address", expected="one of http or https")
    try:
        request = urllib.request.Request(address, headers=dict(headers or {}))
        return urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        expected = "a token of this exchange" if error.code == 401 else "a published file"
        with error:
            raise InputError(file=address, got=f"answer {error.code}", expected=expected) from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _unanswered(address, error) from None


def _read(answer: Any, count: int, address: str) -> bytes:
    try:
        data: bytes = answer.read(count)
    except (OSError, http.client.HTTPException) as error:
        raise _unanswered(address, error) from None
    return data


def _unanswered(address: str, error: Exception) -> InputError:
    return InputError(file=address, got=str(error) or type(error).__name__, expected="an answer")


def _join(url: str, path: str) -> str:
    return f"{url.rstrip('/')}/{path}"
