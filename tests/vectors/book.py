"""The files of vectors: cases of one kind, whose inputs are whole files or changes of them.

A file names its inputs once; a case takes them as they are, or cuts some bytes out and puts others there. So a vector
says what is wrong with it, and a hundred of them stay small. README.md has the form.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from verifier.errors import Reason

FOLDER = Path(__file__).parent
FORMAT = "solvent/vectors/v1"
REPEATED_MIN = 256
"""A change that is this long and says one thing again and again is written once."""
PERIOD_MAX = 64
VALUED = ("bundle", "fund", "opening", "receipt", "reserves", "verdict", "publication")
"""Kinds in which two readers could accept one file and read different things."""


@dataclass(frozen=True)
class Vector:
    """One case.

    Args:
        reason: the one value of `Reason` with which it is refused; None where it is accepted.
        where: the field that is named; None where none is, or where it is accepted.
        note: why, in a sentence.
        value: what is read, for an accepted case of a kind in `VALUED`.
    """

    kind: str
    name: str
    inputs: Mapping[str, bytes]
    reason: str | None
    where: str | None
    note: str
    value: Any = None

    def is_met(self, reason: str | None, where: str | None, value: Any) -> bool:
        """Whether this is the outcome that has to be."""
        read = value if self.kind in VALUED else None
        return (reason, where, json.loads(json.dumps(read))) == (self.reason, self.where, self.value)


@dataclass
class Book:
    """The vectors of one kind while they are made."""

    kind: str
    vectors: list[Vector] = field(default_factory=list)

    def accept(self, name: str, note: str, /, **inputs: bytes) -> None:
        self.add(name, None, note, inputs)

    def refuse(self, name: str, reason: Reason, note: str, /, **inputs: bytes) -> None:
        self.add(name, reason, note, inputs)

    def add(self, name: str, reason: Reason | None, note: str, inputs: Mapping[str, bytes]) -> None:
        """A case; two of one name become `name` and `name, 2`."""
        same = sum(vector.name.partition(", #")[0] == name for vector in self.vectors)
        value = None if reason is None else reason.value
        title = f"{name}, #{same + 1}" if same else name
        self.vectors.append(Vector(self.kind, title, inputs, value, None, note))


def _text_or_base64(data: bytes) -> dict[str, str]:
    try:
        return {"text": data.decode("utf-8")}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode("ascii")}


def _bytes_of(written: Mapping[str, Any]) -> bytes:
    once = written["text"].encode() if "text" in written else base64.b64decode(written["base64"], validate=True)
    return once * int(written.get("times", 1))


def _spelled(data: bytes) -> dict[str, Any]:
    """Bytes as JSON, those that repeat themselves once."""
    if len(data) >= REPEATED_MIN:
        for period in range(1, PERIOD_MAX + 1):
            times, rest = divmod(len(data), period)
            if not rest and data == data[:period] * times:
                return {**_text_or_base64(data[:period]), "times": times}
    return dict(_text_or_base64(data))


def splice(old: bytes, new: bytes) -> tuple[int, int, bytes]:
    """Where the two begin to differ, how many bytes of `old` go there, and what comes in their place."""
    at = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    end, most = 0, min(len(old), len(new)) - at
    while end < most and old[-1 - end] == new[-1 - end]:
        end += 1
    return at, len(old) - end - at, new[at : len(new) - end]


def write(kind: str, vectors: list[Vector]) -> bytes:
    """The file of a kind."""
    files: dict[str, bytes] = {}
    cases = []
    for vector in vectors:
        inputs = {name: _placed(name, data, files) for name, data in vector.inputs.items()}
        refused = {} if vector.reason is None else {"reason": vector.reason}
        where = {} if vector.where is None else {"where": vector.where}
        value = {} if vector.value is None else {"value": vector.value}
        expect = {"expect": "accept" if vector.reason is None else "refuse", **refused, **where, **value}
        cases.append({"name": vector.name, "note": vector.note, "inputs": inputs, **expect})
    named = {name: _spelled(data) for name, data in files.items()}
    return json.dumps({"format": FORMAT, "kind": kind, "files": named, "cases": cases}, indent=1).encode() + b"\n"


def _placed(name: str, data: bytes, files: dict[str, bytes]) -> str | dict[str, Any]:
    """An input: the name of a file, or what has to be done to one; a file of its own where that would not be short."""
    found: dict[str, Any] | None = None
    for known, base in files.items():
        if base == data:
            return known
        if known.partition(" #")[0] == name:
            at, cut, put = splice(base, data)
            change = {"of": known, "at": at, "cut": cut, **_spelled(put)}
            if found is None or len(json.dumps(change)) < len(json.dumps(found)):
                found = change
    if found is not None and 2 * len(json.dumps(found)) < len(json.dumps(_spelled(data))) + 200:
        return found
    title = name if name not in files else f"{name} #{sum(one.partition(' #')[0] == name for one in files) + 1}"
    files[title] = data
    return title


def read(path: Path) -> list[Vector]:
    """The vectors of a file."""
    book = json.loads(path.read_bytes())
    if book["format"] != FORMAT:
        raise AssertionError(f"{path.name}: format {book['format']}")
    files = {name: _bytes_of(written) for name, written in book["files"].items()}

    def input_of(given: str | dict[str, Any]) -> bytes:
        if isinstance(given, str):
            return files[given]
        base, at = files[given["of"]], given["at"]
        return base[:at] + _bytes_of(given) + base[at + given["cut"] :]

    return [
        Vector(
            book["kind"],
            case["name"],
            {name: input_of(given) for name, given in case["inputs"].items()},
            case.get("reason"),
            case.get("where"),
            case["note"],
            case.get("value"),
        )
        for case in book["cases"]
    ]


def path_of(kind: str) -> Path:
    return FOLDER / f"{kind}.json"


def read_all() -> dict[str, list[Vector]]:
    """Every file of the folder, by kind."""
    return {path.stem: read(path) for path in sorted(FOLDER.glob("*.json"))}
