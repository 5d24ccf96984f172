"""Structure-aware changes to canonical JSON and to binary files; the same random source gives the same changes.

Many changes keep a document well formed and canonical, so that they reach the checks behind the decoder; the others
spell the same or another value in a way that no reader may take.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from verifier.canonical import dumps
from verifier.field import P

Place = tuple[str | int, ...]
"""Keys and positions that lead from the top of a document to a value."""
BOUNDS = (0, 1, 255, 2**16, 2**31 - 1, 2**31, 2**32, 2**53 - 1, 2**53, 2**63 - 1, 2**63, 2**64, 2**112, 2**128, P)
RAW = "raw spelling"
"""A string that stands for JSON text which no writer of ours makes; replaced after everything else."""
SPELLINGS = ("1.0", "1e0", "-0", "00", "01", "+1", "NaN", "Infinity", "1E999", "true", "9" * 5000, "'a'", "0x1", "")
STRINGS = ("", " ", "\0", "A", "é", "e\u0301", "\uff11", "\ud800", "\u202e", "٣", "x" * 5000, "9" * 61, "null", "-1")
BLOCKS = (1, 4, 8, 16, 20, 32, 160)
"""Bytes of a word, a nonce, a salt, an extension element, a digest, a layer's leaf."""
DEEP = 70


class Change(NamedTuple):
    """A changed file and the name of what was done to it."""

    name: str
    data: bytes


def places(value: object, at: Place = ()) -> list[Place]:
    """All places of a document, the top first."""
    found = [at]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += places(item, (*at, key))
    return found


def look(document: Any, place: Place) -> Any:
    for step in place:
        document = document[step]
    return document


@dataclass(frozen=True)
class JsonSeed:
    """An honest document, its places and its bytes: read once, changed often."""

    data: bytes
    places: tuple[Place, ...]

    @classmethod
    def of(cls, data: bytes) -> JsonSeed:
        """Raises ValueError for what is no JSON object with something in it."""
        document = json.loads(data)
        if not isinstance(document, dict) or not document:
            raise ValueError("no object")
        return cls(data, tuple(places(document)[1:]))

    def change(self, source: random.Random, canonical_share: float = 0.8) -> Change:
        """A document that differs: one to three values or shapes changed, or the same ones spelled otherwise."""
        while True:
            if source.random() < canonical_share:
                made = self._edited(source)
            else:
                name, spell = source.choice(SPELLS)
                made = Change(f"spelling: {name}", spell(self.data, source))
            if made.data != self.data:
                return made

    def _edited(self, source: random.Random) -> Change:
        document = json.loads(self.data)
        names = []
        for _ in range(source.choices((1, 2, 3), (8, 1, 1))[0]):
            place = source.choice(self.places)
            try:
                names.append(edit(document, place, source))
            except (KeyError, IndexError, TypeError):
                continue  # an earlier change removed the place
        try:
            data = dumps(document)
        except (TypeError, ValueError):  # keys of two kinds
            return Change("nothing", self.data)
        return Change(" and ".join(names), respell(data, source) if RAW.encode() in data else data)


def change_any(data: bytes, source: random.Random) -> Change:
    """A file of any kind changed: as a document where it is one, else as bytes."""
    try:
        return JsonSeed.of(data).change(source)
    except (ValueError, RecursionError):
        return change_bytes(data or b"\n", source)


def respell(data: bytes, source: random.Random) -> bytes:
    """The raw spelling in place of the string that stands for it."""
    return data.replace(f'"{RAW}"'.encode(), source.choice(SPELLINGS).encode())


def edit(document: Any, place: Place, source: random.Random) -> str:
    """Change a document in place at one place; returns what was done."""
    parent, key = look(document, place[:-1]), place[-1]
    value = parent[key]
    if source.random() < 0.25:
        return _reshape(document, parent, key, source)
    if isinstance(value, dict | list):
        return _regroup(value, source)
    parent[key] = changed_value(value, source)
    return f"{_spoken(place)} changed"


def nudge(document: Any, place: Place, source: random.Random) -> str:
    """As `edit`, but to a value of the same kind and size, which no decoder minds."""
    parent, key = look(document, place[:-1]), place[-1]
    value = parent[key]
    if isinstance(value, list) and len(value) > 1:
        one, other = source.sample(range(len(value)), 2)
        value[one], value[other] = value[other], value[one]
        return "items exchanged"
    if isinstance(value, int) and not isinstance(value, bool):
        parent[key] = max(0, value + source.choice((-1, 1, 2)))
    elif isinstance(value, str) and value.isdecimal() and value.isascii() and len(value) < 40:
        number = int(value)
        parent[key] = str(source.choice((number + 1, max(0, number - 1), 2 * number, number // 2, number + P)))
    elif isinstance(value, str) and _is_hex(value) and len(value) % 2 == 0:
        parent[key] = change_bytes(bytes.fromhex(value), source, same_length=True).data.hex()
    else:
        _take(document, parent, key, source, gives=True)
        return "exchange"
    return f"{_spoken(place)} nudged"


def _is_hex(text: str) -> bool:
    return len(text) >= 8 and not set(text) - set("0123456789abcdef")


def _spoken(place: Place) -> str:
    return ".".join("N" if isinstance(step, int) else step for step in place)


def changed_value(value: object, source: random.Random) -> object:
    """Another value in the place of a number, a string or null."""
    if source.random() < 0.1:
        return source.choice((None, True, [], {}, "", RAW, 0, deep(), str(value), [value]))
    if isinstance(value, int):
        return changed_number(value, source)
    if isinstance(value, str):
        return changed_string(value, source)
    return source.choice((0, "", "x", [], RAW))


def changed_number(value: int, source: random.Random) -> object:
    bound = source.choice(BOUNDS)
    return source.choice(
        (value + 1, value - 1, value + P, value + 2**32, -value, bound, -bound, bound - 1, str(value), RAW)
    )


def changed_string(text: str, source: random.Random) -> object:
    """Another decimal number, other hex digits, other characters."""
    if text.isdecimal() and text.isascii() and len(text) < 40:
        number = int(text)
        changed = source.choice(
            (number + 1, number + 1, number - 1, number + P, number + 2**64, -number, source.choice(BOUNDS))
        )
        spelled = (f"0{text}", f"+{text}", f"{text}.0", f" {text}", f"{text}e0", "", "9" * 70, "\uff10", number)
        return str(changed) if source.random() < 0.7 else source.choice(spelled)
    if _is_hex(text):
        return changed_hex(text, source)
    longer = (text + "x", text[:-1], text.upper(), text.lower(), text[::-1], f" {text}", f"{text}\n", f"{text}\u0301")
    return source.choice((*longer, *STRINGS))


def changed_hex(text: str, source: random.Random) -> str:
    """Digests, words, nonces: mostly other bytes of the same length."""
    if source.random() < 0.8 and len(text) % 2 == 0:
        changed = change_bytes(bytes.fromhex(text), source, same_length=True).data.hex()
        return changed if changed != text else "00" * (len(text) // 2)
    return source.choice(
        (text.upper(), text + "00", text[:-2], text[:-1], f"0x{text}", "", text * 2, text[:-1] + "g", f" {text[1:]}")
    )


def deep(levels: int = DEEP) -> object:
    """A list in a list, and so on."""
    value: object = 0
    for _ in range(levels):
        value = [value]
    return value


def _reshape(document: Any, parent: Any, key: str | int, source: random.Random) -> str:
    """Drop, repeat or exchange what stands at a key or a position."""
    value = parent[key]
    what = source.choice(("drop", "repeat", "exchange", "copy", "rename"))
    if what == "drop":
        del parent[key]
    elif what == "repeat" and isinstance(parent, list):
        parent.insert(source.randrange(len(parent) + 1), copy.deepcopy(value))
    elif what in ("repeat", "rename") and isinstance(key, str):
        names = (key + "_", key[:-1], key.upper(), key + " ", source.choice(list(parent)), source.choice(STRINGS))
        parent[source.choice(names)] = copy.deepcopy(value)
        if what == "rename":
            parent.pop(key, None)
    else:
        _take(document, parent, key, source, gives=what == "exchange")
    return what


def _take(document: Any, parent: Any, key: str | int, source: random.Random, *, gives: bool) -> None:
    """Take a value of the same kind and length from elsewhere; `gives` leaves the old one there."""
    value = parent[key]
    places_alike = [place for place in places(document)[1:] if _alike(look(document, place), value)]
    place = source.choice(places_alike)
    other = look(document, place[:-1])
    parent[key] = copy.deepcopy(other[place[-1]])
    if gives:
        other[place[-1]] = value


def _alike(one: object, other: object) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, str) and isinstance(other, str):
        return len(one) == len(other) or max(len(one), len(other)) < 32
    return not (isinstance(one, dict) and isinstance(other, dict)) or one.keys() == other.keys()


def _regroup(value: dict[str, Any] | list[Any], source: random.Random) -> str:
    """Other items of a list, other keys of an object."""
    if isinstance(value, dict):
        key = source.choice((*list(value), ""))
        value[source.choice(("a", key + "_", RAW))] = copy.deepcopy(value.get(key))
        return "key added"
    what = source.choice(("reverse", "shuffle", "empty", "double", "extend", "one more", "one less"))
    if what == "reverse":
        value.reverse()
    elif what == "shuffle":
        source.shuffle(value)
    elif what == "empty":
        value.clear()
    elif what == "double":
        value.extend(copy.deepcopy(value))
    elif what == "extend":
        value.extend(copy.deepcopy(value[-1:]) * source.choice((1, 5, 300)))
    elif what == "one more":
        value.insert(source.randrange(len(value) + 1), source.choice((None, {}, [], 0, "", deep())))
    elif value:
        value.pop(source.randrange(len(value)))
    return what


# The same or nearly the same value, spelled as no writer of ours spells it.


def _spaced(data: bytes, source: random.Random) -> bytes:
    at = [i for i, byte in enumerate(data) if byte in b"{}[]:,\n"]
    where = source.choice(at)
    return data[:where] + source.choice((b" ", b"\t", b"\n", b"\r\n", b"\x0b", b"/**/", b"\xc2\xa0")) + data[where:]


def _escaped(data: bytes, source: random.Random) -> bytes:
    at = [i for i, byte in enumerate(data) if 97 <= byte <= 122 and data[i - 1 : i] != b"\\"] or [0]
    where = source.choice(at)
    return data[:where] + b"\\u00%02x" % data[where] + data[where + 1 :]


def _reordered(data: bytes, source: random.Random) -> bytes:
    document = json.loads(data)
    keys = list(document)
    source.shuffle(keys)
    return json.dumps({key: document[key] for key in keys}, separators=(",", ":")).encode() + b"\n"


def _twice(data: bytes, source: random.Random) -> bytes:
    key = source.choice(list(json.loads(data)))
    return b"{%b:null," % json.dumps(key).encode() + data[1:]


def _spelled_number(data: bytes, source: random.Random) -> bytes:
    at = [i for i, byte in enumerate(data[:-1]) if data[i : i + 1].isdigit() and byte and data[i - 1] in b":,["]
    if not at:
        return b" " + data
    where = source.choice(at)
    return data[:where] + source.choice((b"0", b"-", b"+", b"1.", b"1e")) + data[where:]


Spell = Callable[[bytes, random.Random], bytes]
SPELLS: Sequence[tuple[str, Spell]] = (
    ("spaces", _spaced),
    ("escapes", _escaped),
    ("key order", _reordered),
    ("a key twice", _twice),
    ("a number", _spelled_number),
    ("byte order mark", lambda data, _: b"\xef\xbb\xbf" + data),
    ("no newline", lambda data, _: data[:-1]),
    ("two newlines", lambda data, _: data + b"\n"),
    ("trailing bytes", lambda data, source: data + source.choice((b"\0", b"{}", b"x", data))),
    (
        "another encoding",
        lambda data, source: data.decode(errors="replace").encode(source.choice(("utf-16", "utf-32", "utf-7"))),
    ),
    ("bytes", lambda data, source: change_bytes(data, source).data),
    ("nested", lambda data, source: b"[" * (deepness := source.choice((65, 2000, 100_000))) + b"]" * deepness),
)


# Binary files.


def _block(data: bytes, source: random.Random) -> tuple[int, int]:
    """Where a block begins and ends; mostly at a multiple of its own length."""
    size = min(source.choice(BLOCKS), len(data))
    where = source.randrange(len(data) - size + 1)
    return (where, where + size) if source.random() < 0.3 else (where - where % size, where - where % size + size)


def _flip(data: bytes, source: random.Random) -> bytes:
    at = source.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << source.randrange(8)]) + data[at + 1 :]


def _fill(data: bytes, source: random.Random) -> bytes:
    low, high = _block(data, source)
    fill = source.choice((b"\0" * (high - low), b"\xff" * (high - low), source.randbytes(high - low)))
    return data[:low] + fill + data[high:]


def _word(data: bytes, source: random.Random) -> bytes:
    """A word plus p, one, or minus one, modulo 2^32."""
    if len(data) < 4:
        return _flip(data, source)
    at = source.randrange(len(data) // 4) * 4
    word = int.from_bytes(data[at : at + 4], "little") + source.choice((P, P, 1, -1, -P))
    return data[:at] + (word % 2**32).to_bytes(4, "little") + data[at + 4 :]


def _exchange(data: bytes, source: random.Random) -> bytes:
    low, high = _block(data, source)
    size = high - low
    other = source.randrange(len(data) // size) * size
    if abs(other - low) < size:
        return _flip(data, source)
    (a, b), (c, d) = sorted(((low, high), (other, other + size)))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def _copy(data: bytes, source: random.Random) -> bytes:
    low, high = _block(data, source)
    to = source.randrange(len(data) - (high - low) + 1)
    return data[:to] + data[low:high] + data[to + high - low :]


def _drop(data: bytes, source: random.Random) -> bytes:
    low, high = _block(data, source)
    return data[:low] + data[high:]


def _repeat(data: bytes, source: random.Random) -> bytes:
    low, high = _block(data, source)
    return data[:high] + data[low:high] + data[high:]


def _move(data: bytes, source: random.Random) -> bytes:
    low, high = _block(data, source)
    rest = data[:low] + data[high:]
    to = source.randrange(len(rest) + 1)
    return rest[:to] + data[low:high] + rest[to:]


def _cut(data: bytes, source: random.Random) -> bytes:
    return data[: source.randrange(len(data))]


def _extend(data: bytes, source: random.Random) -> bytes:
    return data + source.choice((b"\0", b"\n", source.randbytes(source.choice(BLOCKS)), data))


SAME_LENGTH: Sequence[tuple[str, Spell]] = (
    ("bit flipped", _flip),
    ("block overwritten", _fill),
    ("word changed", _word),
    ("blocks exchanged", _exchange),
    ("block copied", _copy),
)
OTHER_LENGTH: Sequence[tuple[str, Spell]] = (
    ("block dropped", _drop),
    ("block repeated", _repeat),
    ("block moved", _move),
    ("truncated", _cut),
    ("extended", _extend),
)


def change_bytes(
    data: bytes, source: random.Random, *, same_length: bool = False, other: bytes | None = None
) -> Change:
    """A file that differs from `data`, which has at least one byte.

    Args:
        same_length: nothing is dropped, added or moved.
        other: a second file of the same kind, a part of which may take the place of the same part of the first.
    """
    kinds = SAME_LENGTH if same_length else (*SAME_LENGTH, *OTHER_LENGTH)
    for _ in range(20):
        if other is not None and source.random() < 0.1:
            name, made = "spliced", spliced(data, other, source)
        else:
            name, kind = source.choice(kinds)
            made = kind(data, source)
        if made != data:
            return Change(name, made)
    return Change("bit flipped", _flip(data, source))


def spliced(data: bytes, other: bytes, source: random.Random) -> bytes:
    """The first file up to some byte, then the second; or a part of it in between."""
    low, high = sorted(source.randrange(len(data) + 1) for _ in range(2))
    return data[:low] + other[low:high] + data[high:] if source.random() < 0.5 else data[:low] + other[low:]
