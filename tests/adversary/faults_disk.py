"""What a disk may hold after a power cut: a model that replays what a process did, less what it did not sync.

Rules, stricter than those of any one file system: what was written to a file before its last fsync is there; what was
written later is there, or not, or in parts of 512 bytes, in any order. A name is there when its folder was synced after
the change; of later changes in one folder any beginning is there. A rename across folders is one change of both.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from tests.adversary.faults_traced import Kind, Seen

SECTOR_BYTES: Final = 512
ROOT: Final = 0
MEMORY: Final = "-shm"
"""SQLite's index of its log is memory that processes share, made again after a power cut."""

Node = bytearray | dict[str, int]
"""A file, or a folder: numbers of nodes by name."""


class Change(NamedTuple):
    """A change of one node, or of names in one or two folders.

    Args:
        kind: of it.
        node: the file that is written, cut or synced; the folder that is synced; what a name means.
        offset, data: of WRITE; `offset` is the length with CUT.
        away, to: (folder, name) that goes, and that comes.
    """

    kind: Kind
    node: int
    offset: int = 0
    data: bytes = b""
    away: tuple[int, str] | None = None
    to: tuple[int, str] | None = None


@dataclass
class Recording:
    """All changes under a folder, from what was there at first.

    Attributes:
        changes: in their order.
        said: how many changes there were when each message was acknowledged.
    """

    nodes: dict[int, Node] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    said: list[tuple[int, bytes]] = field(default_factory=list)
    _names: dict[int, dict[str, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path) -> Recording:
        """Of a folder as it is now, all of it on disk."""
        recording = cls()
        recording._read(folder)
        return recording

    def __call__(self, seen: Seen) -> None:
        """The next change."""
        if seen.said is not None:
            self.said.append((len(self.changes), seen.said))
            return
        if seen.kind is None or seen.path.endswith((MEMORY, " (deleted)")):
            return
        if seen.kind in (Kind.WRITE, Kind.CUT, Kind.SYNC):
            self.changes.append(Change(seen.kind, self._find(seen.path), seen.offset, seen.data))
            return
        folder, name = self._place(seen.path)
        if seen.kind in (Kind.OPEN, Kind.MAKE):
            node = self._new({} if seen.kind is Kind.MAKE else bytearray())
            self.changes.append(Change(seen.kind, node, to=(folder, name)))
            self._names[folder][name] = node
            return
        node = self._names[folder][name]
        if seen.kind is not Kind.LINK:
            del self._names[folder][name]
        if seen.kind is Kind.REMOVE:
            self.changes.append(Change(seen.kind, node, away=(folder, name)))
            return
        target = self._place(seen.other)
        self._names[target[0]][target[1]] = node
        away = None if seen.kind is Kind.LINK else (folder, name)
        self.changes.append(Change(seen.kind, node, away=away, to=target))

    def told(self, count: int) -> list[bytes]:
        """What was acknowledged by the time of so many changes."""
        return [message for place, message in self.said if place <= count]

    def write(self, chosen: Iterable[Change], folder: Path) -> None:
        """Makes `folder` what the disk holds when these changes, and no others, have reached it."""
        nodes = {number: node.copy() for number, node in self.nodes.items()}
        for change in chosen:
            _apply(nodes, change)
        _lay_out(nodes, ROOT, folder)

    def _read(self, folder: Path) -> int:
        names: dict[str, int] = {}
        number = self._new(names)
        for path in sorted(folder.iterdir()):
            if path.is_dir():
                names[path.name] = self._read(path)
            elif not path.name.endswith(MEMORY):
                names[path.name] = self._new(bytearray(path.read_bytes()))
        self._names[number] = dict(names)
        return number

    def _new(self, node: Node) -> int:
        number = len(self.nodes)
        self.nodes[number] = node
        if isinstance(node, dict):
            self._names[number] = {}
        return number

    def _find(self, path: str) -> int:
        number = ROOT
        for name in PurePosixPath(path).parts:
            number = self._names[number][name]
        return number

    def _place(self, path: str) -> tuple[int, str]:
        whole = PurePosixPath(path)
        return self._find(str(whole.parent)), whole.name


def _apply(nodes: dict[int, Node], change: Change) -> None:
    node = nodes[change.node]
    if change.kind in (Kind.WRITE, Kind.CUT) and isinstance(node, bytearray):
        end = change.offset + len(change.data)
        if len(node) < end:
            node.extend(bytes(end - len(node)))
        if change.kind is Kind.WRITE:
            node[change.offset : end] = change.data
        else:
            del node[end:]
        return
    for place, is_there in ((change.away, False), (change.to, True)):
        names = nodes[place[0]] if place else None
        if place is None or not isinstance(names, dict):
            continue
        if is_there:
            names[place[1]] = change.node
        elif names.get(place[1]) == change.node:
            del names[place[1]]


def _lay_out(nodes: dict[int, Node], number: int, path: Path) -> None:
    node = nodes[number]
    if isinstance(node, bytearray):
        path.write_bytes(node)
        return
    path.mkdir()
    for name, below in node.items():
        _lay_out(nodes, below, path / name)


class _Doubtful(NamedTuple):
    """Places of changes that are not on disk for certain."""

    data: set[int]
    names: set[int]


def _doubtful(changes: list[Change]) -> _Doubtful:
    data: set[int] = set()
    names: set[int] = set()
    for place, change in enumerate(changes):
        if change.kind is Kind.SYNC:
            data -= {other for other in data if changes[other].node == change.node}
            names -= {other for other in names if change.node in _folders(changes[other])}
        elif change.kind in (Kind.WRITE, Kind.CUT):
            data.add(place)
        else:
            names.add(place)
    return _Doubtful(data, names)


def _folders(change: Change) -> set[int]:
    return {place[0] for place in (change.away, change.to) if place is not None}


def _nothing(changes: list[Change], _chance: random.Random) -> list[Change]:
    """Only what was synced."""
    doubtful = _doubtful(changes)
    return [change for place, change in enumerate(changes) if place not in doubtful.data | doubtful.names]


def _names_alone(changes: list[Change], _chance: random.Random) -> list[Change]:
    """All names, and of files what was synced: empty files, as journalling file systems leave them."""
    doubtful = _doubtful(changes)
    return [change for place, change in enumerate(changes) if place not in doubtful.data]


def _data_alone(changes: list[Change], _chance: random.Random) -> list[Change]:
    """All bytes, and of names those that were synced."""
    doubtful = _doubtful(changes)
    return [change for place, change in enumerate(changes) if place not in doubtful.names]


def _any(changes: list[Change], chance: random.Random) -> list[Change]:
    """Any part of it: sectors of writes in any order, any beginning of each folder's changes."""
    doubtful = _doubtful(changes)
    kept: list[Change] = []
    ended: set[int] = set()
    share = chance.random()
    for place, change in enumerate(changes):
        if place in doubtful.names:
            if ended & _folders(change) or chance.random() > share:
                ended |= _folders(change)
                continue
            kept.append(change)
        elif place in doubtful.data and change.kind is Kind.WRITE:
            for start in range(0, len(change.data), SECTOR_BYTES):
                if chance.random() < share:
                    part = change.data[start : start + SECTOR_BYTES]
                    kept.append(change._replace(offset=change.offset + start, data=part))
        elif place not in doubtful.data or chance.random() < share:
            kept.append(change)
    return kept


CUTS: Final[dict[str, Callable[[list[Change], random.Random], list[Change]]]] = {
    "nothing unsynced": _nothing,
    "names alone": _names_alone,
    "bytes alone": _data_alone,
    "any part": _any,
}
"""What a power cut may leave of the changes that were made by then."""
