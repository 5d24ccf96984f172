"""Canonical JSON: one byte string per value, and typed getters that name the field they refuse.

Canonical means: keys sorted, no spaces, ASCII, one newline at the end, no floats, integers below 2^53 in magnitude
(larger ones are decimal strings), no lone surrogates in strings. `loads` accepts exactly what `dumps` writes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NoReturn

from verifier.errors import (
    BadLog,
    BadManifest,
    BadPrices,
    BadQuorum,
    BadReserves,
    BadStatement,
    BrokenCommitment,
    MalformedProof,
    NotIncluded,
    Reason,
    UnacceptableParameters,
    VerificationError,
)
from verifier.field import P

SAFE_INTEGER_END = 2**53
"""Every JSON reader, also one that works in doubles, holds integers below this one exactly."""
INTEGER_DIGITS_MAX = 17
DECIMAL_DIGITS_MAX = 60
"""Longest number in a string, beyond every range in use: bounds the work before ranges are looked at."""
SHOWN_CHARACTERS_MAX = 80
NESTING_MAX = 64
"""No document of ours nests ten deep. The interpreter's own limit is no guard: a library may have raised it, and the
decoder's stack then ends in a crash instead of an error."""

_ERRORS: Mapping[Reason, type[VerificationError]] = {
    Reason.UNKNOWN_CIRCUIT: UnacceptableParameters,
    Reason.UNACCEPTABLE_PROFILE: UnacceptableParameters,
    Reason.UNACCEPTABLE_PARAMETERS: UnacceptableParameters,
    Reason.CAPACITY: BadStatement,
    Reason.INSTRUMENT_TABLE: BadStatement,
    Reason.OUTPUT_RANGE: BadStatement,
    Reason.ARITHMETIC: BadStatement,
    Reason.SHARDS: BadStatement,
    Reason.STATEMENT_MISMATCH: BadStatement,
    Reason.WRONG_STATEMENT: NotIncluded,
    Reason.ACCOUNT_ID: NotIncluded,
    Reason.ENTRIES: NotIncluded,
    Reason.PATH_LENGTH: NotIncluded,
    Reason.PATH: NotIncluded,
    Reason.OPENING: BrokenCommitment,
    Reason.RESERVES: BadReserves,
    Reason.PRICE_EVIDENCE: BadPrices,
    Reason.PRICE_RULES: BadPrices,
    Reason.PRICE_SOURCES: BadPrices,
    Reason.SIGNATURE: BadPrices,
    Reason.PRICES: BadPrices,
    Reason.QUORUM: BadQuorum,
    Reason.MANIFEST: BadManifest,
    Reason.LOG_POLICY: BadLog,
    Reason.LOG_ORIGIN: BadLog,
    Reason.LOG_SIGNATURE: BadLog,
    Reason.COSIGNATURE: BadLog,
    Reason.WITNESS_QUORUM: BadLog,
    Reason.LOG_INCLUSION: BadLog,
    Reason.LOG_CONSISTENCY: BadLog,
    Reason.LOG_ENTRY: BadLog,
    Reason.NOT_FRAUD: BadLog,
}
"""The class that goes with a reason; MalformedProof where none is given."""
_DECIMAL = re.compile(r"0|[1-9][0-9]*")
_HEX = re.compile(r"[0-9a-f]*")
UNPRINTABLE = re.compile(
    r"[\x00-\x1f\x7f-\xa0\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u1680\u180e\u2000-\u200f\u2028-\u202f"
    r"\u205f-\u2064\u2066-\u206f\u3000\ud800-\uf8ff\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f\U000f0000-\U000ffffd\U00100000-\U0010fffd]"
)
"""Control, format, surrogate and private characters and separators other than the blank, those of Unicode 17. As
ranges: an interpreter's own table depends on its version, and what one verifier counts another must not refuse."""
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
"""Strings as a whole, an open one to the end, so that brackets inside them do not count; linear in the text, since
every quote that is met begins a match."""


def dumps(value: object) -> bytes:
    """The canonical bytes of a value made of dict, list, tuple, str, int and None."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode("ascii") + b"\n"


def loads(data: bytes, limit_bytes: int, name: str = "document") -> object:
    """Read canonical JSON.

    Args:
        data: the file's bytes.
        limit_bytes: longest accepted input.
        name: what to call the document in a refusal.

    Raises:
        MalformedProof: FILE_TOO_LARGE; MALFORMED for what is not JSON, nests too deeply, repeats a key or holds
            a float or a large integer; TRAILING_BYTES; NON_CANONICAL for another spelling of the same value.
    """
    require_size(data, limit_bytes, name)
    if not data.isascii():
        raise MalformedProof(Reason.NON_CANONICAL, f"{name}: a byte is not ASCII", field=name)
    text = data.decode("ascii")
    decoder = json.JSONDecoder(
        object_pairs_hook=_object, parse_int=_integer, parse_float=_no_number, parse_constant=_no_number
    )
    if is_deep(text):
        raise MalformedProof(Reason.MALFORMED, f"{name}: nested too deeply", field=name)
    try:
        value, end = decoder.raw_decode(text)
        if text[end:].strip():
            raise MalformedProof(Reason.TRAILING_BYTES, f"{name}: bytes after the document", field=name)
        again = dumps(value)
        if "\\ud" in text:
            # Escaped surrogates are fine in pairs; a lone one has no UTF-8 and would fail later, elsewhere.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise MalformedProof(Reason.NON_CANONICAL, f"{name}: a lone surrogate in a string", field=name) from None
    except _Refused as error:
        raise MalformedProof(Reason.MALFORMED, f"{name}: {error}", field=name) from None
    except json.JSONDecodeError as error:
        raise MalformedProof(Reason.MALFORMED, f"{name}: not JSON: {error}", field=name) from None
    if again != data:
        raise MalformedProof(
            Reason.NON_CANONICAL,
            f"{name}: expected sorted keys, no spaces, plain numbers and one newline at the end",
            field=name,
        )
    return value


def require_size(data: bytes, limit_bytes: int, name: str) -> None:
    """At most so many bytes, before anything looks at them. Raises MalformedProof: FILE_TOO_LARGE."""
    if len(data) > limit_bytes:
        message = f"{name}: {len(data)} bytes, expected at most {limit_bytes}"
        raise MalformedProof(Reason.FILE_TOO_LARGE, message, field=name)


def is_deep(text: str) -> bool:
    """Whether brackets nest deeper than in any document of ours: for other readers of JSON, before they decode."""
    return _nesting(text) > NESTING_MAX


def _nesting(text: str) -> int:
    """How deep brackets stand inside each other in the document at the front, after blanks, which other readers skip;
    what follows it, nobody decodes."""
    depth = deepest = 0
    if text.lstrip()[:1] not in ("[", "{"):
        return 0
    for match in _STRING_OR_BRACKET.finditer(text):
        token = match[0]
        if token in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif token in "]}":
            depth -= 1
            if not depth:
                break
    return deepest


class _Refused(Exception):
    """JSON that we do not take; caught in `loads`, which knows the document's name."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in pairs:
        if key in out:
            raise _Refused(f"duplicate key {shown(key)}")
        out[key] = value
    return out


def _integer(digits: str) -> int:
    if len(digits) > INTEGER_DIGITS_MAX or abs(int(digits)) >= SAFE_INTEGER_END:
        raise _Refused(f"integer {shown(digits)}: 2^53 and above must be a decimal string")
    return int(digits)


def _no_number(digits: str) -> NoReturn:
    raise _Refused(f"number {shown(digits)}: only integers are allowed")


def shown(value: object) -> str:
    """A value for a message: ASCII, one line, not long."""
    # What a file nests is not printed: it may be deep enough to exhaust the stack.
    text = f"a JSON {type(value).__name__}" if isinstance(value, dict | list) else ascii(value)
    return text if len(text) <= SHOWN_CHARACTERS_MAX else text[:SHOWN_CHARACTERS_MAX] + "..."


def refuse(path: str, expected: str, got: object, reason: Reason = Reason.MALFORMED) -> NoReturn:
    """Raise one line that names the field, what was expected, and what was there."""
    error, got = _ERRORS.get(reason, MalformedProof), shown(got)
    raise error(reason, f"{path}: expected {expected}, got {got}", field=path, expected=expected, got=got)


def hex_words(words: Sequence[int]) -> str:
    """Words as hex of `u32` little-endian."""
    return b"".join(word.to_bytes(4, "little") for word in words).hex()


def read_document(data: bytes, limit_bytes: int, name: str, format_name: str, keys: Collection[str]) -> Record:
    """The top object of a file, whose `format` has to be `format_name`; `keys` are the others."""
    value = loads(data, limit_bytes, name)
    if isinstance(value, dict) and value.get("format", format_name) != format_name:
        refuse(f"{name}.format", shown(format_name), value["format"], Reason.UNKNOWN_VERSION)
    return Record(value, name, {"format", *keys})


def _decimal(value: object, path: str, low: int, end: int, reason: Reason) -> int:
    if not isinstance(value, str) or len(value) > DECIMAL_DIGITS_MAX or not _DECIMAL.fullmatch(value):
        refuse(path, "a decimal string without sign or leading zeros", value)
    if not low <= int(value) < end:
        refuse(path, f"from {low} to {end - 1}", value, reason)
    return int(value)


class Record:
    """One JSON object with exactly the given keys. A getter refuses a value of another shape by its path."""

    def __init__(self, value: object, path: str, keys: Collection[str]) -> None:
        if not isinstance(value, dict):
            refuse(path, "an object", value)
        for key in sorted(set(keys) - value.keys()):
            raise MalformedProof(Reason.MALFORMED, f"{path}: {key} is missing", field=f"{path}.{key}")
        for key in sorted(value.keys() - set(keys)):
            raise MalformedProof(Reason.MALFORMED, f"{path}: unknown key {shown(key)}", field=path)
        self._value: dict[str, Any] = value
        self.path = path

    def where(self, key: str) -> str:
        """Path of a field, for messages."""
        return f"{self.path}.{key}"

    def record(self, key: str, keys: Collection[str]) -> Record:
        return Record(self._value[key], self.where(key), keys)

    def document(self, key: str) -> bytes:
        """A document inside this one: its canonical bytes, to be read as if they had come alone."""
        return dumps(self._value[key])

    def records(self, key: str, keys: Collection[str], longest: int, reason: Reason = Reason.MALFORMED) -> list[Record]:
        """A list of at most `longest` objects."""
        items = self._value[key]
        if not isinstance(items, list) or len(items) > longest:
            got = f"{len(items)} items" if isinstance(items, list) else items
            refuse(self.where(key), f"a list of at most {longest} objects", got, reason)
        return [Record(item, f"{self.where(key)}[{i}]", keys) for i, item in enumerate(items)]

    def integer(self, key: str, low: int, high: int, reason: Reason = Reason.MALFORMED) -> int:
        """A JSON integer in [low, high]."""
        value = self._value[key]
        if type(value) is not int or not low <= value <= high:
            refuse(self.where(key), f"an integer from {low} to {high}", value, reason)
        return value

    def decimal(self, key: str, low: int, end: int, reason: Reason) -> int:
        """An integer in [low, end) as a decimal string without sign or leading zeros.

        MALFORMED for another spelling, `reason` outside the range.
        """
        return _decimal(self._value[key], self.where(key), low, end, reason)

    def decimals(self, key: str, count: int, low: int, end: int, reason: Reason) -> tuple[int, ...]:
        """A list of exactly `count` such strings."""
        items = self._value[key]
        if not isinstance(items, list) or len(items) != count:
            got = f"{len(items)} items" if isinstance(items, list) else items
            refuse(self.where(key), f"a list of {count} decimal strings", got, reason)
        return tuple(_decimal(item, f"{self.where(key)}[{i}]", low, end, reason) for i, item in enumerate(items))

    def is_null(self, key: str) -> bool:
        """Whether the field is null, for those that may be."""
        return self._value[key] is None

    def text(self, key: str, longest: int) -> str:
        """1 to `longest` characters, none of them unprintable."""
        value = self._value[key]
        if not isinstance(value, str) or not 1 <= len(value) <= longest or UNPRINTABLE.search(value):
            refuse(self.where(key), f"1 to {longest} printable characters", value)
        return value

    def string(self, key: str, longest: int) -> str:
        """At most `longest` characters of any kind."""
        value = self._value[key]
        if not isinstance(value, str) or len(value) > longest:
            refuse(self.where(key), f"at most {longest} characters", value)
        return value

    def symbol(self, key: str, longest: int = 32) -> str:
        """1 to `longest` visible ASCII characters, no space."""
        value = self.text(key, longest)
        if not value.isascii() or " " in value:
            refuse(self.where(key), "visible ASCII characters", value)
        return value

    def choice(self, key: str, allowed: Collection[str], reason: Reason = Reason.MALFORMED) -> str:
        """One of a few strings."""
        value = self._value[key]
        if not isinstance(value, str) or value not in allowed:
            refuse(self.where(key), " or ".join(shown(one) for one in allowed), value, reason)
        return value

    def raw(self, key: str, length: int) -> bytes:
        """`length` bytes as lower-case hex."""
        value = self._value[key]
        if not isinstance(value, str) or len(value) != 2 * length or not _HEX.fullmatch(value):
            refuse(self.where(key), f"{2 * length} lower-case hex digits", value)
        return bytes.fromhex(value)

    def words(self, key: str, count: int) -> tuple[int, ...]:
        """`count` field elements, each `u32` little-endian and below p, as hex."""
        data = self.raw(key, 4 * count)
        words = tuple(int.from_bytes(data[i : i + 4], "little") for i in range(0, 4 * count, 4))
        for word in words:
            if word >= P:
                refuse(self.where(key), f"words below {P}", word, Reason.NON_CANONICAL)
        return words
