"""Bundles that must not pass, each with the step at which the page has to stop; and many more, made at random."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from tests.verifier.small_tree import (
    RISK_INSTRUMENTS,
    SCENARIOS,
    STRESS,
    VALUE_DECIMALS,
    Account,
    Builder,
    Publication,
    edited,
    words,
)
from verifier.canonical import dumps
from verifier.errors import VerificationError
from verifier.inclusion import check_bundle
from verifier.legs import derive_legs
from verifier.statement import Statement

HOLDER = 1
"""Number of the account whose bundle is forged."""
Outcome = tuple[str | None, str | None]
"""Reason and field of a refusal; None and None where the bundle passes."""


@cache
def sharded(shards: int = 3, own: int = 1) -> Publication:
    """The fund, a borrower with entries of all kinds, and others, all in one of several shards."""
    source = random.Random(f"page {shards} {own}")
    legs = derive_legs(STRESS, VALUE_DECIMALS, RISK_INSTRUMENTS, SCENARIOS)
    borrower = ((0, legs[0].cap), (1, 3), (4, 6), (8, 9), (12, 5), (14, 10**9), (16, 10**14), (19, 8 * 10**9))
    held = [("insurance-fund", ((16, 10**13),)), ("Zoë 🦊", borrower), ("empty", ())]
    held.append(("hedger", ((8, 5), (11, 9), (15, 10**9), (16, 10**13))))  # the other side of the borrower's positions
    held.append(("lever", ((3, 10**9), (19, 5 * 10**11))))  # under water where btc falls by 30 %
    held += [(f"user-{i}", ((16, 10**9 + i),)) for i in range(20)]
    accounts = [Account(user, source.randbytes(32), words(source, 6), entries) for user, entries in held]
    return Builder(source, STRESS, RISK_INSTRUMENTS, SCENARIOS, shards, own).build(accounts)


def _hex_flipped(text: str, at: int = 0) -> str:
    return text[:at] + ("1" if text[at] != "1" else "2") + text[at + 1 :]


def _set(*path: str | int, to: object = None, flip: int | None = None) -> Callable[[Any], None]:
    def change(value: Any) -> None:
        for key in path[:-1]:
            value = value[key]
        last = path[-1]
        value[last] = to if flip is None else _hex_flipped(value[last], flip)

    return change


def named(of: Publication) -> dict[str, tuple[bytes, str, str]]:
    """Name: (bytes, step that has to fail, reason)."""
    good = of.bundle(HOLDER)
    last = of.statement.levels - 1
    changes: dict[str, tuple[Callable[[Any], object], str, str]] = {
        "amount": (_set("entries", 1, "amount", to="4"), "7 shard", "path"),
        "amount above its cap": (_set("entries", 0, "amount", to=str(2**62)), "4 entries", "entries"),
        "amount of zero": (_set("entries", 1, "amount", to="0"), "4 entries", "entries"),
        "leg": (_set("entries", 1, "leg", to=2), "7 shard", "path"),
        "leg of another asset": (_set("entries", 1, "leg", to=3000), "4 entries", "entries"),
        "legs out of order": (lambda b: b["entries"].reverse(), "4 entries", "entries"),
        "an entry less": (lambda b: b["entries"].pop(), "7 shard", "path"),
        "symbol": (_set("entries", 0, "symbol", to="eth"), "4 entries", "entries"),
        "side": (_set("entries", 0, "side", to="short"), "4 entries", "entries"),
        "bucket": (_set("entries", 0, "bucket", to="free"), "4 entries", "entries"),
        "decimals": (_set("entries", 0, "decimals", to=2), "4 entries", "entries"),
        "sibling": (_set("path", 0, "siblings", flip=3), "7 shard", "path"),
        "sibling at the top": (_set("path", last, "siblings", flip=65), "7 shard", "path"),
        "position": (lambda b: b["path"][0].update(position=(b["path"][0]["position"] + 1) % 8), "7 shard", "path"),
        "value digest": (_set("path", 1, "value", flip=2), "7 shard", "path"),
        "blinding": (_set("blinding", flip=2), "7 shard", "path"),
        "nonce": (_set("nonce", flip=0), "7 shard", "path"),
        "user id": (_set("user_id", to="mallory"), "7 shard", "path"),
        "an invisible character": (_set("user_id", to="Zo\u200bë 🦊"), "3 account id", "malformed"),
        "a user id that is too long": (_set("user_id", to="🦊" * 257), "3 account id", "malformed"),
        "shard sum": (_set("shard", "sum", flip=1), "8 root", "path"),
        "shard document": (_set("shard", "document", flip=1), "8 root", "path"),
        "shard root": (_set("shard", "root", flip=1), "7 shard", "path"),
        "shard number": (_set("shard", "index", to=2), "8 root", "path-length"),
        "shard number out of range": (_set("shard", "index", to=3), "8 root", "path"),
        "top sibling": (_set("shard", "top", 0, "digest", flip=5), "8 root", "path"),
        "top sibling's sum": (_set("shard", "top", 0, "sum", flip=5), "8 root", "path"),
        "top side": (_set("shard", "top", 0, "side", to="right"), "8 root", "path"),
        "top path cut": (lambda b: b["shard"]["top"].pop(), "8 root", "path-length"),
        "other statement": (_set("statement", flip=9), "2 statement", "wrong-statement"),
        "other root": (_set("root", flip=9), "2 statement", "wrong-statement"),
        "other sequence": (_set("sequence", to=8), "2 statement", "wrong-statement"),
        "other exchange": (_set("exchange", to="acne"), "2 statement", "wrong-statement"),
        "path too short": (lambda b: b["path"].pop(), "6 path", "path-length"),
        "path too long": (lambda b: b["path"].append(b["path"][-1]), "6 path", "path-length"),
        "a word above p": (_set("blinding", to="01ffff7f" + "00000000" * 5), "5 leaf", "non-canonical"),
        "unknown key": (_set("more", to=1), "1 file", "malformed"),
        "another format": (_set("format", to="solvent/bundle/v2"), "1 file", "unknown-version"),
    }
    out = {name: (edited(good, change), step, reason) for name, (change, step, reason) in changes.items()}
    return out | {name: (data, "1 file", reason) for name, (data, reason) in _spellings(good).items()}


def _spellings(good: bytes) -> dict[str, tuple[bytes, str]]:
    value = json.loads(good)
    return {
        "spaces": (json.dumps(value, sort_keys=True).encode() + b"\n", "non-canonical"),
        "keys out of order": (
            json.dumps(dict(reversed(value.items())), separators=(",", ":")).encode() + b"\n",
            "non-canonical",
        ),
        "no newline": (good[:-1], "non-canonical"),
        "UTF-8": (
            json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(),
            "non-canonical",
        ),
        "bytes after the end": (good + b"x", "trailing-bytes"),
        "a key twice": (good.replace(b'"format":', b'"format":"solvent/bundle/v1","format":', 1), "malformed"),
        "a float": (good.replace(b'"sequence":7', b'"sequence":7.0'), "malformed"),
        "an exponent": (good.replace(b'"sequence":7', b'"sequence":7e0'), "malformed"),
        "minus zero": (good.replace(b'"sequence":7', b'"sequence":-0'), "non-canonical"),
        "a long number": (good.replace(b'"sequence":7', b'"sequence":9007199254740993'), "malformed"),
        "NaN": (good.replace(b'"sequence":7', b'"sequence":NaN'), "malformed"),
        "cut": (good[: len(good) // 2], "malformed"),
        "empty": (b"", "malformed"),
        "a list": (b"[]\n", "malformed"),
        "a lone surrogate": (good.replace(b"\\ud83e\\udd8a", b"\\ud83e"), "non-canonical"),
        "deep": (b"[" * 100_000, "malformed"),
        "too large": (good[:-1] + b" " * 2**20, "file-too-large"),
    }


def at_random(good: bytes, count: int, source: random.Random) -> Iterator[bytes]:
    """Changed bytes, and changed values of the document, canonical again."""
    for number in range(count):
        yield _damaged(good, source) if number % 4 == 0 else _altered(good, source)


def _damaged(good: bytes, source: random.Random) -> bytes:
    data = bytearray(good)
    at = source.randrange(len(data))
    match source.randrange(4):
        case 0:
            data[at] ^= 1 << source.randrange(8)
        case 1:
            del data[at]
        case 2:
            data.insert(at, source.choice(b' "\\{}[],:-019azu\x00\x1f\x7f\xff'))
        case _:
            data[at:] = b""
    return bytes(data)


def _altered(good: bytes, source: random.Random) -> bytes:
    value = json.loads(good)
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], dict | list):
                walk(node[key])

    walk(value)
    node, key = source.choice(places)
    old = node[key]
    choices: list[object] = [None, -1, 0, 1, 2**53 - 1, True, "", "0", "x", [], {}, "a" * 300, "\u200b", str(2**64)]
    if isinstance(old, str) and old:
        at = source.randrange(len(old))
        digit = source.choice("0123456789abcdefF")
        choices += 12 * [old[:at] + digit + old[at + 1 :]] + [old[:-1], old + "0"]
    if isinstance(old, int):
        choices += 4 * [old + 1]
    if isinstance(old, list) and old:
        choices += [old[:-1], [*old, old[-1]], old[::-1]]
    node[key] = source.choice(choices)
    if source.randrange(12) == 0 and isinstance(node, dict):
        del node[key]
    return dumps(value)


def swapped(of: Publication) -> bytes:
    """Another holder's path under one's own account."""
    other = of.accounts[HOLDER + 1]
    return of.bundle(HOLDER, nonce=other.nonce, blinding=other.blinding)


def outcome(data: bytes, statement: Statement | None) -> Outcome:
    """What the verifier says."""
    try:
        check_bundle(data, statement)
    except VerificationError as error:
        return error.reason.value, str(error.where["field"])
    return None, None


def all_of(of: Publication, count: int, seed: int) -> list[bytes]:
    """Honest bundles, the named forgeries where there are shards to forge, and `count` random ones."""
    honest = [of.bundle(i) for i in range(3)]
    forged = [data for data, _, _ in named(of).values()] if of.statement.shards == 3 else []
    return [*honest, *forged, swapped(of), *at_random(honest[HOLDER], count, random.Random(seed))]
