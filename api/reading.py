"""The read side: what anybody may fetch of a store, by path. The server answers with it, and an export is all of it.

    checkpoint                        the log, c2sp.org/tlog-tiles
    tile/..
    latest.json                       which publication is the newest
    publications.json                 all of them
    publications/SEQUENCE/NAME        files of a publication, its manifest.json and its log.tlog-proof
    artefacts/SHA256                  the same files by what is in them
    page/NAME                         the page on which users check their balance

Only publications that the shown checkpoint holds are there; tiles may be ahead of it, while witnesses are asked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from api import page
from api.log import log_proof
from api.paths import (
    BINARY,
    CSV,
    JSON,
    LATEST,
    LATEST_FORMAT,
    NAME_PATTERN,
    PAGE,
    PUBLICATIONS,
    PUBLICATIONS_FORMAT,
    TEXT,
    TILE_PATTERN,
)
from api.store import Logged, Store
from verifier.canonical import dumps
from verifier.log.tiles import CHECKPOINT_FILE
from verifier.manifest import LOG_PROOF_FILE, MANIFEST_FILE, Manifest, parse_manifest

_TYPES: Final = {".json": JSON, ".csv": CSV, ".tlog-proof": TEXT}
_TILE: Final = re.compile(f"tile/{TILE_PATTERN}")
_ARTEFACT: Final = re.compile(r"artefacts/([0-9a-f]{64})")
_NAMED: Final = re.compile(rf"publications/(0|[1-9][0-9]{{0,15}})/({NAME_PATTERN})")


@dataclass(frozen=True)
class Resource:
    """One answer.

    Args:
        content: bytes, or the file that has them.
        sha256: hex, where the contents are stored by it.
        is_immutable: whether this path always has these contents.
    """

    content: bytes | Path
    media_type: str
    sha256: str | None = None
    is_immutable: bool = False


@dataclass(frozen=True)
class _Shown:
    """What one state of the checkpoint file shows."""

    stamp: tuple[int, int, int] | None
    entries: tuple[Logged, ...]
    by_sequence: Mapping[int, Logged]


class ReadSide:
    """What a store shows at this moment. Costs one look at the checkpoint file as long as that stays the same."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._checkpoint = str(store.log / CHECKPOINT_FILE)  # is looked at for each request
        self._manifest = lru_cache(64)(self._read_manifest)
        self._state = _Shown(None, (), {})
        self._made: dict[str, Resource] = {}

    def get(self, path: str) -> Resource | None:
        """What is at a path without a leading `/`; None where nothing is."""
        shown = self._shown()
        if path not in self._made:
            found = self._get(path, shown)
            if found is None or isinstance(found.content, Path):
                return found
            self._made[path] = found
        return self._made[path]

    def paths(self) -> Iterator[str]:
        """Every path; those that change come last, and the checkpoint after all others."""
        tiles = (file for file in self._store.log.rglob("*") if file.is_file())
        names = {file.relative_to(self._store.log).as_posix() for file in tiles}
        yield from sorted(name for name in names if _TILE.fullmatch(name))
        entries = self._shown().entries
        digests = set()
        for logged in entries:
            manifest = self._manifest(logged.entry.manifest)
            digests |= {logged.entry.manifest.hex(), *(file.sha256.hex() for file in manifest.files)}
        yield from (f"artefacts/{digest}" for digest in sorted(digests))
        for logged in entries:
            names = {file.name for file in self._manifest(logged.entry.manifest).files}
            for name in sorted({*names, MANIFEST_FILE, LOG_PROOF_FILE}):
                yield f"publications/{logged.entry.sequence}/{name}"
        yield from sorted(PAGE + name for name in page.served())
        yield from (path for path in (PUBLICATIONS, LATEST, CHECKPOINT_FILE) if self.get(path))

    @property
    def size(self) -> int:
        """Number of publications that are shown."""
        return len(self._shown().entries)

    def statement(self, sequence: int) -> bytes | None:
        """Digest of a shown publication's statement, 32 bytes."""
        logged = self._shown().by_sequence.get(sequence)
        return None if logged is None else logged.entry.statement

    def statements(self) -> Iterator[tuple[int, bytes]]:
        """Sequence number and statement digest of every shown publication, the newest first."""
        return ((logged.entry.sequence, logged.entry.statement) for logged in reversed(self._shown().entries))

    def _get(self, path: str, shown: _Shown) -> Resource | None:
        if path == CHECKPOINT_FILE or _TILE.fullmatch(path):
            file = self._store.log / path
            is_tile = path != CHECKPOINT_FILE
            return Resource(file, BINARY if is_tile else TEXT, None, is_tile) if file.is_file() else None
        if path.startswith(PAGE) and path.removeprefix(PAGE) in page.served():
            name = path.removeprefix(PAGE)
            return Resource(page.served()[name], page.MEDIA_TYPES[Path(name).suffix])
        if match := _ARTEFACT.fullmatch(path):
            return self._artefact(match[1], BINARY)
        if match := _NAMED.fullmatch(path):
            logged = shown.by_sequence.get(int(match[1]))
            return None if logged is None else self._named(logged, match[2])
        if path == LATEST and shown.entries:
            return Resource(_latest(shown.entries[-1], len(shown.entries)), JSON)
        return Resource(_listed(shown.entries), JSON) if path == PUBLICATIONS else None

    def _shown(self) -> _Shown:
        try:
            stat = os.stat(self._checkpoint)
        except FileNotFoundError:
            return self._state
        stamp = stat.st_mtime_ns, stat.st_ino, stat.st_size
        if stamp != self._state.stamp:
            checkpoint = self._store.shown()
            entries = tuple(self._store.entries(0, checkpoint.size if checkpoint else 0))
            self._state = _Shown(stamp, entries, {logged.entry.sequence: logged for logged in entries})
            self._made = {}
        return self._state

    def _named(self, logged: Logged, name: str) -> Resource | None:
        if name == LOG_PROOF_FILE:
            return Resource(log_proof(self._store, logged.index), TEXT)
        if name == MANIFEST_FILE:
            return self._artefact(logged.entry.manifest.hex(), JSON)
        files = {file.name: file.sha256.hex() for file in self._manifest(logged.entry.manifest).files}
        return self._artefact(files[name], _TYPES.get(Path(name).suffix, BINARY)) if name in files else None

    def _artefact(self, sha256: str, media_type: str) -> Resource | None:
        file = self._store.artefact(bytes.fromhex(sha256))
        return Resource(file, media_type, sha256, True) if file.is_file() else None

    def _read_manifest(self, sha256: bytes) -> Manifest:
        return parse_manifest(self._store.manifest_bytes(sha256))


def _latest(last: Logged, size: int) -> bytes:
    return dumps({"format": LATEST_FORMAT, "exchange": last.entry.exchange, "log_size": size, **_row(last)})


def _listed(shown: tuple[Logged, ...]) -> bytes:
    return dumps({"format": PUBLICATIONS_FORMAT, "publications": [_row(logged) for logged in shown]})


def _row(logged: Logged) -> dict[str, int | str]:
    entry = logged.entry
    return {
        "index": logged.index,
        "sequence": entry.sequence,
        "statement": entry.statement.hex(),
        "manifest": entry.manifest.hex(),
    }
