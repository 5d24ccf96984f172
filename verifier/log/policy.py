"""Whom a reader believes: c2sp.org/tlog-policy, a text file with logs, witnesses, groups of them, and a quorum.

    log <vkey> [<url>]
    witness <name> <vkey> [<url>]
    group <name> all|any|<k> <name>...
    quorum <name>|none

Empty lines and lines that start with `#` count for nothing. A name is defined before it is used, once, and is in one
group at most; no two lines share a public key. The quorum is the reader's choice: `none` asks for no witness.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from verifier.canonical import refuse, require_size
from verifier.errors import Reason
from verifier.files import read_file
from verifier.log.note import COSIGNATURE_V1, ED25519, VerifierKey, parse_vkey

POLICY_BYTES_MAX = 2**16
NAMES_MAX = 64
"""Logs, witnesses and groups, each; readers should take 32."""
NO_QUORUM = "none"
_OTHER_CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
_THRESHOLD = re.compile(r"[1-9][0-9]{0,3}")


@dataclass(frozen=True)
class Witness:
    """Somebody who cosigns. `name` means something in the policy only; `url` is where checkpoints are submitted."""

    name: str
    key: VerifierKey
    url: str | None = None


@dataclass(frozen=True)
class Group:
    """At least `k` of `members`, which are witnesses or groups."""

    k: int
    members: tuple[str, ...]


@dataclass(frozen=True)
class Policy:
    """A whole policy; `quorum` is the name of a witness or group, or `none`."""

    logs: tuple[VerifierKey, ...]
    witnesses: tuple[Witness, ...]
    groups: Mapping[str, Group]
    quorum: str

    def is_met(self, cosigned: Collection[str]) -> bool:
        """Whether these witnesses, by their names in the policy, are a quorum."""
        return self.quorum == NO_QUORUM or self._counts(self.quorum, cosigned)

    def _counts(self, name: str, cosigned: Collection[str]) -> bool:
        group = self.groups.get(name)
        if group is None:
            return name in cosigned
        return sum(self._counts(member, cosigned) for member in group.members) >= group.k

    @property
    def spoken(self) -> str:
        """The quorum in words."""
        group = self.groups.get(self.quorum)
        if group is None:
            return self.quorum
        return f"{self.quorum} ({group.k} of {', '.join(group.members)})"


class _Reader:
    """A policy so far."""

    def __init__(self) -> None:
        self.logs: list[VerifierKey] = []
        self.witnesses: dict[str, Witness] = {}
        self.groups: dict[str, Group] = {}
        self.quorum: str | None = None
        self._members: set[str] = set()
        self._owners: dict[bytes, str] = {}

    def line(self, words: list[str], where: str) -> None:
        kinds = {"log": self._log, "witness": self._witness, "group": self._group, "quorum": self._quorum}
        if words[0] not in kinds:
            refuse(where, "log, witness, group or quorum", words[0], Reason.LOG_POLICY)
        kinds[words[0]](words[1:], where)

    def _log(self, words: list[str], where: str) -> None:
        if len(words) not in (1, 2):
            refuse(where, "log, a key, and a URL if any", f"{len(words)} words", Reason.LOG_POLICY)
        key = parse_vkey(words[0], ED25519, where)
        self._own(key, where)
        self.logs.append(key)
        self._few(self.logs, where)

    def _witness(self, words: list[str], where: str) -> None:
        if len(words) not in (2, 3):
            refuse(where, "witness, a name, a key, and a URL if any", f"{len(words)} words", Reason.LOG_POLICY)
        self._new(words[0], where)
        key = parse_vkey(words[1], COSIGNATURE_V1, where)
        self._own(key, where)
        self.witnesses[words[0]] = Witness(words[0], key, words[2] if len(words) == 3 else None)
        self._few(self.witnesses, where)

    def _group(self, words: list[str], where: str) -> None:
        if len(words) < 3:
            refuse(where, "group, a name, all, any or a number, and members", f"{len(words)} words", Reason.LOG_POLICY)
        name, threshold, members = words[0], words[1], words[2:]
        self._new(name, where)
        for member in members:
            self._known(member, where)
            if member in self._members:
                refuse(where, "each name in one group, once", member, Reason.LOG_POLICY)
            self._members.add(member)
        if threshold not in ("all", "any") and not _THRESHOLD.fullmatch(threshold):
            refuse(where, "all, any or a number", threshold, Reason.LOG_POLICY)
        k = {"all": len(members), "any": 1}.get(threshold) or int(threshold)
        if k > len(members):
            refuse(where, f"at most {len(members)}, the number of members", k, Reason.LOG_POLICY)
        self.groups[name] = Group(k, tuple(members))
        self._few(self.groups, where)

    def _quorum(self, words: list[str], where: str) -> None:
        if len(words) != 1 or self.quorum is not None:
            refuse(where, "one quorum, a name", " ".join(words), Reason.LOG_POLICY)
        if words[0] != NO_QUORUM:
            self._known(words[0], where)
        self.quorum = words[0]

    def _new(self, name: str, where: str) -> None:
        if name == NO_QUORUM or name in self.witnesses or name in self.groups:
            refuse(where, "a name of its own", name, Reason.LOG_POLICY)

    def _known(self, name: str, where: str) -> None:
        if name not in self.witnesses and name not in self.groups:
            refuse(where, "a witness or group of a line above", name, Reason.LOG_POLICY)

    def _own(self, key: VerifierKey, where: str) -> None:
        """A log that is its own witness, or one witness under two names, would be counted for more than it is."""
        if self._owners.setdefault(key.key, where) != where:
            refuse(where, "a public key of its own", f"that of {self._owners[key.key]}", Reason.LOG_POLICY)

    @staticmethod
    def _few(items: Collection[object], where: str) -> None:
        if len(items) > NAMES_MAX:
            refuse(where, f"at most {NAMES_MAX} of a kind", len(items), Reason.LOG_POLICY)


def parse_policy(data: bytes, name: str = "policy") -> Policy:
    """Read a policy.

    Raises:
        MalformedProof: FILE_TOO_LARGE.
        BadLog: LOG_POLICY, naming the line.
    """
    require_size(data, POLICY_BYTES_MAX, name)
    if _OTHER_CONTROL.search(data):
        refuse(name, "no control characters but tab and newline", "others", Reason.LOG_POLICY)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        refuse(name, "UTF-8", "other bytes", Reason.LOG_POLICY)
    reader = _Reader()
    for number, line in enumerate(text.split("\n"), start=1):
        words = [word for word in re.split("[ \t]+", line) if word]
        if words and not words[0].startswith("#"):
            reader.line(words, f"{name} line {number}")
    if reader.quorum is None:
        refuse(name, "a quorum line", "none", Reason.LOG_POLICY)
    return Policy(tuple(reader.logs), tuple(reader.witnesses.values()), reader.groups, reader.quorum)


def read_policy(path: Path) -> Policy:
    """Read a policy file. Raises as `parse_policy`, and MalformedProof: FILE_MISSING."""
    return parse_policy(read_file(path, POLICY_BYTES_MAX), path.name)
